"""What the boxes of a picture are called, and what it shows as a whole."""

from __future__ import annotations

import re
from functools import partial
from itertools import takewhile

from tinygradrnn.drawing import labels
from tinygradrnn.drawing.contract import Unit, computes, module_of
from tinygradrnn.drawing.owners import find_layers, module_name, weight_names
from tinygradrnn.drawing.reading import Reading, Slot
from tinygradrnn.drawing.records import Kind, Layer
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
        self.layers = find_layers(reading)
        self.weights = weight_names(reading, self.layers)
        self.states = self._state_names()
        self.initial = self._find_initial()

    def state(self, node: Node) -> str:
        """A state at the time step of the node that computes it."""
        slot = self.reading.state(node)
        name = clean(node.name or "", 24) or (self.states[slot] if slot else "s")
        return at_step(name, self._index(node.timestep, node.timestep) or 0)

    def look(self, unit: Unit) -> tuple[Kind, tuple[str, ...]]:
        """What kind of box a unit is, and what is written in it."""
        node = unit.result
        name = self._name(unit)
        if unit.what == "cell":
            return "cell", (cell_name(node) + self._arrow(unit), *ticks(unit))
        alike = len({inner.op for inner in unit.nodes}) == 1
        if unit.what in ("module", "loss") and not alike:
            names = [name for name in module_of(node) if name != "module"]
            last = not self.reading.readers[node]
            loose = "loss" if last else f"{len(unit.nodes)} operations"
            own = list(dict.fromkeys(self._sign(n, unit) for n in unit.nodes if not n.is_leaf))
            weights = any(n.op == "parameter" for inner in unit.nodes for n in inner.inputs)
            if unit.what == "module" and len(own) == 2 and not weights:
                return "cell", (" → ".join(own),)
            return "cell", (module_name(names[-1]) if names else loose,)
        if unit.what == "sum":
            return "op", ("Σ",)
        if unit.what == "choice":
            return "choice", (f"{node.label} {labels.RUNNING}",)
        if node.is_leaf:
            return self._look_of_leaf(node, name)
        if node in self.initial:
            return "state", (labels.initial(node, self.initial[node]),)
        if unit.what == "affine":
            here = unit.step.label if unit.step is not None else None
            return "affine", (labels.formula(unit.nodes, partial(self.term, here=here)),)
        if node in self.reading.step and not computes(self.reading, node):
            return "input", (name or labels.operation(node),)
        sign = self._sign(node, unit)
        held = self.timed and self.reading.state(node) is not None
        if name and (not held or len(unit.nodes) > 1):
            return "gate", (f"{sign}  {name}",)
        return ("op" if sign in labels.SIGNS or sign == "Σ" else "function"), (sign,)

    def _sign(self, node: Node, unit: Unit) -> str:
        """The sign of an operation; of what joins values these, if all have names of their own."""
        sign = labels.operation(node)
        if node.op == "getitem" and node.inputs[-1].name == labels.LAST:
            return "last"
        if node.op != "concatenate" or node.name:
            return sign
        here = unit.step.label if unit.step is not None else None
        several = sum(inner.op == "concatenate" for inner in unit.nodes) > 1
        parts = [self.term(source, here, steps=not several) for source in node.inputs]
        told = "·" not in parts and len(set(parts)) == len(parts) < 4
        return f"[{' ; '.join(parts)}]" if told else sign

    def _look_of_leaf(self, node: Node, name: str) -> tuple[Kind, tuple[str, ...]]:
        if node in self.initial:
            made = None if self.rolled else self.reading.stands_in.get(node)
            return "state", (labels.initial(node, self.initial[node], made),)
        if node.op == "parameter":
            frozen = "" if node.requires_grad else " (frozen)"
            return "weight", (self.weights[node] + frozen,)
        if node in self.weights:
            return "mask", (self.weights[node],)
        return "mask" if (node.name or "").endswith(labels.MASK) else "input", (
            name or labels.unnamed(node),
        )

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
        layer = self.layers.get(-1 if unit.group is None else unit.group)
        return f" {layer.arrow}" if layer is not None and layer.arrow else ""

    def _index(self, step: int | None, here: int | None) -> int | str | None:
        """The number of a step; in a rolled picture t, or how far it is from t."""
        if not self.rolled or step is None or here is None:
            return step
        return index_from_t(step - here)

    def term(self, node: Node, here: int | None = None, steps: bool = True) -> str:
        """What a value is called in a formula.

        ``here`` is the step that the formula is of; without ``steps`` it is of all of them.
        """
        if node.op == "parameter":
            return pretty(clean(node.name or "W", 24))
        if node in self.initial:
            if self.rolled:
                return self._one_before(node)
            return labels.initial(node, self.initial[node]).removesuffix(" = 0")
        if node.name:
            masked = node.name.endswith(labels.MASK)
            return "mask" if masked else self._directed(node, here, steps)
        if node.op == "where" and (node.inputs[0].name or "").endswith(labels.RUNNING):
            return self.term(node.inputs[1], here, steps)
        if node.op == "getitem" and node.inputs[-1].name == labels.LAST:
            ends = {self.term(source, here, steps=False) for source in node.inputs[0].inputs}
            return f"last {ends.pop()}" if len(ends) == 1 and "·" not in ends else "·"
        between = {"multiply": " × ", "concatenate": " ; "}.get(node.op)
        parts = [self.term(source, here, steps) for source in node.inputs[:4]] if between else []
        if between is None or "·" in parts or len(node.inputs) > 3:
            return "·"
        start, end = "()" if between == " × " else "[]"
        return f"{start}{between.join(parts)}{end}"

    def _one_before(self, start: Node) -> str:
        """What an initial state stands in for: the state one step before step t."""
        reading = self.reading
        uses = [(reading.slot.get(reader), at) for reader, at in reading.readers[start]]
        slot = next(reading.carried[s, at] for s, at in uses if s and (s, at) in reading.carried)
        layer = self.layers.get(slot[0])
        arrow = layer.arrow if layer is not None else ""
        away = 1 if reading.states[slot] else -1
        return at_step(self.states[slot] + arrow, index_from_t(away))

    def _directed(self, node: Node, here: int | None, steps: bool) -> str:
        """A name with its step; h→₃ and h←₃ where a layer has two directions."""
        group = self.reading.group.get(node, -1)
        layer = self.layers.get(group)
        name = clean(node.name or "", 24)
        step = self._index(node.timestep, here) if steps else None
        states = {state for slot, state in self.states.items() if slot[0] == group}
        if layer is None or not layer.arrow or name not in states:
            return labels.name_of(node, step)
        name += layer.arrow
        return pretty(name) if step is None else at_step(name, step)

    def _state_names(self) -> dict[Slot, str]:
        """The names that the programs gives to states, in whichever step."""
        found: dict[Slot, str] = {}
        for node in self.reading.slot:
            slot = self.reading.state(node)
            if slot is not None and node.name:
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


