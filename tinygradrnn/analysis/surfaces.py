"""The error surface: the loss over two weights, or along two directions of all weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinygradrnn.analysis.results import Numbers, Result, new_figure
from tinygradrnn.arrays import TensorLike
from tinygradrnn.backend import backend_of
from tinygradrnn.recording import Array, no_grad
from tinygradrnn.tensors import Tensor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Direction = Tensor | tuple[Tensor, Any] | Mapping[Tensor, TensorLike]


@dataclass(frozen=True, eq=False)
class LossSurface(Result):
    """The loss over a grid, see :func:`loss_surface`.

    Attributes
    ----------
    losses : ndarray (X, Y)
        ``losses[i, j]`` = f at ``xs[i]``, ``ys[j]``; infinite or NaN where f is, blank in the plot.
    xs, ys : ndarray (X,), (Y,)
    here : (float, float)
        Where the parameters stand.
    names : (str, str)
        Of the axes.
    """

    losses: Numbers
    xs: Numbers
    ys: Numbers
    here: tuple[float, float]
    names: tuple[str, str]

    @property
    def main(self) -> Numbers:
        return self.losses

    def plot(self, kind: Literal["contour", "surface"] = "contour", log: bool = False) -> Figure:
        """Contours from above with a cross where the parameters stand, or the surface in 3-D.

        Parameters
        ----------
        kind : "contour" or "surface"
        log : bool
            log₁₀ of the loss: for surfaces with cliffs.
        """
        if kind not in ("contour", "surface"):
            raise ValueError(f"kind must be 'contour' or 'surface', got {kind!r}")
        figure = new_figure(6, 5)
        shown = np.isfinite(self.losses) & ((self.losses > 0) | (not log))
        values = np.where(shown, self.losses, np.nan)
        label = "loss"
        if log:
            values, label = np.log10(values), r"$\log_{10}$ loss"
        labels = {"xlabel": self.names[0], "ylabel": self.names[1]}
        if kind == "surface":
            solid: Any = figure.add_subplot(projection="3d")
            solid.plot_surface(*np.meshgrid(self.xs, self.ys), values.T, cmap="viridis")
            solid.set(zlabel=label, **labels)
            return figure
        axes = figure.subplots()
        levels = axes.contourf(self.xs, self.ys, np.ma.masked_invalid(values).T, levels=30)
        figure.colorbar(levels, ax=axes, label=label)
        axes.plot(*self.here, "+", color="red", markersize=12, markeredgewidth=2)
        axes.set(xlim=(min(self.xs), max(self.xs)), ylim=(min(self.ys), max(self.ys)), **labels)
        return figure


def loss_surface(
    f: Callable[[], Tensor | float],
    first: Direction,
    second: Direction,
    xs: TensorLike = None,
    ys: TensorLike = None,
) -> LossSurface:
    """The loss along two axes through the place where the parameters stand.

    The error surface of a recurrent network is flat here and steep there (note set 004, after
    Pascanu et al. 2013): this shows the cliffs that clipping is for.

    Parameters
    ----------
    f : callable
        Takes nothing, computes the loss from parameters as they are.
    first, second : parameter, (parameter, index), or {parameter: direction}
        A single weight, whose values are ``xs`` (``ys``): ``(cell.W_s, (0, 1))``; the index may be
        left out for a parameter of one element. Or a direction d through any parameters θ, with
        ``xs`` (``ys``) the coefficients α of θ + α d.
    xs, ys : numbers, optional
        By default 41 from −1 to 1 around where the parameters stand.

    Returns
    -------
    LossSurface
        Reads as the array of losses (X, Y). The parameters are put back, and graphs that were
        recorded before stay valid.
    """
    one, x, first_name = _direction(first, "α")
    two, y, second_name = _direction(second, "β")
    along = np.linspace(-1, 1, 41)
    xs = x + along if xs is None else np.asarray(xs, dtype="float64")
    ys = y + along if ys is None else np.asarray(ys, dtype="float64")
    leaves = {tensor.node: tensor.data for tensor in (*one, *two)}
    steps = [{tensor.node: d for tensor, d in direction.items()} for direction in (one, two)]
    losses = np.empty((len(xs), len(ys)))
    try:
        with no_grad(), np.errstate(all="ignore"):
            for i, j in np.ndindex(losses.shape):
                for leaf, before in leaves.items():
                    moved = before
                    for step, distance in zip(steps, (xs[i] - x, ys[j] - y), strict=True):
                        if leaf in step:
                            moved = moved + float(distance) * step[leaf]
                    leaf.value = backend_of(before).asarray(moved)
                losses[i, j] = float(f())
    finally:
        for leaf, before in leaves.items():
            leaf.value = before
    return LossSurface(losses, xs, ys, (x, y), (first_name, second_name))


def _direction(axis: Direction, letter: str) -> tuple[dict[Tensor, Array], float, str]:
    """A direction through parameters, where they stand along it, and what the axis is called."""
    if isinstance(axis, Mapping):
        return {tensor: _array(tensor, d) for tensor, d in axis.items()}, 0.0, letter
    tensor, index = axis if isinstance(axis, tuple) else (axis, (0,) * axis.ndim)
    unit = np.zeros(tensor.shape)
    unit[index] = 1
    if unit.sum() != 1 or (isinstance(axis, Tensor) and axis.size != 1):
        raise ValueError(
            f"loss_surface: {tensor.node.describe()} has {tensor.size} elements; say which weight: "
            "(parameter, index), or give a direction {parameter: array}"
        )
    name = tensor.name or "w"
    if tensor.ndim:
        name += f"[{', '.join(map(str, np.atleast_1d(index)))}]"
    return {tensor: _array(tensor, unit)}, float(tensor.numpy()[index]), name


def _array(tensor: Tensor, values: TensorLike) -> Array:
    """A direction's values on the tensor's backend and in its dtype."""
    node = tensor.node
    direction = backend_of(node.value).asarray(np.asarray(values, dtype=node.value.dtype))
    if direction.shape != node.shape:
        raise ValueError(
            f"loss_surface: the direction for {node.describe()} has shape {direction.shape}"
        )
    return direction
