"""Functions of tensors, each differentiable any number of times (``tg.functional``, as ``F``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygradrnn import ops, seeds
from tinygradrnn.arrays import TensorLike
from tinygradrnn.backend import backend_of
from tinygradrnn.ctc import ctc_beam_search as ctc_beam_search
from tinygradrnn.ctc import ctc_greedy_decode as ctc_greedy_decode
from tinygradrnn.ctc import ctc_loss as ctc_loss
from tinygradrnn.ops.shaping import no_axis
from tinygradrnn.recording import Leaf, state
from tinygradrnn.reduction import Reduction, reduced
from tinygradrnn.tensors import Tensor, as_tensor

Axis = int | tuple[int, ...] | None
NUMBERS = (int, float, np.number)
WHOLE = slice(None)  # one for all: parts of gradients are compared by it


# ---------------------------------------------------------------- element by element


def tanh(x: TensorLike) -> Tensor:
    """Tanh x; derivative 1 − tanh² x."""
    return ops.tanh.unary(as_tensor(x))


def sigmoid(x: TensorLike) -> Tensor:
    """σ(x) = 1 / (1 + e⁻ˣ), without overflow; derivative σ (1 − σ)."""
    return ops.sigmoid.unary(as_tensor(x))


def relu(x: TensorLike) -> Tensor:
    """max(x, 0); derivative 1 for x > 0, else 0."""
    return ops.relu.unary(as_tensor(x))


def leaky_relu(x: TensorLike, negative_slope: float = 0.01) -> Tensor:
    """X for x > 0, else ``negative_slope`` · x (note set 002: max(αx, x) for α ≤ 1)."""
    return ops.leaky_relu(as_tensor(x), slope=negative_slope)


def linear(x: TensorLike) -> Tensor:
    """X itself: the activation of a linear network."""
    return as_tensor(x)


def exp(x: TensorLike) -> Tensor:
    """eˣ."""
    return ops.exp(as_tensor(x))


def log(x: TensorLike) -> Tensor:
    """The natural logarithm."""
    return ops.log(as_tensor(x))


def sqrt(x: TensorLike) -> Tensor:
    """√x."""
    return ops.sqrt(as_tensor(x))


def abs(x: TensorLike) -> Tensor:
    """|x|; derivative sign x, 0 at 0."""
    return ops.absolute(as_tensor(x))


def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """The larger of two, element by element; where equal, each gets half the gradient."""
    return ops.maximum(*_pair(x, y))


def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """The smaller of two, element by element; where equal, each gets half the gradient."""
    return ops.minimum(*_pair(x, y))


def clip(x: TensorLike, low: float | None = None, high: float | None = None) -> Tensor:
    """X limited to [low, high]; outside, the derivative is 0."""
    if low is None and high is None:
        raise ValueError("clip: give low, high or both")
    if low is not None and high is not None and low > high:
        raise ValueError(f"clip: low {low} is above high {high}")
    lower = -np.inf if low is None else low
    return ops.clip(as_tensor(x), low=lower, high=np.inf if high is None else high)


def where(condition: TensorLike, x: TensorLike, y: TensorLike) -> Tensor:
    """X where the condition holds, else y; each gets the gradient of the elements it gave."""
    return ops.where(as_tensor(condition), *_pair(x, y))


def _pair(x: TensorLike, y: TensorLike) -> tuple[TensorLike, TensorLike]:
    """Two operands, one of them a tensor; a number beside it stays one and takes its dtype."""
    if isinstance(x, NUMBERS) and not isinstance(y, NUMBERS):
        return x, as_tensor(y)
    return as_tensor(x), y


# ---------------------------------------------------------------- shape


def concatenate(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Join along an axis that all have."""
    return ops.concatenate(*_several(tensors, "concatenate"), axis=axis)


def stack(tensors: Sequence[TensorLike], axis: int = 0) -> Tensor:
    """Join along a new axis; all shapes equal."""
    return ops.stack(*_several(tensors, "stack"), axis=axis)


def unstack(x: TensorLike, axis: int = 0) -> list[Tensor]:
    """The slices along an axis; of a stack, the very tensors that were stacked."""
    x = as_tensor(x)
    if missing := no_axis(axis, x.ndim):
        raise ValueError(f"unstack of {x.node.describe()}: {missing}")
    return [unstacked(x, i, axis) for i in range(x.shape[axis])]


def unstacked(x: Tensor, position: int, axis: int) -> Tensor:
    """One slice along an axis; of a stack, the very tensor that was stacked there."""
    return ops.getitem(x, (WHOLE,) * (axis % x.ndim) + (position,))


