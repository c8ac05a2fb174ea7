"""Which column each item of a frame stands in.

A tree of feeders hangs below the item that reads it: the deepest one straight below, the others in
columns to its left. Items of a lane stand in columns from left to right; states leave from the last
column. In a layer that runs backwards in time all this is mirrored.
"""

from __future__ import annotations

from typing import NamedTuple

from tinygradrnn.drawing.frames import Frame
from tinygradrnn.drawing.rows import Flow, Rows


class Column:
    """What a column holds in each row: an item, or None where a wire passes."""

    def __init__(self) -> None:
        self.cells: dict[int, int | None] = {}

    def free(self, low: int, high: int) -> bool:
        return not any(row in self.cells for row in range(low, high + 1))


class Columns(NamedTuple):
    """The column of each item, the columns that it extends over, and how many there are."""

    of: list[int]
    extent: list[tuple[int, int]]
    total: int


def assign_columns(frame: Frame, rows: Rows) -> Columns:
    """The column of every item.

    Groups share columns: layers that run forward line up at the right, those that run backward at
    the left; what lies between them is put near what it reads and what reads it.
    """
    edges = frame.edges()
    groups: list[dict[int, int]] = []
    counts: list[int] = []
    for group in sorted({item.group for item in frame.items}):
        members = [i for i, item in enumerate(frame.items) if item.group == group]
        of, count = _Group(Flow(members, edges), rows).columns()
        groups.append(of)
        counts.append(count)
    width = max(counts, default=0)
    column: dict[int, int] = {}
    ends = {state.item: state.backward for state in frame.states}
    if width == 1 and len(set(ends.values())) == 2:
        width = 2  # so that wires to one direction need not go around the other
    stateless = []
    for of, count in zip(groups, counts, strict=True):
        ways = [ends[item] for item in of if item in ends]
        if not ways:
            stateless.append((of, width - count))
        elif any(ways):
            column.update({item: count - 1 - at for item, at in of.items()})
        else:
            column.update({item: width - count + at for item, at in of.items()})
    for of, most in stateless:
        shift = _shift(of, column, edges, most)
        column.update({item: shift + at for item, at in of.items()})
    placed = [column[n] for n in range(len(frame.items))]
    return Columns(placed, _extents(frame, rows, placed, edges), width)


