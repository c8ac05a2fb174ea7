"""Stacked and bidirectional layers, the short forms, dropout between layers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nn.formulas import STEPS

import tinygradrnn as tg
from tinygradrnn import nn

B, T, F, H = 2, 5, 3, 4
CELLS = {"elman": nn.ElmanCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
MERGES = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "mean": lambda a, b: (a + b) / 2,
    "mul": lambda a, b: a * b,
}


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape or (B, T, F))


def elman(size=F, hidden=H):
    return nn.RNN(nn.ElmanCell(size, hidden).astype("float64"))


# ---------------------------------------------------------------- bidirectional


def test_a_birnn_reads_from_both_ends():
    """Note set 000: biRNN(x_1:n, i) = [RNN_f(x_1:i); RNN_b(x_n:i)], all in one pass each."""
    forward, backward = elman(), elman()
    x = data()
    out = nn.Bidirectional(forward, backward)(x)
    for i in range(T):
        ahead = forward(x[:, : i + 1]).last.numpy()
        back = backward(x[:, i:][:, ::-1]).last.numpy()
        expected = np.concatenate([ahead, back], axis=1)
        np.testing.assert_allclose(out.y.numpy()[:, i], expected, rtol=1e-12)
    y = out.y.numpy()
    ends = np.concatenate([y[:, -1, :H], y[:, 0, H:]], axis=1)  # y[:, -1] is not the last output
    np.testing.assert_array_equal(out.last.numpy(), ends)


@pytest.mark.parametrize("merge", MERGES)
def test_merges(merge):
    forward, backward, x = elman(), elman(), data()
    out = nn.Bidirectional(forward, backward, merge)(x)
    one, two = forward(x), nn.RNN(backward.cell, reverse=True)(x)
    expected = MERGES[merge](one.y.numpy(), two.y.numpy())
    np.testing.assert_allclose(out.y.numpy(), expected, rtol=1e-12)
    expected = MERGES[merge](one.last.numpy(), two.last.numpy())
    np.testing.assert_allclose(out.last.numpy(), expected, rtol=1e-12)


def test_the_state_of_a_bidirectional_layer_is_a_pair():
    layer = nn.Bidirectional(nn.RNN(nn.LSTMCell(F, H)), elman())
    ahead, back = layer(data()).state
    assert isinstance(ahead, nn.LSTMState)
    assert back.shape == (B, H)
    again = layer(data(), (ahead, back))
    np.testing.assert_array_equal(
        again.y.numpy()[..., :H], layer.forward_rnn(data(), ahead).y.numpy()
    )


# ---------------------------------------------------------------- stacked


def test_every_layer_reads_the_outputs_of_the_one_below():
    lower, upper, x = elman(), elman(H, 6), data()
    out = nn.Stacked([lower, upper])(x)
    np.testing.assert_array_equal(out.y.numpy(), upper(lower(x).y).y.numpy())
    assert out.last.shape == (B, 6)
    assert [s.shape for s in out.state] == [(B, H), (B, 6)]
    assert [layer.y.shape for layer in out.layers] == [(B, T, H), (B, T, 6)]
    np.testing.assert_array_equal(out.layers[0].y.numpy(), lower(x).y.numpy())
    assert len(nn.Stacked([lower, nn.Stacked([upper])])(x).state[1]) == 1


def test_skip_concatenates_the_input_and_every_output():
    lower, upper, x = elman(), elman(H, 6), data()
    out = nn.Stacked([lower, upper], skip=True)(x)
    below = lower(x).y
    expected = np.concatenate([x, below.numpy(), upper(below).y.numpy()], axis=2)
    np.testing.assert_array_equal(out.y.numpy(), expected)
    np.testing.assert_array_equal(out.last.numpy(), expected[:, -1])


@pytest.mark.parametrize(
    ("lower", "op"),
    [
        (elman, "tanh"),
        (lambda: nn.RNN(nn.LSTMCell(F, H)), "multiply"),
        (lambda: nn.Bidirectional(elman(F, 2), elman(F, 2)), "concatenate"),
    ],
    ids=["elman", "lstm", "bidirectional"],
)
@pytest.mark.parametrize("upper", [nn.ElmanCell, nn.LSTMCell, nn.GRUCell])
def test_a_step_reads_the_output_of_the_step_below_directly(lower, op, upper):
    """No stack and slice between: unrolled, the layers are a grid."""
    top = nn.RNN(upper(H, H))
    out = nn.Stacked([lower(), top])(data())
    for node in tg.Graph(out.y).uses(top.cell.W_x):
        below = node.inputs[0]
        assert below.op == op
        assert below.timestep == node.timestep


@pytest.mark.parametrize("make", [nn.Elman, nn.LSTM, nn.GRU])
def test_short_forms(make):
    layer = make(F, H, num_layers=3, bidirectional=True, dropout=0.1, recurrent_dropout=0.2)
    assert isinstance(layer, nn.Stacked)
    assert layer.dropout == 0.1
    rnns = [rnn for both in layer.layers for rnn in (both.forward_rnn, both.backward_rnn)]
    assert all(isinstance(both, nn.Bidirectional) for both in layer.layers)
    assert [rnn.cell.input_size for rnn in rnns] == [F, F, *[2 * H] * 4]
    assert {rnn.recurrent_dropout for rnn in rnns} == {0.2}
    assert make(F, H)(data()).y.shape == (B, T, H)
    assert layer(data()).y.shape == (B, T, 2 * H)
    assert layer(data()).last.shape == (B, 2 * H)
    assert "W_x" in dict(make(F, H, bias=False).layers[0].cell.named_parameters())
    assert "b" not in dict(make(F, H, bias=False).layers[0].cell.named_parameters())


# ---------------------------------------------------------------- dropout between layers


def test_dropout_masks_the_input_of_every_layer():
    tg.manual_seed(3)
    layer = nn.LSTM(F, H, num_layers=2, dropout=0.5)
    masks = [n for n in tg.Graph(layer(tg.tensor(data(), requires_grad=True)).y).nodes]
    shapes = [n.shape for n in masks if n.name == "dropout mask"]
    assert shapes == [(B, F)] * T + [(B, H)] * T
    runs = []
    for seed in (1, 1, 2):
        tg.manual_seed(seed)
        runs.append(layer(data()).y.numpy())
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()
    layer.eval()
    np.testing.assert_array_equal(layer(data()).y.numpy(), layer(data()).y.numpy())


# ---------------------------------------------------------------- any stack is the NumPy loop

OPTIONS = {
    "elman": [{"activation": f} for f in ("tanh", "relu", "sigmoid", "linear")] + [{"bias": False}],
    "lstm": [{}, {"peephole": True}, {"coupled": True}, {"bias": False}, {"activation": "linear"}],
    "gru": [{}, {"reset": "after"}, {"update": "state"}, {"reset": "after", "bias": False}],
}
one_cell = st.sampled_from([(kind, o) for kind, listed in OPTIONS.items() for o in listed])
one_layer = st.tuples(
    st.lists(one_cell, min_size=1, max_size=2),  # two cells: bidirectional
    st.integers(1, 4),  # hidden size
    st.booleans(),  # reverse, if one direction
    st.sampled_from(list(MERGES)),
)


@st.composite
def problems(draw):
    batch, steps = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    ragged = draw(st.booleans())
    lengths = [draw(st.integers(1, steps)) for _ in range(batch)] if ragged else None
    dropout = draw(st.sampled_from([0.0, 0.0, 0.4]))
    recurrent = draw(st.sampled_from([0.0, 0.0, 0.4]))
    layers = draw(st.lists(one_layer, min_size=1, max_size=3))
    return (batch, steps, draw(st.integers(1, 4))), lengths, layers, dropout, recurrent


def build(sizes, layers, dropout, recurrent):
    size, built = sizes[2], []
    for cells, hidden, reverse, merge in layers:
        rnns = [
            nn.RNN(CELLS[kind](size, hidden, **options), recurrent_dropout=recurrent)
            for kind, options in cells
        ]
        rnns[0].reverse = reverse and len(rnns) == 1
        built.append(rnns[0] if len(rnns) == 1 else nn.Bidirectional(*rnns, merge=merge))
        size = hidden * (2 if len(rnns) == 2 and merge == "concat" else 1)
    stack = nn.Stacked(built, dropout=dropout).astype("float64")
    for i, parameter in enumerate(stack.parameters()):
        parameter.data = data(*parameter.shape, seed=i) * 0.7
    return stack


class Masks:
    """Dropout masks drawn in the order in which the layers draw them."""

    def __init__(self, seed):
        self.generator = np.random.Generator(np.random.PCG64(seed))

    def __call__(self, p, *shape):
        if not p:
            return np.ones(shape)
        return (self.generator.random(shape, dtype=np.float32) >= p) / (1 - p)


def loop(rnn, kind, options, x, lengths, reverse, mask):
    """Each sequence alone, step by step."""
    w, hidden = rnn.cell.state_dict(), rnn.cell.hidden_size
    y = np.zeros((*x.shape[:2], hidden))
    last = np.zeros((len(x), hidden))
    state = np.zeros((2 if kind == "lstm" else 1, len(x), hidden))
    for b, length in enumerate(lengths):
        s = tuple(part[b : b + 1] for part in state)
        for t in range(length)[:: -1 if reverse else 1]:
            entering = (s[0] * mask[b : b + 1], *s[1:])
            s, out = STEPS[kind](w, entering, x[b : b + 1, t], **options)
            y[b, t] = last[b] = out[0]
        for part, final in zip(state, s, strict=True):
            part[b] = final[0]
    return y, last, state


def by_loop(stack, layers, x, lengths, dropout, recurrent, seed):
    masks, states = Masks(seed), []
    for layer, (cells, hidden, reverse, merge) in zip(stack.layers, layers, strict=True):
        batch, steps, size = x.shape
        x = x * np.stack([masks(dropout, batch, size) for _ in range(steps)], axis=1)
        rnns = [layer] if len(cells) == 1 else [layer.forward_rnn, layer.backward_rnn]
        results = []
        for k, (rnn, (kind, options)) in enumerate(zip(rnns, cells, strict=True)):
            turned = reverse if len(rnns) == 1 else k == 1
            mask = masks(recurrent, batch, hidden)
            results.append(loop(rnn, kind, options, x, lengths, turned, mask))
        states += [part for _, _, state in results for part in state]
        x, last = results[0][:2]
        if len(results) == 2:
            x, last = (MERGES[merge](results[0][k], results[1][k]) for k in (0, 1))
    return x, last, states


def parts_of(state):
    if isinstance(state, tuple):
        return [part for inner in state for part in parts_of(inner)]
    return [state.numpy()]


@settings(max_examples=120, deadline=None, derandomize=True, database=None)
@given(problems(), st.integers(0, 99))
def test_any_stack_is_the_step_by_step_loop(problem, seed):
    sizes, lengths, layers, dropout, recurrent = problem
    tg.manual_seed(seed)
    stack = build(sizes, layers, dropout, recurrent)
    x = data(*sizes, seed=seed)
    tg.manual_seed(seed)
    out = stack(x, lengths=lengths)
    full = lengths or [sizes[1]] * sizes[0]
    y, last, states = by_loop(stack, layers, x, full, dropout, recurrent, seed)
    np.testing.assert_allclose(out.y.numpy(), y, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(out.last.numpy(), last, rtol=1e-11, atol=1e-12)
    for ours, theirs in zip(parts_of(out.state), states, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (
            lambda: nn.Stacked([nn.LSTMCell(F, H)]),
            TypeError,
            r"Stacked: layer 0 is a LSTMCell; give recurrent layers, such as RNN\(cell\)",
        ),
        (lambda: nn.Stacked([]), ValueError, "give at least one layer"),
        (lambda: nn.Stacked([elman()], dropout=1.0), ValueError, "dropout must be .* below 1"),
        (
            lambda: nn.Bidirectional(nn.LSTMCell(F, H), elman()),
            TypeError,
            r"forward must be an RNN, got a LSTMCell; write RNN\(cell\)",
        ),
        (
            lambda: nn.Bidirectional(elman(), nn.RNN(nn.ElmanCell(F, H), reverse=True)),
            ValueError,
            "give backward without reverse=True; it reverses itself",
        ),
        (
            lambda: nn.Bidirectional(*[elman()] * 2),
            ValueError,
            "forward and backward are the same layer; make two",
        ),
        (
            lambda: nn.Bidirectional(elman(), elman(), "max"),
            ValueError,
            "merge: 'max' is not one of concat, sum, mean, mul",
        ),
        (lambda: nn.LSTM(F, H, num_layers=0), ValueError, "num_layers must be an integer of at"),
        (lambda: nn.LSTM(F, H)(data(B, F)), ValueError, r"LSTM: x must be \(B, T, F\), got"),
        (
            lambda: nn.LSTM(F, H, num_layers=2)(data(), nn.LSTMState(data(B, H), data(B, H))),
            ValueError,
            r"LSTM: state must be a tuple of 2 states, one for each layer, got LSTMState\(",
        ),
        (
            lambda: nn.Bidirectional(elman(), elman())(data(), data(B, H)),
            ValueError,
            r"Bidirectional: state must be a pair \(forward, backward\), got ndarray \(2, 4\)",
        ),
    ],
)
def test_what_does_not_fit_is_said(run, error, message):
    with pytest.raises(error, match=message):
        run()
