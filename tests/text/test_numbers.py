"""Vocabulary, split, streams, and the n-gram baseline."""

from __future__ import annotations

from collections import Counter
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygradrnn.text import Streams, Vocabulary, ngram_bits_per_character, split


@given(st.text(min_size=1))
def test_vocabulary_there_and_back(text):
    vocabulary = Vocabulary(text)
    ids = vocabulary.encode(text)
    assert vocabulary.decode(ids) == text
    assert len(vocabulary) == len(set(text)) > ids.max()
    assert Vocabulary(vocabulary.characters).characters == vocabulary.characters


def test_vocabulary_is_in_order_of_code_points():
    assert Vocabulary("zebra\n").characters == "\naberz"
    assert Vocabulary("ba").encode("abba").tolist() == [0, 1, 1, 0]
    assert Vocabulary("ba").encode("").tolist() == []


@pytest.mark.parametrize("unknown", ["a!", "!a", "aé", "a𝄞"])
def test_vocabulary_names_the_character_it_lacks(unknown):
    missing = unknown.replace("a", "")
    with pytest.raises(ValueError, match=f"the character '{missing}' is not in the vocabulary"):
        Vocabulary("abc").encode(unknown)


def test_split_keeps_order_and_all():
    train, held_out = split(np.arange(100))
    assert train.tolist() == list(range(90))
    assert held_out.tolist() == list(range(90, 100))
    train, held_out = split(np.arange(3))
    assert (len(train), len(held_out)) == (2, 1)


def test_streams_go_on_where_they_stopped():
    streams = Streams(np.arange(100), batch=3, length=7)
    last = np.array([-1, 32, 65])
    for step in range(40):
        x, y = streams[step]
        assert x.shape == y.shape == (3, 7)
        assert (x[:, 0] == (last + 1) % 100).all()
        assert (x[:, 1:] == (x[:, :-1] + 1) % 100).all()
        assert (y == (x + 1) % 100).all()
        last = x[:, -1]


def test_streams_read_every_character_equally_often():
    streams = Streams(np.arange(60), batch=4, length=5)
    seen = Counter(int(i) for step in range(3) for i in streams[step][0].ravel())
    assert seen == Counter(range(60))


@pytest.mark.parametrize(("count", "fits"), [(22, True), (21, False), (1, False)])
def test_streams_need_a_batch_without_repetition(count, fits):
    if fits:
        Streams(np.arange(count), batch=3, length=7)
        return
    with pytest.raises(ValueError, match="3 readers of 7 characters need at least 22"):
        Streams(np.arange(count), batch=3, length=7)


def witten_bell(train: list[int], text: list[int], kinds: int, n: int) -> float:
    """The recursive formula, with dictionaries."""
    after: dict[tuple[int, ...], Counter[int]] = {}
    for i, w in enumerate(train):
        for k in range(n):
            if i >= k:
                after.setdefault(tuple(train[i - k : i]), Counter())[w] += 1

    def p(w: int, h: tuple[int, ...] | None) -> float:
        if h is None:
            return 1 / kinds
        shorter = p(w, h[1:] if h else None)
        counts = after.get(h)
        if not counts:
            return shorter
        return (counts[w] + len(counts) * shorter) / (counts.total() + len(counts))

    whole = train + text
    bits = 0.0
    for i in range(len(train), len(whole)):
        bits -= log2(p(whole[i], tuple(whole[max(0, i - n + 1) : i])))
    return bits / len(text)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_ngrams_follow_the_formula(n):
    ids = np.random.default_rng(n).choice(7, 600, p=[0.4, 0.2, 0.2, 0.1, 0.05, 0.03, 0.02])
    train, text = ids[:500], ids[500:]
    expected = witten_bell(train.tolist(), text.tolist(), 9, n)
    assert ngram_bits_per_character(train, text, 9, n) == pytest.approx(expected, rel=1e-12)


def test_ngrams_learn_what_repeats_and_survive_what_is_new():
    ids = np.tile([0, 1, 2, 3], 100)
    assert ngram_bits_per_character(ids, ids, 4) < 0.1
    assert ngram_bits_per_character(ids, np.full(5, 8), 9) < 20
    assert ngram_bits_per_character(np.array([0]), np.array([1]), 70_000) > 1
