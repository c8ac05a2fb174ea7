"""A picture as shapes, lines and texts at points: what is left to do is to write it down.

Points are 1/72 inch; y grows upwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tinygradrnn.drawing.frames import Point
from tinygradrnn.drawing.theme import Theme

Over = Literal["rail", "kept", "flow", "tap", "lane"]
ORDER: tuple[Over, ...] = ("rail", "kept", "flow", "tap", "lane")
"""Which line stays whole where two cross: the later one."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A box with its text, or a circle."""

    x: float
    y: float
    width: float
    height: float
    text: tuple[str, ...]
    fill: str
    edge: str
    ink: str
    tooltip: str
    style: str  # a class for style sheets: "op", "state", "weight" …
    box: int  # of the diagram
    size: float = 12.0
    bold: bool = False
    thick: float = 1.0
    round: bool = False
    dashed: bool = False


@dataclass(frozen=True, slots=True)
class Dot:
    """Where a wire forks, or a tap leaves its rail."""

    x: float
    y: float
    radius: float
    colour: str


@dataclass(frozen=True, slots=True)
class Line:
    """A wire, of horizontal and vertical pieces, between two shapes or dots.

    Ends are the indices of shapes, or ``~index`` for dots.
    """

    points: tuple[Point, ...]
    start: int
    end: int
    colour: str
    width: float
    over: Over
    tooltip: str = ""
    arrow: bool = False
    dashed: bool = False
    dotted: bool = False


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text; on a plate, it interrupts the line below it."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    bold: bool = False
    align: Literal["left", "middle", "right"] = "middle"
    plate: str | None = None
    line: int | None = None  # of the scene: the text says how large its gradient is
    total: int | None = None  # a box: the text says how large its whole gradient is


@dataclass(frozen=True, slots=True)
class Panel:
    """The background of a time step."""

    left: float
    bottom: float
    right: float
    top: float
    name: str


@dataclass(slots=True)
class Scene:
    """The picture."""

    theme: Theme
    shapes: list[Shape] = field(default_factory=list)
    dots: list[Dot] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)

    def shape(self, shape: Shape) -> int:
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def dot(self, x: float, y: float, radius: float, colour: str) -> int:
        """An end for lines: a dot's number, as lines know it."""
        self.dots.append(Dot(x, y, radius, colour))
        return ~(len(self.dots) - 1)

    def bounds(self) -> tuple[float, float, float, float]:
        """Left, bottom, right, top of everything but texts."""
        xs = [s.x + side * s.width / 2 for s in self.shapes for side in (-1, 1)]
        ys = [s.y + side * s.height / 2 for s in self.shapes for side in (-1, 1)]
        xs += [x for line in self.lines for x, _ in line.points]
        ys += [y for line in self.lines for _, y in line.points]
        xs += [x for p in self.panels for x in (p.left, p.right)]
        ys += [y for p in self.panels for y in (p.bottom, p.top)]
        return (
            min(xs, default=0.0),
            min(ys, default=0.0),
            max(xs, default=0.0),
            max(ys, default=0.0),
        )
