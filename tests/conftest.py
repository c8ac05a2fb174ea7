"""Fixtures of all tests."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same weights and masks, whichever tests ran before it."""
    tg.manual_seed(0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
