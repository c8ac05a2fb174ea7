"""The course as a web site: all pages, and the one that lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tinygradrnn.checkpoint import write_atomically
from tinygradrnn.course.pages import (
    HOME,
    Entry,
    Place,
    entry,
    index_page,
    own_page,
    page_name,
    tutorial_page,
)
from tinygradrnn.course.parsing import Tutorial
from tinygradrnn.course.progress import Progress
from tinygradrnn.course.running import Executed, execute


def write_page(done: Executed, path: Path) -> Path:
    """Write the page of a tutorial that has run; it needs no other file."""
    return _write(path, tutorial_page(done))


@dataclass
class Site:
    """A site that is being built, page by page.

    Attributes
    ----------
    written : list of Path
        The pages of tutorials so far.
    failures : list of str
        Which cells failed.
    """

    folder: Path
    tutorials: Sequence[Tutorial]
    written: list[Path] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def build(self, progress: Progress) -> None:
        """Run the tutorials, write their pages, and in any event a page that lists them."""
        home, entries = self.folder / HOME, list[Entry]()
        try:
            for tutorial in self.tutorials:
                done = execute(tutorial, partial(progress, tutorial))
                self._add(done)
                entries.append(entry(done))
        finally:
            # the list of a site that was built before still leads to all of its pages
            if len(entries) == len(self.tutorials) or (entries and not home.exists()):
                _write(home, index_page(entries))

    def _add(self, done: Executed) -> None:
        tutorial = done.tutorial
        for shown in done.shown():
            if shown.suffix == ".html":
                write_atomically(self.folder / own_page(tutorial, shown.name), shown.content)
        page = tutorial_page(done, Place(self.tutorials))
        self.written.append(_write(self.folder / page_name(tutorial), page))
        if done.failure is not None:
            self.failures.append(done.failure)


def _write(path: Path, page: str) -> Path:
    write_atomically(path, page.encode("utf-8", "replace"))  # a text may hold half a character
    return path
