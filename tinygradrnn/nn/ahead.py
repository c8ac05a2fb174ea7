"""Products of the inputs of many time steps, computed at once.

Step t reads x_t @ W as an operation of its own, and so it is recorded, drawn and stepped through.
But x is known before the loop begins: its steps are the rows of one matrix, and one product with
many rows takes less time than many products with few, each of which has to lay out W anew for the
processor's caches.
"""

from __future__ import annotations

from tinygradrnn import functional as F
from tinygradrnn import ops
from tinygradrnn.arrays import TensorLike
from tinygradrnn.recording import NO_SETTINGS, Array, Leaf, Node, state
from tinygradrnn.tensors import Tensor

BLOCK = 32  # steps; values of all steps would long have left the caches when they are read
LARGE = 256  # elements of x_t; of fewer, a product costs less than keeping a block of them


class Sequence:
    """The steps of a tensor x (B, T, F).

    Parameters
    ----------
    x : Tensor
    """

    def __init__(self, x: Tensor) -> None:
        self.x = x
        self.products: dict[Leaf, tuple[int, int, Array]] = {}
        self.ahead = state.capture is None and x.shape[0] * x.shape[-1] >= LARGE

    def step(self, t: int) -> Tensor:
        """x_t, t = 0…T − 1: (B, F)."""
        x_t = F.unstacked(self.x, t, axis=1)
        return Step(x_t.node, self, t) if self.ahead else x_t

    def product(self, t: int, weight: Tensor) -> Array | None:
        """x_t @ weight out of the product for a block of steps; None where a product is made alone.

        So is that with a weight that was not multiplied before, since it may never be again: with
        one that was computed, or that a single step reads.
        """
        node, matrix = weight.node, weight.node.value
        if not isinstance(node, Leaf) or matrix.ndim != 2 or matrix.dtype != self.x.dtype:
            return None
        block = t // BLOCK
        known, changed, rows = self.products.get(node, (-1, -1, None))
        if changed != node.changed:  # the first time, or the first since it was updated
            self.products[node] = (-1, node.changed, None)
            return None
        if known != block:
            x = self.x.node.value[:, block * BLOCK : (block + 1) * BLOCK].swapaxes(0, 1)
            rows = (x.reshape(-1, x.shape[-1]) @ matrix).reshape((*x.shape[:2], -1))
            self.products[node] = (block, changed, rows)
        row: Array = rows[t - block * BLOCK]
        return row


class Step(Tensor):
    """One step of a sequence that is known as a whole."""

    __slots__ = ("sequence", "t")

    def __init__(self, node: Node, sequence: Sequence, t: int) -> None:
        super().__init__(node)
        self.sequence, self.t = sequence, t

    def __matmul__(self, other: TensorLike) -> Tensor:
        value = self.sequence.product(self.t, other) if isinstance(other, Tensor) else None
        if value is None:
            return super().__matmul__(other)
        needs = self.requires_grad or other.requires_grad
        return ops.matmul.applied((self.node, other.node), NO_SETTINGS, value, needs)
