"""A tutorial in the terminal: read, press Enter, see what the cell does."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Protocol

from tinygradrnn.course.parsing import Cell, Tutorial
from tinygradrnn.course.running import Session, isolated, traceback_of
from tinygradrnn.course.showing import Shown, output_folder

INTERRUPTED = 130
WIDTH = 96  # columns; longer lines are hard to read
LEAVE = ("q", "quit", "exit", "quit()", "exit()")
KEYS = {
    "Enter": "run the cell and go on",
    "s": "show and run the solution of an exercise",
    "b": "back to the cell before",
    "q": "quit, as do Ctrl-D and Ctrl-C",
    "?": "these keys",
    "else": "what is typed runs as Python, with the names that the cells have defined",
}


@dataclass(frozen=True)
class Stop:
    """Where the reader is asked: what is read before, and the cell that then runs, if one does."""

    prose: tuple[Cell, ...]
    code: Cell | None

    @property
    def is_exercise(self) -> bool:
        """Whether the cell is a solution, which is shown only when it is asked for."""
        return self.code is not None and self.code.tag == "solution"

    @property
    def action(self) -> str:
        """What Enter does here."""
        if self.code is None:
            return "Enter ends"
        return "Enter goes on, s shows the solution" if self.is_exercise else "Enter runs it"


def stops(tutorial: Tutorial) -> list[Stop]:
    """The cells, a code cell at a time; a last stop for the prose at the end."""
    found: list[Stop] = []
    prose: list[Cell] = []
    for cell in tutorial.cells:
        if cell.kind == "prose":
            prose.append(cell)
        else:
            found.append(Stop(tuple(prose), cell))
            prose = []
    return [*found, Stop(tuple(prose), None)]


class Page(Protocol):
    """How prose, programs and notes are put on the screen."""

    def prose(self, markdown: str) -> None: ...
    def code(self, source: str) -> None: ...
    def file(self, path: Path, caption: str | None) -> None: ...
    def failure(self, text: str) -> None: ...
    def note(self, text: str) -> None: ...
    def ask(self, text: str) -> str: ...


class PlainPage:
    """Text as it is written: for files, pipes, and terminals that can do no more."""

    def prose(self, markdown: str) -> None:
        print(f"{markdown}\n")

    def code(self, source: str) -> None:
        print("\n".join(f"    {line}".rstrip() for line in source.splitlines()) + "\n")

    def file(self, path: Path, caption: str | None) -> None:
        print(path if caption is None else f"{path}: {caption}")

    def failure(self, text: str) -> None:
        print(text)

    def note(self, text: str) -> None:
        print(text)

    def ask(self, text: str) -> str:
        print(f"{text} > ", end="" if sys.stdin.isatty() else "\n", flush=True)
        return input()


class RichPage:
    """Text in colours, and in lines of a readable length."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.theme import Theme

        self.console = Console(highlight=False, theme=Theme({"markdown.code": "cyan"}))

    def prose(self, markdown: str) -> None:
        self.console.print(_markdown(markdown), width=min(self.console.width, WIDTH))
        self.console.print()

    def code(self, source: str) -> None:
        from rich.padding import Padding
        from rich.syntax import Syntax

        lines = Syntax(
            source, "python", theme="ansi_dark", background_color="default", word_wrap=True
        )
        self.console.print(Padding(lines, (0, 0, 1, 4)))

    def file(self, path: Path, caption: str | None) -> None:
        link = f"bold cyan link {path.resolve().as_uri()}"
        self._print(str(path), link)
        if caption is not None:
            self._print(caption, "italic")

    def failure(self, text: str) -> None:
        self._print(text, "red")

    def note(self, text: str) -> None:
        self._print(text, "dim")

    def ask(self, text: str) -> str:
        self._print(f"{text} › ", "dim", end="" if sys.stdin.isatty() else "\n")
        return input()

    def _print(self, text: str, style: str, end: str = "\n") -> None:
        from rich.text import Text

        self.console.print(Text(text, style=style), soft_wrap=True, end=end)


