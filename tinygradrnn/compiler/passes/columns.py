"""Columns that are read in groups, as the gates of a cell are: each group in an array of its own.

NumPy goes through a part of wider rows row by row, and BLAS lays out the weights of a larger
product anew at each step: by groups a product may be small enough to need neither.
"""

from __future__ import annotations

from itertools import pairwise
from math import prod

from tinygradrnn.compiler.order import components
from tinygradrnn.compiler.passes.embedding import ROWS, is_lookup
from tinygradrnn.compiler.passes.products import Readers, columns_of, sliced
from tinygradrnn.compiler.passes.regroup import readers_of
from tinygradrnn.compiler.passes.simplify import refresh, replace_uses
from tinygradrnn.compiler.sums import tiles
from tinygradrnn.compiler.values import Rolled, Term, Use, Value
from tinygradrnn.ops import contract, matmul, sum_to, take

ROWS_ENOUGH, ENOUGH = 16, 2048  # rows, and numbers, of a group: below, more calls cost more
UNPACKED = 100**3  # multiplications of a product for which BLAS packs nothing
ROW_BY_ROW = ("add", "subtract", "multiply", "negative")
Bounds = tuple[int, int]


def split_columns(rolled: Rolled) -> int:
    """Columns of a loop that are read in groups, such as gates, are computed group by group."""
    count = 0
    loops = [part for part in components(rolled.values) if len(part) > 1]
    places = [(value, part) for part in loops for value in part]
    for value, loop in places:
        readers = readers_of(rolled)
        groups = _groups(value, readers)
        if groups and _worth(value, groups) and _has_product(value, groups, readers):
            parts = _Parts(readers)
            new = {id(r): Use(parts.of(value, groups[id(r)]), 0) for r, _ in readers[id(value)]}
            replace_uses(rolled, new)
            refresh(rolled)
            count += len(set(groups.values()))
        elif _is_put_together(value) and _kept_apart(value, readers, loop):
            refresh(rolled)
            count += len(value.terms)
    return count


def _groups(value: Value, readers: Readers) -> dict[int, Bounds]:
    """Which columns each reader takes; empty if some take others, or groups overlap."""
    found: dict[int, Bounds] = {}
    for reader, use in readers.get(id(value), ()):
        columns = columns_of(reader) if reader is not value else None
        ends = reader.before is not None or reader.after is not None
        if columns is None or use.shift != 0 or ends or reader.span != value.span:
            return {}
        start, stop, _ = columns.indices(value.shape[-1])
        found[id(reader)] = start, stop
    bounds = sorted(set(found.values()))
    apart = all(one[1] <= other[0] for one, other in pairwise(bounds))
    return found if apart and len(bounds) > 1 else {}


def _worth(value: Value, groups: dict[int, Bounds]) -> bool:
    """Whether the groups are large enough."""
    rows = prod(value.shape[:-1])
    least = min(stop - start for start, stop in groups.values())
    ends = value.before is not None or value.after is not None
    return rows >= ROWS_ENOUGH and rows * least >= ENOUGH and not ends


def _has_product(value: Value, groups: dict[int, Bounds], readers: Readers) -> bool:
    """Whether a value is a product, or element by element made of one that nothing else reads."""
    if value.op is None or value.before is not None or value.after is not None:
        return False
    if value.op is matmul:
        widest = max(stop - start for start, stop in groups.values())
        return _by_weight(value) and _becomes_small(value, widest / value.shape[-1])
    return value.op.name in ROW_BY_ROW and any(
        use.value.shape == value.shape
        and len(readers[id(use.value)]) == 1
        and _has_product(use.value, groups, readers)
        for use in value.inputs
    )


def _by_weight(product: Value) -> bool:
    """Whether the second factor is one matrix for all steps."""
    weight = product.inputs[1]
    return len(weight.value.shape) == 2 and weight.shift is None


def _becomes_small(product: Value, part: float) -> bool:
    """Whether BLAS packs the factors of a product, and not those of a part of it."""
    work = prod(product.shape) * product.inputs[1].value.shape[0]
    return work * part <= UNPACKED < work


class _Parts:
    """Groups of columns of values: computed so, or else seen as a part."""

    def __init__(self, readers: Readers) -> None:
        self.readers = readers
        self.made: dict[tuple[int, Bounds], Value] = {}

    def of(self, value: Value, bounds: Bounds, whole: bool = False) -> Value:
        """Some columns of a value; ``whole``: of one that is computed as a whole anyway."""
        key = id(value), bounds
        if key not in self.made:
            start, stop = bounds
            shape = (*value.shape[:-1], stop - start)
            part = self.made[key] = Value("op", shape, value.dtype, value.span, value.op)
            part.name = value.name
            if whole or not self._computed(value, part, bounds):
                part.op, part.settings = take, {"index": (..., slice(start, stop))}
                part.inputs = [Use(value, None if value.span is None else 0)]
        return self.made[key]

    def _computed(self, value: Value, part: Value, bounds: Bounds) -> bool:
        """Let a part be computed as the value is, if that has no ends."""
        if value.before is not None or value.after is not None or not value.shape:
            return False
        name = value.op.name if value.op is not None else ""
        if name in ROW_BY_ROW:
            part.inputs = [self._read(use, value, bounds) for use in value.inputs]
        elif value.op is matmul and min(len(use.value.shape) for use in value.inputs) > 1:
            x, weight = value.inputs
            part.inputs = [x, self._read(weight, value, bounds)]
        elif value.kind == "unstack" and value.settings["axis"] < len(value.shape):
            part.kind, part.op, part.settings = "unstack", None, value.settings
            part.inputs = [self._read(value.inputs[0], value, bounds)]
        elif is_lookup(value):
            table, ids = value.inputs
            part.inputs = [self._read(table, value, bounds), ids]
            part.settings = value.settings
        else:
            return False
        return True

    def _read(self, use: Use, reader: Value, bounds: Bounds) -> Use:
        """How a part reads: the columns of what has them."""
        value = use.value
        if value.is_number or value.shape[-1:] != reader.shape[-1:]:
            return use  # broadcast along the columns
        others = len(self.readers.get(id(value), ())) > 1
        return use._replace(value=self.of(value, bounds, whole=others))


