"""A scene as DOT text, every position given: Graphviz only draws it (engine ``nop2``).

Plain labels and attributes only, so that all versions draw it alike. Numbers of nodes and edges
follow the order of the scene, so that equal scenes give equal text.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator

from tinygradrnn.drawing.frames import Point
from tinygradrnn.drawing.scene import ORDER, Line, Scene, Shape, Text
from tinygradrnn.drawing.text import width

FONT, BOLD = "Helvetica", "Helvetica-Bold"
MARGIN = 18.0
CORNER = 6.0
CLEAR = 3.0  # what stays free on both sides of a line that crosses another
CELL = 200.0
KAPPA = 0.5523  # of a quarter circle drawn as a Bézier curve


def to_dot(scene: Scene) -> str:
    """The DOT text of a scene."""
    return "\n".join(_Writer(scene).lines()) + "\n"


def quoted(text: str) -> str:
    r"""A text as a DOT string that means just these characters.

    In labels Graphviz expands backslash sequences (``\N`` is the name of the node) and entities.
    """
    text = text.replace("&", "&amp;").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def label(lines: tuple[str, ...], end: str = "n") -> str:
    """Several lines; ``end`` is ``n`` for centred, ``l`` or ``r`` for aligned."""
    if len(lines) == 1 and end == "n":
        return quoted(lines[0])
    inner = f"\\{end}".join(quoted(line)[1:-1] for line in lines)
    closed = inner if end == "n" else f"{inner}\\{end}"
    return f'"{closed}"'


def figures(value: float) -> str:
    """A number with at most one decimal."""
    text = f"{value:.1f}"
    if text.endswith(".0"):
        text = text[:-2]
    return "0" if text == "-0" else text


class _Writer:
    def __init__(self, scene: Scene) -> None:
        self.scene, self.theme = scene, scene.theme
        self.edges = 0

    def lines(self) -> Iterator[str]:
        left, bottom, right, top = self._bounds()
        yield "digraph G {"
        yield (
            f"  graph [bb={self._box(left, bottom, right, top)}, bgcolor={quoted(self.theme.page)},"
            f' charset="UTF-8", layout=nop2, notranslate=true, outputorder=edgesfirst, pad=0,'
            f" splines=true];"
        )
        yield (
            f'  node [fixedsize=true, fontname="{FONT}", margin=0, shape=box,'
            ' style="rounded,filled"];'
        )
        yield '  edge [arrowhead=none, dir=forward, tooltip=" "];'
        yield from self._panels()
        yield from self._frame(left, bottom, right, top)
        for n, shape in enumerate(self.scene.shapes):
            yield self._shape(n, shape)
        for n, dot in enumerate(self.scene.dots):
            yield (
                f"  d{n} [fillcolor={quoted(dot.colour)}, color={quoted(dot.colour)}, height="
                f'{self._inch(2 * dot.radius)}, id="d{n}", label="", pos={self._at(dot.x, dot.y)}, '
                f'shape=circle, style="{"filled" if dot.radius else "invis"}", '
                f'tooltip=" ", width={self._inch(2 * dot.radius)}];'
            )
        for n, text in enumerate(self.scene.texts):
            yield self._text(n, text)
        yield from self._edges()
        yield "}"

    def _bounds(self) -> tuple[float, float, float, float]:
        left, bottom, right, top = self.scene.bounds()
        for text in self.scene.texts:
            x, wide = span(text)
            left, right = min(left, x), max(right, x + wide)
            bottom, top = min(bottom, text.y - text.size), max(top, text.y + text.size)
        return left - MARGIN, bottom - MARGIN, right + MARGIN, top + MARGIN / 2

    def _frame(self, left: float, bottom: float, right: float, top: float) -> Iterator[str]:
        """Two corners: Graphviz draws as much of the page as is used."""
        for n, (x, y) in enumerate(((left, bottom), (right, top))):
            yield (
                f'  c{n} [height=0, label="", pos={self._at(x, y)}, shape=point, style=invis, '
                f'tooltip=" ", width=0];'
            )

    def _panels(self) -> Iterator[str]:
        for n, p in enumerate(self.scene.panels):
            yield (
                f"  subgraph cluster_{n} {{ graph [bb={self._box(p.left, p.bottom, p.right, p.top)}"
                f', class="step", color={quoted(self.theme.panel_edge)}, '
                f'fillcolor={quoted(self.theme.panel)}, id="step{n}", label="", '
                f'style="rounded,filled", tooltip={quoted(p.name)}]; '
                f'p{n} [height=0, label="", pos={self._at(p.left + 9, p.top - 9)}, shape=point, '
                f"style=invis, width=0]; }}"
            )

    def _shape(self, n: int, s: Shape) -> str:
        style = "filled" if s.round else "rounded,filled"
        if s.dashed:
            style += ",dashed"
        return (
            f"  n{n} [class={quoted(s.style)}, color={quoted(s.edge)}, fillcolor={quoted(s.fill)}, "
            f"fontcolor={quoted(s.ink)}, {self._font(s.bold, s.size)}, "
            f'height={self._inch(s.height)}, id="n{n}", label={label(s.text)}, '
            f"penwidth={figures(s.thick)}, "
            f"pos={self._at(s.x, s.y)}, {'shape=circle, ' if s.round else ''}"
            f'style="{style}", tooltip={quoted(s.tooltip)}, width={self._inch(s.width)}];'
        )

    def _font(self, bold: bool, size: float) -> str:
        return f"{f'fontname={quoted(BOLD)}, ' if bold else ''}fontsize={figures(size)}"

    def _text(self, n: int, text: Text) -> str:
        x, wide = span(text)
        fill = f", fillcolor={quoted(text.plate)}" if text.plate else ""
        style = "filled" if text.plate else "solid"
        end = {"left": "l", "right": "r", "middle": "n"}[text.align]
        return (
            f'  t{n} [class="text"{f", color={quoted(text.plate)}" if text.plate else ""}{fill}, '
            f"fontcolor={quoted(text.colour)}, {self._font(text.bold, text.size)}, "
            f'height={self._inch(text.size * 1.25)}, id="t{n}", label={label((text.text,), end)}, '
            f"pos={self._at(x + wide / 2, text.y)}, "
            f'shape={"box" if text.plate else "plaintext"}, style="{style}", tooltip=" ", '
            f"width={self._inch(wide)}];"
        )

    # ---------------------------------------------------------------- lines

    def _edges(self) -> Iterator[str]:
        crossings = find_crossings(self.scene.lines)
        order = sorted(
            range(len(self.scene.lines)), key=lambda k: (ORDER.index(self.scene.lines[k].over), k)
        )
        for k in order:
            line = self.scene.lines[k]
            for point, upright, under in crossings.get(k, ()):
                yield self._underlay(line, point, upright, under)
            yield from self._line(line)

    def _underlay(self, line: Line, point: Point, upright: bool, under: float) -> str:
        """A short wide piece of a line in the background's colour: interrupts what it crosses."""
        reach = under / 2 + 1.2
        x, y = point
        ends = ((x, y - reach), (x, y + reach)) if upright else ((x - reach, y), (x + reach, y))
        return self._edge(line, ends, self._background(point), line.width + 2 * CLEAR, part="gap")

    def _background(self, point: Point) -> str:
        panels = self.scene.panels
        at = bisect_right(panels, point[0], key=lambda p: p.left) - 1
        if at >= 0:
            p = panels[at]
            if p.left <= point[0] <= p.right and p.bottom <= point[1] <= p.top:
                return self.theme.panel
        return self.theme.page

    def _line(self, line: Line) -> Iterator[str]:
        if not line.arrow:
            yield self._edge(line, line.points, line.colour, line.width)
            return
        (x1, y1), (x2, y2) = line.points[-2:]
        away = math.dist((x1, y1), (x2, y2))
        length = min(head_length(line.width), away * 0.8)
        base = (x2 + (x1 - x2) * length / away, y2 + (y1 - y2) * length / away)
        points = (*line.points[:-1], base)
        tip = f"e,{figures(x2)},{figures(y2)} "
        size = f"{length / 10:.2f}"
        if line.width <= 2.0:
            yield self._edge(line, points, line.colour, line.width, tip=tip, arrow=size)
            return
        # Graphviz draws the head with the pen of the line, which spoils that of a thick one
        yield self._edge(line, points, line.colour, line.width)
        near = (base[0] + (x1 - x2) / away / 2, base[1] + (y1 - y2) / away / 2)
        yield self._edge(line, (near, base), line.colour, 1.0, tip=tip, arrow=size, part="head")

    def _edge(
        self,
        line: Line,
        points: tuple[Point, ...],
        colour: str,
        thick: float,
        *,
        tip: str = "",
        arrow: str = "",
        part: str = "",
    ) -> str:
        spline = " ".join(f"{figures(x)},{figures(y)}" for x, y in rounded(points))
        head = f"arrowhead=normal, arrowsize={arrow}, " if arrow else ""
        name = ""
        if not part:
            name = f', id="e{self.edges}", tooltip={quoted(line.tooltip or " ")}'
            self.edges += 1
        return (
            f"  {_end(line.start)} -> {_end(line.end)} [{head}class={part or line.over}, "
            f'color="{colour}", penwidth={figures(thick)}, pos="{tip}{spline}"'
            f"{_pattern(line) if part != 'gap' else ''}{name}];"
        )

    @staticmethod
    def _inch(value: float) -> str:
        return f"{value / 72:.4f}".rstrip("0").rstrip(".")

    @staticmethod
    def _at(x: float, y: float) -> str:
        return f'"{figures(x)},{figures(y)}"'

    @staticmethod
    def _box(left: float, bottom: float, right: float, top: float) -> str:
        return '"' + ",".join(map(figures, (left, bottom, right, top))) + '"'


