"""Graph: the explicit graph behind some tensors, to look at and to walk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import starmap, takewhile
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn.backend import backend_of
from tinygradrnn.gradients import ancestors, seed_of, walk
from tinygradrnn.ledgers import ArrayLedger, dense
from tinygradrnn.recording import Array, Leaf, Node
from tinygradrnn.tensors import Tensor

Family = tuple[Any, ...]


class ForwardEvent(NamedTuple):
    """One operation computing its value."""

    node: Node
    inputs: tuple[np.ndarray[Any, Any], ...]
    value: np.ndarray[Any, Any]


class BackwardEvent(NamedTuple):
    """One node handing its gradient on.

    Attributes
    ----------
    node : Node
    gradient : ndarray
        ∂L/∂node, complete: every reader has sent its term.
    sent : tuple of ndarray or None
        The term sent to each input, of the input's shape; None where no gradient flows. Empty for
        a leaf.
    """

    node: Node
    gradient: np.ndarray[Any, Any]
    sent: tuple[np.ndarray[Any, Any] | None, ...]


class Graph:
    """The graph that the outputs were computed by, as it was recorded.

    Parameters
    ----------
    *outputs : Tensor
        For example the loss.

    Attributes
    ----------
    nodes : list of Node
        In recorded order, inputs before readers, leaves included.
    outputs : tuple of Node
    """

    def __init__(self, *outputs: Tensor) -> None:
        if not outputs:
            raise TypeError("Graph needs at least one tensor, for example Graph(loss)")
        for output in outputs:
            if not isinstance(output, Tensor):
                raise TypeError(f"Graph is made of tensors, got a {type(output).__name__}")
        self._tensors = outputs
        self.outputs = tuple([output.node for output in outputs])
        self.nodes = ancestors(self.outputs, all_nodes=True)

    def __repr__(self) -> str:
        steps = f", {len(self.timesteps)} time steps" if self.timesteps else ""
        return f"<Graph of {len(self.nodes)} nodes, {len(self.parameters)} parameters{steps}>"

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters by name: its own where that is unique, else its path in the model.

        A path begins with the :meth:`owner`.
        """
        leaves = [node for node in self.nodes if isinstance(node, Leaf) and node.op == "parameter"]
        short = [leaf.name or "" for leaf in leaves]
        named: dict[str, Tensor] = {}
        for position, (leaf, name) in enumerate(zip(leaves, short, strict=True), 1):
            held = leaf.handle
            tensor = Tensor(leaf) if held is None else held
            if not name:
                name = f"parameter {position}"
            elif short.count(name) > 1:
                name = getattr(tensor, "path", None) or f"{self.owner(tensor)}.{name}".lstrip(".")
            unique, again = name, 2
            while unique in named:
                unique, again = f"{name} ({again})", again + 1
            named[unique] = tensor
        return named

    def owner(self, parameter: Tensor) -> str:
        """The path of the module that a parameter belongs to, ``"rnn.layers.0.cell"``, or "".

        A model that is gone leaves what its nodes tell: the recurrent layer, or the scopes, that
        read the parameter.
        """
        leaf = parameter.node
        if isinstance(leaf, Leaf) and leaf.handle is not None:
            return (getattr(leaf.handle, "path", None) or "").rpartition(".")[0]
        readers = self.readers[leaf]
        layers = {self.layers.get(reader) for reader in readers}
        if len(layers) == 1 and (layer := layers.pop()) is not None:
            return self.layer_names[layer]
        return ".".join(_shared([reader.scope for reader in readers]))

    @cached_property
    def timesteps(self) -> list[int]:
        """The labels of the time steps, ascending."""
        return sorted({node.timestep for node in self.nodes if node.timestep is not None})

    @cached_property
    def readers(self) -> dict[Node, list[Node]]:
        """Which nodes read a node, in recorded order, once for each time they do."""
        found: dict[Node, list[Node]] = {node: [] for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                found[source].append(node)
        return found

    def uses(self, parameter: Tensor) -> list[Node]:
        """The nodes that read a parameter, in time order (those outside any step first)."""
        readers = self.readers.get(parameter.node)
        if readers is None:
            raise ValueError(f"{parameter.node.describe()} is not in this graph")
        return sorted(
            dict.fromkeys(readers),
            key=lambda node: (-1 if node.timestep is None else node.timestep, node.order),
        )

    @cached_property
    def layers(self) -> dict[Node, int]:
        """For each node of a recurrent layer's time step which layer it is, counted from 0."""
        return recurrent_layers(self.nodes)

    @cached_property
    def layer_names(self) -> tuple[str, ...]:
        """The recurrent layers by the path of their cell in the model, ``"rnn.layers.0.cell"``.

        Where its weights have no path, the scopes that it ran in, or else the type of the cell;
        numbered where it runs again.
        """
        paths: list[list[str]] = []
        for node, layer in self.layers.items():
            while len(paths) <= layer:
                paths.append([])
            for source in node.inputs:
                held = source.handle if isinstance(source, Leaf) else None
                if path := getattr(held, "path", None):
                    paths[layer].append(path)
        cells = {layer: node.cell or () for node, layer in self.layers.items()}
        names = []
        for layer, found in enumerate(paths):
            *scopes, kind = cells[layer]
            modules = [path.split(".")[:-1] for path in found]
            names.append(".".join(_shared(modules) or ([*scopes, "cell"] if scopes else [kind])))
        return tuple(
            name if name not in names[:n] else f"{name} ({names[:n].count(name) + 1})"
            for n, name in enumerate(names)
        )

    @cached_property
    def families(self) -> dict[Node, Family]:
        """For each node the place in the program that makes its like at every time step.

        Forward: (scope, operation, which one within the step). Backward: (family of the forward
        node, argument, which one within the rule).
        """
        counted: dict[tuple[Any, ...], int] = {}
        found: dict[Node, Family] = {}
        for node in self.nodes:
            origin = node.place.origin
            if origin is None:
                family: Family = (node.scope, node.op)
                step: Any = node.timestep
            else:
                source, argument = origin
                family = (found.get(source, (source.scope, source.op)), argument, node.op)
                step = source.order
            ordinal = counted.get((family, step), 0)
            counted[family, step] = ordinal + 1
            found[node] = (*family, ordinal)
        return found

    def contributions(self, parameter: Tensor) -> dict[int | None, np.ndarray[Any, Any]]:
        """The term that each time step adds to ∂L/∂parameter.

        BPTT sums over the steps t at which the shared parameter was used:
        ∂L/∂W = Σ_t ∂L/∂W⁽ᵗ⁾, where W⁽ᵗ⁾ is the copy read at step t (note sets 001 and 003).

        Parameters
        ----------
        parameter : Tensor
            A leaf of this graph that requires a gradient.

        Returns
        -------
        dict of int or None to ndarray
            By time step, ascending; None: uses outside any step. The sum is the gradient.

        Raises
        ------
        StaleGraphError
            If a parameter was changed after the graph was recorded.
        """
        leaf = parameter.node
        if leaf not in self.readers:
            raise ValueError(f"contributions: {leaf.describe()} is not in this graph")
        if not leaf.requires_grad:
            raise ValueError(f"contributions: {leaf.describe()} does not require a gradient")
        sums: dict[int | None, Array] = {}
        for node, _, sent in self._walk([leaf]):
            for source, term in zip(node.inputs, sent, strict=False):
                if source is leaf and term is not None:
                    part = dense(term, leaf)
                    step = node.timestep
                    sums[step] = sums[step] + part if step in sums else part
        ordered = sorted(sums, key=lambda step: -1 if step is None else step)
        backend = backend_of(leaf.value)
        dtype = leaf.value.dtype
        return {s: np.array(backend.to_numpy(sums[s]), dtype=dtype) for s in ordered}

    def forward_events(self) -> Iterator[ForwardEvent]:
        """The operations in the order in which they computed, with copies of their values."""
        for node in self.nodes:
            if not node.is_leaf:
                yield ForwardEvent(node, tuple(map(_host, node.inputs)), _host(node))

    def backward_events(self) -> Iterator[BackwardEvent]:
        """The very walk that ``backward()`` runs, from the loss to the leaves.

        Raises
        ------
        ValueError
            Unless the graph has one output, a single number.
        """
        return starmap(event_of, self._walk(None))

    def _walk(self, towards: list[Node] | None) -> Iterator[tuple[Node, Any, list[Any]]]:
        if len(self._tensors) != 1:
            raise ValueError(
                f"gradients start from one loss, this graph has {len(self._tensors)} outputs"
            )
        loss = self._tensors[0]
        seed = seed_of(loss, None, "the backward walk").data
        return walk({loss.node: seed}, ArrayLedger(), towards)


def to_host(array: Array) -> np.ndarray[Any, Any]:
    """A copy as a NumPy array."""
    return np.array(backend_of(array).to_numpy(array))


def event_of(node: Node, gradient: Any, sent: Sequence[Any]) -> BackwardEvent:
    """What the backward walk yields, with copies of arrays; of a recorded one the values."""
    terms = [
        None if term is None else to_host(dense(term, source))
        for source, term in zip(node.inputs, sent, strict=False)
    ]
    return BackwardEvent(node, to_host(gradient), tuple(terms))


def _host(node: Node) -> np.ndarray[Any, Any]:
    return to_host(node.value) if hasattr(node.value, "shape") else np.asarray(node.value)


def recurrent_layers(nodes: Iterable[Node]) -> dict[Node, int]:
    """Number the recurrent layers, for each node in one: a cell that starts over is another one.

    Parameters
    ----------
    nodes : iterable of Node
        In recorded order.
    """
    found: dict[Node, int] = {}
    latest: dict[tuple[str, ...], tuple[int, set[int], int]] = {}
    count = 0
    for node in nodes:
        cell, label = node.cell, node.timestep
        if cell is None or label is None:
            continue
        current, visited, layer = latest.get(cell, (label, set(), -1))
        if layer < 0 or (label != current and label in visited):
            visited, layer = set(), count
            count += 1
        visited.add(label)
        latest[cell] = (label, visited, layer)
        found[node] = layer
    return found


def _shared(names: Sequence[Sequence[str]]) -> list[str]:
    """What several sequences begin with."""
    alike = takewhile(lambda parts: len(set(parts)) == 1, zip(*names, strict=False))
    return [parts[0] for parts in alike]
