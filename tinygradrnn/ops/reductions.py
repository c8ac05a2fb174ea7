"""Reductions over axes, and softmax with its relatives."""

from __future__ import annotations

from math import inf, prod
from typing import Any

from tinygradrnn.ops.arithmetic import where
from tinygradrnn.ops.base import Op
from tinygradrnn.ops.elementwise import cast, exp
from tinygradrnn.ops.shaping import broadcast_to, no_axis, reshape
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
    if axis is None:
        return broadcast_to(g, shape=x.shape)
    return broadcast_to(reshape(g, shape=kept(x.shape, axis)), shape=x.shape)


def _share_of_extreme(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool) -> Any:
    taken = cast(x == reshape(y, shape=kept(x.shape, axis)), dtype=x.dtype)
    return spread(g, x, axis) * taken / taken.sum(axis=axis, keepdims=True)


def axis_problem(*shapes: tuple[int, ...], axis: Axis = None, **settings: Any) -> str | None:
    """Say that an axis does not exist, or that there is nothing to reduce."""
    axes = axis if isinstance(axis, tuple) else () if axis is None else (axis,)
    if not all(hasattr(a, "__index__") for a in axes):
        return f"axis must be an integer, a tuple of integers or None, got {axis!r}"
    for a in axes:
        if missing := no_axis(a, len(shapes[0])):
            return missing
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
    finite = xp.where(xp.isfinite(largest), largest, 0)
    total = xp.exp(x - finite).sum(axis=axis, keepdims=True)
    empty = total == 0  # all -inf: so is the result
    y = xp.log(xp.where(empty, 1, total)) + xp.where(empty, largest, finite)
    return y if keepdims else y.reshape(largest.sum(axis=axis).shape)


def _logsumexp_rule(g: Any, y: Any, x: Any, axis: Axis, keepdims: bool = False) -> Any:
    y = where(y == -inf, 0.0, y)  # all -inf: no gradient, not nan
    return spread(g, x, axis) * exp(x - spread(y, x, axis))


def _softmax(xp: Any, x: Array, axis: int) -> Array:
    y = xp.exp(x - x.max(axis=axis, keepdims=True))
    return y / y.sum(axis=axis, keepdims=True)


def _log_softmax(xp: Any, x: Array, axis: int) -> Array:
    y = x - x.max(axis=axis, keepdims=True)
    y -= xp.log(xp.exp(y).sum(axis=axis, keepdims=True))
    return y


logsumexp = Op(
    "logsumexp",
    _logsumexp,
    _logsumexp_rule,
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
