"""Elements that are put among zeros, only to be added to something of that shape."""

from __future__ import annotations

from typing import Any

from tinygradrnn.compiler.passes.regroup import readers_of
from tinygradrnn.compiler.passes.simplify import refresh
from tinygradrnn.compiler.values import Rolled, Value
from tinygradrnn.ops import multiply, negative, scatter, subtract
from tinygradrnn.ops.base import Op
from tinygradrnn.recording import Array


def _forward(xp: Any, x: Array, g: Array, ids: Array) -> Array:
    return x + scatter.forward(xp, xp.broadcast_to(g, ids.shape), ids, size=x.shape[-1])


scatter_add = Op("scatter_add", _forward, label="+ to id")


def add_scattered(rolled: Rolled) -> int:
    """Scattered g − y r: −y r with g added where it belongs, as in a cross-entropy's gradient."""
    readers = readers_of(rolled)
    count = 0
    for value in rolled.values:
        if value.op is not subtract:
            continue
        put, scaled = (use.value for use in value.inputs)
        whole = all(len(readers[id(v)]) == 1 and v.shape == value.shape for v in (put, scaled))
        fits = put.op is scatter and scaled.op is multiply and value.span == put.span == scaled.span
        if not whole or not fits or any(use.shift for use in value.inputs) or _ends(put, scaled):
            continue
        few = [k for k, use in enumerate(scaled.inputs) if use.value.shape[-1:] == (1,)]
        if not few or scaled.inputs[few[0]].value.is_number:
            continue
        factor = scaled.inputs[few[0]]
        if _ends(factor.value):
            continue
        minus = Value("op", factor.value.shape, factor.value.dtype, factor.value.span, negative)
        minus.inputs = [factor._replace(shift=None if minus.span is None else 0)]
        scaled.inputs = list(scaled.inputs)
        scaled.inputs[few[0]] = factor._replace(value=minus)
        value.op, value.inputs = scatter_add, [value.inputs[1], *put.inputs]
        count += 1
    refresh(rolled)
    return count


def _ends(*values: Value) -> bool:
    return any(value.before is not None or value.after is not None for value in values)
