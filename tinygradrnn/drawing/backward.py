"""Reads the backward graph, as it was recorded, into the twins of a diagram's boxes.

The backward walk is run with ``create_graph=True``. Each node that it records knows the forward
node and the argument that it comes from, and belongs to one place of the picture: what computes
the term of one step for a weight to the tap of that step; what else a node sends to its inputs to
the twin of its box; where terms meet to the twin of the box they are sent to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from tinygradrnn.drawing import labels
from tinygradrnn.drawing.naming import Naming
from tinygradrnn.drawing.reading import Reading
from tinygradrnn.drawing.records import Box, Diagram, Step, joint
from tinygradrnn.drawing.sizes import Term, measure
from tinygradrnn.drawing.text import number, pretty, shape_text
from tinygradrnn.drawing.twins import Share, Sum, Twin, gradient_of, listed
from tinygradrnn.gradients import ancestors, grad, seed_of
from tinygradrnn.graph import Graph
from tinygradrnn.recording import Node
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
    """The backward graph of a loss: its nodes, the seed ∂L/∂L, and the gradient of each leaf."""

    nodes: list[Node]
    seed: Node
    gradients: dict[Node, Node]


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
    loss = Tensor(graph.outputs[0])
    leaves = [node for node in graph.nodes if node.is_leaf and node.requires_grad]
    found = grad(loss, [Tensor(leaf) for leaf in leaves], seed, create_graph=True)
    gradients = {leaf: g.node for leaf, g in zip(leaves, found, strict=True)}
    forward = set(graph.nodes)
    nodes = [n for n in ancestors(gradients.values(), all_nodes=True) if n not in forward]
    return Recorded(nodes, seed.node, gradients)


def add_twins(diagram: Diagram, drawn: Drawn) -> Diagram:
    """The diagram with the backward graph: a twin for every box that a gradient comes back to."""
    recorded = record(drawn.graph)
    operations: dict[Home, list[str]] = defaultdict(list)
    for node, home in homes(recorded, drawn).items():
        operations[home].append(node.op)
    sizes, sums = _sizes(diagram, drawn)
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
    through_rest = _through_rest(diagram, drawn)
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
    leaf_of = {gradient: leaf for leaf, gradient in recorded.gradients.items()}
    outputs = [k for k, node in drawn.result.items() if node is drawn.graph.outputs[0]]
    found: dict[Node, Home] = {}
    for node in recorded.nodes:
        if node is recorded.seed:
            found[node] = outputs[-1]
        elif node.place.origin is None:
            found[node] = drawn.value_in[leaf_of[node]]
        else:
            found[node] = _home(drawn, *node.place.origin)
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


# -------------------------------------------------------------------- sizes


def _sizes(
    diagram: Diagram, drawn: Drawn
) -> tuple[dict[int, float | None], dict[int, tuple[Sum, ...]]]:
    """For every box ‖∂L/∂·‖; for every weight its terms, in the order of the walk."""
    wanted: list[list[Term]] = [[(node, None)] for node in drawn.result.values()]
    parts: list[tuple[int, Step | int | None, int]] = []
    for k, box in enumerate(diagram.boxes):
        if box.kind == "weight":
            so_far: list[Term] = []
            for place, terms, steps in _places(drawn, drawn.result[k]):
                so_far = so_far + terms
                wanted += [terms, so_far]
                parts.append((k, place, steps))
    measured = iter(measure(drawn.graph, wanted))
    sizes = {k: next(measured) for k in drawn.result}
    sums: dict[int, list[Sum]] = defaultdict(list)
    for k, place, steps in parts:
        sums[k].append(Sum(place, steps, next(measured), next(measured)))
    return sizes, {k: tuple(found) for k, found in sums.items()}


def _through_rest(diagram: Diagram, drawn: Drawn) -> dict[tuple[int, int], float | None]:
    """Between a box for many operations and another one: the size of all that is sent."""
    uses: dict[tuple[int, int], list[Term]] = defaultdict(list)
    if any(box.kind == "rest" for box in diagram.boxes):
        for node, target in drawn.computed_in.items():
            for position, source in enumerate(node.inputs):
                start = drawn.value_in.get(drawn.reading.same.get(source, source))
                ends = {diagram.boxes[k].kind for k in (start, target) if k is not None}
                if start is not None and start != target and "rest" in ends:
                    uses[start, target].append((node, position))
    if not uses:
        return {}
    sizes = iter(measure(drawn.graph, [[use] for found in uses.values() for use in found]))
    return {ends: joint([next(sizes) for _ in found]) for ends, found in uses.items()}


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
