"""What is written down while operations run: nodes, and the place each is recorded in.

A node points only backwards, to the nodes it read. No cycle arises, so a graph is freed by
reference counting alone as soon as its last tensor is dropped.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import ContextDecorator
from itertools import count
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tinygradrnn.ops.base import Op
    from tinygradrnn.tensors import Tensor

Array = Any  # an array of whichever backend: numpy.ndarray, cupy.ndarray, …

tick = count(1).__next__
"""The recording clock: orders nodes, and tells whether a leaf changed after it was read."""
changes = SimpleNamespace(last=0)  # of any leaf: what is recorded after it is not stale


class Place:
    """Where in the program an operation stands: scope, cell, time step, and what is switched on.

    Attributes
    ----------
    scope : tuple of str
        Names of the open ``scope`` blocks, outermost first.
    cell : tuple of str or None
        The part of ``scope`` that belongs to the recurrent layer whose step is running; after the
        last name may stand its variant and its direction: ``"GRUCell (reset after) ←"``.
    timestep : int or None
        Label of the time step, 1…T in reading order.
    origin : (Node, int or None) or None
        For a node of a backward graph: the forward node it comes from and the argument whose
        gradient it computes (None where the gradients of several uses are summed).
    recording : bool
        Whether nodes are recorded.
    watch : Watch or None
        Who looks on: ``debug()``, for one.
    equations : mapping of str to str or None
        What the cell whose step is running computes, see :class:`~tinygradrnn.nn.Cell`.
    """

    __slots__ = ("cell", "equations", "origin", "recording", "scope", "timestep", "watch")

    def __init__(
        self,
        scope: tuple[str, ...] = (),
        cell: tuple[str, ...] | None = None,
        timestep: int | None = None,
        origin: tuple[Node, int | None] | None = None,
        recording: bool = True,
        watch: Watch | None = None,
        equations: Mapping[str, str] | None = None,
    ) -> None:
        self.scope = scope
        self.cell = cell
        self.timestep = timestep
        self.origin = origin
        self.recording = recording
        self.watch = watch
        self.equations = equations

    def describe(self) -> str:
        """Say the place in words, for messages: ``scope encoder/forget gate, time step 3``."""
        parts = []
        if self.scope:
            parts.append("scope " + "/".join(self.scope))
        if self.timestep is not None:
            parts.append(f"time step {self.timestep}")
        return ", ".join(parts) or "outside any scope"


class Recorder(Protocol):
    """What ``tg.compile`` puts in place while it runs a function once, to learn what it does."""

    def record(
        self, operation: Op, inputs: Sequence[Node], settings: dict[str, Any], value: Array
    ) -> Node:
        """The result of an operation that needs no gradient."""

    def draw(self, operation: Op, settings: dict[str, Any], value: Array) -> Node:
        """Random numbers, drawn anew at each call."""

    def number(self, read: Callable[[], float]) -> Any:
        """A number that is asked for anew at each call, such as a learning rate."""

    def changes(self, node: Node) -> bool:
        """Whether a value may be another one at the next call."""

    def reads(self, node: Node) -> None:
        """The program looks at a value, and might go another way for another one."""

    def depends(self, owner: Any, name: str) -> None:
        """The program looks at an attribute, and might go another way for another value."""

    def check(
        self, node: Node, low: int, high: int, error: Callable[[int, int], Exception]
    ) -> None:
        """Integers must lie in low…high at each call; else the error for the least and largest."""

    def held(self, owner: dict[str, Array], name: str, like: Array) -> Any:
        """An array in the memory of an optimiser, zeros at first, as a tensor."""

    def assign(self, owner: Any, name: str, new: Any) -> None:
        """Such an array, or a parameter (name ``"value"``), gets the value of a tensor."""

    def gradient(self, leaf: Leaf) -> Any:
        """What is in the ``.grad`` of a leaf now, as a tensor or None."""

    def sets(self, leaf: Leaf) -> None:
        """The ``.grad`` of a leaf is about to be set."""

    def uses(self, leaf: Leaf) -> None:
        """An optimiser has read the ``.grad`` of a leaf."""

    def counts(self, counters: list[int], positions: Sequence[int]) -> None:
        """Integers that go up by one at each call, before anything is computed."""


class Watch:
    """Looks on while operations run inside a block."""

    def result(
        self, op: Op, inputs: Sequence[Node], settings: Mapping[str, Any], node: Node
    ) -> None:
        """After an operation, whether or not it was recorded: ``node`` holds its result."""

    def term(self, node: Node, term: Any) -> None:
        """After a gradient rule of a node gave the term that is sent to an input."""


class _State(threading.local):
    """What each thread has of its own: where it stands, and where it comes back to."""

    place = Place()
    capture: Recorder | None = None

    def __init__(self) -> None:
        self.before: list[Place] = []


state = _State()


class Node:
    """One application of an operation, or a leaf (see :class:`Leaf`).

    Attributes
    ----------
    op : str
        Name of the operation: ``"matmul"``, ``"tanh"``; of a leaf ``"parameter"``, ``"input"``
        or ``"constant"``.
    label : str
        What a drawing writes for it: ``"@"``, ``"tanh"``, ``"×"``.
    inputs : tuple of Node
        What it read, positions kept: ``x * x`` has two inputs.
    settings : dict
        The operation's keyword arguments (axis, shape, index …).
    value : array
        The result.
    scope, cell, timestep
        Where it was recorded, see :class:`Place`.
    name : str or None
        The name of the tensor.
    requires_grad : bool
        Whether a gradient flows into it.
    order : int
        When it was recorded; inputs come before their readers.
    lines : (str, str) or None
        Under ``debug()``: the line that the operation is written in, which may be one of a cell of
        this package, and the line of the user's program that recorded it.
    """

    __slots__ = (
        "inputs",
        "lines",
        "name",
        "operation",
        "order",
        "place",
        "requires_grad",
        "settings",
        "value",
    )

    changed = 0  # only a leaf's value ever changes

    def __init__(
        self,
        operation: Op | None,
        inputs: tuple[Node, ...],
        settings: dict[str, Any],
        value: Array,
        place: Place,
        requires_grad: bool,
    ) -> None:
        self.operation = operation
        self.inputs = inputs
        self.settings = settings
        self.value = value
        self.place = place
        self.requires_grad = requires_grad
        self.order = tick()
        self.name: str | None = None
        self.lines: tuple[str, str] | None = None

    @property
    def op(self) -> str:
        assert self.operation is not None
        return self.operation.name

    @property
    def label(self) -> str:
        assert self.operation is not None
        return self.operation.label

    @property
    def scope(self) -> tuple[str, ...]:
        return self.place.scope

    @property
    def cell(self) -> tuple[str, ...] | None:
        return self.place.cell

    @property
    def timestep(self) -> int | None:
        return self.place.timestep

    @property
    def line(self) -> str | None:
        """Under ``debug()``: the line of the user's program that recorded it."""
        return self.lines and self.lines[1]

    @property
    def shape(self) -> tuple[int, ...]:
        return getattr(self.value, "shape", ())

    @property
    def is_leaf(self) -> bool:
        return self.operation is None

    def describe(self) -> str:
        """Name the node for a message: ``'W_x' (4, 8)`` or ``the result of tanh (3, 5)``."""
        what = f"'{self.name}'" if self.name else f"the result of {self.op}"
        return f"{what} {self.shape}"

    def __repr__(self) -> str:
        name = f" '{self.name}'" if self.name else ""
        step = f", time step {self.timestep}" if self.timestep is not None else ""
        return f"<Node {self.op}{name} {self.shape}{step}>"


