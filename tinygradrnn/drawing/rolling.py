"""The records of a rolled picture: one step for all, every state led back to its own beginning.

Steps that are recorded alike form a pattern: the first step often differs, because it reads the
initial state. One step of each pattern is built like that of any picture; then they are laid on
each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace

from tinygradrnn.drawing.building import Builder
from tinygradrnn.drawing.bundle import bundle_weights
from tinygradrnn.drawing.naming import index_from_t
from tinygradrnn.drawing.patterns import INSTEAD, Patterns
from tinygradrnn.drawing.reading import Reading
from tinygradrnn.drawing.records import (
    EVERY,
    Box,
    Diagram,
    Fold,
    History,
    Roll,
    Step,
    Wire,
)
from tinygradrnn.drawing.sizes import Term, measure
from tinygradrnn.drawing.text import at_step
from tinygradrnn.graph import Graph
from tinygradrnn.recording import Node


def build_rolled(
    graph: Graph, *, level: str = "op", values: bool = False, gradients: bool = False
) -> Diagram:
    """What a rolled picture of the graph shows; the arguments are those of ``draw``.

    Raises
    ------
    ValueError
        If there are no time steps, or no one step can stand for all of them.
    """
    reading = Reading(graph.nodes)
    if not reading.steps:
        raise ValueError(
            f"rolled: this graph has no time steps. {INSTEAD}, or label the steps of a loop of "
            "your own with tg.timestep(t)"
        )
    if level == "layer":
        raise ValueError(
            'rolled: level="layer" draws no time steps that could be rolled up; use level="cell", '
            "or leave rolled out"
        )
    if not reading.regular:
        raise ValueError(
            f"rolled: {_odd_one(reading)}, so that no one step can stand for all. {INSTEAD}"
        )
    builder = _RolledBuilder(graph, reading, level, values)
    diagram = builder.diagram()
    merged = _Merger(builder, diagram)
    diagram = merged.diagram(values)
    if gradients:
        diagram = _measured(graph, diagram, merged)
    return bundle_weights(diagram) if level == "cell" else diagram


def _odd_one(reading: Reading) -> str:
    """Which reading of a state breaks the rule, in words."""
    for node, label in reading.label.items():
        for source in node.inputs:
            before = reading.label.get(source, label)
            if abs(before - label) > 1 and reading.group.get(source) == reading.group.get(node):
                return f"step {label} reads a value of step {before}"
    return "a state is computed in one way at some steps and in another way at others"


# ---------------------------------------------------------------- one step of each pattern


class _RolledBuilder(Builder):
    """Builds one step of each pattern; what others hand out comes from the one like them."""

    rolled = True

    def __init__(self, graph: Graph, reading: Reading, level: str, values: bool) -> None:
        self.patterns = Patterns(reading)
        self.patterns.check()
        heads = sorted(set(self.patterns.head.values()))
        super().__init__(graph, reading, level, heads, True, values)
        alias = {like: node for node, likes in self.patterns.likes.items() for like in likes}
        self.same = alias | {n: alias.get(m, m) for n, m in reading.same.items()}

    def _find_folds(self) -> tuple[list[Fold], dict[Step, int]]:
        return [], {}


# ---------------------------------------------------------------- merging


@dataclass
class _Bundle:
    """A wire of the rolled picture, while the likes of all steps are being put together.

    ``uses`` holds for each target, for each time that one step reads, the terms of all steps;
    ``read`` the labels of the steps whose values are read outside of all.
    """

    source: int
    state: int | None
    value: int | None
    when: str = ""
    uses: dict[int, list[list[Term]]] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)

    def add(self, target: int, nth: int, terms: Sequence[Term]) -> None:
        """What the ``nth`` reading of a target sends back."""
        known = self.uses.setdefault(target, [])
        while len(known) <= nth:
            known.append([])
        known[nth] += terms

    def wire(self) -> Wire:
        """The wire, without sizes."""
        targets = tuple(t for t, uses in self.uses.items() for _ in uses)
        count = sum(
            len({node.timestep for node, _ in terms})
            for uses in self.uses.values()
            for terms in uses
        )
        return Wire(self.source, targets, self.state, self.value, when=self.when, uses=count)


class _Merger:
    """Lays the steps of a diagram on each other, phase by phase."""

    def __init__(self, builder: _RolledBuilder, diagram: Diagram) -> None:
        self.builder, self.reading, self.old = builder, builder.reading, diagram
        self.patterns = builder.patterns
        self.boxes: list[Box] = []
        self.new: dict[int, int] = {}
        self.dropped = self._stand_ins()
        self.entries: dict[tuple[int, int], int] = {}  # phase and state to box
        self.found: dict[Hashable, _Bundle] = {}
        self._merge_boxes()
        self._merge_wires()
        self.wires = [bundle for bundle in self.found.values() if bundle.uses]

    def diagram(self, values: bool) -> Diagram:
        """The rolled picture without sizes."""
        steps = tuple(self.patterns.chosen[phase] for phase in sorted(self.patterns.chosen))
        notes = ["loop: on to the next step · dashed: not at every step"]
        if values:
            shown = ", ".join(str(step.label) for step in steps)
            notes.append(f"values: those of t = {shown}")
        return replace(
            self.old,
            boxes=tuple(self.boxes),
            wires=tuple(bundle.wire() for bundle in self.wires),
            steps=steps,
            running=(),
            notes=(*self.old.notes, *notes),
            shows=(),
            rolls=tuple(
                Roll(step, self.labels(step.phase), self.entries_of(step)) for step in steps
            ),
        )

    def labels(self, phase: int) -> tuple[int, ...]:
        """All steps of a phase."""
        return tuple(step.label for step in self.reading.steps if step.phase == phase)

    def entries_of(self, step: Step) -> dict[int, int]:
        """By state, the boxes of what was one step before."""
        return {k: box for (phase, k), box in self.entries.items() if phase == step.phase}

    # ---------------------------------------------------------------- boxes

    def _stand_ins(self) -> set[int]:
        """Boxes of leaves that the chosen step has operations in the place of."""
        chosen = set(self.patterns.chosen.values())
        kept = {(b.step.phase, b.slot) for b in self.old.boxes if b.step in chosen and b.step}
        found = set()
        for node, k in self.builder.box_of.items():
            if node in self.reading.step and self.patterns.stands_in(node):
                step, slot = self.reading.step[node], self.old.boxes[k].slot
                if (step.phase, slot) not in kept:
                    found.add(k)
        return found

    def _merge_boxes(self) -> None:
        """One box for each slot of a phase: that of the chosen step, if it has one."""
        chosen = set(self.patterns.chosen.values())
        have: dict[Hashable, set[Step]] = defaultdict(set)
        best: dict[Hashable, int] = {}
        for k, box in enumerate(self.old.boxes):
            if box.step is not None and k not in self.dropped:
                key = (box.step.phase, box.slot)
                if box.kind != "pass":
                    have[key].add(box.step)
                if key not in best or box.step in chosen:
                    best[key] = k
        first = min(best.values())
        number: dict[Hashable, int] = {}
        for k, box in enumerate(self.old.boxes):
            if k == first:
                self._add_entries()
            if box.step is None:
                self.new[k] = self._add(box)
            elif k not in self.dropped:
                key = (box.step.phase, box.slot)
                if best[key] == k:
                    step = self.patterns.chosen[box.step.phase]
                    number[key] = self._add(self._merged(box, step, have[key]))
        for k, box in enumerate(self.old.boxes):
            if box.step is not None and k not in self.dropped:
                self.new[k] = number[box.step.phase, box.slot]

    def _merged(self, box: Box, step: Step, heads: set[Step]) -> Box:
        """A box for all steps; dashed if some do without it."""
        phase = {head for head in self.patterns.head.values() if head.phase == step.phase}
        if not phase - heads - self.patterns.excused:
            return replace(box, step=step)
        count = sum(len(self.patterns.steps_like(head)) for head in heads)
        at = f"at {count} of {len(self.labels(step.phase))} steps"
        return replace(box, step=step, dashed=True, tooltip=f"{box.tooltip} · {at}")

    def _add(self, box: Box) -> int:
        self.boxes.append(box)
        return len(self.boxes) - 1

    def _add_entries(self) -> None:
        """A box for each state as it was one step before."""
        slots = {
            (self.old.boxes[w.targets[0]].step, w.state)
            for w in self.old.wires
            if w.state is not None
        }
        found = sorted({(step.phase, k) for step, k in slots if step is not None and k is not None})
        for phase, k in found:
            state = self.old.states[k]
            name = at_step(state.name, index_from_t(1 if state.backward else -1))
            tooltip = f"{state.name}: the state that step t starts with"
            box = Box("state", (name,), None, ("entry", phase, state.slot), None, tooltip)
            self.entries[phase, k] = self._add(box)

    # ---------------------------------------------------------------- wires

    def _merge_wires(self) -> None:
        sums = iter(self.builder.wire_sums)
        for wire in self.old.wires:
            next(sums)
            uses = [next(sums) for _ in wire.targets]
            if wire.source in self.dropped:
                continue
            step = self.old.boxes[wire.targets[0]].step
            if step is None:
                self._lead_out(wire, uses)
            elif wire.state is None:
                self._read(self.new[wire.source], None, wire, uses, f"in {step.phase}")
            else:
                entry = self.entries[step.phase, wire.state]
                self._lead_in(wire, step, entry)
                self._read(entry, wire.state, wire, uses, "in")
        self._close_loops()

    def _bundle(self, source: int, wire: Wire, state: int | None, kind: str) -> _Bundle:
        value = wire.value if source == self.new[wire.source] else None
        key = (source, state, value, kind)
        return self.found.setdefault(key, _Bundle(source, state, value))

    def _read(
        self, source: int, state: int | None, wire: Wire, uses: list[list[Term]], kind: str
    ) -> None:
        """Into a step, or within it."""
        bundle = self._bundle(source, wire, state, kind)
        seen: Counter[int] = Counter()
        for target, terms in zip(wire.targets, uses, strict=True):
            if target not in self.dropped and not self._is_computed_later(terms):
                own = self.new[target]
                bundle.add(own, seen[own], self._in_all_steps(terms))
                seen[own] += 1

    def _is_computed_later(self, terms: Sequence[Term]) -> bool:
        read = (node.inputs[at] for node, at in terms if at is not None)
        return any(map(self.patterns.is_computed_later, read))

    def _in_all_steps(self, terms: Sequence[Term]) -> list[Term]:
        likes = self.patterns.likes
        return [(like, at) for node, at in terms for like in likes.get(node, [node])]

    def _lead_in(self, wire: Wire, step: Step, entry: int) -> None:
        """From where a state comes to where every step starts: a loop, or an initial state."""
        assert wire.state is not None
        source = self.old.boxes[wire.source].step
        loop = source is not None and source.phase == step.phase
        bundle = self._bundle(self.new[wire.source], wire, wire.state, f"to {entry}")
        bundle.when = "" if loop else f"t = {'T' if self.old.states[wire.state].backward else 1}"
        bundle.add(entry, 0, [])

    def _close_loops(self) -> None:
        """A single step hands its states on to nobody: the loops are drawn all the same."""
        for (phase, k), entry in self.entries.items():
            slot = self.old.states[k].slot
            for n, box in enumerate(self.boxes):
                if box.step is not None and (box.step.phase, box.slot) == (phase, slot):
                    bundle = _Bundle(n, k, k)
                    bundle.add(entry, 0, [])
                    self.found.setdefault((n, k, k, f"to {entry}"), bundle)

    def _lead_out(self, wire: Wire, uses: list[list[Term]]) -> None:
        """To what follows the steps, or between boxes outside of them."""
        bundle = self._bundle(self.new[wire.source], wire, None, "out")
        seen: Counter[tuple[int, Step | None]] = Counter()
        for target, terms in zip(wire.targets, uses, strict=True):
            for node, at in terms:
                source = node if at is None else node.inputs[at]
                step = self.reading.step.get(source)
                if step is not None:
                    bundle.read.add(step.label)
                bundle.add(self.new[target], seen[target, step], [(node, at)])
                seen[target, step] += 1
            if not terms:
                bundle.add(self.new[target], 0, [])
        origin = self.old.boxes[wire.source].step
        if origin is not None:
            bundle.when = self._when(origin.phase, bundle.read)

    def _when(self, phase: int, read: set[int]) -> str:
        """``t = T``, ``every t``, ``t = 1, 2`` or ``4 of 9 steps``."""
        labels_ = self.labels(phase)
        if len(read) == len(labels_):
            return EVERY if len(labels_) > 1 else "t = T"
        if read == {labels_[-1]}:
            return "t = T"
        if len(read) <= 3:
            return "t = " + ", ".join(map(str, sorted(read)))
        return f"{len(read)} of {len(labels_)} steps"


# ---------------------------------------------------------------- gradients


def _measured(graph: Graph, diagram: Diagram, merged: _Merger) -> Diagram:
    """The sizes of the gradients: of weights, of all uses of each tap, of every state."""
    builder = merged.builder
    sums = list(builder.weight_sums)
    weights = [merged.new[k] for k in builder.weights]
    tapped = [k for k, wire in enumerate(diagram.wires) if wire.source in set(weights)]
    for k in tapped:
        uses = [terms for uses in merged.wires[k].uses.values() for terms in uses]
        sums += [[term for terms in uses for term in terms], *uses]
    states = _state_nodes(builder, merged)
    sums += [[(node, None)] for nodes in states.values() for node in nodes.values()]
    sizes = iter(measure(graph.backward_events(), sums))
    boxes, wires = list(diagram.boxes), list(diagram.wires)
    for k in weights:
        boxes[k] = replace(boxes[k], total=next(sizes))
    for k in tapped:
        term = next(sizes)
        wires[k] = replace(wires[k], term=term, terms=tuple(next(sizes) for _ in wires[k].targets))
    histories: dict[int, list[History]] = defaultdict(list)
    for (phase, state), nodes in states.items():
        found = {label: next(sizes) for label in nodes}
        histories[phase].append(History(state, found))
    rolls = tuple(
        roll._replace(histories=tuple(histories[roll.step.phase])) for roll in diagram.rolls
    )
    return replace(diagram, boxes=tuple(boxes), wires=tuple(wires), rolls=rolls, gradients=True)


def _state_nodes(
    builder: _RolledBuilder, merged: _Merger
) -> dict[tuple[int, int], dict[int, Node]]:
    """For each phase and state the node of every step, and the initial one, by label."""
    found: dict[tuple[int, int], dict[int, Node]] = {key: {} for key in sorted(merged.entries)}
    for node, step in builder.reading.step.items():
        state = builder.state_number.get(builder.reading.state(node))
        if state is not None and (step.phase, state) in found:
            found[step.phase, state][step.label] = node
    for (phase, slot), start in builder.starts.items():
        state = builder.state_number[slot]
        if start not in builder.reading.step:
            labels_ = merged.labels(phase)
            backward = builder.reading.states[slot]
            found[phase, state][labels_[-1] + 1 if backward else labels_[0] - 1] = start
    return {key: dict(sorted(nodes.items())) for key, nodes in found.items()}
