"""What a plan is made of: values, each standing for its likes at all time steps.

An unrolled graph of T steps has every operation of a step T times. A :class:`Value` stands for all
of them, so that the passes see about a hundred values for any T.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Literal, NamedTuple

import numpy as np

from tinygradrnn.ops.base import Op
from tinygradrnn.recording import Array, Leaf

Shape = tuple[int, ...]
Kind = Literal["leaf", "constant", "random", "op", "sum", "stack", "unstack"]

ZERO = "zero"  # what stands before the first, or after the last, where nothing does


class Span(NamedTuple):
    """The time steps first, first + stride, … last."""

    first: int
    last: int
    stride: int = 1

    @property
    def steps(self) -> int:
        """How many there are."""
        return (self.last - self.first) // self.stride + 1

    @property
    def times(self) -> range:
        """All of them."""
        return range(self.first, self.last + 1, self.stride)

    def shifted(self, shift: int | None) -> Span:
        """As many steps later."""
        return Span(self.first + (shift or 0), self.last + (shift or 0), self.stride)

    def holds(self, t: int) -> bool:
        """Whether a step is one of them."""
        return self.first <= t <= self.last and (t - self.first) % self.stride == 0

    def row(self, t: int) -> int:
        """Which of them a step is, counted from 0."""
        return (t - self.first) // self.stride


class Use(NamedTuple):
    """How a value reads another one.

    ``shift``: a value with a span reads, at step t, another one's step t + shift. ``step``: a value
    without one reads a single step of one that has. ``span``: it reads these steps, all at once.
    None of them: what is read has no span, and is the same at every step.
    """

    value: Value
    shift: int | None = None
    step: int | None = None
    span: Span | None = None


class Term(NamedTuple):
    """One term of a sum.

    ``where``: the part of the sum that it is added to, None for all of it; integer arrays in it
    are given by ``arrays``. ``axis``: its steps are added to the positions along this axis, the
    first of them at ``offset``, the next ``every`` positions on. Without an axis a term that reads
    a span is summed over it. ``only``: the steps of the sum that have this term, None for all.
    """

    use: Use
    where: tuple[Any, ...] | None = None
    arrays: tuple[Use, ...] = ()
    axis: int | None = None
    offset: int = 0
    every: int = 1
    only: Span | None = None

    @property
    def whole(self) -> bool:
        """Whether it is added to all of the sum, at all of its steps."""
        return self.where is None and self.axis is None and self.only is None


_serial = count(1)


@dataclass(eq=False)
class Value:
    """An operation at all of its time steps.

    Attributes
    ----------
    kind : Kind
        leaf: read at each call (an argument, a parameter, a number); constant; random: drawn at
        each call; op; sum: n-ary, of ``terms``; stack: the steps of another one along an axis;
        unstack: the positions along an axis, as time steps.
    shape, dtype
        Of one step.
    span : Span or None
        Its time steps; None outside of all.
    before, after : Value, ZERO or None
        What a reader finds ``lead`` steps before the first, or ``trail`` steps after the last.
    """

    kind: Kind
    shape: Shape
    dtype: np.dtype[Any]
    span: Span | None = None
    op: Op | None = None
    inputs: list[Use] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    terms: list[Term] = field(default_factory=list)
    before: Value | str | None = None
    after: Value | str | None = None
    lead: int = 0
    trail: int = 0
    leaf: Leaf | None = None
    data: Array = None
    name: str = ""
    serial: int = field(default_factory=lambda: next(_serial))

    def __repr__(self) -> str:
        steps = f" t={self.span.first}…{self.span.last}" if self.span else ""
        steps += f":{self.span.stride}" if self.span and self.span.stride > 1 else ""
        what = self.op.name if self.op else self.kind
        return f"<{what} {self.name} {self.shape}{steps}>"

    def uses(self) -> Iterator[Use]:
        """Everything that it reads, the values at its ends left out."""
        yield from self.inputs
        for term in self.terms:
            yield term.use
            yield from term.arrays

    def sources(self) -> Iterator[Value]:
        """The values that must be there before it is complete."""
        for use in self.uses():
            yield use.value
        for end in (self.before, self.after):
            if isinstance(end, Value):
                yield end

    @property
    def is_number(self) -> bool:
        """Whether it is a Python number, which takes the dtype of what is beside it."""
        return self.kind in ("constant", "leaf") and not hasattr(self.data, "shape")


@dataclass
class Rolled:
    """A program as values.

    Attributes
    ----------
    values : list of Value
        Sources before readers, except where a step reads the step before.
    outputs : list of Use
    draws : list of (Value, step)
        In the order of drawing.
    assigns : list of (Value, Use)
        A leaf, and its new value.
    irregular : int
        How many operations are not like their likes at other steps.
    """

    values: list[Value]
    outputs: list[Use]
    draws: list[tuple[Value, int | None]]
    assigns: list[tuple[Value, Use]]
    irregular: int = 0

    def copy(self) -> Rolled:
        """The same values once more, to be kept while passes change these."""
        new = {id(value): replace(value) for value in self.values}

        def twin(use: Use) -> Use:
            return use._replace(value=new.get(id(use.value), use.value))

        def end(value: Value | str | None) -> Value | str | None:
            return new.get(id(value), value) if isinstance(value, Value) else value

        for value in new.values():
            value.inputs = [twin(use) for use in value.inputs]
            value.terms = [
                t._replace(use=twin(t.use), arrays=tuple(map(twin, t.arrays))) for t in value.terms
            ]
            value.before, value.after = end(value.before), end(value.after)
        return Rolled(
            list(new.values()),
            [twin(use) for use in self.outputs],
            list(self.draws),
            [(new.get(id(leaf), leaf), twin(use)) for leaf, use in self.assigns],
            self.irregular,
        )
