"""What keeps the gradients that have arrived so far, while a backward walk goes on."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from operator import attrgetter
from typing import Any

from tinygradrnn import ops
from tinygradrnn.ops import Carried, Part, Product
from tinygradrnn.ops.base import EachRule
from tinygradrnn.recording import Array, Node, Place, at, changes, state
from tinygradrnn.tensors import Tensor
from tinygradrnn.together import JOINED, Slab, assembled, brought, joined, stacked_rows

LATER = frozenset((Part, Product, Carried))
LARGE = 256  # elements of x_t; of fewer, a product costs less than waiting
value_of = attrgetter("value")
Event = tuple[Node, Any, list[Any]]


class StaleGraphError(RuntimeError):
    """A parameter was changed in place after the graph that reads it was recorded."""


class ArrayLedger:
    """The gradients that have arrived so far, as arrays; summed in place once they are our own.

    Parameters
    ----------
    every : bool
        Whether the walk shows every node and the terms that it sends. Otherwise only leaves and
        what gradients are asked for, and the gradients of a sequence's steps wait for each other.
    """

    def __init__(self, every: bool = True) -> None:
        self.totals: dict[Node, Array] = {}
        self.own: set[Node] = set()
        self.waiting: set[Node] = set()  # those of which the following hold something
        self.products: dict[Node, list[Product]] = {}
        self.parts: dict[Node, list[Part]] = {}
        self.carried: dict[Node, list[Carried]] = {}
        self.wide: dict[Node, tuple[Array, bool]] = {}  # sums larger than the node; whether ours
        self.slabs: dict[tuple[int, ...], Slab] = {}
        self.every = every

    def add(self, node: Node, term: Any) -> None:
        """Add what one reader sends to a node."""
        if type(term) in LATER:
            self._wait(node, term)
            return
        if term.shape != node.value.shape:
            self._add_wide(node, term)
            return
        totals = self.totals
        before = totals.get(node)
        if before is None:
            totals[node] = term  # may be shared with another node: not ours to write into
        elif node in self.own:
            totals[node] += term
        else:
            totals[node] = before + term
            self.own.add(node)

    def take(self, node: Node) -> Any:
        """The complete gradient of a node, forgotten here; None if nothing arrived."""
        if node in self.waiting:
            self.waiting.remove(node)
            if node in self.products:
                self._add_new(node, joined(self.products.pop(node), self._stacked))
            if node in self.parts:
                self._add_new(node, self._assembled(node))
            if node in self.wide:
                self.add(node, fitted(self.wide.pop(node)[0], node))
            if node in self.carried:
                carried = self.carried.pop(node)
                if len(carried) == 1 and node not in self.totals:
                    return carried[0]
                for term in carried:
                    self._add_new(node, term.computed())
        return self.totals.pop(node, None)

    def walk(
        self, nodes: Sequence[Node], reached: set[Node] | None, targets: Container[Node]
    ) -> Iterator[Event]:
        """See :func:`tinygradrnn.gradients.walk`."""
        every, totals, waiting, add = self.every, self.totals, self.waiting, self.add
        watch, changed = state.place.watch, changes.last
        for node in reversed(nodes):
            gradient = self.take(node) if node in waiting else totals.pop(node, None)
            if gradient is None:
                continue
            if type(gradient) is Carried and node in targets:
                gradient = gradient.computed()
            inputs, operation, settings = node.inputs, node.operation, node.settings
            if operation is None or (reached is not None and node not in reached):
                yield node, gradient, []
                continue
            if node.order < changed:
                refuse_stale(node)
            rules = operation.rules
            arguments: tuple[Any, ...]
            if type(rules) is EachRule:
                arguments = (gradient, node.value, [source.value for source in inputs])
                rules = rules.first(len(inputs))
            elif len(inputs) == 2:
                x, y = inputs
                arguments = (gradient, node.value, x.value, y.value)
                if operation is ops.matmul and not every and may_wait(inputs):
                    rules = CARRYING
            else:
                arguments = (gradient, node.value, *map(value_of, inputs))
            kind = type(gradient)
            sent: list[Any] = []
            try:
                for position, source in enumerate(inputs):
                    term, rule = None, rules[position]
                    if rule and (source.requires_grad if reached is None else source in reached):
                        term = rule(*arguments, **settings) if settings else rule(*arguments)
                        if watch is not None:
                            watch.term(node, term)
                        first = type(term) is kind and source not in totals
                        if first and term.shape == source.value.shape:
                            totals[source] = term  # may be shared with another node
                        elif term is not None:
                            add(source, term)
                    if every:
                        sent.append(term)
            except Exception as error:
                error.add_note(f"in the gradient of {recorded(node)}")
                raise
            if every or node in targets:
                yield node, gradient, sent

    def _wait(self, node: Node, term: Any) -> None:
        """Keep a term until it can be computed together with others."""
        self.waiting.add(node)
        if type(term) is Product:
            products = self.products.setdefault(node, [])
            products.append(term)
            if len(products) == JOINED:
                self._add_new(node, joined(self.products.pop(node), self._stacked))
        elif type(term) is Part:
            parts = self.parts.setdefault(node, [])
            parts.append(term)
            if type(term.values) is Carried and len(parts) % JOINED == 0:
                parts[:] = brought(parts, self._stacked)
        else:
            self.carried.setdefault(node, []).append(term)

    def _assembled(self, node: Node) -> Array:
        """The sum of the parts of a gradient; those of time steps lie below each other."""
        parts = brought(self.parts.pop(node), self._stacked)
        like, shape = parts[0].values, node.shape
        if self.every or node.timestep is None or node.value.size < LARGE:
            return assembled(parts, shape)
        slab = self.slabs.get(shape)
        into = slab.next() if slab is not None and slab.memory.dtype == like.dtype else None
        if into is None:
            slab = self.slabs[shape] = Slab(like, shape)
            into = slab.next()
        return assembled(parts, shape, into)

    def _stacked(self, arrays: Sequence[Array]) -> Array:
        """The rows of all arrays; not copied where they lie below each other."""
        slab = self.slabs.get(arrays[0].shape)
        found = None if slab is None else slab.rows(arrays)
        return stacked_rows(arrays) if found is None else found

    def _add_wide(self, node: Node, term: Array) -> None:
        """Add a term of a node that was broadcast: all are summed, and to its shape at the end."""
        self.waiting.add(node)
        before, own = self.wide.get(node, (None, False))
        if before is None:
            self.wide[node] = term, False
        elif before.shape != term.shape:
            self.wide[node] = term, False
            self.add(node, fitted(before, node))
        elif own:
            before += term
        else:
            self.wide[node] = before + term, True

    def _add_new(self, node: Node, term: Array) -> None:
        """Add an array that nobody else has."""
        if node in self.totals:
            term += self.totals[node]
        self.totals[node] = term
        self.own.add(node)


class RecordingLedger:
    """The same as tensors: the backward pass becomes a graph of its own.

    Where several meet, one ``accumulate`` node sums them, so that each term stays visible.
    """

    def __init__(self, uniform: bool = False) -> None:
        self.terms: dict[Node, list[Any]] = {}
        self.uniform = uniform  # a sum even of one term: the last time step is like the others

    def add(self, node: Node, term: Any) -> None:
        """Add what one reader sends to a node."""
        self.terms.setdefault(node, []).append(term)

    def take(self, node: Node) -> Tensor | None:
        """The complete gradient of a node, forgotten here; None if nothing arrived."""
        terms = self.terms.pop(node, None)
        if terms is None:
            return None
        single = len(terms) == 1 and not isinstance(terms[0], Part)
        if single and not self.uniform:
            only: Tensor = terms[0]
            return only
        operands: list[Any] = []
        places: list[tuple[Any, int]] = []
        for term in terms:
            if isinstance(term, Part):
                operands += [term.values, *term.arrays]
                places.append((term.where, len(term.arrays)))
            else:
                operands.append(term)
                places.append((None, 0))
        with at(beside(node, None)):
            return ops.accumulate(*operands, places=tuple(places), shape=node.shape)

    def walk(
        self, nodes: Sequence[Node], reached: set[Node] | None, targets: Container[Node]
    ) -> Iterator[Event]:
        """See :func:`tinygradrnn.gradients.walk`."""
        for node in reversed(nodes):
            gradient = self.take(node)
            if gradient is None:
                continue
            sent: list[Any] = []
            if node.inputs and (reached is None or node in reached):
                try:
                    sent = self._send(node, gradient, reached)
                except Exception as error:
                    error.add_note(f"in the gradient of {recorded(node)}")
                    raise
            yield node, gradient, sent

    def _send(self, node: Node, gradient: Tensor, reached: set[Node] | None) -> list[Any]:
        """Record the terms that a node sends to its inputs."""
        operation, watch = node.operation, state.place.watch
        assert operation is not None
        refuse_stale(node)
        result, operands = Tensor(node), [operand(source) for source in node.inputs]
        sent: list[Any] = []
        for position, source in enumerate(node.inputs):
            wanted = source.requires_grad if reached is None else source in reached
            if not wanted or operation.rules[position] is None:
                sent.append(None)
                continue
            with at(beside(node, position)):
                term = operation.term(position, gradient, result, operands, node.settings)
                term = fitted(term, source)
            if watch is not None:
                watch.term(node, term)
            self.add(source, term)
            sent.append(term)
        return sent


def beside(node: Node, argument: int | None) -> Place:
    """The place of a backward node: that of the forward node it comes from."""
    here = node.place
    origin = (node, argument)
    watch = state.place.watch
    return Place(here.scope, here.cell, here.timestep, origin, True, watch, here.equations)


Ledger = ArrayLedger | RecordingLedger


CARRYING = (lambda g, y, x, weight: Carried(g, weight), ops.matmul.rules[1])


def may_wait(inputs: Sequence[Node]) -> bool:
    """Whether ∂L/∂x_t of a product x_t @ W is worth waiting for those of other steps."""
    step, weight = inputs
    if step.operation is not ops.take or step.value.size < LARGE:
        return False
    return bool(step.value.ndim == weight.value.ndim == 2)


def refuse_stale(node: Node) -> None:
    """Raise if a leaf was changed after the node read it."""
    for source in node.inputs:
        if source.changed > node.order:
            raise StaleGraphError(
                f"{source.describe()} was changed after {recorded(node)} read it, so the gradients "
                "of this graph would be wrong. Compute the loss again after changing a parameter "
                "(optimizer.step()); cut off a state that was carried over from before by "
                "nn.detach(state)"
            )


def operand(node: Node) -> Any:
    """What a recorded gradient rule reads for a node: a tensor, or a number as it is."""
    return Tensor(node) if hasattr(node.value, "shape") else node.value


def fitted(term: Any, source: Node) -> Any:
    """Undo broadcasting: sum a term to the shape of the input it is sent to."""
    if type(term) in (Product, Carried):
        return term.computed()
    if type(term) is Part or term.shape == source.shape:
        return term
    if isinstance(term, Tensor):
        return ops.sum_to(term, shape=source.shape)
    return ops.sum_to.compute([term], {"shape": source.shape})


def dense(term: Any, source: Node) -> Array:
    """A term as an array of the input's shape."""
    return assembled([term], source.shape) if type(term) is Part else fitted(term, source)


def recorded(node: Node) -> str:
    """Where a node was recorded, in words."""
    line = f", recorded at {node.line}" if node.line else ""
    return f"{node.describe()} ({node.place.describe()}{line})"