def _is_put_together(value: Value) -> bool:
    """Whether a value is nothing but groups of columns, put together at each step."""
    ends = value.before is not None or value.after is not None
    if value.kind != "sum" or value.span is None or len(value.terms) < 2 or ends:
        return False
    if not tiles(value, value.terms) or any(term.use.shift != 0 for term in value.terms):
        return False
    return _worth(value, {k: bounds for k, bounds in enumerate(_bounds(value))})


def _bounds(value: Value) -> list[Bounds]:
    """Where each part of a value that is put together begins and ends."""
    found = [term.where[1].indices(value.shape[-1]) for term in value.terms]  # type: ignore[index]
    return [(start, stop) for start, stop, _ in found]


def _kept_apart(value: Value, readers: Readers, loop: list[Value]) -> bool:
    """Let readers read the parts of a value; False if some of them need the whole."""
    found = readers.get(id(value), [])
    kinds = [_kind(value, reader, use, readers) for reader, use in found]
    products = [reader for (reader, _), kind in zip(found, kinds, strict=True) if kind == "product"]
    inside = {id(member) for member in loop}
    part = max(stop - start for start, stop in _bounds(value)) / value.shape[-1]
    small = all(id(r) in inside and _becomes_small(r, part) for r in products)
    if not products or not all(kinds) or not small:
        return False
    parts = [
        (term.use.value, bounds) for term, bounds in zip(value.terms, _bounds(value), strict=True)
    ]
    for (reader, use), kind in zip(found, kinds, strict=True):
        if kind == "product":
            _sum_of_products(reader, use, parts)
        elif kind == "total":
            _totals(reader, use, parts, readers)
        else:
            _rows(reader, use, parts, readers)
    return True


def _kind(value: Value, reader: Value, use: Use, readers: Readers) -> str:
    """How a reader can read parts: "" if it cannot."""
    if reader is value or sum(u.value is value for u in reader.uses()) != 1:
        return ""
    over = readers.get(id(reader), [])
    if reader.op is matmul and reader.inputs[0] == use and use.shift is not None:
        return "product" if _by_weight(reader) else ""
    last = reader.shape[-1:] == value.shape[-1:]
    if (reader.op is contract and reader.inputs[1] == use) or (reader.op is sum_to and last):
        fits = [r.kind == "sum" and u.span is not None and Term(u) in r.terms for r, u in over]
        return "total" if use.shift is not None and all(fits) else ""
    if reader.kind == "stack" and reader.settings["axis"] < len(reader.shape) - 1:
        fits = [r.kind == "sum" and [t.where for t in r.terms] == [ROWS] for r, _ in over]
        return "rows" if all(fits) else ""
    return ""


def _sum_of_products(reader: Value, use: Use, parts: list[tuple[Value, Bounds]]) -> None:
    """[δ₁ δ₂] W = δ₁ W₁ + δ₂ W₂."""
    weight = reader.inputs[1]
    terms = []
    for part, (start, stop) in parts:
        one = Value("op", reader.shape, reader.dtype, reader.span, matmul)
        shape = (stop - start, weight.value.shape[1])
        one.inputs = [use._replace(value=part), sliced(weight, (slice(start, stop),), shape)]
        terms.append(Term(Use(one, 0)))
    reader.kind, reader.op, reader.inputs, reader.terms = "sum", None, [], terms


def _totals(reader: Value, use: Use, parts: list[tuple[Value, Bounds]], readers: Readers) -> None:
    """Σ_t xᵀ [δ₁ δ₂] and Σ_t [δ₁ δ₂], their columns one group after the other."""
    for total, over in readers[id(reader)]:
        terms = [term for term in total.terms if term != Term(over)]
        for part, (start, stop) in parts:
            shape = (*reader.shape[:-1], stop - start)
            one = Value("op", shape, reader.dtype, reader.span, reader.op)
            one.inputs = [*reader.inputs[:-1], use._replace(value=part)]
            one.settings = {"shape": shape} if reader.op is sum_to else {}
            terms.append(Term(over._replace(value=one), (..., slice(start, stop))))
        total.terms = terms


def _rows(reader: Value, use: Use, parts: list[tuple[Value, Bounds]], readers: Readers) -> None:
    """Σ onehot(ids)ᵀ [δ₁ δ₂]: put together once more, as it has fewer rows."""
    for total, _ in readers[id(reader)]:
        terms = []
        for part, (start, stop) in parts:
            width = stop - start
            steps = Value("stack", (*reader.shape[:-1], width), reader.dtype)
            steps.inputs, steps.settings = [use._replace(value=part)], reader.settings
            one = Value("sum", (*total.shape[:-1], width), total.dtype)
            one.terms = [total.terms[0]._replace(use=Use(steps))]
            terms.append(Term(Use(one), (..., slice(start, stop))))
        total.terms = terms
