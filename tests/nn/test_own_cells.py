"""Cells that a user writes: they get all that a built-in one has, and clear words when wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as fn
from tinygradrnn import nn

B, T, F, H = 2, 5, 3, 4


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape or (B, T, F))


class Leaky(nn.Cell):  # ten lines
    def __init__(self, size):
        self.input_size = size
        self.W = nn.Parameter(data(size, size))

    def transition(self, state, x):
        return 0.5 * state + fn.tanh(x @ self.W)

    def initial_state(self, batch):
        return self.zeros(batch, self.input_size)


class Pair(NamedTuple):
    count: tg.Tensor
    h: tg.Tensor


class Counting(nn.Module):
    """Not a Cell: a module with the three methods, a named state and an output of its own."""

    def __init__(self):
        self.W = nn.Parameter(data(F, H))

    def transition(self, state, x):
        return Pair(state.count + 1, state.h + x @ self.W / (state.count + 1))

    def output(self, state):
        return fn.tanh(state.h)

    def initial_state(self, batch):
        return Pair(tg.tensor(np.zeros((batch, 1))), tg.tensor(np.zeros((batch, H))))


class Plain:
    """Not even a module."""

    def __init__(self):
        self.W = nn.Parameter(data(F, F))

    def transition(self, state, x):
        return fn.tanh(state + x @ self.W)

    def output(self, state):
        return state

    def initial_state(self, batch):
        return tg.tensor(np.zeros((batch, F)))


@pytest.mark.parametrize("make", [lambda: Leaky(F), Counting, Plain], ids=["Cell", "Module", "any"])
def test_a_cell_of_ones_own_works_with_everything(make):
    x = data()
    rnn = nn.RNN(make(), recurrent_dropout=0.3, learn_initial=True)
    size = rnn(x).y.shape[2]
    stack = nn.Stacked(
        [nn.Bidirectional(rnn, nn.RNN(make())), nn.RNN(nn.LSTMCell(2 * size, H))], dropout=0.2
    )
    out = stack(x, lengths=[2, 5])
    again = stack(x, out.state)
    (again.y.sum() + again.last.sum()).backward()
    names = [name for name, _ in stack.named_parameters()]
    assert "layers.0.forward_rnn.cell.W" in names
    assert all(p.grad is not None for n, p in stack.named_parameters() if "initial" not in n)
    assert tg.Graph(again.y).timesteps == [1, 2, 3, 4, 5]
    stack.eval()
    tg.check_gradients(lambda *_: stack(x, lengths=[2, 5]).y, rnn.cell.W)


def test_the_hidden_part_of_a_named_state_is_the_one_called_h():
    rnn = nn.RNN(Counting(), recurrent_dropout=0.99)
    out = rnn(np.zeros((B, T, F)))
    np.testing.assert_array_equal(out.state.count.numpy(), np.full((B, 1), T))


def broken(**methods):
    """A cell that works but for the methods given."""
    return type("Odd", (Leaky,), methods)(F)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (
            lambda: nn.RNN(nn.Cell())(data()),
            r"Cell must define initial_state\(batch\)",
        ),
        (
            lambda: nn.RNN(broken(transition=nn.Cell.transition))(data()),
            r"Odd must define transition\(state, x\)",
        ),
        (
            lambda: nn.RNN(broken(transition=lambda cell, s, x: (s, x)))(data()),
            r"Odd: transition gave \(\(2, 3\), \(2, 3\)\), expected tensors in the structure of.*"
            r"initial_state, \(2, 3\)",
        ),
        (
            lambda: nn.RNN(broken(transition=lambda cell, s, x: s.numpy()))(data()),
            r"Odd: transition gave ndarray \(2, 3\), expected tensors",
        ),
        (
            lambda: nn.RNN(broken(output=lambda cell, s: s.numpy()))(data()),
            r"Odd: output gave ndarray \(2, 3\), expected a tensor whose first axis is the batch",
        ),
        (
            lambda: nn.RNN(broken(output=lambda cell, s: s.sum()))(data()),
            r"Odd: output gave \(\), expected a tensor whose first axis is the batch of 2",
        ),
    ],
)
def test_a_cell_that_does_not_fit_is_said(run, message):
    with pytest.raises(TypeError, match=message):
        run()
