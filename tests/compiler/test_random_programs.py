"""Random operations in random loops over time: compiled, they give the same numbers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import pytest
from compiler.steps import same
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.compiler.passes import PASSES

pytestmark = pytest.mark.numpy_only("slow; the other tests of plans run everywhere")

ROWS, COLUMNS = 2, 3
OPERATIONS: tuple[Callable[..., tg.Tensor], ...] = (
    lambda a, b, p: a + b,
    lambda a, b, p: a - 0.5 * b,
    lambda a, b, p: a * b,
    lambda a, b, p: a @ p.W,
    lambda a, b, p: F.concatenate([a, b], axis=-1) @ p.tall,
    lambda a, b, p: a @ p.W.T + p.b,
    lambda a, b, p: F.linear(a) * p.b,
    lambda a, b, p: F.tanh(a) / (1.0 + b * b),
    lambda a, b, p: F.sigmoid(a),
    lambda a, b, p: F.sigmoid(a) * b + (1 - F.sigmoid(a)) * F.tanh(b),
    lambda a, b, p: F.relu(a),
    lambda a, b, p: F.leaky_relu(a - b, 0.1),
    lambda a, b, p: F.softmax(a),
    lambda a, b, p: F.softmax(a, 0),
    lambda a, b, p: F.log_softmax(a),
    lambda a, b, p: F.exp(F.minimum(a, 1.0)),
    lambda a, b, p: F.maximum(a, b),
    lambda a, b, p: F.where(p.mask, a, b),
    lambda a, b, p: F.where(a > b, a, p.scale),
    lambda a, b, p: a - a.mean(axis=1, keepdims=True),
    lambda a, b, p: a.max(axis=0) + b,
    lambda a, b, p: a.sum(axis=-1, keepdims=True) * p.W[:1],
    lambda a, b, p: F.concatenate([b[:, 1:], a[:, :1]], axis=-1),
    lambda a, b, p: F.stack([a, b], axis=0).sum(axis=0),
    lambda a, b, p: F.stack([a, b, a], axis=1)[:, 1],
    lambda a, b, p: a.reshape(COLUMNS, ROWS).T + b,
    lambda a, b, p: a @ (a.T @ b) * 0.1,
    lambda a, b, p: F.dropout(a, 0.3),
    lambda a, b, p: (a @ b[0])[:, None] * p.b,
    lambda a, b, p: b[:, 0] @ a - b,
    lambda a, b, p: p.b @ p.W + a[0] @ p.W * b,
    lambda a, b, p: (p.W @ a[1]) * b,
    lambda a, b, p: (a[0] @ b[1]) * a,
    lambda a, b, p: (F.stack([a, b]) @ (a.T @ b)).sum(axis=0) * 0.1,
    lambda a, b, p: (a[0] @ F.stack([p.W, p.W * 2])) + b,
    lambda a, b, p: a[np.array([1, 0])] + b[:, [2, 0, 1]],
    lambda a, b, p: a[[0, 1], [1, 2]][:, None] * b,
    lambda a, b, p: a[0][np.array([[0, 1, 1], [2, 0, 2]])] + b,
    lambda a, b, p: b[0, 1] * a + a[None, :, 0].T,
    lambda a, b, p: F.cross_entropy(a, [2, 0], reduction="none")[:, None] + b,
    lambda a, b, p: F.logsumexp(F.stack([a, b]), axis=0),
    lambda a, b, p: sum(F.unstack(F.stack([a, b, b], axis=1), 1)),
    lambda a, b, p: a.detach() * b,
    lambda a, b, p: a * p.scale,
    lambda a, b, p: F.embedding(p.ids[:, 0], p.E) + a,
    lambda a, b, p: p.E[p.ids[:, 1]] * a,
    lambda a, b, p: abs(a) ** 1.5,
    lambda a, b, p: -a,
    lambda a, b, p: p.constant * a,
    lambda a, b, p: F.pad(a[:, :2], [(0, 0), (0, 1)]) + b[0],
)
Line = tuple[int, int, int]


class Loop(NamedTuple):
    """A loop over time: what a step computes from the states, the input and earlier loops."""

    backwards: bool
    labels: str
    body: list[Line]
    states: int
    far: bool  # reads two steps back, too
    odd: int  # does something else at this step
    ends: str  # what of it goes into the loss


class Given(NamedTuple):
    """What the operations may use."""

    W: Any
    tall: Any
    b: Any
    E: Any
    mask: Any
    ids: Any
    scale: Any
    constant: Any


lines = st.lists(
    st.tuples(st.integers(0, len(OPERATIONS) - 1), *[st.integers(0, 99)] * 2),
    min_size=1,
    max_size=6,
)
loops = st.builds(
    Loop,
    backwards=st.booleans(),
    labels=st.sampled_from(["all", "all", "all", "none", "late", "some"]),
    body=lines,
    states=st.integers(0, 2),
    far=st.booleans(),
    odd=st.integers(-9, 4),
    ends=st.sampled_from(["all", "all", "last", "first", "some", "stack"]),
)


def run_loop(loop: Loop, inputs: list[Any], below: list[list[Any]], p: Given) -> list[Any]:
    """The outputs of all steps."""
    steps = len(inputs)
    states = [[np.full((ROWS, COLUMNS), 0.1 * k)] * 2 for k in range(loop.states)]
    outputs: list[Any] = [None] * steps
    for t in reversed(range(steps)) if loop.backwards else range(steps):
        label = {"all": t + 1, "none": None, "late": t + 4, "some": t + 1 if t % 3 else None}
        here = label[loop.labels]
        with nullcontext() if here is None else tg.timestep(here):
            values = [inputs[t], *[outs[t] for outs in below]]
            values += [past[-1] for past in states]
            values += [past[-2] for past in states if loop.far]
            for kind, first, second in loop.body:
                a, b = values[-1 - first % len(values)], values[-1 - second % len(values)]
                values.append(OPERATIONS[kind](tg.functional.linear(a), b, p))
            if t == loop.odd:
                values.append(values[-1] * 2.0 + values[0])
            outputs[t] = F.tanh(values[-1])
            for k, past in enumerate(states):
                past.append(F.tanh(values[-1 - k % len(loop.body)]) if k else outputs[t])
    return outputs


def loss_of(loop: Loop, outputs: list[Any], target: Any) -> Any:
    if loop.ends == "last":
        return (outputs[-1] * target).sum()
    if loop.ends == "first":
        return (outputs[0] ** 2).mean()
    if loop.ends == "stack":
        return F.cross_entropy(F.stack(outputs, axis=1), np.ones((ROWS, len(outputs)), int))
    chosen = outputs[::2] if loop.ends == "some" else outputs
    return sum(((y - target) ** 2).mean() for y in chosen) / len(chosen)


def assert_same_numbers(programs, steps, without=(), optimiser="sgd"):
    def run(wrap):
        rng = np.random.default_rng(0)
        shapes = ((3, 3), (6, 3), (3,), (4, 3))
        weights = [nn.Parameter(rng.standard_normal(shape) * 0.5) for shape in shapes]
        if optimiser == "sgd":
            optimizer: Any = tg.optim.SGD(weights, 0.05, momentum=0.5)
        else:
            optimizer = tg.optim.Adam(weights, 0.01, eps=1e-3)
        constant = np.array([0.5, 1.0, 2.0])

        def step(x, target, mask, ids, scale):
            p = Given(*weights, mask, ids, scale, constant)
            inputs = [x[:, t] for t in range(steps)]
            below: list[list[Any]] = []
            loss = (weights[0] ** 2).sum() * 0.1
            for loop in programs:
                below.append(run_loop(loop, inputs, below, p))
                loss = loss + loss_of(loop, below[-1], target)
            optimizer.zero_grad()
            loss.backward()
            norm = tg.optim.clip_grad_norm(weights, 1.0)
            optimizer.step()
            return loss, norm, below[-1][-1], below[0]

        wrapped = wrap(step)
        seen = [
            wrapped(
                rng.standard_normal((ROWS, steps, COLUMNS)),
                rng.standard_normal((ROWS, COLUMNS)),
                rng.random((ROWS, COLUMNS)) > 0.5,
                rng.integers(0, 4, (ROWS, 2)),
                np.asarray(rng.standard_normal()),
            )
            for _ in range(3)
        ]
        return seen, weights

    assert same(run, 1e-9, without=tuple(sorted(without))).captures == 1


@settings(deadline=None, max_examples=60, derandomize=True, database=None)
@given(
    programs=st.lists(loops, min_size=1, max_size=3),
    steps=st.integers(1, 5),
    without=st.sets(st.sampled_from([one.__name__ for one in PASSES])),
    optimiser=st.sampled_from(["sgd", "adam"]),
)
def test_random_programs(programs, steps, without, optimiser):
    assert_same_numbers(programs, steps, without, optimiser)


def loop(*kinds: int, labels: str = "all", states: int = 0, far: bool = False, ends: str = "all"):
    return Loop(False, labels, [(kind, 0, 0) for kind in kinds], states, far, -9, ends)


@pytest.mark.parametrize(
    ("programs", "steps"),
    [
        ([loop(45, ends="stack"), loop(19)], 4),
        ([loop(34)], 3),
        ([loop(32)], 3),
        ([loop(40, states=1, far=True), loop(34, ends="stack")], 2),
        ([loop(22, states=1), loop(6, 28)], 3),
        ([loop(22, states=1)], 2),
        ([Loop(True, "some", [(7, 0, 0), (49, 0, 0), (4, 51, 90)], 2, True, -9, "all")], 3),
        ([loop(37), loop(4, 28, labels="late")], 4),
        ([loop(31), loop(31, ends="some")], 2),
        ([loop(31, labels="some", ends="stack"), loop(45, ends="last")], 4),
        ([loop(3, labels="some", ends="stack"), loop(5, ends="first")], 3),
        ([loop(3, ends="stack"), loop(17, states=1), loop(28, labels="late")], 3),
    ],
)
def test_programs_that_once_went_wrong(programs, steps):
    assert_same_numbers(programs, steps)


def test_a_step_of_its_own_that_reads_a_certain_step_of_its_loop():
    first = [(44, 0, 55), (0, 54, 0), (42, 36, 76), (48, 0, 11), (26, 40, 64)]
    second = [(0, 0, 0), (5, 54, 0), (42, 0, 76), (48, 0, 0), (26, 0, 0)]
    programs = [Loop(True, "all", first, 2, False, 1, "all")]
    programs += [Loop(True, "all", second, 2, False, 0, "some")]
    assert_same_numbers(programs, 7, {"regroup"})


def test_a_number_before_the_first_step():
    lines = [(0, 0, 0), (0, 0, 5), (0, 0, 0), (0, 0, 0), (0, 0, 0), (38, 0, 91)]
    programs = [loop(0), loop(0), Loop(False, "all", lines, 2, True, 0, "all")]
    assert_same_numbers(programs, 3)


def test_a_step_that_is_also_read_as_the_one_before():
    """A value of some steps that stands for itself at these and for itself, shifted, at others."""
    second = [(14, 0, 96), (17, 71, 26), (5, 99, 48), (32, 31, 50), (14, 0, 96), (35, 66, 21)]
    third = [(31, 41, 40), (0, 0, 0), (0, 0, 0), (0, 0, 0), (0, 0, 0), (35, 0, 21)]
    programs = [Loop(True, "none", [(25, 58, 62)], 0, False, -3, "all")]
    programs += [Loop(True, "all", second, 1, False, 1, "all")]
    programs += [Loop(True, "all", third, 0, False, 0, "some")]
    assert_same_numbers(programs, 3)
