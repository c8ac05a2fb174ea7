"""Draws the names of steps, layers and phases."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import pairwise

from tinygradrnn.drawing.look import BODY, GAP, TITLE
from tinygradrnn.drawing.scene import Scene, Text
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.text import width

ABOVE = 22.0


def name_steps(scene: Scene) -> None:
    """The name of every step above it, beside the lines that rise there."""
    upright = sorted(
        (x1, min(y1, y2), max(y1, y2))
        for line in scene.lines
        for (x1, y1), (x2, y2) in pairwise(line.points)
        if x1 == x2
    )
    for panel in scene.panels:
        y, right = panel.top + 11, panel.right + GAP
        first, last = bisect_left(upright, (panel.left,)), bisect_right(upright, (right,))
        own = [x for x, low, high in upright[first:last] if low < y + 7 and high > y - 7]
        wide = width(panel.name, BODY) + 6
        places = [panel.left + 10, *[at + 7 for at in own]]
        free = [x for x in places if not any(x - 5 < at < x + wide for at in own)]
        x = next((x for x in free if x + wide < right), None)
        plate = scene.theme.page if x is None else None  # it has to interrupt what rises
        x = panel.left + 10 if x is None else x
        scene.texts.append(
            Text(x, y, panel.name, BODY, scene.theme.muted, align="left", plate=plate)
        )


def name_layers(stage: Stage) -> None:
    """``layer 2 ←`` at the left margin, beside the lanes of the layer."""
    for n, template in enumerate(stage.templates):
        if n:  # of a later phase the rails alone bear them
            break
        x = stage.label_x[n] - stage.label_width[n] / 2 - stage.margin[n]
        _, _, y = stage.place[template.steps[0]]
        heights: dict[int | None, list[float]] = {}
        for height, state in zip(stage.placed[n].entries, template.states, strict=False):
            slot = stage.diagram.states[state].slot
            item = template.item_of[slot]
            heights.setdefault(template.groups[item], []).append(height + y)
        names = [
            (layer.name, (max(found) + min(found)) / 2)
            for layer in stage.diagram.layers
            if layer.name and (found := heights.get(layer.group))
        ]
        wide = max((width(name, BODY, bold=True) for name, _ in names), default=0)
        for shape in stage.scene.shapes:  # what stands before an initial state: a learned one
            left, reach = shape.x - shape.width / 2, shape.height / 2 + BODY / 2
            if left < x + wide and any(abs(shape.y - middle) < reach for _, middle in names):
                x = min(x, left - wide - GAP / 2)
        stage.scene.texts += [
            Text(x, middle, name, BODY, stage.theme.ink, bold=True, align="left")
            for name, middle in names
        ]


def name_phases(scene: Scene, stage: Stage) -> None:
    """``encoder`` and ``decoder`` above all, where each begins."""
    names = {layer.phase: layer.phase_name for layer in stage.diagram.layers if layer.phase_name}
    top = scene.bounds()[3] + ABOVE
    for template in stage.templates:
        name = names.get(template.steps[0].phase)
        if name:
            _, x, _ = stage.place[template.steps[0]]
            scene.texts.append(
                Text(x + 10, top, name, TITLE, scene.theme.ink, bold=True, align="left")
            )
