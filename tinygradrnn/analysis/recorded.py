"""Reading gates: from a recorded graph, or from the graphs of a model that runs piece by piece."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tinygradrnn.analysis.results import Numbers
from tinygradrnn.arrays import TensorLike
from tinygradrnn.graph import Graph, to_host
from tinygradrnn.nn.modules import Module
from tinygradrnn.nn.states import State, describe, detach, map_state, named_tensors
from tinygradrnn.recording import Leaf, Node, Place, at
from tinygradrnn.recording import state as current
from tinygradrnn.tensors import Tensor, as_tensor

Key = tuple[str, str, str]  # layer, scope, name
Values = dict[Key, dict[int, Numbers]]


def gate_values(graph: Graph) -> Values:
    """The values of the gates that a graph holds, at each time step."""
    inside: dict[tuple[Any, ...], list[Node]] = {}
    for node in graph.nodes:
        if node.timestep is None or node.op == "parameter" or not node.shape:
            continue
        own = node.scope[len(node.cell or ()) :]
        if (node.name and own) or (not node.is_leaf and (own or (node.name and not _enters(node)))):
            layer = graph.layers.get(node)
            inside.setdefault((layer, own, node.timestep), []).append(node)
    found: Values = {}
    for (layer, own, step), nodes in inside.items():
        named = [node for node in nodes if node.name]
        if graph.layers and layer is None and not named:  # what a module between the layers does
            continue
        seen: dict[str, int] = {}
        for node in named or nodes[-1:]:
            if node.value.dtype.kind != "f":
                continue
            name = node.name or ""
            seen[name] = again = seen.get(name, 0) + 1
            name += f" ({again})" if again > 1 else ""
            where = "" if layer is None else graph.layer_names[layer]
            key = (where, " / ".join(own), name)
            found.setdefault(key, {})[step] = to_host(node.value)
    return found


def _enters(node: Node) -> bool:
    """Whether a node is the step's slice of a sequence, x_t."""
    return node.op == "getitem" and node.inputs[0].timestep is None


# -------------------------------------------------------------------- running a model


def as_sequence(inputs: TensorLike) -> tuple[Tensor, bool]:
    """The inputs with a batch axis, and whether they had none."""
    x = as_tensor(inputs).detach()
    wanted = (1, 2) if x.dtype.kind in "iu" else (2, 3)
    if x.ndim not in wanted or 0 in x.shape:
        raise ValueError(
            "gate_activity: inputs must be integers (T,) or (B, T), or floats (T, F) or (B, T, F), "
            f"got {x.dtype} {x.shape}"
        )
    single = x.ndim == wanted[0]
    return (x.reshape(1, *x.shape) if single else x), single


def gates_by_piece(
    model: Any, x: Tensor, start: State, piece: int
) -> Iterator[tuple[Values, list[int]]]:
    """The gates of each piece of a sequence."""
    if piece < 1:
        raise ValueError(f"gate_activity: piece must be at least 1, got {piece}")
    total = x.shape[1]
    carried = None if start is None else map_state(lambda part: as_tensor(part).detach(), start)
    with _recording(model):
        for begin in range(0, total, piece):
            part = Tensor(Leaf(x.data[:, begin : begin + piece]))
            outputs, carried = _called(model, part, carried)
            graph = Graph(outputs, *[tensor for _, tensor in named_tensors(carried)])
            if total > piece and _runs_backwards(graph):
                raise ValueError(
                    "gate_activity: the model also reads backwards, so it cannot read piece by "
                    f"piece; piece={total} reads all at once"
                )
            steps = range(begin + 1, begin + part.shape[1] + 1)
            shifted = {
                key: {t + begin: value for t, value in values.items()}
                for key, values in gate_values(graph).items()
            }
            del graph, outputs
            carried = detach(carried)
            yield shifted, list(steps)


def _called(model: Any, x: Tensor, before: State) -> tuple[Tensor, State]:
    result = model(x, before)
    try:
        outputs, after = result
    except (TypeError, ValueError):
        after = outputs = None
    if not isinstance(outputs, Tensor) or after is None or isinstance(result, Tensor):
        raise TypeError(
            f"gate_activity: {type(model).__name__} gave {describe(result)}, expected (outputs, "
            "state). For a model that hands on no state give what it computed: "
            "gate_activity(model(x))"
        )
    return outputs, after


def _runs_backwards(graph: Graph) -> bool:
    """Whether some layer reads a later step before an earlier one."""
    latest: dict[int, int] = {}
    for node, layer in graph.layers.items():
        step = node.timestep or 0
        if step < latest.get(layer, step):
            return True
        latest[layer] = step
    return False


@contextmanager
def _recording(model: Any) -> Iterator[None]:
    """Record all that the model computes, dropout off: also of frozen weights, under no_grad."""
    known = isinstance(model, Module)
    frozen = [p.node for p in model.parameters() if not p.requires_grad] if known else []
    training = known and model.training
    try:
        for leaf in frozen:
            leaf.requires_grad = True
        if training:
            model.eval()
        with at(Place(watch=current.place.watch)):
            yield
    finally:
        for leaf in frozen:
            leaf.requires_grad = False
        if training:
            model.train()
