"""CTC: the decoders, against enumeration of all alignments and against the loss."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from alignments import batches, enumerated, labels_of, loss_of, random_scores
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygradrnn import functional as F

SCORES = random_scores(2, 4, 3)


@settings(max_examples=60, deadline=None)
@given(batches())
def test_greedy_takes_the_best_alignment(batch):
    scores, _, frames, blank = batch
    found = F.ctc_greedy_decode(scores, frames, blank=blank)
    for row, n in enumerate(frames):
        best = max(
            product(range(scores.shape[2]), repeat=n),
            key=lambda a, row=row: sum(scores[row, t, s] for t, s in enumerate(a)),
        )
        assert found[row] == list(labels_of(best, blank))


@settings(max_examples=60, deadline=None)
@given(batches(), st.integers(1, 6))
def test_beam_search_against_all_alignments(batch, narrow):
    """A wide beam finds every sequence of labels with its probability, a narrow one never more."""
    scores, _, frames, blank = batch
    wide = F.ctc_beam_search(scores, frames, beam_width=1000, blank=blank)
    some = F.ctc_beam_search(scores, frames, beam_width=narrow, blank=blank)
    for row, n in enumerate(frames):
        total, _ = enumerated(scores[row, :n], blank)
        assert {tuple(h.labels) for h in wide[row]} == set(total)
        for labels, log_prob in wide[row]:
            np.testing.assert_allclose(log_prob, math.log(total[tuple(labels)]), rtol=1e-9)
        assert len(some[row]) <= narrow
        for found in (wide[row], some[row]):
            assert [h.log_prob for h in found] == sorted((h.log_prob for h in found), reverse=True)
        for labels, log_prob in some[row]:
            assert log_prob <= math.log(total[tuple(labels)]) + 1e-9


def test_many_alignments_beat_the_best_one():
    """Graves et al. 2006, section 3.2: the best path need not give the best labelling."""
    scores = np.log([[[0.6, 0.4], [0.6, 0.4]]])
    assert F.ctc_greedy_decode(scores) == [[]]
    (beam,) = F.ctc_beam_search(scores)
    assert beam[0].labels == [1]
    np.testing.assert_allclose(np.exp([h.log_prob for h in beam]), [0.64, 0.36])


def test_beam_and_loss_agree():
    scores = random_scores(2, 12, 4)
    for row, beam in enumerate(F.ctc_beam_search(scores, [12, 9], beam_width=4000)):
        best = beam[0]
        loss = loss_of(scores[row : row + 1, : (12, 9)[row]], [best.labels], reduction="sum")
        np.testing.assert_allclose(-best.log_prob, loss.item(), rtol=1e-6)


def test_equal_probabilities_come_in_one_order():
    scores = np.log(np.full((1, 2, 3), 1 / 3))
    (beam,) = F.ctc_beam_search(scores)
    assert [h.labels for h in beam] == [[1], [2], [], [1, 2], [2, 1]]
    assert F.ctc_greedy_decode(scores) == [[]]


def test_impossible_labels_are_not_among_the_hypotheses():
    with np.errstate(divide="ignore"):
        scores = np.log([[[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]])
    (beam,) = F.ctc_beam_search(scores)
    assert [h.labels for h in beam] == [[1]]
    assert F.ctc_beam_search(np.full((1, 2, 2), -np.inf)) == [[]]


@pytest.mark.parametrize("decode", [F.ctc_greedy_decode, F.ctc_beam_search])
@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((SCORES[0],), {}, ValueError, r"{name}: log_probs must be \(B, T, V\)"),
        ((SCORES, [4, 5]), {}, ValueError, "input_lengths must be from 1 to T = 4, got 5"),
        ((SCORES,), {"blank": -1}, ValueError, "{name}: blank must be one of the symbols 0 to 2"),
        ((SCORES * np.nan,), {}, ValueError, "{name}: log_probs hold NaN"),
    ],
)
def test_what_decoders_refuse(decode, arguments, options, error, message):
    with pytest.raises(error, match=message.format(name=decode.__name__)):
        decode(*arguments, **options)


@pytest.mark.parametrize("width", [0, -1, 2.5, None])
def test_beam_widths_that_are_none(width):
    with pytest.raises(ValueError, match="beam_width must be a whole number of at least 1, got"):
        F.ctc_beam_search(SCORES, beam_width=width)
