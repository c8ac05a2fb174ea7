"""From the records of a diagram to a scene: frames side by side along the time axis."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from tinygradrnn.drawing.frames import Branch, Placed, Point, Port
from tinygradrnn.drawing.layout import lay_out
from tinygradrnn.drawing.look import BODY, NUMBER, Look, joint
from tinygradrnn.drawing.outside import Side, ancestors, late_boxes, make_side
from tinygradrnn.drawing.records import Diagram, Step, Wire
from tinygradrnn.drawing.scene import Line, Over, Panel, Scene, Text
from tinygradrnn.drawing.template import IrregularError, Template, make_template
from tinygradrnn.drawing.text import number, subscript, width
from tinygradrnn.drawing.theme import Theme

GAP, GAP_WITH_NUMBERS = 38.0, 62.0
AFTER_LABEL = 92.0  # room for ‖Σ‖ beside the name of a weight


def compose(diagram: Diagram, theme: Theme) -> Scene:
    """Shapes, lines and texts of a diagram, without title and legend."""
    look = Look(diagram, theme)
    if diagram.steps:
        try:
            return _Timeline(diagram, look).scene
        except IrregularError:
            pass
    return plain(diagram, look)


def plain(diagram: Diagram, look: Look) -> Scene:
    """A graph without a time axis."""
    scene = Scene(look.theme)
    side = make_side(diagram, look, set(range(len(diagram.boxes))))
    place_side(scene, diagram, look, side, lay_out(side.frame), 0.0, 0.0, {})
    return scene


def place_side(
    scene: Scene,
    diagram: Diagram,
    look: Look,
    side: Side,
    placed: Placed,
    x: float,
    y: float,
    starts: dict[int, tuple[int, tuple[Point, ...]]],
) -> dict[int, int]:
    """Draw a frame of boxes outside of the steps; returns the shape of every box.

    ``starts`` says where each entry comes from: a shape or dot, and points up to the border.
    """
    shapes = {
        k: scene.shape(look.shape(k, bx + x, by + y, w, h))
        for k, (bx, by, w, h) in zip(side.boxes, placed.boxes, strict=True)
    }
    for net, wire, branches in zip(side.frame.nets, side.wires, placed.nets, strict=True):
        stamp = Stamp(scene, look.theme.wire, look.theme.wire)
        if isinstance(net.source, Port):
            stamp.start, stamp.prefix = starts[net.source.index]
            lane = wire.value is not None
            if lane:
                stamp.colour = look.lanes[wire.value].line  # type: ignore[index]
                stamp.over = "lane"
            stamp.width = look.lane(wire.term) if lane else 1.1
        else:
            stamp.start = shapes[side.boxes[net.source]]
            weight = look.weight_colour.get(side.boxes[net.source])
            if weight is not None:
                stamp.colour, stamp.width, stamp.over = weight, look.tap(wire.term), "tap"
        ends = {
            position: shapes[side.boxes[sink]]
            for position, sink in enumerate(net.sinks)
            if isinstance(sink, int)
        }
        stamp.tooltip = diagram.boxes[wire.source].tooltip
        stamp.draw(branches, ends, x, y)
    return shapes


@dataclass
class Stamp:
    """Draws the branches of a net at a place."""

    scene: Scene
    colour: str
    dot_colour: str
    width: float = 1.1
    over: Over = "flow"
    start: int = 0
    prefix: tuple[Point, ...] = ()
    tooltip: str = ""

    def draw(
        self,
        branches: tuple[Branch, ...],
        ends: dict[int, int],
        x: float,
        y: float,
        widths: dict[int, float] | None = None,
    ) -> None:
        """Draw those branches that lead to one of the ends (position of the sink to shape)."""
        served = [b for b in branches if any(s in ends for s in b.sinks)]
        forks: dict[Point, int] = {}
        for branch in served:
            if not branch.begins:
                forks[branch.points[0]] = forks.get(branch.points[0], 0) + 1
        dots: dict[Point, int] = {}

        def dot(point: Point) -> int:
            if point not in dots:
                radius = 2.3 + self.width / 4 if forks.get(point, 0) > 1 else 0.0
                dots[point] = self.scene.dot(point[0] + x, point[1] + y, radius, self.colour)
            return dots[point]

        for branch in served:
            points = tuple((px + x, py + y) for px, py in branch.points)
            start = dot(branch.points[0])
            if branch.begins:
                start = self.start
                points = straightened((*self.prefix, *points))
            at_end = branch.end is not None and branch.end in ends
            if branch.end is not None and not at_end:
                continue
            end = ends[branch.end] if branch.end is not None else dot(branch.points[-1])
            thick = self.width
            if widths is not None:
                thick = max(widths.get(s, 0.0) for s in branch.sinks)
            arrow = at_end and end >= 0
            self.scene.lines.append(
                Line(points, start, end, self.colour, thick, self.over, self.tooltip, arrow)
            )


def straightened(points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Without points in the middle of a straight piece."""
    kept: list[Point] = []
    for point in points:
        if kept and abs(kept[-1][0] - point[0]) < 1e-6 and abs(kept[-1][1] - point[1]) < 1e-6:
            continue
        if len(kept) >= 2 and _in_line(kept[-2], kept[-1], point):
            kept[-1] = point
        else:
            kept.append(point)
    return tuple(kept)


def _in_line(a: Point, b: Point, c: Point) -> bool:
    return (abs(a[0] - b[0]) < 1e-6 and abs(b[0] - c[0]) < 1e-6) or (
        abs(a[1] - b[1]) < 1e-6 and abs(b[1] - c[1]) < 1e-6
    )
