"""A checker of pictures: nothing overlaps, nothing runs through anything, nothing is slanted."""

from __future__ import annotations

from collections import defaultdict

from tinygradrnn.drawing.scene import Line, Scene, Text
from tinygradrnn.drawing.text import width

Box = tuple[float, float, float, float]  # left, bottom, right, top
CELL = 250.0


def faults(scene: Scene) -> list[str]:
    """What is wrong with a picture, in words."""
    shapes = [
        (s.x - s.width / 2, s.y - s.height / 2, s.x + s.width / 2, s.y + s.height / 2)
        for s in scene.shapes
    ]
    texts = [text_box(t) for t in scene.texts]
    pieces = [
        (k, a, b)
        for k, line in enumerate(scene.lines)
        for a, b in zip(line.points, line.points[1:], strict=False)
    ]
    found = []
    names = [" ".join(s.text) for s in scene.shapes] + [f"text {t.text!r}" for t in scene.texts]
    for i, j in near(shapes + texts, shapes + texts):
        plates = [scene.texts[n - len(shapes)].plate for n in (i, j) if n >= len(shapes)]
        if i < j and meet((shapes + texts)[i], (shapes + texts)[j], -1.0) and not any(plates):
            found.append(f"{names[i]} overlaps {names[j]}")
    for k, a, b in pieces:
        if a[0] != b[0] and a[1] != b[1]:
            found.append(f"{describe(scene.lines[k])} is slanted: {a} to {b}")
    strips = [
        (min(a[0], b[0]), min(a[1], b[1]), max(a[0], b[0]), max(a[1], b[1])) for _, a, b in pieces
    ]
    for p, s in near(strips, shapes):
        if meet(strips[p], shapes[s], -1.0):
            found.append(f"{describe(scene.lines[pieces[p][0]])} runs through {names[s]}")
    for p, t in near(strips, texts):
        text, line = scene.texts[t], scene.lines[pieces[p][0]]
        if meet(strips[p], texts[t], line.width / 2 - 0.5) and text.plate is None:
            found.append(f"{describe(line)} runs through text {text.text!r}")
    for p, q in near(strips, strips):
        same = pieces[p][0] == pieces[q][0]
        if p < q and not same and lie_together(strips[p], strips[q]):
            one, two = scene.lines[pieces[p][0]], scene.lines[pieces[q][0]]
            found.append(f"{describe(one)} lies on {describe(two)}")
    for shape, name in zip(shapes, names, strict=False):
        for panel in scene.panels:
            outline = (panel.left, panel.bottom, panel.right, panel.top)
            if meet(shape, outline, 0) and not inside(shape, outline):
                found.append(f"{name} sticks out of {panel.name}")
    for line in scene.lines:
        for end, point in ((line.start, line.points[0]), (line.end, line.points[-1])):
            if end < 0:
                dot = scene.dots[~end]
                touching = abs(dot.x - point[0]) + abs(dot.y - point[1]) < 0.01
            else:
                touching = meet(shapes[end], (*point, *point), 0.6)
            if not touching:
                found.append(f"{describe(line)} does not reach its end at {point}")
    return found


def text_box(text: Text) -> Box:
    wide = width(text.text, text.size, text.bold)
    left = text.x - {"left": 0.0, "middle": wide / 2, "right": wide}[text.align]
    return left, text.y - text.size * 0.45, left + wide, text.y + text.size * 0.45


def describe(line: Line) -> str:
    return f"{line.over} line of {line.tooltip!r} {line.points}"


def meet(a: Box, b: Box, room: float) -> bool:
    """Whether two boxes come nearer than ``room``."""
    return (
        a[0] < b[2] + room and b[0] < a[2] + room and a[1] < b[3] + room and b[1] < a[3] + room
    )  # fmt: skip


def inside(a: Box, b: Box) -> bool:
    return a[0] >= b[0] and a[1] >= b[1] and a[2] <= b[2] and a[3] <= b[3]


def lie_together(a: Box, b: Box) -> bool:
    """Whether two pieces of wire run along each other."""
    level = a[1] == a[3] and b[1] == b[3] and abs(a[1] - b[1]) < 3
    upright = a[0] == a[2] and b[0] == b[2] and abs(a[0] - b[0]) < 3
    along = min(a[2], b[2]) - max(a[0], b[0]) if level else min(a[3], b[3]) - max(a[1], b[1])
    return (level or upright) and along > 1


def near(first: list[Box], second: list[Box]):
    """Pairs of indices whose boxes share a vertical strip of the picture, each once."""
    strips = defaultdict(list)
    for j, box in enumerate(second):
        for cell in range(int(box[0] // CELL), int(box[2] // CELL) + 1):
            strips[cell].append(j)
    for i, box in enumerate(first):
        seen = set()
        for cell in range(int(box[0] // CELL), int(box[2] // CELL) + 1):
            for j in strips[cell]:
                if j not in seen:
                    seen.add(j)
                    yield i, j
