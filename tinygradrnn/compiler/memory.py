"""Memory of a plan: blocks that are handed from values that nobody reads any more to new ones."""

from __future__ import annotations

from math import prod
from typing import Any

from tinygradrnn.arrays import address as address
from tinygradrnn.compiler.values import Span
from tinygradrnn.recording import Array

ALIGN = 64  # bytes: a row of a cache, the width of the widest vector registers


class Stored:
    """Where a value is kept: ``full`` holds the steps of ``span``, one after the other.

    Without a span, or for a value that only lives within a step, it is the array itself.
    """

    def __init__(self, full: Array, span: Span | None, block: Array) -> None:
        self.full, self.span, self.block = full, span, block


class Pool:
    """Blocks of bytes of one backend.

    Attributes
    ----------
    bytes : int
        Of all blocks.
    asked : int
        What all values together would need.
    """

    def __init__(self, xp: Any) -> None:
        self.xp = xp
        self.free: list[Array] = []
        self.bytes = 0
        self.asked = 0

    def take(self, size: int) -> Array:
        """A block of at least that many bytes: the smallest free one that does, or a new one."""
        size = max(ALIGN, -(-size // ALIGN) * ALIGN)
        self.asked += size
        fits = [block for block in self.free if size <= block.size <= 2 * size]
        if fits:
            best = min(fits, key=lambda block: block.size)
            self.free = [block for block in self.free if block is not best]
            return best
        self.bytes += size
        raw = self.xp.empty(size + ALIGN, "uint8")
        start = -address(raw) % ALIGN
        return raw[start : start + size]

    def give(self, block: Array) -> None:
        """A block that is not needed any more."""
        self.free.append(block)


def shaped(block: Array, shape: tuple[int, ...], dtype: Any, order: tuple[int, ...]) -> Array:
    """A block as an array whose axes lie in memory in an order, the slowest first."""
    size = prod(shape) * dtype.itemsize
    physical = tuple(shape[axis] for axis in order)
    array = block[:size].view(dtype).reshape(physical)
    inverse = tuple(sorted(range(len(order)), key=order.__getitem__))
    return array.transpose(inverse)


def order_of(array: Array) -> tuple[int, ...]:
    """The axes of an array in the order in which they lie in memory, the slowest first."""
    return tuple(sorted(range(array.ndim), key=lambda axis: (-abs(array.strides[axis]), axis)))


def flat(x: Array) -> Array | None:
    """An array as a matrix, its leading axes one; in the order in which they lie in memory."""
    if x.ndim == 2:
        return x
    order = order_of(x)
    if order[-1] != x.ndim - 1:
        return None
    ordered = x.transpose(order)
    result = ordered.reshape(-1, x.shape[-1])
    return result if address(result) == address(x) else None
