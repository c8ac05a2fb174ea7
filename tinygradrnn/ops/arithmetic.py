"""Arithmetic, comparison and choice, element by element; shapes broadcast as in NumPy."""

from __future__ import annotations

import math
from typing import Any

from tinygradrnn.ops.base import Op
from tinygradrnn.ops.elementwise import log


def broadcast_problem(*shapes: tuple[int, ...], **settings: Any) -> str | None:
    """Name the first axis, from the right, on which the shapes do not broadcast."""
    for back in range(1, max(map(len, shapes)) + 1):
        sizes = {shape[-back] for shape in shapes if len(shape) >= back and shape[-back] != 1}
        if len(sizes) > 1:
            first, second = sorted(sizes)[:2]
            return (
                f"the shapes do not broadcast: axis {-back} has sizes {first} and {second}, "
                "which must be equal or 1"
            )
    return None


add = Op(
    "add",
    lambda xp, x, y: x + y,
    lambda g, out, x, y: g,
    lambda g, out, x, y: g,
    label="+",
    problem=broadcast_problem,
)
subtract = Op(
    "subtract",
    lambda xp, x, y: x - y,
    lambda g, out, x, y: g,
    lambda g, out, x, y: -g,
    label="−",
    problem=broadcast_problem,
)
multiply = Op(
    "multiply",
    lambda xp, x, y: x * y,
    lambda g, out, x, y: g * y,
    lambda g, out, x, y: g * x,
    label="×",
    problem=broadcast_problem,
)
divide = Op(
    "divide",
    lambda xp, x, y: x / y,
    lambda g, out, x, y: g / y,
    lambda g, out, x, y: -g * out / y,
    label="÷",
    problem=broadcast_problem,
)
power = Op(
    "power",
    lambda xp, x, y: x**y,
    lambda g, out, x, y: g * y * x ** _one_less(y),
    lambda g, out, x, y: g * out * _log(x),
    label="^",
    problem=broadcast_problem,
)


def _one_less(y: Any) -> Any:
    """The exponent of the derivative; 1 for y = 0, where 0 · 0⁻¹ would be NaN."""
    if hasattr(y, "shape"):
        return where(y == 0, 1.0, y - 1)
    return y - 1 if y else 1


def _log(x: Any) -> Any:
    """The logarithm of a base; 0 for x ≤ 0: 0^y is flat in y."""
    if hasattr(x, "shape"):
        return log(where(x > 0, x, 1.0))
    return math.log(x) if x > 0 else 0.0


negative = Op("negative", lambda xp, x: -x, lambda g, out, x: -g, label="−")

maximum = Op(
    "maximum",
    lambda xp, x, y: xp.maximum(x, y),
    lambda g, out, x, y: g * share(x, out, y),
    lambda g, out, x, y: g * share(y, out, x),
    label="max",
    problem=broadcast_problem,
)
minimum = Op(
    "minimum",
    lambda xp, x, y: xp.minimum(x, y),
    lambda g, out, x, y: g * share(x, out, y),
    lambda g, out, x, y: g * share(y, out, x),
    label="min",
    problem=broadcast_problem,
)
share: Op = Op(  # 1 where x was taken, ½ where both were equal, else 0
    "share", lambda xp, x, out, other: ((x == out) * 1.0 / (1.0 + (x == other))).astype(out.dtype)
)

greater = Op("greater", lambda xp, x, y: x > y, label=">", problem=broadcast_problem)
greater_equal = Op("greater_equal", lambda xp, x, y: x >= y, label="≥", problem=broadcast_problem)
less = Op("less", lambda xp, x, y: x < y, label="<", problem=broadcast_problem)
less_equal = Op("less_equal", lambda xp, x, y: x <= y, label="≤", problem=broadcast_problem)
equal = Op("equal", lambda xp, x, y: x == y, label="=", problem=broadcast_problem)
not_equal = Op("not_equal", lambda xp, x, y: x != y, label="≠", problem=broadcast_problem)

where: Op = Op(
    "where",
    lambda xp, condition, x, y: xp.where(condition, x, y),
    None,
    lambda g, out, condition, x, y: where(condition, g, 0.0),
    lambda g, out, condition, x, y: where(condition, 0.0, g),
    problem=broadcast_problem,
)
clip = Op(
    "clip",
    lambda xp, x, low, high: xp.clip(x, low, high),
    lambda g, out, x, low, high: where((x >= low) * (x <= high), g, 0.0),
)
