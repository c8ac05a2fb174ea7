"""The order of values: sources before readers, and what goes round in a cycle."""

from __future__ import annotations

from collections.abc import Sequence

from tinygradrnn.compiler.values import Value


def ordered(ends: Sequence[Value]) -> list[Value]:
    """The values that some need, sources before readers as far as a cycle allows."""
    found: dict[int, Value] = {}
    state: list[tuple[Value, list[Value]]] = []
    seen: set[int] = set()
    for end in ends:
        if id(end) in seen:
            continue
        seen.add(id(end))
        state.append((end, list(end.sources())[::-1]))
        while state:
            value, waiting = state[-1]
            if not waiting:
                found[id(value)] = value
                state.pop()
                continue
            source = waiting.pop()
            if id(source) not in seen:
                seen.add(id(source))
                state.append((source, list(source.sources())[::-1]))
    return list(found.values())


def components(values: Sequence[Value]) -> list[list[Value]]:
    """The strongly connected components, sources before readers (Tarjan 1972, not recursive)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    on: set[int] = set()
    stack_: list[Value] = []
    found: list[list[Value]] = []
    for start in values:
        if id(start) in index:
            continue
        work = [(start, iter(list(start.sources())))]
        index[id(start)] = low[id(start)] = len(index)
        stack_.append(start)
        on.add(id(start))
        while work:
            value, sources = work[-1]
            for source in sources:
                if id(source) not in index:
                    index[id(source)] = low[id(source)] = len(index)
                    stack_.append(source)
                    on.add(id(source))
                    work.append((source, iter(list(source.sources()))))
                    break
                if id(source) in on:
                    low[id(value)] = min(low[id(value)], index[id(source)])
            else:
                work.pop()
                if work:
                    parent = work[-1][0]
                    low[id(parent)] = min(low[id(parent)], low[id(value)])
                if low[id(value)] == index[id(value)]:
                    part = []
                    while True:
                        member = stack_.pop()
                        on.discard(id(member))
                        part.append(member)
                        if member is value:
                            break
                    found.append(part[::-1])
    return found
