"""The GPU backend of tinygradrnn: CuPy 14 or newer.

CuPy keeps NumPy's names and meanings, so an operation written on `xp` runs on both. A comment
that starts with "CuPy:" marks each place where this backend must do what NumPy does by itself.
CuPy is imported when the backend is asked for, never with this module.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygradrnn_cupy.diagnosis import diagnose, not_installed

if TYPE_CHECKING:
    from tinygradrnn.backend import Backend

__all__ = ["CuPyBackend", "diagnose"]


class CuPyBackend:
    """CuPy arrays on the current NVIDIA GPU; the members are described in `Backend`.

    Raises
    ------
    BackendUnavailableError
        If the GPU is visible but a first kernel does not compile or run.
    """

    protocol = 1
    name = "cupy"

    def __init__(self) -> None:
        self.xp: Any = _import_cupy()
        self.array_type: type = self.xp.ndarray
        try:
            self._add_segments = self.xp.ElementwiseKernel(*ADD_SEGMENTS)
            # CuPy: kernels compile at the first call and fail asynchronously, so try one and wait.
            (self.xp.zeros(1, dtype="float32") + 1).get()
        except Exception as error:
            raise _unavailable(diagnose(self.xp, error)) from error

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.device}>"

    @property
    def device(self) -> str:
        runtime = self.xp.cuda.runtime
        number = runtime.getDevice()
        return f"{runtime.getDeviceProperties(number)['name'].decode()} (GPU {number})"

    @staticmethod
    def available() -> tuple[bool, str]:
        if find_spec("cupy") is None:
            return False, not_installed()
        cupy = _import_cupy()
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            return False, diagnose(cupy, error)
        return True, f"CuPy {cupy.__version__}, {count} visible GPU{'s' if count > 1 else ''}"

    def asarray(self, data: Any, dtype: Any = None) -> Any:
        return self.xp.asarray(data, dtype)

    def to_numpy(self, array: Any) -> np.ndarray:
        # CuPy: np.asarray(array) raises, the copy to the host must be explicit; it synchronises.
        return np.asarray(self.xp.asnumpy(array))

    def scatter_add(self, target: Any, index: Any, values: Any) -> None:
        xp = self.xp
        # CuPy: index arrays should be on the GPU; ids that a data set holds on the host are not.
        entries = tuple(
            xp.asarray(entry) if isinstance(entry, np.ndarray | list) else entry
            for entry in (index if isinstance(index, tuple) else (index,))
        )
        arrays = [entry for entry in entries if isinstance(entry, xp.ndarray)]
        if all(entry.dtype == bool for entry in arrays):
            target[entries] += values
            return
        if len(entries) == 1:
            rows = xp.arange(target.shape[0])[entries]
            shape = rows.shape + target.shape[1:]
        else:
            rows = xp.arange(target.size).reshape(target.shape)[entries]
            shape = rows.shape
        terms = xp.broadcast_to(xp.asarray(values, target.dtype), shape)
        if terms.size:
            self._add_rows(target, rows, terms)

    def synchronize(self) -> None:
        # CuPy: kernels run asynchronously, and an error in one surfaces only at a later call.
        self.xp.cuda.Device().synchronize()

    def memory_info(self) -> dict[str, int]:
        """Return what arrays use, what CuPy's pool holds, and what the GPU has free and in all."""
        pool = self.xp.get_default_memory_pool()
        free, total = self.xp.cuda.runtime.memGetInfo()
        return {
            "used": pool.used_bytes(),
            "held": pool.total_bytes(),
            "free": free,
            "total": total,
        }

    def _add_rows(self, target: Any, rows: Any, terms: Any) -> None:
        """Add `terms` to rows of the target, which is seen as rows as long as a term.

        CuPy: ``add.at`` adds by atomics, so its order, and with it the rounding, differs from run
        to run. Here a stable sort brings the terms of a row together, and one thread per number
        sums its terms in that order. Nothing waits for the GPU.
        """
        xp = self.xp
        width = prod(terms.shape[rows.ndim :])
        rows = rows.reshape(-1)
        order = xp.argsort(rows)
        starts = xp.searchsorted(rows[order], xp.arange(target.size // width + 1))
        # CuPy: results need not be in C order, and a reshape of such an array would be a copy.
        total = target if target.flags.c_contiguous else xp.zeros(target.shape, target.dtype)
        self._add_segments(xp.ascontiguousarray(terms), order, starts, width, total.reshape(-1))
        if total is not target:
            target += total


ADD_SEGMENTS = (
    "raw T values, raw int64 order, raw int64 starts, int64 width",
    "T target",
    """
    long long row = i / width, column = i % width;
    T sum = T(0);
    for (long long k = starts[row]; k < starts[row + 1]; ++k)
        sum = sum + values[order[k] * width + column];
    target = target + sum;
    """,
    "tinygradrnn_add_segments",
)
KERNELS = (ADD_SEGMENTS,)  # all that are written by hand: a test compiles them without a GPU


def _import_cupy() -> Any:
    try:
        return import_module("cupy")
    except ImportError as error:
        raise _unavailable(
            f"CuPy is installed but does not import ({error}). Reinstall it."
        ) from error


def _unavailable(reason: str) -> Exception:
    from tinygradrnn.backend import BackendUnavailableError

    return BackendUnavailableError(reason)


if TYPE_CHECKING:
    _conforms: type[Backend] = CuPyBackend
