"""Calls that do the same to columns that lie side by side are one call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinygradrnn.arrays import address
from tinygradrnn.recording import Array

Call = tuple[Callable[..., Any], tuple[Any, ...]]
RESULT_FIRST = (np.copyto,)
SAME = (np.add, np.subtract, np.multiply, np.negative, np.tanh, np.exp, np.reciprocal)


def beside(calls: Sequence[Call]) -> list[Call]:
    """The calls, each with those right after it that do the same to the columns beside its own."""
    found: list[Call] = []
    for call in calls:
        both = joined(found[-1], call) if found else None
        if both is None:
            found.append(call)
        else:
            found[-1] = both
    return found


def joined(one: Call, other: Call) -> Call | None:
    """Two calls as one; None if they are none."""
    function, first = one
    second = other[1]
    if other[0] is not function or len(first) != len(second) or len(first) < 2:
        return None
    if function not in (*SAME, *RESULT_FIRST):
        return None
    arguments = []
    for a, b in zip(first, second, strict=True):
        both = a if a is b and not getattr(a, "ndim", 1) else columns(a, b)
        if both is None:
            return None
        arguments.append(both)
    out = 0 if function in RESULT_FIRST else -1
    read = first[1:] if out == 0 else first[:-1]
    later = second[1:] if out == 0 else second[:-1]
    if any(np.shares_memory(first[out], array) for array in later):
        return None  # the second reads what the first has written
    if any(np.shares_memory(second[out], array) for array in read):
        return None
    return function, tuple(arguments)


def columns(one: Any, other: Any) -> Array | None:
    """Two parts of the same rows, side by side, as one."""
    for a, b in ((one, other), (other, one)):
        if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)) or a.ndim < 2:
            return None
        alike = a.dtype == b.dtype and a.strides == b.strides and a.shape[:-1] == b.shape[:-1]
        if not alike or a.strides[-1] != a.itemsize:
            return None
        width = a.shape[-1] + b.shape[-1]
        apart = min(a.strides[:-1]) >= width * a.itemsize  # else the columns are those of a row
        if apart and address(b) - address(a) == a.shape[-1] * a.itemsize:
            return as_strided(a, (*a.shape[:-1], width), a.strides)
    return None
