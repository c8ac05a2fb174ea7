"""The worked examples of the lecture notes, and the forms of RNN that they write differently."""

from __future__ import annotations

import numpy as np
import pytest
from nn.formulas import sigmoid

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn


def random(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0, scale, shape)


# ---------------------------------------------------------------- note set 004: all weights 1


@pytest.mark.parametrize("readout", ["batched", "per step", "by hand"])
@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [([1, 1, 2], [4, 12, 32]), ([2, 1, 1], [8, 20, 44])],
    ids=["as in the notes", "in another order"],
)
def test_the_linear_rnn_whose_weights_are_all_1(inputs, outputs, readout):
    cell = nn.ElmanCell(2, 2, activation="linear", bias=False)
    head = nn.Linear(2, 2, bias=False)
    for parameter in (*cell.parameters(), *head.parameters()):
        parameter.data = np.ones((2, 2))
    x = np.repeat(np.array(inputs, "float32"), 2).reshape(1, 3, 2)
    if readout == "by hand":
        state, ys = cell.initial_state(1), []
        for t in range(3):
            s, state = cell(x[:, t], state)
            ys.append(head(s))
        y = F.stack(ys, axis=1)
    else:
        layer = nn.PerStep(head) if readout == "per step" else head
        y = nn.Sequential(nn.RNN(cell), layer)(x)
    assert y.numpy().tolist() == [[[n, n] for n in outputs]]


# ---------------------------------------------------------------- note set 004: gates set by hand


def lstm_with_gates_set_by_hand():
    """x2 = 1 adds x1 to the memory, x2 = −1 resets it, x3 = 1 lets it out."""
    cell = nn.LSTMCell(3, 1, activation="linear")
    cell.W_h = np.zeros((1, 4))
    cell.W_xi, cell.b_i = [[0.0], [100.0], [0.0]], [-10.0]
    cell.W_xf, cell.b_f = [[0.0], [100.0], [0.0]], [10.0]
    cell.W_xo, cell.b_o = [[0.0], [0.0], [100.0]], [-10.0]
    cell.W_xg, cell.b_g = [[1.0], [0.0], [0.0]], [0.0]
    return nn.RNN(cell)


@pytest.mark.parametrize(
    ("x1", "x2", "x3", "memory", "y"),
    [
        (
            [1, 3, 2, 4, 2, 1, 3, 6, 1],
            [0, 1, 0, 1, 0, 0, -1, 1, 0],
            [0, 0, 0, 0, 0, 1, 0, 0, 1],
            [0, 3, 3, 7, 7, 7, 0, 6, 6],
            [0, 0, 0, 0, 0, 7, 0, 0, 6],
        ),
        ([3, 4, 2, 1, 3], [1, 1, 0, 0, -1], [0, 0, 0, 1, 0], [3, 7, 7, 7, 0], [0, 0, 0, 7, 0]),
    ],
    ids=["the table", "the animation"],
)
def test_the_lstm_with_gates_set_by_hand(x1, x2, x3, memory, y):
    rnn = lstm_with_gates_set_by_hand()
    x = np.array([x1, x2, x3], "float32").T[None]
    np.testing.assert_allclose(rnn(x).y.numpy()[0, :, 0], y, atol=1e-2)
    for t, expected in enumerate(memory):
        (c,) = rnn(x[:, : t + 1]).state.c.numpy().ravel()
        assert c == pytest.approx(expected, abs=1e-2)


# ---------------------------------------------------------------- note set 002: its NumPy loop


@pytest.mark.parametrize("scale", [1.0, 0.1], ids=["as in the notes", "not saturated"])
def test_the_numpy_loop_with_100_time_steps(scale):
    """The notes join the outputs by np.concatenate, which gives 6400 numbers, not (100, 64):
    np.stack is meant. With their weights, all positive, tanh saturates; hence the second case.
    """
    generator = np.random.default_rng(0)
    timesteps, input_features, output_features = 100, 32, 64
    inputs = generator.random((timesteps, input_features))
    state_t = np.zeros((output_features,))
    W = (generator.random((output_features, input_features)) - (scale < 1) * 0.5) * scale
    U = (generator.random((output_features, output_features)) - (scale < 1) * 0.5) * scale
    b = generator.random((output_features,)) * scale
    successive_outputs = []
    for input_t in inputs:
        output_t = np.tanh(np.dot(W, input_t) + np.dot(U, state_t) + b)
        successive_outputs.append(output_t)
        state_t = output_t
    assert np.concatenate(successive_outputs, axis=0).shape == (6400,)
    final_output_sequence = np.stack(successive_outputs)

    cell = nn.ElmanCell(input_features, output_features).astype("float64")
    cell.W_x, cell.W_s, cell.b = W.T, U.T, b  # row vectors: the transposes
    y = nn.RNN(cell)(inputs[None]).y
    np.testing.assert_allclose(y.numpy()[0], final_output_sequence, rtol=1e-12)


def test_the_memory_of_an_lstm_has_no_sigmoid_around_it():
    """Note set 002 has C_t = σ(f * C_{t−1} + i * C̃_t), a σ too many: C must be able to grow."""
    rnn = lstm_with_gates_set_by_hand()
    out = rnn(np.array([[[5, 1, 0], [5, 1, 1]]], "float32"))
    assert out.state.c.item() == pytest.approx(10, abs=1e-2)
    assert sigmoid(sigmoid(5.0) + 5.0) < 1


