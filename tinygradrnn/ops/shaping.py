"""Operations that move values without changing them: shape, order, joining, backend."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from tinygradrnn.backend import Backend, backend_of, load_backend
from tinygradrnn.ops.base import Op
from tinygradrnn.recording import Array

Shape = tuple[int, ...]


def _reshape_problem(old: Shape, shape: Shape) -> str | None:
    return f"{prod(old)} elements do not fit the shape {tuple(shape)}"


reshape: Op = Op(
    "reshape",
    lambda xp, x, shape: x.reshape(shape),
    lambda g, y, x, shape: reshape(g, shape=x.shape),
    problem=_reshape_problem,
)


def _untransposed(g: Any, y: Any, x: Any, axes: Shape | None) -> Any:
    if axes is None:
        return transpose(g, axes=None)
    inverse = tuple(sorted(range(len(axes)), key=lambda i: axes[i] % len(axes)))
    return transpose(g, axes=inverse)


transpose: Op = Op(
    "transpose",
    lambda xp, x, axes: x.transpose(axes),
    _untransposed,
    label="ᵀ",
    problem=lambda shape, axes: f"{axes} is not an order of its {len(shape)} axes",
)
SMALL = 4096  # elements; NumPy takes longer to make a view of fewer than to write them


def _broadcast_to(xp: Any, x: Array, shape: Shape) -> Array:
    if prod(shape) > SMALL or x.ndim > len(shape):
        return xp.broadcast_to(x, shape)
    y = xp.empty(shape, x.dtype)
    y[...] = x
    return y


broadcast_to = Op(
    "broadcast_to",
    _broadcast_to,
    lambda g, y, x, shape: g,  # the engine sums it back
    label="broadcast",
    problem=lambda old, shape: f"it does not broadcast to the shape {tuple(shape)}",
)


def _sum_to(xp: Any, x: Array, shape: Shape) -> Array:
    if x.size == prod(shape):
        return x.reshape(shape)
    extra = len(x.shape) - len(shape)
    repeated = tuple(i + extra for i, n in enumerate(shape) if n == 1 and x.shape[i + extra] != 1)
    return x.sum(axis=(*range(extra), *repeated), keepdims=True).reshape(shape)


sum_to = Op(
    "sum_to",
    _sum_to,
    lambda g, y, x, shape: broadcast_to(g, shape=x.shape),
    label="Σ",
)


def _part(k: int, g: Any, y: Any, xs: Sequence[Any], axis: int) -> Any:
    axis %= len(g.shape)
    start = 0
    for x in xs[:k]:
        start += x.shape[axis]
    return g[(slice(None),) * axis + (slice(start, start + xs[k].shape[axis]),)]


def no_axis(axis: int, ndim: int) -> str | None:
    """Say so, if an array of that many axes does not have this one."""
    if -ndim <= axis < ndim:
        return None
    there_are = f"the axes are 0 to {ndim - 1}" if ndim else "a single number has none"
    return f"there is no axis {axis}; {there_are}"


def _concatenate_problem(*shapes: Shape, axis: int) -> str | None:
    missing = no_axis(axis, len(shapes[0]))
    return missing or f"the shapes must be equal except on axis {axis}"


def _stack_problem(*shapes: Shape, axis: int) -> str | None:
    if len(set(shapes)) > 1:
        return "the shapes must all be equal"
    return no_axis(axis, len(shapes[0]) + 1)


def _stack(xp: Any, *xs: Array, axis: int) -> Array:
    shape = xs[0].shape
    axis += (len(shape) + 1) * (axis < 0)
    if not 0 <= axis < len(shape) or any([x.shape != shape for x in xs]):
        return xp.stack(xs, axis=axis)
    joined = xp.concatenate(xs, axis=axis)  # the same; xp.stack gives each array an axis first
    return joined.reshape((*shape[:axis], len(xs), *shape[axis:]))


concatenate = Op(
    "concatenate",
    lambda xp, *xs, axis: xp.concatenate(xs, axis=axis),
    each=_part,
    label="[ ; ]",
    problem=_concatenate_problem,
)
stack = Op(
    "stack",
    _stack,
    each=lambda k, g, y, xs, axis: g[(slice(None),) * (axis % len(g.shape)) + (k,)],
    problem=_stack_problem,
)
pad = Op(
    "pad",
    lambda xp, x, widths, value: xp.pad(x, widths, mode="constant", constant_values=value),
    lambda g, y, x, widths, value: g[
        tuple(slice(before, before + n) for (before, _), n in zip(widths, x.shape, strict=True))
    ],
)


def _transfer(xp: Any, x: Array, backend: str | Backend) -> Array:
    return load_backend(backend, "Tensor.to()").asarray(backend_of(x).to_numpy(x))


def _back(g: Any, y: Any, x: Any, backend: str | Backend) -> Any:
    return transfer(g, backend=backend_of(x.node.value if hasattr(x, "node") else x))


transfer: Op = Op("transfer", _transfer, _back, label="to")
