"""Families: the nodes that one place of the program makes, one at every time step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn.compiler.patterns import kind, places, weights
from tinygradrnn.ops import stack
from tinygradrnn.recording import Leaf, Node

Key = tuple[Any, ...]
Run = tuple[int, int]


class Repeat(NamedTuple):
    """Where an operation stands that is repeated without ``timestep()`` around it."""

    run: int
    position: int
    step: int


def repeats(nodes: Sequence[Node]) -> dict[Node, Repeat]:
    """Loops that nobody labelled: the same operations again and again, found by their period."""
    free = [n for n in nodes if not n.is_leaf and n.timestep is None and n.place.origin is None]
    read = weights(enumerate(free))
    numbers: dict[Key, int] = {}
    kinds = np.array(
        [numbers.setdefault(kind(n, read), len(numbers)) for n in free],
        np.int64,
    )
    found: dict[Node, Repeat] = {}
    taken = np.zeros(len(free), bool)
    covers = {p: sum(n * p for _, n in runs(kinds, p, taken)) for p in periods(kinds)}
    for period in sorted(covers, key=lambda p: (-covers[p], p)):
        for first, steps in runs(kinds, period, taken):
            for k in range(first, first + steps * period):
                found[free[k]] = Repeat(first, (k - first) % period, (k - first) // period + 1)
                taken[k] = True
    return found


def runs(kinds: np.ndarray[Any, Any], period: int, taken: np.ndarray[Any, Any]) -> list[Run]:
    """Where operations come again after a period, three times at least, and how often."""
    same = np.zeros(len(kinds), bool)
    same[:-period] = (kinds[:-period] == kinds[period:]) & ~taken[:-period] & ~taken[period:]
    edges = np.flatnonzero(np.diff(np.r_[False, same, False])).tolist()
    found = [(a, (b - a) // period + 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]
    return [(first, steps) for first, steps in found if steps >= 3]


def periods(kinds: np.ndarray[Any, Any]) -> list[int]:
    """The distances at which operations of the same kind follow each other, the commonest first."""
    found: Counter[int] = Counter()
    for one in range(int(kinds.max(initial=-1)) + 1):
        distances, counts = np.unique(np.diff(np.flatnonzero(kinds == one)), return_counts=True)
        for distance, count in zip(distances.tolist(), counts.tolist(), strict=True):
            if count >= 2:
                found[distance] += count * distance
    return [period for period, _ in found.most_common(8)]


def time_of(node: Node, found: dict[Node, int | None]) -> int | None:
    """The step that a node belongs to; the gradient of a part of all steps to that of the part."""
    if node.timestep is not None or node.place.origin is None:
        return node.timestep
    source, argument = node.place.origin
    if argument is not None and joins_steps(source, found):
        source = source.inputs[argument]
    return found.get(source, source.timestep)


def joins_steps(node: Node, found: dict[Node, int | None]) -> bool:
    """Whether a node stacks what steps made; not so a stack inside a step."""
    return node.operation is stack and found.get(node, node.timestep) is None


def group(nodes: Sequence[Node], ordinals: dict[Node, int]) -> list[dict[int, Node]]:
    """The nodes that are made by the same place of the program, by time step."""
    step: dict[Node, int | None] = {}
    counted: dict[Key, int] = {}
    key_of: dict[Node, Key] = {}
    found: dict[Key, dict[int, Node]] = {}
    repeated = repeats(nodes)
    aligned = places(nodes)
    for node in nodes:
        if isinstance(node, Leaf):
            continue
        again = repeated.get(node)
        t = step[node] = time_of(node, step) if again is None else again.step
        origin = node.place.origin
        if again is not None:
            place: Key = (again.run, again.position)
        elif node in aligned:
            place = (aligned[node],)
        elif origin is None:
            place = (node.scope, node.op, ordinals.get(node, 0))
        else:
            source, argument = origin
            if joins_steps(source, step):
                part = None if argument is None else repeated.get(source.inputs[argument])
                argument = part and part.position
            place = (key_of.get(source, ()), argument, node.op)
        within = (place, t if origin is None else origin[0].order, origin and origin[1])
        ordinal = counted[within] = counted.get(within, -1) + 1
        dtype = getattr(node.value, "dtype", None)
        key = (place, ordinal, node.shape, dtype, node.op)
        key_of[node] = key if t is not None else (node.order,)
        if t is not None:
            found.setdefault(key, {})[t] = node
    return list(found.values())


class Part(NamedTuple):
    """One operand of an accumulate node, with the part of the sum it is added to."""

    source: Node
    where: tuple[Any, ...] | None
    arrays: tuple[Node, ...]


def split(node: Node) -> list[Part]:
    """The operands of an accumulate node."""
    parts = []
    position = 0
    for where, n_arrays in node.settings["places"]:
        arrays = node.inputs[position + 1 : position + 1 + n_arrays]
        parts.append(Part(node.inputs[position], where, arrays))
        position += 1 + n_arrays
    return parts


def moving(index: tuple[Any, ...] | None) -> tuple[int | None, Any]:
    """The first axis at which an index is one integer, and the index without it."""
    for axis, part in enumerate(index or ()):
        if isinstance(part, int):
            return axis, index[:axis] + index[axis + 1 :]  # type: ignore[index]
        if not isinstance(part, slice):
            break
    return None, index
