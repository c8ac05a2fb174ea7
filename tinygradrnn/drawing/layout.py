"""Lay out a frame: rows, columns, ways, positions."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from tinygradrnn.drawing.columns import assign_columns
from tinygradrnn.drawing.frames import Frame, Placed
from tinygradrnn.drawing.routing import Grid, NoWayError, Router
from tinygradrnn.drawing.rows import assign_rows
from tinygradrnn.drawing.spacing import Spacing


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
    for tracks in (3, 6, 12, 24):
        grid = Grid(frame, rows, columns, tracks)
        router = Router(grid)
        try:
            router.route()
        except NoWayError:
            continue
        number = {state.item: k for k, state in reversed(list(enumerate(frame.states)))}
        lanes = {
            pair: number[lane.state]
            for lane in rows.lanes
            if lane.state is not None and not lane.broken
            for pair in zip(lane.items, lane.items[1:], strict=False)
        }
        return replace(Spacing(grid, router.paths).placed(), lanes=lanes)
    raise NoWayError("no room for the wires of this frame")
