"""Layers without a state, Sequential, the readouts of a sequence, and initial weights."""

from __future__ import annotations

import numpy as np
import pytest
from processes import run_python

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.nn import initialisers


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


X = data(2, 5, 3)


# ---------------------------------------------------------------- Sequential, Last, PerStep


def test_sequential_passes_the_outputs_of_a_recurrent_layer_on():
    lstm, head = nn.LSTM(3, 4), nn.Linear(4, 2)
    y = nn.Sequential(lstm, F.tanh, head)(X)
    np.testing.assert_array_equal(y.numpy(), head(F.tanh(lstm(X).y)).numpy())
    out = nn.Sequential(head, nn.GRU(2, 3))(lstm(X).y)  # the last keeps its whole output
    assert out.state[0].shape == (2, 3)
    model = nn.Sequential(lstm, head)
    assert (len(model), model[0], model[-1]) == (2, lstm, head)
    assert nn.Sequential()(X) is X


def test_last_takes_each_sequences_own_last_output():
    rnn = nn.Bidirectional(nn.RNN(nn.ElmanCell(3, 4)), nn.RNN(nn.ElmanCell(3, 4)))
    np.testing.assert_array_equal(nn.Sequential(rnn, nn.Last())(X).numpy(), rnn(X).last.numpy())
    out = rnn(X, lengths=[2, 5])
    assert nn.Last()(out) is out.last
    with pytest.raises(TypeError, match=r"Last reads the output of a recurrent layer, got a Tens"):
        nn.Sequential(nn.Linear(3, 2), nn.Last())(X)


def test_a_module_may_read_the_whole_output():
    class FinalMemory(nn.Module):
        reads_output = True

        def forward(self, out):
            return out.state.c

    rnn = nn.RNN(nn.LSTMCell(3, 4))
    np.testing.assert_array_equal(
        nn.Sequential(rnn, FinalMemory())(X).numpy(), rnn(X).state.c.numpy()
    )


@pytest.mark.parametrize(
    "layers", [[nn.Linear(3, 2), nn.Linear(2, 2)], "ab"], ids=["a list", "text"]
)
def test_sequential_refuses_what_cannot_be_called(layers):
    with pytest.raises(TypeError, match=r"Sequential: layer 0 is a (list|str); give modules or"):
        nn.Sequential(layers)


def test_a_readout_per_step_has_the_numbers_of_the_batched_one():
    cell, head = nn.GRUCell(3, 4).astype("float64"), nn.Linear(4, 2).astype("float64")
    batched = nn.Sequential(nn.RNN(cell), head)
    unrolled = nn.Sequential(nn.RNN(cell), nn.PerStep(head))
    factor = data(2, 5, 2, seed=1)
    results = []
    for model in (batched, unrolled):
        loss = (model(X) * tg.tensor(factor)).sum()
        results.append([loss, *tg.grad(loss, [*cell.parameters(), *head.parameters()])])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=1e-12, atol=1e-14)

    terms = tg.Graph(results[1][0]).contributions(head.W)
    states = nn.RNN(cell)(X).y.numpy()
    assert list(terms) == [1, 2, 3, 4, 5]
    for t, term in terms.items():  # ∂L/∂W_out of each step by itself
        expected = states[:, t - 1].T @ factor[:, t - 1]
        np.testing.assert_allclose(term, expected, rtol=1e-12, atol=1e-14)
    assert list(tg.Graph(results[0][0]).contributions(head.W)) == [None]


def test_a_readout_per_step_reads_the_state_directly():
    head = nn.PerStep(nn.Linear(4, 2))
    graph = tg.Graph(nn.Sequential(nn.RNN(nn.ElmanCell(3, 4)), head)(X))
    for node in graph.uses(head.module.W):
        assert node.inputs[0].op == "tanh"
        assert node.inputs[0].timestep == node.timestep
    with pytest.raises(ValueError, match=r"PerStep needs \(B, T, …\)"):
        head(np.ones(3))


def test_the_output_layer_of_note_set_003():
    """y_t = f_out(W_out s_t + b_out) with softmax for f_out: a distribution at every step."""
    y = nn.Sequential(nn.Elman(3, 4), nn.PerStep(nn.Linear(4, 6)), F.softmax)(X).numpy()
    np.testing.assert_allclose(y.sum(axis=-1), np.ones((2, 5)), rtol=1e-6)


