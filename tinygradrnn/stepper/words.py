"""What values are called on the page, and a step in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygradrnn.drawing.labels import name_of
from tinygradrnn.drawing.records import Diagram, Shown
from tinygradrnn.drawing.text import clean, number, pretty, shape_text, subscript
from tinygradrnn.graph import Graph
from tinygradrnn.recording import Node
from tinygradrnn.stepper.formulas import formula

if TYPE_CHECKING:
    from tinygradrnn.stepper.trace import Term

SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
LONGEST = 60


def names(
    graph: Graph, parameters: Mapping[Node, str], diagram: Diagram, at: Mapping[Node, int]
) -> dict[Node, str]:
    """A name for every node that is shown, each another one.

    What the program names keeps its name, with its time step: h₂; in a second layer h₂⁽²⁾. Other
    results are numbered as they are computed: v₁, v₂ … Leaves are called as in the picture.

    Parameters
    ----------
    graph : Graph
    parameters : mapping of Node to str
    diagram : Diagram
    at : mapping of Node to int
        Positions in ``diagram.shows``.
    """
    found: dict[Node, str] = {}
    taken: dict[str, int] = {}
    count = 0
    held = Counter(diagram.shows[k].box for node, k in at.items() if node.is_leaf)
    for node in graph.nodes:
        k = at.get(node)
        if k is None:
            continue
        shown = diagram.shows[k]
        box = diagram.boxes[shown.box]
        name = name_of(node, node.timestep)
        if node.is_leaf and len(shown.orders) == 1 and held[shown.box] == 1:
            name = box.text[0].removesuffix(" = 0")
        elif node in parameters:  # one of several in a box
            name = pretty(clean(parameters[node], LONGEST))
        elif not name and node in graph.outputs:
            name = "y" if node.shape else "L"
        elif not name and box.kind == "fold":
            continue
        elif not name:
            count += 1
            name = f"v{subscript(count)}"
        taken[name] = again = taken.get(name, 0) + 1
        found[node] = name + (f"⁽{again}⁾".translate(SUPERSCRIPTS) if again > 1 else "")
    return found


def derivative(name: str) -> str:
    """``∂L/∂h₂``."""
    return f"∂L/∂({name})" if " " in name else f"∂L/∂{name}"


def size(array: np.ndarray[Any, Any]) -> str:
    """A single number as it is; of an array its norm."""
    if array.size == 1:
        return number(array.item())
    norm = float(np.linalg.norm(array.astype("float64")))
    return f"norm {number(norm)}"


def forward(
    diagram: Diagram,
    shown: Shown,
    result: Node,
    called: Mapping[Node, str],
    timestep: int | None,
) -> str:
    """``t = 2: h₂ = tanh(v₇), shape 1×4``."""
    box, count = diagram.boxes[shown.box], len(shown.orders)
    if box.kind in ("fold", "rest"):
        return _placed(timestep, f"{count} operations, folded in the picture")
    name = called[result]
    if count == 1:
        found = formula(result, lambda node: called.get(node, ""))
        what = clean(found.forward if found else name, 90)
    else:
        title = " ".join(box.text)
        what = f"{title}: {count} operations" + (f" give {name}" if name not in title else "")
    return _placed(timestep, f"{what}, shape {shape_text(result.shape)}")


def backward(
    diagram: Diagram,
    shown: Shown,
    gradients: Mapping[str, np.ndarray[Any, Any]],
    terms: Sequence[Term],
    timestep: int | None,
) -> str:
    """``t = 2: ∂L/∂v₇ (norm 0.4) has arrived; ∂L/∂Wₓ += norm 0.2 → norm 0.6``."""
    parts = []
    if gradients:
        said = " and ".join(f"{derivative(name)} ({size(g)})" for name, g in gradients.items())
        verb = "have" if len(gradients) > 1 else "has"
        parts.append(f"{said} {f'{verb} arrived' if terms else 'is complete'}")
    for term in terms[:8]:
        if term.total is None:
            parts.append(f"{term.to} gets {size(term.value)}")
        else:
            arrow = f"{derivative(term.to)} += {size(term.value)} → {size(term.total)}"
            parts.append(arrow)
    if len(terms) > 8:
        parts.append(f"and {len(terms) - 8} more")
    return _placed(timestep, "; ".join(parts))


def _placed(timestep: int | None, text: str) -> str:
    return text if timestep is None else f"t = {timestep}: {text}"
