"""Lowering: from values to a list of calls on arrays that are all there before the first one."""

from __future__ import annotations

from collections.abc import Callable, Collection
from math import prod
from typing import Any

import numpy as np

from tinygradrnn.compiler.blocks import Blocks, joined_to_loops, laid_out
from tinygradrnn.compiler.facts import Facts
from tinygradrnn.compiler.kernels import BROADCASTING, IN_PLACE, KERNELS, fallback
from tinygradrnn.compiler.memory import Pool, Stored, address, order_of, shaped
from tinygradrnn.compiler.neighbours import beside
from tinygradrnn.compiler.rows import Runs
from tinygradrnn.compiler.schedule import Region, schedule
from tinygradrnn.compiler.sums import lower_sum
from tinygradrnn.compiler.values import Rolled, Span, Use, Value
from tinygradrnn.compiler.views import aligned, is_view, look, part_of, rows_of, unstacked
from tinygradrnn.plugins import Backend
from tinygradrnn.recording import Array, Leaf

Call = tuple[Callable[..., Any], tuple[Any, ...]]
Order = tuple[int, ...]


class Lowering:
    """Turns a program into calls.

    Attributes
    ----------
    calls : list of (function, arguments)
    refresh : list of (array, callable)
        Numbers to be asked for before the first call.
    sections : list of (Region, int)
        The regions, and at which call each begins.
    turns : list of list of int
        For each loop, at which call each of its turns begins, and the last one ends.
    """

    def __init__(
        self, rolled: Rolled, backend: Backend, safe: Collection[Leaf] = (), plain: bool = False
    ) -> None:
        self.plain = plain  # calls of NumPy that no kernels replace: made for its caches
        self.safe = safe  # integers that are checked to be in range, and not negative
        self.rolled, self.backend, self.xp = rolled, backend, backend.xp
        self.regions = schedule(rolled)
        if self.xp is np:
            self.regions = joined_to_loops(rolled, self.regions)
        self.pool = Pool(self.xp)
        self.calls: list[Call] = []
        self.refresh: list[tuple[Array, Value]] = []
        self.sections: list[tuple[Region, int]] = []
        self.turns: list[list[int]] = []
        self.stored: dict[int, Stored] = {}
        self.seen: dict[int, Array] = {}  # values that are another one's array
        self.numbers: dict[tuple[Any, Any], Any] = {}
        self.runs: dict[tuple[Any, ...], Runs] = {}  # of ids that are arguments
        self.facts = Facts(rolled, self.regions, plain)
        self.run_all()

    # ---------------------------------------------------------------- arrays

    def array(self, value: Value) -> Array:
        """The array of a value without a span."""
        key = id(value)
        if key in self.seen:
            return self.seen[key]
        if key in self.facts.packed:
            target, where = self.facts.packed[key]
            return part_of(self.array(target), where)
        if key in self.stored:
            return self.stored[key].full
        if value.kind in ("leaf", "constant"):
            return value.data
        if value.kind == "stack":
            use = value.inputs[0]
            assert use.span is not None
            slab = self.rows(use.value, use.span)
            axis = value.settings["axis"]
            order = (*range(1, axis + 1), 0, *range(axis + 1, slab.ndim))
            result = slab.transpose(order)
        else:
            result = look(value, self.operand(value.inputs[0]), self.xp, batch=False)
        self.seen[key] = result
        return result

    def operand(self, use: Use) -> Array:
        """What a value without a span reads."""
        if use.step is not None:
            return self.at(use.value, use.step)
        return self.rows(use.value, use.span) if use.span else self.array(use.value)

    def at(self, value: Value, t: int) -> Array:
        """The array of one time step."""
        if id(value) in self.facts.packed:
            target, where = self.facts.packed[id(value)]
            return part_of(self.at(target, t), where)
        if value.kind == "unstack" and is_view(value):
            assert value.span is not None
            return unstacked(value, self.operand(value.inputs[0]))[value.span.row(t), ...]
        if value.kind == "constant":
            assert value.span is not None
            return value.data[value.span.row(t), ...]
        if is_view(value):
            return look(value, self.at_step(value.inputs[0], t), self.xp, batch=False)
        stored = self.stored[id(value)]
        return stored.full if stored.span is None else stored.full[stored.span.row(t), ...]

    def at_step(self, use: Use, t: int) -> Array:
        """What step t of a value reads."""
        return self.operand(use) if use.shift is None else self.at(use.value, t + use.shift)

    def rows(self, value: Value, span: Span) -> Array:
        """The arrays of several time steps as one, time first."""
        assert value.span is not None
        if id(value) in self.facts.packed:
            target, where = self.facts.packed[id(value)]
            return part_of(self.rows(target, span), (slice(None), *where))
        if value.kind == "unstack" and is_view(value):
            source = unstacked(value, self.operand(value.inputs[0]))
            return rows_of(source, value.span, span)
        if value.kind == "constant":
            return rows_of(value.data, value.span, span)
        if is_view(value):
            use = value.inputs[0]
            if use.shift is None:
                one = look(value, self.operand(use), self.xp, batch=False)
                return self.xp.broadcast_to(one, (span.steps, *one.shape))
            source = self.rows(use.value, span.shifted(use.shift))
            return look(value, source, self.xp, batch=True)
        stored = self.stored[id(value)]
        assert stored.span is not None
        return rows_of(stored.full, stored.span, span)

    def number(self, value: Value, dtype: Any) -> Any:
        """A Python number as an array of the dtype of the result that it goes into."""
        key = (id(value), dtype)
        if key not in self.numbers:
            made = self.xp.asarray(value.data, dtype)
            self.numbers[key] = made
            if value.kind == "leaf":
                self.refresh.append((made, value))
        return self.numbers[key]

    def constant(self, number: float, dtype: Any) -> Array:
        """A number as an array."""
        key = (number, dtype)
        if key not in self.numbers:
            self.numbers[key] = self.xp.asarray(number, dtype)
        return self.numbers[key]

    def filled(self, size: int, dtype: Any) -> Array:
        """As many ones."""
        key = ("ones", dtype)
        known = self.numbers.get(key)
        if known is None or known.size < size:
            known = self.numbers[key] = self.xp.ones(size, dtype)
        return known[:size]

    # ---------------------------------------------------------------- room for results

    def room(self, value: Value, like: list[Array], region: Region) -> None:
        """Find a place for all steps of a value."""
        if id(value) in self.facts.packed:
            target = self.facts.packed[id(value)][0]
            if id(target) not in self.stored:
                self.room(target, like, region)
            return
        if id(value) in self.stored:  # a part of it came first
            return
        if value.span is None:
            order = self.order(value, like)
            block = self.pool.take(prod(value.shape) * value.dtype.itemsize)
            full = shaped(block, value.shape, value.dtype, order)
            self.stored[id(value)] = Stored(full, None, block)
            return
        steps = value.span.steps + value.lead + value.trail
        stride = value.span.stride
        span = Span(
            value.span.first - value.lead * stride, value.span.last + value.trail * stride, stride
        )
        block = self.pool.take(steps * prod(value.shape) * value.dtype.itemsize)
        shape = (steps, *value.shape)
        full = shaped(block, shape, value.dtype, tuple(range(len(shape))))
        self.stored[id(value)] = Stored(full, span, block)
        outer = ((value.before, full[: value.lead]), (value.after, full[steps - value.trail :]))
        for end, slots in outer:
            if end is not None:
                self.emit(self.xp.copyto, slots, self.array(end) if isinstance(end, Value) else 0)

    def order(self, value: Value, like: list[Array]) -> Order:
        """How the axes of a value without a span lie in memory."""
        plain = tuple(range(len(value.shape)))
        wanted = [
            reader.settings["axis"]
            for reader, _ in self.facts.readers.get(id(value), ())
            if reader.kind == "unstack"
        ] + [term.axis for term in value.terms if term.axis is not None]
        if wanted:
            return (wanted[0], *(axis for axis in plain if axis != wanted[0]))
        for array in like:
            if getattr(array, "shape", None) == value.shape:
                return order_of(array)
            if value.op is not None and value.op.name == "matmul" and array.ndim == len(plain):
                return (*[a for a in order_of(array) if a < array.ndim - 1], array.ndim - 1)
        return plain

    def scratch(self, value: Value) -> None:
        """Room for one step of a value that nothing reads later."""
        if id(value) in self.facts.packed:
            return
        block = self.pool.take(prod(value.shape) * value.dtype.itemsize)
        full = shaped(block, value.shape, value.dtype, tuple(range(len(value.shape))))
        self.stored[id(value)] = Stored(full, None, block)

    def temporary(self, shape: tuple[int, ...], dtype: Any, like: Array | None = None) -> Array:
        """Room that is needed during one value only."""
        block = self.pool.take(prod(shape) * np.dtype(dtype).itemsize)
        self.borrowed.append(block)
        order = (
            order_of(like) if like is not None and like.ndim == len(shape) else range(len(shape))
        )
        return shaped(block, shape, np.dtype(dtype), tuple(order))

    # ---------------------------------------------------------------- regions

    def emit(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.calls.append((function, arguments))

    def run_all(self) -> None:
        """All regions, then the new values of parameters."""
        self.borrowed: list[Array] = []
        self.drawn: list[tuple[Array | None, Value]] = []
        for region in self.regions:  # what is drawn is drawn before everything else
            if region.values[0].kind == "random":
                self.room(region.values[0], [], region)
        for value, step in self.rolled.draws:
            if id(value) not in self.stored:
                self.drawn.append((None, value))
            else:
                place = self.array(value) if step is None else self.at(value, step)
                self.drawn.append((place, value))
        for k, region in enumerate(self.regions):
            self.sections.append((region, len(self.calls)))
            if id(region.values[0]) in self.facts.updates:
                pass  # a new value of a parameter: at the end
            elif region.steps is None:
                self.run_value(region.values[0], region, k)
            else:
                self.run_loop(region)
            self.release(k)
        self.run_assigns()

    def release(self, k: int) -> None:
        """Hand back what no later region reads."""
        for key in [key for key in self.stored if self.facts.last.get(key) == k]:
            self.pool.give(self.stored.pop(key).block)
        for block in self.borrowed:
            self.pool.give(block)
        self.borrowed = []

    def run_value(self, value: Value, region: Region, k: int) -> None:
        """One value, all of its steps at once."""
        if value.kind in ("leaf", "constant", "random") or is_view(value):
            return
        if id(value) in self.facts.merged:
            return
        if value.op is not None and value.op.name == "reshape" and self.viewed(value):
            return
        inputs = self.inputs(value, value.span)
        if not self.in_place(value, inputs, k):
            self.room(value, [a for a in inputs if hasattr(a, "ndim")], region)
        if value.span is None:
            self.compute(value, self.array(value), inputs, batch=False)
            return
        rows = self.rows(value, value.span)
        if value.kind == "op" and all(use.shift is None for use in value.inputs):
            # the same at all steps, and no pass has moved it out of them
            first = rows[0, ...]  # a view, also of a single number
            self.compute(value, first, inputs, batch=False)
            self.emit(self.xp.copyto, rows[1:], first)
        else:
            self.compute(value, rows, inputs, batch=True)

    def in_place(self, value: Value, inputs: list[Any], k: int) -> bool:
        """Take over the array of an operand that is read here for the last time."""
        name = value.op.name if value.op is not None else ""
        if id(value) in self.facts.packed:
            return False
        if name not in IN_PLACE or value.before is not None or value.after is not None:
            return False
        for use, array in zip(value.inputs, inputs, strict=True):
            source = use.value
            key = id(source)
            if key not in self.stored or self.facts.last.get(key) != k or use.step is not None:
                continue
            if key in self.facts.packed_into:
                continue
            stored = self.stored[key]
            if source.before is not None or source.after is not None or use.shift:
                continue
            same = source.dtype == value.dtype and source.shape == value.shape
            if not same or source.span != value.span or array.shape != stored.full.shape:
                continue
            del self.stored[key]
            self.stored[id(value)] = stored
            return True
        return False

    def viewed(self, value: Value) -> bool:
        """Whether a reshape needs no copy."""
        if value.span is not None or value.inputs[0].step is not None:
            return False
        source = self.operand(value.inputs[0])
        result = source.reshape(value.shape)
        if address(source) != address(result):  # a copy
            return False
        self.seen[id(value)] = result
        return True

    def inputs(self, value: Value, span: Span | None) -> list[Any]:
        """The operands of a value, for all of its steps."""
        found = []
        for use in value.inputs:
            if use.value.is_number:
                found.append(self.scalar(use.value, value))
            elif use.shift is not None:
                assert span is not None
                rows = self.rows(use.value, span.shifted(use.shift))
                name = value.op.name if value.op is not None else ""
                found.append(aligned(rows, len(value.shape), name in BROADCASTING))
            else:
                found.append(self.operand(use))
        return found

    def scalar(self, number: Value, reader: Value) -> Any:
        """A number as an operand."""
        beside = [u.value.dtype for u in reader.inputs if not u.value.is_number]
        floats = [d for d in beside if d.kind == "f"]
        if number.kind == "leaf" or floats:
            return self.number(
                number, max(floats, key=lambda d: d.itemsize) if floats else reader.dtype
            )
        return number.data

    def compute(self, value: Value, out: Array, inputs: list[Any], batch: bool) -> None:
        """The calls for a value."""
        if value.kind == "sum":
            lower_sum(self, value, out, batch)
            return
        if value.kind == "unstack":  # one that something stands before or after is copied
            assert value.span is not None
            steps = unstacked(value, inputs[0])
            where = slice(value.span.steps) if batch else value.span.row(self.time)
            self.emit(self.xp.copyto, out, steps[where, ...])
            return
        assert value.op is not None
        kernel = KERNELS.get(value.op.name)
        if kernel is None or not kernel(self, value, out, inputs, batch):
            fallback(self, value, out, inputs, batch)

    def run_loop(self, region: Region) -> None:
        """The values of a loop, step by step."""
        inside = [v for v in region.values if not is_view(v)]
        for value in inside:
            if self.facts.needs_steps(value, region):
                self.room(value, [], region)
            else:
                self.scratch(value)
        assert region.steps is not None
        copies = laid_out(self, inside, len(region.steps)) if self.plain else {}
        turns: list[int] = []
        self.turns.append(turns)
        blocks = Blocks(self, region)
        now: dict[int, list[Value]] = {t: [] for t in region.steps}
        for value in inside:
            assert value.span is not None
            for t in value.span.times:
                now[t].append(value)
        for t in region.steps:
            turns.append(len(self.calls))
            blocks.before(t)
            for value in now[t]:
                inputs = [
                    self.scalar(use.value, value) if use.value.is_number else self.at_step(use, t)
                    for use in value.inputs
                ]
                for k in range(len(inputs)):
                    inputs[k] = copies.get((id(value), k), inputs[k])
                self.time = t
                self.compute(value, self.at(value, t), inputs, batch=False)
            if self.plain:
                self.calls[turns[-1] :] = beside(self.calls[turns[-1] :])
        turns.append(len(self.calls))
        blocks.give()

    def run_assigns(self) -> None:
        """The new values of parameters and of the memory of optimisers."""
        copies = []
        for leaf, use in self.rolled.assigns:
            if id(use.value) in self.facts.updates:
                self.compute(use.value, leaf.data, self.inputs(use.value, None), batch=False)
            else:
                copies.append((leaf.data, self.operand(use)))
        for target, source in copies:
            self.emit(self.xp.copyto, target, source)
