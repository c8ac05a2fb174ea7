"""How much gradient reaches each state and each parameter at each time step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygradrnn.analysis.plots import (
    explain_hatches,
    heat_map,
    log_scale,
    new_figure,
    tick_labels,
    write_numbers,
)
from tinygradrnn.analysis.results import Numbers, Result
from tinygradrnn.backend import backend_of
from tinygradrnn.gradients import seed_of, walk
from tinygradrnn.graph import Graph
from tinygradrnn.ledgers import ArrayLedger, dense
from tinygradrnn.recording import Array, Node
from tinygradrnn.tensors import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Use = tuple[Node, int | None]  # a parameter and a time step
StateKey = tuple[int | None, Any]  # a recurrent layer, and which of its states


@dataclass(frozen=True, eq=False)
class GradientFlow(Result):
    """The norms of ∂L/∂W⁽ᵗ⁾ and of ∂L/∂s_t for each time step t, see :func:`gradient_flow`.

    Attributes
    ----------
    parameters : tuple of str
        Their names, as in ``Graph.parameters``.
    layers : tuple of str
        For each parameter the path of the module that holds it, ``"rnn.cell"``; "" if none does.
    steps : tuple of int
        The labels of the time steps, ascending.
    norms : ndarray (P, T)
        ‖∂L/∂W⁽ᵗ⁾‖, with W⁽ᵗ⁾ the copy of W that step t read; 0 where t did not read it.
    reached : ndarray of bool (P, T)
        Whether any gradient came to W⁽ᵗ⁾: what is 0 here may be a gradient of exactly 0, or none.
    outside : ndarray (P,)
        The norms for what is used outside any time step.
    totals : ndarray (P,)
        ‖∂L/∂W‖, the norm of the sum over all steps.
    absolute : ndarray (P,)
        The mean of |∂L/∂W| over the elements of W.
    sizes : tuple of int
        The number of elements of each parameter.
    states : tuple of str
        The states that one step hands to the next, ``"h"``, ``"c"``.
    state_layers : tuple of str
        For each of them its recurrent layer, as in ``Graph.layer_names``.
    state_norms : ndarray (S, T)
        ‖∂L/∂s_t‖, over all elements of the batch; NaN where no gradient comes to s_t.
    """

    parameters: tuple[str, ...]
    layers: tuple[str, ...]
    steps: tuple[int, ...]
    norms: Numbers
    reached: Numbers
    outside: Numbers
    totals: Numbers
    absolute: Numbers
    sizes: tuple[int, ...]
    states: tuple[str, ...]
    state_layers: tuple[str, ...]
    state_norms: Numbers

    @property
    def main(self) -> Numbers:
        return self.norms

    def by_layer(self) -> dict[str, Numbers]:
        """For each layer the joint norm of its parameters at each time step (T,)."""
        rows: dict[str, list[Numbers]] = {}
        for layer, row in zip(self.layers, self.norms, strict=True):
            rows.setdefault(layer, []).append(row)
        return {layer: np.linalg.norm(several, axis=0) for layer, several in rows.items()}

    def mean_absolute(self) -> dict[str, float]:
        """For each layer the mean of |∂L/∂θ| over all elements θ of its parameters."""
        sums: dict[str, float] = {}
        for layer, mean, size in zip(self.layers, self.absolute, self.sizes, strict=True):
            sums[layer] = sums.get(layer, 0.0) + mean * size
        counts: Counter[str] = Counter()
        for layer, size in zip(self.layers, self.sizes, strict=True):
            counts[layer] += size
        return {layer: total / counts[layer] for layer, total in sums.items()}

    def plot(self) -> Figure:
        """Two heat maps over the time steps: of the states, and of the parameters they use.

        Both have one logarithmic scale; lower layers stand lower. What is exactly 0 and what no
        gradient reaches is hatched.
        """
        used = [n for n, row in enumerate(self.reached) if row.any()]
        if not used and not self.states:
            raise ValueError(
                "GradientFlow: no parameter is read in a time step, so there is nothing to plot "
                "over time; .totals holds the norms of the whole gradients"
            )
        panels = [
            (
                r"states, $\|\partial L/\partial s_t\|$",
                _titles(self.state_layers, self.states),
                self.state_norms,
            ),
            (
                r"parameters, $\|\partial L/\partial W^{(t)}\|$",
                _titles([self.layers[n] for n in used], [self.parameters[n] for n in used]),
                np.where(self.reached, self.norms, np.nan)[used],
            ),
        ]
        panels = [panel for panel in panels if len(panel[1])]
        rows = [len(names) for _, names, _ in panels]
        size = (min(14.0, 3.5 + 0.5 * max(len(self.steps), 5)), 1.6 + 0.3 * sum(rows))
        figure = new_figure(size[0], min(size[1] + 0.5 * len(rows), 14.0))
        columns = figure.subplots(len(rows), 1, sharex=True, squeeze=False, height_ratios=rows)
        shown = [values for *_, values in panels]
        scale = log_scale(*shown)
        images = []
        for axes, (title, names, values) in zip(columns[:, 0], panels, strict=True):
            images.append(heat_map(axes, values, scale, origin="lower"))
            axes.set_title(title, fontsize=10, loc="left")
            tick_labels(axes.yaxis, names, most=60, fontsize=9)
        tick_labels(axes.xaxis, [str(t) for t in self.steps])
        axes.set_xlabel("time step $t$")
        figure.colorbar(images[-1], ax=list(columns[:, 0]), label="norm, log scale")
        explain_hatches(figure, shown, "no gradient arrives")
        for axes, image, values in zip(columns[:, 0], images, shown, strict=True):
            write_numbers(axes, image, values)
        return figure


def gradient_flow(loss: Tensor) -> GradientFlow:
    """The norm of what every time step adds to the gradient of every parameter, and of ∂L/∂s_t.

    ∂L/∂W = Σ_t ∂L/∂W⁽ᵗ⁾ (note sets 001 and 003): where the norms fall towards the first steps the
    gradient vanishes, where they grow it explodes. One backward walk for everything; ``.grad`` is
    not touched.

    A state is what a time step computes and another step of the same layer reads.

    Parameters
    ----------
    loss : Tensor
        A single number.

    Returns
    -------
    GradientFlow
        Reads as the array of norms (P, T).
    """
    graph = Graph(loss)
    names = {p.node: name for name, p in graph.parameters.items() if p.requires_grad}
    awaited = Counter(
        (source, node.timestep) for node in graph.nodes for source in node.inputs if source in names
    )
    states = _states(graph)
    watched = {node for found in states.values() for node in found.values()}
    sums: dict[Use, Array] = {}
    norms: dict[Use, float] = {}
    of_node: dict[Node, float] = {}
    absolute = dict.fromkeys(names, 0.0)
    seed = seed_of(loss, None, "gradient_flow").data
    for node, gradient, sent in walk({loss.node: seed}, ArrayLedger(), [*names, *watched]):
        if node in names or node in watched:
            of_node[node] = _norm(gradient)
        if node in names:
            absolute[node] = float(abs(gradient).mean(dtype="float64"))
        for source, term in zip(node.inputs, sent, strict=False):
            if source not in names:
                continue
            use = (source, node.timestep)
            if term is not None:
                part = dense(term, source)
                sums[use] = sums[use] + part if use in sums else part
            awaited[use] -= 1
            if not awaited[use] and use in sums:  # complete: keep the norm, let the array go
                norms[use] = _norm(sums.pop(use))
    norms |= {use: _norm(total) for use, total in sums.items()}
    steps = graph.timesteps
    layers = ["" if layer is None else graph.layer_names[layer] for layer, _ in states]
    return GradientFlow(
        tuple(names.values()),
        tuple([graph.owner(p) for p in graph.parameters.values() if p.requires_grad]),
        tuple(steps),
        np.array([[norms.get((leaf, t), 0.0) for t in steps] for leaf in names]),
        np.array([[(leaf, t) in norms for t in steps] for leaf in names], dtype=bool),
        np.array([norms.get((leaf, None), 0.0) for leaf in names]),
        np.array([of_node.get(leaf, 0.0) for leaf in names]),
        np.array(list(absolute.values())),
        tuple([leaf.value.size for leaf in names]),
        tuple([_state_name(key, found) for key, found in states.items()]),
        tuple(layers),
        np.array([[_at(of_node, found.get(t)) for t in steps] for found in states.values()]),
    )


def _states(graph: Graph) -> dict[StateKey, dict[int, Node]]:
    """The states of every recurrent layer, at each step that computes them."""

    def key(node: Node) -> StateKey:
        return graph.layers.get(node), node.name or graph.families[node]

    carried = {
        key(source): dict[int, Node]()
        for node in graph.nodes
        for source in node.inputs
        if None not in (node.timestep, source.timestep)
        and node.timestep != source.timestep
        and source.shape  # a running total of the losses is no state
        and not source.is_leaf
        and graph.layers.get(source) == graph.layers.get(node)
    }
    for node in graph.nodes:
        if node.timestep is not None and not node.is_leaf and key(node) in carried:
            carried[key(node)][node.timestep] = node
    return carried


def _state_name(key: StateKey, found: dict[int, Node]) -> str:
    return next((node.name for node in found.values() if node.name), "s")


def _at(norms: dict[Node, float], node: Node | None) -> float:
    return np.nan if node is None else norms.get(node, np.nan)


def _titles(layers: Sequence[str], names: Sequence[str]) -> list[str]:
    """What the rows are called: the name, and before it what tells its layer from the others."""
    own = [name.removeprefix(f"{layer}.") for layer, name in zip(layers, names, strict=True)]
    return [
        f"{layer}  {name}".strip() for layer, name in zip(short_layers(layers), own, strict=True)
    ]


def short_layers(layers: Sequence[str]) -> list[str]:
    """Paths of layers without what they all have in common: ``layers.1 →`` of a bidirectional one.

    A word stays with the number behind it.
    """
    paths = [layer.split(".") for layer in layers]
    while len({path[0] for path in paths if path}) == 1 and all(len(p) > 1 for p in paths):
        if paths[0][1].isdigit() and len({path[1] for path in paths}) > 1:
            break
        paths = [path[1:] for path in paths]
    if len({tuple(path) for path in paths}) == 1:
        return ["" for _ in paths]
    arrows = {"forward_rnn": "→", "backward_rnn": "←"}
    kept = [[part for part in path if part != "cell"] for path in paths]
    words = [".".join(part for part in path if part not in arrows) for path in kept]
    ways = ["".join(arrows.get(part, "") for part in path) for path in kept]
    return [f"{word} {way}".strip() for word, way in zip(words, ways, strict=True)]


def _norm(array: Array) -> float:
    xp = backend_of(array).xp
    return float(xp.sqrt(xp.multiply(array, array, dtype="float64").sum()))
