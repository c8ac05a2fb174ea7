"""Runs of calls replaced by kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn.compiler.fused.nests import places, safe
from tinygradrnn.compiler.fused.reading import Call, Operation, Reader
from tinygradrnn.compiler.fused.source import Kernel
from tinygradrnn.compiler.fused.turns import Turns, turns_of

TURNS = 4  # turns of a loop that are worth looking at as a loop


class Part(NamedTuple):
    """Calls that follow each other in each turn of a loop, first…last counted from its start.

    ``tables``: of the kernel, one for each turn; without a kernel the calls stay.
    """

    first: int
    last: int
    kernel: Kernel | None
    tables: Any


class Joiner(ABC):
    """Joins the calls of one plan.

    Attributes
    ----------
    calls : list
        What is called instead.
    starts : list of int
        For each of the calls that were given which of the new ones does it; then how many there
        are.
    keep : dict
        Arrays that kernels know by their addresses only.
    """

    def __init__(self, given: Sequence[Call], reader: Reader) -> None:
        self.given = given
        self.calls: list[Call] = []
        self.starts: list[int] = []
        self.keep: dict[int, Any] = {}
        read = (reader.read(call) for call in given)
        self.read = [o if o and safe(o.shape, places(o.shape, o.addresses)) else None for o in read]

    @abstractmethod
    def suits(self, operations: Sequence[Operation]) -> bool:
        """Whether a run is worth a kernel."""

    @abstractmethod
    def kernel(self, operations: Sequence[Operation]) -> Kernel:
        """One for these operations."""

    @abstractmethod
    def emit(self, kernel: Kernel, table: Any, replaced: int) -> None:
        """A kernel in place of some calls."""

    def join(self, loops: Sequence[Sequence[int]]) -> None:
        """Go through all calls; of each loop, where its turns begin and where the last ends."""
        done = 0
        for turns in loops:
            self.straight(done, turns[0])
            self.loop(turns)
            done = turns[-1]
        self.straight(done, len(self.given))
        self.starts.append(len(self.calls))

    def straight(self, begin: int, end: int) -> None:
        """Calls outside of loops."""
        for first, last in self.runs(begin, end):
            operations = self.operations(first, last)
            if operations:
                kernel = self.kernel(operations)
                self.emit(kernel, np.array(kernel.table, np.int64), last - first)
                self.hold(operations)
            else:
                self.leave(first, last)

    def runs(self, begin: int, end: int) -> list[tuple[int, int]]:
        """Where operations follow each other, and where other calls do."""
        kinds = [operation is None for operation in self.read[begin:end]]
        changes = [k for k in range(1, end - begin) if kinds[k] != kinds[k - 1]]
        bounds = [begin, *(begin + k for k in changes), end]
        return list(pairwise(bounds)) if end > begin else []

    def operations(self, first: int, last: int) -> list[Operation]:
        """A run that a kernel is to do; empty if none is."""
        found = [o for o in self.read[first:last] if o is not None]
        return found if len(found) == last - first and self.suits(found) else []

    def leave(self, first: int, last: int) -> None:
        """Calls that stay as they are."""
        self.starts += range(len(self.calls), len(self.calls) + last - first)
        self.calls += self.given[first:last]

    def hold(self, operations: Sequence[Operation]) -> None:
        """Keep the memory of operands."""
        for operation in operations:
            for array in operation.arrays:
                owner = array
                while isinstance(owner.base, np.ndarray):
                    owner = owner.base
                self.keep[id(owner)] = owner

    # ---------------------------------------------------------------- loops

    def loop(self, turns: Sequence[int]) -> None:
        """A loop: turns that do the same are taken together."""
        keys = [tuple(o and o.shape for o in self.read[a:b]) for a, b in pairwise(turns)]
        changes = [k for k in range(1, len(keys)) if keys[k] != keys[k - 1]]
        for first, last in pairwise([0, *changes, len(keys)]):
            if last - first < TURNS:
                self.straight(turns[first], turns[last])
            else:
                self.alike(turns[first : last + 1])

    def alike(self, turns: Sequence[int]) -> None:
        """Turns of the same operations, with the same kernels in each."""
        begin, end = turns[0], turns[-1]
        lead = next((k for k in range(turns[1] - begin) if self.read[begin + k] is None), 0)
        if lead and self.read[turns[1] - 1] is not None:  # the end of a turn with the next's start
            turns = [turn + lead for turn in turns[:-1]]
        parts = [
            self.part(turns, first - turns[0], last - turns[0])
            for first, last in self.runs(turns[0], turns[1])
        ]
        if None in parts:
            self.straight(begin, end)
            return
        self.straight(begin, turns[0])
        for k, turn in enumerate(turns[:-1]):
            for first, last, kernel, tables in (part for part in parts if part is not None):
                if kernel is None:
                    self.leave(turn + first, turn + last)
                else:
                    self.emit(kernel, tables[k], last - first)
        self.straight(turns[-1], end)

    def part(self, turns: Sequence[int], first: int, last: int) -> Part | None:
        """A part of each turn; None if the turns are not alike in memory."""
        every = [self.operations(turn + first, turn + last) for turn in turns[:-1]]
        if not every[0]:
            return Part(first, last, None, None)
        where = turns_of(every)
        if where is None:
            return None
        kernel = self.kernel(every[0])
        spots = operands_of(kernel, every[0], where)
        if spots is None:
            return None
        tables = np.repeat(np.array([kernel.table], np.int64), len(every), axis=0)
        for at, which in spots:
            tables[:, at] = where.addresses[:, which]
        for turn in every:
            self.hold(turn)
        return Part(first, last, kernel, tables)


def operands_of(
    kernel: Kernel, operations: Sequence[Operation], where: Turns
) -> list[tuple[int, int]] | None:
    """Where in the table of a kernel which operand is; None if two at one place part later."""
    numbers = np.cumsum([0, *(len(o.addresses) for o in operations)])
    found = []
    for at, spots in kernel.spots:
        which, *others = [int(numbers[spot.operation]) + spot.operand for spot in spots]
        if (where.moves[others] != where.moves[which]).any():
            return None
        found.append((at, which))
    return found
