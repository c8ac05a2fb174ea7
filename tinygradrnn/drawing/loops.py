"""Draws a rolled picture: one step of each phase, and around it the loops of its states.

The upper states are led back above the step, the lower ones below it, one loop inside the other. A
loop ends at a box that stands for the state one step before; the initial state comes in there too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

from tinygradrnn.drawing.frames import Branch, Placed, Point
from tinygradrnn.drawing.look import NUMBER, SMALL
from tinygradrnn.drawing.outside import Origin
from tinygradrnn.drawing.records import Step, Wire, joined_when
from tinygradrnn.drawing.scene import Line, Text
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.stamping import Stamp, Style
from tinygradrnn.drawing.text import at_step, width

LEVEL = 24.0  # from one loop to the next, above or below the step
TURN = 16.0  # from a step, or from one loop, to the next upright piece
ARROW = 22.0  # from a box to what comes in
ABOVE_STEP = 34.0  # room for the name of the step
BELOW_STEP = 20.0
BESIDE_STATE = 52.0  # room for "t = 1"


class Track(NamedTuple):
    """Where a loop runs: left and right of the step (from its borders), and above or below it."""

    left: float
    right: float
    level: float
    up: bool


@dataclass
class Around:
    """What surrounds the step of a phase.

    Attributes
    ----------
    tracks : dict of int to Track
        Of each state of the diagram that this phase computes.
    left, right : float
        How far the loops and the boxes on them reach out.
    below : float
        How much room they need between the step and the rails.
    """

    tracks: dict[int, Track]
    left: float
    right: float
    below: float


class RolledStage(Stage):
    """A rolled diagram on its way to a scene.

    Attributes
    ----------
    around : list of Around
        For each phase.
    """

    def _place_columns(self) -> float:
        self.gap = self._room_for_when()
        self.entries = {box for roll in self.diagram.rolls for box in roll.entries.values()}
        self.late -= self.entries
        self.drawn |= self.entries
        self.around = [self._surround(n) for n in range(len(self.templates))]
        self.placed = [
            _lowered(placed, around.below)
            for placed, around in zip(self.placed, self.around, strict=True)
        ]
        x = height = 0.0
        for n, template in enumerate(self.templates):
            x = self._place_labels(n, x)
            x += max(BESIDE_STATE, *(self._rail_text(k) for k in template.rails), 0.0)
            height += self._lift(n) if n else 0.0
            x += self.around[n].left
            self.place[template.steps[0]] = (n, x, height)
            x += self.placed[n].width + self.around[n].right
        return x

    def _room_for_when(self) -> float:
        """How far what follows the steps stands off, for the text on the way there."""
        texts: dict[int, dict[str, None]] = {}
        for wire in self.diagram.wires:
            texts.setdefault(wire.source, {})[wire.when] = None
        return max((width(joined_when(each), SMALL) for each in texts.values()), default=0.0) + 26

    def fork_x(self, n: int) -> float:
        return super().fork_x(n) - self.around[n].left

    def entry(self, n: int, state: int) -> int:
        """The box of what a state was one step before."""
        return self.diagram.rolls[n].entries[state]

    def starts(self, n: int, state: int) -> list[Wire]:
        """The wires by which a state comes in at the first step."""
        entry = self.entry(n, state)
        return [w for w in self.diagram.wires if entry in w.targets and w.partial]

    def starts_lane(self, wire: Wire, n: int) -> bool:
        if wire.state is None or self.diagram.states[wire.state].backward or not wire.partial:
            return False
        return wire.targets[0] in self.diagram.rolls[n].entries.values()

    def _rail_text(self, box: int) -> float:
        text = self.rail_text(box)
        return width(text, NUMBER, True) + 40 if text else 0.0

    def _lift(self, n: int) -> float:
        for state in self.templates[n].states:
            for wire in self.starts(n, state):
                source = self.step_of(wire.source)
                if source is not None and wire.value is not None:
                    before = self.templates[n - 1].states.index(wire.value)
                    after = self.templates[n].states.index(state)
                    base = self.place[source][2] + self.placed[n - 1].entries[before]
                    return base - self.placed[n].entries[after] - self.place[source][2]
        return 0.0

    def _surround(self, n: int) -> Around:
        """Nest the loops: the upper half above the step, from the top down; the others below."""
        template, placed = self.templates[n], self.placed[n]
        heights = {k: placed.entries[i] for i, k in enumerate(template.states)}
        order = sorted(
            (k for k in heights if k in self.diagram.rolls[n].entries), key=lambda k: heights[k]
        )
        upper = order[len(order) // 2 :][::-1]
        lower = order[: len(order) // 2]
        around = Around({}, TURN, TURN, 0.0)
        if upper:
            level = max(placed.height + ABOVE_STEP, *(bus + LEVEL for bus in placed.buses), 0.0)
            self._nest(n, around, upper, level, up=True)
        if lower:
            self._nest(n, around, lower, -BELOW_STEP, up=False)
            around.below = BELOW_STEP + LEVEL * (len(lower) - 1) + 4
        return around

    def _nest(self, n: int, around: Around, states: list[int], level: float, up: bool) -> None:
        left = right = 0.0
        for state in states:
            half = self.look.size(self.diagram.boxes[self.entry(n, state)])[0] / 2
            backward = self.diagram.states[state].backward
            left += TURN if backward else ARROW + half
            right += ARROW + half if backward else TURN
            around.tracks[state] = Track(left, right, level, up)
            left += 0.0 if backward else half - 6
            right += half - 6 if backward else 0.0
            level += LEVEL if up else -LEVEL
        around.left = max(around.left, left + 6)
        around.right = max(around.right, right + 6)


def _lowered(placed: Placed, by: float) -> Placed:
    """The same with the rails below the items further down."""

    def point(p: Point) -> Point:
        return (p[0], p[1] - by) if p[1] < 0 else p

    nets = tuple(
        tuple(branch._replace(points=tuple(map(point, branch.points))) for branch in net)
        for net in placed.nets
    )
    rails = tuple(y - by if y < 0 else y for y in placed.rails)
    return replace(placed, nets=nets, rails=rails)


# ---------------------------------------------------------------- drawing


def draw_loops(stage: RolledStage) -> None:
    """Every state: into the step, back to its beginning, and the initial one."""
    states = [(n, k) for n, around in enumerate(stage.around) for k in sorted(around.tracks)]
    for n, state in states:
        _draw_entry(stage, n, state)
        _draw_loop(stage, n, state)
    for n, state in states:
        for wire in stage.starts(n, state):
            _draw_start(stage, wire, n, state)
    _name_loops(stage)


def _heights(stage: RolledStage, n: int, state: int) -> tuple[float, float, float, float]:
    """Left and right border of the step, how high it stands, and how high the lane."""
    template, placed = stage.templates[n], stage.placed[n]
    _, x, y = stage.place[template.steps[0]]
    return x, x + placed.width, y, y + placed.entries[template.states.index(state)]


def _draw_entry(stage: RolledStage, n: int, state: int) -> None:
    """The state one step before, and its way to what reads it."""
    left, right, base, y = _heights(stage, n, state)
    template, placed = stage.templates[n], stage.placed[n]
    track = stage.around[n].tracks[state]
    backward = stage.diagram.states[state].backward
    colour, thick = stage.look.lanes[state].line, stage.look.lane(None)
    entry = stage.entry(n, state)
    wide, high = stage.look.size(stage.diagram.boxes[entry])
    x, border = (right + track.right, right) if backward else (left - track.left, left)
    shape = stage.shape[entry] = stage.scene.shape(stage.look.shape(entry, x, y, wide, high))
    (wire,) = stage.diagram.wires_from[entry]
    net = template.net_of["entry", state]
    terms = stage.served(template, wire, net)
    ends = {p: stage.shape[t] for t, p in zip(wire.targets, terms, strict=True)}

    def style(branch: Branch) -> Style:
        level = all(py + base == y for _, py in branch.points)
        return Style(colour, thick, "lane") if level else Style(colour, stage.look.branch(None))

    way = ((x + (-wide if backward else wide) / 2, y), (border, y))
    stamp = Stamp(stage.scene, left, base, shape, ends, style, way, stage.tooltip(entry))
    stamp.draw(placed.nets[net])


def _draw_loop(stage: RolledStage, n: int, state: int) -> None:
    """From where the state leaves the step around it to its entry; a dot where it also leads on."""
    left, right, base, y = _heights(stage, n, state)
    track = stage.around[n].tracks[state]
    colour, thick = stage.look.lanes[state].line, stage.look.lane(None)
    entry = stage.shape[stage.entry(n, state)]
    box = stage.scene.shapes[entry]
    turn = left - track.left if stage.diagram.states[state].backward else right + track.right
    step = stage.templates[n].steps[0]
    start, points, _ = stage.origins[step, state]
    points = (*points[:-1], (turn, y))
    tooltip = " ".join(box.text)
    if any(_leads_on(stage, wire, step) for wire in stage.diagram.wires if wire.value == state):
        dot = stage.scene.dot(turn, y, 1.7 + thick / 2, colour)
        stage.scene.lines.append(Line(points, start, dot, colour, thick, "lane", tooltip))
        stage.origins[step, state] = Origin(dot, ((turn, y),), lane=True)
        start, points = dot, ((turn, y),)
    level = base + track.level
    end = y + (box.height if track.up else -box.height) / 2
    way = (*points, (turn, level), (box.x, level), (box.x, end))
    stage.scene.lines.append(
        Line(way, start, entry, colour, thick, "lane", f"{tooltip}, next step", arrow=True)
    )


def _leads_on(stage: RolledStage, wire: Wire, step: Step) -> bool:
    """Whether a wire leaves the step where its state does, for somewhere else than the loop."""
    if stage.step_of(wire.source) != step or wire.state == wire.value:
        return False
    if any(stage.step_of(target) == step for target in wire.targets):
        return False
    return stage.templates[stage.place[step][0]].exits(stage.diagram, wire).kind == "exit"


def _draw_start(stage: RolledStage, wire: Wire, n: int, state: int) -> None:
    """The initial state, or one that another phase ends with, on its dashed way into the loop."""
    left, _, _, y = _heights(stage, n, state)
    backward = stage.diagram.states[state].backward
    colour, thick = stage.look.lanes[state].line, stage.look.lane(None)
    shape = stage.shape[stage.entry(n, state)]
    box = stage.scene.shapes[shape]
    source = stage.step_of(wire.source)
    if source is not None and wire.value is not None:
        start, points, _ = stage.origins[source, wire.value]
        _tell_last(stage, wire.value, source, points[-1][1])
    else:
        start, points, _ = _initial(stage, wire.source, n, y, backward)
    end = (box.x + (box.width if backward else -box.width) / 2, y)
    way = _elbow(points, end)
    stage.scene.lines.append(
        Line(way, start, shape, colour, thick, "lane", wire.when, arrow=True, dashed=True)
    )
    if source is None:
        lies_left = backward or (n, wire.source) in stage.forks
        x, at = points[-1][0] + (-24 if lies_left else 24), y
    else:  # where no loop runs upright
        x = left - stage.around[n].left - 22
        at = next(py for (_, py), (end, _) in pairwise(way) if end >= x)
    stage.scene.texts.append(Text(x, at + 11, wire.when, SMALL, stage.theme.muted))


def _initial(stage: RolledStage, box: int, n: int, y: float, backward: bool) -> Origin:
    """Where the way of an initial state begins, on a rail if its box has one."""
    if not backward:
        return stage.lane_origin(box, n, y)
    wide, _ = stage.look.size(stage.diagram.boxes[box])
    x = stage.place[stage.templates[n].steps[0]][1] + stage.placed[n].width
    x += stage.around[n].right + BESIDE_STATE + wide / 2
    stage.right = max(stage.right, x + wide / 2)
    if box in stage.rails:
        start, points, _ = stage.lead_on(box, x)
        return Origin(start, (*points, (x, y)))
    start = stage.draw_origin(box, x, y, wide)
    return Origin(start, ((stage.sides(start)[0], y),))


def _tell_last(stage: RolledStage, state: int, step: Step, y: float) -> None:
    """That the next phase starts with what the last step of this one hands on."""
    n, x, _ = stage.place[step]
    x += stage.placed[n].width + stage.around[n].right + 22
    when = "t = 1" if stage.diagram.states[state].backward else "t = T"
    stage.scene.texts.append(Text(x, y + 11, when, SMALL, stage.theme.muted))


def _elbow(points: tuple[Point, ...], end: Point) -> tuple[Point, ...]:
    x, y = points[-1]
    if abs(y - end[1]) < 1e-6:
        return (*points, end)
    middle = (x + end[0]) / 2
    return (*points, (middle, y), (middle, end[1]), end)


def _name_loops(stage: RolledStage) -> None:
    """On each loop how often, and what becomes what."""
    upright = sorted(
        (x1, min(y1, y2), max(y1, y2))
        for line in stage.scene.lines
        for (x1, y1), (x2, y2) in pairwise(line.points)
        if x1 == x2
    )
    for n, roll in enumerate(stage.diagram.rolls):
        for state, track in stage.around[n].tracks.items():
            left, right, base, _ = _heights(stage, n, state)
            name = stage.diagram.states[state].name
            (before,) = stage.diagram.boxes[roll.entries[state]].text
            text = f"× T = {len(roll.labels)}   {at_step(name, 't')} → {before}"
            y, half = base + track.level, width(text, NUMBER, True) / 2 + 8
            crossing = [x for x, low, high in upright if low < y < high]
            x = _free(crossing, left - track.left + 8, right + track.right - 8, half)
            colour = stage.look.lanes[state].text
            stage.scene.texts.append(
                Text(x, y, text, NUMBER, colour, bold=True, plate=stage.theme.page)
            )


def _free(taken: list[float], left: float, right: float, half: float) -> float:
    """The middle of a free stretch of a line, as near to the middle of the line as can be."""
    middle = (left + right) / 2
    stops = [left, *sorted(x for x in taken if left < x < right), right]
    found = [min(max(middle, a + half), b - half) for a, b in pairwise(stops) if b - a >= 2 * half]
    return min(found, key=lambda x: abs(x - middle), default=middle)
