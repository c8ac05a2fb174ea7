"""Capture: run a function once and write down everything that it computes.

While a function is captured, every operation is recorded, whether it needs a gradient or not, and
so is the backward pass and the update of the parameters. What depends on nothing that can change
from call to call is a constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn.backend import backend_of
from tinygradrnn.ops.base import Op
from tinygradrnn.recording import Array, Leaf, Node, Place, Watch, at, state, tick
from tinygradrnn.tensors import Tensor


class CaptureError(RuntimeError):
    """What a function does cannot be written down as one graph."""


class Guard(NamedTuple):
    """An attribute that the function looked at, with the value it had."""

    owner: Any
    name: str
    value: Any

    def holds(self) -> bool:
        """Whether it still has that value."""
        return bool(getattr(self.owner, self.name) == self.value)


class Check(NamedTuple):
    """Integers that must lie in low…high at each call."""

    node: Node
    low: int
    high: int
    error: Callable[[int, int], Exception]


class Assign(NamedTuple):
    """A parameter, or an array in the memory of an optimiser, that gets a new value."""

    leaf: Leaf
    store: Callable[[Array], None]
    new: Node


@dataclass
class Program:
    """What a function does, as a graph.

    Attributes
    ----------
    arguments : list of Leaf
        One for each array or tensor among the arguments.
    by_value : list of int
        The arguments whose values the function looked at: for others it may do something else.
    outputs : list of Node
        Of the tensors that it returned, in order.
    numbers : dict of Leaf to callable
        Numbers to be asked for at each call.
    held : dict of Leaf to callable
        Arrays that live on from call to call, and how to find each one.
    draws : list of Node
        Random arrays, in the order in which they were drawn.
    assigns, checks, guards : lists
    host : list of callable
        What Python does at each call.
    grads : list of (Leaf, Node)
        Gradients that are left in ``.grad``.
    dropped : list of Leaf
        Whose ``.grad`` is None afterwards.
    graded : dict of Leaf to bool
        Whether there was something in a ``.grad`` that was looked at or added to.
    ordinals : dict of Node to int
        Which of the equal operations of its scope and time step each is.
    """

    began: int = 0
    arguments: list[Leaf] = field(default_factory=list)
    by_value: list[int] = field(default_factory=list)
    outputs: list[Node] = field(default_factory=list)
    numbers: dict[Leaf, Callable[[], float]] = field(default_factory=dict)
    held: dict[Leaf, Callable[[], Array | None]] = field(default_factory=dict)
    draws: list[Node] = field(default_factory=list)
    assigns: list[Assign] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    host: list[Callable[..., None]] = field(default_factory=list)
    grads: list[tuple[Leaf, Node]] = field(default_factory=list)
    dropped: list[Leaf] = field(default_factory=list)
    graded: dict[Leaf, bool] = field(default_factory=dict)
    ordinals: dict[Node, int] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    kept: list[Leaf] = field(default_factory=list)

    def reached(self) -> list[Node]:
        """The nodes that anything depends on, and all that is drawn at random."""
        results = [*self.outputs, *(a.new for a in self.assigns), *(n for _, n in self.grads)]
        return reachable([*results, *self.draws])

    def forget_graph(self) -> None:
        """Let go of the nodes, and with them of all values between arguments and results."""
        self.kept = [leaf for leaf, _ in self.grads]
        self.outputs, self.grads, self.draws, self.ordinals, self.nodes = [], [], [], {}, []
        self.checks = []
        self.assigns = [assign._replace(new=assign.leaf) for assign in self.assigns]


class Capture(Watch):
    """Listens while a function runs; see :class:`tinygradrnn.recording.Recorder`."""

    def __init__(self, arguments: Sequence[Leaf]) -> None:
        self.began = tick()
        self.program = Program(self.began, list(arguments))
        self.dynamic: set[Node] = set(arguments)
        self.held_at: dict[tuple[int, str], Tensor] = {}
        self.used: set[Leaf] = set()  # gradients that an optimiser has read
        self.gradients: dict[Leaf, Tensor | None] = {}  # what was in .grad, if anyone looked
        self.before: dict[Leaf, Tensor | None] = {}  # what was in .grad that has been set since
        self.undoing: list[Callable[[], object]] = []
        self.counted: dict[tuple[Any, ...], int] = {}

    def result(
        self, op: Op, inputs: Sequence[Node], settings: Mapping[str, Any], node: Node
    ) -> None:
        key = (node.scope, op.name, node.timestep)
        self.program.ordinals[node] = self.counted[key] = self.counted.get(key, -1) + 1

    def changes(self, node: Node) -> bool:
        """Whether a value may be another one at the next call."""
        if not node.is_leaf:
            return True
        return node in self.dynamic or (node.order < self.began and node not in self.by_value)

    @property
    def by_value(self) -> list[Leaf]:
        return [self.program.arguments[k] for k in self.program.by_value]

    def record(
        self, operation: Op, inputs: Sequence[Node], settings: dict[str, Any], value: Array
    ) -> Node:
        # in the backward pass constants too, so that the first time step is like the others
        if state.place.origin is not None or any(self.changes(node) for node in inputs):
            return Node(operation, tuple(inputs), settings, value, state.place, False)
        return Leaf(value)

    def draw(self, operation: Op, settings: dict[str, Any], value: Array) -> Node:
        node = Node(operation, (), settings, value, state.place, False)
        self.program.draws.append(node)
        return node

    def number(self, read: Callable[[], float]) -> Leaf:
        leaf = Leaf(read())
        self.program.numbers[leaf] = read
        self.dynamic.add(leaf)
        return leaf

    def reads(self, node: Node) -> None:
        if not self.changes(node):
            return
        if node in self.program.arguments:
            self.program.by_value.append(self.program.arguments.index(node))
            self.dynamic.discard(node)
            return
        raise CaptureError(
            f"the function looks at the values of {node.describe()} "
            f"({node.place.describe()}), for example with float(), if, .numpy() or .data: another "
            "value might lead it another way, so it cannot be compiled. Return the tensor and look "
            "at it outside, or write F.where(condition, a, b)"
        )

    def depends(self, owner: Any, name: str) -> None:
        value = vars(owner).get(name, getattr(type(owner), name, None))
        guard = Guard(owner, name, dict(value) if isinstance(value, dict) else value)
        if not any(g.owner is owner and g.name == name for g in self.program.guards):
            self.program.guards.append(guard)

    def check(
        self, node: Node, low: int, high: int, error: Callable[[int, int], Exception]
    ) -> None:
        if self.changes(node):
            self.program.checks.append(Check(node, low, high, error))

    def held(self, owner: dict[str, Array], name: str, like: Array) -> Tensor:
        key = (id(owner), name)
        if key not in self.held_at:
            if name not in owner:
                owner[name] = backend_of(like).xp.zeros_like(like)
                self.undoing.append(partial(owner.pop, name))
            self.held_at[key] = self._kept(owner[name], lambda: owner.get(name), name)
        return self.held_at[key]

    def _kept(self, array: Array, read: Callable[[], Array | None], name: str | None) -> Tensor:
        """An array that is found anew at each call."""
        leaf = Leaf(array, name=name)
        self.program.held[leaf] = read
        self.dynamic.add(leaf)
        return Tensor(leaf)

    def assign(self, owner: Any, name: str, new: Tensor) -> None:
        if isinstance(owner, dict):
            leaf = self.held_at[id(owner), name].node
            store = _storing(owner, name)
        else:
            leaf = owner
            store = owner.replace_value
        assert isinstance(leaf, Leaf)
        self.program.assigns.append(Assign(leaf, store, new.node))

    def gradient(self, leaf: Leaf) -> Tensor | None:
        if leaf in self.before:
            return leaf.grad
        if leaf not in self.gradients:
            found = leaf.grad
            self.program.graded[leaf] = found is not None
            if found is not None:  # a copy: the plan writes the gradients of later calls into it
                found = self._kept(found.node.value.copy(), lambda: gradient_of(leaf), None)
            self.gradients[leaf] = found
        return self.gradients[leaf]

    def sets(self, leaf: Leaf) -> None:
        if leaf not in self.before:
            self.before[leaf] = leaf.grad
            self.undoing.append(partial(setattr, leaf, "grad", leaf.grad))

    def uses(self, leaf: Leaf) -> None:
        self.used.add(leaf)

    def counts(self, counters: list[int], positions: Sequence[int]) -> None:
        def count(step: int = 1) -> None:
            for position in positions:
                counters[position] += step

        count()
        self.undoing.append(partial(count, -1))
        self.program.host.append(count)

    def undo(self) -> None:
        """Leave gradients and the memory of optimisers as they were before."""
        while self.undoing:
            self.undoing.pop()()

    def finish(self, outputs: Sequence[Tensor]) -> Program:
        """The program, once the function has returned these tensors."""
        program = self.program
        program.outputs = [tensor.node for tensor in outputs]
        for leaf in self.before:
            found = leaf.grad
            if found is not None and (leaf not in self.used or leaf in program.graded):
                program.grads.append((leaf, found.node))
                leaf.grad = Tensor(Leaf(found.node.value))
            else:
                leaf.grad = None
                program.dropped.append(leaf)
        program.nodes = program.reached()
        changed = {assign.leaf: assign.new.order for assign in program.assigns}
        if len(changed) < len(program.assigns):
            twice = next(a.leaf for a in program.assigns if changed[a.leaf] != a.new.order)
            raise CaptureError(
                f"{twice.describe()} is changed twice in one call; compile a function that "
                "updates once"
            )
        for node in program.nodes:
            for source in node.inputs:
                if source in changed and node.order > changed[source]:
                    raise CaptureError(
                        f"{source.describe()} is read after it was changed in the same call; "
                        "compile a function that updates at its end"
                    )
        return program


def gradient_of(leaf: Leaf) -> Array | None:
    """The array in its ``.grad``."""
    return None if leaf.grad is None else leaf.grad.node.value


def _storing(owner: dict[str, Array], name: str) -> Callable[[Array], None]:
    def store(value: Array) -> None:
        owner[name] = value

    return store


def reachable(ends: Sequence[Node]) -> list[Node]:
    """The nodes that some are computed from, themselves included, in recorded order."""
    seen = dict.fromkeys(ends)
    waiting = list(seen)
    while waiting:
        for source in waiting.pop().inputs:
            if source not in seen:
                seen[source] = None
                waiting.append(source)
    return sorted(seen, key=lambda node: node.order)


@contextmanager
def capturing(arguments: Sequence[Leaf]) -> Iterator[Capture]:
    """While the block runs, everything is written down."""
    capture = Capture(arguments)
    here = state.place
    place = Place(here.scope, here.cell, here.timestep, None, here.recording, capture)
    state.capture = capture
    try:
        with at(place):
            yield capture
    except BaseException:
        capture.undo()
        raise
    finally:
        state.capture = None


def host_array(value: Array) -> np.ndarray[Any, Any]:
    """An array on the host."""
    return np.asarray(backend_of(value).to_numpy(value))


def on_host(value: Any) -> np.ndarray[Any, Any]:
    """An array, or a Python number, as an array on the host."""
    return host_array(value) if hasattr(value, "shape") else np.asarray(value)
