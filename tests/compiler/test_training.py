"""A compiled step of training gives the numbers of the step itself, step after step."""

from __future__ import annotations

import re

import numpy as np
import pytest
from compiler.steps import (
    BATCH,
    CELLS,
    FEATURES,
    HIDDEN,
    OPTIMISERS,
    STEPS,
    WIDTH,
    both,
    regression,
    same,
)

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.compiler import blocks
from tinygradrnn.compiler.passes import PASSES

LAYERS = {
    "reverse": (lambda: nn.RNN(CELLS["lstm"](), reverse=True), HIDDEN),
    "learned initial state": (lambda: nn.RNN(CELLS["gru"](), learn_initial=True), HIDDEN),
    "stacked": (lambda: nn.LSTM(FEATURES, HIDDEN, num_layers=2), HIDDEN),
    "bidirectional": (lambda: nn.GRU(FEATURES, HIDDEN, bidirectional=True), 2 * HIDDEN),
    "two bidirectional": (
        lambda: nn.LSTM(FEATURES, HIDDEN, num_layers=2, bidirectional=True),
        2 * HIDDEN,
    ),
    "skip": (
        lambda: nn.Stacked(
            [nn.RNN(nn.ElmanCell(FEATURES, 3)), nn.RNN(nn.GRUCell(3, HIDDEN))], skip=True
        ),
        FEATURES + 3 + HIDDEN,
    ),
    "dropout": (
        lambda: nn.LSTM(FEATURES, HIDDEN, num_layers=2, dropout=0.3, recurrent_dropout=0.2),
        HIDDEN,
    ),
}


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name):
    difference, compiled = both(regression(lambda: nn.RNN(CELLS[name]()), WIDTH[name]))
    assert difference < 1e-10
    assert compiled.captures == 1


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_in_float32_with_lengths(name):
    make = regression(
        lambda: nn.RNN(CELLS[name]()), WIDTH[name], with_lengths=True, dtype="float32"
    )
    difference, compiled = both(make)
    assert difference < 1e-5
    assert compiled.captures == 1


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name, with_lengths):
    layer, width = LAYERS[name]
    difference, compiled = both(regression(layer, width, with_lengths=with_lengths))
    assert difference < 1e-10
    assert compiled.captures == 1


@pytest.mark.parametrize("clip", [None, 0.05])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser(name, clip):
    make = regression(lambda: nn.RNN(CELLS["elman"]()), optimiser=name, clip=clip)
    assert both(make)[0] < 1e-10


@pytest.mark.parametrize(
    ("layer", "optimiser", "dtype", "tolerance"),
    [
        ("two bidirectional", "adam", "float64", 1e-10),
        ("dropout", "rmsprop", "float64", 1e-10),
        ("skip", "momentum", "float32", 1e-5),
        ("stacked", "sgd", "float32", 1e-5),
    ],
)
def test_over_fifty_steps(layer, optimiser, dtype, tolerance):
    make = regression(*LAYERS[layer], optimiser=optimiser, clip=0.5, dtype=dtype)
    difference, compiled = both(make, steps=50)
    assert difference < tolerance
    assert compiled.captures == 1


ALL = tuple(one.__name__ for one in PASSES)


MODELS = ("gru", "lstm peephole", "own", "clockwork")
# each pass is left out of two models, each model has every second pass left out, and once all
LEFT_OUT = [(MODELS[(k + n) % 4], (name,)) for k, name in enumerate(ALL) for n in (0, 2)]


@pytest.mark.parametrize(("name", "without"), [*LEFT_OUT, *[(m, ALL) for m in MODELS]], ids=str)
def test_without_a_pass(name, without):
    make = regression(
        lambda: nn.Stacked(
            [nn.RNN(CELLS[name]()), nn.RNN(nn.ElmanCell(HIDDEN, HIDDEN), reverse=True)]
        ),
        optimiser="adam",
        clip=0.5,
        with_lengths=True,
    )
    assert both(make, without=without)[0] < 1e-10


@pytest.mark.parametrize("without", [(), *[(name,) for name in ALL], ALL], ids=str)
@pytest.mark.parametrize("vocabulary", [3, 40])
def test_characters_without_a_pass(vocabulary, without):
    """Fewer characters than B·T, and more: an embedding before a product may be folded."""

    def run(wrap):
        embedding, rnn = nn.Embedding(vocabulary, 4), nn.GRU(4, 5)
        readout = nn.Linear(5, vocabulary)
        model = nn.Sequential(embedding, rnn, readout).astype("float64")
        optimizer = tg.optim.Adam(model.parameters(), 0.01)

        def step(inputs, targets, state):
            output = rnn(embedding(inputs), state)
            loss = F.cross_entropy(readout(output.y), targets)
            optimizer.zero_grad()
            loss.backward()
            norm = tg.optim.clip_grad_norm(model.parameters(), 1.0)
            optimizer.step()
            return loss, norm, nn.detach(output.state)

        step = wrap(step)
        rng = np.random.default_rng(0)
        state, seen = None, []
        for _ in range(4):
            inputs, targets = rng.integers(0, vocabulary, (2, 3, 6))
            loss, norm, state = step(inputs, targets, state)
            seen += [loss, norm]
        return seen, state, model.parameters()

    compiled = same(run, without=without)
    assert compiled.captures == 2  # None first


def test_parts_of_the_gates_gradient_are_put_together_once():
    """Of a GRU's three gates W_s has two: its gradient's δ is a slice of the one for W_x."""
    rnn = nn.GRU(4, 5)

    def step(x):
        loss = rnn(x).y.sum()
        loss.backward()
        return loss

    compiled = tg.compile(step)
    compiled(np.ones((2, 8, 4)))
    assert re.search(r"nested_parts +1 places", compiled.explain())


