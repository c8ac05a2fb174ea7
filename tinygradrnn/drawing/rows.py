"""Which row each item of a frame stands in.

Values rise: an item stands above what it reads. State lanes are straight: the items on the way
from a state's entry to its exit share a row. Where one state is computed from another that lies
higher (c → tanh → × → h of an LSTM), the items in between descend.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tinygradrnn.drawing.frames import Frame, Port

Constraint = tuple[int, int, int]  # row[second] >= row[first] + third


@dataclass(frozen=True, slots=True)
class Lane:
    """Items that share a row, in the direction of time.

    ``state`` is the item at its end, which the state leaves from; a lane is broken where the way
    to it leaves the row, which comes back at the first item of ``end``.
    """

    items: tuple[int, ...]
    state: int | None
    broken: bool = False
    end: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """The row of every item, the lanes, and the items that lead down from a state to another."""

    of: dict[int, int]
    lanes: tuple[Lane, ...]
    descending: frozenset[int]


class Flow:
    """Who reads whom among the items of one group."""

    def __init__(self, members: Iterable[int], edges: Iterable[tuple[int, int]]) -> None:
        self.members = sorted(members)
        inside = set(self.members)
        self.edges = [(a, b) for a, b in edges if a in inside and b in inside]
        self.after: dict[int, list[int]] = {n: [] for n in self.members}
        self.before: dict[int, list[int]] = {n: [] for n in self.members}
        for a, b in self.edges:
            self.after[a].append(b)
            self.before[b].append(a)

    def path(self, starts: list[int], goal: int) -> list[int]:
        """A shortest way from one of the starts to the goal; empty if there is none."""
        came: dict[int, int | None] = dict.fromkeys(starts)
        queue = list(came)
        for n in queue:
            if n == goal:
                way: list[int] = []
                at: int | None = n
                while at is not None:
                    way.append(at)
                    at = came[at]
                return way[::-1]
            for m in self.after[n]:
                if m not in came:
                    came[m] = n
                    queue.append(m)
        return []

    def reach(self, starts: Iterable[int], neighbours: dict[int, list[int]]) -> set[int]:
        """Everything that can be reached from the starts."""
        seen: set[int] = set()
        waiting = list(starts)
        while waiting:
            for m in neighbours[waiting.pop()]:
                if m not in seen:
                    seen.add(m)
                    waiting.append(m)
        return seen


def find_lanes(frame: Frame, flow: Flow) -> list[Lane]:
    """The lanes of a group: the shortest way through the step, as far as it does not fork."""
    found: dict[int, tuple[int, list[int]]] = {}
    inside = set(flow.members)
    for k, state in enumerate(frame.states):
        if state.item in inside and state.item not in found:
            starts = [n for n in frame.readers(Port("entry", k)) if n in inside]
            starts = [n for n in starts if not frame.items[n].keeps] or starts
            found[state.item] = (k, flow.path(starts, state.item) or starts[:1])
    exits = set(found)
    claimed = set(exits)
    lanes = []
    for item in sorted(found, key=lambda i: (len(found[i][1]), found[i][0])):
        way = found[item][1]
        chain: list[int] = []
        whole = item in way
        for n, beyond in zip(way, [*way[1:], None], strict=False):
            if n == item:
                break
            if n in claimed:
                whole = False
                break
            chain.append(n)
            stays = beyond is not None and frame.items[beyond].keeps
            if len(flow.after[n]) > 1 and not stays:
                whole = False
                break
        end = [n for n in way[-2:-1] if frame.items[n].keeps and n not in {*claimed, *chain}]
        claimed.update(chain, end)
        broken = bool(way) and not whole
        lanes.append(Lane((*chain, *end, item), item, broken, (*end, item)))
    for spine in frame.spines:
        chain = [n for n in spine if n in inside and n not in claimed]
        if chain:
            lanes.append(Lane(tuple(chain), None))
    return lanes


def find_descending(flow: Flow, lanes: list[Lane]) -> set[int]:
    """Items on a way from one state of this step to another whose lane is broken."""
    states = [lane.state for lane in lanes if lane.state is not None]
    fixed = {n for lane in lanes for n in lane.items}
    found: set[int] = set()
    for lane in lanes:
        if lane.broken and lane.state is not None:
            others = flow.reach([s for s in states if s != lane.state], flow.after)
            found |= others & flow.reach([lane.state], flow.before)
    return found - fixed


def assign_rows(frame: Frame) -> Rows:
    """Stack the groups; within each, the lowest rows in which everything rises."""
    of: dict[int, int] = {}
    lanes: list[Lane] = []
    descending: set[int] = set()
    groups = sorted({item.group for item in frame.items})
    edges = frame.edges()
    base = 0
    for group in groups:
        flow = Flow((i for i, item in enumerate(frame.items) if item.group == group), edges)
        rows, own, down = _solve(flow, find_lanes(frame, flow))
        levels = {row: base + level for level, row in enumerate(sorted(set(rows.values())))}
        of.update({n: levels[row] for n, row in rows.items()})
        lanes += own
        descending |= down
        base += len(levels)
    return Rows(of, tuple(lanes), frozenset(descending))


def _solve(flow: Flow, lanes: list[Lane]) -> tuple[dict[int, int], list[Lane], set[int]]:
    """Straight lanes if that is possible; else straight only between the steps."""
    shorter = [Lane(x.end, x.state, True, x.end) if x.broken else x for x in lanes]
    bare = [Lane(x.items[-1:], x.state) if x.state is not None else x for x in lanes]
    none = [Lane((n,), x.state) for x in lanes for n in x.items if n == x.state]
    for attempt in (lanes, shorter, bare, none):
        down = find_descending(flow, attempt)
        solver = _Solver(flow, attempt, down)
        if solver.solve():
            solver.clear_lanes()
            solver.settle()
            return solver.rows(), attempt, down
    raise AssertionError("a graph without cycles can always be stacked")


class _Solver:
    """Longest paths over classes of items: a lane is one class, any other item its own."""

    def __init__(self, flow: Flow, lanes: list[Lane], descending: set[int]) -> None:
        self.flow = flow
        self.head = {n: n for n in flow.members}
        for lane in lanes:
            self.head.update({n: lane.items[0] for n in lane.items})
        self.lane_heads = [
            lane.items[0] for lane in lanes if len(lane.items) > 1 or lane.state is not None
        ]
        self.fixed = set(self.lane_heads) | descending
        self.constraints = [self._constraint(a, b, lanes, descending) for a, b in flow.edges]
        self.constraints = [c for c in self.constraints if c[0] != c[1] or c[2]]
        self.row: dict[int, int] = {}

    def _constraint(self, a: int, b: int, lanes: list[Lane], down: set[int]) -> Constraint:
        low, high = self.head[a], self.head[b]
        if low == high:
            return low, high, 0
        ends = {n for lane in lanes if lane.broken for n in lane.end}
        held = {n for x in lanes if x.state is not None for n in (x.end if x.broken else x.items)}
        if b in ends or (b in down and (a in down or a in held)):
            return high, low, 1
        return low, high, 0 if b in down else 1

    def solve(self) -> bool:
        """The smallest rows that keep all constraints; False if they contradict each other."""
        row = dict.fromkeys(self.head.values(), 0)
        for _ in range(len(row) + 1):
            changed = False
            for low, high, step in self.constraints:
                if row[high] < row[low] + step:
                    row[high] = row[low] + step
                    changed = True
            if not changed:
                self.row = row
                return True
        return False

    def clear_lanes(self) -> None:
        """Nothing else stands in the row of a lane, so that the lane can run through."""
        for _ in range(4 * len(self.row)):
            rows = {self.row[head]: head for head in self.lane_heads}
            clash = next((n for n, r in self.row.items() if rows.get(r, n) != n), None)
            if clash is None:
                return
            lane = rows[self.row[clash]]
            for pair in ((lane, clash), (clash, lane)):
                self.constraints.append((*pair, 1))
                if self.solve():
                    break
                self.constraints.pop()
            else:
                return

    def settle(self) -> None:
        """Lift inputs, and what is computed from nothing but them, up to their readers."""
        after: dict[int, list[tuple[int, int]]] = {n: [] for n in self.row}
        before: dict[int, list[int]] = {n: [] for n in self.row}
        for low, high, step in self.constraints:
            after[low].append((high, step))
            before[high].append(low)
        for _ in range(len(self.row)):
            moved = False
            for n in self.row:
                lifted = self._tight(n, after)
                if lifted is None:
                    continue
                slack = [
                    self.row[high] - step - self.row[m]
                    for m in lifted
                    for high, step in after[m]
                    if high not in lifted
                ]
                inwards = any(low not in lifted for m in lifted for low in before[m])
                taken = {self.row[head] for head in self.lane_heads}
                if slack and not inwards:
                    for lift in range(min(slack), 0, -1):
                        if taken.isdisjoint(self.row[m] + lift for m in lifted):
                            self.row.update({m: self.row[m] + lift for m in lifted})
                            moved = True
                            break
            if not moved:
                return

    def _tight(self, start: int, after: dict[int, list[tuple[int, int]]]) -> set[int] | None:
        """What must move when an item moves up; None if that would move a lane."""
        lifted: set[int] = set()
        waiting = [start]
        while waiting:
            n = waiting.pop()
            if n in self.fixed:
                return None
            if n not in lifted:
                lifted.add(n)
                waiting += [m for m, step in after[n] if self.row[m] == self.row[n] + step]
        return lifted

    def rows(self) -> dict[int, int]:
        return {n: self.row[head] for n, head in self.head.items()}
