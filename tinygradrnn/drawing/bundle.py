"""At the levels of cells and layers: all weights of a layer as one, θ, with one rail."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from tinygradrnn.drawing.records import Box, Diagram, Wire, joint
from tinygradrnn.drawing.text import clean, pretty, subscript
from tinygradrnn.drawing.twins import joint_share, joint_twin

LONGEST = 80  # characters of a line of the legend


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
        key = joined.get(k)
        if key is not None and k != layers[key][0]:
            new[k] = new[layers[key][0]]
            continue
        new[k] = len(boxes)
        if key is not None:
            members = [diagram.boxes[w] for w in layers[key]]
            content = _content(diagram, layers[key], key[0])
            box = replace(
                box,
                text=(names[key],),
                tooltip=f"{names[key]} = {content}",
                total=joint(member.total for member in members),
                twin=joint_twin(names[key], [member.twin for member in members]),
            )
        boxes.append(box)
    notes = dict.fromkeys(
        clean(f"θ = {_content(diagram, weights, key[0])}", LONGEST)
        for key, weights in layers.items()
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


Key = tuple[int, bool]  # a layer; whether its weights are frozen


def _layers(diagram: Diagram) -> dict[Key, list[int]]:
    """For each layer the weights that nothing else reads, where there are several."""
    readers: dict[int, set[int | None]] = defaultdict(set)
    for wire in diagram.wires:
        for target in wire.targets:
            box = diagram.boxes[target]
            if box.kind != "fold":
                readers[wire.source].add(box.group if box.kind == "cell" else None)
    found: dict[Key, list[int]] = defaultdict(list)
    for k, box in enumerate(diagram.boxes):
        groups = readers[k]
        if box.kind == "weight" and len(groups) == 1:
            (group,) = groups
            if group is not None:
                found[group, box.frozen].append(k)
    return {key: found[key] for key in sorted(found) if len(found[key]) > 1}


def _content(diagram: Diagram, weights: list[int], group: int) -> str:
    """The names of a layer's weights, without the words that tell them from another layer's."""
    boxes = [diagram.boxes[k] for k in weights]
    bare = [pretty(box.tooltip.partition(":")[0]) for box in boxes]
    if len(set(bare)) == len(bare):
        return ", ".join(bare)
    layer = next(layer for layer in diagram.layers if layer.group == group)
    texts = [box.text[0].partition("  ")[0].removesuffix(" (frozen)") for box in boxes]
    return ", ".join(text.removesuffix(layer.whole).strip() for text in texts)


def _names(diagram: Diagram, keys: list[Key]) -> dict[Key, str]:
    """θ; with several layers θ₁, θ₂; with two directions θ→ and θ←; θ decoder; θ (frozen)."""
    names = {}
    layers = {layer.group: layer for layer in diagram.layers}
    for group, frozen in keys:
        layer = layers[group]
        index = subscript(layer.number) if layer.number else ""
        words = (f"θ{layer.arrow}{index}", layer.phase_name, "(frozen)" if frozen else "")
        names[group, frozen] = " ".join(filter(None, words))
    return names


def _joined(diagram: Diagram, joined: dict[int, Key], new: dict[int, int]) -> list[Wire]:
    wires: list[Wire] = []
    parts: dict[tuple[int, tuple[int, ...]], list[Wire]] = defaultdict(list)
    for wire in diagram.wires:
        if wire.source in joined:
            parts[new[wire.source], wire.targets].append(wire)
    done: set[tuple[int, tuple[int, ...]]] = set()
    for wire in diagram.wires:
        source, targets = new[wire.source], tuple(new[t] for t in wire.targets)
        if wire.source not in joined:
            wires.append(replace(wire, source=source, targets=targets))
            continue
        key = (source, wire.targets)
        if key not in done:
            done.add(key)
            size = joint(part.term for part in parts[key])
            share = joint_share(part.share for part in parts[key])
            single = (size,) if wire.terms else ()
            wires.append(
                Wire(
                    source,
                    targets,
                    term=size,
                    terms=single,
                    uses=max(part.uses for part in parts[key]),
                    share=share,
                    folded=wire.folded,
                )
            )
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
