"""What the layers and phases of a picture are called, and which of them a weight belongs to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

from tinygradrnn.drawing.contract import module_of
from tinygradrnn.drawing.labels import MASK
from tinygradrnn.drawing.reading import Reading
from tinygradrnn.drawing.records import Layer
from tinygradrnn.drawing.text import clean, pretty
from tinygradrnn.recording import Node


def find_layers(reading: Reading) -> dict[int, Layer]:
    """Every recurrent layer with its name.

    ``layer 2 ←`` where layers are stacked and there are two directions; of a network that comes
    after another one in time the phase too: ``encoder``.
    """
    cells: dict[int, tuple[str, ...]] = {}
    phases: dict[int, list[int]] = {}
    for node, group in reading.group.items():
        if group not in cells and node in reading.step and node.cell is not None:
            cells[group] = node.cell
            phases.setdefault(reading.step[node].phase, []).append(group)
    names = _phase_names([cells[groups[0]] for groups in phases.values()])
    backward = {group: cell[-1].endswith("←") for group, cell in cells.items()}
    backward |= {slot[0]: back for slot, back in reading.states.items()}
    found = {}
    for phase, name in zip(phases, names, strict=True):
        groups = phases[phase]
        ways = [backward.get(group, False) for group in groups]
        for n, group in enumerate(groups):
            stacked = max(ways.count(True), ways.count(False)) > 1
            number = ways[: n + 1].count(ways[n]) if stacked else 0
            arrow = ("←" if ways[n] else "→") if len(set(ways)) == 2 else ""
            found[group] = Layer(group, phase, name, number, arrow)
    return found


def _phase_names(cells: list[tuple[str, ...]]) -> list[str]:
    """The scopes in which the phases differ, else their numbers; no name for one alone."""
    if len(cells) < 2:
        return [""] * len(cells)
    for scopes in zip(*cells, strict=False):
        plain = [clean(name.partition(" (")[0], 24) for name in scopes]
        if len(set(plain)) == len(cells) and not any(re.search(r"\.\d+$", name) for name in plain):
            return plain
    return [f"phase {n}" for n in range(1, len(cells) + 1)]


def weight_names(reading: Reading, layers: dict[int, Layer]) -> dict[Node, str]:
    """A name for every parameter and mask, with its owner where several are called the same."""
    leaves = [n for n in reading.nodes if n.op == "parameter" or is_mask(n)]
    short = {n: clean((n.name or "W").rpartition(".")[2], 24) for n in leaves}
    found: dict[Node, str] = {}
    for name in dict.fromkeys(short.values()):
        alike = [n for n in leaves if short[n] == name]
        owners = _owners(reading, layers, alike)
        for n, node in enumerate(alike):
            same = [m for m in range(len(alike)) if owners[m] == owners[n]]
            count = f" ({same.index(n) + 1})" if len(same) > 1 else ""
            found[node] = " ".join(filter(None, (pretty(name), owners[n]))) + count
    return found


def is_mask(node: Node) -> bool:
    """Whether a leaf is a mask that all steps share."""
    return node.is_leaf and node.timestep is None and (node.name or "").endswith(MASK)


def _owners(reading: Reading, layers: dict[int, Layer], alike: list[Node]) -> list[str]:
    """As few words as tell leaves with one name apart: the layer, and the part of it."""
    if len(alike) == 1:
        return [""]
    wholes = [_layer_of(reading, layers, n) for n in alike]
    parts = [_part_of(reading, n) for n in alike]
    both = [" ".join(filter(None, pair)) for pair in zip(wholes, parts, strict=True)]
    for choice in (wholes, parts):
        if len(set(choice)) == len(alike):
            return choice
    if len(set(wholes)) == len(set(both)):
        return wholes
    return both


def _layer_of(reading: Reading, layers: dict[int, Layer], leaf: Node) -> str:
    readers = [reader for reader, _ in reading.readers[leaf]]
    group = _only(reading.group.get(reader) for reader in readers)
    if group in layers:
        return layers[group].whole or "".join(_only(reader.scope[:1] for reader in readers) or ())
    scopes = _only(module_of(reader) for reader in readers) or ()
    return next((module_name(name) for name in reversed(scopes) if name != "module"), "")


def _part_of(reading: Reading, leaf: Node) -> str:
    """The part of the cell that reads a leaf; outside of cells the module."""
    part = _only(_scope(reader) for reader, _ in reading.readers[leaf])
    return part or ""


def _scope(node: Node) -> str:
    inside = node.scope[len(node.cell) :][:1] if node.cell else node.scope[-1:]
    return module_name(inside[0]) if inside and inside[0] != "module" else ""


def module_name(scope: str) -> str:
    """``layer 1`` for the first one of a list; else the scope."""
    numbered = re.fullmatch(r"layers\.(\d+)", scope)
    return f"layer {int(numbered[1]) + 1}" if numbered else clean(scope, 24)


T = TypeVar("T")


def _only(items: Iterable[T]) -> T | None:
    """What all items are, if they are alike."""
    found = dict.fromkeys(items)
    return next(iter(found)) if len(found) == 1 else None
