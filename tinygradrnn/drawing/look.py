"""How big boxes are and how thick lines, and in which colours."""

from __future__ import annotations

import math
from collections.abc import Hashable
from functools import cached_property
from typing import NamedTuple

from tinygradrnn.drawing import text
from tinygradrnn.drawing.records import Box, Diagram, Wire
from tinygradrnn.drawing.scene import Shape
from tinygradrnn.drawing.theme import Lane, Theme

BODY, NUMBER, SMALL, TITLE = 12.0, 11.0, 10.5, 14.0
GAP, GAP_WITH_NUMBERS = 38.0, 62.0  # between two steps
TAP = 9.0  # between two taps that lead to a fold
DECADES = 6.0  # from the thickest line to the thinnest
FOLDS = ("fold", "rest")
NUMBER_HEIGHT = 18.0
STATE_ORDER = {"h": 0, "s": 0, "c": 1}


class Foot(NamedTuple):
    """What is kept free at the foot of a net, see Net."""

    room: float = 0.0
    ahead: float = 0.0
    tall: float = 0.0


def is_dashed(box: Box) -> bool:
    """Whether what starts at a box is no part of the training: a frozen weight, a dropout mask."""
    return box.frozen or box.kind == "mask"


class Look:
    """The appearance of a diagram's boxes and wires in a theme.

    Attributes
    ----------
    sized : bool
        Whether the sizes of gradients are written beside wires, and are their thickness.
    """

    def __init__(self, diagram: Diagram, theme: Theme) -> None:
        self.diagram, self.theme = diagram, theme
        self.sized = diagram.gradients
        weights = [k for k, box in enumerate(diagram.boxes) if box.kind == "weight"]
        self.weight_colour = {
            k: theme.weights[n % len(theme.weights)] for n, k in enumerate(weights)
        }
        self.lanes = self._lane_colours()
        self.idle = {found.step for found in diagram.running if not found.sequences}
        sizes = [wire.term for wire in diagram.wires if wire.term is not None]
        self.largest = max((s for s in sizes if math.isfinite(s)), default=0.0)

    def _lane_colours(self) -> list[Lane]:
        """Blue for h and s, amber for c, what is left for others. Equal names, equal colours."""
        found: dict[str, int] = {}
        names = list(dict.fromkeys(state.name for state in self.diagram.states))
        for name in sorted(names):
            if name in STATE_ORDER and STATE_ORDER[name] not in found.values():
                found[name] = STATE_ORDER[name]
        free = [n for n in range(len(self.theme.lanes)) if n not in found.values()]
        for name in names:
            if name not in found:
                found[name] = free.pop(0) if free else len(found) % len(self.theme.lanes)
        return [self.theme.lanes[found[state.name]] for state in self.diagram.states]

    # ---------------------------------------------------------------- room

    @property
    def gap(self) -> float:
        """Between two time steps."""
        return GAP_WITH_NUMBERS if self.diagram.gradients else GAP

    @property
    def beyond(self) -> float:
        """What is kept free to the right of the last time step."""
        return 0.0

    @property
    def kept_room(self) -> float:
        """How much of the way between two steps is taken by what is kept for the backward walk."""
        return 0.0

    def numbered(self, wire: Wire) -> bool:
        """Whether the taps of what all steps read bear numbers: of weights, or of a gradient."""
        weight = wire.source in self.weight_colour
        return self.sized and (weight or wire.term is not None)

    @property
    def buses_numbered(self) -> bool:
        """Whether what steps hand out to the end bears numbers."""
        return self.lanes_sized

    def foot(self, wire: Wire) -> Foot:
        """The room for what is written at the foot of a tap."""
        if not self.numbered(wire):
            return Foot()
        sizes = [
            text.width(text.number(term), NUMBER, bold=True) for term in (wire.term, *wire.terms)
        ]
        return Foot(max(sizes) + 12, 0.0, NUMBER_HEIGHT)

    # ---------------------------------------------------------------- lines

    def thickness(self, size: float | None, low: float, high: float) -> float:
        """Logarithmic: ``high`` for the largest gradient, ``low`` from a millionth of it down."""
        if not self.sized or not size or not self.largest or not math.isfinite(size):
            return low
        share = 1 + math.log10(size / self.largest) / DECADES
        return round(low + (high - low) * min(max(share, 0.0), 1.0), 2)

    def flow(self, size: float | None, plain: float = 1.1) -> float:
        """The thickness of a wire between two boxes: ``plain`` unless it carries a gradient."""
        return plain

    @property
    def lanes_sized(self) -> bool:
        """Whether that holds for state lanes too: those of a rolled picture have no one size."""
        return self.sized and not self.diagram.rolls

    def lane(self, size: float | None) -> float:
        """The thickness of a state lane."""
        return self.thickness(size, 1.0, 6.5) if self.lanes_sized else 3.0

    def branch(self, size: float | None) -> float:
        """The thickness of a wire that leaves a lane, to another reader in the same step."""
        return self.thickness(size, 0.9, 3.0) if self.lanes_sized else 1.4

    def tap(self, size: float | None) -> float:
        """The thickness of a tap."""
        return self.thickness(size, 0.9, 4.0) if self.sized else 1.8

    def rail(self, size: float | None) -> float:
        """The thickness of a rail."""
        return self.thickness(size, 1.0, 3.2) if self.sized else 2.2

    # ---------------------------------------------------------------- boxes

    def size(self, box: Box) -> tuple[float, float]:
        """Width and height; a box is as wide as its twin, so that one stands below the other."""
        wide, high = self.natural_size(box, box.text)
        if box.twin is not None:
            wide = max(wide, self.natural_size(box, box.twin.text)[0])
        return wide, high

    def natural_size(self, box: Box, lines: tuple[str, ...]) -> tuple[float, float]:
        """What a text needs in such a box."""
        if box.kind == "fold":
            return self._fold_widths[box.slot], 40.0
        if box.kind == "op" and len(lines) == 1 and len(lines[0]) == 1:
            return 24.0, 24.0
        wide = max(
            text.width(line, self.font_size(box, lines), bold=box.kind == "weight")
            for line in lines
        )
        least = {"op": 24.0, "state": 38.0, "input": 38.0, "cell": 74.0, "fold": 96.0, "rest": 96.0}
        height = {"cell": 34.0, "fold": 40.0, "rest": 40.0, "weight": 23.0, "mask": 23.0}.get(
            box.kind, 26.0
        )
        if box.kind not in FOLDS:
            height += 13.0 * (len(lines) - 1)
        return max(least.get(box.kind, 34.0), math.ceil(wide + 16)), height

    def folded(self, wire: Wire) -> str:
        """What stands for the taps of the folded steps: ``36 terms ‖Σ‖ 0.40``."""
        return self._folded(wire, self.numbered(wire))

    def _folded(self, wire: Wire, numbered: bool) -> str:
        if not numbered:
            return text.folded(wire.folded)
        joint = self.diagram.boxes[wire.source].kind == "fold"
        return text.folded(wire.folded, wire.term, joint=joint)

    @cached_property
    def _fold_widths(self) -> dict[Hashable, float]:
        """Wide enough for what is written on the rails, to the right of all taps."""
        found = {}
        for fold in self.diagram.folds:
            wires = [
                w for w in self.diagram.wires if w.folded and fold.box in (w.source, *w.targets)
            ]
            texts = [
                text.width(self._folded(wire, self.diagram.gradients), NUMBER, bold=True)
                for wire in wires
            ]
            wide = max(texts, default=0.0) + TAP * (len(wires) + 2)
            found[self.diagram.boxes[fold.box].slot] = max(116.0, wide)
        return found

    @staticmethod
    def font_size(box: Box, lines: tuple[str, ...]) -> float:
        """Smaller where there are several lines."""
        return BODY if len(lines) == 1 or box.kind in FOLDS else SMALL

    def shape(self, k: int, x: float, y: float, width: float, height: float) -> Shape:
        """A box of the diagram as a shape."""
        box, theme = self.diagram.boxes[k], self.theme
        edge, fill, ink, thick = theme.wire, theme.box, theme.ink, 1.1
        if box.kind == "weight":
            edge = ink = self.weight_colour[k]
            thick = 1.6
        elif box.kind == "state":
            edge, thick = self._state_edges.get(k, theme.wire), 1.8
        elif box.kind in ("gate", "cell", "output"):
            fill = theme.gate
        elif box.kind in FOLDS:
            fill, ink = theme.page, theme.muted
        if box.step in self.idle and box.kind != "state":
            fill, edge, ink = theme.panel, theme.panel_edge, theme.muted
        return Shape(
            x,
            y,
            width,
            height,
            box.text,
            fill,
            edge,
            ink,
            box.tooltip,
            box.kind,
            k,
            size=self.font_size(box, box.text),
            bold=box.kind == "weight",
            thick=thick,
            round=width == height == 24.0,
            dashed=box.kind in FOLDS or box.dashed or is_dashed(box),
        )

    @cached_property
    def _state_edges(self) -> dict[int, str]:
        """The colour of every box that holds a state, initial ones too."""
        by_slot = {
            state.slot: lane.line
            for state, lane in zip(self.diagram.states, self.lanes, strict=True)
        }
        found = {k: by_slot[b.slot] for k, b in enumerate(self.diagram.boxes) if b.slot in by_slot}
        for wire in self.diagram.wires:
            if wire.state is not None:
                found.setdefault(wire.source, self.lanes[wire.state].line)
        return found
