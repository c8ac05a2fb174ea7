"""Calls of a plan on a GPU joined into kernels: their source in CUDA C, and who launches them.

Writing a source needs neither CuPy nor a GPU; NVRTC can compile it, and a C compiler too. A kernel
has one argument, the addresses of its operands. All numbers else are written into the source, so
that it is compiled for the very shapes of a plan.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from tinygradrnn.compiler.fused.expressions import EXPRESSIONS
from tinygradrnn.compiler.fused.grids import MOST, Access, Group, groups_of, parts
from tinygradrnn.compiler.fused.joining import Joiner
from tinygradrnn.compiler.fused.nests import Spot
from tinygradrnn.compiler.fused.reading import Call, Operation, Reader, Shape, copied
from tinygradrnn.compiler.fused.source import Kernel
from tinygradrnn.plugins import Backend

NAME = "tinygradrnn_fused"
THREADS = 128  # of a block
LARGEST = 2**31 - 1  # elements: threads are numbered by 32 bits
TYPES = {"float32": "float", "float64": "double", "int64": "long long", "bool": "unsigned char"}
NO_FUNCTIONS = ("copy", "select")  # names that array modules have for something else
HEAD = """\
#define maximum(x, y) ((x) > (y) || (x) != (x) ? (x) : (y))
#define minimum(x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
#define select(condition, x, y) ((condition) ? (x) : (y))

typedef struct {{ char *at[{count}]; }} Operands;

