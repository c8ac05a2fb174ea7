"""The table of a model: layers, output shapes, numbers of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tinygradrnn.recording import no_grad

if TYPE_CHECKING:
    from tinygradrnn.nn.modules import Module, Parameter

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Row:
    """One layer of a model.

    Attributes
    ----------
    name : str
        Its path in the model: ``"layers.0"``; "" for the model itself.
    kind : str
        Its type, and what it wraps: ``"RNN(ElmanCell)"``.
    shape : tuple of int or None
        Of its output; None if it was not run.
    parameters, trainable : int
        How many numbers it adds to the model: those that a layer before it shares are not counted
        again.
    """

    name: str
    kind: str
    shape: Shape | None
    parameters: int
    trainable: int


@dataclass(frozen=True)
class Summary:
    """What :meth:`Module.summary` gives; printed, the table.

    Attributes
    ----------
    model : str
        Type of the model.
    rows : tuple of Row
        The layers in the order of assignment.
    """

    model: str
    rows: tuple[Row, ...]

    @property
    def total(self) -> int:
        """The number of parameters."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """Those that are trained."""
        return sum(row.trainable for row in self.rows)

    @property
    def frozen(self) -> int:
        """Those that are not."""
        return self.total - self.trainable

    def __str__(self) -> str:
        lines = [("Layer (type)", "Output shape", "Parameters", "")]
        for row in self.rows:
            name = f"{row.name} ({row.kind})" if row.name else row.kind
            shape = "?" if row.shape is None else str(row.shape)
            frozen = row.parameters - row.trainable
            note = f"{'all' if not row.trainable else f'{frozen:,}'} frozen" if frozen else ""
            lines.append((name, shape, f"{row.parameters:,}", note))
        name_width, shape_width, count_width, _ = (
            max(map(len, column)) for column in zip(*lines, strict=True)
        )
        table = [
            f"{name:<{name_width}}  {shape:<{shape_width}}  {count:>{count_width}}  {note}".rstrip()
            for name, shape, count, note in lines
        ]
        rule = "─" * max(map(len, table))
        return "\n".join(
            [
                self.model,
                rule,
                table[0],
                rule,
                *table[1:],
                rule,
                f"Total parameters: {self.total:,}",
                f"Trainable: {self.trainable:,}",
                f"Frozen: {self.frozen:,}",
            ]
        )

    __repr__ = __str__


def summarise(model: Module, example: Any = None) -> Summary:
    """See :meth:`tinygradrnn.nn.Module.summary`."""
    layers = list(layers_of(model))
    shapes: dict[int, Shape] = {}
    if example is not None:
        inputs = example if isinstance(example, tuple) else (example,)
        with no_grad(), evaluating(model), shapes_into(shapes, [layer for _, layer, _ in layers]):
            model(*inputs)
    counted: set[int] = set()
    rows = []
    for path, layer, parameters in layers:
        new = [p for p in parameters if id(p) not in counted]
        counted.update(map(id, new))
        rows.append(
            Row(
                path,
                kind_of(layer),
                shapes.get(id(layer)),
                sum(p.size for p in new),
                sum(p.size for p in new if p.requires_grad),
            )
        )
    return Summary(type(model).__name__, tuple(rows))


def layers_of(model: Module) -> Iterator[tuple[str, Module, list[Parameter]]]:
    """The layers that get a row, with their paths and the parameters that the row counts.

    Modules made of modules are opened, unless they are ``one_row``; what such a module holds itself
    gets a row of its own.
    """
    seen: set[int] = set()
    waiting: list[tuple[str, Module]] = [("", model)]
    while waiting:
        path, module = waiting.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        children = list(module.children())
        if module.one_row or not children:
            yield path, module, module.parameters()
            continue
        below = {id(p) for _, child in children for p in child.parameters()}
        own = [p for p in module.parameters() if id(p) not in below]
        if own:
            yield path, module, own
        prefix = f"{path}." if path else ""
        waiting.extend((prefix + name, child) for name, child in reversed(children))


def kind_of(module: Module) -> str:
    """The type of a layer, and of what it wraps."""
    kind = type(module).__name__
    inside = next(module.children(), None) if module.one_row else None
    return kind if inside is None else f"{kind}({kind_of(inside[1])})"


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """A block in which all modules are in ``eval()`` mode."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def shapes_into(shapes: dict[int, Shape], layers: list[Module]) -> Iterator[None]:
    """A block in which the shape of each layer's first output is written down by its id."""

    def watched(layer: Module) -> Any:
        forward = layer.forward

        def run(*inputs: Any, **options: Any) -> Any:
            output = forward(*inputs, **options)
            y = output[0] if isinstance(output, tuple) else getattr(output, "y", output)
            shapes.setdefault(id(layer), y.shape)
            return output

        return run

    try:
        for layer in layers:
            vars(layer)["forward"] = watched(layer)
        yield
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)
