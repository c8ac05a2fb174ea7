"""Indexing, and the one n-ary sum in which gradients meet.

A time step that reads ``x[:, t]`` sends back a gradient for that slice only. Filling it up with
zeros T times would cost O(T²), so the rule of :data:`take` returns a :class:`Part`, and the
engine adds parts in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple

from tinygradrnn.arrays import to_array
from tinygradrnn.backend import backend_of
from tinygradrnn.ops.base import Op
from tinygradrnn.ops.shaping import stack
from tinygradrnn.ranges import Integers, outside, ranged
from tinygradrnn.recording import Array, Leaf, state
from tinygradrnn.tensors import Tensor

Index = tuple[Any, ...]


class Hole(NamedTuple):
    """Stands in an index for the integer array that is given as an argument."""

    position: int


class Part(NamedTuple):
    """A gradient that belongs to ``target[index]`` and is zero elsewhere.

    ``where`` is an index that may hold :class:`Hole` for the integer arrays in ``arrays``.
    """

    values: Any
    where: Index
    arrays: tuple[Any, ...]


def filled(index: Index, arrays: Sequence[Array]) -> Index:
    """The index with its holes filled."""
    if not arrays:
        return index
    return tuple([arrays[i.position] if isinstance(i, Hole) else i for i in index])


def add_part(target: Array, values: Array, index: Index, arrays: Sequence[Array]) -> None:
    """Add values to ``target[index]`` in place; repeated integer indices accumulate."""
    if arrays:
        backend_of(target).scatter_add(target, filled(index, arrays), values)
    elif (view := target[index]).ndim:
        view += values  # target[index] += values would write the sum back once more
    else:
        target[index] += values


take = Op(
    "getitem",
    lambda xp, x, *arrays, index: x[filled(index, arrays)],
    each=lambda k, g, y, xs, index: Part(g, index, tuple(xs[1:])),  # integers get no gradient
    label="slice",
)


def _pick(xp: Any, x: Array, ids: Array) -> Array:
    if ids.shape == x.shape[:-1]:
        rows = x.reshape(ids.size, x.shape[-1])
        return rows[xp.arange(ids.size), ids.reshape(-1)].reshape(ids.shape)
    return xp.take_along_axis(x, ids[..., None], axis=-1)[..., 0]


def _scatter(xp: Any, g: Array, ids: Array, size: int) -> Array:
    rows = xp.zeros((g.size, size), g.dtype)
    if ids.shape != g.shape:
        ids = xp.broadcast_to(ids, g.shape)
    rows[xp.arange(g.size), ids.reshape(-1)] = g.reshape(-1)
    return rows.reshape(*g.shape, size)


pick: Op = Op(
    "pick",
    _pick,
    lambda g, y, x, ids: scatter(g, ids, size=x.shape[-1]),
    None,
    label="x[…, id]",
)
scatter: Op = Op(
    "scatter",
    _scatter,
    lambda g, y, x, ids, size: pick(g, ids),
    None,
    label="to id",
)


def _collect(xp: Any, g: Array, ids: Array, size: int) -> Array:
    rows = xp.arange(prod(ids.shape[:-1]))[:, None]
    total = xp.zeros((rows.size, size), g.dtype)
    flat = (rows.size, ids.shape[-1])
    backend_of(total).scatter_add(total, (rows, ids.reshape(flat)), g.reshape(flat))
    return total.reshape((*ids.shape[:-1], size))


gather: Op = Op(  # several of each row: x (…, V), ids (…, n)
    "gather",
    lambda xp, x, ids: xp.take_along_axis(x, ids, axis=-1),
    lambda g, y, x, ids: collect(g, ids, size=x.shape[-1]),
    None,
    label="x[…, ids]",
)
collect: Op = Op(  # what repeated ids send is summed
    "collect",
    _collect,
    lambda g, y, x, ids, size: gather(g, ids),
    None,
    label="to ids",
)


def _accumulate(
    xp: Any, *operands: Array, places: tuple[tuple[Index | None, int], ...], shape: tuple[int, ...]
) -> Array:
    total = None
    position = 0
    for index, n_arrays in places:
        values, arrays = operands[position], operands[position + 1 : position + 1 + n_arrays]
        position += 1 + n_arrays
        if total is None:
            total = xp.zeros(shape, values.dtype)
        if index is None:
            total += values
        else:
            add_part(total, values, index, arrays)
    return total


def _accumulate_rule(
    k: int, g: Any, y: Any, operands: Sequence[Any], places: Any, shape: tuple[int, ...]
) -> Any:
    position = 0
    for index, n_arrays in places:
        if position == k:
            if index is None:
                return g
            arrays = operands[position + 1 : position + 1 + n_arrays]
            return take(g, *arrays, index=index)
        position += 1 + n_arrays
    return None  # an index


accumulate = Op("accumulate", _accumulate, each=_accumulate_rule, label="Σ")


all_basic = frozenset((int, slice, type(None), type(Ellipsis))).issuperset


def getitem(x: Tensor, index: Any) -> Tensor:
    """``x[index]`` with NumPy's basic and integer-array indexing.

    Raises
    ------
    IndexError
        For an index out of range, too many indices, or one of another kind.
    """
    parts = index if isinstance(index, tuple) else (index,)
    if all_basic(map(type, parts)):
        if x.node.operation is stack:
            return from_stack(x, parts)
        taken = taken_at(x, parts)
        return Tensor(ranged(x.node, taken.node)) if type(x.node) is Integers else taken
    filled_in: list[Any] = []
    arrays: list[Array] = []
    axis = 0
    for position, part in enumerate(parts):
        if part is Ellipsis:
            axis = x.ndim - sum(p is not None for p in parts[position + 1 :])
        elif hasattr(part, "__len__"):
            none = isinstance(part, list) and not part
            given = part.node.value if isinstance(part, Tensor) else part
            array = to_array(given, "int64" if none else None)
            if array.dtype.kind == "b":
                raise IndexError(
                    f"{x.node.describe()} cannot be indexed by a mask: the shape of the result "
                    "would depend on values. Write F.where(mask, x, 0.0), or give the positions: "
                    "x[mask.nonzero()]"
                )
            index_of = part if isinstance(part, Tensor) else array
            if axis < x.ndim:
                check_indices(index_of, x.shape[axis], f"index {position} into {x.node.describe()}")
            part = Hole(len(arrays))
            computed = isinstance(index_of, Tensor) and state.capture is not None
            arrays.append(index_of if computed else backend_of(x.node.value).asarray(array))
        elif part is not None and not isinstance(part, slice):
            part = as_int(part, x)
        axis += part is not None and part is not Ellipsis
        filled_in.append(part)
    return take(x, *arrays, index=tuple(filled_in))


def taken_at(x: Tensor, index: Index) -> Tensor:
    """``x[index]`` with slices and single integers only, which is quicker than a call of take."""
    node = x.node
    try:
        value = node.value[index]
    except IndexError:
        return take(x, index=index)  # to say what is wrong
    if type(value) is not type(node.value):  # NumPy gives a scalar for one element
        return take(x, index=index)
    return take.applied((node,), {"index": index}, value, node.requires_grad)


def from_stack(x: Tensor, index: Index) -> Tensor:
    """``x[index]`` of a stack: where it picks one of the tensors that were stacked, that tensor.

    So ``y[:, t]`` is the very output of step t: drawings show it so, and its gradient does not
    pass through the other steps as zeros. Not so for a leaf, which may be changed in place.
    """
    node = x.node
    axis = node.settings["axis"] % x.ndim
    whole = slice(None)
    picks = len(index) > axis and isinstance(index[axis], int)
    if not picks or any(part != whole for part in index[:axis]):
        return taken_at(x, index)
    position = index[axis]
    if not -len(node.inputs) <= position < len(node.inputs):
        return take(x, index=index)  # to raise what any tensor raises
    source = node.inputs[position]
    if source.is_leaf or source.value.dtype != node.value.dtype:
        return take(x, index=index)
    one = Tensor(source)
    rest = (*index[:axis], *index[axis + 1 :])
    return one if all(part == whole for part in rest) else take(one, index=rest)


def as_int(part: Any, x: Tensor) -> int:
    """An index that is one integer, of whichever type."""
    if isinstance(part, bool) or not hasattr(part, "__index__"):
        raise IndexError(
            f"{x.node.describe()} cannot be indexed by {part!r}; use integers, slices, None, … "
            "or integer arrays"
        )
    number: int = part.__index__()
    return number


def check_indices(array: Array | Tensor, size: int, what: str) -> None:
    """Raise unless the integer array is within -size…size-1 (CuPy would wrap it silently)."""
    if array.dtype.kind not in "iu":
        raise IndexError(f"{what} must be integers, got {array.dtype}")
    check_within(
        array,
        -size,
        size - 1,
        lambda low, high: (
            f"{what} holds values from {low} to {high}; allowed are {-size} to {size - 1}"
        ),
    )


def check_within(
    integers: Array | Tensor, low: int, high: int, message: Callable[[int, int], str]
) -> None:
    """Raise IndexError, with the message for the smallest and largest, unless all are in range."""
    found = outside(integers.node if isinstance(integers, Tensor) else Leaf(integers), low, high)
    if found:
        raise IndexError(message(*found))
    if state.capture is not None and isinstance(integers, Tensor):
        state.capture.check(integers.node, low, high, lambda *found: IndexError(message(*found)))
