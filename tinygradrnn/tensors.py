"""Tensor: a handle on a node, with Python's operators.

This is the one file that looks down: its operators call the operations of ``ops``, which are
written in terms of tensors. The import stands at the end of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

import numpy as np

from tinygradrnn.arrays import TensorLike, require_float, require_real, to_array
from tinygradrnn.backend import backend_of, backend_of_type, get_backend, load_backend
from tinygradrnn.handles import Handle, Shape
from tinygradrnn.ranges import leaf_on
from tinygradrnn.recording import Array, Leaf, no_grad, state


class Tensor(Handle):
    """An array together with the node that made it.

    Made by :func:`tensor`, or by an operation on other tensors. A tensor that needs a gradient
    remembers how it was made; the graph lives as long as somebody holds its result.
    """

    __slots__ = ()
    __array_ufunc__ = None  # so that ndarray + Tensor reaches Tensor.__radd__
    __hash__ = object.__hash__

    # ---------------------------------------------------------------- what it holds

    @property
    def data(self) -> Array:
        """The array itself, on its backend, not copied.

        Assigning replaces a leaf's value in place (same shape; the dtype is kept), and graphs
        recorded before are then stale. Writing into the array by index goes unseen; assign.
        """
        if state.capture is not None:
            state.capture.reads(self.node)
        return self.node.value

    @data.setter
    def data(self, value: TensorLike) -> None:
        node = self.node
        if not isinstance(node, Leaf):
            raise TypeError(
                f"data: {node.describe()} was computed, so its value cannot be assigned; only a "
                "leaf's can. Write x.detach() first."
            )
        if state.capture is not None and isinstance(value, Tensor) and value.shape == node.shape:
            with no_grad():
                new = value.astype(node.value.dtype)
            state.capture.assign(node, "value", new)
            return
        array = backend_of(node.value).asarray(to_array(value), dtype=node.value.dtype)
        if array.shape != node.shape:
            raise ValueError(
                f"data: {node.describe()} cannot take a value of shape {array.shape}; "
                f"expected {node.shape}"
            )
        node.replace_value(array.copy())  # never an array that the user goes on to use

    @property
    def grad(self) -> Tensor | None:
        """The gradient accumulated by ``backward()`` on a leaf; None before, and elsewhere.

        For the gradient of an intermediate result use ``tg.grad(loss, [h])``.
        """
        if not isinstance(self.node, Leaf):
            return None
        return self.node.grad if state.capture is None else state.capture.gradient(self.node)

    @grad.setter
    def grad(self, value: TensorLike | None) -> None:
        node = self.node
        if not isinstance(node, Leaf):
            raise TypeError(f"grad: {node.describe()} was computed; only leaves keep a gradient")
        if value is not None:
            value = as_tensor(value)
            if value.shape != node.shape:
                raise ValueError(
                    f"grad: {node.describe()} cannot take a gradient of shape {value.shape}"
                )
        if state.capture is not None:
            state.capture.sets(node)
        node.grad = value

    @property
    def name(self) -> str | None:
        """What messages and drawings call it."""
        return self.node.name

    @name.setter
    def name(self, value: str | None) -> None:
        self.node.name = value

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow into it. Can be switched on a leaf only."""
        return self.node.requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if not isinstance(self.node, Leaf):
            raise TypeError(
                f"requires_grad: {self.node.describe()} was computed; switch it on the leaves "
                "that it was computed from, or write x.detach()"
            )
        if value:
            require_float(self.dtype, "requires_grad")
            if self.node.handle is None:
                self.node.belongs_to(self)
        self.node.requires_grad = bool(value)

    def detach(self) -> Tensor:
        """The same values (not copied) as a leaf that needs no gradient: cuts the graph here."""
        node = self.node
        if state.capture is not None:
            return Tensor(state.capture.record(ops.detached, [node], {}, node.value))
        return Tensor(Leaf(node.value, name=node.name))

    def to(self, backend: str) -> Tensor:
        """The tensor on another backend (``"numpy"``, ``"cupy"`` …); itself if it is there.

        The move is recorded, so gradients flow back through it.
        """
        target = load_backend(backend, "Tensor.to()")
        if backend_of(self.node.value) is target:
            return self
        return ops.transfer(self, backend=target)

    def astype(self, dtype: Any) -> Tensor:
        """The tensor in another dtype; the gradient comes back in this one's."""
        dtype = require_real(dtype)
        source = self if dtype.kind == "f" else self.detach()  # rounding has no gradient
        return ops.cast(source, dtype=dtype)

    def backward(self, grad: TensorLike = None) -> None:
        """Add ∂self/∂leaf to ``.grad`` of every leaf that requires it.

        Parameters
        ----------
        grad : tensor or array of the same shape, optional
            ∂L/∂self; needed where ``self`` is not a single number.

        Raises
        ------
        ValueError
            For a tensor of several elements without ``grad``, or one that needs no gradient.
        StaleGraphError
            If a parameter was changed after the graph was recorded.
        """
        from tinygradrnn import gradients  # not loaded before it is needed: it stands below

        gradients.backward(self, grad)

    # ---------------------------------------------------------------- operators

    def __add__(self, other: TensorLike) -> Tensor:
        return ops.add.binary(self, other)

    def __radd__(self, other: TensorLike) -> Tensor:
        return ops.add.binary(other, self)

    def __sub__(self, other: TensorLike) -> Tensor:
        return ops.subtract.binary(self, other)

    def __rsub__(self, other: TensorLike) -> Tensor:
        return ops.subtract.binary(other, self)

    def __mul__(self, other: TensorLike) -> Tensor:
        return ops.multiply.binary(self, other)

    def __rmul__(self, other: TensorLike) -> Tensor:
        return ops.multiply.binary(other, self)

    def __truediv__(self, other: TensorLike) -> Tensor:
        return ops.divide.binary(self, other)

    def __rtruediv__(self, other: TensorLike) -> Tensor:
        return ops.divide.binary(other, self)

    def __pow__(self, other: TensorLike) -> Tensor:
        return ops.power.binary(self, other)

    def __rpow__(self, other: TensorLike) -> Tensor:
        return ops.power.binary(other, self)

    def __matmul__(self, other: TensorLike) -> Tensor:
        return ops.matmul.binary(self, other)

    def __rmatmul__(self, other: TensorLike) -> Tensor:
        return ops.matmul.binary(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return ops.absolute(self)

    def __eq__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return NotImplemented if other is None else ops.equal(self, other)

    def __ne__(self, other: TensorLike) -> Tensor:  # type: ignore[override]
        return NotImplemented if other is None else ops.not_equal(self, other)

    def __lt__(self, other: TensorLike) -> Tensor:
        return ops.less(self, other)

    def __le__(self, other: TensorLike) -> Tensor:
        return ops.less_equal(self, other)

    def __gt__(self, other: TensorLike) -> Tensor:
        return ops.greater(self, other)

    def __ge__(self, other: TensorLike) -> Tensor:
        return ops.greater_equal(self, other)

    def __iadd__(self, other: TensorLike) -> Tensor:
        return self._in_place("+=", self + other)

    def __isub__(self, other: TensorLike) -> Tensor:
        return self._in_place("-=", self - other)

    def __imul__(self, other: TensorLike) -> Tensor:
        return self._in_place("*=", self * other)

    def __itruediv__(self, other: TensorLike) -> Tensor:
        return self._in_place("/=", self / other)

    def __ipow__(self, other: TensorLike) -> Tensor:
        return self._in_place("**=", self**other)

    def __imatmul__(self, other: TensorLike) -> Tensor:
        return self._in_place("@=", self @ other)

    def _in_place(self, symbol: str, result: Tensor) -> Tensor:
        """Rebind a computed tensor; change a parameter in place, under ``no_grad()`` only."""
        node = self.node
        if not (isinstance(node, Leaf) and node.requires_grad):
            return result
        if state.place.recording:
            raise TypeError(
                f"{symbol} on {node.describe()}: it is a parameter, and the graph that reads it "
                f"would be wrong. To update it: `with tg.no_grad(): w {symbol} …`; to compute "
                f"with it: `y = w {symbol[:-1]} …`"
            )
        self.data = result
        return self

    # ---------------------------------------------------------------- indexing and shape

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError(
            f"{self.node.describe()} cannot be assigned into: the graph would no longer hold the "
            "values it was computed with. Write F.where(mask, new, x), or build the tensor with "
            "F.stack or F.concatenate; to set a parameter: w.data = array"
        )

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:
            raise TypeError("iteration over a 0-d tensor; write .item() for its value")
        return (self[i] for i in range(self.shape[0]))

    @property
    def T(self) -> Tensor:
        """All axes reversed."""
        return ops.transpose(self, axes=None)

    @property
    def mT(self) -> Tensor:
        """The last two axes swapped: the transposed matrix of each of a batch."""
        return self.swapaxes(-1, -2)

    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """The same values in another shape; one size may be -1."""
        return ops.reshape(self, shape=_one_or_many(shape))

    def transpose(self, *axes: int | Sequence[int]) -> Tensor:
        """The axes in another order; reversed when none are given."""
        return ops.transpose(self, axes=_one_or_many(axes) or None)

    def swapaxes(self, first: int, second: int) -> Tensor:
        """Two axes exchanged."""
        order = list(range(self.ndim))
        try:
            order[first], order[second] = order[second], order[first]
        except IndexError:
            raise ValueError(
                f"swapaxes: {self.node.describe()} has no axes {first} and {second}"
            ) from None
        return ops.transpose(self, axes=tuple(order))

    def sum(self, axis: int | Shape | None = None, keepdims: bool = False) -> Tensor:
        """Σ over ``axis`` (all axes when None)."""
        return ops.sum(self, axis=axis, keepdims=keepdims)

    def mean(self, axis: int | Shape | None = None, keepdims: bool = False) -> Tensor:
        """The mean over ``axis`` (all axes when None)."""
        return ops.mean(self, axis=axis, keepdims=keepdims)

    def max(self, axis: int | Shape | None = None, keepdims: bool = False) -> Tensor:
        """The largest element; equal ones share the gradient equally."""
        return ops.max(self, axis=axis, keepdims=keepdims)

    def min(self, axis: int | Shape | None = None, keepdims: bool = False) -> Tensor:
        """The smallest element; equal ones share the gradient equally."""
        return ops.min(self, axis=axis, keepdims=keepdims)

    # ---------------------------------------------------------------- copies

    def __reduce__(self) -> tuple[Any, ...]:
        """For ``copy.deepcopy`` and pickle: the values and the name, not the graph."""
        if not isinstance(self.node, Leaf):
            raise TypeError(
                f"copy: {self.node.describe()} was computed, and its graph cannot be copied or "
                "pickled; write x.detach() first"
            )
        return _leaf, (self.data, self.name, self.requires_grad)


def _leaf(array: Array, name: str | None, requires_grad: bool) -> Tensor:
    """A leaf around an array, on the backend where the array lives."""
    made = Tensor(Leaf(array, name=name))
    made.requires_grad = requires_grad
    return made


def _one_or_many(numbers: tuple[int | Sequence[int], ...]) -> Shape:
    if len(numbers) == 1 and not isinstance(numbers[0], int | np.integer):
        return tuple(numbers[0])
    return numbers  # type: ignore[return-value]


def as_tensor(data: TensorLike, beside: Tensor | None = None) -> Tensor:
    """The tensor itself, or the data as a leaf that needs no gradient (not copied).

    Host data goes to the active backend, as an index does to that of the tensor ``beside`` it; an
    array of any other one stays where it lives.
    """
    if isinstance(data, Tensor):
        return data
    array = to_array(data)
    owner = backend_of_type.get(type(array))
    stays = owner is not None and owner.name != "numpy"
    backend = get_backend() if beside is None else backend_of(beside.node.value)
    return Tensor(Leaf(array) if stays else leaf_on(array, backend))


def tensor(
    data: TensorLike,
    *,
    requires_grad: bool = False,
    name: str | None = None,
    dtype: Any = None,
) -> Tensor:
    """Make a tensor on the active backend from a copy of the data.

    Parameters
    ----------
    data : array, number or nested list of numbers
        Python floats become float32, the floats of an array keep their dtype.
    requires_grad : bool
        Whether ``backward()`` fills its ``.grad``; floats only.
    name : str, optional
        What messages and drawings call it.
    dtype : optional
        For example ``"float64"``.

    Raises
    ------
    TypeError
        For complex numbers, strings, lists of tensors; for ``requires_grad`` on integers.
    ValueError
        For ragged lists.
    """
    leaf = leaf_on(to_array(data, dtype), get_backend(), name)
    leaf.value = leaf.value.copy()
    made = Tensor(leaf)
    if requires_grad:
        made.requires_grad = True
    return made


from tinygradrnn import ops  # noqa: E402 (ops is written in terms of Tensor, see the top)
