"""Integers on a device: out of range they must raise, not wrap, and nobody should have to wait.

CuPy wraps an integer index that is out of range and says nothing. Integers that come from the host
are therefore looked at there, on their way to the device, and their range is kept with them. Only
for integers that were computed on the device must the host wait and look.
"""

from __future__ import annotations

import numpy as np

from tinygradrnn.backend import Backend, backend_of
from tinygradrnn.recording import Array, Leaf, Node

Range = tuple[int, int]


class Integers(Leaf):
    """A leaf of integers between two numbers that are known.

    Attributes
    ----------
    range : (int, int) or None
        None once the value has been replaced.
    """

    __slots__ = ("range",)

    def __init__(self, value: Array, range: Range, name: str | None = None) -> None:
        super().__init__(value, name=name)
        self.range: Range | None = range

    def replace_value(self, value: Array) -> None:
        super().replace_value(value)
        self.range = None


def leaf_on(array: Array, backend: Backend, name: str | None = None) -> Leaf:
    """A leaf for an array, taken to a backend."""
    made = backend.asarray(array)
    moved = type(made) is not type(array)
    if moved and isinstance(array, np.ndarray) and array.dtype.kind in "iu" and array.size:
        return Integers(made, (int(array.min()), int(array.max())), name)
    return Leaf(made, name=name)


def range_of(node: Node) -> Range | None:
    """The smallest and the largest of integers; None if there are none. May wait for a device."""
    value = node.value
    if not value.size:
        return None
    if isinstance(value, np.ndarray):
        return int(value.min()), int(value.max())
    backend = backend_of(value)
    low, high = backend.to_numpy(backend.xp.stack([value.min(), value.max()]))
    return int(low), int(high)


def known_range(node: Node) -> Range | None:
    """Two numbers that integers lie between, where nobody has to wait for them; else None."""
    if isinstance(node.value, np.ndarray):
        return range_of(node)
    return node.range if isinstance(node, Integers) else None


def outside(node: Node, low: int, high: int) -> Range | None:
    """None if all integers are in low…high; else the smallest and the largest there are."""
    for look in (known_range, range_of):
        found = look(node)
        if found and low <= found[0] and found[1] <= high:
            return None
    return found


def ranged(source: Node, result: Node, by: int = 0) -> Node:
    """The result, a part of the integers of the source plus a number: what is known of it."""
    if not (isinstance(source, Integers) and source.range and isinstance(result, Leaf)):
        return result
    low, high = source.range
    return Integers(result.value, (low + by, high + by), result.name)
