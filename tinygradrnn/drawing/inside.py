"""Draws what is inside the time steps: panels, boxes, and the wires between them."""

from __future__ import annotations

from tinygradrnn.drawing.folds import draw_folds
from tinygradrnn.drawing.frames import Branch, Port
from tinygradrnn.drawing.outside import Origin
from tinygradrnn.drawing.records import joint
from tinygradrnn.drawing.scene import Panel
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.stamping import Stamp, Style
from tinygradrnn.drawing.template import step_name
from tinygradrnn.drawing.text import number


def draw_steps(stage: Stage) -> None:
    """A panel, boxes and wires for every step, and the boxes of the folds."""
    for step in stage.diagram.steps:
        n, x, y = stage.place[step]
        placed, name = stage.placed[n], step_name(stage.diagram, step)
        stage.scene.panels.append(Panel(x, y, x + placed.width, y + placed.height, name))
    for k, box in enumerate(stage.diagram.boxes):
        if box.step is not None:
            n, x, y = stage.place[box.step]
            bx, by, wide, high = stage.placed[n].boxes[stage.templates[n].item_of[box.slot]]
            if box.kind == "pass":
                stage.shape[k] = stage.scene.dot(bx + x, by + y, 0.0, stage.theme.wire)
                continue
            stage.shape[k] = stage.scene.shape(stage.look.shape(k, bx + x, by + y, wide, high))
    draw_folds(stage)
    for k, box in enumerate(stage.diagram.boxes):
        if box.step is not None and stage.diagram.wires_from[k]:
            _draw_wires(stage, k)


def _draw_wires(stage: Stage, k: int) -> None:
    """All that starts at a box; the way of a state to the next step is left for later."""
    diagram = stage.diagram
    box = diagram.boxes[k]
    assert box.step is not None
    n, x, y = stage.place[box.step]
    template, placed, look = stage.templates[n], stage.placed[n], stage.look
    net = template.net_of["slot", box.slot]
    source, sinks = template.item_of[box.slot], template.frame.nets[net].sinks
    terms: dict[int, float | None] = {}
    ends: dict[int, int] = {}
    exits: dict[int, int] = {}  # position of the sink to state
    for wire in stage.diagram.wires_from[k]:
        if stage.step_of(wire.targets[0]) == box.step:
            own = stage.served(template, wire, net)
            terms.update(own)
            ends.update(zip(own, (stage.shape[t] for t in wire.targets), strict=True))
            continue
        port = template.exits(stage.diagram, wire)
        position = sinks.index(port)
        terms[position] = joint([terms.get(position), wire.term])
        if port.kind == "exit":
            exits[position] = template.states[port.number]
        elif position not in ends:
            px, py = next(b for b in placed.nets[net] if b.end == position).points[-1]
            ends[position] = stage.scene.dot(px + x, py + y, 3.0, stage.theme.wire)
            stage.bus_dots.setdefault((n, port.number), []).append(ends[position])

    buses = {p for p, end in ends.items() if end < 0 and isinstance(sinks[p], Port)}

    def style(branch: Branch) -> Style:
        state = next((exits[s] for s in branch.sinks if s in exits), None)
        sink = sinks[branch.end] if branch.end is not None else None
        if state is None and isinstance(sink, int) and (source, sink) in placed.lanes:
            state = template.states[placed.lanes[source, sink]]
        size = joint(terms.get(s) for s in branch.sinks)
        if state is None and branch.end in buses:
            return Style(stage.theme.wire, look.branch(size) if look.lanes_sized else 1.1)
        if state is None:
            return Style(stage.theme.wire, look.flow(size))
        return Style(look.lanes[state].line, look.lane(size), "lane")

    stamp = Stamp(stage.scene, x, y, stage.shape[k], ends, style, tooltip=stage.tooltip(k))
    if box.kind == "pass":
        dot = stage.scene.dots[~stage.shape[k]]
        stamp.prefix = ((dot.x, dot.y),)
    stamp.left_open = frozenset(exits)
    first = len(stage.scene.lines)
    for position, (start, points) in stamp.draw(placed.nets[net]).items():
        stage.origins[box.step, exits[position]] = Origin(start, points, lane=True)
    for k, line in enumerate(stage.scene.lines[first:], first):
        for position in sorted(buses) if look.buses_numbered else ():
            if line.end == ends[position]:
                stage.number_riser(number(terms[position]), line.end, k)