extern "C" __global__ void {name}(const Operands a)
{{
    const unsigned k = blockIdx.x * blockDim.x + threadIdx.x;
    if (k >= {size}u) return;
    const unsigned i = k / {columns}u, j = k % {columns}u;
"""


class DeviceReader(Reader):
    """Reads calls of an array module under NumPy's names."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.xp, self.array_type = backend.xp, backend.array_type
        known = [name for name in EXPRESSIONS if name not in NO_FUNCTIONS]
        self.names = {getattr(self.xp, name): name for name in known}

    def operands(
        self, function: Callable[..., Any], given: tuple[Any, ...]
    ) -> tuple[str, Any] | None:
        if isinstance(function, partial) and set(function.keywords) == {"out"}:
            return self.operands(function.func, (*given, function.keywords["out"]))
        if function == self.xp.copyto:
            return copied(self.xp, *given)
        name = self.names.get(function)
        return (name, given) if name and len(given) == arity(name) + 1 else None

    def shape(self, name: str, arrays: tuple[Any, ...]) -> Shape | None:
        found = super().shape(name, arrays)
        return found if found and found.rows * found.columns <= LARGEST else None


def arity(name: str) -> int:
    """How many operands an element-wise function has."""
    return 1 + max(map(int, re.findall(r"\{(\d)\}", EXPRESSIONS[name])))


class DeviceJoiner(Joiner):
    """Joins the calls of a plan on a GPU.

    A loop stays a loop of launches: threads would have to wait for each other between its turns.
    """

    def __init__(self, given: Sequence[Call], backend: Backend) -> None:
        self.compile = backend.xp.RawKernel
        self.compiled: dict[str, Any] = {}
        super().__init__(given, DeviceReader(backend))

    def runs(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Where the operations of one kernel follow each other, and where other calls do."""
        bounds = [begin]
        for first, last in super().runs(begin, end):
            operations = [operation for operation in self.read[first:last] if operation]
            for group in groups_of(operations)[:-1]:
                bounds.append(bounds[-1] + len(group.operations))
            bounds.append(last)
        return list(pairwise(bounds))

    def suits(self, operations: Sequence[Operation]) -> bool:
        return len(operations) <= MOST  # also one alone: a launch is quicker than an array function

    def kernel(self, operations: Sequence[Operation]) -> Kernel:
        (group,) = groups_of(operations)
        return write(group)

    def emit(self, kernel: Kernel, table: Any, replaced: int) -> None:
        if kernel.text not in self.compiled:
            self.compiled[kernel.text] = self.compile(kernel.text, NAME)
        blocks = -(-kernel.threads // THREADS)
        struct = table.view(np.dtype((np.void, table.nbytes)))  # CuPy: passed by value
        self.starts += [len(self.calls)] * replaced
        self.calls.append((self.compiled[kernel.text], ((blocks,), (THREADS,), (struct,))))

    def hold(self, operations: Sequence[Operation]) -> None:
        self.keep.update((id(array), array) for one in operations for array in one.arrays)


def write(group: Group) -> Kernel:
    """The kernel of a group."""
    rows, columns = group.grid
    found: dict[tuple[int, str], list[Spot]] = {}
    for k, operation in enumerate(group.operations):
        layouts = operation.shape.layouts
        for n, (address, layout) in enumerate(zip(operation.addresses, layouts, strict=True)):
            found.setdefault((address, layout.dtype), []).append(Spot(k, n))
    writer = Writer({pair: number for number, pair in enumerate(found)}, rows > 1)
    for operation in group.operations:
        for part in parts(operation, group.grid):
            writer.add(operation.shape, part)
    size = rows * columns
    head = HEAD.format(count=len(found), name=NAME, size=size, columns=columns)
    text = head + "\n".join(writer.lines + writer.stores()) + "\n}\n"
    spots = list(enumerate(found.values()))
    return Kernel(text, [address for address, _ in found], spots, threads=size)


class Writer:
    """The body of a kernel while it is written.

    What was computed is in a variable, and so is what was read: another operand at the same place
    is read again, as it may move on differently in a loop. Only the last that is written to a
    place is stored, at the end; nothing is read after that.
    """

    def __init__(self, numbers: dict[tuple[int, str], int], rows: bool) -> None:
        self.numbers, self.rows = numbers, rows
        self.lines: list[str] = []
        self.loaded: dict[Access, str] = {}
        self.written: dict[Access, tuple[Access, str]] = {}

    def add(self, shape: Shape, part: list[Access]) -> None:
        """One part of an operation."""
        *inputs, out = part
        given = []
        for number, access in enumerate(inputs):
            name = self.read(access)
            condition = shape.name == "select" and number == 0
            cast = access.dtype != shape.dtype and not condition
            given.append(f"({TYPES[shape.dtype]}){name}" if cast else name)
        name = f"y{len(self.lines)}"
        self.lines.append(f"    const {TYPES[out.dtype]} {name} = {expression(shape, given)};")
        self.written[alone(out)] = out, name

    def read(self, access: Access) -> str:
        """The variable that has an element."""
        if alone(access) in self.written:
            return self.written[alone(access)][1]
        if access not in self.loaded:
            name = self.loaded[access] = f"x{len(self.lines)}"
            kind = f"const {TYPES[access.dtype]}"
            self.lines.append(f"    {kind} {name} = *({kind} *)({self.where(access)});")
        return self.loaded[access]

    def where(self, access: Access) -> str:
        """The address of an element."""
        text = f"a.at[{self.numbers[access.address, access.dtype]}]"
        if self.rows and access.row:
            text += f" + {access.row}ll * i"
        if access.step:
            text += f" + {access.step}ll * j"
        return text + (f" + {access.offset}" if access.offset else "")

    def stores(self) -> list[str]:
        """What is written to memory."""
        return [
            f"    *({TYPES[access.dtype]} *)({self.where(access)}) = {name};"
            for access, name in self.written.values()
        ]


def alone(access: Access) -> Access:
    """The same place, whichever operand it is a part of."""
    return access._replace(address=access.address + access.offset, offset=0)


FUNCTION = re.compile(r"\b(exp|tanh|sqrt|log)\(")


def expression(shape: Shape, operands: Sequence[str]) -> str:
    """An operation on one element, in C."""
    single = shape.dtype == "float32"
    text = EXPRESSIONS[shape.name].replace("absolute(", "fabsf(" if single else "fabs(")
    if single:
        text = FUNCTION.sub(r"\1f(", text)
    return text.format(*operands, one="1.0f" if single else "1.0")