def ticks(unit: Unit) -> list[str]:
    """``blocks 1, 2 tick``, ``block 3 holds``: what the names inside a clockwork cell say.

    Of a whole layer ``block 3 ticks at 2 of 8 steps``.
    """
    found: dict[str, dict[str, set[int | None]]] = {"ticks": {}, "holds": {}}
    for node in unit.nodes:
        for value in (*node.inputs, node):
            block = re.fullmatch(r"block (\d+) (ticks|holds)", value.name or "")
            if block is not None:
                found[block[2]].setdefault(block[1], set()).add(node.timestep)
    steps = {node.timestep for node in unit.nodes}
    if len(steps) > 1:
        counts = sorted(found["ticks"].items(), key=lambda item: int(item[0]))
        return [f"block {block} ticks at {len(at)} of {len(steps)} steps" for block, at in counts]
    lines = []
    for verb, blocks in found.items():
        numbers = ", ".join(sorted(blocks, key=int))
        if len(blocks) == 1:
            lines.append(f"block {numbers} {verb}")
        elif blocks:
            lines.append(f"blocks {numbers} {verb[:-1]}")
    return lines


def title(reading: Reading, level: str, rolled: bool = False) -> str:
    """``Bidirectional LSTM · op level · T = 3``; of layers that follow in time ``A → B``."""
    phases: dict[int, dict[int, Node]] = {}
    for node, group in reading.group.items():
        phases.setdefault(reading.step[node].phase, {}).setdefault(group, node)
    layers = find_layers(reading)
    found = " → ".join(_describe(layers, groups) for groups in phases.values())
    found = found[:1].upper() + found[1:]
    counts: dict[int, int] = {}
    for step in reading.steps:
        counts[step.phase] = counts.get(step.phase, 0) + 1
    parts = [found or _loop_title(reading), f"{level} level", *(["rolled"] if rolled else [])]
    if counts:
        parts.append("T = " + " + ".join(map(str, counts.values())))
    return " · ".join(parts)


def _loop_title(reading: Reading) -> str:
    """Of a loop of the user's own: the cell, or the innermost scope, that computes its states."""
    scopes = [node.scope for node in reading.slot if reading.state(node) is not None]
    shared = takewhile(lambda names: len(set(names)) == 1, zip(*scopes, strict=False))
    names = [names[0] for names in shared]
    if not names:
        return "Recurrence" if scopes else "Computation graph"
    name = clean(names[-1].removesuffix("Cell") or names[-1], 24)
    return name[:1].upper() + name[1:]


def _describe(layers: dict[int, Layer], groups: dict[int, Node]) -> str:
    """``2-layer bidirectional LSTM``."""
    names = dict.fromkeys(cell_title(node) for node in groups.values())
    own = [layers[group] for group in groups]
    title = " + ".join(names)
    if own[0].arrow:
        title = f"bidirectional {title}"
    count = max(layer.number for layer in own)
    if count and len(names) == 1:
        title = f"{count}-layer {title}"
    if own[0].phase_name and not own[0].phase_name.startswith("phase "):
        title = f"{own[0].phase_name}: {title}"
    return title


def cell_name(node: Node) -> str:
    """``LSTM`` for what an LSTMCell recorded."""
    assert node.cell is not None
    name, _, _ = node.cell[-1].partition(" ")
    return clean(name.removesuffix("Cell") or name, 24)


def cell_title(node: Node) -> str:
    """``LSTM with peepholes``: the name with the options that the cell tells of."""
    assert node.cell is not None
    _, _, options = node.cell[-1].removesuffix(" ←").partition(" (")
    return cell_name(node) + (f" ({clean(options[:-1], 60)})" if options else "")
