"""What is measured on a GPU: training steps, single operations, and adding at repeated indices."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from pairing import Comparison, Workers, compare
from peers import GPU_ROWS
from results import table
from settings import Settings
from training import against, milliseconds, problems, ratio
from workloads import Workload

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn.compiler.fused import joined

# Ratios of time, at most, for a hidden state of at least so many units.
GOALS = {"gpu-layer": 2.0, "gpu-cells": 0.2}
LARGE = 512
VOCABULARY = 96
NOT_YET = "not yet measured"


class Steps:
    """The training steps of one workload."""

    def __init__(self, workload: Workload) -> None:
        self.name = workload.name
        self.heading = workload.title
        self.compared = Comparison(workload)

    def run(self, settings: Settings, workers: Workers) -> None:
        """Let the peers take turns, each in a process of its own."""
        work, peers = self.compared.workload, settings.peers
        compare(work, peers, workers, settings.rounds, settings.say, self.compared)
        for peer in peers:  # the next workload needs the memory of the device
            workers[peer].close()

    @property
    def found(self) -> bool:
        return bool(self.compared.times or self.compared.failed)

    @property
    def wrong(self) -> bool:
        return bool(self.compared.wrong)

    def text(self) -> str:
        """What went wrong; the times are in tables with those of the others."""
        return "\n\n".join(problems(self.compared))

    def milliseconds(self, peer: str) -> str:
        """Of a step."""
        times = self.compared.times.get(peer)
        return milliseconds(self.compared.median(peer)) if times else NOT_YET

    def against(self, other: str) -> str:
        """The ratio of our time to another one's, beside the goal."""
        value = self.compared.ratio("gpu-fused", other)
        aimed = value is not None and self.compared.workload.H >= LARGE
        return against(value, GOALS[other]) if aimed else ratio(value)

    def data(self) -> dict[str, Any]:
        """For the JSON file."""
        return asdict(self.compared)


def summary(jobs: Sequence[Steps]) -> str:
    """A row for each workload, a column for each peer."""
    labels = [row.label for row in GPU_ROWS.values()]
    rows = [
        [job.heading, *map(job.milliseconds, GPU_ROWS), *map(job.against, GOALS)] for job in jobs
    ]
    head = ["ms per step", *labels, *(f"compiled / {GPU_ROWS[other].label}" for other in GOALS)]
    parts = [table(head, rows)]
    done = [job for job in jobs if job.found]
    for what, numbers, digits in (("MB", "device", 0), ("seconds of the first step", "first", 2)):
        rows = []
        for job in done:
            found = getattr(job.compared, numbers)
            cells = [f"{found[peer]:.{digits}f}" if peer in found else "–" for peer in GPU_ROWS]
            rows.append([job.heading, *cells])
        if rows:
            parts.append(table([what, *labels], rows))
    return "\n\n".join([*parts, *(job.text() for job in done if job.text())])


class Operations:
    """µs of single operations, asked for one after the other, the host not waiting between."""

    name, heading = "operations", "µs per operation"
    wrong = False

    def __init__(self, sizes: tuple[int, int, int]) -> None:
        self.B, _, self.H = sizes
        self.found: dict[str, list[float | None]] = {}

    def run(self, settings: Settings, workers: Workers) -> None:
        """As the array module does it, as an operation on tensors, and that with its gradient."""
        backend = tg.get_backend()
        seconds = 0.01 if settings.quick else 0.2
        for name, (raw, operation) in self.cases(backend).items():
            times: list[float | None] = [microseconds(raw, backend, seconds)]
            for call in (operation, operation and with_gradient(operation)):
                times.append(call and microseconds(call, backend, seconds))
            self.found[name] = times
            settings.say(f"operations: {name}")

    def cases(self, backend: Any) -> dict[str, tuple[Callable[[], Any], Any]]:
        """Calls of the array module, and the same on tensors."""
        xp, B, H = backend.xp, self.B, self.H
        rng = np.random.default_rng(0)

        def made(*shape: int) -> Any:
            return backend.asarray(rng.standard_normal(shape).astype(np.float32))

        x, y, w, out = made(B, H), made(B, H), made(H, 4 * H), made(B, 4 * H)
        s, t, v = (tg.tensor(a, requires_grad=True) for a in (x, y, w))
        found: dict[str, tuple[Callable[[], Any], Any]] = {
            f"x + y, ({B}, {H})": (lambda: x + y, lambda: s + t),
            f"tanh, ({B}, {H})": (lambda: xp.tanh(x), lambda: F.tanh(s)),
            f"softmax, ({B}, {H})": (lambda: soft(xp, x), lambda: F.softmax(s)),
            f"x @ W, ({B}, {H}) ({H}, {4 * H})": (lambda: x @ w, lambda: s @ v),
            "x @ W, into an array that is there": (lambda: xp.dot(x, w, out), None),
        }
        gates = [out[:, k * H : (k + 1) * H] for k in range(4)]
        calls: list[Any] = [(xp.tanh, (gate, gate)) for gate in gates]
        calls += [(xp.multiply, (gates[0], gates[1], x)), (xp.add, (x, gates[2], y))]
        calls.append((xp.multiply, (y, gates[3], y)))
        found["four gates, call by call"] = (lambda: run(calls), None)
        if hasattr(xp, "RawKernel"):
            kernels, _, keep = joined(calls, [], backend)
            found["four gates, as a kernel"] = (lambda: run(kernels, keep), None)
        return found

    def text(self) -> str:
        """A row for each operation."""
        head = ["", "array module", "on tensors", "with its gradient"]
        rows = [
            [name, *("–" if t is None else f"{t:.1f}" for t in times)]
            for name, times in self.found.items()
        ]
        return table(head, rows)

    def data(self) -> dict[str, Any]:
        """For the JSON file."""
        return self.found


