"""Draws the sums: for every weight a rail that collects one term per time step."""

from __future__ import annotations

from tinygradrnn.drawing.folds import tap_fold
from tinygradrnn.drawing.frames import Branch, Point
from tinygradrnn.drawing.look import NUMBER, SMALL
from tinygradrnn.drawing.mirror import TERM_HEIGHT, Term, TwinLook, running, term_text
from tinygradrnn.drawing.outside import Origin
from tinygradrnn.drawing.rails import draw_rail
from tinygradrnn.drawing.records import Step, Wire, joint
from tinygradrnn.drawing.scene import Line, Shape, Text
from tinygradrnn.drawing.stage import Rail, Stage
from tinygradrnn.drawing.stamping import Stamp, Style
from tinygradrnn.drawing.text import counted, width
from tinygradrnn.drawing.twins import Sum

RIGHT_OF_STEPS = 14.0


def draw_sums(stage: Stage, look: TwinLook) -> None:
    """Every rail, with the box of the whole gradient at the end that it runs to."""
    for n, template in enumerate(stage.templates):
        for r, box in enumerate(template.rails):
            if box in look.weight_colour:
                _Rail(stage, look, n, r).draw()
            else:
                draw_rail(stage, n, r)


class _Rail:
    def __init__(self, stage: Stage, look: TwinLook, n: int, r: int) -> None:
        self.stage, self.look, self.n, self.r = stage, look, n, r
        self.template, self.placed = stage.templates[n], stage.placed[n]
        self.box = self.template.rails[r]
        twin = stage.diagram.boxes[self.box].twin
        assert twin is not None
        self.twin, self.rightward = twin, twin.rightward
        self.sums = {s.place: s for s in twin.sums}
        on_rail = [s for s in twin.sums if s.place is not None]
        self.last = on_rail[-1] if self.rightward else twin.sums[-1]
        self.base = stage.place[self.template.steps[0]][2]
        self.y = self.placed.rails[r] + self.base
        self.colour = look.weight_colour[self.box]

    def draw(self) -> None:
        scene, box = self.stage.scene, self.box
        self.stage.drawn.add(box)
        at, way = self._start()
        taps: list[tuple[int, Sum]] = []
        for wire in self.stage.diagram.wires_from[box]:
            step = self.stage.step_of(wire.targets[0])
            if wire.state is None and step in self.template.steps and step in self.sums:
                taps += [(dot, self.sums[step]) for dot in self._taps(wire, step)]
                self._say(self.sums[step], *self._span(step))
        taps += self._folds()
        fork = self.stage.fork(box, self.n, self.y)
        if fork is not None:
            taps.append((fork, self.twin.sums[-1]))
        near, far = (1, 0) if self.rightward else (0, 1)
        sides, tooltip = self.stage.sides, self.stage.tooltip(box)
        style = Style(self.colour, 1.0, "rail")
        for stop, part in sorted(taps, key=lambda tap: sides(tap[0]), reverse=self.rightward):
            points = (*way, (sides(stop)[near], self.y))
            style = style._replace(width=self.look.rail(part.running))
            said = f"{running(part.running)} so far"
            scene.lines.append(Line(points, at, stop, self.colour, style.width, "rail", said))
            at, way = stop, ((sides(stop)[far], self.y),)
        if not self.rightward:
            self.stage.rails[box] = Rail(Origin(at, way), style, tooltip)

    def _start(self) -> tuple[int, tuple[Point, ...]]:
        """The box of the whole gradient, at the left end or else at the right one."""
        stage, box = self.stage, self.box
        if not self.rightward:
            start, points, _ = stage.rail_start(box, self.n, self.y)
            return start, points
        wide, high = self.look.size(stage.diagram.boxes[box])
        ends = [self._span(step)[1] for step in self.template.steps]
        x = max(ends) + RIGHT_OF_STEPS + self.look.kept_room + wide / 2
        at = stage.scene.shape(self.look.shape(box, x, self.y, wide, high))
        style = Style(self.colour, self.look.rail(self.last.running), "rail")
        end = Origin(at, ((stage.sides(at)[1], self.y),))
        stage.rails[box] = Rail(end, style, stage.tooltip(box))
        return at, ((stage.sides(at)[0], self.y),)

    def _span(self, step: Step) -> tuple[float, float]:
        left = self.stage.place[step][1]
        return left, left + self.placed.width

    def _say(self, part: Sum, left: float, right: float) -> None:
        """The sum so far, on the rail beyond a step or a fold; the last is in the box itself."""
        if part.running is None or part == self.last:
            return
        room = self.look.kept_room
        text, page = running(part.running), self.stage.theme.page
        wide = width(text, NUMBER, bold=True)
        x = right + 10 + room if self.rightward else left - 10 - room - wide
        self.stage.scene.texts.append(
            Text(x, self.y, text, NUMBER, self.colour, bold=True, align="left", plate=page)
        )

    # ---------------------------------------------------------------- taps

    def _foot(self) -> float:
        """Where the boxes of the terms stand: at the foot of the frame, or of its layer."""
        below = self.template.frame.rails
        rails = [y for y, b in zip(self.placed.rails, below, strict=True) if b == below[self.r]]
        lowest = 4.0 if rails[0] < 0 else max(rails) + 9.0
        return lowest + self.base

    def _taps(self, wire: Wire, step: Step) -> list[int]:
        """The terms of one step; returns the dots on the rail."""
        stage, scene, look = self.stage, self.stage.scene, self.look
        _, x, y = stage.place[step]
        net = self.template.net_of["rail", wire.source]
        terms = stage.served(self.template, wire, net)
        ends = {p: stage.shape[t] for t, p in zip(wire.targets, terms, strict=True)}

        def size(branch: Branch) -> float | None:
            here = [s for s in branch.sinks if s in terms]
            return wire.term if len(here) == len(terms) else joint(terms[s] for s in here)

        def style(branch: Branch) -> Style:
            return Style(look.theme.wire, look.tap(size(branch)), "flow")

        dots = []
        for root in self.placed.nets[net]:
            if not root.begins or terms.keys().isdisjoint(root.sinks) or size(root) is None:
                continue
            at = root.points[0][0] + x
            thick = look.tap(size(root))
            shape = self._term(wire, step, at, size(root))
            box = scene.shapes[shape]
            dots.append(scene.dot(at, self.y, 2.0 + thick / 2, self.colour))
            points = ((at, self.y), (at, box.y - box.height / 2))
            scene.lines.append(
                Line(points, dots[-1], shape, self.colour, thick, "tap", box.tooltip)
            )
            start = (root.points[0][0], box.y + box.height / 2 - y)
            family = tuple(
                b._replace(points=(start, *b.points[1:])) if b is root else b
                for b in self.placed.nets[net]
                if b is root or not (b.begins or set(b.sinks) - set(root.sinks))
            )
            Stamp(scene, x, y, shape, ends, style, tooltip=stage.tooltip(self.box)).draw(family)
        return dots

    def _term(self, wire: Wire, step: Step, x: float, size: float | None) -> int:
        """The box of a term."""
        look, text = self.look, term_text(wire, size)
        share = wire.share
        tooltip = f"term of t = {step.label} of {self.stage.tooltip(self.box)}"
        shape = Shape(
            x,
            self._foot() + TERM_HEIGHT / 2,
            look.term_width(wire, size),
            TERM_HEIGHT,
            text,
            look.theme.page,
            self.colour,
            self.colour,
            f"{tooltip} · backward operations: {', '.join(share.operations) if share else ''}",
            "term",
            self.box,
            size=SMALL,
            bold=True,
            thick=1.4,
        )
        number = self.stage.scene.shape(shape)
        look.terms.append(Term(number, step, share.kept if share else ()))
        return number

    def _folds(self) -> list[tuple[int, Sum]]:
        """Where each fold adds its terms."""
        found = []
        for fold in self.stage.folds(self.n):
            part = self.sums.get(self.stage.diagram.folds.index(fold))
            if part is None or part.size is None:
                continue
            self._say(part, *self.stage.sides(self.stage.shape[fold.box]))
            style, text = Style(self.colour, self.look.tap(part.size)), counted(part.terms, "term")
            stop = tap_fold(self.stage, self.n, self.r, fold, style, self.y, text)
            self.stage.scene.texts.append(stop.text)
            found.append((stop.end, part))
        return found
