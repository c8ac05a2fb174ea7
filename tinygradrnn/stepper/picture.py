"""The drawn graph as inline SVG in a style sheet's colours, and which of its lines are whose.

The scene is written by itself, without Graphviz: a page of one file must not depend on a program.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from html import escape
from typing import Any

from tinygradrnn.drawing.dot import CLEAR, MARGIN, figures, find_crossings, rounded, span
from tinygradrnn.drawing.frames import Point
from tinygradrnn.drawing.records import Diagram
from tinygradrnn.drawing.scene import ORDER, Dot, Line, Scene, Shape, Text
from tinygradrnn.drawing.theme import DARK, LIGHT, Lane, Theme
from tinygradrnn.drawing.timeline import compose

WIDTH = {"lane": 2.6, "rail": 2.0, "tap": 1.7, "flow": 1.3}
HEAD = 8.0
LONGEST_SUM = "‖Σ‖ 8.8e-8"
NAMED = ("page", "panel", "panel_edge", "ink", "muted", "wire", "box", "gate")


def _variable(name: str) -> str:
    return f"var(--{name.replace('_', '-')})"


VARIABLES = replace(
    LIGHT,
    name="variables",
    **dict[str, Any]((name, _variable(name)) for name in NAMED),
    weights=tuple(_variable(f"weight-{n}") for n in range(len(LIGHT.weights))),
    lanes=tuple(
        Lane(_variable(f"lane-{n}"), _variable(f"lane-text-{n}")) for n in range(len(LIGHT.lanes))
    ),
)
"""A theme whose colours are decided where the picture is looked at."""


def style_variables() -> str:
    """The colours of both themes: the reader's choice, or else what the system prefers.

    Paper is light.
    """
    light, dark = _declarations(LIGHT), _declarations(DARK)
    return (
        f":root {{ color-scheme: light; {light} }}\n"
        "@media screen and (prefers-color-scheme: dark) {\n"
        f"  :root:not([data-theme='light']) {{ color-scheme: dark; {dark} }}\n}}\n"
        f"@media screen {{\n  :root[data-theme='dark'] {{ color-scheme: dark; {dark} }}\n}}\n"
    )


def _declarations(theme: Theme) -> str:
    found = {name.replace("_", "-"): getattr(theme, name) for name in NAMED}
    found |= {f"weight-{n}": colour for n, colour in enumerate(theme.weights)}
    for n, lane in enumerate(theme.lanes):
        found |= {f"lane-{n}": lane.line, f"lane-text-{n}": lane.text}
    return " ".join(f"--{name}: {colour};" for name, colour in found.items())


class Picture:
    """A diagram, placed.

    Parameters
    ----------
    diagram : Diagram
        With the sizes of gradients.
    tags : mapping of int to str
        By box: what the page calls its result, where that is not written in it.

    Attributes
    ----------
    scene : Scene
    shape : dict of int to int
        Box to shape.
    lines : dict of (int, int) to tuple of int
        The lines that lead from one box to another one.
    """

    def __init__(self, diagram: Diagram, tags: Mapping[int, str]) -> None:
        self.tags = tags
        self.scene: Scene = compose(diagram, VARIABLES, legend=False)
        self.title = diagram.title
        self.shape = {shape.box: n for n, shape in enumerate(self.scene.shapes)}
        self.lines = self._ways()

    def _ways(self) -> dict[tuple[int, int], tuple[int, ...]]:
        """Follow the lines from every box, over dots, to the boxes where they end."""
        leaving: dict[int, list[int]] = {}
        for k, line in enumerate(self.scene.lines):
            leaving.setdefault(line.start, []).append(k)
        found: dict[tuple[int, int], dict[int, None]] = {}
        for start, shape in enumerate(self.scene.shapes):
            waiting: list[tuple[int, tuple[int, ...]]] = [(start, ())]
            while waiting:
                at, way = waiting.pop()
                if at >= 0 and way:
                    key = shape.box, self.scene.shapes[at].box
                    found.setdefault(key, {}).update(dict.fromkeys(way))
                    continue
                for k in leaving.get(at, ()):
                    waiting.append((self.scene.lines[k].end, (*way, k)))
        return {key: tuple(lines) for key, lines in found.items()}

    def svg(self) -> str:
        """The picture as an ``<svg>`` element."""
        return "\n".join(self._elements())

    # ---------------------------------------------------------------- elements

    def _elements(self) -> Iterator[str]:
        scene = self.scene
        left, bottom, right, top = _bounds(scene)
        box = " ".join(map(figures, (left, -top, right - left, top - bottom)))
        yield (
            f'<svg id="picture" viewBox="{box}" role="group" '
            f'aria-roledescription="computation graph" aria-label="{escape(self.title)}">'
        )
        for n, p in enumerate(scene.panels):
            yield (
                f'<rect class="step" id="step{n}" x="{figures(p.left)}" y="{figures(-p.top)}" '
                f'width="{figures(p.right - p.left)}" height="{figures(p.top - p.bottom)}" rx="8"/>'
            )
        crossings = find_crossings(scene.lines)
        for k in sorted(range(len(scene.lines)), key=lambda k: (_rank(scene.lines[k]), k)):
            line = scene.lines[k]
            for point, upright, _ in crossings.get(k, ()):
                yield self._gap(line, point, upright)
            yield self._line(k, line)
        for n, shape in enumerate(scene.shapes):
            yield self._shape(n, shape)
        for n, text in enumerate(scene.texts):
            yield self._text(n, text)
        yield "</svg>"

    def _gap(self, line: Line, point: Point, upright: bool) -> str:
        x, y = point
        reach = 3.5
        dx, dy = (0.0, reach) if upright else (reach, 0.0)
        inside = any(p.left <= x <= p.right and p.bottom <= y <= p.top for p in self.scene.panels)
        return (
            f'<path class="gap" style="stroke:var(--{"panel" if inside else "page"});'
            f'stroke-width:{figures(WIDTH[line.over] + 2 * CLEAR)}" '
            f'd="M{figures(x - dx)},{figures(-y - dy)}L{figures(x + dx)},{figures(-y + dy)}"/>'
        )

    def _line(self, k: int, line: Line) -> str:
        (x1, y1), (x2, y2) = line.points[-2:]
        points, head = line.points, ""
        if line.arrow:
            dx, dy = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
            points = (*points[:-1], (x2 - dx * (HEAD - 1), y2 - dy * (HEAD - 1)))
            sx, sy, half = -dx * HEAD, dy * HEAD, HEAD * 0.38
            head = (
                f'<path class="head" d="M{figures(x2)},{figures(-y2)}'
                f"l{figures(sx + dy * half)},{figures(sy + dx * half)}"
                f'l{figures(-2 * dy * half)},{figures(-2 * dx * half)}z"/>'
            )
        dot = _dot(self.scene.dots[~line.end]) if line.end < 0 else ""
        path = _path(points)
        whole = _path(line.points)
        dashed = " dashed" if line.dashed else ""
        return (
            f'<g class="line {line.over}{dashed}" id="e{k}" tabindex="-1" role="img" '
            f'aria-label="edge that carries {escape(line.tooltip or "a value")}" '
            f'style="--colour:{line.colour};--size:{figures(line.width + 2.5)}">'
            f'<path class="band" d="{whole}"/><path class="wire" d="{path}"/>{head}{dot}'
            f'<path class="hit" d="{whole}"/></g>'
        )

    def _shape(self, n: int, s: Shape) -> str:
        left, top = s.x - s.width / 2, -s.y - s.height / 2
        radius = s.height / 2 if s.round else 6.0
        high = s.size * 1.12
        first = -s.y - high * (len(s.text) - 1) / 2
        lines = "".join(
            f'<text x="{figures(s.x)}" y="{figures(first + high * k)}">{escape(text)}</text>'
            for k, text in enumerate(s.text)
        )
        label = " ".join(s.text)
        if s.box in self.tags:
            wide = s.width > 60
            x, y = s.x + s.width / 2 + (-4 if wide else 2), top - (7 if wide else 2)
            tag, kind = escape(self.tags[s.box]), "tag wide" if wide else "tag"
            lines += f'<text class="{kind}" x="{figures(x)}" y="{figures(y)}">{tag}</text>'
            label = f"{label}, {self.tags[s.box]}"
        kind = s.style + (" dashed" if s.dashed else "") + (" bold" if s.bold else "")
        return (
            f'<g class="box {kind}" id="n{n}" tabindex="-1" role="img" '
            f'aria-label="{escape(label)}" style="--edge:{s.edge};--fill:{s.fill};'
            f'--text:{s.ink};font-size:{figures(s.size)}px">'
            f'<rect x="{figures(left)}" y="{figures(top)}" width="{figures(s.width)}" '
            f'height="{figures(s.height)}" rx="{figures(radius)}" '
            f'style="--thick:{figures(s.thick)}"/>{lines}</g>'
        )

    def _text(self, n: int, text: Text) -> str:
        anchor = {"left": "start", "middle": "middle", "right": "end"}[text.align]
        number = " number" if text.line is not None or text.total is not None else ""
        plate = ""
        if text.plate:
            longest = text if text.total is None else replace(text, text=LONGEST_SUM)
            x, wide = span(longest)
            plate = (
                f'<rect x="{figures(x)}" y="{figures(-text.y - text.size * 0.65)}" '
                f'width="{figures(wide)}" height="{figures(text.size * 1.3)}" '
                f'style="fill:{text.plate}"/>'
            )
        return (
            f'<g class="note{number}{" bold" if text.bold else ""}" id="t{n}">{plate}'
            f'<text x="{figures(text.x)}" y="{figures(-text.y)}" text-anchor="{anchor}" '
            f'style="fill:{text.colour};font-size:{figures(text.size)}px">{escape(text.text)}'
            "</text></g>"
        )


def _dot(dot: Dot) -> str:
    """Where a wire forks; it appears with the line that leads there."""
    if not dot.radius:
        return ""
    return (
        f'<circle class="head" cx="{figures(dot.x)}" cy="{figures(-dot.y)}" '
        f'r="{figures(min(dot.radius, 3.2))}"/>'
    )


def _rank(line: Line) -> int:
    return ORDER.index(line.over)


def _path(points: tuple[Point, ...]) -> str:
    """Straight pieces with rounded corners."""
    curve = [f"{figures(x)},{figures(-y)}" for x, y in rounded(points)]
    return f"M{curve[0]}C{' '.join(curve[1:])}"


def _bounds(scene: Scene) -> tuple[float, float, float, float]:
    left, bottom, right, top = scene.bounds()
    for text in scene.texts:
        x, wide = span(text)
        left, right = min(left, x), max(right, x + wide)
        bottom, top = min(bottom, text.y - text.size), max(top, text.y + text.size)
    return left - MARGIN, bottom - MARGIN, right + MARGIN, top + MARGIN
