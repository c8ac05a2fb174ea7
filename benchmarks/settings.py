"""What a run of the benchmarks does."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What was asked for.

    Attributes
    ----------
    rounds : int
    threads : int
        Of each peer.
    peers : tuple of str
        Those that are installed, of those wanted.
    quick : bool
        Smaller and fewer.
    """

    rounds: int = 3
    threads: int = 2
    peers: tuple[str, ...] = ()
    quick: bool = False

    def say(self, line: str) -> None:
        """Tell the user how far it is."""
        print(line, file=sys.stderr, flush=True)
