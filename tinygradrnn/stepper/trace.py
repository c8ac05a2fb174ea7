"""The steps of a graph: forward in the order of the program, then back in the order of the walk.

A step is the visit of a box of the picture: of an operation, a gate, a cell, or of a time step that
is folded. Arrays are passed on as they are; what to keep of them is up to the reader.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tinygradrnn.drawing.records import Diagram, Shown
from tinygradrnn.drawing.text import pretty
from tinygradrnn.graph import BackwardEvent, Graph
from tinygradrnn.recording import Node
from tinygradrnn.stepper import words

Array = np.ndarray[Any, Any]
Phase = Literal["forward", "backward"]


@dataclass(frozen=True, slots=True)
class Term:
    """What one step adds to the gradient of a value that it read.

    Attributes
    ----------
    to : str
        The name of that value.
    value : ndarray
        The term.
    timestep : int or None
    weight : str or None
        Its name in ``Graph.parameters``, if it is a parameter.
    total : ndarray or None
        Of a parameter: the sum of its terms so far, this one included.
    source : Node
        That value's node.
    uses : tuple of (Node, int)
        The operations that read it in this step, and as which of their inputs.
    """

    to: str
    value: Array
    timestep: int | None
    weight: str | None
    total: Array | None
    source: Node = field(repr=False)
    uses: tuple[tuple[Node, int], ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Step:
    """The visit of a box.

    Attributes
    ----------
    phase : "forward" or "backward"
    timestep : int or None
    node : str
        The name of what is computed, or of what the gradient has arrived at.
    text : str
        The step in words.
    values : dict of str to ndarray
        Forward: what the box hands out, by name; its result is the last.
    gradients : dict of str to ndarray
        Backward: ∂L/∂value of each of these, complete.
    terms : tuple of Term
        Backward: what is sent to each value that was read.
    shown : Shown
        Where it is in the picture.
    result : Node
        The node that the box ends with.
    """

    phase: Phase
    timestep: int | None
    node: str
    text: str
    values: dict[str, Array]
    gradients: dict[str, Array]
    terms: tuple[Term, ...]
    shown: Shown = field(repr=False)
    result: Node = field(repr=False)

    @property
    def value(self) -> Array | None:
        """The result; None on the way back."""
        return next(reversed(self.values.values()), None)

    @property
    def gradient(self) -> Array | None:
        """∂L/∂result; None on the way forward."""
        return next(reversed(self.gradients.values()), None)

    @property
    def totals(self) -> dict[str, Array]:
        """The running totals of the parameters that this step adds to, by name."""
        return {t.weight: t.total for t in self.terms if t.weight and t.total is not None}


class Visits:
    """The boxes of a diagram, and how the nodes of a graph fall into them.

    Parameters
    ----------
    graph : Graph
    diagram : Diagram
        What is drawn of it.

    Attributes
    ----------
    shows : tuple of Shown
    nodes : list of list of Node
        For each of them.
    at : dict of Node to int
        Where a node is, as a position in ``shows``.
    same : dict of Node to Node
        Reads the same input as another node, which the box is named after.
    names : dict of Node to str
    """

    def __init__(self, graph: Graph, diagram: Diagram) -> None:
        self.graph, self.diagram = graph, diagram
        self.shows = diagram.shows
        by_order = {node.order: node for node in graph.nodes}
        self.nodes = [[by_order[order] for order in shown.orders] for shown in self.shows]
        self.at = {node: k for k, nodes in enumerate(self.nodes) for node in nodes}
        self.same: dict[Node, Node] = {}
        for shown, nodes in zip(self.shows, self.nodes, strict=True):
            if not self.folded(shown):
                result = nodes[-1]
                self.same.update({n: result for n in nodes if n.order > result.order})
        self.parameters = {t.node: name for name, t in graph.parameters.items()}
        self.names = words.names(graph, self.parameters, diagram, self.at)

    def folded(self, shown: Shown) -> bool:
        """Whether it is a time step inside a fold."""
        return self.diagram.boxes[shown.box].kind == "fold"

    def result(self, k: int) -> Node:
        """What a box computes: the last operation in it."""
        computed = [n for n in self.nodes[k] if not n.is_leaf and n not in self.same]
        return computed[-1] if computed else self.nodes[k][-1]

    def handed_out(self, k: int) -> list[Node]:
        """What is read of a box elsewhere, and its result, last."""
        result = self.result(k)
        read = [
            node
            for node in self.nodes[k]
            if node is not result
            and node not in self.same
            and (
                node.is_leaf
                if result.is_leaf
                else not node.is_leaf
                and any(self.at.get(reader) != k for reader in self.graph.readers[node])
            )
        ]
        return [*read, result]

    def tags(self) -> dict[int, str]:
        """The names of results that are not written in their boxes: v₇ for a +."""
        found = {}
        for k, shown in enumerate(self.shows):
            text = " ".join(self.diagram.boxes[shown.box].text)
            result = self.result(k)
            if not self.folded(shown) and not result.is_leaf and self.names[result] not in text:
                found[shown.box] = self.names[result]
        return found

    def label(self, k: int, node: Node) -> int | None:
        """The time step of a node in a box."""
        step = self.shows[k].step
        return node.timestep if step is None else step.label


def forward_steps(visits: Visits) -> Iterator[Step]:
    """One step for every box that computes something, when its result is there."""
    out = {
        visits.result(k): (k, visits.handed_out(k))
        for k, nodes in enumerate(visits.nodes)
        if not all(node.is_leaf for node in nodes)
    }
    wanted = {node for _, nodes in out.values() for node in nodes}
    values: dict[Node, Array] = {}
    for event in visits.graph.forward_events():
        if event.node in wanted:
            values[event.node] = event.value
        if event.node in out:
            k, nodes = out[event.node]
            named = {visits.names[node]: values.pop(node) for node in nodes}
            timestep = visits.label(k, event.node)
            shown, name = visits.shows[k], visits.names[event.node]
            text = words.forward(visits.diagram, shown, event.node, visits.names, timestep)
            yield Step("forward", timestep, name, text, named, {}, (), shown, event.node)


class Backward:
    """The steps of the way back.

    Attributes
    ----------
    totals : dict of str to ndarray
        Once all steps are taken: ∂L/∂parameter, as ``backward()`` computes it.
    """

    def __init__(self, visits: Visits) -> None:
        self.visits = visits
        self.totals: dict[str, Array] = {}
        self.running: dict[Node, Array] = {}
        self.arrived: dict[int, dict[Node, Array]] = {}
        self.sent: dict[int, dict[tuple[Node, int | None], _Sum]] = {}
        self.out = {node: k for k in range(len(visits.shows)) for node in visits.handed_out(k)}

    def steps(self) -> Iterator[Step]:
        """One step for every box that a gradient reaches, readers before what they read.

        A box is visited when the walk has left its last node, in the reverse of the order in which
        results were computed.
        """
        waiting = []
        for k, nodes in enumerate(self.visits.nodes):
            orders = [node.order for node in nodes if node.requires_grad]
            if orders:
                waiting.append((self.visits.result(k).order, min(orders), k))
        waiting.sort()
        for event in self.visits.graph.backward_events():
            while waiting and waiting[-1][1] > event.node.order:
                yield from self._visit(waiting.pop()[2])
            self._add(event)
        for _, _, k in reversed(waiting):
            yield from self._visit(k)

    def _add(self, event: BackwardEvent) -> None:
        node, visits = event.node, self.visits
        name = visits.parameters.get(node)
        if name is not None:
            self.totals[name] = np.asarray(event.gradient, dtype=node.value.dtype)
        k = visits.at.get(node)
        if k is None:
            return
        original = visits.same.get(node, node)
        if original in self.out:
            found = self.arrived.setdefault(k, {})
            before = found.get(original)
            found[original] = event.gradient if before is None else before + event.gradient
        for position, (source, term) in enumerate(zip(node.inputs, event.sent, strict=False)):
            inside = visits.at.get(source) == k and source not in visits.parameters
            if term is None or inside:
                continue
            key = visits.same.get(source, source), visits.label(k, node)
            self.sent.setdefault(k, {}).setdefault(key, _Sum()).add(term, (node, position))

    def _visit(self, k: int) -> Iterator[Step]:
        arrived, sent = self.arrived.pop(k, {}), self.sent.pop(k, {})
        if not arrived and not sent:
            return  # no gradient reaches it
        visits = self.visits
        terms = tuple([self._term(*key, found) for key, found in sent.items()])
        ordered = [node for node in visits.handed_out(k) if node in arrived]
        gradients = {visits.names[node]: arrived[node] for node in ordered}
        result = visits.result(k)
        shown, timestep = visits.shows[k], visits.label(k, result)
        text = words.backward(visits.diagram, shown, gradients, terms, timestep)
        name = visits.names[result]
        yield Step("backward", timestep, name, text, {}, gradients, terms, shown, result)

    def _term(self, source: Node, timestep: int | None, found: _Sum) -> Term:
        weight = self.visits.parameters.get(source)
        total = None
        if weight is not None:
            before = self.running.get(source)
            # in double precision: the engine's own sum runs in another order
            total = found.value.astype(np.float64) + (0.0 if before is None else before)
            self.running[source] = total
        to = self.visits.names.get(source) or pretty(source.name or source.op)
        return Term(to, found.value, timestep, weight, total, source, tuple(found.uses))


class _Sum:
    """Terms of one step for one value, added up."""

    def __init__(self) -> None:
        self.value: Array = np.zeros(())
        self.uses: list[tuple[Node, int]] = []

    def add(self, term: Array, use: tuple[Node, int]) -> None:
        self.value = self.value + term if self.uses else term
        self.uses.append(use)
