"""The style sheets: they parse, say nothing twice, and style what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, NamedTuple, get_args

import pytest

from tinygradrnn.drawing.records import Kind
from tinygradrnn.drawing.scene import Over
from tinygradrnn.stepper.page import SCRIPTS
from tinygradrnn.stepper.picture import style_variables

pytestmark = pytest.mark.numpy_only("about a page in a browser")

tinycss2 = pytest.importorskip("tinycss2", reason="tinycss2 is not installed")


class Sheet(NamedTuple):
    """A style sheet, what writes elements for it, and classes whose names are not written out."""

    package: str
    name: str
    sources: tuple[str, ...]
    others: tuple[str, ...] = ()

    @property
    def style(self) -> str:
        return style_variables() + self._read(self.name)

    @property
    def source(self) -> str:
        return "".join(map(self._read, self.sources))

    def _read(self, name: str) -> str:
        return files(f"tinygradrnn.{self.package}").joinpath(name).read_text("utf-8")


def kinds_of_words() -> tuple[str, ...]:
    """The classes that Pygments gives to words."""
    token = pytest.importorskip("pygments.token")
    return tuple(token.STANDARD_TYPES.values())


PAGES = ("page.html", "tutorial.html", "index.html", "course.js")
SHEETS = [
    Sheet(
        "stepper",
        "stepper.css",
        ("page.html", "picture.py", *SCRIPTS),
        (*get_args(Kind), *get_args(Over)),
    ),
    Sheet(
        "course",
        "course.css",
        (*PAGES, "pages.py", "prose.py", "formulas.py", "figures.py"),
        kinds_of_words(),
    ),
]
each_sheet = pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.package)


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


def rules_of(sheet: Sheet) -> list[tuple[str, list[Any]]]:
    tokens = tinycss2.parse_stylesheet(sheet.style, skip_comments=True, skip_whitespace=True)
    return list(rules(tokens))


@each_sheet
def test_every_declaration_parses_and_stands_once(sheet):
    assert len(rules_of(sheet)) > 80
    for selector, declarations in rules_of(sheet):
        assert all(d.type == "declaration" for d in declarations), (selector, declarations)
        names = [d.lower_name for d in declarations]
        assert names and len(set(names)) == len(names), selector


@each_sheet
def test_every_variable_is_given(sheet):
    used = set(re.findall(r"var\((--[\w-]+)", sheet.style + sheet.source))
    given = {d.name for _, found in rules_of(sheet) for d in found if d.name[:2] == "--"}
    inline = set(re.findall(r"(--[\w-]+):", sheet.source))
    assert {name for name in used if not name.endswith("-")} <= given | inline


@each_sheet
def test_every_selector_selects_something(sheet):
    """Each class and id is one that the page, the picture or a script writes."""
    for selector, _ in rules_of(sheet):
        for name in re.findall(r"[.#]([a-z][\w-]*)", selector):
            written = re.search(rf"\b{name}\b", sheet.source)
            assert name in sheet.others or written, selector
