"""Kernels that are not on disk yet, compiled by several processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence

from tinygradrnn.compiler.fused.cache import folder, module, on_disk

FEWEST = 4  # kernels for which it is worth to start a process
START = 6000  # characters of source that are compiled in the time in which a process starts
EACH = 1000  # of them that each kernel costs besides its own
CHILD = """
import json, sys
from pathlib import Path
sys.path[:], place, texts = json.load(sys.stdin)
from tinygradrnn.compiler.fused import cache
cache.folder = lambda: Path(place)
for text in texts:
    cache.module(text)
"""


def compile_missing(texts: Sequence[str], processes: int) -> None:
    """Compile the sources that no process has compiled before, so that they need only be loaded.

    If a process cannot be started or fails, what it should have compiled is left to be compiled
    when it is loaded.
    """
    missing = [text for text in dict.fromkeys(texts) if not on_disk(text)]
    if len(missing) < FEWEST or processes < 2 or getattr(sys, "frozen", False):
        return
    mine, *others = shares(missing, min(processes, len(missing) // 2))
    children = [child for share in others if (child := start(share)) is not None]
    try:
        for text in mine:
            module(text)
        for child in children:
            child.wait()
    finally:
        for child in children:
            child.kill()


def shares(texts: Sequence[str], count: int) -> list[list[str]]:
    """The sources for each process, the one that is running already first."""
    found: list[list[str]] = [[] for _ in range(count)]
    loads = [0] + [START] * (count - 1)
    for text in sorted(texts, key=len, reverse=True):
        least = loads.index(min(loads))
        found[least].append(text)
        loads[least] += EACH + len(text)
    return found


def start(texts: Sequence[str]) -> subprocess.Popen[str] | None:
    """A process that compiles."""
    if not texts:
        return None
    try:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError:
        return None
    assert child.stdin is not None
    with child.stdin as given:
        json.dump([sys.path, str(folder()), list(texts)], given)
    return child
