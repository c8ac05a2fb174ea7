"""One stepping page, and a browser for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import visits

import tinygradrnn as tg
from tinygradrnn.models import example_loss


@pytest.fixture
def visit(chromium) -> Iterator[Any]:
    with visits(chromium, "document.getElementById('status').textContent !== ''") as visit:
        yield visit


@pytest.fixture(scope="module")
def steps() -> tg.StepThrough:
    return tg.step_through(example_loss("lstm", 3))


@pytest.fixture(scope="module")
def path(steps, tmp_path_factory) -> Path:
    return steps.save(tmp_path_factory.mktemp("pages") / "lstm.html")
