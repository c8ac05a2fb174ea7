"""Reads the backward graph, as it was recorded, into the twins of a diagram's boxes.

The backward walk is run with ``create_graph=True``. Each node that it records knows the forward
node and the argument that it comes from, and belongs to one place of the picture: what computes
the term of one step for a weight to the tap of that step; what else a node sends to its inputs to
the twin of its box; where terms meet to the twin of the box they are sent to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from tinygradrnn.drawing import labels
from tinygradrnn.drawing.naming import Naming
from tinygradrnn.drawing.reading import Reading
from tinygradrnn.drawing.records import Box, Diagram, Step, joint
from tinygradrnn.drawing.sizes import Term
from tinygradrnn.drawing.text import number, pretty, shape_text
from tinygradrnn.drawing.twins import Share, Sum, Twin, gradient_of, listed
from tinygradrnn.gradients import ancestors, seed_of, walk
from tinygradrnn.graph import BackwardEvent, Graph, event_of
from tinygradrnn.ledgers import RecordingLedger, beside
from tinygradrnn.ops import Part
from tinygradrnn.recording import Node, at
from tinygradrnn.tensors import Tensor

Tap = tuple[int, Step]  # the box of a weight, and a step that reads it
Home = int | Tap


@dataclass(frozen=True)
class Drawn:
    """Which boxes the nodes of a graph are drawn as.

    Attributes
    ----------
    graph : Graph
    reading : Reading
    naming : Naming
    timed : bool
        Whether the picture has a time axis.
    computed_in : mapping of Node to int
        The box that a node is computed in.
    value_in : mapping of Node to int
        The box that its value is taken from.
    result : mapping of int to Node
        What a box computes.
    fold_of : mapping of Step to int
        The fold that holds a step which is not shown.
    folds : mapping of Step to int
        The box of that fold.
    carried : callable
        Node, position → the number of the state that this input is, or None.
    """

    graph: Graph
    reading: Reading
    naming: Naming
    timed: bool
    computed_in: Mapping[Node, int]
    value_in: Mapping[Node, int]
    result: Mapping[int, Node]
    fold_of: Mapping[Step, int]
    folds: Mapping[Step, int]
    carried: Callable[[Node, int], int | None]


class Recorded(NamedTuple):
    """The backward graph of a loss.

    Attributes
    ----------
    nodes : list of Node
    seed : Node
        ∂L/∂L.
    gradients : dict of Node to Node
        That of each leaf.
    walked : list of (Node, Tensor, list)
        What the walk yielded.
    """

    nodes: list[Node]
    seed: Node
    gradients: dict[Node, Node]
    walked: list[tuple[Node, Tensor, list[Any]]]

    def events(self) -> Iterator[BackwardEvent]:
        """The walk, with values."""
        for node, gradient, sent in self.walked:
            yield event_of(node, gradient.data, [_values(term) for term in sent])


def _values(term: Any) -> Any:
    """A term as arrays."""
    if isinstance(term, Part):
        return Part(_values(term.values), term.where, tuple(map(_values, term.arrays)))
    return term.data if isinstance(term, Tensor) else term


def seed_for(graph: Graph) -> Tensor:
    """∂L/∂L, or an error that says why there is none."""
    what = "draw(backward=True)"
    if len(graph.outputs) != 1:
        raise ValueError(
            f"{what}: gradients start from one loss, this graph has {len(graph.outputs)} outputs. "
            "Draw one of them, or their sum"
        )
    loss = Tensor(graph.outputs[0])
    if loss.size != 1:
        raise ValueError(
            f"{what}: {loss.node.describe()} is not a single number, so there is no one gradient. "
            "Reduce it (loss.sum(), loss.mean())"
        )
    return seed_of(loss, None, what)


def record(graph: Graph) -> Recorded:
    """Run the backward walk and record it; touches no ``.grad``.

    Parameters
    ----------
    graph : Graph
        Of one output, a single number.
    """
    seed = seed_for(graph)
    walked = list(walk({graph.outputs[0]: seed}, RecordingLedger()))
    gradients = {}
    for leaf, gradient, _ in walked:
        if leaf.is_leaf and gradient.dtype != leaf.value.dtype:
            with at(beside(leaf, None)):
                gradient = gradient.astype(leaf.value.dtype)
        if leaf.is_leaf:
            gradients[leaf] = gradient.node
    forward = set(graph.nodes)
    nodes = [n for n in ancestors(gradients.values(), all_nodes=True) if n not in forward]
    return Recorded(nodes, seed.node, gradients, walked)


class Twins:
    """The backward graph in a diagram: a twin for every box that a gradient comes back to.

    Parameters
    ----------
    diagram : Diagram
    drawn : Drawn

    Attributes
    ----------
    recorded : Recorded
    sums : list of lists of Term
        What is to be measured for :meth:`add_to`.
    """

    def __init__(self, diagram: Diagram, drawn: Drawn) -> None:
        self.drawn = drawn
        self.recorded = record(drawn.graph)
        self.of_weight = {
            k: _places(drawn, drawn.result[k])
            for k, box in enumerate(diagram.boxes)
            if box.kind == "weight"
        }
        self.through_rest = _through_rest(diagram, drawn)
        self.sums: list[list[Term]] = [[(node, None)] for node in drawn.result.values()]
        for places in self.of_weight.values():
            so_far: list[Term] = []
            for _, terms, _ in places:
                so_far = so_far + terms
                self.sums += [terms, so_far]
        self.sums += [[use] for uses in self.through_rest.values() for use in uses]

    def add_to(self, diagram: Diagram, measured: Iterator[float | None]) -> Diagram:
        """The diagram with its twins."""
        drawn = self.drawn
        operations: dict[Home, list[str]] = defaultdict(list)
        for node, home in homes(self.recorded, drawn).items():
            operations[home].append(node.op)
        sizes = {k: next(measured) for k in drawn.result}
        sums = {
            k: tuple(Sum(place, n, next(measured), next(measured)) for place, _, n in places)
            for k, places in self.of_weight.items()
        }
        through_rest = {
            ends: joint([next(measured) for _ in uses]) for ends, uses in self.through_rest.items()
        }
        boxes = []
        for k, box in enumerate(diagram.boxes):
            found = tuple(operations.get(k, ()))
            text = _text(diagram, drawn, k, sizes.get(k), len(sums.get(k, ())))
            absent = sizes.get(k) is None and not found and box.kind not in ("weight", "state")
            if text and not absent:
                tooltip = _tooltip(box, drawn.result.get(k), sizes.get(k), found)
                twin = Twin(text, sizes.get(k), found, tooltip, sums.get(k, ()))
                box = replace(box, twin=twin)
            boxes.append(box)
        wires = []
        for wire in diagram.wires:
            step = diagram.boxes[wire.targets[0]].step
            each = tuple(through_rest.get((wire.source, target)) for target in wire.targets)
            if joint(each) is not None:
                wire = replace(wire, term=joint(each), terms=each)
            if step is not None and (wire.source, step) in operations:
                share = _share(drawn, wire.source, step, operations[wire.source, step])
                wire = replace(wire, share=share)
            wires.append(wire)
        return replace(diagram, boxes=tuple(boxes), wires=tuple(wires), backward=True)


# -------------------------------------------------------------------- where operations belong


def homes(recorded: Recorded, drawn: Drawn) -> dict[Node, Home]:
    """For every node of the backward graph the box, or the tap, that it is drawn in."""
    outputs = [k for k, node in drawn.result.items() if node is drawn.graph.outputs[0]]
    found: dict[Node, Home] = {}
    for node in recorded.nodes:
        origin = node.place.origin  # only ∂L/∂L has none
        found[node] = outputs[-1] if origin is None else _home(drawn, *origin)
    return found


def _home(drawn: Drawn, origin: Node, argument: int | None) -> Home:
    origin = drawn.reading.same.get(origin, origin)
    step = drawn.reading.step.get(origin) if drawn.timed else None
    if step is not None and step in drawn.folds:
        return drawn.folds[step]
    if argument is None:
        return drawn.value_in[origin]
    source = origin.inputs[argument]
    if source.op == "parameter":
        weight = drawn.value_in[source]
        return (weight, step) if step is not None else weight
    return drawn.computed_in[origin]


# -------------------------------------------------------------------- what is measured


def _through_rest(diagram: Diagram, drawn: Drawn) -> dict[tuple[int, int], list[Term]]:
    """Between a box for many operations and another one: all that is sent."""
    uses: dict[tuple[int, int], list[Term]] = defaultdict(list)
    if any(box.kind == "rest" for box in diagram.boxes):
        for node, target in drawn.computed_in.items():
            for position, source in enumerate(node.inputs):
                start = drawn.value_in.get(drawn.reading.same.get(source, source))
                ends = {diagram.boxes[k].kind for k in (start, target) if k is not None}
                if start is not None and start != target and "rest" in ends:
                    uses[start, target].append((node, position))
    return uses


def _places(drawn: Drawn, weight: Node) -> list[tuple[Step | int | None, list[Term], int]]:
    """Where a weight is used: the steps shown, folds, what is outside; as the walk meets them."""
    terms: dict[Step | int | None, list[Term]] = {}
    steps: dict[Step | int | None, set[Step | None]] = defaultdict(set)
    uses = sorted(drawn.reading.readers[weight], key=lambda use: -use[0].order)
    for node, position in uses:
        step = drawn.reading.step.get(node) if drawn.timed else None
        place: Step | int | None = step
        if step is not None and step in drawn.fold_of:
            place = drawn.fold_of[step]
        terms.setdefault(place, []).append((node, position))
        steps[place].add(step)
    return [(place, found, len(steps[place])) for place, found in terms.items()]


# -------------------------------------------------------------------- texts


def _text(
    diagram: Diagram, drawn: Drawn, k: int, size: float | None, terms: int
) -> tuple[str, ...]:
    """What is written in a twin: the name of the gradient, and its size."""
    box, node = diagram.boxes[k], drawn.result.get(k)
    if node is None:
        return box.text
    if box.kind == "weight":
        return (gradient_of(pretty(drawn.naming.weights[node]), size, terms),)
    if box.kind == "output":
        return (f"∂{box.text[0]}/∂{box.text[0]}", "1")
    if box.kind == "state":
        if node in drawn.naming.initial:
            name = labels.initial(node, drawn.naming.initial[node]).removesuffix(" = 0")
            return (f"∂{name} {number(size)}",)
        return (f"∂{drawn.naming.state(node)}", number(size))
    name = labels.name_of(node, node.timestep)
    if box.kind in ("gate", "cell", "input"):
        return (f"∂{name}" if name else "δ", number(size))
    if (
        box.kind == "function" and len(node.inputs) == 1 and drawn.value_in[node] != k
    ):  # its pill says how large it is
        return (f"{box.text[0]}′",)
    weighted = any(source.op == "parameter" for source in node.inputs)
    return (f"δ  {number(size)}",) if weighted or box.kind == "affine" else (number(size),)


def _tooltip(box: Box, node: Node | None, size: float | None, operations: tuple[str, ...]) -> str:
    what = f"∂L/∂({' '.join(box.text)})"
    shape = f" · {shape_text(node.shape)}" if node is not None else ""
    recorded = listed(operations) or "none of its own"
    return f"{what}{shape} · ‖·‖ = {number(size)} · backward operations: {recorded}"


READ = {"matmul": "{other}ᵀ δ", "multiply": "Σ δ·{other}"}
"""Of rules that read the other operand, the term that they send to a weight on the right."""


def _share(drawn: Drawn, weight: int, step: Step, operations: list[str]) -> Share:
    leaf = drawn.result[weight]
    uses = [use for use in drawn.reading.readers[leaf] if drawn.reading.step.get(use[0]) == step]
    kept = set()
    for node, position in uses:
        if node.op in READ:
            kept |= {drawn.carried(node, p) for p in range(len(node.inputs)) if p != position}
    text = ""
    if len(uses) == 1:
        text = _formula(drawn, *uses[0], operations)
    states = tuple(sorted(state for state in kept if state is not None))
    return Share(pretty(text), tuple(operations), states)


def _formula(drawn: Drawn, node: Node, position: int | None, operations: list[str]) -> str:
    """``s₀ᵀ δ``: the term that a use sends to a weight; δ is the gradient that it receives."""
    if node.op in READ and len(node.inputs) == 2 and position is not None:
        other = drawn.naming.term(node.inputs[1 - position]).replace("·", "(…)")
        if node.op == "matmul" and position == 0:
            return f"δ {other}ᵀ"
        return READ[node.op].format(other=other)
    return "Σ δ" if "sum_to" in operations else "δ" if node.op == "add" else ""
