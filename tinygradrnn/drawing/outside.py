"""What lies outside of the time steps: the way from the last step to the loss, say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from types import MappingProxyType
from typing import NamedTuple

from tinygradrnn.drawing.frames import Branch, Frame, Item, Net, Placed, Point, Port, State
from tinygradrnn.drawing.look import Look
from tinygradrnn.drawing.records import Diagram, Wire
from tinygradrnn.drawing.scene import Scene
from tinygradrnn.drawing.stamping import Stamp, Style
from tinygradrnn.drawing.template import MANY, ports_for


class Origin(NamedTuple):
    """Where a line comes from: a shape or dot, and the way to the border of the next frame."""

    start: int
    points: tuple[Point, ...]
    lane: bool = False


@dataclass
class Side:
    """A frame of boxes outside of the steps.

    Attributes
    ----------
    frame : Frame
    boxes : list of int
        The box of every item.
    wires : list of tuple of Wire
        For each net the wires that it carries.
    """

    frame: Frame
    boxes: list[int]
    wires: list[Wire]


def ancestors(diagram: Diagram, box: int) -> set[int]:
    """A box outside of the steps, and all that it is computed from."""
    found, waiting = set(), [box]
    sources: dict[int, list[int]] = {}
    for wire in diagram.wires:
        for target in wire.targets:
            sources.setdefault(target, []).append(wire.source)
    while waiting:
        k = waiting.pop()
        if k not in found:
            found.add(k)
            waiting += sources.get(k, [])
    return found


def make_side(
    diagram: Diagram,
    look: Look,
    boxes: set[int],
    entries: Sequence[Sequence[Wire]] = (),
    exits: Sequence[int] = (),
) -> Side:
    """Lay boxes out from left to right along the longest way through them.

    Parameters
    ----------
    diagram : Diagram
    look : Look
    boxes : set of int
        What they read outside of the steps is drawn too.
    entries : sequence of sequences of Wire
        The wires that come in from the left, at each entry.
    exits : sequence of int
        The boxes whose values leave to the right.
    """
    chosen = set(boxes)
    entering = {wire.source for group in entries for wire in group}
    for wire in diagram.wires:
        source = diagram.boxes[wire.source]
        outside = source.step is None and source.kind != "fold" and wire.source not in entering
        if outside and not boxes.isdisjoint(wire.targets):
            chosen.add(wire.source)
    ordered = _in_order(diagram, chosen)
    item_of = {k: n for n, k in enumerate(ordered)}
    nets: list[Net] = []
    wires: list[Wire] = []
    for wire in diagram.wires:
        sinks = tuple(item_of[t] for t in wire.targets if t in boxes)
        if wire.source in item_of and sinks:
            nets.append(Net(item_of[wire.source], sinks))
            wires.append(wire)
    for e, box in enumerate(exits):
        nets.append(Net(item_of[box], (Port("exit", e),)))
        wires.append(diagram.wires_from[box][0])
    for n, group in enumerate(entries):
        read = dict.fromkeys(t for wire in group for t in wire.targets if t in item_of)
        times = {t: max(wire.targets.count(t) for wire in group) for t in read}
        sinks = tuple(item_of[t] for t in read for _ in range(times[t]))
        nets.append(Net(Port("entry", n), sinks))
        wires.append(group[0])
    arrivals = [sum(net.sinks.count(n) for net in nets) for n in range(len(ordered))]
    items = tuple(
        Item(
            *look.size(diagram.boxes[k]),
            ports=ports_for(count, diagram.boxes[k].kind),
            spans=count > MANY,
        )
        for k, count in zip(ordered, arrivals, strict=True)
    )
    weights = [n for n, k in enumerate(ordered) if diagram.boxes[k].kind == "weight"]
    main = [net for net, wire in zip(nets, wires, strict=True) if _is_main(diagram, net, wire)]
    spine = _longest(len(items), main, weights)
    states = tuple(State(item_of[box], False) for box in exits)
    return Side(Frame(items, tuple(nets), states, (spine,)), ordered, wires)


def _is_main(diagram: Diagram, net: Net, wire: Wire) -> bool:
    """Whether a net may be on the longest way: one that comes from a rail is not."""
    source = diagram.boxes[wire.source]
    inside = source.step is not None or source.kind == "fold"
    return inside or not isinstance(net.source, Port)


def _in_order(diagram: Diagram, boxes: set[int]) -> list[int]:
    """Sources before readers, otherwise by number."""
    missing = dict.fromkeys(sorted(boxes), 0)
    after: dict[int, list[int]] = {k: [] for k in missing}
    for wire in diagram.wires:
        for target in wire.targets:
            if wire.source in missing and target in missing:
                missing[target] += 1
                after[wire.source].append(target)
    ready = [k for k, count in missing.items() if not count]
    heapify(ready)
    found = []
    while ready:
        found.append(heappop(ready))
        for k in after[found[-1]]:
            missing[k] -= 1
            if not missing[k]:
                heappush(ready, k)
    return found


def _longest(count: int, nets: Sequence[Net], weights: Sequence[int]) -> tuple[int, ...]:
    """The longest way, from an entry if there is one, else from something else than a weight."""
    length = [-1 if n in weights else 0 for n in range(count)]
    came: list[int | None] = [None] * count
    for net in nets:
        if isinstance(net.source, Port):
            for sink in net.sinks:
                if isinstance(sink, int):
                    length[sink] = count
    for n in range(count):
        for net in nets:
            if isinstance(net.source, int) and n in net.sinks and length[net.source] >= length[n]:
                length[n], came[n] = length[net.source] + 1, net.source
    way: list[int] = []
    at: int | None = max(range(count), key=lambda n: (length[n], n)) if count else None
    while at is not None:
        way.append(at)
        at = came[at]
    return tuple(reversed(way))


def place_side(
    scene: Scene,
    diagram: Diagram,
    look: Look,
    side: Side,
    placed: Placed,
    x: float,
    y: float,
    starts: Mapping[int, Origin] = MappingProxyType({}),
) -> tuple[dict[int, int], dict[int, Origin]]:
    """Draw a frame of boxes outside of the steps.

    ``starts`` says where each entry comes from.

    Returns
    -------
    dict, dict
        The shape of every box, and where every exit leaves the frame.
    """
    exits: dict[int, Origin] = {}
    shapes = {
        k: scene.shape(look.shape(k, bx + x, by + y, wide, high))
        for k, (bx, by, wide, high) in zip(side.boxes, placed.boxes, strict=True)
    }
    for net, wire, branches in zip(side.frame.nets, side.wires, placed.nets, strict=True):
        ends = {
            position: shapes[side.boxes[sink]]
            for position, sink in enumerate(net.sinks)
            if isinstance(sink, int)
        }
        if isinstance(net.source, Port):
            origin = starts[net.source.number]
        else:
            origin = Origin(shapes[side.boxes[net.source]], ())
        style = _style(look, wire, entering=isinstance(net.source, Port), lane=origin.lane)

        def same(_: Branch, style: Style = style) -> Style:
            return style

        tooltip = " ".join(diagram.boxes[wire.source].text)
        stamp = Stamp(scene, x, y, origin.start, ends, same, origin.points, tooltip)
        ports = {p: sink.number for p, sink in enumerate(net.sinks) if isinstance(sink, Port)}
        stamp.left_open = frozenset(ports)
        for position, (start, points) in stamp.draw(branches).items():
            exits[ports[position]] = Origin(start, points)
    return shapes, exits


def _style(look: Look, wire: Wire, entering: bool, lane: bool) -> Style:
    if lane and wire.value is not None:
        return Style(look.lanes[wire.value].line, look.lane(wire.term), "lane", wire.partial)
    if wire.source in look.weight_colour:
        return Style(look.weight_colour[wire.source], look.tap(wire.term), "tap")
    plain = 1.4 if entering else 1.1
    return Style(look.theme.wire, look.flow(wire.term, plain), dashed=wire.partial)
