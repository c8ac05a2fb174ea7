"""The matrix product."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

from tinygradrnn.ops.base import Op
from tinygradrnn.tensors import Tensor

Shape = tuple[int, ...]


class Product(NamedTuple):
    """A gradient xᵀ g that is still to be computed.

    Every time step sends one to the same weights. The engine joins their rows, so that one product
    with many rows takes the place of many with few, and of as many sums of whole matrices.
    """

    x: Any
    g: Any

    @property
    def shape(self) -> Shape:
        return (self.x.shape[-1], self.g.shape[-1])

    def computed(self) -> Any:
        return contract(*self)


class Carried(NamedTuple):
    """A gradient g yᵀ that is still to be computed.

    The inputs of all time steps are known before the loop, so their gradients wait for each other:
    they are computed as the rows of one product.
    """

    g: Any
    y: Any

    @property
    def shape(self) -> Shape:
        return (self.g.shape[0], self.y.shape[0])

    def computed(self) -> Any:
        return by_transpose(*self)


def _left(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂L/∂x of x @ y: g yᵀ."""
    if y.ndim == g.ndim == 2 and not isinstance(g, Tensor):
        return by_transpose(g, y)
    if y.ndim == 1:
        return g[..., None] * y if x.ndim > 1 else g * y
    if x.ndim == 1 and y.ndim > 2:
        return (g[..., None, :] * y).sum(axis=-1)
    return g @ y.swapaxes(-1, -2)


def by_transpose(g: Any, y: Any) -> Any:
    """The product g yᵀ of two matrices, as arrays."""
    if 8 <= len(g) <= len(y) // 4:
        return y.dot(g.T).T.copy()  # the same; BLAS is slower with a few rows on the left
    return g.dot(y.T)


def _right(g: Any, out: Any, x: Any, y: Any) -> Any:
    """∂L/∂y of x @ y: xᵀ g, the rows of all batches in one product where y is one matrix."""
    if y.ndim == 1:
        return g * x if x.ndim == 1 else g[..., None] * x
    if x.ndim == 1:
        return x[:, None] * g[..., None, :]
    return Product(x, g) if y.ndim == 2 else x.swapaxes(-1, -2) @ g


def _problem(x: Shape, y: Shape) -> str | None:
    if not x or not y:
        return "both need at least one axis; for a number write *"
    rows = y[-2] if len(y) > 1 else y[0]
    if x[-1] != rows:
        return (
            f"the last axis of the first ({x[-1]}) must equal the "
            f"{'first' if len(y) < 3 else 'second last'} axis of the second ({rows})"
        )
    return f"the leading axes {x[:-2]} and {y[:-2]} do not broadcast"


def _contract(xp: Any, x: Any, g: Any) -> Any:
    if x.ndim == 2:
        return x.T @ g
    rows = prod(x.shape[:-1])
    return x.reshape(rows, x.shape[-1]).T @ g.reshape(rows, g.shape[-1])


def _matmul(xp: Any, x: Any, y: Any) -> Any:
    if getattr(x, "ndim", 0) == getattr(y, "ndim", 0) == 2:  # a number has no axes
        return x.dot(y)  # the same; quicker for small ones, but NumPy fills it with zeros first
    return x @ y


contract: Op = Op(  # xᵀ g, summed over all rows of all batches in one product
    "contract",
    _contract,
    lambda d, out, x, g: g @ d.swapaxes(-1, -2),
    lambda d, out, x, g: x @ d,
    label="ᵀ@",
)
matmul = Op("matmul", _matmul, _left, _right, label="@", problem=_problem)
