"""Kernels in CUDA C run on this machine: read line by line, or compiled by a C compiler."""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = {
    "float": np.float32,
    "double": np.float64,
    "long long": np.int64,
    "unsigned char": np.uint8,
}
KIND = "(?:const )?(float|double|long long|unsigned char)"
LOAD = re.compile(rf"{KIND} (\w+) = \*\({KIND} \*\)\((.*)\);")
LET = re.compile(rf"{KIND} (\w+) = (.*);")
STORE = re.compile(rf"\*\({KIND} \*\)\((.*)\) = (\w+);")
launches: list[str] = []  # the source of each kernel that was launched


class RawKernel:
    """CuPy's, by NumPy: all threads do a line before they go on to the next."""

    def __init__(self, code: str, name: str) -> None:
        assert f'extern "C" __global__ void {name}(' in code
        self.code = code
        self.body = code[code.index("{\n") + 2 : code.rindex("}")].splitlines()[3:]
        self.size, self.columns = (
            int(re.search(pattern, code)[1])  # type: ignore[index]
            for pattern in (r"k >= (\d+)u", r"k / (\d+)u")
        )

    def __call__(self, grid: tuple[int], block: tuple[int], given: tuple[Any]) -> None:
        (struct,) = given
        assert struct.size == 1, "CuPy passes structs by value, one"
        launches.append(self.code)
        k = np.arange(min(grid[0] * block[0], self.size))
        names: dict[str, Any] = {
            "at": np.frombuffer(struct.tobytes(), np.int64),
            "i": k // self.columns,
            "j": k % self.columns,
            **FUNCTIONS,
        }
        with np.errstate(all="ignore"):
            for line in self.body:
                run(line.strip(), names)


def run(line: str, names: dict[str, Any]) -> None:
    """One line of a kernel for all threads."""
    if found := LOAD.fullmatch(line):
        kind, name, _, where = found.groups()
        names[name] = memory(where, kind, names)
    elif found := LET.fullmatch(line):
        kind, name, text = found.groups()
        names[name] = np.asarray(value(text, names), DTYPES[kind])
    else:
        kind, where, name = STORE.fullmatch(line).groups()  # type: ignore[union-attr]
        memory(where, kind, names, names[name])


def value(text: str, names: dict[str, Any]) -> Any:
    """An expression of C."""
    text = re.sub(r"\((float|double|long long|unsigned char)\)(\w+)", r'cast("\1", \2)', text)
    text = re.sub(r"\b(\d+\.\d*)f\b", r"np.float32(\1)", text).replace("a.at[", "at[")
    return eval(re.sub(r"(\d)ll\b", r"\1", text), {"np": np}, names)


def memory(where: str, kind: str, names: dict[str, Any], new: Any = None) -> Any:
    """Read, or write, an element for each thread."""
    dtype = np.dtype(DTYPES[kind])
    places = np.broadcast_to(value(where, names), names["i"].shape)
    first = int(places.min())
    size = int(places.max()) - first + dtype.itemsize
    assert ((places - first) % dtype.itemsize == 0).all()
    block = np.frombuffer((ctypes.c_char * size).from_address(first), dtype)
    index = (places - first) // dtype.itemsize
    if new is None:
        return block[index]
    block[index] = new
    return None


FUNCTIONS = {
    "maximum": np.maximum,
    "minimum": np.minimum,
    "select": lambda condition, x, y: np.where(condition, x, y),
    "cast": lambda kind, x: x.astype(DTYPES[kind]),
    **{name: getattr(np, name.removesuffix("f")) for name in
       ("exp", "expf", "tanh", "tanhf", "sqrt", "sqrtf", "log", "logf", "fabs", "fabsf")},
}  # fmt: skip

# Threads take their turns in an order of their own: none may depend on what another one does.
HARNESS = """\
#include <math.h>
#include <string.h>
#define __global__
static struct {{ unsigned x; }} blockIdx, blockDim, threadIdx;
{code}
void run(unsigned blocks, unsigned threads, const void *given)
{{
    Operands a;
    memcpy(&a, given, sizeof a);
    blockDim.x = threads;
    for (unsigned long long n = 0; n < (unsigned long long)blocks * threads; ++n) {{
        unsigned k = (unsigned)((n * 7919 + 13) % ((unsigned long long)blocks * threads));
        blockIdx.x = k / threads;
        threadIdx.x = k % threads;
        {name}(a);
    }}
}}
"""


class CompiledKernel(RawKernel):
    """CuPy's, by a C compiler: one thread after the other, in another order."""

    def __init__(self, code: str, name: str) -> None:
        super().__init__(code, name)
        self.run = compiled(HARNESS.format(code=code.replace('extern "C" ', "static "), name=name))

    def __call__(self, grid: tuple[int], block: tuple[int], given: tuple[Any]) -> None:
        launches.append(self.code)
        self.run(grid[0], block[0], given[0].ctypes.data_as(ctypes.c_void_p))


def compiler() -> str | None:
    """A C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@cache
def compiled(code: str) -> Any:
    """``run`` of a source."""
    program = compiler()
    assert program
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "kernel.c"), Path(folder, "kernel.so")
        source.write_text(code)
        options = ["-O1", "-ffp-contract=off", "-shared", "-fPIC", "-o", str(library)]
        subprocess.run([program, *options, str(source), "-lm"], check=True)
        return ctypes.CDLL(str(library)).run
