"""Rolling: from the nodes of an unrolled graph to one value for all time steps of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygradrnn.compiler.capture import Program
from tinygradrnn.compiler.families import Key, Part, group, moving, split
from tinygradrnn.compiler.homes import MOST, Homes, Irregular, in_pattern, span_of
from tinygradrnn.compiler.order import components, ordered
from tinygradrnn.compiler.patterns import progressions
from tinygradrnn.compiler.schedule import tangled
from tinygradrnn.compiler.values import ZERO, Rolled, Span, Term, Use, Value
from tinygradrnn.ops import accumulate, stack, take
from tinygradrnn.recording import Leaf, Node


def roll(program: Program) -> Rolled:
    """Find the nodes that are alike at every time step, and what each reads."""
    families: list[dict[int, Node]] = []
    labels: dict[Node, int] = {}
    irregular = 0
    for members in group(program.nodes, program.ordinals):
        labels |= {node: t for t, node in members.items()}
        spans = progressions(sorted(members))
        if spans is None:
            irregular += labelled(members)
        else:
            families += [{t: members[t] for t in s.times} for s in spans if s.steps > 1]
    alone: set[int] = set()
    while True:
        try:
            rolled = _Roller(program, families, alone, labels).rolled()
            rolled.irregular = irregular + sum(labelled(families[k]) for k in alone)
            return rolled
        except _Retry as retry:
            alone |= retry.alone
            families += [{labels.pop(node): node} for node in retry.single]


def labelled(members: dict[int, Node]) -> int:
    """How many of some nodes stand in labelled steps."""
    return sum(node.timestep is not None for node in members.values()) if len(members) > 1 else 0


class _Retry(Exception):
    """Families that are none, and nodes that are one of a single step."""

    def __init__(self, alone: set[int], single: Sequence[Node] = ()) -> None:
        super().__init__()
        self.alone, self.single = alone, single


class _Roller(Homes):
    """Fills the values in, from the nodes that they stand for."""

    def rolled(self) -> Rolled:
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
        self._untangle(values)
        return Rolled(values, outputs, draws, assigns)

    def _untangle(self, values: list[Value]) -> None:
        """Raise for cycles whose steps cannot run one by one, as with nodes outside of steps."""
        number = {id(value): k for k, value in self.of_family.items()}
        node_of = {id(value): node for node, value in self.of_node.items()}
        alone: set[int] = set()
        single: list[Node] = []
        for part in components(values):
            if len(part) < 2:
                continue
            outside = [node_of[id(value)] for value in part if value.span is None]
            if outside and all(node in self.labels for node in outside):
                single += outside
            elif outside or tangled(part):
                alone |= {number[id(v)] for v in part if id(v) in number}
        if alone or single:
            raise _Retry(alone, single)

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
        """Let something stand where a term is missing, if that is only beyond its ends."""
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
