"""Stopping a training run with Ctrl-C without losing what it learned."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """Whether to stop; true once Ctrl-C was pressed.

    Pressed again, it ends the program at once.
    """

    def __init__(self) -> None:
        self.asked = False

    def __bool__(self) -> bool:
        return self.asked

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def stop_on_interrupt() -> Iterator[Stop]:
    """Turn Ctrl-C into a wish that the block looks at between two steps.

    A KeyboardInterrupt could come in the middle of an update and leave half of the weights old.
    """
    stop = Stop()
    before = signal.getsignal(signal.SIGINT)
    ignored = before is signal.SIG_IGN  # as in a job that a shell script put into the background
    if ignored or threading.current_thread() is not threading.main_thread():
        yield stop  # nobody can press it, or only the main thread could notice
        return
    signal.signal(signal.SIGINT, stop)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
