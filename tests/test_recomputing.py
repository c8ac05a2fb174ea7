"""``tg.recompute``: the same gradients from fewer kept values."""

from __future__ import annotations

import gc
import tracemalloc
from collections import namedtuple
from math import isqrt

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

RNG = np.random.default_rng(7)
X = RNG.standard_normal((2, 6, 4))
Out = namedtuple("Out", ["y", "more"])


def leaf(*shape, name=None):
    return tg.tensor(RNG.standard_normal(shape), requires_grad=True, name=name)


def gradients(f, leaves, order=1):
    """The loss, its gradients by backward() and by grad(), and those of these."""
    for w in leaves:
        w.grad = None
    loss = f()
    loss.backward()
    found = [loss, *[w.grad for w in leaves], *tg.grad(f(), leaves)]
    if order == 2:
        first = tg.grad(f(), leaves, create_graph=True)
        found += tg.grad(sum((g * g * g).sum() for g in first), leaves)
    return [tensor.numpy() for tensor in found]


def assert_same(f, leaves, order=2):
    """f(apply), with the function applied as it is and recomputed."""
    plain = gradients(lambda: f(lambda g, *inputs: g(*inputs)), leaves, order)
    again = gradients(lambda: f(tg.recompute), leaves, order)
    assert len(plain) == len(again) == 1 + (2 + (order == 2)) * len(leaves)
    for a, b in zip(plain, again, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


def test_first_and_second_order():
    x, W, b = leaf(3, 4), leaf(4, 4, name="W"), leaf(4)

    def f(apply):
        h = apply(lambda x: F.tanh(F.tanh(x @ W + b) @ W), x * 2)
        return (apply(lambda h, b: F.sigmoid(h * b) ** 2, h, b) * h).sum()

    assert_same(f, [x, W, b])


def test_against_differences():
    W, b = leaf(3, 3), leaf(3)

    def f(x, W, b):
        h = tg.recompute(lambda x, W: F.tanh(x @ W) * b, x, W)
        return tg.recompute(lambda h: F.softmax(h @ W, 0), h)

    tg.check_gradients(f, leaf(2, 3), W, b, order=2)


def test_structures():
    """State tuples, named tuples, dicts, plain values, a tensor that is handed on as it is."""
    x, u, v = leaf(2, 3), leaf(2, 3), leaf(3)

    def segment(x, state, scale, extra=None):
        h, c = state
        h = F.tanh(h + x * v) * scale
        return Out(h, {"state": (h, c * h), "x": x, "n": 3, "none": extra})

    def f(apply):
        y, more = apply(segment, x, (u, u * 2), 0.5)
        assert more["n"] == 3 and more["none"] is None
        h, c = more["state"]
        return (y * h + c).sum() + (more["x"] * u).sum()

    assert isinstance(tg.recompute(segment, x, (u, u), 1), Out)
    assert_same(f, [x, u, v])


def test_several_dtypes_and_shapes():
    x, w = leaf(2, 3), tg.tensor([1.0, 2.0, 3.0], requires_grad=True)

    def f(apply):
        a, b, ids = apply(lambda x: (x @ x.T, (w * 2.0).sum(), (x > 0).astype("int64")), x)
        assert (a.dtype, b.dtype, ids.dtype) == ("float64", "float32", "int64")
        assert b.shape == () and not ids.requires_grad
        return (a * a).sum() + b.astype("float64") * ids.sum()

    plain = gradients(lambda: f(lambda g, *inputs: g(*inputs)), [x, w])
    for a, b in zip(plain, gradients(lambda: f(tg.recompute), [x, w]), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("nested", [False, True])
def test_an_rnn_in_segments(nested):
    """The state goes on from segment to segment; parameters are found though nobody lists them."""
    rnn = nn.LSTM(4, 3).astype("float64")
    x = tg.tensor(X, requires_grad=True)

    def part(x, state):
        return tuple(rnn(x, state))

    def two(x, state):
        y, state = tg.recompute(part, x[:, :1], state)
        z, state = tg.recompute(part, x[:, 1:], state)
        return F.concatenate([y, z], axis=1), state

    def f(apply):
        state, ys = None, []
        for k in range(3):
            segment = two if nested and apply is tg.recompute else part
            y, state = apply(segment, x[:, 2 * k : 2 * k + 2], state)
            ys.append(y)
        return (F.concatenate(ys, axis=1) ** 2).sum() + state[0].h.sum()

    assert_same(f, [x, *rnn.parameters()], order=1 if nested else 2)


def test_dropout_draws_the_same_masks_again():
    rnn = nn.GRU(4, 3, num_layers=2, dropout=0.5, recurrent_dropout=0.5).astype("float64")
    seen = []
    for apply in (lambda f, x: f(x), tg.recompute):
        tg.manual_seed(3)
        for p in rnn.parameters():
            p.grad = None
        losses = [(apply(lambda x: rnn(x).y, tg.tensor(X)) ** 2).sum() for _ in range(2)]
        F.dropout(tg.tensor(X))  # drawn between the two passes
        (losses[0] + losses[1]).backward()
        after = F.dropout(tg.tensor(X))
        seen.append([losses[0], losses[1], after, *[p.grad for p in rnn.parameters()]])
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-12)
    assert float(seen[1][0]) != float(seen[1][1])


def test_scopes_and_time_steps_are_those_of_the_call():
    w = leaf(3)
    with tg.scope("encoder"), tg.timestep(4):
        y = tg.recompute(lambda x: F.tanh(x * w), leaf(3))
    assert y.node.scope == ("encoder",) and y.node.timestep == 4
    ops = [node.op for node in tg.Graph(y.sum()).nodes if not node.is_leaf]
    assert "recompute" in ops and "tanh" not in ops
    tg.draw(y).svg()


def test_nothing_to_keep():
    x = tg.tensor([1.0, 2.0])
    assert tg.recompute(F.tanh, x).node.is_leaf
    w = leaf(2)
    with tg.no_grad():
        assert tg.recompute(lambda x: x * w, x).node.is_leaf
    assert tg.recompute(lambda: w * 2.0).requires_grad


def test_a_parameter_changed_in_between():
    w = leaf(2, name="w")
    y = tg.recompute(lambda x: x * w, leaf(2)).sum()
    w.data = np.zeros(2)
    with pytest.raises(tg.StaleGraphError, match="'w'"):
        y.backward()


@pytest.mark.parametrize("result", [None, 3, [1.0, "a"], np.ones(2)])
def test_functions_that_return_no_tensors(result):
    with pytest.raises(TypeError, match=r"recompute: the function returned \w+, expected tensors"):
        tg.recompute(lambda x: result, leaf(2))


def test_inside_compile():
    def trained(wrap):
        tg.manual_seed(1)
        rnn = nn.GRU(4, 3, dropout=0.2, num_layers=2).astype("float64")
        optimizer = tg.optim.SGD(rnn.parameters(), 0.1)

        def step(x):
            y = tg.recompute(lambda x: rnn(x).y, x)
            optimizer.zero_grad()
            (y * y).mean().backward()
            optimizer.step()
            return y

        step = wrap(step)
        return [step(X).numpy() for _ in range(3)], [p.numpy() for p in rnn.parameters()]

    plain = trained(lambda step: lambda x: step(tg.tensor(x)))
    for a, b in zip(*map(sum_of_lists, (plain, trained(tg.compile))), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11)


def sum_of_lists(lists):
    return [array for one in lists for array in one]


def peak(steps: int, length: int) -> int:
    """The bytes that forward and backward over a sequence hold at once, in segments."""
    rnn = nn.RNN(nn.ElmanCell(4, 64))
    x = tg.tensor(np.ones((16, steps, 4), "float32"))

    def part(x, state):
        output = rnn(x, state)
        return (output.y**2).sum(), output.state

    gc.collect()
    tracemalloc.start()
    loss, state = 0.0, None
    for start in range(0, steps, length):
        piece = x[:, start : start + length]
        if length == steps:
            added, state = part(piece, state)
        else:
            added, state = tg.recompute(part, piece, state)
        loss = loss + added
    loss.backward()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_memory_grows_with_the_root_of_the_length():
    plain = [peak(steps, steps) for steps in (64, 256)]
    roots = [peak(steps, isqrt(steps)) for steps in (64, 256)]
    assert plain[1] > 3.5 * plain[0]
    assert roots[1] < 2.6 * roots[0]
    assert roots[1] < plain[1] / 4
