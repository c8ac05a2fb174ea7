"""What a loop need not compute step by step is computed before it, for all steps at once."""

from __future__ import annotations

import numpy as np

from tinygradrnn.compiler.order import components
from tinygradrnn.compiler.passes.simplify import plain, refresh
from tinygradrnn.compiler.values import Rolled, Term, Use, Value
from tinygradrnn.ops import add as add_op
from tinygradrnn.ops import multiply, subtract

CHAINS = ("add", "multiply")


def readers_of(rolled: Rolled) -> dict[int, list[tuple[Value, Use]]]:
    """Who reads each value, and how; the outputs count as readers of their own."""
    found: dict[int, list[tuple[Value, Use]]] = {}
    for value in rolled.values:
        for use in value.uses():
            found.setdefault(id(use.value), []).append((value, use))
        for end in (value.before, value.after):
            if isinstance(end, Value):
                found.setdefault(id(end), []).append((value, Use(end)))
    for use in [*rolled.outputs, *(use for _, use in rolled.assigns)]:
        found.setdefault(id(use.value), []).append((use.value, use))
    return found


def regroup(rolled: Rolled) -> int:
    """Sums and products in a loop: what does not come from the loop is put together before it."""
    count = 0
    for part in components(rolled.values):
        if len(part) > 1:
            count += _regroup_loop(rolled, part)
    refresh(rolled)
    return count


def _regroup_loop(rolled: Rolled, part: list[Value]) -> int:
    inside = {id(value) for value in part}
    readers = readers_of(rolled)
    count = 0
    taken: set[int] = set()
    for value in part:
        name = chain_name(value)
        if name is None or id(value) in taken:
            continue
        if _continues(value, name, readers, inside):
            continue  # the last of a chain takes all of it
        operands, links = _flattened(value, name, readers, inside)
        from_loop = [use for use in operands if id(use.value) in inside]
        outside = [use for use in operands if id(use.value) not in inside]
        if len(outside) < 2 or not from_loop:
            continue
        joined = _joined(value, name, outside)
        taken |= links
        rest = [*from_loop, joined]
        while len(rest) > 2:
            rest = [Use(_pair(value, name, rest[0], rest[1]), shift=0), *rest[2:]]
        value.kind, value.terms, value.settings = "op", [], {}
        value.op = value.op if name == "multiply" else add_op
        value.inputs = rest
        count += 1
    return count


def chain_name(value: Value) -> str | None:
    """Whether a value is a sum or product of equals, and which."""
    if value.span is None:
        return None
    if value.kind == "sum":
        whole = all(t.whole and t.use.span is None for t in value.terms)
        return "add" if whole and len(value.terms) > 1 else None
    if value.kind == "op" and value.op is not None and value.op.name in CHAINS:
        return value.op.name
    return None


def operands_of(value: Value) -> list[Use]:
    """What a sum or a product is made of."""
    return [term.use for term in value.terms] if value.kind == "sum" else list(value.inputs)


def _continues(
    value: Value, name: str, readers: dict[int, list[tuple[Value, Use]]], inside: set[int]
) -> bool:
    """Whether a value is only a link of a longer chain."""
    found = readers.get(id(value), [])
    if len(found) != 1 or value.before is not None or value.after is not None:
        return False
    reader, use = found[0]
    same = chain_name(reader) == name and id(reader) in inside and reader is not value
    return same and use.shift == 0 and reader.shape == value.shape and reader.span == value.span


def _flattened(
    value: Value, name: str, readers: dict[int, list[tuple[Value, Use]]], inside: set[int]
) -> tuple[list[Use], set[int]]:
    found: list[Use] = []
    links: set[int] = set()
    waiting = list(reversed(operands_of(value)))
    while waiting:
        use = waiting.pop()
        link = use.value
        if (
            id(link) in inside
            and use.shift == 0
            and chain_name(link) == name
            and _continues(link, name, readers, inside)
            and link.dtype == value.dtype
        ):
            links.add(id(link))
            waiting += reversed(operands_of(link))
        else:
            found.append(use)
    return found, links


def _joined(value: Value, name: str, uses: list[Use]) -> Use:
    """The sum or product of what comes from outside the loop, for all steps."""
    rest = sorted(uses, key=lambda use: use.shift is not None)  # what is fixed first
    while len(rest) > 1:
        made = _pair(value, name, rest[0], rest[1])
        rest = [Use(made, shift=0 if made.span else None), *rest[2:]]
    return rest[0]


def _pair(like: Value, name: str, first: Use, second: Use) -> Value:
    timed = not (plain(first) and plain(second))
    shape = np.broadcast_shapes(first.value.shape, second.value.shape)
    op = like.op if name == "multiply" else add_op
    made = Value("op", shape, like.dtype, like.span if timed else None, op)
    made.inputs = [first, second]
    return made


def factor(rolled: Rolled) -> int:
    """G a − g b is computed as g (a − b) where a − b is known before the loop."""
    count = 0
    for part in components(rolled.values):
        inside = {id(value) for value in part}
        if len(part) < 2:
            continue
        readers = readers_of(rolled)
        for value in part:
            if value.kind != "sum" or len(value.terms) != 2 or chain_name(value) != "add":
                continue
            found = [_scaled(term, readers) for term in value.terms]
            if None in found:
                continue
            (sign_a, a), (sign_b, b) = found  # type: ignore[misc]
            shared = next((u for u in a.inputs if id(u.value) in inside and u in b.inputs), None)
            if shared is None or sign_a == sign_b < 0:
                continue
            rest_a = _other(a, shared)
            rest_b = _other(b, shared)
            if id(rest_a.value) in inside or id(rest_b.value) in inside:
                continue
            if sign_a < 0:
                rest_a, rest_b = rest_b, rest_a
            op = add_op if sign_a == sign_b else subtract
            joined = Value("op", value.shape, value.dtype, value.span, op)
            joined.inputs = [rest_a, rest_b]
            value.kind, value.terms, value.op = "op", [], multiply
            value.inputs = [shared, Use(joined, shift=0)]
            value.settings = {}
            count += 1
    refresh(rolled)
    return count


def _scaled(term: Term, readers: dict[int, list[tuple[Value, Use]]]) -> tuple[int, Value] | None:
    """A term that is a product, or minus one; the sign and the product."""
    sign, use = 1, term.use
    value = use.value
    if value.op is not None and value.op.name == "negative" and use.shift == 0:
        if len(readers[id(value)]) > 1 or value.before is not None or value.after is not None:
            return None
        sign, use = -1, value.inputs[0]
        value = use.value
    alone = len(readers[id(value)]) == 1 and value.before is None and value.after is None
    if use.shift != 0 or not alone or value.op is None or value.op.name != "multiply":
        return None
    return sign, value


def _other(product: Value, shared: Use) -> Use:
    first, second = product.inputs
    return second if first == shared else first
