"""What the boxes of a picture are called, and what it shows as a whole."""

from __future__ import annotations

from functools import partial

from tinygradrnn.drawing import labels
from tinygradrnn.drawing.contract import Unit, computes, module_of
from tinygradrnn.drawing.reading import Reading, Slot
from tinygradrnn.drawing.records import Kind
from tinygradrnn.drawing.text import at_step, clean, pretty
from tinygradrnn.recording import Node


class Naming:
    """Names and kinds of boxes.

    Parameters
    ----------
    reading : Reading
    timed : bool
        Whether the picture has a time axis.
    rolled : bool
        Whether one step stands for all: t in place of its number.

    Attributes
    ----------
    states : dict of Slot to str
        The names that the program gives to states, in whichever step.
    initial : dict of Node to str
        What stands in for a state before the first step, by the name of the state.
    """

    def __init__(self, reading: Reading, timed: bool, rolled: bool = False) -> None:
        self.reading, self.timed, self.rolled = reading, timed, rolled
        self.weights = self._weight_names()
        self.states = self._state_names()
        self.initial = self._find_initial()

    def state(self, node: Node) -> str:
        """A state at the time step of the node that computes it."""
        step = self._index(node.timestep, node.timestep)
        name = labels.name_of(node, step)
        return name or at_step(self.states[self.reading.slot[node]], step or 0)

    def look(self, unit: Unit) -> tuple[Kind, tuple[str, ...]]:
        """What kind of box a unit is, and what is written in it."""
        node = unit.result
        name = self._name(unit)
        if unit.what == "cell":
            return "cell", (cell_name(node) + self._arrow(unit),)
        alike = len({inner.op for inner in unit.nodes}) == 1
        if unit.what in ("module", "loss") and not alike:
            names = [name for name in module_of(node) if name != "module"]
            last = not self.reading.readers[node]
            loose = "loss" if last else f"{len(unit.nodes)} operations"
            return "cell", (clean(names[-1], 24) if names else loose,)
        if unit.what == "sum":
            return "op", ("Σ",)
        if node.is_leaf:
            return self._look_of_leaf(node, name)
        if node in self.initial:
            return "state", (labels.initial(node, self.initial[node]),)
        if unit.what == "affine":
            here = unit.step.label if unit.step is not None else None
            return "affine", (labels.formula(unit.nodes, partial(self._term, here=here)),)
        if node in self.reading.step and not computes(self.reading, node):
            return "input", (name or labels.operation(node),)
        sign = labels.operation(node)
        slot = self.reading.slot.get(node)
        if name and (not (self.timed and slot in self.states) or len(unit.nodes) > 1):
            return "gate", (f"{sign}  {name}",)
        return ("op" if sign in labels.SIGNS or sign == "Σ" else "function"), (sign,)

    def _look_of_leaf(self, node: Node, name: str) -> tuple[Kind, tuple[str, ...]]:
        if node in self.initial:
            return "state", (labels.initial(node, self.initial[node]),)
        if node.op == "parameter":
            return "weight", (pretty(self.weights[node]),)
        return "input", (name or labels.unnamed(node),)

    def _name(self, unit: Unit) -> str:
        """The name of a unit's result, with its time step, or with the first and the last."""
        node = unit.result
        if self.timed:
            step = unit.step.label if unit.step is not None else None
            return labels.name_of(node, self._index(step, step))
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

    def _index(self, step: int | None, here: int | None) -> int | str | None:
        """The number of a step; in a rolled picture t, or how far it is from t."""
        if not self.rolled or step is None or here is None:
            return step
        return index_from_t(step - here)

    def _term(self, node: Node, here: int | None) -> str:
        """What a value is called in a formula of a step."""
        if node.op == "parameter":
            return pretty(clean(node.name or "W", 24))
        if node in self.initial:
            if self.rolled:
                return self._one_before(node)
            return labels.initial(node, self.initial[node]).removesuffix(" = 0")
        return labels.name_of(node, self._index(node.timestep, here)) or "·"

    def _one_before(self, start: Node) -> str:
        """What an initial state stands in for: the state one step before step t."""
        reading = self.reading
        uses = [(reading.slot.get(reader), at) for reader, at in reading.readers[start]]
        slot = next(reading.carried[s, at] for s, at in uses if s and (s, at) in reading.carried)
        return at_step(self.states[slot], index_from_t(1 if reading.states[slot] else -1))

    def _weight_names(self) -> dict[Node, str]:
        """Of every parameter; equal ones are numbered, in the order of the layers."""
        leaves = [n for n in self.reading.nodes if n.op == "parameter"]
        names = [clean((n.name or "W").rpartition(".")[2], 20) for n in leaves]
        return {
            leaf: name if names.count(name) == 1 else f"{name} ({names[: k + 1].count(name)})"
            for k, (leaf, name) in enumerate(zip(leaves, names, strict=True))
        }

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
            source: self.states[reading.carried[reading.slot[node], position]]
            for node in (reading.step if reading.regular else ())
            for position, source in enumerate(node.inputs)
            if (reading.slot[node], position) in reading.carried and source not in reading.step
        }


def index_from_t(away: int) -> str:
    """``t``, ``t-1`` or ``t+1``."""
    return f"t{away:+d}" if away else "t"


def title(reading: Reading, level: str, rolled: bool = False) -> str:
    """``Bidirectional LSTM · op level · T = 3``; of layers that follow in time ``A → B``."""
    phases: dict[int, dict[int, Node]] = {}
    for node, group in reading.group.items():
        phases.setdefault(reading.step[node].phase, {}).setdefault(group, node)
    found = " → ".join(_describe(reading, groups) for groups in phases.values())
    counts: dict[int, int] = {}
    for step in reading.steps:
        counts[step.phase] = counts.get(step.phase, 0) + 1
    parts = [found or "Computation graph", f"{level} level", *(["rolled"] if rolled else [])]
    if counts:
        parts.append("T = " + " + ".join(map(str, counts.values())))
    return " · ".join(parts)


def _describe(reading: Reading, groups: dict[int, Node]) -> str:
    """``2-layer bidirectional LSTM``."""
    names = dict.fromkeys(cell_name(node) for node in groups.values())
    ways = {back for slot, back in reading.states.items() if slot[0] in groups}
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
