"""The double sum of BPTT, item by item: what the loss at step t sends to the use at step k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinygradrnn import functional as F
from tinygradrnn.analysis.plots import (
    explain_hatches,
    heat_map,
    new_figure,
    tick_labels,
    write_numbers,
)
from tinygradrnn.analysis.results import Numbers, Result
from tinygradrnn.graph import Graph
from tinygradrnn.tensors import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class ContributionTable(Result):
    """The terms of ∂L/∂W = Σ_t Σ_k term(t, k), see :func:`contribution_table`.

    Attributes
    ----------
    terms : ndarray (T, K, …)
        ``terms[t − 1, k − 1]`` = term(t, k), of the parameter's shape.
    norms : ndarray (T, K)
        ‖term(t, k)‖.
    reached : ndarray of bool (T, K)
        Whether L_t depends on the use at k at all: a norm of 0 may be a term of exactly 0, or none.
    steps : tuple of int or None
        The labels k of the columns, ascending; a first one of None: uses outside any time step.
    name : str
        Of the parameter.
    """

    terms: Numbers
    norms: Numbers
    reached: Numbers
    steps: tuple[int | None, ...]
    name: str

    @property
    def main(self) -> Numbers:
        return self.norms

    @property
    def per_loss(self) -> Numbers:
        """∂L_t/∂W = Σ_k term(t, k) for each t: the sums of the rows."""
        return np.asarray(self.terms.sum(axis=1))

    @property
    def per_step(self) -> Numbers:
        """Σ_t term(t, k) for each k: the sums of the columns, the contributions to ∂L/∂W."""
        return np.asarray(self.terms.sum(axis=0))

    @property
    def total(self) -> Numbers:
        """∂L/∂W for L = Σ_t L_t."""
        return np.asarray(self.terms.sum(axis=(0, 1)))

    def plot(self) -> Figure:
        """The norms as a heat map, losses downwards, uses to the right; blank where no term is."""
        rows, columns = self.norms.shape
        figure = new_figure(
            min(3.5 + 0.45 * max(columns, 6), 12), min(2.5 + 0.35 * max(rows, 6), 10)
        )
        axes = figure.subplots()
        image = heat_map(axes, self.norms, blank=~self.reached)
        axes.set(title=f"terms of ∂L/∂{self.name}", xlabel="$k$, the use", ylabel="$t$, the loss")
        tick_labels(axes.xaxis, ["outside" if k is None else str(k) for k in self.steps])
        tick_labels(axes.yaxis, [str(t + 1) for t in range(rows)])
        figure.colorbar(image, ax=axes, label=r"$\|\mathrm{term}(t, k)\|$, log scale")
        explain_hatches(figure, [self.norms[self.reached]], "not a number")
        write_numbers(axes, image, self.norms, ~self.reached)
        return figure


def contribution_table(losses: Sequence[Tensor] | Tensor, parameter: Tensor) -> ContributionTable:
    """Every term of the double sum ∂L/∂W = Σ_t ∂L_t/∂W, ∂L_t/∂W = Σ_k term(t, k).

    term(t, k) = ∂L_t/∂ŷ_t · ∂ŷ_t/∂s_t · ∂s_t/∂s_k · ∂s_k/∂W, where ∂s_k/∂W holds s_{k−1} fixed
    (note sets 001 and 003): what the loss at step t sends to the weight's use at step k. One
    backward walk for each loss.

    Parameters
    ----------
    losses : sequence of T Tensors, or a Tensor (T,)
        L_1…L_T, each a single number, of one graph. In a layer that reads forward, term(t, k) is 0
        for k > t: the table is lower triangular.
    parameter : Tensor
        A leaf that requires a gradient, for example ``cell.W_s``.

    Returns
    -------
    ContributionTable
        Reads as the array of norms (T, K); ``.terms`` holds the terms.
    """
    if isinstance(losses, Tensor):
        losses = F.unstack(losses)
    if not losses:
        raise ValueError("contribution_table: give at least one loss")
    leaf = parameter.node
    rows = [
        graph.contributions(parameter) if leaf in graph.readers else {}
        for graph in map(Graph, losses)
    ]
    if not any(rows):
        raise ValueError(f"contribution_table: no loss depends on {leaf.describe()}")
    found = {step for row in rows for step in row}
    steps = tuple(sorted(found, key=lambda step: -1 if step is None else step))
    nothing = np.zeros(leaf.shape, leaf.value.dtype)
    terms = np.array([[row.get(step, nothing) for step in steps] for row in rows])
    norms = np.linalg.norm(terms.reshape(*terms.shape[:2], -1).astype("float64"), axis=-1)
    reached = np.array([[step in row for step in steps] for row in rows])
    return ContributionTable(terms, norms, reached, steps, leaf.name or "W")
