"""Draws the backward graph below the forward one, as its mirror image.

The forward steps are drawn upside down, from what they read at the top to the states and the loss,
and below them the same frames once more, the right way up, with every box replaced by its twin and
every arrow turned round: from the loss at the right through the states to the sums of the weights
at the bottom. So each twin stands straight below its box, and states face their gradients.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import NamedTuple

from tinygradrnn.drawing.look import NUMBER, SMALL, Foot, Look
from tinygradrnn.drawing.records import Box, Diagram, Step, Wire
from tinygradrnn.drawing.scene import Line, Panel, Scene, Shape
from tinygradrnn.drawing.text import number, width
from tinygradrnn.drawing.theme import Theme

AXIS = 38.0  # between the two halves
TURN = 22.0  # how far to the right the loss turns round
BESIDE_PANEL = 9.0  # from a time step to what is kept from the one before, and between such
TERM_HEIGHT = 33.0
ABSENT = "absent"


class Term(NamedTuple):
    """A box for the term of one step: its shape, and the states that it is computed from."""

    shape: int
    step: Step
    kept: tuple[int, ...]


class ForwardLook(Look):
    """The upper half: nothing but what is computed, with the room that the lower half needs."""

    def __init__(self, diagram: Diagram, theme: Theme) -> None:
        super().__init__(diagram, theme)
        self.sized = False
        self.kept = sorted(
            {state for w in diagram.wires if w.share is not None for state in w.share.kept}
        )

    @property
    def kept_room(self) -> float:
        return BESIDE_PANEL * len(self.kept)

    @property
    def gap(self) -> float:
        texts = [
            running(s.running)
            for box in self.diagram.boxes
            for s in (box.twin.sums if box.twin is not None else ())
        ]
        wide = max((width(t, NUMBER, bold=True) for t in texts), default=0.0)
        return max(super().gap, wide + 20 + self.kept_room)

    @property
    def beyond(self) -> float:
        boxes = [b for b in self.diagram.boxes if b.twin is not None and b.twin.rightward]
        return max(
            (self.size(b)[0] + 32 + self.kept_room for b in boxes if b.kind == "weight"),
            default=0.0,
        )

    def numbered(self, wire: Wire) -> bool:
        return False  # terms have boxes, and all else that sends gradients has twins

    buses_numbered = False

    def foot(self, wire: Wire) -> Foot:
        if wire.source not in self.weight_colour:
            return Foot()
        half = max(self.term_width(wire, term) for term in (wire.term, *wire.terms)) / 2
        return Foot(half, half, self.tall)

    tall = 0.0

    def term_width(self, wire: Wire, size: float | None) -> float:
        """How wide the box of a term is."""
        lines = term_text(wire, size)
        return max(34.0, *(width(line, SMALL, bold=True) + 14 for line in lines))

    def kept_x(self, state: int) -> float:
        """How far from a step what is kept of a state runs down."""
        return BESIDE_PANEL * (1 + self.kept.index(state))


class TwinLook(ForwardLook):
    """The lower half: gradients only; what carries none has no thickness, and is left out."""

    def __init__(self, diagram: Diagram, theme: Theme) -> None:
        gradient = theme.gradient
        lanes = (gradient,) * len(theme.lanes)
        colours = replace(theme, wire=gradient.line, box=theme.gradient_box, lanes=lanes)
        super().__init__(diagram, colours)
        self.sized = True
        self.terms: list[Term] = []

    @property
    def tall(self) -> float:  # type: ignore[override]
        return TERM_HEIGHT + 6 + self.kept_room

    def thickness(self, size: float | None, low: float, high: float) -> float:
        return 0.0 if size is None else super().thickness(size, low, high)

    def flow(self, size: float | None, plain: float = 1.1) -> float:
        return self.thickness(size, plain, 3.0)

    def size(self, box: Box) -> tuple[float, float]:
        wide, _ = super().size(box)
        return wide, self.natural_size(box, box.twin.text)[1] if box.twin is not None else 1.0

    def shape(self, k: int, x: float, y: float, width: float, height: float) -> Shape:
        box, theme = self.diagram.boxes[k], self.theme
        shape = super().shape(k, x, y, width, height)
        if box.twin is None:
            return replace(shape, style=ABSENT)
        weight = box.kind == "weight"
        none = box.twin.size is None
        return replace(
            shape,
            text=box.twin.text,
            tooltip=box.twin.tooltip,
            size=self.font_size(box, box.twin.text),
            edge=shape.edge if weight else theme.muted if none else theme.wire,
            ink=shape.ink if weight else theme.muted if none else theme.ink,
            fill=theme.page if weight or none else theme.box,
            style=f"twin {box.kind}",
            dashed=not weight,
            thick=1.6 if weight else 1.2,
        )


def running(size: float | None) -> str:
    """The sum so far, as it is written on a rail."""
    return f"‖Σ‖ {number(size)}"


def term_text(wire: Wire, size: float | None) -> tuple[str, ...]:
    """What is written in the box of a term."""
    formula = (wire.share.text,) if wire.share is not None and wire.share.text else ()
    return (*formula, number(size))


# -------------------------------------------------------------------- scenes


def upside_down(scene: Scene, up: float) -> None:
    """Turn a scene at the horizontal axis, then lift it."""
    scene.shapes = [replace(s, y=up - s.y) for s in scene.shapes]
    scene.dots = [replace(d, y=up - d.y) for d in scene.dots]
    scene.lines = [
        replace(line, points=tuple((x, up - y) for x, y in line.points)) for line in scene.lines
    ]
    scene.texts = [replace(t, y=up - t.y) for t in scene.texts]
    scene.panels = [replace(p, bottom=up - p.top, top=up - p.bottom) for p in scene.panels]


def turn_round(scene: Scene) -> dict[int, int]:
    """Turn all arrows, and leave out what carries no gradient.

    Returns
    -------
    dict
        The new number of every shape that is left.
    """
    gradient = scene.theme.gradient.line
    left = [n for n, shape in enumerate(scene.shapes) if shape.style != ABSENT]
    new = {n: k for k, n in enumerate(left)}
    scene.shapes = [scene.shapes[n] for n in left]
    there = [
        line
        for line in scene.lines
        if line.width > 0 and all(end < 0 or end in new for end in (line.start, line.end))
    ]
    before = Counter(end for line in there for end in (line.start, line.end) if end < 0)
    there, uses = _without_loose_ends(there)
    scene.lines = [
        replace(
            line,
            points=line.points[::-1],
            start=new.get(line.end, line.end),
            end=new.get(line.start, line.start),
            arrow=line.start >= 0,
            dashed=line.colour == gradient,
        )
        for line in there
    ]
    for n, dot in enumerate(scene.dots):
        if not uses[~n] or uses[~n] == 2 < before[~n]:
            scene.dots[n] = replace(dot, radius=0.0)
    return new


def _without_loose_ends(lines: list[Line]) -> tuple[list[Line], Counter[int]]:
    while True:
        uses = Counter(end for line in lines for end in (line.start, line.end) if end < 0)
        kept = [
            line
            for line in lines
            if all(end >= 0 or uses[end] > 1 for end in (line.start, line.end))
        ]
        if len(kept) == len(lines):
            return kept, uses
        lines = kept


def put_together(upper: Scene, lower: Scene) -> None:
    """Add the upper scene to the lower one; a time step has one panel for both."""
    shapes, dots = len(lower.shapes), len(lower.dots)

    def moved(end: int) -> int:
        return end + shapes if end >= 0 else end - dots

    lower.shapes += upper.shapes
    lower.dots += upper.dots
    lower.lines += [replace(x, start=moved(x.start), end=moved(x.end)) for x in upper.lines]
    lower.texts += upper.texts
    lower.panels = [
        Panel(low.left, low.bottom, low.right, high.top, low.name)
        for low, high in zip(lower.panels, upper.panels, strict=True)
    ]
