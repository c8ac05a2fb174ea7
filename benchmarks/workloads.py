"""What is measured: models of text by their sizes, with the same numbers for every peer.

Each is an embedding, recurrent layers, a linear layer and the mean softmax cross-entropy over all
places; a step is the forward pass, backpropagation through time and an update by SGD. All float32,
and the embedding is as wide as the hidden state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Shapes = dict[str, tuple[int, ...]]

RATE = 0.1  # of SGD
PERIODS = (1, 2, 4, 8)  # of the clockwork network
ALPHA = 0.95  # of the SCRN

# The weights of a cell with F inputs and H units, as row vectors multiply them from the left.
CELLS: dict[str, Callable[[int, int], Shapes]] = {
    "elman": lambda F, H: {"W_x": (F, H), "W_s": (H, H), "b": (H,)},
    "lstm": lambda F, H: {"W_x": (F, 4 * H), "W_h": (H, 4 * H), "b": (4 * H,)},
    "gru": lambda F, H: {"W_x": (F, 3 * H), "W_s": (H, 3 * H), "b": (3 * H,), "b_sg": (H,)},
    "peephole": lambda F, H: CELLS["lstm"](F, H) | {"p_i": (H,), "p_f": (H,), "p_o": (H,)},
    "clockwork": lambda F, H: CELLS["elman"](F, H),
    "scrn": lambda F, H: {
        "A": (F, H),
        "B": (F, H // 4),
        "P": (H // 4, H),
        "R": (H, H),
        "b": (H,),
    },
    "own": lambda F, H: {"W_f": (F + H, H), "W_g": (F + H, H)},
}
LIBRARY_CELLS = ("elman", "lstm", "gru")  # those that PyTorch has too


@dataclass(frozen=True)
class Workload:
    """A training step by its sizes: batch B, time steps T, hidden (and input) H, vocabulary V."""

    name: str
    cell: str
    B: int
    T: int
    H: int
    V: int = 96
    layers: int = 1
    bidirectional: bool = False

    @property
    def title(self) -> str:
        kind = {"own": "a user's cell", "gru": "GRU", "lstm": "LSTM", "scrn": "SCRN"}
        name = {"peephole": "peephole LSTM", "clockwork": "clockwork", "elman": "Elman"} | kind
        before = ("two-layer " if self.layers == 2 else "") + (
            "bidirectional " if self.bidirectional else ""
        )
        sizes = f"B={self.B} T={self.T} H={self.H} V={self.V}"
        return f"{before}{name[self.cell]} {sizes}"

    @property
    def directions(self) -> tuple[str, ...]:
        return ("forward", "backward") if self.bidirectional else ("forward",)

    def cells(self) -> list[tuple[str, int]]:
        """The cells, as the beginning of their weights' names and how many inputs they have."""
        inputs = [self.H] + [self.H * len(self.directions)] * (self.layers - 1)
        return [
            (f"{layer}.{direction}.", inputs[layer])
            for layer in range(self.layers)
            for direction in self.directions
        ]

    def weights(self) -> dict[str, Array]:
        """The initial weights, by name: "embedding", "0.forward.W_x" …, "out.W", "out.b"."""
        rng = np.random.default_rng(1)
        outputs = self.H * len(self.directions) + (self.H // 4 if self.cell == "scrn" else 0)
        bound = self.H**-0.5

        def draw(*shape: int) -> Array:
            return rng.uniform(-bound, bound, shape).astype(np.float32)

        made = {"embedding": rng.standard_normal((self.V, self.H)).astype(np.float32)}
        for prefix, inputs in self.cells():
            for name, shape in CELLS[self.cell](inputs, self.H).items():
                made[prefix + name] = draw(*shape)
        if self.cell == "clockwork":
            made["0.forward.W_s"] *= reads(self.H)
        return made | {"out.W": draw(outputs, self.V), "out.b": draw(self.V)}

    def data(self) -> tuple[Array, Array]:
        """Ids and targets (B, T)."""
        rng = np.random.default_rng(2)
        ids, targets = rng.integers(0, self.V, (2, self.B, self.T))
        return ids, targets


def reads(H: int) -> Array:
    """1 where a unit of the clockwork network (row) is read by another (column): slower ones."""
    block = np.arange(H) // (H // len(PERIODS))
    return (block[:, None] >= block).astype(np.float32)


MAIN = (
    Workload("W1", "elman", 1, 10, 16, V=20),
    Workload("W2", "lstm", 32, 64, 128),
    Workload("W3", "lstm", 64, 64, 512),
    Workload("W4a", "gru", 32, 128, 256),
    Workload("W4b", "lstm", 32, 64, 128, layers=2, bidirectional=True),
    Workload("W5", "elman", 1, 5000, 32),
)
OTHERS = (
    Workload("peephole", "peephole", 32, 64, 128),
    Workload("clockwork", "clockwork", 32, 64, 128),
    Workload("SCRN", "scrn", 32, 64, 128),
    Workload("own", "own", 32, 64, 128),
)
WORKLOADS = {workload.name: workload for workload in MAIN + OTHERS}
