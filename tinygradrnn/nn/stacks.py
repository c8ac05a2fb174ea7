"""Layers of layers: Stacked, Bidirectional, and the short forms Elman, LSTM, GRU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinygradrnn import functional as F
from tinygradrnn.arrays import TensorLike
from tinygradrnn.lengths import checked_lengths, last_of, without_padding
from tinygradrnn.nn.cells import Cell, ElmanCell, GRUCell, LSTMCell
from tinygradrnn.nn.layers import positive
from tinygradrnn.nn.modules import Module
from tinygradrnn.nn.rnn import DROPPED, RNN, RNNOutput
from tinygradrnn.nn.states import State, describe
from tinygradrnn.recording import timestep
from tinygradrnn.tensors import Tensor, as_tensor

MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda a, b: F.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) * 0.5,
    "mul": lambda a, b: a * b,
}


class Bidirectional(Module):
    """Two layers, one reading from each end: y_t = [y→_t ; y←_t] (note set 000, biRNN).

    Parameters
    ----------
    forward, backward : RNN
        Both unreversed: ``backward`` is given each sequence reversed within its length. Its outputs
        stay at the step that they belong to.
    merge : "concat", "sum", "mean" or "mul"
    """

    takes_lengths = True

    one_row = True

    def __init__(self, forward: RNN, backward: RNN, merge: str = "concat") -> None:
        if merge not in MERGES:
            raise ValueError(f"merge: {merge!r} is not one of {', '.join(MERGES)}")
        for name, layer in (("forward", forward), ("backward", backward)):
            if not isinstance(layer, RNN):
                raise TypeError(
                    f"Bidirectional: {name} must be an RNN, got a {type(layer).__name__}; "
                    "write RNN(cell)"
                )
            if layer.reverse:
                raise ValueError(
                    f"Bidirectional: give {name} without reverse=True; it reverses itself"
                )
        if forward is backward:
            raise ValueError("Bidirectional: forward and backward are the same layer; make two")
        self.forward_rnn, self.backward_rnn = forward, backward
        self.merge = merge

    def forward(self, x: TensorLike, state: State = None, lengths: Any = None) -> RNNOutput:
        """(B, T, F) → outputs of both directions; ``state`` is a pair (forward, backward)."""
        x = as_tensor(x)
        ahead, back = _parts(state, 2, "Bidirectional", "a pair (forward, backward)")
        one = self.forward_rnn(x, ahead, lengths)
        two = self.backward_rnn(x, back, lengths, reverse=True)
        merge = MERGES[self.merge]
        if self.merge != "concat" and one.last.shape != two.last.shape:
            raise ValueError(
                f"Bidirectional: merge={self.merge!r} needs outputs of one size, got "
                f"{one.last.shape[-1]} and {two.last.shape[-1]}; merge='concat' takes any"
            )
        ys = []
        for t in range(x.shape[1]):
            with timestep(t + 1):
                ys.append(merge(F.unstacked(one.y, t, 1), F.unstacked(two.y, t, 1)))
        return RNNOutput(F.stack(ys, axis=1), merge(one.last, two.last), (one.state, two.state))


class Stacked(Module):
    """Layers in a grid: layer j reads the outputs of layer j − 1 (note sets 000 and 003).

    Parameters
    ----------
    layers : sequence of RNN or Bidirectional
        The lowest first.
    dropout : float
        Probability of dropping elements of each layer's input while training.
    skip : bool
        The output concatenates the input and every layer's output (as in DeepMoji, Felbo et al.
        2017).
    """

    takes_lengths = True

    def __init__(self, layers: Sequence[Module], dropout: float = 0.0, skip: bool = False) -> None:
        if not layers:
            raise ValueError("Stacked: give at least one layer")
        if not 0 <= dropout < 1:
            raise ValueError(f"Stacked: dropout must be at least 0 and below 1, got {dropout}")
        for position, layer in enumerate(layers):
            if not isinstance(layer, Module) or hasattr(layer, "transition"):
                raise TypeError(
                    f"Stacked: layer {position} is a {type(layer).__name__}; give recurrent "
                    "layers, such as RNN(cell)"
                )
        self.layers = list(layers)
        self.dropout, self.skip = dropout, skip

    def forward(self, x: TensorLike, state: State = None, lengths: Any = None) -> RNNOutput:
        """(B, T, F) → the top layer's outputs; ``state`` is a tuple with one for each layer."""
        x = as_tensor(x)
        if x.ndim != 3:
            raise ValueError(f"{type(self).__name__}: x must be (B, T, F), got {x.shape}")
        lengths = checked_lengths(lengths, x)
        if self.skip or (self.training and self.dropout):
            x = without_padding(x, lengths)
        wanted = f"a tuple of {len(self.layers)} states, one for each layer"
        states = _parts(state, len(self.layers), type(self).__name__, wanted)
        outputs: list[RNNOutput] = []
        for layer, own in zip(self.layers, states, strict=True):
            below = self._dropped(outputs[-1].y if outputs else x)
            outputs.append(layer(below, own, lengths))
        state = tuple([output.state for output in outputs])
        if not self.skip:
            return RNNOutput(outputs[-1].y, outputs[-1].last, state, tuple(outputs))
        ys = []
        for t in range(x.shape[1]):
            with timestep(t + 1):
                parts = [F.unstacked(part, t, 1) for part in (x, *[o.y for o in outputs])]
                ys.append(F.concatenate(parts, axis=-1))
        y = F.stack(ys, axis=1)
        ends = [last_of(x, lengths), *[o.last for o in outputs]]
        return RNNOutput(y, F.concatenate(ends, axis=-1), state, tuple(outputs))

    def _dropped(self, x: Tensor) -> Tensor:
        if not (self.training and self.dropout):
            return x
        kept = []
        for t in range(x.shape[1]):
            with timestep(t + 1):
                kept.append(F.dropout(F.unstacked(x, t, 1), self.dropout))
        dropped = F.stack(kept, axis=1)
        if not dropped.requires_grad:  # then no product with a mask is recorded
            dropped.name = DROPPED
        return dropped


