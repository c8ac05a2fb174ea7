"""A tutorial that has run, as one page that loads nothing; and the page that lists them all."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple

from tinygradrnn.course.figures import figure, picture
from tinygradrnn.course.parsing import Cell, Tutorial
from tinygradrnn.course.prose import Heading, Prose, program
from tinygradrnn.course.running import Executed, Failed, Output, Printed
from tinygradrnn.stepper.picture import style_variables

HOME = "index.html"
COURSE = "Recurrent networks from the inside"


@dataclass(frozen=True)
class Place:
    """Where a page stands in a site.

    Attributes
    ----------
    tutorials : sequence of Tutorial
        All of the site, in order; empty for a page that stands alone.
    """

    tutorials: Sequence[Tutorial] = field(default=())

    @property
    def pages(self) -> dict[str, str]:
        """The page of every tutorial, by the name of its file."""
        return {tutorial.path.name: page_name(tutorial) for tutorial in self.tutorials}

    def neighbours(self, tutorial: Tutorial) -> tuple[Tutorial | None, Tutorial | None]:
        """The tutorials before and after one."""
        names = [other.name for other in self.tutorials]
        if tutorial.name not in names:
            return None, None
        here = names.index(tutorial.name)
        around = [None, *self.tutorials, None]
        return around[here], around[here + 2]


class Entry(NamedTuple):
    """A line of the list of tutorials: its picture is the first one that it shows."""

    tutorial: Tutorial
    image: str


def page_name(tutorial: Tutorial) -> str:
    """The file of a tutorial's page."""
    return f"{tutorial.name}.html"


def own_page(tutorial: Tutorial, name: str) -> str:
    """The file of a stepping page that a tutorial shows, beside the tutorial's page."""
    return f"{tutorial.name}/{name}.html"


def tutorial_page(done: Executed, place: Place | None = None) -> str:
    """The page of a tutorial: prose, programs, and beneath each what it printed and showed.

    Parameters
    ----------
    done : Executed
    place : Place, optional
        Within a site; without, the page stands alone.
    """
    tutorial, place = done.tutorial, place or Place()
    prose = Prose(place.pages)
    in_site = bool(place.tutorials)
    article = "".join(_cells(done, prose, in_site))
    shown = done.shown()
    hashes = _hashes_of(each.content.decode() for each in shown if each.suffix == ".html")
    return _page(
        "tutorial.html",
        f"{tutorial.number} · {tutorial.title}",
        hashes,
        number=tutorial.number,
        heading=prose.inline(tutorial.title),
        minutes=escape(tutorial.minutes),
        home=f'<a href="{HOME}">{COURSE}</a>' if in_site else "<span>tinygradrnn</span>",
        contents=_contents(prose.headings),
        article=article,
        around=_around(*place.neighbours(tutorial), prose),
    )


def index_page(entries: Sequence[Entry]) -> str:
    """The page that lists the tutorials of a site."""
    prose = Prose({})
    return _page(
        "index.html",
        COURSE,
        [],
        heading=COURSE,
        first=entries[0].tutorial.number,
        cards="".join(_card(entry, prose) for entry in entries),
    )


def entry(done: Executed) -> Entry:
    """The line of a tutorial that has run in the list."""
    images = [each for each in done.shown() if each.suffix in (".svg", ".png")]
    return Entry(done.tutorial, picture(images[0]) if images else "")


def _page(template: str, title: str, hashes: Iterable[str], **parts: str) -> str:
    script = _file("course.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    scripts = " ".join(f"'{each}'" for each in dict.fromkeys([f"sha256-{digest}", *hashes]))
    policy = (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {scripts}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Template(_file("page.html")).substitute(
        policy=policy,
        title=escape(title),
        style=style_variables() + _file("course.css"),
        body=Template(_file(template)).substitute(parts),
        script=script,
    )


def _file(name: str) -> str:
    return files("tinygradrnn.course").joinpath(name).read_text("utf-8")


def _hashes_of(pages: Iterable[str]) -> list[str]:
    """The scripts of pages in frames: they are under the policy of the page around them too."""
    return [each for page in pages for each in re.findall(r"script-src '(sha256-[^']+)'", page)]


def _cells(done: Executed, prose: Prose, in_site: bool) -> Iterable[str]:
    """The cells, an exercise in one piece with its solution."""
    cells = done.tutorial.cells
    headed = any(re.search(r"^## Exercises$", cell.source, re.MULTILINE) for cell in cells)
    yield prose.html(cells[0].source.partition("\n")[2])
    for place, cell in enumerate(cells[1:], 1):
        html = prose.html(cell.source) if cell.kind == "prose" else ""
        if cell.kind == "code":
            html = _code(cell, done.outputs.get(place), done.tutorial, in_site)
        if cell.tag == "exercise":
            if not headed:
                yield prose.html("## Exercises")
                headed = True
            html = f'<section class="exercise">\n{html}'
        if cell.tag == "solution":
            html = f"<details>\n<summary>Solution</summary>\n{html}</details>\n</section>\n"
        yield html


def _code(cell: Cell, outputs: Sequence[Output] | None, tutorial: Tutorial, in_site: bool) -> str:
    made = "".join(_output(each, tutorial, in_site) for each in outputs or ())
    if outputs is None:
        made = '<p class="note">This cell did not run.</p>\n'
    return f'<div class="cell">\n{program(cell.source)}{made}</div>\n'


def _output(output: Output, tutorial: Tutorial, in_site: bool) -> str:
    if isinstance(output, Printed):
        text = escape(_as_seen(output.text))
        kind = "printed" if output.stream == "out" else "printed aside"
        return f'<pre class="{kind}"><samp>{text}</samp></pre>\n'
    if isinstance(output, Failed):
        return f'<pre class="failed"><samp>{escape(output.text)}</samp></pre>\n'
    return figure(output, own_page(tutorial, output.name) if in_site else None)


def _as_seen(text: str) -> str:
    """Text as a terminal shows it: what follows a carriage return is written over the line."""
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")).rstrip()


def _contents(headings: Sequence[Heading]) -> str:
    return "".join(
        f'<li><a href="#{escape(each.anchor)}">{each.html}</a></li>\n' for each in headings
    )


def _around(before: Tutorial | None, after: Tutorial | None, prose: Prose) -> str:
    links = []
    for kind, other in (("prev", before), ("next", after)):
        if other is not None:
            words = "Before" if kind == "prev" else "Next"
            links.append(
                f'<a rel="{kind}" href="{page_name(other)}"><span>{words}</span> '
                f"{other.number} · {prose.inline(other.title)}</a>\n"
            )
    return "".join(links)


def _card(entry: Entry, prose: Prose) -> str:
    tutorial = entry.tutorial
    return (
        f'<li class="card">\n<a href="{page_name(tutorial)}">\n'
        f'<span class="thumbnail" aria-hidden="true">{entry.image}</span>\n'
        f'<span class="number">{tutorial.number}</span>\n'
        f'<span class="name">{prose.inline(tutorial.title)}</span></a>\n'
        f"<p>{prose.inline(tutorial.summary)}</p>\n"
        f'<p class="minutes">{escape(tutorial.minutes)} minutes</p>\n</li>\n'
    )
