"""What is done ahead of a loop, for all of its steps or for some of them at a time.

Element by element, values that a loop reads and does not make may be too large for the caches over
all steps: they would be written to memory and read from there again, each on its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from tinygradrnn.compiler.kernels import ELEMENTWISE
from tinygradrnn.compiler.memory import Stored, shaped
from tinygradrnn.compiler.passes.regroup import readers_of
from tinygradrnn.compiler.passes.simplify import plain
from tinygradrnn.compiler.schedule import Region
from tinygradrnn.compiler.values import Rolled, Shape, Span, Value
from tinygradrnn.recording import Array

if TYPE_CHECKING:
    from tinygradrnn.compiler.lowering import Lowering

BYTES = 1 << 20  # of one block of steps, in a cache of 2 MB
ENOUGH_TURNS = 8  # of a loop: it is worth a copy of the weights
REPEATED = 1 << 14  # numbers at most of what is repeated: more would not stay in the first cache


def joined_to_loops(rolled: Rolled, regions: list[Region]) -> list[Region]:
    """The regions, with what only one loop reads, element by element, as a part of the loop."""
    readers = readers_of(rolled)
    loop_of: dict[int, Region] = {
        id(value): region for region in regions if region.steps for value in region.values
    }
    left: list[Region] = []
    for region in reversed(regions):
        (value, *_) = region.values
        if region.steps is not None or not fits(value):
            left.append(region)
            continue
        found = readers.get(id(value), [])
        loops = {id(loop_of.get(id(reader))): loop_of.get(id(reader)) for reader, _ in found}
        loop = next(iter(loops.values()), None)
        here = all(use.shift == 0 and reader is not value for reader, use in found)
        if loop is not None and len(loops) == 1 and here and each_step(loop):
            loop.ahead.insert(0, value)
            loop_of[id(value)] = loop
        else:
            left.append(region)
    return left[::-1]


def each_step(loop: Region) -> bool:
    """Whether a loop goes from each step to the one beside it."""
    return loop.steps is not None and abs(loop.steps.step) == 1


def fits(value: Value) -> bool:
    """Whether a value is computed element by element, at each of some steps on end."""
    name = value.op.name if value.op is not None else ""
    ends = value.before is not None or value.after is not None
    return name in ELEMENTWISE and value.span is not None and value.span.stride == 1 and not ends


class Blocks:
    """The memory of what is computed ahead of a loop, for some of its steps."""

    def __init__(self, low: Lowering, region: Region) -> None:
        self.low, self.region = low, region
        self.blocks: list[Array] = []
        self.where: dict[int, Array] = {}
        assert region.steps is not None
        if not region.ahead:
            return
        homes = self.shared()
        size = sum(prod(v.shape) * v.dtype.itemsize for v in homes.values())
        most = BYTES // max(size, 1) if low.plain else 1  # kernels go through a step row by row
        self.steps = max(1, min(len(region.steps), most))
        for key, value in homes.items():
            block = low.pool.take(self.steps * prod(value.shape) * value.dtype.itemsize)
            self.blocks.append(block)
            for other in region.ahead:
                if self.home[id(other)] == key:
                    self.where[id(other)] = block

    def shared(self) -> dict[int, Value]:
        """One value for each array: what is read once, by its like, is overwritten by that."""
        readers: dict[int, int] = {}
        for value in (*self.region.ahead, *self.region.values):
            for use in value.uses():
                readers[id(use.value)] = readers.get(id(use.value), 0) + 1
        self.home: dict[int, int] = {}
        homes: dict[int, Value] = {}
        for value in self.region.ahead:
            like = (value.shape, value.dtype, value.span)
            for use in value.inputs:
                source = use.value
                same = (source.shape, source.dtype, source.span) == like
                if id(source) in self.home and readers[id(source)] == 1 and same:
                    self.home[id(value)] = self.home[id(source)]
                    break
            else:
                self.home[id(value)] = id(value)
                homes[id(value)] = value
        return homes

    def before(self, t: int) -> None:
        """Compute what the steps from t on read, where they begin a block."""
        steps = self.region.steps
        assert steps is not None
        if not self.region.ahead or steps.index(t) % self.steps:
            return
        block = steps[steps.index(t) :][: self.steps]
        for value in self.region.ahead:
            assert value.span is not None
            first, last = max(min(block), value.span.first), min(max(block), value.span.last)
            if first > last:
                continue
            span = Span(first, last)
            shape = (span.steps, *value.shape)
            raw = self.where[id(value)]
            full = shaped(raw, shape, value.dtype, tuple(range(len(shape))))
            inputs = self.low.inputs(value, span)
            self.low.stored[id(value)] = Stored(full, span, raw)
            self.low.compute(value, full, inputs, batch=True)

    def give(self) -> None:
        """Hand the memory back."""
        for value in self.region.ahead:
            self.low.stored.pop(id(value), None)
        for block in self.blocks:
            self.low.pool.give(block)


def laid_out(low: Lowering, inside: Sequence[Value], turns: int) -> dict[tuple[int, int], Array]:
    """Copies of what stays the same in a loop, by its reader and position: as it is read quickest.

    A weight that is transposed, or a part of one, with its rows on end: products are up to a half
    quicker, and a copy costs about what they save in five turns. What is broadcast, repeated: NumPy
    goes through the rows of an array all at once where nothing beside it is shorter.
    """
    found: dict[tuple[int, int], Array] = {}
    made: dict[tuple[int, Shape], Array] = {}
    for value in inside if turns >= ENOUGH_TURNS else ():
        name = value.op.name if value.op is not None else ""
        for position, use in enumerate(value.inputs):
            if not plain(use) or use.value.is_number:
                continue
            fixed = low.array(use.value)
            shape = fixed.shape
            if name in ELEMENTWISE and fixed.ndim and prod(value.shape) <= REPEATED:
                shape = value.shape
            weight = name == "matmul" and position == 1 and fixed.ndim == 2
            if shape == fixed.shape and not (weight and not fixed.flags.c_contiguous):
                continue
            key = id(use.value), shape
            if key not in made:
                made[key] = low.temporary(shape, fixed.dtype)
                low.emit(low.xp.copyto, made[key], fixed)
            found[id(value), position] = made[key]
    return found
