"""The equations of a cell, with those marked that a node belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from tinygradrnn.drawing.text import SUBSCRIPTS, subscript
from tinygradrnn.graph import Graph
from tinygradrnn.recording import Node

TIMES = {"_t": "ₜ", "_{t−1}": "ₜ₋₁", "_{t+1}": "ₜ₊₁"}
TIMES = {"_t": "ₜ", "_{t−1}": "ₜ₋₁", "_{t+1}": "ₜ₊₁"}
TIME = re.compile(r"_(?:t|\{t[−+]1\})(?![\w{])")
PARAMETER = re.compile(r"(?<![\w}])([^\W\d_])_(\w+)")


class Equations(NamedTuple):
    """What a cell computes in a step.

    Attributes
    ----------
    lines : tuple of str
    current : tuple of int
        Which of the lines a node belongs to. More than one for what several have in common, such as
        the product x W of all gates of an LSTM; none for what the cell says nothing about.
    """

    lines: tuple[str, ...]
    current: tuple[int, ...]


def equations(graph: Graph) -> dict[Node, Equations]:
    """The equations of its cell for every operation of a graph that was recorded in a step of one.

    Cells say what they compute in :attr:`tinygradrnn.nn.Cell.equations`. A node belongs to the line
    with its name, or else with the name of the innermost of its scopes, or else to the lines of
    what reads it in the same step; a backward node to those of the forward node it comes from.
    """
    keys: dict[Node, tuple[str, ...]] = {}
    for node in reversed(graph.nodes):
        lines = node.place.equations
        if lines and not node.is_leaf and node.timestep is not None:
            keys[node] = _own(node, lines) or tuple(
                dict.fromkeys(
                    key
                    for reader in graph.readers[node]
                    if reader.place.equations is lines and reader.timestep == node.timestep
                    for key in keys[reader]
                )
            )
    texts: dict[tuple[str, ...], tuple[str, ...]] = {}
    found: dict[Node, Equations] = {}
    for node in graph.nodes:
        origin = node.place.origin
        if origin is not None:
            if origin[0] in found:
                found[node] = found[origin[0]]
        elif node in keys:
            lines = node.place.equations or {}
            distinct = tuple(dict.fromkeys(lines.values()))  # two scopes may share a line
            shown = texts.get(distinct)
            if shown is None:
                shown = texts[distinct] = _typeset(distinct)
            found[node] = Equations(
                shown, tuple(sorted({distinct.index(lines[key]) for key in keys[node]}))
            )
    return found


def _own(node: Node, lines: Mapping[str, str]) -> tuple[str, ...]:
    """The key that a node's name or scope says, if any."""
    depth = len(node.cell or ())
    names = (node.name or "", *reversed(node.scope[depth:]))
    return tuple([name for name in names if name in lines][:1])


def _typeset(lines: Iterable[str]) -> tuple[str, ...]:
    """With subscripts for time steps, and for parameters where Unicode has them for all."""
    timed = [TIME.sub(lambda found: TIMES[found[0]], line) for line in lines]
    indices = [m[2] for line in timed for m in PARAMETER.finditer(line)]
    if not all(set(index) <= SUBSCRIPTS.keys() for index in indices):
        return tuple(timed)
    return tuple(PARAMETER.sub(lambda m: m[1] + subscript(m[2]), line) for line in timed)
