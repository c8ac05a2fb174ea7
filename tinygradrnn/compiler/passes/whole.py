"""Parts that are all of a value, and parts that begin and end as the value does."""

from __future__ import annotations

from typing import Any

from tinygradrnn.backend import backend_of
from tinygradrnn.compiler.passes.simplify import refresh, replace_uses
from tinygradrnn.compiler.values import Rolled, Shape, Use, Value
from tinygradrnn.compiler.views import LOOKS, is_view
from tinygradrnn.ops import take

End = Value | str | None


def whole_parts(rolled: Rolled) -> int:
    """A part that is all of a value is the value."""
    count = 0
    new: dict[int, Use] = {}
    for value in rolled.values:
        for k, term in enumerate(value.terms):
            if term.axis is None and not term.arrays and is_whole(term.where, value.shape):
                value.terms[k] = term._replace(where=None)
                count += 1
        ends = value.before is not None or value.after is not None
        if value.op is take and not ends and len(value.inputs) == 1:
            source = value.inputs[0]
            timed = source.shift is not None or value.span is None
            if timed and is_whole(value.settings["index"], source.value.shape):
                new[id(value)] = source
    replace_uses(rolled, new)
    refresh(rolled)
    return count + len(new)


def is_whole(index: tuple[Any, ...] | None, shape: Shape) -> bool:
    """Whether an index takes everything there is."""
    if index is None or len(index) > len(shape):
        return False
    return all(
        isinstance(part, slice) and part.indices(size) == (0, size, 1)
        for part, size in zip(index, shape, strict=False)
    )


def shared_ends(rolled: Rolled) -> int:
    """A part of each state, and a constant for that of the first: a part of one state more."""
    count = 0
    for value in rolled.values:
        name = value.op.name if value.op is not None else ""
        if name in LOOKS and value.span is not None and value.inputs[0].shift is not None:
            count += _begins_like(value) + _ends_like(value)
    refresh(rolled)
    return count


def _begins_like(view: Value) -> bool:
    """Let what is before the first step of a view be before that of what it looks at."""
    source, shift = view.inputs[0].value, view.inputs[0].shift
    assert view.span is not None and source.span is not None and shift is not None
    first = view.span.first - view.span.stride
    fits = view.lead == 1 and first + shift == source.span.first - source.span.stride
    end = _of_all(view, view.before, source, source.before) if fits else None
    if end is None:
        return False
    source.before, source.lead = end, max(source.lead, 1)
    view.before, view.lead, view.span = None, 0, view.span._replace(first=first)
    return True


def _ends_like(view: Value) -> bool:
    """The same for what is after the last."""
    source, shift = view.inputs[0].value, view.inputs[0].shift
    assert view.span is not None and source.span is not None and shift is not None
    last = view.span.last + view.span.stride
    fits = view.trail == 1 and last + shift == source.span.last + source.span.stride
    end = _of_all(view, view.after, source, source.after) if fits else None
    if end is None:
        return False
    source.after, source.trail = end, max(source.trail, 1)
    view.after, view.trail, view.span = None, 0, view.span._replace(last=last)
    return True


def _of_all(view: Value, end: End, source: Value, known: End) -> Value | None:
    """A constant that the end of a view is a view of, if it can be, or is, that of the source."""
    number = _number(end)
    computed = source.kind in ("op", "sum") and not is_view(source) and source is not view
    if number is None or not computed:
        return None
    if known is not None:
        return known if isinstance(known, Value) and _number(known) == number else None
    assert isinstance(end, Value)
    made = Value("constant", source.shape, source.dtype)
    made.data = backend_of(end.data).xp.broadcast_to(end.data.reshape(-1)[:1], source.shape)
    return made


def _number(end: End) -> float | None:
    """The number that all elements of a constant are."""
    if not isinstance(end, Value) or end.kind != "constant" or end.span or end.is_number:
        return None
    if not end.data.size:
        return None
    first = end.data.reshape(-1)[0]
    return float(first) if bool((end.data == first).all()) else None
