"""Runs of calls replaced by kernels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn.compiler.fused.cache import load
from tinygradrnn.compiler.fused.nests import Place, ends, nests_of, places, safe
from tinygradrnn.compiler.fused.reading import Call, Operation, Reader
from tinygradrnn.compiler.fused.source import Kernel, write
from tinygradrnn.compiler.memory import address

MOST = 8192  # multiplications of a product that a kernel does itself
LONGEST = 32  # calls in a kernel: what is not rolled can be of hundreds, and compile for a minute
TURNS = 4  # turns of a loop that are worth looking at as a loop


class Part(NamedTuple):
    """Calls that follow each other in each turn of a loop, first…last counted from its start.

    ``tables``: of the kernel, one for each turn; without a kernel the calls stay.
    """

    first: int
    last: int
    kernel: Kernel | None
    tables: Any


class Joiner:
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

    fewest, longest = 2, LONGEST  # calls that are worth a kernel
    repeats = True  # whether one kernel can do all turns of a loop

    def __init__(self, given: Sequence[Call], reader: Reader | None = None) -> None:
        self.given = given
        self.calls: list[Call] = []
        self.starts: list[int] = []
        self.keep: dict[int, Any] = {}
        reader = reader or Reader(MOST)
        read = (reader.read(call) for call in given)
        self.read = [o if o and safe(o.shape, places(o.shape, o.addresses)) else None for o in read]

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
        if not self.fewest <= last - first <= self.longest:
            return []
        found = [o for o in self.read[first:last] if o is not None]
        return found if len(found) == last - first else []

    def kernel(self, operations: Sequence[Operation], turns: bool = False) -> Kernel:
        """One for these operations, with ``turns`` again and again."""
        return write(nests_of(operations), turns)

    def leave(self, first: int, last: int) -> None:
        """Calls that stay as they are."""
        self.starts += range(len(self.calls), len(self.calls) + last - first)
        self.calls += self.given[first:last]

    def emit(self, kernel: Kernel, table: Any, replaced: int) -> None:
        """A kernel in place of some calls."""
        self.starts += [len(self.calls)] * replaced
        self.calls.append((load(kernel.text), (address(table),)))
        self.keep[id(table)] = table

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
        """Turns of the same operations, as one kernel or with the same kernels in each."""
        begin, end = turns[0], turns[-1]
        lead = next((k for k in range(turns[1] - begin) if self.read[begin + k] is None), 0)
        if lead and self.read[turns[1] - 1] is not None:  # the end of a turn with the next's start
            turns = [turn + lead for turn in turns[:-1]]
        length = turns[1] - turns[0]
        parts = [
            self.part(turns, first - turns[0], last - turns[0])
            for first, last in self.runs(turns[0], turns[1])
        ]
        if None in parts:
            self.straight(begin, end)
            return
        self.straight(begin, turns[0])
        made = [part for part in parts if part is not None]
        if self.repeats and made[0].kernel is not None and made[0].last == length:
            table = made[0].tables[0]
            table[0] = len(turns) - 1
            self.emit(made[0].kernel, table, turns[-1] - turns[0])
        else:
            for k, turn in enumerate(turns[:-1]):
                for first, last, kernel, tables in made:
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
        addresses = np.array([[a for o in turn for a in o.addresses] for turn in every], np.int64)
        moves = np.diff(addresses, axis=0)
        if (moves != moves[0]).any() or not steady(every[0], moves[0], len(every)):
            return None
        alone = self.repeats and last - first == turns[1] - turns[0]
        kernel = self.kernel(every[0], turns=alone)
        tables = np.repeat(np.array([kernel.table], np.int64), len(every), axis=0)
        numbers = np.cumsum([0, *(len(o.addresses) for o in every[0])])
        for at, spots in kernel.spots:
            which, *others = [numbers[spot.operation] + spot.operand for spot in spots]
            if (moves[:, others] != moves[:, [which]]).any():
                return None  # at the same place in the first turn only
            tables[:, at] = addresses[:, which]
            if alone:
                tables[:, at + 1] = moves[0, which]
        for turn in every:
            self.hold(turn)
        return Part(first, last, kernel, tables)


def steady(operations: Sequence[Operation], moves: Any, turns: int) -> bool:
    """Whether operands that move on differently never meet: then all turns are like the first."""
    found: list[tuple[tuple[int, int], int]] = []
    written = []
    number = 0
    for operation in operations:
        where = places(operation.shape, operation.addresses)
        for place in where:
            move = int(moves[number])
            number += 1
            found.append((covered(place, operation.shape.rows, move, turns), move))
        written.append(found[-1])
    return not any(
        move != other and low < stop and start < high
        for (low, high), move in written
        for (start, stop), other in found
    )


def covered(place: Place, rows: int, move: int, turns: int) -> tuple[int, int]:
    """All that an operand covers during a loop."""
    moved = move * (turns - 1)
    return place.address + min(moved, 0), ends(place, rows) + max(moved, 0)
