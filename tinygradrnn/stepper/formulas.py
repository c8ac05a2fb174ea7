"""The formula of an operation and of its gradient, in symbols and with numbers.

The formulas of gradients stand nowhere, so they cannot differ from the rules: a rule is run once
while a :class:`~tinygradrnn.recording.Watch` notes which operations it applies, and these are
written in the notation of :mod:`tinygradrnn.stepper.notation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn import ops
from tinygradrnn.drawing.labels import host, name_of
from tinygradrnn.drawing.text import at_step, clean, pretty
from tinygradrnn.ledgers import fitted
from tinygradrnn.ops import Op, Part
from tinygradrnn.recording import Leaf, Node, Place, Watch, at
from tinygradrnn.stepper.notation import (
    ATOM,
    FRACTION,
    SIGNED,
    Applied,
    Shape,
    Text,
    Tree,
    index_text,
    number,
    write,
)
from tinygradrnn.tensors import Tensor

Naming = Callable[[Node], str]

SMALL = 4
"""Up to so many entries an operand's numbers are filled in, and so many operands."""


class Formula(NamedTuple):
    """What an operation computes, and what it sends to each of its arguments in backward.

    Attributes
    ----------
    forward : str
        ``y = tanh(a)``
    gradients : tuple of str or None
        ``∂L/∂a += ∂L/∂y ⊙ (1 − y²)`` for each argument; None where no gradient goes.
    """

    forward: str
    gradients: tuple[str | None, ...]


class Rule(NamedTuple):
    """A gradient rule as a formula: the term, the shape it has, and the part that it belongs to."""

    term: Tree
    shape: Shape
    place: tuple[Any, ...] | None = None
    arrays: tuple[Tree, ...] = ()


def formula(node: Node, name: Naming | None = None) -> Formula | None:
    """The formula of a node in symbols; None for a leaf.

    Parameters
    ----------
    node : Node
    name : callable, optional
        What nodes are called; those for which it gives "" are called a, or u and v, and y.
    """
    if node.operation is None:
        return None
    names = _symbols(node, name)
    return Formula(
        f"{names['y'].text} = {write(_forward(node), names).text}",
        tuple([_gradient(node, k, names) for k in range(len(node.inputs))]),
    )


def filled(node: Node, gradient: Any = None, name: Naming | None = None) -> Formula | None:
    """The formula of a node with the numbers in place of the symbols.

    Parameters
    ----------
    node : Node
    gradient : array of the node's shape, optional
        ∂L/∂y; without it, the gradients are None.
    name : callable, optional
        As in :func:`formula`.

    Returns
    -------
    Formula or None
        None for a leaf, and if there are too many numbers to be read.
    """
    if node.operation in (None, ops.accumulate) or len(node.inputs) > SMALL:
        return None
    if not all(1 <= prod(one.shape) <= SMALL for one in (node, *node.inputs)):
        return None
    arrays = [host(source) for source in node.inputs]
    result = host(node)
    numbers = {str(k): _numbers(array) for k, array in enumerate(arrays)}
    numbers["y"] = _numbers(result)
    forward = f"{numbers['y'].text} = {write(_forward(node), numbers).text}"
    if gradient is None:
        return Formula(forward, (None,) * len(arrays))
    numbers["g"] = _numbers(gradient)
    symbols = _symbols(node, name)
    gradients: list[str | None] = []
    for k in range(len(arrays)):
        rule = rule_of(node, k)
        if rule is None:
            gradients.append(None)
            continue
        text = f"{_target(rule, symbols, k)} += {write(rule.term, numbers).text}"
        gradients.append(text + _outcome(node, k, rule, gradient, result, arrays))
    return Formula(forward, tuple(gradients))


