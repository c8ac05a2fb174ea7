"""Draws the states from step to step."""

from __future__ import annotations

from tinygradrnn.drawing.frames import Branch
from tinygradrnn.drawing.outside import Origin
from tinygradrnn.drawing.records import Step, Wire, joint
from tinygradrnn.drawing.scene import Line
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.stamping import Stamp, Style, joined

NARROW = 36.0


def draw_lanes(stage: Stage) -> None:
    """Every state, from the box that it leaves to those of the next step that read it."""
    for wire in stage.diagram.wires:
        if wire.state is None:
            continue
        step = stage.step_of(wire.targets[0])
        if step is None:
            _draw_into_fold(stage, wire, wire.state)
        else:
            _draw_into_step(stage, wire, wire.state, step)


def _draw_into_step(stage: Stage, wire: Wire, state: int, step: Step) -> None:
    n, x, y = stage.place[step]
    template, placed = stage.templates[n], stage.placed[n]
    height = placed.entries[template.states.index(state)]
    border = x + placed.width if stage.diagram.states[state].backward else x
    origin = _origin(stage, wire, state, n, border, height + y)
    net = template.net_of["entry", state]
    terms = stage.served(template, wire, net)
    ends = {p: stage.shape[t] for t, p in zip(wire.targets, terms, strict=True)}
    colour = stage.look.lanes[state].line

    def style(branch: Branch) -> Style:
        here = [s for s in branch.sinks if s in terms]
        size = wire.term if len(here) == len(terms) else joint(terms[s] for s in here)
        if all(py == height for _, py in branch.points):
            return Style(colour, stage.look.lane(size), "lane")
        return Style(colour, stage.look.branch(size))

    stamp = Stamp(stage.scene, x, y, origin.start, ends, style, origin.points)
    stamp.tooltip = stage.tooltip(wire.source)
    entering = len(stage.scene.lines)
    stamp.draw(placed.nets[net])
    begins = origin.points[-1][0]
    labels = stage.label_x[n] - stage.label_width[n] / 2
    free = labels if begins + NARROW <= labels < border else border  # clear of a phase's rail boxes
    narrow = abs(free - begins) < NARROW  # it leaves a rail here: its number stands before
    middle = begins - NARROW / 2 if narrow else (begins + free) / 2
    stage.number_lane(state, wire.term, middle, height + y, entering)


def _origin(stage: Stage, wire: Wire, state: int, n: int, border: float, y: float) -> Origin:
    """Where a lane comes from: the step before, a fold, or an initial state."""
    source = stage.diagram.boxes[wire.source]
    if source.step is not None:
        assert wire.value is not None
        return stage.origins[source.step, wire.value]
    backward = stage.diagram.states[state].backward
    if wire.source in stage.rails and backward:
        x = max(stage.right, border) + stage.gap
        stage.right = x
        start, points, _ = stage.lead_on(wire.source, x)
        return Origin(start, (*points, (x, y)))
    if source.kind == "fold":
        shape = stage.shape[wire.source]
    elif backward:
        wide, _ = stage.look.size(source)
        x = border + stage.gap + wide / 2
        stage.right = max(stage.right, x + wide / 2)
        shape = stage.draw_origin(wire.source, x, y, wide)
    else:
        return stage.lane_origin(wire.source, n, y)
    box = stage.scene.shapes[shape]
    side = box.width / 2
    return Origin(shape, ((box.x - side if backward else box.x + side, y),))


def _draw_into_fold(stage: Stage, wire: Wire, state: int) -> None:
    step = stage.step_of(wire.source)
    assert wire.value is not None and step is not None
    origin = stage.origins[step, wire.value]
    shape = stage.shape[wire.targets[0]]
    box = stage.scene.shapes[shape]
    side = box.width / 2 if stage.diagram.states[state].backward else -box.width / 2
    (left, y), end = origin.points[-1], box.x + side
    stage.number_lane(state, wire.term, (left + end) / 2, y, len(stage.scene.lines))
    stage.scene.lines.append(
        Line(
            joined(origin.points, ((end, y),)),
            origin.start,
            shape,
            stage.look.lanes[state].line,
            stage.look.lane(wire.term),
            "lane",
            stage.tooltip(wire.source),
            arrow=True,
        )
    )
