"""``tg.compile``: capture a step once for each kind of input, then run its plan."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from functools import update_wrapper
from threading import RLock
from types import MethodType
from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of, get_backend
from tinygradrnn.collector import without_collector
from tinygradrnn.compiler.arguments import (
    Given,
    Signature,
    name_arguments,
    opened,
    result_template,
    signature,
)
from tinygradrnn.compiler.capture import (
    Capture,
    CaptureError,
    Program,
    capturing,
    host_array,
)
from tinygradrnn.compiler.checking import (
    CompileMismatchError,
    Expected,
    restore,
    same_random_numbers,
)
from tinygradrnn.compiler.fused import installed
from tinygradrnn.compiler.passes import PASSES, optimise
from tinygradrnn.compiler.pictures import described, picture
from tinygradrnn.compiler.plan import Plan
from tinygradrnn.compiler.ranges import Ranged, from_integers
from tinygradrnn.compiler.rolling import roll
from tinygradrnn.drawing import Drawing
from tinygradrnn.plugins import Backend
from tinygradrnn.ranges import leaf_on
from tinygradrnn.recording import Array, Leaf, state
from tinygradrnn.tensors import Tensor
from tinygradrnn.trees import filled, tensors_of

CACHED = 16  # plans of one function, for that many kinds of input


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
        threads: int | None = None,
    ) -> None:
        unknown = sorted(set(without) - {p.__name__ for p in PASSES})
        if unknown:
            known = ", ".join(p.__name__ for p in PASSES)
            raise ValueError(f"compile: {unknown[0]!r} is no pass; there are {known}")
        if threads is not None and threads < 1:
            raise ValueError(
                f"compile: threads must be at least 1, but is {threads}; leave it out for one on "
                "each core"
            )
        self.function = function
        self.check = check
        self.without = without
        self.asked, self.fast, self.threads = fast, wanted(fast), threads
        self.captures = 0
        self.plans: OrderedDict[Signature, list[Entry]] = OrderedDict()
        self._lock = RLock()
        update_wrapper(self, function)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run a step: the first time with such arguments the function, afterwards its plan."""
        refuse_here()
        given = Given()
        kind = (state.place.recording, get_backend().name, signature((arguments, options), given))
        with self._lock:  # a plan works in arrays of its own
            entries = self.plans.setdefault(kind, [])
            self.plans.move_to_end(kind)
            for entry in entries:
                if entry.holds(given.arrays):
                    if self.check:
                        return self._checked(entry, arguments, options, given)
                    return entry.run(given)
            with without_collector():
                result, entry = self._capture(arguments, options, given)
            entries.insert(0, entry)
            del entries[CACHED:]
            while len(self.plans) > CACHED:
                self.plans.popitem(last=False)
            return result

    def __get__(self, owner: Any, kind: type | None = None) -> Any:
        """As a method: called with its object."""
        return self if owner is None else MethodType(self, owner)

    def __deepcopy__(self, memo: dict[int, Any]) -> Compiled:
        """Compiles anew: plans belong to the parameters that they were made for."""
        return Compiled(
            deepcopy(self.function, memo),
            check=self.check,
            without=self.without,
            fast=self.asked,
            threads=self.threads,
        )

    def kernels(self, backend: Backend) -> bool:
        """Whether the calls of a plan on a backend become kernels."""
        if backend.xp is np:
            return self.fast
        return self.asked is not False and hasattr(backend.xp, "RawKernel")

    def explain(self) -> str:
        """What became of the function, for the kind of input that it was called with last.

        How many operations were captured and how many are left, what each pass saved, what still
        runs step by step, and the memory that the plan works in.
        """
        entry = self._latest("explain")
        low = entry.plan.low
        text = described(entry.before, entry.plan.rolled, entry.reports, low.regions)
        kept, asked = (f"{n / 1e6:.3g} MB" for n in (low.pool.bytes, low.pool.asked))
        return (
            f"{text}\nruns as {len(entry.plan.calls):,} calls of {entry.backend.name} on "
            f"{kept} that are kept between calls, used again and again for {asked} of values"
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
        self, arguments: tuple[Any, ...], options: dict[str, Any], given: Given
    ) -> tuple[Any, Entry]:
        self.captures += 1
        capture, template, tensors = self._listened(arguments, options, given)
        program = capture.program
        try:
            entry = Entry(program, template, self)
        except BaseException:
            capture.undo()
            raise
        for assign in program.assigns:
            assign.leaf.value[...] = assign.new.value
            assign.store(assign.leaf.value)
        program.forget_graph()
        entry.leave_gradients(given, [program.arguments[k].grad for k in entry.sent])
        found = iter([Tensor(Leaf(tensor.node.value.copy())) for tensor in tensors])
        return filled(template, found), entry

    def _listened(
        self, arguments: tuple[Any, ...], options: dict[str, Any], given: Given
    ) -> tuple[Capture, Any, list[Tensor]]:
        """Run the function: what it does, what it returned, and the tensors in that."""
        home = get_backend()
        leaves = [
            leaf_on(array, home) if k in given.host else Leaf(array, k in given.leaves)
            for k, array in enumerate(given.arrays)
        ]
        inside = opened((arguments, options), iter(leaves))
        name_arguments(self.function, *inside)
        tensors: list[Tensor] = []
        with capturing(leaves) as capture:
            result = self.function(*inside[0], **inside[1])
            template = result_template(result, tensors)
            capture.finish(tensors)
        return capture, template, tensors

    def _checked(
        self, entry: Entry, arguments: tuple[Any, ...], options: dict[str, Any], given: Given
    ) -> Any:
        """Run the plan, and raise if the function itself would have given something else."""
        self.captures += 1
        with same_random_numbers():
            capture, *_ = self._listened(arguments, options, given)
            capture.undo()
        expected = Expected(capture.program, entry.program)
        back = restore(entry.program)
        result = entry.run(given)
        try:
            expected.compare([tensor.node.value for tensor in tensors_of(result)])
        except CompileMismatchError:
            back()
            raise
        return result


