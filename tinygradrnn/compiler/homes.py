"""What stands for each node of an unrolled graph, and how values read each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of
from tinygradrnn.compiler.capture import Program, on_host
from tinygradrnn.compiler.families import Key
from tinygradrnn.compiler.patterns import progressions
from tinygradrnn.compiler.values import ZERO, Span, Term, Use, Value
from tinygradrnn.recording import Leaf, Node

MOST = 256  # terms of a sum, of which each step has some


class Irregular(Exception):
    """A family whose members are not alike."""


class Homes:
    """Which value stands for a node: that of its family, at a step of its own, or one for itself.

    Attributes
    ----------
    families : dict of int to (dict of int to Node)
        The members of each family, by step.
    home, step : dict of Node to int
        Of the members of families.
    of_family, of_node : dict to Value
    """

    def __init__(
        self,
        program: Program,
        families: list[dict[int, Node]],
        alone: set[int],
        labels: dict[Node, int],
    ) -> None:
        self.labels = labels
        self.program, self.nodes = program, program.nodes
        self.families: dict[int, dict[int, Node]] = {}
        self.home: dict[Node, int] = {}
        self.step: dict[Node, int] = {}
        for k, members in enumerate(families):
            if k not in alone:
                self.families[k] = members
                for t, node in members.items():
                    self.home[node], self.step[node] = k, t
        self.chosen: dict[tuple[Any, ...], Value] = {}
        self.of_family: dict[int, Value] = {}
        self.of_node: dict[Node, Value] = {}
        self.numbers: dict[Any, Value] = {}
        changing = {*program.numbers, *program.held, *program.arguments}
        self.changing: set[Node] = set(changing)

    def _empty(self, node: Node, span: Span | None) -> Value:
        value = Value("op", node.shape, node.value.dtype, span, node.operation)
        value.name = node.name or ""
        if not node.inputs:
            value.kind, value.settings = "random", node.settings
        return value

    def _value(self, node: Node) -> Value:
        if isinstance(node, Leaf):
            return self._leaf(node)
        k = self.home.get(node)
        return self.of_node[node] if k is None else self.of_family[k]

    def _leaf(self, leaf: Leaf) -> Value:
        if leaf in self.of_node:
            return self.of_node[leaf]
        constant = not (leaf in self.changing or leaf.order < self.program.began)
        if constant and not hasattr(leaf.value, "shape"):
            key = (type(leaf.value), leaf.value)
            if key not in self.numbers:
                self.numbers[key] = Value("constant", (), np.dtype(type(leaf.value)))
                self.numbers[key].data = leaf.value
            return self.numbers[key]
        dtype = getattr(leaf.value, "dtype", np.dtype(np.float64))
        value = Value("constant" if constant else "leaf", leaf.shape, dtype)
        value.leaf, value.data, value.name = leaf, leaf.value, leaf.name or ""
        self.of_node[leaf] = value
        return value

    def _read(self, node: Node) -> Use:
        """How a node on its own reads one."""
        value = self._value(node)
        return Use(value, step=self.step[node]) if value.span else Use(value)

    def _use(self, sources: list[Node], labels: list[int]) -> Use:
        """How a family reads its sources, one for each of its steps."""
        first = sources[0]
        if all(source is first for source in sources):
            value = self._value(first)
            if value.span is None:
                return Use(value)
            if len(sources) > 1:
                raise Irregular  # every step reads one step of another family
        if all(isinstance(source, Leaf) for source in sources):
            return self._leaves(sources, labels)
        return self._shifted(sources, labels) or self._chosen(sources, labels)

    def _shifted(self, sources: list[Node], labels: list[int]) -> Use | None:
        """One family, always as many steps away, if what is beyond its ends can stand there."""
        homes = [self.home.get(source) for source in sources]
        inner = homes[len(homes) // 2]
        if inner is None:
            return None
        shifts = {
            self.step[source] - t
            for source, t, home in zip(sources, labels, homes, strict=True)
            if home == inner
        }
        if len(shifts) != 1:
            return None
        shift = shifts.pop()
        value = self.of_family[inner]
        known = value.before, value.lead, value.after, value.trail
        try:
            for source, t, home in zip(sources, labels, homes, strict=True):
                if home != inner:
                    self._boundary(value, t + shift, self._outside(source))
        except Irregular:
            value.before, value.lead, value.after, value.trail = known
            return None
        return Use(value, shift=shift)

    def _chosen(self, sources: list[Node], labels: list[int]) -> Use:
        """What is another family, or another step, at each step of a pattern."""
        span = span_of(labels)
        key = (span, *sources)
        if key not in self.chosen:
            runs: dict[Key, list[int]] = {}
            for source, t in zip(sources, labels, strict=True):
                k = self.home.get(source)
                run = (None, source) if k is None else (k, self.step[source] - t)
                runs.setdefault(run, []).append(t)
            first = sources[len(sources) // 2]
            if not hasattr(first.value, "dtype"):
                raise Irregular  # a number
            made = Value("sum", first.shape, first.value.dtype, span)
            for (k, where), steps in runs.items():
                value = self._outside(where) if k is None else self.of_family[k]
                if value.is_number or like(value) != like(made):
                    raise Irregular
                use = Use(value) if k is None else Use(value, shift=where)
                made.terms += [Term(use, only=s) for s in in_pattern(steps)]
            if len(made.terms) > MOST:
                raise Irregular
            self.chosen[key] = made
        return Use(self.chosen[key], shift=0)

    def _outside(self, source: Node) -> Value:
        value = self._value(source)
        if value.span is not None:
            raise Irregular
        return value

    def _boundary(self, value: Value, step: int, end: Value | str) -> None:
        assert value.span is not None
        first, last, stride = value.span
        early, late = (first - step) // stride, (step - last) // stride
        off = (step - first) % stride != 0 or first <= step <= last
        if off or (end is not ZERO and max(early, late) > 1):
            raise Irregular
        fits = not isinstance(end, Value) or end.is_number or like(end) == like(value)
        if not fits:
            raise Irregular
        if early > 0:
            if value.before not in (None, end):
                raise Irregular
            value.before, value.lead = end, max(value.lead, early)
        else:
            if value.after not in (None, end):
                raise Irregular
            value.after, value.trail = end, max(value.trail, late)

    def _leaves(self, sources: list[Node], labels: list[int]) -> Use:
        values = [self._value(source) for source in sources]
        if all(value is values[0] for value in values):
            return Use(values[0])
        if any(v.kind != "constant" or v.shape != values[0].shape for v in values):
            raise Irregular
        arrays = [on_host(v.data) for v in values]
        if all((a == arrays[0]).all() for a in arrays):
            return Use(values[0])
        made = Value("constant", values[0].shape, values[0].dtype, span_of(labels))
        beside = next(n.value for n in self.nodes if hasattr(n.value, "shape"))
        made.data = backend_of(beside).asarray(np.stack(arrays))
        return Use(made, shift=0)


def span_of(steps: Iterable[int]) -> Span:
    """Steps that are an arithmetic progression."""
    first, *rest = steps
    return Span(first, rest[-1], rest[0] - first) if rest else Span(first, first)


def in_pattern(steps: Sequence[int]) -> list[Span]:
    """Steps as arithmetic progressions, or each on its own."""
    return progressions(steps) or [Span(t, t) for t in steps]


def like(value: Value) -> Key:
    """What a value must share with another one to stand in its array."""
    return value.shape, value.dtype
