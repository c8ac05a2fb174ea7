"""The reference backend of tinygradrnn: NumPy on the CPU."""

from __future__ import annotations

import sys
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from tinygradrnn.backend import Backend

__all__ = ["NumPyBackend"]

# glibc gives free memory back to the system, and each training step takes it again, page by page.
# Once it has freed an array of this size (never touched), it keeps what is free up to twice that.
np.empty(2**25 - 2**14, np.uint8)


class NumPyBackend:
    """NumPy arrays in the memory of this machine; the members are described in `Backend`."""

    protocol = 1
    name = "numpy"
    xp: Any = np
    array_type: type = np.ndarray
    device = "cpu"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.device}>"

    @staticmethod
    def available() -> tuple[bool, str]:
        return True, f"NumPy {np.__version__} on the CPU"

    def asarray(self, data: Any, dtype: Any = None) -> np.ndarray:
        return np.asarray(data, dtype)

    def to_numpy(self, array: np.ndarray) -> np.ndarray:
        return np.asarray(array)

    def scatter_add(self, target: np.ndarray, index: Any, values: Any) -> None:
        entries = index if isinstance(index, tuple) else (index,)
        if not any(_may_repeat(entry) for entry in entries):
            target[index] += values
        elif len(entries) == 1 and target.ndim > 1 and target.flags.c_contiguous:
            _add_rows(target, entries[0], values)
        else:
            np.add.at(target, index, values)

    def synchronize(self) -> None:
        """Return at once: NumPy has done its work when a call returns."""

    def memory_info(self) -> dict[str, int]:
        """Return ``{"peak": …}``, the largest resident size so far, where the system tells it."""
        if sys.platform == "win32":
            return {}
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit}


def _may_repeat(entry: Any) -> bool:
    """Tell an array or list of integers from slices, single integers and masks."""
    return isinstance(entry, np.ndarray | list) and np.asarray(entry).dtype != bool


def _add_rows(target: np.ndarray, ids: Any, values: Any) -> None:
    """Add to whole rows, the gradient of an embedding.

    ``np.add.at`` is three to four times as fast on flat positions as on rows, and sorting first is
    faster still where there are many values for each row of the target. A product with a one-hot
    matrix is so too for a few dozen rows, but spreads one NaN over all of them.
    """
    rows = np.arange(target.shape[0])[ids]  # negative ids counted from the end, bounds checked
    width = prod(target.shape[1:])
    if np.shape(values) != (shape := rows.shape + target.shape[1:]):
        values = np.broadcast_to(values, shape)
    if width >= 64 and rows.size >= 32 * target.shape[0]:
        order = np.argsort(rows, axis=None, kind="stable")
        ends = np.searchsorted(rows.reshape(-1)[order], np.arange(target.shape[0] + 1))
        values = values.reshape(-1, *target.shape[1:])
        for row, (start, end) in enumerate(pairwise(ends)):
            if start < end:
                target[row] += values[order[start:end]].sum(axis=0)
        return
    positions = rows.reshape(-1, 1) * width + np.arange(width)
    np.add.at(target.reshape(-1), positions.reshape(-1), values.reshape(-1))


if TYPE_CHECKING:
    _conforms: type[Backend] = NumPyBackend