def _shift(
    of: dict[int, int], column: dict[int, int], edges: list[tuple[int, int]], most: int
) -> int:
    """How far a group without states moves to the right, to stand below or above its partners."""
    wishes = [column[b] - of[a] for a, b in edges if a in of and b in column]
    wishes += [column[a] - of[b] for a, b in edges if b in of and a in column]
    wishes.sort()
    return min(max(wishes[len(wishes) // 2], 0), most) if wishes else most


def _extents(
    frame: Frame, rows: Rows, column: list[int], edges: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """From the first to the last of the columns beside which it stands, if all between are free."""
    found = [(at, at) for at in column]
    for n, item in enumerate(frame.items):
        if not item.spans:
            continue
        above = {b for a, b in edges if a == n and rows.of[b] > rows.of[n]}
        below = {a for a, b in edges if b == n and rows.of[a] < rows.of[n]}
        reach = [column[m] for m in above | below if frame.items[m].group == item.group]
        reach.append(column[n])
        low, high = min(reach), max(reach)
        others = [m for m in range(len(column)) if m != n and rows.of[m] == rows.of[n]]
        if not any(low <= column[m] <= high for m in others):
            found[n] = (low, high)
    return found


class _Group:
    def __init__(self, flow: Flow, rows: Rows) -> None:
        self.flow = flow
        self.row = rows.of
        self.descending = rows.descending
        inside = set(flow.members)
        lanes = [lane for lane in rows.lanes if lane.items[0] in inside]
        self.lanes = sorted(lanes, key=lambda lane: -self.row[lane.items[0]])
        self.held = {n for lane in self.lanes for n in lane.items} | set(self.descending)
        self.order: list[Column] = []
        self.of: dict[int, Column] = {}
        self.last = Column()
        self._place_all()

    def columns(self) -> tuple[dict[int, int], int]:
        """The column of each item, and their number."""
        used = [c for c in (*self.order, self.last) if any(v is not None for v in c.cells.values())]
        return {n: used.index(column) for n, column in self.of.items()}, len(used)

    def _place_all(self) -> None:
        for lane in self.lanes:
            if lane.state is not None:
                self._take(lane.state, self.last)
        for lane in self.lanes:
            if lane.state is not None and lane.broken:
                self._descend(lane.end[0])
        for lane in self.lanes:
            self._place_lane([n for n in lane.items if n != lane.state])
            for n in sorted(self.descending, key=lambda n: -self.row[n]):
                if n in self.of and lane is self.lanes[0]:
                    self._place_feeders(n)
        for n in reversed(self.flow.members):
            if n not in self.of:
                self._place_tree(n, self._column_for(n))

    def _take(self, n: int, column: Column) -> None:
        column.cells[self.row[n]] = n
        self.of[n] = column

    # ---------------------------------------------------------------- lanes

    def _descend(self, state: int) -> None:
        """The chain that leads down to a state, in the last column."""
        n: int | None = state
        while n is not None:
            n = next(
                (
                    m
                    for m in self.flow.before[n]
                    if m in self.descending
                    and m not in self.of
                    and self.last.free(self.row[n] + 1, self.row[m])
                ),
                None,
            )
            if n is not None:
                self._take(n, self.last)

    def _place_lane(self, chain: list[int]) -> None:
        """Choose increasing columns, each near the readers that are placed already."""
        if not chain:
            return
        row = self.row[chain[0]]
        while len([c for c in self.order if c.free(row, row)]) < len(chain):
            self.order.append(Column())
        wanted = [self._wish(n) for n in chain]
        best: dict[int, tuple[float, list[int]]] = {-1: (0.0, [])}
        for wish in wanted:
            step: dict[int, tuple[float, list[int]]] = {}
            for at, column in enumerate(self.order):
                if not column.free(row, row):
                    continue
                own = 0.0 if wish is None else 2.0 * abs(at - wish)
                options = [
                    (cost + own + 0.1 * (at - before - 1), [*way, at])
                    for before, (cost, way) in best.items()
                    if before < at
                ]
                if options:
                    step[at] = min(options)
            best = step
        for n, at in zip(chain, min(best.values())[1], strict=True):
            self._take(n, self.order[at])
        for n in chain:
            self._place_feeders(n)

    def _wish(self, n: int) -> int | None:
        readers = sorted(
            self.order.index(self.of[m])
            for m in self.flow.after[n]
            if m in self.of and self.of[m] in self.order and m not in self.descending
        )
        return readers[len(readers) // 2] if readers else None

    # ---------------------------------------------------------------- trees

    def _kids(self, n: int) -> list[int]:
        """The inputs that only this item reads."""
        return [
            m
            for m in dict.fromkeys(self.flow.before[n])
            if m not in self.of and m not in self.held and set(self.flow.after[m]) == {n}
        ]

    def _lowest(self, n: int) -> int:
        """The lowest row of the tree of feeders below an item."""
        lowest, waiting = self.row[n], [n]
        while waiting:
            m = waiting.pop()
            lowest = min(lowest, self.row[m])
            waiting += self._kids(m)
        return lowest

    def _place_tree(self, n: int, column: Column) -> None:
        waiting = [(n, column)]
        while waiting:
            n, column = waiting.pop()
            self._take(n, column)
            waiting += self._feeders(n)

    def _place_feeders(self, n: int) -> None:
        for kid, column in self._feeders(n):
            self._place_tree(kid, column)

    def _feeders(self, n: int) -> list[tuple[int, Column]]:
        """The kids of an item with their columns; the rows between are kept for the wires."""
        column, row = self.of[n], self.row[n]
        kids = self._kids(n)
        deepest = sorted(kids, key=lambda m: (self._lowest(m), -m))
        main = next(
            (m for m in deepest if self.row[m] < row and column.free(self.row[m], row - 1)), None
        )
        found = []
        if main is not None:
            for between in range(self.row[main], row):
                column.cells[between] = None
            found.append((main, column))
        for kid in kids:
            if kid != main:
                found.append((kid, self._beside(column, self._lowest(kid), row)))
                for between in range(self.row[kid], row):
                    found[-1][1].cells[between] = None
        return found

    def _beside(self, column: Column, low: int, high: int) -> Column:
        """The column to the left if it is free there, else a new one."""
        at = self.order.index(column) if column in self.order else len(self.order)
        if at and self.order[at - 1].free(low, high):
            return self.order[at - 1]
        made = Column()
        self.order.insert(at, made)
        return made

    # ---------------------------------------------------------------- the others

    def _column_for(self, n: int) -> Column:
        """For an item with several readers or none: straight below one, or amid them."""
        row = self.row[n]
        readers = [m for m in dict.fromkeys(self.flow.after[n]) if m in self.of]
        columns = list(dict.fromkeys(self.of[m] for m in readers))
        if len(columns) <= 2:
            for m in sorted(readers, key=lambda m: self.row[m]):
                column = self.of[m]
                if row < self.row[m] and column.free(row, self.row[m] - 1):
                    for between in range(row, self.row[m]):
                        column.cells[between] = None
                    return column
        places = sorted(self.order.index(c) for c in columns if c in self.order)
        middle = places[len(places) // 2] if places else len(self.order) - 1
        by_distance = sorted(range(len(self.order)), key=lambda at: (abs(at - middle), at))
        for at in by_distance[:3]:
            if self.order[at].free(row, row):
                return self.order[at]
        made = Column()
        self.order.insert(middle + 1, made)
        return made
