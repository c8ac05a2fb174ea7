"""Products of what is put together, or taken apart, of which only a part belongs to a loop."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

from tinygradrnn.compiler.order import components
from tinygradrnn.compiler.passes.regroup import readers_of
from tinygradrnn.compiler.passes.simplify import refresh
from tinygradrnn.compiler.values import Rolled, Term, Use, Value
from tinygradrnn.ops import add, contract, matmul, take

Readers = dict[int, list[tuple[Value, Use]]]


def split_products(rolled: Rolled) -> int:
    """[x_t s] W is x_t W₁ + s W₂, of which the first is not for the loop; the gradients so too."""
    count = 0
    for part in components(rolled.values):
        inside = {id(value) for value in part} if len(part) > 1 else set()
        readers = readers_of(rolled)
        for value in part if inside else ():
            if _is_matrix_product(value):
                joined = value.inputs[0].value
                if _ends_free(joined) and _is_joined(joined, inside):
                    count += _split_sums(joined, readers)
                    _split_product(value)
                    count += 1
                elif _ends_free(value) and _is_parted(value, readers, inside):
                    _split_parts(value, readers)
                    count += 1
    refresh(rolled)
    return count


def _is_matrix_product(value: Value) -> bool:
    """Whether a value is x_t W."""
    if value.op is None or value.op.name != "matmul" or value.span is None:
        return False
    x, weight = value.inputs
    return x.shift == 0 and weight.shift is None and len(weight.value.shape) == 2


def _ends_free(value: Value) -> bool:
    return value.before is None and value.after is None


def _is_joined(value: Value, inside: set[int]) -> bool:
    """Whether a value is put together along its last axis, in part from outside of the loop."""
    if value.op is None or value.op.name != "concatenate":
        return False
    last = value.settings["axis"] % len(value.shape) == len(value.shape) - 1
    fits = all(len(use.value.shape) == len(value.shape) for use in value.inputs)
    return last and fits and any(id(use.value) not in inside for use in value.inputs)


def _bounds(joined: Value) -> list[tuple[Use, int, int]]:
    """The parts of a value that is put together, with where each begins and ends."""
    widths = accumulate((use.value.shape[-1] for use in joined.inputs), initial=0)
    return [(use, *ends) for use, ends in zip(joined.inputs, pairwise(widths), strict=True)]


def sliced(weight: Use, index: tuple[Any, ...], shape: tuple[int, ...]) -> Use:
    """A part of a weight."""
    value = Value("op", shape, weight.value.dtype, None, take)
    value.inputs, value.settings = [weight], {"index": index}
    return Use(value)


def _split_product(value: Value) -> None:
    joined, weight = value.inputs[0].value, value.inputs[1]
    products = []
    for use, start, stop in _bounds(joined):
        rows = sliced(weight, (slice(start, stop),), (stop - start, weight.value.shape[1]))
        one = Value("op", value.shape, value.dtype, value.span, matmul)
        one.inputs = [use, rows]
        products.append(Use(one, 0))
    while len(products) > 2:
        pair = Value("op", value.shape, value.dtype, value.span, add)
        pair.inputs = products[:2]
        products[:2] = [Use(pair, 0)]
    value.op, value.inputs = add, products


def _split_sums(joined: Value, readers: Readers) -> int:
    """Σ_t [x_t s]ᵀ δ_t: its rows for x and those for s."""
    count = 0
    for product, use in readers[id(joined)]:
        if product.op is not contract or product.inputs[0] != use or use.shift != 0:
            continue
        gradient = product.inputs[1]
        for total, over in readers[id(product)]:
            if total.kind != "sum" or over.span is None:
                continue
            terms: list[Term] = []
            for term in total.terms:
                if term != Term(over):
                    terms.append(term)
                    continue
                for source, start, stop in _bounds(joined):
                    shape = (stop - start, product.shape[1])
                    one = Value("op", shape, product.dtype, product.span, contract)
                    one.inputs = [source, gradient]
                    terms.append(Term(over._replace(value=one), (slice(start, stop),)))
            count += len(terms) > len(total.terms)
            total.terms = terms
    return count


def _is_parted(value: Value, readers: Readers, inside: set[int]) -> bool:
    """Whether all readers take columns of a product, and some of them outside of the loop."""
    found = readers.get(id(value), [])
    return all(columns_of(reader) is not None and use.shift == 0 for reader, use in found) and any(
        id(reader) not in inside for reader, _ in found
    )


def columns_of(value: Value) -> slice | None:
    """The columns that a value is, of what it reads."""
    if value.op is not take or value.span is None:
        return None
    *rest, last = value.settings["index"]
    whole = len(rest) == len(value.shape) - 1 or rest == [...]
    full = all(part is ... or part == slice(None) for part in rest)
    plain = isinstance(last, slice) and last.step in (None, 1)
    return last if whole and full and plain else None


def _split_parts(value: Value, readers: Readers) -> None:
    x, weight = value.inputs
    for reader, _ in readers[id(value)]:
        columns = columns_of(reader)
        shape = (weight.value.shape[0], reader.shape[-1])
        reader.op = matmul
        reader.inputs = [x, sliced(weight, (slice(None), columns), shape)]
        reader.settings = {}
