"""Alignments of labels with frames, each by itself: what CTC sums over."""

from __future__ import annotations

import math
from itertools import groupby, product

import numpy as np
from hypothesis import strategies as st

from tinygradrnn import functional as F


def log_softmax(scores):
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


def random_scores(*shape, seed=0):
    return log_softmax(np.random.default_rng(seed).standard_normal(shape))


def labels_of(alignment, blank):
    return tuple(s for s, _ in groupby(alignment) if s != blank)


def enumerated(scores, blank):
    """The probability of each sequence of labels, and of each (labels, frame, symbol)."""
    steps, symbols = scores.shape
    total, used = {}, {}
    for alignment in product(range(symbols), repeat=steps):
        p = math.exp(sum(scores[t, s] for t, s in enumerate(alignment)))
        labels = labels_of(alignment, blank)
        total[labels] = total.get(labels, 0.0) + p
        counts = used.setdefault(labels, np.zeros_like(scores))
        counts[range(steps), alignment] += p
    return total, used


def padded(targets, value=0):
    width = max([1, *map(len, targets)])
    return np.array([[*row, *[value] * (width - len(row))] for row in targets], np.int64)


def loss_of(scores, targets, lengths=None, **options):
    return F.ctc_loss(scores, padded(targets), lengths, [len(row) for row in targets], **options)


@st.composite
def batches(draw):
    """Scores (B, T, V), targets, frames and blank; some targets do not fit."""
    batch, steps, symbols = (
        draw(st.integers(1, 3)),
        draw(st.integers(1, 4)),
        draw(st.integers(2, 4)),
    )
    blank = draw(st.integers(0, symbols - 1))
    label = st.sampled_from([s for s in range(symbols) if s != blank])
    targets = [tuple(draw(st.lists(label, max_size=4))) for _ in range(batch)]
    frames = [draw(st.integers(1, steps)) for _ in range(batch)]
    scores = random_scores(batch, steps, symbols, seed=draw(st.integers(0, 10**6)))
    return scores, targets, frames, blank
