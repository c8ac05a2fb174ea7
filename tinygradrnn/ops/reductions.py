"""Reductions over axes, and softmax with its relatives."""

from __future__ import annotations

from math import prod
from typing import Any

from tinygradrnn.ops.base import Op
from tinygradrnn.ops.elementwise import exp
from tinygradrnn.ops.shaping import broadcast_to, reshape
from tinygradrnn.recording import Array

Axis = int | tuple[int, ...] | None


def kept(shape: tuple[int, ...], axis: Axis) -> tuple[int, ...]:
    """The shape after reducing with the reduced axes kept as 1."""
    if axis is None:
        return (1,) * len(shape)
    reduced = {a % len(shape) for a in (axis if isinstance(axis, tuple) else (axis,))}
    return tuple(1 if i in reduced else size for i, size in enumerate(shape))


def count(shape: tuple[int, ...], axis: Axis) -> int:
    """How many elements each result of a reduction was made from."""
    return prod([n for n, k in zip(shape, kept(shape, axis), strict=True) if n != k])


def spread(g: Any, x: Any, axis: Axis) -> Any:
    """Repeat the gradient of a reduction over the axes that were reduced."""
    return broadcast_to(reshape(g, shape=kept(x.shape, axis)), shape=x.shape)


def _share_of_extreme(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    taken = x == reshape(y, shape=kept(x.shape, axis))
    among = taken * 1.0 / taken.sum(axis=axis, keepdims=True)
    return spread(g, x, axis) * among


def axis_problem(*shapes: tuple[int, ...], axis: Axis = None, **settings: Any) -> str | None:
    """Say that an axis does not exist, or that there is nothing to reduce."""
    ndim = len(shapes[0])
    for a in axis if isinstance(axis, tuple) else () if axis is None else (axis,):
        if not -ndim <= a < ndim:
            return f"there is no axis {a}; the axes are 0 to {ndim - 1}"
    return None if prod(shapes[0]) else "there are no elements to reduce"


sum = Op(
    "sum",
    lambda xp, x, axis=None, keepdims=False: x.sum(axis=axis, keepdims=keepdims),
    lambda g, y, x, axis=None, keepdims=False: spread(g, x, axis),
    label="Σ",
    problem=axis_problem,
)
mean = Op(
    "mean",
    lambda xp, x, axis=None, keepdims=False: x.mean(axis=axis, keepdims=keepdims),
    lambda g, y, x, axis=None, keepdims=False: spread(g / count(x.shape, axis), x, axis),
    problem=axis_problem,
)
max = Op(
    "max",
    lambda xp, x, axis=None, keepdims=False: x.max(axis=axis, keepdims=keepdims),
    lambda g, y, x, axis=None, keepdims=False: _share_of_extreme(g, y, x, axis, keepdims),
    problem=axis_problem,
)
min = Op(
    "min",
    lambda xp, x, axis=None, keepdims=False: x.min(axis=axis, keepdims=keepdims),
    lambda g, y, x, axis=None, keepdims=False: _share_of_extreme(g, y, x, axis, keepdims),
    problem=axis_problem,
)


def _logsumexp(xp: Any, x: Array, axis: Axis, keepdims: bool = False) -> Array:
    largest = x.max(axis=axis, keepdims=True)
    largest = xp.where(xp.isfinite(largest), largest, 0)  # all -inf: log 0, not nan
    y = xp.log(xp.exp(x - largest).sum(axis=axis, keepdims=True)) + largest
    return y if keepdims else y.reshape(largest.sum(axis=axis).shape)


def _softmax(xp: Any, x: Array, axis: int) -> Array:
    y = xp.exp(x - x.max(axis=axis, keepdims=True))
    return y / y.sum(axis=axis, keepdims=True)


def _log_softmax(xp: Any, x: Array, axis: int) -> Array:
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - xp.log(xp.exp(shifted).sum(axis=axis, keepdims=True))


logsumexp = Op(
    "logsumexp",
    _logsumexp,
    lambda g, y, x, axis, keepdims=False: spread(g, x, axis) * exp(x - spread(y, x, axis)),
    label="log Σ exp",
    problem=axis_problem,
)
softmax = Op(
    "softmax",
    _softmax,
    lambda g, y, x, axis: y * (g - (g * y).sum(axis=axis, keepdims=True)),
    problem=axis_problem,
)
log_softmax = Op(
    "log_softmax",
    _log_softmax,
    lambda g, y, x, axis: g - exp(y) * g.sum(axis=axis, keepdims=True),
    label="log softmax",
    problem=axis_problem,
)
