"""Rows that are added to by their numbers, in NumPy and CuPy: a product with a one-hot matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
