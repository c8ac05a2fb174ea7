"""Title and legend, above the picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from tinygradrnn.drawing.look import TITLE, Look
from tinygradrnn.drawing.records import Diagram
from tinygradrnn.drawing.scene import Line, Scene, Text
from tinygradrnn.drawing.text import pretty, width

SIZE = 11.0
ROW, APART, SAMPLE = 20.0, 26.0, 34.0
LEAST_WIDTH = 640.0
STATES = {"h": "hidden state h", "c": "cell state c", "s": "state s"}


class Entry(NamedTuple):
    """A sample, how wide it is, and what it means."""

    sample: Callable[[float, float], None] | None
    room: float
    text: str


def add_legend(scene: Scene, diagram: Diagram, look: Look) -> None:
    """Write the title and the legend above everything that is in the scene."""
    left, _, right, top = scene.bounds()
    top = max([top, *(text.y + text.size for text in scene.texts)])
    limit = max(right, left + LEAST_WIDTH)
    title = width(diagram.title, TITLE, bold=True)
    start = left + title + 34
    rows: list[list[tuple[float, Entry]]] = [[]]
    x = start
    for entry in _entries(scene, diagram, look):
        wide = entry.room + width(entry.text, SIZE)
        if x + wide > limit and (rows[-1] or x > left):
            x = left
            rows.append([])
        rows[-1].append((x, entry))
        x += wide + APART
    rows = [row for n, row in enumerate(rows) if row or n == 0]
    y = top + 14 + ROW * len(rows)
    scene.texts.append(Text(left, y, diagram.title, TITLE, look.theme.ink, bold=True, align="left"))
    for n, row in enumerate(rows):
        for x, entry in row:
            if entry.sample is not None:
                entry.sample(x, y - n * ROW)
            if entry.text:
                at = x + entry.room
                scene.texts.append(
                    Text(at, y - n * ROW, entry.text, SIZE, look.theme.muted, align="left")
                )


def _entries(scene: Scene, diagram: Diagram, look: Look) -> list[Entry]:
    theme = look.theme
    found: list[Entry] = []

    def line(x: float, y: float, wide: float, colour: str, thick: float, arrow: bool) -> None:
        start, end = scene.dot(x, y, 0.0, colour), scene.dot(x + wide, y, 0.0, colour)
        points = ((x, y), (x + wide, y))
        scene.lines.append(Line(points, start, end, colour, thick, "rail", arrow=arrow))

    seen: dict[str, str] = {}
    for state, lane in zip(diagram.states, look.lanes, strict=True):
        seen.setdefault(state.name, lane.line)
    if diagram.steps:
        for name, colour in seen.items():
            text = STATES.get(name, f"state {pretty(name)}")
            sample = partial(line, wide=28.0, colour=colour, thick=3.2, arrow=True)
            found.append(Entry(sample, SAMPLE, text))
    railed = {
        wire.source
        for wire in diagram.wires
        if wire.source in look.weight_colour and diagram.boxes[wire.targets[0]].step is not None
    }
    if railed:
        colours = [look.weight_colour[k] for k in sorted(railed)][:3]

        def weights(x: float, y: float) -> None:
            for n, colour in enumerate(colours):
                line(x + 13 * n, y, 11.0, colour, 2.0, False)
                scene.dot(x + 13 * n + 5.5, y, 2.8, colour)

        use = "drawn once for all steps" if diagram.rolls else "drawn once, one tap per step"
        found.append(Entry(weights, 13.0 * len(colours) + 6, f"weight: {use}"))
    found += [Entry(None, 0.0, note) for note in diagram.notes]
    if diagram.gradients:
        text = "arrows run forward · numbers, thickness: ‖∂L/∂·‖, — none"
        if diagram.rolls:
            text = "numbers, thickness of weights: ‖∂L/∂·‖, the sum over all steps · — none"
        found.append(Entry(None, 0.0, text))
        if look.largest > 0:
            power = math.floor(math.log10(look.largest))
            marks = [(10.0 ** (power + step), _power(power + step)) for step in (-4, -2, 0)]

            def scale(x: float, y: float) -> None:
                thickness = look.tap if diagram.rolls else look.lane
                for size, text in marks:
                    line(x, y, 22.0, theme.muted, thickness(size), False)
                    scene.texts.append(Text(x + 28, y, text, SIZE, theme.muted, align="left"))
                    x += 42 + width(text, SIZE)

            found.append(Entry(scale, sum(42 + width(text, SIZE) for _, text in marks), ""))
    return found


def _power(exponent: int) -> str:
    return f"{10.0**exponent:g}" if -2 <= exponent <= 2 else f"1e{exponent}"
