"""What a compiled function may be given and may return."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
from compiler.steps import X, same

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

Pair = namedtuple("Pair", ["first", "second"])


def test_structures_in_and_out():
    def step(a, parts, named, *, scale):
        x, (y, names) = parts
        assert isinstance(named, Pair) and names == {"k": 2}
        result = Pair(a + x * scale, {"z": [y, named.first @ named.second, 3, None, "text"]})
        return result, a

    compiled = tg.compile(step)
    for k in range(3):
        a, x, y, u, v = [np.arange(1, 7.0).reshape(2, 3) * (k + j) for j in range(5)]
        found, same_a = compiled(a, [x, (y, {"k": 2})], Pair(tg.tensor(u), v.T), scale=2.0)
        assert isinstance(found, Pair)
        z = found.second["z"]
        np.testing.assert_array_equal(found.first.numpy(), a + x * 2)
        np.testing.assert_array_equal(z[0].numpy(), y)
        np.testing.assert_array_equal(z[1].numpy(), u @ v.T)
        assert z[2:] == [3, None, "text"]
        np.testing.assert_array_equal(same_a.numpy(), a)
    assert compiled.captures == 1


def test_integers_booleans_and_numbers():
    def step(ids, mask, scale, x):
        return F.where(mask, x[ids] * scale, ids), (ids == 1).astype("float64") + scale, ids + 1

    compiled = tg.compile(step)
    for k in range(3):
        ids, mask = np.array([k, 1, 0]), np.array([True, k == 1, False])
        x, scale = np.arange(3.0) + k, np.float64(k + 0.5)
        got = compiled(ids, mask, scale, x)
        wanted = np.where(mask, x[ids] * scale, ids), (ids == 1) + scale, ids + 1
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
        assert got[2].dtype == ids.dtype
    assert compiled.captures == 1


def test_plain_values_each_have_a_plan():
    compiled = tg.compile(lambda x, power: x**power if power else x)
    for power in (2, 0, 2.0, True, None, 2, 0.0, -0.0, float("nan"), float("nan")):
        got = compiled(np.array([1.0, 3.0]), power).numpy()
        np.testing.assert_array_equal(got, [1.0, 3.0**power if power else 3.0])
    assert compiled.captures == 8


def test_functions_that_return_no_tensors():
    w = tg.tensor([1.0, 2.0], requires_grad=True)

    def step(x):
        (w * x).sum().backward()

    def numbers_only(x):
        return 3, "a"

    compiled = tg.compile(step)
    for k in range(3):
        assert compiled(np.array([1.0, k], "float32")) is None
    np.testing.assert_array_equal(w.grad.numpy(), [3, 3])
    compiled = tg.compile(numbers_only)
    assert compiled(np.ones(2)) == compiled(np.ones(2)) == (3, "a")
    assert tg.compile(lambda: None)() is None


def test_results_are_the_callers():
    """Neither results nor gradients are arrays that a later call writes into."""
    w = tg.tensor([1.0, 2.0], requires_grad=True)

    def step(x):
        w.grad = None
        y = w * x
        y.sum().backward()
        return y, x, w

    compiled = tg.compile(step)
    x = np.array([1.0, 1.0], "float32")
    kept = []
    for k in range(4):
        kept.append([*compiled(x * k), w.grad])
    for k, (y, given, weight, gradient) in enumerate(kept):
        np.testing.assert_array_equal(y.numpy(), [k, 2 * k])
        np.testing.assert_array_equal(given.numpy(), [k, k])
        np.testing.assert_array_equal(weight.numpy(), [1, 2])
        np.testing.assert_array_equal(gradient.numpy(), [k, k])
        assert not y.requires_grad and y.node.is_leaf


def test_arguments_are_only_read():
    x = np.ones((2, 3))
    compiled = tg.compile(lambda x: (x * 2, x))
    for _ in range(3):
        doubled, given = compiled(x)
        given.data[...] = 5
        doubled.data[...] = 7
    np.testing.assert_array_equal(x, 1)


def test_gradients_of_arguments():
    def step(x, w):
        loss = (F.tanh(x) * w).sum()
        loss.backward()
        return loss, tg.grad((x * x).sum(), x)[0]

    compiled = tg.compile(step)
    for k in range(3):
        x = tg.tensor(X[k, 0], requires_grad=True)
        _, twice = compiled(x, X[k, 1])
        np.testing.assert_allclose(twice.numpy(), 2 * X[k, 0])
        np.testing.assert_allclose(x.grad.numpy(), X[k, 1] * (1 - np.tanh(X[k, 0]) ** 2))
        compiled(x, X[k, 1])
        np.testing.assert_allclose(x.grad.numpy(), 2 * X[k, 1] * (1 - np.tanh(X[k, 0]) ** 2))
    assert compiled.captures == 1


def test_parameters_as_arguments_are_themselves():
    def step(w, x):
        loss = ((w * x) ** 2).sum()
        loss.backward()
        with tg.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
        return loss

    def run(wrap):
        ws = [nn.Parameter(np.array([1.0, 2.0])), nn.Parameter(np.array([3.0, 4.0]))]
        step_ = wrap(step)
        return [step_(ws[k % 2], X[k, 0, 0, :2]) for k in range(6)], ws

    assert same(run).captures == 2


def test_a_picture_calls_the_arguments_as_the_function_does():
    step = tg.compile(lambda features, pair: (features * pair[0] + pair[1]).sum())
    step(np.ones((2, 3)), pair=(np.ones(3), np.ones((2, 3))))
    labels = step.draw().dot
    assert "features" in labels and labels.count("pair") >= 2
