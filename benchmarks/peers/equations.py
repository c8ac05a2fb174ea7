"""The cells' equations, once for every peer that is a loop over array operations.

What depends on the inputs alone is apart (`project`), so that a peer can do it for all time steps
at once, and so is what depends on the weights alone (`once`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from workloads import ALPHA, PERIODS, reads

Arrays = tuple[Any, ...]
Weights = dict[str, Any]


class Maths(NamedTuple):
    """What a package calls the functions that the equations need."""

    sigmoid: Callable[[Any], Any]
    tanh: Callable[[Any], Any]
    split: Callable[[Any, int], Any]  # into equal parts of the last axis
    join: Callable[[list[Any]], Any]  # along the last axis
    linear: Callable[[Any, Any, Any], Any]  # x W + b; b may be None
    plus: Callable[[Any, Any, Any], Any]  # a + x W
    constant: Callable[[Any], Any]  # of a NumPy array


class Equations(NamedTuple):
    """A cell: the input's part, a step (the next state and the output), and the state's sizes."""

    project: Callable[[Maths, Weights, Any], Arrays]
    step: Callable[[Maths, Weights, Arrays, Arrays, int], tuple[Arrays, Any]]
    sizes: Callable[[int], tuple[int, ...]]
    once: Callable[[Maths, Weights], Weights] = lambda m, w: w


def one_projection(m: Maths, w: Weights, x: Any) -> Arrays:
    return (m.linear(x, w["W_x"], w["b"]),)


def elman(m: Maths, w: Weights, a: Arrays, state: Arrays, t: int) -> tuple[Arrays, Any]:
    s = m.tanh(m.plus(a[0], state[0], w["W_s"]))
    return (s,), s


def lstm(m: Maths, w: Weights, a: Arrays, state: Arrays, t: int) -> tuple[Arrays, Any]:
    h, c = state
    i, f, g, o = m.split(m.plus(a[0], h, w["W_h"]), 4)
    c = m.sigmoid(f) * c + m.sigmoid(i) * m.tanh(g)
    h = m.sigmoid(o) * m.tanh(c)
    return (h, c), h


def peephole(m: Maths, w: Weights, a: Arrays, state: Arrays, t: int) -> tuple[Arrays, Any]:
    h, c = state
    i, f, g, o = m.split(m.plus(a[0], h, w["W_h"]), 4)
    c = m.sigmoid(f + w["p_f"] * c) * c + m.sigmoid(i + w["p_i"] * c) * m.tanh(g)
    h = m.sigmoid(o + w["p_o"] * c) * m.tanh(c)
    return (h, c), h


def gru(m: Maths, w: Weights, a: Arrays, state: Arrays, t: int) -> tuple[Arrays, Any]:
    (s,) = state
    z, r, g = m.split(a[0], 3)
    z_s, r_s, g_s = m.split(m.linear(s, w["W_s"], None), 3)
    z, r = m.sigmoid(z + z_s), m.sigmoid(r + r_s)
    g = m.tanh(g + r * (g_s + w["b_sg"]))
    s = z * s + (1 - z) * g
    return (s,), s


def scrn_projection(m: Maths, w: Weights, x: Any) -> Arrays:
    return m.linear(x, w["A"], w["b"]), (1 - ALPHA) * m.linear(x, w["B"], None)


def scrn(m: Maths, w: Weights, a: Arrays, state: Arrays, t: int) -> tuple[Arrays, Any]:
    h, s = state
    s = ALPHA * s + a[1]
    h = m.sigmoid(m.plus(m.plus(a[0], s, w["P"]), h, w["R"]))
    return (h, s), m.join([h, s])


def clockwork_blocks(m: Maths, w: Weights) -> Weights:
    """Each period divides the next, so the blocks that tick are always the first few."""
    H = w["W_s"].shape[0]
    masked = w["W_s"] * m.constant(reads(H))
    size = H // len(PERIODS)
    return w | {f"first {k}": masked[:, : k * size] for k in range(1, len(PERIODS) + 1)}


def clockwork(m: Maths, w: Weights, a: Arrays, state: Arrays, t: int) -> tuple[Arrays, Any]:
    (s,) = state
    ticking = sum(t % period == 0 for period in PERIODS)
    end = ticking * (w["W_s"].shape[0] // len(PERIODS))
    new = m.tanh(m.plus(a[0][:, :end], s, w[f"first {ticking}"]))
    s = new if ticking == len(PERIODS) else m.join([new, s[:, end:]])
    return (s,), s


def own_blocks(m: Maths, w: Weights) -> Weights:
    """[x ; s] W = x W[:F] + s W[F:]."""
    F = w["W_f"].shape[0] - w["W_f"].shape[1]
    return {
        name + part: w[name][rows]
        for name in ("W_f", "W_g")
        for part, rows in (("x", slice(None, F)), ("s", slice(F, None)))
    }


def own_projection(m: Maths, w: Weights, x: Any) -> Arrays:
    return m.linear(x, w["W_fx"], None), m.linear(x, w["W_gx"], None)


def own(m: Maths, w: Weights, a: Arrays, state: Arrays, t: int) -> tuple[Arrays, Any]:
    (s,) = state
    f = m.sigmoid(m.plus(a[0], s, w["W_fs"]))
    s = (1 - f) * s + f * m.tanh(m.plus(a[1], f * s, w["W_gs"]))
    return (s,), s


EQUATIONS = {
    "elman": Equations(one_projection, elman, lambda H: (H,)),
    "lstm": Equations(one_projection, lstm, lambda H: (H, H)),
    "gru": Equations(one_projection, gru, lambda H: (H,)),
    "peephole": Equations(one_projection, peephole, lambda H: (H, H)),
    "clockwork": Equations(one_projection, clockwork, lambda H: (H,), clockwork_blocks),
    "scrn": Equations(scrn_projection, scrn, lambda H: (H, H // 4)),
    "own": Equations(own_projection, own, lambda H: (H,), own_blocks),
}


def of_cell(weights: Weights, prefix: str) -> Weights:
    """The weights of one cell under their own names."""
    return {
        name.removeprefix(prefix): value
        for name, value in weights.items()
        if name.startswith(prefix)
    }
