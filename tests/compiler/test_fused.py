"""Kernels do what the calls did that they replace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from compiler import kernels_in_python
from compiler.steps import CELLS, HIDDEN, both, regression
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.compiler import compiled
from tinygradrnn.compiler.fused import cache, host, joined

pytestmark = pytest.mark.numpy_only("about kernels of Numba")

BROKEN = {"scrn", "scrn learned"}


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels without Numba."""
    kernels_in_python.put_in_place(monkeypatch)
    monkeypatch.setattr(compiled, "installed", lambda: True)


@pytest.fixture
def numba(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Kernels with Numba, kept for the next time that the tests run."""
    module = pytest.importorskip("numba", reason="kernels are compiled by Numba")
    monkeypatch.setenv("TINYGRADRNN_CACHE", str(request.config.cache.mkdir("kernels")))
    cache.folder.cache_clear()
    yield module
    cache.folder.cache_clear()


# ------------------------------------------------------------------------- any calls on any rows

WIDTH, ROWS = 5, 4
UNARY = [np.negative, np.tanh, np.square, np.copyto]
BINARY = [np.add, np.subtract, np.multiply, np.maximum]
BASES = 3


def views(base: Any) -> list[Any]:
    """Parts of an array of 4 × 15 elements that overlap in many ways."""
    flat = base.reshape(-1)
    return [
        base[:, :WIDTH],
        base[:, WIDTH : 2 * WIDTH],
        base[:, 2:7],
        base[:, 2 * WIDTH :],
        flat[: ROWS * WIDTH].reshape(ROWS, WIDTH),
        flat[20:40].reshape(ROWS, WIDTH),
        flat[23:43].reshape(ROWS, WIDTH),
        flat[0:20].reshape(WIDTH, ROWS).T,
    ]


def spread(base: Any) -> list[Any]:
    """What can be read only."""
    return [
        np.broadcast_to(base[0, :WIDTH], (ROWS, WIDTH)),
        np.broadcast_to(base[:, 3:4], (ROWS, WIDTH)),
        np.broadcast_to(base[2, 7], (ROWS, WIDTH)),
    ]


PICK = st.tuples(st.integers(0, BASES - 1), st.integers(0, 7))
READ = st.tuples(st.integers(0, BASES - 1), st.integers(0, 10))
CALLS = st.lists(st.tuples(st.integers(0, 7), READ, READ, PICK), min_size=2, max_size=8)


@settings(max_examples=150, deadline=None)
@given(chosen=CALLS, seed=st.integers(0, 9))
def test_kernels_give_what_the_calls_give(chosen: Any, seed: int) -> None:
    before = np.random.default_rng(seed).standard_normal((BASES, ROWS, 3 * WIDTH)) * 0.5
    results = []
    for fast in (False, True):
        bases = before.copy()
        where = [[*views(base), *spread(base)] for base in bases]
        calls: list[Any] = []
        for function, x, y, out in chosen:
            a, b, target = (where[k][n] for k, n in (x, y, out))
            one = (*UNARY, *BINARY)[function]
            if one is np.copyto:
                calls.append((one, (target, a)))
            elif one is np.maximum:
                calls.append((partial(one, out=target), (a, b)))
            else:
                calls.append((one, (a, target) if function < 4 else (a, b, target)))
        if fast:
            with pytest.MonkeyPatch.context() as patch:
                kernels_in_python.put_in_place(patch)
                calls, _, _keep = joined(calls, [])
        for function, arguments in calls:
            function(*arguments)
        results.append(bases)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12, atol=1e-12)


def test_a_loop_of_small_products_is_one_kernel(interpreted: None) -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((3, 3)) * 0.5
    results = []
    for fast in (False, True):
        h = np.zeros((9, 2, 3))
        h[0] = 1
        s = np.zeros((2, 3))
        calls: list[Any] = []
        turns = []
        for t in range(8):
            turns.append(len(calls))
            calls += [(np.dot, (h[t], w, s)), (np.tanh, (s, h[t + 1]))]
        turns.append(len(calls))
        if fast:
            calls, starts, _keep = joined(calls, [turns])
            assert len(calls) == 1 and set(starts[:-1]) == {0}
        for function, arguments in calls:
            function(*arguments)
        results.append(h)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


@pytest.mark.parametrize("more, left", [(0, 1), (1, host.LONGEST + 1)])
def test_a_long_run_outside_of_loops_stays(more: int, left: int, interpreted: None) -> None:
    """It would be compiled for longer than it ever saves."""
    x = np.linspace(0, 1, 6).reshape(2, 3)
    calls, _, _keep = joined([(np.exp, (x, np.empty((2, 3))))] * (host.LONGEST + more), [])
    assert len(calls) == left


def test_what_is_at_one_place_in_the_first_turn_only(interpreted: None) -> None:
    """An operand that stays where it is, and one that moves on from there."""
    x = np.random.default_rng(0).standard_normal((8, 2, 3))
    results = []
    for fast in (False, True):
        h = np.ones((2, 3))
        calls: list[Any] = []
        for t in range(8):
            calls += [(np.multiply, (h, x[t], h)), (np.add, (h, x[0], h))]
        if fast:
            calls, _, _keep = joined(calls, [list(range(0, 17, 2))])
        for function, arguments in calls:
            function(*arguments)
        results.append(h)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


@pytest.mark.parametrize("kernels", ["interpreted", "numba"])
def test_small_products_and_sums(kernels: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(kernels)
    rng = np.random.default_rng(0)
    x, g = rng.standard_normal((11, 5)), rng.standard_normal((11, 7))
    w, slab = rng.standard_normal((7, 5)), rng.standard_normal((3, 4, 6))
    made: list[list[Any]] = []
    for fast in (False, True):
        out = [np.empty(shape) for shape in ((5, 7), (11, 7), (11, 5), (7,), (1, 1, 6), (3, 4, 1))]
        calls: list[Any] = [
            (np.dot, (x.T, g, out[0])),
            (np.dot, (x, out[0], out[1])),
            (np.dot, (g, w, out[2])),
            (np.add.reduce, (out[1], (0,), None, out[3], False)),
            (np.add.reduce, (slab, (0, 1), None, out[4], True)),
            (np.maximum.reduce, (slab, (2,), None, out[5], True)),
            (np.dot, (out[1], w.T.copy().T, out[2])),
        ]
        if fast:
            calls, _, _keep = joined(calls, [])
            assert len(calls) == 1
        for function, arguments in calls:
            function(*arguments)
        made.append(out)
    for one, other in zip(*made, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12)


# --------------------------------------------------------------------------------- whole programs


@pytest.mark.parametrize("cell", sorted(set(CELLS) - BROKEN))
def test_every_cell_gives_the_same_numbers(cell: str, interpreted: None) -> None:
    difference, step = both(regression(lambda: nn.RNN(CELLS[cell]())), steps=2, fast=True)
    assert difference < 1e-10
    plan = next(iter(step.plans.values()))[0].plan
    few = 0.6 if cell == "clockwork" else 0.5  # the blocks of that do not tick at every step
    assert len(plan.calls) < len(plan.low.calls) * few


@pytest.mark.parametrize("optimiser", ["momentum", "adam", "rmsprop"])
def test_optimisers_give_the_same_numbers(optimiser: str, interpreted: None) -> None:
    make = regression(lambda: nn.RNN(CELLS["elman"]()), optimiser=optimiser)
    assert both(make, fast=True)[0] < 1e-10


@pytest.mark.parametrize(
    ("cell", "dtype", "most"), [("gru", "float32", 1e-5), ("lstm peephole", "float64", 1e-10)]
)
def test_compiled_kernels_give_the_same_numbers(
    cell: str, dtype: str, most: float, numba: Any
) -> None:
    make = regression(lambda: nn.RNN(CELLS[cell]()), HIDDEN, dtype=dtype)
    assert both(make, steps=50, fast=True)[0] < most


# -------------------------------------------------------------------------- functions of elements


@pytest.mark.parametrize("dtype, most", [(np.float32, 5e-7), (np.float64, 1e-15)])
@pytest.mark.parametrize("name", ["exp", "tanh"])
def test_functions_are_exact_and_keep_nan(name: str, dtype: Any, most: float, numba: Any) -> None:
    near = np.linspace(-3, 3, 4001)
    x = np.concatenate([near, near * 28, [0, np.inf, -np.inf, np.nan]]).astype(dtype)
    out = np.empty_like(x)
    function = getattr(np, name)
    calls, _, _keep = joined([(function, (x, out)), (np.negative, (out, out))], [])
    for call, arguments in calls:
        call(*arguments)
    assert len(calls) == 1
    expected = -function(x.astype(np.longdouble))
    np.testing.assert_allclose(out, expected.astype(dtype), rtol=most)


# ------------------------------------------------------------------------------------- the folder


def test_a_second_process_compiles_nothing(numba: Any, tmp_path: Any) -> None:
    program = (
        "import os, numpy as np\n"
        "from tinygradrnn.compiler.fused import joined\n"
        "x = np.ones((3, 4)); y = x.copy()\n"
        "calls, _, keep = joined([(np.add, (x, y, y)), (np.multiply, (x, y, y))], [])\n"
        "calls[0][0](*calls[0][1])\n"
        "assert len(calls) == 1 and (y == 2).all()\n"
    )
    seen = []
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", program],
            check=True,
            env={**os.environ, "TINYGRADRNN_CACHE": str(tmp_path)},
        )
        files = sorted(tmp_path.rglob("kernel_*"))
        seen.append([(p.name, p.stat().st_mtime_ns) for p in files])
    assert len(seen[0]) == 2  # what calls it, too
    assert seen[0] == seen[1]


def test_a_home_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.delenv("TINYGRADRNN_CACHE", raising=False)
    monkeypatch.setattr(cache, "candidates", lambda: [blocked / "kernels"])
    cache.folder.cache_clear()
    try:
        assert cache.writable(cache.folder()) and blocked not in cache.folder().parents
    finally:
        cache.folder.cache_clear()


def test_numba_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "installed", lambda: False)
    with pytest.raises(ModuleNotFoundError, match=r'pip install "tinygradrnn\[fast\]"'):
        tg.compile(lambda x: x, fast=True)
    assert tg.compile(lambda x: x).fast is False
    assert tg.compile(lambda x: x, fast=False).fast is False
