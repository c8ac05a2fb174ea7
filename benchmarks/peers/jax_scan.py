"""JAX: the whole step compiled, the time loop a scan, the inputs projected at once."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from workloads import RATE, Array, Workload

from peers.equations import EQUATIONS, Maths, of_cell

MATHS = Maths(
    jax.nn.sigmoid,
    jnp.tanh,
    lambda x, n: jnp.split(x, n, axis=-1),
    lambda parts: jnp.concatenate(parts, axis=-1),
    lambda x, W, b: x @ W if b is None else x @ W + b,
    lambda a, x, W: a + x @ W,
    jnp.asarray,
)
Weights = dict[str, jax.Array]


class Scan:
    """The step as one compiled function of the weights."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        ids, targets = (jnp.asarray(a.T) for a in workload.data())  # (T, B)
        self.initial = workload.weights()

        def loss(w: Weights) -> jax.Array:
            x = w["embedding"][ids]
            for layer in range(workload.layers):
                ys = [
                    self._run(of_cell(w, f"{layer}.{name}."), x, name == "backward")
                    for name in workload.directions
                ]
                x = jnp.concatenate(ys, axis=-1)
            logits = jax.nn.log_softmax(x @ w["out.W"] + w["out.b"])
            return -jnp.take_along_axis(logits, targets[..., None], axis=-1).mean()

        def update(w: Weights) -> tuple[Any, Weights, Weights]:
            value, g = jax.value_and_grad(loss)(w)
            return value, {name: w[name] - RATE * g[name] for name in w}, g

        self.update = jax.jit(update)
        self.reset()

    def _run(self, w: Weights, x: jax.Array, backwards: bool) -> jax.Array:
        cell = EQUATIONS[self.workload.cell]

        def step(state: Any, a: Any) -> tuple[Any, Any]:
            return cell.step(MATHS, w, a, state, 0)

        start = tuple(jnp.zeros((x.shape[1], size)) for size in cell.sizes(self.workload.H))
        _, ys = jax.lax.scan(step, start, cell.project(MATHS, w, x), reverse=backwards)
        return ys

    def reset(self) -> None:
        self.w = {name: jnp.asarray(array) for name, array in self.initial.items()}

    def step(self) -> float:
        loss, self.w, self.found = self.update(self.w)
        jax.block_until_ready(self.w)
        return float(loss)

    def gradients(self) -> dict[str, Array]:
        return {name: np.asarray(g) for name, g in self.found.items()}

    def matrices(self) -> dict[str, Array]:
        return {name: np.asarray(a) for name, a in self.w.items() if a.ndim == 2}