def _outcome(
    node: Node, position: int, rule: Rule, gradient: Any, result: Any, arrays: Sequence[Any]
) -> str:
    """``= 0.21``, unless nothing was computed."""
    if isinstance(rule.term, str):
        return ""
    assert node.operation is not None
    values = [
        a if hasattr(s.value, "shape") else s.value
        for a, s in zip(arrays, node.inputs, strict=True)
    ]
    with np.errstate(all="ignore"):
        term = node.operation.term(position, gradient, result, values, node.settings)
        term = fitted(term, node.inputs[position])
    return f" = {_numbers(term).text}"


# ---------------------------------------------------------------------------- trees


class _Trace(Watch):
    """Notes what a gradient rule computes, including what is not recorded."""

    def __init__(self) -> None:
        self.made: dict[Node, tuple[Op, tuple[Node, ...], dict[str, Any]]] = {}

    def result(
        self, op: Op, inputs: Sequence[Node], settings: Mapping[str, Any], node: Node
    ) -> None:
        self.made[node] = op, tuple(inputs), dict(settings)


def _forward(node: Node) -> Applied:
    operands = tuple(
        [str(k) if hasattr(s.value, "shape") else s.value for k, s in enumerate(node.inputs)]
    )
    assert node.operation is not None
    return Applied(node.operation, operands, node.settings, node.shape)


_rules: dict[tuple[Any, ...], Rule] = {}


def rule_of(node: Node, position: int) -> Rule | None:
    """The gradient rule of a node for one of its arguments; None where no gradient goes."""
    operation = node.operation
    if operation is None or not operation.differentiable or operation.rules[position] is None:
        return None
    if not node.inputs[position].requires_grad:
        return None
    if len(node.inputs) > SMALL:
        return _traced(node, position)
    shapes = [
        (s.shape, s.value.dtype) if hasattr(s.value, "shape") else s.value for s in node.inputs
    ]
    key = (operation, position, *shapes, repr(node.settings))
    found = _rules.get(key)
    if found is None:
        found = _rules[key] = _traced(node, position)
    return found


def _traced(node: Node, position: int) -> Rule:
    """Run the rule while noting what it computes, then read it back from the result."""
    keys: dict[Node, str] = {}

    def stand_in(value: Any, key: str) -> Any:
        if not hasattr(value, "shape"):
            return value
        leaf = Leaf(value, requires_grad=True)
        keys[leaf] = key
        return Tensor(leaf)

    trace = _Trace()
    assert node.operation is not None
    g, y = stand_in(node.value, "g"), stand_in(node.value, "y")
    arguments = [stand_in(source.value, str(k)) for k, source in enumerate(node.inputs)]
    source = node.inputs[position]
    with at(Place(watch=trace)), np.errstate(all="ignore"):
        term = node.operation.term(position, g, y, arguments, node.settings)
        whole = term.values if isinstance(term, Part) else fitted(term, source)

    def read(made: Node) -> Tree:
        if made in keys:
            return keys[made]
        if made not in trace.made:
            return host(made).item() if host(made).size == 1 else "constant"
        op, inputs, settings = trace.made[made]
        if made.shape == inputs[0].shape and _changes_nothing(op, inputs):
            return read(inputs[0])
        if op is ops.broadcast_to and inputs[0] in trace.made:
            below, before, _ = trace.made[inputs[0]]
            axes = len(before[0].shape)
            if (
                below is ops.reshape
                and inputs[0].shape[len(inputs[0].shape) - axes :] == before[0].shape
            ):
                inputs = before  # broadcasting alone adds the leading axes
        return Applied(op, tuple(map(read, inputs)), settings, made.shape)

    if isinstance(term, Part):
        arrays = tuple([read(array.node) for array in term.arrays])
        return Rule(read(whole.node), whole.shape, term.where, arrays)
    return Rule(read(whole.node), term.shape)


def _changes_nothing(op: Op, inputs: Sequence[Node]) -> bool:
    """A shape that it has already, a factor or an exponent of 1: not worth writing."""
    if op in (ops.reshape, ops.broadcast_to):
        return True
    return op in (ops.multiply, ops.divide, ops.power) and _is_one(inputs[1])


