"""Sequences of unequal length in one batch: which of them still run at a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

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


def checked_lengths(lengths: Any, x: Tensor, name: str = "lengths") -> Lengths | None:
    """The lengths for x (B, T, …), None if all are T; or an error that says what is wrong."""
    if lengths is None or isinstance(lengths, Lengths):
        return lengths
    steps = x.shape[1]
    tensor, shortest = checked_counts(
        name,
        lengths,
        x,
        1,
        steps,
        lambda low, high: (
            f"{name} must be from 1 to T = {steps}, got {low if low < 1 else high} (a sequence "
            "without steps has no last output; leave it out of the batch)"
        ),
    )
    if state.capture is not None:
        return Lengths(tensor, 0)
    if shortest == steps:
        return None
    return Lengths(tensor.astype("int64"), shortest)


def checked_counts(
    name: str, counts: Any, x: Tensor, low: int, high: int, wrong: Callable[[int, int], str]
) -> tuple[Tensor, int]:
    """One integer in low…high for each sequence of x, beside x, and the least of them.

    ``wrong`` words the error for the least and the largest.
    """
    tensor = as_tensor(counts if hasattr(counts, "dtype") else np.asarray(counts), beside=x)
    if tensor.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integers, got {tensor.dtype}")
    if tensor.shape != x.shape[:1]:
        raise ValueError(
            f"{name} must be one number for each of the {x.shape[0]} sequences, got shape "
            f"{tensor.shape}"
        )
    if found := outside(tensor.node, low, high):
        raise ValueError(wrong(*found))
    if state.capture is not None:
        state.capture.check(tensor.node, low, high, lambda *found: ValueError(wrong(*found)))
    least, _ = known_range(tensor.node) or range_of(tensor.node) or (high, high)
    return beside(tensor, x), least


def beside(tensor: Tensor, other: Tensor) -> Tensor:
    """The tensor on the backend of another one."""
    backend = backend_of(other.node.value)
    there = backend_of(tensor.node.value) is backend
    return tensor if there else ops.transfer(tensor, backend=backend)


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
        return ops.getitem(y, (slice(None), y.shape[1] - 1))
    rows = as_tensor(np.arange(y.shape[0]), beside=y)
    ends = lengths.tensor - 1
    ends.name = "last step"
    return ops.take(y, rows, ends, index=(ops.Hole(0), ops.Hole(1)))
