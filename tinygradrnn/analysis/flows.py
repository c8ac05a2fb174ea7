"""How much gradient reaches each parameter at each time step, once or all through a training."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygradrnn.analysis.results import (
    Numbers,
    Result,
    heat_map,
    logarithm,
    new_figure,
    whole_numbers,
)
from tinygradrnn.backend import backend_of
from tinygradrnn.gradients import seed_of, walk
from tinygradrnn.graph import Graph
from tinygradrnn.ledgers import ArrayLedger, dense
from tinygradrnn.recording import Array, Node
from tinygradrnn.tensors import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Use = tuple[Node, int | None]  # a parameter and a time step


@dataclass(frozen=True, eq=False)
class GradientFlow(Result):
    """The norms of ∂L/∂W⁽ᵗ⁾ for each parameter W and time step t, see :func:`gradient_flow`.

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
    outside : ndarray (P,)
        The same for what is used outside any time step.
    totals : ndarray (P,)
        ‖∂L/∂W‖, the norm of the sum over all steps.
    """

    parameters: tuple[str, ...]
    layers: tuple[str, ...]
    steps: tuple[int, ...]
    norms: Numbers
    outside: Numbers
    totals: Numbers

    @property
    def main(self) -> Numbers:
        return self.norms

    def by_layer(self) -> dict[str, Numbers]:
        """For each layer the joint norm of its parameters at each time step (T,)."""
        rows: dict[str, list[Numbers]] = {}
        for layer, row in zip(self.layers, self.norms, strict=True):
            rows.setdefault(layer, []).append(row)
        return {layer: np.linalg.norm(several, axis=0) for layer, several in rows.items()}

    def plot(self) -> Figure:
        """A line over the time steps for each parameter that is used in them."""
        figure = new_figure(7, 4)
        axes = figure.subplots()
        for name, row in zip(self.parameters, self.norms, strict=True):
            if row.any():
                axes.plot(self.steps, np.where(row > 0, row, np.nan), ".-", label=name)
        if axes.lines:
            axes.set_yscale("log")
            axes.legend()
        axes.set(xlabel="$t$", ylabel=r"$\|\partial L/\partial W^{(t)}\|$")
        whole_numbers(axes, x=True)
        return figure


def gradient_flow(loss: Tensor) -> GradientFlow:
    """The norm of what every time step adds to the gradient of every parameter.

    ∂L/∂W = Σ_t ∂L/∂W⁽ᵗ⁾ (note sets 001 and 003): where the norms fall towards the first steps the
    gradient vanishes, where they grow it explodes. One backward walk for all parameters; ``.grad``
    is not touched.

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
    sums: dict[Use, Array] = {}
    norms: dict[Use, float] = {}
    totals = dict.fromkeys(names, 0.0)
    seed = seed_of(loss, None, "gradient_flow").data
    for node, gradient, sent in walk({loss.node: seed}, ArrayLedger(), list(names)):
        if node in totals:
            totals[node] = _norm(gradient)
        for source, term in zip(node.inputs, sent, strict=False):
            if source not in names:
                continue
            use = (source, node.timestep)
            if term is not None:
                part = dense(term, source.shape)
                sums[use] = sums[use] + part if use in sums else part
            awaited[use] -= 1
            if not awaited[use] and use in sums:  # complete: keep the norm, let the array go
                norms[use] = _norm(sums.pop(use))
    norms |= {use: _norm(total) for use, total in sums.items()}
    return GradientFlow(
        tuple(names.values()),
        tuple([_layer(p) for p in graph.parameters.values() if p.requires_grad]),
        tuple(graph.timesteps),
        np.array([[norms.get((leaf, t), 0.0) for t in graph.timesteps] for leaf in names]),
        np.array([norms.get((leaf, None), 0.0) for leaf in names]),
        np.array(list(totals.values())),
    )


class GradientHistory(Result):
    """The gradient flow of every training step: norms by layer and time step.

    Examples
    --------
    ``history = GradientHistory()``, then in the loop ``history.record(loss)`` beside
    ``loss.backward()`` and before ``optimizer.step()``; at the end ``history.plot()``.

    Attributes
    ----------
    flows : list of GradientFlow
        One for each recorded loss.
    """

    def __init__(self) -> None:
        self.flows: list[GradientFlow] = []

    def record(self, loss: Tensor) -> GradientFlow:
        """Measure the gradient flow of a loss and keep it."""
        self.flows.append(gradient_flow(loss))
        return self.flows[-1]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that have a parameter in a time step, in the order of the model."""
        found = dict.fromkeys(
            layer for flow in self.flows for layer, row in flow.by_layer().items() if row.any()
        )
        return tuple(found)

    @property
    def steps(self) -> tuple[int, ...]:
        """The labels of all time steps."""
        return tuple(sorted({step for flow in self.flows for step in flow.steps}))

    @property
    def main(self) -> Numbers:
        """The norms (N, L, T) by recorded loss, layer, time step; NaN for a step it had not."""
        layers, steps = self.layers, self.steps
        norms = np.full((len(self.flows), len(layers), len(steps)), np.nan)
        for flow, row in zip(self.flows, norms, strict=True):
            columns = [steps.index(step) for step in flow.steps]
            for layer, values in flow.by_layer().items():
                if layer in layers:
                    row[layers.index(layer), columns] = values
        return norms

    def plot(self) -> Figure:
        """For each layer a heat map: training downwards, time steps to the right."""
        norms = self.main
        if not norms.size:
            raise ValueError("GradientHistory: nothing recorded in any time step; record(loss)")
        figure = new_figure(1 + 4 * len(self.layers), 4)
        shown = logarithm(norms)
        for position, (axes, layer) in enumerate(
            zip(figure.subplots(1, len(self.layers), squeeze=False)[0], self.layers, strict=True)
        ):
            heat_map(
                axes,
                norms[:, position],
                r"$\log_{10} \|\partial L/\partial\theta^{(t)}\|$",
                extent=(self.steps[0] - 0.5, self.steps[-1] + 0.5, len(norms) + 0.5, 0.5),
                limits=(shown.min(), shown.max()),
            )
            axes.set(title=layer or "model", xlabel="$t$", ylabel="recorded loss")
            whole_numbers(axes, x=True, y=True)
        return figure


def _norm(array: Array) -> float:
    xp = backend_of(array).xp
    return float(xp.sqrt(xp.multiply(array, array, dtype="float64").sum()))


def _layer(parameter: Tensor) -> str:
    path: Any = getattr(parameter, "path", None) or ""
    return str(path.rpartition(".")[0])
