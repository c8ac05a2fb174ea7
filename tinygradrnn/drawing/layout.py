"""Lay out a frame: rows, columns, ways, positions."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from tinygradrnn.drawing.columns import Columns, assign_columns
from tinygradrnn.drawing.frames import Frame, Placed
from tinygradrnn.drawing.routing import Grid, Job, NoWayError, Parts, Router
from tinygradrnn.drawing.rows import Rows, assign_rows
from tinygradrnn.drawing.spacing import Spacing

FEW, MANY = (3, 6, 12), (6, 24, 48)  # tracks between two columns, and between two rows
MOST_URGENT = 12


@lru_cache(maxsize=64)
def lay_out(frame: Frame) -> Placed:
    """Positions for the boxes and wires of a frame.

    Parameters
    ----------
    frame : Frame

    Returns
    -------
    Placed
        The same for equal frames: every time step is stamped from one layout.
    """
    rows = assign_rows(frame)
    columns = assign_columns(frame, rows)
    routed = _routed(frame, rows, columns, FEW) or _routed(_roomy(frame), rows, columns, MANY)
    assert routed is not None, "boxes with room for all wires can be wired"
    number = {state.item: k for k, state in reversed(list(enumerate(frame.states)))}
    lanes = {
        pair: number[lane.state]
        for lane in rows.lanes
        if lane.state is not None and not lane.broken
        for pair in pairwise(lane.items)
    }
    return replace(Spacing(*routed).placed(), lanes=lanes)


def _routed(
    frame: Frame, rows: Rows, columns: Columns, choices: tuple[int, ...]
) -> tuple[Grid, dict[int, Parts]] | None:
    """Try with few tracks, then with more; what finds no way is tried first the next time."""
    for tracks in choices:
        urgent: list[Job] = []
        grid = Grid(frame, rows, columns, tracks)
        while True:
            router = Router(grid, urgent)
            try:
                router.route()
            except NoWayError as error:
                if error.job in urgent or len(urgent) > MOST_URGENT:
                    break
                urgent.append(error.job)
            else:
                return grid, router.paths
    return None


def _roomy(frame: Frame) -> Frame:
    """The same with boxes so wide that all wires fit below."""
    arrivals = [sum(net.sinks.count(n) for net in frame.nets) for n in range(len(frame.items))]
    return replace(
        frame,
        items=tuple(
            replace(item, ports=max(item.ports, count + 2))
            for item, count in zip(frame.items, arrivals, strict=True)
        ),
    )
