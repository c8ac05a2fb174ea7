"""Reading a page back, as the browser does."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import numpy as np


class Page(HTMLParser):
    """The elements of a page, and what stands in its scripts."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str | None, str] = {}
        self._inside = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self._inside = True
            self.scripts[dict(attrs).get("id")] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.scripts[next(reversed(self.scripts))] += data

    @property
    def trace(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.scripts["trace"])
        return found


def array(summary: dict[str, Any]) -> np.ndarray:
    """The whole array, where the page holds it."""
    return np.array(summary["values"], dtype=float).reshape(summary["shape"])


def last_totals(trace: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The last running total of each weight, having checked that each is the sum so far."""
    totals: dict[str, dict[str, Any]] = {}
    for step in trace["steps"]:
        for term in step.get("terms", ()):
            if "weight" not in term:
                continue
            name, total = term["weight"], term["total"]
            if "values" in total:
                before = array(totals[name]) if name in totals else 0.0
                np.testing.assert_allclose(array(term["value"]) + before, array(total), atol=1e-6)
            totals[name] = total
    return totals
