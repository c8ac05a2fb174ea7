"""Reverse-mode differentiation: the one backward walk, and the gradient tools made of it.

Why not call the gradient rules recursively, from the loss down? Take ``b = a + a; c = b + b``. A
recursion would enter ``b`` twice, each time with half of ∂c/∂b, and do all below it again: 2ⁿ
visits after n such lines, and a stack as deep as the graph. The walk visits every node once, after
all of its readers, when its gradient is complete. Nodes are numbered as they are recorded, inputs
before readers, so the reverse of that order is such an order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from tinygradrnn import ops
from tinygradrnn.arrays import TensorLike
from tinygradrnn.backend import backend_of
from tinygradrnn.collector import without_collector
from tinygradrnn.ledgers import ArrayLedger, Ledger, RecordingLedger
from tinygradrnn.recording import Array, Leaf, Node, no_grad, state
from tinygradrnn.tensors import Tensor, as_tensor

by_order = attrgetter("order")


def ancestors(outputs: Iterable[Node], all_nodes: bool = False) -> list[Node]:
    """The nodes that the outputs were computed from, in recorded order, outputs included.

    Parameters
    ----------
    outputs : iterable of Node
    all_nodes : bool
        Also those that need no gradient.
    """
    found = list(dict.fromkeys([node for node in outputs if all_nodes or node.requires_grad]))
    seen = set(found)
    for node in found:  # grows on the way
        for source in node.inputs:
            if source not in seen and (all_nodes or source.requires_grad):
                seen.add(source)
                found.append(source)
    found.sort(key=by_order)
    return found


def walk(
    seeds: dict[Node, Any], ledger: Ledger, towards: Sequence[Node] | None = None
) -> Iterator[tuple[Node, Any, list[Any]]]:
    """Carry gradients from the seeds back to the leaves; backward, grad and stepping share it.

    Parameters
    ----------
    seeds : dict of Node to gradient
        ∂L/∂output of each output.
    ledger : Ledger
        Decides whether gradients are arrays or recorded tensors.
    towards : sequence of Node, optional
        Visit only nodes on the way to these.

    Returns
    -------
    iterator of (node, gradient, sent)
        Every node once, after all of its readers, with its complete gradient and the term sent to
        each input: None where none is, a :class:`~tinygradrnn.ops.Part` for a slice, and with
        arrays a :class:`~tinygradrnn.ops.Product` for the weights of a product. A ledger of arrays
        that is made with ``every=False`` shows leaves and ``towards`` only, and no terms.
    """
    nodes = ancestors(seeds)
    reached = None if towards is None else _between(nodes, towards)
    for node, seed in seeds.items():
        ledger.add(node, seed)
    return ledger.walk(nodes, reached, frozenset(towards or ()))


def _between(nodes: Sequence[Node], towards: Sequence[Node]) -> set[Node]:
    """Those of the nodes, given in recorded order, from which one of ``towards`` is reached."""
    reached = set(towards)
    for node in nodes:
        if node not in reached and any([source in reached for source in node.inputs]):
            reached.add(node)
    return reached


# -------------------------------------------------------------------- what users call


def seed_of(output: Tensor, grad: TensorLike, what: str) -> Tensor:
    """∂L/∂output: what was given, or 1 for a single number."""
    if not isinstance(output, Tensor):
        raise TypeError(f"{what}: the output is a {type(output).__name__}, not a Tensor")
    if not output.requires_grad:
        raise ValueError(
            f"{what}: {output.node.describe()} does not depend on anything that requires a "
            "gradient. Was it computed under no_grad(), or from detached or frozen tensors?"
        )
    if grad is None:
        if output.size != 1:
            raise ValueError(
                f"{what}: {output.node.describe()} is not a single number, so there is no one "
                "gradient. Reduce it (loss.sum(), loss.mean()), or give ∂L/∂output of the same "
                "shape"
            )
        xp = backend_of(output.node.value).xp
        return Tensor(Leaf(xp.ones(output.shape, output.dtype)))
    seed = as_tensor(grad)
    if seed.shape != output.shape:
        raise ValueError(
            f"{what}: the gradient given has shape {seed.shape}, {output.node.describe()} needs "
            f"{output.shape}"
        )
    return seed if seed.dtype == output.dtype else seed.astype(output.dtype)


def backward(output: Tensor, grad: TensorLike = None) -> None:
    """See :meth:`tinygradrnn.tensors.Tensor.backward`."""
    seed = seed_of(output, grad, "backward()")
    if state.capture is not None:
        record_backward(output, seed)
        return
    arrived: list[tuple[Leaf, Array]] = []
    ledger = ArrayLedger(every=False)
    with without_collector():
        for node, gradient, _ in walk({output.node: seed.data}, ledger):
            if isinstance(node, Leaf):
                value = backend_of(node.value).asarray(gradient, dtype=node.value.dtype)
                arrived.append((node, value if node in ledger.own else value.copy()))
    for leaf, value in arrived:  # only now: a walk that fails leaves every .grad as it was
        leaf.grad = Tensor(Leaf(value if leaf.grad is None else leaf.grad.data + value))


def record_backward(output: Tensor, seed: Tensor) -> None:
    """The same while ``tg.compile`` listens: the gradients are computed by recorded nodes."""
    arrived = [
        (node, gradient)
        for node, gradient, _ in walk({output.node: seed}, RecordingLedger(uniform=True))
        if isinstance(node, Leaf)
    ]
    for leaf, gradient in arrived:
        value = _finished(gradient, leaf).detach()
        before = state.capture.gradient(leaf)  # type: ignore[union-attr]
        state.capture.sets(leaf)  # type: ignore[union-attr]
        leaf.grad = value if before is None else before + value


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    grad_output: TensorLike = None,
    create_graph: bool = False,
) -> tuple[Tensor, ...]:
    """∂output/∂input for each input, leaves or intermediate results; touches no ``.grad``.

    Parameters
    ----------
    output : Tensor
    inputs : Tensor or sequence of Tensor
        Each must require a gradient. Where ``output`` does not depend on one, zeros.
    grad_output : tensor or array of output's shape, optional
        ∂L/∂output; needed where ``output`` is not a single number.
    create_graph : bool
        Record the backward pass, so that the gradients can be differentiated again.

    Returns
    -------
    tuple of Tensor
        Each of its input's shape and dtype.
    """
    inputs = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    for position, tensor in enumerate(inputs):
        if not isinstance(tensor, Tensor):
            raise TypeError(f"grad: input {position} is a {type(tensor).__name__}, not a Tensor")
        if not tensor.requires_grad:
            raise ValueError(
                f"grad: input {position}, {tensor.node.describe()}, does not require a gradient; "
                "make it with requires_grad=True"
            )
    seed = seed_of(output, grad_output, "grad")
    nodes = [tensor.node for tensor in inputs]
    refuse_bypassed_stacks(output.node, nodes)
    wanted = dict.fromkeys(nodes)
    compiling = state.capture is not None
    ledger: Ledger
    if create_graph or compiling:
        ledger, start = RecordingLedger(uniform=compiling), seed
    else:
        ledger, start = ArrayLedger(every=False), seed.data
    for node, gradient, _ in walk({output.node: start}, ledger, towards=nodes):
        if node in wanted:
            wanted[node] = gradient
    found = [_finished(wanted[node], node) for node in nodes]
    return tuple(found if create_graph or not compiling else [g.detach() for g in found])


def refuse_bypassed_stacks(output: Node, wanted: Sequence[Node]) -> None:
    """Raise if the output reads what was stacked past the stack, as ``y[:, t]`` does.

    Such a pick is the very tensor that was stacked, so its gradient does not pass the stack: the
    gradient of the stack would be zero there, silently.
    """
    stacks = [node for node in wanted if node.operation is ops.stack]
    if not stacks:
        return
    above = ancestors([output])
    for stack in stacks:
        for node in above:
            if node.order > stack.order and any([source in stack.inputs for source in node.inputs]):
                axis = stack.settings["axis"]
                raise ValueError(
                    f"grad: {stack.describe()} is a stack, and {node.describe()} reads one of the "
                    "tensors that were stacked by itself (y[:, t] is the tensor of step t), so "
                    "there is no gradient of the whole. Ask for the parts: "
                    f"tg.grad(loss, F.unstack(y, axis={axis}))"
                )


def _finished(gradient: Any, node: Node) -> Tensor:
    """A gradient as a tensor of its input's dtype, zeros where none arrived."""
    if gradient is None:
        return Tensor(Leaf(backend_of(node.value).xp.zeros_like(node.value)))
    if isinstance(gradient, Tensor):
        return gradient if gradient.dtype == node.value.dtype else gradient.astype(node.value.dtype)
    return Tensor(Leaf(backend_of(node.value).asarray(gradient, dtype=node.value.dtype).copy()))


