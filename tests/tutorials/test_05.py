"""Tutorial 05: its wall, its descent and its seven layers, again in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.data import digits


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def wall(w, b, steps=50):
    """L = (s_T − 0.7)² and its gradient, with the derivatives carried forward, not backward."""
    s, by_w, by_b = 0.5, 0.0, 0.0
    for _ in range(steps):
        new = sigmoid(w * s + b)
        slope = new * (1 - new)
        by_w, by_b, s = slope * (s + w * by_w), slope * (1 + w * by_b), new
    return (s - 0.7) ** 2, 2 * (s - 0.7) * np.array([by_w, by_b])


@pytest.fixture
def unit():
    return nn.RNN(nn.ElmanCell(1, 1, activation="sigmoid").astype("float64"))


def loss_of(unit):
    return lambda: ((unit(np.zeros((1, 50, 1)), np.full((1, 1), 0.5)).last - 0.7) ** 2).sum()


@pytest.mark.parametrize(("w", "b"), [(5.0, -2.5), (5.0, -2.4), (4.5, -2.22), (3.0, 0.0)])
def test_how_steep_the_wall_is(unit, w, b):
    unit.cell.W_s.data, unit.cell.b.data = np.full((1, 1), w), np.full(1, b)
    loss = loss_of(unit)()
    value, gradient = wall(w, b)
    assert loss.item() == pytest.approx(value, rel=1e-10)
    found = [g.item() for g in tg.grad(loss, [unit.cell.W_s, unit.cell.b])]
    np.testing.assert_allclose(found, gradient, rtol=1e-9)


def test_one_step_leaps_off_the_wall_and_none_if_clipped(unit):
    start, rate = (4.5, -2.22), 0.5
    for clip in (None, 0.1):
        point, path = np.array(start), [np.array(start)]
        for _ in range(40):
            g = wall(*point)[1]
            if clip is not None and np.linalg.norm(g) > clip:
                g *= clip / np.linalg.norm(g)
            point = point - rate * g
            path.append(point)
        found = tg.analysis.descent_path(
            loss_of(unit),
            unit.cell.W_s,
            unit.cell.b,
            learning_rate=rate,
            steps=40,
            start=start,
            clip=clip,
        )
        np.testing.assert_allclose(found, path, rtol=1e-4)
        longest = np.linalg.norm(np.diff(path, axis=0), axis=1).max()
        assert longest > 3 if clip is None else longest < 0.0501


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "leaky_relu"])
def test_the_mean_absolute_gradients_of_seven_layers(activation):
    tg.manual_seed(0)
    model = nn.MLP([64, 32, 32, 32, 32, 32, 10], activation=activation).astype("float64")
    images, labels = digits(64)
    found = tg.analysis.gradient_flow(F.cross_entropy(model(images), labels)).mean_absolute()

    f, slope = {
        "sigmoid": (sigmoid, lambda a: sigmoid(a) * (1 - sigmoid(a))),
        "relu": (lambda a: np.maximum(a, 0), lambda a: (a > 0) * 1.0),
        "leaky_relu": (lambda a: np.maximum(a, 0.01 * a), lambda a: np.where(a > 0, 1, 0.01)),
    }[activation]
    weights = [(layer.W.numpy(), layer.b.numpy()) for layer in model.layers]
    inputs, sums = [images.astype("float64")], []
    for W, b in weights:
        sums.append(inputs[-1] @ W + b)
        inputs.append(f(sums[-1]))
    scores = np.exp(sums[-1] - sums[-1].max(axis=1, keepdims=True))
    delta = (scores / scores.sum(axis=1, keepdims=True) - np.eye(10)[labels]) / 64
    means = []
    for n in reversed(range(6)):
        gradients = np.concatenate([(inputs[n].T @ delta).ravel(), delta.sum(axis=0)])
        means.insert(0, np.abs(gradients).mean())
        if n:
            delta = (delta @ weights[n][0].T) * slope(sums[n - 1])
    np.testing.assert_allclose(list(found.values()), means, rtol=1e-9)
    assert (means[5] > 1000 * means[0]) == (activation == "sigmoid")
