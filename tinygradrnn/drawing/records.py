"""What a picture shows, as plain records: boxes, wires, states, steps.

This is the graph as it will be drawn, without positions: it can be read, compared and tested
without a picture. Boxes are numbered so that sources come before their readers.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from tinygradrnn.drawing.twins import Share, Twin

Kind = Literal[
    "op", "function", "choice", "gate", "affine", "cell", "state", "input", "weight", "mask",
    "output", "fold", "rest", "pass",
]  # fmt: skip
"""op: a sign in a circle; function: an operation with a name; choice: between the new state and the
old one of a sequence that has ended; gate: a named one; affine: products
with weights and their sum; cell: a whole cell, layer or module; state: what is handed to the next
step; weight: a parameter; mask: of a dropout; fold: time steps that are not shown; rest: operations
that are not; pass: nothing, where the other steps have an operation."""


EVERY = "every t"


class Step(NamedTuple):
    """A time step; a network that starts counting anew (a decoder) is in the next phase."""

    phase: int
    label: int


@dataclass(frozen=True, slots=True)
class Box:
    """A box.

    Attributes
    ----------
    kind : Kind
    text : tuple of str
        Its lines.
    step : Step or None
        The time step that it belongs to; None outside of all.
    slot : Hashable
        Which box it is within its step: equal slots are each other's likes in different steps.
    group : int or None
        Boxes of one recurrent layer have one number; None for what lies between layers.
    tooltip : str
    total : float or None
        Of a weight: the size of the whole gradient.
    dashed : bool
        In a rolled picture: whether some steps do without it.
    frozen : bool
        Whether it is a weight that is not trained, or a product with one.
    twin : Twin or None
        The box of its gradient, where the backward graph is shown and one flows.
    """

    kind: Kind
    text: tuple[str, ...]
    step: Step | None
    slot: Hashable
    group: int | None
    tooltip: str
    total: float | None = None
    dashed: bool = False
    frozen: bool = False
    twin: Twin | None = None


@dataclass(frozen=True, slots=True)
class Wire:
    """From one box to those of one step (or those outside of all steps) that read it.

    Attributes
    ----------
    source : int
    targets : tuple of int
        A box that reads twice is there twice.
    state : int or None
        The number of the state that it carries from step to step.
    value : int or None
        The number of the state that its source is, whoever reads it.
    term : float or None
        The size of the gradient that the targets together send back; None if none is sent.
    terms : tuple of float or None
        Those of the targets, one by one.
    folded : int
        From or to a fold, other than a state: how many steps it stands for.
    when : str
        In a rolled picture, of a wire into or out of the steps: at which of them. Empty elsewhere.
    uses : int
        In a rolled picture, of a wire into the steps: how often it is read in all of them.
    share : Share or None
        Of a weight into a step, where the backward graph is shown: how its term is computed.
    """

    source: int
    targets: tuple[int, ...]
    state: int | None = None
    value: int | None = None
    term: float | None = None
    terms: tuple[float | None, ...] = ()
    folded: int = 0
    when: str = ""
    uses: int = 0
    share: Share | None = None

    @property
    def partial(self) -> bool:
        """Whether it is read, or read from, at some steps only."""
        return self.when not in ("", EVERY)


class StateName(NamedTuple):
    """A state: its name, the slot of the box it leaves from, whether it runs against the time."""

    name: str
    slot: Hashable
    backward: bool


class Layer(NamedTuple):
    """A recurrent layer: the number that its boxes have, and what tells it from others.

    ``number`` is 0 for one alone; ``arrow`` is empty where all layers run the same way.
    """

    group: int
    phase: int
    phase_name: str
    number: int
    arrow: str

    @property
    def name(self) -> str:
        """Its name among the layers of its phase: ``layer 2 ←``, ``backward ←``."""
        word = {"": "", "→": "forward", "←": "backward"}[self.arrow]
        return f"{f'layer {self.number}' if self.number else word} {self.arrow}".strip()

    @property
    def whole(self) -> str:
        """Both names: ``decoder layer 2``."""
        return " ".join(filter(None, (self.phase_name, self.name)))


class Running(NamedTuple):
    """How many of the sequences of a batch have not ended at a step, and which (from 1)."""

    step: Step
    batch: int
    sequences: tuple[int, ...]


class Fold(NamedTuple):
    """Steps that are not drawn: after which one (None: before all), how many, the box for them."""

    after: Step | None
    steps: int
    box: int


class Shown(NamedTuple):
    """Where in a picture operations are: in a box; in a fold, those of each of its steps.

    Attributes
    ----------
    box : int
    step : Step or None
    orders : tuple of int
        When its nodes were recorded (:attr:`tinygradrnn.Node.order`), the result last.
    """

    box: int
    step: Step | None
    orders: tuple[int, ...]


class History(NamedTuple):
    """How large ∂L/∂state is at each step (None: no gradient reaches it), by label."""

    state: int
    sizes: dict[int, float | None]


class Roll(NamedTuple):
    """Steps that are drawn as one: that one, all labels, and of each of its states a history.

    ``entries`` are the boxes of what the states were one step before, by number of the state.
    """

    step: Step
    labels: tuple[int, ...]
    entries: dict[int, int]
    histories: tuple[History, ...] = ()


@dataclass(frozen=True)
class Diagram:
    """Everything that a picture shows.

    Attributes
    ----------
    title : str
    boxes : tuple of Box
    wires : tuple of Wire
    steps : tuple of Step
        Those shown, in time order.
    folds : tuple of Fold
    states : tuple of StateName
    layers : tuple of Layer
        The recurrent ones, in the order in which they are computed.
    running : tuple of Running
        Where sequences of a batch end at different steps.
    gradients : bool
        Whether sizes of gradients are to be shown.
    backward : bool
        Whether the backward graph is to be shown.
    notes : tuple of str
        Further lines for the legend.
    shows : tuple of Shown
        Which box a node of the graph is in. A box that is not here shows a value once more: a state
        beside the operation that computes it, or the output. Empty where one step is drawn for all.
    rolls : tuple of Roll
        In a rolled picture: one for each phase.
    """

    title: str
    boxes: tuple[Box, ...]
    wires: tuple[Wire, ...]
    steps: tuple[Step, ...] = ()
    folds: tuple[Fold, ...] = ()
    states: tuple[StateName, ...] = ()
    layers: tuple[Layer, ...] = ()
    running: tuple[Running, ...] = ()
    gradients: bool = False
    backward: bool = False
    notes: tuple[str, ...] = field(default=())
    shows: tuple[Shown, ...] = field(default=(), compare=False, repr=False)
    rolls: tuple[Roll, ...] = ()

    @cached_property
    def wires_from(self) -> tuple[tuple[Wire, ...], ...]:
        """The wires that start at each box."""
        found: list[list[Wire]] = [[] for _ in self.boxes]
        for wire in self.wires:
            found[wire.source].append(wire)
        return tuple(map(tuple, found))


def joint(sizes: Iterable[float | None]) -> float | None:
    """The size of several gradients together, as one long vector."""
    known = [size for size in sizes if size is not None]
    return math.sqrt(sum(size * size for size in known)) if known else None


def joined_when(whens: Iterable[str]) -> str:
    """``t = 1, 2, 3`` for ``t = 1`` and ``t = 2, 3``."""
    found = list(dict.fromkeys(whens))
    start = "t = "
    if all(when.startswith(start) for when in found):
        return start + ", ".join(when.removeprefix(start) for when in found)
    return ", ".join(found)
