"""What the results of an analysis share: they read as arrays, and plot with matplotlib."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
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
