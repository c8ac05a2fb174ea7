"""What the gates of a recurrent layer do over a sequence, above all over a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygradrnn.analysis.characters import CharacterTable, plot_gate
from tinygradrnn.analysis.recorded import Key, Values, as_sequence, gate_values, gates_by_piece
from tinygradrnn.analysis.results import Numbers
from tinygradrnn.arrays import TensorLike
from tinygradrnn.graph import Graph
from tinygradrnn.nn.states import State
from tinygradrnn.tensors import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Gate(NamedTuple):
    """The values of one gate of one layer.

    Attributes
    ----------
    layer : str
        As in ``Graph.layer_names``; "" outside any recurrent layer.
    scope : str
        What it was computed under, ``"forget gate"``; "" if its layer computed it under no scope.
    name : str
        Of the tensor, ``"f"``; "" if it has none.
    values : ndarray (T, B, H), or (T, H) of a single sequence
        NaN at steps that did not compute it.
    """

    layer: str
    scope: str
    name: str
    values: Numbers

    @property
    def called(self) -> tuple[str, ...]:
        """What it answers to."""
        return self.scope, self.scope.rpartition(" / ")[2], self.name, self.describe()

    def describe(self) -> str:
        """``forget gate (f)``."""
        return f"{self.scope} ({self.name})" if self.scope and self.name else self.scope + self.name


@dataclass(frozen=True, eq=False)
class GateActivity:
    """The gates of every recurrent layer over a sequence, see :func:`gate_activity`.

    ``activity["forget gate"]``, or ``activity["f"]``, is the array of that gate.

    Attributes
    ----------
    gates : tuple of Gate
        In the order in which a step computes them; the named states of the cell are among them.
    steps : tuple of int
        The time steps.
    texts : tuple of str or None
        The characters read, one text for each sequence.
    """

    gates: tuple[Gate, ...]
    steps: tuple[int, ...]
    texts: tuple[str, ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What there is: ``("input gate (i)", "forget gate (f)", …)``."""
        return tuple(dict.fromkeys(gate.describe() for gate in self.gates))

    @property
    def layers(self) -> tuple[str, ...]:
        """The recurrent layers."""
        return tuple(dict.fromkeys(gate.layer for gate in self.gates))

    def __getitem__(self, gate: str) -> Numbers:
        return self.gate(gate).values

    def gate(self, gate: str | None = None, layer: str | int | None = None) -> Gate:
        """Find a gate.

        Parameters
        ----------
        gate : str, optional
            Its scope, its name, or both as in ``names``. By default the forget gate, or the first
            one where there is none.
        layer : str or int, optional
            One of ``layers``, or its position. Needed where several layers have such a gate.

        Raises
        ------
        ValueError
            If there is no such gate, or more than one; naming those that there are.
        """
        if gate is None:
            first = self.gates[0].describe()
            gate = "forget gate" if any(g.scope == "forget gate" for g in self.gates) else first
        if isinstance(layer, int):
            if not -len(self.layers) <= layer < len(self.layers):
                raise ValueError(f"layer: there are {len(self.layers)} layers, got {layer}")
            layer = self.layers[layer]
        elif layer is not None and layer not in self.layers:
            raise ValueError(f"layer: {layer!r} is not one of {', '.join(self.layers)}")
        named = [g for g in self.gates if gate in g.called]
        if not named:
            raise ValueError(f"gate: there is no {gate!r}; there are: {', '.join(self.names)}")
        found = [g for g in named if layer in (None, g.layer)]
        if len(found) != 1:
            have = ", ".join(repr(g.layer) + ": " + g.describe() for g in found or named)
            raise ValueError(
                f"gate: {gate!r} with layer={layer!r} is not one gate; there are {have}"
            )
        return found[0]

    def by_character(
        self, gate: str | None = None, layer: str | int | None = None, unit: int | None = None
    ) -> CharacterTable:
        """How far each character opens a gate: the mean of what it is when that one is read.

        Parameters
        ----------
        gate, layer
            As of :meth:`gate`.
        unit : int, optional
            Of one unit; by default of the mean over all units.

        Returns
        -------
        CharacterTable
            From the character that opens it furthest to the one that closes it most.
        """
        if self.texts is None:
            raise ValueError("by_character: which characters were read? gate_activity(…, text=…)")
        found = self.gate(gate, layer)
        values = found.values.reshape(len(self.steps), len(self.texts), -1)
        size = values.shape[-1]
        if unit is not None and not -size <= unit < size:
            raise ValueError(f"unit: the {found.describe()} has {size} units, got {unit}")
        open_ = values.mean(axis=-1) if unit is None else values[..., unit]
        what = found.describe() + ("" if unit is None else f", unit {unit}")
        return CharacterTable.of("".join(self.texts), open_.T.reshape(-1), what)

    def plot(
        self,
        gate: str | None = None,
        layer: str | int | None = None,
        *,
        sequence: int = 0,
        start: int = 0,
        stop: int | None = None,
    ) -> Figure:
        """A heat map, units upwards and time to the right, over the mean of the units.

        Parameters
        ----------
        gate, layer
            As of :meth:`gate`.
        sequence : int
            Which one of a batch.
        start, stop : int
            Which part of it, as in a slice; by default the first 100 steps.
        """
        found = self.gate(gate, layer)
        values = found.values if found.values.ndim < 3 else found.values[:, sequence]
        part = slice(*slice(start, start + 100 if stop is None else stop).indices(len(values)))
        if not len(values[part]):
            raise ValueError(f"plot: no step from {start} to {stop}; there are {len(values)}")
        text = None if self.texts is None else self.texts[sequence][part]
        title = " · ".join(filter(None, [found.describe(), found.layer]))
        return plot_gate(values[part].reshape(len(values[part]), -1), self.steps[part], text, title)


