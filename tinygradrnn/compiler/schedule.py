"""In which order a program runs: all steps of a value at once where possible, else step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import gcd

from tinygradrnn.compiler.order import components
from tinygradrnn.compiler.values import Rolled, Value


@dataclass
class Region:
    """What runs together.

    Attributes
    ----------
    values : list of Value
        In the order in which a step computes them.
    steps : range or None
        The time steps of a loop, in the order in which it runs; None for a single value, which
        computes all of its steps at once.
    ahead : list of Value
        What a loop alone reads and does not make: computed for some of its steps at a time.
    """

    values: list[Value]
    steps: range | None = None
    ahead: list[Value] = field(default_factory=list)

    def __contains__(self, value: object) -> bool:
        return any(member is value for member in self.values)


def schedule(rolled: Rolled) -> list[Region]:
    """The regions of a program, sources before readers."""
    return [
        Region(part) if len(part) == 1 and not reads_itself(part[0]) else loop(part)
        for part in components(rolled.values)
    ]


def reads_itself(value: Value) -> bool:
    """Whether a value reads its own step before."""
    return any(use.value is value for use in value.uses())


def loop(part: Sequence[Value]) -> Region:
    """A cycle as a loop over time."""
    inside = {id(value) for value in part}
    shifts = {
        use.shift for value in part for use in value.uses() if id(use.value) in inside and use.shift
    }
    spans = [value.span for value in part if value.span is not None]
    first, last = min(s.first for s in spans), max(s.last for s in spans)
    backwards = bool(shifts) and max(shifts) > 0
    steps = range(first, last + 1, gcd(*(n for s in spans for n in (s.stride, s.first - first))))
    return Region(within_step(part), steps[::-1] if backwards else steps)


def tangled(part: Sequence[Value]) -> bool:
    """Whether no order would do: steps wait for earlier and later ones, or round within a step."""
    inside = {id(value) for value in part}
    shifts = [use.shift for v in part for use in v.uses() if id(use.value) in inside and use.shift]
    if shifts and min(shifts) < 0 < max(shifts):
        return True
    waits = {id(value): len(_now(value, inside)) for value in part}
    readers: dict[int, list[int]] = {}
    for value in part:
        for source in _now(value, inside):
            readers.setdefault(id(source), []).append(id(value))
    ready = [key for key, count in waits.items() if not count]
    for key in ready:  # grows on the way
        for reader in readers.get(key, ()):
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    return len(ready) < len(waits)


def within_step(part: Sequence[Value]) -> list[Value]:
    """The values of a loop in the order in which one step computes them."""
    inside = {id(value) for value in part}
    found: dict[int, Value] = {}
    for start in part:
        work = [(start, _now(start, inside))]
        while work:
            value, waiting = work[-1]
            while waiting and id(waiting[-1]) in found:
                waiting.pop()
            if waiting:
                source = waiting.pop()
                work.append((source, _now(source, inside)))
            else:
                found.setdefault(id(value), value)
                work.pop()
    return list(found.values())


def _now(value: Value, inside: set[int]) -> list[Value]:
    """What a value reads of its own step, within the loop."""
    uses = [use for use in value.uses() if id(use.value) in inside and use.shift == 0]
    return [use.value for use in reversed(uses)]
