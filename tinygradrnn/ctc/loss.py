"""The loss: minus the logarithm of the probability of all alignments together."""

from __future__ import annotations

import numpy as np

from tinygradrnn import ops
from tinygradrnn.arrays import TensorLike, to_array
from tinygradrnn.backend import backend_of
from tinygradrnn.ctc.scores import checked_blank, checked_scores
from tinygradrnn.lengths import beside, checked_counts, checked_lengths, last_of, without_padding
from tinygradrnn.recording import Array, Leaf, cell_scope, timestep
from tinygradrnn.reduction import Reduction, reduced
from tinygradrnn.tensors import Tensor

IMPOSSIBLE = -1e30  # the logarithm of 0, but finite: ∞ − ∞ would make gradients NaN
EQUATIONS = {
    "α": "α_t(i) = log p_t(l_i) + log Σ_j exp α_{t−1}(j),  j = i, i−1, and i−2 if l_i may follow it"
}


def ctc_loss(
    log_probs: TensorLike,
    targets: TensorLike,
    input_lengths: TensorLike | None,
    target_lengths: TensorLike,
    *,
    blank: int = 0,
    reduction: Reduction = "mean",
) -> Tensor:
    """−log Σ p(alignment) over all alignments of the targets to the frames, in nats.

    An alignment gives each frame a label or the blank; it stands for the labels that are left when
    equal neighbours are joined and then the blanks dropped. With the labels l = (blank, target 1,
    blank, target 2, …, blank), α_t(i) is the logarithm of the probability of all ways to have
    reached position i at frame t (Graves et al. 2006, section 4.1):

    α_t(i) = log p_t(l_i) + log Σ_j exp α_{t−1}(j), j = i, i − 1, and i − 2 unless l_i is the blank
    or equal to l_{i−2}.

    The recursion is recorded step by step, like that of a cell: it is drawn, stepped through,
    compiled, and its gradient can be differentiated again.

    Parameters
    ----------
    log_probs : tensor (B, T, V)
        Logarithms of probabilities: ``F.log_softmax(logits)``.
    targets : integers (B, S)
        Labels 0…V−1 without the blank; what stands past a sequence's length is not looked at.
    input_lengths : B integers in 1…T, or None
        How many frames of each sequence count; None: all.
    target_lengths : B integers in 0…S
    blank : int
        The symbol that stands for no label.
    reduction : "mean", "sum" or "none"
        "mean" divides each loss by its target's length (an empty one's by 1), then takes the mean
        over the batch, as PyTorch does.

    Returns
    -------
    Tensor
        A number; of shape (B,) for ``reduction="none"``. A target that does not fit into its
        frames (each label needs one, and one more between two equal ones) has the loss ∞ and
        sends no gradient. Under float16 the sums are float32, and so is the result.

    Raises
    ------
    ValueError, IndexError, TypeError
        If a shape or length does not fit, a label is out of range, or a target holds the blank.
    """
    scores = checked_scores("ctc_loss", log_probs)
    if scores.dtype == np.float16:
        scores = scores.astype("float32")
    batch, steps, symbols = scores.shape
    blank = checked_blank("ctc_loss", blank, symbols)
    lengths = checked_lengths(input_lengths, scores, "input_lengths")
    labels, counts = _checked_targets(targets, target_lengths, batch, symbols, blank)
    with cell_scope("CTC", equations=EQUATIONS):
        leap = _named("leap", _leaps(labels, blank).astype(scores.dtype), scores)
        end = _named("end", _ends(labels, counts).astype(scores.dtype), scores)
        labels = _named("labels", labels, scores)
        scores = without_padding(scores, lengths)
        wall, alpha = _start(scores, labels.shape[1])
        alphas = []
        for t in range(steps):
            with timestep(t + 1):
                alpha = _forward(alpha, wall, leap, ops.gather(scores[:, t], labels))
            alphas.append(alpha)
        if lengths is not None:
            alpha = last_of(ops.stack(*alphas, axis=1), lengths)
        likelihood = ops.logsumexp(alpha + end, axis=1)
        none = _named("none fits", likelihood <= IMPOSSIBLE / 2, scores)
        losses = ops.where(none, np.inf, -likelihood)
    if reduction == "mean":
        losses = losses / _named("lengths", ops.maximum(counts, 1).astype(scores.dtype), scores)
    return reduced(losses, None, reduction)


def _named(name: str, tensor: Tensor, scores: Tensor) -> Tensor:
    """A tensor where the scores are, with the name that pictures show."""
    tensor = beside(tensor, scores)
    tensor.name = name
    return tensor