def test_float64_inputs_beside_float32_weights_are_rolled():
    rnn = nn.LSTM(4, 5)
    compiled = tg.compile(lambda x: rnn(x).y.sum())
    assert compiled(np.ones((2, 8, 4))).dtype == "float64"
    assert "not rolled" not in compiled.explain()


def test_a_product_of_what_is_put_together_is_split():
    """[x_t s] W: the part of x_t for all steps at once, and folded into an embedding."""
    embedding, rnn = nn.Embedding(3, FEATURES), nn.RNN(CELLS["own"]())
    compiled = tg.compile(lambda ids: rnn(embedding(ids)).y.sum())
    compiled(np.array([[0, 1, 2, 1, 0, 2]]))
    assert re.search(r"split_products +2 places", compiled.explain())
    assert re.search(r"fold_embedding +2 places", compiled.explain())


@pytest.mark.numpy_only("blocks are for the caches that NumPy's plans work in")
@pytest.mark.parametrize("bytes_", [1, 700, 10**6])
@pytest.mark.parametrize("name", ["lstm peephole", "gru", "clockwork"])
def test_factors_of_the_backward_loop_are_computed_for_some_steps_at_a_time(
    name, bytes_, monkeypatch
):
    """One step, three of the five, or all; T is no multiple of them."""
    monkeypatch.setattr(blocks, "BYTES", bytes_)
    make = regression(lambda: nn.RNN(CELLS[name]()))
    difference, compiled = both(make, fast=False)
    assert difference < 1e-10
    assert re.search(r"t = 5 … 1, \d+ for some steps at a time", compiled.explain())


def test_what_folds_into_the_table_of_an_embedding():
    """The product with the input weights, the bias, and the sums over time for their gradients."""
    embedding, rnn, readout = nn.Embedding(3, 4), nn.LSTM(4, 5), nn.Linear(5, 3)
    parameters = [*embedding.parameters(), *rnn.parameters(), *readout.parameters()]
    optimizer = tg.optim.SGD(parameters, 0.1)

    def step(ids):
        loss = F.cross_entropy(readout(rnn(embedding(ids)).y), ids)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    compiled = tg.compile(step)
    compiled(np.array([[0, 1, 2, 1, 0, 2]]))
    assert re.search(r"fold_embedding +2 places", compiled.explain())
    assert re.search(r"fold_bias +2 places", compiled.explain())
    assert re.search(r"add_scattered +1 places", compiled.explain())


LOSSES = {
    "cross entropy": lambda y, ids, x: F.cross_entropy(y, ids),
    "cross entropy masked": lambda y, ids, x: F.cross_entropy(y, ids, mask=ids > 0),
    "cross entropy sum": lambda y, ids, x: F.cross_entropy(y, ids, reduction="sum"),
    "cross entropy none": lambda y, ids, x: F.cross_entropy(y, ids, reduction="none").max(),
    "nll": lambda y, ids, x: F.nll_loss(F.log_softmax(y), ids),
    "softmax": lambda y, ids, x: (F.softmax(y, 1) * x).sum(),
    "half squared error": lambda y, ids, x: F.half_squared_error(y, x),
    "mean squared error": lambda y, ids, x: F.mse_loss(y, x),
    "logistic": lambda y, ids, x: F.binary_cross_entropy_with_logits(y, F.sigmoid(x)),
    "logistic masked": lambda y, ids, x: F.binary_cross_entropy_with_logits(
        y, F.sigmoid(x), mask=x > 0
    ),
    "logsumexp": lambda y, ids, x: F.logsumexp(y, axis=(0, 2)).sum(),
    "extremes": lambda y, ids, x: y.max(axis=1).sum() - y.min(axis=0).mean() + abs(y).max(),
    "choices": lambda y, ids, x: F.where(x > 0, y * y, F.maximum(y, x)).sum(),
    "last": lambda y, ids, x: ((y[:, -1] - x[:, 0]) ** 2).sum(),
    "some steps": lambda y, ids, x: (y[:, 1:4] * x[:, ::2]).sum() + y[0, 2].sum(),
    "picked": lambda y, ids, x: y[np.arange(BATCH)[:, None], np.arange(STEPS), ids].sum(),
}


@pytest.mark.parametrize("name", LOSSES)
def test_every_loss(name):
    def run(wrap):
        rnn, readout = nn.Elman(FEATURES, HIDDEN), nn.Linear(HIDDEN, 3)
        model = nn.Sequential(rnn, readout).astype("float64")
        optimizer = tg.optim.SGD(model.parameters(), 0.1)

        def step(x, ids, target):
            loss = LOSSES[name](readout(rnn(x).y), ids, target)
            optimizer.zero_grad()
            loss.backward()
            tg.optim.clip_grad_value(model.parameters(), -0.05, 0.1)
            optimizer.step()
            return loss

        step = wrap(step)
        rng = np.random.default_rng(0)
        seen = [
            step(
                rng.standard_normal((BATCH, STEPS, FEATURES)),
                rng.integers(0, 3, (BATCH, STEPS)),
                rng.standard_normal((BATCH, STEPS, 3)),
            )
            for _ in range(3)
        ]
        return seen, model.parameters()

    assert same(run).captures == 1


def test_masks_change_from_call_to_call():
    dropout = nn.Dropout(0.5)
    drop = tg.compile(lambda x: dropout(x))
    tg.manual_seed(3)
    found = [drop(np.ones((4, 8))).numpy() for _ in range(3)]
    tg.manual_seed(3)
    wanted = [dropout(np.ones((4, 8))).numpy() for _ in range(3)]
    np.testing.assert_array_equal(found, wanted)
    assert not (found[0] == found[1]).all() and not (found[1] == found[2]).all()
    assert drop.captures == 1
