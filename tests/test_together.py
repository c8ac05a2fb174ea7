"""Gradients that wait for those of other time steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.ops import Carried, Part, Product
from tinygradrnn.together import JOINED, Slab, assembled, brought, joined


def random(*shape: int) -> Any:
    values = np.random.default_rng(sum(shape)).standard_normal(shape)
    return tg.get_backend().asarray(values)


def host(array: Any) -> np.ndarray:
    return tg.get_backend().to_numpy(array)


def test_memory_is_given_again_when_nobody_reads_it() -> None:
    slab = Slab(random(1), (2, 3))
    first = [slab.next() for _ in range(JOINED)]
    held = first[5][:, 1:]  # a part of one of them
    del first
    assert slab.next() is None
    del held
    assert (slab.next() is not None) == (tg.get_backend().name == "numpy")


def test_rows_that_lie_below_each_other_are_not_copied() -> None:
    slab = Slab(random(1), (2, 3))
    arrays = [slab.next() for _ in range(4)]
    for k, array in enumerate(arrays):
        array[...] = k
    found = slab.rows(arrays[1:3])
    assert host(found).tolist() == [[1.0] * 3] * 2 + [[2.0] * 3] * 2
    arrays[2][...] = 7
    assert host(found)[2:].tolist() == [[7.0] * 3] * 2
    for others in ([arrays[2], arrays[1]], [arrays[0], arrays[2]], [arrays[3], random(2, 3)]):
        assert slab.rows(others) is None


def test_products_of_steps_are_one_product() -> None:
    xs, gs = (
        [random(4, k + 2)[:, :3] for k in range(1, 4)],
        [random(4, 5 + k)[:, :5] for k in (0, 1, 2)],
    )
    wanted = sum(host(x).T @ host(g) for x, g in zip(xs, gs, strict=True))
    found = joined([Product(x, g) for x, g in zip(xs, gs, strict=True)])
    np.testing.assert_allclose(host(found), wanted, rtol=1e-12)


def test_parts_that_are_still_products_are_rows_of_one_product() -> None:
    """With two weights, and with parts between that are arrays."""
    W, U = random(4, 5), random(4, 5) * 2
    g = [random(3, 5) * k for k in range(1, 6)]
    values = [Carried(g[0], W), Carried(g[1], W), random(3, 4), Carried(g[3], U), Carried(g[4], W)]
    parts = [Part(v, (slice(None), t), ()) for t, v in enumerate(values)]
    wanted = [host(v.g) @ host(v.y).T if isinstance(v, Carried) else host(v) for v in values]
    for part, array in zip(brought(parts), wanted, strict=True):
        np.testing.assert_allclose(host(part.values), array, rtol=1e-12)
    whole = assembled(brought(parts), (3, 5, 4))
    np.testing.assert_allclose(host(whole), np.stack(wanted, axis=1), rtol=1e-12)
    into = random(3, 6, 4)
    assert assembled(brought(parts), (3, 6, 4), into) is into  # one step gets nothing
    np.testing.assert_allclose(host(into)[:, :5], np.stack(wanted, axis=1), rtol=1e-12)
    assert not host(into)[:, 5].any()


@pytest.mark.parametrize("steps", [3, JOINED, JOINED + 5, 2 * JOINED])
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU, nn.Elman])
def test_waiting_changes_no_gradient(layer: Any, steps: int) -> None:
    """Sizes for which steps wait for each other, beside a walk in which they do not."""
    tg.manual_seed(0)
    rnn = layer(20, 24, bidirectional=steps == 3).astype("float64")
    x = tg.tensor(np.random.default_rng(1).standard_normal((16, steps, 20)), requires_grad=True)
    loss = (rnn(x).y ** 2).sum()
    graph = tg.Graph(loss)
    sent: dict[Any, np.ndarray] = {}
    for event in graph.backward_events():
        if event.node.is_leaf:
            sent[event.node] = event.gradient
    loss.backward()
    for leaf in (x, *rnn.parameters()):
        np.testing.assert_allclose(leaf.grad.numpy(), sent[leaf.node], rtol=1e-9, atol=1e-11)


def test_steps_that_are_read_twice_and_watched() -> None:
    """x_t in two products, in a product and a sum, and asked for by itself."""
    x = tg.tensor(random(16, 3, 20), requires_grad=True)
    W, U = (tg.tensor(random(20, k), requires_grad=True) for k in (20, 8))
    wanted = np.zeros((16, 3, 20))
    loss = tg.tensor(0.0)
    for t in range(3):
        x_t = x[:, t]
        loss = loss + (x_t @ W).sum() + ((x_t @ U).sum() if t == 0 else x_t.sum() * t)
        wanted[:, t] = W.numpy().sum(1) + (U.numpy().sum(1) if t == 0 else t)
    step = x[:, 1]
    loss = loss + (step @ W).sum()
    wanted[:, 1] += W.numpy().sum(1)
    (of_step,) = tg.grad(loss, step)
    np.testing.assert_allclose(of_step.numpy(), np.tile(W.numpy().sum(1), (16, 1)), rtol=1e-12)
    with tg.debug():
        loss.backward()
    np.testing.assert_allclose(x.grad.numpy(), wanted, rtol=1e-12)


def test_what_broadcasting_repeated_is_summed_over_all_readers() -> None:
    """Readers of the shapes (4, 3), (2, 4, 3), (4, 3) again, (3,) and (1, 3)."""
    b = tg.tensor(random(3), requires_grad=True)
    shapes = [(4, 3), (4, 3), (2, 4, 3), (4, 3), (3,), (1, 3)]
    factors = [random(*shape) for shape in shapes]
    loss = sum(((b * tg.tensor(f)).sum() for f in factors), tg.tensor(0.0))
    loss.backward()
    wanted = sum(host(f).reshape(-1, 3).sum(axis=0) for f in factors)
    np.testing.assert_allclose(b.grad.numpy(), wanted, rtol=1e-12)
    assert F.tanh(b).requires_grad
