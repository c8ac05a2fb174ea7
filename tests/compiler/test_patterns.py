"""Steps that do something else every few: rolled as a pattern that comes again."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from compiler.steps import same
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.compiler.patterns import progressions
from tinygradrnn.compiler.values import Span

BATCH, INPUTS, HIDDEN, CLASSES = 3, 4, 6, 5


class Slow(nn.Module):
    """A network with a second state that is updated every few steps only."""

    def __init__(self, every: int, phase: int, labelled: bool, first: bool) -> None:
        rng = np.random.default_rng(1)
        self.every, self.phase, self.labelled, self.first = every, phase, labelled, first
        shapes = {"W": (INPUTS, HIDDEN), "V": (HIDDEN, HIDDEN), "U": (HIDDEN, HIDDEN)}
        shapes |= {"A": (HIDDEN, HIDDEN), "B": (HIDDEN, HIDDEN)}
        for name, shape in shapes.items():
            setattr(self, name, nn.Parameter(rng.standard_normal(shape) * 0.4))

    def forward(self, x: Any) -> Any:
        fast = slow = tg.tensor(np.zeros((x.shape[0], HIDDEN)))
        ys = []
        for t in range(x.shape[1]):
            with tg.timestep(t + 1) if self.labelled else nullcontext():
                turn = t % self.every == self.phase
                if turn and self.first:
                    slow = F.tanh(slow @ self.A + fast @ self.B)
                fast = F.tanh(x[:, t] @ self.W + fast @ self.V + slow @ self.U)
                if turn and not self.first:
                    slow = slow + F.sigmoid(fast @ self.A) * slow @ self.B
                ys.append(fast)
        return F.stack(ys, axis=1)


def clockwork(periods: tuple[int, ...], **options: Any) -> nn.Module:
    size = 2 * len(periods)
    return nn.RNN(nn.ClockworkCell(INPUTS, size, periods=periods), **options)


def trained(make: Any, steps: int, lengths: bool = False, vocabulary: int | None = None) -> Any:
    """Three steps of training, as they are and compiled: the same numbers; what was compiled."""

    def run(wrap: Any) -> Any:
        tg.manual_seed(0)
        rnn = make()
        width = rnn.cell.hidden_size if isinstance(rnn, nn.RNN) else HIDDEN
        readout = nn.Linear(width, CLASSES)
        embedding = nn.Embedding(vocabulary or 1, INPUTS)
        model = nn.Sequential(embedding, rnn, readout).astype("float64")
        optimizer = tg.optim.SGD(model.parameters(), 0.3, momentum=0.5)

        def step(x: Any, targets: Any, *lengths: Any) -> Any:
            x = embedding(x) if vocabulary else x
            output = rnn(x, lengths=lengths[0]) if lengths else rnn(x)
            y = output.y if isinstance(rnn, nn.RNN) else output
            loss = F.cross_entropy(readout(y), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        rng = np.random.default_rng(0)
        step = wrap(step)
        seen = []
        for _ in range(3):
            x = rng.standard_normal((BATCH, steps, INPUTS))
            ids = rng.integers(0, vocabulary or 1, (BATCH, steps))
            given = [ids if vocabulary else x, rng.integers(0, CLASSES, (BATCH, steps))]
            seen.append(step(*given, *([rng.integers(1, steps + 1, BATCH)] if lengths else [])))
        return seen, model.parameters()

    return same(run, 1e-10)


def sizes(compiled: Any) -> tuple[int, int]:
    """How many values and regions a plan has."""
    (entry,) = next(iter(compiled.plans.values()))
    return len(entry.plan.rolled.values), len(entry.plan.low.regions)


def test_progressions():
    assert progressions([4]) == [Span(4, 4)]
    assert progressions([1, 2, 3]) == [Span(1, 3)]
    assert progressions([2, 6, 10]) == [Span(2, 10, 4)]
    assert progressions([1, 2, 4, 5, 7, 8]) == [Span(1, 7, 3), Span(2, 8, 3)]
    assert progressions([1, 2, 4, 5, 7, 8, 10]) == [Span(1, 10, 3), Span(2, 8, 3)]
    assert progressions([1, 5, 6, 7, 8, 9, 12]) == [Span(5, 9), Span(1, 1), Span(12, 12)]
    assert progressions([1, 2, 4, 8, 16, 32, 64, 128]) is None


@settings(deadline=None, max_examples=25, derandomize=True, database=None)
@given(steps=st.lists(st.integers(1, 40), min_size=1, max_size=12, unique=True).map(sorted))
def test_progressions_are_the_steps(steps):
    found = progressions(steps)
    assert found is None or sorted(t for span in found for t in span.times) == steps


@pytest.mark.parametrize("vocabulary", [None, 3, 50])
def test_a_clockwork_network_is_rolled(vocabulary):
    """As many operations for 32 steps as for 64, or for a number that 8 does not divide."""
    found = {
        sizes(trained(lambda: clockwork((1, 2, 4, 8)), steps, vocabulary=vocabulary))
        for steps in (32, 45, 64)
    }
    assert len(found) == 1
    assert found.pop() <= (190, 150)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_a_state_that_is_updated_now_and_then_is_rolled(labelled, first):
    found = {sizes(trained(lambda: Slow(3, 0, labelled, first), steps)) for steps in (18, 33, 63)}
    assert len(found) == 1


@settings(deadline=None, max_examples=20, derandomize=True, database=None)
@given(
    periods=st.lists(st.integers(1, 9), min_size=1, max_size=3, unique=True).map(sorted),
    steps=st.integers(1, 30),
    reverse=st.booleans(),
    lengths=st.booleans(),
    vocabulary=st.sampled_from([None, 3, 50]),
)
def test_random_periods(periods, steps, reverse, lengths, vocabulary):
    trained(lambda: clockwork(tuple(periods), reverse=reverse), steps, lengths, vocabulary)


@settings(deadline=None, max_examples=20, derandomize=True, database=None)
@given(
    every=st.integers(1, 5),
    phase=st.integers(0, 4),
    steps=st.integers(1, 24),
    labelled=st.booleans(),
    first=st.booleans(),
)
def test_random_phases(every, phase, steps, labelled, first):
    trained(lambda: Slow(every, phase % every, labelled, first), steps)
