"""What a plan looks like: in words, and drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tinygradrnn.compiler.passes import Report, computed, operations
from tinygradrnn.compiler.schedule import Region, schedule
from tinygradrnn.compiler.values import Rolled, Use, Value
from tinygradrnn.drawing import Drawing, draw
from tinygradrnn.graph import Graph
from tinygradrnn.ops.base import Op
from tinygradrnn.recording import Leaf, Node, Place, scope, state
from tinygradrnn.tensors import Tensor


def described(
    before: Rolled, after: Rolled, reports: Sequence[Report], regions: Sequence[Region]
) -> str:
    """What was captured, what each pass saved, and what is left."""
    captured = sum(v.span.steps if v.span else 1 for v in before.values if computed(v))
    steps = max((v.span.steps for v in before.values if v.span), default=1)
    lines = [
        f"captured: {captured:,} operations"
        + (f" at {steps:,} time steps, rolled into {len(before.values):,}" if steps > 1 else "")
    ]
    if before.irregular:
        lines.append(f"  {before.irregular:,} of them are unlike those of other steps: not rolled")
    rows = [("rolling", "What no step needs of another is computed for all of them at once.", -1)]
    rows += [(report.name, report.summary, report.changed) for report in reports]
    left = [operations(before), *(report.calls for report in reports)]
    width = max(len(name) for name, _, _ in rows)
    known = captured
    for (name, summary, changed), count in zip(rows, left, strict=True):
        effect = f"{known:,} → {count:,}" if count != known else "as before"
        places = "" if changed < 0 else f"{changed:,} places"
        lines.append(f"  {name:{width}}  {places:>10}  {effect:>17}   {summary}")
        known = count
    loops = [region for region in regions if region.steps is not None]
    at_once = sum(
        computed(r.values[0]) and r.values[0].span is not None for r in regions if r.steps is None
    )
    lines.append(f"left: {at_once} operations computed for all of their time steps at once")
    for region in loops:
        assert region.steps is not None
        first, last = region.steps[0], region.steps[-1]
        inside = sum(map(computed, region.values))
        ahead = f", {len(region.ahead)} for some steps at a time" if region.ahead else ""
        lines.append(f"      {inside} operations step by step, t = {first} … {last}{ahead}")
    return "\n".join(lines)


def picture(rolled: Rolled, title: str, theme: str) -> Drawing:
    """A graph with one box for all time steps of an operation."""
    regions = schedule(rolled)
    loops = {id(v): k for k, r in enumerate(regions) if r.steps is not None for v in r.values}
    made: dict[int, Node] = {}
    for region in regions:
        for value in region.values:
            made[id(value)] = _node(value, loops, made)
    for leaf, use in rolled.assigns:
        end = made[id(use.value)]
        end.name = end.name or f"new {leaf.name}"
    ends = [use.value for use in rolled.outputs] + [use.value for _, use in rolled.assigns]
    tensors = [Tensor(made[id(value)]) for value in dict.fromkeys(ends)]
    drawing = draw(Graph(*tensors), theme=theme)
    return Drawing(replace(drawing.diagram, title=title), drawing.theme)


def _node(value: Value, loops: dict[int, int], made: dict[int, Node]) -> Node:
    shape = np.broadcast_to(np.zeros((), value.dtype), value.shape)
    if value.kind in ("leaf", "constant"):
        known = value.leaf.name if value.leaf is not None else None
        return Leaf(shape if hasattr(value.data, "shape") else value.data, name=known or value.name)
    inputs: list[Node] = []
    for use in value.uses():
        source = made.get(id(use.value))
        if source is None or (use.shift and id(use.value) in loops):
            inputs.append(_earlier(use))
        else:
            inputs.append(source)
    label = value.op.label if value.op is not None else value.kind
    if value.kind == "sum":
        label = "Σ over t" if any(t.use.span for t in value.terms) else "Σ"
    steps = f"\u2009× {value.span.steps}" if value.span is not None else ""
    how = "one by one" if id(value) in loops else "at once"
    name = f"{label}{steps}" + (f", {how}" if steps and computed(value) else "")
    operation = Op(name, lambda xp, *arrays: arrays[0], lambda g, *rest: g)
    with scope(f"loop {loops[id(value)]}") if id(value) in loops else scope("plan"):
        place: Place = state.place
    node = Node(operation, tuple(inputs), {}, shape, place, True)
    node.name = value.name or None
    return node


def _earlier(use: Use) -> Leaf:
    """The step before, as what a loop begins with."""
    sign = "−" if (use.shift or 0) < 0 else "+"
    name = use.value.name or (use.value.op.label if use.value.op is not None else "value")
    shape = np.broadcast_to(np.zeros((), use.value.dtype), use.value.shape)
    return Leaf(shape, name=f"{name} of t {sign} {abs(use.shift or 1)}")
