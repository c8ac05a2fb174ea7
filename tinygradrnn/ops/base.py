"""Op: an operation, its forward computation and one gradient rule per argument."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of, backend_of_type, common_backend
from tinygradrnn.recording import Array, Leaf, Node, state
from tinygradrnn.tensors import Tensor, to_array

Rule = Callable[..., Any]
NUMBERS = frozenset((float, int, bool))
PACKAGE = str(Path(__file__).parents[1])


class NonFiniteError(FloatingPointError):
    """Under ``debug()``: an operation made NaN or infinity."""


class Op:
    """An operation on arrays with its gradient.

    Parameters
    ----------
    name : str
        What ``node.op`` and messages say.
    forward : callable
        ``forward(xp, *arrays, **settings)`` → array, where ``xp`` is the array module (NumPy,
        CuPy …) that the arrays live in.
    *rules : callable or None
        One per argument: ``rule(g, y, *arguments, **settings)`` → ∂L/∂argument, where ``g`` is
        ∂L/∂y and ``y`` the result. A rule uses operators and other operations only: given arrays
        it computes, given tensors it records, so that gradients are differentiable again. What
        broadcasting repeated is summed by the engine, not by the rule. None: no gradient.
    each : callable, optional
        Instead of ``rules``, for any number of arguments: ``each(k, g, y, *arguments)``.
    label : str, optional
        What a drawing writes; the name when left out.
    problem : callable, optional
        ``problem(*shapes, **settings)`` → what is wrong with these shapes, in words, asked when
        the array module refused them.

    Examples
    --------
    ``multiply = Op("multiply", lambda xp, x, y: x * y,
    lambda g, out, x, y: g * y, lambda g, out, x, y: g * x, label="×")``
    """

    __slots__ = ("each", "forward", "label", "name", "problem", "rules")

    def __init__(
        self,
        name: str,
        forward: Callable[..., Array],
        *rules: Rule | None,
        each: Rule | None = None,
        label: str | None = None,
        problem: Callable[..., str | None] | None = None,
    ) -> None:
        self.name = name
        self.forward = forward
        self.rules = rules
        self.each = each
        self.label = label or name
        self.problem = problem

    def __repr__(self) -> str:
        return f"<Op {self.name}>"

    def __call__(self, *arguments: Any, **settings: Any) -> Tensor:
        """Apply: arrays give an array (typed as a tensor for its users), tensors a tensor.

        Raises
        ------
        MixedBackendError
            If the arrays live on different backends.
        ValueError, IndexError, TypeError
            What the array module raises, with the operation, the names and the shapes.
        """
        for argument in arguments:
            if isinstance(argument, Tensor):
                break
        else:
            return self.compute(arguments, settings)  # type: ignore[no-any-return]
        inputs = tuple(
            [a.node if isinstance(a, Tensor) else constant(a, arguments) for a in arguments]
        )
        values = [node.value for node in inputs]
        value = self.compute(values, settings, inputs)
        if isinstance(value, np.generic):  # NumPy's reductions give scalars, CuPy's 0-d arrays
            value = np.asarray(value)
        place = state.place
        if place.recording and self.records(inputs):
            node = Node(self, inputs, settings, value, place, True)
        else:
            node = Leaf(value)
        if place.debugging:
            inspect(self, node, value)
        return Tensor(node)

    def records(self, inputs: Sequence[Node]) -> bool:
        """Whether a gradient can flow through to any of the inputs."""
        if self.each is not None:
            return any([node.requires_grad for node in inputs])
        for node, rule in zip(inputs, self.rules, strict=False):
            if node.requires_grad and rule is not None:
                return True
        return False

    def compute(
        self,
        values: Sequence[Array],
        settings: dict[str, Any],
        inputs: Sequence[Node] | None = None,
    ) -> Any:
        """Run forward on arrays, on the one backend that they live on."""
        kind = None
        for value in values:
            if type(value) is not kind and type(value) not in NUMBERS:
                if kind is not None:
                    common_backend(self.name, [v for v in values if type(v) not in NUMBERS])
                else:
                    kind = type(value)
        try:
            xp = backend_of_type[kind].xp if kind in backend_of_type else xp_of(values)
            return self.forward(xp, *values, **settings)
        except (ValueError, IndexError, TypeError) as error:
            given = [node.describe() for node in inputs] if inputs else map(describe, values)
            raise type(error)(self.explain(error, values, list(given), settings)) from error

    def explain(
        self, error: Exception, values: Sequence[Array], given: list[str], settings: dict[str, Any]
    ) -> str:
        """Say what the operation was given when it or the array module refused it."""
        listed = ", ".join(given[:6]) + (f" and {len(given) - 6} more" if len(given) > 6 else "")
        why = self.problem(*[np.shape(v) for v in values], **settings) if self.problem else None
        return f"{self.name} of {listed}: {why or error}"

    def term(self, position: int, g: Any, node: Node, out: Any, arguments: Sequence[Any]) -> Any:
        """The gradient that an application of this operation sends to one of its inputs."""
        if self.each is not None:
            return self.each(position, g, out, *arguments, **node.settings)
        rule = self.rules[position]
        assert rule is not None
        return rule(g, out, *arguments, **node.settings)

    def differentiates(self, position: int) -> bool:
        """Whether there is a gradient with respect to the argument at this position."""
        if self.each is not None:
            return True
        return position < len(self.rules) and self.rules[position] is not None


def xp_of(values: Sequence[Array]) -> Any:
    """The array module of the first array among the values."""
    return backend_of(next(v for v in values if type(v) not in NUMBERS)).xp


def constant(value: Any, beside: Sequence[Any]) -> Leaf:
    """A leaf for an operand that is no tensor, on the backend of the tensors beside it.

    Numbers stay numbers, so that ``x * 2.0`` keeps the dtype of ``x``; NumPy's scalars too.
    """
    if type(value) in NUMBERS:
        return Leaf(value)
    if isinstance(value, np.generic):
        return Leaf(value.item())
    array = to_array(value)
    if not hasattr(value, "dtype"):  # a list: goes where the tensors are
        tensor = next(a for a in beside if isinstance(a, Tensor))
        array = backend_of(tensor.node.value).asarray(array)
    return Leaf(array)


def describe(value: Array) -> str:
    """Name an array for a message."""
    return f"an array {value.shape}" if hasattr(value, "shape") else repr(value)


def inspect(op: Op, node: Node, value: Array) -> None:
    """Under ``debug()``: keep the user's line, and refuse NaN and infinity."""
    node.line = user_line()
    if value.dtype.kind == "f" and not bool(xp_of([value]).isfinite(value).all()):
        raise NonFiniteError(
            f"{what_is_wrong(value)} in the result of {op.name} ({node.place.describe()}), "
            f"at {node.line}"
        )


def what_is_wrong(value: Array) -> str:
    """Tell NaN from infinity."""
    return "NaN" if bool(xp_of([value]).isnan(value).any()) else "infinity"


def user_line() -> str:
    """``file:line`` of the innermost frame outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(PACKAGE):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
