"""Values put together from parts: their parts in place, or in another one that has them all."""

from __future__ import annotations

from tinygradrnn.compiler.order import components
from tinygradrnn.compiler.passes.simplify import refresh
from tinygradrnn.compiler.sums import tiles
from tinygradrnn.compiler.values import Rolled, Term, Use, Value
from tinygradrnn.ops import take

Parts = dict[tuple[int, int | None], tuple[int, int]]


def nested_parts(rolled: Rolled) -> int:
    """What is put together from parts that lie in another one side by side is a slice of that."""
    whole = [
        value
        for value in rolled.values
        if value.kind == "sum"
        and len(value.terms) > 1
        and tiles(value, value.terms)
        and all(term.axis is None for term in value.terms)
    ]
    parts = {id(value): _parts(value) for value in whole}
    count = 0
    for small in whole:
        for large in whole:
            start = _start(small, large, parts)
            if start is None:
                continue
            small.kind, small.op, small.terms = "op", take, []
            small.inputs = [Use(large, None if small.span is None else 0)]
            small.settings = {"index": (..., slice(start, start + small.shape[-1]))}
            count += 1
            break
    refresh(rolled)
    return count


def _parts(value: Value) -> Parts:
    """Where each part begins and ends on the last axis."""
    found: Parts = {}
    for term in value.terms:
        assert term.where is not None
        begin, end, _ = term.where[1].indices(value.shape[-1])
        found[id(term.use.value), term.use.shift] = begin, end
    return found


def _start(small: Value, large: Value, parts: dict[int, Parts]) -> int | None:
    """Where a value lies in a larger one; None if it does not."""
    one, other = parts[id(small)], parts[id(large)]
    alike = small.span == large.span and small.dtype == large.dtype
    ends = any(end is not None for end in (small.before, small.after, large.before, large.after))
    if not alike or ends or large.kind != "sum" or small.shape[-1] >= large.shape[-1]:
        return None
    starts = {
        other[part][0] - begin if part in other and len(one) == len(small.terms) else None
        for part, (begin, _) in one.items()
    }
    return starts.pop() if len(starts) == 1 else None


def placed_parts(rolled: Rolled) -> int:
    """What a step joins along the last axis is computed part by part where it belongs."""
    count = 0
    for part in components(rolled.values):
        for value in part if len(part) > 1 else ():
            name = value.op.name if value.op is not None else ""
            if name == "concatenate" and value.settings["axis"] % len(value.shape) == (
                len(value.shape) - 1
            ):
                value.terms, stop = [], 0
                for use in value.inputs:
                    start, stop = stop, stop + use.value.shape[-1]
                    value.terms.append(Term(use, (..., slice(start, stop))))
                value.kind, value.op, value.inputs, value.settings = "sum", None, [], {}
                count += 1
    return count
