"""Groups of columns, rows by sorted ids, and what is laid out for NumPy: the numbers stay."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from compiler.steps import CELLS, FEATURES, HIDDEN, both, regression
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.compiler import blocks, neighbours, sums
from tinygradrnn.compiler.passes import columns
from tinygradrnn.compiler.passes.whole import is_whole
from tinygradrnn.compiler.rows import Runs, add_runs
from tinygradrnn.compiler.values import Span

pytestmark = pytest.mark.numpy_only("about plans of NumPy")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """What pays for large cells only is done for small ones."""
    monkeypatch.setattr(columns, "ROWS_ENOUGH", 1)
    monkeypatch.setattr(columns, "ENOUGH", 1)
    monkeypatch.setattr(columns, "UNPACKED", 200)  # a gate of three rows, and not all of them
    monkeypatch.setattr(blocks, "ENOUGH_TURNS", 1)
    monkeypatch.setattr(sums, "MANY", 0)


def changed(compiled: Any, name: str) -> int:
    """How many places a pass changed."""
    found = re.search(rf"{name} +(\d+) place", compiled.explain())
    return int(found[1]) if found else 0


@pytest.mark.parametrize("with_lengths", [False, True])
@pytest.mark.parametrize("name", [name for name in CELLS if name.startswith(("lstm", "gru"))])
def test_gates_of_every_cell(name: str, with_lengths: bool, small: None) -> None:
    make = regression(lambda: nn.RNN(CELLS[name]()), with_lengths=with_lengths)
    difference, compiled = both(make)
    assert difference < 1e-10
    assert changed(compiled, "split_columns") >= 2


@pytest.mark.parametrize("fast", [False, None])
def test_the_gates_of_an_lstm_forward_and_backward(fast: bool | None, small: None) -> None:
    """Four products of each step in place of one, and four of the δ; not for kernels."""
    difference, compiled = both(regression(lambda: nn.RNN(CELLS["lstm"]())), fast=fast)
    assert difference < 1e-10
    assert changed(compiled, "split_columns") == 8


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gates_above_an_embedding(layers: int, bidirectional: bool, small: None) -> None:
    """Its table is split too, and its gradient comes from the δ of each gate."""

    def make() -> Any:
        tg.manual_seed(0)
        rnn = nn.LSTM(FEATURES, HIDDEN, num_layers=layers, bidirectional=bidirectional)
        model = nn.Sequential(
            nn.Embedding(5, FEATURES), rnn, nn.Linear(HIDDEN * (1 + bidirectional), 5)
        ).astype("float64")
        optimizer = tg.optim.SGD(model.parameters(), 0.3)

        def step(ids: Any) -> Any:
            embedding, rnn, readout = model
            loss = F.cross_entropy(readout(rnn(embedding(ids)).y), ids)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return model, step

    ids = np.random.default_rng(0).integers(0, 5, (4, 3, 7))
    (eager, step), (other, function) = make(), make()
    compiled = tg.compile(function)
    for batch in ids:
        assert abs(step(batch).item() - compiled(batch).item()) < 1e-10
    for a, b in zip(eager.parameters(), other.parameters(), strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-10, atol=1e-12)
    assert changed(compiled, "split_columns") >= 8


def test_large_and_tiny_products_stay_whole() -> None:
    """At H = 6 calls cost more than strides; a gate of 64 × 512 would be packed by BLAS anyway."""
    _, compiled = both(regression(lambda: nn.RNN(CELLS["lstm"]())))
    assert changed(compiled, "split_columns") == 0


@settings(deadline=None, max_examples=50, derandomize=True, database=None)
@given(
    ids=st.lists(st.integers(0, 9), min_size=1, max_size=30),
    width=st.integers(1, 4),
    other=st.lists(st.integers(0, 9), min_size=30, max_size=30),
)
def test_rows_by_sorted_ids(ids: list[int], width: int, other: list[int]) -> None:
    rng = np.random.default_rng(0)
    runs = Runs(len(ids))
    for again in (np.array(ids), np.array(other[: len(ids)])):
        rows = rng.standard_normal((len(again), width))
        out = rng.standard_normal((10, width))
        expected = out.copy()
        np.add.at(expected, again, rows)
        runs.sort(again)
        add_runs(runs, rows, out, np.empty_like(rows), np.ones(len(rows)), np.empty_like(out))
        np.testing.assert_allclose(out, expected, rtol=1e-12)


# -------------------------------------------------------------------------------- neighbours


@settings(deadline=None, max_examples=100, derandomize=True, database=None)
@given(data=st.data())
def test_calls_on_neighbouring_columns_are_one(data: st.DataObject) -> None:
    """Whatever lies where: the numbers are those of the calls one after the other."""
    functions = st.sampled_from([np.add, np.multiply, np.negative, np.copyto])
    calls = []
    arrays = [np.random.default_rng(k).standard_normal((3, 8)) for k in range(2)]
    copies = [array.copy() for array in arrays]

    def columns_of(some: list[Any], where: tuple[int, int]) -> Any:
        return some[where[0]][:, where[1] : where[1] + 2]

    place = st.tuples(st.integers(0, 1), st.integers(0, 6))
    for _ in range(data.draw(st.integers(1, 6))):
        function = data.draw(functions)
        places = [data.draw(place) for _ in range(getattr(function, "nin", 1) + 1)]
        calls.append((function, places))
    for function, places in calls:
        function(*(columns_of(copies, where) for where in places))
    made = [(f, tuple(columns_of(arrays, where) for where in places)) for f, places in calls]
    for function, arguments in neighbours.beside(made):
        function(*arguments)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_what_is_beside_and_what_is_not() -> None:
    x, y = np.ones((2, 3, 8)), np.zeros((2, 3, 8))

    def copied(*places: tuple[int, int]) -> int:
        return len(
            neighbours.beside([(np.copyto, (y[0, :, a:b], x[0, :, a:b])) for a, b in places])
        )

    assert copied((0, 2), (2, 5), (5, 8)) == 1
    assert copied((5, 8), (2, 5), (0, 2)) == 1
    assert copied((0, 2), (3, 5)) == 2
    assert copied((0, 2), (1, 3)) == 2
    crossed = [(np.copyto, (y[0, :, 0:2], x[0, :, 3:5])), (np.copyto, (y[0, :, 2:3], x[0, :, 2:3]))]
    assert len(neighbours.beside(crossed)) == 2  # the result's are in another order
    rows = [(np.copyto, (y[0, a : a + 1], x[0, a : a + 1])) for a in range(3)]
    assert len(neighbours.beside(rows)) == 3
    shifted = [(np.copyto, (y[0, :, a + 2 : a + 4], y[0, :, a : a + 2])) for a in (0, 2)]
    assert len(neighbours.beside(shifted)) == 2  # the second reads what the first has written


# -------------------------------------------------------------------------------- whole parts


def test_whole_parts() -> None:
    assert is_whole((slice(None), slice(0, None)), (3, 4))
    assert is_whole((slice(0, 3),), (3, 4))
    assert not is_whole((slice(0, 2),), (3, 4))
    assert not is_whole((slice(None, None, -1),), (3, 4))
    assert not is_whole((0,), (1, 4))
    assert not is_whole(None, (3,))


def test_blocks_that_stand_still_are_copied_once_and_all_together() -> None:
    """Some of the four blocks stand still at 28 of 32 steps, side by side: a copy for each."""
    cell = nn.ClockworkCell(FEATURES, 4 * HIDDEN, periods=[1, 2, 4, 8])
    rnn = nn.RNN(cell)
    compiled = tg.compile(lambda x: rnn(x).y.sum(), fast=False)
    x = np.random.default_rng(0).standard_normal((3, 32, FEATURES)).astype(np.float32)
    assert compiled(x).item() == pytest.approx(rnn(x).y.sum().item(), rel=1e-5)
    assert compiled(x).item() == pytest.approx(rnn(x).y.sum().item(), rel=1e-5)
    plan = compiled._latest("calls").plan
    (loop,) = [region for region in plan.low.regions if region.steps is not None]
    assert {value.span for value in loop.values if value.op and value.op.name == "matmul"} == {
        Span(1, 32),
        Span(1, 31, 2),
        Span(1, 29, 4),
        Span(1, 25, 8),
    }
    (turns,) = plan.low.turns
    copies = [f for f, _ in plan.calls[turns[0] : turns[-1]] if f.__name__ == "__setitem__"]
    assert len(copies) == 28


@pytest.mark.parametrize("reverse", [False, True])
def test_parts_of_a_state_begin_as_the_state_does(reverse: bool) -> None:
    """The slices of the zeros before the first step are no graph; four kinds of step read some."""

    def layer() -> nn.Module:
        cell = nn.ClockworkCell(FEATURES, 4 * HIDDEN, periods=[1, 2, 4, 8])
        return nn.RNN(cell, reverse=reverse)

    difference, compiled = both(regression(layer, 4 * HIDDEN))
    assert difference < 1e-10
    assert changed(compiled, "shared_ends") >= 1
    assert changed(compiled, "whole_parts") >= 1


def test_a_value_twice_in_the_state() -> None:
    """Its second place is no copy of what was never computed in the first."""
    W = nn.Parameter(np.random.default_rng(0).standard_normal((8, 4)) * 0.4)

    def step(x: Any) -> Any:
        s = tg.tensor(np.zeros((3, 8)))
        for t in range(6):
            with tg.timestep(t + 1):
                a = F.tanh(s @ W + x[:, t])
                s = F.concatenate([a, a], axis=1)
        return s.sum() + (s * s).sum()

    compiled = tg.compile(step, fast=False)
    x = np.random.default_rng(1).standard_normal((3, 6, 4))
    for _ in range(2):
        assert compiled(x).item() == pytest.approx(step(tg.tensor(x)).item())
