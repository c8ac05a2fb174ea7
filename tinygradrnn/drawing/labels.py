"""What is written in the boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of
from tinygradrnn.drawing.text import at_step, clean, pretty, shape_text, values_text
from tinygradrnn.recording import Node

RUNNING = "running"  # what RNN calls the mask of the sequences that have not ended
LAST = "last step"  # and the last step of each of them
MASK = "dropout mask"
FROZEN = "(frozen)"  # at the end of the name of a product with a frozen weight
SIGNS = frozenset("@+×−÷")
Texts = tuple[str, ...]


def name_of(node: Node, label: int | str | None) -> str:
    """The name of a node with its time step; x₂ × mask."""
    name = clean(node.name or "", 24)
    first, times, rest = name.partition(" × ")
    if times and label is not None:
        return f"{at_step(first, label)}{times}{rest}"
    return pretty(name) if label is None or not name or " " in name else at_step(name, label)


def operation(node: Node) -> str:
    """The sign of an operation, with a number that it reads written out: ``1 −``, ``× 2``."""
    if node.op == "getitem":
        return slice_text(node)
    numbers = [_constant(s.value) if s.op == "constant" else None for s in node.inputs]
    if len(numbers) == 2 and numbers[0] is not None:
        return f"{numbers[0]} {node.label}"
    if len(numbers) == 2 and numbers[1] is not None:
        if node.op == "power" and numbers[1] in ("2", "3"):
            return "x" + {"2": "²", "3": "³"}[numbers[1]]
        return f"{node.label} {numbers[1]}"
    return clean(node.label, 24)


def _constant(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}".replace("-", "−")
    return clean(str(value), 8)


def slice_text(node: Node) -> str:
    """An index as it is written in Python; blocks of a gated cell in units of their width H."""
    index = node.settings.get("index")
    source = node.inputs[0].shape
    if not isinstance(index, tuple) or any(source_.op == "constant" for source_ in node.inputs):
        return "[…]"
    if any(getattr(part, "ndim", 0) or hasattr(part, "position") for part in index):
        return f"{pretty(clean(node.inputs[0].name or '', 12))}[ids]"
    last = index[-1] if index else None
    leading = index[:-1]
    if (
        isinstance(last, slice)
        and all(part is Ellipsis or part == slice(None) for part in leading)
        and source
    ):
        start, stop, step = last.indices(source[-1])
        size = stop - start
        if step == 1 and size and start % size == 0 and source[-1] % size == 0:
            return f"[{_times_h(start // size)}:{_times_h(stop // size)}]"
        return f"[{start}:{stop}]"
    return clean("[" + ", ".join(_part(part) for part in index) + "]", 16)


def _times_h(count: int) -> str:
    return {0: "0", 1: "H"}.get(count, f"{count}H")


def _part(part: Any) -> str:
    if part is Ellipsis:
        return "…"
    if isinstance(part, slice):
        return ":".join(str(end) if end else "" for end in (part.start, part.stop))
    return str(part) if isinstance(part, int) else "ids"


def initial(node: Node, name: str, made: Node | None = None) -> str:
    """An initial state: ``h₀ = 0`` where all of it is zero.

    ``made`` computes, in other steps, what the node is already: ``0.9 × s₀``.
    """
    shown = pretty(clean(name, 24))
    shown = shown if shown.endswith("₀") else at_step(clean(name, 24), 0)
    if node.is_leaf and not host(node).any():
        return f"{shown} = 0"
    if made is None or made.op == "getitem":
        return shown
    return (
        f"{operation(made)} {shown}"
        if made.inputs[0].op == "constant"
        else (f"{shown} {operation(made)}" if made.inputs[1:] else f"{operation(made)} {shown}")
    )


def unnamed(node: Node) -> str:
    """What to call a leaf without a name."""
    array = host(node)
    if array.dtype.kind == "b":
        return "mask"
    if array.dtype.kind not in "iu":
        return shape_text(array.shape) if array.any() else "0"
    if array.ndim == 1 and array.size > 1 and (array == np.arange(array.size)).all():
        return f"0…{array.size - 1}"
    return "ids"


def details(nodes: Sequence[Node]) -> Texts:
    """Shape and values, for ``values=True``; of several values alike also how many."""
    arrays = [host(node) for node in nodes]
    shape = arrays[0].shape
    values = values_text(np.concatenate([array.reshape(-1) for array in arrays]))
    if len(arrays) > 1:
        return f"{len(arrays)} of {shape_text(shape)}", values
    return (shape_text(shape), values) if shape else (values,)


def tooltip(node: Node) -> str:
    """All that is known of a node, in one line."""
    parts = [node.op if not node.name else f"{node.name}: {node.op}", shape_text(node.shape)]
    settings = {k: v for k, v in node.settings.items() if k not in ("index", "places")}
    if node.op == "getitem" and not any(s.op == "constant" for s in node.inputs):
        parts.append(slice_text(node))
    parts += [f"{key}={value!r}" for key, value in settings.items()]
    if node.scope:
        parts.append("in " + " / ".join(node.scope))
    if node.timestep is not None:
        parts.append(f"t = {node.timestep}")
    return clean(" · ".join(parts), 200)


def host(node: Node) -> np.ndarray[Any, Any]:
    """The value of a node as a NumPy array."""
    value = node.value
    if not hasattr(value, "shape"):
        return np.asarray(value)
    return np.asarray(backend_of(value).to_numpy(value))


def formula(nodes: list[Node], name: Any) -> str:
    """An affine map as it is written: ``x₁Wₓ + h₀Wₕ + b``."""
    inside = set(nodes)

    def factor(node: Node) -> str:
        text: str = name(node)
        return f"({text})" if " " in text and text[0] not in "([" else text

    def terms(node: Node) -> list[str]:
        if node not in inside:
            return [name(node)]
        if node.op == "matmul":
            return [f"{factor(node.inputs[0])} {factor(node.inputs[1])}"]
        return [term for source in node.inputs for term in terms(source)]

    return " + ".join(terms(nodes[-1]))
