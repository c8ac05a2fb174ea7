"""Draws what is inside the time steps: panels, boxes, and the wires between them."""

from __future__ import annotations

from bisect import bisect_left

from tinygradrnn.drawing.frames import Branch
from tinygradrnn.drawing.look import BODY
from tinygradrnn.drawing.outside import Origin
from tinygradrnn.drawing.records import joint
from tinygradrnn.drawing.scene import Panel, Text
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.stamping import Stamp, Style
from tinygradrnn.drawing.text import width


def draw_steps(stage: Stage) -> None:
    """A panel, boxes and wires for every step, and the boxes of the folds."""
    for step in stage.diagram.steps:
        n, x, y = stage.place[step]
        placed = stage.placed[n]
        name = stage.step_name(step)
        stage.scene.panels.append(Panel(x, y, x + placed.width, y + placed.height, name))
    for k, box in enumerate(stage.diagram.boxes):
        if box.step is not None:
            n, x, y = stage.place[box.step]
            bx, by, wide, high = stage.placed[n].boxes[stage.templates[n].item_of[box.slot]]
            stage.shape[k] = stage.scene.shape(stage.look.shape(k, bx + x, by + y, wide, high))
    _draw_folds(stage)
    for k, box in enumerate(stage.diagram.boxes):
        if box.step is not None and stage.diagram.wires_from[k]:
            _draw_wires(stage, k)
    _name_steps(stage)


def _draw_folds(stage: Stage) -> None:
    """Each as high as the lanes that run through it."""
    for fold in stage.diagram.folds:
        n, _, y = stage.place[fold.after or stage.diagram.steps[0]]
        placed = stage.placed[n]
        lanes = placed.entries or (placed.height / 2,)
        wide, high = stage.look.size(stage.diagram.boxes[fold.box])
        stage.shape[fold.box] = stage.scene.shape(
            stage.look.shape(
                fold.box,
                stage.fold_x[fold.box],
                (max(lanes) + min(lanes)) / 2 + y,
                wide,
                high + max(lanes) - min(lanes),
            )
        )


def _draw_wires(stage: Stage, k: int) -> None:
    """All that starts at a box; the way of a state to the next step is left for later."""
    box = stage.diagram.boxes[k]
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
            stage.bus_dots.setdefault((n, box.slot), []).append(ends[position])

    def style(branch: Branch) -> Style:
        state = next((exits[s] for s in branch.sinks if s in exits), None)
        sink = sinks[branch.end] if branch.end is not None else None
        if state is None and isinstance(sink, int) and (source, sink) in placed.lanes:
            state = template.states[placed.lanes[source, sink]]
        if state is None:
            return Style(stage.theme.wire, 1.1)
        size = joint(terms.get(s) for s in branch.sinks)
        return Style(look.lanes[state].line, look.lane(size), "lane")

    stamp = Stamp(stage.scene, x, y, stage.shape[k], ends, style, tooltip=stage.tooltip(k))
    stamp.left_open = frozenset(exits)
    for position, (start, points) in stamp.draw(placed.nets[net]).items():
        stage.origins[box.step, exits[position]] = Origin(start, points, lane=True)


def _name_steps(stage: Stage) -> None:
    """The name of every step above it, beside what rises there to a bus."""
    dots = stage.scene.dots
    risers = sorted(dots[~dot].x for found in stage.bus_dots.values() for dot in found)
    for panel in stage.scene.panels:
        x = panel.left + 10
        wide = width(panel.name, BODY) + 6
        for at in risers[bisect_left(risers, panel.left) :]:
            if at > panel.right:
                break
            if x - 4 < at < x + wide:
                x = at + 6
        stage.scene.texts.append(
            Text(x, panel.top + 11, panel.name, BODY, stage.theme.muted, align="left")
        )
