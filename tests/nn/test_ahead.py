"""Products of the inputs of many time steps at once: the numbers and the graph of single ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.nn import ahead

STEPS = ahead.BLOCK + 5  # a whole block and a part of one


class Doubled(nn.Cell):
    """s_t = s_{t−1} + x_t @ W, in one step in three + x_t @ W_3; W is replaced on the way."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.W, self.W_3 = (nn.Parameter(rng.standard_normal((64, 8))) for _ in range(2))
        self.t = 0

    def transition(self, state: Any, x: tg.Tensor) -> tg.Tensor:
        self.t += 1
        if self.t == 7:
            self.W.data = self.W.data * 2
        state = state + x @ self.W
        return state + x @ self.W_3 if self.t % 3 == 0 else state

    def initial_state(self, batch: int) -> tg.Tensor:
        return self.zeros(batch, 8)


@pytest.fixture
def x() -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).standard_normal((4, STEPS, 64))


@pytest.mark.parametrize("reverse", [False, True])
def test_the_values_are_those_of_single_products(x: np.ndarray[Any, Any], reverse: bool) -> None:
    cell = Doubled()
    W, W_3 = cell.W.numpy(), cell.W_3.numpy()
    y = nn.RNN(cell, reverse=reverse)(x).y.numpy()
    s = np.zeros((4, 8))
    for k, t in enumerate(range(STEPS - 1, -1, -1) if reverse else range(STEPS), start=1):
        s = s + x[:, t] @ W * (1 if k < 7 else 2)
        s = s + x[:, t] @ W_3 if k % 3 == 0 else s
        np.testing.assert_allclose(y[:, t], s, rtol=1e-12)


def test_most_steps_are_rows_of_one_product(
    x: np.ndarray[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And yet each is an operation of its own step."""
    found: list[Any] = []
    product = ahead.Sequence.product
    monkeypatch.setattr(
        ahead.Sequence, "product", lambda *a: found.append(product(*a)) or found[-1]
    )
    rnn = nn.RNN(nn.ElmanCell(64, 8).astype("float64"))
    graph = tg.Graph(rnn(x).y)
    products = [n for n in graph.nodes if n.op == "matmul" and n.inputs[1].name == "W_x"]
    assert [n.timestep for n in products] == list(range(1, STEPS + 1))
    assert [node.value is value for node, value in zip(products, found, strict=True)] == [
        False,
        *[True] * (STEPS - 1),
    ]


def test_gradients(x: np.ndarray[Any, Any]) -> None:
    rnn = nn.RNN(nn.ElmanCell(64, 2).astype("float64"))
    part = tg.tensor(x[:, :3], requires_grad=True)
    tg.check_gradients(lambda part, *weights: rnn(part).y[:, -1], part, *rnn.parameters())


def test_a_step_that_outlives_an_update_is_multiplied_by_the_new_weight(
    x: np.ndarray[Any, Any],
) -> None:
    """An optimiser changes the array in place."""
    W = nn.Parameter(np.ones((64, 8)))
    x_1 = ahead.Sequence(tg.tensor(x)).step(0)
    before = [x_1 @ W for _ in range(2)]
    before[0].sum().backward()
    tg.optim.SGD([W], lr=0.1).step()
    after = [x_1 @ W for _ in range(2)]
    for product in after:
        np.testing.assert_allclose(product.numpy(), x[:, 0] @ W.numpy(), rtol=1e-12)
    assert abs(after[1].numpy() - before[1].numpy()).max() > 0.01


def test_integers_as_inputs_are_multiplied_one_by_one() -> None:
    ids = np.ones((4, 3, 64), np.int64)
    rnn = nn.RNN(nn.ElmanCell(64, 8))
    assert rnn(ids).y.dtype == np.float32
    np.testing.assert_allclose(rnn(ids).y.numpy(), rnn(ids.astype("f")).y.numpy(), rtol=1e-5)