NO_SETTINGS: dict[str, Any] = {}


class Leaf(Node):
    """A value that no recorded operation made: a parameter, an input, a constant.

    Attributes
    ----------
    grad : Tensor or None
        The accumulated gradient.
    changed : int
        When the value was last replaced in place; a reader recorded before that is stale.
    """

    __slots__ = ("_handle", "changed", "grad")

    def __init__(self, value: Array, requires_grad: bool = False, name: str | None = None) -> None:
        self.operation = None
        self.inputs = ()
        self.settings = NO_SETTINGS
        self.value = value
        self.place = state.place
        self.requires_grad = requires_grad
        self.order = tick()
        self.name = name
        self.lines = None
        self.grad: Tensor | None = None
        self.changed = 0
        self._handle: weakref.ref[Tensor] | None = None

    @property
    def op(self) -> str:
        if self._handle is not None:
            return "parameter"
        return "input" if hasattr(self.value, "shape") else "constant"

    @property
    def label(self) -> str:
        return self.name or (str(self.value) if self.op == "constant" else self.op)

    def describe(self) -> str:
        return f"'{self.name}' {self.shape}" if self.name else f"{self.op} {self.shape}"

    def belongs_to(self, tensor: Tensor) -> None:
        """Mark as a parameter, found again through its tensor (weakly: no cycle arises)."""
        self._handle = weakref.ref(tensor)

    @property
    def handle(self) -> Tensor | None:
        """The tensor the user holds, for a parameter that is still alive."""
        return self._handle() if self._handle is not None else None

    def replace_value(self, value: Array) -> None:
        """Change the value in place, so that graphs recorded before are known to be stale."""
        self.value = value
        self.changed = changes.last = tick()


