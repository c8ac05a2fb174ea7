"""The sizes of the gradients that a picture shows, all from one backward walk."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinygradrnn.graph import BackwardEvent
from tinygradrnn.recording import Node

Term = tuple[Node, int | None]
"""What a reader sends to one of its inputs; or, with None, all that a node receives."""


def measure(events: Iterable[BackwardEvent], sums: Sequence[Sequence[Term]]) -> list[float | None]:
    """The norm of each sum of terms; None where no gradient flows at all.

    Terms are added before the norm is taken: norms do not add.

    Parameters
    ----------
    events : iterable of BackwardEvent
        The walk.
    sums : sequence of sequences of Term
        The terms of one sum have one shape.
    """
    wanted: dict[Term, list[int]] = defaultdict(list)
    for k, terms in enumerate(sums):
        for term in terms:
            wanted[term].append(k)
    totals: dict[int, np.ndarray[Any, Any]] = {}

    def add(term: Term, value: np.ndarray[Any, Any] | None) -> None:
        if value is not None:
            for k in wanted.get(term, ()):
                totals[k] = totals[k] + value if k in totals else value

    for event in events:
        add((event.node, None), event.gradient)
        for position, sent in enumerate(event.sent):
            add((event.node, position), sent)
    norms = {k: float(np.linalg.norm(g.astype("float64"))) for k, g in totals.items()}
    return [norms.get(k) for k in range(len(sums))]
