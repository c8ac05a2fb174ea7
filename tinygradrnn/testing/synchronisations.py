"""Where a program waited for the device: each time with the line that asked for a value."""

from __future__ import annotations

from collections import Counter

from tinygradrnn.backend import Backend
from tinygradrnn.ops.base import lines


class Guard:
    """What ``with tg.testing.guard() as g:`` gives; counts while the block runs.

    Attributes
    ----------
    backend : Backend
        The double of CuPy that is active in the block.
    places : list of str
        One entry for each time that the host waited for the device: what was asked for, and the
        line of the program.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.places: list[str] = []

    @property
    def synchronisations(self) -> int:
        """How often the host waited for the device."""
        return len(self.places)

    def __repr__(self) -> str:
        counts = Counter(self.places)
        lines = [f"{n} × {place}" if n > 1 else place for place, n in counts.items()]
        total = f"{self.synchronisations} host synchronisations"
        return "\n  ".join([f"{total}:" if lines else total, *lines])


listening: list[Guard] = []


def synchronise(what: str) -> None:
    """Note that the host asks for a value, and so waits for all that the device has to do."""
    if listening:
        written, user = lines()
        place = f"{what} at {written}" + (f", called from {user}" if user != written else "")
        for guard in listening:
            guard.places.append(place)
