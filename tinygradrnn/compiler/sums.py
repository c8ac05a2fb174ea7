"""How sums are computed: of a few terms, over time, of parts of an array."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from tinygradrnn.compiler.kernels import product
from tinygradrnn.compiler.memory import flat, order_of
from tinygradrnn.compiler.reductions import reduce
from tinygradrnn.compiler.rows import Runs, add_rows, add_runs
from tinygradrnn.compiler.values import Term, Value
from tinygradrnn.compiler.views import part_of, rows_of
from tinygradrnn.ops import Hole, add_part
from tinygradrnn.recording import Array

if TYPE_CHECKING:
    from tinygradrnn.compiler.lowering import Lowering


def lower_sum(low: Lowering, value: Value, out: Array, batch: bool) -> None:
    """Add up the terms in ``out``."""
    terms = [term for term in value.terms if term.only is None]
    sometimes = [term for term in value.terms if term.only is not None]
    if not batch:
        now = [t._replace(only=None) for t in sometimes if t.only.holds(low.time)]  # type: ignore[union-attr]
        if terms or now or not sometimes:
            lower_terms(low, value, terms + now, out, batch)
        else:
            low.emit(low.xp.copyto, out, 0)
        return
    started = bool(terms) or not one_each(value)
    if terms:
        lower_terms(low, value, terms, out, batch)
    elif started:
        low.emit(low.xp.copyto, out, 0)
    for term in sometimes:
        if not in_place(low, value, term):
            some_steps(low, value, term, out, started)


def in_place(low: Lowering, value: Value, term: Term) -> bool:
    """Whether a term is computed right where it is added."""
    target, where = low.facts.packed.get(id(term.use.value), (None, None))
    return target is value and not term.use.shift and (term.where or ()) == (where or ())


def one_each(value: Value) -> bool:
    """Whether each step of a sum is one term, and all of that."""
    if value.span is None or any(t.only is None or t.where is not None for t in value.terms):
        return False
    steps = [t for term in value.terms for t in term.only.times]  # type: ignore[union-attr]
    return sorted(steps) == list(value.span.times)


def some_steps(low: Lowering, value: Value, term: Term, out: Array, started: bool) -> None:
    """Add a term that only some steps of the sum have."""
    assert term.only is not None and value.span is not None
    use = term.use
    steps = term.only.shifted(use.shift)
    x = low.operand(use) if use.shift is None else low.rows(use.value, steps)
    rows = rows_of(out, value.span, term.only)
    add(low, part_of(rows, (slice(None), *(term.where or ()))), x, started)


def lower_terms(low: Lowering, value: Value, terms: list[Term], out: Array, batch: bool) -> None:
    """Add up terms, each of which is there at all steps."""
    whole = [term for term in terms if term.where is None and term.axis is None]
    parts = [term for term in terms if not (term.where is None and term.axis is None)]
    started = False
    plain = [t for t in whole if t.use.span is None and not in_place(low, value, t)]
    if len(plain) > 1:
        low.emit(
            low.xp.add, read(low, plain[0], value, batch), read(low, plain[1], value, batch), out
        )
        started = True
        plain = plain[2:]
    for term in plain:
        started = add(low, out, read(low, term, value, batch), started)
    for term in whole:
        if term.use.span is not None:
            started = total(low, term, out, started)
    if parts and not started and not tiles(value, parts):
        low.emit(low.xp.copyto, out, 0)
        started = True
    for term in parts:
        if in_place(low, value, term):
            continue
        part(low, value, term, out, batch, started)


def read(low: Lowering, term: Term, value: Value, batch: bool) -> Array:
    """The array of a term."""
    use = term.use
    if use.shift is None:
        return low.operand(use)
    if batch:
        assert value.span is not None
        return low.rows(use.value, value.span.shifted(use.shift))
    return low.at(use.value, low.time + use.shift)


def add(low: Lowering, out: Array, x: Array, started: bool) -> bool:
    """Add to ``out``, or begin it."""
    if started:
        low.emit(low.xp.add, out, x, out)
    else:
        low.emit(low.xp.copyto, out, x)
    return True


def total(low: Lowering, term: Term, out: Array, started: bool) -> bool:
    """A sum over time; of products xᵀ g one product of all steps, of sums of rows one sum."""
    source = term.use.value
    span = term.use.span
    assert span is not None
    direct = not started and out.flags.c_contiguous
    target = out if direct else low.temporary(out.shape, out.dtype)
    if id(source) in low.facts.merged:
        factors = [low.rows(u.value, span.shifted(u.shift)) for u in source.inputs]
        if len(factors) == 2:
            product(low, target, *factors)
        else:
            axes = tuple(range(factors[0].ndim - target.ndim))
            reduce(low, "sum", factors[0], axes, target)
    else:
        reduce(low, "sum", low.rows(source, span), (0,), target)
    return True if direct else add(low, out, target, started)


def tiles(value: Value, parts: list[Term]) -> bool:
    """Whether parts cover all of a value without overlapping: then nothing need be zero first."""
    axis = parts[0].axis if parts else None
    if axis is not None:
        return along(value, axis, parts)
    found = []
    for term in parts:
        where = term.where
        if term.only is not None or term.axis is not None:
            return False
        if where is None or term.arrays or len(where) != 2 or where[0] is not ...:
            return False
        if not isinstance(where[1], slice) or where[1].step not in (None, 1):
            return False
        found.append(where[1].indices(value.shape[-1])[:2])
    found.sort()
    ends = [0, *(stop for _, stop in found)]
    return [start for start, _ in found] == ends[:-1] and ends[-1] == value.shape[-1]


def along(value: Value, axis: int, parts: list[Term]) -> bool:
    """Whether steps of some values, one beside the other along an axis, cover all of another."""
    positions: list[int] = []
    for term in parts:
        if term.axis != axis or term.only is not None:
            return False
        assert term.where is not None
        if any(p != slice(None) for p in term.where[:axis] + term.where[axis + 1 :]):
            return False
        positions += positions_of(term)
    return sorted(positions) == list(range(value.shape[axis]))


def positions_of(term: Term) -> range:
    """Where along its axis the steps of a term are added."""
    assert term.use.span is not None
    return range(term.offset, term.offset + term.every * term.use.span.steps, term.every)


def part(low: Lowering, value: Value, term: Term, out: Array, batch: bool, started: bool) -> None:
    """A term that is added to a part only."""
    where = term.where
    if term.axis is not None:
        assert term.use.span is not None and where is not None
        found = positions_of(term)
        steps = slice(found.start, found.stop if found.stop >= 0 else None, found.step)
        where = (*where[: term.axis], steps, *where[term.axis + 1 :])
        rows = low.rows(term.use.value, term.use.span)
        kept = [k for k, p in enumerate(where) if isinstance(p, slice)]
        position = kept.index(term.axis)
        x = rows.transpose((*range(1, position + 1), 0, *range(position + 1, rows.ndim)))
        add(low, part_of(out, where), x, started)
        return
    if term.use.span is not None and not term.arrays:
        assert where is not None
        total(low, term, part_of(out, where), started)
        return
    x = read(low, term, value, batch)
    if term.arrays and rows_at_ids(low, term, out, x):
        return
    if term.arrays:
        arrays = [low.operand(use) for use in term.arrays]
        low.emit(partial(scatter, out, term.where, arrays), x)
        return
    assert where is not None
    add(low, part_of(out, (slice(None), *where) if batch else where), x, started)


MOST_ROWS = 1024  # of a matrix whose rows are added to by a product with a one-hot matrix
MANY = 1 << 17  # numbers that are added: quicker one id at a time


def rows_at_ids(low: Lowering, term: Term, out: Array, x: Array) -> bool:
    """Add to rows of a matrix, out = out + onehot(ids)ᵀ x, without going from id to id."""
    ids_leaf = low.facts.root(term.arrays[0].value).leaf
    if term.where != (Hole(0),) or out.ndim != 2 or ids_leaf not in low.safe:
        return False
    ids = low.operand(term.arrays[0])
    rows = flat(x)
    if out.shape[0] > MOST_ROWS or rows is None or ids.ndim != x.ndim - 1:
        return False
    ordered = ids.transpose(order_of(x)[:-1])
    count = rows.shape[0]
    spare = low.temporary(out.shape, out.dtype)
    listed = low.temporary(ordered.shape, ids.dtype)
    if low.plain and rows.size >= MANY:
        key = (id(term.arrays[0].value), order_of(x))
        if key not in low.runs:
            low.runs[key] = Runs(count)
            low.emit(low.xp.copyto, listed, ordered)
            low.emit(low.runs[key].sort, listed.reshape(-1))
        block = low.temporary(rows.shape, rows.dtype)
        ones = low.filled(count, rows.dtype)
        low.emit(add_runs, low.runs[key], rows, out, block, ones, spare)
        return True
    low.emit(low.xp.copyto, listed, ordered)
    one_hot = low.temporary((count, out.shape[0]), out.dtype)
    numbers = low.xp.arange(count)
    low.emit(add_rows, listed.reshape(-1), rows, out, numbers, one_hot, spare, low.xp.dot)
    return True


def scatter(out: Array, where: Any, arrays: list[Array], x: Array) -> None:
    """Add to the elements at integer indices; where they repeat, all are added."""
    add_part(out, x, where, arrays)
