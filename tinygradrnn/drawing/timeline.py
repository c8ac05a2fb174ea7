"""From the records of a diagram to a scene: frames side by side along the time axis."""

from __future__ import annotations

from collections.abc import Hashable

from tinygradrnn.drawing.frames import Branch, Placed, Point, Port
from tinygradrnn.drawing.layout import lay_out
from tinygradrnn.drawing.look import BODY, NUMBER, Look
from tinygradrnn.drawing.outside import Origin, ancestors, late_boxes, make_side, place_side
from tinygradrnn.drawing.records import Diagram, Step, Wire, joint
from tinygradrnn.drawing.scene import Line, Panel, Scene, Shape, Text
from tinygradrnn.drawing.stamping import Stamp, Style, joined
from tinygradrnn.drawing.template import IrregularError, Template, make_template
from tinygradrnn.drawing.text import number, width
from tinygradrnn.drawing.theme import Theme

GAP, GAP_WITH_NUMBERS = 38.0, 62.0
BESIDE_WEIGHT = 88.0  # room for ‖Σ‖ after the name of a weight
ABOVE_LANE = 9.0


def compose(diagram: Diagram, theme: Theme) -> Scene:
    """Shapes, lines and texts of a diagram, without title and legend."""
    look = Look(diagram, theme)
    if diagram.steps:
        try:
            return Timeline(diagram, look).scene
        except IrregularError:
            pass
    scene = Scene(theme)
    side = make_side(diagram, look, set(range(len(diagram.boxes))))
    place_side(scene, diagram, look, side, lay_out(side.frame), 0.0, 0.0)
    return scene


