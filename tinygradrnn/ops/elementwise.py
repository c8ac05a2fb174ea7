"""Functions of one argument, element by element."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygradrnn.ops.base import Op
from tinygradrnn.recording import Array

exp = Op("exp", lambda xp, x: xp.exp(x), lambda g, y, x: g * y)
log = Op("log", lambda xp, x: xp.log(x), lambda g, y, x: g / x)
sqrt = Op("sqrt", lambda xp, x: xp.sqrt(x), lambda g, y, x: 0.5 * g / y, label="√")
sign = Op("sign", lambda xp, x: xp.sign(x))
absolute = Op("abs", lambda xp, x: abs(x), lambda g, y, x: g * sign(x), label="|·|")
tanh = Op("tanh", lambda xp, x: xp.tanh(x), lambda g, y, x: g * (1 - y * y))


# Below the first, e⁻ˣ overflows: NumPy would warn, and CuPy has no errstate. The bound changes
# nothing that the dtype can hold. It and 1 have the array's dtype, so that NumPy converts nothing.
LOWEST = {
    np.dtype(kind): (kind(low), kind(1))
    for kind, low in ((np.float16, -11), (np.float32, -88), (np.float64, -709))
}


def _sigmoid(xp: Any, x: Array) -> Array:
    low, one = LOWEST.get(x.dtype, (-709.0, 1))
    y = xp.exp(-xp.maximum(x, low))
    y += one
    return xp.reciprocal(y)  # of large arrays quicker than 1 / y


sigmoid = Op("sigmoid", _sigmoid, lambda g, y, x: g * (y * (1 - y)), label="σ")
softplus = Op(
    "softplus",
    lambda xp, x: xp.maximum(x, 0) + xp.log1p(xp.exp(-abs(x))),
    lambda g, y, x: g * sigmoid(x),
    label="log(1 + exp)",
)
relu = Op("relu", lambda xp, x: xp.maximum(x, 0), lambda g, y, x: g * (x > 0), label="ReLU")
leaky_relu = Op(
    "leaky_relu",
    lambda xp, x, slope: xp.where(x > 0, x, slope * x),
    lambda g, y, x, slope: g * leak(x, slope=slope),
    label="leaky ReLU",
)
leak: Op = Op("leak", lambda xp, x, slope: xp.where(x > 0, 1.0, slope).astype(x.dtype))
cast = Op(
    "cast",
    lambda xp, x, dtype: x.astype(dtype),
    lambda g, y, x, dtype: g.astype(x.dtype),
)
