"""Integers out of range raise, however they are given: a device would wrap them silently.

Those that come from the host are looked at there. For those that were computed on the device the
host has to wait and look; nothing is ever wrong silently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.ranges import Integers
from tinygradrnn.testing.functions import FUNCTIONS as xp

SCORES = np.random.default_rng(0).standard_normal((4, 3))  # 4 rows, classes 0…2


def tensor(array: np.ndarray) -> tg.Tensor:
    return tg.tensor(array)


def moved_on(array: np.ndarray) -> tg.Tensor:
    """A tensor that got another value: what is known of the first does not hold."""
    made = tg.tensor(np.zeros_like(array))
    made.data = array
    return made


# How integers can be given, and whether the host must wait to check them.
FORMS: dict[str, tuple[Callable[[np.ndarray], Any], bool]] = {
    "list": (lambda array: array.tolist(), False),
    "array": (lambda array: array, False),
    "small array": (lambda array: array.astype("int8"), False),
    "tensor": (tensor, False),
    "part of a tensor": (lambda array: tg.tensor(np.stack([array, array]))[1], False),
    "array of the device": (lambda array: xp.asarray(array), True),
    "computed": (lambda array: tg.tensor(array - 1) + 1, True),
    "replaced": (moved_on, True),
}
USES: dict[str, tuple[Callable[[Any], Any], type[Exception], int]] = {
    "embedding": (lambda ids: F.embedding(ids, scores()), IndexError, 4),
    "nn.Embedding": (lambda ids: nn.Embedding(4, 2)(ids), IndexError, 4),
    "cross_entropy": (lambda ids: F.cross_entropy(scores(), ids), IndexError, 3),
    "nll_loss": (lambda ids: F.nll_loss(scores(), ids, mask=[1, 1, 0, 1]), IndexError, 3),
    "one_hot": (lambda ids: F.one_hot(ids, 4), IndexError, 4),
    "index": (lambda ids: scores()[ids], IndexError, 4),
    "second index": (lambda ids: scores()[:, ids], IndexError, 3),
    "one of a pair": (lambda ids: scores()[[0, 1, 2, 3], ids], IndexError, 3),
    "lengths": (
        lambda lengths: nn.GRU(2, 3)(np.ones((4, 3, 2), np.float32), lengths=lengths),
        ValueError,
        4,
    ),
    "lengths of a stack": (
        lambda lengths: nn.LSTM(2, 3, num_layers=2)(
            np.ones((4, 3, 2), np.float32), lengths=lengths
        ),
        ValueError,
        4,
    ),
}


def scores() -> tg.Tensor:
    return tg.tensor(SCORES, requires_grad=True)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("use", USES)
def test_out_of_range_raises(use: str, form: str) -> None:
    call, error, count = USES[use]
    make, waits = FORMS[form]
    with tg.testing.guard() as g:
        fine = make(np.array([1, 2, 1, 2]))
        before = g.synchronisations
        call(fine)
        assert (g.synchronisations > before) is waits, g
        for wrong in (count, count + 100, -count - 1):
            with pytest.raises(error, match=str(wrong)):
                call(make(np.array([1, wrong, 1, 2])))


def test_a_part_that_is_in_range_is_no_error() -> None:
    """What is known of a tensor holds for its parts, but they may lie closer together."""
    with tg.testing.guard() as g:
        columns = tg.tensor(np.array([[0, 900], [3, 500]]))
        assert F.embedding(columns[:, 0], scores()).shape == (2, 3)
        assert g.synchronisations == 1
        with pytest.raises(IndexError, match="from 500 to 900"):
            F.embedding(columns[:, 1], scores())


def test_what_is_known_of_a_tensor() -> None:
    with tg.testing.guard():
        known = tg.tensor([3, -1, 2]).node
        assert isinstance(known, Integers) and known.range == (-1, 3)
        for other in (tg.tensor([0.5]), tg.tensor(np.zeros(0, int)), tg.tensor([True])):
            assert not isinstance(other.node, Integers)
    with tg.backend_scope("numpy"):
        assert not isinstance(tg.tensor([3]).node, Integers), "they are looked at where they are"


def test_clocks_are_followed_without_looking() -> None:
    """A clockwork cell knows which of its blocks tick as long as all sequences started at once."""
    with tg.testing.guard() as g:
        layer = nn.RNN(nn.ClockworkCell(2, 4, periods=(1, 2)))
        x = np.random.default_rng(0).standard_normal((2, 5, 2), np.float32)
        y, state = layer(x)
        assert not any(node.op == "where" for node in tg.Graph(y).nodes)
        y, _ = layer(x, state)
        later, state = layer(x, lengths=[5, 2])
        layer(x, state)
        assert g.synchronisations == 0, g
        assert state.clock.numpy().tolist() == [5, 2]
    with tg.backend_scope("numpy"):
        same = nn.RNN(nn.ClockworkCell(2, 4, periods=(1, 2)))
        same.load_state_dict(layer.state_dict())
        _, before = same(x)
        np.testing.assert_array_equal(y.numpy(), same(x, before).y.numpy())
        np.testing.assert_array_equal(later.numpy(), same(x, lengths=[5, 2]).y.numpy())


def test_gradients_of_rows_that_repeat_round_the_same() -> None:
    """The order of the additions is fixed; CuPy's add.at, which has none, is not used."""
    ids = np.random.default_rng(0).integers(0, 5, 4000)
    factors = np.random.default_rng(1).standard_normal((4000, 3)).astype("float32")
    runs = set()
    with tg.testing.guard() as g:
        for _ in range(3):
            W = tg.tensor(np.zeros((5, 3), np.float32), requires_grad=True)
            (F.embedding(ids, W) * tg.tensor(factors)).sum().backward()
            assert g.synchronisations == 0, g
            runs.add(W.grad.data.get().tobytes())
            g.places.clear()
    assert len(runs) == 1
