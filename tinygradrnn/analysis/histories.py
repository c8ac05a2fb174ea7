"""Gradients all through a training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from tinygradrnn.analysis.flows import GradientFlow, gradient_flow, short_layers
from tinygradrnn.analysis.plots import (
    explain_hatches,
    heat_map,
    label_lines,
    line_styles,
    log_scale,
    new_figure,
    tick_labels,
    whole_numbers,
)
from tinygradrnn.analysis.results import Numbers, Result
from tinygradrnn.tensors import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class GradientHistory(Result):
    """The gradient flow of every training step: norms by layer and time step, means by layer.

    Examples
    --------
    ``history = GradientHistory()``, then in the loop ``history.record(loss)`` beside
    ``loss.backward()`` and before ``optimizer.step()``; at the end ``history.plot()``. For networks
    without time, too: a seven-layer one shows its gradients shrink from layer to layer.

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

    def mean_absolute(self) -> dict[str, Numbers]:
        """For each layer of the model the mean of |∂L/∂θ| over its parameters, by loss (N,).

        Shown for a densely connected network of seven layers in note set 002.
        """
        rows = [flow.mean_absolute() for flow in self.flows]
        names = dict.fromkeys(name for row in rows for name in row)
        return {name: np.array([row.get(name, np.nan) for row in rows]) for name in names}

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

    def plot(self, over: Literal["training", "time"] = "training") -> Figure:
        """The mean absolute gradient of each layer, or the norms over the time steps too.

        Parameters
        ----------
        over : "training" or "time"
            "training": a line for each layer of the model, over the recorded losses. "time": for
            each layer that is used in time steps a heat map, training downwards, time to the right.
        """
        if over not in ("training", "time"):
            raise ValueError(f"GradientHistory: over must be 'training' or 'time', got {over!r}")
        if not self.flows:
            raise ValueError("GradientHistory: nothing recorded; record(loss) in the loop")
        return self._lines() if over == "training" else self._maps()

    def _lines(self) -> Figure:
        rows = self.mean_absolute()
        figure = new_figure(8, 4.5)
        axes = figure.subplots()
        recorded = np.arange(1, len(self.flows) + 1)
        names = short_layers(list(rows))
        styles = line_styles(len(rows), len(recorded))
        for name, row, style in zip(names, rows.values(), styles, strict=True):
            axes.plot(recorded, np.where(row > 0, row, np.nan), label=name or "model", **style)
        if any((row > 0).any() for row in rows.values()):
            axes.set_yscale("log")
        axes.set(
            xlabel="recorded loss",
            ylabel=r"mean of $|\partial L/\partial\theta|$ over the layer's $\theta$",
        )
        axes.margins(x=0.02)
        whole_numbers(axes, x=True)
        label_lines(axes)
        return figure

    def _maps(self) -> Figure:
        norms, layers = self.main, self.layers
        if not norms.size:
            raise ValueError(
                "GradientHistory: no parameter is read in a time step; plot('training') needs none"
            )
        figure = new_figure(2 + 3.2 * len(layers), 4)
        panels = figure.subplots(1, len(layers), squeeze=False, sharey=True)[0]
        scale = log_scale(norms)
        for position, (axes, name) in enumerate(zip(panels, short_layers(layers), strict=True)):
            image = heat_map(axes, norms[:, position], scale)
            axes.set(title=name or "model", xlabel="time step $t$")
            tick_labels(axes.xaxis, [str(t) for t in self.steps], most=12)
        tick_labels(panels[0].yaxis, [str(n + 1) for n in range(len(norms))], most=12)
        panels[0].set_ylabel("recorded loss")
        label = r"$\|\partial L/\partial\theta^{(t)}\|$, log scale"
        figure.colorbar(image, ax=list(panels), label=label)
        explain_hatches(figure, [norms], "the loss had no such step")
        return figure
