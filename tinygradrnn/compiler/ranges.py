"""Integers that must be in range: looked at before a plan runs, which then changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygradrnn.compiler.capture import Check, on_host, reachable
from tinygradrnn.recording import Array, Leaf, Node

Read = Callable[[Sequence[Array]], Array]
UNSIGNED = {np.dtype(f"i{size}"): np.dtype(f"u{size}") for size in (1, 2, 4, 8)}


class Ranged:
    """A check of integers, among the arguments or computed from them.

    Parameters
    ----------
    check : Check
    arguments : dict of Leaf to int
        The position of each argument.
    """

    def __init__(self, check: Check, arguments: dict[Leaf, int]) -> None:
        self.low, self.high, self.error = check.low, check.high, check.error
        self.read = reader(check.node, arguments)

    def require(self, arrays: Sequence[Array]) -> None:
        """Raise what the function would raise for integers that are out of range."""
        values = self.read(arrays)
        if self.low == 0 and values.dtype in UNSIGNED and values.flags.c_contiguous:
            within = values.view(UNSIGNED[values.dtype])  # negative ones become huge
            if not values.size or within.max() <= self.high:
                return
        if not values.size:
            return
        low, high = int(values.min()), int(values.max())
        if low < self.low or high > self.high:
            raise self.error(low, high)


def reader(node: Node, arguments: dict[Leaf, int]) -> Read:
    """How integers are found, given the arrays of the arguments."""
    if isinstance(node, Leaf):
        return _leaf(node, arguments)
    sources = [reader(source, arguments) for source in node.inputs]
    operation, settings = node.operation, node.settings
    assert operation is not None
    return lambda arrays: operation.compute([read(arrays) for read in sources], settings)


def _leaf(leaf: Leaf, arguments: dict[Leaf, int]) -> Read:
    """On the host: what is there anyway need not wait for a device."""
    if leaf in arguments:
        position = arguments[leaf]
        return lambda arrays: on_host(arrays[position])
    return lambda arrays: on_host(leaf.value)


def from_integers(node: Node) -> bool:
    """Whether a value is computed from integers only; then it is quick to compute once more."""
    return all(dtype_kind(n.value) in "iub" and (n.is_leaf or n.inputs) for n in reachable([node]))


def dtype_kind(value: Any) -> str:
    """Of an array or a Python number."""
    return value.dtype.kind if hasattr(value, "dtype") else "iuf"[2 * isinstance(value, float)]
