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
    arguments = _beside(first, second) or _beside(second, first)
    if arguments is None:
        return None
    out = 0 if function in RESULT_FIRST else -1
    read = first[1:] if out == 0 else first[:-1]
    later = second[1:] if out == 0 else second[:-1]
    if any(np.shares_memory(first[out], array) for array in later):
        return None  # the second reads what the first has written
    if any(np.shares_memory(second[out], array) for array in read):
        return None
    return function, arguments


def _beside(left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Each argument of one call with that of another which is on its right, if all of them are."""
    both = [
        a if a is b and not getattr(a, "ndim", 1) else columns(a, b)
        for a, b in zip(left, right, strict=True)
    ]
    return None if any(array is None for array in both) else tuple(both)


def columns(left: Any, right: Any) -> Array | None:
    """Two parts of the same rows as one, if they lie side by side in this order."""
    if not (isinstance(left, np.ndarray) and isinstance(right, np.ndarray)) or left.ndim < 2:
        return None
    strides, size = left.strides, left.itemsize
    alike = left.dtype == right.dtype and strides == right.strides
    if not alike or left.shape[:-1] != right.shape[:-1] or strides[-1] != size:
        return None
    width = left.shape[-1] + right.shape[-1]
    apart = min(strides[:-1]) >= width * size  # else the columns are those of a row
    if apart and address(right) - address(left) == left.shape[-1] * size:
        return as_strided(left, (*left.shape[:-1], width), strides)
    return None
