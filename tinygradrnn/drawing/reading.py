"""Where every node of a graph stands in time: its step, its layer, its likes in other steps.

All of it is derived from the graph. A value that one step computes and the next one reads is a
state; the slot it is computed in, and the places it is read at, are the same in every step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from tinygradrnn.arrays import address
from tinygradrnn.drawing.labels import MASK, RUNNING, host
from tinygradrnn.drawing.records import Step
from tinygradrnn.graph import recurrent_layers
from tinygradrnn.recording import Node

Slot = tuple[Any, ...]  # its layer, and where it is within the step
Families = tuple[tuple[tuple[str, ...], str], ...]
Use = tuple[Node, int]  # a reader, and which of its inputs


class Reading:
    """The nodes of a graph with their places in time.

    Parameters
    ----------
    nodes : sequence of Node
        In recorded order.

    Attributes
    ----------
    readers : dict of Node to list of Use
    step : dict of Node to Step
        Of the nodes that belong to a step.
    group : dict of Node to int
        The recurrent layer that a node belongs to, counted from 0.
    slot : dict of Node to Slot
        Of the nodes that belong to a step: which one it is within its step.
    states : dict of Slot to bool
        The slots that the next step reads; True for a layer that runs backwards in time.
    carried : dict of (Slot, int) to Slot
        Which input of which slot reads a state of another step (or its initial value).
    held : dict of Node to Slot
        What hands on a state of another slot: where all sequences run nothing chooses between
        old and new, and what the other steps choose from is the state itself.
    stands_in : dict of Node to Node
        A leaf that was computed from an initial state and nothing else, which is not recorded; with
        what computes its like in the other steps.
    steps : list of Step
        In time order.
    same : dict of Node to Node
        Inputs of a step that are another input of it once more: every layer that reads x slices it.
    regular : bool
        Whether every step reads only itself and its neighbour.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.readers: dict[Node, list[Use]] = {node: [] for node in nodes}
        for node in nodes:
            for position, source in enumerate(node.inputs):
                self.readers[source].append((node, position))
        self.label = {n: n.timestep for n in nodes if n.timestep is not None}
        self.group = recurrent_layers(nodes)
        self.slot: dict[Node, Slot] = {}
        self.states: dict[Slot, bool] = {}
        self.carried: dict[tuple[Slot, int], Slot] = {}
        self.held: dict[Node, Slot] = {}
        self.stands_in: dict[Node, Node] = {}
        self.same: dict[Node, Node] = {}
        self.regular = True
        self._name_slots()
        self._find_states()
        self._find_stand_ins()
        self._find_single_states()
        self._adopt()
        first = {slot: node.order for node, slot in reversed(self.slot.items())}
        self.states = {
            slot: self.states[slot] for slot in sorted(self.states, key=first.__getitem__)
        }
        self.step = self._phases()
        self.steps = sorted(set(self.step.values()))
        self.same = {**self._find_same(), **self.same}

    def state(self, node: Node) -> Slot | None:
        """The slot of the state that a node computes, if it does."""
        slot = self.held.get(node, self.slot.get(node))
        return slot if slot in self.states else None

    # ---------------------------------------------------------------- slots

    def _name_slots(self) -> None:
        """Match every step of a layer with its longest one.

        Steps differ where a value needs no gradient (0.9 h₀, say): then a leaf stands in the place
        of the operation.
        """
        rows: dict[tuple[int | None, int], list[Node]] = {}
        for node, label in self.label.items():
            rows.setdefault((self.group.get(node), label), []).append(node)
        longest: dict[int | None, Families] = {}
        families: dict[tuple[int | None, int], Families] = {}
        for key, row in rows.items():
            families[key] = own = tuple([(node.scope, node.op) for node in row])
            if len(own) > len(longest.get(key[0], ())):
                longest[key[0]] = own
        matched: dict[tuple[int | None, Families], list[Slot]] = {}
        for key, row in rows.items():
            group, own = key[0], families[key]
            if (group, own) not in matched:
                matched[group, own] = _match(group, own, longest[group])
            self.slot.update(zip(row, matched[group, own], strict=True))

    # ---------------------------------------------------------------- states

    def _find_states(self) -> None:
        uses: dict[tuple[Slot, int], list[Slot]] = {}
        sources: dict[Slot, list[Node]] = {}
        backward: dict[Slot, bool] = {}
        for node, label in self.label.items():
            for position, source in enumerate(node.inputs):
                before = self.label.get(source, label)
                if before == label or self.group.get(source) != self.group.get(node):
                    continue
                slot = self.slot[source]
                self.regular &= abs(before - label) == 1
                self.regular &= backward.setdefault(slot, before > label) == (before > label)
                uses.setdefault((self.slot[node], position), []).append(slot)
                sources.setdefault(slot, []).append(source)
        taken = {(slot, self.label[node]) for node, slot in self.slot.items()}
        last = _last_of(uses.values())
        self.carried = {use: last[slots[0]] for use, slots in uses.items()}
        for slot, nodes in sources.items():
            state = last[slot]
            self.states[state] = backward[state]
            if slot != state:
                self.regular &= backward[slot] == backward[state]
                self.regular &= not any((state, self.label[node]) in taken for node in nodes)
                self.held.update(dict.fromkeys(nodes, state))

    def _find_stand_ins(self) -> None:
        """Put what is computed from an initial state alone where that state is."""
        like = {slot: node for node, slot in self.slot.items() if not node.is_leaf}
        ends: dict[int | None, list[int]] = {}
        for node, label in self.label.items():
            ends.setdefault(self.group.get(node), []).append(label)
        first = {group: (min(labels), max(labels)) for group, labels in ends.items()}
        readers = {slot for slot, _ in self.carried}
        starts: dict[Slot, Node] = {}
        for node, slot in self.slot.items():
            for position, source in enumerate(node.inputs if slot in readers else ()):
                if (slot, position) in self.carried and source not in self.label:
                    starts.setdefault(self.carried[slot, position], source)
        for node in [n for n in self.label if n.op == "input"]:
            uses = [(self.slot[r], k) for r, k in self.readers[node] if r in self.slot]
            makers = [like[slot].inputs[k] for slot, k in uses if slot in like]
            others = [maker for maker in makers if maker is not node]
            states = {self._only_state(maker) for maker in others}
            if not others and node.name is None and not host(node).any():
                states = {s for s in self.states if s[0] == self.group.get(node)}
            if len(states) != 1 or len(uses) < len(self.readers[node]):
                continue
            state = states.pop()
            if state is None or self.label[node] != first[state[0]][self.states[state]]:
                continue
            start = starts.setdefault(state, node)
            if start is not node:
                if not alike(start, node):
                    continue
                self.same[node] = start
            self.stands_in[node] = (others or makers)[0]
            self.carried.update(dict.fromkeys(uses, state))
            del self.label[node], self.slot[node]
            self.group.pop(node, None)

    def _only_state(self, node: Node) -> Slot | None:
        """The one state of another step that a node is computed from; None if there is more."""
        label = self.label.get(node)
        found: set[Slot | None] = set()
        waiting = [node] if label is not None and not node.is_leaf else []
        while waiting and None not in found:
            node = waiting.pop()
            for position, source in enumerate(node.inputs):
                there = self.label.get(source)
                if there is not None and there != label:
                    found.add(self.carried.get((self.slot[node], position)))
                elif source.is_leaf or there is None:
                    free = source.op == "constant" or there is None
                    found |= set() if free and not source.requires_grad else {None}
                else:
                    waiting.append(source)
        return found.pop() if len(found) == 1 else None

    def _find_single_states(self) -> None:
        """Where a layer has one step only: an initial value bears the name of the state."""
        steps: dict[int | None, set[int]] = {}
        for node, label in self.label.items():
            steps.setdefault(self.group.get(node), set()).add(label)
        whole = len(set(self.label.values())) == 1
        single = {g for g, labels in steps.items() if whole or (g is not None and len(labels) == 1)}
        made = [n for n in self.label if n.name and not n.is_leaf and self.group.get(n) in single]
        named = {(self.group.get(n), n.name): n for n in made}
        for node in self.nodes if made else ():
            if node in self.label or not node.name or node.op == "parameter":
                continue
            for reader, position in self.readers[node]:
                new = named.get((self.group.get(reader), node.name))
                if reader in self.label and new is not None and reader is not new:
                    back = new.cell is not None and new.cell[-1].endswith("←")
                    self.states[self.slot[new]] = back
                    self.carried[self.slot[reader], position] = self.slot[new]

    def _adopt(self) -> None:
        """What was made before the loop but is read by one step only belongs to that step."""
        if len(set(self.label.values())) < 2:
            return
        early = self._early()
        for node in reversed(self.nodes):
            if node not in early or node.op in ("parameter", "constant"):
                continue
            labels = {self.label.get(reader) for reader, _ in self.readers[node]}
            initial = any(
                reader in self.slot and (self.slot[reader], position) in self.carried
                for reader, position in self.readers[node]
            )
            label = labels.pop() if len(labels) == 1 and not initial else None
            if label is not None:
                self.label[node] = label
                reader, position = self.readers[node][0]
                self.slot[node] = (self.slot[reader][0], "before", self.slot[reader], position)
        for node in self.label:
            if node not in self.group and node in early:
                for reader, _ in self.readers[node]:
                    if reader in self.group:
                        self.group[node] = self.group[reader]
                        break

    def _early(self) -> set[Node]:
        """The nodes outside of all steps that depend on none."""
        found: set[Node] = set()
        for node in self.nodes:
            if node not in self.label and all(source in found for source in node.inputs):
                found.add(node)
        return found

    def _find_same(self) -> dict[Node, Node]:
        first: dict[object, Node] = {}
        found: dict[Node, Node] = {}
        for node, step in self.step.items():
            if node.op == "getitem" and not any(s in self.step for s in node.inputs):
                what: object = (node.inputs, repr(node.settings.get("index")))
            elif (
                node.op == "input"
                and not (node.name or "").endswith((RUNNING, MASK))
                and hasattr(node.value, "shape")
                and node.value.size
            ):
                what = node.shape if node.name else address(node.value)
            else:
                continue
            other = first.setdefault((step, node.name, what), node)
            if other is not node and (not node.is_leaf or np.array_equal(host(other), host(node))):
                found[node] = other
        return found

    # ---------------------------------------------------------------- phases

    def _phases(self) -> dict[Node, Step]:
        """Number the phases: a layer that needs a later step of another one comes after it."""
        of_group = dict.fromkeys(self.group.values(), 0)
        phase: dict[Node, int] = {}
        for _ in range(len(of_group) + 1):
            before = dict(of_group)
            for node in self.nodes:
                label, group = self.label.get(node), self.group.get(node)
                own = 0
                for source in node.inputs:
                    there = self.label.get(source)
                    same = there == label or self.group.get(source) == group
                    if there is None:
                        own = max(own, phase[source])
                    else:
                        own = max(own, phase[source] + (label is None or not same))
                if group is not None:
                    own = of_group[group] = max(own, of_group[group])
                phase[node] = own
            if of_group == before:
                break
        steps: dict[tuple[int, int], Step] = {}
        return {
            node: steps.setdefault((phase[node], label), Step(phase[node], label))
            for node, label in self.label.items()
        }


