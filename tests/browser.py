"""Pages in Chromium, opened from disk without a network, and everything that goes wrong there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
LOCAL = ("file:", "data:", "about:")


@contextmanager
def started_browser() -> Iterator[Any]:
    """Chromium; where there is none, the test is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BROWSER is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as started:
        flags = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        browser = started.chromium.launch(executable_path=BROWSER, args=flags)
        yield browser
        browser.close()


@contextmanager
def visits(browser: Any, ready: str) -> Iterator[Callable[..., Any]]:
    """A function that opens a page and waits until it is ready; afterwards nothing was wrong."""
    visitors: list[Visitor] = []

    def visit(path: Path, fragment: str = "", **options: Any) -> Any:
        visitors.append(Visitor(browser, **{"reduced_motion": "reduce"} | options))
        return visitors[-1].open(path, fragment, ready)

    yield visit
    for visitor in visitors:
        visitor.context.close()
        assert visitor.wrong == []
        assert all(url.startswith(LOCAL) for url in visitor.requests)


def until(page: Any, holds: str) -> None:
    """Wait; Playwright's own way evaluates texts inside the page, which its policy forbids."""
    for _ in range(1200):
        if page.evaluate(holds):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{holds} never came to hold")


def stepper(iframe: Any) -> Any:
    """The stepping page in a frame, once it is brought near and built, and listens."""
    iframe.scroll_into_view_if_needed()
    page = iframe.element_handle().content_frame()
    until(page, "document.getElementById('position')?.textContent.startsWith('0 / ')")
    return page


class Visitor:
    """A page in a browser that is offline, and everything that went wrong in it."""

    def __init__(self, browser: Any, **options: Any) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.context.set_default_timeout(60_000)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda said: self.wrong.append(f"{said.type}: {said.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: Path, fragment: str, ready: str) -> Any:
        self.page.goto(path.as_uri() + fragment)
        until(self.page, ready)
        return self.page
