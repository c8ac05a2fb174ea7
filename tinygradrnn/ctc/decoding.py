"""Decoding: which labels a sequence of frames most likely stands for."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinygradrnn.arrays import TensorLike, to_array
from tinygradrnn.backend import backend_of
from tinygradrnn.ctc.scores import checked_blank, checked_scores
from tinygradrnn.lengths import checked_lengths

Labels = tuple[int, ...]
Scores = np.ndarray[Any, Any]


class CTCHypothesis(NamedTuple):
    """Labels and the logarithm of the probability of all their alignments that were kept."""

    labels: list[int]
    log_prob: float


def ctc_greedy_decode(
    log_probs: TensorLike, input_lengths: TensorLike | None = None, *, blank: int = 0
) -> list[list[int]]:
    """The labels of the single most likely alignment of each sequence.

    At each frame the likeliest symbol (the first of equal ones); equal neighbours joined, then
    blanks dropped. Labels with many alignments may together be likelier: `ctc_beam_search`.

    Parameters
    ----------
    log_probs : tensor (B, T, V)
        Logarithms of probabilities; any scores do.
    input_lengths : B integers in 1…T, optional
        How many frames of each sequence count.
    blank : int
        The symbol that stands for no label.

    Returns
    -------
    list of B lists of int
    """
    frames, blank = _on_host("ctc_greedy_decode", log_probs, input_lengths, blank)
    return [_joined(scores.argmax(axis=-1).tolist(), blank) for scores in frames]


def _joined(symbols: list[int], blank: int) -> list[int]:
    """The labels that an alignment stands for."""
    before = [blank, *symbols]
    return [s for s, last in zip(symbols, before, strict=False) if s not in (last, blank)]


def ctc_beam_search(
    log_probs: TensorLike,
    input_lengths: TensorLike | None = None,
    *,
    beam_width: int = 10,
    blank: int = 0,
) -> list[list[CTCHypothesis]]:
    """The likeliest labels of each sequence, over all their alignments: prefix beam search.

    After each frame the `beam_width` likeliest prefixes are kept, each with the probability of its
    alignments that end in the blank and of those that end in its last label (A. Hannun and others:
    First-pass large vocabulary continuous speech recognition using bi-directional recurrent DNNs,
    2014). With a beam as wide as there are prefixes the result is exact.

    Parameters
    ----------
    log_probs : tensor (B, T, V)
        Logarithms of probabilities: ``F.log_softmax(logits)``.
    input_lengths : B integers in 1…T, optional
        How many frames of each sequence count.
    beam_width : int
        How many prefixes are kept; the time that it takes grows with it.
    blank : int
        The symbol that stands for no label.

    Returns
    -------
    list of B lists of CTCHypothesis
        At most `beam_width` ``(labels, log_prob)`` for each sequence, the likeliest first. What a
        narrow beam dropped is missing in ``log_prob``; it is never above the true one.
    """
    frames, blank = _on_host("ctc_beam_search", log_probs, input_lengths, blank)
    if not hasattr(beam_width, "__index__") or beam_width < 1:
        raise ValueError(
            f"ctc_beam_search: beam_width must be a whole number of at least 1, got {beam_width!r}"
        )
    return [_search(scores.astype(np.float64), beam_width, blank) for scores in frames]


def _on_host(
    function: str, log_probs: TensorLike, input_lengths: TensorLike | None, blank: int
) -> tuple[list[Scores], int]:
    """The scores (T, V) of each sequence, as long as it is, and the blank."""
    scores = checked_scores(function, log_probs)
    blank = checked_blank(function, blank, scores.shape[-1])
    lengths = checked_lengths(input_lengths, scores, "input_lengths")
    array = to_array(scores)
    rows = backend_of(array).to_numpy(array)
    counts = [scores.shape[1]] * len(rows) if lengths is None else lengths.tensor.numpy().tolist()
    frames = [row[:n] for row, n in zip(rows, counts, strict=True)]
    if any(np.isnan(row).any() for row in frames):
        raise ValueError(f"{function}: log_probs hold NaN")
    return frames, blank


def _search(frames: Scores, width: int, blank: int) -> list[CTCHypothesis]:
    """One sequence (T, V)."""
    prefixes: list[Labels] = [()]
    in_blank, in_label = np.zeros(1), np.full(1, -np.inf)  # logarithms, by how the prefix ends
    for frame in frames:
        in_blank, in_label, longer = _extended(prefixes, in_blank, in_label, frame, blank)
        totals = np.concatenate([np.logaddexp(in_blank, in_label), longer.reshape(-1)])
        best = np.argsort(-totals, kind="stable")[:width]
        best = best[totals[best] > -np.inf]
        rows, labels = np.divmod(best - len(prefixes), len(frame))
        new = best >= len(prefixes)
        in_blank = np.where(new, -np.inf, in_blank[best * ~new])
        in_label = np.where(new, totals[best], in_label[best * ~new])
        prefixes = [
            (*prefixes[row], int(label)) if is_new else prefixes[old]
            for is_new, old, row, label in zip(new, best, rows, labels, strict=True)
        ]
    totals = np.logaddexp(in_blank, in_label).tolist()
    return [CTCHypothesis(list(p), total) for p, total in zip(prefixes, totals, strict=True)]


def _extended(
    prefixes: list[Labels], in_blank: Scores, in_label: Scores, frame: Scores, blank: int
) -> tuple[Scores, Scores, Scores]:
    """After one more frame: each prefix as it is, by how it ends, and longer by each label (·, V).

    A longer one that is among the prefixes already is added to it.
    """
    total = np.logaddexp(in_blank, in_label)
    longer = total[:, None] + frame
    longer[:, blank] = -np.inf
    stays = np.full(len(prefixes), -np.inf)
    place = {prefix: row for row, prefix in enumerate(prefixes)}
    for row, prefix in enumerate(prefixes):
        if prefix:
            label = prefix[-1]
            stays[row] = in_label[row] + frame[label]
            longer[row, label] = (
                in_blank[row] + frame[label]
            )  # the same again needs a blank between
    for row, prefix in enumerate(prefixes):
        if prefix and (parent := place.get(prefix[:-1])) is not None:
            stays[row] = np.logaddexp(stays[row], longer[parent, prefix[-1]])
            longer[parent, prefix[-1]] = -np.inf
    return total + frame[blank], stays, longer
