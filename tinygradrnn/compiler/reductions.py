"""How sums, maxima and what is made of them are computed into an array that is there already."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygradrnn.compiler.memory import address, flat, order_of
from tinygradrnn.compiler.values import Value
from tinygradrnn.recording import Array

if TYPE_CHECKING:
    from tinygradrnn.compiler.lowering import Lowering


def reduction(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """A sum, mean, maximum or minimum over axes."""
    assert value.op is not None
    x = inputs[0]
    settings = dict(value.settings)
    ndim = x.ndim - batch
    axis = settings.get("axis")
    axes = range(ndim) if axis is None else (axis if isinstance(axis, tuple) else (axis,))
    moved = tuple(a % ndim + batch for a in axes)
    reduce(low, value.op.name, x, moved, out, settings.get("keepdims", False))
    return True


REDUCE = {"sum": "add", "mean": "add", "max": "maximum", "min": "minimum"}


def reduce(
    low: Lowering, name: str, x: Array, axes: tuple[int, ...], out: Array, keepdims: bool = False
) -> None:
    """Sum, mean, max or min over axes."""
    xp = low.xp
    if xp is not np:
        low.emit(partial(getattr(xp, name), axis=axes, keepdims=keepdims, out=out), x)
        return
    # kernels have sums of rows themselves; a call of BLAS among them would part them
    if not (low.plain and REDUCE[name] == "add" and row_sums(low, x, axes, out)):
        low.emit(getattr(np, REDUCE[name]).reduce, x, axes, None, out, keepdims)
    if name == "mean":
        low.emit(np.multiply, out, low.constant(out.size / x.size, out.dtype), out)


def row_sums(low: Lowering, x: Array, axes: tuple[int, ...], out: Array) -> bool:
    """Sums of rows, or of columns, as a product with ones; quicker than NumPy's for short rows."""
    rows = flat(x) if x.ndim > 1 and x.dtype.kind == "f" and x.dtype == out.dtype else None
    if rows is None or not rows.flags.c_contiguous or not out.size:
        return False
    if axes == (x.ndim - 1,):
        kept = out.reshape(x.shape[:-1])
        order = order_of(x)[:-1]
        result = kept.transpose(order)
        if address(result) != address(out) or not result.flags.c_contiguous:
            return False
        ones = low.filled(x.shape[-1], x.dtype)
        low.emit(np.dot, rows, ones, result.reshape(-1))
        return True
    if axes == tuple(range(x.ndim - 1)) and out.flags.c_contiguous:
        low.emit(np.dot, low.filled(rows.shape[0], x.dtype), rows, out.reshape(-1))
        return True
    return False


def sum_to(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """The sum over the axes that broadcasting repeated."""
    x = inputs[0]
    shape = value.shape
    extra = x.ndim - batch - len(shape)
    axes = tuple(range(batch, batch + extra))
    repeated = tuple(
        batch + extra + k for k, n in enumerate(shape) if n == 1 and x.shape[batch + extra + k] != 1
    )
    kept = out.reshape(out.shape[:batch] + (1,) * extra + out.shape[batch:])
    reduce(low, "sum", x, axes + repeated, kept, keepdims=True)
    return True


def log_softmax(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """The shift by the maximum, then by log Σ e^x, in place."""
    x, xp = inputs[0], low.xp
    edge = less_maximum(low, value, x, out)
    if edge is None:
        return False
    spread = low.temporary(x.shape, x.dtype, x)
    low.emit(xp.exp, out, spread)
    reduce(low, "sum", spread, (x.ndim - 1,), edge, keepdims=True)
    low.emit(xp.log, edge, edge)
    low.emit(xp.subtract, out, edge, out)
    return True


def softmax(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """e^(x − max) / Σ e^(x − max), in place."""
    x, xp = inputs[0], low.xp
    edge = less_maximum(low, value, x, out)
    if edge is None:
        return False
    low.emit(xp.exp, out, out)
    reduce(low, "sum", out, (x.ndim - 1,), edge, keepdims=True)
    low.emit(xp.divide, out, edge, out)
    return True


def less_maximum(low: Lowering, value: Value, x: Array, out: Array) -> Array | None:
    """Shift by the maximum of the last axis, and find room for it; None for another axis."""
    if value.settings["axis"] not in (-1, len(value.shape) - 1):
        return None
    edge = low.temporary((*x.shape[:-1], 1), x.dtype, x)
    reduce(low, "max", x, (x.ndim - 1,), edge, keepdims=True)
    low.emit(low.xp.subtract, x, edge, out)
    return edge
