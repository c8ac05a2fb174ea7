"""The backward graph in a diagram: twins of boxes, and the terms that make a weight's gradient.

These are plain records, like those of ``records``, which refer to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tinygradrnn.drawing.records import Step, joint
from tinygradrnn.drawing.text import number


class Sum(NamedTuple):
    """What one time step, or one fold, adds to the gradient of a weight.

    Attributes
    ----------
    place : Step or int or None
        A step; the number of a fold; None for all uses outside of the steps.
    terms : int
        How many time steps that are.
    size : float or None
        Of what is added.
    running : float or None
        The size of the sum so far, in the order of the backward walk.
    """

    place: Step | int | None
    terms: int
    size: float | None
    running: float | None


@dataclass(frozen=True, slots=True)
class Twin:
    """The gradient of what a box computes, and the operations of the backward graph there.

    Attributes
    ----------
    text : tuple of str
    size : float or None
        ‖∂L/∂·‖; None where no gradient flows.
    operations : tuple of str
        The nodes of the backward graph that the box stands for.
    tooltip : str
    sums : tuple of Sum
        Of a weight: its terms, in the order of the backward walk.
    """

    text: tuple[str, ...]
    size: float | None
    operations: tuple[str, ...] = ()
    tooltip: str = ""
    sums: tuple[Sum, ...] = ()

    @property
    def rightward(self) -> bool:
        """Whether the terms arrive from the left: those of a layer that runs against the time."""
        steps = [s.place for s in self.sums if isinstance(s.place, tuple)]
        return len(steps) > 1 and steps[0] < steps[-1]


@dataclass(frozen=True, slots=True)
class Share:
    """The term that one time step adds to the gradient of a weight.

    Attributes
    ----------
    text : str
        Its formula, if it is one product.
    operations : tuple of str
        The nodes of the backward graph that compute it.
    kept : tuple of int
        The states, handed over from the step before, that it is computed from.
    """

    text: str
    operations: tuple[str, ...] = ()
    kept: tuple[int, ...] = ()


def listed(operations: Iterable[str]) -> str:
    """``matmul, multiply ×2``."""
    counts: dict[str, int] = {}
    for name in operations:
        counts[name] = counts.get(name, 0) + 1
    return ", ".join(name if n == 1 else f"{name} ×{n}" for name, n in counts.items())


def joint_twin(name: str, twins: Sequence[Twin | None]) -> Twin | None:
    """That of several weights of a layer as one long vector."""
    known = [twin for twin in twins if twin is not None]
    if not known:
        return None
    size = joint(twin.size for twin in known)
    places = list(dict.fromkeys(s.place for twin in known for s in twin.sums))
    sums = []
    for place in places:
        there = [s for twin in known for s in twin.sums if s.place == place]
        sums.append(
            Sum(
                place,
                there[0].terms,
                joint(s.size for s in there),
                joint(s.running for s in there),
            )
        )
    operations = tuple(name for twin in known for name in twin.operations)
    return Twin(
        (gradient_of(name, size, len(sums)),),
        size,
        operations,
        " · ".join(twin.tooltip for twin in known),
        tuple(sums),
    )


def joint_share(shares: Iterable[Share | None]) -> Share | None:
    """Those of several weights in one step."""
    known = [share for share in shares if share is not None]
    if not known:
        return None
    operations = tuple(name for share in known for name in share.operations)
    return Share("", operations, tuple(sorted({state for share in known for state in share.kept})))


def gradient_of(weight: str, size: float | None, terms: int) -> str:
    """``∂L/∂W = Σ 1.8``."""
    return f"∂L/∂{weight} {'= Σ ' if terms > 1 and size is not None else ''}{number(size)}"
