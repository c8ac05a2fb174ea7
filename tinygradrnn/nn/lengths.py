"""Sequences of unequal length in one batch: which of them still run at a step."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygradrnn import functional as F
from tinygradrnn import ops
from tinygradrnn.backend import backend_of
from tinygradrnn.ranges import known_range, outside, range_of
from tinygradrnn.recording import Leaf, state
from tinygradrnn.tensors import Tensor, as_tensor


class Lengths:
    """How many steps of each sequence of a batch count; at least one is shorter than the longest.

    Parameters
    ----------
    tensor : Tensor (B,)
        Integers.
    shortest : int
        The least of them; 0 where another batch may have others (``tg.compile``).
    """

    def __init__(self, tensor: Tensor, shortest: int) -> None:
        self.tensor, self.shortest = tensor, shortest

    def all_run(self, t: int) -> bool:
        """Whether every sequence has a step number t, counted from 0."""
        return self.shortest > t

    def running(self, t: int) -> Tensor:
        """Which sequences have a step number t: booleans (B,)."""
        return self.tensor > t


def checked_lengths(lengths: Any, x: Tensor) -> Lengths | None:
    """The lengths for x (B, T, …), None if all are T; or an error that says what is wrong."""
    if lengths is None or isinstance(lengths, Lengths):
        return lengths
    batch, steps = x.shape[:2]
    tensor = as_tensor(lengths if hasattr(lengths, "dtype") else np.asarray(lengths), beside=x)
    if tensor.dtype.kind not in "iu":
        raise TypeError(f"lengths must be integers, got {tensor.dtype}")
    if tensor.shape != (batch,):
        raise ValueError(
            f"lengths must be one number for each of the {batch} sequences, got shape "
            f"{tensor.shape}"
        )

    def wrong(low: int, high: int) -> Exception:
        return ValueError(
            f"lengths must be from 1 to T = {steps}, got {low if low < 1 else high} (a sequence "
            "without steps has no last output; leave it out of the batch)"
        )

    if found := outside(tensor.node, 1, steps):
        raise wrong(*found)
    if state.capture is not None:
        state.capture.check(tensor.node, 1, steps, wrong)
        return Lengths(tensor, 0)
    low, _ = known_range(tensor.node) or range_of(tensor.node) or (steps, steps)
    if low == steps:
        return None
    here = backend_of(x.node.value)
    if backend_of(tensor.node.value) is not here:
        tensor = ops.transfer(tensor, backend=here)
    return Lengths(tensor.astype("int64"), low)


def chosen(runs: Tensor, x: Tensor, otherwise: Tensor | float) -> Tensor:
    """``x`` where ``runs``, which has the first axes of x, holds; ``otherwise`` elsewhere."""
    column = runs.reshape(*runs.shape, *(1,) * (x.ndim - runs.ndim))
    column.name = "running"
    return ops.where(column, x, otherwise)


def without_padding(x: Tensor, lengths: Lengths | None) -> Tensor:
    """Zeros past the lengths: there even NaN must reach no value and no gradient."""
    if lengths is None or x.node.operation is ops.stack:  # the outputs of a layer are zero there
        return x
    steps = Tensor(Leaf(backend_of(x.node.value).xp.arange(x.shape[1])))
    return chosen(lengths.tensor[:, None] > steps, x, 0.0)


def last_of(y: Tensor, lengths: Lengths | None) -> Tensor:
    """The element of (B, T, …) at each sequence's own last step."""
    if lengths is None:
        return F.unstacked(y, y.shape[1] - 1, axis=1)
    rows = as_tensor(np.arange(y.shape[0]), beside=y)
    return ops.take(y, rows, lengths.tensor - 1, index=(ops.Hole(0), ops.Hole(1)))