def _forward(alpha: Tensor, wall: Tensor, leap: Tensor, log_p: Tensor) -> Tensor:
    """α_t from α_{t−1}: a position is reached from itself or one of the two before it."""
    log_p.name = "log p"
    before = ops.concatenate(wall, alpha, axis=1)
    ways = ops.stack(alpha, before[:, 1:-1], before[:, :-2] + leap, axis=0)
    alpha = log_p + ops.logsumexp(ways, axis=0)
    alpha.name = "α"
    return alpha


def _start(scores: Tensor, positions: int) -> tuple[Tensor, Tensor]:
    """What stands before the first position, and α_0: before the first frame, all at the first."""
    xp = backend_of(scores.node.value).xp
    batch = scores.shape[0]
    wall = xp.full((batch, 2), IMPOSSIBLE, scores.dtype)
    alpha = xp.full((batch, positions), IMPOSSIBLE, scores.dtype)
    alpha[:, 0] = 0
    return Tensor(Leaf(wall, name="impossible")), Tensor(Leaf(alpha, name="α_0"))


def _checked_targets(
    targets: TensorLike, target_lengths: TensorLike, batch: int, symbols: int, blank: int
) -> tuple[Tensor, Tensor]:
    """The labels with blanks between them (B, 2S + 1), and the lengths of the targets.

    What the user holds on the host is looked at there, so that no GPU is waited for.
    """
    if not isinstance(targets, Tensor):
        targets = Tensor(Leaf(_rows(targets)))
    if targets.dtype.kind not in "iu":
        raise TypeError(f"ctc_loss: targets must be integers (labels), got {targets.dtype}")
    if targets.ndim != 2 or targets.shape[0] != batch:
        raise ValueError(
            f"ctc_loss: targets must be (B, S) = ({batch}, S), one padded row for each sequence, "
            f"got shape {targets.shape}"
        )
    longest = targets.shape[1]
    counts, _ = checked_counts(
        "target_lengths",
        target_lengths,
        targets,
        0,
        longest,
        lambda low, high: (
            f"target_lengths must be from 0 to S = {longest}, the width of targets, got "
            f"{low if low < 0 else high}"
        ),
    )
    targets, counts = targets.astype("int64"), counts.astype("int64")
    ops.check_within(
        _within(targets, counts, blank),
        0,
        symbols - 1,
        lambda low, high: (
            f"ctc_loss: targets hold labels from {low} to {high}; log_probs has symbols 0 to "
            f"{symbols - 1}"
        ),
    )
    ops.check_within(
        _within(targets == blank, counts, False),
        0,
        0,
        lambda *found: (
            f"ctc_loss: targets hold {blank}, which is the blank: it stands for no label. Give "
            "the true labels other numbers, or choose blank=…"
        ),
    )
    return _with_blanks(targets, counts, blank), counts


def _rows(targets: TensorLike) -> Array:
    try:
        array = to_array(targets)
    except ValueError as error:
        raise ValueError(
            "ctc_loss: targets must be (B, S), one row for each sequence; pad the shorter ones "
            f"with any number and give their lengths as target_lengths ({error})"
        ) from error
    return array if array.size else array.astype("int64")


# ------------------------------------------------------- what follows from the targets alone


def _within(x: Tensor, counts: Tensor, otherwise: float) -> Tensor:
    """``x`` (B, S) within the lengths of the targets."""
    return ops.where(_numbers(x) < counts[:, None], x, otherwise)


def _with_blanks(targets: Tensor, counts: Tensor, blank: int) -> Tensor:
    """Blank, target 1, blank, target 2, …, blank: (B, 2S + 1)."""
    batch, longest = targets.shape
    targets = _within(targets, counts, blank)
    blanks = targets * 0 + blank
    pairs = ops.stack(blanks, targets, axis=2).reshape(batch, 2 * longest)
    return ops.concatenate(pairs, (counts * 0 + blank)[:, None], axis=1)


def _leaps(labels: Tensor, blank: int) -> Tensor:
    """0 where a label may follow the one before it without a blank between, else impossible."""
    first = labels[:, :1]
    before = ops.concatenate(first, first, labels, axis=1)[:, :-2]
    return ops.where((labels != blank) * (labels != before), 0.0, IMPOSSIBLE)


def _ends(labels: Tensor, counts: Tensor) -> Tensor:
    """0 where an alignment may end, at the last target or the blank behind it, else impossible."""
    behind = (counts * 2)[:, None] - _numbers(labels)
    return ops.where((behind == 0) + (behind == 1), 0.0, IMPOSSIBLE)


def _numbers(x: Tensor) -> Tensor:
    """0, 1, … for the columns of x."""
    return Tensor(Leaf(backend_of(x.node.value).xp.arange(x.shape[1])))
