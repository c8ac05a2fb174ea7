"""PyTorch's own layers, and loops over its own cells."""

from __future__ import annotations

import os
from collections.abc import Callable

import numpy as np
import torch
from workloads import RATE, Array, Workload

torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
DEVICE = os.environ.get("BENCHMARK_DEVICE", "cpu")  # cuda: set by benchmarks/gpu.py
TF32 = bool(os.environ.get("CUPY_TF32"))  # as CuPy is told
torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = TF32

LAYERS = {"elman": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}
SINGLE = {"elman": torch.nn.RNNCell, "lstm": torch.nn.LSTMCell, "gru": torch.nn.GRUCell}


class Model:
    """An embedding, what ``read`` says, a linear layer, the loss and the update.

    Attributes
    ----------
    cells : dict of str to (module, str)
        Where the weights of each cell are: in which module, and what their names end in.
    """

    cells: dict[str, tuple[torch.nn.Module, str]]

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        ids, targets = (torch.from_numpy(a.T.copy()) for a in workload.data())  # (T, B)
        self.ids, self.targets = ids.to(DEVICE), targets.reshape(-1).to(DEVICE)
        self.initial = workload.weights()
        self.embedding = torch.nn.Embedding(workload.V, workload.H)
        self.out = torch.nn.Linear(*self.initial["out.W"].shape)
        self.build()
        modules = dict.fromkeys([self.embedding, self.out, *(m for m, _ in self.cells.values())])
        parameters = [p for module in modules for p in module.to(DEVICE).parameters()]
        self.optimizer = torch.optim.SGD(parameters, lr=RATE)
        self.reset()

    def build(self) -> None:
        raise NotImplementedError

    def read(self, x: torch.Tensor) -> torch.Tensor:
        """The outputs (T, B, …) of the recurrent layers."""
        raise NotImplementedError

    def step(self) -> float:
        logits = self.out(self.read(self.embedding(self.ids)))
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), self.targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.item())

    def reset(self) -> None:
        w = self.initial
        given = {self.embedding.weight: w["embedding"]}
        given |= {self.out.weight: w["out.W"].T, self.out.bias: w["out.b"]}
        for prefix, (module, suffix) in self.cells.items():
            single = {name.removeprefix(prefix): a for name, a in w.items() if prefix in name}
            for name, array in to_torch(self.workload.cell, single).items():
                given[getattr(module, name + suffix)] = array
        with torch.no_grad():
            for parameter, array in given.items():
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))

    def gradients(self) -> dict[str, Array]:
        return self._named(lambda parameter: parameter.grad.cpu().numpy())

    def matrices(self) -> dict[str, Array]:
        return {
            n: a for n, a in self._named(lambda p: p.detach().cpu().numpy()).items() if a.ndim == 2
        }

    def device_memory(self) -> float:
        """MB that arrays have taken at most."""
        return torch.cuda.max_memory_allocated() / 1e6 if DEVICE == "cuda" else 0.0

    def _named(self, value: Callable[[torch.Tensor], Array]) -> dict[str, Array]:
        found = {"embedding": value(self.embedding.weight)}
        for prefix, (module, suffix) in self.cells.items():
            arrays = {
                name: value(getattr(module, name + suffix))
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            }
            for name, array in from_torch(self.workload.cell, arrays).items():
                found[prefix + name] = array
        return found | {"out.W": value(self.out.weight).T, "out.b": value(self.out.bias)}


class Layer(Model):
    """``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``."""

    def build(self) -> None:
        work = self.workload
        self.rnn = LAYERS[work.cell](
            work.H, work.H, num_layers=work.layers, bidirectional=work.bidirectional
        )
        self.cells = {}
        for prefix, _ in work.cells():
            layer, direction, _ = prefix.split(".")
            suffix = "_reverse" if direction == "backward" else ""
            self.cells[prefix] = (self.rnn, f"_l{layer}{suffix}")

    def read(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


class CellLoop(Model):
    """A loop over ``nn.RNNCell``, ``nn.LSTMCell`` or ``nn.GRUCell``, as in their documentation."""

    def build(self) -> None:
        make, H = SINGLE[self.workload.cell], self.workload.H
        self.cells = {prefix: (make(inputs, H), "") for prefix, inputs in self.workload.cells()}

    def read(self, x: torch.Tensor) -> torch.Tensor:
        return in_layers(self.workload, x, self._direction)

    def _direction(self, prefix: str, xs: list[torch.Tensor], order: list[int]) -> torch.Tensor:
        cell, _ = self.cells[prefix]
        state, ys = None, [xs[0]] * len(xs)
        for t in order:
            state = cell(xs[t], state)
            ys[t] = state[0] if isinstance(state, tuple) else state
        return torch.stack(ys)


def in_layers(
    workload: Workload,
    x: torch.Tensor,
    direction: Callable[[str, list[torch.Tensor], list[int]], torch.Tensor],
) -> torch.Tensor:
    """Layer after layer, the directions of each side by side."""
    order = list(range(workload.T))
    for layer in range(workload.layers):
        xs = list(x.unbind(0))
        ys = [
            direction(f"{layer}.{name}.", xs, order if name == "forward" else order[::-1])
            for name in workload.directions
        ]
        x = ys[0] if len(ys) == 1 else torch.cat(ys, dim=-1)
    return x


def to_torch(cell: str, w: dict[str, Array]) -> dict[str, Array]:
    """A cell's weights as PyTorch has them: transposed, two biases, a GRU's gates r z n."""
    recurrent = w["W_h"] if cell == "lstm" else w["W_s"]
    second = np.zeros_like(w["b"])
    if cell == "gru":
        second[2 * len(w["b_sg"]) :] = w["b_sg"]
    found = {
        "weight_ih": w["W_x"].T,
        "weight_hh": recurrent.T,
        "bias_ih": w["b"],
        "bias_hh": second,
    }
    return {n: r_and_z_swapped(a) if cell == "gru" else a for n, a in found.items()}


def from_torch(cell: str, w: dict[str, Array]) -> dict[str, Array]:
    """The other way, for weights and gradients: the gradients of the two biases are the same."""
    if cell == "gru":
        w = {name: r_and_z_swapped(array) for name, array in w.items()}
    found = {"W_x": w["weight_ih"].T, "b": w["bias_ih"]}
    found["W_h" if cell == "lstm" else "W_s"] = w["weight_hh"].T
    if cell == "gru":
        found["b_sg"] = w["bias_hh"][len(w["bias_hh"]) // 3 * 2 :]
    return found


def r_and_z_swapped(array: Array) -> Array:
    first, second, third = np.split(array, 3)
    return np.concatenate([second, first, third])
