"""A training step never makes the host wait for the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn, optim

V, E, H, B, T = 11, 5, 6, 3, 7
IDS = np.random.default_rng(0).integers(0, V, (B, T + 1))
MASK = np.arange(T) < np.array([[7], [4], [6]])

LAYERS: dict[str, Callable[[], nn.Module]] = {
    "Elman": lambda: nn.Elman(E, H),
    "LSTM": lambda: nn.LSTM(E, H),
    "LSTM with peepholes": lambda: nn.LSTM(E, H, peephole=True),
    "GRU": lambda: nn.GRU(E, H),
    "IRNN": lambda: nn.RNN(nn.IRNNCell(E, H)),
    "Jordan": lambda: nn.RNN(nn.JordanCell(E, H, H)),
    "deep": lambda: nn.RNN(nn.DeepElmanCell(E, H, transition_layers=2)),
    "clockwork": lambda: nn.RNN(nn.ClockworkCell(E, H, periods=(1, 2, 4))),
    "SCRN": lambda: nn.RNN(nn.SCRNCell(E, H - 2, 2)),
    "learned start": lambda: nn.RNN(nn.GRUCell(E, H), learn_initial=True, recurrent_dropout=0.2),
    "stacked": lambda: nn.LSTM(E, H, num_layers=2, dropout=0.2),
    "both directions": lambda: nn.Bidirectional(
        nn.RNN(nn.LSTMCell(E, H // 2)), nn.RNN(nn.LSTMCell(E, H // 2))
    ),
}
OPTIMIZERS: dict[str, Callable[..., optim.Optimizer]] = {
    "SGD": lambda p: optim.SGD(p, 0.1),
    "momentum": lambda p: optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "Adagrad": lambda p: optim.Adagrad(p),
    "RMSprop": lambda p: optim.RMSprop(p, momentum=0.9),
    "Adam": lambda p: optim.Adam(p),
    "AdamW": lambda p: optim.AdamW(p),
}


class Language(nn.Module):
    def __init__(self, layer: nn.Module) -> None:
        self.embedding = nn.Embedding(V, E, padding_idx=0)
        self.dropout = nn.Dropout(0.3)
        self.rnn = layer
        self.readout = nn.Linear(H, V)

    def forward(self, ids: Any, lengths: Any) -> tg.Tensor:
        out = self.rnn(self.dropout(self.embedding(ids)), lengths=lengths)
        return self.readout(out.y)


def step(
    model: nn.Module, optimizer: optim.Optimizer, ids: Any, targets: Any, lengths: Any, mask: Any
) -> tuple[tg.Tensor, tg.Tensor]:
    loss = F.cross_entropy(model(ids, lengths), targets, mask=mask)
    optimizer.zero_grad()
    loss.backward()
    norm = optim.clip_grad_norm(model.parameters(), 0.5)
    optim.clip_grad_value(model.parameters(), -0.1, 0.1)
    optimizer.step()
    return loss, norm


GIVEN: dict[str, tuple[Callable[[Any], Any], Any]] = {
    "arrays": (lambda array: array, None),
    "tensors": (tg.tensor, None),
    "lists, with lengths": (lambda array: array.tolist(), [7, 4, 6]),
    "tensors, with lengths": (tg.tensor, tg.tensor),
}


def three_steps(layer: str, optimizer: str, given: str, g: Any) -> int:
    make, lengths = GIVEN[given]
    model = Language(LAYERS[layer]())
    updates = OPTIMIZERS[optimizer](model.parameters())
    batch = [make(IDS[:, :-1]), make(IDS[:, 1:])]
    lengths = lengths([7, 4, 6]) if callable(lengths) else lengths
    before = g.synchronisations
    losses = [step(model, updates, *batch, lengths, make(MASK))[0] for _ in range(3)]
    waited = g.synchronisations - before
    assert len({loss.item() for loss in losses}) == 3
    return int(waited)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("layer", LAYERS)
def test_no_step_of_any_layer_waits(layer: str, given: str) -> None:
    with tg.testing.guard() as g:
        assert three_steps(layer, "Adam", given, g) == 0, g


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_no_optimizer_waits(optimizer: str) -> None:
    with tg.testing.guard() as g:
        assert three_steps("LSTM", optimizer, "arrays", g) == 0, g


LOSSES: list[Callable[[tg.Tensor], tg.Tensor]] = [
    lambda y: F.mse_loss(y, np.zeros((4, 3))),
    lambda y: F.half_squared_error(y, np.zeros((4, 3)), mask=np.ones((4, 3))),
    lambda y: F.binary_cross_entropy_with_logits(y, np.ones((4, 3)), reduction="mean"),
    lambda y: F.nll_loss(F.log_softmax(y), [0, 1, 2, 0]),
    lambda y: -F.softmax(y)[np.arange(4), [2, 1, 0, 1]].sum() + F.logsumexp(y, axis=None),
    lambda y: (F.one_hot([0, 1, 2, 0], 3, "float64") * F.clip(y, -1, 1)).max(),
    lambda y: F.hard_gate(np.eye(4, 3) > 0, y, -y).sum(),
    lambda y: F.where(y > 0, y, 0.1 * y).mean() + F.pad(y, [(0, 1), (0, 0)]).min(),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_no_loss_waits(loss: Callable[[tg.Tensor], tg.Tensor]) -> None:
    with tg.testing.guard() as g:
        y = tg.tensor(np.random.default_rng(0).standard_normal((4, 3)), requires_grad=True)
        loss(y).backward()
        tg.grad(tg.grad(loss(y * y), y, create_graph=True)[0].sum(), y)
        assert g.synchronisations == 0, g
        assert y.grad.shape == (4, 3)


def test_a_step_that_looks_at_its_loss_waits_once() -> None:
    with tg.testing.guard() as g:
        x = tg.tensor([1.0, 2.0], requires_grad=True)
        loss = (x * x).sum()
        if float(loss) > 0:
            loss.backward()
        assert g.synchronisations == 1
        assert "test_waiting.py" in g.places[0]
