"""Threads that help with kernels: one for each core but that of the thread that calls."""

from __future__ import annotations

import atexit
import ctypes
import os
from functools import cache
from threading import Lock, RLock, Semaphore, Thread
from typing import Any

import numpy as np

from tinygradrnn.compiler.fused import cache as kernels
from tinygradrnn.compiler.fused.cache import Source, located, written
from tinygradrnn.compiler.fused.reading import Call
from tinygradrnn.compiler.memory import address

PATIENCE = 200_000  # looks at the board, under a millisecond, before a helper goes to sleep


@cache
def native(name: str, arguments: int) -> Any:
    """A function of ``board``, compiled; others may run while it does."""
    form = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * arguments)
    return form(located(Source(written("native/board.py"), name)))


def cores() -> int:
    """How many threads are to work at once: ``NUMBA_NUM_THREADS``, else what there is."""
    from numba import config

    return int(vars(config)["NUMBA_NUM_THREADS"])


class Helper(Thread):
    """A thread that takes parts of kernels as long as there are some, then sleeps."""

    def __init__(self, board: int) -> None:
        super().__init__(name="tinygradrnn kernels", daemon=True)
        self.board = board
        self.door = Semaphore(0)
        self.asleep = self.ended = False
        self.start()

    def run(self) -> None:
        serve = native("serve", 2)
        while True:
            self.asleep = True
            self.door.acquire()
            if self.ended:
                return
            serve(self.board, PATIENCE)

    def wake(self) -> None:
        """Let it look at the board."""
        if self.asleep:
            self.asleep = False
            self.door.release()


class Team:
    """The helpers of this process, and the board that they look at."""

    def __init__(self) -> None:
        self.memory = np.zeros(4 * 64, np.uint8)
        self.board = address(self.memory) + -address(self.memory) % 64
        self.helpers: list[Helper] = []
        self.lock = Lock()
        self.share, self.alone = native("share", 2), native("alone", 1)

    def run(self, job: int, parts: int) -> None:
        """A kernel in parts; all in this thread while another one has the helpers."""
        if not self.lock.acquire(blocking=False):
            self.alone(job)
            return
        try:
            while len(self.helpers) < parts - 1:
                self.helpers.append(Helper(self.board))
            for helper in self.helpers[: parts - 1]:
                helper.wake()
            self.share(self.board, job)
        finally:
            self.lock.release()

    def stop(self) -> None:
        """End the helpers: no thread may look at the board after Python has gone."""
        for helper in self.helpers:
            helper.ended = True
            helper.door.release()
            helper.join()


def team() -> Team:
    """That of this process, also if two threads ask at once."""
    with kernels.LOCK:
        return _made()


@cache
def _made() -> Team:
    found = Team()
    atexit.register(found.stop)
    return found


def forget() -> None:
    """In a new process, which has none of the threads, be it one that held the lock."""
    kernels.LOCK = RLock()
    if _made.cache_info().currsize:
        atexit.unregister(_made().stop)
        _made.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)


def together(job: int, parts: int) -> None:
    """Run a kernel on several threads."""
    team().run(job, parts)


def call(job: int, parts: int) -> Call:
    """A kernel as a call of a plan; the job is described in ``board``."""
    if parts > 1:
        return together, (job, parts)
    return native("alone", 1), (job,)
