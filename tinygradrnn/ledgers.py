"""What keeps the gradients that have arrived so far, while a backward walk goes on."""

from __future__ import annotations

from typing import Any

from tinygradrnn import ops
from tinygradrnn.backend import backend_of
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

    def add(self, node: Node, term: Any) -> None:
        """Add what one reader sends to a node."""
        totals = self.totals
        kind = type(term)
        if kind is Product:
            products = self.products.setdefault(node, [])
            products.append(term)
            if len(products) == JOINED:
                self._multiply(node)
        elif kind is Part:
            if node not in self.own:
                xp = backend_of(node.value).xp
                zeros = xp.zeros(node.shape, term.values.dtype)
                totals[node] = xp.asarray(zeros + totals[node]) if node in totals else zeros
                self.own.add(node)
            ops.add_part(totals[node], *term)
        elif node not in totals:
            totals[node] = term  # may be shared with another node: not ours to write into
        elif node in self.own:
            totals[node] += term
        else:
            totals[node] = totals[node] + term
            self.own.add(node)

    def _multiply(self, node: Node) -> None:
        """Compute the products that have been sent to a node."""
        self.add(node, ops.joined(self.products.pop(node)))

    def take(self, node: Node) -> Array | None:
        """The complete gradient of a node, forgotten here; None if nothing arrived."""
        if node in self.products:
            self._multiply(node)
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
        total = backend_of(term.values).xp.zeros(shape, term.values.dtype)
        ops.add_part(total, *term)
        return total
    return ops.contract(*term) if isinstance(term, Product) else term
