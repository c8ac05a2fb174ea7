"""What the page replays: the steps as plain data, each with what it changes in the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from tinygradrnn.drawing.labels import host
from tinygradrnn.drawing.text import pretty
from tinygradrnn.recording import Node
from tinygradrnn.stepper.equations import equations
from tinygradrnn.stepper.formulas import Formula, filled, formula
from tinygradrnn.stepper.lines import python_line
from tinygradrnn.stepper.picture import Picture
from tinygradrnn.stepper.trace import Array, Backward, Step, Term, Visits, forward_steps
from tinygradrnn.stepper.words import derivative

FULL, FIRST = 64, 6  # entries: up to so many all are kept, else so many of the first
MANY_STEPS, FULL_OF_MANY = 4000, 8
DIGITS = 9  # enough to give every single-precision number back
FORMULAS = 12  # that a box of several operations shows

Json = Any


def replay(visits: Visits, picture: Picture, backward: Backward, level: str) -> dict[str, Json]:
    """Run both passes and keep what the page needs.

    Parameters
    ----------
    visits : Visits
    picture : Picture
    backward : Backward
        The way back, not yet taken.
    level : str

    Returns
    -------
    dict
        ``steps``, ``totals``, and what they refer to.

    Raises
    ------
    StaleGraphError
        If a parameter was changed after the graph was recorded.
    """
    return _Recorder(visits, picture).data(backward, level)


def nested(array: Array) -> Json:
    """An array as nested lists of numbers; what JSON has no number for is a text."""
    if array.ndim:
        return [nested(part) for part in array] if array.ndim > 1 else list(map(_number, array))
    return _number(array)


def _number(value: Any) -> int | float | str:
    if value.dtype.kind in "biu":
        return int(value)
    single = float(value)
    if not math.isfinite(single):
        return "NaN" if math.isnan(single) else ("∞" if single > 0 else "−∞")
    rounded = float(f"{single:.{DIGITS}g}")
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 1e15 else rounded


class _Recorder:
    def __init__(self, visits: Visits, picture: Picture) -> None:
        self.graph, self.visits, self.picture = visits.graph, visits, picture
        self.full = FULL if len(visits.shows) <= MANY_STEPS else FULL_OF_MANY
        self.repeats: dict[int, list[int]] = {}  # boxes that show the value of another one again
        known = {shown.box for shown in visits.shows}
        for wire in visits.diagram.wires:
            for target in wire.targets:
                box = visits.diagram.boxes[target]
                if target not in known and box.kind not in ("fold", "rest"):
                    self.repeats.setdefault(wire.source, []).append(target)
        self.equations = equations(visits.graph)
        self.equation_lists: dict[tuple[str, ...], int] = {}
        self.weights: dict[str, list[dict[str, Json]]] = {}

    def data(self, backward: Backward, level: str) -> dict[str, Json]:
        steps = [self._forward(step) for step in forward_steps(self.visits)]
        first = len(steps)
        for step in backward.steps():
            steps.append(self._backward(step, len(steps)))
        self._place_numbers(steps, first)
        return {
            "title": self.picture.title,
            "level": level,
            "boxes": self._boxes(),
            "lines": self._line_ends(),
            "weights": self._weights(),
            "equations": list(map(list, self.equation_lists)),
            "steps": steps,
            "totals": {name: nested(total) for name, total in self._in_order(backward.totals)},
        }

    def _in_order(self, totals: dict[str, Array]) -> Iterable[tuple[str, Array]]:
        return [(name, totals[name]) for name in self.graph.parameters if name in totals]

    # ---------------------------------------------------------------- steps

    def _forward(self, step: Step) -> dict[str, Json]:
        boxes = self._all_boxes(step.shown.box)
        lines = dict.fromkeys(self._inside(boxes))
        for source in self._sources(step):
            lines |= dict.fromkeys(self._between(source, step.shown.box))
        found = self._common(step, boxes) | {
            "lines": list(lines),
            "values": [self._summary(name, value) for name, value in step.values.items()],
        }
        nodes = [] if self.visits.folded(step.shown) else self._computed(step)
        found["formulas"] = [
            each for node in nodes[:FORMULAS] if (each := self._formula(node)) is not None
        ]
        return found

    def _backward(self, step: Step, number: int) -> dict[str, Json]:
        boxes = self._all_boxes(step.shown.box)
        # what an operation of several sends inside its box was never added up, so has no numbers
        gradient = step.gradient if len(self._computed(step)) == 1 else None
        terms = [self._term(step, term, gradient, number) for term in step.terms]
        lines = dict.fromkeys(self._inside(boxes))
        for term in terms:
            lines |= dict.fromkeys(term["lines"])
        return self._common(step, boxes) | {
            "lines": list(lines),
            "gradients": [
                self._summary(derivative(name), value) for name, value in step.gradients.items()
            ],
            "terms": terms,
        }

    def _common(self, step: Step, boxes: Sequence[int]) -> dict[str, Json]:
        shape = self.picture.shape  # where a lane only passes there is none
        found: dict[str, Json] = {
            "phase": step.phase,
            "timestep": step.timestep,
            "node": step.node,
            "text": step.text,
            "boxes": [shape[box] for box in boxes if box in shape],
        }
        line = python_line(step.result)
        if line is not None:
            found["code"] = list(line)
        keys: dict[int, None] = {}
        for node in self._computed(step):
            about = self.equations.get(node)
            if about is not None:
                found["equations"] = self.equation_lists.setdefault(
                    about.lines, len(self.equation_lists)
                )
                keys |= dict.fromkeys(about.current)
        found["current"] = sorted(keys)
        return found

    def _term(self, step: Step, term: Term, gradient: Array | None, number: int) -> dict[str, Json]:
        source = self.visits.at.get(term.source)
        where = self.visits.shows[source].box if source is not None else None
        found: dict[str, Json] = {
            "to": derivative(term.to),
            "box": None if where is None else self.picture.shape[where],
            "value": self._summary(derivative(term.to), term.value),
            "lines": [] if where is None else self._between(where, step.shown.box),
        }
        if not self.visits.folded(step.shown):
            found["formulas"] = [
                each
                for node, position in term.uses[:FORMULAS]
                if (each := self._formula(node, position, gradient)) is not None
            ]
        if term.weight is not None and term.total is not None:
            found |= {
                "weight": term.weight,
                "timestep": term.timestep,
                "total": self._summary(derivative(term.to), term.total),
            }
            phase = step.shown.step.phase if step.shown.step is not None else 0
            label = math.inf if term.timestep is None else term.timestep
            found["slot"] = (phase, label, -number, -len(self.weights.get(term.weight, ())))
            self.weights.setdefault(term.weight, []).append(found)
        return found

    def _formula(
        self, node: Node, position: int | None = None, gradient: Array | None = None
    ) -> list[str] | None:
        """In symbols, and with numbers where there are few enough."""
        called: Callable[[Node], str] = lambda one: self.visits.names.get(  # noqa: E731
            self.visits.same.get(one, one), ""
        )

        def read(found: Formula | None) -> str | None:
            if found is None:
                return None
            return found.forward if position is None else found.gradients[position]

        symbols = read(formula(node, called))
        if symbols is None:
            return None
        numbers = read(filled(node, gradient, called))
        return [symbols] if numbers is None else [symbols, numbers]

    # ---------------------------------------------------------------- the picture

    def _computed(self, step: Step) -> list[Node]:
        nodes = self.visits.nodes[self.visits.at[step.result]]
        return [node for node in nodes if not node.is_leaf and node not in self.visits.same]

    def _sources(self, step: Step) -> list[int]:
        """The boxes that a box reads."""
        nodes = self.visits.nodes[self.visits.at[step.result]]
        found = {self.visits.at.get(source) for node in nodes for source in node.inputs}
        return sorted({self.visits.shows[k].box for k in found if k is not None})

    def _all_boxes(self, box: int) -> list[int]:
        found = [box]
        for each in found:
            found += self.repeats.get(each, ())
        return found

    def _between(self, source: int, target: int) -> list[int]:
        lines: dict[int, None] = {}
        for box in self._all_boxes(source):
            lines |= dict.fromkeys(self.picture.lines.get((box, target), ()))
        return list(lines)

    def _inside(self, boxes: Sequence[int]) -> list[int]:
        lines = self.picture.lines
        return [k for a in boxes for b in boxes if a != b for k in lines.get((a, b), ())]

    def _place_numbers(self, steps: list[dict[str, Json]], first: int) -> None:
        """A number appears with the last term that it counts; of the others none has come by then.

        What says that nothing comes, "—", appears at the end.
        """
        last: dict[int, int] = {}
        for n, step in enumerate(steps[first:], first):
            last |= dict.fromkeys(step["lines"], n)
            step["numbers"] = []
        for k, text in enumerate(self.picture.scene.texts):
            if text.line is not None and len(steps) > first:
                steps[last.get(text.line, len(steps) - 1)]["numbers"].append(k)

    def _boxes(self) -> list[dict[str, Json]]:
        """What is given from the start has its value here; all else gets it in a step."""
        boxes = self.visits.diagram.boxes
        found: list[dict[str, Json]] = [
            {"label": " ".join(boxes[shape.box].text), "about": boxes[shape.box].tooltip}
            for shape in self.picture.scene.shapes
        ]
        for shown, nodes in zip(self.visits.shows, self.visits.nodes, strict=True):
            leaves = [node for node in nodes if node.is_leaf]
            if len(leaves) == len(nodes) and not self.visits.folded(shown):
                found[self.picture.shape[shown.box]]["given"] = [
                    self._summary(self.visits.names[node], host(node)) for node in leaves
                ]
        return found

    def _line_ends(self) -> list[list[list[int]]]:
        """For each line the shapes that what it carries comes from and goes to."""
        ends: list[tuple[dict[int, None], dict[int, None]]] = [
            ({}, {}) for _ in self.picture.scene.lines
        ]
        for (source, target), lines in self.picture.lines.items():
            for k in lines:
                ends[k][0][self.picture.shape[source]] = None
                ends[k][1][self.picture.shape[target]] = None
        return [[sorted(sources), sorted(targets)] for sources, targets in ends]

    def _weights(self) -> list[dict[str, Json]]:
        """The parameters that gradients reach: where their terms stand in time, where they are."""
        found = []
        scene = self.picture.scene
        nodes = {name: tensor.node for name, tensor in self.graph.parameters.items()}
        for name in nodes:
            terms = self.weights.get(name)
            if not terms:
                continue
            order = sorted(term["slot"] for term in terms)
            place = {slot: n for n, slot in enumerate(order)}
            for term in terms:
                term["slot"] = place[term["slot"]]
            k = self.visits.at.get(nodes[name])
            shape = self.picture.shape[self.visits.shows[k].box] if k is not None else None
            box = scene.shapes[shape].box if shape is not None else None
            found.append(
                {
                    "name": name,
                    "label": self.visits.names.get(nodes[name], pretty(name)),
                    "colour": scene.shapes[shape].ink if shape is not None else "var(--ink)",
                    "box": shape,
                    "shape": list(nodes[name].shape),
                    "timesteps": [None if math.isinf(slot[1]) else slot[1] for slot in order],
                    "sums": [n for n, text in enumerate(scene.texts) if text.total == box],
                }
            )
        return found

    def _summary(self, name: str, array: Array) -> dict[str, Json]:
        """All of a small array; of a large one its first entries, mean and spread."""
        found: dict[str, Json] = {"name": name, "shape": list(array.shape)}
        wide = array.astype("float64")  # the squares of large float32 numbers would overflow
        if array.dtype.kind == "f" and array.size > 1:
            found["norm"] = _number(np.linalg.norm(wide))
        if array.size <= self.full:
            found["values"] = nested(array)
        else:
            found["first"] = nested(array.reshape(-1)[:FIRST])
            found["mean"], found["spread"] = _number(wide.mean()), _number(wide.std())
        return found
