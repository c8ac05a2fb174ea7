"""The guard refuses what CuPy refuses, computes what NumPy does, and counts what waits."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn, optim
from tinygradrnn.testing.arrays import GuardArray
from tinygradrnn.testing.functions import FUNCTIONS as xp

NUMBERS = np.arange(6.0).reshape(2, 3)


@pytest.fixture
def x() -> GuardArray:
    return xp.asarray(NUMBERS)


@pytest.fixture
def g() -> Iterator[Any]:
    with tg.testing.guard() as counting:
        yield counting


REFUSED: dict[str, tuple[Callable[[Any], Any], type[Exception], str]] = {
    "np.asarray": (np.asarray, TypeError, r"does not become a NumPy array.*\.get\(\)"),
    "np.array of several": (lambda x: np.array([x, x]), TypeError, "does not become"),
    "float of many": (lambda x: float(x), TypeError, "only 0-dimensional|only length-1"),
    "array + NumPy's": (lambda x: x + np.ones(3), TypeError, r"add got a NumPy array of shape \(3"),
    "NumPy's + array": (lambda x: np.ones(3) + x, TypeError, "add got a NumPy array"),
    "array * list": (lambda x: x * [1, 2, 3], TypeError, "multiply got a list"),
    "ufunc of a list": (lambda x: xp.exp([1.0]), TypeError, "exp got a list"),
    "sum of a list": (lambda x: xp.sum([1.0]), TypeError, "sum got a list"),
    "where of NumPy's": (lambda x: xp.where(NUMBERS > 1, x, 0), TypeError, "where got a NumPy"),
    "concatenate NumPy's": (lambda x: xp.concatenate([x, NUMBERS]), TypeError, "concatenate got"),
    "index by NumPy's": (lambda x: x[np.array([0])], TypeError, "an index got a NumPy array"),
    "index by a list": (lambda x: x[[0, 1]], TypeError, "an index got a list"),
    "assign NumPy's": (lambda x: x.__setitem__(0, NUMBERS[0]), TypeError, "= value got a NumPy"),
    "assign twice": (
        lambda x: x.__setitem__(xp.asarray([0, 0]), 1.0),
        ValueError,
        "ids that repeat.*scatter_add",
    ),
    "as an index of Python": (lambda x: range(x.astype("int64").sum()), TypeError, "integer"),
    "multiply.at": (lambda x: xp.multiply.at(x, 0, 1), NotImplementedError, "add, bitwise_and"),
    "maximum.reduce": (lambda x: xp.maximum.reduce(x), NotImplementedError, "of add, multiply"),
    "vecdot": (lambda x: xp.vecdot(x, x), AttributeError, "NumPy has it, CuPy does not"),
    "errstate": (lambda x: xp.errstate(all="ignore"), AttributeError, "errstate"),
    "no such thing": (lambda x: xp.sine(x), AttributeError, "NumPy has none either"),
    "keyword of NumPy only": (lambda x: xp.sum(x, where=x > 1), TypeError, "no keyword 'where'"),
    "keyword of a method": (lambda x: x.max(initial=0.0), TypeError, "no keyword 'initial'"),
    "mode of take": (lambda x: xp.take(x, 0, 0, None, "clip"), TypeError, "at most 4 arguments"),
    "result of matmul": (lambda x: xp.matmul(x, x.T, x), TypeError, "at most 2 arguments"),
    "generator": (lambda x: xp.random.default_rng(0).normal(), AttributeError, "no normal"),
    "np.vecdot": (lambda x: np.vecdot(x, x), AttributeError, "vecdot"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case: str, x: GuardArray) -> None:
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        call(x)


SAME: list[Callable[[Any, Any], Any]] = [
    lambda xp, x: x + x * 2 - 1 / (x + 1),
    lambda xp, x: np.float64(2) * x,
    lambda xp, x: -(abs(x - 2) ** 2),
    lambda xp, x: x @ x.T,
    lambda xp, x: xp.exp(x).sum(axis=0, keepdims=True),
    lambda xp, x: x.sum(),
    lambda xp, x: x.max(axis=1),
    lambda xp, x: x[1],
    lambda xp, x: x[1, 2],
    lambda xp, x: x[:, None, ::-1],
    lambda xp, x: x[xp.asarray([1, 0, 1]), 1:],
    lambda xp, x: x[x > 2],
    lambda xp, x: xp.where(x > 2, x, 0.0),
    lambda xp, x: xp.concatenate([x, x], axis=1).reshape(-1),
    lambda xp, x: xp.stack([row for row in x]),
    lambda xp, x: xp.take_along_axis(x, xp.argsort(-x, axis=1), axis=1),
    lambda xp, x: xp.add.reduce(x, axis=1),
    lambda xp, x: xp.pad(x, [(1, 0), (0, 1)], mode="constant", constant_values=7.0),
    lambda xp, x: xp.linalg.norm(x, axis=1),
    lambda xp, x: np.tanh(x),  # CuPy takes it over
    lambda xp, x: np.concatenate([x, x]),
    lambda xp, x: xp.allclose(x, x),
]


@pytest.mark.parametrize("f", SAME)
def test_computes_as_numpy(f: Callable[[Any, Any], Any], x: GuardArray) -> None:
    found = f(xp, x)
    assert type(found) is GuardArray
    np.testing.assert_array_equal(found.get(), f(np, NUMBERS), strict=True)


def test_works_in_place(x: GuardArray) -> None:
    before = x
    x += 1
    x[0] = 9.0
    row = x[1, 2]
    row += 100  # a view of one element
    xp.add.at(x, (xp.asarray([1, 1]), 0), 1.0)
    assert x is before
    assert x.get().tolist() == [[9, 9, 9], [6, 5, 106]]
    assert NUMBERS[0].tolist() == [0, 1, 2], "the host's array is another one"
    out = xp.zeros((2, 3))
    assert xp.multiply(x, 2, out=out) is out and out[0, 0].get() == 18


def test_integers_out_of_range_wrap_silently(x: GuardArray) -> None:
    ids = xp.asarray([0, 2, -3])
    assert x[ids].get()[:, 0].tolist() == [0, 0, 3]
    assert x.take(ids, axis=0).get().tolist() == xp.take(x, ids, axis=0).get().tolist()
    with pytest.raises(IndexError):
        x[2]


def test_warns_of_nothing(x: GuardArray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        xp.log(x - 10)
        assert (1 / x).get()[0, 0] == np.inf


def test_copies(x: GuardArray) -> None:
    for other in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x)), x.copy()):
        other += 1
    np.testing.assert_array_equal(x.get(), NUMBERS)
    assert xp.asarray(x) is x


WAITS: dict[str, Callable[[Any], Any]] = {
    "float()": lambda x: float(x.sum()),
    "int()": lambda x: int(x.sum()),
    "bool()": lambda x: x.sum() > 1 and 1,
    ".item()": lambda x: x.sum().item(),
    ".get()": lambda x: x.get(),
    ".tolist()": lambda x: x.tolist(),
    "repr()": repr,
    "str()": str,
    "format()": lambda x: f"{x.sum():.2f}",
    "a boolean mask as an index": lambda x: x[x > 1],
    "nonzero()": lambda x: xp.nonzero(x),
    ".nonzero()": lambda x: x.nonzero(),
    "where()": lambda x: xp.where(x > 1),
    "unique()": lambda x: xp.unique(x),
    "linalg.inv()": lambda x: xp.linalg.inv(x @ x.T),
    "a pickle": pickle.dumps,
}


@pytest.mark.parametrize("what", WAITS)
def test_counts_with_the_place(what: str, x: GuardArray, g: Any) -> None:
    xp.exp(x + 1)[0].sum()
    assert g.synchronisations == 0, g
    WAITS[what](x)
    assert g.synchronisations == 1, g
    assert g.places[0].startswith(f"{what} at {__file__}:")
    assert repr(g).startswith("1 host synchronisations:\n  ")


def test_counts_of_one_block_inside_another(x: GuardArray) -> None:
    x.get()
    with tg.testing.guard() as outer:
        x.get()
        with tg.testing.guard() as inner:
            x.get()
        x.get()
    x.get()
    assert (outer.synchronisations, inner.synchronisations) == (3, 1)
    assert repr(inner).count("\n") == 1


def test_the_backend(g: Any) -> None:
    made = tg.tensor([1.0, 2.0])
    assert tg.get_backend() is g.backend and type(made.data) is GuardArray
    assert (made * [1.0, 2.0]).numpy().tolist() == [1, 4]
    assert g.synchronisations == 1 and "test_guard.py" in g.places[0]
    with pytest.raises(tg.MixedBackendError):
        made + np.ones(2)
    g.backend.synchronize()
    assert g.synchronisations == 2
    assert tg.available_backends()["guard"][0]


def test_a_cell_that_would_fail_on_a_gpu_fails_here(g: Any) -> None:
    class HostCell(nn.Cell):
        def __init__(self) -> None:
            self.W = nn.Parameter(np.ones((2, 2), np.float32))

        def transition(self, state: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
            return tg.tensor(np.tanh(np.asarray(state.data) + x.numpy()))

        def initial_state(self, batch: int) -> tg.Tensor:
            return self.zeros(batch, 2)

    with pytest.raises(TypeError, match="does not become a NumPy array"):
        nn.RNN(HostCell())(np.ones((1, 3, 2), np.float32))


# ---------------------------------------------------------------- the same numbers on both


def drawn() -> tuple[list[np.ndarray], np.ndarray]:
    """Initial weights of every kind, and dropout masks."""
    tg.manual_seed(3)
    layers = [nn.LSTM(3, 4), nn.GRU(3, 4), nn.Embedding(5, 2), nn.RNN(nn.IRNNCell(3, 4))]
    masks = [F.dropout(tg.tensor(np.ones((3, 4), np.float32)), p).numpy() for p in (0.2, 0.7)]
    return [p.numpy() for layer in layers for p in layer.parameters()], np.stack(masks)


def trained() -> tuple[list[np.ndarray], list[float]]:
    tg.manual_seed(4)
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.3)
    optimizer = optim.Adam(layer.parameters(), 0.01)
    random = np.random.default_rng(0)
    losses = []
    for _ in range(50):
        optimizer.zero_grad()
        out = layer(random.standard_normal((2, 5, 3), np.float32), lengths=[5, 3])
        loss = F.mse_loss(out.last, random.standard_normal((2, 4), np.float32))
        loss.backward()
        optim.clip_grad_norm(layer.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
    return [p.numpy() for p in layer.parameters()], losses


@pytest.mark.parametrize("run", [drawn, trained])
def test_the_same_seed_gives_the_same_numbers_on_both(run: Callable[[], Any]) -> None:
    with tg.backend_scope("numpy"):
        here = run()
    with tg.testing.guard():
        there = run()
    for ours, theirs in zip(here, there, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one, other)
