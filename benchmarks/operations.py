"""What one operation costs, recorded and differentiated, beside a minimal tape and PyTorch.

python benchmarks/operations.py ours     # in this process; prints JSON
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from libraries import TURNS, Libraries
from results import table

LENGTH, ROUNDS = 1000, 12  # of a chain; chains of each kind
SHAPE = (1, 16)
LABELS = {"ours": "tinygradrnn", "tape": "a minimal tape", "torch": "PyTorch"}

# One link of a chain: from the value before, a vector c and a matrix W, all of which get gradients.
LINKS: dict[str, Callable[[Any, Any, Any, Any], Any]] = {
    "x + c": lambda maths, x, c, W: x + c,
    "x ⊙ c": lambda maths, x, c, W: x * c,
    "x @ W": lambda maths, x, c, W: x @ W,
    "1 − x": lambda maths, x, c, W: 1 - x,
    "tanh x": lambda maths, x, c, W: maths.tanh(x),
    "σ(x)": lambda maths, x, c, W: maths.sigmoid(x),
}


class Maths(NamedTuple):
    """How a library makes a value that gets a gradient, and goes back from one."""

    value: Callable[[Any], Any]
    backward: Callable[[Any], None]
    tanh: Callable[[Any], Any]
    sigmoid: Callable[[Any], Any]


class Operations(Libraries):
    """Microseconds of an operation, forward and backward."""

    name, heading = "operations", "Operations"
    script, labels, better = __file__, LABELS, min

    def text(self) -> str:
        """A row for each operation."""
        if not self.found:
            return ""
        rows = []
        for link in LINKS:
            cells = [link]
            for name, times in self.found.items():
                forward, backward = times[f"{link} forward"], times[f"{link} backward"]
                cells.append(f"{forward:.2f} + {backward:.2f}")
                if name != "ours":
                    ours = self.found["ours"]
                    both = ours[f"{link} forward"] + ours[f"{link} backward"]
                    cells.append(f"{both / (forward + backward):.2f}")
            rows.append(cells)
        head = ["operation"]
        for name in self.found:
            head += [LABELS[name], *([] if name == "ours" else ["ours / its"])]
        return "\n\n".join(
            [
                f"Microseconds of one operation, forward + backward, in a chain of {LENGTH:,} on "
                f"arrays of shape {SHAPE}, float32; the least of {TURNS} × {ROUNDS} chains, each "
                "library in a process of its own. Vectors and matrices get gradients, too.",
                table(head, rows),
            ]
        )


def costs(library: str) -> dict[str, float]:
    """Microseconds of each operation in this process."""
    maths = maths_of(library)
    rng = np.random.default_rng(0)
    vector = rng.choice([-1, 1], SHAPE).astype(np.float32)  # no power of it is large, or small
    orthogonal = np.linalg.qr(rng.standard_normal((SHAPE[1], SHAPE[1])))[0].astype(np.float32)
    found: dict[str, float] = {}
    for name, link in LINKS.items():
        times = []
        for _ in range(ROUNDS):
            x, c, W = maths.value(vector), maths.value(vector), maths.value(orthogonal)
            start = time.perf_counter()
            for _ in range(LENGTH):
                x = link(maths, x, c, W)
            middle = time.perf_counter()
            maths.backward(x)
            times.append((middle - start, time.perf_counter() - middle))
        for column, what in enumerate(("forward", "backward")):
            found[f"{name} {what}"] = min(pair[column] for pair in times) / LENGTH * 1e6
    return found


def maths_of(library: str) -> Maths:
    """The operations of a library."""
    if library == "tape":
        tape = import_module("peers.tape")
        return Maths(tape.Value, tape.backward, tape.tanh, tape.sigmoid)
    if library == "ours":
        import tinygradrnn as tg
        from tinygradrnn import functional as F

        def ours(array: Any) -> Any:
            return tg.tensor(array, requires_grad=True)

        return Maths(ours, lambda x: x.backward(np.ones(SHAPE, np.float32)), F.tanh, F.sigmoid)
    import torch

    ones = torch.ones(SHAPE)
    return Maths(
        lambda array: torch.tensor(array, requires_grad=True),
        lambda x: x.backward(ones),
        torch.tanh,
        torch.sigmoid,
    )


if __name__ == "__main__":
    gc.disable()
    print(json.dumps(costs(sys.argv[1])))
