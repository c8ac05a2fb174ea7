"""The digits that the package draws."""

from __future__ import annotations

import numpy as np
import pytest

from tinygradrnn.data import digits


def test_as_many_of_each_kind_and_no_two_alike():
    images, labels = digits(200)
    assert (images.shape, images.dtype, labels.shape) == ((200, 64), np.float32, (200,))
    assert np.bincount(labels).tolist() == [20] * 10
    assert images.min() == 0
    assert 0.9 < images.max() <= 1
    assert len(np.unique(images, axis=0)) == 200


def test_the_same_seed_gives_the_same_digits():
    for one, other in zip(digits(30, seed=3), digits(30, seed=3), strict=True):
        np.testing.assert_array_equal(one, other)
    assert np.abs(digits(30, seed=3)[0] - digits(30, seed=4)[0]).max() > 0.5


def test_they_look_like_what_they_are():
    """The nearest of the ten mean images names most of them, and mistakes none for all."""
    images, labels = digits(1000)
    others, truth = digits(500, seed=1)
    means = np.stack([images[labels == kind].mean(axis=0) for kind in range(10)])
    said = ((others[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)
    right = [(said[truth == kind] == kind).mean() for kind in range(10)]
    assert np.mean(right) > 0.8
    assert min(right) > 0.5


def test_a_digit_stands_in_the_middle_and_upright():
    images, labels = digits(500)
    means = np.stack([images[labels == kind].mean(axis=0) for kind in range(10)])
    rows, columns = np.indices((8, 8)).reshape(2, 64)
    for kind, mean in enumerate(means):
        ink = mean / mean.sum()
        assert abs(ink @ columns - 3.5) < 0.6, kind
    top, bottom = rows < 4, rows >= 4
    assert means[7][rows == 1].sum() > 2 * means[7][rows == 6].sum()
    assert means[6][bottom].sum() > means[6][top].sum()
    assert means[9][top].sum() > means[9][bottom].sum()


def test_none_is_refused():
    with pytest.raises(ValueError, match="digits: count must be at least 1, got 0"):
        digits(0)
