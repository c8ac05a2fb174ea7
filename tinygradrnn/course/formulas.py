"""Formulas that are written in plain text, set as in a textbook.

A letter that stands alone is a variable, and slanted; names such as tanh stand upright. What is
aligned by spaces in the source stays aligned, though letters are no longer equally wide.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from itertools import groupby

GAP = re.compile(r"(?<=\S) {3,}")  # between columns
VARIABLE = re.compile(r"(?<![A-Za-z&])[A-Za-zα-ω](?![A-Za-z])")
NAME = re.compile(r"[A-Za-z]{2}_[A-Za-z]{2}|[A-Za-z]\.[a-z]{2}")  # as in a program
ONE = r"(?<![A-Za-z_])[A-Za-z](?:_(?:[A-Za-z]|\d+))?(?![A-Za-z_])"  # such as x, x_T, x_1000
LETTERS_AND_SIGNS = re.compile(rf"(?!-)(?=.*[A-Za-z])(?:{ONE}|[\s=+\-/<>()\d.,])+")


def is_formula(text: str) -> bool:
    """Whether what stands between backticks is a formula: `∂L/∂W` or `x = 2`, not `loss.sum()`."""
    if text.replace("…", "").isascii():
        plain = LETTERS_AND_SIGNS.fullmatch(text)
        return plain is not None and not re.search(r"[+\-/=<>]{2}", text)
    return not NAME.search(text)


def inline(text: str) -> str:
    """A formula within a line, as HTML."""
    return VARIABLE.sub(lambda found: f"<i>{found[0]}</i>", escape(text, quote=False))


def display(text: str) -> str:
    """A formula of one or more lines, as HTML."""
    above = ""
    rows = []
    for line in text.rstrip("\n").split("\n"):
        rows.append(_columns(line, above))
        above = line if not line.startswith(" ") else above[: _indent(line)] + line.lstrip()
    parts = [
        "".join(_table(list(group)) if aligned else _lines(group))
        for aligned, group in groupby(rows, key=lambda row: len(row) > 1)
    ]
    label = escape(text.strip())
    return f'<div class="formula" role="math" aria-label="{label}">{"".join(parts)}</div>\n'


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _columns(line: str, above: str) -> list[str]:
    """The columns of a line; what it is indented by is as wide as what stands above it there."""
    first, *others = GAP.split(line)
    hidden = f'<span class="indent">{inline(above[: _indent(first)])}</span>'
    indented = hidden + inline(first.lstrip()) if first.startswith(" ") else inline(first)
    return [indented, *map(inline, others)]


def _table(rows: list[list[str]]) -> Iterator[str]:
    yield '<table role="presentation">'
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    yield "</table>"


def _lines(rows: Iterator[list[str]]) -> Iterator[str]:
    for (line,) in rows:
        yield f"<div>{line or '&nbsp;'}</div>"
