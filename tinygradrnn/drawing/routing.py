"""The way of every wire through a frame: along grid lines, never through a box.

The grid has a line through every column and row and some tracks in the gaps between them. A wire
costs its length, its bends and its crossings; the cheapest way is found by A*. Wires of one net may
share a trunk; those of different nets cross at right angles or not at all. Lines become
coordinates later, so what counts here is only who lies left of whom and above whom.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise

from tinygradrnn.drawing.columns import Columns
from tinygradrnn.drawing.frames import End, Frame, Port
from tinygradrnn.drawing.rows import Rows

EAST, NORTH, WEST, SOUTH = range(4)
BEND, CROSSING, CROSSING_LANE, JUNCTION, IN_LANE = 7.0, 4.0, 8.0, 3.0, 5.0
# What it costs to arrive at a box moving east, north, west, south: values rise.
RISING = (1.5, 0.0, 4.0, 12.0)
FALLING = (1.5, 12.0, 4.0, 0.0)
TURNS = tuple((d, (d + 1) % 4, (d + 3) % 4) for d in range(4))
NOBODY = -1


@dataclass
class Grid:
    """The lines of a frame, numbered from the left and from below."""

    frame: Frame
    rows: Rows
    columns: Columns
    tracks: int
    x_of: list[int] = field(init=False)  # the line through each column
    y_of: list[int] = field(init=False)  # the line through each row
    rail: list[int] = field(init=False)
    bus: list[int] = field(init=False)
    foot: int = field(init=False)
    top: int = field(init=False)
    width: int = field(init=False)
    height: int = field(init=False)

    def __post_init__(self) -> None:
        items = self.frame.items
        ports = [
            item.ports
            for item, (first, last) in zip(items, self.columns.extent, strict=True)
            if first == last
        ]
        across = self.tracks + 2 * (max(ports, default=0) // 2)
        along = self.tracks + 2 * max((i.lanes - 1 for i in items), default=0)
        self.x_of = [1 + across + j * (across + 1) for j in range(self.columns.total)]
        self.width = self.columns.total * (across + 1) + across + 2
        first = {
            group: min(self.rows.of[i] for i, item in enumerate(items) if item.group == group)
            for group in {item.group for item in items}
        }
        self.rail = [0] * len(self.frame.rails)
        lowest = min(first.values(), default=0)
        at = 0
        for k in reversed(range(len(self.rail))):
            if first.get(self.frame.rails[k], lowest) == lowest:
                self.rail[k] = at
                at += 1
        self.foot = at
        self.y_of = []
        for row in range(max(self.rows.of.values(), default=-1) + 1):
            at += along
            for k in reversed(range(len(self.rail))):
                if row > lowest and first.get(self.frame.rails[k]) == row:
                    at += 1
                    self.rail[k] = at
                    at += along
            at += 1
            self.y_of.append(at)
        self.top = at + along + 1
        self.bus = [self.top + 1 + k for k in range(self.frame.buses)]
        self.height = self.top + 1 + self.frame.buses

    def lane(self, k: int) -> int:
        """The line of state k."""
        item = self.frame.states[k].item
        beside = [j for j, state in enumerate(self.frame.states) if state.item == item]
        middle = self.y_of[self.rows.of[item]]
        return middle + len(beside) - 1 - 2 * beside.index(k)

    def cover(self, item: int) -> tuple[int, int, int, int]:
        """The lines that run through an item: left, right, bottom, top."""
        box = self.frame.items[item]
        first, last = self.columns.extent[item]
        across = 0 if first < last else box.ports // 2
        y, along = self.y_of[self.rows.of[item]], box.lanes - 1
        return self.x_of[first] - across, self.x_of[last] + across, y - along, y + along


Path = list[tuple[int, int]]
Parts = list[tuple[int, Path]]  # which sink, and the way to it


Job = tuple[int, int]  # a net, and which of its sinks


class NoWayError(Exception):
    """A wire finds all sides of its box taken, or too few tracks."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"no way for sink {job[1]} of net {job[0]}")
        self.job = job


