"""Draws the folds: a box for the steps that are not shown, and what leads there from rails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from tinygradrnn.drawing.look import BODY, NUMBER, TAP
from tinygradrnn.drawing.records import Fold, Wire
from tinygradrnn.drawing.scene import Line, Shape, Text
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.stamping import Style

LINE = 15.0


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
        through = [y + rail for rail in placed.rails if _inside(shape, y + rail)]
        lines = shape.text if through else ()
        stage.shape[fold.box] = stage.scene.shape(replace(shape, text=("",)) if lines else shape)
        for k, line in enumerate(lines):  # clear of the rails
            at = shape.y + shape.height / 2 - LINE * (k + 0.8)
            plate = stage.theme.page
            stage.scene.texts.append(Text(shape.x, at, line, BODY, shape.ink, plate=plate))


def _inside(shape: Shape, y: float) -> bool:
    return abs(y - shape.y) < shape.height / 2


def tap_folds(stage: Stage, n: int, r: int, style: Style, y: float) -> list[int]:
    """What the folded steps read from a rail; returns the dots on it."""
    rails = stage.templates[n].rails
    dots = []
    for fold, wire in _taps(stage, n, rails[r]):
        shape = stage.scene.shapes[stage.shape[fold.box]]
        left = shape.x - shape.width / 2 + TAP
        dot = stage.scene.dot(left + TAP * r, y, 2.0 + style.width / 2, style.colour)
        if not _inside(shape, y):
            end = shape.y - shape.height / 2 if y < shape.y else shape.y + shape.height / 2
            at = left + TAP * r
            stage.scene.lines.append(
                Line(
                    ((at, y), (at, end)),
                    dot,
                    stage.shape[fold.box],
                    style.colour,
                    style.width,
                    "tap",
                    stage.tooltip(wire.source),
                    arrow=True,
                    dashed=True,
                )
            )
        stage.scene.texts.append(
            Text(
                left + TAP * len(rails),
                y,
                stage.look.folded(wire),
                NUMBER,
                style.colour,
                bold=True,
                align="left",
                plate=stage.theme.page,
            )
        )
        dots.append(dot)
    return dots


def _taps(stage: Stage, n: int, box: int) -> Iterator[tuple[Fold, Wire]]:
    folds = {fold.box: fold for fold in stage.diagram.folds}
    for wire in stage.diagram.wires_from[box]:
        fold = folds.get(wire.targets[0])
        if fold is not None and stage.place[fold.after or stage.diagram.steps[0]][0] == n:
            yield fold, wire


def raise_folds(stage: Stage, n: int, bus: int, readers: set[int], y: float) -> list[int]:
    """What the folded steps hand out to the readers of a bus; returns the dots on it."""
    dots = []
    for fold in stage.diagram.folds:
        at = stage.place[fold.after or stage.diagram.steps[0]][0]
        for wire in stage.diagram.wires_from[fold.box] if at == n else ():
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
                    1.1,
                    "flow",
                    stage.tooltip(fold.box),
                    dashed=True,
                )
            )
            text = stage.look.folded(wire)
            stage.scene.texts.append(
                Text(x + 5, y - 10, text, NUMBER, stage.theme.muted, bold=True, align="left")
            )
            dots.append(dot)
    return dots
