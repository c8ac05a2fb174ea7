"""The error surface: the loss over two weights, or along two directions of all weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinygradrnn.analysis.plots import COLOURS, INK, MUTED, PALE, new_figure
from tinygradrnn.analysis.results import Numbers, Result
from tinygradrnn.arrays import TensorLike
from tinygradrnn.backend import backend_of
from tinygradrnn.gradients import grad
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

    def plot(
        self,
        kind: Literal["contour", "surface"] = "contour",
        log: bool = False,
        path: TensorLike = None,
    ) -> Figure:
        """Contours from above with a cross where the parameters stand, or the surface in 3-D.

        Parameters
        ----------
        kind : "contour" or "surface"
        log : bool
            log₁₀ of the loss: for surfaces with cliffs.
        path : (N + 1, 2), optional
            Points to join by a line, from a circle to a square: :func:`descent_path`.
        """
        if kind not in ("contour", "surface"):
            raise ValueError(f"kind must be 'contour' or 'surface', got {kind!r}")
        if path is not None:
            path = np.asarray(path, dtype="float64")
            if path.ndim != 2 or path.shape[1] != 2:
                raise ValueError(f"path must be points (N, 2) on the two axes, got {path.shape}")
        shown = np.isfinite(self.losses) & ((self.losses > 0) | (not log))
        values = np.where(shown, self.losses, np.nan)
        label = "loss $L$"
        if log:
            values, label = np.log10(values), r"$\log_{10} L$"
        figure = new_figure(7, 5.2)
        if kind == "surface":
            self._solid(figure, values, label)
        else:
            self._contours(figure, values, label, path)
        return figure

    def _solid(self, figure: Figure, values: Numbers, label: str) -> None:
        axes: Any = figure.add_subplot(projection="3d")
        grid = np.meshgrid(self.xs, self.ys)
        look = {"cmap": COLOURS, "edgecolor": INK, "linewidth": 0.15, "rcount": 60, "ccount": 60}
        solid = axes.plot_surface(*grid, values.T, **look)
        axes.set_xlabel(self.names[0], labelpad=8)
        axes.set_ylabel(self.names[1], labelpad=8)
        figure.colorbar(solid, ax=axes, label=label, shrink=0.7, pad=0.1)

    def _contours(self, figure: Figure, values: Numbers, label: str, path: Any) -> None:
        from matplotlib.patheffects import withStroke

        axes = figure.subplots()
        seen = np.ma.masked_invalid(values).T
        axes.set_facecolor(PALE)
        filled = axes.contourf(self.xs, self.ys, seen, levels=30, cmap=COLOURS)
        lines = axes.contour(self.xs, self.ys, seen, levels=8, colors=INK, linewidths=0.6)
        halo = [withStroke(linewidth=2.5, foreground="white")]
        for text in axes.clabel(lines, fontsize=7, fmt="%.3g"):
            text.set_path_effects(halo)  # type: ignore[arg-type]
        figure.colorbar(filled, ax=axes, label=label)
        strong: dict[str, Any] = {"color": INK, "path_effects": halo, "linestyle": "none"}
        axes.plot(*self.here, "+", markersize=13, markeredgewidth=2, label="here", **strong)
        if path is not None:
            along = {**strong, "linestyle": "-", "marker": "." if len(path) <= 200 else ""}
            axes.plot(*path.T, linewidth=1.2, markersize=4, label="descent", **along)
            edge: dict[str, Any] = {"markersize": 8, "markeredgecolor": INK, "linestyle": "none"}
            axes.plot(*path[0], marker="o", color="white", label="its start", **edge)
            axes.plot(*path[-1], marker="s", color=MUTED, label="its end", **edge)
        axes.legend(fontsize=8)
        axes.set(xlim=(min(self.xs), max(self.xs)), ylim=(min(self.ys), max(self.ys)))
        axes.set(xlabel=self.names[0], ylabel=self.names[1])


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
    losses = np.empty((len(xs), len(ys)))
    with _Moved(one, two) as moved, no_grad(), np.errstate(all="ignore"):
        for i, j in np.ndindex(losses.shape):
            moved.to(xs[i] - x, ys[j] - y)
            losses[i, j] = float(f())
    return LossSurface(losses, xs, ys, (x, y), (first_name, second_name))


def descent_path(
    f: Callable[[], Tensor],
    first: Direction,
    second: Direction,
    *,
    learning_rate: float,
    steps: int = 100,
    start: tuple[float, float] | None = None,
    clip: float | None = None,
) -> Numbers:
    """Where gradient descent on two coordinates goes: a path to lay over their loss surface.

    p ← p − η g, with p = (α, β) the two coordinates of :func:`loss_surface` and g = ∂L/∂p, or
    g · clip / ‖g‖ where ‖g‖ is above ``clip``: at a cliff the one step leaps out of the valley, the
    other one stays near it (note set 004, after Pascanu et al. 2013).

    Parameters
    ----------
    f, first, second
        As of :func:`loss_surface`; f must give a Tensor.
    learning_rate : float
        η.
    steps : int
    start : (float, float), optional
        Where to begin; by default where the parameters stand.
    clip : float, optional
        The largest norm of g.

    Returns
    -------
    ndarray (N + 1, 2)
        The points, N = ``steps`` or fewer: it ends where the loss or the gradient is not finite.
        The parameters are put back.
    """
    one, x, _ = _direction(first, "α")
    two, y, _ = _direction(second, "β")
    here = np.array([x, y])
    points = [np.array(here if start is None else start, dtype="float64")]
    leaves = list(dict.fromkeys([*one, *two]))
    with _Moved(one, two) as moved, np.errstate(all="ignore"):
        for _ in range(steps):
            moved.to(*(points[-1] - here))
            slopes = dict(zip(leaves, grad(f(), leaves), strict=True))
            g = np.array(
                [
                    sum(float((slopes[leaf].data * d).sum()) for leaf, d in direction.items())
                    for direction in (one, two)
                ]
            )
            size = np.linalg.norm(g)
            if not np.isfinite(size):
                break
            if clip is not None and size > clip:
                g *= clip / size
            points.append(points[-1] - learning_rate * g)
    return np.array(points)


class _Moved:
    """Parameters moved along two directions, and put back where they stood at the end."""

    def __init__(self, *directions: dict[Tensor, Array]) -> None:
        self.before = {tensor.node: tensor.data for one in directions for tensor in one}
        self.steps = [{tensor.node: d for tensor, d in one.items()} for one in directions]

    def to(self, *distances: float) -> None:
        """Go so far along each direction from where the parameters stood."""
        for leaf, before in self.before.items():
            moved = before
            for step, distance in zip(self.steps, distances, strict=True):
                if leaf in step:
                    moved = moved + float(distance) * step[leaf]
            leaf.value = backend_of(before).asarray(moved)

    def __enter__(self) -> _Moved:
        return self

    def __exit__(self, *exception: object) -> None:
        for leaf, before in self.before.items():
            leaf.value = before


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
