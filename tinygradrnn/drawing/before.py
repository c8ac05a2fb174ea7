"""What precedes the time steps, if several rails or states are computed from it.

Rails and initial states stand to the left of the steps, one below the other, each with what it is
computed from. Those that have something of that in common stand together, left of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tinygradrnn.drawing.frames import Placed
from tinygradrnn.drawing.layout import lay_out
from tinygradrnn.drawing.look import Look
from tinygradrnn.drawing.outside import Side, ancestors, make_side
from tinygradrnn.drawing.records import Diagram

BETWEEN_TURNS = 12.0
BESIDE_LABELS = 16.0


@dataclass(frozen=True)
class Before:
    """The boxes that stand together.

    Attributes
    ----------
    side : Side
    placed : Placed
    exits : list of int
        Those of them that are rails or initial states.
    """

    side: Side
    placed: Placed
    exits: list[int]

    @property
    def width(self) -> float:
        """With the room for the turns of what leads out."""
        return self.placed.width + BETWEEN_TURNS * len(self.exits) + BESIDE_LABELS


def find_before(diagram: Diagram, look: Look, labels: Sequence[int]) -> Before | None:
    """Those of some rails and initial states that are computed from the same, or from each other.

    Parameters
    ----------
    diagram : Diagram
    look : Look
    labels : sequence of int
        From the top down.
    """
    behind = {box: ancestors(diagram, box) for box in labels}
    shared = [
        box
        for box, own in behind.items()
        if any(box != other and not own.isdisjoint(more) for other, more in behind.items())
    ]
    if not shared:
        return None
    boxes = set[int]().union(*(behind[box] for box in shared))
    exits = [box for box in behind if box in boxes]
    side = make_side(diagram, look, boxes, exits=exits)
    return Before(side, lay_out(side.frame), exits)


def turns(heights: Sequence[float], wanted: Sequence[float], room: float) -> list[int]:
    """The lines that are to change their height, in the order of their turns.

    One that turns to where another still runs has to turn after it.
    """
    found = [e for e, (a, b) in enumerate(zip(heights, wanted, strict=True)) if abs(a - b) > 1e-6]
    for _ in found:
        for k in range(len(found) - 1):
            if abs(wanted[found[k]] - heights[found[k + 1]]) < room:
                found[k : k + 2] = found[k + 1], found[k]
    return found
