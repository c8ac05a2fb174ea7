"""The rarer cells inside every kind of layer: lengths, directions, stacks, dropout, learned s_0."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nn.formulas import elman_step, gru_step, lstm_step
from nn.more_formulas import clockwork_step, deep_step, irnn_step, jordan_step, scrn_step

import tinygradrnn as tg
from tinygradrnn import nn

T, N, H = 5, 3, 4
DEEP = {"input_layers": 2, "transition_layers": 2, "output_layers": 2}
# name: the cell from its input size, the size of its output, its NumPy step
CELLS = {
    "elman": (lambda n: nn.ElmanCell(n, H), H, elman_step),
    "lstm": (lambda n: nn.LSTMCell(n, H), H, lstm_step),
    "gru": (lambda n: nn.GRUCell(n, H), H, gru_step),
    "irnn": (lambda n: nn.IRNNCell(n, H), H, irnn_step),
    "jordan": (lambda n: nn.JordanCell(n, H, 2), 2, jordan_step),
    "deep": (lambda n: nn.DeepElmanCell(n, H, **DEEP), H, partial(deep_step, **DEEP)),
    "clockwork": (
        lambda n: nn.ClockworkCell(n, H, periods=(1, 3)),
        H,
        partial(clockwork_step, periods=(1, 3)),
    ),
    "scrn": (
        lambda n: nn.SCRNCell(n, H, 2, alpha="learned"),
        H + 2,
        partial(scrn_step, alpha="learned"),
    ),
}
NEW = ("irnn", "jordan", "deep", "clockwork", "scrn")


def rnn(name, size=N, **options):
    return nn.RNN(CELLS[name][0](size), **options)


def randomised(layer):
    layer.astype("float64")
    rng = np.random.default_rng(5)
    for parameter in layer.parameters():
        parameter.data = rng.normal(0, 0.7, parameter.shape)
    return layer


LAYERS = {
    "forward": rnn,
    "reversed": lambda name: rnn(name, reverse=True),
    "bidirectional": lambda name: nn.Bidirectional(rnn(name), rnn(name)),
    "stacked": lambda name: nn.Stacked([rnn(name), rnn(name, CELLS[name][1])], skip=True),
    "learned start": lambda name: rnn(name, learn_initial=True),
}


def floats(state):
    """The parts of a state that gradients flow through."""
    if isinstance(state, tuple):
        return [part for inner in state for part in floats(inner)]
    return [state] if state.dtype.kind == "f" else []


def loss_of(out, weights):
    parts = (out.y, out.last, *floats(out.state))
    return sum((part * tg.tensor(w)).sum() for part, w in zip(parts, weights, strict=True))


@pytest.mark.parametrize("lengths", [[3, 1, 5, 4], [2, 2, 4, 1]], ids=str)
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", NEW)
def test_a_batch_is_its_sequences_alone(name, layer, lengths):
    layer = randomised(LAYERS[layer](name))
    rng = np.random.default_rng(6)
    x = tg.tensor(rng.normal(size=(4, T, N)), requires_grad=True)
    out = layer(x, lengths=lengths)
    weights = [rng.normal(size=t.shape) for t in (out.y, out.last, *floats(out.state))]
    loss_of(out, weights).backward()
    together = {path: p.grad.numpy() for path, p in layer.named_parameters()}
    for parameter in layer.parameters():
        parameter.grad = None
    for i, length in enumerate(lengths):
        one = slice(i, i + 1)
        x_i = tg.tensor(x.numpy()[one, :length], requires_grad=True)
        alone = layer(x_i)
        assert not out.y.numpy()[i, length:].any()
        ours = (out.y[one, :length], out.last[one], *[part[one] for part in floats(out.state)])
        for a, b in zip(ours, (alone.y, alone.last, *floats(alone.state)), strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12, atol=1e-13)
        loss_of(alone, [weights[0][one, :length], *[w[one] for w in weights[1:]]]).backward()
        g = x.grad.numpy()[one]
        np.testing.assert_allclose(g[:, :length], x_i.grad.numpy(), rtol=1e-12, atol=1e-13)
        assert not g[:, length:].any()
    for path, parameter in layer.named_parameters():
        np.testing.assert_allclose(
            together[path], parameter.grad.numpy(), rtol=1e-12, atol=1e-12, err_msg=path
        )


@pytest.mark.parametrize("name", NEW)
def test_reading_backwards_is_reading_the_reversed_sequence(name):
    forward = randomised(rnn(name))
    x = np.random.default_rng(0).normal(size=(2, T, N))
    out = nn.RNN(forward.cell, reverse=True)(x)
    turned = forward(x[:, ::-1])
    np.testing.assert_allclose(out.y.numpy(), turned.y.numpy()[:, ::-1], rtol=1e-13)
    np.testing.assert_allclose(out.last.numpy(), turned.last.numpy(), rtol=1e-13)


@pytest.mark.parametrize("name", NEW)
def test_the_initial_state_is_learned(name):
    layer = randomised(rnn(name, learn_initial=True))
    x = np.random.default_rng(0).normal(size=(2, T, N))
    assert [p.shape[0] for p in layer.initial] == [1] * len(floats(layer(x).state))
    tg.check_gradients(lambda *_: layer(x).y, *layer.parameters())
    given = layer(x, layer.cell.initial_state(2)).y.numpy()
    assert np.abs(given - layer(x).y.numpy()).max() > 1e-3


@pytest.mark.parametrize("name", NEW)
def test_recurrent_dropout_masks_the_hidden_part_once_per_sequence(name):
    layer = randomised(rnn(name, recurrent_dropout=0.5))
    x = np.random.default_rng(0).normal(size=(2, T, N))
    tg.manual_seed(1)
    out = layer(x)
    tg.manual_seed(1)
    state = layer.cell.initial_state(2)
    hidden = state[0] if isinstance(state, tuple) else state
    mask = tg.functional.dropout_mask(hidden, 0.5)
    for t in range(T):
        if isinstance(state, tuple):
            entering = state._replace(**{state._fields[0]: state[0] * mask})
        else:
            entering = state * mask
        state = layer.cell.transition(entering, tg.tensor(x[:, t]))
        np.testing.assert_array_equal(
            layer.cell.output(state).numpy(), out.y.numpy()[:, t], err_msg=f"step {t + 1}"
        )
    plain = layer.eval()(x).y.numpy()
    np.testing.assert_array_equal(layer(x).y.numpy(), plain)


@pytest.mark.parametrize("merge", ["sum", "mean", "mul"])
def test_directions_of_different_sizes_can_only_be_joined(merge):
    both = nn.RNN(nn.ElmanCell(N, 1)), nn.RNN(nn.ElmanCell(N, H))
    x = np.ones((2, T, N), "float32")
    assert nn.Bidirectional(*both)(x).y.shape == (2, T, 1 + H)
    message = rf"Bidirectional: merge='{merge}' needs outputs of one size, got 1 and {H}"
    with pytest.raises(ValueError, match=message):
        nn.Bidirectional(*both, merge=merge)(x)


# ---------------------------------------------------------------- any stack is the NumPy loop


class Masks:
    """Dropout masks in the order in which the layers draw them."""

    def __init__(self, seed):
        self.generator = np.random.Generator(np.random.PCG64(seed))

    def __call__(self, p, *shape):
        if not p:
            return np.ones(shape)
        return (self.generator.random(shape, dtype=np.float32) >= p) / (1 - p)


def looped(layer, step, x, lengths, backwards, mask):
    """Each sequence alone, one step after the other."""
    w = layer.cell.state_dict()
    ys, lasts = [], []
    for b, length in enumerate(lengths):
        start = layer.cell.initial_state(1)
        state = tuple(p.numpy() for p in (start if isinstance(start, tuple) else (start,)))
        y = [None] * length
        for t in range(length)[:: -1 if backwards else 1]:
            state, y[t] = step(w, (state[0] * mask[b], *state[1:]), x[b : b + 1, t])
        lasts.append(y[0 if backwards else -1])
        padding = [np.zeros_like(y[0])] * (x.shape[1] - length)
        ys.append(np.stack([*y, *padding], axis=1))
    return np.concatenate(ys), np.concatenate(lasts)


layers = st.lists(
    st.tuples(
        st.sampled_from(list(CELLS)), st.sampled_from(["forward", "reversed", "bidirectional"])
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    layers,
    st.lists(st.integers(1, T), min_size=1, max_size=4),
    st.booleans(),
    st.sampled_from([0.0, 0.4]),
    st.sampled_from([0.0, 0.4]),
    st.integers(0, 99),
)
def test_any_stack_of_any_cells_is_the_step_by_step_loop(
    kinds, lengths, skip, dropout, recurrent, seed
):
    size, built = N, []
    for name, direction in kinds:
        ones = [
            rnn(name, size, recurrent_dropout=recurrent, reverse=direction == "reversed")
            for _ in range(2 if direction == "bidirectional" else 1)
        ]
        built.append(nn.Bidirectional(*ones) if len(ones) == 2 else ones[0])
        size = CELLS[name][1] * len(ones)
    stack = randomised(nn.Stacked(built, dropout=dropout, skip=skip))
    x = np.random.default_rng(seed).normal(size=(len(lengths), T, N))
    tg.manual_seed(seed)
    out = stack(x, lengths=lengths)

    masks = Masks(seed)
    running = np.arange(T) < np.array(lengths)[:, None]
    below = x * running[..., None]
    joined, ends = [below], [below[np.arange(len(lengths)), np.array(lengths) - 1]]
    for layer, (name, direction) in zip(built, kinds, strict=True):
        below = below * np.stack([masks(dropout, *below[:, 0].shape) for _ in range(T)], axis=1)
        both = isinstance(layer, nn.Bidirectional)
        ones = [layer.forward_rnn, layer.backward_rnn] if both else [layer]
        results = []
        for k, one in enumerate(ones):
            start = one.cell.initial_state(len(lengths))
            hidden = start[0] if isinstance(start, tuple) else start
            mask = masks(recurrent, *hidden.shape)
            backwards = direction == "reversed" or k == 1
            results.append(looped(one, CELLS[name][2], below, lengths, backwards, mask))
        below, last = (np.concatenate(parts, axis=-1) for parts in zip(*results, strict=True))
        joined.append(below)
        ends.append(last)
    y = np.concatenate(joined, axis=-1) if skip else joined[-1]
    last = np.concatenate(ends, axis=-1) if skip else ends[-1]
    np.testing.assert_allclose(out.y.numpy(), y, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(out.last.numpy(), last, rtol=1e-11, atol=1e-11)
