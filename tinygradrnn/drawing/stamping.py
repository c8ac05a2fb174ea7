"""Draws the nets of a placed frame into a scene, at the place of one time step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from tinygradrnn.drawing.frames import Branch, Point
from tinygradrnn.drawing.scene import Line, Over, Scene


class Style(NamedTuple):
    """How a piece of wire looks."""

    colour: str
    width: float
    over: Over = "flow"
    dashed: bool = False


@dataclass
class Stamp:
    """One net at one place.

    Attributes
    ----------
    scene : Scene
    x, y : float
        Where the frame stands.
    start : int
        The shape or dot that the net comes from.
    prefix : tuple of Point
        The way from there to the border of the frame.
    ends : dict of int to int
        For each sink that is served here its shape or dot.
    style : callable
        Branch → Style.
    tooltip : str
    """

    scene: Scene
    x: float
    y: float
    start: int
    ends: dict[int, int]
    style: Callable[[Branch], Style]
    prefix: tuple[Point, ...] = ()
    tooltip: str = ""
    left_open: frozenset[int] = frozenset()

    def draw(self, branches: tuple[Branch, ...]) -> dict[int, tuple[int, tuple[Point, ...]]]:
        """Draw the branches that lead to a served sink.

        Returns
        -------
        dict
            For each sink left open where the way to it begins, and that way.
        """
        wanted = self.left_open | self.ends.keys()
        served = [b for b in branches if not wanted.isdisjoint(b.sinks)]
        rest: dict[int, tuple[int, tuple[Point, ...]]] = {}
        forks: dict[Point, int] = {}
        for branch in served:
            if not branch.begins:
                forks[branch.points[0]] = forks.get(branch.points[0], 0) + 1
        dots: dict[Point, int] = {}

        def dot(point: Point, style: Style) -> int:
            if point not in dots:
                radius = 1.7 + style.width / 2 if forks.get(point, 0) > 1 else 0.0
                x, y = self.moved(point)
                dots[point] = self.scene.dot(x, y, radius, style.colour)
            return dots[point]

        for branch in served:
            if branch.end is not None and branch.end not in wanted:
                continue
            style = self.style(branch)
            points = tuple(self.moved(p) for p in branch.points)
            start = self.start if branch.begins else dot(branch.points[0], style)
            if branch.begins:
                points = joined(self.prefix, points)
            if branch.end in self.left_open:
                rest[branch.end] = (start, points)
                continue
            end = self.ends[branch.end] if branch.end is not None else dot(branch.points[-1], style)
            if branch.end is not None and end < 0:  # a line may end within a place that is empty
                points = joined(points, ((self.scene.dots[~end].x, self.scene.dots[~end].y),))
            self.scene.lines.append(
                Line(
                    points,
                    start,
                    end,
                    style.colour,
                    style.width,
                    style.over,
                    self.tooltip,
                    arrow=branch.end is not None and end >= 0,
                    dashed=style.dashed,
                )
            )
        return rest

    def moved(self, point: Point) -> Point:
        """A point of the frame as one of the scene."""
        return point[0] + self.x, point[1] + self.y


def joined(first: tuple[Point, ...], second: tuple[Point, ...]) -> tuple[Point, ...]:
    """Two ways as one, with an elbow half-way where their heights differ."""
    if not first or not second:
        return first or second
    (x1, y1), (x2, y2) = first[-1], second[0]
    middle = (x1 + x2) / 2
    bend = () if abs(y1 - y2) < 1e-6 else ((middle, y1), (middle, y2))
    kept: list[Point] = []
    for point in (*first, *bend, *second):
        if kept and _same(kept[-1], point):
            continue
        if len(kept) >= 2 and _in_line(kept[-2], kept[-1], point):
            kept[-1] = point
        else:
            kept.append(point)
    return tuple(kept)


def _same(a: Point, b: Point) -> bool:
    return abs(a[0] - b[0]) < 1e-6 and abs(a[1] - b[1]) < 1e-6


def _in_line(a: Point, b: Point, c: Point) -> bool:
    return any(abs(a[k] - b[k]) < 1e-6 and abs(b[k] - c[k]) < 1e-6 for k in (0, 1))