def _markdown(source: str) -> Any:
    """Markdown for the terminal, with headings on the left and formulas as they are written."""
    from rich.markdown import CodeBlock, Heading, Markdown
    from rich.padding import Padding
    from rich.text import Text

    class LeftHeading(Heading):
        def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
            style = "bold underline" if self.tag == "h1" else "bold"
            yield Padding(
                Text(self.text.plain, style=style), (0 if self.tag == "h1" else 1, 0, 0, 0)
            )

    class Formula(CodeBlock):
        def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
            if self.lexer_name == "math":
                text = Text(str(self.text).rstrip(), style="bold")
                yield Padding(text, (0, 0, 0, 6))
            else:
                yield from super().__rich_console__(console, options)

    class Prose(Markdown):
        elements: ClassVar = {**Markdown.elements, "heading_open": LeftHeading, "fence": Formula}

    return Prose(source, code_theme="ansi_dark")


def walk(tutorial: Tutorial) -> int:
    """Step through a tutorial.

    Reads what the reader types from the standard input, which may be a pipe.

    Returns
    -------
    int
        0, or 130 after Ctrl-C.
    """
    rich = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    reader = Walk(tutorial, RichPage() if rich else PlainPage())
    with isolated():
        return reader.run()


class Walk:
    """A reader's way through a tutorial."""

    def __init__(self, tutorial: Tutorial, page: Page) -> None:
        self.tutorial, self.page = tutorial, page
        self.stops = stops(tutorial)
        self.session = Session(tutorial, self._receive)
        self.folder = output_folder(str(tutorial.path))
        self.written: dict[Path, None] = {}

    def run(self) -> int:
        """Go from stop to stop; say in the end what was written."""
        self._say_keys()
        place: int | None = 0
        status = 0
        try:
            while place is not None and place < len(self.stops):
                place = self._visit(place)
        except (EOFError, KeyboardInterrupt) as end:
            status = INTERRUPTED if isinstance(end, KeyboardInterrupt) else 0
            place = None
            self.page.note("")  # what follows stands on a line of its own
        where = "Left before the end" if place is None else "The end"
        self.page.note(f"{where} of {self.tutorial.number} · {self.tutorial.title}.")
        names = ", ".join(path.name for path in self.written)
        self.page.note(f"Written to {self.folder}: {names}" if names else "Nothing was written.")
        return status

    def _visit(self, place: int) -> int | None:
        """Show a stop, do what is typed there, and return which comes next; None to leave."""
        stop = self.stops[place]
        for cell in stop.prose:
            self.page.prose(cell.source)
        if stop.code is not None and not stop.is_exercise:
            self.page.code(stop.code.source)
        while True:
            typed = self.page.ask(f"{place + 1}/{len(self.stops)} {stop.action}").strip()
            if typed == "b":
                return max(place - 1, 0)
            if typed in LEAVE:
                return None
            if typed == "?":
                self._say_keys()
            elif typed == "s" and stop.is_exercise and stop.code is not None:
                self.page.code(stop.code.source)
                self._run(partial(self.session.run, stop.code))
                return place + 1
            elif typed:
                self._run(partial(self.session.run_line, typed))
            else:
                if stop.code is not None and not stop.is_exercise:
                    self._run(partial(self.session.run, stop.code))
                return place + 1

    def _run(self, cell: Callable[[], None]) -> None:
        try:
            cell()
        except (Exception, SystemExit) as error:
            self.page.failure(traceback_of(error, self.tutorial))
        print(flush=True)

    def _receive(self, shown: Shown) -> None:
        path = shown.save(self.folder)
        self.written[path] = None
        self.page.file(path, shown.caption)

    def _say_keys(self) -> None:
        self.page.note("".join(f"{key:>8}  {what}\n" for key, what in KEYS.items()))
