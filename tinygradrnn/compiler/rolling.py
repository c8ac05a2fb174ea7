"""Rolling: from the nodes of an unrolled graph to one value for all time steps of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of
from tinygradrnn.compiler.capture import Program, on_host
from tinygradrnn.compiler.families import Key, Part, group, moving, split
from tinygradrnn.compiler.order import components, ordered
from tinygradrnn.compiler.patterns import progressions
from tinygradrnn.compiler.schedule import tangled
from tinygradrnn.compiler.values import ZERO, Rolled, Span, Term, Use, Value
from tinygradrnn.ops import accumulate, stack, take
from tinygradrnn.recording import Leaf, Node

MOST = 256  # terms of a sum, of which each step has some


class Irregular(Exception):
    """A family whose members are not alike."""


def roll(program: Program) -> Rolled:
    """Find the nodes that are alike at every time step, and what each reads."""
    families, irregular = [], 0
    for members in group(program.nodes, program.ordinals):
        spans = progressions(sorted(members))
        if spans is None:
            irregular += labelled(members)
        else:
            families += [{t: members[t] for t in s.times} for s in spans if s.steps > 1]
    alone: set[int] = set()
    while True:
        try:
            rolled = _Roller(program, families, alone).rolled()
            rolled.irregular = irregular + sum(labelled(families[k]) for k in alone)
            return rolled
        except _Retry as retry:
            alone |= retry.alone


def labelled(members: dict[int, Node]) -> int:
    """How many of some nodes stand in labelled steps."""
    return sum(node.timestep is not None for node in members.values())


class _Retry(Exception):
    def __init__(self, alone: set[int]) -> None:
        super().__init__()
        self.alone = alone


class _Roller:
    def __init__(
        self,
        program: Program,
        families: list[dict[int, Node]],
        alone: set[int],
    ) -> None:
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
        self.values: list[Value] = []
        self.of_family: dict[int, Value] = {}
        self.of_node: dict[Node, Value] = {}
        self.numbers: dict[Any, Value] = {}

    def rolled(self) -> Rolled:
        changing = {*self.program.numbers, *self.program.held, *self.program.arguments}
        self.changing: set[Node] = set(changing)
        done: set[int] = set()
        failed: set[int] = set()
        for node in self.nodes:  # all values first: a step reads the one before
            if isinstance(node, Leaf):
                continue
            k = self.home.get(node)
            if k is None:
                self.of_node[node] = self._empty(node, None)
            elif k not in self.of_family:
                self.of_family[k] = self._empty(node, span_of(self.families[k]))
        for node in self.nodes:
            if isinstance(node, Leaf):
                continue
            k = self.home.get(node)
            if k is None:
                self._fill_single(node)
            elif k not in done:
                done.add(k)
                try:
                    self._fill_family(k)
                except Irregular:
                    failed.add(k)
        if failed:
            raise _Retry(failed)
        outputs = [self._read(node) for node in self.program.outputs]
        outputs += [self._read(node) for _, node in self.program.grads]
        draws = [(self._value(node), self.step.get(node)) for node in self.program.draws]
        assigns = [(self._leaf(a.leaf), self._read(a.new)) for a in self.program.assigns]
        values = ordered([*(u.value for u in outputs), *(u.value for _, u in assigns)])
        mixed = self._mixed(values)
        if mixed:
            raise _Retry(mixed)
        return Rolled(values, outputs, draws, assigns)

    def _mixed(self, values: list[Value]) -> set[int]:
        """Families in a cycle whose steps cannot run one by one, as with nodes on their own."""
        number = {id(value): k for k, value in self.of_family.items()}
        found: set[int] = set()
        for part in components(values):
            if len(part) > 1 and (any(v.span is None for v in part) or tangled(part)):
                found |= {number[id(v)] for v in part if id(v) in number}
        return found

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

    # ------------------------------------------------------------ nodes on their own

    def _fill_single(self, node: Node) -> None:
        value = self.of_node[node]
        if value.kind == "random":
            return
        if node.operation is accumulate:
            value.kind = "sum"
            value.terms = self._gathered(split(node))
            return
        value.settings = node.settings
        runs = self._run(node.inputs) if node.operation is stack else None
        if runs is not None:
            value.kind = "stack"
            value.inputs = [runs]
            value.settings = {"axis": node.settings["axis"] % len(node.shape)}
            return
        if node.operation is stack and self._woven(node):
            return
        value.inputs = [self._read(source) for source in node.inputs]

    def _run(self, nodes: Sequence[Node]) -> Use | None:
        """The nodes as consecutive steps of one family, in order."""
        k = self.home.get(nodes[0])
        if k is None or len(nodes) < 2:
            return None
        value = self.of_family[k]
        assert value.span is not None
        first = self.step[nodes[0]]
        span = Span(first, first + (len(nodes) - 1) * value.span.stride, value.span.stride)
        steps = [self.step[node] for node in nodes if self.home.get(node) == k]
        return Use(value, span=span) if steps == list(span.times) else None

    def _woven(self, node: Node) -> bool:
        """A stack of steps of several families: each is put at its places."""
        value, axis = self.of_node[node], node.settings["axis"] % len(node.shape)
        before = (slice(None),) * axis
        terms = self._gathered([Part(n, (*before, k), ()) for k, n in enumerate(node.inputs)])
        if len(terms) > len(node.inputs) // 2:
            return False
        value.kind, value.op, value.terms = "sum", None, terms
        return True

    def _gathered(self, parts: list[Part]) -> list[Term]:
        """The terms of a sum; those that are steps of one family are one term."""
        runs: dict[Key, list[Part]] = {}
        for number, part in enumerate(parts):
            k = self.home.get(part.source)
            plain = part.where is None or not part.arrays
            axis, rest = moving(part.where) if k is not None and plain else (None, part.where)
            key = ("one", number) if k is None or not plain else (k, axis, repr(rest))
            runs.setdefault(key, []).append(part)
        terms: list[Term] = []
        for key, run in runs.items():
            if key[0] == "one" or len(run) == 1:
                terms += [self._single(part) for part in run]
                continue
            run.sort(key=lambda part: self.step[part.source])
            by_step = {self.step[part.source]: part for part in run}
            spans = progressions(list(by_step)) if len(by_step) == len(run) else None
            if spans is None:
                terms += [self._single(part) for part in run]
                continue
            for span in spans:
                terms += self._run_of_terms([by_step[t] for t in span.times], span, key[1])
        return terms

    def _run_of_terms(self, run: list[Part], span: Span, axis: int | None) -> list[Term]:
        """Steps of one family as a term of a sum."""
        use = Use(self.of_family[self.home[run[0].source]], span=span)
        if len(run) == 1:
            return [self._single(run[0])]
        if axis is None:
            return [Term(use, run[0].where)]
        positions = [part.where[axis] for part in run]  # type: ignore[index]
        every = positions[1] - positions[0]
        if not every or positions != [positions[0] + k * every for k in range(len(run))]:
            return [self._single(part) for part in run]
        return [Term(use, run[0].where, (), axis, positions[0], every)]

    def _single(self, part: Part) -> Term:
        arrays = tuple([self._read(array) for array in part.arrays])
        return Term(self._read(part.source), part.where, arrays)

    # ------------------------------------------------------------ families

    def _fill_family(self, k: int) -> None:
        members = self.families[k]
        value = self.of_family[k]
        if value.kind == "random":
            return
        nodes = list(members.values())
        if nodes[0].operation is accumulate:
            value.kind = "sum"
            value.terms = self._tagged(members, value)
            return
        if any(len(node.inputs) != len(nodes[0].inputs) for node in nodes):
            raise Irregular
        settings = nodes[0].settings
        if any(node.settings != settings for node in nodes):
            self._unstack(nodes, value)
            return
        value.settings = settings
        value.inputs = [
            self._use([node.inputs[p] for node in nodes], list(members))
            for p in range(len(nodes[0].inputs))
        ]

    def _unstack(self, nodes: list[Node], value: Value) -> None:
        """A family of slices, each one position further along an axis."""
        source = nodes[0].inputs[0]
        same = all(node.inputs == (source,) for node in nodes)
        if nodes[0].operation is not take or not same or source in self.home:
            raise Irregular
        axis, _ = moving(nodes[0].settings["index"])
        if axis is None:
            raise Irregular
        size = source.shape[axis]
        positions = []
        for node in nodes:
            index = node.settings["index"]
            if len(index) <= axis or not isinstance(index[axis], int):
                raise Irregular
            if index[:axis] + index[axis + 1 :] != (slice(None),) * (len(index) - 1):
                raise Irregular
            positions.append(index[axis] % size)
        every = positions[1] - positions[0]
        if not every or positions != [positions[0] + k * every for k in range(len(nodes))]:
            raise Irregular
        value.kind, value.op = "unstack", None
        value.inputs = [self._read(source)]
        value.settings = {"axis": axis, "offset": positions[0], "every": every}

    def _use(self, sources: list[Node], labels: list[int]) -> Use:
        """How a family reads its sources, one for each of its steps."""
        first = sources[0]
        if all(source is first for source in sources):
            value = self._value(first)
            if value.span is not None:
                raise Irregular  # every step reads one step of another family
            return Use(value)
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

    def _tagged(self, members: dict[int, Node], value: Value) -> list[Term]:
        """The terms of sums at all steps; one that is missing at an end is zero there."""
        found: dict[Key, dict[int, Part]] = {}
        for t, node in members.items():
            seen: dict[Key, int] = {}
            for part in split(node):
                k = self.home.get(part.source)
                if part.arrays:
                    raise Irregular
                shift = self.step[part.source] - t if k is not None else part.source.order
                tag = (k, shift, repr(part.where))
                seen[tag] = seen.get(tag, -1) + 1
                found.setdefault((*tag, seen[tag]), {})[t] = part
        terms = []
        alone: list[tuple[int, Part]] = []
        for (k, *_), parts in found.items():
            if k is None and len(parts) < len(members):
                alone += parts.items()
        for (k, shift, *_), parts in found.items():
            one = next(iter(parts.values()))
            if k is None:
                if len(parts) == len(members):
                    terms.append(Term(Use(self._outside(one.source)), one.where))
                continue
            use = Use(self.of_family[k], shift=shift)
            missing = [t for t in members if t not in parts]
            if self._filled(use, missing, one.where, alone):
                terms.append(Term(use, one.where))
            else:
                terms += [Term(use, one.where, only=span) for span in in_pattern(list(parts))]
        terms += [
            Term(Use(self._outside(part.source)), part.where, only=Span(t, t)) for t, part in alone
        ]
        if len(terms) > MOST:
            raise Irregular
        return terms

    def _filled(
        self, use: Use, missing: list[int], where: Any, alone: list[tuple[int, Part]]
    ) -> bool:
        """Let something stand beyond the ends of a term where it is missing, if it is only there."""
        value = use.value
        known = value.before, value.lead, value.after, value.trail
        left = list(alone)
        try:
            for t in missing:
                self._boundary(value, t + (use.shift or 0), self._instead(t, where, left))
        except Irregular:
            value.before, value.lead, value.after, value.trail = known
            return False
        alone[:] = left
        return True

    def _instead(self, t: int, where: Any, alone: list[tuple[int, Part]]) -> Value | str:
        """What stands at an end where a term is missing: one that only this step has, or zero."""
        for found in alone:
            step, part = found
            if step == t and part.where == where:
                alone.remove(found)
                return self._outside(part.source)
        return ZERO


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
