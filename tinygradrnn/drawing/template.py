"""What the steps of a diagram have in common: the frame that all of them are stamped from."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from tinygradrnn.drawing.frames import End, Frame, Item, Net, Port, State
from tinygradrnn.drawing.look import BODY, NUMBER, Foot, Look
from tinygradrnn.drawing.records import Box, Diagram, Step, Wire
from tinygradrnn.drawing.spacing import BETWEEN_LANES
from tinygradrnn.drawing.text import number, width
from tinygradrnn.drawing.theme import Theme

MANY = 6  # sources below which a box is stretched
Role = tuple[str, Hashable]  # what a net starts from: ("slot", …), ("entry", state), ("rail", box)


class IrregularError(Exception):
    """The steps do not fit into one frame."""


@dataclass
class Template:
    """The frame of one phase, and how boxes and wires map to it.

    Attributes
    ----------
    frame : Frame
    steps : list of Step
    item_of : dict
        Slot to item.
    net_of : dict
        Role to net.
    states : list of int
        The states of the diagram that run through this phase, in the order of the frame.
    rails : list of int
        The boxes outside of the steps that all steps read.
    groups : list of int or None
        The recurrent layer of each item.
    buses : dict of Hashable to int
        The slots that something outside reads, and the number of the line to it.
    """

    frame: Frame
    steps: list[Step]
    item_of: dict[Hashable, int]
    net_of: dict[Role, int]
    states: list[int]
    rails: list[int]
    groups: list[int | None]
    buses: dict[Hashable, int]

    def exits(self, diagram: Diagram, wire: Wire) -> Port:
        """Where a wire leaves the step of its source."""
        slot = diagram.boxes[wire.source].slot
        if wire.value is None or (wire.state is None and slot in self.buses):
            return Port("bus", self.buses[slot])
        return Port("exit", self.states.index(wire.value))


def step_name(diagram: Diagram, step: Step) -> str:
    """What is written above a step: ``t = 3 · 2 of 3 run`` where sequences end at different steps.

    In a rolled picture ``step t``, with the number of the loop where there are several.
    """
    loops = [roll.step for roll in diagram.rolls]
    if loops:
        return f"loop {loops.index(step) + 1}, step t" if len(loops) > 1 else "step t"
    running = next((found for found in diagram.running if found.step == step), None)
    if running is None:
        return f"t = {step.label}"
    count = len(running.sequences)
    runs = f"{count} of {running.batch} run" if count else "none runs"
    return f"t = {step.label} · {runs}"


def ports_for(arrivals: int, kind: str) -> int:
    """How many wires must fit side by side below a box; round ones have four sides and no more."""
    enough = {"op": 3, "gate": 1}.get(kind, 2)
    return arrivals if arrivals > enough else 1


def fits_time_axis(diagram: Diagram, theme: Theme) -> bool:
    """Whether each step reads only itself, its neighbours, and what precedes all steps.

    If not, the graph can only be drawn without a time axis.
    """
    late = late_boxes(diagram)
    look = Look(diagram, theme)
    try:
        templates = [
            make_template(diagram, look, phase) for phase in {s.phase for s in diagram.steps}
        ]
    except IrregularError:
        return False
    return not any(rail in late for template in templates for rail in template.rails)


def late_boxes(diagram: Diagram) -> set[int]:
    """The boxes outside of the steps that depend on a step."""
    late: set[int] = set()
    timed = {k for k, box in enumerate(diagram.boxes) if box.step is not None or box.kind == "fold"}
    waiting = sorted(timed)
    while waiting:
        for wire in diagram.wires_from[waiting.pop()]:
            new = {t for t in wire.targets if t not in timed} - late
            late |= new
            waiting += sorted(new)
    return late


def make_template(diagram: Diagram, look: Look, phase: int) -> Template:
    """The union of the steps of a phase."""
    return _Maker(diagram, look, phase).template()


class _Maker:
    def __init__(self, diagram: Diagram, look: Look, phase: int) -> None:
        self.diagram, self.look = diagram, look
        self.steps = [step for step in diagram.steps if step.phase == phase]
        inside = set(self.steps)
        self.members = [k for k, box in enumerate(diagram.boxes) if box.step in inside]
        self.inside = set(self.members)
        self.sinks: dict[Role, dict[End | Hashable, int]] = {}
        self.foot: dict[Role, Foot] = {}
        self.head: dict[Role, float] = {}
        self.states = self._states()
        self.phase_follows = any(step.phase > phase for step in diagram.steps)
        self.buses = self._buses()
        self.rails: list[int] = []
        for wire in diagram.wires:
            self._read(wire)

    def template(self) -> Template:
        slots = self._ordered_slots()
        item_of = {slot: n for n, slot in enumerate(slots)}
        groups = self._groups(slots)
        self.rails.sort()
        items = tuple(self._item(slot, groups[slot]) for slot in slots)
        net_of: dict[Role, int] = {}
        nets: list[Net] = []
        for role in self._roles(slots):
            ends = [end for end, count in self.sinks[role].items() for _ in range(count)]
            resolved = tuple(e if isinstance(e, Port) else item_of[e] for e in ends)
            net_of[role] = len(nets)
            feet, head = self.foot.get(role, Foot()), self.head.get(role, 0.0)
            nets.append(Net(self._source(role, item_of), resolved, *feet, head))
        below = []
        for rail in self.rails:
            read = [item_of[end] for end in self.sinks["rail", rail] if not isinstance(end, Port)]
            below.append(min(items[n].group for n in read))
        frame = Frame(
            items,
            tuple(nets),
            tuple(
                State(item_of[self.diagram.states[k].slot], self.diagram.states[k].backward)
                for k in self.states
            ),
            rails=tuple(below),
            buses=len(set(self.buses.values())),
            least=max(width(step_name(self.diagram, step), BODY) for step in self.steps) + 12,
        )
        layer = {self.diagram.boxes[k].slot: self.diagram.boxes[k].group for k in self.members}
        return Template(
            frame,
            self.steps,
            item_of,
            net_of,
            self.states,
            self.rails,
            [layer[slot] for slot in slots],
            self.buses,
        )

    # ---------------------------------------------------------------- wires

    def _states(self) -> list[int]:
        """States that this phase computes."""
        slots = {self.diagram.boxes[k].slot for k in self.members}
        return [k for k, state in enumerate(self.diagram.states) if state.slot in slots]

    def _read(self, wire: Wire) -> None:
        boxes = self.diagram.boxes
        source = boxes[wire.source]
        targets = [boxes[t] for t in wire.targets if t in self.inside]
        if targets:
            if wire.source in self.inside and source.step == targets[0].step:
                role: Role = ("slot", source.slot)
            elif wire.state is not None:
                if wire.state not in self.states:
                    raise IrregularError
                role = ("entry", wire.state)
                if wire.source in self.inside:
                    self._leave(wire, source)
            elif source.step is None and source.kind != "fold":
                role = ("rail", wire.source)
                if wire.source not in self.rails:
                    self.rails.append(wire.source)
            else:
                raise IrregularError
            self._add(role, [target.slot for target in targets])
            if role[0] == "rail":
                feet = (self.foot.get(role, Foot()), self.look.foot(wire))
                self.foot[role] = Foot(*map(max, *feet))
        elif wire.source in self.inside:
            self._leave(wire, source)

    def _leave(self, wire: Wire, source: Box) -> None:
        if wire.state is None and any(self.diagram.boxes[t].step is not None for t in wire.targets):
            raise IrregularError
        if wire.value is not None and (wire.state is not None or source.slot not in self.buses):
            self._add(("slot", source.slot), [Port("exit", self.states.index(wire.value))])
        else:
            role: Role = ("slot", source.slot)
            self._add(role, [Port("bus", self.buses[source.slot])])
            if self.look.buses_numbered:
                wide = width(number(wire.term), NUMBER, bold=True)
                self.head[role] = max(self.head.get(role, 0.0), wide + 8)

    def _buses(self) -> dict[Hashable, int]:
        """What is read from outside, except for a state that leaves its lane at the last step.

        Slots whose values have the same readers, in different steps, share a line.
        """
        targets: dict[Hashable, set[int]] = {}
        steps: dict[Hashable, set[Step | None]] = {}
        for wire in self.diagram.wires:
            source = self.diagram.boxes[wire.source]
            outside = all(self.diagram.boxes[t].step is None for t in wire.targets)
            if wire.source not in self.inside or not outside or wire.state is not None:
                continue
            backward = wire.value is not None and self.diagram.states[wire.value].backward
            last = wire.value is not None and not backward and source.step == self.steps[-1]
            if not last or self.phase_follows:
                targets.setdefault(source.slot, set()).update(wire.targets)
                steps.setdefault(source.slot, set()).add(source.step)
        found: dict[Hashable, int] = {}
        for slot in targets:
            together = (
                number
                for other, number in found.items()
                if targets[other] == targets[slot]
                and all(steps[s].isdisjoint(steps[slot]) for s in found if found[s] == number)
            )
            found[slot] = next(together, len(set(found.values())))
        return found

    def _add(self, role: Role, ends: Sequence[End | Hashable]) -> None:
        known = self.sinks.setdefault(role, {})
        for end in dict.fromkeys(ends):
            count = 1 if isinstance(end, Port) else list(ends).count(end)
            known[end] = max(known.get(end, 0), count)

    def _roles(self, slots: list[Hashable]) -> list[Role]:
        order = {slot: n for n, slot in enumerate(slots)}
        kinds = {"slot": 0, "entry": 1, "rail": 2}

        def key(role: Role) -> tuple[int, int]:
            place = order[role[1]] if role[0] == "slot" else role[1]
            assert isinstance(place, int)
            return kinds[role[0]], place

        return sorted(self.sinks, key=key)

    def _source(self, role: Role, item_of: dict[Hashable, int]) -> End:
        kind, what = role
        if kind == "slot":
            return item_of[what]
        if kind == "rail":
            return Port("rail", self.rails.index(what))  # type: ignore[arg-type]
        return Port("entry", self.states.index(what))  # type: ignore[arg-type]

    # ---------------------------------------------------------------- items

    def _edges(self) -> list[tuple[Hashable, Hashable]]:
        return [
            (role[1], end)
            for role, ends in self.sinks.items()
            if role[0] == "slot"
            for end in ends
            if not isinstance(end, Port)
        ]

    def _ordered_slots(self) -> list[Hashable]:
        """Sources before readers, in the union of all steps."""
        slots = list(dict.fromkeys(self.diagram.boxes[k].slot for k in self.members))
        after: dict[Hashable, list[Hashable]] = {slot: [] for slot in slots}
        missing = dict.fromkeys(slots, 0)
        for source, reader in self._edges():
            after[source].append(reader)
            missing[reader] += 1
        found: list[Hashable] = []
        waiting = slots
        while waiting:
            ready = next((slot for slot in waiting if not missing[slot]), None)
            if ready is None:
                raise IrregularError
            waiting = [slot for slot in waiting if slot is not ready]
            found.append(ready)
            for reader in after[ready]:
                missing[reader] -= 1
        return found

    def _item(self, slot: Hashable, group: int) -> Item:
        boxes = [self.diagram.boxes[k] for k in self.members if self.diagram.boxes[k].slot == slot]
        sizes = [self.look.size(box) for box in boxes]
        wide, high = max(w for w, _ in sizes), max(h for _, h in sizes)
        arrivals = sum(ends.get(slot, 0) for ends in self.sinks.values())
        ports = ports_for(arrivals, boxes[0].kind)
        if boxes[0].kind != "cell":
            spans = boxes[0].kind == "affine" or arrivals > MANY
            keeps = any(box.kind == "choice" for box in boxes)
            return Item(wide, high, group, ports, spans=spans, keeps=keeps)
        states = sum(self.diagram.states[k].slot == slot for k in self.states)
        high += BETWEEN_LANES * 2 * max(states - 1, 0)
        return Item(wide, high, group, max(3, ports), max(states, 1))

    def _groups(self, slots: list[Hashable]) -> dict[Hashable, int]:
        """Stack layers, and what lies between them, in the order in which they are computed."""
        named = {self.diagram.boxes[k].slot: self.diagram.boxes[k].group for k in self.members}
        head: dict[Hashable, Hashable] = {}

        def find(slot: Hashable) -> Hashable:
            while head.get(slot, slot) != slot:
                slot = head[slot]
            return slot

        first_of: dict[int, Hashable] = {}
        for slot in slots:
            group = named[slot]
            head[slot] = slot if group is None else first_of.setdefault(group, slot)
        edges = self._edges()
        read = {reader for _, reader in edges}
        joined: set[Hashable] = set()
        for source, reader in edges:
            if named[source] is None and named[reader] is None:
                head[find(source)] = find(reader)
                joined |= {source, reader}
        for source, reader in edges:  # an input stands below its first reader
            if named[source] is None and source not in read | joined:
                head[source] = find(reader)
                joined.add(source)
        heads = list(dict.fromkeys(find(slot) for slot in slots))
        level = dict.fromkeys(heads, 0)
        for _ in range(len(heads)):
            changed = False
            for source, reader in edges:
                low, high = find(source), find(reader)
                if low != high and level[high] <= level[low]:
                    level[high] = level[low] + 1
                    changed = True
            if not changed:
                order = sorted(heads, key=lambda h: (level[h], heads.index(h)))
                return {slot: order.index(find(slot)) for slot in slots}
        return dict.fromkeys(slots, 0)  # they read each other: one group
