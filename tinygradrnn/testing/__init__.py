"""For tests of programs that are to run on a GPU, on machines that have none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinygradrnn.testing.synchronisations import Guard


@contextmanager
def guard() -> Iterator[Guard]:
    """Run a block on a double of CuPy, which computes with NumPy but obeys CuPy's rules.

    What works inside the block, works on CuPy as far as rules go: nothing becomes a NumPy array by
    itself, NumPy's arrays and lists are no operands, reductions give arrays, what CuPy lacks is
    missing, integer indices out of range wrap silently. What the block's program asks of the
    device, so that the host must wait, is counted with its place.

    Yields
    ------
    Guard
        ``synchronisations``, how often the host waited, and ``places``, where.

    Examples
    --------
    ``with tg.testing.guard() as g: train_step()``, then ``assert g.synchronisations == 0, g``
    """
    from tinygradrnn.backend import backend_scope
    from tinygradrnn.testing.double import GuardBackend
    from tinygradrnn.testing.synchronisations import Guard, listening

    with backend_scope(GuardBackend()) as backend:
        counting = Guard(backend)
        listening.append(counting)
        try:
            yield counting
        finally:
            listening[:] = [each for each in listening if each is not counting]


__all__ = ["guard"]
