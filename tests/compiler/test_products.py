"""Products, rows by number, and time loops that threads share give what the calls give."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from threading import Thread
from typing import Any

import numpy as np
import pytest
from compiler import kernels_in_python
from compiler.steps import CELLS, both, regression
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.compiler.fused import cache, host, joined, sizes, team
from tinygradrnn.compiler.rows import add_rows

pytestmark = pytest.mark.numpy_only("about kernels of Numba")


@pytest.fixture(scope="module")
def numba(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Kernels with Numba, kept for the next time that the tests run; every one by two threads."""
    module = pytest.importorskip("numba", reason="kernels are compiled by Numba")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRADRNN_CACHE", str(request.config.cache.mkdir("kernels")))
        patch.setattr(host, "ENOUGH", 0)
        cache.folder.cache_clear()
        yield module
    cache.folder.cache_clear()


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels without Numba, the parts of each one after the other."""
    kernels_in_python.put_in_place(monkeypatch)
    monkeypatch.setattr(host, "ENOUGH", 0)


def run(calls: list[Any], turns: list[list[int]], threads: int) -> list[Any]:
    """The calls as kernels, and what became of them."""
    made, _, _keep = joined(calls, turns, threads=threads)
    for function, arguments in made:
        function(*arguments)
    return made


# ------------------------------------------------------------------------------------- products


def matrix(rng: np.random.Generator, shape: tuple[int, int], layout: str, dtype: Any) -> Any:
    """A matrix, its rows or its columns one after the other, or a part of a larger one."""
    rows, columns = shape
    if layout == "columns":
        return rng.standard_normal((columns, rows)).astype(dtype).T
    if layout == "part":
        return rng.standard_normal((rows, columns + 3)).astype(dtype)[:, 1 : columns + 1]
    return rng.standard_normal(shape).astype(dtype)


LAYOUTS = st.sampled_from(["rows", "columns", "part"])
SIZES = st.tuples(st.integers(3, 40), st.integers(1, 90), st.integers(1, 130))


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=SIZES,
    x=LAYOUTS,
    w=LAYOUTS,
    dtype=st.sampled_from([np.float32, np.float64]),
    threads=st.integers(1, 3),
)
def test_any_product(
    size: tuple[int, int, int], x: str, w: str, dtype: Any, threads: int, numba: Any
) -> None:
    rows, inner, columns = size
    rng = np.random.default_rng(rows * inner + columns)
    a, b = matrix(rng, (rows, inner), x, dtype), matrix(rng, (inner, columns), w, dtype)
    out = np.full((rows + 2, columns), np.nan, dtype)
    run([(np.dot, (a, b, out[1:-1]))], [], threads)
    expected = a.astype(np.longdouble) @ b.astype(np.longdouble)
    most = 2e-5 if dtype is np.float32 else 1e-13
    np.testing.assert_allclose(out[1:-1], expected, rtol=most, atol=most * 10)
    assert np.isnan(out[[0, -1]]).all()  # nothing beside it is written


@pytest.mark.parametrize(
    "rows, inner, columns",
    [
        (2 * sizes.CHUNK + 5, sizes.INNER + 7, 50),  # blocks of rows and of the inner index
        (20, 3 * sizes.INNER, 300),  # columns in parts
        (9, sizes.INNER, 1),
    ],
)
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_products_of_several_blocks(
    rows: int, inner: int, columns: int, layout: str, numba: Any
) -> None:
    rng = np.random.default_rng(0)
    a, b = matrix(rng, (rows, inner), layout, float), matrix(rng, (inner, columns), layout, float)
    once, twice = np.empty((rows, columns)), np.empty((rows, columns))
    run([(np.dot, (a, b, once))], [], 1)
    run([(np.dot, (a, b, twice))], [], 2)
    np.testing.assert_allclose(once, a @ b, rtol=1e-12, atol=1e-11)
    np.testing.assert_array_equal(once, twice)  # whoever computes it


@pytest.mark.parametrize("kernels", ["interpreted", "numba"])
def test_rows_by_number(kernels: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(kernels)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 7, 50)
    table, more = rng.standard_normal((7, 130)), rng.standard_normal((50, 130))
    taken, total = np.empty((50, 130)), table.copy()
    room = (np.arange(50), np.empty((50, 7)), np.empty_like(table), np.dot)
    calls: list[Any] = [
        (np.take, (table, ids, 0, taken, "clip")),
        (add_rows, (ids, more, total, *room)),
    ]
    run(calls, [], 2)
    np.testing.assert_array_equal(taken, table[ids])
    expected = table.copy()
    np.add.at(expected, ids, more)
    np.testing.assert_allclose(total, expected, rtol=1e-13, atol=1e-13)


# --------------------------------------------------------------------------------------- loops

STEPS, ROWS, WIDTH = 6, 20, 3
OFFSETS = st.integers(-1, 1)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    chosen=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), OFFSETS, OFFSETS, st.booleans()),
        min_size=1,
        max_size=4,
    ),
    back=st.booleans(),
)
def test_rows_that_need_other_rows_stay_in_one_part(
    chosen: Any, back: bool, interpreted: None
) -> None:
    """Slabs of which a turn reads and writes this step, the one beside it, or shifted rows."""
    start = np.random.default_rng(0).standard_normal((3, STEPS + 2, ROWS + 2, WIDTH)) * 0.3
    results = []
    for threads in (0, 2):
        slabs = start.copy()
        calls: list[Any] = []
        turns = []
        for t in range(STEPS, 0, -1) if back else range(1, STEPS + 1):
            turns.append(len(calls))
            for slab, other, step, shift, product in chosen:
                out = slabs[slab, t, 1:-1]
                x = slabs[other % 3, t + step, 1 + shift : ROWS + 1 + shift]
                if other == 3:
                    x = slabs[slab, t + step, 1:-1]
                calls.append((np.multiply if product else np.add, (x, out, out)))
                calls.append((np.tanh, (out, out)))
        turns.append(len(calls))
        if threads:
            run(calls, [turns], threads)
        else:
            for function, arguments in calls:
                function(*arguments)
        results.append(slabs)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12, atol=1e-12)


def recurrence(changing: bool) -> tuple[Any, list[Any], list[list[int]]]:
    """h_t = tanh(h_{t−1} W), W the same at all steps or not."""
    rng = np.random.default_rng(0)
    w = rng.standard_normal((30, 30)) * 0.2
    h = rng.standard_normal((9, 20, 30))
    s = np.empty((20, 30))
    calls: list[Any] = []
    turns = []
    for t in range(8):
        turns.append(len(calls))
        calls += [(np.dot, (h[t], w, s)), (np.tanh, (s, h[t + 1]))]
        if changing:
            calls.append((np.multiply, (w, np.asarray(0.9), w)))
    return h, calls, [[*turns, len(calls)]]


@pytest.mark.parametrize("kernels", ["interpreted", "numba"])
@pytest.mark.parametrize("changing, count", [(False, 2), (True, 2 * 8)])  # packing, the loop
def test_a_loop_packs_weights_that_stay(
    changing: bool, count: int, kernels: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(kernels)
    h, calls, turns = recurrence(changing)
    for function, arguments in calls:
        function(*arguments)
    again, calls, turns = recurrence(changing)
    made = run(calls, turns, 2)
    np.testing.assert_allclose(again, h, rtol=1e-12, atol=1e-14)
    assert len(made) == count


@pytest.mark.parametrize("cell", ["lstm", "gru", "lstm peephole", "own", "clockwork"])
def test_layers_in_parts(cell: str, interpreted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All kernels of a training step, those of 20 sequences in parts."""
    monkeypatch.setattr("compiler.steps.BATCH", 20)
    monkeypatch.setattr("tinygradrnn.compiler.compiled.installed", lambda: True)
    monkeypatch.setattr("tinygradrnn.compiler.fused.cores", lambda: 2)
    difference, step = both(regression(lambda: nn.RNN(CELLS[cell]())), steps=2, fast=True)
    assert difference < 1e-10
    plan = next(iter(step.plans.values()))[0].plan
    shared = [given for function, given in plan.calls if function is kernels_in_python.run]
    assert any(parts > 1 for *_, parts in shared)


