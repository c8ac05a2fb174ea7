"""Sizes that the writers of kernels and the kernels have to agree on."""

from __future__ import annotations

INNER = 512  # of a block of a product's inner index: a panel of the second factor stays in a cache
CHUNK = 128  # rows of the first factor that meet all panels before the next ones do
BLOCK = 8  # rows of a tile, at most
TILE = BLOCK * 3 * 64  # bytes of it: rows, vectors, and what a register holds
PANEL = 3 * 64  # bytes of a row of a panel, at most


def packed(inner: int, columns: int, size: int) -> int:
    """Bytes that a second factor needs at most when it is packed; ``size``: of an element."""
    return inner * (columns * size + PANEL)


def aside(size: int) -> int:
    """Bytes that each part of a product works in: a tile, and rows that it rearranges."""
    return TILE + CHUNK * INNER * size
