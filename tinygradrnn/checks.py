"""Checks of gradients against central differences, and ``debug()``."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of
from tinygradrnn.gradients import ancestors, grad
from tinygradrnn.ledgers import recorded
from tinygradrnn.ops import Carried, NonFiniteError, Op, Part, Product
from tinygradrnn.ops.base import lines, user_line
from tinygradrnn.recording import Array, Leaf, Node, Place, Watch, Within
from tinygradrnn.tensors import Tensor

STEP = {2: 1e-2, 4: 1e-3, 8: 1e-6}  # by the bytes of the dtype
TOLERANCE = {2: 1e-1, 4: 2e-2, 8: 1e-6}
PRECISION = {2: 1e-3, 4: 1.2e-7, 8: 2.2e-16}


class GradientCheckError(AssertionError):
    """A gradient rule and central differences disagree."""


class _Warnings(threading.local):
    def __init__(self) -> None:
        self.before: list[Any] = []  # NumPy's settings to come back to, one for each open block


_warnings = _Warnings()


class debug(Within):
    """Find NaN and infinity at the operation that made them.

    Inside the block every operation checks its result and keeps the line of the program that
    recorded it: NaN raises :class:`NonFiniteError` with that line, the scope and the time step,
    forward or backward, and an error in backward shows the line of the forward operation. A page
    made by ``step_through`` shows the lines too. Slow.

    Parameters
    ----------
    check : bool
        False: only keep the lines.
    """

    def __init__(self, check: bool = True) -> None:
        self.watch = _Check() if check else _KeepLines()

    def __enter__(self) -> None:
        super().__enter__()
        _warnings.before.append(np.seterr(all="ignore"))  # our message says more than a warning

    def __exit__(self, *exception: object) -> None:
        np.seterr(**_warnings.before.pop())
        super().__exit__(*exception)

    def _place(self, before: Place) -> Place:
        b = before
        return Place(b.scope, b.cell, b.timestep, b.origin, b.recording, self.watch, b.equations)


class _KeepLines(Watch):
    def result(
        self, op: Op, inputs: Sequence[Node], settings: Mapping[str, Any], node: Node
    ) -> None:
        node.lines = lines()


class _Check(_KeepLines):
    def result(
        self, op: Op, inputs: Sequence[Node], settings: Mapping[str, Any], node: Node
    ) -> None:
        super().result(op, inputs, settings, node)
        if wrong := _what_is_wrong(node.value):
            raise NonFiniteError(
                f"{wrong} in the result of {op.name} ({node.place.describe()}), at {node.line}"
            )

    def term(self, node: Node, term: Any) -> None:
        values = term.values if isinstance(term, Part) else term
        if isinstance(values, Carried | Product):
            values = values.computed()
        if wrong := _what_is_wrong(values.data if isinstance(values, Tensor) else values):
            raise NonFiniteError(
                f"{wrong} in the gradient of {recorded(node)}, asked for at {user_line()}"
            )


def _what_is_wrong(array: Array) -> str | None:
    """NaN, or else infinity, if a float array holds any."""
    xp = backend_of(array).xp
    if array.dtype.kind != "f" or bool(xp.isfinite(array).all()):
        return None
    return "NaN" if bool(xp.isnan(array).any()) else "infinity"


def check_gradients(f: Callable[..., Any], *inputs: Tensor, order: int = 1, seed: int = 0) -> None:
    """Compare the gradients of ``f`` with central differences.

    The result of ``f`` is projected on a random vector u, and each input is moved along random
    directions v: ⟨∂⟨u, f⟩/∂x, v⟩ must equal (⟨u, f(x + εv)⟩ − ⟨u, f(x − εv)⟩) / 2ε. A wrong element
    shows in a random direction with probability one, at two evaluations a direction. With
    ``order=2`` the gradients themselves are checked in the same way.

    Parameters
    ----------
    f : callable
        Takes the inputs, returns a tensor or a tuple of tensors. It may also read them from
        elsewhere (a module's parameters): they are moved in place, and put back.
    *inputs : Tensor
        Leaves that require a gradient, float64 for a sharp check.
    order : int
        1, 2, …: how often to differentiate.
    seed : int
        Of the random directions.

    Raises
    ------
    GradientCheckError
        Naming the input, both numbers, and the operation whose rule is at fault.
    """
    if order < 1:
        raise ValueError(f"check_gradients: order must be at least 1, got {order}")
    for position, x in enumerate(inputs):
        if not (isinstance(x, Tensor) and x.node.is_leaf and x.requires_grad):
            raise ValueError(
                f"check_gradients: input {position} must be a tensor made with requires_grad=True"
            )
    if not inputs:
        raise ValueError("check_gradients: give at least one input to differentiate by")
    _check(f, inputs, order, np.random.default_rng(seed), 1)


def _check(
    f: Callable[..., Any],
    inputs: Sequence[Tensor],
    order: int,
    rng: np.random.Generator,
    level: int,
) -> None:
    projections: list[Tensor] = []

    def projected(*arguments: Tensor) -> Tensor:
        result = f(*arguments)
        results: tuple[Tensor, ...] = result if isinstance(result, tuple) else (result,)
        if not projections:
            projections.extend(_random_like(r, rng) for r in results)
        terms = [(r * u).sum() for r, u in zip(results, projections, strict=True)]
        total = terms[0]
        for term in terms[1:]:
            total = total + term
        return total

    loss = projected(*inputs)
    computed = _gradients(loss, inputs, False)
    recorded = _gradients(loss, inputs, True) if order > 1 else computed
    for position, x in enumerate(inputs):
        size = min(x.dtype.itemsize, loss.dtype.itemsize, 8)
        for gradient in (computed[position], recorded[position]):
            numbers = _disagreement(projected, inputs, x, gradient, size, rng)
            if numbers is not None:
                what = "" if level == 1 else f" of order {level}"
                raise GradientCheckError(
                    f"check_gradients: the gradient{what} with respect to input {position}, "
                    f"{x.node.describe()}, is {numbers[0]:.9g} along a random direction, but the "
                    f"central difference is {numbers[1]:.9g}.{_culprit(loss, rng)}"
                )
    if order > 1:

        def first(*arguments: Tensor) -> Any:
            return _gradients(projected(*arguments), arguments, True)

        _check(first, inputs, order - 1, rng, level + 1)


def _gradients(loss: Tensor, inputs: Sequence[Tensor], create_graph: bool) -> tuple[Tensor, ...]:
    if not loss.requires_grad:
        return tuple([(x * 0).detach() for x in inputs])
    return grad(loss, inputs, create_graph=create_graph)


def _random_like(x: Tensor, rng: np.random.Generator) -> Tensor:
    values = rng.standard_normal(x.shape).astype(x.dtype)
    return Tensor(Leaf(backend_of(x.data).asarray(values)))


def _disagreement(
    f: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    x: Tensor,
    gradient: Tensor,
    size: int,
    rng: np.random.Generator,
) -> tuple[float, float] | None:
    """⟨∂f/∂x, v⟩ for a random v and its central difference, if they are not the same number."""
    v = _random_like(x, rng)
    terms = gradient.detach() * v
    analytic = float(terms.sum())
    step = STEP[size]
    ends = _ends(f, inputs, x, step * v.data)
    numeric = (ends[0] - ends[1]) / (2 * step)
    scale = max(abs(analytic), abs(numeric), float(abs(terms).sum()), 1.0)
    rounding = 4 * PRECISION[size] * max(map(abs, ends)) / step
    if abs(analytic - numeric) <= TOLERANCE[size] * scale + rounding < inf:
        return None
    return analytic, numeric


def _ends(
    f: Callable[..., Tensor], inputs: Sequence[Tensor], x: Tensor, change: Array
) -> tuple[float, float]:
    """F with x moved in place by ±change; x is put back."""
    leaf = x.node
    assert isinstance(leaf, Leaf)
    before, changed = leaf.value, leaf.changed
    try:
        x.data = before + change
        ahead = float(f(*inputs).detach())
        x.data = before - change
        return ahead, float(f(*inputs).detach())
    finally:
        leaf.value, leaf.changed = before, changed  # graphs recorded before are still good


def _culprit(loss: Tensor, rng: np.random.Generator) -> str:
    """Check every operation of the graph by itself and name the first whose rule is wrong."""
    for node in ancestors([loss.node]):
        if node.is_leaf:
            continue
        for position, source in enumerate(node.inputs):
            if source.requires_grad and _rule_is_wrong(node, position, rng):
                return (
                    f" The rule of '{node.op}' for its argument {position}, {source.describe()}, "
                    f"is wrong ({node.place.describe()})."
                )
    return ""


def _rule_is_wrong(node: Node, position: int, rng: np.random.Generator) -> bool:
    operation = node.operation
    assert operation is not None
    leaves = [
        Tensor(Leaf(source.value)) if hasattr(source.value, "shape") else source.value
        for source in node.inputs
    ]
    x = leaves[position]
    x.requires_grad = True

    u = _random_like(Tensor(node), rng)

    def alone(x: Tensor) -> Tensor:
        return (operation(*leaves, **node.settings) * u).sum()

    size = min(x.dtype.itemsize, node.value.dtype.itemsize, 8)
    return _disagreement(alone, [x], x, grad(alone(x), x)[0], size, rng) is not None
