"""Which time steps of a graph are recorded alike, and which one can stand for all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from functools import cached_property

from tinygradrnn.drawing.reading import Reading, Slot
from tinygradrnn.drawing.records import Step
from tinygradrnn.recording import Node

INSTEAD = "Draw it without rolled=True"


class Patterns:
    """Which steps are recorded alike.

    Attributes
    ----------
    head : dict of Step to Step
        The step that stands for it, of the same pattern.
    rows : dict of Step to list of Node
        What each step records, in order.
    chosen : dict of int to Step
        For each phase the head with the most operations; of several, that of the most steps.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.rows: dict[Step, list[Node]] = {step: [] for step in reading.steps}
        for node in reading.nodes:
            if node in reading.step:
                self.rows[reading.step[node]].append(node)
        heads: dict[Hashable, Step] = {}
        self.head = {
            step: heads.setdefault((step.phase, self._signature(step)), step)
            for step in reading.steps
        }
        self.chosen: dict[int, Step] = {}
        sizes = Counter(self.head.values())
        for step in sorted(sizes, key=lambda s: (self._operations(s), sizes[s], s.label)):
            self.chosen[step.phase] = step

    def _signature(self, step: Step) -> Hashable:
        reading = self.reading
        found = []
        for node in self.rows[step]:
            sources: list[Hashable] = []
            for source in node.inputs:
                there = reading.step.get(source)
                if there is None:
                    sources.append((None, 0, source.order))
                else:
                    away = there.label - step.label
                    sources.append((there.phase, away, reading.slot[source]))
            found.append((reading.slot[node], node.op, node.shape, tuple(sources)))
        return tuple(found)

    def _operations(self, step: Step) -> int:
        return sum(not node.is_leaf for node in self.rows[step])

    @cached_property
    def likes(self) -> dict[Node, list[Node]]:
        """For each node of a head its likes in all steps of the pattern."""
        found: dict[Node, list[Node]] = {}
        for step, head in self.head.items():
            for node, like in zip(self.rows[head], self.rows[step], strict=True):
                found.setdefault(node, []).append(like)
        return found

    def steps_like(self, head: Step) -> list[Step]:
        """All steps of a pattern."""
        return [step for step, other in self.head.items() if other == head]

    def stands_in(self, node: Node) -> bool:
        """Whether a leaf stands where the chosen step has operations.

        What needs no gradient is not recorded: 0.9 h₀, say, is one leaf.
        """
        step = self.reading.step[node]
        chosen = self.by_slot[self.chosen[step.phase]]
        if not node.is_leaf or node.requires_grad:
            return False
        like = chosen.get(self.reading.slot[node])
        if like is not None:
            return not like.is_leaf
        sources = [
            chosen[slot].inputs[at]
            for reader, at in self.reading.readers[node]
            if (slot := self.reading.slot.get(reader)) in chosen
            and len(chosen[slot].inputs) == len(reader.inputs)
        ]
        return bool(sources) and all(s in self.reading.step and not s.is_leaf for s in sources)

    @cached_property
    def by_slot(self) -> dict[Step, dict[Slot, Node]]:
        """The nodes of every head, by slot."""
        slot = self.reading.slot
        return {head: {slot[n]: n for n in self.rows[head]} for head in set(self.head.values())}

    @cached_property
    def excused(self) -> set[Step]:
        """Heads that lack operations only because nothing there needs a gradient."""
        return {
            head
            for head in set(self.head.values())
            for node in self.rows[head]
            if self.stands_in(node) or any(map(self.is_computed_later, node.inputs))
        }

    def is_computed_later(self, start: Node) -> bool:
        """Whether an initial value is what other steps compute from a state: 0.9 s₀, say."""
        maker = self.reading.stands_in.get(start)
        return maker is not None and maker in self.reading.step

    def check(self) -> None:
        """Refuse steps that have less in common than not."""
        for step in sorted(set(self.head.values())):
            chosen = self.chosen[step.phase]
            own = [n for n in self.rows[step] if not n.is_leaf]
            known = self.by_slot[chosen]
            shared = sum((s := self.reading.slot[n]) in known and known[s].op == n.op for n in own)
            if 2 * shared < len(own):
                raise ValueError(
                    f"rolled: steps {step.label} and {chosen.label} do different things "
                    f"({shared} of {len(own)} operations are alike), so that no one step can "
                    f"stand for all. {INSTEAD}"
                )
