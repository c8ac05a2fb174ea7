"""Kernels of Numba: runs of calls, whole loops, and products, by as many threads as are allowed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinygradrnn.compiler.fused.cache import Source, located, written
from tinygradrnn.compiler.fused.joining import Joiner, operands_of
from tinygradrnn.compiler.fused.nests import SIZES, Nest, in_rows, nests_of
from tinygradrnn.compiler.fused.reading import NUMBERED, Call, Operation, Reader
from tinygradrnn.compiler.fused.sizes import BLOCK, PANEL, TILE, packed, room
from tinygradrnn.compiler.fused.source import Kernel, Packed, write, write_loop
from tinygradrnn.compiler.fused.team import call
from tinygradrnn.compiler.fused.turns import Turns, fixed, independent, turns_of
from tinygradrnn.compiler.memory import address

LONGEST = 32  # calls in a kernel: what is not rolled can be of hundreds, and compile for a minute
ENOUGH = 100_000  # elements to compute that are worth a kernel for one call, and several threads
ALIGN = 64  # bytes
UNKNOWN: Call = (int, ())  # a call in the place of one that is planned


class HostJoiner(Joiner):
    """Joins the calls of a plan on NumPy.

    Parameters
    ----------
    given : sequence of calls
    threads : int
        How many may work at once.
    """

    def __init__(self, given: Sequence[Call], threads: int) -> None:
        self.threads = threads
        self.shared: list[tuple[Any, int, int]] = []  # tables, where, and the room that they need
        self.planned: list[tuple[int, Source, Any, int, int]] = []  # calls, by their numbers
        self.multiply: dict[str, Any] = {}  # of each dtype where the function is, once it is known
        super().__init__(given, Reader())

    def suits(self, operations: Sequence[Operation]) -> bool:
        if len(operations) == 1:
            return operations[0].shape.work >= ENOUGH
        return len(operations) <= LONGEST

    def kernel(self, operations: Sequence[Operation]) -> Kernel:
        return write(nests_of(operations))

    def emit(self, kernel: Kernel, table: Any, replaced: int) -> None:
        self.starts += [len(self.calls)] * replaced
        self.call(Source(kernel.text), table, kernel.phases, kernel.work, kernel.parts)

    def call(self, source: Source, table: Any, phases: int, work: int, parts: int) -> None:
        """A call of a function that will be compiled when all are known."""
        parts = min(self.threads, parts) if work >= ENOUGH else 1
        self.planned.append((len(self.calls), source, table, phases, parts))
        self.calls.append(UNKNOWN)
        self.keep[id(table)] = table

    def join(self, loops: Sequence[Sequence[int]]) -> None:
        super().join(loops)
        most = max((size for _, _, size in self.shared), default=0)
        shared = self.memory(most)
        for table, at, _ in self.shared:
            table[at] = shared
        for dtype, cell in self.multiply.items():
            cell[0] = located(tiles(dtype, "multiply"))
        for number, source, table, phases, parts in self.planned:
            job = np.array((located(source), address(table), phases, parts), np.int64)
            self.keep[id(job)] = job
            self.calls[number] = call(address(job), parts)

    def memory(self, size: int) -> int:
        """Memory of kernels: where it begins."""
        memory = np.empty(size + ALIGN, np.uint8)
        self.keep[id(memory)] = memory
        return address(memory) + -address(memory) % ALIGN

    def multiplying(self, dtype: str) -> int:
        """Where it is written where the function that multiplies is."""
        cell = self.multiply.setdefault(dtype, np.zeros(1, np.int64))
        self.keep[id(cell)] = cell
        return address(cell)

    # ---------------------------------------------------------------- ready-made functions

    def runs(self, begin: int, end: int) -> list[tuple[int, int]]:
        """What functions that are there already do is not part of a run."""
        bounds = [begin]
        for _, last in super().runs(begin, end):
            for k in range(bounds[-1], last):
                if ready_made(self.read[k]):
                    bounds += [k, k + 1]
            bounds.append(last)
        return [(a, b) for a, b in pairwise(bounds) if b > a]

    def straight(self, begin: int, end: int) -> None:
        for first, last in self.runs(begin, end):
            operation = self.read[first]
            if operation is None or not ready_made(operation):
                super().straight(first, last)
                continue
            self.starts.append(len(self.calls))
            self.hold([operation])
            if operation.shape.name == "product":
                self.gemm(operation)
            else:
                self.rows(operation)

    def rows(self, operation: Operation) -> None:
        """Rows of a matrix by their numbers."""
        shape, _, (ids, *where) = operation
        rows = [layout.row for layout in shape.layouts[1:]]
        adds = shape.name == "add_rows"
        matrix, other = (1, 0) if adds else (0, 1)
        numbers = (where[matrix], rows[matrix], where[other], rows[other], adds)
        table = np.array((ids, shape.rows, shape.columns, *numbers), np.int64)
        parts = shape.columns * SIZES[shape.dtype] // ALIGN if adds else shape.rows
        source = Source(written("native/rows.py", shape.dtype), "rows")
        self.call(source, table, 1, shape.work, max(parts, 1))

    def gemm(self, operation: Operation) -> None:
        """A product by itself."""
        shape = operation.shape
        x, w, out = shape.layouts
        size = SIZES[shape.dtype]
        at_x, at_w, at_out = operation.addresses
        most = room(shape.columns, size)
        most += -most % ALIGN
        where = (at_x, x.row, x.step, at_w, w.row, w.step)
        sizes = (shape.rows, shape.inner, shape.columns)
        table = np.array((*where, *sizes, at_out, out.row, 0, most), np.int64)
        self.shared.append((table, 11, self.threads * most))
        parts = shape.rows // BLOCK if shape.rows > shape.columns else shape.columns * size // PANEL
        self.call(tiles(shape.dtype, "gemm"), table, 1, shape.work, max(parts, 1))

    # ---------------------------------------------------------------- loops

    def alike(self, turns: Sequence[int]) -> None:
        """Turns of the same operations, as one kernel if all of them can be in it."""
        if self.whole(turns):
            return
        for k in range(turns[0], turns[-1]):
            if ready_made(self.read[k]):
                self.read[k] = None  # packing does not pay for a single turn
        super().alike(turns)

    def whole(self, turns: Sequence[int]) -> bool:
        """One kernel for all turns; False if that cannot be."""
        every = [[o for o in self.read[a:b] if o is not None] for a, b in pairwise(turns)]
        if not 0 < len(every[0]) == turns[1] - turns[0] <= 2 * LONGEST:
            return False
        if any(operation.shape.name in NUMBERED for operation in every[0]):
            return False
        where = turns_of(every)
        if where is None or not fixed(every[0], where.moves, len(every)):
            return False
        nests, parts = self.nests(every[0], where, len(every))
        made: list[tuple[Operation, Packed]] = []

        def pack(number: int) -> Packed:
            made.append((every[0][number], self.packed(every[0][number])))
            return made[-1][1]

        kernel = write_loop(nests, len(every), pack)
        spots = operands_of(kernel, every[0], where)
        if spots is None:
            return False
        table = np.array(kernel.table, np.int64)
        for at, which in spots:
            table[at + 1] = where.moves[which]
        begin = len(self.calls)
        for operation, place in made:
            self.pack(operation, place)
        self.starts += [begin] + [len(self.calls)] * (turns[-1] - turns[0] - 1)
        self.call(Source(kernel.text), table, 1, kernel.work, parts)
        for turn in every:
            self.hold(turn)
        return True

    def nests(
        self, operations: Sequence[Operation], where: Turns, turns: int
    ) -> tuple[list[Nest], int]:
        """The nests of a turn, and in how many parts a loop of them can be done."""
        rows = {o.shape.rows for o in operations if not o.shape.flat}
        if self.threads > 1 and len(rows) == 1 and max(rows) > BLOCK:
            count = rows.pop()
            alike = in_rows(operations, count)
            if alike is not None and independent(alike, where.moves, turns):
                return nests_of(alike, whole=False), -(-count // BLOCK)
        return nests_of(operations), 1

    def packed(self, operation: Operation) -> Packed:
        """Room for a packed factor, and for the tiles of all threads."""
        shape = operation.shape
        size = packed(shape.inner, shape.columns, SIZES[shape.dtype])
        begin = self.memory(size + ALIGN + self.threads * TILE)
        spare = begin + size + -size % ALIGN
        return Packed(begin, spare, self.multiplying(shape.dtype))

    def pack(self, operation: Operation, to: Packed) -> None:
        """Pack a factor before the loop that multiplies by it."""
        shape, _, (_, at, _) = operation
        _, w, _ = shape.layouts
        table = np.array([at, w.row, w.step, shape.inner, shape.columns, to.factor], np.int64)
        parts = shape.columns * SIZES[shape.dtype] // PANEL
        work = shape.inner * shape.columns
        self.call(tiles(shape.dtype, "pack"), table, 1, work, max(parts, 1))


def ready_made(operation: Operation | None) -> bool:
    """Whether a function that need not be written does an operation."""
    return operation is not None and operation.shape.name in ("product", *NUMBERED)


def tiles(dtype: str, name: str) -> Source:
    """A function that has to do with products."""
    return Source(written("native/tiles.py", dtype), name)
