"""Rows that are added to by their numbers: by a product with a one-hot matrix, or sorted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from tinygradrnn.recording import Array


def add_rows(
    ids: Array,
    rows: Array,
    out: Array,
    numbers: Array,
    one_hot: Array,
    spare: Array,
    dot: Callable[..., Any],
) -> None:
    """Add each row to the one of ``out`` that its id tells; ids may repeat.

    ``numbers``: 0, 1, … for all ids; ``one_hot``: room, of as many rows and a column for each row
    of ``out``; ``spare``: room like ``out``; ``dot``: of the array module.
    """
    one_hot[...] = 0
    one_hot[numbers, ids] = 1
    dot(one_hot.T, rows, spare)
    out += spare


class Runs:
    """Ids in order: where each of them is, one after the other (NumPy).

    Attributes
    ----------
    order : Array of int
        The positions of the ids, those of the smallest id first.
    ids : list of int
        Each one that there is.
    bounds : list of int
        Where in ``order`` the positions of each begin, and the last ones end.
    """

    def __init__(self, count: int) -> None:
        self.order = np.arange(count)
        self.ids: list[int] = []
        self.bounds = [0]

    def sort(self, ids: Array) -> None:
        """Look at ids, all below 65,536."""
        short = ids.astype(np.uint16)  # these are sorted by their digits
        np.copyto(self.order, short.argsort(kind="stable"))
        short = short[self.order]
        new = np.flatnonzero(short[1:] != short[:-1]) + 1
        self.bounds = [0, *new.tolist(), len(short)]
        self.ids = short[self.bounds[:-1]].tolist()


def add_runs(runs: Runs, rows: Array, out: Array, block: Array, ones: Array, spare: Array) -> None:
    """Add each row to the one of ``out`` that its id tells, those of one id at a time.

    ``block``: room like ``rows``; ``ones``: as many as there are rows; ``spare``: room like
    ``out``, its rows on end.
    """
    spare[...] = 0
    for number, (start, stop) in zip(runs.ids, pairwise(runs.bounds), strict=True):
        found = block[: stop - start]
        rows.take(runs.order[start:stop], 0, found, "clip")
        ones[: stop - start].dot(found, spare[number])
    out += spare
