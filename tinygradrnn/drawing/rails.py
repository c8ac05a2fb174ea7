"""Draws the rails: what all steps read, once, with a tap for every step."""

from __future__ import annotations

from dataclasses import replace

from tinygradrnn.drawing.folds import tap_folds
from tinygradrnn.drawing.frames import Branch
from tinygradrnn.drawing.look import NUMBER, is_dashed
from tinygradrnn.drawing.outside import Origin
from tinygradrnn.drawing.records import Wire, joint
from tinygradrnn.drawing.scene import Line, Text
from tinygradrnn.drawing.stage import Rail, Stage
from tinygradrnn.drawing.stamping import Stamp, Style
from tinygradrnn.drawing.text import number


def draw_rails(stage: Stage) -> None:
    """Every rail, with its box at the left end."""
    for n, template in enumerate(stage.templates):
        for r in range(len(template.rails)):
            draw_rail(stage, n, r)


def draw_rail(stage: Stage, n: int, r: int) -> None:
    """One rail of one phase."""
    template, scene = stage.templates[n], stage.scene
    box = template.rails[r]
    y = stage.placed[n].rails[r] + stage.place[template.steps[0]][2]
    stage.drawn.add(box)
    known = box in stage.rails
    at, way, _ = stage.rail_start(box, n, y)
    weight = box in stage.look.weight_colour
    total, dashed = stage.diagram.boxes[box].total, is_dashed(stage.diagram.boxes[box])
    colour = stage.look.weight_colour.get(box, stage.theme.wire)
    steps = set(template.steps)
    terms = joint(wire.term for wire in stage.diagram.wires_from[box])
    thick = stage.look.rail(total) if weight else stage.look.flow(terms, 1.4)
    taps = [
        dot
        for wire in stage.diagram.wires_from[box]
        if wire.state is None and stage.step_of(wire.targets[0]) in steps
        for dot in _draw_taps(stage, r, wire, colour, weight)
    ]
    folded = dict(tap_folds(stage, n, r, Style(colour, thick), y))
    fork = stage.fork(box, n, y)
    forks = [] if fork is None else [fork]
    for stop in sorted([*forks, *taps, *folded], key=stage.sides):
        points = (*way, (stage.sides(stop)[0], y))
        if stop in folded:
            line = folded[stop].line
            own = len(scene.lines) if line is None else line
            scene.texts.append(replace(folded[stop], line=own))
        scene.lines.append(
            Line(points, at, stop, colour, thick, "rail", stage.tooltip(box), dashed=dashed)
        )
        at, way = stop, ((stage.sides(stop)[1], y),)
    style = Style(colour, thick, "rail", dashed)
    stage.rails[box] = Rail(Origin(at, way), style, stage.tooltip(box))
    shown = "" if known else stage.rail_text(box)
    if shown:
        left = stage.label_x[n] + stage.label_width[n] / 2 + 14
        scene.texts.append(
            Text(
                left,
                y,
                shown,
                NUMBER,
                colour,
                bold=True,
                align="left",
                plate=stage.theme.page,
                total=box,
            )
        )


def _draw_taps(stage: Stage, r: int, wire: Wire, colour: str, weight: bool) -> list[int]:
    """The taps of one step; returns the dots on the rail."""
    step = stage.step_of(wire.targets[0])
    assert step is not None
    n, x, y = stage.place[step]
    template, placed = stage.templates[n], stage.placed[n]
    net = template.net_of["rail", wire.source]
    terms = stage.served(template, wire, net)
    ends = {p: stage.shape[t] for t, p in zip(wire.targets, terms, strict=True)}
    dashed = is_dashed(stage.diagram.boxes[wire.source])

    def size(branch: Branch) -> float | None:
        here = [s for s in branch.sinks if s in terms]
        return wire.term if len(here) == len(terms) else joint(terms[s] for s in here)

    def style(branch: Branch) -> Style:
        if weight:
            return Style(colour, stage.look.tap(size(branch)), "tap", dashed)
        return Style(colour, stage.look.flow(size(branch)), dashed=dashed)

    dots = []
    for root in placed.nets[net]:
        if not root.begins or terms.keys().isdisjoint(root.sinks):
            continue
        px, py = root.points[0]
        thick = style(root).width
        dots.append(stage.scene.dot(px + x, py + y, 2.0 + thick / 2, colour))
        if stage.look.numbered(wire):
            foot = y + 11.0 if placed.rails[r] < 0 else py + y + 13.0
            left = px + x + 4 + thick / 2
            shown = number(size(root))
            tap = len(stage.scene.lines)  # to be drawn next
            stage.scene.texts.append(
                Text(left, foot, shown, NUMBER, colour, bold=True, align="left", line=tap)
            )
        family = tuple(
            b
            for b in placed.nets[net]
            if b is root or not (b.begins or set(b.sinks) - set(root.sinks))
        )
        stamp = Stamp(stage.scene, x, y, dots[-1], ends, style, tooltip=stage.tooltip(wire.source))
        stamp.draw(family)
    return dots
