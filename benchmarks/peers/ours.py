"""This project: the explicit path, and ``tg.compile``."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from workloads import ALPHA, LIBRARY_CELLS, PERIODS, RATE, Array, Workload

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

LARGE = 2.0**14  # a learning rate


class MinimalGatedCell(nn.Cell):
    """The cell that CONTRIBUTING.md shows how to write."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_f = nn.Parameter(np.zeros((input_size + hidden_size, hidden_size), np.float32))
        self.W_g = nn.Parameter(np.zeros((input_size + hidden_size, hidden_size), np.float32))

    def transition(self, state: Any, x: tg.Tensor) -> tg.Tensor:
        f = F.sigmoid(F.concatenate([x, state], axis=1) @ self.W_f)
        return (1 - f) * state + f * F.tanh(F.concatenate([x, f * state], axis=1) @ self.W_g)

    def initial_state(self, batch: int) -> tg.Tensor:
        return self.zeros(batch, self.hidden_size)


def recurrent(work: Workload) -> nn.Module:
    """The recurrent layers."""
    if work.cell in LIBRARY_CELLS:
        make = {"elman": nn.Elman, "lstm": nn.LSTM, "gru": nn.GRU}[work.cell]
        options = {"reset": "after", "update": "state"} if work.cell == "gru" else {}
        return make(
            work.H, work.H, num_layers=work.layers, bidirectional=work.bidirectional, **options
        )
    if work.cell == "peephole":
        return nn.Stacked([nn.RNN(nn.LSTMCell(work.H, work.H, peephole=True))])
    if work.cell == "clockwork":
        return nn.Stacked([nn.RNN(nn.ClockworkCell(work.H, work.H, periods=PERIODS))])
    if work.cell == "scrn":
        return nn.Stacked([nn.RNN(nn.SCRNCell(work.H, work.H, work.H // 4, alpha=ALPHA))])
    return nn.Stacked([nn.RNN(MinimalGatedCell(work.H, work.H))])


class Explicit:
    """Every operation a node, in every step."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.initial = workload.weights()
        self.batch = workload.data()
        embedding = nn.Embedding(workload.V, workload.H)
        self.rnn = rnn = recurrent(workload)
        out = nn.Linear(*self.initial["out.W"].shape)
        self.parameters = {"embedding": embedding.W, "out.W": out.W, "out.b": out.b}
        for (prefix, _), cell in zip(workload.cells(), cells_of(rnn), strict=True):
            for name, parameter in cell.named_parameters():
                self.parameters[prefix + name] = parameter
        self.optimizer = optimizer = tg.optim.SGD(list(self.parameters.values()), lr=RATE)

        def train_step(ids: tg.Tensor, targets: tg.Tensor) -> tg.Tensor:
            loss = F.cross_entropy(out(self.unroll(embedding(ids))), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        self.train_step: Any = train_step
        self.reset()

    def unroll(self, x: tg.Tensor) -> tg.Tensor:
        """The outputs of all time steps."""
        return self.rnn(x).y

    def step(self) -> float:
        return float(self.train_step(*self.batch).item())

    def reset(self) -> None:
        for name, array in to_ours(self.workload, self.initial).items():
            self.parameters[name].data = array

    def gradients(self) -> dict[str, Array]:
        arrays = {name: p.grad.numpy() for name, p in self.parameters.items()}
        return from_ours(self.workload, arrays)

    def matrices(self) -> dict[str, Array]:
        arrays = {name: p.numpy() for name, p in self.parameters.items()}
        return {n: a for n, a in from_ours(self.workload, arrays).items() if a.ndim == 2}

    def device_memory(self) -> float:
        """MB that the backend holds on a device."""
        return tg.get_backend().memory_info().get("held", 0) / 1e6


class Recomputed(Explicit):
    """The same in √T segments, of which the backward pass computes the inside once more."""

    def unroll(self, x: tg.Tensor) -> tg.Tensor:
        ys, state, length = [], None, isqrt(x.shape[1])
        for start in range(0, x.shape[1], length):
            part = x[:, start : start + length]
            y, state = tg.recompute(lambda part, state: tuple(self.rnn(part, state)), part, state)
            ys.append(y)
        return F.concatenate(ys, axis=1)


class Compiled(Explicit):
    """The same function through ``tg.compile``.

    Parameters
    ----------
    workload : Workload
    fast : bool or None
        With kernels of Numba, which has to be installed; else without, even if it is. None: as
        ``tg.compile`` decides.
    without : tuple of str
        Passes to leave out.
    """

    def __init__(
        self, workload: Workload, fast: bool | None = False, without: tuple[str, ...] = ()
    ) -> None:
        super().__init__(workload)
        self.train_step = tg.compile(self.train_step, without=without, fast=fast)

    def gradients(self) -> dict[str, Array]:
        """Read off the weights: a plan keeps no gradient that only the update needs.

        A large learning rate (an input of the plan, so it is the same plan) keeps the digits.
        """
        self.reset()
        self.optimizer.lr = LARGE
        self.step()
        self.optimizer.lr = RATE
        after = {name: p.numpy() for name, p in self.parameters.items()}
        self.reset()
        before = {name: p.numpy() for name, p in self.parameters.items()}
        apart = {name: (before[name] - after[name]) / np.float32(LARGE) for name in before}
        return from_ours(self.workload, apart)


def cells_of(rnn: Any) -> list[nn.Cell]:
    """The cells, layer after layer, the forward direction first."""
    found = []
    for layer in rnn.layers:
        both = isinstance(layer, nn.Bidirectional)
        layers = (layer.forward_rnn, layer.backward_rnn) if both else (layer,)
        found += [one.cell for one in layers]
    return found


def to_ours(work: Workload, w: dict[str, Array]) -> dict[str, Array]:
    """The weights under our names: a GRU keeps those of its candidate apart."""
    if work.cell != "gru":
        return w
    found = {}
    for name, array in w.items():
        if name.endswith(".W_s"):
            found[name] = array[:, : 2 * work.H].copy()
            found[f"{name}g"] = array[:, 2 * work.H :].copy()
        else:
            found[name] = array
    return found


def from_ours(work: Workload, w: dict[str, Array]) -> dict[str, Array]:
    """The other way."""
    if work.cell != "gru":
        return w
    return {
        name: np.concatenate([w[name], w[f"{name}g"]], axis=1) if name.endswith(".W_s") else array
        for name, array in w.items()
        if not name.endswith(".W_sg")
    }