def alike(one: Node, other: Node) -> bool:
    """Whether two leaves may be drawn as one: both are nothing but zeros."""
    return not (np.any(host(one)) or np.any(host(other)))


def _last_of(found: Iterable[Sequence[Slot]]) -> dict[Slot, Slot]:
    """For slots of which one and the same reader reads now one, now another: the last of them."""
    alike: dict[Slot, set[Slot]] = {}
    for slots in found:
        joined = set(slots).union(*(alike.get(slot, ()) for slot in slots))
        alike.update(dict.fromkeys(joined, joined))

    def place(slot: Slot) -> int:
        return slot[1] if len(slot) == 2 else -1

    return {slot: max(sorted(joined, key=repr), key=place) for slot, joined in alike.items()}


def _match(group: int | None, own: Families, longest: Families) -> list[Slot]:
    """The slots of a step, given the operations of the longest step of its layer."""
    if own == longest:
        return [(group, n) for n in range(len(own))]
    slots: list[Slot] = [(group, "more", n, family) for n, family in enumerate(own)]
    matcher = SequenceMatcher(None, longest, own, autojunk=False)
    for tag, low, high, first, last in matcher.get_opcodes():
        if tag == "equal" or (tag == "replace" and high - low == last - first):
            slots[first:last] = [(group, n) for n in range(low, high)]
    return slots
