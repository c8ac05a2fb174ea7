"""What a step costs beside its time: compiling it, memory; and what is left for `train`."""

from __future__ import annotations

import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

from pairing import PeerError, Worker, Workers, limited_to
from peers import ROWS
from results import table
from settings import Settings
from training import against
from workloads import WORKLOADS

# Seconds that compiling was to take at most.
COMPILE_GOALS = {
    ("compiled", "W2"): 1.0,
    ("compiled", "W5"): 8.0,
    ("fast", "W2"): 5.0,
}
TRAIN = {"tinygradrnn train": (), "tinygradrnn train --no-compile": ("--no-compile",)}
TRAIN_STEPS = 60


def fresh(
    name: str, settings: Settings, work: str, steps: int, **environment: str
) -> dict[str, Any]:
    """The first step, and so many more, of a peer in a new process."""
    worker = Worker(name, settings.threads, **environment)
    try:
        worker.ready()
        worker.ask(prepare=asdict(WORKLOADS[work]), path=None)
        answer = worker.answer()
        if steps:
            worker.ask(time=steps)
            answer |= worker.answer()
        return answer
    finally:
        worker.close()


class CompileTime:
    """Seconds until the first step is done, the model already in memory."""

    name, heading = "compile", "Compile time"
    wrong = False
    peers = ("compiled", "fast", "jax")

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], list[float]] = {}
        self.failed: dict[str, str] = {}

    def run(self, settings: Settings, workers: Workers) -> None:
        """Several times each, in new processes; Numba finds no kernels kept from before."""
        for work in ("W2",) if settings.quick else ("W2", "W5"):
            for _ in range(1 if settings.quick else 2):
                for peer in [p for p in self.peers if p in settings.peers]:
                    with tempfile.TemporaryDirectory() as cache:
                        try:
                            answer = fresh(peer, settings, work, 0, TINYGRADRNN_CACHE=cache)
                        except PeerError as error:
                            self.failed[peer] = str(error)
                            continue
                    self.found.setdefault((peer, work), []).append(answer["first"])
                    settings.say(f"compile: {peer} {work} {answer['first']:.2f} s")

    def text(self) -> str:
        """A row for each peer."""
        if not self.found:
            return ""
        works = list(dict.fromkeys(work for _, work in self.found))
        rows = [
            [ROWS[peer].label, *(self._cell(peer, work) for work in works)]
            for peer in dict.fromkeys(peer for peer, _ in self.found)
        ]
        return "\n\n".join(
            [
                "Seconds for the first step, in which all is captured and compiled; medians of new "
                "processes.",
                table(["peer", *works], rows),
                *(f"{ROWS[peer].label}: {reason}." for peer, reason in self.failed.items()),
            ]
        )

    def _cell(self, peer: str, work: str) -> str:
        if (peer, work) not in self.found:
            return "–"
        seconds = statistics.median(self.found[peer, work])
        goal = COMPILE_GOALS.get((peer, work))
        return f"{seconds:.2f}" if goal is None else against(seconds, goal)


class Memory:
    """The most memory that a process holds."""

    name, heading = "memory", "Peak memory"
    wrong = False
    peers = ("layer", "loop", "explicit", "recomputed", "compiled", "fast", "jax")

    def __init__(self) -> None:
        self.found: dict[str, dict[str, float]] = {}
        self.failed: dict[str, str] = {}

    def run(self, settings: Settings, workers: Workers) -> None:
        """A new process for each."""
        for work in ("W2",) if settings.quick else ("W2", "W3", "W5"):
            for peer in [p for p in self.peers if p in settings.peers]:
                try:
                    answer = fresh(peer, settings, work, 2)
                except PeerError as error:
                    self.failed[peer] = str(error)
                    continue
                self.found.setdefault(peer, {})[work] = answer["peak"]
            settings.say(f"memory: {work}")

    def text(self) -> str:
        """A row for each peer."""
        if not self.found:
            return ""
        works = list(dict.fromkeys(work for row in self.found.values() for work in row))
        rows = [
            [ROWS[p].label, *(f"{row[w]:.0f}" if w in row else "–" for w in works)]
            for p, row in self.found.items()
        ]
        return "\n\n".join(
            [
                "MB that a new process held at most, above what it held after its imports: model, "
                "first step (compilation included) and three more steps.",
                table(["peer", *works], rows),
                *(f"{ROWS[peer].label}: {reason}." for peer, reason in self.failed.items()),
            ]
        )


class Train:
    """The main job, as the command line does it."""

    name, heading = "train", "`tinygradrnn train`"
    wrong = False

    def __init__(self) -> None:
        self.found: dict[str, float] = {}
        self.failed: dict[str, str] = {}

    def run(self, settings: Settings, workers: Workers) -> None:
        """A short run of each kind, with the default settings."""
        steps = 12 if settings.quick else TRAIN_STEPS
        for label, options in TRAIN.items():
            with tempfile.TemporaryDirectory() as folder:
                command = ["-m", "tinygradrnn", "train", "--steps", str(steps), "--out", folder]
                done = subprocess.run(
                    [sys.executable, *command, *options],
                    capture_output=True,
                    text=True,
                    check=False,
                    env=os.environ | limited_to(1),  # its default, which needs threadpoolctl
                )
                if done.returncode:
                    self.failed[label] = done.stderr.strip().splitlines()[-1]
                    continue
                self.found[label] = characters_per_second(Path(folder))
            settings.say(f"train: {label}")

    def text(self) -> str:
        """A row for each kind."""
        if not self.found:
            return ""
        rows = [[label, f"{value:,.0f}"] for label, value in self.found.items()]
        return "\n\n".join(
            [
                "Characters read in a second of training, with the default settings (one thread); "
                "from the median step, after the first.",
                table(["", "characters per second"], rows),
                *(f"{label}: {reason}." for label, reason in self.failed.items()),
            ]
        )


def characters_per_second(folder: Path) -> float:
    """Of a run, from its records and settings."""
    settings = json.loads((folder / "config.json").read_text("utf-8"))
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        seconds = [float(row["seconds"]) for row in csv.DictReader(file)]
    step = statistics.median(b - a for a, b in pairwise(seconds))
    return settings["batch"] * settings["length"] / step