def pad(x: TensorLike, widths: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Add ``widths[i] = (before, after)`` elements of a value around axis i."""
    x = as_tensor(x)
    pairs = tuple((int(before), int(after)) for before, after in widths)
    if len(pairs) != x.ndim or any(n < 0 for pair in pairs for n in pair):
        raise ValueError(
            f"pad: widths {pairs} must be one (before, after) of at least 0 for each of the "
            f"{x.ndim} axes of {x.node.describe()}"
        )
    return ops.pad(x, widths=pairs, value=value)


def _several(tensors: Sequence[TensorLike], what: str) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not len(tensors):
        raise TypeError(f"{what}: give a list of at least one tensor")
    return [as_tensor(tensor) for tensor in tensors]


# ---------------------------------------------------------------- gates


def hard_gate(g: TensorLike, x: TensorLike, s: TensorLike) -> Tensor:
    """The memory g ⊙ x + (1 − g) ⊙ s for a binary g: x is written where g is 1, else s is kept.

    The memory access of note set 000. A step has no derivative, so no gradient flows into g, even
    if it requires one; :func:`soft_gate` can be learned.

    Parameters
    ----------
    g : tensor of 0 and 1, or of booleans
        Numbers are looked at; on a GPU booleans spare the wait.
    x, s : tensor
        What is read and the memory; all three broadcast.

    Returns
    -------
    Tensor
        s', the new memory.
    """
    g, x, s = as_tensor(g), as_tensor(x), as_tensor(s)
    binary = g.node.value
    looked_at = state.capture is None and g.dtype.kind != "b"
    if looked_at and not bool(((binary == 0) | (binary == 1)).all()):
        raise ValueError(
            f"hard_gate: g must hold 0 and 1 only, got {g.node.describe()} with other values; "
            "soft_gate takes any numbers"
        )
    return _gated(g.detach().astype(np.result_type(x.dtype, s.dtype)), x, s)


def soft_gate(g: TensorLike, x: TensorLike, s: TensorLike) -> Tensor:
    """The memory σ(g) ⊙ x + (1 − σ(g)) ⊙ s: the hard gate made differentiable, to be learned.

    Note set 000, with g' for g: the building block of LSTM and GRU.

    Parameters
    ----------
    g : tensor
        Any numbers: large ones write x, very negative ones keep s.
    x, s : tensor
        What is read and the memory; all three broadcast.

    Returns
    -------
    Tensor
        s', the new memory.
    """
    return _gated(sigmoid(g), x, s)


def _gated(gate: Tensor, x: TensorLike, s: TensorLike) -> Tensor:
    new: Tensor = gate * x + (1 - gate) * s
    return new


# ---------------------------------------------------------------- softmax and losses


def softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """eˣ / Σ eˣ along an axis."""
    return ops.softmax(as_tensor(x), axis=axis)


def log_softmax(x: TensorLike, axis: int = -1) -> Tensor:
    """X − log Σ eˣ along an axis."""
    return ops.log_softmax(as_tensor(x), axis=axis)


def logsumexp(x: TensorLike, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Log Σ eˣ over axes, without overflow."""
    return ops.logsumexp(as_tensor(x), axis=axis, keepdims=keepdims)


def cross_entropy(
    logits: TensorLike,
    targets: TensorLike,
    *,
    mask: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """−log softmax(logits)[target], in nats.

    Parameters
    ----------
    logits : tensor (…, V)
        Unnormalised scores.
    targets : integers (…)
        Classes 0…V−1.
    mask : array (…), optional
        1 where a position counts and 0 where it does not; the mean is over those that count.
    reduction : "mean", "sum" or "none"

    Returns
    -------
    Tensor
        A number; of shape (…) for ``reduction="none"``.
    """
    return nll_loss(log_softmax(logits), targets, mask=mask, reduction=reduction)


def nll_loss(
    log_probs: TensorLike,
    targets: TensorLike,
    *,
    mask: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """−log_probs[target]: cross-entropy for log-probabilities (…, V), see :func:`cross_entropy`."""
    log_probs = as_tensor(log_probs)
    targets = as_tensor(targets, beside=log_probs)
    if log_probs.ndim == 0 or targets.shape != log_probs.shape[:-1]:
        raise ValueError(
            f"targets of shape {targets.shape} do not fit scores of shape {log_probs.shape}; "
            f"expected {log_probs.shape[:-1]}, one class for each row of V scores"
        )
    classes = log_probs.shape[-1]
    if targets.dtype.kind not in "iu":
        raise TypeError(f"targets must be integers (class numbers), got {targets.dtype}")
    ops.check_within(
        targets,
        0,
        classes - 1,
        lambda low, high: (
            f"targets hold classes from {low} to {high}; the scores have classes 0 to {classes - 1}"
        ),
    )
    return reduced(-ops.pick(log_probs, targets), mask, reduction)


def binary_cross_entropy_with_logits(
    logits: TensorLike,
    targets: TensorLike,
    *,
    mask: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """−[t log σ(x) + (1 − t) log(1 − σ(x))], without overflow."""
    x, t = _alike(logits, targets, "logits", "targets")
    return reduced(t * ops.softplus(-x) + (1 - t) * ops.softplus(x), mask, reduction)


def mse_loss(
    predictions: TensorLike,
    targets: TensorLike,
    *,
    mask: TensorLike | None = None,
    reduction: Reduction = "mean",
) -> Tensor:
    """(prediction − target)²."""
    y, t = _alike(predictions, targets, "predictions", "targets")
    difference = y - t
    return reduced(difference * difference, mask, reduction)


def half_squared_error(
    predictions: TensorLike,
    targets: TensorLike,
    *,
    mask: TensorLike | None = None,
    reduction: Reduction = "sum",
) -> Tensor:
    """½ (prediction − target)², summed: the L_t of note set 003, whose derivative is ŷ − y."""
    y, t = _alike(predictions, targets, "predictions", "targets")
    difference = y - t
    return reduced(difference * difference * 0.5, mask, reduction)


def _alike(x: TensorLike, y: TensorLike, first: str, second: str) -> tuple[Tensor, Tensor]:
    x, target = as_tensor(x), as_tensor(y)
    if target is not y:
        target.name = "target"  # what pictures call it
    y = target
    if x.shape != y.shape:
        raise ValueError(
            f"{first} of shape {x.shape} and {second} of shape {y.shape} must be alike (they are "
            "not broadcast: a loss over pairs that were never meant is hard to see)"
        )
    return x, y


# ---------------------------------------------------------------- look-up and dropout


def embedding(ids: TensorLike, weight: TensorLike) -> Tensor:
    """The rows of ``weight`` (V, E) at integer ``ids`` (…): shape (…, E).

    The same as a product with one-hot vectors; repeated ids add their gradients.
    """
    weight = as_tensor(weight)
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight must be (V, E), got {weight.node.describe()}")
    ids = as_tensor(ids, beside=weight)
    _check_ids(ids, weight.shape[0], "embedding", f"{weight.node.describe()} has rows")
    return ops.take(weight, ids, index=(ops.Hole(0),))


def one_hot(ids: TensorLike, num_classes: int, dtype: Any = "float32") -> Tensor:
    """Rows of the identity: 1 at the id, 0 elsewhere; shape (…, num_classes), no gradient.

    Note set 004's "1-of-N encoding".
    """
    ids = as_tensor(ids)
    _check_ids(ids, num_classes, "one_hot", "the classes are")
    classes = Tensor(Leaf(backend_of(ids.node.value).xp.arange(num_classes)))
    return (ids[..., None] == classes).astype(dtype)  # type: ignore[no-any-return]


def _check_ids(ids: Tensor, count: int, what: str, those: str) -> None:
    """Raise unless the ids are integers in 0…count-1."""
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{what}: ids must be integers, got {ids.dtype}")
    ops.check_within(
        ids,
        0,
        count - 1,
        lambda low, high: f"{what}: ids hold values from {low} to {high}; {those} 0 to {count - 1}",
    )


def dropout(x: TensorLike, p: float = 0.5, training: bool = True) -> Tensor:
    """Zero each element with probability p and scale the others by 1 / (1 − p).

    Srivastava et al. 2014, in the inverted form: nothing to do outside training.
    """
    if not 0 <= p < 1:
        raise ValueError(f"dropout: p must be at least 0 and below 1, got {p}")
    tensor = as_tensor(x)
    if tensor.dtype.kind != "f":
        raise TypeError(f"dropout: x must hold floats, got {tensor.dtype}")
    return tensor * dropout_mask(tensor, p) if training and p else tensor


def dropout_mask(like: Tensor, p: float) -> Tensor:
    """A mask of 0 and 1 / (1 − p), of the shape, dtype and backend of a tensor."""
    settings: dict[str, Any] = {"shape": like.shape, "p": p, "dtype": like.dtype}
    mask = backend_of(like.node.value).asarray(_draw_mask(None, **settings))
    node = Leaf(mask) if state.capture is None else state.capture.draw(draw_mask, settings, mask)
    node.name = "dropout mask"
    return Tensor(node)


def _draw_mask(xp: Any, shape: tuple[int, ...], p: float, dtype: Any) -> np.ndarray[Any, Any]:
    kept = seeds.generator().random(shape, dtype=np.float32) >= p
    mask: np.ndarray[Any, Any] = kept.astype(dtype) / np.asarray(1 - p, dtype)
    return mask


draw_mask = ops.Op("dropout mask", _draw_mask)
