"""At the levels of cells and layers: all weights of a layer as one, θ, with one rail."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from tinygradrnn.drawing.records import Box, Diagram, Wire, joint
from tinygradrnn.drawing.text import subscript


def bundle_weights(diagram: Diagram) -> Diagram:
    """Replace the weights that only the cells of one layer read by one box, θ.

    Its gradient is that of all of them as one long vector.
    """
    layers = _layers(diagram)
    names = _names(diagram, list(layers))
    joined = {k: group for group, weights in layers.items() for k in weights}
    boxes: list[Box] = []
    new: dict[int, int] = {}
    for k, box in enumerate(diagram.boxes):
        group = joined.get(k)
        if group is not None and k != layers[group][0]:
            new[k] = new[layers[group][0]]
            continue
        new[k] = len(boxes)
        if group is not None:
            members = [diagram.boxes[w] for w in layers[group]]
            content = ", ".join(text for member in members for text in member.text[:1])
            box = replace(
                box,
                text=(names[group],),
                tooltip=f"{names[group]} = {content}",
                total=joint(member.total for member in members),
            )
        boxes.append(box)
    notes = dict.fromkeys(
        "θ = " + ", ".join(diagram.boxes[k].text[0].partition(" (")[0] for k in weights)
        for weights in layers.values()
    )
    return replace(
        diagram,
        boxes=tuple(boxes),
        wires=tuple(_joined(diagram, joined, new)),
        folds=tuple(fold._replace(box=new[fold.box]) for fold in diagram.folds),
        shows=tuple(shown._replace(box=new[shown.box]) for shown in diagram.shows),
        rolls=tuple(
            roll._replace(entries={k: new[box] for k, box in roll.entries.items()})
            for roll in diagram.rolls
        ),
        notes=(*diagram.notes, *notes),
    )


def _layers(diagram: Diagram) -> dict[int, list[int]]:
    """For each layer the weights that nothing else reads, where there are several."""
    readers: dict[int, set[int | None]] = defaultdict(set)
    for wire in diagram.wires:
        for target in wire.targets:
            box = diagram.boxes[target]
            readers[wire.source].add(box.group if box.kind == "cell" else None)
    found: dict[int, list[int]] = defaultdict(list)
    for k, box in enumerate(diagram.boxes):
        groups = readers[k]
        if box.kind == "weight" and len(groups) == 1:
            (group,) = groups
            if group is not None:
                found[group].append(k)
    return {group: found[group] for group in sorted(found) if len(found[group]) > 1}


def _names(diagram: Diagram, groups: list[int]) -> dict[int, str]:
    """θ; with several layers θ₁, θ₂; with two directions θ→ and θ←."""
    backward = {
        box.group: state.backward
        for state in diagram.states
        for box in diagram.boxes
        if box.slot == state.slot
    }
    ways = [backward.get(group, False) for group in groups]
    both = len(set(ways)) == 2
    names = {}
    for n, group in enumerate(groups):
        layer = ways[: n + 1].count(ways[n])
        many = max(ways.count(True), ways.count(False)) > 1
        arrow = ("←" if ways[n] else "→") if both else ""
        names[group] = f"θ{arrow}{subscript(layer) if many else ''}"
    return names


def _joined(diagram: Diagram, joined: dict[int, int], new: dict[int, int]) -> list[Wire]:
    wires: list[Wire] = []
    terms: dict[tuple[int, tuple[int, ...]], list[float | None]] = defaultdict(list)
    uses: dict[tuple[int, tuple[int, ...]], int] = defaultdict(int)
    for wire in diagram.wires:
        if wire.source in joined:
            key = new[wire.source], wire.targets
            terms[key].append(wire.term)
            uses[key] = max(uses[key], wire.uses)
    done: set[tuple[int, tuple[int, ...]]] = set()
    for wire in diagram.wires:
        source, targets = new[wire.source], tuple(new[t] for t in wire.targets)
        if wire.source not in joined:
            wires.append(replace(wire, source=source, targets=targets))
            continue
        key = (source, wire.targets)
        if key not in done:
            done.add(key)
            size = joint(terms[key])
            single = (size,) if wire.terms else ()
            wires.append(Wire(source, targets, term=size, terms=single, uses=uses[key]))
    return wires


def merge_parallel(diagram: Diagram) -> Diagram:
    """Where a layer hands on one value per step: one wire instead of many."""
    terms: dict[int, dict[int, list[float | None]]] = defaultdict(dict)
    for wire in diagram.wires:
        for target in dict.fromkeys(wire.targets):
            terms[wire.source].setdefault(target, []).append(wire.term)
    wires = []
    for source, sizes in terms.items():
        each = tuple(joint(size) for size in sizes.values())
        wires.append(Wire(source, tuple(sizes), term=joint(each), terms=each))
    return replace(diagram, wires=tuple(wires))
