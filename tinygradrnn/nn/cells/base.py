"""Cell: one step of a recurrence, R and O of the lecture notes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from tinygradrnn.arrays import TensorLike
from tinygradrnn.backend import backend_of, get_backend
from tinygradrnn.nn.modules import Module
from tinygradrnn.nn.states import State, alike, describe, map_state, name_nodes, same_structure
from tinygradrnn.recording import Leaf, scope
from tinygradrnn.tensors import Tensor, as_tensor


class Cell(Module):
    """One step of a recurrent network (note set 000, after Goldberg 2016).

    s_t = R(s_{t−1}, x_t),  y_t = O(s_t).

    Write your own by subclassing: ``transition`` is R, ``output`` is O, ``initial_state`` is s_0.
    A cell stores no state; it is passed in and out. With :class:`~tinygradrnn.nn.RNN` around it,
    it gets stacking, reversing, lengths, dropout, truncation and drawing.

    Attributes
    ----------
    input_size : int or None
        F, if the cell knows it: then wrong inputs get a clear message.
    equations : dict of str to str
        What a step computes, line by line, for the page that ``step_through`` writes; may be left
        out. The key ties a line to the nodes that compute it: the name of a scope that is opened
        in ``transition`` or ``output``, or of a tensor or a part of the state. For example
        ``{"forget gate": "f_t = σ(x_t @ W_xf + b_f)", "s": "s_t = f_t ⊙ s_{t−1}"}``.
    variant : str
        What the title of a picture says besides the name: ``"reset after"``.
    """

    input_size: int | None = None
    equations: Mapping[str, str] = MappingProxyType({})
    variant = ""

    def transition(self, state: State, x: Tensor) -> State:
        """R: the next state from the state and the input (B, F)."""
        raise TypeError(f"{type(self).__name__} must define transition(state, x)")

    def output(self, state: State) -> Tensor:
        """O: the output (B, …) of a state; the state itself, or the first part of a tuple."""
        while isinstance(state, tuple):
            state = state[0]
        return as_tensor(state)

    def initial_state(self, batch: int) -> State:
        """s_0 for a batch."""
        raise TypeError(f"{type(self).__name__} must define initial_state(batch)")

    def forward(self, x: TensorLike, state: State = None) -> tuple[Tensor, State]:
        """One step: (y_t, s_t) from x_t (B, F) and s_{t−1} (the initial state when None)."""
        x = as_tensor(x)
        check_input(self, x, ("B", "F"))
        state = checked_state(self, state, x.shape[0])
        state = self.transition(state, x)
        name_nodes(state)
        return self.output(state), state

    def zeros(self, *shape: int) -> Tensor:
        """Zeros in the dtype and on the backend of the cell's parameters."""
        first = next(self.named_parameters(), None)
        if first is None:
            return Tensor(Leaf(get_backend().xp.zeros(shape, "float32")))
        like = first[1].node.value
        return Tensor(Leaf(backend_of(like).xp.zeros(shape, like.dtype)))


def check_input(cell: Any, x: Tensor, axes: tuple[str, ...]) -> None:
    """Raise ValueError unless x has these axes, the last of the cell's ``input_size`` if known."""
    wanted = f"({', '.join(axes)})"
    if x.ndim != len(axes) or 0 in x.shape:
        raise ValueError(
            f"{type(cell).__name__}: x must be {wanted} without empty axes, got {x.shape}"
        )
    size = getattr(cell, "input_size", None)
    if size is not None and x.shape[-1] != size:
        raise ValueError(
            f"{type(cell).__name__}: x of shape {x.shape} = {wanted} has {x.shape[-1]} features, "
            f"the cell was made with input_size = {size}"
        )


