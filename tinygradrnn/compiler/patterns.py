"""Steps that are not all alike: which operation of one is which of another, and how often."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from itertools import count, pairwise
from typing import Any

from tinygradrnn.compiler.values import Span
from tinygradrnn.recording import Node

MOST = 64  # kinds of steps that are compared
EDGE = 2  # steps at each end that may fall out of a pattern

Line = tuple[int, ...]


def progressions(steps: Sequence[int]) -> list[Span] | None:
    """Ascending steps as arithmetic progressions, as few as there are in a period of theirs.

    The steps 1, 2, 4, 5, 7, 8 are 1, 4, 7 and 2, 5, 8. Up to two at each end may stand alone.
    None where no pattern comes again.
    """
    if len(steps) == 1:
        return [Span(steps[0], steps[0])]
    for lost in range(min(2 * EDGE, len(steps) - 2) + 1):
        for lead in range(max(0, lost - EDGE), min(lost, EDGE) + 1):
            inner = steps[lead : len(steps) - lost + lead]
            found = _repeated(inner)
            if found:
                edges = [*steps[:lead], *steps[lead + len(inner) :]]
                return [*found, *(Span(t, t) for t in edges)]
    return None


def _repeated(steps: Sequence[int]) -> list[Span]:
    gaps = [later - t for t, later in pairwise(steps)]
    borders = [0] * len(gaps)  # of each beginning, the longest one that is its end too
    for k in range(1, len(gaps)):
        length = borders[k - 1]
        while length and gaps[k] != gaps[length]:
            length = borders[length - 1]
        borders[k] = length + (gaps[k] == gaps[length])
    period = len(gaps) - borders[-1]
    if 2 * period > len(steps):
        return []
    stride = sum(gaps[:period])
    return [Span(steps[k], steps[k::period][-1], stride) for k in range(period)]


def places(nodes: Sequence[Node]) -> dict[Node, int]:
    """Which operations of labelled steps are the same line of the program, where steps differ.

    A step is a sequence of operations; each is laid beside those that were looked at before, as
    versions of a text are. Empty where all steps are alike: then the order within a step tells.
    """
    inside = [n for n in nodes if n.timestep is not None and n.place.origin is None]
    read = weights((n.timestep, n) for n in inside)  # type: ignore[misc]
    kinds: dict[Any, int] = {}
    members: dict[Any, list[Node]] = defaultdict(list)
    written: dict[Any, list[int]] = defaultdict(list)
    for node in inside:
        step = (node.cell, node.timestep)
        members[step].append(node)
        written[step].append(kinds.setdefault(kind(node, read), len(kinds)))
    layers: dict[Any, dict[Line, None]] = defaultdict(dict)
    for (cell, _), line in written.items():
        layers[cell][tuple(line)] = None
    found: dict[Node, int] = {}
    first = 0
    for cell, lines in layers.items():
        if not 1 < len(lines) <= MOST:
            continue
        positions, size = _aligned(sorted(lines, key=len, reverse=True))
        for step, line in written.items():
            if step[0] == cell:
                own = positions[tuple(line)]
                found |= {n: first + p for n, p in zip(members[step], own, strict=True)}
        first += size
    return found


def weights(steps: Iterable[tuple[int, Node]]) -> dict[Node, int]:
    """What is made outside of all steps and read in most of their range, numbered."""
    seen: dict[Node, tuple[int, int]] = {}
    labels: list[int] = []
    for t, node in steps:
        labels.append(t)
        for source in node.inputs:
            if source.is_leaf or (node.timestep is not None and source.timestep is None):
                first, last = seen.get(source, (t, t))
                seen[source] = min(first, t), max(last, t)
    most = (max(labels) - min(labels)) / 2 if labels else 0
    lasting = [node for node, (first, last) in seen.items() if last - first > most]
    return {node: number for number, node in enumerate(lasting)}


def kind(node: Node, read: dict[Node, int]) -> tuple[Any, ...]:
    """What an operation has in common with the same one of another step, its weights included."""
    settings = node.settings
    if "index" in settings:  # the position of a step's own slice is another one at each
        index = tuple(None if isinstance(part, int) else part for part in settings["index"])
        settings = {**settings, "index": index}
    numbers = tuple([read.get(source) for source in node.inputs])
    return node.op, node.scope, node.shape, repr(settings) if settings else "", numbers


def _aligned(lines: Sequence[Line]) -> tuple[dict[Line, list[int]], int]:
    """The place of each operation of each line, and how many places there are."""
    text: list[int] = []  # of all lines together
    names: list[int] = []  # of its places
    found: dict[Line, list[int]] = {}
    fresh = count()
    for line in lines:
        merged: list[int] = []
        kept: list[int] = []
        own: list[int] = []
        for tag, a, b, c, d in SequenceMatcher(None, text, line, autojunk=False).get_opcodes():
            merged += text[a:b]
            kept += names[a:b]
            if tag == "equal":
                own += names[a:b]
            else:
                new = [next(fresh) for _ in range(c, d)]
                merged += line[c:d]
                kept += new
                own += new
        text, names, found[line] = merged, kept, own
    return found, len(names)