def jacobian(output: Tensor, input: Tensor) -> Tensor:
    """∂output/∂input, of shape ``output.shape + input.shape``, one backward walk per element."""
    backend = backend_of(output.node.value)
    rows = []
    for position in range(output.size):
        seed = np.zeros(output.shape, output.dtype)
        seed.flat[position] = 1
        rows.append(grad(output, input, backend.asarray(seed))[0].data)
    xp = backend.xp
    stacked = xp.stack(rows) if rows else xp.zeros((0, *input.shape), input.dtype)
    return Tensor(Leaf(stacked.reshape(output.shape + input.shape)))


def hessian_vector_product(
    output: Tensor, inputs: Tensor | Sequence[Tensor], vectors: TensorLike | Sequence[TensorLike]
) -> tuple[Tensor, ...]:
    """H v for the Hessian H of a single number with respect to ``inputs``, without forming H.

    Computed as ∂⟨∂output/∂inputs, v⟩/∂inputs (Pearlmutter 1994): two walks.

    Parameters
    ----------
    output : Tensor
        A single number.
    inputs : Tensor or sequence of Tensor
    vectors : tensor, array, or a sequence of them
        v, one of each input's shape.

    Returns
    -------
    tuple of Tensor
        Of the inputs' shapes.
    """
    if isinstance(inputs, Tensor):
        inputs, vectors = (inputs,), (vectors,)
    vectors = [as_tensor(vector) for vector in vectors]
    if len(vectors) != len(inputs):
        raise ValueError(f"hessian_vector_product: {len(inputs)} inputs but {len(vectors)} vectors")
    for position, (tensor, vector) in enumerate(zip(inputs, vectors, strict=True)):
        if vector.shape != tensor.shape:
            raise ValueError(
                f"hessian_vector_product: vector {position} has shape {vector.shape}, its input "
                f"{tensor.node.describe()} has {tensor.shape}"
            )
    first = grad(output, inputs, create_graph=True)
    terms = [(g * v).sum() for g, v in zip(first, vectors, strict=True) if g.requires_grad]
    if not terms:  # linear in all inputs
        with no_grad():
            return tuple([tensor * 0 for tensor in inputs])
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return grad(total, inputs)
