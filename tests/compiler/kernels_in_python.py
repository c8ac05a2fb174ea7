"""Kernels run by Python itself: slow, but without Numba, and without compiling anything."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from tinygradrnn.compiler import fused
from tinygradrnn.compiler.fused import host
from tinygradrnn.compiler.fused.cache import Source
from tinygradrnn.compiler.fused.sizes import TILE

KINDS = {
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
    "int64": ctypes.c_int64,
    "bool": ctypes.c_uint8,
}


def pointer(kind: Any) -> Callable[[int], Any]:
    return lambda address: ctypes.cast(int(address), ctypes.POINTER(kind))


def row_sum(x: Any, n: int) -> float:
    return sum(x[j] for j in range(n))


def row_max(x: Any, n: int) -> float:
    return max(x[j] for j in range(n))


def times(x: Any, rows: int, step: int, w: Any, n: int, out: Any) -> None:
    for j in range(n):
        out[j] = sum(x[k * step] * w[k * n + j] for k in range(rows))


def times_transposed(x: Any, rows: int, w: Any, n: int, out: Any) -> None:
    for j in range(n):
        out[j] = sum(x[k] * w[j * rows + k] for k in range(rows))


NAMES = {
    "kernel": lambda function: function,
    **{f"{name}_at": pointer(kind) for name, kind in KINDS.items()},
    **dict.fromkeys(("exp32", "exp64"), np.exp),
    **dict.fromkeys(("tanh32", "tanh64"), np.tanh),
    **{
        name: getattr(np, name) for name in ("float32", "float64", "maximum", "minimum", "absolute")
    },
    "sqrt": np.sqrt,
    "log": np.log,
    "select": lambda condition, x, y: x if condition else y,
    "row_sum": row_sum,
    "row_max": row_max,
    "times": times,
    "times_transposed": times_transposed,
}


FUNCTIONS: list[Any] = []  # what stands for the address of a function is its number here


def numbered(function: Any) -> int:
    FUNCTIONS.append(function)
    return len(FUNCTIONS) - 1


@cache
def located(source: Source) -> int:
    """A function of a source."""
    dtype = "float64" if "float64" in source.text else "float32"
    if source.name != "run":
        return products(dtype)[source.name]
    names = dict(NAMES)
    exec(source.text.replace("from tinygradrnn.compiler.fused.native.runtime import *", ""), names)
    return numbered(names["run"])


def run(job: int) -> None:
    """A kernel, one part after the other."""
    function, table, phases, parts = pointer(ctypes.c_int64)(job)[:4]
    for phase in range(phases):
        for part in range(parts):
            FUNCTIONS[function](table, phase, part, parts)


def call(job: int, parts: int) -> tuple[Any, tuple[int, ...]]:
    return run, (job,)


# ------------------------------------------------------------------------------------- products


def matrix(address: int, shape: tuple[int, int], steps: tuple[int, int], kind: Any) -> Any:
    """An array at an address."""
    size = sum((n - 1) * step for n, step in zip(shape, steps, strict=True))
    memory = (kind * (size // ctypes.sizeof(kind) + 1)).from_address(int(address))
    return np.lib.stride_tricks.as_strided(np.ctypeslib.as_array(memory), shape, steps)


@cache
def products(dtype: str) -> dict[str, int]:
    """The functions of ``tiles``; a packed factor lies in order."""
    kind, size = KINDS[dtype], ctypes.sizeof(KINDS[dtype])

    def pack(table: int, phase: int, part: int, parts: int) -> None:
        at, row, step, inner, columns, packed = pointer(ctypes.c_int64)(table)[:6]
        mine = slice(columns * part // parts, columns * (part + 1) // parts)
        w = matrix(at, (inner, columns), (row, step), kind)
        matrix(packed, w.shape, (columns * size, size), kind)[:, mine] = w[:, mine]

    def multiply(
        x: int, block: int, row: int, step: int, rows: int, packed: int, inner: int, columns: int,
        out: int, out_row: int, more: int, spare: int,
    ) -> None:  # fmt: skip
        if rows:
            a = matrix(x, (rows, inner), (row, step), kind)
            b = matrix(packed, (inner, columns), (columns * size, size), kind)
            matrix(out, (rows, columns), (out_row, size), kind)[...] = a @ b

    def gemm(table: int, phase: int, part: int, parts: int) -> None:
        x, row, step, w, w_row, w_step, rows, inner, columns, out, out_row = pointer(
            ctypes.c_int64
        )(table)[:11]
        mine = slice(columns * part // parts, columns * (part + 1) // parts)
        a = matrix(x, (rows, inner), (row, step), kind)
        b = matrix(w, (inner, columns), (w_row, w_step), kind)
        matrix(out, (rows, columns), (out_row, size), kind)[:, mine] = a @ b[:, mine]

    def rows(table: int, phase: int, part: int, parts: int) -> None:
        ids, count, columns, at, row, other, other_row, adds = pointer(ctypes.c_int64)(table)[:8]
        numbers = pointer(ctypes.c_int64)(ids)[:count]
        x = matrix(at, (max(numbers) + 1, columns), (row, size), kind)
        y = matrix(other, (count, columns), (other_row, size), kind)
        mine = slice(columns * part // parts, columns * (part + 1) // parts)
        if adds:
            np.add.at(x[:, mine], numbers, y[:, mine])
        else:
            y[:, mine] = x[numbers, mine]

    functions = {"pack": pack, "multiply": multiply, "gemm": gemm, "rows": rows}
    return {name: numbered(function) for name, function in functions.items()}


def multiply(function: int, *arguments: int) -> None:
    FUNCTIONS[function](*arguments)


NAMES.update(multiply=multiply, TILE=TILE)


def put_in_place(patch: Any) -> None:
    """Let plans use these."""
    patch.setattr(host, "located", located)
    patch.setattr(host, "call", call)
    patch.setattr(fused, "cores", lambda: 1)
