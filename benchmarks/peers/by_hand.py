"""Forward and backward written out in NumPy: what a framework can hardly be faster than."""

from __future__ import annotations

import numpy as np
from workloads import RATE, Array, Workload


class Elman:
    """An Elman network; what is not recurrent is done for all time steps at once."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.ids, self.targets = (a.T.copy() for a in workload.data())  # (T, B)
        self.initial = workload.weights()
        T, B, H = workload.T, workload.B, workload.H
        self.states = np.zeros((T + 1, B, H), np.float32)
        self.back = np.zeros((T, B, H), np.float32)
        self.scratch = np.zeros((B, H), np.float32)
        self.reset()

    def reset(self) -> None:
        self.w = {name: array.copy() for name, array in self.initial.items()}

    def step(self) -> float:
        w, p = self.w, "0.forward."
        W_x, W_s, b = w[f"{p}W_x"], w[f"{p}W_s"], w[f"{p}b"]
        states, back, scratch, ids = self.states, self.back, self.scratch, self.ids
        x = w["embedding"][ids]
        a = x @ W_x
        a += b
        for t in range(len(a)):
            np.dot(states[t], W_s, out=scratch)
            scratch += a[t]
            np.tanh(scratch, out=states[t + 1])
        h = states[1:].reshape(ids.size, -1)
        loss, d = self._loss(h @ w["out.W"] + w["out.b"])
        g = {"out.W": h.T @ d, "out.b": d.sum(axis=0)}
        np.matmul(d, w["out.W"].T, out=back.reshape(h.shape))
        slopes, transposed = 1 - states[1:] ** 2, np.ascontiguousarray(W_s.T)
        for t in reversed(range(len(a))):
            if t + 1 < len(a):
                np.dot(back[t + 1], transposed, out=scratch)
                back[t] += scratch
            back[t] *= slopes[t]
        flat = back.reshape(h.shape)
        g[f"{p}W_x"] = x.reshape(h.shape[0], -1).T @ flat
        g[f"{p}W_s"] = states[:-1].reshape(h.shape).T @ flat
        g[f"{p}b"] = flat.sum(axis=0)
        chosen = np.zeros((len(w["embedding"]), ids.size), np.float32)
        chosen[ids.reshape(-1), np.arange(ids.size)] = 1
        g["embedding"] = chosen @ (flat @ W_x.T)
        for name, gradient in g.items():
            w[name] -= RATE * gradient
        self.found = g
        return loss

    def _loss(self, logits: Array) -> tuple[float, Array]:
        """The mean cross-entropy and its derivative."""
        places, targets = np.arange(len(logits)), self.targets.reshape(-1)
        logits -= logits.max(axis=1, keepdims=True)
        right = logits[places, targets].mean()
        np.exp(logits, out=logits)
        sums = logits.sum(axis=1, keepdims=True)
        loss = float(np.log(sums).mean() - right)
        logits /= sums
        logits[places, targets] -= 1
        logits /= len(logits)
        return loss, logits

    def gradients(self) -> dict[str, Array]:
        return self.found

    def matrices(self) -> dict[str, Array]:
        return {name: array for name, array in self.w.items() if array.ndim == 2}
