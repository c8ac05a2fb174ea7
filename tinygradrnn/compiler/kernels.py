"""How each operation is computed into an array that is there already."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygradrnn.compiler.memory import address, flat, order_of
from tinygradrnn.compiler.reductions import log_softmax, reduction, softmax, sum_to
from tinygradrnn.compiler.values import Value
from tinygradrnn.compiler.views import aligned
from tinygradrnn.recording import Array

if TYPE_CHECKING:
    from tinygradrnn.compiler.lowering import Lowering

Kernel = Callable[["Lowering", Value, Array, list[Any], bool], bool]
UFUNCS = {
    "add": "add",
    "subtract": "subtract",
    "multiply": "multiply",
    "divide": "divide",
    "power": "power",
    "negative": "negative",
    "maximum": "maximum",
    "minimum": "minimum",
    "greater": "greater",
    "greater_equal": "greater_equal",
    "less": "less",
    "less_equal": "less_equal",
    "equal": "equal",
    "not_equal": "not_equal",
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "sign": "sign",
    "abs": "absolute",
    "tanh": "tanh",
}
ELEMENTWISE = {*UFUNCS, "sigmoid", "relu"}
BROADCASTING = {*ELEMENTWISE, "where"}
IN_PLACE = {*ELEMENTWISE, "scatter_add"}  # may write over an operand


def ufunc(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """An operation of which the array module has a function with ``out``."""
    assert value.op is not None
    function = getattr(low.xp, UFUNCS[value.op.name])
    if value.op.name in ("maximum", "minimum"):  # these want to be told which one is the result
        function, out = partial(function, out=out), None
    low.emit(function, *inputs, *(() if out is None else (out,)))
    return True


def sigmoid(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """1 / (1 + e⁻ˣ); where e⁻ˣ overflows to infinity the result is 0, as it should be."""
    xp = low.xp
    low.emit(xp.negative, inputs[0], out)
    low.emit(xp.exp, out, out)
    low.emit(xp.add, out, one(low, out), out)
    low.emit(xp.reciprocal, out, out)
    return True


def one(low: Lowering, out: Array) -> Array:
    """The number 1."""
    return low.constant(1, out.dtype)


def relu(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """max(x, 0)."""
    low.emit(partial(low.xp.maximum, out=out), inputs[0], low.constant(0, out.dtype))
    return True


def copy(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """The same values, in another dtype or place."""
    low.emit(low.xp.copyto, out, inputs[0], "unsafe")
    return True


def view_copy(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """A view that has ends of its own, or cannot be one."""
    from tinygradrnn.compiler.views import look

    low.emit(low.xp.copyto, out, look(value, inputs[0], low.xp, batch))
    return True


def reshape(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """The same values, copied in order."""
    source = inputs[0]
    target = out.reshape(source.shape)
    if address(target) != address(out):  # a copy
        return False
    low.emit(low.xp.copyto, target, source)
    return True


def where(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """y, and x over it where the condition holds."""
    condition, x, y = inputs
    if condition.dtype.kind != "b":
        return False
    low.emit(low.xp.copyto, out, y)
    low.emit(low.xp.copyto, out, x, "same_kind", condition)
    return True


def matmul(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """One product for all rows of all batches where the second factor is one matrix."""
    x, y = inputs
    if batch:
        dims = [len(use.value.shape) for use in value.inputs]
        timed = [use.shift is not None for use in value.inputs]
        if min(dims) > 1:
            x, y = [aligned(a, len(value.shape), t) for a, t in zip(inputs, timed, strict=True)]
        elif timed[1] or dims[1] > 2:
            return False
    if y.ndim == 2 and x.ndim >= 2:
        rows = flat(x)
        target = flat(out)
        alike = order_of(x)[:-1] == order_of(out)[:-1]
        if rows is not None and target is not None and target.flags.c_contiguous and alike:
            low.emit(low.xp.dot, rows, y, target)
            return True
        if x.ndim > 2:  # NumPy multiplies arrays with their axes in another order without BLAS
            if rows is None:
                x = low.temporary(x.shape, x.dtype)
                low.emit(low.xp.copyto, x, inputs[0])
                rows = x.reshape(-1, x.shape[-1])
            result = low.temporary(out.shape, out.dtype, x)
            low.emit(low.xp.dot, rows, y, memory_of(result).reshape(-1, out.shape[-1]))
            low.emit(low.xp.copyto, out, result)
            return True
    if x.ndim == y.ndim == 1:
        return False
    # CuPy: the result is given by its name only
    low.emit(partial(low.xp.matmul, out=out), x, y)
    return True


def contract(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """xᵀ g over all rows."""
    if batch:
        return False
    product(low, out, *inputs)
    return True


def product(low: Lowering, out: Array, x: Array, g: Array) -> None:
    """xᵀ g over all leading axes."""
    rows_x, rows_g = flat(x), flat(g)
    if rows_x is None or rows_g is None or order_of(x)[:-1] != order_of(g)[:-1]:
        rows_x, rows_g = (contiguous(low, a) for a in (x, g))
    if out.flags.c_contiguous:
        low.emit(low.xp.dot, rows_x.T, rows_g, out)
    else:
        result = low.temporary(out.shape, out.dtype)
        low.emit(low.xp.dot, rows_x.T, rows_g, result)
        low.emit(low.xp.copyto, out, result)


def contiguous(low: Lowering, array: Array) -> Array:
    """A copy, one row after the other."""
    made = low.temporary(array.shape, array.dtype)
    low.emit(low.xp.copyto, made, array)
    return made.reshape(-1, array.shape[-1])


def concatenate(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """Each part copied to its place."""
    axis = value.settings["axis"] % len(value.shape)
    start = 0
    for x, use in zip(inputs, value.inputs, strict=True):  # some are the same at all steps
        stop = start + use.value.shape[axis]
        low.emit(low.xp.copyto, out[(slice(None),) * (axis + batch) + (slice(start, stop),)], x)
        start = stop
    return True


def stack(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """Each part copied to its place."""
    axis = value.settings["axis"] % len(value.shape) + batch
    for position, x in enumerate(inputs):
        low.emit(low.xp.copyto, out[(slice(None),) * axis + (position, ...)], x)
    return True


def take(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """Rows of a matrix at integers that have been checked not to be negative."""
    if batch or len(inputs) != 2 or inputs[0].ndim != 2 or len(value.settings["index"]) != 1:
        return False
    if low.facts.root(value.inputs[1].value).leaf not in low.safe:
        return False
    weight, ids = inputs
    rows = flat(out)
    if rows is None or not rows.flags.c_contiguous or not weight.flags.c_contiguous:
        return False
    order = order_of(out)[:-1]
    ordered = ids.transpose(order)
    listed = low.temporary(ordered.shape, ids.dtype)
    low.emit(low.xp.copyto, listed, ordered)
    emit_take(low, weight, listed.reshape(-1), 0, rows)
    return True


def pick(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """The elements at ids along the last axis, which are checked not to be negative."""
    x, ids = inputs
    where = flat_positions(low, value.inputs[1].value, x, ids)
    if where is None or out.dtype != x.dtype:
        return False
    emit_take(low, memory_of(x), where, None, out)
    return True


def emit_take(low: Lowering, x: Array, ids: Array, axis: int | None, out: Array) -> None:
    """Elements at ids that are in range: NumPy need not look at them before it writes."""
    mode = () if low.xp is not np else ("clip",)  # CuPy: there is none, it never looks
    low.emit(low.xp.take, x, ids, axis, out, *mode)


def scatter(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """Zeros, but for the elements at ids along the last axis."""
    g, ids = inputs
    where = flat_positions(low, value.inputs[1].value, out, ids)
    if where is None or batch:
        return False
    low.emit(low.xp.copyto, out, 0)
    low.emit(memory_of(out).__setitem__, where, g)
    return True


def scatter_add(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> bool:
    """Something else, and numbers added to its elements at ids along the last axis."""
    x, g, ids = inputs
    where = flat_positions(low, value.inputs[2].value, out, ids)
    if where is None or batch:
        return False
    if address(x) != address(out):
        low.emit(low.xp.copyto, out, x)
    low.emit(add_at, memory_of(out), where, g)
    return True


def add_at(x: Array, where: Array, g: Array) -> None:
    """Add to elements, each of them once."""
    x[where] += g


def flat_positions(low: Lowering, source: Value, x: Array, ids: Array) -> Array | None:
    """Where in the memory of an array the elements at ids along its last axis are."""
    order = order_of(x)
    filled = x.transpose(order).flags.c_contiguous and order[-1] == x.ndim - 1
    if not filled or source.leaf not in low.safe or ids.shape != x.shape[:-1]:
        return None
    xp = low.xp
    first = xp.zeros(ids.shape, "int64")
    for axis, length in enumerate(ids.shape):
        stride = x.strides[axis] // x.itemsize
        first += (xp.arange(length) * stride).reshape(-1, *(1,) * (ids.ndim - 1 - axis))
    where = low.temporary(ids.shape, "int64")
    low.emit(xp.add, ids, first, where)
    return where


def memory_of(x: Array) -> Array:
    """An array without gaps, as it lies in memory."""
    return x.transpose(order_of(x)).reshape(-1)


def fallback(low: Lowering, value: Value, out: Array, inputs: list[Any], batch: bool) -> None:
    """Any operation: its own forward, and a copy of what it gives."""
    assert value.op is not None
    forward = partial(value.op.forward, low.xp, **value.settings)
    if not batch:
        low.emit(into, out, forward, *inputs)
        return
    for k in range(out.shape[0]):
        timed = [u.shift is not None for u in value.inputs]
        one_step = [x[k, ...] if t else x for x, t in zip(inputs, timed, strict=True)]
        low.emit(into, out[k, ...], forward, *one_step)


def into(out: Array, forward: Callable[..., Array], *inputs: Array) -> None:
    """Compute, and copy the result to where it belongs."""
    out[...] = forward(*inputs)


KERNELS: dict[str, Kernel] = {
    **dict.fromkeys(UFUNCS, ufunc),
    "sigmoid": sigmoid,
    "relu": relu,
    "cast": copy,
    "as_float": copy,
    "detach": copy,
    "transpose": view_copy,
    "broadcast_to": view_copy,
    "reshape": reshape,
    "where": where,
    "matmul": matmul,
    "contract": contract,
    "sum": reduction,
    "mean": reduction,
    "max": reduction,
    "min": reduction,
    "sum_to": sum_to,
    "log_softmax": log_softmax,
    "softmax": softmax,
    "concatenate": concatenate,
    "stack": stack,
    "getitem": take,
    "pick": pick,
    "scatter": scatter,
    "scatter_add": scatter_add,
}
