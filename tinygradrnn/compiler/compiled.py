"""``tg.compile``: capture a step once for each kind of input, then run its plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import update_wrapper
from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of, get_backend
from tinygradrnn.collector import without_collector
from tinygradrnn.compiler.capture import Check, Program, capturing
from tinygradrnn.compiler.passes import PASSES, optimise
from tinygradrnn.compiler.pictures import described, picture
from tinygradrnn.compiler.plan import Plan
from tinygradrnn.compiler.rolling import roll
from tinygradrnn.drawing import Drawing
from tinygradrnn.recording import Array, Leaf
from tinygradrnn.tensors import Tensor, as_tensor
from tinygradrnn.trees import filled, like, template_of

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
        self, function: Callable[..., Any], *, check: bool = False, without: tuple[str, ...] = ()
    ) -> None:
        unknown = sorted(set(without) - {p.__name__ for p in PASSES})
        if unknown:
            known = ", ".join(p.__name__ for p in PASSES)
            raise ValueError(f"compile: {unknown[0]!r} is no pass; there are {known}")
        self.function = function
        self.check = check
        self.without = without
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
        with without_collector():
            result, entry = self._capture(arguments, options, arrays)
        entries.insert(0, entry)
        del entries[CACHED:]
        while len(self.plans) > CACHED:
            self.plans.popitem(last=False)
        return result

    def explain(self) -> str:
        """What became of the function, for the kind of input that it was called with last.

        How many operations were captured and how many are left, what each pass saved, what still
        runs step by step, and the memory that the plan works in.
        """
        entry = self._latest("explain")
        low = entry.plan.low
        text = described(entry.before, entry.plan.rolled, entry.reports, low.regions)
        kept, asked = low.pool.bytes / 1e6, low.pool.asked / 1e6
        return (
            f"{text}\nruns as {len(entry.plan.calls):,} calls of {entry.backend.name} on "
            f"{kept:.1f} MB that are kept between calls, used again and again for {asked:.1f} MB "
            "of values"
        )

    def draw(self, *, before: bool = False, theme: str = "light") -> Drawing:
        """Draw the plan: one box for an operation at all of its time steps.

        Parameters
        ----------
        before : bool
            What was captured, before the passes.
        theme : "light" or "dark"
        """
        entry = self._latest("draw")
        if before:
            return picture(entry.before, "Captured, before the passes", theme)
        return picture(entry.plan.rolled, "The plan, after the passes", theme)

    def _latest(self, what: str) -> Entry:
        entries = next(reversed(self.plans.values()), None)
        if not entries:
            raise RuntimeError(f"{what}: there is no plan before the first call")
        return entries[0]

    def _capture(
        self, arguments: tuple[Any, ...], options: dict[str, Any], arrays: list[Array]
    ) -> tuple[Any, Entry]:
        self.captures += 1
        leaves = [Leaf(array) for array in arrays]
        template = template_of(as_tensors((arguments, options)), [])
        given = filled(template, map(Tensor, leaves))
        with capturing(leaves) as capture:
            result = self.function(*given[0], **given[1])
            tensors: list[Tensor] = []
            template = template_of(result, tensors)
            program = capture.finish(tensors)
        entry = Entry(program, template, self.without)
        for assign in program.assigns:
            assign.leaf.value[...] = assign.new.value
            assign.store(assign.leaf.value)
        program.forget_graph()
        found = iter([Tensor(Leaf(tensor.node.value)) for tensor in tensors])
        return filled(template, found), entry


class Entry:
    """The plan for one kind of input, and the conditions under which it is right."""

    def __init__(self, program: Program, template: Any, without: tuple[str, ...]) -> None:
        self.program, self.template = program, template
        outside = [
            node for node in program.nodes if isinstance(node, Leaf) and node.order < program.began
        ]
        self.outside = [(leaf, leaf.value, leaf.requires_grad) for leaf in outside]
        self.read = [(k, np.array(program.arguments[k].value)) for k in program.by_value]
        array = next((n.value for n in program.nodes if hasattr(n.value, "shape")), None)
        self.backend = get_backend() if array is None else backend_of(array)
        rolled = roll(program)
        self.before = rolled.copy()
        self.reports = optimise(rolled, without)
        self.plan = Plan(program, rolled, self.backend)
        place = {leaf: k for k, leaf in enumerate(program.arguments)}
        self.checks = [(place.get(check.leaf), check) for check in program.checks]
        self.results = len(program.outputs)

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
        for k, check in self.checks:
            check_range(arrays[k] if k is not None else check.leaf.value, check)
        for leaf, value, _ in self.outside:
            if leaf.value is not value:  # assigned since: the plan works on the array it knows
                value[...] = leaf.value
                leaf.value = value
        outputs = self.plan.run(arrays)
        n = self.results
        for leaf in self.program.graded:
            leaf.grad = None
        for leaf, array in zip(self.program.kept, outputs[n:], strict=True):
            leaf.grad = Tensor(Leaf(array))
        return filled(self.template, iter([Tensor(Leaf(a)) for a in outputs[:n]]))


def check_range(values: Array, check: Check) -> None:
    """Raise what the function would raise for integers that are out of range."""
    if check.low == 0 and values.dtype.kind == "i" and values.flags.c_contiguous:
        within = values.view(values.dtype.str.replace("i", "u"))  # negative ones become huge
        if not values.size or within.max() <= check.high:
            return
    if values.size and not (check.low <= int(values.min()) and int(values.max()) <= check.high):
        raise check.error(int(values.min()), int(values.max()))


def compile(
    train_step: Callable[..., Any], *, check: bool = False, without: tuple[str, ...] = ()
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

    Returns
    -------
    Compiled
        Called like the function; ``.explain()``, ``.draw()``.
    """
    return Compiled(train_step, check=check, without=without)


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


def as_tensors(value: Any) -> Any:
    """The same structure with tensors for arrays."""
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return as_tensor(value)
    if isinstance(value, dict):
        return {key: as_tensors(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return like(value, [as_tensors(part) for part in value])
    return value
