"""What is translated gives what Python gives for the same text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from textwrap import indent
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygradrnn.compiler.fused import cache, team
from tinygradrnn.compiler.fused.source import HEAD

pytest.importorskip("numba", reason="kernels are compiled by Numba")
pytestmark = pytest.mark.numpy_only("about kernels of Numba")

Program = Callable[[Any], Any]


@pytest.fixture(scope="module")
def kernel(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Program]]:
    """Makes a program of an array ``a`` of integers, kept for the next time that the tests run."""

    def made(text: str) -> Program:
        function = cache.located(cache.Source(HEAD + indent(text, "    ")))

        def run(numbers: list[int]) -> list[int]:
            a = np.array(numbers, np.int64)
            job = np.array([function, a.ctypes.data, 1, 1], np.int64)
            call, arguments = team.call(job.ctypes.data, 1)
            call(*arguments)
            return [int(n) for n in a]

        return run

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINYGRADRNN_CACHE", str(request.config.cache.mkdir("kernels")))
        cache.folder.cache_clear()
        yield made
    cache.folder.cache_clear()


def in_python(text: str) -> Program:
    def run(numbers: list[int]) -> list[int]:
        a = list(numbers)
        exec(text, {"a": a})
        return a

    return run


ARITHMETIC = """
x, y = a[0], a[1]
a[2], a[3], a[4] = x + 2 * y, -x - y, x * y
a[5], a[6] = x // y, x % y
a[7], a[8] = x // 8, -(-x // 8)
a[9], a[10] = min(x, y), max(x, 3)
a[11] = y if x < y else x
a[12] = 1 if (x == y) | (x >= 10 * y) else 2
a[13] = 4 if x and y > 0 else 5
x, y = (y, x) if x != -y else (7, x)
a[14], a[15] = x, y
a[0] -= 2 * y
"""
LOOPS = """
total, k, low, high = 0, 0, a[0], a[1]
for i in range(low, high, 3):
    for j in range(i):
        total += i - j
    if i > 3:
        k = i
    else:
        total = total + 100
while k > low:
    k -= 2
    a[3] += 1
for i in range(low):
    low = low - 1
    a[4] += low
a[2], a[5] = total, k
"""


@settings(deadline=None)
@given(x=st.integers(-99, 99), y=st.integers(-9, 9).filter(bool))
def test_integers(x: int, y: int, kernel: Any) -> None:
    numbers = [x, y, *[0] * 14]
    assert kernel(ARITHMETIC)(numbers) == in_python(ARITHMETIC)(numbers)


@settings(deadline=None)
@given(low=st.integers(-5, 12), high=st.integers(-5, 30))
def test_loops(low: int, high: int, kernel: Any) -> None:
    numbers = [low, high, 0, 0, 0, 0]
    assert kernel(LOOPS)(numbers) == in_python(LOOPS)(numbers)


@pytest.mark.parametrize("wanted, given", [("float32", "float64"), ("float64", "float32")])
def test_numbers_are_cast(wanted: str, given: str, kernel: Any) -> None:
    program = kernel(
        "for i in range(a[2]):\n"
        "    x = bool_at(a[0])\n"
        "    y = -float64(x[i])\n"  # then x is a pointer to something else
        f"    x = {given}_at(a[1])\n"
        f"    {wanted}_at(a[3])[i] = 2.5 * {wanted}(x[i]) + y\n"
        f"    {given}_at(a[1])[i] = {wanted}(a[2])\n".replace(" + y", f" + {wanted}(y)")
    )
    bits, x = np.array([True, False, True]), np.array([0.1, -3.7, 1e8], given)
    out = np.empty(3, wanted)
    program([bits.ctypes.data, x.ctypes.data, 3, out.ctypes.data])
    expected = 2.5 * np.array([0.1, -3.7, 1e8], given).astype(wanted) - bits
    np.testing.assert_allclose(out, expected, rtol=1e-7)
    assert (x == 3).all()


@pytest.mark.parametrize(
    "text, message",
    [
        ("a[0] = [1]", r"run: no code for `\[1\]`"),
        ("del a", "run: no code for `del a`"),
        ("a[0], *x = 1, 2", r"run: no code for `\*x`"),
        ("a[0] = a[1] + float32_at(a[1])[0]", "run: i64 is used with float"),
        ("a[0] = len(a)", "run: no code for `len`"),
        ("a[0] = TILE(1)", r"run: no code for `TILE\(1\)`"),
        ("a[0] = 1 if part < 1 < parts else 2", "run: no code for `part < 1 < parts`"),
    ],
)
def test_what_cannot_be_translated(text: str, message: str, kernel: Any) -> None:
    with pytest.raises(TypeError, match=message):
        kernel(text + "\n")