class Entry:
    """The plan for one kind of input, and the conditions under which it is right."""

    def __init__(self, program: Program, template: Any, how: Compiled) -> None:
        self.program, self.template = program, template
        arguments = {leaf: k for k, leaf in enumerate(program.arguments)}
        outside = [
            node
            for node in program.nodes
            if isinstance(node, Leaf) and node.order < program.began and node not in arguments
        ]
        self.outside = [(leaf, leaf.value, leaf.requires_grad) for leaf in outside]
        self.read = [(k, host_array(program.arguments[k].value).copy()) for k in program.by_value]
        array = next((n.value for n in program.nodes if hasattr(n.value, "shape")), None)
        self.backend = get_backend() if array is None else backend_of(array)
        rolled = roll(program)
        self.before = rolled.copy()
        fast = how.kernels(self.backend)
        self.reports = optimise(rolled, how.without, fast or self.backend.xp is not np)
        self.plan = Plan(program, rolled, self.backend, fast, how.threads)
        self.checks = [Ranged(c, arguments) for c in program.checks if from_integers(c.node)]
        self.results = len(program.outputs)
        self.sent = [arguments[leaf] for leaf, _ in program.grads if leaf in arguments]

    def holds(self, arrays: list[Array]) -> bool:
        """Whether all that the function looked at is as it was."""
        program = self.program
        return (
            all(guard.holds() for guard in program.guards)
            and all((leaf.grad is not None) == had for leaf, had in program.graded.items())
            and all(np.array_equal(host_array(arrays[k]), value) for k, value in self.read)
            and all(
                leaf.requires_grad == needs and alike(leaf.value, value)
                for leaf, value, needs in self.outside
            )
            and all(alike(read(), leaf.value) for leaf, read in program.held.items())
        )

    def run(self, given: Given) -> Any:
        """The results for these arguments; all else is left as the function would leave it."""
        arrays = given.arrays
        for check in self.checks:
            check.require(arrays)
        for leaf, value, _ in self.outside:
            if leaf.value is not value:  # assigned since: the plan works on the array it knows
                value[...] = leaf.value
                leaf.value = value
        outputs = self.plan.run(arrays)
        n = self.results
        for leaf in self.program.dropped:
            leaf.grad = None
        for leaf, array in zip(self.program.kept, outputs[n:], strict=True):
            leaf.grad = Tensor(Leaf(array))
        if self.sent:
            self.leave_gradients(given, [self.program.arguments[k].grad for k in self.sent])
        return filled(self.template, iter([Tensor(Leaf(a)) for a in outputs[:n]]))

    def leave_gradients(self, given: Given, gradients: list[Tensor | None]) -> None:
        """Add gradients of arguments to the ``.grad`` of the tensors that were given."""
        for k, gradient in zip(self.sent, gradients, strict=True):
            leaf = given.leaves[k]
            assert gradient is not None
            leaf.grad = gradient if leaf.grad is None else (leaf.grad + gradient).detach()
            self.program.arguments[k].grad = None


