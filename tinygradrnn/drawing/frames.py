"""What is laid out as one piece: the boxes of one time step, and the nets that join them.

Nothing here knows of tensors or of time. An item is a box of some size; a net runs from one end to
several others; an end is an item, or a port through which the net leaves the frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

Point = tuple[float, float]


class Port(NamedTuple):
    """Where a net crosses the border of the frame.

    ``entry`` k and ``exit`` k are the two ends of state lane k (an entry beyond the states may lie
    anywhere at the left border); ``rail`` and ``bus`` are lines that run through the whole frame,
    below and above the items.
    """

    kind: Literal["entry", "exit", "rail", "bus"]
    number: int


End = int | Port


@dataclass(frozen=True, slots=True)
class Item:
    """A box to be placed.

    Attributes
    ----------
    width, height : float
    group : int
        Items of a higher group stand above those of a lower one.
    ports : int
        How many wires must fit side by side at its lower edge.
    lanes : int
        How many state lanes run through it.
    spans : bool
        Whether it is to be as wide as the rows that it reads and is read by, so that the wires to
        them are straight.
    keeps : bool
        Whether it hands an old state on as it is: the lane runs through what computes the new one.
    """

    width: float
    height: float
    group: int = 0
    ports: int = 1
    lanes: int = 1
    spans: bool = False
    keeps: bool = False


@dataclass(frozen=True, slots=True)
class Net:
    """Wires that carry one value: from its source to every sink.

    ``room`` is the width to be kept free at its foot, for a number, ``ahead`` that on the other
    side, ``tall`` the height; ``head`` the width at its top.
    """

    source: End
    sinks: tuple[End, ...]
    room: float = 0.0
    ahead: float = 0.0
    tall: float = 0.0
    head: float = 0.0


@dataclass(frozen=True, slots=True)
class State:
    """What a step hands to the next: the item it leaves from, and which way time runs."""

    item: int
    backward: bool = False


@dataclass(frozen=True, slots=True)
class Frame:
    """The boxes and nets of one time step.

    Attributes
    ----------
    items : tuple of Item
        In an order in which sources come before their readers.
    nets : tuple of Net
    states : tuple of State
        State k enters at ``Port("entry", k)`` and leaves at ``Port("exit", k)``.
    spines : tuple of tuple of int
        Chains of items that are to stand in one row, besides those of the states.
    rails : tuple of int
        For each rail the group that it runs below.
    buses : int
        How many lines run above all items.
    least : float
        The least width, for what is written above.
    """

    items: tuple[Item, ...]
    nets: tuple[Net, ...]
    states: tuple[State, ...] = ()
    spines: tuple[tuple[int, ...], ...] = ()
    rails: tuple[int, ...] = ()
    buses: int = 0
    least: float = 0.0

    def edges(self) -> list[tuple[int, int]]:
        """Pairs (source, reader) of items, each once, in order."""
        return list(
            dict.fromkeys(
                (net.source, sink)
                for net in self.nets
                if isinstance(net.source, int)
                for sink in net.sinks
                if isinstance(sink, int)
            )
        )

    def readers(self, port: Port) -> list[int]:
        """The items that a port leads to."""
        return [
            sink
            for net in self.nets
            if net.source == port
            for sink in net.sinks
            if isinstance(sink, int)
        ]


class Branch(NamedTuple):
    """A piece of a net between two of: its source, a junction, a sink.

    ``sinks`` are the positions, in ``net.sinks``, of all sinks that it leads to; ``end`` is the
    one it ends at, or None where it ends at a junction. ``begins`` tells that it starts at the
    source itself rather than at a junction.
    """

    points: tuple[Point, ...]
    sinks: tuple[int, ...]
    end: int | None
    begins: bool


@dataclass(frozen=True, slots=True)
class Placed:
    """A frame with positions; y grows upwards, the origin is the lower left corner of the items.

    Attributes
    ----------
    width, height : float
    boxes : tuple of (x, y, width, height)
        Centre and size of every item.
    nets : tuple of tuple of Branch
    entries, exits : tuple of float
        The height at which each state lane (and each free entry) crosses the border.
    rails, buses : tuple of float
        The height of each.
    lanes : dict of (int, int) to int
        For neighbours on an unbroken state lane the number of the state.
    """

    width: float
    height: float
    boxes: tuple[tuple[float, float, float, float], ...]
    nets: tuple[tuple[Branch, ...], ...]
    entries: tuple[float, ...]
    rails: tuple[float, ...]
    buses: tuple[float, ...]
    lanes: Mapping[tuple[int, int], int] = field(default_factory=dict)
