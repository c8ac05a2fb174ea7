"""Products of matrices, NumPy's and PyTorch's: what no framework above them can change.

python benchmarks/products.py numpy     # in this process; prints JSON
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from libraries import Libraries
from results import table

# Of the workloads: a step forward, a step backward, and the inputs of 32 steps at once.
SHAPES = {
    "W2, h W": (32, 128, 512),
    "W2, δ Wᵀ": (32, 512, 128),
    "W2, 32 steps": (1024, 128, 512),
    "W3, h W": (64, 512, 2048),
    "W3, δ Wᵀ": (64, 2048, 512),
    "W3, 32 steps": (2048, 512, 2048),
}
LABELS = {"numpy": "NumPy", "torch": "PyTorch"}
SECONDS, ROUNDS = 0.03, 4


class Products(Libraries):
    """Billions of multiplications and additions in a second."""

    name, heading = "products", "Products"
    script, labels, better = __file__, LABELS, max

    def text(self) -> str:
        """A row for each shape."""
        if not self.found:
            return ""
        rows = [
            [
                name,
                " × ".join(map(str, shape)),
                *(f"{rates[name]:.0f}" for rates in self.found.values()),
            ]
            for name, shape in SHAPES.items()
        ]
        head = ["product", "rows × inner × columns", *(LABELS[name] for name in self.found)]
        return "\n\n".join(
            [
                "Gflop/s of the products that the workloads consist of, float32, each library in a "
                "process of its own with as many threads as the peers.",
                table(head, rows),
            ]
        )


def rates(library: str) -> dict[str, float]:
    """Gflop/s of each product in this process, the best of some rounds."""
    product, random = functions_of(library)
    found = {}
    for name, (rows, inner, columns) in SHAPES.items():
        x, y = (
            random(rows, inner),
            random(columns, inner) if "ᵀ" in name else random(inner, columns),
        )
        y = y.T if "ᵀ" in name else y
        work = 2e-9 * rows * inner * columns
        times = max(1, int(SECONDS * 100 / work))  # at 100 Gflop/s
        best = 0.0
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for _ in range(times):
                product(x, y)
            best = max(best, times * work / (time.perf_counter() - start))
        found[name] = best
    return found


def functions_of(library: str) -> tuple[Any, Any]:
    """The product, and random matrices."""
    if library == "numpy":
        import numpy as np

        rng = np.random.default_rng(0)
        return np.matmul, lambda *shape: rng.standard_normal(shape, np.float32)
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    return torch.mm, torch.randn


if __name__ == "__main__":
    print(json.dumps(rates(sys.argv[1])))
