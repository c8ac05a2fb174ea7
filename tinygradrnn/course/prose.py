"""Markdown and programs as HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from tinygradrnn.course import formulas

MATH = "math"  # the language of a block that holds a formula


class Heading(NamedTuple):
    """A heading of the second level: where it is, and what it says as HTML."""

    anchor: str
    html: str


class Prose:
    """Turns the markdown of one page into HTML.

    Parameters
    ----------
    pages : mapping of str to str
        Files that a link may name, and the pages that are linked instead.

    Attributes
    ----------
    headings : list of Heading
        In order, those so far.
    """

    def __init__(self, pages: Mapping[str, str]) -> None:
        self.headings: list[Heading] = []
        self._state = {"headings": self.headings, "pages": pages}
        self._markdown = MarkdownIt("commonmark", {"html": False}, renderer_cls=_Renderer)
        self._markdown.enable("table")

    def html(self, source: str) -> str:
        """A page's next piece of prose."""
        rendered: str = self._markdown.render(source, self._state)
        return rendered

    def inline(self, source: str) -> str:
        """A paragraph without its element, to be put into another one."""
        rendered: str = self._markdown.renderInline(source, self._state)
        return rendered


def program(source: str) -> str:
    """A program with its words marked by their kinds, in the classes of Pygments."""
    marked: str = highlight(source, PythonLexer(), HtmlFormatter(nowrap=True))
    return f'<pre class="program"><code>{marked.rstrip()}</code></pre>\n'


class _Renderer(RendererHTML):
    """What differs from plain HTML: formulas, programs, wide tables, headings, links."""

    def fence(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        if token.info.strip() == MATH:
            return formulas.display(token.content)
        if token.info.strip() == "python":
            return program(token.content)
        return f'<pre class="plain"><code>{escape(token.content)}</code></pre>\n'

    def code_inline(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        text = tokens[idx].content
        if formulas.is_formula(text):
            return f'<span class="math">{formulas.inline(text)}</span>'
        return f"<code>{escape(text)}</code>"

    def heading_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token, content = tokens[idx], tokens[idx + 1]
        if token.tag != "h2":
            return f"<{token.tag}>"
        words = "-".join(re.findall(r"\w+", content.content.lower()))
        anchor, taken = words, {heading.anchor for heading in env["headings"]}
        while anchor in taken:
            anchor += "-again"
        html = self.renderInline(content.children or [], options, env)
        env["headings"].append(Heading(anchor, html))
        return f'<h2 id="{escape(anchor)}">'

    def link_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        token = tokens[idx]
        name = str(token.attrs.get("href", ""))
        token.attrs["href"] = env["pages"].get(name, name)
        return self.renderToken(tokens, idx, options, env)

    def table_open(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return '<div class="table">\n<table>\n'

    def table_close(self, tokens: Sequence[Token], idx: int, options: Any, env: Any) -> str:
        return "</table>\n</div>\n"
