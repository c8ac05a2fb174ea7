"""The guard as a GPU: the GPU backend itself, on arrays that obey CuPy's rules, with kernels."""

from __future__ import annotations

import itertools

import tinygradrnn_cupy
from device.kernels import RawKernel

from tinygradrnn.testing.arrays import GuardArray
from tinygradrnn.testing.functions import GuardFunctions


class Functions(GuardFunctions):
    """CuPy's functions as the guard has them, and its kernels."""

    RawKernel = RawKernel


FUNCTIONS = Functions()


class DoubleBackend(tinygradrnn_cupy.CuPyBackend):
    """What the GPU backend does, on the guard's arrays: so it has the guard's name."""

    name = "guard"
    device = "a stand-in for a GPU"

    def __init__(self) -> None:
        self.xp = FUNCTIONS
        self.array_type = GuardArray
        self._add_segments = add_segments

    def synchronize(self) -> None:
        """Return at once."""

    def memory_info(self) -> dict[str, int]:
        return {}


def add_segments(
    values: GuardArray, order: GuardArray, starts: GuardArray, width: int, target: GuardArray
) -> None:
    """What the backend's kernel computes."""
    rows = values._held.reshape(-1, width)[order._held]
    for row, (start, stop) in enumerate(itertools.pairwise(starts._held)):
        target._held[row * width : (row + 1) * width] += rows[start:stop].sum(0)