def gate_activity(
    target: Any,
    inputs: TensorLike = None,
    *,
    text: str | Sequence[str] | None = None,
    state: State = None,
    piece: int = 256,
) -> GateActivity:
    """Read the gates of every time step, from a recorded graph or by running a model.

    A gate is what a cell computes under a ``scope`` (the named tensor there, else the last result),
    or what it gives a name to: i, f, g, o, c and h of an LSTM; z, r, g and s of a GRU; of your own
    cell whatever it names.

    Parameters
    ----------
    target : Tensor, or a model
        A loss or outputs, whose graph is read as it was recorded. Or a model to run:
        ``outputs, state = model(inputs, state)``, as of ``nn.RNN``, ``nn.Stacked``,
        ``CharacterModel``.
    inputs : integers (T,) or (B, T), floats (T, F) or (B, T, F)
        What the model reads. It is run without dropout, piece by piece, the state carried on: of
        a long text only one piece is held as a graph.
    text : str, or B of them, optional
        The T characters that were read.
    state : state, optional
        Before the first step, for a batch of B.
    piece : int
        Steps of a piece.

    Returns
    -------
    GateActivity

    Examples
    --------
    ``gate_activity(rnn(x).y)["f"]`` reads a graph. Of a run that ``tinygradrnn train`` saved,
    ``activity = gate_activity(run.model, run.vocabulary.encode(text), text=text)`` reads the gates
    over a text, and ``print(activity.by_character("f"))`` says which characters open the gate f.
    """
    if inputs is None:
        if not isinstance(target, Tensor):
            raise TypeError(
                f"gate_activity: give a loss or outputs (a Tensor), or a model and inputs; got a "
                f"{type(target).__name__} alone"
            )
        graph = Graph(target)
        pieces, single = [(gate_values(graph), graph.timesteps)], False
    else:
        if not callable(target):
            raise TypeError(f"gate_activity: a {type(target).__name__} cannot read the inputs")
        read, single = as_sequence(inputs)
        pieces = list(gates_by_piece(target, read, state, piece))
    steps = [t for _, labels in pieces for t in labels]
    keys = dict.fromkeys(key for values, _ in pieces for key in values)
    if not keys:
        raise ValueError(
            "gate_activity: no time step holds a gate. Compute it under a scope, with "
            "tg.scope('forget gate'), or give its tensor a name, f.name = 'f'"
        )
    gates = tuple([Gate(*key, _joined(key, pieces, single)) for key in keys])
    return GateActivity(gates, tuple(steps), _texts(text, gates[0], len(steps), single))


def _joined(key: Key, pieces: Sequence[tuple[Values, Sequence[int]]], single: bool) -> Numbers:
    """The values of a gate at all steps: (T, B, H)."""
    found = [values.get(key, {}) for values, _ in pieces]
    like = next(iter(next(filter(None, found)).values()))
    nothing = np.full(like.shape, np.nan, like.dtype)
    rows = [
        values.get(step, nothing)
        for values, (_, labels) in zip(found, pieces, strict=True)
        for step in labels
    ]
    ragged = {row.shape for row in rows}
    if len(ragged) > 1:
        raise ValueError(f"gate_activity: {' '.join(key).strip()} has several shapes, {ragged}")
    joined = np.stack(rows)
    return joined[:, 0] if single else joined


def _texts(
    text: str | Sequence[str] | None, gate: Gate, steps: int, single: bool
) -> tuple[str, ...] | None:
    if text is None:
        return None
    texts = (text,) if isinstance(text, str) else tuple(text)
    batch = 1 if single else gate.values.shape[1]
    if len(texts) != batch or any(len(each) != steps for each in texts):
        raise ValueError(
            f"gate_activity: text must have {steps} characters for each of {batch} sequences, got "
            f"{', '.join(str(len(each)) for each in texts)}"
        )
    return texts
