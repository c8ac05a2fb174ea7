"""Draws the rails: what all steps read, once, with a tap for every step."""

from __future__ import annotations

from tinygradrnn.drawing.frames import Branch
from tinygradrnn.drawing.look import NUMBER
from tinygradrnn.drawing.records import Wire, joint
from tinygradrnn.drawing.scene import Line, Text
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.stamping import Stamp, Style
from tinygradrnn.drawing.text import number


def draw_rails(stage: Stage) -> None:
    """Every rail, with its box at the left end."""
    for n, template in enumerate(stage.templates):
        for r in range(len(template.rails)):
            _draw_rail(stage, n, r)


def _draw_rail(stage: Stage, n: int, r: int) -> None:
    template, scene = stage.templates[n], stage.scene
    box = template.rails[r]
    y = stage.placed[n].rails[r] + stage.place[template.steps[0]][2]
    stage.drawn.add(box)
    at = stage.draw_origin(box, stage.label_x[n], y, stage.label_width[n])
    weight = box in stage.look.weight_colour
    total = stage.diagram.boxes[box].total
    colour = stage.look.weight_colour.get(box, stage.theme.wire)
    thick = stage.look.rail(total) if weight else 1.4
    steps = set(template.steps)
    taps = [
        dot
        for wire in stage.diagram.wires_from[box]
        if wire.state is None and stage.step_of(wire.targets[0]) in steps
        for dot in _draw_taps(stage, r, wire, colour, weight)
    ]
    for dot in sorted(taps, key=lambda dot: scene.dots[~dot].x):
        points = ((stage.right_end(at), y), (scene.dots[~dot].x, y))
        scene.lines.append(Line(points, at, dot, colour, thick, "rail", stage.tooltip(box)))
        at = dot
    shown = stage.rail_text(box)
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

    def size(branch: Branch) -> float | None:
        here = [s for s in branch.sinks if s in terms]
        return wire.term if len(here) == len(terms) else joint(terms[s] for s in here)

    def style(branch: Branch) -> Style:
        if weight:
            return Style(colour, stage.look.tap(size(branch)), "tap")
        return Style(colour, 1.1)

    dots = []
    for root in placed.nets[net]:
        if not root.begins or terms.keys().isdisjoint(root.sinks):
            continue
        px, py = root.points[0]
        thick = style(root).width
        dots.append(stage.scene.dot(px + x, py + y, 2.0 + thick / 2, colour))
        if weight and stage.diagram.gradients:
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
