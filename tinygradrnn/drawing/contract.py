"""Nodes to units: at which level of detail a graph is drawn.

A unit is one box to be. At level ``op`` it is one node; at the others nodes are taken together by
gate, by cell and step, or by layer.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

import numpy as np

from tinygradrnn.drawing.labels import FROZEN, RUNNING, host
from tinygradrnn.drawing.reading import Reading
from tinygradrnn.drawing.records import Running, Step
from tinygradrnn.recording import Node

LEVELS = ("op", "gate", "cell", "layer")
LARGE = 60  # boxes outside of time steps; of more, those in the middle are folded


@dataclass
class Unit:
    """Nodes that are drawn as one box; the last one is their result."""

    nodes: list[Node]
    step: Step | None
    group: int | None
    slot: Hashable
    what: str = "op"  # or "affine", "gate", "cell", "module", "loss", "sum", "choice"
    inside: set[Node] = field(default_factory=set)

    @property
    def result(self) -> Node:
        return self.nodes[-1]


def contract(reading: Reading, level: str, nodes: Sequence[Node]) -> list[Unit]:
    """The units that some of the nodes are drawn as, sources before readers.

    Parameters
    ----------
    reading : Reading
    level : str
    nodes : sequence of Node
        Those to be drawn, in recorded order.
    """
    drawn = [n for n in nodes if n.op != "constant"]
    joined = _Union(drawn)
    _join_sums(reading, drawn, joined)
    _join_masks(drawn, joined)
    if level == "gate":
        _join_gates(reading, drawn, joined)
        _join_affine(reading, drawn, joined)
    elif level in ("cell", "layer"):
        _join_cells(reading, drawn, joined, by_step=level == "cell")
        if level == "layer":
            _join_steps(reading, drawn, joined)
        _join_modules(reading, drawn, joined, by_step=level == "cell")
    units = _units(reading, drawn, joined, level)
    ordered = _ordered(units)
    if ordered is None and level == "layer":  # a layer that is read and goes on
        return contract(reading, "cell", nodes)
    if ordered is None:  # what was taken together also passes through something else
        whole = _Union(drawn)
        _join_cells(reading, drawn, whole, by_step=True)
        ordered = _ordered(
            _units(reading, drawn, whole if level == "cell" else _Union(drawn), "op")
        )
    assert ordered is not None
    return ordered


def limited(units: list[Unit], timed: bool) -> tuple[list[Unit], list[list[Unit]]]:
    """The units to be drawn, and those to be folded where too many lie outside of time steps.

    Of what precedes the steps, and of what follows them, the first and the last are drawn, with the
    leaves that they read.
    """
    late: set[Node] = set()
    for unit in units:
        inside = timed and unit.step is not None
        if inside or any(s in late for n in unit.nodes for s in n.inputs):
            late |= unit.inside
    outside = [u for u in units if u.step is None or not timed]
    folds = []
    for part in (
        [u for u in outside if u.result not in late],
        [u for u in outside if u.result in late],
    ):
        hidden = _middle(part, units)
        if hidden:
            folds.append([u for u in part if u.result in hidden])
    gone = {u.result for fold in folds for u in fold}
    return [u for u in units if u.result not in gone], folds


def _middle(part: list[Unit], units: list[Unit]) -> set[Node]:
    """The results of the units to be folded, of a part that is too large."""
    if len(part) <= LARGE:
        return set()
    computed = [u for u in part if not u.result.is_leaf]
    quarter = LARGE // 4
    hidden = {u.result for u in computed[quarter:-quarter]}
    read = {s for u in units if u.result not in hidden for n in u.nodes for s in n.inputs}
    leaves = [u.result for u in part if u.result.is_leaf]
    shown = [leaf for leaf in leaves if leaf in read][: LARGE // 2]
    return hidden | (set(leaves) - set(shown))


class _Union:
    """Which nodes are drawn as one, and what that is."""

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.parent = {n: n for n in nodes}
        self.what: dict[Node, str] = {}

    def find(self, n: Node) -> Node:
        while self.parent[n] is not n:
            self.parent[n] = self.parent[self.parent[n]]
            n = self.parent[n]
        return n

    def join(self, a: Node, b: Node, what: str) -> None:
        low, high = sorted((self.find(a), self.find(b)), key=lambda n: n.order)
        self.parent[high] = low
        self.what[low] = what


def _join_sums(reading: Reading, nodes: Sequence[Node], joined: _Union) -> None:
    """A chain of additions outside of all steps is one sum: the losses of the steps, say."""
    for node in nodes:
        if node.op != "add" or node in reading.step:
            continue
        for source in node.inputs:
            alone = len(reading.readers[source]) == 1
            if source.op == "add" and source not in reading.step and alone:
                joined.join(source, node, "sum")


def _join_masks(nodes: Sequence[Node], joined: _Union) -> None:
    """Which sequences still run is written into what chooses between new and old values."""
    for node in nodes:
        if runs(node):
            joined.join(node.inputs[0], node, "choice")


def is_frozen(node: Node) -> bool:
    """Whether a leaf is a weight that is not trained, or a product with one."""
    if node.op == "parameter":
        return not node.requires_grad
    return node.is_leaf and (node.name or "").endswith(FROZEN)


def runs(node: Node) -> bool:
    """Whether a node keeps the old value of the sequences that have ended."""
    return node.op == "where" and node.inputs[0].is_leaf and node.inputs[0].name == RUNNING


def find_running(reading: Reading, steps: Sequence[Step]) -> list[Running]:
    """Which sequences have not ended at each step; empty where no lengths were given."""
    found: dict[Step, Running] = {}
    batch = 0
    for node in reading.step:
        if runs(node):
            mask = host(node.inputs[0])
            batch = len(mask)
            those = tuple(int(n) + 1 for n in np.flatnonzero(mask.reshape(batch, -1).any(axis=1)))
            step = reading.step[node]
            before = found.get(step, Running(step, batch, ())).sequences
            found[step] = Running(step, batch, tuple(sorted({*before, *those})))
    phases = {step.phase for step in found}
    whole = tuple(range(1, batch + 1))
    return [found.get(s, Running(s, batch, whole)) for s in steps if s.phase in phases]


def _join_neighbours(
    nodes: Sequence[Node], joined: _Union, key: Callable[[Node], Hashable], what: str
) -> None:
    """Join each node with those of its sources that have the same key."""
    for node in nodes:
        own = key(node)
        if own is not None:
            for source in node.inputs:
                if source in joined.parent and key(source) == own:
                    joined.join(source, node, what)


def _join_gates(reading: Reading, nodes: Sequence[Node], joined: _Union) -> None:
    def key(node: Node) -> Hashable:
        depth = len(node.cell) if node.cell is not None else -1
        if depth < 0 or node.is_leaf or len(node.scope) <= depth:
            return None
        return reading.step.get(node), reading.group.get(node), node.scope[depth]

    _join_neighbours(nodes, joined, key, "gate")


def _join_affine(reading: Reading, nodes: Sequence[Node], joined: _Union) -> None:
    """Products with weights, and their sums, each of its own time step."""
    affine: set[Node] = set()
    for node in nodes:
        if node.cell is None or len(node.scope) > len(node.cell):
            continue
        step = reading.step.get(node)
        before = [s for s in node.inputs if s in affine and reading.step.get(s) == step]
        if node.op == "matmul":
            weighted = any(source.op == "parameter" for source in node.inputs)
        else:
            weighted = node.op == "add" and all(
                source.op == "parameter"
                or (source in before and len(reading.readers[source]) == 1)
                or is_frozen(source)
                for source in node.inputs
            )
        if weighted:
            affine.add(node)
            for source in before:
                joined.join(source, node, "affine")
            joined.what.setdefault(joined.find(node), "affine")


def _join_cells(reading: Reading, nodes: Sequence[Node], joined: _Union, by_step: bool) -> None:
    first: dict[Hashable, Node] = {}
    for node in nodes:
        group = reading.group.get(node)
        if group is None or node.cell is None or not computes(reading, node):
            continue
        key = (group, reading.step[node] if by_step else None)
        joined.join(first.setdefault(key, node), node, "cell")


def _join_steps(reading: Reading, nodes: Sequence[Node], joined: _Union) -> None:
    """What is alike in every step, and belongs to no layer, is one: x₁ … x_T, a readout."""
    first: dict[Hashable, Node] = {}
    for node in nodes:
        slot = reading.slot.get(node)
        if slot is not None and (node not in reading.group or not computes(reading, node)):
            what = joined.what.get(joined.find(node), "op")
            joined.join(first.setdefault(slot, node), node, what)


def computes(reading: Reading, node: Node) -> bool:
    """Whether a node of a step does more than take this step's input from what lies outside."""
    if node.is_leaf:
        return False
    return node.op != "getitem" or any(
        source in reading.step or source.op == "parameter" for source in node.inputs
    )


