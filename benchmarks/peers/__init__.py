"""Who is measured: a name for each row of a table, and the module that does the steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from workloads import CELLS, LIBRARY_CELLS, Array, Workload


class Peer(Protocol):
    """One way to do the steps of a workload; made from the workload."""

    def reset(self) -> None:
        """Take the initial weights again."""

    def step(self) -> float:
        """Do a training step, and give its loss."""

    def gradients(self) -> dict[str, Array]:
        """Those of the step just done, the first one, named and shaped as ``Workload.weights``."""

    def matrices(self) -> dict[str, Array]:
        """The weights of two axes as they are now: do the updates arrive?"""


@dataclass(frozen=True)
class Row:
    """A peer as it stands in the tables.

    Attributes
    ----------
    label : str
    module, maker : str
        In this package.
    options : dict
        For the maker, beside the workload.
    needs : str
        The package that has to be installed.
    cells : tuple of str
        Those that it can do.
    one_way : bool
        It goes through time from left to right, and cannot do both directions.
    timed : bool
        It takes turns with the others; else only its memory is measured.
    """

    label: str
    module: str
    maker: str
    options: dict[str, Any] = field(default_factory=dict)
    needs: str = "numpy"
    cells: tuple[str, ...] = tuple(CELLS)
    one_way: bool = False
    timed: bool = True

    @property
    def installed(self) -> bool:
        return find_spec(self.needs) is not None

    def does(self, workload: Workload) -> bool:
        return workload.cell in self.cells and not (self.one_way and workload.bidirectional)

    def load(self) -> Callable[[Workload], Peer]:
        """Import all that it needs; what is returned makes it for a workload."""
        import_module(self.needs)
        maker = getattr(import_module(f"peers.{self.module}"), self.maker)
        return lambda workload: maker(workload, **self.options)


LOOPS = {"module": "pytorch_loops", "maker": "Loop", "needs": "torch"}
OURS = {"module": "ours", "maker": "Compiled"}
NO_FOLD = {"without": ("fold_embedding", "fold_bias")}

# The first that is there is what the others' gradients are compared with.
ROWS: dict[str, Row] = {
    "layer": Row("PyTorch nn.RNN/LSTM/GRU", "pytorch", "Layer", needs="torch", cells=LIBRARY_CELLS),
    "loop": Row("PyTorch loop, inputs projected at once", options={"hoisted": True}, **LOOPS),
    "cells": Row("PyTorch loop of nn.*Cell", "pytorch", "CellLoop", {}, "torch", LIBRARY_CELLS),
    "primitives": Row("PyTorch loop of primitives", options={"hoisted": False}, **LOOPS),
    "explicit": Row("tinygradrnn explicit", "ours", "Explicit"),
    "recomputed": Row(
        "tinygradrnn explicit, √T segments recomputed",
        "ours",
        "Recomputed",
        one_way=True,
        timed=False,
    ),
    "compiled": Row("tinygradrnn compiled", **OURS),
    "compiled-nofold": Row("tinygradrnn compiled, no embedding fold", options=NO_FOLD, **OURS),
    "fast": Row("tinygradrnn compiled, Numba", options={"fast": True}, needs="numba", **OURS),
    "fast-nofold": Row(
        "tinygradrnn compiled, Numba, no embedding fold",
        options={"fast": True, **NO_FOLD},
        needs="numba",
        **OURS,
    ),
    "tape": Row("a minimal tape over NumPy", "tape", "Tape"),
    "hand": Row("NumPy by hand", "by_hand", "Elman", cells=("elman",)),
    "jax": Row("JAX jit, scan", "jax_scan", "Scan", {}, "jax", LIBRARY_CELLS),
    "autograd": Row("HIPS autograd", "hips", "Loop", {}, "autograd", LIBRARY_CELLS),
}

ON_GPU = {"module": "pytorch", "needs": "torch", "cells": ("lstm", "gru")}

# Those of benchmarks/gpu.py: ours on the backend that the environment names.
GPU_ROWS: dict[str, Row] = {
    "gpu-layer": Row("PyTorch nn.LSTM/GRU (cuDNN)", maker="Layer", **ON_GPU),
    "gpu-cells": Row("PyTorch loop of nn.*Cell", maker="CellLoop", **ON_GPU),
    "gpu-explicit": Row("tinygradrnn explicit", "ours", "Explicit"),
    "gpu-compiled": Row("tinygradrnn compiled, no kernels", options={"fast": False}, **OURS),
    "gpu-fused": Row("tinygradrnn compiled", options={"fast": None}, **OURS),
}
ALL = ROWS | GPU_ROWS