def checked_state(cell: Any, state: State, batch: int) -> State:
    """The initial state for None; else the one given, if it has the structure and shapes of it.

    Arrays become tensors, and plain tuples the named ones of the initial state.
    """
    expected = cell.initial_state(batch)
    if state is None:
        return expected
    if not alike(state, expected):
        raise ValueError(
            f"{type(cell).__name__}: the state given is {describe(state)}, expected "
            f"{describe(expected)} for a batch of {batch}"
        )
    return map_state(lambda _, given: as_tensor(given), expected, state)


def check_step(cell: Any, before: State, after: State, y: Any, batch: int) -> None:
    """Raise TypeError unless a step of a cell gave a state like the one before, and a tensor y."""
    if not same_structure(after, before):
        raise TypeError(
            f"{type(cell).__name__}: transition gave {describe(after)}, expected tensors in the "
            f"structure of initial_state, {describe(before)}"
        )
    if not isinstance(y, Tensor) or y.shape[:1] != (batch,):
        raise TypeError(
            f"{type(cell).__name__}: output gave {describe(y)}, expected a tensor whose first "
            f"axis is the batch of {batch}"
        )


def equations_of(cell: Any, backwards: bool) -> dict[str, str]:
    """The lines that a cell gives for its step; one that runs backwards comes from step t + 1."""
    lines = getattr(cell, "equations", {})
    if not isinstance(lines, Mapping):
        raise TypeError(
            f"{type(cell).__name__}.equations must be a dict of the name of a scope or a tensor to "
            f"a line of text, got {type(lines).__name__}"
        )
    return {key: line.replace("t−1", "t+1") if backwards else line for key, line in lines.items()}


def affine(*products: str, bias: str | None) -> str:
    """The sum of products and a bias, as a line of :attr:`Cell.equations` writes it."""
    return " + ".join([*products, *([bias] if bias else [])])


def applied(activation: str, to: str) -> str:
    """An activation, as a line of :attr:`Cell.equations` writes it."""
    sign = {"sigmoid": "σ", "relu": "ReLU"}.get(activation, activation)
    return to if activation == "linear" else f"{sign}({to})"


class GatedCell(Cell):
    """A cell whose gates are kept side by side in wide matrices, and are named one by one.

    ``cell.W_xi`` is the block of ``cell.W_x`` that belongs to gate i: read it, differentiate
    through it, assign to it.
    """

    hidden_size: int
    views: dict[str, tuple[str, int]]

    @staticmethod
    def name_views(**storages: str) -> dict[str, tuple[str, int]]:
        """The names of the gates of each storage: ``W_x="ifgo"`` → W_xi, W_xf, W_xg, W_xo."""
        return {
            (storage if "_" in storage else f"{storage}_") + letter: (storage, block)
            for storage, letters in storages.items()
            for block, letter in enumerate(letters)
        }

    def __getattr__(self, name: str) -> Tensor:
        views = vars(self).get("views", {})
        if name not in views or vars(self)[views[name][0]] is None:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        storage, block = views[name]
        return self.block(getattr(self, storage), block)

    def __setattr__(self, name: str, value: Any) -> None:
        views = vars(self).get("views", {})
        if name not in views:
            super().__setattr__(name, value)
            return
        storage, block = views[name]
        parameter = vars(self)[storage]
        if parameter is None:
            raise AttributeError(f"{type(self).__name__} was made without {storage}")
        wanted = self.block(parameter, block).shape
        given = as_tensor(value)
        if given.shape != wanted:
            raise ValueError(f"{name}: got values of shape {given.shape}, expected {wanted}")
        values = parameter.data.copy()
        start = block * self.hidden_size
        values[..., start : start + self.hidden_size] = given.data
        parameter.data = values

    def block(self, x: Tensor, position: int) -> Tensor:
        """The columns of the gate at a position."""
        start = position * self.hidden_size
        return x[..., start : start + self.hidden_size]


def gate(
    name: str, letter: str, activation: Callable[[Tensor], Tensor], z: Callable[[], Tensor]
) -> Tensor:
    """Compute a gate under its scope and name the result, so that pictures can show gates."""
    with scope(name):
        value = activation(z())
    if value.name is None:
        value.name = letter
    return value
