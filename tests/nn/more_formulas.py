"""The rarer cells of the lecture notes in plain NumPy, one step each, as in `formulas.py`."""

from __future__ import annotations

import numpy as np
from nn.formulas import ACTIVATIONS, sigmoid


def softmax(x):
    e = np.exp(x - x.real.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


OUTPUTS = {**ACTIVATIONS, "softmax": softmax}


def irnn_step(w, state, x):
    (s,) = state
    s = ACTIVATIONS["relu"](x @ w["W_x"] + s @ w["W_s"] + w["b"])
    return (s,), s


def jordan_step(w, state, x, *, activation="tanh", output_activation="linear", **_):
    (y,) = state
    h = ACTIVATIONS[activation](x @ w["W_x"] + y @ w["W_y"] + w.get("b", 0))
    y = OUTPUTS[output_activation](h @ w["V"] + w.get("c", 0))
    return (y,), y


def deep_step(w, state, x, *, input_layers=1, transition_layers=1, output_layers=1):
    def through(u, name, layers):
        for k in range(layers - 1):
            u = np.tanh(u @ w[f"{name}_map.{k}.W"] + w[f"{name}_map.{k}.b"])
        return u

    (s,) = state
    s = np.tanh(through(x, "input", input_layers) @ w["W_x"] + s @ w["W_s"] + w["b"])
    s = through(s, "transition", transition_layers)
    return (s,), through(s, "output", output_layers)


def clockwork_step(w, state, x, *, periods):
    s, clock = state
    period = np.repeat(periods, s.shape[1] // len(periods))
    reads = period[:, None] >= period  # row j is read by column k
    new = np.tanh(x @ w["W_x"] + s @ (w["W_s"] * reads) + w["b"])
    s = np.where(clock[:, None] % period == 0, new, s)
    return (s, clock + 1), s


def scrn_step(w, state, x, *, alpha=0.95):
    h, s = state
    if alpha == "learned":
        alpha = sigmoid(w["beta"])
    s = alpha * s + (1 - alpha) * (x @ w["B"])
    h = sigmoid(s @ w["P"] + x @ w["A"] + h @ w["R"] + w["b"])
    return (h, s), np.concatenate([h, s], axis=1)
