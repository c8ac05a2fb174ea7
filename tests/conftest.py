"""Fixtures of all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from browser import started_browser
from processes import ROOT, pip_install

import tinygradrnn as tg


def pytest_configure(config: pytest.Config) -> None:
    """Let the programs that tests start share compiled modules, even where none may be left."""
    if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        folder = TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        os.environ["PYTHONPYCACHEPREFIX"] = folder.name


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with started_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def mirror(tmp_path_factory) -> Path:
    """A folder in which the package of a third party is installed."""
    folder = tmp_path_factory.mktemp("mirror")
    pip_install(ROOT / "tests/plugin_backend", folder)
    return folder
