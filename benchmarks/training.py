"""Training steps of the workloads, peer beside peer, and the ratios that were to be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pairing import TOLERANCE, Comparison, Workers, compare
from peers import ALL, ROWS
from results import table
from settings import Settings
from workloads import MAIN, OTHERS, Workload

LOOP = {"W1": 0.1, "W2": 0.55, "W3": 0.6, "W4a": 0.65, "W4b": 0.65, "W5": 0.06}
EXPLICIT = {"W1": 0.6, "W2": 1.2, "W3": 1.1, "W4a": 1.25, "W4b": 1.15, "W5": 0.8}
# Ratios of time that this project set itself: a peer, what it is compared with, at most how much.
GOALS: tuple[tuple[str, str, Mapping[str, float]], ...] = (
    (
        "compiled",
        "layer",
        {"W1": 0.12, "W2": 1.3, "W3": 0.7, "W4a": 0.75, "W4b": 1.15, "W5": 0.11},
    ),
    ("fast", "layer", {"W1": 0.08, "W2": 0.9, "W3": 0.6, "W4a": 0.6, "W4b": 0.9, "W5": 0.03}),
    ("compiled", "loop", LOOP),
    ("compiled", "cells", LOOP),
    ("explicit", "loop", EXPLICIT),
    ("explicit", "cells", EXPLICIT),
    ("compiled", "loop", {workload.name: 0.5 for workload in OTHERS}),
)


class Training:
    """One workload."""

    def __init__(self, workload: Workload) -> None:
        self.name = workload.name
        self.heading = f"{workload.name}: {workload.title}"
        self.found = Comparison(workload)

    def run(self, settings: Settings, workers: Workers) -> None:
        """Let the peers take turns."""
        work = self.found.workload
        peers = [name for name in settings.peers if ROWS[name].timed and ROWS[name].does(work)]
        compare(work, peers, workers, settings.rounds, settings.say, self.found)

    @property
    def wrong(self) -> bool:
        return bool(self.found.wrong)

    def text(self) -> str:
        """The table, and what is missing in it."""
        found = self.found
        if not (found.times or found.failed or found.wrong):
            return ""
        rows = []
        for peer in found.times:
            if found.times[peer]:
                rows.append(
                    [
                        ROWS[peer].label,
                        milliseconds(found.median(peer)),
                        milliseconds(min(found.times[peer])),
                        ratio(found.ratio(peer, "layer")),
                        ratio(found.ratio(peer, "loop")),
                        f"{found.differences[peer]:.0e}",
                        f"{found.first[peer]:.2f}",
                    ]
                )
        times = ("ms per step", "least", "/ nn layer", "/ loop")
        head = ["peer", *times, "gradients apart", "first step s"]
        return "\n\n".join([table(head, rows), *problems(found)])


def summary(jobs: Sequence[Training]) -> str:
    """The goals, and what was measured, of the workloads that were."""
    found = {job.name: job.found for job in jobs}
    texts = []
    for workloads in (MAIN, OTHERS):
        names = [workload.name for workload in workloads]
        rows = []
        for peer, other, goals in GOALS:
            if set(goals) == set(names):
                reached = [(found[name].ratio(peer, other), goals[name]) for name in names]
                label = f"{ROWS[peer].label} / {ROWS[other].label}"
                rows.append([label, *(against(value, goal) for value, goal in reached)])
        texts.append(table(["ratio of time", *names], rows))
    return "\n\n".join(
        ["What was to be reached stands behind ≤; bold: not reached; –: not measured.", *texts]
    )


def against(value: float | None, goal: float) -> str:
    """A value beside what it should be at most."""
    if value is None:
        return f"– (≤ {goal:g})"
    return f"{ratio(value)} (≤ {goal:g})" if value <= goal else f"**{ratio(value)}** (≤ {goal:g})"


def problems(found: Comparison) -> list[str]:
    """What went wrong, in sentences."""
    lines = [f"{ALL[peer].label}: {reason}." for peer, reason in found.failed.items()]
    lines += [
        f"{ALL[peer].label} computed something else: its gradients are "
        f"{found.differences[peer]:.0e} apart, more than {TOLERANCE:g}."
        for peer in found.wrong
    ]
    return lines


def milliseconds(seconds: float) -> str:
    """Three digits."""
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.3f}"


def ratio(value: float | None) -> str:
    """Two or three digits; a dash where there is none."""
    if value is None:
        return "–"
    return f"{value:.3f}" if value < 0.1 else f"{value:.2f}"