class Timeline:
    """A diagram with a time axis, drawn into ``scene``.

    Raises
    ------
    IrregularError
        If its steps have no common frame.
    """

    def __init__(self, diagram: Diagram, look: Look) -> None:
        self.diagram, self.look, self.theme = diagram, look, look.theme
        self.scene = Scene(look.theme)
        self.gap = GAP_WITH_NUMBERS if diagram.gradients else GAP
        self.late = late_boxes(diagram)
        phases = sorted({step.phase for step in diagram.steps})
        self.templates = [make_template(diagram, look, phase) for phase in phases]
        if any(rail in self.late for template in self.templates for rail in template.rails):
            raise IrregularError
        self.placed = [lay_out(template.frame) for template in self.templates]
        self.shape: dict[int, int] = {}  # box to shape
        self.origins: dict[tuple[Step, int], Origin] = {}  # by step and state
        self.bus_dots: dict[tuple[int, Hashable], list[int]] = {}
        self.place: dict[Step, tuple[int, float, float]] = {}  # phase, x, y
        self.fold_x: dict[int, float] = {}
        self.label_x: list[float] = []
        self.label_width: list[float] = []
        self.right = 0.0
        self.drawn: set[int] = set()  # boxes outside of the steps
        self._place_columns()
        self._draw_panels()
        self._draw_folds()
        self._draw_boxes()
        for n in range(len(self.templates)):
            self._draw_slots(n)
        for n in range(len(self.templates)):
            self._draw_rails(n)
        self._draw_lanes()
        self._draw_rest()
        self._name_steps()

    # ---------------------------------------------------------------- columns

    def _place_columns(self) -> None:
        """Where every frame and every fold stands."""
        folds: dict[Step | None, list[int]] = {}
        for k, fold in enumerate(self.diagram.folds):
            folds.setdefault(fold.after, []).append(k)
        x = 0.0
        height = 0.0
        for n, template in enumerate(self.templates):
            wide = self._label_width(template)
            self.label_width.append(wide)
            self.label_x.append(x + wide / 2)
            numbered = self.diagram.gradients and template.rails
            if wide:
                x += wide + (max(self.gap, BESIDE_WEIGHT) if numbered else self.gap)
            if n:
                height += self._shift(n)
            for at, step in enumerate(template.steps):
                if at == 0 and n == 0:
                    x = self._place_folds(folds.get(None, []), x)
                self.place[step] = (n, x, height)
                x += self.placed[n].width + self.gap
                x = self._place_folds(folds.get(step, []), x)
        self.right = x - self.gap

    def _place_folds(self, folds: list[int], x: float) -> float:
        for k in folds:
            wide, _ = self.look.size(self.diagram.boxes[self._fold_box(k)])
            self.fold_x[k] = x + wide / 2
            x += wide + self.gap
        return x

    def _fold_box(self, fold: int) -> int:
        return next(k for k, b in enumerate(self.diagram.boxes) if b.slot == ("fold", fold))

    def _label_width(self, template: Template) -> float:
        """How wide the boxes to the left of a phase are: weights and initial states."""
        left = set(template.rails) | {
            wire.source
            for wire in self._initial_wires(template)
            if not self.diagram.states[wire.state or 0].backward
        }
        return max((self.look.size(self.diagram.boxes[k])[0] for k in left), default=0.0)

    def _initial_wires(self, template: Template) -> list[Wire]:
        """The wires that bring a state in from outside of all steps."""
        steps = set(template.steps)
        return [
            wire
            for wire in self.diagram.wires
            if wire.state is not None
            and self.diagram.boxes[wire.source].step is None
            and self.diagram.boxes[wire.source].kind != "fold"
            and self.diagram.boxes[wire.targets[0]].step in steps
        ]

    def _shift(self, n: int) -> float:
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

    # ---------------------------------------------------------------- boxes

    def _draw_panels(self) -> None:
        for step in self.diagram.steps:
            n, x, y = self.place[step]
            placed = self.placed[n]
            self.scene.panels.append(
                Panel(x, y, x + placed.width, y + placed.height, f"t = {step.label}")
            )

    def _name_steps(self) -> None:
        """The name of every step above it, beside what runs up there."""
        upright = sorted(
            (x1, max(y1, y2))
            for line in self.scene.lines
            for (x1, y1), (x2, y2) in zip(line.points, line.points[1:], strict=False)
            if x1 == x2
        )
        for panel in self.scene.panels:
            x = panel.left + 10
            wide = width(panel.name, BODY) + 6
            for at, top in upright:
                if top > panel.top + 4 and x - 4 < at < x + wide:
                    x = at + 6
            self.scene.texts.append(
                Text(x, panel.top + 11, panel.name, BODY, self.theme.muted, align="left")
            )

    def _draw_boxes(self) -> None:
        for k, box in enumerate(self.diagram.boxes):
            if box.step is None:
                continue
            n, x, y = self.place[box.step]
            bx, by, wide, high = self.placed[n].boxes[self.templates[n].item_of[box.slot]]
            self.shape[k] = self.scene.shape(self.look.shape(k, bx + x, by + y, wide, high))

    def _draw_folds(self) -> None:
        for k, x in self.fold_x.items():
            box = self._fold_box(k)
            step = self.diagram.folds[k].after or self.diagram.steps[0]
            n, _, y = self.place[step]
            lanes = self.placed[n].entries[: len(self.templates[n].states)] or (
                self.placed[n].height / 2,
            )
            wide, high = self.look.size(self.diagram.boxes[box])
            high += max(lanes) - min(lanes)
            middle = (max(lanes) + min(lanes)) / 2 + y
            self.shape[box] = self.scene.shape(self.look.shape(box, x, middle, wide, high))

    # ---------------------------------------------------------------- nets inside the steps

    def _served(self, template: Template, wire: Wire, net: int) -> dict[int, float | None]:
        """Which sinks of its net a wire serves, with the size of each term."""
        sinks = template.frame.nets[net].sinks
        found: dict[int, float | None] = {}
        terms = wire.terms or (None,) * len(wire.targets)
        for target, term in zip(wire.targets, terms, strict=True):
            item = template.item_of.get(self.diagram.boxes[target].slot)
            inside = self.diagram.boxes[target].step in template.steps
            position = next(
                (p for p, s in enumerate(sinks) if inside and s == item and p not in found), None
            )
            if position is not None:
                found[position] = term
        return found

    def _draw_slots(self, n: int) -> None:
        """Everything that starts at a box of a step."""
        template, placed = self.templates[n], self.placed[n]
        for k, box in enumerate(self.diagram.boxes):
            if box.step not in template.steps:
                continue
            wires = [wire for wire in self.diagram.wires_from[k] if wire.targets]
            net = template.net_of.get(("slot", box.slot))
            if net is None or not wires:
                continue
            self._draw_slot(n, template, placed, k, net, wires)

    def _draw_slot(
        self, n: int, template: Template, placed: Placed, k: int, net: int, wires: list[Wire]
    ) -> None:
        box = self.diagram.boxes[k]
        assert box.step is not None
        _, x, y = self.place[box.step]
        terms: dict[int, float | None] = {}
        ends: dict[int, int] = {}
        exits: dict[int, int] = {}  # position of the sink to state
        sinks = template.frame.nets[net].sinks
        for wire in wires:
            own = self._served(template, wire, net)
            same = self.diagram.boxes[wire.targets[0]].step == box.step
            if own and same:
                terms.update(own)
                for target, position in zip(wire.targets, own, strict=False):
                    ends[position] = self.shape[target]
                continue
            port = template.exits(self.diagram, wire)
            position = sinks.index(port)
            terms[position] = joint([terms.get(position), wire.term])
            if port.kind == "exit":
                exits[position] = template.states[port.index]
            elif position not in ends:
                last = next(b for b in placed.nets[net] if b.end == position).points[-1]
                ends[position] = self.scene.dot(last[0] + x, last[1] + y, 3.0, self.theme.wire)
                self.bus_dots.setdefault((n, box.slot), []).append(ends[position])
        source = template.item_of[box.slot]

        def style(branch: Branch) -> Style:
            sink = sinks[branch.end] if branch.end is not None else None
            out = [exits[s] for s in branch.sinks if s in exits]
            if out:
                size = joint(terms.get(s) for s in branch.sinks)
                return Style(self.look.lanes[out[0]].line, self.look.lane(size), "lane")
            if (source, sink) in placed.lanes:
                state = self._state_of(template, source, sink)
                size = joint(terms.get(s) for s in branch.sinks)
                return Style(self.look.lanes[state].line, self.look.lane(size), "lane")
            return Style(self.theme.wire, 1.1)

        stamp = Stamp(
            self.scene,
            x,
            y,
            self.shape[k],
            ends,
            style,
            tooltip=box.tooltip,
            left_open=frozenset(exits),
        )
        for position, (start, points) in stamp.draw(placed.nets[net]).items():
            self.origins[box.step, exits[position]] = Origin(start, points)

    def _state_of(self, template: Template, source: int, sink: object) -> int:
        """The state whose lane two neighbours belong to."""
        for number_, (state, own) in enumerate(
            zip(template.frame.states, template.states, strict=True)
        ):
            lane = self._lane_items(template, number_)
            if sink == state.item or (source in lane and sink in lane):
                return own
        return template.states[0]

    def _lane_items(self, template: Template, number_: int) -> set[int]:
        """The items between the entry and the exit of a state, on its lane."""
        placed = self.placed[self.templates.index(template)]
        found = {template.frame.states[number_].item}
        while True:
            new = {a for a, b in placed.lanes if b in found} - found
            if not new:
                return found
            found |= new

    # ---------------------------------------------------------------- rails

    def _draw_rails(self, n: int) -> None:
        template, placed = self.templates[n], self.placed[n]
        for r, rail in enumerate(template.rails):
            _, x, y = self.place[template.steps[0]]
            height = placed.rails[r] + y
            start = self._draw_rail_box(n, rail, height)
            colour = self.look.weight_colour.get(rail, self.theme.wire)
            weight = rail in self.look.weight_colour
            thick = self.look.rail(self.diagram.boxes[rail].total) if weight else 1.4
            taps: list[int] = []
            for wire in self.diagram.wires_from[rail]:
                step = self.diagram.boxes[wire.targets[0]].step
                if step in template.steps:
                    taps += self._draw_taps(n, r, wire, step, colour, weight)
            before = start
            for dot in sorted(taps, key=lambda d: self.scene.dots[~d].x):
                here = self.scene.dots[~dot]
                left = self._right_end(before)
                tooltip = self.diagram.boxes[rail].tooltip
                self.scene.lines.append(
                    Line(((left, height), (here.x, height)), before, dot, colour, thick, "rail",
                         tooltip)
                )  # fmt: skip
                before = dot
            total = self.diagram.boxes[rail].total
            if weight and self.diagram.gradients:
                shown = f"‖Σ‖ {number(total)}"
                left = self.label_x[n] + self.label_width[n] / 2 + 14
                self.scene.texts.append(
                    Text(left, height, shown, NUMBER, colour, True, "left", self.theme.page)
                )

    def _right_end(self, end: int) -> float:
        if end < 0:
            return self.scene.dots[~end].x
        shape = self.scene.shapes[end]
        return shape.x + shape.width / 2

    def _draw_taps(
        self, n: int, r: int, wire: Wire, step: Step | None, colour: str, weight: bool
    ) -> list[int]:
        assert step is not None
        template, placed = self.templates[n], self.placed[n]
        _, x, y = self.place[step]
        net = template.net_of["rail", wire.source]
        terms = self._served(template, wire, net)
        ends = {
            position: self.shape[target]
            for target, position in zip(wire.targets, terms, strict=True)
        }
        dots: list[int] = []
        for branch in placed.nets[net]:
            if not branch.begins or not any(s in ends for s in branch.sinks):
                continue
            px, py = branch.points[0]
            size = wire.term if len(terms) == len(branch.sinks) else joint(
                terms.get(s) for s in branch.sinks
            )  # fmt: skip
            thick = self.look.tap(size) if weight else 1.1
            dots.append(self.scene.dot(px + x, py + y, 2.0 + thick / 2, colour))
            if weight and self.diagram.gradients:
                foot = y + 11.0 if placed.rails[r] < 0 else py + y + 13.0
                self.scene.texts.append(
                    Text(px + x + 4 + thick / 2, foot, number(size), NUMBER, colour, True, "left")
                )

        def style(branch: Branch) -> Style:
            size = joint(terms.get(s) for s in branch.sinks)
            return Style(colour, self.look.tap(size) if weight else 1.1, "tap" if weight else "flow")

        starts = iter(dots)
        for branch in placed.nets[net]:
            if branch.begins and any(s in ends for s in branch.sinks):
                start = next(starts)
                Stamp(
                    self.scene, x, y, start, ends, style, tooltip=self.diagram.boxes[wire.source].tooltip
                ).draw(tuple(self._family(placed.nets[net], branch)))
        return dots

    def _family(self, branches: tuple[Branch, ...], root: Branch) -> list[Branch]:
        """The branches that grow out of one."""
        return [b for b in branches if b is root or (not b.begins and set(b.sinks) <= set(root.sinks))]

    def _draw_rail_box(self, n: int, rail: int, height: float) -> int:
        """The box at the left end of a rail, with what it is computed from."""
        self.drawn.add(rail)
        return self._draw_origin(rail, self.label_x[n], height, self.label_width[n])

    def _draw_origin(self, box: int, x: float, y: float, wide: float) -> int:
        """A box outside of the steps at a point, its sources to the left of it."""
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
        return place_side(self.scene, self.diagram, self.look, side, placed, dx, dy)[box]

    def _collides(self, placed: Placed, dx: float, dy: float) -> bool:
        for x, y, wide, high in placed.boxes:
            for other in self.scene.shapes:
                near = abs(x + dx - other.x) < (wide + other.width) / 2 + 8
                if near and abs(y + dy - other.y) < (high + other.height) / 2 + 4:
                    return True
        return False

    # ---------------------------------------------------------------- lanes

    def _draw_lanes(self) -> None:
        """Every state, from the box that it leaves to those of the next step that read it."""
        for wire in self.diagram.wires:
            if wire.state is None:
                continue
            target = self.diagram.boxes[wire.targets[0]]
            if target.kind == "fold":
                self._draw_into_fold(wire)
            elif target.step is not None:
                self._draw_into_step(wire, target.step)

    def _draw_into_step(self, wire: Wire, step: Step) -> None:
        assert wire.state is not None
        n, x, y = self.place[step]
        template, placed = self.templates[n], self.placed[n]
        lane = template.states.index(wire.state)
        height = placed.entries[lane] + y
        backward = self.diagram.states[wire.state].backward
        border = x + placed.width if backward else x
        origin = self._origin(wire, n, border, height, backward)
        net = template.net_of["entry", wire.state]
        terms = self._served(template, wire, net)
        ends = {p: self.shape[t] for t, p in zip(wire.targets, terms, strict=True)}
        line = self.look.lanes[wire.state].line

        def style(branch: Branch) -> Style:
            whole = len(branch.sinks) == len(terms)
            size = wire.term if whole else joint(terms.get(s) for s in branch.sinks)
            straight = all(py == branch.points[0][1] for _, py in branch.points)
            if straight and branch.points[0][1] == placed.entries[lane]:
                return Style(line, self.look.lane(size), "lane")
            return Style(line, self.look.branch(size), "flow")

        tooltip = self.diagram.boxes[wire.source].tooltip
        Stamp(self.scene, x, y, origin.start, ends, style, origin.points, tooltip).draw(
            placed.nets[net]
        )
        self._number_lane(wire, origin.points[-1][0], border, height)

    def _origin(self, wire: Wire, n: int, border: float, y: float, backward: bool) -> Origin:
        """Where a lane comes from: the step before, a fold, or an initial state."""
        source = self.diagram.boxes[wire.source]
        if source.step is not None:
            assert wire.value is not None
            return self.origins[source.step, wire.value]
        if source.kind == "fold":
            shape = self.shape[wire.source]
            box = self.scene.shapes[shape]
            side = -1 if backward else 1
            return Origin(shape, ((box.x + side * box.width / 2, y),))
        wide, _ = self.look.size(source)
        self.drawn.add(wire.source)
        if backward:
            x = border + self.gap + wide / 2
            self.right = max(self.right, x + wide / 2)
            shape = self._draw_origin(wire.source, x, y, wide)
            return Origin(shape, ((x - wide / 2, y),))
        shape = self._draw_origin(wire.source, self.label_x[n], y, self.label_width[n])
        return Origin(shape, ((self._right_end(shape), y),))

    def _draw_into_fold(self, wire: Wire) -> None:
        assert wire.state is not None and wire.value is not None
        step = self.diagram.boxes[wire.source].step
        assert step is not None
        origin = self.origins[step, wire.value]
        shape = self.shape[wire.targets[0]]
        box = self.scene.shapes[shape]
        side = 1 if self.diagram.states[wire.state].backward else -1
        end = (box.x + side * box.width / 2, origin.points[-1][1])
        lane = self.look.lanes[wire.state]
        self.scene.lines.append(
            Line(
                joined(origin.points, (end,)),
                origin.start,
                shape,
                lane.line,
                self.look.lane(wire.term),
                "lane",
                self.diagram.boxes[wire.source].tooltip,
                arrow=True,
            )
        )
        self._number_lane(wire, origin.points[-1][0], end[0], end[1])

    def _number_lane(self, wire: Wire, x1: float, x2: float, y: float) -> None:
        """The size of the gradient above a lane, between two steps."""
        if self.diagram.gradients and wire.state is not None:
            colour = self.look.lanes[wire.state].text
            above = y + ABOVE_LANE + self.look.lane(wire.term) / 2
            text = number(wire.term)
            self.scene.texts.append(Text((x1 + x2) / 2, above, text, NUMBER, colour, True))

    # ---------------------------------------------------------------- what follows

    def _draw_rest(self) -> None:
        """Boxes outside of the steps that are not drawn yet, at the right."""
        rest = self.late | {
            k
            for k, box in enumerate(self.diagram.boxes)
            if box.step is None and box.kind != "fold" and k not in self.drawn
        }
        if not rest:
            return
        groups: dict[tuple[str, int, Hashable], list[Wire]] = {}
        for wire in self.diagram.wires:
            box = self.diagram.boxes[wire.source]
            if box.step is None or not self.late.intersection(wire.targets):
                continue
            n = self.place[box.step][0]
            port = self.templates[n].exits(self.diagram, wire)
            what: Hashable = wire.value if port.kind == "exit" else box.slot
            groups.setdefault((port.kind, n, what), []).append(wire)
        entries = sorted(groups, key=lambda key: -self._height_of(key))
        side = make_side(self.diagram, self.look, rest, [groups[key] for key in entries])
        placed = lay_out(side.frame)
        heights = [self._height_of(key) for key in entries]
        y = heights[0] - placed.entries[0] if entries else self.placed[0].rails[-1] - placed.height
        spine = side.frame.spines[0][0]
        for e, net in enumerate(side.frame.nets[len(side.frame.nets) - len(entries) :]):
            if spine in net.sinks:
                y = heights[e] - placed.entries[e]
        x = self.right + self.gap - 12.0
        starts: dict[int, Origin] = {}
        jogs = 0
        for e, key in enumerate(entries):
            origin = self._end_of(key, groups[key])
            jogs += abs(heights[e] - y - placed.entries[e]) > 1e-6
            starts[e] = origin
        x += 12.0 * jogs
        for e, (start, points, lane) in starts.items():
            bend = heights[e] - y - placed.entries[e]
            if abs(bend) > 1e-6:
                turn = x - 12.0 * jogs
                jogs -= 1
                points = joined(points, ((turn, heights[e]), (turn, heights[e] - bend)))
            starts[e] = Origin(start, points, lane)
            if lane:
                self._number_end(groups[entries[e]], points, x)
        place_side(self.scene, self.diagram, self.look, side, placed, x, y, starts)

    def _height_of(self, key: tuple[str, int, Hashable]) -> float:
        kind, n, what = key
        _, _, y = self.place[self.templates[n].steps[0]]
        if kind == "exit":
            return self.placed[n].entries[self.templates[n].states.index(what)] + y  # type: ignore[arg-type]
        return self.placed[n].buses[self.templates[n].buses.index(what)] + y

    def _end_of(self, key: tuple[str, int, Hashable], wires: list[Wire]) -> Origin:
        """The last point that a line to the right leaves from; draws a bus up to there."""
        kind, n, what = key
        if kind == "exit":
            step = self.diagram.boxes[wires[0].source].step
            assert step is not None
            return self.origins[step, what]._replace(lane=True)  # type: ignore[index]
        dots = sorted(self.bus_dots[n, what], key=lambda d: self.scene.dots[~d].x)
        for a, b in zip(dots, dots[1:], strict=False):
            one, two = self.scene.dots[~a], self.scene.dots[~b]
            self.scene.lines.append(
                Line(((one.x, one.y), (two.x, two.y)), a, b, self.theme.wire, 1.4, "rail")
            )
        last = self.scene.dots[~dots[-1]]
        return Origin(dots[-1], ((last.x, last.y),))

    def _number_end(self, wires: list[Wire], points: tuple[Point, ...], x: float) -> None:
        """The gradient that comes back into the last state."""
        value = wires[0].value
        if value is None or len(wires) != 1 or not self.diagram.gradients:
            return
        start = max(points[0][0], x - 2 * self.gap)
        if width(number(wires[0].term), NUMBER, True) > x - points[0][0]:
            return
        colour = self.look.lanes[value].text
        above = points[0][1] + ABOVE_LANE + self.look.lane(wires[0].term) / 2
        self.scene.texts.append(
            Text((max(start, self.right) + x) / 2, above, number(wires[0].term), NUMBER, colour, True)
        )
