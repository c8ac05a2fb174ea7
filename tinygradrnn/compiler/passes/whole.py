"""Parts that are all of a value, and parts that begin and end as the value does."""

from __future__ import annotations

from typing import Any

from tinygradrnn.backend import backend_of
from tinygradrnn.compiler.passes.simplify import refresh, replace_uses
from tinygradrnn.compiler.values import ZERO, Rolled, Shape, Use, Value
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
    """A view of each step and, apart, of what is before the first: a view of one step more."""
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


def _of_all(view: Value, end: End, source: Value, known: End) -> End:
    """Of what the end of a view is a view, if it can be, or is, that of the source."""
    if source.kind not in ("op", "sum") or is_view(source) or source is view:
        return None
    if end == ZERO or not isinstance(end, Value):
        return end if known in (None, end) else None
    if known is not None and not isinstance(known, Value):
        return None
    number = _number(end)
    if number is not None:
        if known is None:
            made = Value("constant", source.shape, source.dtype)
            made.data = backend_of(end.data).xp.broadcast_to(end.data.reshape(-1)[:1], source.shape)
            return made
        return known if _number(known) == number else None
    if end.op is not view.op or end.settings != view.settings:
        return None
    whole = end.inputs[0].value
    fits = whole.kind in ("leaf", "constant") and whole.span is None
    alike = fits and whole.shape == source.shape and whole.dtype == source.dtype
    return whole if alike and known in (None, whole) else None


def _number(value: Value) -> float | None:
    """The number that all elements of a constant are."""
    if value.kind != "constant" or value.span is not None or not value.data.size:
        return None
    first = value.data.reshape(-1)[0]
    return float(first) if bool((value.data == first).all()) else None
