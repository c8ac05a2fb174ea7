"""A look-up followed by a product is a product followed by a look-up, of fewer rows."""

from __future__ import annotations

from math import prod

from tinygradrnn.compiler.passes.regroup import readers_of
from tinygradrnn.compiler.passes.simplify import refresh
from tinygradrnn.compiler.values import Rolled, Span, Term, Use, Value
from tinygradrnn.ops import Hole, contract, matmul, take

ROWS = (Hole(0),)
Positions = tuple[int, int, int]  # along which axis, the first, and how far apart
Scattered = dict[tuple[int, int, Span, Positions], Value]


def fold_embedding(rolled: Rolled) -> int:
    """(E[ids]) W is computed as (E W)[ids], and its gradients so too, where E has fewer rows."""
    count = 0
    for value in list(rolled.values):
        if is_lookup(value) and value.inputs[0].value.shape[0] < prod(value.shape[:-1]):
            count += _fold(rolled, value)
    refresh(rolled)
    return count


def is_lookup(value: Value) -> bool:
    """Whether a value is rows of a matrix, for ids of two axes."""
    return (
        value.kind == "op"
        and value.op is not None
        and value.op.name == "getitem"
        and value.settings["index"] == ROWS
        and len(value.shape) == 3
        and value.span is None
        and len(value.inputs[0].value.shape) == 2
    )


def _fold(rolled: Rolled, lookup: Value) -> int:
    """Fold the products of one look-up, all or none."""
    readers = readers_of(rolled)
    weight, ids = lookup.inputs
    steps = [reader for reader, _ in readers[id(lookup)]]
    if any(s.kind != "unstack" or s.before is not None or s.after is not None for s in steps):
        return 0
    products: list[Value] = []
    sums: list[tuple[Value, Value]] = []
    for step in steps:
        for reader, use in readers.get(id(step), []):
            name = reader.op.name if reader.op is not None else ""
            first = reader.inputs[0] == use if reader.inputs else False
            if name == "matmul" and first and reader.inputs[1].shift is None and use.shift == 0:
                products.append(reader)
            elif name == "contract" and first and use.shift == 0:
                ends = readers.get(id(reader), [])
                if len(ends) != 1 or ends[0][1].span is None or ends[0][0].kind != "sum":
                    return 0
                if ends[0][1].span != reader.span:
                    return 0
                sums.append((reader, ends[0][0]))
            else:
                return 0
    if not products:
        return 0
    scattered: Scattered = {}
    for product in products:
        _fold_product(product, weight, ids, lookup)
    for product, total in sums:
        _fold_sum(product, total, weight, ids, lookup, scattered)
    for value in rolled.values:
        _fold_gradient(value, ids, lookup, scattered, readers)
    return len(products) + len(sums)


def _fold_product(product: Value, weight: Use, ids: Use, lookup: Value) -> None:
    """x_t W with x = E[ids]: the steps of (E W)[ids]."""
    step, other = product.inputs[0].value, product.inputs[1]
    axis, offset, every = _positions(step, product)
    assert product.span is not None
    some = _some_ids(ids, axis, offset, every, product.span.steps)
    width = product.shape[-1]
    small = Value("op", (weight.value.shape[0], width), product.dtype, None, matmul)
    small.inputs = [weight, other]
    found = Value("op", (*some.value.shape, width), product.dtype, None, lookup.op)
    found.inputs, found.settings = [Use(small), some], lookup.settings
    product.kind, product.op = "unstack", None
    product.inputs, product.settings = [Use(found)], {"axis": axis, "offset": 0, "every": 1}


def _positions(step: Value, reader: Value) -> tuple[int, int, int]:
    """Where along which axis the steps of a look-up are that another value reads."""
    assert step.span is not None and reader.span is not None
    settings = step.settings
    every = reader.span.stride // step.span.stride or 1
    first = step.span.row(reader.span.first)
    return (
        settings["axis"],
        settings["offset"] + settings["every"] * first,
        settings["every"] * every,
    )


def _some_ids(ids: Use, axis: int, offset: int, every: int, steps: int) -> Use:
    """The ids of some steps."""
    shape = ids.value.shape
    if (offset, every, steps) == (0, 1, shape[axis]):
        return ids
    stop = offset + every * steps
    index = (*(slice(None),) * axis, slice(offset, stop if stop >= 0 else None, every))
    some = Value("op", (*shape[:axis], steps, *shape[axis + 1 :]), ids.value.dtype, None, take)
    some.inputs, some.settings = [ids], {"index": index}
    return Use(some)