def _join_modules(reading: Reading, nodes: Sequence[Node], joined: _Union, by_step: bool) -> None:
    def module(node: Node) -> Hashable:
        if node.is_leaf or node in reading.group or not node.scope:
            return None
        return reading.step.get(node) if by_step else None, module_of(node)

    def loose(node: Node) -> Hashable:
        outside = node not in reading.step and not node.is_leaf and not node.scope
        return "outside" if outside and joined.what.get(joined.find(node)) != "sum" else None

    _join_neighbours(nodes, joined, module, "module")
    _join_neighbours(nodes, joined, loose, "loss")


def module_of(node: Node) -> tuple[str, ...]:
    """The scope of a node without the gates of a cell that is called by hand."""
    cells = [n for n, name in enumerate(node.scope, 1) if name.lower().endswith("cell")]
    return node.scope[: cells[0]] if cells else node.scope


def _units(reading: Reading, nodes: Sequence[Node], joined: _Union, level: str) -> list[Unit]:
    found: dict[Node, Unit] = {}
    for node in nodes:
        head = joined.find(node)
        unit = found.get(head)
        if unit is None:
            timeless = level == "layer"
            step = None if timeless else reading.step.get(node)
            unit = found[head] = Unit([], step, reading.group.get(node), None)
            unit.what = joined.what.get(head, "op")
        unit.nodes.append(node)
        unit.inside.add(node)
        unit.slot = reading.slot.get(node, node.order)
    for unit in found.values():
        if unit.what == "cell" and unit.group is not None:
            unit.slot = (unit.group, "cell")  # whatever its last operation is in this step
    return list(found.values())


def _ordered(units: list[Unit]) -> list[Unit] | None:
    """Sources before readers, otherwise as recorded; None if there is a cycle."""
    home = {node: k for k, unit in enumerate(units) for node in unit.nodes}
    before: list[set[int]] = [
        {home[s] for n in unit.nodes for s in n.inputs if s in home} - {k}
        for k, unit in enumerate(units)
    ]
    after: list[list[int]] = [[] for _ in units]
    for k, sources in enumerate(before):
        for source in sorted(sources):
            after[source].append(k)
    missing = [len(sources) for sources in before]
    ready = [k for k, count in enumerate(missing) if not count]
    found: list[Unit] = []
    heapify(ready)
    while ready:
        k = heappop(ready)
        found.append(units[k])
        for reader in after[k]:
            missing[reader] -= 1
            if not missing[reader]:
                heappush(ready, reader)
    return found if len(found) == len(units) else None
