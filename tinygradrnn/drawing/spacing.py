"""From grid lines to points: as narrow as the boxes, wires, arrowheads and numbers allow."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import NamedTuple

from tinygradrnn.drawing.frames import Branch, Frame, Placed, Point, Port
from tinygradrnn.drawing.routing import Grid, Parts, Path

BETWEEN_WIRES = 11.0
BESIDE_BOX = 11.0
BEFORE_ARROW = 21.0  # from a bend to the box that the arrow points at
BETWEEN_BOXES = 14.0
JOINED_BOXES = 26.0  # boxes with an arrow from one to the next
BETWEEN_ROWS = 22.0
BETWEEN_RAILS = 28.0
RAIL_LABEL = 16.0  # half the box at the end of a rail, and some room
BESIDE_LANE = 13.0  # half the box at the end of a lane
BETWEEN_PORTS = 17.0
BETWEEN_LANES = 15.0  # half of it: there is a line between each two
BUS_LABEL = 9.0
BESIDE_SPAN = 22.0
MARGIN = 16.0
WIRE = -1


class Occupant(NamedTuple):
    """What stands on a grid line across: from line ``low`` to line ``high``, and some room."""

    low: int
    high: int
    before: float
    after: float
    item: int  # or WIRE


class Spacing:
    """Positions for a routed frame."""

    def __init__(self, grid: Grid, paths: dict[int, Parts]) -> None:
        self.grid = grid
        self.frame: Frame = grid.frame
        self.paths = paths
        self.joined: set[tuple[int, int, int]] = set()  # (row line, line, line) with a wire between
        for parts in paths.values():
            for _, path in parts:
                for (x1, y1), (x2, y2) in pairwise(path):
                    if y1 == y2:
                        self.joined.add((y1, min(x1, x2), max(x1, x2)))
        self.x = self._across()
        self.y = self._upwards()

    # ---------------------------------------------------------------- x

    def _occupants(self) -> dict[int, list[Occupant]]:
        """What stands on each line across, from left to right."""
        found: dict[int, dict[int, Occupant]] = defaultdict(dict)
        for n in range(len(self.frame.items)):
            left, right, bottom, top = self.grid.cover(n)
            pad = self._pad(n)
            for y in range(bottom, top + 1):
                found[y][left] = Occupant(left, right, pad, pad, n)
        for k, parts in self.paths.items():
            net = self.frame.nets[k]
            for _, path in parts:
                feet = self._feet(k, path[0][1])
                for (x1, y1), (x2, y2) in pairwise(path):
                    if x1 == x2:
                        for y in (y1, y2):
                            before, after = (net.ahead, net.room) if y in feet else (0.0, 0.0)
                            after = max(after, net.head) if y == self.grid.top else after
                            found[y].setdefault(x1, Occupant(x1, x1, before, after, WIRE))
        return {y: [row[x] for x in sorted(row)] for y, row in found.items()}

    def _feet(self, k: int, start: int) -> set[int]:
        """The lines at which room is kept for a net: its rail, and those above for its layer."""
        found, source = {self.grid.foot, start}, self.frame.nets[k].source
        if isinstance(source, Port) and source.kind == "rail":
            below = self.frame.rails
            found |= {
                line
                for line, group in zip(self.grid.rail, below, strict=True)
                if group == below[source.number] and line > start
            }
        return found

    def _across(self) -> dict[int, float]:
        constraints: list[tuple[int, int, float]] = []
        left_border, right_border = 0, self.grid.width - 1
        for y, row in sorted(self._occupants().items()):
            if y < self.grid.foot or y > self.grid.top:
                continue
            covered = [o for o in row if not self._inside(o, row)]
            constraints.append((left_border, covered[0].low, covered[0].before + MARGIN))
            constraints.append((covered[-1].high, right_border, covered[-1].after + MARGIN))
            for a, b in pairwise(covered):
                constraints.append((a.high, b.low, self._gap(a, b, y)))
        for n, item in enumerate(self.frame.items):
            left, right, _, _ = self.grid.cover(n)
            if self._spans(n):
                constraints.append((left, right, item.width - 2 * self._pad(n)))
            else:
                constraints += [(x, x + 1, BETWEEN_PORTS) for x in range(left, right)]
        constraints.append((left_border, right_border, max(2 * MARGIN, self.frame.least)))
        return _between(constraints)

    def _spans(self, n: int) -> bool:
        first, last = self.grid.columns.extent[n]
        return first < last

    def _pad(self, n: int) -> float:
        """How far a box reaches beyond its outermost lines."""
        left, right, _, _ = self.grid.cover(n)
        if left == right:
            return self.frame.items[n].width / 2
        if self._spans(n):
            return BESIDE_SPAN
        return max(
            BETWEEN_PORTS * 0.8, (self.frame.items[n].width - BETWEEN_PORTS * (right - left)) / 2
        )

    @staticmethod
    def _inside(o: Occupant, row: list[Occupant]) -> bool:
        return o.item == WIRE and any(b.item != WIRE and b.low <= o.low <= b.high for b in row)

    def _gap(self, a: Occupant, b: Occupant, y: int) -> float:
        room = a.after + b.before
        joined = all((y, x, x + 1) in self.joined for x in range(a.high, b.low))
        if WIRE not in (a.item, b.item):
            return room + (JOINED_BOXES if joined else BETWEEN_BOXES)
        if a.item == b.item:
            return room + BETWEEN_WIRES
        return room + (BEFORE_ARROW if joined else BESIDE_BOX)

    # ---------------------------------------------------------------- y

    def _upwards(self) -> dict[int, float]:
        grid = self.grid
        used = {y for parts in self.paths.values() for _, path in parts for y in _turns(path)}
        half: dict[int, float] = defaultdict(float)  # what reaches out from a line, up and down
        pinned: dict[int, float] = {}
        for n, item in enumerate(self.frame.items):
            _, _, bottom, top = grid.cover(n)
            reach = BETWEEN_LANES * (top - bottom) / 2
            for y in range(bottom, top + 1):
                used.add(y)
                if y < top:
                    pinned[y] = BETWEEN_LANES
            for y in (bottom, top):
                half[y] = max(half[y], item.height / 2 - reach)
        rows = {y for n in range(len(self.frame.items)) for y in grid.cover(n)[2:]}
        used |= {grid.foot, grid.top}
        lines = sorted(used | set(grid.rail) | set(grid.bus))
        at: dict[int, float] = {}
        foot = max((net.tall for net in self.frame.nets), default=0.0)
        headed = any(net.head for net in self.frame.nets)
        for low, high in zip([None, *lines], lines, strict=False):
            if low is None:
                at[high] = 0.0
                continue
            if low in pinned and high == low + 1:
                gap = pinned[low]
            elif low in grid.rail and high in (*grid.rail, grid.foot):
                gap = BETWEEN_RAILS
            elif low in grid.rail:
                gap = half[high] + (foot + 10 if foot else BEFORE_ARROW)
            elif high in grid.rail:
                gap = max(half[low], BESIDE_LANE if low in rows else 0.0) + RAIL_LABEL
            elif high in grid.bus:
                gap = BETWEEN_RAILS + (BUS_LABEL if headed else 0.0)
            elif low == grid.foot:
                gap = half[high] + MARGIN + foot
            elif high == grid.top:
                gap = half[low] + (MARGIN if low in rows else BETWEEN_WIRES)
            elif low in rows and high in rows:
                gap = half[low] + BETWEEN_ROWS + half[high]
            elif low in rows:
                gap = half[low] + BESIDE_BOX
            elif high in rows:
                gap = half[high] + BEFORE_ARROW
            else:
                gap = BETWEEN_WIRES
            at[high] = at[low] + gap
        return {y: value - at[grid.foot] for y, value in at.items()}

    # ---------------------------------------------------------------- results

    def placed(self) -> Placed:
        """Everything in points."""
        grid, frame = self.grid, self.frame
        boxes = []
        for n, item in enumerate(frame.items):
            left, right, bottom, top = grid.cover(n)
            spread = self.x[right] - self.x[left]
            width = item.width
            if right > left:
                width = max(width, spread + 2 * self._pad(n))
            x, y = (self.x[left] + self.x[right]) / 2, (self.y[bottom] + self.y[top]) / 2
            boxes.append((x, y, width, item.height))
        nets = tuple(tuple(self._branches(k, boxes)) for k in range(len(frame.nets)))
        entries = [grid.lane(k) for k in range(len(frame.states))]
        free = {
            net.source.number: self.paths[k][0][1][0][1]
            for k, net in enumerate(frame.nets)
            if isinstance(net.source, Port)
            and net.source.kind == "entry"
            and net.source.number >= len(entries)
        }
        entries += [free[k] for k in sorted(free)]
        return Placed(
            self.x[grid.width - 1],
            self.y[grid.top],
            tuple(boxes),
            nets,
            tuple(self.y[y] for y in entries),
            tuple(self.y[y] for y in grid.rail),
            tuple(self.y[y] for y in grid.bus),
        )

    def _branches(self, k: int, boxes: list[tuple[float, float, float, float]]) -> list[Branch]:
        """The pieces of a net, cut where it forks."""
        net, parts = self.frame.nets[k], self.paths[k]
        owner: dict[tuple[int, int], int] = {}  # the path that a point was first reached by
        attached: dict[int, list[int]] = defaultdict(list)
        source = net.source if isinstance(net.source, int) else None
        for p, (_, path) in enumerate(parts):
            if path[0] in owner:
                attached[owner[path[0]]].append(p)
            for point in path[1:-1]:
                owner.setdefault(point, p)
            if source is None or not self._within(path[0], source):
                owner.setdefault(path[0], p)
        everything = {p: self._below(p, attached) for p in range(len(parts))}
        found = []
        for p, (position, path) in enumerate(parts):
            cuts = sorted({path.index(parts[q][1][0]) for q in attached[p]} - {0})
            for a, b in zip([0, *cuts], [*cuts, len(path) - 1], strict=True):
                leads = {p} | {
                    r for q in attached[p] if path.index(parts[q][1][0]) >= b for r in everything[q]
                }
                found.append(
                    Branch(
                        self._points(
                            path[a : b + 1],
                            boxes,
                            net.sinks[position] if b == len(path) - 1 else None,
                            source if a == 0 else None,
                        ),
                        tuple(sorted(parts[r][0] for r in leads)),
                        position if b == len(path) - 1 else None,
                        a == 0 and not any(p in others for others in attached.values()),
                    )
                )
        return found

    def _below(self, p: int, attached: dict[int, list[int]]) -> set[int]:
        found, waiting = set(), [p]
        while waiting:
            q = waiting.pop()
            found.add(q)
            waiting += attached[q]
        return found

    def _within(self, point: tuple[int, int], item: int) -> bool:
        left, right, bottom, top = self.grid.cover(item)
        return left <= point[0] <= right and bottom <= point[1] <= top

    def _points(
        self,
        path: Path,
        boxes: list[tuple[float, float, float, float]],
        sink: object,
        source: int | None,
    ) -> tuple[Point, ...]:
        corners = [
            path[0],
            *[
                b
                for a, b, c in zip(path, path[1:], path[2:], strict=False)
                if (a[0] == b[0]) != (b[0] == c[0])
            ],
            path[-1],
        ]
        points = [(self.x[x], self.y[y]) for x, y in corners]
        if source is not None and self._within(path[0], source):
            points[0] = _edge(points[0], points[1], boxes[source])
        if isinstance(sink, int):
            points[-1] = _edge(points[-1], points[-2], boxes[sink])
        return tuple(points)


def _turns(path: Path) -> set[int]:
    """The lines across that a path runs along."""
    return {a[1] for a, b in pairwise(path) if a[1] == b[1]}


def _edge(inner: Point, outer: Point, box: tuple[float, float, float, float]) -> Point:
    """Where a straight line from outside reaches the border of a box."""
    x, y, width, height = box
    if inner[1] == outer[1]:
        return (x - width / 2 if outer[0] < inner[0] else x + width / 2, inner[1])
    return (inner[0], y - height / 2 if outer[1] < inner[1] else y + height / 2)


def _between(constraints: list[tuple[int, int, float]]) -> dict[int, float]:
    """Positions with every ``at[b] - at[a] >= gap``: midway between leftmost and rightmost."""
    lines = sorted({line for a, b, _ in constraints for line in (a, b)})
    left = dict.fromkeys(lines, 0.0)
    for a, b, gap in sorted(constraints):
        left[b] = max(left[b], left[a] + gap)
    end = left[lines[-1]]
    right = dict.fromkeys(lines, end)
    for a, b, gap in sorted(constraints, key=lambda c: (-c[1], -c[0])):
        right[a] = min(right[a], right[b] - gap)
    return {line: (left[line] + right[line]) / 2 for line in lines}