# ---------------------------------------------------------------- note set 003


def test_two_biases_are_one_and_two_products_are_one():
    """f(x W_in + b_in + s W_s + b_s) = f([x; s] W + b), W = [W_in; W_s], b = b_in + b_s."""
    w_in, w_s, b_in, b_s = random(3, 5), random(5, 5), random(5, seed=1), random(5, seed=2)
    x = random(2, 4, 3, seed=3)
    cell = nn.ElmanCell(3, 5, activation="sigmoid").astype("float64")
    cell.W_x, cell.W_s, cell.b = w_in, w_s, b_in + b_s
    s_two = s_one = np.zeros((2, 5))
    w = np.concatenate([w_in, w_s])
    for t, y_t in enumerate(np.moveaxis(nn.RNN(cell)(x).y.numpy(), 1, 0)):
        s_two = sigmoid(x[:, t] @ w_in + b_in + s_two @ w_s + b_s)
        s_one = sigmoid(np.concatenate([x[:, t], s_one], axis=1) @ w + (b_in + b_s))
        np.testing.assert_allclose(y_t, s_two, rtol=1e-12)
        np.testing.assert_allclose(y_t, s_one, rtol=1e-12)


# ---------------------------------------------------------------- the two forms of the GRU


def gru_pair(first, second):
    """Two GRUs in float64 with the same random weights."""
    cells = [nn.GRUCell(3, 5, **options).astype("float64") for options in (first, second)]
    for name, parameter in cells[0].named_parameters():
        parameter.data = random(*parameter.shape, seed=len(name), scale=0.8)
        if hasattr(cells[1], name):
            setattr(cells[1], name, parameter.numpy())
    return cells


@pytest.mark.parametrize("reset", ["before", "after"])
def test_the_two_updates_agree_after_negating_the_weights_of_z(reset):
    candidate, state = gru_pair({"reset": reset}, {"reset": reset, "update": "state"})
    x = random(2, 6, 3, seed=9)
    y = nn.RNN(candidate)(x).y.numpy()
    assert np.abs(y - nn.RNN(state)(x).y.numpy()).max() > 0.1
    state.W_xz, state.W_sz, state.b_z = -state.W_xz, -state.W_sz, -state.b_z
    np.testing.assert_allclose(nn.RNN(state)(x).y.numpy(), y, rtol=1e-12, atol=1e-14)


def test_the_two_resets_differ():
    before, after = gru_pair({"reset": "before"}, {"reset": "after"})
    x = random(2, 6, 3, seed=9)
    one, two = (nn.RNN(cell)(x).y.numpy() for cell in (before, after))
    np.testing.assert_allclose(one[:, 0], two[:, 0], rtol=1e-12)  # s_0 = 0: nothing to reset
    assert np.abs(one - two)[:, 1:].max() > 1e-2


# ---------------------------------------------------------------- note set 001: user cells


class ManningCell(nn.Cell):
    """CS224N's form, for rows: h_t = f(h_{t−1}) W + x_t W_hx, ŷ_t = f(h_t) W_S."""

    def __init__(self, input_size, hidden_size, output_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = nn.Parameter(random(hidden_size, hidden_size, scale=0.5))
        self.W_hx = nn.Parameter(random(input_size, hidden_size, seed=1))
        self.W_S = nn.Parameter(random(hidden_size, output_size, seed=2))

    def transition(self, state, x):
        return F.tanh(state) @ self.W + x @ self.W_hx

    def output(self, state):
        return F.tanh(state) @ self.W_S

    def initial_state(self, batch):
        return self.zeros(batch, self.hidden_size)


def test_the_form_of_cs224n():
    cell = ManningCell(3, 4, 2)
    x = random(2, 5, 3, seed=5)
    h, W, W_hx, W_S = np.zeros((2, 4)), cell.W.numpy(), cell.W_hx.numpy(), cell.W_S.numpy()
    out = nn.RNN(cell)(x)
    for t in range(5):
        h = np.tanh(h) @ W + x[:, t] @ W_hx
        np.testing.assert_allclose(out.y.numpy()[:, t], np.tanh(h) @ W_S, rtol=1e-12)
    np.testing.assert_allclose(out.state.numpy(), h, rtol=1e-12)
    tg.check_gradients(lambda *_: nn.RNN(cell)(x).y, *cell.parameters(), order=2)


class SimpleSolution(nn.Cell):
    """c_t = θ_c c_{t−1} + θ_g g_t, h_t = tanh(c_t), with g_t the input."""

    def __init__(self, size):
        self.size = size
        self.theta_c, self.theta_g = nn.Parameter(np.float64(0.9)), nn.Parameter(np.float64(0.5))

    def transition(self, state, x):
        return self.theta_c * state + self.theta_g * x

    def output(self, state):
        return F.tanh(state)

    def initial_state(self, batch):
        return self.zeros(batch, self.size)


def test_the_simple_solution():
    cell = SimpleSolution(3)
    x = random(2, 6, 3)
    out = nn.RNN(cell)(x)
    weights = 0.5 * 0.9 ** np.arange(6)[::-1]  # what is left of each input at the end
    np.testing.assert_allclose(out.state.numpy(), np.einsum("t,btf->bf", weights, x), rtol=1e-12)
    np.testing.assert_array_equal(out.last.numpy(), np.tanh(out.state.numpy()))
    tg.check_gradients(lambda *_: nn.RNN(cell)(x).y, *cell.parameters(), order=2)
