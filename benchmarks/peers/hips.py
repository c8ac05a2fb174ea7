"""HIPS autograd: a tape over NumPy."""

from __future__ import annotations

from typing import Any

import autograd.numpy as anp
from autograd import value_and_grad
from workloads import RATE, Array, Workload

from peers.equations import EQUATIONS, Maths, of_cell

MATHS = Maths(
    lambda x: 0.5 * (anp.tanh(0.5 * x) + 1),
    anp.tanh,
    lambda x, n: [x[..., k * x.shape[-1] // n : (k + 1) * x.shape[-1] // n] for k in range(n)],
    lambda parts: anp.concatenate(parts, axis=-1),
    lambda x, W, b: anp.dot(x, W) if b is None else anp.dot(x, W) + b,
    lambda a, x, W: a + anp.dot(x, W),
    anp.asarray,
)


class Loop:
    """A loop of operations; the loss is summed step by step."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.ids, self.targets = (a.T.copy() for a in workload.data())  # (T, B)
        self.initial = workload.weights()
        self.differentiated = value_and_grad(self._loss)
        self.reset()

    def _loss(self, w: dict[str, Any]) -> Any:
        xs = [w["embedding"][ids] for ids in self.ids]
        for layer in range(self.workload.layers):
            both = [
                self._run(of_cell(w, f"{layer}.{name}."), xs, name == "backward")
                for name in self.workload.directions
            ]
            xs = [parts[0] if len(parts) == 1 else MATHS.join(parts) for parts in zip(*both)]  # noqa: B905
        total = 0.0
        rows = anp.arange(self.workload.B)
        for x, targets in zip(xs, self.targets, strict=True):
            logits = MATHS.linear(x, w["out.W"], w["out.b"])
            logits = logits - logits.max(axis=1, keepdims=True)
            right = logits[rows, targets]
            total = total + anp.sum(anp.log(anp.sum(anp.exp(logits), axis=1)) - right)
        return total / self.ids.size

    def _run(self, w: dict[str, Any], xs: list[Any], backwards: bool) -> list[Any]:
        cell = EQUATIONS[self.workload.cell]
        sizes = cell.sizes(self.workload.H)
        state = tuple(anp.zeros((self.workload.B, size), anp.float32) for size in sizes)
        ys = [None] * len(xs)
        for t in reversed(range(len(xs))) if backwards else range(len(xs)):
            state, ys[t] = cell.step(MATHS, w, cell.project(MATHS, w, xs[t]), state, t)
        return ys

    def reset(self) -> None:
        self.w = {name: array.copy() for name, array in self.initial.items()}

    def step(self) -> float:
        loss, self.found = self.differentiated(self.w)
        for name, gradient in self.found.items():
            self.w[name] -= RATE * gradient
        return float(loss)

    def gradients(self) -> dict[str, Array]:
        return self.found

    def matrices(self) -> dict[str, Array]:
        return {name: array for name, array in self.w.items() if array.ndim == 2}