class Within(ContextDecorator):
    """A block that runs in another place."""

    def _place(self, before: Place) -> Place:
        raise NotImplementedError

    def __enter__(self) -> None:
        before = state.place
        state.before.append(before)
        state.place = self._place(before)

    def __exit__(self, *exception: object) -> None:
        state.place = state.before.pop()


class scope(Within):
    """Label what is recorded inside the block.

    Parameters
    ----------
    name : str
        For example ``"forget gate"``. Scopes nest; pictures group and name nodes by them.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"scope: name must be a str, got {type(name).__name__}")
        self.name = name

    def _place(self, before: Place) -> Place:
        b = before
        names = (*b.scope, self.name)
        return Place(names, b.cell, b.timestep, b.origin, b.recording, b.watch, b.equations)


class cell_scope(scope):
    """A scope that is one recurrent layer: pictures at level ``"cell"`` draw a box a step.

    Parameters
    ----------
    name : str
    variant : str
        What else its title says: ``"reset after"``. The last part of ``Place.cell`` has it in
        brackets.
    backward : bool
        Whether it reads from the last step to the first; then an arrow follows, ``"GRUCell ←"``.
    equations : mapping of str to str, optional
        What the layer's cell computes, to be shown beside a step.
    """

    def __init__(
        self,
        name: str,
        variant: str = "",
        backward: bool = False,
        equations: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(name)
        self.title = name + (f" ({variant})" if variant else "") + (" ←" if backward else "")
        self.equations = equations

    def _place(self, before: Place) -> Place:
        b = before
        names, cell = (*b.scope, self.name), (*b.scope, self.title)
        return Place(names, cell, b.timestep, b.origin, b.recording, b.watch, self.equations)


class timestep(Within):
    """Label what is recorded inside the block with a time step.

    Parameters
    ----------
    t : int
        The step, 1…T in reading order (also in a layer that runs backwards).
    """

    def __init__(self, t: int) -> None:
        if not hasattr(t, "__index__"):  # NumPy's integers are welcome
            raise TypeError(f"timestep: t must be an int, got {type(t).__name__}")
        self.t = int(t)

    def _place(self, before: Place) -> Place:
        b = before
        return Place(b.scope, b.cell, self.t, b.origin, b.recording, b.watch, b.equations)


class no_grad(Within):
    """Record nothing inside the block: results are leaves that need no gradient."""

    def _place(self, before: Place) -> Place:
        b = before
        return Place(b.scope, b.cell, b.timestep, b.origin, False, b.watch, b.equations)


class at(Within):
    """Run a block in a given place (the backward walk records beside the forward node)."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def _place(self, before: Place) -> Place:
        return self.place
