"""The one random generator. It lives on the host, so that every backend draws the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

_generator = np.random.Generator(np.random.PCG64())


def manual_seed(n: int) -> None:
    """Start the random numbers (initial weights, dropout masks, shuffling) at a seed.

    Parameters
    ----------
    n : int
        The same seed gives the same numbers in every process and on every backend.
    """
    if not isinstance(n, int | np.integer) or isinstance(n, bool) or n < 0:
        raise ValueError(f"manual_seed: n must be an integer of at least 0, got {n!r}")
    _generator.bit_generator.state = np.random.PCG64(int(n)).state


def generator() -> np.random.Generator:
    """The generator itself; its ``bit_generator.state`` belongs in a checkpoint."""
    return _generator


def generator_state() -> dict[str, Any]:
    """The state of the generator, as plain numbers."""
    return dict(_generator.bit_generator.state)


def set_generator_state(state: dict[str, Any]) -> None:
    """Continue from a state that :func:`generator_state` gave."""
    _generator.bit_generator.state = state
