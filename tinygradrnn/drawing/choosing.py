"""Which time steps a picture shows; the others are folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tinygradrnn.drawing.records import Step

DOZEN = 12
ENDS = {"op": 2, "gate": 3, "cell": 4, "layer": 4}

Steps = int | Iterable[int] | None


def choose_steps(steps: Sequence[Step], level: str, wanted: Steps) -> list[Step]:
    """The steps to show: those asked for; else all of up to a dozen; else the first and last few.

    The first and the last are always shown: there the states come in, and what follows reads them.

    Parameters
    ----------
    steps : sequence of Step
        All, in time order.
    level : str
    wanted : int or iterable of int or None
        How many, or which labels.
    """
    if isinstance(wanted, bool) or (isinstance(wanted, int) and wanted < 1):
        raise ValueError(f"steps must be at least 1, or a list of time steps, got {wanted!r}")
    chosen = None
    if wanted is not None and not isinstance(wanted, int):
        chosen, wanted = list(wanted), None
        known = {step.label for step in steps}
        unknown = [label for label in chosen if label not in known]
        if unknown or not chosen:
            raise ValueError(
                f"steps: {unknown or 'an empty list'} is not among the time steps of this graph, "
                f"{min(known)}…{max(known)}"
            )
    found: list[Step] = []
    for phase in sorted({step.phase for step in steps}):
        own = [step for step in steps if step.phase == phase]
        if chosen is not None:
            found += [s for s in own if s.label in chosen or s in (own[0], own[-1])]
            continue
        count = max(wanted or (len(own) if len(own) <= DOZEN else 2 * ENDS[level]), 2)
        if count >= len(own):
            found += own
        else:
            found += own[: (count + 1) // 2] + own[len(own) - count // 2 :]
    return found
