"""The style sheet: it parses, says nothing twice, and styles what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, get_args

import pytest

from tinygradrnn.drawing.records import Kind
from tinygradrnn.drawing.scene import Over
from tinygradrnn.stepper.page import SCRIPTS
from tinygradrnn.stepper.picture import style_variables

pytestmark = pytest.mark.numpy_only("about a page in a browser")

tinycss2 = pytest.importorskip("tinycss2", reason="tinycss2 is not installed")


def read(name: str) -> str:
    return files("tinygradrnn.stepper").joinpath(name).read_text("utf-8")


STYLE = style_variables() + read("stepper.css")
SOURCES = "".join(map(read, ("page.html", "picture.py", *SCRIPTS)))


def rules(tokens: Any) -> Iterator[tuple[str, list[Any]]]:
    """Selector and declarations of every rule, also of those inside @media."""
    for rule in tokens:
        assert rule.type in ("qualified-rule", "at-rule"), rule
        if rule.type == "at-rule" and rule.at_keyword == "media":
            yield from rules(
                tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            )
        elif rule.type == "qualified-rule":
            found = tinycss2.parse_blocks_contents(
                rule.content, skip_comments=True, skip_whitespace=True
            )
            yield tinycss2.serialize(rule.prelude).strip(), found


RULES = list(rules(tinycss2.parse_stylesheet(STYLE, skip_comments=True, skip_whitespace=True)))


def test_every_declaration_parses_and_stands_once():
    assert len(RULES) > 80
    for selector, declarations in RULES:
        assert all(d.type == "declaration" for d in declarations), (selector, declarations)
        names = [d.lower_name for d in declarations]
        assert names and len(set(names)) == len(names), selector


def test_every_variable_is_given():
    used = set(re.findall(r"var\((--[\w-]+)", STYLE + SOURCES))
    given = {d.name for _, declarations in RULES for d in declarations if d.name[:2] == "--"}
    inline = set(re.findall(r"(--[\w-]+):", SOURCES))
    assert {name for name in used if not name.endswith("-")} <= given | inline


def test_every_selector_selects_something():
    """Each class and id is one that the page, the picture or a script writes."""
    kinds = (*get_args(Kind), *get_args(Over))
    for selector, _ in RULES:
        for name in re.findall(r"[.#]([a-z][\w-]*)", selector):
            assert name in kinds or re.search(rf"\b{name}\b", SOURCES), selector
