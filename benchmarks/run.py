"""Measure this project beside others: one training step, how it grows, and what it costs.

    python benchmarks/run.py                    # all, in under ten minutes; writes RESULTS.md
    python benchmarks/run.py --only W2,W5       # those sections of RESULTS.md only
    python benchmarks/run.py --quick            # a look in a minute; writes nothing

PyTorch comes with the extra `bench`; Numba (the extra `fast`), JAX and HIPS autograd take part if
they are installed. Ctrl-C writes what was measured so far.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from costs import CompileTime, Memory, Train
from growth import GROWTHS
from operations import Operations
from pairing import FEWEST, PAUSE, ROUND, SLOW, TOLERANCE, Workers
from peers import ROWS
from products import Products
from results import RESULTS, environment, put_sections
from settings import Settings
from training import Training, summary
from workloads import MAIN, RATE, WORKLOADS

METHOD, SUMMARY = "How it is measured", "Ratios"
PACKAGES = ("numpy", "torch", "numba", "jax", "autograd")
QUICK = ("W1", "W2", "peephole", "growth-T", "compile", "memory", "train")
QUICK_PEERS = ("layer", "loop", "explicit", "compiled", "fast")
PEERS = tuple(peer for peer in ROWS if peer != "primitives")  # that takes turns when asked for
INTERRUPTED, WRONG = 130, 1
BUSY = 0.5  # processes that wanted to run in the last minute


class Job(Protocol):
    """A section of the results."""

    name: str
    heading: str

    @property
    def wrong(self) -> bool:
        """Whether peers that were to compute the same did not."""

    def run(self, settings: Settings, workers: Workers) -> None:
        """Measure."""

    def text(self) -> str:
        """What was measured, also if it was not all; empty if it was nothing."""


def all_jobs() -> list[Job]:
    """In the order of the results."""
    steps = [Training(workload) for workload in WORKLOADS.values()]
    return [*steps, Operations(), Products(), *GROWTHS, CompileTime(), Memory(), Train()]


def method(settings: Settings) -> str:
    """How the numbers come about."""
    return (
        "`python benchmarks/run.py` writes all sections but those after `tinygradrnn train`, which "
        "are kept by hand. A workload is an embedding, recurrent layers, a linear layer and the "
        "softmax cross-entropy at every time step, in float32; a step is forward, backpropagation "
        f"through time and an update by SGD (rate {RATE:g}). Each peer has a process of its own "
        f"with {settings.threads} threads. All take the same initial weights and batch, and before "
        "anything is timed the loss and every gradient of a step are compared with those of the "
        "first in the table: the largest difference, relative to the largest element of its "
        f"tensor, is the column “gradients apart”, and must be at most {TOLERANCE:g}. Then they "
        f"take turns, another one first in each round, with {PAUSE:g} s of pause before each: one "
        f"step to warm up, then steps for about {ROUND:g} s, {FEWEST} at least (a peer that needs "
        f"over {SLOW:g} s for a step does one in all). Times are the median over rounds of a "
        "round's median step, “least” is the least of those, ratios are the median of the ratios "
        "within a round. “First step” includes making the model, and compiling where something is "
        "compiled. In “PyTorch loop, inputs projected at once” (“loop”) the cell's equations are "
        "written in PyTorch's operations, with one product for the inputs of all time steps; “of "
        "primitives” is the same without that."
    )


def main() -> int:
    """Measure what is asked for and write it down."""
    jobs = all_jobs()
    arguments = parsed(jobs)
    settings = Settings(
        rounds=arguments.rounds or (2 if arguments.quick else Settings.rounds),
        threads=arguments.threads,
        peers=tuple(peer for peer in arguments.peers if ROWS[peer].installed),
        quick=arguments.quick,
    )
    for package in dict.fromkeys(ROWS[p].needs for p in arguments.peers if p not in settings.peers):
        settings.say(f"{package} is not installed: its rows are left out")
    chosen = [job for job in jobs if job.name in arguments.only]
    stopped, begin, load = False, time.perf_counter(), os.getloadavg()[0]
    if load > BUSY:
        settings.say(f"The machine is busy (load {load:.1f}): the times will mean little.")
    with Workers(settings.threads) as workers:
        try:
            for job in chosen:
                start = time.perf_counter()
                job.run(settings, workers)
                settings.say(f"{job.name} took {time.perf_counter() - start:.0f} s")
                print(f"\n## {job.heading}\n\n{job.text()}", flush=True)
        except KeyboardInterrupt:
            stopped = True
            settings.say("Stopped by Ctrl-C.")
    sections = texts(chosen, settings, load)
    settings.say(f"{time.perf_counter() - begin:.0f} s.")
    if arguments.output is None:
        settings.say("Nothing is written by --quick without --output.")
    elif not sections:
        settings.say("Nothing was measured, nothing is written.")
    else:
        put_sections(sections, [METHOD, SUMMARY, *(job.heading for job in jobs)], arguments.output)
        settings.say(f"Written to {arguments.output}: {', '.join(sections)}")
    wrong = [job.name for job in chosen if job.wrong]
    if wrong:
        settings.say(f"Peers computed different numbers in: {', '.join(wrong)}")
    return INTERRUPTED if stopped else WRONG if wrong else 0


def texts(chosen: list[Job], settings: Settings, load: float) -> dict[str, str]:
    """The sections of what was measured; the ratios only where all main workloads were."""
    where = f"{environment(PACKAGES)}; {settings.rounds} rounds; load before {load:.1f}."
    sections = {job.heading: f"{job.text()}\n\n{where}" for job in chosen if job.text()}
    steps = [job for job in chosen if isinstance(job, Training)]
    if {job.name for job in steps if job.found.times} >= {workload.name for workload in MAIN}:
        sections[METHOD] = method(settings)
        sections[SUMMARY] = summary(steps)
    return sections


def parsed(jobs: list[Job]) -> argparse.Namespace:
    """The command line."""
    names = [job.name for job in jobs]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def listed(known: list[str]) -> Callable[[str], list[str]]:
        def read(text: str) -> list[str]:
            parts = text.split(",")
            for part in parts:
                if part not in known:
                    raise argparse.ArgumentTypeError(f"{part!r} is not one of {', '.join(known)}")
            return parts

        return read

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"{text!r} is not an integer of at least 1")
        return int(text)

    parser.add_argument(
        "--only", type=listed(names), metavar="NAMES", help=f"some of {','.join(names)}"
    )
    parser.add_argument(
        "--peers",
        type=listed(list(ROWS)),
        metavar="NAMES",
        help=f"some of {','.join(ROWS)}",
    )
    parser.add_argument("--rounds", type=whole, help=f"(default: {Settings.rounds}; quick: 2)")
    parser.add_argument(
        "--threads",
        type=whole,
        default=min(Settings.threads, os.cpu_count() or 1),
        help="of each peer (default: 2, or as many as there are cores)",
    )
    parser.add_argument("--quick", action="store_true", help="fewer workloads, sizes and rounds")
    parser.add_argument(
        "--output", type=Path, help="file to write (default: RESULTS.md; with --quick none)"
    )
    arguments = parser.parse_args()
    arguments.only = arguments.only or (QUICK if arguments.quick else names)
    wanted = arguments.peers or (QUICK_PEERS if arguments.quick else PEERS)
    arguments.peers = [peer for peer in ROWS if peer in wanted]
    if not arguments.quick:
        arguments.output = arguments.output or RESULTS
    return arguments


if __name__ == "__main__":
    raise SystemExit(main())
