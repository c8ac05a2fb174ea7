"""Kernels for a GPU: that they compute what the calls did, for any calls, and that they compile."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from compiler.steps import CELLS, WIDTH, regression
from device import kernels
from device.double import DoubleBackend, Functions
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.compiler.fused import joined
from tinygradrnn.compiler.fused.cuda import NAME, DeviceReader
from tinygradrnn.compiler.fused.grids import MOST, groups_of
from tinygradrnn.testing.arrays import GuardArray

BACKEND = DoubleBackend()
XP = BACKEND.xp
KINDS = {"line by line": kernels.RawKernel}
if kernels.compiler():
    KINDS["compiled by C"] = kernels.CompiledKernel


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How kernels run."""
    monkeypatch.setattr(Functions, "RawKernel", KINDS[request.param])
    return str(request.param)


# ------------------------------------------------------------------------- any calls on any arrays

WIDTH_, ROWS = 4, 3
UNARY = ("negative", "tanh", "square", "copyto")
BINARY = ("add", "subtract", "multiply", "maximum")
BASES = 3


def views(base: Any) -> list[Any]:
    """Parts of an array of 3 × 16 elements that overlap in many ways, of one, two and four widths.

    The last are read only.
    """
    flat = base.reshape(-1)
    return [
        base[:, :WIDTH_],
        base[:, WIDTH_ : 2 * WIDTH_],
        base[:, 2:6],
        base[:, 12:],
        flat[:12].reshape(ROWS, WIDTH_),
        flat[12:24].reshape(ROWS, WIDTH_),
        flat[18:30].reshape(ROWS, WIDTH_),
        flat[:12].reshape(WIDTH_, ROWS).T,
        np.broadcast_to(base[0, :WIDTH_], (ROWS, WIDTH_)),
        np.broadcast_to(base[:, 3:4], (ROWS, WIDTH_)),
        np.broadcast_to(base[2, 7], (ROWS, WIDTH_)),
        np.broadcast_to(flat[6:9].reshape(3, 1), (ROWS, WIDTH_)),
    ]


def thin(base: Any) -> list[Any]:
    flat = base.reshape(-1)
    return [
        base[:, :1],
        base[:, 3:4],
        base[:, 12:13],
        flat[6:9].reshape(3, 1),
        np.broadcast_to(base[1, :1], (3, 1)),
        np.broadcast_to(base[2, 7], (3, 1)),
    ]


def wide(base: Any) -> list[Any]:
    flat = base.reshape(-1)
    return [
        base[:, :8],
        base[:, 8:],
        base[:, 4:12],
        flat[:24].reshape(3, 8),
        np.broadcast_to(base[1, :8], (3, 8)),
        np.broadcast_to(base[:, 5:6], (3, 8)),
    ]


OPERAND = st.tuples(st.integers(0, BASES - 1), st.integers(0, 11))
CALLS = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 2), OPERAND, OPERAND, OPERAND),
    min_size=1,
    max_size=10,
)


def listed(chosen: Any, bases: Any) -> list[Any]:
    """The calls that were chosen, on these arrays."""
    calls: list[Any] = []
    for function, size, *operands in chosen:
        kinds, counts = ((views, (12, 12, 8)), (wide, (6, 6, 4)), (thin, (6, 6, 4)))[size]
        x, y, out = (
            GuardArray(kinds(bases[k])[n % count])
            for (k, n), count in zip(operands, counts, strict=True)
        )
        name = (*UNARY, *BINARY)[function]
        one = getattr(XP, name)
        if name == "copyto":
            calls.append((one, (out, x)))
        elif name == "maximum":
            calls.append((partial(one, out=out), (x, y)))
        else:
            calls.append((one, (x, out) if function < 4 else (x, y, out)))
    return calls


COLUMN_THEN_ROWS = [(2, 2, (1, 3), (0, 0), (0, 3)), (4, 0, (0, 11), (1, 3), (1, 3))]


