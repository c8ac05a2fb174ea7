"""What the loss and the decoders are given, checked."""

from __future__ import annotations

from tinygradrnn.arrays import TensorLike
from tinygradrnn.tensors import Tensor, as_tensor


def checked_scores(function: str, log_probs: TensorLike) -> Tensor:
    """``log_probs`` as a tensor (B, T, V) of floats, or an error that says what is wrong."""
    scores = as_tensor(log_probs)
    if scores.ndim != 3 or 0 in scores.shape:
        raise ValueError(
            f"{function}: log_probs must be (B, T, V) = (batch, frames, symbols) without empty "
            f"axes, got shape {scores.shape}"
        )
    if scores.dtype.kind != "f":
        raise TypeError(f"{function}: log_probs must hold floats, got {scores.dtype}")
    return scores


def checked_blank(function: str, blank: int, symbols: int) -> int:
    """The blank as an int in 0…V−1, or an error that says what is wrong."""
    if isinstance(blank, bool) or not hasattr(blank, "__index__"):
        raise TypeError(f"{function}: blank must be an integer, got {type(blank).__name__}")
    if not 0 <= blank.__index__() < symbols:
        raise ValueError(
            f"{function}: blank must be one of the symbols 0 to {symbols - 1}, got {blank}"
        )
    return blank.__index__()
