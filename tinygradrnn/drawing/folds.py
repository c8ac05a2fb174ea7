"""Draws the folds: a box for the steps that are not shown, and what leads there from rails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from tinygradrnn.drawing.look import NUMBER, SMALL, TAP
from tinygradrnn.drawing.records import Fold, Wire
from tinygradrnn.drawing.scene import Line, Shape, Text
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.stamping import Style

BELOW_EDGE = 12.0


def draw_folds(stage: Stage) -> None:
    """The boxes, each as high as the lanes that run through it."""
    for fold in stage.diagram.folds:
        n, _, y = stage.place[fold.after or stage.diagram.steps[0]]
        placed = stage.placed[n]
        lanes = placed.entries or (placed.height / 2,)
        wide, high = stage.look.size(stage.diagram.boxes[fold.box])
        shape = stage.look.shape(
            fold.box,
            stage.fold_x[fold.box],
            (max(lanes) + min(lanes)) / 2 + y,
            wide,
            high + max(lanes) - min(lanes),
        )
        if any(_inside(shape, y + rail) for rail in placed.rails):  # clear of what is said there
            at = shape.y + shape.height / 2 - BELOW_EDGE
            text = " ".join(shape.text)
            stage.scene.texts.append(Text(shape.x, at, text, SMALL, shape.ink, plate=shape.fill))
            shape = replace(shape, text=("",))
        stage.shape[fold.box] = stage.scene.shape(shape)


def _inside(shape: Shape, y: float) -> bool:
    return abs(y - shape.y) < shape.height / 2


class Stop(NamedTuple):
    """Where a rail meets a fold: a dot or the shape of the fold, and what is to be said there."""

    end: int
    text: Text


def tap_folds(stage: Stage, n: int, r: int, style: Style, y: float) -> list[Stop]:
    """What the folded steps read from a rail."""
    return [
        tap_fold(stage, n, r, fold, style, y, stage.look.folded(wire))
        for fold, wire in _taps(stage, n, stage.templates[n].rails[r])
    ]


def tap_fold(stage: Stage, n: int, r: int, fold: Fold, style: Style, y: float, text: str) -> Stop:
    """A tap from a rail to a fold; nothing if the rail leads into the fold and out again."""
    number = stage.shape[fold.box]
    shape = stage.scene.shapes[number]
    said = Text(shape.x, y, text, NUMBER, style.colour, bold=True, plate=stage.theme.page)
    if _inside(shape, y):
        return Stop(number, said)
    left = shape.x - shape.width / 2 + TAP
    at = left + TAP * r
    dot = stage.scene.dot(at, y, 2.0 + style.width / 2, style.colour)
    end = shape.y - shape.height / 2 if y < shape.y else shape.y + shape.height / 2
    tooltip = stage.tooltip(stage.templates[n].rails[r])
    points, tap = ((at, y), (at, end)), len(stage.scene.lines)
    stage.scene.lines.append(
        Line(
            points,
            dot,
            number,
            style.colour,
            style.width,
            "tap",
            tooltip,
            arrow=True,
            dashed=True,
        )
    )
    x = left + TAP * len(stage.templates[n].rails) + 5
    return Stop(dot, replace(said, x=x, align="left", line=tap))


def _taps(stage: Stage, n: int, box: int) -> Iterator[tuple[Fold, Wire]]:
    for wire in stage.diagram.wires_from[box]:
        for fold in stage.folds(n):
            if fold.box == wire.targets[0]:
                yield fold, wire


def raise_folds(stage: Stage, n: int, bus: int, readers: set[int], y: float) -> list[int]:
    """What the folded steps hand out to the readers of a bus; returns the dots on it."""
    dots = []
    for fold in stage.folds(n):
        for wire in stage.diagram.wires_from[fold.box]:
            if not wire.folded or readers.isdisjoint(wire.targets):
                continue
            shape = stage.scene.shapes[stage.shape[fold.box]]
            x = shape.x - shape.width / 2 + TAP * (bus + 1)
            dot = stage.scene.dot(x, y, 3.0, stage.theme.wire)
            points = ((x, shape.y + shape.height / 2), (x, y))
            stage.scene.lines.append(
                Line(
                    points,
                    stage.shape[fold.box],
                    dot,
                    stage.theme.wire,
                    stage.look.flow(wire.term),
                    "flow",
                    stage.tooltip(fold.box),
                    dashed=True,
                )
            )
            stage.number_riser(stage.look.folded(wire), dot, len(stage.scene.lines) - 1)
            dots.append(dot)
    return dots
