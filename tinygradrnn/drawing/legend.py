"""Title and legend, above the picture."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from tinygradrnn.drawing.look import TITLE, Look
from tinygradrnn.drawing.records import Diagram
from tinygradrnn.drawing.scene import Line, Scene, Shape, Text
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

    def line(
        x: float,
        y: float,
        wide: float,
        colour: str,
        thick: float,
        arrow: bool,
        dashed: bool = False,
    ) -> None:
        start, end = scene.dot(x, y, 0.0, colour), scene.dot(x + wide, y, 0.0, colour)
        points = ((x, y), (x + wide, y))
        scene.lines.append(
            Line(points, start, end, colour, thick, "rail", arrow=arrow, dashed=dashed)
        )

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
    if diagram.backward:
        found += _both_ways(scene, diagram, look, sorted(railed))
    elif railed:
        colours = [look.weight_colour[k] for k in sorted(railed)][:3]

        def weights(x: float, y: float) -> None:
            for n, colour in enumerate(colours):
                line(x + 13 * n, y, 11.0, colour, 2.0, False)
                scene.dot(x + 13 * n + 5.5, y, 2.8, colour)

        use = "drawn once for all steps" if diagram.rolls else "drawn once, one tap per step"
        found.append(Entry(weights, 13.0 * len(colours) + 6, f"weight: {use}"))
    found += [Entry(None, 0.0, note) for note in diagram.notes]
    dashes = partial(line, wide=28.0, thick=1.6, arrow=False, dashed=True)
    if any(box.frozen for box in diagram.boxes):
        frozen = [k for k, box in enumerate(diagram.boxes) if box.frozen]
        colour = look.weight_colour.get(frozen[0], theme.wire)
        found.append(Entry(partial(dashes, colour=colour), SAMPLE, "frozen: not trained"))
    if any(box.kind == "mask" for box in diagram.boxes):
        shared = any(b.kind == "mask" and b.step is None for b in diagram.boxes)
        what = "dropout mask" + (", one for all steps of a sequence" if shared else "")
        rail = partial(dashes, colour=theme.wire) if shared else None
        found.append(Entry(rail, SAMPLE if shared else 0.0, what))
    if diagram.running:
        found.append(Entry(None, 0.0, "run: sequences that have not ended"))
    if diagram.gradients:
        found.append(_scale(scene, look, partial(line, colour=theme.muted, arrow=False)))
    return found


def _scale(scene: Scene, look: Look, line: Callable[..., None]) -> Entry:
    """What numbers and thickness mean, with three thicknesses."""
    text, thickness = "numbers, thickness: ‖∂L/∂·‖, — none", look.lane
    if look.diagram.rolls:
        text = "numbers, thickness of weights: ‖∂L/∂·‖, the sum over all steps · — none"
        thickness = look.tap
    elif not (look.diagram.steps or look.diagram.backward):
        text = "arrows run forward · numbers, thickness of weights: ‖∂L/∂·‖, — none"
        thickness = look.tap
    elif not look.diagram.backward:
        text = f"arrows run forward · {text}"
    marks: list[tuple[float, str]] = []
    if look.largest > 0:
        power = math.floor(math.log10(look.largest))
        marks = [(10.0 ** (power + step), _power(power + step)) for step in (-4, -2, 0)]
    start = width(text, SIZE) + 16

    def sample(x: float, y: float) -> None:
        scene.texts.append(Text(x, y, text, SIZE, look.theme.muted, align="left"))
        x += start
        for size, shown in marks:
            line(x, y, wide=22.0, thick=thickness(size))
            scene.texts.append(Text(x + 28, y, shown, SIZE, look.theme.muted, align="left"))
            x += 42 + width(shown, SIZE)

    return Entry(sample, start + sum(42 + width(shown, SIZE) for _, shown in marks), "")


def _both_ways(scene: Scene, diagram: Diagram, look: Look, railed: list[int]) -> list[Entry]:
    """What the lower half of a picture with the backward graph holds."""
    theme = look.theme

    def box(x: float, y: float, text: str, edge: str, fill: str, dashed: bool) -> None:
        shape = Shape(x + 15, y, 30, 17, (text,), fill, edge, edge, " ", "legend", -1, size=SIZE)
        scene.shape(replace(shape, dashed=dashed, thick=1.2))

    gradient = theme.gradient.text
    twin = partial(box, text="∂s", edge=gradient, fill=theme.gradient_box, dashed=True)
    found = [Entry(twin, 37.0, "gradient below its box (δ: of one without a name), ‖·‖ inside")]
    if railed:
        colour = look.weight_colour[railed[0]]
        term = partial(box, text="sᵀδ", edge=colour, fill=theme.page, dashed=False)
        found.append(Entry(term, 37.0, "term of a step; the rail is their sum so far"))
    kept = sorted({k for w in diagram.wires if w.share is not None for k in w.share.kept})
    if kept:

        def dotted(x: float, y: float) -> None:
            colour = look.lanes[kept[0]].line
            ends = scene.dot(x, y, 0.0, colour), scene.dot(x + 28, y, 0.0, colour)
            points = ((x, y), (x + 28, y))
            scene.lines.append(Line(points, *ends, colour, 1.3, "kept", arrow=True, dotted=True))

        found.append(Entry(dotted, SAMPLE, "kept for the backward walk"))
    return found


def _power(exponent: int) -> str:
    return f"{10.0**exponent:g}" if -2 <= exponent <= 2 else f"1e{exponent}"
