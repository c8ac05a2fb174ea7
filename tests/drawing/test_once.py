"""Every value is drawn once, whatever reads it: steps, lanes, later phases, what follows."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from drawing.examples import sequence
from drawing.geometry import faults
from drawing.random_graphs import recurrent
from hypothesis import given, settings

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.drawing import draw
from tinygradrnn.drawing.before import turns
from tinygradrnn.drawing.scene import Scene

MODES = {
    "gradients": {"gradients": True},
    "backward": {"backward": True},
    "rolled": {"rolled": True, "gradients": True},
}


def weights(*shape: int, name: str) -> nn.Parameter:
    return nn.Parameter(np.cos(np.arange(np.prod(shape))).reshape(shape), name=name)


def penalty() -> tg.Tensor:
    """The loss counts the sizes of the weights of both directions too."""
    network = nn.LSTM(3, 4, bidirectional=True)
    loss = (network(sequence(3)).last ** 2).sum()
    for weight in network.parameters():
        loss = loss + (weight * weight).sum()
    return loss


def tied() -> tg.Tensor:
    """A decoder with the weights of the encoder."""
    cell = nn.LSTMCell(3, 4)
    encoder, decoder = nn.RNN(cell), nn.RNN(cell)
    return (decoder(sequence(3), encoder(sequence(2)).state).y ** 2).sum()


def context() -> tg.Tensor:
    """What the first step starts from all steps read."""
    W, s = weights(4, 4, name="W"), tg.tensor(np.ones((2, 4)), name="v", requires_grad=True)
    v = s
    for t in range(1, 4):
        with tg.timestep(t):
            s = F.tanh(s @ W + v)
    return s.sum()


def context_backwards() -> tg.Tensor:
    """The same, from the last step to the first."""
    W, s = weights(4, 4, name="W"), tg.tensor(np.ones((2, 4)), name="v", requires_grad=True)
    v = s
    for t in (3, 2, 1):
        with tg.timestep(t):
            s = F.tanh(s @ W + v)
    return s.sum()


def caption() -> tg.Tensor:
    """Both initial states are computed from one vector."""
    image = tg.tensor(np.ones((2, 5)), name="image", requires_grad=True)
    h, c = (F.tanh(image @ weights(5, 4, name=name)) for name in ("A", "B"))
    return (nn.RNN(nn.LSTMCell(3, 4))(sequence(3), nn.LSTMState(h, c)).y ** 2).sum()


def normalised() -> tg.Tensor:
    """All steps read a weight and what is computed from it."""
    W, s = weights(4, 4, name="W"), tg.tensor(np.ones((2, 4)), name="s")
    half = W / (W * W).sum()
    for t in range(1, 4):
        with tg.timestep(t):
            s = F.tanh(s @ half) @ W
    return s.sum()


NETWORKS = (penalty, tied, context, context_backwards, caption, normalised)


def drawn_twice(scene: Scene, backward: bool) -> dict[int, int]:
    """The boxes of which there are more shapes than one, or one for each half."""
    shapes = [s for s in scene.shapes if s.box >= 0 and s.style != "term"]
    halves = [Counter(s.box for s in shapes if s.style.startswith("twin") == h) for h in (0, 1)]
    assert backward or not halves[1]
    return {box: n for half in halves for box, n in half.items() if n > 1}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("level", ["op", "gate", "cell"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_value_is_drawn_once(network, level, mode):
    drawing = draw(network(), level=level, **MODES[mode])
    assert drawing.diagram.steps
    assert not drawn_twice(drawing.scene, mode == "backward")
    assert not faults(drawing.scene)


@given(recurrent())
@settings(max_examples=40, deadline=None)
def test_every_value_of_a_random_recurrence_is_drawn_once(loss):
    for options in ({"gradients": True}, {"backward": True}):
        scene = draw(loss, **options).scene
        assert not drawn_twice(scene, "backward" in options)
        assert not faults(scene)


def test_what_turns_to_where_another_line_runs_turns_after_it():
    assert turns([10.0, 0.0], [0.0, -20.0], 5.0) == [1, 0]
    assert turns([10.0, 0.0], [10.0, 0.0], 5.0) == []
