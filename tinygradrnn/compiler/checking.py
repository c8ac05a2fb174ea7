"""``check=True``: what a plan gives beside what the function itself gives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygradrnn import seeds
from tinygradrnn.compiler.capture import Program, host_array
from tinygradrnn.recording import Array, Leaf

Host = np.ndarray[Any, Any]
ROUNDING = {"float16": 1e-2, "float32": 1e-3, "float64": 1e-6}
"""Of the largest element, by which results may differ."""


class CompileMismatchError(RuntimeError):
    """A plan gives other numbers than the function that it was made of."""


class Expected:
    """What the function itself gives for some arguments, and how things were before.

    Parameters
    ----------
    program : Program
        Captured now; nothing has been changed yet.
    now : Program
        That of the plan.
    """

    def __init__(self, program: Program, now: Program) -> None:
        self.program = program
        self.outputs = [host_array(node.value).copy() for node in program.outputs]
        self.new = [(a.leaf, host_array(a.new.value).copy()) for a in program.assigns]
        self.grads = [(leaf, host_array(node.value).copy()) for leaf, node in program.grads]
        arguments = set(program.arguments)
        self.grads = [(leaf, array) for leaf, array in self.grads if leaf not in arguments]
        changed = [*[a.leaf for a in program.assigns], *[a.leaf for a in now.assigns]]
        self.old = {leaf: host_array(leaf.value).copy() for leaf in changed}
        self.now = now

    def compare(self, outputs: Sequence[Array]) -> None:
        """Raise for the first array that is not as expected."""
        if len(outputs) != len(self.outputs):
            raise CompileMismatchError(
                f"check: the plan returns {len(outputs)} tensors, the function "
                f"{len(self.outputs)} now; " + ADVICE
            )
        for k, (got, wanted) in enumerate(zip(outputs, self.outputs, strict=True)):
            differ(f"result {k}", host_array(got), wanted)
        for leaf, wanted in self.new:
            read = self.program.held.get(leaf, lambda leaf=leaf: leaf.value)
            differ(f"{leaf.describe()} after the call", host_array(read()), wanted, self.old[leaf])
        known = {leaf for leaf, _ in self.new} | set(self.now.held)
        for assign in self.now.assigns:
            leaf = assign.leaf
            if leaf not in known:
                differ(f"{leaf.describe()} after the call", host_array(leaf.value), self.old[leaf])
        for leaf, wanted in self.grads:
            name = f"the gradient of {leaf.describe()}"
            if leaf.grad is None:
                raise CompileMismatchError(f"check: the plan leaves no gradient, for {name}")
            differ(name, host_array(leaf.grad.node.value), wanted)


ADVICE = (
    "the function depends on something that a plan cannot see, such as a Python value or an array "
    "that changed between the calls: give it as an argument, numbers as arrays of no axes"
)


def differ(name: str, got: Host, wanted: Host, old: Host | None = None) -> None:
    """Raise if arrays differ by more than rounding, of what was changed where that is known."""
    if got.shape != wanted.shape or got.dtype != wanted.dtype:
        raise CompileMismatchError(
            f"check: {name} is {got.shape} {got.dtype} by the plan, {wanted.shape} "
            f"{wanted.dtype} by the function; " + ADVICE
        )
    if got.dtype.kind != "f":
        worst, allowed = float((got != wanted).any()), 0.5
    else:
        with np.errstate(all="ignore"):
            off = np.abs(got - wanted)
            equal = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
            size = np.abs(np.where(np.isfinite(wanted), wanted, 0)).max(initial=0)
            change = (
                size if old is None else np.abs(np.where(equal, 0, wanted - old)).max(initial=0)
            )
        worst = float(np.where(equal, 0, np.where(np.isnan(off), np.inf, off)).max(initial=0))
        allowed = ROUNDING[got.dtype.name] * float(change)
        allowed += 8 * float(np.finfo(got.dtype).eps) * float(size)
    if worst > allowed:
        raise CompileMismatchError(
            f"check: {name} differs by up to {worst:.3g} between the plan and the function; "
            + ADVICE
        )


@contextmanager
def same_random_numbers() -> Iterator[None]:
    """A block after which the random numbers go on as if it had not been."""
    before = seeds.generator_state()
    try:
        yield
    finally:
        seeds.set_generator_state(before)


def restore(program: Program) -> Callable[[], None]:
    """How to bring back what a plan changes, as it is now."""
    arrays = [(a.leaf, a.leaf.value.copy()) for a in program.assigns]
    touched: list[Leaf] = [*program.kept, *program.dropped]
    grads = [(leaf, leaf.grad) for leaf in touched]

    def back() -> None:
        for leaf, array in arrays:
            leaf.value[...] = array
        for leaf, grad in grads:
            leaf.grad = grad
        for count in program.host:
            count(-1)

    return back