class ScatterAdd:
    """Adding the gradients of an embedding: does it round the same in every run?"""

    name, heading = "scatter-add", "Adding at repeated indices"
    wrong = False
    runs = 20

    def __init__(self, sizes: tuple[int, int, int]) -> None:
        self.B, self.T, self.H = sizes
        self.found: dict[str, dict[str, float]] = {}

    def run(self, settings: Settings, workers: Workers) -> None:
        """The atomic additions of the array module, and what the backend does."""
        backend = tg.get_backend()
        rng = np.random.default_rng(0)
        ids = backend.asarray(rng.integers(0, VOCABULARY, self.B * self.T))
        values = rng.standard_normal((self.B * self.T, self.H)).astype(np.float32)
        rows = backend.asarray(values)
        adders = {"xp.add.at": backend.xp.add.at, "backend.scatter_add": backend.scatter_add}
        for name, adder in adders.items():
            settings.say(f"scatter-add: {name}")
            results = []
            for _ in range(self.runs):
                target = backend.xp.zeros((VOCABULARY, self.H), np.float32)
                adder(target, ids, rows)
                results.append(backend.to_numpy(target).copy())
            seconds = 0.01 if settings.quick else 0.3
            self.found[name] = {
                "µs": microseconds(partial(adder, target, ids, rows), backend, seconds),
                "different results": len({result.tobytes() for result in results}),
                "apart": float(np.ptp(results, axis=0).max() / np.abs(results[0]).max()),
            }

    def text(self) -> str:
        """A row for each way."""
        rows = [
            [f"`{name}`", f"{row['µs']:.0f}", f"{row['different results']}", f"{row['apart']:.0e}"]
            for name, row in self.found.items()
        ]
        what = f"{self.B * self.T:,} rows of {self.H} added to {VOCABULARY}, {self.runs} times."
        return f"{what}\n\n{table(['', 'µs', 'different results', 'apart'], rows)}"

    def data(self) -> dict[str, Any]:
        """For the JSON file."""
        return self.found


def microseconds(call: Callable[[], Any], backend: Any, seconds: float) -> float:
    """Of one call among many, until the device has done them all."""
    call()
    backend.synchronize()
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for _ in range(10):
            call()
        count += 10
    backend.synchronize()
    return (time.perf_counter() - start) / count * 1e6


def with_gradient(operation: Callable[[], tg.Tensor]) -> Callable[[], Any]:
    """The operation, then its backward pass."""
    ones = tg.get_backend().xp.ones(operation().shape, np.float32)
    return lambda: operation().backward(ones)


def soft(xp: Any, x: Any) -> Any:
    """A softmax in five calls."""
    y = xp.exp(x - x.max(axis=-1, keepdims=True))
    return y / y.sum(axis=-1, keepdims=True)


def run(calls: list[Any], keep: Any = None) -> None:
    """Calls of a plan."""
    for function, arguments in calls:
        function(*arguments)
