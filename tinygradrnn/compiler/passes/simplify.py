"""Passes that make a program smaller without changing how anything is computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of
from tinygradrnn.compiler.order import ordered
from tinygradrnn.compiler.values import Rolled, Use, Value
from tinygradrnn.compiler.views import is_view
from tinygradrnn.ops import reshape
from tinygradrnn.recording import Array


def refresh(rolled: Rolled) -> Rolled:
    """Drop what nothing needs any more."""
    ends = [*(use.value for use in rolled.outputs), *(use.value for _, use in rolled.assigns)]
    rolled.values = ordered(ends)
    return rolled


def replace_uses(rolled: Rolled, new: dict[int, Use]) -> None:
    """Let the readers of some values, by ``id``, read something else."""

    def through(use: Use) -> Use:
        while id(use.value) in new:
            use = composed(use, new[id(use.value)])
        return use

    def end_through(end: Value | str | None) -> Value | str | None:
        while isinstance(end, Value) and id(end) in new and plain(new[id(end)]):
            end = new[id(end)].value  # a single step of another value cannot stand at an end
        return end

    for value in rolled.values:
        value.inputs = [of_one_step(value, through(use)) for use in value.inputs]
        value.terms = [
            term._replace(
                use=of_one_step(value, through(term.use)), arrays=tuple(map(through, term.arrays))
            )
            for term in value.terms
        ]
        value.before, value.after = end_through(value.before), end_through(value.after)
    rolled.outputs = [through(use) for use in rolled.outputs]
    rolled.assigns = [(leaf, through(use)) for leaf, use in rolled.assigns]


def of_one_step(reader: Value, use: Use) -> Use:
    """What a value of one step reads of a certain step is so many steps away from its own."""
    if use.step is None or reader.span is None or reader.span.steps > 1:
        return use
    return Use(use.value, shift=use.step - reader.span.first)


def composed(outer: Use, inner: Use) -> Use:
    """How a reader of a value reads what the value itself only hands on."""
    if inner.shift is None:
        return inner
    if outer.shift is not None:
        return inner._replace(shift=outer.shift + inner.shift)
    if outer.step is not None:
        return Use(inner.value, step=outer.step + inner.shift)
    assert outer.span is not None
    return Use(inner.value, span=outer.span.shifted(inner.shift))


def aliases(rolled: Rolled) -> int:
    """Values that only hand another one on: a sum of one term, a detached value."""
    spans = {id(use.value) for v in rolled.values for use in v.uses() if use.span}
    new: dict[int, Use] = {}
    for value in rolled.values:
        source = handed_on(value)
        if source is None or source.value is value:
            continue
        if (value.before is not None or value.after is not None) and not _take_ends(value, source):
            continue
        invariant = value.span is not None and source.shift is None
        if invariant and id(value) in spans:
            continue
        if source.value.is_number:
            continue
        new[id(value)] = source
    replace_uses(rolled, new)
    refresh(rolled)
    return len(new)


def _take_ends(value: Value, source: Use) -> bool:
    """Let what a value hands on have its ends, if that is computed and has none."""
    other = source.value
    alike = source.shift == 0 and other.span == value.span and other.dtype == value.dtype
    if not alike or other.before is not None or other.after is not None:
        return False
    if other.kind not in ("op", "sum") or is_view(other) or other.shape != value.shape:
        return False
    if any(isinstance(v, Value) and v.inputs + v.terms for v in (value.before, value.after)):
        return False  # an end that is computed may have to wait for what hands on to it
    other.before, other.lead, other.after, other.trail = (
        value.before,
        value.lead,
        value.after,
        value.trail,
    )
    return True


def handed_on(value: Value) -> Use | None:
    """What a value is nothing but, or None."""
    if value.kind == "sum" and len(value.terms) == 1:
        term = value.terms[0]
        same = term.use.value.shape == value.shape and term.use.value.dtype == value.dtype
        return term.use if term.whole and term.use.span is None and same else None
    if value.kind != "op" or value.op is None or not value.inputs:
        return None
    source = value.inputs[0]
    same = source.value.shape == value.shape and source.value.dtype == value.dtype
    if value.op.name == "detach":
        return source
    if value.op.name in ("cast", "reshape", "sum_to", "broadcast_to", "as_float") and same:
        return source
    return None


def invariants(rolled: Rolled) -> int:
    """What is the same at every time step is computed once."""
    count = 0
    fixed: dict[int, Use] = {}
    spans = {id(use.value) for v in rolled.values for use in v.uses() if use.span}
    for value in rolled.values:
        if value.span is None or value.kind not in ("op", "sum"):
            continue
        if value.before is not None or value.after is not None or id(value) in spans:
            continue
        if any(term.only is not None for term in value.terms):
            continue
        uses = list(value.uses())
        if uses and all(plain(use) or id(use.value) in fixed for use in uses):
            made = Value(value.kind, value.shape, value.dtype, None, value.op)
            made.settings, made.name = value.settings, value.name
            made.inputs = [
                Use(fixed[id(u.value)].value) if id(u.value) in fixed else u for u in value.inputs
            ]
            made.terms = [
                term._replace(
                    use=Use(fixed[id(term.use.value)].value)
                    if id(term.use.value) in fixed
                    else term.use
                )
                for term in value.terms
            ]
            fixed[id(value)] = Use(made)
            count += 1
    made_values = [use.value for use in fixed.values()]
    rolled.values += made_values
    replace_uses(rolled, fixed)
    refresh(rolled)
    return count


def plain(use: Use) -> bool:
    """Whether what is read is the same at every step."""
    return use.shift is None and use.step is None and use.span is None


def sums_of_scattered(rolled: Rolled) -> int:
    """The sum along the axis that numbers were scattered on is these numbers."""
    count = 0
    for value in rolled.values:
        if value.op is None or value.op.name != "sum" or value.kind != "op":
            continue
        source = value.inputs[0].value
        axis = value.settings.get("axis")
        last = axis == -1 or axis == len(source.shape) - 1
        if source.op is None or source.op.name != "scatter" or not last:
            continue
        value.op, value.inputs = reshape, [composed(value.inputs[0], source.inputs[0])]
        value.settings = {"shape": value.shape}
        count += 1
    return count


def constants(rolled: Rolled) -> int:
    """What depends on constants only is computed now."""
    count = 0
    for value in rolled.values:
        if value.kind != "op" or value.span is not None or not value.inputs:
            continue
        if not all(
            plain(u) and u.value.kind == "constant" and u.value.span is None for u in value.inputs
        ):
            continue
        assert value.op is not None
        result = value.op.compute([u.value.data for u in value.inputs], value.settings)
        value.data = uniform(np.asarray(result) if isinstance(result, np.generic) else result)
        value.kind, value.op, value.inputs = "constant", None, []
        count += 1
    return count


def uniform(array: Array) -> Array:
    """An array of one number as a view of that number, which is quicker to read."""
    if array.size < 2 or not bool((array == array.reshape(-1)[0]).all()):
        return array
    one = array.reshape(-1)[:1].copy().reshape(())
    return backend_of(array).xp.broadcast_to(one, array.shape)


def common(rolled: Rolled) -> int:
    """Equal operations on equal values are computed once."""
    total = 0
    while True:
        seen: dict[Any, Value] = {}
        new: dict[int, Use] = {}
        for value in rolled.values:
            if (
                value.kind in ("leaf", "random")
                or value.before is not None
                or value.after is not None
            ):
                continue
            key = key_of(value)
            if key is None:
                continue
            first = seen.setdefault(key, value)
            if first is not value:
                new[id(value)] = Use(first, shift=0 if value.span else None)
        if not new:
            return total
        total += len(new)
        replace_uses(rolled, new)
        refresh(rolled)


def key_of(value: Value) -> Any:
    """What two values that are the same have in common."""
    if value.kind == "constant":
        if value.is_number or value.span is not None or value.data.size > 1:
            return None
        return ("constant", value.dtype.str, value.shape, value.data.tobytes())
    uses = tuple((id(u.value), u.shift, u.step, u.span) for u in value.inputs)
    terms = tuple(
        (id(t.use.value), *t.use[1:], repr(t.where), t.axis, t.offset, t.every, t.only)
        for t in value.terms
        if not t.arrays
    )
    if len(terms) != len(value.terms):
        return None
    name = value.op.name if value.op is not None else value.kind
    return (
        value.kind,
        name,
        value.shape,
        value.dtype.str,
        value.span,
        uses,
        terms,
        repr(value.settings),
    )
