"""A bias that is added to a look-up is added to its table, which has fewer rows."""

from __future__ import annotations

from math import prod

from tinygradrnn.compiler.passes.embedding import ROWS, is_lookup
from tinygradrnn.compiler.passes.regroup import readers_of
from tinygradrnn.compiler.passes.simplify import refresh
from tinygradrnn.compiler.values import Rolled, Term, Use, Value
from tinygradrnn.ops import sum_to


def fold_bias(rolled: Rolled) -> int:
    """M[ids] + b is computed as (M + b)[ids], and Σ_t δ_t from the rows of Σ onehot(ids)ᵀ δ."""
    readers = readers_of(rolled)
    count = 0
    for value in list(rolled.values):
        bias, step = _biased(value)
        if bias is None or step is None or len(readers[id(step.value)]) != 1:
            continue
        lookup = step.value.inputs[0].value
        table, ids = lookup.inputs
        small = Value("op", table.value.shape, value.dtype, None, value.op)
        small.inputs = [table, bias]
        found = Value("op", lookup.shape, value.dtype, None, lookup.op)
        found.inputs, found.settings = [Use(small), ids], lookup.settings
        value.kind, value.op = "unstack", None
        value.inputs, value.settings = [Use(found)], step.value.settings
        count += 1
    count += _sums_of_rows(rolled)
    refresh(rolled)
    return count


def _biased(value: Value) -> tuple[Use | None, Use | None]:
    """The bias, and the steps of a look-up in a table of fewer rows, if a value is their sum."""
    if value.op is None or value.op.name != "add" or value.span is None:
        return None, None
    for bias, step in (value.inputs, value.inputs[::-1]):
        source = step.value
        if source.kind != "unstack" or step.shift != 0 or source.span != value.span:
            continue
        lookup = source.inputs[0].value
        ends = source.before is not None or source.after is not None
        if ends or not is_lookup(lookup) or bias.shift is not None or bias.value.is_number:
            continue
        few = lookup.inputs[0].value.shape[0] < prod(lookup.shape[:-1])
        if few and bias.value.shape == value.shape[-1:] and value.dtype == source.dtype:
            return bias, step
    return None, None


def _sums_of_rows(rolled: Rolled) -> int:
    """Σ_t Σ_batch δ_t where Σ onehot(ids)ᵀ δ is there: the sum of the rows of that."""
    by_rows: dict[int, tuple[Value, Use]] = {}
    for value in rolled.values:
        if value.kind == "sum" and len(value.terms) == 1 and value.terms[0].where == ROWS:
            whole = value.terms[0].use.value
            if whole.kind == "stack":
                by_rows[id(whole.inputs[0].value)] = (value, whole.inputs[0])
    count = 0
    for value in rolled.values:
        for k, term in enumerate(value.terms):
            over = term.use.value
            if over.op is not sum_to or term.where is not None or term.axis is not None:
                continue
            source = over.inputs[0]
            rows, steps = by_rows.get(id(source.value), (None, None))
            fits = steps is not None and term.use.span == steps.span == over.span
            if rows is None or not fits or source.shift != 0 or over.shape != rows.shape[1:]:
                continue
            total = Value("op", over.shape, over.dtype, None, sum_to)
            total.inputs, total.settings = [Use(rows)], {"shape": over.shape}
            value.terms[k] = Term(Use(total))
            count += 1
    return count
