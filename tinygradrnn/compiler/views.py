"""Operations that only look at a value in another way: nothing is computed for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygradrnn.compiler.values import Span, Value
from tinygradrnn.recording import Array

LOOKS = ("transpose", "getitem", "broadcast_to")
BASIC = (int, slice, type(None), type(...))


def is_view(value: Value) -> bool:
    """Whether a value is another one seen in another way."""
    if value.before is not None or value.after is not None:
        return False
    if value.kind in ("stack", "unstack"):
        return True
    if value.kind != "op" or value.op is None or value.op.name not in LOOKS:
        return False
    if value.op.name != "getitem":
        return True
    return all(isinstance(part, BASIC) for part in value.settings["index"])


def look(value: Value, array: Array, xp: Any, batch: bool) -> Array:
    """An array seen as the value says; with ``batch`` its first axis is time."""
    assert value.op is not None
    name, settings = value.op.name, value.settings
    if name == "transpose":
        axes: Sequence[int] | None = settings["axes"]
        ndim = array.ndim - batch
        axes = tuple(range(ndim))[::-1] if axes is None else tuple(a % ndim for a in axes)
        return array.transpose((0, *(a + 1 for a in axes)) if batch else axes)
    if name == "getitem":
        index = settings["index"]
        return part_of(array, (slice(None), *index) if batch else index)
    shape = (array.shape[0], *value.shape) if batch else value.shape
    return xp.broadcast_to(aligned(array, len(value.shape), batch), shape)


def part_of(array: Array, index: tuple[Any, ...]) -> Array:
    """A part of an array as a view, also where it is one element."""
    return array[index if any(part is ... for part in index) else (*index, ...)]


def aligned(array: Array, ndim: int, batch: bool) -> Array:
    """An array whose first axis is time, with axes of size 1 after it up to ``ndim`` others."""
    if not batch or not hasattr(array, "ndim"):
        return array
    return array[(slice(None), *(None,) * (ndim + 1 - array.ndim))]


def unstacked(value: Value, array: Array) -> Array:
    """The positions along an axis that are the steps of a value, the first of them first."""
    settings = value.settings
    return through(array, settings["axis"])[settings["offset"] :: settings["every"]]


def rows_of(array: Array, span: Span, wanted: Span) -> Array:
    """Some of the steps that the rows of an array are."""
    first, every = span.row(wanted.first), wanted.stride // span.stride
    return array[first : first + (wanted.steps - 1) * every + 1 : every or 1]


def through(array: Array, axis: int) -> Array:
    """The array with an axis first."""
    return array.transpose((axis, *(a for a in range(array.ndim) if a != axis)))
