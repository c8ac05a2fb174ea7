"""The equations of any cell as a loop of PyTorch's operations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from workloads import RATE, Array, Workload

from peers.equations import EQUATIONS, Maths, of_cell
from peers.pytorch import in_layers

MATHS = Maths(
    torch.sigmoid,
    torch.tanh,
    lambda x, n: x.chunk(n, dim=-1),
    lambda parts: torch.cat(parts, dim=-1),
    lambda x, W, b: F.linear(x, W.t(), b),
    torch.addmm,
    torch.from_numpy,
)


class Loop:
    """A loop of operations; ``hoisted``: the inputs are projected before it, all at once.

    Matrices are kept as PyTorch's own layers keep them, (out, in).
    """

    def __init__(self, workload: Workload, hoisted: bool) -> None:
        self.workload, self.hoisted = workload, hoisted
        ids, targets = (torch.from_numpy(a.T.copy()) for a in workload.data())  # (T, B)
        self.ids, self.targets = ids, targets.reshape(-1)
        self.initial = workload.weights()
        self.leaves = {
            name: torch.empty(array.shape if name == "embedding" else array.T.shape)
            for name, array in self.initial.items()
        }
        self.parameters = {name: torch.nn.Parameter(leaf) for name, leaf in self.leaves.items()}
        self.optimizer = torch.optim.SGD(self.parameters.values(), lr=RATE)
        self.reset()

    def reset(self) -> None:
        with torch.no_grad():
            for name, array in self.initial.items():
                laid = array if name == "embedding" else array.T.copy()
                self.parameters[name].copy_(torch.from_numpy(laid))

    def step(self) -> float:
        w = {n: p if p.ndim == 1 or n == "embedding" else p.t() for n, p in self.parameters.items()}

        def direction(prefix: str, xs: list[torch.Tensor], order: list[int]) -> torch.Tensor:
            return self._run(of_cell(w, prefix), xs, order)

        y = in_layers(self.workload, F.embedding(self.ids, w["embedding"]), direction)
        logits = F.linear(y, self.parameters["out.W"], w["out.b"])
        loss = F.cross_entropy(logits.flatten(0, 1), self.targets)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.item())

    def _run(
        self, w: dict[str, torch.Tensor], xs: list[torch.Tensor], order: list[int]
    ) -> torch.Tensor:
        cell = EQUATIONS[self.workload.cell]
        w = cell.once(MATHS, w)
        if self.hoisted:
            whole = cell.project(MATHS, w, torch.stack(xs))
            projected = list(zip(*[part.unbind(0) for part in whole], strict=True))
        state = tuple(torch.zeros(len(xs[0]), size) for size in cell.sizes(self.workload.H))
        ys = [xs[0]] * len(xs)
        for t in order:
            a = projected[t] if self.hoisted else cell.project(MATHS, w, xs[t])
            state, ys[t] = cell.step(MATHS, w, a, state, t)
        return torch.stack(ys)

    def gradients(self) -> dict[str, Array]:
        return self._ours({name: p.grad.numpy() for name, p in self.parameters.items()})

    def matrices(self) -> dict[str, Array]:
        values = {name: p.detach().numpy() for name, p in self.parameters.items()}
        return {n: a for n, a in self._ours(values).items() if a.ndim == 2}

    @staticmethod
    def _ours(arrays: dict[str, Array]) -> dict[str, Array]:
        return {n: a if n == "embedding" else a.T for n, a in arrays.items()}
