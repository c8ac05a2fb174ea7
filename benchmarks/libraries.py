"""What libraries do by themselves: a script prints it, in a process for each of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec

from pairing import Workers, limited_to
from settings import Settings

TURNS = 4


class Libraries:
    """A section of the results that is measured library by library, in turns.

    A subclass gives the heading, the script that prints numbers by name as JSON, the libraries
    with their labels, and which of two numbers is the better one.
    """

    name: str
    script: str
    labels: dict[str, str]
    better: Callable[[float, float], float]
    wrong = False

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}

    def run(self, settings: Settings, workers: Workers) -> None:
        """Each library that is installed, in a process of its own; the best of all turns counts."""
        for _ in range(1 if settings.quick else TURNS):
            for library in self.labels:
                if library == "torch" and find_spec("torch") is None:
                    continue
                done = subprocess.run(
                    [sys.executable, self.script, library],
                    capture_output=True,
                    text=True,
                    check=True,
                    env=os.environ | limited_to(settings.threads),
                )
                best = self.found.setdefault(library, {})
                for name, number in json.loads(done.stdout).items():
                    best[name] = type(self).better(number, best.get(name, number))
        settings.say(f"{self.name}: " + ", ".join(self.labels[name] for name in self.found))
