"""Tutorials as they are written: Python files of cells that ``# %%`` begins (percent format)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

MARKER = re.compile(r'# %%(?P<prose> \[markdown\])?(?: tags=\["(?P<tag>\w+)"\])?')
TITLE = re.compile(r"# (?P<number>\d\d) · (?P<title>\S.*)")
WORDS = {"five": "5", "ten": "10", "fifteen": "15", "twenty": "20"}
MINUTES = re.compile(rf"(\d+(?:[–-]\d+)?|{'|'.join(WORDS)})\s+minutes", re.IGNORECASE)
FILE_NAME = re.compile(r"(?P<number>\d\d)_\w+\.py")
TAGS = {"exercise": "prose", "solution": "code"}
"""Each tag, and the kind of cell that it stands on."""


class TutorialError(Exception):
    """What is wrong with a tutorial, and where."""


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes
    ----------
    kind : "prose" or "code"
    source : str
        Markdown, or a program.
    line : int
        Where the source begins in the file.
    tag : "exercise", "solution" or None
    """

    kind: str
    source: str
    line: int
    tag: str | None = None


@dataclass(frozen=True)
class Tutorial:
    """A tutorial: where it is, and its cells."""

    path: Path
    cells: tuple[Cell, ...]

    @property
    def name(self) -> str:
        """What its file is called, such as "03_recurrence"."""
        return self.path.stem

    @property
    def number(self) -> str:
        """Two digits."""
        return self.name[:2]

    @cached_property
    def title(self) -> str:
        """The title, without its number."""
        found = TITLE.match(self.cells[0].source)
        assert found is not None  # or it would not have been parsed
        return found["title"].strip()

    @property
    def minutes(self) -> str:
        """How long it takes, such as "15" or "10–20"."""
        found = MINUTES.search(self.cells[0].source)
        assert found is not None  # or it would not have been parsed
        number = found[1].lower()
        return WORDS.get(number, number).replace("-", "–")

    @property
    def summary(self) -> str:
        """The first paragraph, as markdown."""
        after_title = self.cells[0].source.partition("\n")[2].strip()
        return " ".join(after_title.split("\n\n")[0].split())


def read_tutorial(path: Path) -> Tutorial:
    """Read a tutorial from its file.

    Raises
    ------
    TutorialError
        If it is not of the form that tutorials have; the message names the file and the line.
    """
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise TutorialError(f"{path}: is not UTF-8 text ({error})") from None
    return parse(text, path)


def parse(text: str, path: Path) -> Tutorial:
    """Make a tutorial of the text of its file; see :func:`read_tutorial`."""
    cells = tuple(_cell(path, *each) for each in _split(text.splitlines(), path))
    _check_first(cells, path)
    _check_exercises(cells, path)
    return Tutorial(path, cells)


def _wrong(path: Path, line: int, what: str) -> TutorialError:
    return TutorialError(f"{path}, line {line}: {what}")


def _split(lines: Sequence[str], path: Path) -> Iterator[tuple[int, re.Match[str], Sequence[str]]]:
    """The number, the marker, and the lines below it, of each cell."""
    starts = [n for n, line in enumerate(lines, 1) if re.match(r"#\s*%%", line)]
    before = [n for n, line in enumerate(lines, 1) if line.strip() and n < min([*starts, n + 1])]
    if before:
        raise _wrong(path, before[0], "stands before the first cell; a tutorial begins with # %%")
    if not starts:
        raise TutorialError(f"{path}: has no cells; each begins with a line # %%")
    for start, end in zip(starts, [*starts[1:], len(lines) + 1], strict=True):
        marker = MARKER.fullmatch(lines[start - 1].rstrip())
        if marker is None:
            raise _wrong(
                path,
                start,
                f"{lines[start - 1]!r} does not begin a cell; write '# %%' or '# %% [markdown]', "
                "then perhaps ' tags=[\"exercise\"]' or ' tags=[\"solution\"]'",
            )
        yield start, marker, lines[start : end - 1]


def _cell(path: Path, start: int, marker: re.Match[str], lines: Sequence[str]) -> Cell:
    kind, tag = "prose" if marker["prose"] else "code", marker["tag"]
    if tag is not None and TAGS.get(tag) != kind:
        known = ", ".join(f"{name!r} (on {of})" for name, of in TAGS.items())
        raise _wrong(path, start, f"tag {tag!r} on a {kind} cell; there are {known}")
    filled = [n for n, line in enumerate(lines) if line.strip()]
    if not filled:
        raise _wrong(path, start, "the cell is empty")
    lines, first = lines[filled[0] : filled[-1] + 1], start + 1 + filled[0]
    if kind == "prose":
        source = "\n".join(_prose(path, first + n, line) for n, line in enumerate(lines))
    else:
        source = "\n".join(lines)
        _check_syntax(source, path, first)
    return Cell(kind, source, first, tag)


def _prose(path: Path, number: int, line: str) -> str:
    if line.rstrip() != "#" and not line.startswith("# "):
        raise _wrong(path, number, f"prose must stand behind '# ', got {line!r}")
    return line[2:].rstrip()


def _check_syntax(source: str, path: Path, first: int) -> None:
    try:
        compile("\n" * (first - 1) + source, str(path), "exec")
    except SyntaxError as error:
        raise _wrong(path, error.lineno or first, f"{error.msg}, in a code cell") from None


def _check_first(cells: Sequence[Cell], path: Path) -> None:
    """The first cell says what it is and how long it takes."""
    named, first = FILE_NAME.fullmatch(path.name), cells[0]
    if named is None:
        raise TutorialError(f"{path}: a tutorial's file is called as in 03_recurrence.py")
    titled = TITLE.match(first.source) if first.kind == "prose" else None
    if titled is None or titled["number"] != named["number"]:
        raise _wrong(
            path,
            first.line,
            f"the first cell must be prose that begins '# # {named['number']} · Title'",
        )
    if not MINUTES.search(first.source):
        raise _wrong(
            path, first.line, "the first cell must say how long it takes, as in '15 minutes'"
        )


def _check_exercises(cells: Sequence[Cell], path: Path) -> None:
    """Right behind every exercise stands its solution."""
    for cell, after in zip(cells, [*cells[1:], None], strict=True):
        if cell.tag == "exercise" and (after is None or after.tag != "solution"):
            raise _wrong(path, cell.line, "the cell after an exercise must be its solution")
    for before, cell in zip([None, *cells[:-1]], cells, strict=True):
        if cell.tag == "solution" and (before is None or before.tag != "exercise"):
            raise _wrong(path, cell.line, "a solution must stand right behind its exercise")
