"""Fixtures of all tests."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same weights and masks, whichever tests ran before it."""
    tg.manual_seed(0)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out, on another backend than NumPy, what is about NumPy itself."""
    only = item.get_closest_marker("numpy_only")
    if only is not None and tg.get_backend().name != "numpy":
        pytest.skip(f"for NumPy only: {only.args[0]}")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
