"""What the results of an analysis share: they read as arrays, and plot with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Numbers = np.ndarray[Any, np.dtype[Any]]


class Result:
    """Numbers with a plot: NumPy, indexing and ``.shape`` see the main array."""

    @property
    def main(self) -> Numbers:
        """The array that the result reads as."""
        raise NotImplementedError

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.main.shape
        return shape

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Numbers:
        return np.array(self.main, dtype=dtype) if copy else np.asarray(self.main, dtype=dtype)

    def __getitem__(self, index: Any) -> Any:
        return self.main[index]

    def __len__(self) -> int:
        return len(self.main)

    def plot(self) -> Figure:
        """A matplotlib figure: ``.plot().savefig("picture.png")``."""
        raise NotImplementedError


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that belongs to no window and no pyplot."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def logarithm(values: Numbers) -> Numbers:
    """log₁₀ where it is a number; the rest, zeros above all, is left blank in plots."""
    shown = np.isfinite(values) & (values > 0)
    return np.ma.masked_array(np.log10(values, where=shown, out=np.zeros(values.shape)), ~shown)


def heat_map(
    axes: Axes,
    values: Numbers,
    label: str,
    *,
    extent: tuple[float, float, float, float] | None = None,
    limits: tuple[float | None, float | None] = (None, None),
) -> None:
    """log₁₀ of a matrix as colours, with a colour bar; blank where it is zero or not finite."""
    low, high = limits
    image = axes.imshow(
        logarithm(values), aspect="auto", extent=extent, vmin=low, vmax=high, interpolation="none"
    )
    axes.figure.colorbar(image, ax=axes, label=label)


def whole_numbers(axes: Axes, *, x: bool = False, y: bool = False) -> None:
    """Tick an axis at integers only: time steps."""
    from matplotlib.ticker import MaxNLocator

    if x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if y:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
