"""Calls of a plan joined into compiled kernels, where Numba is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygradrnn.compiler.fused.cache import installed
from tinygradrnn.compiler.fused.joining import Joiner
from tinygradrnn.compiler.fused.reading import Call

__all__ = ["installed", "joined"]


def joined(
    calls: Sequence[Call], turns: Sequence[Sequence[int]]
) -> tuple[list[Call], list[int], Any]:
    """The calls with kernels in them.

    Returns
    -------
    calls, starts, keep
        For each of the calls that were given which of the new ones does it; arrays that must not
        go away as long as the new ones are used.
    """
    joiner = Joiner(calls)
    joiner.join(turns)
    return joiner.calls, joiner.starts, list(joiner.keep.values())
