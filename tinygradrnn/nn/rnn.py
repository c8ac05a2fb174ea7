"""RNN: the one time loop, which unrolls any cell into an explicit graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinygradrnn import functional as F
from tinygradrnn import ops
from tinygradrnn.arrays import TensorLike
from tinygradrnn.collector import without_collector
from tinygradrnn.lengths import Lengths, checked_lengths, chosen, last_of, without_padding
from tinygradrnn.nn.ahead import Sequence
from tinygradrnn.nn.cells.base import (
    Cell,
    check_input,
    check_step,
    checked_state,
    equations_of,
)
from tinygradrnn.nn.modules import Module, Parameter, held
from tinygradrnn.nn.states import State, describe, map_state, name_nodes, named_tensors
from tinygradrnn.recording import cell_scope, timestep
from tinygradrnn.tensors import Tensor, as_tensor, tensor

DROPPED = "x × mask"  # what pictures call an input that was masked before it was read


class RNNOutput:
    """What a recurrent layer returns; unpacks as ``y, state = rnn(x)``.

    Attributes
    ----------
    y : Tensor (B, T, H)
        The outputs of all steps (RNN* of note set 000), zero past a sequence's length.
    last : Tensor (B, H)
        Each sequence's own last output (RNN of note set 000); for a layer that runs backwards the
        one at step 1, where it ends; for a bidirectional one both.
    state : state
        The final state, to be passed back in: of the structure of ``initial_state``.
    layers : tuple of RNNOutput
        Of a stacked layer: the output of every layer.
    """

    def __init__(
        self, y: Tensor, last: Tensor, state: State, layers: tuple[RNNOutput, ...] = ()
    ) -> None:
        self.y, self.last, self.state, self.layers = y, last, state, layers

    def __iter__(self) -> Iterator[Any]:
        return iter((self.y, self.state))

    def __repr__(self) -> str:
        return f"RNNOutput(y {self.y.shape}, last {self.last.shape}, state {describe(self.state)})"


class RNN(Module):
    """A cell applied at every time step: s_t = R(s_{t−1}, x_t), y_t = O(s_t), t = 1…T.

    Parameters
    ----------
    cell : Cell
        A built-in one or your own: anything with ``transition``, ``output``, ``initial_state``,
        best a subclass of :class:`Cell`.
    reverse : bool
        Read from the last step to the first (each sequence from its own last step).
    learn_initial : bool
        Train the initial state (its floats, not a clock), starting from the cell's.
    recurrent_dropout : float
        Probability of dropping units of the hidden state (not the memory) where it enters the
        transition, one mask per sequence kept over time (Gal & Ghahramani 2016), while training.
    """

    takes_lengths = True

    one_row = True

    def __init__(
        self,
        cell: Cell,
        *,
        reverse: bool = False,
        learn_initial: bool = False,
        recurrent_dropout: float = 0.0,
    ) -> None:
        for method in ("transition", "output", "initial_state"):
            if not callable(getattr(cell, method, None)):
                raise TypeError(
                    f"RNN: a cell needs transition(state, x), output(state) and "
                    f"initial_state(batch); {type(cell).__name__} lacks {method}"
                )
        if not 0 <= recurrent_dropout < 1:
            raise ValueError(
                f"recurrent_dropout must be at least 0 and below 1, got {recurrent_dropout}"
            )
        self.cell = cell
        self.reverse = reverse
        self.recurrent_dropout = recurrent_dropout
        self.initial: tuple[Parameter, ...] = ()
        if learn_initial:
            self.initial = tuple(
                Parameter(tensor.data, name=f"{name}_0")
                for name, tensor in named_tensors(cell.initial_state(1))
                if tensor.dtype.kind == "f"  # not a clock
            )

    def forward(
        self, x: TensorLike, state: State = None, lengths: Any = None, *, reverse: bool = False
    ) -> RNNOutput:
        """Unroll over x.

        Parameters
        ----------
        x : Tensor (B, T, F)
        state : state, optional
            s_0; the cell's initial state when None.
        lengths : B integers in 1…T, optional
            How many steps of each sequence count. Past them the state stands still, y is zero, and
            x is not looked at.
        reverse : bool
            Run against the layer's own direction (for :class:`Bidirectional`).

        Returns
        -------
        RNNOutput
        """
        x = as_tensor(x)
        check_input(self.cell, x, ("B", "T", "F"))
        steps = x.shape[1]
        valid = checked_lengths(lengths, x)
        x = without_padding(x, valid)
        backwards = self.reverse != reverse
        state = self._start(state, x)
        ys: list[Any] = [None] * steps
        order = range(steps - 1, -1, -1) if backwards else range(steps)
        variant = getattr(self.cell, "variant", "")
        equations = equations_of(self.cell, backwards)
        name = type(self.cell).__name__
        with without_collector(), cell_scope(name, variant, backwards, equations):
            dropped = self._mask(state)
            xs = Sequence(x)
            for t in order:
                with timestep(t + 1):
                    state, ys[t] = self._step(state, dropped, xs, t, valid)
        y = F.stack(ys, axis=1)
        return RNNOutput(y, ys[0] if backwards else last_of(y, valid), state)

    def _step(
        self, state: State, dropped: Tensor | None, xs: Sequence, t: int, valid: Lengths | None
    ) -> tuple[State, Tensor]:
        x, x_t = xs.x, xs.step(t)
        if x_t.node.order > x.node.order:  # a slice, not what the layer below made
            name_nodes(x_t, DROPPED if x.name == DROPPED else "x")
        entering = state if dropped is None else with_hidden(state, hidden(state) * dropped)
        new = self.cell.transition(entering, x_t)
        y = self.cell.output(new)
        if t in (0, x.shape[1] - 1):  # the first step of either direction
            check_step(self.cell, state, new, y, x.shape[0])
        name_nodes(new)
        if valid is not None and not valid.all_run(t):
            runs = valid.running(t)
            new = map_state(lambda after, before: chosen(runs, after, before), new, state)
            y = chosen(runs, y, 0.0)
            name_nodes(new)
        return new, y

    def _start(self, state: State, x: Tensor) -> State:
        batch = x.shape[0]
        if state is None and self.initial:
            learned = iter(self.initial)
            return map_state(
                lambda start: (
                    ops.broadcast_to(next(learned), shape=start.shape)
                    if start.dtype.kind == "f"
                    else start
                ),
                self.cell.initial_state(batch),
            )
        start = checked_state(self.cell, state, batch)
        if state is None:  # of the dtype that all later states have
            start = map_state(lambda zero: widened(zero, x.dtype), start)
        name_nodes(start)
        return start

    def _mask(self, state: State) -> Tensor | None:
        if not (self.training and self.recurrent_dropout):
            return None
        mask = F.dropout_mask(hidden(state), self.recurrent_dropout)
        mask.name = "recurrent dropout mask"
        return mask

    def _parts(self) -> Iterator[tuple[str, Parameter | Module]]:
        yield from super()._parts()
        if not isinstance(self.cell, Module):  # a plain object: its parameters are trained too
            for name, value in vars(self.cell).items():
                yield from held(f"cell.{name}", value)


def hidden(state: State) -> Tensor:
    """The part of a state that recurrent dropout masks: h where there is one, else the first."""
    if not isinstance(state, tuple):
        return as_tensor(state)
    return hidden(state[_hidden_position(state)])


def with_hidden(state: State, value: Tensor) -> State:
    """The state with its hidden part replaced."""
    if not isinstance(state, tuple):
        return value
    parts = list(state)
    position = _hidden_position(state)
    parts[position] = with_hidden(parts[position], value)
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def _hidden_position(state: tuple[Any, ...]) -> int:
    fields = getattr(state, "_fields", ())
    return fields.index("h") if "h" in fields else 0


def widened(start: Tensor, dtype: Any) -> Tensor:
    """An initial state in float64 where the inputs are, though the weights are float32."""
    known = start.dtype
    wider = known.kind == "f" and dtype.kind == "f" and dtype.itemsize > known.itemsize
    if not wider or start.requires_grad:
        return start
    return tensor(start, dtype=dtype, name=start.name)
