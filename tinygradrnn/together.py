"""Gradients that wait for those of other time steps, and are computed together.

The steps of a loop send terms of one kind to the same weights and to the same sequence. Their rows
are joined, so that one product with many rows takes the place of many with few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from operator import is_
from sys import getrefcount

import numpy as np

from tinygradrnn.backend import backend_of
from tinygradrnn.ops import Carried, Part, Product, add_part, contract
from tinygradrnn.recording import Array

JOINED = 32  # terms at most; each keeps its arrays alive until they are computed

Stacker = Callable[[Sequence[Array]], Array]


def stacked_rows(arrays: Sequence[Array]) -> Array:
    """The rows of all arrays, below each other."""
    return backend_of(arrays[0]).xp.concatenate([rows(array) for array in arrays])


def rows(x: Array) -> Array:
    """All rows of all batches."""
    return x if x.ndim == 2 else x.reshape(-1, x.shape[-1])


class Slab:
    """Memory for arrays of one shape that are made one after the other, and read together.

    Parameters
    ----------
    like : array
        Of their dtype, on their backend.
    shape : tuple of int
    """

    def __init__(self, like: Array, shape: tuple[int, ...]) -> None:
        self.memory = backend_of(like).xp.empty((JOINED, *shape), like.dtype)
        self.arrays = [self.memory[k] for k in range(JOINED)]
        self.given = 0
        self.unread = self._references()

    def _references(self) -> list[int]:
        return [getrefcount(self.memory), *map(getrefcount, self.arrays)]

    def next(self) -> Array | None:
        """The next array; None if all are given, and somebody may still read one of them.

        Of NumPy's arrays it is known: parts of an array refer to the memory that it lies in.
        """
        if self.given == JOINED:
            if type(self.memory) is not np.ndarray or self._references() != self.unread:
                return None
            self.given = 0
        self.given += 1
        return self.arrays[self.given - 1]

    def rows(self, arrays: Sequence[Array]) -> Array | None:
        """The rows of all arrays, if they lie below each other in this memory."""
        for start, first in enumerate(self.arrays):
            if first is arrays[0]:
                end = start + len(arrays)
                there = self.arrays[start:end]
                same = len(there) == len(arrays) and all(map(is_, there, arrays))
                return self.memory[start:end].reshape(-1, first.shape[-1]) if same else None
        return None


def joined(products: Sequence[Product], stacked: Stacker = stacked_rows) -> Array:
    """The sum of products."""
    if len(products) == 1:
        return products[0].computed()
    return contract(stacked([x for x, _ in products]), stacked([g for _, g in products]))


def brought(parts: Sequence[Part], stacked: Stacker = stacked_rows) -> list[Part]:
    """The same parts; products that were still to be computed are the rows of one."""
    found: list[Part] = []
    for _, group in groupby(parts, lambda part: id(getattr(part.values, "y", None))):
        some = list(group)
        if type(some[0].values) is not Carried:
            found += some
            continue
        values = Carried(stacked([part.values.g for part in some]), some[0].values.y).computed()
        start = 0
        for part in some:
            end = start + len(part.values.g)
            found.append(part._replace(values=values[start:end]))
            start = end
    return found


def assembled(parts: Sequence[Part], shape: tuple[int, ...], into: Array | None = None) -> Array:
    """The sum of parts, each filled up with zeros to a shape; in the memory given, if any."""
    values = parts[0].values
    beside = side_by_side(parts, shape)
    if into is None:
        xp = backend_of(values).xp
        total = (xp.empty if beside else xp.zeros)(shape, values.dtype)
    else:
        total = into
        if not beside:
            total[...] = 0
    for part in parts:
        if beside:
            total[part.where] = part.values
        else:
            add_part(total, *part)
    return total


def side_by_side(parts: Sequence[Part], shape: tuple[int, ...]) -> bool:
    """Whether the parts lie along one axis and fill it from end to end: gates, or time steps."""
    ahead = parts[0].where[:-1]
    last = ahead == (Ellipsis,)
    if not (last or ahead == (slice(None),) * len(ahead)) or len(ahead) >= len(shape) + last:
        return False
    size = shape[-1 if last else len(ahead)]
    ranges = []
    for _, where, arrays in parts:
        if arrays or not where or where[:-1] != ahead:
            return False
        entry = where[-1]
        if type(entry) is int:
            ranges.append((entry % size, entry % size + 1))
        elif type(entry) is slice and entry.step is None:
            ranges.append(entry.indices(size)[:2])
        else:
            return False
    ranges.sort()
    ends = [0, *[stop for _, stop in ranges]]
    return [*[start for start, _ in ranges], size] == ends
