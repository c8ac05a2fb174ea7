"""How big boxes are and how thick lines, and in which colours."""

from __future__ import annotations

import math
from functools import cached_property

from tinygradrnn.drawing import text
from tinygradrnn.drawing.records import Box, Diagram
from tinygradrnn.drawing.scene import Shape
from tinygradrnn.drawing.theme import Lane, Theme

BODY, NUMBER, SMALL, TITLE = 12.0, 11.0, 10.5, 14.0
DECADES = 6.0  # from the thickest line to the thinnest
FOLDS = ("fold", "rest")
STATE_ORDER = {"h": 0, "s": 0, "c": 1}


class Look:
    """The appearance of a diagram's boxes and wires in a theme."""

    def __init__(self, diagram: Diagram, theme: Theme) -> None:
        self.diagram, self.theme = diagram, theme
        weights = [k for k, box in enumerate(diagram.boxes) if box.kind == "weight"]
        self.weight_colour = {
            k: theme.weights[n % len(theme.weights)] for n, k in enumerate(weights)
        }
        self.lanes = self._lane_colours()
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

    # ---------------------------------------------------------------- lines

    def thickness(self, size: float | None, low: float, high: float) -> float:
        """Logarithmic: ``high`` for the largest gradient, ``low`` from a millionth of it down."""
        if not self.diagram.gradients or not size or not self.largest or not math.isfinite(size):
            return low
        share = 1 + math.log10(size / self.largest) / DECADES
        return round(low + (high - low) * min(max(share, 0.0), 1.0), 2)

    def lane(self, size: float | None) -> float:
        """The thickness of a state lane; in a rolled picture it has no one gradient."""
        scaled = self.diagram.gradients and not self.diagram.rolls
        return self.thickness(size, 1.0, 6.5) if scaled else 3.0

    def branch(self, size: float | None) -> float:
        """The thickness of a wire that leaves a lane, to another reader in the same step."""
        scaled = self.diagram.gradients and not self.diagram.rolls
        return self.thickness(size, 0.9, 3.0) if scaled else 1.4

    def tap(self, size: float | None) -> float:
        """The thickness of a tap."""
        return self.thickness(size, 0.9, 4.0) if self.diagram.gradients else 1.8

    def rail(self, size: float | None) -> float:
        """The thickness of a rail."""
        return self.thickness(size, 1.0, 3.2) if self.diagram.gradients else 2.2

    # ---------------------------------------------------------------- boxes

    def size(self, box: Box) -> tuple[float, float]:
        """Width and height."""
        if box.kind == "op" and len(box.text) == 1 and len(box.text[0]) == 1:
            return 24.0, 24.0
        wide = max(
            text.width(line, self._font_size(box), bold=box.kind == "weight") for line in box.text
        )
        least = {"op": 24.0, "state": 38.0, "input": 38.0, "cell": 74.0, "fold": 96.0, "rest": 96.0}
        height = {"cell": 34.0, "fold": 40.0, "rest": 40.0, "weight": 23.0}.get(box.kind, 26.0)
        if box.kind not in FOLDS:
            height += 13.0 * (len(box.text) - 1)
        return max(least.get(box.kind, 34.0), math.ceil(wide + 16)), height

    @staticmethod
    def _font_size(box: Box) -> float:
        return BODY if len(box.text) == 1 or box.kind in FOLDS else SMALL

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
            size=self._font_size(box),
            bold=box.kind == "weight",
            thick=thick,
            round=width == height == 24.0,
            dashed=box.kind in FOLDS or box.dashed,
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
