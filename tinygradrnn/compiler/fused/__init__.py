"""Calls of a plan joined into kernels: compiled by Numba where it is installed, or for a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygradrnn.compiler.fused.cache import installed
from tinygradrnn.compiler.fused.cuda import DeviceJoiner
from tinygradrnn.compiler.fused.host import HostJoiner
from tinygradrnn.compiler.fused.joining import Joiner
from tinygradrnn.compiler.fused.reading import Call
from tinygradrnn.compiler.fused.team import cores
from tinygradrnn.plugins import Backend

__all__ = ["installed", "joined"]


def joined(
    calls: Sequence[Call],
    turns: Sequence[Sequence[int]],
    backend: Backend | None = None,
    threads: int | None = None,
) -> tuple[list[Call], list[int], Any]:
    """The calls with kernels in them, of Numba or of the GPU that a backend is for.

    ``threads``: how many may work on a kernel of Numba; None: as many as there are cores.

    Returns
    -------
    calls, starts, keep
        For each of the calls that were given which of the new ones does it; arrays that must not
        go away as long as the new ones are used.
    """
    joiner: Joiner
    if backend is None or backend.xp is np:
        joiner = HostJoiner(calls, cores() if threads is None else threads)
    else:
        joiner = DeviceJoiner(calls, backend)
    joiner.join(turns)
    return joiner.calls, joiner.starts, list(joiner.keep.values())
