"""Running a tutorial cell by cell, as a notebook does, in a namespace of its own."""

from __future__ import annotations

import ast
import io
import linecache
import random
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Literal

import numpy as np

from tinygradrnn.backend import get_backend, use_backend
from tinygradrnn.course.parsing import Cell, Tutorial
from tinygradrnn.course.showing import Receiver, Shown, as_shown, received_by
from tinygradrnn.seeds import manual_seed

TYPED = "<typed>"


class Session:
    """A tutorial that is being run: the names that its cells have defined so far.

    Parameters
    ----------
    tutorial : Tutorial
    receiver : function of a Shown
        Gets the pictures and pages that are shown.
    """

    def __init__(self, tutorial: Tutorial, receiver: Receiver) -> None:
        self.file = tutorial.path.name
        self.receiver = receiver
        self.module = ModuleType("__main__")
        self.module.__file__ = str(tutorial.path)
        self.displayed = 0
        # so that tracebacks and pages show the lines, wherever on the disk they are
        text = tutorial.path.read_text("utf-8")
        linecache.cache[self.file] = len(text), None, text.splitlines(True), self.file

    def run(self, cell: Cell) -> None:
        """Run a cell, and display its last expression; what it raises is raised."""
        # the empty lines make the line numbers of a traceback those of the file
        self._execute(ast.parse("\n" * (cell.line - 1) + cell.source, self.file), self.file)

    def run_line(self, line: str) -> None:
        """Run what the reader typed."""
        self._execute(ast.parse(line, TYPED), TYPED)

    def _execute(self, tree: ast.Module, file: str) -> None:
        last = tree.body[-1] if tree.body else None
        shown = tree.body.pop() if isinstance(last, ast.Expr) else None
        names = self.module.__dict__
        with received_by(self.receiver), _as_main(self.module):
            exec(compile(tree, file, "exec", dont_inherit=True), names)
            if isinstance(shown, ast.Expr):
                last_line = ast.Expression(shown.value)
                self._display(eval(compile(last_line, file, "eval", dont_inherit=True), names))

    def _display(self, value: Any) -> None:
        if value is None:
            return
        picture = as_shown(value, f"displayed-{self.displayed + 1}")
        if picture is None:
            print(repr(value))
        else:
            self.displayed += 1
            self.receiver(picture)


@contextmanager
def _as_main(module: ModuleType) -> Iterator[None]:
    """Let classes and dataclasses find the module that they are defined in, as in a script."""
    before = sys.modules["__main__"]
    sys.modules["__main__"] = module
    try:
        yield
    finally:
        sys.modules["__main__"] = before


@contextmanager
def isolated() -> Iterator[None]:
    """Random numbers that begin anew; the active backend is afterwards what it was before."""
    backend = get_backend()
    manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    try:
        yield
    finally:
        if get_backend() is not backend:
            use_backend(backend)


def traceback_of(error: BaseException, tutorial: Tutorial) -> str:
    """The traceback from the cell on, without the frames of what ran it."""
    below = error.__traceback__
    while below and below.tb_frame.f_code.co_filename not in (tutorial.path.name, TYPED):
        below = below.tb_next
    return "".join(traceback.format_exception(type(error), error, below)).rstrip()


# ------------------------------------------------------------- from the first cell to the last


@dataclass(frozen=True)
class Printed:
    """Text that a cell wrote."""

    text: str
    stream: Literal["out", "err"] = "out"


@dataclass(frozen=True)
class Failed:
    """How a cell failed."""

    text: str


Output = Printed | Shown | Failed


@dataclass
class Executed:
    """A tutorial after it has run.

    Attributes
    ----------
    outputs : dict of int to list of Output
        By the position of the cell; of those that have run.
    failure : str or None
        Which cell failed, and with what; those behind it have not run.
    """

    tutorial: Tutorial
    outputs: dict[int, list[Output]] = field(default_factory=dict)
    failure: str | None = None
    seconds: float = 0.0

    def shown(self) -> list[Shown]:
        """All pictures and pages, in order."""
        return [each for made in self.outputs.values() for each in made if isinstance(each, Shown)]


class _Writer(io.TextIOBase):
    """A file whose text goes to a list of outputs."""

    def __init__(self, outputs: list[Output], stream: Literal["out", "err"]) -> None:
        self.outputs, self.stream = outputs, stream

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        last = self.outputs[-1] if self.outputs else None
        if isinstance(last, Printed) and last.stream == self.stream:
            self.outputs[-1] = Printed(last.text + text, self.stream)
        elif text:
            self.outputs.append(Printed(text, self.stream))
        return len(text)


def execute(tutorial: Tutorial, progress: Callable[[int], None] = lambda done: None) -> Executed:
    """Run a whole tutorial, solutions included, and keep what its cells wrote and showed.

    Parameters
    ----------
    tutorial : Tutorial
    progress : function of int, optional
        Called before every cell with how many are done.
    """
    done = Executed(tutorial)
    started = time.perf_counter()
    current: list[Output] = []
    session = Session(tutorial, lambda shown: current.append(_unique(shown, done)))
    with isolated():
        for place, cell in enumerate(tutorial.cells):
            progress(place)
            if cell.kind != "code":
                continue
            current = done.outputs[place] = []
            try:
                out, err = _Writer(current, "out"), _Writer(current, "err")
                with redirect_stdout(out), redirect_stderr(err):
                    session.run(cell)
            except (Exception, SystemExit) as error:
                current.append(Failed(traceback_of(error, tutorial)))
                what = f"{type(error).__name__}: {error}"
                done.failure = f"{tutorial.path.name}, cell at line {cell.line}: {what}"
                break
    done.seconds = time.perf_counter() - started
    return done


def _unique(shown: Shown, done: Executed) -> Shown:
    if any(other.name == shown.name for other in done.shown()):
        raise ValueError(f"show: name {shown.name!r} is used twice in this tutorial")
    return shown
