"""From a graph to the records of its picture."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from typing import Any

from tinygradrnn.drawing import labels
from tinygradrnn.drawing.backward import Drawn, Twins, seed_for
from tinygradrnn.drawing.bundle import bundle_weights, merge_parallel
from tinygradrnn.drawing.choosing import Steps, choose_steps
from tinygradrnn.drawing.contract import Unit, contract, find_running, is_frozen, limited
from tinygradrnn.drawing.naming import Naming, title
from tinygradrnn.drawing.owners import is_mask
from tinygradrnn.drawing.reading import Reading, Slot
from tinygradrnn.drawing.records import (
    Box,
    Diagram,
    Fold,
    Kind,
    Shown,
    StateName,
    Step,
    Wire,
    joint,
)
from tinygradrnn.drawing.sizes import Term, measure
from tinygradrnn.drawing.text import clean, counted, pretty
from tinygradrnn.graph import Graph
from tinygradrnn.recording import Node

NOWHERE = Step(-1, 0)


def build(
    graph: Graph,
    *,
    level: str = "op",
    values: bool = False,
    gradients: bool = False,
    backward: bool = False,
    steps: Steps = None,
    fits: Callable[[Diagram], bool] = lambda diagram: True,
) -> Diagram:
    """What a picture of the graph shows.

    The arguments are those of ``draw``; ``fits`` says of a diagram, before any size is known,
    whether its time axis can be drawn. If not, it gets none.
    """
    if backward:
        seed_for(graph)  # before anything else fails in other words
    reading = Reading(graph.nodes)
    timed = reading.regular and level != "layer" and bool(reading.steps)
    shown = choose_steps(reading.steps, level, steps) if timed else []
    builder = Builder(graph, reading, level, shown, timed, values)
    diagram = builder.diagram()
    if timed and not fits(_joined(diagram, level)):
        builder = Builder(graph, reading, level, [], False, values)
        diagram = builder.diagram()
    if gradients or backward:
        diagram = _measured(builder, diagram, backward)
    return _joined(diagram, level)


def _joined(diagram: Diagram, level: str) -> Diagram:
    """At the level of cells and layers: weights in bundles, what runs side by side as one."""
    if level == "layer":
        diagram = merge_parallel(diagram)
    return bundle_weights(diagram) if level in ("cell", "layer") else diagram


def _measured(builder: Builder, diagram: Diagram, backward: bool) -> Diagram:
    """The diagram with the sizes of gradients, and its twins, from one walk."""
    twins = Twins(diagram, builder.drawn()) if backward else None
    events = twins.recorded.events() if twins else builder.graph.backward_events()
    parts = [terms for sums in builder.fold_sums for terms in sums]
    sums = builder.weight_sums + builder.wire_sums + parts
    sizes = iter(measure(events, sums + twins.sums if twins else sums))
    boxes = list(diagram.boxes)
    for k in builder.weights:
        boxes[k] = replace(boxes[k], total=next(sizes))
    wires = [
        replace(wire, term=next(sizes), terms=tuple(next(sizes) for _ in wire.targets))
        for wire in builder.wires
    ]
    for wire, sums in zip(builder.fold_wires, builder.fold_sums, strict=True):
        size = joint(next(sizes) for _ in sums)
        wires.append(replace(wire, term=size, terms=(size,)))
    diagram = replace(diagram, boxes=tuple(boxes), wires=tuple(wires), gradients=True)
    return twins.add_to(diagram, sizes) if twins else diagram


class Builder:
    """Collects boxes and wires, and for every number the terms it is the norm of."""

    rolled = False

    def __init__(
        self,
        graph: Graph,
        reading: Reading,
        level: str,
        shown: list[Step],
        timed: bool,
        values: bool,
    ) -> None:
        self.graph, self.reading, self.level = graph, reading, level
        self.shown, self.timed, self.values = shown, timed, values
        self.boxes: list[Box] = []
        self.wires: list[Wire] = []
        self.shows: list[Shown] = []
        self.weights: list[int] = []
        self.weight_sums: list[list[Term]] = []
        self.wire_sums: list[list[Term]] = []
        self.fold_wires: list[Wire] = []  # what folded steps hand out, and the terms of each step
        self.fold_sums: list[list[list[Term]]] = []
        self.again: dict[Node, list[Node]] = {}  # the same input, read once more
        for node, original in reading.same.items():
            self.again.setdefault(original, []).append(node)
        self.box_of: dict[Node, int] = {}  # where a value is taken from
        self.unit_box: list[int] = []
        self.result: dict[int, Node] = {}  # what a box computes
        self.rest: dict[int, Node] = {}  # boxes for many operations, with the first of them
        self.state_number: dict[Slot | None, int] = (
            {slot: k for k, slot in enumerate(reading.states)} if timed else {}
        )
        visible = set(shown)
        nodes = [
            n
            for n in graph.nodes
            if n not in reading.same
            and (not timed or n not in reading.step or reading.step[n] in visible)
        ]
        self.units, self.hidden = limited(contract(reading, level, nodes), timed)
        self.folds, self.fold_of = self._find_folds()
        self.naming = Naming(reading, timed, self.rolled)
        self.same = reading.same
        self.starts: dict[tuple[int, Slot], Node] = {}  # what a state begins with
        self.phase_ends: dict[int, tuple[Step, Step]] = {}
        for step in reading.steps:
            first, _ = self.phase_ends.get(step.phase, (step, step))
            self.phase_ends[step.phase] = (first, step)

    def diagram(self) -> Diagram:
        for unit in self.units:
            self._add_unit(unit)
        self._add_folds()
        self._add_wires()
        self._add_outputs()
        return Diagram(
            title(self.reading, self.level, self.rolled),
            tuple(self.boxes),
            (*self.wires, *self.fold_wires),
            tuple(self.shown),
            tuple(self.folds),
            tuple(self._state_name(slot) for slot in self.reading.states if self.timed),
            tuple(self.naming.layers.values()),
            tuple(find_running(self.reading, self.shown)),
            shows=tuple(self.shows),
        )

    def drawn(self) -> Drawn:
        """Which boxes the nodes are drawn as."""
        units = [*self.units, *(unit for units in self.hidden for unit in units)]
        return Drawn(
            self.graph,
            self.reading,
            self.naming,
            self.timed,
            {n: box for unit, box in zip(units, self.unit_box, strict=True) for n in unit.nodes},
            self.box_of,
            self.result,
            self.fold_of,
            {step: self.folds[k].box for step, k in self.fold_of.items()},
            self._carried,
        )

    # ---------------------------------------------------------------- boxes

    def _box(
        self,
        kind: Kind,
        text: tuple[str, ...],
        unit: Unit | None,
        slot: Hashable,
        tooltip: str,
    ) -> int:
        step, group = (unit.step, unit.group) if unit is not None else (None, None)
        step = step if self.timed else None
        node = unit.result if unit is not None else None
        frozen = node is not None and is_frozen(node)
        self.boxes.append(Box(kind, text, step, slot, group, tooltip, frozen=frozen))
        return len(self.boxes) - 1

    def _add_unit(self, unit: Unit) -> None:
        node = unit.result
        kind, text = self.naming.look(unit)
        if self.values and unit.what != "cell":
            several = self.level == "layer" and unit.what == "op"  # one value for each step
            more = labels.details([n for n in unit.nodes if n.op == node.op] if several else [node])
            beside = kind == "weight" or is_mask(node) or node in self.naming.initial
            text = (f"{text[0]}  {more[0]}",) if beside else (*text, *more)
        box = self._box(kind, text, unit, ("unit", unit.slot), labels.tooltip(node))
        self.unit_box.append(box)
        self.result[box] = self._main_result(unit)
        self._show(box, unit.step, unit.nodes)
        for inner in unit.nodes:
            self.box_of[inner] = box
        if kind == "weight":
            self.weights.append(box)
            self.weight_sums.append(list(self.reading.readers[node]))
        if unit.what == "cell" or kind in ("state", "weight"):
            return
        slot = self.reading.state(node)
        if slot in self.state_number:
            if node in self.reading.held:
                box = self._pass(unit, box, slot)
            name = self.naming.state(node)
            pill = self._box("state", (name,), unit, ("state", slot), labels.tooltip(node))
            self._wire(box, (pill,), None, [[(node, None)]])
            self.box_of[node] = pill
            self.result[pill] = node

    def _main_result(self, unit: Unit) -> Node:
        """Of a cell its state, even if something else is computed last."""
        states = [n for n in unit.nodes if self.reading.state(n)] if unit.what == "cell" else []
        last = unit.result
        return last if last in self.graph.outputs or not states else states[-1]

    def _pass(self, unit: Unit, box: int, slot: Slot | None) -> int:
        """Where the other steps choose between the new state and the old one."""
        at = self._box("pass", ("",), unit, ("unit", slot), "all sequences run")
        self._wire(box, (at,), None, [[(unit.result, None)]])
        return at

    def _show(self, box: int, step: Step | None, nodes: Sequence[Node]) -> None:
        again = [n for node in nodes for n in self.again.get(node, ())]
        self.shows.append(Shown(box, step, tuple([n.order for n in (*again, *nodes)])))

    def _state_name(self, slot: Slot) -> StateName:
        node = next(n for n in self.box_of if self.reading.state(n) == slot)
        box = self.boxes[self.box_of[node]]
        return StateName(self.naming.states[slot], box.slot, self.reading.states[slot])

    # ---------------------------------------------------------------- folds

    def _find_folds(self) -> tuple[list[Fold], dict[Step, int]]:
        folds: list[Fold] = []
        of: dict[Step, int] = {}
        visible = set(self.shown)
        before: Step | None = None
        inside = False
        for step in self.reading.steps if self.timed else ():
            if step in visible:
                before, inside = step, False
                continue
            if not inside:
                folds.append(Fold(before, 0, -1))
                inside = True
            of[step] = len(folds) - 1
            folds[-1] = folds[-1]._replace(steps=folds[-1].steps + 1)
        return folds, of

    def _add_folds(self) -> None:
        for k, fold in enumerate(self.folds):
            text = (f"… {counted(fold.steps, 'step')}", "folded …")
            box = self._box("fold", text, None, ("fold", k), " ".join(text))
            self.folds[k] = fold._replace(box=box)
        folded: dict[Step, list[Node]] = {}
        for node in self.graph.nodes:
            if self.timed and self.reading.step.get(node) in self.fold_of:
                folded.setdefault(self.reading.step[node], []).append(node)
        for step, nodes in folded.items():
            self._show(self.folds[self.fold_of[step]].box, step, nodes)
        for k, units in enumerate(self.hidden):
            text = (f"… {len(units)} operations", "folded …")
            box = self._box("rest", text, None, ("rest", k), " ".join(text))
            self.rest[box] = units[0].result
            self._show(box, None, [node for unit in units for node in unit.nodes])
            for unit in units:
                self.box_of.update(dict.fromkeys(unit.nodes, box))
                self.unit_box.append(box)

    # ---------------------------------------------------------------- wires

    def _add_wires(self) -> None:
        """One wire from each value to each step that reads it."""
        Key = tuple[int, Node, Step | int | None, int | None]
        found: dict[Key, dict[int, list[list[Term]]]] = {}
        reading = self.reading
        units = [*self.units, *(unit for units in self.hidden for unit in units)]
        for unit, target in zip(units, self.unit_box, strict=True):
            for node in unit.nodes:
                for position, source in enumerate(node.inputs):
                    source = self.same.get(source, source)
                    if source in unit.inside or source.op == "constant":
                        continue
                    state = self._carried(node, position)
                    start = self._start(source, state)
                    if start is None or (start == target and state is None):
                        continue
                    step = unit.step if self.timed else None
                    if start in self.rest or target in self.rest:
                        first = self.rest.get(start, source)
                        found.setdefault((start, first, step, None), {})[target] = [[]]
                        continue
                    ends = found.setdefault((start, source, step, state), {})
                    uses = ends.setdefault(target, [])
                    if len(unit.nodes) == 1 or unit.what == "sum" or not uses:
                        uses.append([])
                    uses[-1].append((node, position))
        for node in reading.step if self.timed else ():
            self._wire_into_fold(node, found)
        for (start, source, where, state), ends in sorted(
            found.items(), key=lambda item: (item[0][0], min(item[1]), item[0][1].order)
        ):
            targets = [target for target, uses in ends.items() for _ in uses]
            terms = [use for uses in ends.values() for use in uses]
            self._wire(start, tuple(targets), state, terms, source)
            if isinstance(where, int):
                folded = len({reading.step[node] for use in terms for node, _ in use})
                self.wires[-1] = replace(self.wires[-1], folded=folded)
        if self.timed:
            self._wire_from_folds()

    def _carried(self, node: Node, position: int) -> int | None:
        """The state that an input of a node is; None for an ordinary value."""
        reading = self.reading
        slot = reading.slot.get(node)
        state = reading.carried.get((slot, position)) if slot is not None else None
        if state is None:
            return None
        here, there = reading.step[node], reading.step.get(node.inputs[position])
        if here == there:
            return None
        if there is None or there.phase != here.phase:
            source = reading.same.get(node.inputs[position], node.inputs[position])
            first = self.starts.setdefault((here.phase, state), source)
            if here != self._first_step(here.phase, state) or first is not source:
                return None
        return self.state_number.get(state)

    def _first_step(self, phase: int, state: Slot) -> Step:
        """Where a state begins."""
        ends = self.phase_ends[phase]
        return ends[1] if self.reading.states[state] else ends[0]

    def _start(self, source: Node, state: int | None) -> int | None:
        """The box that a value comes from; the fold, for a state of a step that is not shown."""
        if source in self.box_of:
            return self.box_of[source]
        if state is not None and source in self.reading.step:
            return self.folds[self.fold_of[self.reading.step[source]]].box
        return None

    def _wire_into_fold(self, node: Node, found: dict[Any, Any]) -> None:
        """What a folded step reads: a state of a step that is shown, or what all steps read."""
        fold = self.fold_of.get(self.reading.step[node])
        if fold is None:
            return
        for position, source in enumerate(node.inputs):
            source = self.reading.same.get(source, source)
            start = self.box_of.get(source)
            if start is None:
                continue
            state = self._carried(node, position)
            if state is not None or source not in self.reading.step:
                value = self.rest.get(start, source)
                key = (start, value, fold if state is None else None, state)
                uses = found.setdefault(key, {}).setdefault(self.folds[fold].box, [[]])
                uses[0].append((node, position))

    def _wire_from_folds(self) -> None:
        """What something outside of the steps reads from folded ones."""
        found: dict[tuple[int, int], dict[Node, list[Term]]] = {}
        for unit, target in zip(self.units, self.unit_box, strict=False):
            for node in unit.nodes if unit.step is None else ():
                for position, source in enumerate(node.inputs):
                    fold = self.fold_of.get(self.reading.step.get(source, NOWHERE))
                    if fold is not None:
                        terms = found.setdefault((self.folds[fold].box, target), {})
                        terms.setdefault(source, []).append((node, position))
        for (fold, target), terms in found.items():
            steps = {self.reading.step[source] for source in terms}
            self.fold_wires.append(Wire(fold, (target,), folded=len(steps)))
            self.fold_sums.append(list(terms.values()))

    def _wire(
        self,
        source: int,
        targets: tuple[int, ...],
        state: int | None,
        terms: list[list[Term]],
        value: Node | None = None,
    ) -> None:
        slot = self.reading.state(value) if value is not None else None
        self.wires.append(Wire(source, targets, state, self.state_number.get(slot)))
        self.wire_sums.append([term for use in terms for term in use])
        self.wire_sums += terms

    def _add_outputs(self) -> None:
        """A box for what the graph computes."""
        for node in self.graph.outputs:
            box = self.boxes[self.box_of[node]] if node in self.box_of else None
            if box is None or box.step is not None or box.kind in ("state", "input", "weight"):
                continue
            name = pretty(clean(node.name or ("L" if not node.shape else "y"), 24))
            end = self._box("output", (name,), None, ("output", node.order), labels.tooltip(node))
            self.result[end] = node
            self._wire(self.box_of[node], (end,), None, [[(node, None)]])
