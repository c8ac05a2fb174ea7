"""How a state depends on the states before it: ∂s_t/∂s_{t−1}, their products, and their bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygradrnn import functional as F
from tinygradrnn.analysis.plots import (
    INK,
    MUTED,
    explain_hatches,
    heat_map,
    log_scale,
    new_figure,
    tick_labels,
    whole_numbers,
    write_numbers,
)
from tinygradrnn.analysis.results import Numbers, Result
from tinygradrnn.arrays import TensorLike
from tinygradrnn.backend import backend_of
from tinygradrnn.gradients import grad
from tinygradrnn.nn.cells import ElmanCell
from tinygradrnn.nn.cells.base import check_input, checked_state
from tinygradrnn.nn.states import State, map_state, named_tensors
from tinygradrnn.recording import Leaf, Place, at, no_grad, state
from tinygradrnn.tensors import Tensor, as_tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STEEPEST = {F.tanh: 1.0, F.sigmoid: 0.25, F.relu: 1.0, F.linear: 1.0}
"""sup |f′| of each activation."""


class GradientBound(float):
    """β_W β_f, a number that remembers its factors.

    Attributes
    ----------
    beta_W : float
        The spectral norm of W_s, its largest singular value.
    beta_f : float
        sup |f′|.
    """

    beta_W: float
    beta_f: float

    def __new__(cls, beta_W: float, beta_f: float) -> GradientBound:
        made = super().__new__(cls, beta_W * beta_f)
        made.beta_W, made.beta_f = beta_W, beta_f
        return made

    def __getnewargs__(self) -> tuple[float, float]:  # type: ignore[override]
        return self.beta_W, self.beta_f

    def __repr__(self) -> str:
        return (
            f"GradientBound({float(self):.6g}, beta_W={self.beta_W:.6g}, beta_f={self.beta_f:.6g})"
        )


@dataclass(frozen=True, eq=False)
class StateJacobians(Result):
    """∂s_t/∂s_{t−1} for t = 1…T, see :func:`state_jacobians`.

    Attributes
    ----------
    matrices : ndarray (B, T, D, D), or (T, D, D) of a single sequence
        ``matrices[…, t − 1, i, j]`` = ∂s_t[i]/∂s_{t−1}[j].
    """

    matrices: Numbers

    @property
    def main(self) -> Numbers:
        return self.matrices

    def product(self, t: int, k: int) -> Numbers:
        """∂s_t/∂s_k = ∂s_t/∂s_{t−1} … ∂s_{k+1}/∂s_k (B, D, D), for 0 ≤ k ≤ t ≤ T."""
        steps, size = self.matrices.shape[-3:-1]
        if not 0 <= k <= t <= steps:
            raise ValueError(f"product: t and k must be 0 ≤ k ≤ t ≤ T = {steps}, got {t} and {k}")
        product = np.broadcast_to(np.eye(size), (*self.matrices.shape[:-3], size, size))
        for step in range(k, t):
            product = self.matrices[..., step, :, :] @ product
        return product

    def singular_values(self) -> Numbers:
        """Those of each matrix, falling: (B, T, D)."""
        return np.linalg.svd(self.matrices, compute_uv=False)

    def plot(self) -> Figure:
        """The singular values of ∂s_t/∂s_{t−1} for each t; of a batch, all sequences."""
        figure = new_figure(7, 4)
        axes = figure.subplots()
        values = self.singular_values()
        values = values.reshape(-1, *values.shape[-2:])
        t = np.arange(1, values.shape[1] + 1)
        for sequence in values:
            axes.plot(t, sequence, "o", color="#8a93a8", markersize=2.5)
        axes.plot(t, values[..., 0].max(axis=0), "-s", color=INK, markersize=4, label="largest")
        axes.axhline(
            1, color=MUTED, linestyle="--", linewidth=1, label="1: neither grows nor falls"
        )
        axes.set(
            xlabel="time step $t$", ylabel=r"singular values of $\partial s_t/\partial s_{t-1}$"
        )
        axes.set_ylim(bottom=0)
        axes.legend()
        whole_numbers(axes, x=True)
        return figure


@dataclass(frozen=True, eq=False)
class JacobianProducts(Result):
    """‖∂s_t/∂s_k‖ for all pairs, see :func:`jacobian_products`.

    Attributes
    ----------
    norms : ndarray (B, T + 1, T + 1), or (T + 1, T + 1) of a single sequence
        ``norms[…, t, k]`` for t, k = 0…T: lower triangular, 1 on the diagonal.
    bound : GradientBound or None
        β_W β_f, for the cells that :func:`gradient_bound` takes.
    """

    norms: Numbers
    bound: GradientBound | None = None

    @property
    def main(self) -> Numbers:
        return self.norms

    def plot(self, bound: float | None = None) -> Figure:
        """The norms of all pairs k ≤ t, those of the bound beside them, and both against t − k.

        The two triangles have one scale of colours. Of a batch they show the largest norm.

        Parameters
        ----------
        bound : float, optional
            β_W β_f: :func:`gradient_bound` of the cell, or another number to compare with. By
            default that of the cell, where it has one.
        """
        bound = self.bound if bound is None else bound
        size = self.norms.shape[-1]
        norms = self.norms.reshape(-1, size, size)
        t, k = np.indices((size, size))
        above = k > t
        norm = r"\|\partial s_t/\partial s_k\|"
        triangles = [(f"measured: ${norm}$", norms.max(axis=0))]
        if bound is not None:
            with np.errstate(over="ignore"):
                powers = np.where(above, 0.0, float(bound) ** np.maximum(t - k, 0))
            triangles.append((r"bound: $(\beta_W \beta_f)^{t-k}$", powers))
        figure = new_figure(5 + 4.6 * len(triangles), 4.6)
        *left, right = figure.subplots(1, len(triangles) + 1)
        shown = [values[~above] for _, values in triangles]
        scale = log_scale(*shown)
        images = []
        for axes, (title, values) in zip(left, triangles, strict=True):
            images.append(heat_map(axes, values, scale, blank=above))
            axes.set_title(title, fontsize=10, loc="left")
            axes.set(xlabel="$k$", ylabel="$t$")
            for axis in (axes.xaxis, axes.yaxis):
                tick_labels(axis, [str(step) for step in range(size)], most=11)
        figure.colorbar(images[0], ax=left, label="norm, log scale")
        self._against_distance(right, norms, bound)
        explain_hatches(figure, shown, "not a number")
        for axes, image, (_, values) in zip(left, images, triangles, strict=True):
            write_numbers(axes, image, values, above)
        return figure

    def _against_distance(self, axes: Axes, norms: Numbers, bound: float | None) -> None:
        size = norms.shape[-1]
        t, k = np.tril_indices(size)
        pairs = norms[:, t, k]
        apart = np.broadcast_to(t - k, pairs.shape)
        kept = pairs > 0
        axes.plot(apart[kept], pairs[kept], "o", color="#8a93a8", markersize=3, label="a pair")
        if bound is not None:
            label = rf"$(\beta_W \beta_f)^{{t-k}}$, $\beta_W \beta_f$ = {float(bound):.4g}"
            with np.errstate(over="ignore"):
                powers = float(bound) ** np.arange(size)
            axes.plot(np.where(powers > 0, powers, np.nan), "--", color=INK, label=label)
        if not kept.all():
            none = np.unique(apart[~kept])
            rug = axes.get_xaxis_transform()
            label = "exactly 0"
            axes.plot(none, 0 * none + 0.02, "x", color=INK, transform=rug, label=label)
        axes.set_yscale("log")
        axes.set_title(
            r"$\|\partial s_t/\partial s_k\|$ against the distance", fontsize=10, loc="left"
        )
        axes.set_xlabel("$t - k$, steps")
        axes.legend(fontsize=8)
        whole_numbers(axes, x=True)


def state_jacobians(cell: Any, states: State, inputs: TensorLike) -> StateJacobians:
    """The Jacobian ∂s_t/∂s_{t−1} of every step, through the graph of ``cell.transition``.

    Entry [i, j] is ∂s_t[i]/∂s_{t−1}[j]. States are row vectors here: for an Elman cell, with
    a_t = x_t W_x + s_{t−1} W_s + b, the matrix is diag(f′(a_t)) W_sᵀ. Note set 003 has column
    vectors and writes diag(f′(a_t)) W_s; its W_s is the transpose of ours, and the matrix is the
    same one. (Note set 001 has f inside, h_t = W f(h_{t−1}) + …: there it is W diag(f′(h_{t−1})).)

    A state that is a tuple counts as the concatenation of its parts in order, for an LSTM [h, c];
    parts that are not floats (a count of steps) are left out.

    Parameters
    ----------
    cell : Cell
        Any, as long as the sequences of a batch do not influence each other.
    states : state, None, or list of states
        s_0, or None for the cell's own: the cell then runs over the inputs. Or the list of states
        s_0…s_{T−1} that enter the steps (s_T may follow), whatever made them.
    inputs : (B, T, F), a list of T tensors (B, F); or (T, F), a list of T tensors (F,)
        x_1…x_T. Without B: a single sequence, whose results have no B either (its states do: 1).

    Returns
    -------
    StateJacobians
        Reads as the array (B, T, D, D).
    """
    matrices, single = _matrices(cell, states, inputs)
    return StateJacobians(matrices[0] if single else matrices)


def jacobian_products(cell: Any, states: State, inputs: TensorLike) -> JacobianProducts:
    """The spectral norm of ∂s_t/∂s_k = Π_{j=k+1…t} ∂s_j/∂s_{j−1} for all 0 ≤ k ≤ t ≤ T.

    The inner chain of note sets 001 and 003: where it vanishes with t − k, the error at t tells
    step k nothing; where it explodes, training does (Bengio et al. 1994, Pascanu et al. 2013).

    Parameters
    ----------
    cell, states, inputs
        As of :func:`state_jacobians`.

    Returns
    -------
    JacobianProducts
        Reads as the array of norms (B, T + 1, T + 1), ``norms[…, t, k]``.
    """
    matrices, single = _matrices(cell, states, inputs)
    batch, steps, size, _ = matrices.shape
    norms = np.zeros((batch, steps + 1, steps + 1))
    norms[:, 0, 0] = 1
    identity = np.broadcast_to(np.eye(size), (batch, 1, size, size))
    row = identity  # ∂s_t/∂s_k for k = 0…t
    for t in range(1, steps + 1):
        row = np.concatenate([matrices[:, t - 1, None] @ row, identity], axis=1)
        norms[:, t, : t + 1] = np.linalg.norm(row, 2, axis=(-2, -1))
    bound = gradient_bound(cell) if _is_elman(cell) else None
    return JacobianProducts(norms[0] if single else norms, bound)


def gradient_bound(cell: Any) -> GradientBound:
    """β_W β_f, with which ‖∂s_t/∂s_k‖ ≤ (β_W β_f)^(t−k) (note set 001).

    β_W = ‖W_s‖, the spectral norm, and β_f = sup |f′|: 1 for tanh, ReLU and linear, 1/4 for the
    sigmoid. Below 1 gradients vanish; above 1 they may explode, and need not.

    Parameters
    ----------
    cell : ElmanCell or IRNNCell
        In the notes' other form, h_t = W f(h_{t−1}) + …, the two factors stand in the other order
        and the bound is the same. Gated cells have no such bound: TypeError.

    Returns
    -------
    GradientBound
        A float, with ``.beta_W`` and ``.beta_f``.
    """
    if not _is_elman(cell):
        raise TypeError(
            f"gradient_bound: (β_W β_f)^(t − k) holds for ElmanCell and IRNNCell, whose step is "
            f"f(x W_x + s W_s + b), not for {type(cell).__name__}; measure with jacobian_products"
        )
    weight = cell.W_s.numpy().astype("float64")
    return GradientBound(float(np.linalg.norm(weight, 2)), STEEPEST[cell.activation])


def _is_elman(cell: Any) -> bool:
    return getattr(type(cell), "transition", None) is ElmanCell.transition


def _matrices(cell: Any, states: State, inputs: TensorLike) -> tuple[Numbers, bool]:
    """The Jacobians (B, T, D, D), and whether the inputs were a single sequence."""
    if isinstance(inputs, Sequence) and inputs and hasattr(inputs[0], "shape"):
        inputs = F.stack(inputs, axis=-2)
    x = as_tensor(inputs).detach()
    single = x.ndim == 2
    if single:
        x = x.reshape(1, *x.shape)
    check_input(cell, x, ("B", "T", "F"))
    with at(Place(watch=state.place.watch)):  # recording, also inside no_grad()
        found = [
            _step_jacobian(cell, entering, F.unstacked(x, t, axis=1))
            for t, entering in enumerate(_entering(cell, states, x))
        ]
    return np.stack(found, axis=1), single


@no_grad()
def _entering(cell: Any, states: State, x: Tensor) -> list[State]:
    """The states s_0…s_{T−1}: those given, or those that the cell comes through."""
    batch, steps = x.shape[:2]
    if not isinstance(states, list):
        found = [checked_state(cell, states, batch)]
        for t in range(steps - 1):
            found.append(cell.transition(found[-1], F.unstacked(x, t, axis=1)))
        return found
    if len(states) not in (steps, steps + 1):
        raise ValueError(
            f"states: {len(states)} states for {steps} inputs; give s_0…s_{{T−1}} (s_T may "
            "follow), or only s_0"
        )
    return [checked_state(cell, given, batch) for given in states[:steps]]


def _step_jacobian(cell: Any, before: State, x: Tensor) -> Numbers:
    """∂s_t/∂s_{t−1} (B, D, D); one walk for each i gives row i of every sequence at once."""
    leaves: list[Tensor] = []

    def cut(part: Tensor) -> Tensor:
        if part.dtype.kind != "f":
            return part
        leaves.append(Tensor(Leaf(part.data, requires_grad=True)))
        return leaves[-1]

    after = _flat(cell.transition(map_state(cut, before), x))
    sizes = [leaf.size // leaf.shape[0] for leaf in leaves]
    batch, size = after.shape
    jacobian = np.zeros((batch, size, sum(sizes)), after.dtype)
    if not after.requires_grad:
        return jacobian
    backend = backend_of(after.data)
    ends = np.cumsum([0, *sizes])
    for i in range(size):
        seed = np.zeros((batch, size), after.dtype)
        seed[:, i] = 1
        rows = grad(after, leaves, backend.asarray(seed))
        for (start, end), row in zip(pairwise(ends), rows, strict=True):
            jacobian[:, i, start:end] = row.numpy().reshape(batch, -1)
    return jacobian


def _flat(whole: State) -> Tensor:
    """The floating parts of a state side by side: (B, D)."""
    parts = [part for _, part in named_tensors(whole) if part.dtype.kind == "f"]
    return F.concatenate([part.reshape(part.shape[0], -1) for part in parts], axis=1)
