"""Telling how far the tutorials are: a bar on a terminal, a line for each elsewhere."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tinygradrnn.course.parsing import Tutorial

Progress = Callable[[Tutorial, int], None]
"""Told before every cell which tutorial runs, and how many of its cells are done."""


@contextmanager
def progress(tutorials: Sequence[Tutorial]) -> Iterator[Progress]:
    """Show on the standard error output how far the running of some tutorials is."""
    if not (sys.stderr.isatty() and os.environ.get("TERM") != "dumb"):
        yield _line
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(bar_width=30), TextColumn("{task.description}"), TimeElapsedColumn())
    behind: dict[str, int] = {}  # the cells of all before each
    total = 0
    for tutorial in tutorials:
        behind[tutorial.name] = total
        total += len(tutorial.cells)
    # this very file: while a cell runs, sys.stderr is the page that is being made
    console = Console(file=sys.stderr)
    with Bar(*columns, console=console, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task("", total=total)

        def show(tutorial: Tutorial, done: int) -> None:
            what = f"{tutorial.number} · {tutorial.title}"
            bar.update(task, completed=behind[tutorial.name] + done, description=what)

        yield show
        bar.update(task, completed=total)


def _line(tutorial: Tutorial, done: int) -> None:
    if done == 0:
        print(f"{tutorial.number} · {tutorial.title}", file=sys.stderr, flush=True)
