"""Op: an operation, its forward computation and one gradient rule per argument."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinygradrnn.arrays import to_array
from tinygradrnn.backend import backend_of, common_backend
from tinygradrnn.recording import NO_SETTINGS, Array, Leaf, Node, state
from tinygradrnn.tensors import Tensor

Rule = Callable[..., Any]
NUMBERS = frozenset((float, int, bool))
FLOAT64 = np.dtype(np.float64)
PACKAGE = f"{Path(__file__).parents[1]}{os.sep}"
PLUMBING = tuple(  # what operations are called through, and not written in
    PACKAGE + place.replace("/", os.sep)
    for place in (
        *("ops/", "recording.py", "arrays.py", "tensors.py", "functional.py", "gradients.py"),
        *("reduction.py", "checks.py", "handles.py", "testing/", "nn/modules.py", "nn/states.py"),
        "nn/cells/base.py",
    )
)


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
        Instead of ``rules``, for any number of arguments: ``each(k, g, y, arguments)``.
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

    __slots__ = ("blind", "differentiable", "forward", "label", "name", "problem", "rules")

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
        self.rules: Sequence[Rule | None] | EachRule = rules if each is None else EachRule(each)
        self.label = label or name
        self.differentiable = bool(rules) or each is not None
        self.blind = frozenset(i for i, rule in enumerate(rules) if rule is None)
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
        inputs: list[Node] = []
        values: list[Array] = []
        needs = False
        kind: Any = None  # of the arrays
        for argument in arguments:
            if isinstance(argument, Tensor):
                node = argument.node
                if node.requires_grad:
                    needs = True
            elif type(argument) in NUMBERS:
                inputs.append(Leaf(argument))
                values.append(argument)
                continue
            elif any([isinstance(a, Tensor) for a in arguments]):
                node = constant(argument, arguments)
            else:
                return self.compute(arguments, settings)  # type: ignore[no-any-return]
            value = node.value
            if type(value) is not kind:
                kind = type(value) if kind is None else SEVERAL
            inputs.append(node)
            values.append(value)
        try:
            xp = array_modules[kind]
            value = self.forward(xp, *values, **settings) if settings else self.forward(xp, *values)
        except Exception:  # to say what is wrong, or a kind met for the first time
            value = self.compute(values, settings, inputs)
        if value.dtype is FLOAT64 and (narrow := without_integers(inputs, settings)):
            inputs = narrow
            value = self.compute([node.value for node in inputs], settings, inputs)
        if type(value) is not kind and isinstance(value, np.generic):
            value = np.asarray(value)  # NumPy's reductions give scalars, CuPy's 0-d arrays
        return self.applied(tuple(inputs), settings or NO_SETTINGS, value, needs)

    def unary(self, x: Any) -> Tensor:
        """The same as a call with one argument, quicker for a tensor."""
        if not isinstance(x, Tensor):
            return self(x)
        node = x.node
        p = node.value
        kind = type(p)
        try:
            value = self.forward(array_modules[kind], p)
        except Exception:  # a call says what is wrong
            return self(x)
        wide = value.dtype is FLOAT64 and p.dtype is not FLOAT64
        if wide or type(value) is not kind:
            return self(x)
        return self.applied((node,), NO_SETTINGS, value, node.requires_grad)

    def binary(self, x: Any, y: Any) -> Tensor:
        """The same as a call with two arguments, quicker for tensors and numbers."""
        if isinstance(x, Tensor):
            a = x.node
            like = a.value
            if isinstance(y, Tensor):
                b = y.node
                if type(b.value) is not type(like):
                    return self(x, y)
            elif type(y) in NUMBERS:
                b = Leaf(y)
            else:
                return self(x, y)
        elif type(x) in NUMBERS and isinstance(y, Tensor):
            a, b = Leaf(x), y.node
            like = b.value
        else:
            return self(x, y)
        kind = type(like)
        try:
            value = self.forward(array_modules[kind], a.value, b.value)
        except Exception:
            return self(x, y)
        wide = value.dtype is FLOAT64 and like.dtype is not FLOAT64
        if type(value) is not kind or (wide and getattr(b.value, "dtype", None) is not FLOAT64):
            return self(x, y)
        return self.applied((a, b), NO_SETTINGS, value, a.requires_grad or b.requires_grad)

    def applied(
        self, inputs: tuple[Node, ...], settings: dict[str, Any], value: Array, needs: bool
    ) -> Tensor:
        """The result of an application whose value is known; recorded if an input needs it."""
        if needs and self.blind:
            needs = any(n.requires_grad for k, n in enumerate(inputs) if k not in self.blind)
        place = state.place
        if needs and self.differentiable and place.recording:
            node = Node(self, inputs, settings, value, place, True)
        elif state.capture is not None:
            node = state.capture.record(self, inputs, settings, value)
        else:
            node = Leaf(value)
            if place.recording:
                node.name = frozen_name(self, inputs)
        if place.watch is not None:
            place.watch.result(self, inputs, settings, node)
        return Tensor(node)

    def compute(
        self,
        values: Sequence[Array],
        settings: dict[str, Any],
        inputs: Sequence[Node] | None = None,
    ) -> Any:
        """Run forward on arrays, on the one backend that they live on."""
        kind = type(values[0])
        xp = array_modules.get(kind)
        for value in values:
            if type(value) is not kind and type(value) not in NUMBERS:
                xp = None  # a number first, or arrays of several types
        if xp is None:
            xp = self.array_module(values)
        try:
            return self.forward(xp, *values, **settings) if settings else self.forward(xp, *values)
        except (ValueError, IndexError, TypeError, OverflowError) as error:
            given = [node.describe() for node in inputs] if inputs else map(describe, values)
            raise type(error)(self.explain(error, values, list(given), settings)) from error

    def array_module(self, values: Sequence[Array]) -> Any:
        """The array module of values that are not all of one type."""
        arrays = [value for value in values if type(value) not in NUMBERS]
        kind = type(arrays[0])
        if len(arrays) > 1 and any([type(array) is not kind for array in arrays]):
            common_backend(self.name, arrays)
        if kind not in array_modules:
            array_modules[kind] = backend_of(arrays[0]).xp
        return array_modules[kind]

    def term(self, position: int, g: Any, y: Any, xs: Sequence[Any], settings: Any) -> Any:
        """∂L/∂argument as its rule gives it, from g = ∂L/∂y."""
        rule = self.rules[position]
        assert rule is not None
        arguments = [xs] if isinstance(self.rules, EachRule) else xs
        return rule(g, y, *arguments, **settings)

    def explain(
        self, error: Exception, values: Sequence[Array], given: list[str], settings: dict[str, Any]
    ) -> str:
        """Say what the operation was given when it or the array module refused it."""
        listed = ", ".join(given[:6]) + (f" and {len(given) - 6} more" if len(given) > 6 else "")
        why = self.problem(*[np.shape(v) for v in values], **settings) if self.problem else None
        return f"{self.name} of {listed}: {why or error}"


def frozen_name(op: Op, inputs: Sequence[Node]) -> str | None:
    """What a product with a frozen weight is called: it needs no gradient, so it is not recorded.

    ``x @ W_x (frozen)``. Pictures show it where the operation would stand.
    """
    if len(inputs) > 2 or all(node.operation or node.op != "parameter" for node in inputs):
        return None
    names = [node.name or node.op for node in inputs]
    if op.name == "getitem":
        return f"{names[0]}[…] (frozen)"
    shown = f" {op.label} ".join(names) if len(names) == 2 else f"{op.label} {names[0]}"
    return f"{shown} (frozen)"


class EachRule:
    """The rules of an operation of any number of arguments, read like a tuple.

    They take the arguments as one sequence: ``rules[k](g, y, arguments)``.
    """

    def __init__(self, each: Rule) -> None:
        self.each = each

    def __getitem__(self, position: int) -> Rule:
        return partial(self.each, position)

    def first(self, count: int) -> list[Rule]:
        """The rules of that many arguments."""
        return [self[position] for position in range(count)]


array_modules: dict[Any, Any] = {}
SEVERAL = object()  # arrays of several types


def without_integers(inputs: Sequence[Node], settings: dict[str, Any]) -> list[Node] | None:
    """The inputs of an operation that gave float64 although none of them is float64.

    NumPy makes float64 of an integer array beside a float32 one. Here floats are float32 unless
    the data says otherwise: integers take the dtype of the floats beside them.
    """
    dtypes = [node.value.dtype for node in inputs if hasattr(node.value, "dtype")]
    if FLOAT64 in dtypes or "dtype" in settings:
        return None
    floats = [dtype for dtype in dtypes if dtype.kind == "f"]
    wide = np.result_type(*floats) if floats else np.dtype(np.float32)
    return [
        as_float(node, wide)
        if hasattr(node.value, "dtype") and node.value.dtype.kind in "iu"
        else node
        for node in inputs
    ]


def as_float(node: Node, dtype: Any) -> Node:
    """Integers as floats; no gradient flows into them."""
    value = node.value.astype(dtype)
    if state.capture is not None:
        return state.capture.record(as_float_op, [node], {"dtype": dtype}, value)
    return Leaf(value, name=node.name)


as_float_op = Op("as_float", lambda xp, x, dtype: x.astype(dtype))
detached = Op("detach", lambda xp, x: x)


def constant(value: Any, beside: Sequence[Any]) -> Leaf:
    """A leaf for an operand that is no tensor, on the backend of the tensors beside it.

    Numbers stay numbers, so that ``x * 2.0`` keeps the dtype of ``x``; NumPy's scalars too.
    """
    if type(value) in NUMBERS:
        return Leaf(value)
    if isinstance(value, Leaf):  # a number that a compiled step asks for at each call
        return value
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


def user_line() -> str:
    """``file:line`` of the innermost frame outside this package."""
    return lines()[1]


def lines() -> tuple[str, str]:
    """``file:line`` of the frame that an operation is written in, and of the user's program.

    The first may be a line of a cell of this package, the second is always outside it.
    """
    frame = sys._getframe(1)
    written = None
    while True:
        file = frame.f_code.co_filename
        inside = file.startswith(PACKAGE)
        if written is None and not (inside and file.startswith(PLUMBING)):
            written = f"{file}:{frame.f_lineno}"
        if not inside or frame.f_back is None:
            user = f"{file}:{frame.f_lineno}"
            return written or user, user
        frame = frame.f_back
