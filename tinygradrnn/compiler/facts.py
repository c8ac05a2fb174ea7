"""What is known of the values of a program before any of them gets a place in memory."""

from __future__ import annotations

from typing import Any

from tinygradrnn.compiler.schedule import Region
from tinygradrnn.compiler.sums import one_each, tiles
from tinygradrnn.compiler.values import Rolled, Use, Value
from tinygradrnn.compiler.views import is_view


class Facts:
    """Who reads each value and until when, and which values need no place of their own.

    Attributes
    ----------
    readers : dict of id to list of (Value, Use or None)
        None for one that reads it as what stands before or after its own steps.
    ends : set of id
        What the program returns or assigns.
    ahead : set of id
        Values that are computed ahead of a loop, for some of its steps at a time.
    packed : dict of id to (Value, index)
        Values that are only a part of a sum of parts: computed right where they belong.
    merged : set of id
        Products and sums of rows of each step that are only summed over time: one product, or
        sum of all rows, computes that.
    updates : set of id
        New values of parameters that can be computed right into the parameter, at the end.
    last : dict of id to int
        The last region that reads the array of each value.
    """

    def __init__(self, rolled: Rolled, regions: list[Region], plain: bool = False) -> None:
        self.rolled, self.regions, self.plain = rolled, regions, plain
        self.readers: dict[int, list[tuple[Value, Use | None]]] = {}
        for value in rolled.values:
            for use in value.uses():
                self.readers.setdefault(id(use.value), []).append((value, use))
            for end in (value.before, value.after):
                if isinstance(end, Value):
                    self.readers.setdefault(id(end), []).append((value, None))
        self.region_of = {
            id(v): k for k, region in enumerate(regions) for v in (*region.values, *region.ahead)
        }
        self.ends = {id(u.value) for u in rolled.outputs} | {id(u.value) for _, u in rolled.assigns}
        self.ahead = {id(value) for region in regions for value in region.ahead}
        self.packed = self._packed()
        self.packed_into = {id(target) for target, _ in self.packed.values()}
        self.merged = self._merged()
        self.updates = self._updates()
        self.last = self._last_uses()

    def root(self, value: Value) -> Value:
        """The value whose array another one looks at."""
        while True:
            if id(value) in self.packed:
                value = self.packed[id(value)][0]
            elif is_view(value) or (value.op is not None and value.op.name == "reshape"):
                value = value.inputs[0].value
            else:
                return value

    def _last_uses(self) -> dict[int, int]:
        """The last region that reads the array of each value."""
        last: dict[int, int] = {}
        for k, region in enumerate(self.regions):
            for value in (*region.ahead, *region.values):
                for source in (value, *value.sources()):
                    key = id(self.root(source))
                    last[key] = max(last.get(key, k), k)
        for key in self.merged:
            value = next(v for v in self.rolled.values if id(v) == key)
            end = max(self.region_of[id(reader)] for reader, _ in self.readers[key])
            for source in value.sources():
                last[id(self.root(source))] = max(last[id(self.root(source))], end)
        never = len(self.regions)
        for use in [*self.rolled.outputs, *(use for _, use in self.rolled.assigns)]:
            last[id(self.root(use.value))] = never
        for _, use in self.rolled.assigns:  # the new value is computed at the end
            if id(use.value) in self.updates:
                for source in use.value.sources():
                    last[id(self.root(source))] = never
        return last

    def _updates(self) -> set[int]:
        """New values of leaves that can be computed right into the leaf's array, at the end."""
        assigned = {id(leaf) for leaf, _ in self.rolled.assigns}
        found = set()
        for leaf, use in self.rolled.assigns:
            value = use.value
            name = value.op.name if value.op is not None else ""
            alone = (
                id(value) not in self.readers
                and sum(u.value is value for u in self.rolled.outputs) == 0
            )
            others = {id(self.root(s)) for s in value.sources()} - {id(leaf)}
            same = value.shape == leaf.shape and value.dtype == leaf.dtype
            simple = name in ("add", "subtract", "multiply") and value.span is None
            if simple and alone and same and not others & assigned:
                found.add(id(value))
        return found

    def _packed(self) -> dict[int, tuple[Value, Any]]:
        """Values that are only a part of a sum of parts: computed right where they belong."""
        found: dict[int, tuple[Value, Any]] = {}
        for value in self.rolled.values:
            if value.kind == "sum" and one_each(value):
                self._pack_steps(value, found)
            if value.kind != "sum" or not tiles(value, value.terms):
                continue
            for term in value.terms:
                source, use = term.use.value, term.use
                one = len(self.readers.get(id(source), ())) == 1 or self._in_loop(value)
                one = one and id(source) not in self.ends
                own = self._has_room(source)
                steps = source.span == value.span and use.shift in (0, None)
                if term.axis is not None:
                    steps = False
                free = source.before is None and source.after is None
                if one and own and steps and free and source.dtype == value.dtype:
                    found[id(source)] = (value, term.where)
        return found

    def _in_loop(self, value: Value) -> bool:
        """Whether a value is computed step by step."""
        return self.regions[self.region_of[id(value)]].steps is not None

    def _has_room(self, value: Value) -> bool:
        """Whether a value is computed into an array that could be a part of another one."""
        name = value.op.name if value.op is not None else ""
        computed = value.kind in ("op", "sum") and name not in ("reshape", "contract")
        return computed and not is_view(value) and id(value) not in self.ahead

    def _pack_steps(self, value: Value, found: dict[int, tuple[Value, Any]]) -> None:
        """Values that are some steps of another one: computed right among these."""
        for term in value.terms:
            source, use = term.use.value, term.use
            own = self._has_room(source)
            free = source.before is None and source.after is None and id(source) not in self.ends
            steps = source.span == term.only and use.shift == 0
            if own and free and steps and id(source) not in found and source.dtype == value.dtype:
                found[id(source)] = (value, ())

    def _merged(self) -> set[int]:
        """Products of each step that are only summed over time: one product computes the sum."""
        found = set()
        for value in self.rolled.values:
            name = value.op.name if value.op is not None else ""
            over_rows = (
                name == "sum_to"
                and self.plain
                and value.inputs[0].value.shape[-len(value.shape) :] == value.shape
            )
            if value.span is None or not (name == "contract" or over_rows):
                continue
            readers = self.readers.get(id(value), [])
            summed = [r.kind == "sum" and u is not None and u.span is not None for r, u in readers]
            timed = all(use.shift is not None for use in value.inputs)
            if readers and all(summed) and timed and id(value) not in self.ends:
                found.add(id(value))
        return found

    def needs_steps(self, value: Value, region: Region) -> bool:
        """Whether the steps of a value of a loop are needed after their own step."""
        while id(value) in self.packed:
            value = self.packed[id(value)][0]
        return self._needed(value, region)

    def _needed(self, value: Value, region: Region) -> bool:
        if id(value) in self.ends or value.before is not None or value.after is not None:
            return True
        for part, (target, _) in self.packed.items():
            if target is value:
                source = next(t.use.value for t in value.terms if id(t.use.value) == part)
                if source not in region or self._needed(source, region):
                    return True
        for reader, use in self.readers.get(id(value), ()):
            if reader not in region or use is None or use.shift != 0:
                return True
            if is_view(reader) and self.needs_steps(reader, region):
                return True
        return False
