"""Floats are float32 unless the data says otherwise, and what is picked from a stack is itself."""

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

FLOATS = tg.tensor([1.0, 2.0])
INTEGERS = tg.tensor([1, 2])


@pytest.mark.parametrize(
    "result",
    [
        lambda: FLOATS * INTEGERS,
        lambda: INTEGERS * FLOATS,
        lambda: FLOATS + tg.tensor(np.array([1, 2])),
        lambda: INTEGERS / 2,
        lambda: INTEGERS / INTEGERS,
        lambda: INTEGERS.mean(),
        lambda: F.exp(INTEGERS),
        lambda: F.where(INTEGERS > 1, FLOATS, INTEGERS),
        lambda: F.concatenate([FLOATS, INTEGERS]),
        lambda: nn.Linear(2, 3)([[1, 2]]),
    ],
)
def test_integers_do_not_make_float64(result):
    assert result().dtype == np.float32


def test_float64_stays_where_the_data_is_float64():
    wide = FLOATS.astype("float64")
    assert (wide * INTEGERS).dtype == (wide * FLOATS).dtype == np.float64
    assert INTEGERS.astype("float64").dtype == np.float64
    assert (INTEGERS + INTEGERS).dtype == INTEGERS.dtype


def test_an_explicit_float64_is_not_rounded_on_the_way():
    assert tg.tensor(1.01, dtype="float64").item() == 1.01
    assert tg.tensor([[0.1]], dtype="float64").item() == 0.1


def test_gradient_beside_integers():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    (w * INTEGERS).sum().backward()
    assert w.grad.dtype == np.float32
    np.testing.assert_array_equal(w.grad.numpy(), [1, 2])


def test_a_step_picked_from_the_outputs_is_the_output_of_that_step():
    rnn = nn.RNN(nn.ElmanCell(3, 4))
    y = rnn(np.ones((2, 5, 3), np.float32)).y
    assert y[:, 2].node.timestep == 3
    assert y[:, -1].node.timestep == 5
    np.testing.assert_array_equal(y[:, 2].numpy(), y.numpy()[:, 2])
    loss = (y[:, 2] ** 2).sum()
    assert list(tg.Graph(loss).contributions(rnn.cell.W_s)) == [1, 2, 3]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_indices_into_a_stack_give_what_numpy_gives(axis):
    parts = [tg.tensor(np.arange(6.0).reshape(2, 3) + 10 * k) for k in range(4)]
    for index in [
        0,
        -1,
        (1,),
        (slice(None), 1),
        (slice(None), -2),
        (slice(None), slice(None), 2),
        (..., 1),
        (None, 1),
        (0, 1, 1),
        (slice(0, 1), 1),
        (1, slice(0, 1), 1),
    ]:
        weights = [tg.tensor(part.numpy(), requires_grad=True) for part in parts]
        stacked = F.stack(weights, axis=axis)
        expected = np.stack([part.numpy() for part in parts], axis=axis)
        np.testing.assert_array_equal(stacked[index].numpy(), expected[index])
        gradients = tg.grad((stacked[index] * 3).sum(), weights)
        filled = np.zeros_like(expected)
        filled[index] = 3
        for k, gradient in enumerate(gradients):
            np.testing.assert_array_equal(gradient.numpy(), np.take(filled, k, axis=axis))


def test_an_index_out_of_range_of_a_stack_is_named():
    with pytest.raises(IndexError, match="index 7 is out of bounds"):
        F.stack([FLOATS, FLOATS], axis=1)[:, 7]