def refuse_here() -> None:
    """Raise where no function can be captured, and no plan run."""
    if state.capture is not None:
        raise CaptureError("a compiled function was called inside another one; compile the outer")
    if state.place.watch is not None:
        raise CaptureError(
            "a compiled function was called under tg.debug(); call the function itself there: "
            "step.function(...)"
        )


def alike(found: Array | None, value: Array) -> bool:
    """Whether an array can take the place of another one."""
    if found is None or found is value:
        return found is value
    same: bool = found.shape == value.shape and found.dtype == value.dtype
    return same and type(found) is type(value)


def compile(
    train_step: Callable[..., Any],
    *,
    check: bool = False,
    without: tuple[str, ...] = (),
    fast: bool | None = None,
    threads: int | None = None,
) -> Compiled:
    """Let a step of training (or any function of arrays) run from a plan.

    The first call with arguments of a new kind runs the function with everything recorded, backward
    pass and update included. Later calls run a plan made of that graph: the same numbers, without
    the graph.

    Parameters
    ----------
    train_step : callable
        Its arguments are arrays, tensors, (named) tuples, lists and dicts of them, and plain
        values; inside it arrays are tensors. It may call ``backward()``, clip, and step an
        optimiser; it returns tensors, in any such structure.
    check : bool
        At every call, run the function itself beside the plan, on copies, and raise
        CompileMismatchError if results, gradients or parameters differ: finds what a plan cannot
        see. Slow.
    without : tuple of str
        Passes to leave out, by name; for looking at what each is good for.
    fast : bool, optional
        Join calls of NumPy into kernels that Numba compiles, and that are kept on disk for other
        processes (in ``TINYGRADRNN_CACHE`` if that is set). By default wherever Numba is
        installed. On the GPU calls become kernels unless it is False; CuPy compiles them, and
        keeps them on disk.
    threads : int, optional
        How many work on a kernel of Numba; the numbers are the same for any. By default one on
        each core, or as many as ``NUMBA_NUM_THREADS`` says.

    Returns
    -------
    Compiled
        Called like the function; ``.explain()``, ``.draw()``.

    Raises
    ------
    ValueError
        For a pass that there is not, and fewer threads than one.
    CaptureError
        When called: for what cannot be one graph (see below). Parameters, optimisers and gradients
        are then as they were.

    Notes
    -----
    **What becomes part of the plan**: all operations on tensors, ``backward()`` and ``tg.grad``,
    gradients left in ``.grad`` or added to what is there, clipping, the optimisers, assignments to
    ``w.data``. A gradient that the function clears and an optimiser in it uses up is not kept:
    ``.grad`` is None afterwards. Results have no graph, and are the caller's: no later call writes
    into them.

    **What is found anew at each call**: arrays and tensors among the arguments; parameters and all
    other tensors that the function reads, however they were changed; learning rates and counters of
    optimisers, and their memory (``load_state_dict``); dropout masks, drawn in the same order from
    the same seed; whether integers such as targets, ids and lengths are in range.

    **What makes a plan of its own** (16 kinds of input are kept): shapes and dtypes of arrays,
    plain values (numbers, strings, None, any object with a hash), the structure of the arguments;
    ``train()`` and ``eval()``, ``freeze()``, the other settings of optimisers, whether there is a
    gradient to add to, ``no_grad()`` around the call, the backend; the values of an array argument
    that the function looks at, as in ``int(n)``. A number that changes often is better given as an
    array without axes: ``step(x, np.float32(0.3))``.

    **What raises CaptureError**: looking at a computed value (``float(loss)``, ``if``,
    ``.numpy()``; return it instead, and write choices as ``F.where``); changing a parameter twice,
    or reading it after its change; arguments that have a graph (``x.detach()``) or no hash; results
    that are neither tensors nor plain; a compiled function inside another, or under ``tg.debug()``
    (there call ``step.function``).

    **What cannot be seen**: Python values other than arguments that change between calls
    (attributes such as ``dropout.p``, global variables, closures) keep the value of the first call,
    and so do branches on them; random numbers and arrays that the function makes with NumPy stay
    those of the first call; changes inside NumPy arrays that are no arguments may come through or
    not; prints, appended lists and other effects on Python happen at the first call only. Give such
    values as arguments; ``check=True`` finds them.
    """
    return Compiled(train_step, check=check, without=without, fast=fast, threads=threads)


def wanted(fast: bool | None) -> bool:
    """Whether kernels are to be compiled."""
    if fast and not installed():
        raise ModuleNotFoundError(
            "compile: fast=True needs Numba, which is not installed; "
            'install it with `pip install "tinygradrnn[fast]"`, or leave fast out'
        )
    return installed() if fast is None else fast
