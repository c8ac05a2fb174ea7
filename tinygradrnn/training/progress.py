"""Telling how training goes: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tinygradrnn.training.trainer import Record

Show = Callable[[Record], None]

RECENT = 40  # a fortieth of the steps is averaged: the loss of a single batch jumps about
PAUSE = 10.0  # seconds between lines


@contextmanager
def progress(total: int) -> Iterator[Show]:
    """Show records on the standard error output: bits per character, and the time left.

    Parameters
    ----------
    total : int
        How many steps there will be.
    """
    if sys.stderr and sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        with _bar(total) as show:
            yield show
    else:
        yield _lines(total)


@contextmanager
def _bar(total: int) -> Iterator[Show]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    message = Message(total)
    columns = [MofNCompleteColumn(), BarColumn(bar_width=30), TextColumn("{task.description}")]
    with Progress(*columns, TimeLeft(), TextColumn("left"), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=total)
        yield lambda record: bar.update(task, completed=record.step, description=message(record))


def _lines(total: int) -> Show:
    message = Message(total)
    said = 0.0

    def show(record: Record) -> None:
        nonlocal said
        text = message(record)
        if record.held_out is None and record.seconds < said + PAUSE:
            return
        said = record.seconds
        left = record.seconds / record.step * (total - record.step)
        print(f"step {record.step}/{total}  {text}  {left:.0f} s left", file=sys.stderr, flush=True)

    return show


class Message:
    """The bits per character so far, in words: the mean of the latest batches, and the held-out.

    Parameters
    ----------
    total : int
        How many steps there will be.
    """

    def __init__(self, total: int) -> None:
        self.recent: deque[float] = deque(maxlen=max(1, total // RECENT))
        self.held_out = ""

    def __call__(self, record: Record) -> str:
        self.recent.append(record.training)
        if record.held_out is not None:
            self.held_out = f", held-out {record.held_out:.2f}"
        return f"training {sum(self.recent) / len(self.recent):.2f}{self.held_out} bits/character"