# ---------------------------------------------------------------- Linear, MLP


def test_linear():
    layer = nn.Linear(3, 2).astype("float64")
    layer.b = data(2, seed=1)
    expected = X @ layer.W.numpy() + layer.b.numpy()
    np.testing.assert_allclose(layer(X).numpy(), expected, rtol=1e-14)
    assert layer(X[0, 0]).shape == (2,)
    assert nn.Linear(3, 2, bias=False).b is None
    tg.check_gradients(lambda *_: layer(X), *layer.parameters())


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: nn.Linear(3, 2)(np.ones((4, 5))), r"the last axis of .*\(4, 5\) must be in_fea"),
        (lambda: nn.Linear(3, 2)(1.0), "must be in_features = 3"),
        (lambda: nn.Linear(3, 0), "out_features must be an integer of at least 1, got 0"),
        (lambda: nn.Linear(True, 2), "in_features must be an integer of at least 1, got True"),
        (lambda: nn.MLP([3]), r"MLP: sizes must be \[in, …, out\], got \[3\]"),
        (lambda: nn.MLP([3, 2], "swish"), "activation: 'swish' is not one of tanh, relu"),
        (lambda: nn.Embedding(5, 2, padding_idx=5), "padding_idx 5 is not in 0…4"),
        (lambda: nn.Embedding.from_pretrained(np.ones(3)), r"must be \(V, E\), got \(3,\)"),
        (lambda: nn.Dropout(1.0), "p must be at least 0 and below 1, got 1.0"),
        (lambda: nn.Dropout(-0.1), "p must be at least 0 and below 1, got -0.1"),
    ],
)
def test_what_does_not_fit_is_said(run, message):
    with pytest.raises(ValueError, match=message):
        run()


@pytest.mark.parametrize("activation", ["tanh", "relu", "sigmoid", "linear", "leaky_relu"])
def test_mlp(activation):
    mlp = nn.MLP([3, 4, 5, 2], activation).astype("float64")
    y = X
    for position, layer in enumerate(mlp.layers):
        y = y @ layer.W.numpy() + layer.b.numpy()
        y = y if position == 2 else getattr(F, activation)(y).numpy()
    np.testing.assert_allclose(mlp(X).numpy(), y, rtol=1e-13)
    assert len(mlp.parameters()) == 6


# ---------------------------------------------------------------- Embedding


def test_embedding_looks_rows_up_and_adds_their_gradients():
    layer = nn.Embedding(6, 3).astype("float64")
    ids = np.array([[1, 5, 1], [0, 1, 2]])
    factor = data(2, 3, 3)
    y = layer(ids)
    np.testing.assert_array_equal(y.numpy(), layer.W.numpy()[ids])
    np.testing.assert_array_equal(y.numpy(), (F.one_hot(ids, 6) @ layer.W).numpy())
    (y * tg.tensor(factor)).sum().backward()
    expected = np.zeros((6, 3))
    np.add.at(expected, ids, factor)
    np.testing.assert_allclose(layer.W.grad.numpy(), expected, rtol=1e-14)
    assert abs(layer.W.numpy()).max() <= 0.05


def test_padding_is_zero_and_gets_no_gradient():
    layer = nn.Embedding(6, 3, padding_idx=0)
    assert not layer.W.numpy()[0].any()
    ids = tg.tensor([[0, 2, 0]])
    y = layer(ids)
    assert y.shape == (1, 3, 3)
    assert not y.numpy()[0, [0, 2]].any()
    y.sum().backward()
    assert not layer.W.grad.numpy()[0].any()
    assert (layer.W.grad.numpy()[2] == 1).all()
    assert y.dtype == "float32"


def test_embedding_from_pretrained_vectors():
    vectors = data(6, 3)
    layer = nn.Embedding.from_pretrained(vectors)
    np.testing.assert_array_equal(layer([4]).numpy(), vectors[[4]])
    assert layer.W.requires_grad
    assert layer.W.dtype == "float64"
    frozen = nn.Embedding.from_pretrained(vectors, freeze=True)
    assert not frozen.W.requires_grad
    assert [path for path, _ in frozen.named_parameters()] == ["W"]
    state = tg.Graph(F.tanh(layer([1])))
    assert list(state.parameters) == ["W"]


