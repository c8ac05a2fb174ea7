"""Random graphs whose every node has a name, and what of them is to be found in a picture."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

Edges = Counter[tuple[str, str]]
OPERATIONS: tuple[Callable[..., tg.Tensor], ...] = (
    lambda a, b, w: a + b,
    lambda a, b, w: a - b,
    lambda a, b, w: a * b,
    lambda a, b, w: a @ b,
    lambda a, b, w: a @ w,
    lambda a, b, w: w * a,
    lambda a, b, w: 1 - a,
    lambda a, b, w: F.tanh(a),
    lambda a, b, w: F.softmax(a),
    lambda a, b, w: F.maximum(a, b),
    lambda a, b, w: F.where(np.eye(2) > 0, a, b),
    lambda a, b, w: F.stack([a, b, a]).mean(axis=0),
    lambda a, b, w: F.concatenate([b, w, b])[1:3],
)
Step = tuple[int, int, int, int]
PROGRAMS = st.lists(
    st.tuples(st.integers(0, len(OPERATIONS) - 1), *[st.integers(0, 99)] * 2, st.integers(0, 1)),
    min_size=1,
    max_size=4,
)


class Run:
    """Programs that are run, one after the other, on values that all have two rows and columns."""

    def __init__(self, weights: int) -> None:
        random = np.random.default_rng(0)
        self.weights = [
            nn.Parameter(random.normal(size=(2, 2)), name=f"W{k}") for k in range(weights)
        ]
        self.values = [tg.tensor(random.normal(size=(2, 2)), requires_grad=True, name="x")]
        self.count = 0

    def program(self, steps: list[Step], *extra: tg.Tensor, fresh: bool = False) -> tg.Tensor:
        """Run a program on the values so far (or on some), which its results join."""
        values = list(extra) if fresh else [*self.values, *extra]
        for kind, first, second, which in steps:
            a, b = values[-1 - first % len(values)], values[-1 - second % len(values)]
            w = self.weights[which % len(self.weights)]
            values.append(self.named(OPERATIONS[kind](a, b, w)))
        if not fresh:
            self.values = values
        return values[-1]

    def named(self, tensor: tg.Tensor) -> tg.Tensor:
        """Give a name to a result, and to what it was made of on the way."""
        waiting = [tensor.node]
        while waiting:
            node = waiting.pop()
            if node.name is None and node.op != "constant":
                self.count += 1
                node.name = f"v{self.count}"
                waiting += node.inputs
        return tensor

    def loss(self, tensors: list[tg.Tensor]) -> tg.Tensor:
        total: tg.Tensor = tensors[0].sum()
        for tensor in tensors[1:]:
            total = total + tensor.sum()
        return self.named(total)


@st.composite
def timeless(draw: st.DrawFn) -> tg.Tensor:
    """No time steps."""
    run = Run(draw(st.integers(1, 2)))
    for _ in range(draw(st.integers(1, 3))):
        run.program(draw(PROGRAMS))
    return run.loss(run.values[-draw(st.integers(1, 4)) :])


@st.composite
def recurrent(draw: st.DrawFn) -> tg.Tensor:
    """A loop, in either direction, that may read x_t, and what all steps share."""
    run = Run(draw(st.integers(1, 2)))
    program, last = draw(PROGRAMS), draw(st.booleans())
    shared = draw(st.booleans())
    s, results = run.values[0], []
    steps = list(range(1, draw(st.integers(1, 4)) + 1))
    for t in reversed(steps) if draw(st.booleans()) else steps:
        with tg.timestep(t):
            x = tg.tensor(np.full((2, 2), float(t)), name=f"x{t}")
            y = run.program(program, *[run.values[0]] * shared, x, s, fresh=True)
            s = run.named(y + s)
            results.append(s)
    return run.loss(results[-1:] if last else results)


@st.composite
def irregular(draw: st.DrawFn) -> tg.Tensor:
    """Every operation in any time step, or in none."""
    run = Run(draw(st.integers(1, 2)))
    for _ in range(draw(st.integers(1, 5))):
        label = draw(st.none() | st.integers(1, 4))
        program = draw(PROGRAMS)
        if label is None:
            run.program(program)
        else:
            with tg.timestep(label):
                run.program(program)
    return run.loss(run.values[-draw(st.integers(1, 4)) :])


GRAPHS = timeless() | recurrent() | irregular()


# ---------------------------------------------------------------- what a picture should hold


def edges_of(graph: tg.Graph) -> Edges:
    """How often each node reads each other one; a chain of sums outside of the steps is one."""
    readers = Counter(source for node in graph.nodes for source in node.inputs)
    into = {}
    for node in reversed(graph.nodes):
        for source in node.inputs:
            plain = source.op == node.op == "add" and source.timestep is node.timestep is None
            if plain and readers[source] == 1:
                into[source] = into.get(node, node)
    found: Edges = Counter()
    for node in graph.nodes:
        for source in node.inputs:
            if source.op != "constant" and source not in into:
                found[source.name or "", into.get(node, node).name or ""] += 1
    return found


# ---------------------------------------------------------------- what is drawn


class Drawn(NamedTuple):
    """What DOT text says."""

    names: dict[str, str]  # of the shapes
    steps: dict[str, int]  # of those that say so
    x: dict[str, float]
    panels: list[tuple[float, float, int]]  # left, right, time step
    edges: Edges


def read_dot(dot: str) -> Drawn:
    """Follow the lines from shape to shape, through the dots at which they fork."""
    names, steps, x = {}, {}, {}
    after: dict[str, list[str]] = {}
    for node, rest in re.findall(r"^  (n\d+) \[(.*)\];$", dot, re.M):
        tooltip = _attribute(rest, "tooltip")
        if _attribute(rest, "class") == "output":
            continue
        names[node] = re.split(": | ", tooltip)[0]
        x[node] = float(_attribute(rest, "pos").split(",")[0])
        if found := re.search(r"t = (\d+)$", tooltip):
            steps[node] = int(found[1])
    for a, b, rest in re.findall(r"^  (\w+) -> (\w+) \[(.*)\];$", dot, re.M):
        if re.search(r', id="e\d+"', rest):  # else a piece of another one
            after.setdefault(a, []).append(b)
    edges: Edges = Counter()
    for start in names:
        waiting = list(after.get(start, ()))
        while waiting:
            end = waiting.pop()
            if end.startswith("d"):
                waiting += after.get(end, ())
            elif end in names and names[end] != names[start]:  # else a state, of its operation
                edges[names[start], names[end]] += 1
    panels = [
        (*[float(side) for side in _attribute(rest, "bb").split(",")][0::2], int(label))
        for rest, label in re.findall(r'subgraph cluster_\d+ \{ (.*tooltip="t = (\d+)".*)', dot)
    ]
    return Drawn(names, steps, x, panels, edges)


def _attribute(rest: str, name: str) -> str:
    found = re.search(rf'\b{name}=("(?:[^"\\]|\\.)*"|\w+)', rest)
    return found[1].strip('"') if found else ""