@settings(max_examples=200, deadline=None)
@example(chosen=COLUMN_THEN_ROWS, seed=0)
@given(chosen=CALLS, seed=st.integers(0, 9))
def test_kernels_give_what_the_calls_give(chosen: Any, seed: int) -> None:
    before = np.random.default_rng(seed).standard_normal((BASES, ROWS, 16)) * 0.5
    results = []
    for fused in (False, True):
        bases = before.copy()
        calls = listed(chosen, bases)
        if fused:
            calls, starts, _ = joined(calls, [], BACKEND)
            assert len(starts) == len(chosen) + 1
        for function, arguments in calls:
            function(*arguments)
        results.append(bases)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12, atol=1e-12)


def test_gates_that_are_one_matrix_are_one_kernel(kind: str) -> None:
    """Four gates of width 5 in rows of 20: each thread has an element of all four."""
    rng = np.random.default_rng(0)
    z, c, h = rng.standard_normal((3, 20)), rng.standard_normal((3, 5)), np.zeros((3, 5))
    expected = np.tanh(2 * z[:, :5] * c) + 2 * z[:, 15:]
    arrays = [GuardArray(a) for a in (z, c, h)]
    gates = [arrays[0][:, k : k + 5] for k in (0, 5, 10, 15)]
    calls = [
        (XP.add, (arrays[0], arrays[0], arrays[0])),
        (XP.multiply, (gates[0], arrays[1], gates[1])),
        (XP.tanh, (gates[1], arrays[2])),
        (XP.add, (arrays[2], gates[3], arrays[2])),
    ]
    calls, _, _keep = joined(calls, [], BACKEND)
    ((kernel, (grid, block, _)),) = calls
    assert grid[0] * block[0] >= 15 and "k >= 15u" in kernel.code
    kernel(*calls[0][1])
    np.testing.assert_allclose(h, expected, rtol=1e-12)


def test_no_thread_reads_what_another_one_writes() -> None:
    """What is shifted by one element, or read by all rows, begins another kernel."""
    x = GuardArray(np.arange(12.0))
    reader = DeviceReader(BACKEND)
    shifted = [(XP.square, (x[:6], x[6:])), (XP.negative, (x[5:11], x[:6]))]
    square = GuardArray(np.ones((3, 3)))
    row = GuardArray(np.ones((3, 3)))
    by_all = [
        (XP.square, (square, row)),
        (XP.add, (square, XP.broadcast_to(row[0], (3, 3)), square)),
    ]
    for calls in (shifted, by_all):
        operations = [reader.read(call) for call in calls]
        assert len(groups_of(operations)) == 2  # type: ignore[arg-type]


def test_a_kernel_does_not_grow_without_end() -> None:
    x = GuardArray(np.ones((2, 3)))
    calls, _, _ = joined([(XP.add, (x, x, x))] * (MOST + 1), [], BACKEND)
    assert len(calls) == 2


DTYPES = ("float32", "float64", "int64", "bool")