# ------------------------------------------------------------------------------------- threads


def test_plans_in_several_threads(numba: Any) -> None:
    """One has the helpers, others do without; none waits for another, none is wrong."""
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((200, 64)), rng.standard_normal((64, 64))
    wrong = []

    def work() -> None:
        out = np.empty((200, 64))
        made, _, _keep = joined([(np.dot, (x, w, out))], [], threads=3)
        for _ in range(100):
            out[...] = 0
            for function, arguments in made:
                function(*arguments)
            if not np.allclose(out, x @ w):
                wrong.append(1)

    threads = [Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong and len(team.team().helpers) == 2


PROGRAM = """
import os, numpy as np
from tinygradrnn.compiler.fused import host, joined
host.ENOUGH = 0
x = np.ones((40, 30)); w = np.ones((30, 20)); out = np.zeros((40, 20))
calls, _, keep = joined([(np.dot, (x, w, out))], [], threads=2)
def work():
    out[...] = 0
    calls[0][0](*calls[0][1])
    assert (out == 30).all()
work()
if hasattr(os, "fork"):  # a child has no helpers but its own
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
work()
"""


def test_a_process_ends_and_forks_with_helpers(numba: Any) -> None:
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60, env={**os.environ})


def test_threads_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, but is 0; leave it out"):
        tg.compile(lambda x: x, threads=0)
