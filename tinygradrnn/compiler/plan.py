"""A plan: the calls of a program, run again and again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygradrnn.compiler.capture import Program
from tinygradrnn.compiler.fused import joined
from tinygradrnn.compiler.lowering import Call, Lowering
from tinygradrnn.compiler.values import Rolled
from tinygradrnn.plugins import Backend
from tinygradrnn.recording import Array, Leaf


class Plan:
    """What ``tg.compile`` runs in place of a function."""

    def __init__(
        self,
        program: Program,
        rolled: Rolled,
        backend: Backend,
        fast: bool = False,
        threads: int | None = None,
    ) -> None:
        self.program, self.rolled, self.backend = program, rolled, backend
        by_leaf = {v.leaf: v for v in rolled.values if v.leaf is not None}
        for leaf in program.arguments:
            if leaf in by_leaf:
                by_leaf[leaf].data = own(leaf.value, by_leaf[leaf], rolled, backend)
        self.arguments = [
            by_leaf[leaf].data if leaf in by_leaf else None for leaf in program.arguments
        ]
        safe = {c.node for c in program.checks if c.low >= 0 and isinstance(c.node, Leaf)}
        self.low = Lowering(rolled, backend, safe, backend.xp is np and not fast)
        self.calls, self.sections = self.low.calls, self.low.sections
        if fast:
            self.calls, starts, self.keep = joined(self.low.calls, self.low.turns, backend, threads)
            self.sections = [(region, starts[first]) for region, first in self.sections]
        if backend.xp is np:
            self.calls = [direct(*call) for call in self.calls]
        self.outputs = [self.low.operand(use) for use in rolled.outputs]

    def run(self, arguments: list[Array]) -> list[Array]:
        """The results for these arguments; parameters are changed in place."""
        for mine, given in zip(self.arguments, arguments, strict=True):
            if mine is not None:
                mine[...] = self.backend.asarray(given)
        for leaf, read in self.program.held.items():
            found = read()
            if found is not leaf.value:  # another one since: the plan works on the array it knows
                leaf.value[...] = found
        for action in self.program.host:
            action()
        for number, value in self.low.refresh:
            number[...] = self.program.numbers[value.leaf]()  # type: ignore[index]
        for place, value in self.low.drawn:
            drawn = value.op.forward(  # type: ignore[union-attr]
                self.low.xp, **value.settings
            )
            if place is not None:
                place[...] = self.backend.asarray(drawn)
        with np.errstate(over="ignore"):
            for function, arguments_ in self.calls:
                function(*arguments_)
        for assign in self.program.assigns:
            assign.store(assign.leaf.value)
        return [output.copy() for output in self.outputs]


def direct(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Call:
    """A method in place of a function of NumPy's that first looks who should carry it out."""
    first, *rest = arguments
    if function is np.dot:
        return first.dot, tuple(rest)
    if function is np.take:
        return first.take, tuple(rest)
    if function is np.copyto and len(rest) == 1:
        return first.__setitem__, (..., *rest)
    return function, arguments


def own(array: Array, value: Any, rolled: Rolled, backend: Backend) -> Array:
    """Room for an argument, time first where the program reads it step by step."""
    axes = [
        reader.settings["axis"]
        for reader in rolled.values
        if reader.kind == "unstack" and reader.inputs[0].value is value
    ]
    xp = backend.xp
    if not axes:
        return xp.empty(array.shape, array.dtype)
    order = (axes[0], *(a for a in range(array.ndim) if a != axes[0]))
    physical = xp.empty(tuple(array.shape[a] for a in order), array.dtype)
    return physical.transpose(tuple(sorted(range(array.ndim), key=order.__getitem__)))
