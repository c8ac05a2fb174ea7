"""What the tests of the analysis share."""

from __future__ import annotations

import numpy as np

import tinygradrnn as tg

B, T, N_IN, H = 2, 5, 3, 4


def randomised(module, scale=0.7):
    """The module in float64 with weights of which none is special."""
    rng = np.random.default_rng(1)
    for parameter in module.astype("float64").parameters():
        parameter.data = rng.normal(scale=scale, size=parameter.shape)
    return module


def states_of(cell, x, start=None):
    """s_0…s_T, one step after the other."""
    states = [cell.initial_state(len(x)) if start is None else start]
    for t in range(x.shape[1]):
        states.append(cell.transition(states[-1], tg.tensor(x[:, t])))
    return states


def check_png(figure, path):
    figure.savefig(path, dpi=50)
    assert path.read_bytes().startswith(b"\x89PNG")
