"""``tg.compile``: capture a step once for each kind of input, then run its plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of, common_backend, get_backend
from tinygradrnn.compiler.capture import CaptureError, Program, capturing, reachable
from tinygradrnn.compiler.fused import installed
from tinygradrnn.compiler.passes import PASSES, optimise
from tinygradrnn.compiler.plan import Plan
from tinygradrnn.compiler.rolling import roll
from tinygradrnn.recording import Array, Leaf
from tinygradrnn.tensors import Tensor, as_tensor

CACHED = 16  # plans of one function, for that many kinds of input
Signature = tuple[Any, ...]


class Compiled:
    """A function that is computed by plans; see :func:`compile`.

    Attributes
    ----------
    captures : int
        How many times the function itself has run.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        check: bool = False,
        without: tuple[str, ...] = (),
        fast: bool | None = None,
    ) -> None:
        unknown = sorted(set(without) - {p.__name__ for p in PASSES})
        if unknown:
            known = ", ".join(p.__name__ for p in PASSES)
            raise ValueError(f"compile: {unknown[0]!r} is no pass; there are {known}")
        self.function = function
        self.check = check
        self.without = without
        self.fast = wanted(fast)
        self.captures = 0
        self.plans: OrderedDict[Signature, list[Entry]] = OrderedDict()
        update_wrapper(self, function)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run a step: the first time with such arguments the function, afterwards its plan."""
        arrays: list[Array] = []
        signature = flatten((arguments, options), arrays)
        entries = self.plans.setdefault(signature, [])
        self.plans.move_to_end(signature)
        for entry in entries:
            if entry.holds(arrays):
                return entry.run(arrays)
        result, entry = self._capture(arguments, options, arrays)
        entries.insert(0, entry)
        del entries[CACHED:]
        while len(self.plans) > CACHED:
            self.plans.popitem(last=False)
        return result

    def _capture(
        self, arguments: tuple[Any, ...], options: dict[str, Any], arrays: list[Array]
    ) -> tuple[Any, Entry]:
        self.captures += 1
        leaves = [Leaf(array) for array in arrays]
        waiting = iter(leaves)
        given = rebuilt((arguments, options), lambda: Tensor(next(waiting)))
        with capturing(leaves) as capture:
            result = self.function(*given[0], **given[1])
            outputs: list[Array] = []
            tensors: list[Tensor] = []
            template = template_of(result, tensors)
            program = capture.finish(tensors)
        del outputs
        entry = Entry(program, template, self.without, self.fast)
        for assign in program.assigns:
            assign.leaf.value[...] = assign.new.value
            assign.store(assign.leaf.value)
        found = iter([Tensor(Leaf(tensor.node.value)) for tensor in tensors])
        return filled(template, found), entry


class Entry:
    """The plan for one kind of input, and the conditions under which it is right."""

    def __init__(
        self, program: Program, template: Any, without: tuple[str, ...], fast: bool
    ) -> None:
        self.program, self.template = program, template
        ends = [*program.outputs, *(a.new for a in program.assigns), *(n for _, n in program.grads)]
        outside = [
            node
            for node in reachable(ends)
            if isinstance(node, Leaf) and node.order < program.began
        ]
        self.outside = [(leaf, leaf.value, leaf.requires_grad) for leaf in outside]
        self.read = [(k, np.array(program.arguments[k].value)) for k in program.by_value]
        arrays = [node.value for node in reachable(ends) if hasattr(node.value, "shape")]
        self.backend = common_backend("compile", arrays[:1]) if arrays else get_backend()
        rolled = roll(program)
        self.report = optimise(rolled, without)
        self.plan = Plan(program, rolled, self.backend, fast and self.backend.xp is np)

    def holds(self, arrays: list[Array]) -> bool:
        """Whether all that the function looked at is as it was."""
        program = self.program
        return (
            all(guard.holds() for guard in program.guards)
            and all((leaf.grad is not None) == had for leaf, had in program.graded.items())
            and all(np.array_equal(arrays[k], value) for k, value in self.read)
            and all(
                leaf.requires_grad == needs
                and type(leaf.value) is type(value)
                and leaf.value.shape == value.shape
                and leaf.value.dtype == value.dtype
                for leaf, value, needs in self.outside
            )
        )

    def run(self, arrays: list[Array]) -> Any:
        for position, check in enumerate(self.program.checks):
            del position
            k = next((k for k, leaf in enumerate(self.program.arguments) if leaf is check.leaf), -1)
            values = arrays[k] if k >= 0 else check.leaf.value
            if values.size and not (
                check.low <= int(values.min()) and int(values.max()) <= check.high
            ):
                raise IndexError(check.message(int(values.min()), int(values.max())))
        for leaf, value, _ in self.outside:
            if leaf.value is not value:  # assigned since: the plan works on the array it knows
                value[...] = leaf.value
                leaf.value = value
        outputs = self.plan.run(arrays)
        n = len(self.program.outputs)
        for (leaf, _), array in zip(self.program.grads, outputs[n:], strict=True):
            leaf.grad = Tensor(Leaf(array))
        for leaf in self.program.graded:
            if not any(leaf is kept for kept, _ in self.program.grads):
                leaf.grad = None
        return filled(self.template, iter([Tensor(Leaf(a)) for a in outputs[:n]]))


def compile(
    train_step: Callable[..., Any],
    *,
    check: bool = False,
    without: tuple[str, ...] = (),
    fast: bool | None = None,
) -> Compiled:
    """Let a step of training (or any function of arrays) run from a plan.

    The first call with arguments of new shapes, dtypes or plain values runs the function with
    everything recorded, backward pass and update included. Later calls run a plan made of that
    graph: the same numbers, without the graph.

    Parameters
    ----------
    train_step : callable
        Its arguments are arrays, tensors, (named) tuples, lists and dicts of them, and plain
        values; inside it arrays are tensors. It may call ``backward()``, clip, and step an
        optimiser; it returns tensors, in any such structure.
    check : bool
        Run the function itself beside the plan, on copies, and compare.
    without : tuple of str
        Passes to leave out, by name; for looking at what each is good for.
    fast : bool, optional
        Join calls of NumPy into kernels that Numba compiles, and that are kept on disk for other
        processes (in ``TINYGRADRNN_CACHE`` if that is set). By default wherever Numba is
        installed. On the GPU it has no effect.

    Returns
    -------
    Compiled
        Called like the function; ``.explain()``, ``.draw()``.
    """
    return Compiled(train_step, check=check, without=without, fast=fast)


def wanted(fast: bool | None) -> bool:
    """Whether kernels are to be compiled."""
    if fast and not installed():
        raise ModuleNotFoundError(
            "compile: fast=True needs Numba, which is not installed; "
            'install it with `pip install "tinygradrnn[fast]"`, or leave fast out'
        )
    return installed() if fast is None else fast


# ---------------------------------------------------------------- arguments and results


def flatten(value: Any, arrays: list[Array]) -> Signature:
    """What kind of argument this is; its arrays are added to a list."""
    if isinstance(value, Tensor):
        arrays.append(value.node.value)
        return ("array", value.shape, value.dtype.str, type(value.node.value))
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        array = as_tensor(value).node.value
        arrays.append(array)
        return ("array", array.shape, array.dtype.str, type(array))
    if isinstance(value, tuple | list):
        return (type(value), *(flatten(part, arrays) for part in value))
    if isinstance(value, dict):
        return (dict, *((key, flatten(part, arrays)) for key, part in value.items()))
    try:
        hash(value)
    except TypeError:
        return ("object", id(value))
    return (type(value), value)


def rebuilt(value: Any, tensor: Callable[[], Tensor]) -> Any:
    """The same structure with tensors for arrays."""
    if isinstance(value, Tensor) or (hasattr(value, "dtype") and hasattr(value, "shape")):
        return tensor()
    if isinstance(value, tuple | list):
        parts = [rebuilt(part, tensor) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: rebuilt(part, tensor) for key, part in value.items()}
    return value


def template_of(value: Any, tensors: list[Tensor]) -> Any:
    """The structure of a result, its tensors added to a list and replaced by holes."""
    if isinstance(value, Tensor):
        tensors.append(value)
        return HOLE
    if isinstance(value, tuple | list):
        parts = [template_of(part, tensors) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    if isinstance(value, dict):
        return {key: template_of(part, tensors) for key, part in value.items()}
    return value


HOLE = object()


def filled(template: Any, tensors: Any) -> Any:
    """The structure with tensors in its holes."""
    if template is HOLE:
        return next(tensors)
    if isinstance(template, tuple | list):
        parts = [filled(part, tensors) for part in template]
        return type(template)(*parts) if hasattr(template, "_fields") else type(template)(parts)
    if isinstance(template, dict):
        return {key: filled(part, tensors) for key, part in template.items()}
    return template


__all__ = ["CaptureError", "Compiled", "backend_of", "compile"]
