"""Where the frames of a diagram stand along the time axis, and what is drawn so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from tinygradrnn.drawing.before import BETWEEN_TURNS, Before, find_before, turns
from tinygradrnn.drawing.frames import Placed
from tinygradrnn.drawing.layout import lay_out
from tinygradrnn.drawing.look import BODY, NUMBER, Look
from tinygradrnn.drawing.outside import Origin, ancestors, make_side, place_side
from tinygradrnn.drawing.records import Diagram, Fold, Step, Wire
from tinygradrnn.drawing.scene import Line, Scene, Text
from tinygradrnn.drawing.stamping import Style, joined
from tinygradrnn.drawing.template import Template, late_boxes, make_template
from tinygradrnn.drawing.text import number, width

BESIDE_WEIGHT = 88.0  # room for ‖Σ‖ after the name of a weight
BESIDE_NAME = 14.0
ABOVE_LANE = 9.0
BESIDE_FORK = 8.0


@dataclass(frozen=True)
class Rail:
    """A rail that is drawn: where it can be led on from, and how it looks."""

    end: Origin
    style: Style
    tooltip: str


class Stage:
    """A diagram with a time axis, on its way to a scene.

    Attributes
    ----------
    templates : list of Template
        One for each phase; ``placed`` has their layouts.
    place : dict of Step to (int, float, float)
        Phase, and the lower left corner of its frame.
    label_x, label_width : list of float
        For each phase the middle and the width of the boxes to its left; ``label_widths`` by kind.
    right : float
        Where the last frame ends.
    shape : dict of int to int
        Box to shape, of the boxes in steps and of folds.
    origins : dict of (Step, int) to Origin
        Where a state leaves a step.
    bus_dots : dict of (int, int) to list of int
        By phase and bus the dots at which the steps meet it.
    margin : list of float
        For each phase the room for the names of its layers.
    rails : dict of int to Rail
        By box. What else reads it, after the steps say, leads its rail on.
    forks : dict of (int, int) to Origin
        By phase and box, of a rail where the lanes leave that start with the same value.
    before : list of Before or None
        For each phase what precedes it; ``begun`` are the ways from there to the steps.
    late : set of int
        The boxes that follow the steps; ``drawn`` are those that precede them.
    """

    def __init__(self, diagram: Diagram, look: Look) -> None:
        self.diagram, self.look, self.theme = diagram, look, look.theme
        self.scene = Scene(look.theme)
        self.gap = look.gap
        self.late = late_boxes(diagram)
        phases = sorted({step.phase for step in diagram.steps})
        self.templates = [make_template(diagram, look, phase) for phase in phases]
        self.placed = [lay_out(template.frame) for template in self.templates]
        self.shape: dict[int, int] = {}
        self.origins: dict[tuple[Step, int], Origin] = {}
        self.bus_dots: dict[tuple[int, int], list[int]] = {}
        self.place: dict[Step, tuple[int, float, float]] = {}
        self.fold_x: dict[int, float] = {}
        self.margin: list[float] = []
        self.label_x: list[float] = []
        self.label_width: list[float] = []
        self.label_widths: list[dict[str, float]] = []
        self.drawn: set[int] = set()
        self.rails: dict[int, Rail] = {}
        self.forks: dict[tuple[int, int], Origin] = {}
        self.before: list[Before | None] = []
        self.begun: dict[tuple[int, int], Origin] = {}
        self.right = self._place_columns() + look.beyond

    # ---------------------------------------------------------------- columns

    def _place_columns(self) -> float:
        """Where every frame and every fold stands; returns where the last one ends."""
        folds: dict[Step | None, list[int]] = {}
        for fold in self.diagram.folds:
            folds.setdefault(fold.after, []).append(fold.box)
        x = height = 0.0
        for n, template in enumerate(self.templates):
            x = self._place_labels(n, x)
            if self.label_width[n]:
                numbered = self.diagram.gradients and template.rails
                x += max(self.gap, BESIDE_WEIGHT) if numbered else self.gap
            if n:
                height += self._lift(n)
            else:
                x = self._place_folds(folds.get(None, ()), x)
            for step in template.steps:
                self.place[step] = (n, x, height)
                x += self.placed[n].width + self.gap
                x = self._place_folds(folds.get(step, ()), x)
        return x - self.gap

    def _place_folds(self, boxes: Iterable[int], x: float) -> float:
        for box in boxes:
            wide, _ = self.look.size(self.diagram.boxes[box])
            self.fold_x[box] = x + wide / 2
            x += wide + self.gap
        return x

    def _place_labels(self, n: int, x: float) -> float:
        """The names of layers and the boxes to the left of a phase; returns where these end."""
        widths: dict[str, float] = {}
        for k in self._at_left(n):
            box = self.diagram.boxes[k]
            widths[box.kind] = max(widths.get(box.kind, 0.0), self.look.size(box)[0])
        wide = max(widths.values(), default=0.0)
        heights = self._label_heights(n)
        from_top = sorted(self._at_left(n), key=lambda box: (-heights[box], box))
        before = find_before(self.diagram, self.look, from_top)
        self.before.append(before)
        beside = before.width if before is not None else 0.0
        self.margin.append(beside + (0.0 if n else self._margin(self.templates[n])))
        x += self.margin[n]
        self.label_widths.append(widths)
        self.label_width.append(wide)
        self.label_x.append(x + wide / 2)
        return x + wide

    def _at_left(self, n: int) -> set[int]:
        """The boxes to the left of a phase: weights and initial states."""
        starts = {wire.source for wire in self.diagram.wires if self.starts_lane(wire, n)}
        boxes = self.diagram.boxes
        outside = {k for k in starts if boxes[k].step is None and boxes[k].kind != "fold"}
        return outside.union(self.templates[n].rails)

    def label_place(self, box: int, n: int) -> tuple[float, float]:
        """Middle and width of a box to the left of a phase; those of a kind are equally wide."""
        wide = self.label_widths[n].get(self.diagram.boxes[box].kind, self.label_width[n])
        return self.label_x[n] + (self.label_width[n] - wide) / 2, wide

    def label_origin(self, box: int, n: int, y: float) -> Origin:
        """Where what begins at a box to the left of a phase leads on; all of them end together."""
        before = self.before[n]
        if before is not None and box in before.exits:
            if (n, box) not in self.begun:
                self._draw_before(n, before)
            return self.begun[n, box]
        x, wide = self.label_place(box, n)
        shape = self.draw_origin(box, x, y, wide)
        return Origin(shape, ((self.sides(shape)[1], y),))

    def _draw_before(self, n: int, before: Before) -> None:
        """What stands left of the boxes to the left of a phase."""
        heights, base = self._label_heights(n), self.place[self.templates[n].steps[0]][2]
        wanted = [heights[box] + base for box in before.exits]
        right = self.label_x[n] - self.label_width[n] / 2 - before.width + before.placed.width
        y = wanted[0] - before.placed.entries[0]
        if n:  # below the lanes of the phase before
            y = min(*wanted, base) - before.placed.height - 30
        own = [y + entry for entry in before.placed.entries]
        order = turns(own, wanted, BETWEEN_TURNS)
        shapes, exits = place_side(
            self.scene,
            self.diagram,
            self.look,
            before.side,
            before.placed,
            right - before.placed.width,
            y,
        )
        self.drawn |= shapes.keys()
        end = self.label_x[n] + self.label_width[n] / 2
        for e, box in enumerate(before.exits):
            start, points, _ = exits[e]
            if e in order:
                x = right + BETWEEN_TURNS * (order.index(e) + 1)
                points = joined(points, ((x, own[e]), (x, wanted[e])))
            self.begun[n, box] = Origin(start, joined(points, ((end, wanted[e]),)))

    def _label_heights(self, n: int) -> dict[int, float]:
        """How high in its frame rails and initial states lead into a phase."""
        template, placed = self.templates[n], self.placed[n]
        found: dict[int, float] = {}
        for wire in self.diagram.wires:
            if self.starts_lane(wire, n) and wire.state is not None:
                entry = placed.entries[template.states.index(wire.state)]
                found.setdefault(wire.source, entry)
        return found | dict(zip(template.rails, placed.rails, strict=True))

    def _margin(self, template: Template) -> float:
        """How wide the names of the layers are. Of a later phase the rails alone bear them."""
        inside = set(template.groups)
        names = [layer.name for layer in self.diagram.layers if layer.group in inside]
        wide = max((width(name, BODY, bold=True) for name in names if name), default=0.0)
        return wide + BESIDE_NAME if wide else 0.0

    def _lift(self, n: int) -> float:
        """How much a phase is lifted so that the lane that leads into it is straight."""
        for wire in self.diagram.wires:
            source = self.diagram.boxes[wire.source].step
            target = self.diagram.boxes[wire.targets[0]].step
            if wire.state is None or wire.value is None or source is None or target is None:
                continue
            if (source.phase, target.phase) == (n - 1, n):
                before = self.templates[n - 1].states.index(wire.value)
                after = self.templates[n].states.index(wire.state)
                return self.placed[n - 1].entries[before] - self.placed[n].entries[after]
        return 0.0

    # ---------------------------------------------------------------- what several parts need

    def step_of(self, box: int) -> Step | None:
        """The step that a box belongs to."""
        return self.diagram.boxes[box].step

    def tooltip(self, box: int) -> str:
        """What a wire from a box carries."""
        return " ".join(self.diagram.boxes[box].text)

    def rail_start(self, box: int, n: int, y: float) -> Origin:
        """Where a rail begins: at its box, or where it ends in an earlier phase."""
        if box not in self.rails:
            return self.label_origin(box, n, y)
        known = sum(other in self.rails for other in self.templates[n].rails)
        x = self.label_x[n] + self.label_width[n] / 2 + BESIDE_FORK * known
        start, points, _ = self.lead_on(box, x)
        return Origin(start, (*points, (x, y)))

    def lead_on(self, box: int, x: float) -> Origin:
        """A rail led on, as far as to ``x``, to be read there too."""
        rail = self.rails[box]
        start, (*_, (left, y)), _ = rail.end
        dot = self.scene.dot(x, y, 2.0 + rail.style.width / 2, rail.style.colour)
        colour, width_, over, dashed = rail.style
        line = Line(((left, y), (x, y)), start, dot, colour, width_, over, rail.tooltip)
        self.scene.lines.append(replace(line, dashed=dashed))
        end = Origin(dot, ((x, y),))
        self.rails[box] = replace(rail, end=end)
        return end

    def fork(self, box: int, n: int, y: float) -> int | None:
        """A dot on the rail of a box, right before the steps, if lanes start there too."""
        if not any(self.starts_lane(wire, n) for wire in self.diagram.wires_from[box]):
            return None
        forks = sum(at == n for at, _ in self.forks)
        x = self.fork_x(n) - BESIDE_FORK * forks
        dot = self.scene.dot(x, y, 3.0, self.theme.wire)
        self.forks[n, box] = Origin(dot, ((x, y),))
        return dot

    def lane_origin(self, box: int, n: int, y: float) -> Origin:
        """Where an initial state comes from: a rail, if all steps read it too."""
        if (n, box) not in self.forks:
            return self.label_origin(box, n, y)
        start, points, _ = self.forks[n, box]
        return Origin(start, (*points, (points[-1][0], y)))

    def starts_lane(self, wire: Wire, n: int) -> bool:
        """Whether a wire leads a state into the first step of a phase, from the left."""
        if wire.state is None or self.diagram.states[wire.state].backward:
            return False
        return self.step_of(wire.targets[0]) in self.templates[n].steps

    def fork_x(self, n: int) -> float:
        """Where the lanes of a phase may leave a rail."""
        left = self.place[self.templates[n].steps[0]][1]
        return left - self.look.kept_room - BESIDE_FORK

    def rail_text(self, box: int) -> str:
        """What is written on a rail: how often it is used, and how large the gradient is."""
        if box not in self.look.weight_colour:
            return ""
        uses = sum(wire.uses for wire in self.diagram.wires_from[box])
        texts = [f"used × {uses}"] if uses else []
        if self.look.sized:
            texts.append(f"‖Σ‖ {number(self.diagram.boxes[box].total)}")
        return "   ".join(texts)

    def sides(self, end: int) -> tuple[float, float]:
        """The left and the right border of a shape, or twice that of a dot."""
        if end < 0:
            return self.scene.dots[~end].x, self.scene.dots[~end].x
        shape = self.scene.shapes[end]
        return shape.x - shape.width / 2, shape.x + shape.width / 2

    def folds(self, n: int) -> list[Fold]:
        """Those in a phase."""
        first = self.diagram.steps[0]
        return [f for f in self.diagram.folds if self.place[f.after or first][0] == n]

    def served(self, template: Template, wire: Wire, net: int) -> dict[int, float | None]:
        """Which sinks of its net a wire serves, in the order of its targets, and each term."""
        free: dict[int, list[int]] = {}
        for position, sink in enumerate(template.frame.nets[net].sinks):
            if isinstance(sink, int):
                free.setdefault(sink, []).append(position)
        terms = wire.terms or (None,) * len(wire.targets)
        return {
            free[template.item_of[self.diagram.boxes[target].slot]].pop(0): term
            for target, term in zip(wire.targets, terms, strict=True)
        }

    def draw_origin(self, box: int, x: float, y: float, wide: float) -> int:
        """A box outside of the steps at a point, what it is computed from to the left of it."""
        behind = ancestors(self.diagram, box)
        self.drawn |= behind
        if len(behind) == 1:
            _, high = self.look.size(self.diagram.boxes[box])
            return self.scene.shape(self.look.shape(box, x, y, wide, high))
        side = make_side(self.diagram, self.look, behind)
        placed = lay_out(side.frame)
        bx, by, _, _ = placed.boxes[side.boxes.index(box)]
        dx, dy = x - bx, y - by
        while self._collides(placed, dx, dy):
            dx -= 20.0
        shapes, _ = place_side(self.scene, self.diagram, self.look, side, placed, dx, dy)
        return shapes[box]

    def _collides(self, placed: Placed, dx: float, dy: float) -> bool:
        for x, y, wide, high in placed.boxes:
            for other in self.scene.shapes:
                near = abs(x + dx - other.x) < (wide + other.width) / 2 + 8
                if near and abs(y + dy - other.y) < (high + other.height) / 2 + 4:
                    return True
        return False

    def number_lane(self, state: int, term: float | None, x: float, y: float, line: int) -> None:
        """The size of a gradient, above a lane, of which this is a line."""
        if self.look.sized and self.look.lane(term):
            above = y + ABOVE_LANE + self.look.lane(term) / 2
            colour = self.look.lanes[state].text
            shown = Text(x, above, number(term), NUMBER, colour, bold=True, line=line)
            self.scene.texts.append(shown)

    def number_riser(self, text: str, dot: int, line: int) -> None:
        """The size of a gradient, below the dot where a line rises to a bus."""
        x, y = self.scene.dots[~dot].x + 5, self.scene.dots[~dot].y - 10
        colour = self.theme.muted
        shown = Text(x, y, text, NUMBER, colour, bold=True, align="left", line=line)
        self.scene.texts.append(shown)
