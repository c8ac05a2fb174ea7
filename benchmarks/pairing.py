"""Peers side by side: a process for each, turns in rounds, and what the rounds say.

Two thread pools in one process disturb each other, so each peer has its own. Times drift with the
machine; peers that take turns drift alike, so what counts is the ratio within a round.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from workloads import Array, Workload

TOLERANCE = 1e-4  # of a gradient, relative to the largest of its tensor
PAUSE = 0.1  # seconds between peers: idle threads stop spinning
ROUND = 0.2  # seconds that a peer should run in a round
FEWEST, MOST = 2, 1000  # steps in a round
SLOW = 3.0  # seconds a step: such a peer is measured in the first round only
THREADS = ("OMP", "OPENBLAS", "MKL", "NUMBA")


def limited_to(threads: int) -> dict[str, str]:
    """The environment of a process whose libraries may use so many threads."""
    return {f"{library}_NUM_THREADS": str(threads) for library in THREADS}


class PeerError(Exception):
    """A peer cannot do what was asked."""


class Worker:
    """The process of a peer."""

    def __init__(self, name: str, threads: int, **environment: str) -> None:
        self.imported = False
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py")), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | limited_to(threads) | environment,
            start_new_session=True,  # Ctrl-C is for this process, which then ends the others
        )

    def ask(self, **request: Any) -> None:
        assert self.process.stdin
        with suppress(BrokenPipeError):  # `answer` says so
            print(json.dumps(request), file=self.process.stdin, flush=True)

    def ready(self) -> None:
        """Wait until its imports are done."""
        if not self.imported:
            self.answer()
            self.imported = True

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise PeerError(f"the process ended with status {self.process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Workers:
    """The processes of all peers, made when first needed and ended together."""

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.running: dict[str, Worker] = {}

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self.running.values():
            worker.close()

    def __getitem__(self, name: str) -> Worker:
        found = self.running.get(name)
        if found is None or found.process.poll() is not None:
            self.running[name] = Worker(name, self.threads)
        return self.running[name]


@dataclass
class Comparison:
    """What one workload gave.

    Attributes
    ----------
    times : dict of str to list of float
        Seconds a step of each peer, round by round.
    differences : dict of str to float
        How far the gradients are from those of the first peer.
    first : dict of str to float
        Seconds of making the model and the first step, compilation included.
    failed : dict of str to str
        Peers that could not, with the reason.
    wrong : list of str
        Peers that computed something else.
    device : dict of str to float
        MB on a device, of those that say it.
    """

    workload: Workload
    times: dict[str, list[float]] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    device: dict[str, float] = field(default_factory=dict)

    def median(self, peer: str) -> float:
        return statistics.median(self.times[peer])

    def ratio(self, peer: str, other: str) -> float | None:
        """How many times as long as another peer: the median of the rounds' ratios."""
        if not (self.times.get(peer) and self.times.get(other)):
            return None
        pairs = zip(self.times[peer], self.times[other], strict=False)  # one may be too slow
        return statistics.median(mine / its for mine, its in pairs)


def compare(
    workload: Workload,
    peers: Sequence[str],
    workers: Workers,
    rounds: int,
    say: Callable[[str], None],
    found: Comparison,
) -> None:
    """Check the peers against each other, then let them take turns; results go into ``found``."""
    ready = check(workload, peers, workers, found)
    steps: dict[str, int] = {}
    for peer in ready:  # how many steps fill a round
        seconds = measure(workers, peer, 1, found)
        if seconds is not None:
            steps[peer] = max(FEWEST, min(MOST, round(ROUND / seconds)))
            found.times[peer] = [seconds] if seconds > SLOW else []
    for round_ in range(rounds):
        order = list(steps)
        order = order[round_ % len(order) :] + order[: round_ % len(order)] if order else []
        for peer in order:
            if peer in found.failed or found.times[peer][:1] > [SLOW]:
                continue
            seconds = measure(workers, peer, steps[peer], found)
            if seconds is not None:
                found.times[peer].append(seconds)
        say(f"{workload.name}: round {round_ + 1} of {rounds}")


def measure(workers: Workers, peer: str, steps: int, found: Comparison) -> float | None:
    """Seconds a step, after a pause; None if it fails."""
    time.sleep(PAUSE)
    try:
        workers[peer].ask(time=steps)
        answer = workers[peer].answer()
        if not np.isfinite(answer["loss"]):
            raise PeerError(f"the loss became {answer['loss']}")
    except PeerError as error:
        found.failed[peer] = str(error)
        found.times.pop(peer, None)
        return None
    found.device[peer] = answer.get("device", 0.0)
    return float(answer["seconds"])


def check(
    workload: Workload, peers: Sequence[str], workers: Workers, found: Comparison
) -> list[str]:
    """Let every peer do a step from the same weights; those whose gradients are right."""
    ready = []
    reference: tuple[float, dict[str, Array]] | None = None
    with tempfile.TemporaryDirectory() as folder:
        paths = {peer: str(Path(folder, f"{peer}.npz")) for peer in peers}
        for worker in [workers[peer] for peer in peers]:  # importing, all at once
            with suppress(PeerError):  # said where it is used
                worker.ready()
        for peer in peers:
            try:
                workers[peer].ready()
                workers[peer].ask(prepare=asdict(workload), path=paths[peer])
                answer = workers[peer].answer()
            except PeerError as error:
                found.failed[peer] = str(error)
                continue
            with np.load(paths[peer]) as file:
                gradients = dict(file)
            found.first[peer] = answer["first"]
            reference = reference or (answer["loss"], gradients)
            apart = difference(answer["loss"], gradients, *reference)
            found.differences[peer] = apart
            (ready if apart <= TOLERANCE else found.wrong).append(peer)
    return ready


def difference(
    loss: float, gradients: dict[str, Array], wanted_loss: float, wanted: dict[str, Array]
) -> float:
    """The largest difference of a loss or gradient, each tensor relative to its largest element."""
    if gradients.keys() != wanted.keys():
        return float("inf")
    apart = [abs(loss - wanted_loss) / abs(wanted_loss)]
    for name, gradient in gradients.items():
        if gradient.shape != wanted[name].shape:
            return float("inf")
        largest = np.abs(wanted[name]).max() or 1.0
        apart.append(np.abs(gradient - wanted[name]).max() / largest)
    worst = max(map(float, apart))
    return worst if np.isfinite(sum(map(float, apart))) else float("inf")
