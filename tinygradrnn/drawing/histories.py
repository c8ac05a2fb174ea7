"""Draws the table of a rolled picture: how large the gradient of every state is at every step."""

from __future__ import annotations

from tinygradrnn.drawing.look import NUMBER, Look
from tinygradrnn.drawing.records import Diagram, Roll
from tinygradrnn.drawing.scene import Scene, Text
from tinygradrnn.drawing.text import at_step, number, width

FIRST, LAST = 4, 4  # rows of a long table
ROW, COLUMN_GAP, BESIDE, BETWEEN = 18.0, 16.0, 34.0, 26.0
SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def draw_histories(scene: Scene, diagram: Diagram, look: Look, right: float) -> None:
    """A table for each phase, right of the steps and above what follows them if there is room.

    Parameters
    ----------
    scene : Scene
        With all the rest.
    diagram : Diagram
    look : Look
    right : float
        Where the steps end.
    """
    tables = [(roll, _rows(roll)) for roll in diagram.rolls if roll.histories]
    if not tables:
        return
    _, bottom, end, top = scene.bounds()
    high = sum(ROW * (len(rows) + 2) for _, rows in tables) + BETWEEN * (len(tables) - 1)
    beside = [s.y + s.height / 2 for s in scene.shapes if s.x + s.width / 2 > right]
    beside += [y for line in scene.lines for x, y in line.points if x > right]
    beside += [text.y + text.size for text in scene.texts if text.x > right]
    above = max(beside, default=bottom) + BETWEEN / 2
    x = end + BESIDE
    if above + high <= top + 2 * ROW:
        x, top = right + BESIDE, max(top, above + high)
    for roll, rows in tables:
        top = _draw(scene, diagram, look, roll, rows, x, top) - BETWEEN


def _rows(roll: Roll) -> list[int | None]:
    """The labels of the steps in the table; None for those that are left out."""
    labels = sorted({label for history in roll.histories for label in history.sizes})
    if len(labels) <= FIRST + LAST + 1:
        return list(labels)
    return [*labels[:FIRST], None, *labels[-LAST:]]


def _draw(
    scene: Scene,
    diagram: Diagram,
    look: Look,
    roll: Roll,
    rows: list[int | None],
    x: float,
    top: float,
) -> float:
    """One table, from its upper left corner; returns where it ends."""
    theme = look.theme
    heads = _heads(diagram, roll)
    y = top - ROW / 2
    title = "‖∂L/∂state‖ at each step"
    if len(diagram.rolls) > 1:
        title += f", loop {diagram.rolls.index(roll) + 1}"
    scene.texts.append(Text(x, y, title, NUMBER, theme.ink, bold=True, align="left"))
    names = ["…" if label is None else f"t = {label}" for label in rows]
    columns = [names, *([_cell(h.sizes, label) for label in rows] for h in roll.histories)]
    for n, (head, cells) in enumerate(zip(["", *heads], columns, strict=True)):
        wide = max(width(text, NUMBER, bold=n > 0) for text in (head, *cells))
        colour = look.lanes[roll.histories[n - 1].state].text if n else theme.muted
        for k, text in enumerate((head, *cells)):
            if text:
                at = Text(x + wide, y - ROW * (k + 1), text, NUMBER, colour, n > 0, align="right")
                scene.texts.append(at)
        x += wide + COLUMN_GAP
    return y - ROW * (len(rows) + 0.5)


def _cell(sizes: dict[int, float | None], label: int | None) -> str:
    if label is None:
        return "…"
    return number(sizes[label]) if label in sizes else ""


def _heads(diagram: Diagram, roll: Roll) -> list[str]:
    """cₜ, hₜ; with several layers hₜ⁽²⁾, with two directions hₜ ←."""
    found = []
    states = [diagram.states[history.state] for history in roll.histories]
    both = len({state.backward for state in states}) == 2
    for n, state in enumerate(states):
        likes = [(s.name, s.backward) for s in states]
        layer, many = likes[: n + 1].count(likes[n]), likes.count(likes[n]) > 1
        above = f"⁽{str(layer).translate(SUPERSCRIPTS)}⁾" if many else ""
        arrow = (" ←" if state.backward else " →") if both else ""
        found.append(f"{at_step(state.name, 't')}{above}{arrow}")
    return found