def _scattered(
    gradient: Use, span: Span, ids: Use, lookup: Value, where: Positions, made: Scattered
) -> Value:
    """S = Σ onehot(ids)ᵀ δ over some steps, one row for each row of E."""
    source = gradient.value
    key = (id(source), gradient.shift or 0, span, where)
    if key not in made:
        axis, offset, every = where
        rows, width = lookup.inputs[0].value.shape[0], source.shape[-1]
        shape = (*source.shape[:axis], span.steps, *source.shape[axis:])
        whole = Value("stack", shape, source.dtype)
        whole.inputs = [Use(source, span=span.shifted(gradient.shift))]
        whole.settings = {"axis": axis}
        total = Value("sum", (rows, width), source.dtype)
        total.terms = [Term(Use(whole), ROWS, (_some_ids(ids, axis, offset, every, span.steps),))]
        made[key] = total
    return made[key]


def _fold_sum(
    product: Value,
    total: Value,
    weight: Use,
    ids: Use,
    lookup: Value,
    made: Scattered,
) -> None:
    """Σ_t x_tᵀ δ_t = Eᵀ S."""
    step, gradient = product.inputs[0].value, product.inputs[1]
    if gradient.shift is None:
        return
    assert product.span is not None
    small = _scattered(gradient, product.span, ids, lookup, _positions(step, product), made)
    folded = Value("op", product.shape, product.dtype, None, contract)
    folded.inputs = [weight, Use(small)]
    total.terms = [
        term._replace(use=Use(folded)) if term.use.value is product else term
        for term in total.terms
    ]


def _fold_gradient(
    value: Value,
    ids: Use,
    lookup: Value,
    made: Scattered,
    readers: dict[int, list[tuple[Value, Use]]],
) -> None:
    """Σ onehot(ids)ᵀ (δ Wᵀ) = S Wᵀ."""
    if value.kind != "sum" or value.shape != lookup.inputs[0].value.shape:
        return
    terms: list[Term] = []
    for term in value.terms:
        source = term.use.value
        inner = _flattened(source, readers)
        fits = term.where == ROWS and term.arrays == (ids,) and bool(inner)
        if not fits or not all(map(_is_product, inner)):
            terms.append(term)
            continue
        for part in inner:
            product = part.use.value
            gradient, other = product.inputs
            assert part.axis is not None and part.use.span is not None
            where = (part.axis, part.offset, part.every)
            small = _scattered(gradient, part.use.span, ids, lookup, where, made)
            back = Value("op", value.shape, value.dtype, None, matmul)
            back.inputs = [Use(small), other]
            terms.append(Term(Use(back)))
    value.terms = terms


def _flattened(source: Value, readers: dict[int, list[tuple[Value, Use]]]) -> list[Term]:
    """The terms of a sum that nothing else reads, those of a sum of steps in their place."""
    if source.kind != "sum" or len(readers[id(source)]) != 1:
        return []
    found: list[Term] = []
    for term in source.terms:
        inner = term.use.value
        alone = len(readers[id(inner)]) == 1 and inner.span is not None
        ends = inner.before is not None or inner.after is not None
        plain = all(t.where is None and t.axis is None and t.use.shift == 0 for t in inner.terms)
        span = inner.span if term.use.span == inner.span else None
        if inner.kind == "sum" and alone and plain and not ends and span is not None:
            found += [_of_steps(term, t, span) for t in inner.terms]
        else:
            found.append(term)
    return found


def _of_steps(term: Term, inner: Term, whole: Span) -> Term:
    """The steps of a term of a sum at each step, as one of a sum of all of them."""
    span = inner.only or whole
    return term._replace(
        use=Use(inner.use.value, span=span),
        offset=term.offset + term.every * whole.row(span.first),
        every=term.every * (span.stride // whole.stride or 1),
    )


def _is_product(term: Term) -> bool:
    """Whether a term is δ_t Wᵀ, all of its steps along an axis."""
    product = term.use.value
    return (
        term.axis is not None
        and product.op is not None
        and product.op.name == "matmul"
        and product.inputs[1].shift is None
        and product.inputs[0].shift is not None
        and product.before is None
        and product.after is None
    )
