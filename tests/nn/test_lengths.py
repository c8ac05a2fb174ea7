"""A batch of sequences of unequal length gives exactly what each sequence gives alone."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import nn

T, F, H = 5, 3, 4
LENGTHS = {
    "mixed": [3, 1, 5, 4],
    "all shorter than T": [2, 4, 1, 4],
    "all of length 1": [1, 1, 1, 1],
    "equal": [5, 5, 5, 5],
}


class MatrixStateCell(nn.Cell):
    """A state (B, F, 2) and its running mean, an output (B, 2): the batch axis is all they share.

    With as many features as sequences a mask of the wrong shape would broadcast without an error.
    """

    def __init__(self):
        self.input_size = F
        self.W = nn.Parameter(np.random.default_rng(1).normal(size=(F, 2)))

    def transition(self, state, x):
        s, mean = state
        s = 0.5 * s + x[..., None] * self.W
        return s, 0.9 * mean + 0.1 * s.mean(axis=(1, 2))

    def output(self, state):
        s, mean = state
        return s.sum(axis=1) * (1 + mean[:, None])

    def initial_state(self, batch):
        return self.zeros(batch, F, 2), self.zeros(batch)


def elman(size=F, **options):
    return nn.RNN(nn.ElmanCell(size, H), **options)


def lstm(size=F, **options):
    return nn.RNN(nn.LSTMCell(size, H, peephole=True), **options)


LAYERS = {
    "elman": elman,
    "elman reversed": lambda: elman(reverse=True),
    "lstm": lstm,
    "lstm reversed": lambda: lstm(reverse=True),
    "gru": lambda: nn.RNN(nn.GRUCell(F, H, reset="after")),
    "gru reversed": lambda: nn.RNN(nn.GRUCell(F, H), reverse=True),
    "learned initial state": lambda: lstm(learn_initial=True),
    "own cell": lambda: nn.RNN(MatrixStateCell()),
    "own cell reversed": lambda: nn.RNN(MatrixStateCell(), reverse=True),
    **{
        f"bidirectional {merge}": lambda merge=merge: nn.Bidirectional(elman(), elman(), merge)
        for merge in ("concat", "sum", "mean", "mul")
    },
    "bidirectional of two kinds": lambda: nn.Bidirectional(lstm(), elman()),
    "stacked": lambda: nn.Stacked([elman(), lstm(H)]),
    "stacked, the upper reversed": lambda: nn.Stacked([lstm(), elman(H, reverse=True)]),
    "stacked with skip": lambda: nn.Stacked([elman(), lstm(H)], skip=True),
    "stack on a stack": lambda: nn.Stacked([nn.Stacked([elman(), elman(H)]), lstm(H)]),
    "deep bidirectional": lambda: nn.LSTM(F, H, num_layers=2, bidirectional=True),
}


def parts_of(state):
    if isinstance(state, tuple):
        return [part for inner in state for part in parts_of(inner)]
    return [state]


def loss_of(out, weights):
    """Every output, last output and state with a weight of its own, so that none can stand in."""
    to_y, to_last, *to_states = weights
    terms = [(out.y * tg.tensor(to_y)).sum(), (out.last * tg.tensor(to_last)).sum()]
    parts = parts_of(out.state)
    terms += [(part * tg.tensor(w)).sum() for part, w in zip(parts, to_states, strict=True)]
    return sum(terms[1:], terms[0])


@pytest.mark.parametrize("given_state", [False, True], ids=["from s_0", "from a given state"])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_batch_is_its_sequences_alone(make, lengths, given_state):
    rng = np.random.default_rng(7)
    layer = make().astype("float64")
    for parameter in layer.parameters():
        parameter.data = rng.normal(0, 0.7, parameter.shape)
    batch = len(lengths)
    x = tg.tensor(rng.normal(size=(batch, T, F)), requires_grad=True)

    def random_like(part):
        return tg.tensor(rng.normal(size=part.shape), requires_grad=True)

    state = nn.map_state(random_like, layer(x.detach()).state) if given_state else None
    out = layer(x, state, lengths=lengths)
    weights = [rng.normal(size=t.shape) for t in (out.y, out.last, *parts_of(out.state))]
    loss_of(out, weights).backward()
    together = {name: p.grad for name, p in layer.named_parameters()}
    for parameter in layer.parameters():
        parameter.grad = None

    for i, length in enumerate(lengths):
        one = slice(i, i + 1)
        x_i = tg.tensor(x.numpy()[one, :length], requires_grad=True)
        state_i = None
        if given_state:
            state_i = nn.map_state(
                lambda part, one=one: tg.tensor(part.numpy()[one], requires_grad=True), state
            )
        alone = layer(x_i, state_i)
        assert not out.y.numpy()[i, length:].any()
        same(out.y.numpy()[one, :length], alone.y.numpy(), "y")
        same(out.last.numpy()[one], alone.last.numpy(), "last")
        for ours, theirs in zip(parts_of(out.state), parts_of(alone.state), strict=True):
            same(ours.numpy()[one], theirs.numpy(), "state")
        loss_of(alone, [weights[0][one, :length], *[w[one] for w in weights[1:]]]).backward()
        same(x.grad.numpy()[one, :length], x_i.grad.numpy(), "gradient of x")
        assert not x.grad.numpy()[i, length:].any()
        if given_state:
            for ours, theirs in zip(parts_of(state), parts_of(state_i), strict=True):
                same(ours.grad.numpy()[one], theirs.grad.numpy(), "gradient of the state")
    for name, parameter in layer.named_parameters():
        if given_state and name.startswith("initial"):
            assert together[name] is parameter.grad is None  # the learned one is not used
        else:
            same(together[name].numpy(), parameter.grad.numpy(), f"gradient of {name}")


def same(ours, theirs, what):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-13, err_msg=what)


@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
@pytest.mark.parametrize("padding", [np.nan, np.inf, 1e300])
def test_the_padding_is_not_looked_at(make, padding):
    layer = make().astype("float64")
    x = np.random.default_rng(0).normal(size=(3, T, F))
    lengths = [2, 5, 1]
    results = []
    for filler in (0.0, padding):
        for i, length in enumerate(lengths):
            x[i, length:] = filler
        leaf = tg.tensor(x, requires_grad=True)
        out = layer(leaf, lengths=lengths)
        for parameter in layer.parameters():
            parameter.grad = None
        (out.y.sum() + out.last.sum()).backward()
        gradients = [p.grad.numpy() for p in layer.parameters() if p.grad is not None]
        results.append([out.y.numpy(), out.last.numpy(), leaf.grad.numpy(), *gradients])
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_padding_is_not_looked_at_through_dropout():
    layer = nn.LSTM(F, H, num_layers=2, dropout=0.5)
    x = np.full((2, T, F), np.nan, "float32")
    x[0], x[1, :2] = 1.0, 1.0
    out = layer(x, lengths=[5, 2])
    out.y.sum().backward()
    assert np.isfinite(out.y.numpy()).all()
    assert all(np.isfinite(p.grad.numpy()).all() for p in layer.parameters())


@pytest.mark.parametrize(
    "lengths",
    [
        (3, 1),
        np.array([3, 1], "uint8"),
        np.array([3, 1], "int32"),
        tg.tensor([3, 1]),
    ],
    ids=["tuple", "uint8", "int32", "tensor"],
)
def test_lengths_may_be_any_integers(lengths):
    x = np.random.default_rng(0).normal(size=(2, T, F))
    for layer in (elman(), nn.LSTM(F, H, num_layers=2, bidirectional=True)):
        expected = layer(x, lengths=[3, 1]).y.numpy()
        np.testing.assert_array_equal(layer(x, lengths=lengths).y.numpy(), expected)


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([3, 0], ValueError, r"from 1 to T = 5, got 0 \(a sequence without steps has no last"),
        ([6, 2], ValueError, "from 1 to T = 5, got 6"),
        ([2, -1], ValueError, "from 1 to T = 5, got -1"),
        ([2.0, 1.0], TypeError, "lengths must be integers, got float64"),
        ([True, True], TypeError, "lengths must be integers, got bool"),
        ([2], ValueError, r"one number for each of the 2 sequences, got shape \(1,\)"),
        ([2, 3, 4], ValueError, r"one number for each of the 2 sequences, got shape \(3,\)"),
        (3, ValueError, r"one number for each of the 2 sequences, got shape \(\)"),
        ([[2, 3]], ValueError, r"one number for each of the 2 sequences, got shape \(1, 2\)"),
    ],
)
def test_lengths_that_do_not_fit_are_said(lengths, error, message):
    x = np.ones((2, T, F), "float32")
    for layer in (elman(), nn.Bidirectional(elman(), elman()), nn.Stacked([elman()], skip=True)):
        with pytest.raises(error, match=message):
            layer(x, lengths=lengths)


def test_equal_lengths_add_nothing_to_the_graph():
    layer, x = nn.LSTM(F, H, num_layers=2), np.ones((2, T, F), "float32")
    plain = tg.Graph(layer(x).y)
    with_lengths = tg.Graph(layer(x, lengths=[T, T]).y)
    assert [n.op for n in with_lengths.nodes] == [n.op for n in plain.nodes]


def test_sequential_hands_lengths_to_its_recurrent_layers():
    encoder = nn.Sequential(nn.Embedding(9, F), nn.Linear(F, F), nn.GRU(F, H, bidirectional=True))
    model = nn.Sequential(encoder, nn.LSTM(2 * H, H), nn.Last(), nn.Linear(H, 2)).astype("float64")
    ids, lengths = np.arange(15).reshape(3, 5) % 9, [2, 5, 1]
    y = model(ids, lengths=lengths).numpy()
    for i, length in enumerate(lengths):
        same(y[i : i + 1], model(ids[i : i + 1, :length]).numpy(), "y")