def _parts(state: State, count: int, what: str, wanted: str) -> Sequence[State]:
    if state is None:
        return (None,) * count
    if not isinstance(state, tuple | list) or len(state) != count or hasattr(state, "_fields"):
        raise ValueError(f"{what}: state must be {wanted}, got {describe(state)}")
    return state


def _short_form(
    make: Callable[[int], Cell],
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bidirectional: bool,
    recurrent_dropout: float,
) -> list[Module]:
    positive(num_layers=num_layers)
    layers: list[Module] = []
    size = input_size
    for _ in range(num_layers):
        one = RNN(make(size), recurrent_dropout=recurrent_dropout)
        if bidirectional:
            two = RNN(make(size), recurrent_dropout=recurrent_dropout)
            layers.append(Bidirectional(one, two))
        else:
            layers.append(one)
        size = hidden_size * (2 if bidirectional else 1)
    return layers


class _ShortForm(Stacked):
    """Stacked([Bidirectional …]) of one kind of cell."""

    cell_type: type[Cell]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        **options: Any,
    ) -> None:
        def make(size: int) -> Cell:
            return self.cell_type(size, hidden_size, **options)  # type: ignore[call-arg]

        layers = _short_form(
            make, input_size, hidden_size, num_layers, bidirectional, recurrent_dropout
        )
        super().__init__(layers, dropout=dropout)


class Elman(_ShortForm):
    """Elman layers, see :class:`ElmanCell` for ``options``."""

    cell_type = ElmanCell


class LSTM(_ShortForm):
    """LSTM layers, see :class:`LSTMCell` for ``options``."""

    cell_type = LSTMCell


class GRU(_ShortForm):
    """GRU layers, see :class:`GRUCell` for ``options``."""

    cell_type = GRUCell
