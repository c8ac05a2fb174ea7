"""The shapes of use of note sets 002 and 003: each is exact, and each learns a small task."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

B, T, N, H, V = 4, 6, 3, 8, 5  # batch, steps, features, hidden, classes

CELLS = {
    "elman": lambda n: nn.ElmanCell(n, H),
    "irnn": lambda n: nn.IRNNCell(n, H),
    "lstm": lambda n: nn.LSTMCell(n, H),
    "gru": lambda n: nn.GRUCell(n, H),
    "jordan": lambda n: nn.JordanCell(n, H, H),
    "deep": lambda n: nn.DeepElmanCell(n, H, transition_layers=2),
    "clockwork": lambda n: nn.ClockworkCell(n, H, periods=(1, 2)),
    "scrn": lambda n: nn.SCRNCell(n, H - 2, 2, alpha=0.9),
}
every_cell = pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def train(loss, modules, steps=60, lr=0.03):
    """The losses before and after."""
    parameters = [p for module in modules for p in module.parameters()]
    optimiser = tg.optim.Adam(parameters, lr)
    losses = []
    for _ in range(steps + 1):
        optimiser.zero_grad()
        value = loss()
        losses.append(value.item())
        value.backward()
        optimiser.step()
    return losses[0], losses[-1]


def learned(loss, *modules, **options):
    before, after = train(loss, modules, **options)
    return after < 0.2 * before


# ---------------------------------------------------------------- one to one


@every_cell
def test_one_to_one(make):
    """A single step from s_0: an ordinary network, no recurrent weight of any consequence."""
    rnn, head = nn.RNN(make(N)), nn.Linear(H, V)
    model = nn.Sequential(rnn, nn.Last(), head)
    x, targets = data(B, 1, N), np.arange(B)
    y, _ = rnn.cell(x[:, 0])
    np.testing.assert_array_equal(model(x).numpy(), head(y).numpy())
    assert model(x).shape == (B, V)
    assert learned(lambda: F.cross_entropy(model(x), targets), model)


# ---------------------------------------------------------------- one to many


def generate(cell, head, start, steps):
    """The first input is given; then each output is the next input."""
    y, state, ys = start, None, []
    for t in range(steps):
        with tg.timestep(t + 1):
            s, state = cell(y, state)
            y = head(s)
        ys.append(y)
    return F.stack(ys, axis=1)


@every_cell
def test_one_to_many(make):
    cell, head = make(N), nn.Linear(H, N)
    start, targets = data(B, N), data(B, T, N, seed=1) * 0.5
    y = generate(cell, head, tg.tensor(start), T)
    assert y.shape == (B, T, N)
    graph = tg.Graph(y.sum())
    assert [node.timestep for node in graph.uses(head.W)] == list(range(1, T + 1))
    forced = head(nn.RNN(cell)(np.concatenate([start[:, None], y.numpy()[:, :-1]], axis=1)).y)
    np.testing.assert_allclose(y.numpy(), forced.numpy(), rtol=1e-4, atol=1e-5)
    before, after = train(
        lambda: F.mse_loss(generate(cell, head, tg.tensor(start), T), targets), [cell, head]
    )
    assert after < 0.7 * before


def test_one_to_many_from_the_state():
    """An image as the initial state, a caption as the outputs (note set 003)."""
    look, rnn, head = nn.Linear(7, H), nn.RNN(nn.GRUCell(V, H)), nn.Linear(H, V)
    image, words = data(B, 7), np.random.default_rng(2).integers(0, V, (B, T))
    before = np.concatenate([np.zeros((B, 1), int), words[:, :-1]], axis=1)  # word 0 begins

    def loss():
        y, _ = rnn(F.one_hot(before, V), F.tanh(look(image)))
        return F.cross_entropy(head(y), words)

    loss().backward()
    assert np.abs(look.W.grad.numpy()).max() > 0
    assert learned(loss, look, rnn, head, steps=80, lr=0.1)


# ---------------------------------------------------------------- many to one


@every_cell
def test_many_to_one(make):
    """The readout of each sequence's own last output: the acceptor of note set 000."""
    rnn, head = nn.RNN(make(N)), nn.Linear(H, 2)
    x, lengths = data(B, T, N), np.array([6, 2, 4, 1])
    targets = np.array([0, 1, 1, 0])

    def logits():
        return head(rnn(x, lengths=lengths).last)

    assert logits().shape == (B, 2)
    for i, length in enumerate(lengths):
        alone = nn.Sequential(rnn, nn.Last(), head)(x[i : i + 1, :length])
        np.testing.assert_allclose(logits().numpy()[i], alone.numpy()[0], rtol=1e-5, atol=1e-6)
    assert learned(lambda: F.cross_entropy(logits(), targets), rnn, head)