def _pattern(line: Line) -> str:
    return ", style=dashed" if line.dashed else ", style=dotted" if line.dotted else ""


def _end(number: int) -> str:
    return f"n{number}" if number >= 0 else f"d{~number}"


def span(text: Text) -> tuple[float, float]:
    """The left end and the width of a text."""
    wide = width(text.text, text.size, text.bold) + (8 if text.plate else 2)
    shift = {"left": 0.0, "middle": wide / 2, "right": wide}[text.align]
    return text.x - shift - (4 if text.plate and text.align == "left" else 0), wide


def head_length(thick: float) -> float:
    """How long the arrowhead of a line is."""
    return 4.6 + 1.75 * thick


def rounded(points: tuple[Point, ...]) -> list[Point]:
    """A path of straight pieces as a Bézier curve with rounded corners."""
    curve: list[Point] = [points[0]]

    def straight(to: Point) -> None:
        curve.extend((curve[-1], to, to))

    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        radius = min(CORNER, math.dist(before, corner) / 2, math.dist(corner, after) / 2)
        start, end = _towards(corner, before, radius), _towards(corner, after, radius)
        straight(start)
        curve.extend(
            (
                _towards(start, corner, radius * KAPPA),
                _towards(end, corner, radius * KAPPA),
                end,
            )
        )
    straight(points[-1])
    return curve


