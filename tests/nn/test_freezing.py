"""Freezing layers one by one: chain-thaw (Felbo et al. 2017, note set 000)."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.optim import SGD, Adagrad, Adam, AdamW, RMSprop

OPTIMISERS = {
    "sgd": lambda p: SGD(p, 0.1),
    "momentum": lambda p: SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda p: Adagrad(p, 0.1),
    "rmsprop": lambda p: RMSprop(p, 0.01, momentum=0.5),
    "adam": lambda p: Adam(p, 0.01),
    "adamw": lambda p: AdamW(p, 0.01, weight_decay=0.1),
}
every_optimiser = pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)

IDS = np.random.default_rng(0).integers(0, 5, (4, 6))
TARGETS = np.array([0, 1, 1, 0])


def deepmoji():
    """Embedding, two bidirectional LSTM layers with skip connections, a readout."""
    tg.manual_seed(1)
    layers = [
        nn.Bidirectional(nn.RNN(nn.LSTMCell(size, 3)), nn.RNN(nn.LSTMCell(size, 3)))
        for size in (4, 6)
    ]
    recurrent = nn.Stacked(layers, skip=True)
    return nn.Sequential(nn.Embedding(5, 4), recurrent, nn.Last(), nn.Linear(4 + 6 + 6, 2))


def parts(model):
    """What is thawed one by one: the new layer first, then from the first to the last."""
    embedding, recurrent, _, head = model.layers
    return [head, embedding, *recurrent.layers]


def steps(model, optimisers, count=3):
    for _ in range(count):
        model_loss = F.cross_entropy(model(IDS), TARGETS)
        for optimiser in optimisers:
            optimiser.zero_grad()
        model_loss.backward()
        for optimiser in optimisers:
            optimiser.step()


def thaw_only(model, part):
    model.freeze()
    part.unfreeze()


def memory(optimiser):
    state = optimiser.state_dict()
    return list(zip(state["steps"], state["slots"], strict=True))


@every_optimiser
def test_a_frozen_part_and_its_memory_stand_still(make):
    model = deepmoji()
    optimiser = make(model.parameters())
    steps(model, [optimiser])
    frozen = parts(model)[2]
    frozen.freeze()
    positions = [i for i, p in enumerate(model.parameters()) if not p.requires_grad]
    assert len(positions) == len(frozen.parameters())
    values, before = frozen.state_dict(), memory(optimiser)
    others = {k: v for k, v in model.state_dict().items() if "layers.1.layers.0." not in k}
    steps(model, [optimiser])
    after = memory(optimiser)
    for position in positions:
        assert before[position][0] == after[position][0] == 3
        for name, array in before[position][1].items():
            np.testing.assert_array_equal(after[position][1][name], array)
    for name, value in frozen.state_dict().items():
        np.testing.assert_array_equal(value, values[name])
    assert all(parameter.grad is None for parameter in frozen.parameters())
    now = model.state_dict()
    assert len(others) == len(now) - len(positions)
    for name, value in others.items():
        assert (now[name] != value).any(), name
    frozen.unfreeze()
    steps(model, [optimiser], count=1)
    assert {n for n, _ in memory(optimiser)} == {4, 7}
    for name, value in frozen.state_dict().items():
        assert (value != values[name]).any(), name


def test_a_parameter_frozen_by_itself_stands_still_though_it_has_a_gradient():
    model = deepmoji()
    optimiser = Adam(model.parameters(), 0.1)
    w = model.layers[3].W
    F.cross_entropy(model(IDS), TARGETS).backward()
    w.requires_grad = False
    before = w.numpy()
    optimiser.step()
    np.testing.assert_array_equal(w.numpy(), before)
    assert w.grad is not None


@every_optimiser
def test_chain_thaw_is_each_part_with_an_optimiser_of_its_own(make):
    """One optimiser over everything, parts thawed in turn and then all together, gives exactly what
    an optimiser for each part gives: a frozen part costs the others nothing, and resumes.
    """
    together, apart = deepmoji(), deepmoji()
    one = make(together.parameters())
    several = [make(part.parameters()) for part in parts(apart)]
    for k, part in enumerate(parts(together)):
        thaw_only(together, part)
        steps(together, [one])
        thaw_only(apart, parts(apart)[k])
        steps(apart, [several[k]])
    together.unfreeze()
    steps(together, [one])
    apart.unfreeze()
    steps(apart, several)
    start = deepmoji().state_dict()
    for name, value in together.state_dict().items():
        np.testing.assert_array_equal(value, apart.state_dict()[name], err_msg=name)
        assert (value != start[name]).any()


def test_chain_thaw_lowers_the_loss_in_every_stage():
    model = deepmoji()
    optimiser = Adam(model.parameters(), 0.02)
    losses = [F.cross_entropy(model(IDS), TARGETS).item()]
    for part in (*parts(model), model):
        thaw_only(model, part)
        steps(model, [optimiser], count=5)
        losses.append(F.cross_entropy(model(IDS), TARGETS).item())
    assert losses == sorted(losses, reverse=True)


def test_nothing_is_recorded_below_the_lowest_part_that_is_trained():
    model = deepmoji()
    whole = len(tg.Graph(model(IDS)).nodes)
    thaw_only(model, parts(model)[0])
    head = tg.Graph(model(IDS))
    assert {node.op for node in head.nodes} == {"parameter", "input", "matmul", "add"}
    thaw_only(model, parts(model)[1])
    assert len(tg.Graph(model(IDS)).nodes) > whole / 2  # gradients pass through frozen layers


def test_a_checkpoint_in_the_middle_of_chain_thaw(tmp_path):
    def half():
        model = deepmoji()
        optimiser = Adam(model.parameters(), 0.02)
        for part in parts(model)[:2]:
            thaw_only(model, part)
            steps(model, [optimiser])
        return model, optimiser

    model, optimiser = half()
    tg.save(tmp_path / "half.safetensors", model=model, optimizer=optimiser)
    resumed = deepmoji()
    again = Adam(resumed.parameters(), 0.5)
    tg.load(tmp_path / "half.safetensors", model=resumed, optimizer=again)
    for one, opt in ((model, optimiser), (resumed, again)):
        thaw_only(one, parts(one)[2])
        steps(one, [opt])
        one.unfreeze()
        steps(one, [opt])
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, resumed.state_dict()[name])
