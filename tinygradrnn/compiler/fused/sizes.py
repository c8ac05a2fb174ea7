"""Sizes that the writers of kernels and the kernels have to agree on."""

from __future__ import annotations

INNER = 256  # of a block of a product's inner index: a panel of the second factor stays in a cache
CHUNK = 128  # rows of the first factor that meet all panels before the next ones do
BLOCK = 8  # rows of a tile, at most
PANEL = 3 * 64  # bytes of a row of a tile, at most: vectors, and what a register holds
TILE = BLOCK * PANEL  # bytes of a tile


def packed(inner: int, columns: int, size: int) -> int:
    """Bytes that a second factor needs at most when it is packed; ``size``: of an element."""
    return inner * (columns * size + PANEL)


def room(columns: int, size: int) -> int:
    """Bytes that each part of a product works in: a tile, rows, and packed columns."""
    return TILE + CHUNK * (INNER * size + PANEL) + packed(INNER, columns, size)
