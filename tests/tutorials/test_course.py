"""Every tutorial of the course runs, once, and its page is whole in a browser without a network.

The claims that a tutorial makes are asserted in its cells, solutions included. It runs on the
backend that the environment names.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from browser import BROWSER, started_browser, stepper, visits
from tutorials.lessons_and_course import COURSE, check_page

from tinygradrnn.course.parsing import read_tutorial

PICTURES = "[...document.images].map((image) => image.naturalWidth)"


@pytest.fixture(scope="module")
def visit() -> Iterator[Any]:
    """A function that opens a page; None where there is no browser."""
    if BROWSER is None:
        yield None
        return
    with started_browser() as browser:
        yield lambda path: _visited(browser, path)


def _visited(browser: Any, path: Any) -> None:
    with visits(browser, "document.readyState === 'complete'") as visit:
        page = visit(path, viewport={"width": 1280, "height": 900})
        assert all(page.evaluate(PICTURES))
        frames = page.locator("iframe")
        for n in range(frames.count()):
            inside = stepper(frames.nth(n))
            inside.locator("#next").click()
            assert inside.locator("#position").inner_text().startswith("1 / ")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


@pytest.mark.parametrize("path", COURSE, ids=lambda path: path.stem)
def test_it_runs_and_its_page_opens(path, tmp_path, visit):
    command = [sys.executable, "-W", "error", "-m", "tinygradrnn", "tutorial", path.name, "--html"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert [file.name for file in tmp_path.iterdir()] == [f"{path.stem}.html"]
    page = check_page((tmp_path / f"{path.stem}.html").read_text("utf-8"))
    code = [cell for cell in read_tutorial(path).cells if cell.kind == "code"]
    assert sum("program" in kind.split() for kind in page.values("class")) >= len(code)
    assert len(page.all("img")) + len(page.all("iframe")) >= 3
    if visit is not None:
        visit(tmp_path / f"{path.stem}.html")
