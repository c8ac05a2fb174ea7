"""Where operands are in the turns of a loop: by how much they move on, and whether they meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn.compiler.fused.nests import Place, ends, places, relation
from tinygradrnn.compiler.fused.reading import Operation


class Turns(NamedTuple):
    """The operands of all operations, one after the other, in each turn.

    ``addresses``: an array of turns × operands; ``moves``: how many bytes each goes on in a turn.
    """

    addresses: Any
    moves: Any


def turns_of(every: Sequence[Sequence[Operation]]) -> Turns | None:
    """The turns of a loop; None if its operands do not move on evenly, or meet others that do."""
    addresses = np.array([[a for o in turn for a in o.addresses] for turn in every], np.int64)
    moves = np.diff(addresses, axis=0)
    if (moves != moves[0]).any() or not steady(every[0], moves[0], len(every)):
        return None
    return Turns(addresses, moves[0])


class Operand(NamedTuple):
    """One of a turn: where it is, how it moves on, how many rows it has, whether it is written."""

    place: Place
    move: int
    rows: int
    written: bool

    def covered(self, turns: int) -> tuple[int, int]:
        """All that it covers during a loop."""
        moved = self.move * (turns - 1)
        return self.place.address + min(moved, 0), ends(self.place, self.rows) + max(moved, 0)


def operands(operations: Sequence[Operation], moves: Any) -> Iterator[Operand]:
    """All of them, as they are numbered."""
    number = 0
    for shape, _, addresses in operations:
        for k, place in enumerate(places(shape, addresses)):
            last = k == len(addresses) - 1
            yield Operand(place, int(moves[number]), shape.rows, last)
            number += 1


def meeting(
    operations: Sequence[Operation], moves: Any, turns: int
) -> Iterator[tuple[Operand, Operand]]:
    """What is written, each with all that covers some of it."""
    found = [(operand, operand.covered(turns)) for operand in operands(operations, moves)]
    for one, (low, high) in found:
        if one.written:
            for other, (start, stop) in found:
                if low < stop and start < high:
                    yield one, other


def steady(operations: Sequence[Operation], moves: Any, turns: int) -> bool:
    """Whether operands that move on differently never meet: then all turns are like the first."""
    return all(a.move == b.move for a, b in meeting(operations, moves, turns))


def independent(operations: Sequence[Operation], moves: Any, turns: int) -> bool:
    """Whether rows need rows of the same number only, in all turns; all have the same number."""
    return all(own_rows(a, b) for a, b in meeting(operations, moves, turns))


def own_rows(one: Operand, other: Operand) -> bool:
    """Whether rows of one never meet others of another operand that moves on as it does."""
    a, b, rows = one.place, other.place, one.rows
    if one.move:  # where the other is in the turns in which it is nearest
        step = abs(one.move)
        if max(ends(a, rows) - a.address, ends(b, rows) - b.address) > step:
            return False
        nearest = a.address + (b.address - a.address) % step
        near = [b._replace(address=nearest), b._replace(address=nearest - step)]
    else:
        near = [b]
    return all(relation(a, place, rows) != "mixed" for place in near)


def fixed(operations: Sequence[Operation], moves: Any, turns: int) -> bool:
    """Whether second factors of products stay as they are during a loop."""
    number = 0
    factors = []
    for shape, _, addresses in operations:
        if shape.name == "product":
            if moves[number + 1]:
                return False
            factors.append(places(shape, addresses)[1])
        number += len(addresses)
    written = [o.covered(turns) for o in operands(operations, moves) if o.written]
    return not any(
        f.address < stop and start < f.address + f.width for f in factors for start, stop in written
    )
