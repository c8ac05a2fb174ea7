"""From a graph to the records of its picture."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from tinygradrnn.drawing import labels
from tinygradrnn.drawing.bundle import bundle_weights, merge_parallel
from tinygradrnn.drawing.contract import Unit, computes, contract
from tinygradrnn.drawing.reading import Reading, Slot
from tinygradrnn.drawing.records import Box, Diagram, Fold, Kind, StateName, Step, Wire
from tinygradrnn.drawing.sizes import Term, measure
from tinygradrnn.drawing.text import at_step, clean, pretty
from tinygradrnn.graph import Graph
from tinygradrnn.recording import Node

DOZEN = 12
ENDS = {"op": 2, "gate": 3, "cell": 4, "layer": 4}
LARGE = 160  # boxes outside of time steps; more are folded

Steps = int | Iterable[int] | None


def build(
    graph: Graph,
    *,
    level: str = "op",
    values: bool = False,
    gradients: bool = False,
    steps: Steps = None,
) -> Diagram:
    """What a picture of the graph shows; the arguments are those of ``draw``."""
    reading = Reading(graph.nodes)
    timed = reading.regular and level != "layer" and bool(reading.steps)
    shown = choose_steps(reading.steps, level, steps) if timed else []
    builder = _Builder(graph, reading, level, shown, timed, values)
    diagram = builder.diagram()
    if gradients:
        sizes = iter(measure(graph, builder.weight_sums + builder.wire_sums))
        boxes = list(diagram.boxes)
        for k in builder.weights:
            boxes[k] = replace(boxes[k], total=next(sizes))
        wires = [
            replace(wire, term=next(sizes), terms=tuple(next(sizes) for _ in wire.targets))
            for wire in diagram.wires
        ]
        diagram = replace(diagram, boxes=tuple(boxes), wires=tuple(wires), gradients=True)
    if level == "layer":
        diagram = merge_parallel(diagram)
    return bundle_weights(diagram) if level in ("cell", "layer") else diagram


def choose_steps(steps: Sequence[Step], level: str, wanted: Steps) -> list[Step]:
    """The steps to show: those asked for; else all of up to a dozen; else the first and last few.

    Parameters
    ----------
    steps : sequence of Step
        All, in time order.
    level : str
    wanted : int or iterable of int or None
        How many, or which labels.
    """
    if wanted is not None and not isinstance(wanted, int):
        labels_ = set(wanted)
        known = {step.label for step in steps}
        unknown = sorted(labels_ - known, key=str)
        if unknown or not labels_:
            raise ValueError(
                f"steps: {unknown or 'an empty list'} is not among the time steps of this graph, "
                f"{min(known)}…{max(known)}"
            )
        return [step for step in steps if step.label in labels_]
    if isinstance(wanted, bool) or (wanted is not None and wanted < 1):
        raise ValueError(f"steps must be at least 1, or a list of time steps, got {wanted!r}")
    found: list[Step] = []
    for phase in sorted({step.phase for step in steps}):
        own = [step for step in steps if step.phase == phase]
        count = wanted or (len(own) if len(own) <= DOZEN else 2 * ENDS[level])
        if count >= len(own):
            found += own
        else:
            found += own[: (count + 1) // 2] + own[len(own) - count // 2 :]
    return found


class _Builder:
    """Collects boxes and wires, and for every number the terms it is the norm of."""

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
        self.weights: list[int] = []
        self.weight_sums: list[list[Term]] = []
        self.wire_sums: list[list[Term]] = []
        self.box_of: dict[Node, int] = {}  # where a value is taken from
        self.unit_box: dict[int, int] = {}
        self.state_number: dict[Slot | None, int] = (
            {slot: k for k, slot in enumerate(reading.states)} if timed else {}
        )
        self.weight_names = self._weight_names()
        visible = set(shown)
        nodes = [
            n
            for n in graph.nodes
            if n not in reading.same
            and (not timed or n not in reading.step or reading.step[n] in visible)
        ]
        self.units = contract(reading, level, nodes)
        self.folds, self.fold_of = self._find_folds()
        self.state_names = self._state_names()
        self.initial = self._find_initial()

    def _state_names(self) -> dict[Slot, str]:
        """The names that the programs gives to states, in whichever step."""
        found: dict[Slot, str] = {}
        for node, slot in self.reading.slot.items():
            if slot in self.reading.states and node.name:
                found.setdefault(slot, clean(node.name, 24))
        return {slot: found.get(slot, "s") for slot in self.reading.states}

    def _find_initial(self) -> dict[Node, str]:
        """What stands in for a state before the first step, by the name of the state."""
        reading = self.reading
        return {
            source: self.state_names[reading.carried[reading.slot[node], position]]
            for node in (reading.step if reading.regular else ())
            for position, source in enumerate(node.inputs)
            if (reading.slot[node], position) in reading.carried and source not in reading.step
        }

    def diagram(self) -> Diagram:
        for k, unit in enumerate(self.units):
            self._add_unit(k, unit)
        self._add_folds()
        self._add_wires()
        self._add_outputs()
        return Diagram(
            self._title(),
            tuple(self.boxes),
            tuple(self.wires),
            tuple(self.shown),
            tuple(self.folds),
            tuple(self._state_name(slot) for slot in self.state_number),
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
        self.boxes.append(Box(kind, text, step, slot, group, tooltip))
        return len(self.boxes) - 1

    def _add_unit(self, k: int, unit: Unit) -> None:
        node = unit.result
        kind, text = self._look(unit)
        if self.values and unit.what != "cell":
            text = (*text, *labels.details(node))
        box = self._box(kind, text, unit, ("unit", unit.slot), labels.tooltip(node))
        self.unit_box[k] = box
        for inner in unit.nodes:
            self.box_of[inner] = box
        if kind == "weight":
            self.weights.append(box)
            self.weight_sums.append(list(self.reading.readers[node]))
        if unit.what == "cell" or kind in ("input", "state", "weight"):
            return
        slot = self.reading.slot.get(node)
        if slot is not None and slot in self.state_number:
            name = labels.name_of(node, node.timestep) or at_step(
                self.state_names[slot], node.timestep or 0
            )
            pill = self._box("state", (name,), unit, ("state", slot), labels.tooltip(node))
            self._wire(box, (pill,), None, [[(node, None)]])
            self.box_of[node] = pill

    def _look(self, unit: Unit) -> tuple[Kind, tuple[str, ...]]:
        node = unit.result
        name = self._name(unit)
        if unit.what == "cell":
            return "cell", (cell_name(node) + self._arrow(unit),)
        alike = len({inner.op for inner in unit.nodes}) == 1
        if unit.what in ("module", "loss") and not alike:
            names = [name for name in node.scope if name != "module"] or ["loss"]
            return "cell", (clean(names[-1], 24),)
        if unit.what == "sum":
            return "op", ("Σ",)
        if node.is_leaf:
            return self._look_of_leaf(node, name)
        if node in self.initial:
            return "state", (labels.initial(node, self.initial[node]),)
        if unit.what == "affine":
            return "affine", (labels.formula(unit.nodes, self._term),)
        if node in self.reading.step and not computes(self.reading, node):
            return "input", (name or labels.operation(node),)
        sign = labels.operation(node)
        slot = self.reading.slot.get(node)
        if name and (slot not in self.state_number or len(unit.nodes) > 1):
            return "gate", (f"{sign}  {name}",)
        return ("op" if sign in labels.SIGNS or sign == "Σ" else "function"), (sign,)

    def _name(self, unit: Unit) -> str:
        """The name of a unit's result, with its time step, or with the first and the last."""
        node = unit.result
        if self.timed:
            return labels.name_of(node, unit.step.label if unit.step is not None else None)
        ends = [n for n in (unit.nodes[0], node) if n.name and n.timestep is not None]
        ends.sort(key=lambda n: n.timestep or 0)
        names = dict.fromkeys(labels.name_of(n, n.timestep) for n in ends)
        return " … ".join(names) or labels.name_of(node, None)

    def _arrow(self, unit: Unit) -> str:
        """Which way a layer runs, where there are both."""
        ways = self.reading.states
        if len(set(ways.values())) < 2:
            return ""
        return " ←" if any(slot[0] == unit.group and ways[slot] for slot in ways) else " →"

    def _look_of_leaf(self, node: Node, name: str) -> tuple[Kind, tuple[str, ...]]:
        if node in self.initial:
            return "state", (labels.initial(node, self.initial[node]),)
        if node.op == "parameter":
            return "weight", (pretty(self.weight_names[node]),)
        return "input", (name or labels.unnamed(node),)

    def _term(self, node: Node) -> str:
        """What a value is called in a formula."""
        if node.op == "parameter":
            return pretty(clean(node.name or "W", 24))
        if node in self.initial:
            return labels.initial(node, self.initial[node]).removesuffix(" = 0")
        return labels.name_of(node, node.timestep) or "·"

    def _weight_names(self) -> dict[Node, str]:
        """Of every parameter; equal ones are numbered, in the order of the layers."""
        leaves = [n for n in self.graph.nodes if n.op == "parameter"]
        names = [clean((n.name or "W").rpartition(".")[2], 20) for n in leaves]
        return {
            leaf: name if names.count(name) == 1 else f"{name} ({names[: k + 1].count(name)})"
            for k, (leaf, name) in enumerate(zip(leaves, names, strict=True))
        }

    def _state_name(self, slot: Slot) -> StateName:
        node = next(n for n in self.box_of if self.reading.slot.get(n) == slot)
        box = self.boxes[self.box_of[node]]
        return StateName(self.state_names[slot], box.slot, self.reading.states[slot])

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
                folds.append(Fold(before, 0))
                inside = True
            of[step] = len(folds) - 1
            folds[-1] = Fold(before, folds[-1].count + 1)
        return folds, of

    def _add_folds(self) -> None:
        self.fold_box = []
        for k, fold in enumerate(self.folds):
            what = "step" if fold.count == 1 else "steps"
            text = (f"… {fold.count} {what}", "folded …")
            self.fold_box.append(self._box("fold", text, None, ("fold", k), " ".join(text)))

    # ---------------------------------------------------------------- wires

    def _add_wires(self) -> None:
        """One wire from each value to each step that reads it."""
        Key = tuple[int, Node, Step | None, int | None]
        found: dict[Key, dict[int, list[list[Term]]]] = {}
        reading = self.reading
        for k, unit in enumerate(self.units):
            target = self.unit_box[k]
            for node in unit.nodes:
                for position, source in enumerate(node.inputs):
                    source = reading.same.get(source, source)
                    if source in unit.inside or source.op == "constant":
                        continue
                    state = self._carried(node, position)
                    start = self._start(source, state)
                    if start is None:
                        continue
                    step = unit.step if self.timed else None
                    ends = found.setdefault((start, source, step, state), {})
                    uses = ends.setdefault(target, [])
                    if len(unit.nodes) == 1 or not uses:
                        uses.append([])
                    uses[-1].append((node, position))
        for node in reading.step if self.timed else ():
            self._wire_into_fold(node, found)
        for (start, source, _, state), ends in sorted(
            found.items(), key=lambda item: (item[0][0], min(item[1]), item[0][1].order)
        ):
            targets = [target for target, uses in ends.items() for _ in uses]
            terms = [use for uses in ends.values() for use in uses]
            self._wire(start, tuple(targets), state, terms, source)

    def _carried(self, node: Node, position: int) -> int | None:
        reading = self.reading
        slot = reading.slot.get(node)
        if slot is None or reading.step.get(node.inputs[position]) == reading.step[node]:
            return None
        return self.state_number.get(reading.carried.get((slot, position)))

    def _start(self, source: Node, state: int | None) -> int | None:
        """The box that a value comes from; the fold, for a state of a step that is not shown."""
        if source in self.box_of:
            return self.box_of[source]
        if state is not None and source in self.reading.step:
            return self.fold_box[self.fold_of[self.reading.step[source]]]
        return None

    def _wire_into_fold(self, node: Node, found: dict[Any, Any]) -> None:
        """A state that a folded step reads."""
        fold = self.fold_of.get(self.reading.step[node])
        if fold is None:
            return
        for position, source in enumerate(node.inputs):
            state = self._carried(node, position)
            if state is not None and source in self.box_of:
                key = (self.box_of[source], source, None, state)
                uses = found.setdefault(key, {}).setdefault(self.fold_box[fold], [[]])
                uses[0].append((node, position))

    def _wire(
        self,
        source: int,
        targets: tuple[int, ...],
        state: int | None,
        terms: list[list[Term]],
        value: Node | None = None,
    ) -> None:
        slot = self.reading.slot.get(value) if value is not None else None
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
            self._wire(self.box_of[node], (end,), None, [[(node, None)]])

    # ---------------------------------------------------------------- title

    def _title(self) -> str:
        """``Bidirectional LSTM · op level · T = 3``; layers that follow each other in time: A → B."""
        reading = self.reading
        phases: dict[int, dict[int, Node]] = {}
        for node, group in reading.group.items():
            phases.setdefault(reading.step[node].phase, {}).setdefault(group, node)
        title = " → ".join(self._describe(groups) for groups in phases.values())
        counts: dict[int, int] = {}
        for step in reading.steps:
            counts[step.phase] = counts.get(step.phase, 0) + 1
        parts = [title or "Computation graph", f"{self.level} level"]
        if counts:
            parts.append("T = " + " + ".join(map(str, counts.values())))
        return " · ".join(parts)

    def _describe(self, groups: dict[int, Node]) -> str:
        """``2-layer bidirectional LSTM``."""
        names = dict.fromkeys(cell_name(node) for node in groups.values())
        ways = {back for slot, back in self.reading.states.items() if slot[0] in groups}
        layers = len(groups) // 2 if len(ways) == 2 else len(groups)
        title = " + ".join(names)
        if len(ways) == 2:
            title = f"bidirectional {title}"
        if layers > 1 and len(names) == 1:
            title = f"{layers}-layer {title}"
        return title[:1].upper() + title[1:]


def cell_name(node: Node) -> str:
    """``LSTM`` for what an LSTMCell recorded."""
    assert node.cell is not None
    return clean(node.cell[-1].removesuffix("Cell") or node.cell[-1], 24)
