"""Draws what follows the time steps: from the last states, or from all of them, to the loss."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from tinygradrnn.drawing.before import turns
from tinygradrnn.drawing.folds import raise_folds
from tinygradrnn.drawing.frames import Placed, Port
from tinygradrnn.drawing.layout import lay_out
from tinygradrnn.drawing.look import NUMBER, SMALL
from tinygradrnn.drawing.outside import Origin, Side, make_side, place_side
from tinygradrnn.drawing.records import Wire, joined_when, joint
from tinygradrnn.drawing.scene import Line, Text
from tinygradrnn.drawing.stage import ABOVE_LANE, Stage
from tinygradrnn.drawing.stamping import joined
from tinygradrnn.drawing.text import number, width

BESIDE_TURN = 12.0


@dataclass
class Incoming:
    """A line that leads from the steps to what follows them."""

    wires: list[Wire]
    origin: Origin
    y: float


def draw_ending(stage: Stage) -> None:
    """The boxes outside of the steps that are not drawn yet, to the right of all."""
    boxes = stage.late | {
        k
        for k, box in enumerate(stage.diagram.boxes)
        if box.step is None and box.kind != "fold" and k not in stage.drawn
    }
    if not boxes:
        return
    lines = sorted([*_incoming(stage), *_rails(stage, boxes)], key=lambda line: -line.y)
    side = make_side(stage.diagram, stage.look, boxes, [line.wires for line in lines])
    placed = lay_out(side.frame)
    y = _height(stage, side, placed, lines)
    wanted = [y + entry for entry in placed.entries]
    turning = turns([line.y for line in lines], wanted, BESIDE_TURN)
    right = stage.right + stage.gap
    x = right + BESIDE_TURN * (len(turning) - 1)
    starts = {}
    for e, line in enumerate(lines):
        start, points, lane = line.origin
        if e in turning:
            turn = right + BESIDE_TURN * (turning.index(e) - 0.5)
            points = joined(points, ((turn, line.y), (turn, wanted[e])))
        starts[e] = Origin(start, points, lane)
    first = len(stage.scene.lines)
    place_side(stage.scene, stage.diagram, stage.look, side, placed, x, y, starts)
    for line in lines:
        if line.wires[0].when:
            _tell_when(stage, line)
        elif line.origin.lane:
            _number(stage, line, right, first)


def _incoming(stage: Stage) -> list[Incoming]:
    found: dict[tuple[int, Port], list[Wire]] = {}
    for wire in stage.diagram.wires:
        step = stage.step_of(wire.source)
        if step is not None and not stage.late.isdisjoint(wire.targets):
            n = stage.place[step][0]
            port = stage.templates[n].exits(stage.diagram, wire)
            found.setdefault((n, port), []).append(wire)
    lines = []
    for (n, port), wires in found.items():
        step = stage.step_of(wires[0].source)
        assert step is not None
        y = stage.place[step][2]
        if port.kind == "exit":
            origin = stage.origins[step, stage.templates[n].states[port.number]]
            y += stage.placed[n].entries[port.number]
        else:
            y += stage.placed[n].buses[port.number]
            readers = {target for wire in wires for target in wire.targets}
            size = joint(wire.term for wire in wires)
            origin = _draw_bus(stage, n, port.number, readers, y, size)
        lines.append(Incoming(wires, origin, y))
    return lines


def _rails(stage: Stage, boxes: set[int]) -> list[Incoming]:
    """What the steps read, and boxes that follow them too."""
    lines = []
    for box, rail in stage.rails.items():
        wires = [w for w in stage.diagram.wires_from[box] if not boxes.isdisjoint(w.targets)]
        if wires:
            lines.append(Incoming(wires, rail.end, rail.end.points[-1][1]))
    return lines


def _draw_bus(
    stage: Stage, n: int, bus: int, readers: set[int], y: float, size: float | None
) -> Origin:
    """The line above the steps that what they hand out runs along."""
    thick = stage.look.flow(size, 1.4)
    dots = stage.scene.dots
    found = stage.bus_dots[n, bus] + raise_folds(stage, n, bus, readers, y)
    found = sorted(found, key=lambda dot: dots[~dot].x)
    for a, b in pairwise(found):
        points = ((dots[~a].x, dots[~a].y), (dots[~b].x, dots[~b].y))
        stage.scene.lines.append(Line(points, a, b, stage.theme.wire, thick, "rail"))
    last = dots[~found[-1]]
    return Origin(found[-1], ((last.x, last.y),))


def _height(stage: Stage, side: Side, placed: Placed, lines: list[Incoming]) -> float:
    """So that the line that the longest way starts with comes in straight."""
    if not lines:
        return min(0.0, *stage.placed[0].rails) - placed.height
    first = side.frame.spines[0][0]
    nets = side.frame.nets[len(side.frame.nets) - len(lines) :]
    e = next((e for e, net in enumerate(nets) if first in net.sinks), 0)
    return lines[e].y - placed.entries[e]


def _tell_when(stage: Stage, line: Incoming) -> None:
    """At which steps a line leaves a rolled one."""
    when = joined_when(wire.when for wire in line.wires)
    x = stage.right + stage.gap - 14
    above = line.y + ABOVE_LANE + 2
    stage.scene.texts.append(Text(x, above, when, SMALL, stage.theme.muted, align="right"))


def _number(stage: Stage, line: Incoming, x: float, first: int) -> None:
    """The gradient that comes back into the last state; its lines come after the first one."""
    (wire, *more), left = line.wires, line.origin.points[-1][0]
    if wire.value is not None and not more and width(number(wire.term), NUMBER, True) < x - left:
        drawn = enumerate(stage.scene.lines[first:], first)
        own = next(k for k, each in drawn if each.start == line.origin.start)
        stage.number_lane(wire.value, wire.term, (left + x) / 2, line.y, own)
