"""From the loss of each element or sequence to the loss of a batch."""

from __future__ import annotations

from typing import Literal

from tinygradrnn import ops
from tinygradrnn.arrays import TensorLike
from tinygradrnn.tensors import Tensor, as_tensor

Reduction = Literal["mean", "sum", "none"]


def reduced(losses: Tensor, mask: TensorLike | None, reduction: Reduction) -> Tensor:
    """The mean, the sum, or each loss by itself; with a mask, of those where it is not 0."""
    if reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction must be 'mean', 'sum' or 'none', got {reduction!r}")
    weights = None
    if mask is not None:
        weights = as_tensor(mask).astype(losses.dtype)
        if weights.shape != losses.shape:
            raise ValueError(
                f"mask of shape {weights.shape} does not fit losses of shape {losses.shape}"
            )
        losses = ops.where(weights != 0, losses * weights, 0.0)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    return losses.mean() if weights is None else losses.sum() / ops.maximum(weights.sum(), 1e-12)