@pytest.mark.parametrize("layer", [nn.Elman, nn.LSTM, nn.GRU])
def test_many_to_one_remembers_the_first_input(layer):
    """The class is the first of all inputs: the gradient goes back through every step."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, V, (16, 5))
    model = nn.Sequential(nn.Embedding(V, 6), layer(6, 12), nn.Last(), nn.Linear(12, V))
    assert learned(lambda: F.cross_entropy(model(ids), ids[:, 0]), model, steps=80)


# ---------------------------------------------------------------- many to many, equal length


@every_cell
def test_many_to_many_of_equal_length(make):
    """A readout unrolled with the cell and one over all steps at once: the same numbers."""
    rnn, head = nn.RNN(make(N)).astype("float64"), nn.Linear(H, V).astype("float64")
    unrolled, batched = nn.Sequential(rnn, nn.PerStep(head)), nn.Sequential(rnn, head)
    x, targets = data(B, T, N), np.random.default_rng(1).integers(0, V, (B, T))
    np.testing.assert_allclose(unrolled(x).numpy(), batched(x).numpy(), rtol=1e-12)
    gradients = []
    for model in (unrolled, batched):
        loss = F.cross_entropy(model(x), targets)
        terms = tg.Graph(loss).contributions(head.W)
        assert list(terms) == (list(range(1, T + 1)) if model is unrolled else [None])
        gradients.append(tg.grad(loss, model.parameters()))
        np.testing.assert_allclose(
            sum(terms.values()), tg.grad(loss, [head.W])[0].numpy(), rtol=1e-12, atol=1e-14
        )
    for one, two in zip(*gradients, strict=True):
        np.testing.assert_allclose(one.numpy(), two.numpy(), rtol=1e-11, atol=1e-14)
    before, after = train(lambda: F.cross_entropy(batched(x), targets), [rnn, head], lr=0.05)
    assert after < 0.6 * before


def test_many_to_many_of_equal_length_from_both_ends():
    """Tagging: the tag of a word depends on the next word, which only a biRNN has seen."""
    ids = np.random.default_rng(3).integers(0, 2, (16, T))
    lengths = np.random.default_rng(4).integers(2, T + 1, 16)
    tags = np.roll(ids, -1, axis=1)
    mask = np.arange(T) < lengths[:, None] - 1  # the last word has no next one
    rnn, head = nn.Elman(2, H, bidirectional=True), nn.Linear(2 * H, 2)

    def loss():
        return F.cross_entropy(head(rnn(F.one_hot(ids, 2), lengths=lengths).y), tags, mask=mask)

    assert learned(loss, rnn, head)


# ---------------------------------------------------------------- many to many, other length


def decode(decoder, head, state, first, steps):
    """Each output is the next input: what is done once the model is trained."""
    word, words = first, []
    for _ in range(steps):
        y, state = decoder.cell(F.one_hot(word, V), state)
        word = head(y).numpy().argmax(axis=1)
        words.append(word)
    return np.stack(words, axis=1)


@every_cell
def test_many_to_many_of_other_length(make):
    """Encoder and decoder (note set 003): the source's final state is the decoder's first.

    Trained with the true words as inputs (teacher forcing), it writes the sources backwards when it
    is given its own.
    """
    encoder, decoder, head = nn.RNN(make(V)), nn.RNN(make(V)), nn.Linear(H, V)
    rng = np.random.default_rng(0)
    lengths = np.array([2, 3, 1, 3])
    source = rng.integers(1, V, (B, 3))
    steps = 4
    target = np.zeros((B, steps), int)  # word 0 ends; it begins too
    for i, length in enumerate(lengths):
        target[i, :length] = source[i, :length][::-1]
    shifted = np.concatenate([np.zeros((B, 1), int), target[:, :-1]], axis=1)

    def encoded():
        return encoder(F.one_hot(source, V), lengths=lengths).state

    def logits():
        return head(decoder(F.one_hot(shifted, V), encoded()).y)

    assert logits().shape == (B, steps, V)
    for i, length in enumerate(lengths):
        alone = encoder(F.one_hot(source[i : i + 1, :length], V)).state
        y = head(decoder(F.one_hot(shifted[i : i + 1], V), alone).y)
        np.testing.assert_allclose(logits().numpy()[i], y.numpy()[0], rtol=1e-4, atol=1e-5)
    modules = (encoder, decoder, head)
    assert learned(lambda: F.cross_entropy(logits(), target), *modules, steps=120, lr=0.05)
    written = decode(decoder, head, encoded(), np.zeros(B, int), steps)
    assert (written == target).mean() > 0.8
