"""The simplest recurrence, y ← w · y, which shows all that can go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinygradrnn.analysis.plots import line_styles, new_figure
from tinygradrnn.analysis.results import Numbers, Result
from tinygradrnn.graph import Graph
from tinygradrnn.recording import timestep
from tinygradrnn.tensors import Tensor, tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class ScalarRecurrence(Result):
    """The unrolled recurrence y_t = w · y_{t−1}, see :func:`scalar_recurrence`.

    Attributes
    ----------
    y : ndarray (T + 1,)
        y_0…y_T.
    terms : ndarray (T,)
        What each step adds to ∂y_T/∂w; all are y_0 w^(T−1), whatever their step.
    w, output : Tensor
        The weight, and y_T with its graph, to be drawn or differentiated again.
    """

    y: Numbers
    terms: Numbers
    w: Tensor
    output: Tensor

    @property
    def main(self) -> Numbers:
        return self.y

    @property
    def gradient(self) -> float:
        """∂y_T/∂w = T w^(T−1) y_0."""
        return float(self.terms.sum())

    def plot(self, *others: ScalarRecurrence) -> Figure:
        """|y_t| over t, down to 1e-10, and that of other recurrences for comparison."""
        figure = new_figure(7, 4)
        axes = figure.subplots()
        styles = line_styles(1 + len(others), len(self.y))
        for each, style in zip((self, *others), styles, strict=True):
            size = np.abs(each.y)
            label = rf"w = {each.w.item():g}, $\partial y_T/\partial w$ = {each.gradient:.4g}"
            axes.plot(np.where(size > 1e-10, size, np.nan), label=label, **style)
        axes.set(xlabel="$t$", ylabel="$|y_t|$", yscale="log")
        axes.legend()
        return figure


def scalar_recurrence(w: float, steps: int = 1000, y_0: float = 1.0) -> ScalarRecurrence:
    """Unroll y ← w · y as a graph, in float64.

    After 1000 steps from 1 (note set 004): 1 for w = 1, 20959.16 for 1.01, 4.317e-5 for 0.99, and
    0 for 0.01. The gradient 1000 w^999 changes as much: no learning rate suits all of these w.

    Parameters
    ----------
    w : float
    steps : int
        T, at least 1.
    y_0 : float

    Returns
    -------
    ScalarRecurrence
        Reads as the array y_0…y_T.
    """
    if steps < 1:
        raise ValueError(f"scalar_recurrence: steps must be at least 1, got {steps}")
    weight = tensor(np.float64(w), requires_grad=True, name="w")
    output = tensor(np.float64(y_0), name="y")
    values = [output.item()]
    for t in range(1, steps + 1):
        with timestep(t):
            output = weight * output
        output.name = "y"
        values.append(output.item())
    terms = Graph(output).contributions(weight).values()
    return ScalarRecurrence(np.array(values), np.array(list(terms)), weight, output)
