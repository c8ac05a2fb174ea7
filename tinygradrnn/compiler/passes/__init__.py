"""The passes: each makes a program smaller or quicker and leaves its numbers as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tinygradrnn.compiler.passes.biases import fold_bias
from tinygradrnn.compiler.passes.columns import split_columns
from tinygradrnn.compiler.passes.embedding import fold_embedding
from tinygradrnn.compiler.passes.parts import nested_parts, placed_parts
from tinygradrnn.compiler.passes.products import split_products
from tinygradrnn.compiler.passes.regroup import factor, regroup
from tinygradrnn.compiler.passes.scattered import add_scattered
from tinygradrnn.compiler.passes.simplify import (
    aliases,
    common,
    constants,
    invariants,
    sums_of_scattered,
)
from tinygradrnn.compiler.passes.whole import shared_ends, whole_parts
from tinygradrnn.compiler.schedule import schedule
from tinygradrnn.compiler.values import Rolled, Value
from tinygradrnn.compiler.views import is_view

PASSES: tuple[Callable[[Rolled], int], ...] = (
    shared_ends,
    whole_parts,
    aliases,
    invariants,
    sums_of_scattered,
    add_scattered,
    constants,
    common,
    split_products,
    fold_embedding,
    factor,
    regroup,
    fold_bias,
    split_columns,
    nested_parts,
    placed_parts,
)
CALLS_ONLY = (split_columns, placed_parts)  # for plans of calls that no kernels replace


class Report(NamedTuple):
    """What a pass did: what it changed, and how many values and operations there were after it."""

    name: str
    summary: str
    changed: int
    values: int
    calls: int


def operations(rolled: Rolled) -> int:
    """How many operations are computed, those of a loop once for each step."""
    return sum(
        1 if region.steps is None or value.span is None else value.span.steps
        for region in schedule(rolled)
        for value in region.values
        if computed(value)
    )


def computed(value: Value) -> bool:
    """Whether something is computed for a value; a view is only another way to look at one."""
    return value.kind not in ("leaf", "constant") and not is_view(value)


def optimise(rolled: Rolled, without: tuple[str, ...] = (), kernels: bool = False) -> list[Report]:
    """Run the passes, one after the other; ``kernels``: those for plans whose calls become some."""
    reports = []
    for one in PASSES:
        if one.__name__ not in without and not (kernels and one in CALLS_ONLY):
            changed = one(rolled)
            summary = (one.__doc__ or "").splitlines()[0]
            reports.append(
                Report(one.__name__, summary, changed, len(rolled.values), operations(rolled))
            )
    return reports