def _towards(a: Point, b: Point, by: float) -> Point:
    length = math.dist(a, b)
    return (a[0] + (b[0] - a[0]) * by / length, a[1] + (b[1] - a[1]) * by / length) if length else a


def find_crossings(lines: list[Line]) -> dict[int, list[tuple[Point, bool, float]]]:
    """For each line the points at which it passes over another one.

    With each point, whether the line is upright there, and how thick the one below is.
    """
    level: dict[int, list[tuple[float, float, float, int]]] = defaultdict(list)
    upright: list[tuple[float, float, float, int]] = []
    for k, line in enumerate(lines):
        for (x1, y1), (x2, y2) in zip(line.points, line.points[1:], strict=False):
            if x1 == x2:
                upright.append((x1, min(y1, y2), max(y1, y2), k))
                continue
            low, high = min(x1, x2), max(x1, x2)
            for cell in range(int(low // CELL), int(high // CELL) + 1):
                level[cell].append((y1, low, high, k))
    found: dict[int, list[tuple[Point, bool, float]]] = defaultdict(list)
    for x, bottom, top, k in upright:
        for y, left, right, j in level[int(x // CELL)]:
            if bottom + 1 < y < top - 1 and left + 1 < x < right - 1 and j != k:
                above = ORDER.index(lines[k].over) >= ORDER.index(lines[j].over)
                over, under = (k, j) if above else (j, k)
                found[over].append(((x, y), above, lines[under].width))
    return {k: sorted(points) for k, points in found.items()}
