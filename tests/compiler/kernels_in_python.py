"""Kernels run by Python itself: slow, but without Numba, and without compiling anything."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

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


@cache
def load(text: str) -> Callable[[int], None]:
    """The kernel of a source."""
    names = dict(NAMES)
    exec(text.replace("from tinygradrnn.compiler.fused.runtime import *", ""), names)
    run: Callable[[int], None] = names["run"]
    return run