class Router:
    """Routes all nets of a frame on a grid.

    ``paths[net]`` lists (position of the sink, path), in the order in which they were found; a path
    leads from the source, or from a point of an earlier path of the net, to the sink.
    """

    def __init__(self, grid: Grid, urgent: Collection[Job] = ()) -> None:
        self.grid = grid
        self.urgent = urgent
        self.frame = grid.frame
        self.size = grid.width * grid.height
        self.delta = (1, grid.width, -1, -grid.width)
        self.right = [NOBODY] * self.size  # which net uses the piece of line to the right
        self.up = [NOBODY] * self.size
        self.box = [NOBODY] * self.size
        for n in range(len(self.frame.items)):
            left, right, bottom, top = grid.cover(n)
            for y in range(bottom, top + 1):
                for x in range(left, right + 1):
                    self.box[self._vertex(x, y)] = n
        self.lane_rows = {
            grid.y_of[grid.rows.of[lane.items[0]]]
            for lane in grid.rows.lanes
            if lane.state is not None or len(lane.items) > 1
        } | {grid.lane(k) for k in range(len(self.frame.states))}
        self.neighbours = {pair for lane in grid.rows.lanes for pair in pairwise(lane.items)}
        # Along these lines only their own net runs; it is drawn for the whole time axis at once.
        self.reserved = {*grid.rail, *grid.bus, grid.foot, grid.top}
        self.paths: dict[int, Parts] = {k: [] for k in range(len(self.frame.nets))}

    def route(self) -> None:
        """Find all ways, short and straight ones first; then each net once more, given the rest."""
        jobs = sorted(
            (
                (*self._priority(net.source, sink, (k, position)), k, position)
                for k, net in enumerate(self.frame.nets)
                for position, sink in enumerate(net.sinks)
            ),
        )
        for *_, k, position in jobs:
            self._route_one(k, position)
        for k in range(len(self.frame.nets)):
            if len(self.paths[k]) > 1 or any(len(path) > 2 for _, path in self.paths[k]):
                self._claim(k, NOBODY)
                self.paths[k] = []
                for *_, net, position in jobs:
                    if net == k:
                        self._route_one(k, position)

    # ---------------------------------------------------------------- order

    def _priority(self, source: End, sink: End, job: Job) -> tuple[int, int]:
        """Lanes first, then what found no way before, then from short to long."""
        group, distance = self._order(source, sink)
        return (1, distance) if group and job in self.urgent else (group, distance)

    def _order(self, source: End, sink: End) -> tuple[int, int]:
        if isinstance(sink, Port):
            return (0, 0) if sink.kind == "exit" else (4, 0)
        x, y = self._middle(sink)
        if isinstance(source, int):
            other = self._middle(source)
            distance = abs(other[0] - x) + abs(other[1] - y)
            return (0 if (source, sink) in self.neighbours else 2, distance)
        if source.kind == "entry" and source.number < len(self.frame.states):
            lane = self.grid.lane(source.number)
            return (0, x) if self._covers(sink, lane) else (3, abs(y - lane))
        if source.kind == "entry" and any(sink == spine[0] for spine in self.frame.spines if spine):
            return 0, x
        return 3, y

    def _middle(self, item: int) -> tuple[int, int]:
        return self.grid.x_of[self.grid.columns.of[item]], self.grid.y_of[self.grid.rows.of[item]]

    def _covers(self, item: int, line: int) -> bool:
        _, _, bottom, top = self.grid.cover(item)
        return bottom <= line <= top

    def _vertex(self, x: int, y: int) -> int:
        return y * self.grid.width + x

    # ---------------------------------------------------------------- one wire

    def _route_one(self, k: int, position: int) -> None:
        net = self.frame.nets[k]
        path = self._search(k, net.source, net.sinks[position])
        if path is None:
            raise NoWayError((k, position))
        self.paths[k].append((position, [divmod(v, self.grid.width)[::-1] for v in path]))
        self._claim_path(path, k)

    def _claim(self, k: int, owner: int) -> None:
        for _, path in self.paths[k]:
            self._claim_path([self._vertex(x, y) for x, y in path], owner)

    def _claim_path(self, path: list[int], owner: int) -> None:
        for a, b in pairwise(path):
            if abs(a - b) == 1:
                self.right[min(a, b)] = owner
            else:
                self.up[min(a, b)] = owner

    def _starts(self, k: int, source: End, sink: End) -> Iterable[tuple[int, int, float]]:
        """Where the wire may begin: (vertex, direction, cost)."""
        grid, width = self.grid, self.grid.width
        lanes = self._lanes_out(source)
        for position, path in self.paths[k]:
            end = self.frame.nets[k].sinks[position]
            if lanes and isinstance(end, Port) and end.kind == "exit":
                continue  # the box has several states, and this lane may carry another one
            for x, y in path:
                v = self._vertex(x, y)
                inside = 0 < x < width - 1
                if inside and self.box[v] == NOBODY and not self._foreign(v, k):
                    for d in range(4):
                        yield v, d, JUNCTION + BEND / 2
        if isinstance(source, int):
            left, right, bottom, top = grid.cover(source)
            if isinstance(sink, Port) and sink.kind == "exit":
                backward = self.frame.states[sink.number].backward
                y = grid.lane(sink.number)
                yield (y * width + left, WEST, 0.0) if backward else (y * width + right, EAST, 0.0)
                return
            sideways = (left + right) // 2
            share = 0.0 if right - left > grid.tracks else 0.5
            for y in range(bottom, top + 1):
                if (y, EAST) not in lanes:
                    yield y * width + right, EAST, 2.0
                if (y, WEST) not in lanes:
                    yield y * width + left, WEST, 4.0
            upwards = self._rises(source, sink)
            for x in range(left, right + 1):
                off = share * abs(x - sideways)
                yield top * width + x, NORTH, off + (0.0 if upwards else 12.0)
                yield bottom * width + x, SOUTH, off + (12.0 if upwards else 0.0)
        elif source.kind == "rail":
            for x in range(1, width - 1):
                yield self._vertex(x, grid.rail[source.number]), NORTH, 0.0
        elif source.number < len(self.frame.states):
            y = grid.lane(source.number)
            if self.frame.states[source.number].backward:
                yield y * width + width - 1, WEST, 0.0
            else:
                yield y * width, EAST, 0.0
        elif not self.paths[k]:
            for y in range(grid.foot + 1, grid.top):
                yield y * width, EAST, 0.0

    def _lanes_out(self, source: End) -> set[tuple[int, int]]:
        """Where the lanes of a box of several states leave it: nothing else may begin there."""
        if not isinstance(source, int) or self.frame.items[source].lanes < 2:
            return set()
        return {
            (self.grid.lane(k), WEST if state.backward else EAST)
            for k, state in enumerate(self.frame.states)
            if state.item == source
        }

    def _rises(self, source: End, sink: End) -> bool:
        if isinstance(source, Port) or isinstance(sink, Port):
            return True
        below = self.grid.rows.of[source] <= self.grid.rows.of[sink]
        return below and sink not in self.grid.rows.descending

    def _foreign(self, v: int, k: int) -> bool:
        """Whether another net is at a vertex."""
        allowed = (NOBODY, k)
        return (
            self.right[v] not in allowed
            or self.up[v] not in allowed
            or self.right[v - 1] not in allowed
            or self.up[v - self.grid.width] not in allowed
        )

    def _goal(self, source: End, sink: End) -> tuple[int, int, int, int]:
        """The lines that the wire must arrive within: left, right, bottom, top."""
        grid = self.grid
        if isinstance(sink, int):
            left, right, bottom, top = grid.cover(sink)
            if isinstance(source, Port) and source.kind == "entry":
                own = source.number < len(self.frame.states)
                if own and self.frame.states[source.number].item == sink:
                    bottom = top = grid.lane(source.number)
            return left, right, bottom, top
        if sink.kind == "bus":
            return 1, grid.width - 2, grid.bus[sink.number], grid.bus[sink.number]
        x = 0 if self.frame.states[sink.number].backward else grid.width - 1
        return x, x, grid.lane(sink.number), grid.lane(sink.number)

    def _search(self, k: int, source: End, sink: End) -> list[int] | None:
        grid, width, delta = self.grid, self.grid.width, self.delta
        goal = left, right, bottom, top = self._goal(source, sink)
        target = sink if isinstance(sink, int) else NOBODY
        arrival = RISING if self._rises(source, sink) else FALLING
        off = 0.0 if right - left > grid.tracks else 0.5
        tapping = isinstance(source, Port) and source.kind == "rail"
        leaving = isinstance(sink, Port) and sink.kind == "bus"
        lowest = 0 if tapping else grid.foot + 1
        highest = grid.height - 1 if leaving else grid.top - 1
        box, own_right, own_up, reserved = self.box, self.right, self.up, self.reserved
        dear = set() if self._along_lane(source, sink) else self.lane_rows
        best: dict[int, float] = {}
        came: dict[int, int] = {}
        heap: list[tuple[float, float, int]] = []

        for v, d, cost in self._starts(k, source, sink):
            state = v * 4 + d
            if cost < best.get(state, 1e9):
                best[state] = cost
                y, x = divmod(v, width)
                heappush(heap, (cost + _at_least(goal, x, y, d), cost, state))
        while heap:
            _, cost, state = heappop(heap)
            if cost > best[state]:
                continue
            v, d = divmod(state, 4)
            y, x = divmod(v, width)
            if left <= x <= right and bottom <= y <= top and box[v] == target:
                way = [v]
                while state in came:
                    state = came[state]
                    way.append(state // 4)
                return way[::-1]
            w = v + delta[d]
            # One step ahead …
            if d == EAST:
                blocked = x >= width - 1 or own_right[v] != NOBODY or y in reserved
            elif d == WEST:
                blocked = x <= 0 or own_right[w] != NOBODY or y in reserved
            elif d == NORTH:
                blocked = y >= highest or own_up[v] != NOBODY or not 0 < x < width - 1
            else:
                blocked = y <= lowest or own_up[w] != NOBODY or not 0 < x < width - 1
            if blocked or (box[w] != NOBODY and box[w] != target):
                continue
            step = 1.0 + IN_LANE if d in (EAST, WEST) and y in dear else 1.0
            turns: tuple[int, ...] = (d,)
            y, x = divmod(w, width)
            if box[w] == target != NOBODY:
                step += arrival[d] + off * abs(x - (left + right) // 2)
            elif self._foreign(w, k):
                if not self._crosses(w, d):
                    continue
                step += CROSSING_LANE if y in self.lane_rows else CROSSING
            else:
                turns = TURNS[d]
            for turn in turns:
                after = w * 4 + turn
                total = cost + step + (BEND if turn != d else 0.0)
                if total < best.get(after, 1e9):
                    best[after] = total
                    came[after] = state
                    heappush(heap, (total + _at_least(goal, x, y, turn), total, after))
        return None

    def _along_lane(self, source: End, sink: End) -> bool:
        if isinstance(source, Port):
            return source.kind == "entry"
        if isinstance(sink, Port):
            return sink.kind == "exit"
        return (source, sink) in self.neighbours

    def _crosses(self, v: int, d: int) -> bool:
        """Whether what is at a vertex runs straight through, at a right angle."""
        width = self.grid.width
        east, north, west, south = (
            self.right[v], self.up[v], self.right[v - 1], self.up[v - width],
        )  # fmt: skip
        if d in (EAST, WEST):
            return east == west == NOBODY and north == south
        return north == south == NOBODY and east == west


def _at_least(goal: tuple[int, int, int, int], x: int, y: int, d: int) -> float:
    """What the way from (x, y) in direction d to the goal costs at least: its length and bends."""
    left, right, bottom, top = goal
    level = left - x if x < left else max(x - right, 0)
    upright = bottom - y if y < bottom else max(y - top, 0)
    if (x > right, y > top, x < left, y < bottom)[d]:  # the goal is behind
        return level + upright + 2 * BEND
    return level + upright + (BEND if (upright if d in (EAST, WEST) else level) else 0.0)
