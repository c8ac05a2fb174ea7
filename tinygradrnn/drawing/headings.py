"""Draws the names of steps, layers and phases."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from tinygradrnn.drawing.look import BODY, TITLE
from tinygradrnn.drawing.scene import Text
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.text import width


def name_steps(stage: Stage) -> None:
    """The name of every step above it, beside what rises there to a bus."""
    dots = stage.scene.dots
    risers = sorted(dots[~dot].x for found in stage.bus_dots.values() for dot in found)
    for panel in stage.scene.panels:
        first, last = bisect_left(risers, panel.left), bisect_right(risers, panel.right)
        own = risers[first:last]
        wide = width(panel.name, BODY) + 6
        places = [panel.left + 10, *[at + 6 for at in own]]
        free = [x for x in places if not any(x - 4 < at < x + wide for at in own)]
        x = next((x for x in free if x + wide < panel.right + stage.gap), None)
        plate = stage.theme.page if x is None else None  # it has to interrupt what rises
        x = panel.left + 10 if x is None else x
        y = panel.top + 11
        stage.scene.texts.append(
            Text(x, y, panel.name, BODY, stage.theme.muted, align="left", plate=plate)
        )


def name_layers(stage: Stage) -> None:
    """``layer 2 ←`` at the left margin, beside the lanes of the layer."""
    for n, template in enumerate(stage.templates):
        if not stage.margin[n]:
            continue
        x = stage.label_x[n] - stage.label_width[n] / 2 - stage.margin[n]
        _, _, y = stage.place[template.steps[0]]
        heights: dict[int | None, list[float]] = {}
        for height, state in zip(stage.placed[n].entries, template.states, strict=False):
            slot = stage.diagram.states[state].slot
            item = template.item_of[slot]
            heights.setdefault(template.groups[item], []).append(height + y)
        for layer in stage.diagram.layers:
            found = heights.get(layer.group)
            if layer.name and found:
                middle = (max(found) + min(found)) / 2
                stage.scene.texts.append(
                    Text(x, middle, layer.name, BODY, stage.theme.ink, bold=True, align="left")
                )


def name_phases(stage: Stage) -> None:
    """``encoder`` and ``decoder`` above the first step of each."""
    names = {layer.phase: layer.phase_name for layer in stage.diagram.layers if layer.phase_name}
    for n, template in enumerate(stage.templates):
        name = names.get(template.steps[0].phase)
        if name:
            _, x, y = stage.place[template.steps[0]]
            placed = stage.placed[n]
            top = y + max((placed.height + 14, *placed.buses)) + 18
            stage.scene.texts.append(
                Text(x + 10, top, name, TITLE, stage.theme.ink, bold=True, align="left")
            )
