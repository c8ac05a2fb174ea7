"""Runs of calls replaced by kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tinygradrnn.compiler.fused.cache import load
from tinygradrnn.compiler.fused.nests import Place, ends, nests_of, places
from tinygradrnn.compiler.fused.reading import Call, Layout, Operation, Reader
from tinygradrnn.compiler.fused.source import Kernel, write
from tinygradrnn.compiler.memory import address

MOST = 8192  # multiplications of a product that a kernel does itself
FEWEST = 2  # calls that are worth a kernel
TURNS = 4  # turns of a loop that are looked at as such
Turn = list[Operation | None]


@dataclass
class Joiner:
    """Joins the calls of one plan.

    Attributes
    ----------
    calls : list
        What is called instead.
    starts : list of int
        For each of the calls that were given, which of the new ones does it.
    keep : list
        Arrays that kernels know by address only.
    """

    given: Sequence[Call]
    calls: list[Call] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    keep: dict[int, Any] = field(default_factory=dict)
    reader: Reader = field(default_factory=lambda: Reader(MOST))

    def join(self, loops: Sequence[Sequence[int]]) -> None:
        """Go through all calls; ``loops``: where the turns of each loop begin, and the last ends."""
        self.read = [self.reader.read(call) for call in self.given]
        done = 0
        for turns in loops:
            if len(turns) > TURNS:
                self.straight(done, turns[0])
                self.loop(turns)
                done = turns[-1]
        self.straight(done, len(self.given))
        self.starts.append(len(self.calls))

    def straight(self, begin: int, end: int) -> None:
        """Calls outside of loops."""
        for first, last in runs(self.read, begin, end):
            if self.read[first] is not None and last - first >= FEWEST:
                operations = self.read[first:last]
                kernel = write(nests_of(operations))
                self.emit(kernel, np.array(kernel.table, np.int64))
                self.hold(operations)
                self.starts += [len(self.calls) - 1] * (last - first)
            else:
                self.leave(first, last)

    def leave(self, first: int, last: int) -> None:
        """Calls that stay as they are."""
        for call in self.given[first:last]:
            self.starts.append(len(self.calls))
            self.calls.append(call)

    def emit(self, kernel: Kernel, table: Any) -> None:
        self.calls.append((load(kernel.text), (address(table),)))
        self.keep[id(table)] = table

    def hold(self, operations: Sequence[Operation]) -> None:
        for operation in operations:
            for array in operation.arrays:
                owner = array
                while isinstance(owner.base, np.ndarray):
                    owner = owner.base
                self.keep[id(owner)] = owner

    # ---------------------------------------------------------------- loops

    def loop(self, turns: Sequence[int]) -> None:
        """Turns that do the same, as one kernel or with the same kernels in each."""
        keys = [
            tuple(o.shape if o else None for o in self.read[a:b])
            for a, b in zip(turns, turns[1:], strict=False)
        ]
        k = 0
        while k < len(keys):
            count = 1
            while k + count < len(keys) and keys[k + count] == keys[k]:
                count += 1
            if count < TURNS:
                self.straight(turns[k], turns[k + count])
            else:
                self.alike(list(turns[k : k + count + 1]))
            k += count

    def alike(self, turns: list[int]) -> None:
        """Turns of the same operations."""
        first, last = turns[0], turns[-1]
        length = turns[1] - first
        lead = next((k for k in range(length) if self.read[first + k] is None), 0)
        if lead and self.read[turns[1] - 1] is not None:  # the end of a turn with the next's start
            self.straight(first, first + lead)
            turns = [turn + lead for turn in turns[:-1]]
        parts = runs(self.read, turns[0], turns[1])
        made = [self.kernels(turns, a - turns[0], b - turns[0]) for a, b in parts]
        if len(parts) == 1 and made[0] is not None:
            self.whole(made[0], turns)
        elif any(part is None for part in made):
            self.straight(turns[0], turns[-1])
        else:
            for k, turn in enumerate(turns[:-1]):
                for (a, b), part in zip(parts, made, strict=True):
                    assert part is not None
                    offset = a - turns[0] + turn
                    if part.kernel is None:
                        self.leave(offset, offset + b - a)
                    else:
                        self.emit(part.kernel, part.tables[k])
                        self.starts += [len(self.calls) - 1] * (b - a)
        self.straight(turns[-1], last)

    def kernels(self, turns: list[int], begin: int, end: int) -> Whole | None:
        """The kernel for a part of each turn; None if the turns are not alike in memory."""
        first = self.read[turns[0] + begin : turns[0] + end]
        if first[0] is None or end - begin < FEWEST:
            return Whole(None, [])
        every = [self.read[turn + begin : turn + end] for turn in turns[:-1]]
        addresses = np.array([[a for o in part for a in o.addresses] for part in every], np.int64)  # type: ignore[union-attr]
        strides = np.diff(addresses, axis=0)
        if (strides != strides[0]).any() or not steady(first, strides[0], len(every)):
            return None
        alone = end - begin == turns[1] - turns[0]
        kernel = write(nests_of(first), turns=alone)
        tables = np.repeat(np.array([kernel.table], np.int64), len(every), axis=0)
        numbers = np.cumsum([0, *(len(o.addresses) for o in first)])
        for at, spots in kernel.spots:
            tables[:, at] = addresses[:, numbers[spots[0].operation] + spots[0].operand]
            if alone:
                tables[:, at + 1] = strides[0, numbers[spots[0].operation] + spots[0].operand]
        for part in every:
            self.hold(part)
        return Whole(kernel, list(tables))

    def whole(self, part: Whole, turns: list[int]) -> None:
        """A loop as one kernel."""
        table = part.tables[0]
        table[0] = len(turns) - 1
        self.emit(part.kernel, table)
        self.starts += [len(self.calls) - 1] * (turns[-1] - turns[0])


@dataclass
class Whole:
    """A kernel, and its table for each turn."""

    kernel: Kernel | None
    tables: list[Any]


def runs(read: Sequence[Operation | None], begin: int, end: int) -> list[tuple[int, int]]:
    """Where operations follow each other, and where other calls do."""
    found = []
    start = begin
    for k in range(begin + 1, end + 1):
        if k == end or (read[k] is None) != (read[start] is None):
            found.append((start, k))
            start = k
    return found if end > begin else []


def steady(operations: Sequence[Operation], strides: Any, turns: int) -> bool:
    """Whether operands that move on differently never meet: then all turns are like the first."""
    seen: list[tuple[Place, int, int, bool]] = []
    number = 0
    for operation in operations:
        where = places(operation.shape, operation.addresses)
        for k, place in enumerate(where):
            stride = int(strides[number])
            number += 1
            seen.append((place, operation.shape.rows, stride, k == len(where) - 1))
    ranges = [whole(*view[:3], turns) for view in seen]
    for a, (low, high) in zip(seen, ranges, strict=True):
        for b, (start, stop) in zip(seen, ranges, strict=True):
            if a[3] and a[2] != b[2] and low < stop and start < high:
                return False
    return True


def whole(place: Place, rows: int, stride: int, turns: int) -> tuple[int, int]:
    """All that an operand covers during a loop."""
    moved = stride * (turns - 1)
    return place.address + min(moved, 0), ends(place, rows) + max(moved, 0)


__all__ = ["Joiner", "Layout"]
