"""How the time of a step grows with the length of the sequence and with the size of the state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pairing import Comparison, Workers, compare
from peers import ROWS
from results import table
from settings import Settings
from training import milliseconds, problems, ratio
from workloads import Workload

PEERS = ("layer", "loop", "explicit", "compiled", "fast")
# Where a peer that keeps every operation of every step would take the whole time of a run.
LONGEST = {"loop": 5000, "explicit": 5000, "fast": 5000}


class Growth:
    """A workload whose T or H takes one value after the other."""

    def __init__(
        self, axis: str, start: Workload, sizes: tuple[int, ...], longest: Mapping[str, int]
    ) -> None:
        self.name, self.axis, self.longest = f"growth-{axis}", axis, longest
        self.heading = f"Growth with {axis}"
        self.start, self.sizes = start, sizes
        self.found: list[Comparison] = []

    def run(self, settings: Settings, workers: Workers) -> None:
        """Compare the peers at each size."""
        for size in self.sizes[: 2 if settings.quick else None]:
            work = replace(self.start, name=f"{self.axis}={size}", **{self.axis: size})
            peers = [
                peer
                for peer in PEERS
                if peer in settings.peers and size <= self.longest.get(peer, size)
            ]
            self.found.append(Comparison(work))
            rounds = 1 if size == self.sizes[-1] else min(settings.rounds, 2)
            compare(work, peers, workers, rounds, settings.say, self.found[-1])

    def text(self) -> str:
        """A row for each size; ms per step, and of ours the ratio to PyTorch's layer."""
        measured = [one for one in self.found if any(one.times.values())]
        peers = [peer for peer in PEERS if any(one.times.get(peer) for one in measured)]
        if not measured:
            return ""
        ours = [peer for peer in peers if peer in ("compiled", "fast")]
        head = [self.axis, *(f"{ROWS[peer].label}, ms" for peer in peers)]
        head += [f"{ROWS[peer].label} / nn layer" for peer in ours]
        head += [f"{ROWS[peer].label}, first step s" for peer in ours]
        rows = []
        for one in measured:
            size = getattr(one.workload, self.axis)
            times = [milliseconds(one.median(p)) if one.times.get(p) else "–" for p in peers]
            ratios = [ratio(one.ratio(peer, "layer")) for peer in ours]
            first = [f"{one.first[peer]:.2f}" if peer in one.first else "–" for peer in ours]
            rows.append([f"{size:,}", *times, *ratios, *first])
        fixed = self.start.title.replace(f" {self.axis}={getattr(self.start, self.axis)}", "")
        notes = [f"{one.workload.name}: {line}" for one in self.found for line in problems(one)]
        return "\n\n".join([f"{fixed}.", table(head, rows), *notes])

    @property
    def wrong(self) -> bool:
        return any(one.wrong for one in self.found)


GROWTHS = (
    Growth("T", Workload("T", "elman", 1, 64, 32), (64, 512, 5000, 100_000), LONGEST),
    Growth("H", Workload("H", "lstm", 32, 32, 32), (32, 128, 512, 1024), {}),
)