@pytest.mark.parametrize("target", ["float32", "float64"])
@pytest.mark.parametrize("source", DTYPES)
def test_dtypes_and_conditions(source: str, target: str, kind: str) -> None:
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((4, 3)) * 3).astype(source)
    y = rng.standard_normal((4, 3)).astype(target)
    y[0] = np.nan
    made = [np.empty((4, 3), t) for t in (target, "bool", target, target, target)]
    expected = [x.astype(target), y > 0, np.maximum(x.astype(target), y)]
    expected.append(np.where(y > 0, expected[0], expected[2]))
    expected.append(1 / np.abs(expected[0] + 0.5))
    a, b, *out = (GuardArray(array) for array in (x, y, *made))
    zero, half = XP.asarray(0.0, target), XP.asarray(0.5, target)
    calls = [
        (XP.copyto, (out[0], a, "unsafe")),
        (XP.greater, (b, zero, out[1])),
        (partial(XP.maximum, out=out[2]), (out[0], b)),
        (XP.copyto, (out[3], out[2])),
        (XP.copyto, (out[3], out[0], "same_kind", out[1])),
        (XP.add, (out[0], half, out[4])),
        (XP.absolute, (out[4], out[4])),
        (XP.reciprocal, (out[4], out[4])),
    ]
    calls, _, _keep = joined(calls, [], BACKEND)
    assert len(calls) == 1
    calls[0][0](*calls[0][1])
    for got, wanted in zip(made, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


@pytest.mark.parametrize("name", ["exp", "tanh", "sqrt", "log"])
def test_functions_keep_nan_and_infinities(name: str, kind: str) -> None:
    x = np.array([0.0, 0.5, 100.0, np.inf, -np.inf, np.nan, 800.0], "float32")
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(x)
    out = np.empty_like(x)
    calls, _, _keep = joined([(getattr(XP, name), (GuardArray(x), GuardArray(out)))], [], BACKEND)
    calls[0][0](*calls[0][1])
    np.testing.assert_allclose(out, expected, rtol=1e-6)


# ------------------------------------------------------------------------------------- loops


@pytest.mark.parametrize("first", [0, 2])
def test_what_is_at_one_place_in_the_first_turn_only(first: int) -> None:
    """An operand that stays, and one that moves on from the same place."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 2, 3))
    results = []
    for fused in (False, True):
        h = np.ones((2, 3))
        state, slab = GuardArray(h), GuardArray(x)
        calls: list[Any] = []
        turns = []
        for t in range(8):
            turns.append(len(calls))
            calls.append((print, ()))
            calls.append((XP.multiply, (state, slab[t], state)))
            calls.append((XP.add, (state, slab[first], state)))
        turns.append(len(calls))
        if fused:
            calls, _, _keep = joined(calls, [turns], BACKEND)
        for function, arguments in calls:
            if function is not print:
                function(*arguments)
        results.append(h)
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


# ------------------------------------------------------------------------------------- NVRTC

ARCHITECTURES = ("sm_80", "sm_90")


@pytest.fixture(scope="module")
def nvrtc() -> Any:
    """The compiler of CUDA, which needs no GPU."""
    pytest.importorskip("cupy", reason="NVRTC is called through CuPy, which is not installed")
    from cupy_backends.cuda.libs import nvrtc

    try:
        nvrtc.getVersion()
    except Exception as error:
        pytest.skip(f"NVRTC cannot be loaded: {error}")
    return nvrtc


def cubin(nvrtc: Any, source: str, architecture: str) -> bytes:
    program = nvrtc.createProgram(source, "kernel.cu", (), ())
    try:
        nvrtc.compileProgram(program, (f"-arch={architecture}", "-std=c++17"))
        return bytes(nvrtc.getCUBIN(program))
    finally:
        nvrtc.destroyProgram(program)


def sources(dtype: str, *cells: str) -> list[str]:
    """The kernels of a training step, of some cells."""
    kernels.launches.clear()
    with tg.backend_scope(DoubleBackend()):
        for cell in cells:
            make = regression(lambda: nn.RNN(CELLS[cell]()), WIDTH[cell], "adam", 1.0, dtype=dtype)  # noqa: B023
            _, _, step, batch = make()
            compiled = tg.compile(step)
            for _ in range(2):
                compiled(*batch(np.random.default_rng(0)))
    return list(dict.fromkeys(kernels.launches))


def as_one(sources: list[str]) -> str:
    """Kernels as one program: what is alike in all of them has a number."""
    parts = []
    for number, source in enumerate(sources):
        assert f"void {NAME}(" in source
        numbered = source.replace(NAME, f"{NAME}_{number}")
        parts.append(numbered.replace("Operands", f"Operands_{number}"))
    return "\n".join(parts)


@pytest.mark.parametrize(
    "dtype, cells",
    [("float32", ("gru", "lstm peephole", "clockwork", "scrn learned")), ("float64", ("lstm",))],
)
def test_kernels_compile(dtype: str, cells: tuple[str, ...], nvrtc: Any) -> None:
    found = sources(dtype, *cells)
    assert len(found) > 10 * len(cells)
    program = as_one(found)
    for architecture in ARCHITECTURES:
        binary = cubin(nvrtc, program, architecture)
        assert all(f"{NAME}_{number}".encode() in binary for number in range(len(found)))
    assert cubin(nvrtc, found[0], ARCHITECTURES[0])  # alone too, as CuPy compiles it


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_planted_error_is_found(architecture: str, nvrtc: Any) -> None:
    good = sources("float32", "elman")[0]
    assert cubin(nvrtc, good, architecture)
    with pytest.raises(Exception, match="COMPILATION"):
        cubin(nvrtc, good.replace("const unsigned k", "const unsinged k"), architecture)