def _is_one(node: Node) -> bool:
    return not hasattr(node.value, "shape") and node.value == 1


# ---------------------------------------------------------------------------- texts


def _gradient(node: Node, position: int, names: Mapping[str, Text]) -> str | None:
    rule = rule_of(node, position)
    if rule is None:
        return None
    text = f"{_target(rule, names, position)} += {write(rule.term, names).text}"
    return text + ("" if rule.place else _repeated(node, rule.shape, position, names))


def _target(rule: Rule, names: Mapping[str, Text], position: int) -> str:
    """``∂L/∂a``, or the part of it that gets something."""
    target = _derivative(names[str(position)].text)
    if rule.place is None:
        return target
    return f"({target}){index_text(rule.place, [write(a, names).text for a in rule.arrays])}"


def _repeated(node: Node, shape: Shape, position: int, names: Mapping[str, Text]) -> str:
    """Say over which axes a term is summed, because broadcasting repeated the argument there."""
    to = node.inputs[position].shape
    extra = len(shape) - len(to)
    axes = [*range(extra), *(k + extra for k, n in enumerate(to) if n == 1 != shape[k + extra])]
    if not axes:
        return ""
    where = f"ax{'e' if len(axes) > 1 else 'i'}s " + " and ".join(map(str, axes))
    if axes == [0] and node.cell is not None:
        where = "the batch axis"
    return f" — summed over {where}, along which {names[str(position)].text} was repeated"


def _symbols(node: Node, name: Naming | None) -> dict[str, Text]:
    """What the operands and the result are called, each differently."""
    operands = dict.fromkeys(s for s in node.inputs if hasattr(s.value, "shape"))
    found: dict[Node, str] = {}

    def call(one: Node, *candidates: str) -> None:
        found[one] = next(c for c in candidates if c not in found.values())

    for one in (node, *operands):  # those with names first: none gives way to a letter
        own = name(one) if name else _plain_name(one, node)
        if own:
            call(one, *(own + "′" * k for k in range(len(operands) + 1)))
    rest = [one for one in operands if one not in found]
    letters = [*("a" if len(rest) == 1 else "uvwpqr"), *(f"a{k + 1}" for k in range(2 * len(rest)))]
    for one in rest:
        word = {"b": "mask", "i": "ids", "u": "ids"}.get(one.value.dtype.kind)
        call(one, *([word, f"{word}′"] if word else ()), *letters)
    if node not in found:
        call(node, *"yzst")
    names = {str(k): Text(found[s], ATOM, s.shape) for k, s in enumerate(node.inputs) if s in found}
    names["y"] = Text(found[node], ATOM, node.shape)
    names["g"] = Text(_derivative(found[node]), FRACTION, node.shape)
    names["constant"] = Text("constant")
    return names


def _plain_name(node: Node, reader: Node) -> str:
    """What a node is called as in a picture: with its time step; an initial state is s₀."""
    if node.op == "parameter":
        return pretty(clean((node.name or "").rpartition(".")[2], 24))
    initial = node.is_leaf and node.timestep is None and node.shape and reader.cell is not None
    if initial and node.value.dtype.kind == "f" and reader.op != "getitem":
        name = node.name or ""
        return at_step(clean(name, 24), 0) if name.isidentifier() else clean(name, 24)
    return name_of(node, node.timestep)


def _derivative(name: str) -> str:
    """``∂L/∂y``; a name of several words stands in parentheses."""
    return f"∂L/∂({name})" if " " in name else f"∂L/∂{name}"


def _numbers(array: Any) -> Text:
    """The entries of an array: one number, or a list as Python writes it."""
    array = np.asarray(array)
    if array.size == 1:
        text = number(array.item(), 3)
        return Text(text, SIGNED if text.startswith("−") else ATOM, array.shape, True)
    return Text(_listed(array), ATOM, array.shape)


def _listed(array: np.ndarray) -> str:
    if not array.ndim:
        return number(array.item(), 3)
    return "[" + ", ".join(map(_listed, array)) + "]"
