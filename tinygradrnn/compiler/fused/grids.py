"""Which operations one kernel of a GPU can do: a thread computes an element of each, in turn.

Threads do not wait for each other, so no thread may touch what another one writes. Rows that are
several times as long as others are cut into parts: where the gates of a cell are one matrix of
four times the state's width, each thread computes one element of every gate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import gcd
from typing import NamedTuple

from tinygradrnn.compiler.fused.nests import SIZES, Place, cut, relation
from tinygradrnn.compiler.fused.reading import Operation, Shape

MOST_PARTS = 8  # of a row
MOST = 96  # parts of all operations of a kernel


class Grid(NamedTuple):
    """The elements of which each has a thread."""

    rows: int
    columns: int


class Access(NamedTuple):
    """How threads find their elements of an operand.

    ``offset``: in bytes, of a part from the beginning of the operand; ``row``, ``step``: bytes
    from one row to the next, and from one element of a row to the next.
    """

    address: int
    offset: int
    row: int
    step: int
    dtype: str

    def place(self, grid: Grid) -> Place:
        """What all threads touch."""
        width = (grid.columns if self.step else 1) * SIZES[self.dtype]
        return Place(self.address + self.offset, self.row, width)


class Group:
    """Operations of one kernel.

    Attributes
    ----------
    operations : list of Operation
    grid : Grid
    """

    def __init__(self, operation: Operation) -> None:
        self.operations = [operation]
        self.grid = grid_of([operation.shape]) or Grid(1, 1)  # it always has one
        self.touched: dict[Access, bool] = {}  # and whether it is written
        self.touch(operation)

    def add(self, operation: Operation) -> bool:
        """Take an operation in, if threads then do not meet."""
        more = [*self.operations, operation]
        grid = grid_of([one.shape for one in more])
        if grid is None or sum(counted(one.shape, grid) for one in more) > MOST:
            return False
        before = self.grid, dict(self.touched)
        new: Sequence[Operation] = [operation]
        if grid != self.grid:
            self.grid, self.touched, new = grid, {}, more
        if not all(self.touch(one) for one in new):
            self.grid, self.touched = before
            return False
        self.operations = more
        return True

    def touch(self, operation: Operation) -> bool:
        """Note what an operation reads and writes; False if threads would meet there."""
        for part in parts(operation, self.grid):
            for number, mine in enumerate(part):
                writes = number == len(part) - 1
                for other, wrote in self.touched.items():
                    if (writes or wrote) and not self.apart(mine, other):
                        return False
                self.touched[mine] = writes or self.touched.get(mine, False)
        return True

    def apart(self, one: Access, other: Access) -> bool:
        """Whether each thread has both to itself."""
        how = relation(one.place(self.grid), other.place(self.grid), self.grid.rows)
        return how == "apart" or (how == "same" and one.dtype == other.dtype)


def groups_of(operations: Sequence[Operation]) -> list[Group]:
    """Operations as few kernels, in their order."""
    found: list[Group] = []
    for operation in operations:
        if not (found and found[-1].add(operation)):
            found.append(Group(operation))
    return found


def grid_of(shapes: Sequence[Shape]) -> Grid | None:
    """The elements that these shapes have in common; None if they are too different."""
    given = {shape.rows for shape in shapes if not shape.flat}
    rows = given.pop() if given else 1
    sizes = [shape.rows * shape.columns for shape in shapes]
    if given or any(size % rows for size in sizes):
        return None
    columns = gcd(*(size // rows for size in sizes))
    return Grid(rows, columns) if max(sizes) <= MOST_PARTS * rows * columns else None


def counted(shape: Shape, grid: Grid) -> int:
    """In how many parts an operation is done."""
    return shape.rows * shape.columns // (grid.rows * grid.columns)


def parts(operation: Operation, grid: Grid) -> Iterator[list[Access]]:
    """The operands of each part of an operation, the result last."""
    shape = operation.shape
    count = counted(shape, grid)
    if shape.flat:
        shape = cut(shape, grid.rows)
    for number in range(count):
        found = []
        for layout, address in zip(shape.layouts, operation.addresses, strict=True):
            size = 0 if layout.point else SIZES[layout.dtype]
            row = layout.row if grid.rows > 1 else 0
            step = size if grid.columns > 1 else 0
            found.append(Access(address, number * grid.columns * size, row, step, layout.dtype))
        yield found
