"""The cells of the lecture notes in plain NumPy: one step, the loop, and BPTT written by hand.

A step takes the weights by name, a tuple of state arrays and x (B, F), and gives (state, y). The
arithmetic is analytic, so that gradients can also be had by the complex step: Im f(w + ih) / h.
"""

from __future__ import annotations

from itertools import product

import numpy as np


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


ACTIVATIONS = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda x: x * (x.real > 0),
    "linear": lambda x: x,
}


def block(matrix, letters, letter):
    """The columns of one gate in a matrix that holds several side by side."""
    size = matrix.shape[-1] // len(letters)
    start = letters.index(letter) * size
    return matrix[..., start : start + size]


def elman_step(w, state, x, *, activation="tanh", **_):
    (s,) = state
    s = ACTIVATIONS[activation](x @ w["W_x"] + s @ w["W_s"] + w.get("b", 0))
    return (s,), s


def lstm_step(w, state, x, *, peephole=False, coupled=False, activation="tanh", **_):
    h, c = state
    letters = "fgo" if coupled else "ifgo"
    f_act = ACTIVATIONS[activation]

    def z(letter):
        bias = block(w["b"], letters, letter) if "b" in w else 0
        return x @ block(w["W_x"], letters, letter) + h @ block(w["W_h"], letters, letter) + bias

    def seen(letter, memory):
        return w[f"p_{letter}"] * memory if peephole else 0

    f = sigmoid(z("f") + seen("f", c))
    i = 1 - f if coupled else sigmoid(z("i") + seen("i", c))
    c = f * c + i * f_act(z("g"))
    o = sigmoid(z("o") + seen("o", c))
    h = o * f_act(c)
    return (h, c), h


def gru_step(w, state, x, *, reset="before", update="candidate", **_):
    (s,) = state

    def z_of(letter):
        bias = block(w["b"], "zrg", letter) if "b" in w else 0
        return x @ block(w["W_x"], "zrg", letter) + bias

    z = sigmoid(z_of("z") + s @ block(w["W_s"], "zr", "z"))
    r = sigmoid(z_of("r") + s @ block(w["W_s"], "zr", "r"))
    if reset == "before":
        g = np.tanh(z_of("g") + (r * s) @ w["W_sg"])
    else:
        g = np.tanh(z_of("g") + r * (s @ w["W_sg"] + w.get("b_sg", 0)))
    s = (1 - z) * s + z * g if update == "candidate" else z * s + (1 - z) * g
    return (s,), s


STEPS = {"elman": elman_step, "lstm": lstm_step, "gru": gru_step}


def loop(step, w, state, x, **options):
    """x (B, T, F) → outputs (B, T, H) and the final state."""
    outputs = []
    for t in range(x.shape[1]):
        state, y = step(w, state, x[:, t], **options)
        outputs.append(y)
    return np.stack(outputs, axis=1), state


def complex_step(f, arrays):
    """∂f/∂array for each of the arrays by name, to the last bit; f is a real number."""
    gradients = {}
    for name, array in arrays.items():
        gradients[name] = np.zeros_like(array)
        for index in product(*map(range, array.shape)):
            moved = array.astype(complex)
            moved[index] += 1e-40j
            gradients[name][index] = f({**arrays, name: moved}).imag / 1e-40
    return gradients


# Backpropagation through time by hand. `gy` (B, T, H) is the direct ∂L/∂y_t, `last` the direct
# gradient of the final state. Each gives ∂L/∂ by name, with `x` and the initial state's parts.


def elman_bptt(w, s0, x, gy, last):
    s = [s0]
    for t in range(x.shape[1]):
        s.append(np.tanh(x[:, t] @ w["W_x"] + s[-1] @ w["W_s"] + w["b"]))
    grads = {name: np.zeros_like(value) for name, value in (*w.items(), ("x", x))}
    (ds,) = last
    for t in reversed(range(x.shape[1])):
        ds = ds + gy[:, t]
        da = ds * (1 - s[t + 1] ** 2)
        grads["W_x"] += x[:, t].T @ da
        grads["W_s"] += s[t].T @ da
        grads["b"] += da.sum(0)
        grads["x"][:, t] = da @ w["W_x"].T
        ds = da @ w["W_s"].T
    return {**grads, "s": ds}


def lstm_bptt(w, state, x, gy, last):
    h, c = [state[0]], [state[1]]
    gates = []
    for t in range(x.shape[1]):
        a = x[:, t] @ w["W_x"] + h[-1] @ w["W_h"] + w["b"]
        i, f, g, o = (block(a, "ifgo", letter) for letter in "ifgo")
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        gates.append((i, f, g, o))
        c.append(f * c[-1] + i * g)
        h.append(o * np.tanh(c[-1]))
    grads = {name: np.zeros_like(value) for name, value in (*w.items(), ("x", x))}
    dh, dc = last
    for t in reversed(range(x.shape[1])):
        i, f, g, o = gates[t]
        dh = dh + gy[:, t]
        tanh_c = np.tanh(c[t + 1])
        dc = dc + dh * o * (1 - tanh_c**2)
        da = np.concatenate(
            [
                dc * g * i * (1 - i),
                dc * c[t] * f * (1 - f),
                dc * i * (1 - g**2),
                dh * tanh_c * o * (1 - o),
            ],
            axis=1,
        )
        grads["W_x"] += x[:, t].T @ da
        grads["W_h"] += h[t].T @ da
        grads["b"] += da.sum(0)
        grads["x"][:, t] = da @ w["W_x"].T
        dh, dc = da @ w["W_h"].T, dc * f
    return {**grads, "h": dh, "c": dc}


def gru_bptt(w, s0, x, gy, last):
    s = [s0]
    gates = []
    H = s0.shape[1]
    for t in range(x.shape[1]):
        a = x[:, t] @ w["W_x"] + w["b"]
        u = s[-1] @ w["W_s"]
        z, r = sigmoid(a[:, :H] + u[:, :H]), sigmoid(a[:, H : 2 * H] + u[:, H:])
        g = np.tanh(a[:, 2 * H :] + (r * s[-1]) @ w["W_sg"])
        gates.append((z, r, g))
        s.append((1 - z) * s[-1] + z * g)
    grads = {name: np.zeros_like(value) for name, value in (*w.items(), ("x", x))}
    (ds,) = last
    for t in reversed(range(x.shape[1])):
        z, r, g = gates[t]
        ds = ds + gy[:, t]
        da_g = ds * z * (1 - g**2)
        through = da_g @ w["W_sg"].T  # ∂L/∂(r ⊙ s_{t−1})
        da_z = ds * (g - s[t]) * z * (1 - z)
        da_r = through * s[t] * r * (1 - r)
        da = np.concatenate([da_z, da_r, da_g], axis=1)
        grads["W_x"] += x[:, t].T @ da
        grads["b"] += da.sum(0)
        grads["W_s"] += s[t].T @ da[:, : 2 * H]
        grads["W_sg"] += (r * s[t]).T @ da_g
        grads["x"][:, t] = da @ w["W_x"].T
        ds = ds * (1 - z) + through * r + da[:, : 2 * H] @ w["W_s"].T
    return {**grads, "s": ds}


BPTT = {"elman": elman_bptt, "lstm": lstm_bptt, "gru": gru_bptt}
