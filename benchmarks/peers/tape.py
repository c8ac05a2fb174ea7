"""A minimal tape over NumPy: one closure for each operation, nothing checked, nothing named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import RATE, Array, Workload

from peers.equations import EQUATIONS, Maths, of_cell

Back = Callable[[Array], tuple[Array | None, ...]]


class Value:
    """An array, what it was computed from, and how its gradient is handed on."""

    __slots__ = ("back", "data", "grad", "inputs")
    __array_ufunc__ = None

    def __init__(
        self,
        data: Array,
        inputs: tuple[Value, ...] = (),
        back: Back | None = None,
    ) -> None:
        self.data, self.inputs, self.back = data, inputs, back
        self.grad: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    def __add__(self, other: Value) -> Value:
        return Value(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other: Any) -> Value:
        if not isinstance(other, Value):
            return Value(self.data * other, (self,), lambda g: (g * other,))
        x, y = self.data, other.data
        return Value(x * y, (self, other), lambda g: (g * y, g * x))

    __rmul__ = __mul__

    def __rsub__(self, other: float) -> Value:
        return Value(other - self.data, (self,), lambda g: (-g,))

    def __matmul__(self, other: Value) -> Value:
        x, y = self.data, other.data

        def back(g: Array) -> tuple[Array, ...]:
            rows = g.reshape(-1, g.shape[-1])
            return g @ y.T, x.reshape(-1, x.shape[-1]).T @ rows

        return Value(x @ y, (self, other), back)

    def __getitem__(self, index: Any) -> Value:
        shape, dtype = self.data.shape, self.data.dtype

        def back(g: Array) -> tuple[Array, ...]:
            whole = np.zeros(shape, dtype)
            whole[index] = g
            return (whole,)

        return Value(self.data[index], (self,), back)


def steps_of(x: Value) -> list[Value]:
    """The arrays along the first axis, which alone read x: they write its gradient."""
    whole = np.zeros_like(x.data)

    def back_to(t: int) -> Back:
        def back(g: Array) -> tuple[None]:
            whole[t] = g
            x.grad = whole
            return (None,)

        return back

    return [Value(x.data[t], (x,), back_to(t)) for t in range(len(x.data))]


def stack(values: list[Value]) -> Value:
    return Value(np.stack([v.data for v in values]), tuple(values), lambda g: tuple(g))


def sigmoid(x: Value) -> Value:
    y = np.reciprocal(1 + np.exp(-x.data))
    return Value(y, (x,), lambda g: (g * (y * (1 - y)),))


def tanh(x: Value) -> Value:
    y = np.tanh(x.data)
    return Value(y, (x,), lambda g: (g * (1 - y * y),))


def join(parts: list[Value]) -> Value:
    ends = np.cumsum([part.shape[-1] for part in parts])[:-1]
    data = np.concatenate([part.data for part in parts], axis=-1)
    return Value(data, tuple(parts), lambda g: tuple(np.split(g, ends, axis=-1)))


def split(x: Value, count: int) -> list[Value]:
    """Equal parts of the last axis, which alone read x: they write its gradient."""
    whole = np.empty_like(x.data)
    size = x.shape[-1] // count

    def back_to(columns: slice) -> Back:
        def back(g: Array) -> tuple[None]:
            whole[..., columns] = g
            x.grad = whole
            return (None,)

        return back

    places = [slice(k * size, (k + 1) * size) for k in range(count)]
    return [Value(x.data[..., place], (x,), back_to(place)) for place in places]


def linear(x: Value, W: Value, b: Value | None) -> Value:
    return x @ W if b is None else x @ W + b


MATHS = Maths(sigmoid, tanh, split, join, linear, lambda a, x, W: a + x @ W, Value)


def cross_entropy(logits: Value, targets: Array) -> Value:
    """The mean over all places."""
    z = logits.data.reshape(targets.size, -1)
    z = z - z.max(axis=1, keepdims=True)
    places = np.arange(len(z)), targets.reshape(-1)
    p = np.exp(z)
    sums = p.sum(axis=1, keepdims=True)
    loss = (np.log(sums[:, 0]) - z[places]).mean()

    def back(g: Array) -> tuple[Array, ...]:
        d = p / sums
        d[places] -= 1
        d *= g / len(d)
        return (d.reshape(logits.shape),)

    return Value(loss, (logits,), back)


def look_up(table: Value, ids: Array) -> Value:
    def back(g: Array) -> tuple[Array, ...]:
        rows = np.zeros((ids.size, len(table.data)), np.float32)
        rows[np.arange(ids.size), ids.reshape(-1)] = 1
        return (rows.T @ g.reshape(ids.size, -1),)

    return Value(table.data[ids], (table,), back)


def backward(loss: Value) -> None:
    """Every value after all that read it."""
    order: list[Value] = []
    seen = {loss}
    waiting = [(loss, iter(loss.inputs))]
    while waiting:
        value, inputs = waiting[-1]
        below = next((v for v in inputs if v not in seen), None)
        if below is None:
            order.append(value)
            waiting.pop()
        else:
            seen.add(below)
            waiting.append((below, iter(below.inputs)))
    loss.grad = np.ones_like(loss.data)
    for value in reversed(order):
        if value.back is None:
            continue
        for source, term in zip(value.inputs, value.back(value.grad), strict=True):
            if term is None:
                continue
            if term.ndim > source.data.ndim:
                term = term.sum(axis=tuple(range(term.ndim - source.data.ndim)))
            source.grad = term if source.grad is None else source.grad + term


class Tape:
    """Forward, backward and update by hand-made closures."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.ids, self.targets = (a.T.copy() for a in workload.data())  # (T, B)
        self.initial = workload.weights()
        self.reset()

    def reset(self) -> None:
        self.w = {name: Value(array.copy()) for name, array in self.initial.items()}

    def step(self) -> float:
        w = self.w
        for value in w.values():
            value.grad = None
        y = look_up(w["embedding"], self.ids)
        for layer in range(self.workload.layers):
            steps = steps_of(y)
            both = [
                self._run(of_cell(w, f"{layer}.{name}."), steps, name == "backward")
                for name in self.workload.directions
            ]
            y = both[0] if len(both) == 1 else join(both)
        loss = cross_entropy(linear(y, w["out.W"], w["out.b"]), self.targets)
        backward(loss)
        for value in w.values():
            value.data -= RATE * value.grad
        return float(loss.data)

    def _run(self, w: dict[str, Value], xs: list[Value], backwards: bool) -> Value:
        cell = EQUATIONS[self.workload.cell]
        w = cell.once(MATHS, w)
        batch = len(xs[0].data)
        sizes = cell.sizes(self.workload.H)
        state = tuple(Value(np.zeros((batch, size), np.float32)) for size in sizes)
        ys = list(xs)
        for t in reversed(range(len(xs))) if backwards else range(len(xs)):
            state, ys[t] = cell.step(MATHS, w, cell.project(MATHS, w, xs[t]), state, t)
        return stack(ys)

    def gradients(self) -> dict[str, Array]:
        return {name: value.grad for name, value in self.w.items() if value.grad is not None}

    def matrices(self) -> dict[str, Array]:
        return {name: v.data for name, v in self.w.items() if v.data.ndim == 2}
