"""``recompute``: keep no values inside a segment; compute them again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tinygradrnn import ops, seeds
from tinygradrnn.gradients import ancestors, grad
from tinygradrnn.ops.base import Op
from tinygradrnn.recording import Array, Leaf, Place, at, state
from tinygradrnn.tensors import Tensor
from tinygradrnn.trees import filled, template_of, tensors_of


def recompute(f: Callable[..., Any], *inputs: Any) -> Any:
    """Compute f(*inputs), and keep only the inputs and the results for the backward pass.

    The backward pass runs f again, with the same random numbers, to have the values between them
    (Chen et al. 2016). T time steps in √T segments of √T steps keep O(√T) states instead of O(T),
    for the price of one more forward pass.

    Parameters
    ----------
    f : callable
        Computes tensors from tensors, and from parameters that it knows. It is called again in the
        backward pass and must do the same then.
    *inputs : tensors, or (named) tuples, lists and dicts of them
        Other values are handed on as they are.

    Returns
    -------
    What f returns
        Tensors, or such a structure of them.

    Raises
    ------
    TypeError
        If f returns no tensors.

    Examples
    --------
    ``for part in parts: y, state = tg.recompute(rnn_of_part, part, state)``, with
    ``def rnn_of_part(x, state): return tuple(rnn(x, state))``.
    """
    if state.capture is not None or not state.place.recording:
        return f(*inputs)  # a plan keeps what it needs and nothing else
    given: list[Tensor] = []
    segment = _Segment(f, template_of(inputs, given))
    results = segment.first(given)
    tensors = list(tensors_of(results))
    if not tensors:
        raise TypeError(
            f"recompute: the function returned {type(results).__name__}, expected tensors"
        )
    if not any(tensor.requires_grad for tensor in tensors):
        return results
    shape_of_result = template_of(results, [])
    values = [tensor.node.value for tensor in tensors]
    del results, tensors  # and with them the graph of the segment
    again = Op("recompute", _joined(values), each=segment.rule)
    joined = again(*given, *segment.parameters)
    parts = []
    start = 0
    for value in values:
        stop = start + value.size
        parts.append(joined[start:stop].reshape(value.shape).astype(value.dtype))
        start = stop
    return filled(shape_of_result, iter(parts))


def _joined(values: Sequence[Array]) -> Callable[..., Array]:
    """A forward computation whose result is there already."""
    flat = [value.reshape(-1) for value in values]
    return lambda xp, *arguments: xp.concatenate(flat)


class _Segment:
    """Runs a function again for the gradients of its arguments and of its parameters."""

    def __init__(self, f: Callable[..., Any], structure: Any) -> None:
        self.f, self.structure = f, structure
        here = state.place
        self.place = Place(here.scope, here.cell, here.timestep)
        self.random = seeds.generator_state()
        self.needs: list[bool] = []
        self.parameters: list[Tensor] = []
        self.gradient: Any = None  # the one that came in last, and what is sent for it
        self.terms: list[Any] = []

    def first(self, given: Sequence[Tensor]) -> Any:
        """What f returns; the parameters that it reads are found on the way."""
        self.needs = [tensor.requires_grad for tensor in given]
        apart = self._apart([tensor.node.value for tensor in given])
        results = self.f(*filled(self.structure, iter(apart)))
        own = {tensor.node for tensor in apart}
        nodes = ancestors([tensor.node for tensor in tensors_of(results)])
        self.parameters = [
            Tensor(node)
            for node in nodes
            if isinstance(node, Leaf) and node.requires_grad and node not in own
        ]
        return results

    def _apart(self, values: Sequence[Array]) -> list[Tensor]:
        """Leaves of the same values: the graph of the segment ends at them."""
        return [Tensor(Leaf(v, needs)) for v, needs in zip(values, self.needs, strict=True)]

    def rule(self, k: int, g: Any, y: Any, arguments: Sequence[Any]) -> Any:
        """∂L/∂argument k; the walk asks for one argument after the other, with the same g."""
        if self.gradient is not g:
            self.gradient, self.terms = g, self._gradients(g, arguments)
        return self.terms[k]

    def _gradients(self, g: Any, arguments: Sequence[Any]) -> list[Any]:
        """For each argument, None where none is needed."""
        given = arguments[: len(self.needs)]
        if isinstance(g, Tensor):  # to be differentiated again: that is computed again too
            found = iter(recompute(self._partial, g, *given))
        else:
            terms = self._partial(Tensor(Leaf(g)), *self._apart(given), create_graph=False)
            found = iter([term.node.value for term in terms])
        return [
            next(found) if need else None
            for need in (*self.needs, *(True for _ in self.parameters))
        ]

    def _partial(self, g: Tensor, *inputs: Tensor, create_graph: bool = True) -> tuple[Tensor, ...]:
        """The gradients of what is needed; no input is computed from another one."""
        after = seeds.generator_state()
        seeds.set_generator_state(self.random)
        try:
            with at(self.place):
                results = self.f(*filled(self.structure, iter(inputs)))
                flat = [tensor.reshape(-1) for tensor in tensors_of(results)]
                joined = ops.concatenate(*flat, axis=0)
        finally:
            seeds.set_generator_state(after)
        needed = [tensor for tensor in inputs if tensor.requires_grad] + self.parameters
        return grad(joined, needed, g, create_graph)
