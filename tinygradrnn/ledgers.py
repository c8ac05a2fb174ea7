"""What keeps the gradients that have arrived so far, while a backward walk goes on."""

from __future__ import annotations

from typing import Any

from tinygradrnn import ops
from tinygradrnn.ops import Part, Product
from tinygradrnn.recording import Array, Node, Place, at, state
from tinygradrnn.tensors import Tensor

JOINED = 32  # products at most; each keeps its arrays alive until they are multiplied


class ArrayLedger:
    """The gradients that have arrived so far, as arrays; summed in place once they are our own."""

    records = False

    def __init__(self) -> None:
        self.totals: dict[Node, Array] = {}
        self.own: set[Node] = set()
        self.products: dict[Node, list[Product]] = {}
        self.parts: dict[Node, list[Part]] = {}

    def add(self, node: Node, term: Any) -> None:
        """Add what one reader sends to a node."""
        totals = self.totals
        kind = type(term)
        if kind is Product:
            products = self.products.setdefault(node, [])
            products.append(term)
            if len(products) == JOINED:
                self._add_new(node, ops.joined(self.products.pop(node)))
        elif kind is Part:
            self.parts.setdefault(node, []).append(term)
        elif node not in totals:
            totals[node] = term  # may be shared with another node: not ours to write into
        elif node in self.own:
            totals[node] += term
        else:
            totals[node] = totals[node] + term
            self.own.add(node)

    def _add_new(self, node: Node, term: Array) -> None:
        """Add an array that nobody else has."""
        if node in self.totals:
            term += self.totals[node]
        self.totals[node] = term
        self.own.add(node)

    def take(self, node: Node) -> Array | None:
        """The complete gradient of a node, forgotten here; None if nothing arrived."""
        if node in self.products:
            self._add_new(node, ops.joined(self.products.pop(node)))
        if node in self.parts:
            self._add_new(node, ops.assembled(self.parts.pop(node), node.shape))
        return self.totals.pop(node, None)


class RecordingLedger:
    """The same as tensors: the backward pass becomes a graph of its own.

    Where several meet, one ``accumulate`` node sums them, so that each term stays visible.
    """

    records = True

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


def beside(node: Node, argument: int | None) -> Place:
    """The place of a backward node: that of the forward node it comes from."""
    here = node.place
    origin = (node, argument)
    watch = state.place.watch
    return Place(here.scope, here.cell, here.timestep, origin, True, watch, here.equations)


Ledger = ArrayLedger | RecordingLedger


def dense(term: Any, shape: tuple[int, ...]) -> Array:
    """A term as an array of the input's shape."""
    if isinstance(term, Part):
        return ops.assembled([term], shape)
    return ops.contract(*term) if isinstance(term, Product) else term