def test_embedding_from_pretrained_draws_no_random_numbers():
    tg.manual_seed(3)
    expected = initialisers.uniform((2,))
    tg.manual_seed(3)
    nn.Embedding.from_pretrained(data(50, 3))
    np.testing.assert_array_equal(initialisers.uniform((2,)), expected)


@pytest.mark.parametrize(
    ("ids", "error", "message"),
    [
        ([[1, 6]], IndexError, r"ids hold values from 1 to 6; 'W' \(6, 3\) has rows 0 to 5"),
        ([-1, 2], IndexError, "ids hold values from -1 to 2"),
        ([0.5], TypeError, "embedding: ids must be integers, got float32"),
    ],
)
def test_ids_outside_of_the_vocabulary_are_said(ids, error, message):
    with pytest.raises(error, match=message):
        nn.Embedding(6, 3)(ids)


# ---------------------------------------------------------------- Dropout


def test_dropout_keeps_the_mean_and_is_off_in_eval():
    tg.manual_seed(0)
    layer = nn.Dropout(0.25)
    x = np.ones((100, 100), "float32")
    y = layer(x).numpy()
    kept = np.float32(1) / np.float32(0.75)
    assert set(np.unique(y)) == {0, kept}
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    assert y.mean() == pytest.approx(1, abs=0.02)
    assert (layer(x).numpy() != y).any()
    tg.manual_seed(0)
    np.testing.assert_array_equal(layer(x).numpy(), y)
    assert (layer.eval()(x).numpy() == 1).all()
    assert (nn.Dropout(0)(x).numpy() == 1).all()


def test_dropout_passes_gradients_where_it_passes_values():
    x = tg.tensor(np.ones(50), requires_grad=True)
    y = nn.Dropout(0.5)(x)
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


# ---------------------------------------------------------------- initial weights


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 3, 4)])
def test_orthogonal_is_orthogonal(shape):
    w = initialisers.orthogonal(shape).reshape(-1, shape[-1]).astype("float64")
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(product, np.eye(len(product)), atol=1e-6)


def test_orthogonal_is_uniform_over_signs():
    tg.manual_seed(0)
    corners = [initialisers.orthogonal((3, 3))[0, 0] for _ in range(400)]
    assert np.mean(corners) == pytest.approx(0, abs=0.1)
    assert np.mean(np.square(corners)) == pytest.approx(1 / 3, abs=0.05)


def test_bounds():
    tg.manual_seed(0)
    w = initialisers.glorot((30, 50))
    bound = np.sqrt(6 / 80)
    assert 0.98 * bound < abs(w).max() <= bound
    assert w.var() == pytest.approx(2 / 80, rel=0.1)
    w = initialisers.uniform((30, 50))
    assert 0.98 / np.sqrt(50) < abs(w).max() <= 1 / np.sqrt(50)
    assert not initialisers.zeros((3, 2)).any()
    np.testing.assert_array_equal(initialisers.identity((3, 3)), np.eye(3))
    assert {f((2, 2)).dtype.name for f in initialisers.BY_NAME.values()} == {"float32"}
    for name in ("glorot", "orthogonal", "identity"):
        with pytest.raises(ValueError, match=rf"{name} fills matrices, got the shape \(3,\)"):
            initialisers.BY_NAME[name]((3,))


def test_gates_are_drawn_one_by_one():
    """Glorot of a gate's own size: wide matrices would get smaller weights."""
    cell = nn.LSTMCell(30, 50)
    assert abs(cell.W_x.numpy()).max() > 0.98 * np.sqrt(6 / 80)


def test_the_same_seed_gives_the_same_weights_in_every_process():
    program = (
        "import tinygradrnn as tg, hashlib\n"
        "tg.manual_seed({seed})\n"
        "m = tg.nn.Sequential(tg.nn.Embedding(5, 3), tg.nn.LSTM(3, 4), tg.nn.Dropout(0.5))\n"
        "values = [p.numpy().tobytes() for p in m.parameters()]\n"
        "values.append(m([[1, 2]]).numpy().tobytes())\n"
        "print(hashlib.sha256(b''.join(values)).hexdigest())"
    )
    first, again, other = (run_python(program.format(seed=seed)) for seed in (5, 5, 6))
    assert first == again
    assert first != other


@pytest.mark.parametrize("seed", [-1, 1.5, "7", True, None])
def test_a_seed_is_an_integer(seed):
    with pytest.raises(ValueError, match="manual_seed: n must be an integer of at least 0, got"):
        tg.manual_seed(seed)
