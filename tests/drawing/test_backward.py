"""``backward=True``: the recorded backward graph, each of its nodes in the twin of a box."""

from __future__ import annotations

import gc
import time
from collections import Counter

import numpy as np
import pytest
from drawing.examples import (
    CELLS,
    MORE_CELLS,
    NETWORKS,
    bidirectional,
    loss_of,
    random_network,
    sequence,
    stacked,
)
from drawing.geometry import faults
from drawing.test_dot import check_golden

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.cli import main
from tinygradrnn.drawing import draw
from tinygradrnn.drawing.backward import record
from tinygradrnn.drawing.text import number
from tinygradrnn.recording import Place, Watch, Within

ALL_CELLS = CELLS | MORE_CELLS
LEVELS = ("op", "gate", "cell", "layer")


def weights_of(diagram):
    return [box for box in diagram.boxes if box.kind == "weight"]


def drawn_operations(diagram) -> Counter[str]:
    """The nodes of the backward graph that twins and taps stand for, by operation."""
    found = Counter(op for box in diagram.boxes if box.twin for op in box.twin.operations)
    found.update(op for wire in diagram.wires if wire.share for op in wire.share.operations)
    return found


# -------------------------------------------------------------------- what is drawn


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cell", ALL_CELLS)
def test_every_node_of_the_backward_graph_is_in_one_box(cell, level):
    for steps in (3, 20):
        loss = loss_of(ALL_CELLS[cell](), steps)
        recorded = Counter(node.op for node in record(tg.Graph(loss)).nodes)
        assert drawn_operations(draw(loss, level=level, backward=True).diagram) == recorded


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("network", NETWORKS)
def test_every_node_of_other_graphs_too(network, level):
    loss = NETWORKS[network]()
    recorded = Counter(node.op for node in record(tg.Graph(loss)).nodes)
    assert drawn_operations(draw(loss, level=level, backward=True).diagram) == recorded


def test_the_recorded_graph_gives_the_gradients():
    loss = loss_of(CELLS["gru"](), 3)
    loss.backward()
    for leaf, gradient in record(tg.Graph(loss)).gradients.items():
        np.testing.assert_allclose(tg.Tensor(gradient).numpy(), leaf.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("level", ["op", "gate"])
def test_twins_hold_the_size_of_the_gradient(level):
    loss = loss_of(CELLS["lstm"](), 3)
    graph = tg.Graph(loss)
    boxes = {box.text[0]: box for box in draw(loss, level=level, backward=True).diagram.boxes}
    assert boxes["L"].twin.text == ("∂L/∂L", "1")
    for node in graph.nodes:
        if node.name in ("h", "c") and node.timestep:
            (gradient,) = tg.grad(loss, tg.Tensor(node))
            size = float(np.linalg.norm(gradient.numpy()))
            twin = boxes[f"{node.name}{'₀₁₂₃'[node.timestep]}"].twin
            assert twin.size == pytest.approx(size, rel=1e-6)
            assert twin.text == (f"∂{node.name}{'₀₁₂₃'[node.timestep]}", number(size))


def cumulative(loss, name):
    """Size of each term and of the sum so far, in the order of the walk."""
    graph = tg.Graph(loss)
    parameter = graph.parameters[name]
    terms = graph.contributions(parameter)
    order = list(
        dict.fromkeys(
            node.timestep for node in sorted(graph.uses(parameter), key=lambda n: -n.order)
        )
    )
    sums = np.cumsum([terms[t] for t in order], axis=0)
    return order, terms, [float(np.linalg.norm(s)) for s in sums]


@pytest.mark.parametrize("cell", ALL_CELLS)
def test_running_totals_are_sums_of_contributions(cell):
    loss = loss_of(ALL_CELLS[cell](), 4)
    names = list(tg.Graph(loss).parameters)  # in the order in which they are drawn
    boxes = weights_of(draw(loss, level="op", backward=True).diagram)
    for name, box in zip(names, boxes, strict=True):
        order, terms, running = cumulative(loss, name)
        assert [s.place.label for s in box.twin.sums] == order
        assert [s.running for s in box.twin.sums] == pytest.approx(running, rel=1e-5)
        sizes = [float(np.linalg.norm(terms[t])) for t in order]
        assert [s.size for s in box.twin.sums] == pytest.approx(sizes, rel=1e-5)
        assert box.twin.sums[-1].running == pytest.approx(box.twin.size, rel=1e-6)
        assert not box.twin.rightward


def test_folded_steps_add_their_terms_and_the_sum_goes_on():
    loss = loss_of(CELLS["elman"](), 40)
    order, terms, running = cumulative(loss, "W_s")
    drawing = draw(loss, level="gate", backward=True)
    box = next(b for b in weights_of(drawing.diagram) if b.text == ("Wₛ",))
    places = [s.place if isinstance(s.place, int) else s.place.label for s in box.twin.sums]
    assert places == [40, 39, 38, 0, 3, 2, 1]
    assert [s.terms for s in box.twin.sums] == [1, 1, 1, 34, 1, 1, 1]
    shown = [running[order.index(t)] for t in (40, 39, 38, 4, 3, 2, 1)]
    assert [s.running for s in box.twin.sums] == pytest.approx(shown, rel=1e-5)
    folded = sum(terms[t] for t in range(4, 38))
    assert box.twin.sums[3].size == pytest.approx(np.linalg.norm(folded), rel=1e-5)
    texts = {text.text for text in drawing.scene.texts}
    assert {"34 terms", *(f"‖Σ‖ {number(size)}" for size in shown[:-1])} <= texts


def test_weights_outside_of_steps_have_their_gradient_too():
    boxes = weights_of(draw(NETWORKS["classifier"](), backward=True).diagram)
    readout = next(box for box in boxes if box.text == ("W",))
    assert readout.twin.text == (f"∂L/∂W {number(readout.total)}",)
    assert "contract" in readout.twin.operations


def test_frozen_weights_have_no_gradient():
    cell = nn.ElmanCell(3, 4)
    cell.W_s.requires_grad = False
    drawing = draw(loss_of(cell, 3), level="op", backward=True)
    frozen = next(b for b in weights_of(drawing.diagram) if b.frozen)
    assert frozen.text == ("Wₛ (frozen)",)
    assert frozen.twin.text == ("∂L/∂Wₛ —",)
    assert all(s.running is None for s in frozen.twin.sums)
    terms = [shape for shape in drawing.scene.shapes if shape.style == "term"]
    assert len(terms) == 6  # of W_x and b
    assert not faults(drawing.scene)


def test_what_receives_no_gradient_has_no_twin():
    boxes = draw(loss_of(CELLS["elman"](), 2), backward=True).diagram.boxes
    assert all(box.twin is None for box in boxes if box.kind == "input")
    initial = next(box for box in boxes if box.text == ("s₀ = 0",))
    assert initial.twin.text == ("∂s₀ —",)


def test_no_gradient_is_touched():
    cell = CELLS["lstm"]()
    loss = loss_of(cell, 3)
    draw(loss, backward=True).scene  # noqa: B018
    assert all(parameter.grad is None for parameter in cell.parameters())
    loss.backward()
    before = [parameter.grad.numpy() for parameter in cell.parameters()]
    draw(loss, level="cell", backward=True).scene  # noqa: B018
    for parameter, value in zip(cell.parameters(), before, strict=True):
        np.testing.assert_array_equal(parameter.grad.numpy(), value)


# -------------------------------------------------------------------- where it is drawn


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
@pytest.mark.parametrize("cell", ALL_CELLS)
def test_twins_stand_straight_below_their_boxes(cell, level):
    scene = draw(loss_of(ALL_CELLS[cell](), 3), level=level, backward=True).scene
    kinds = ("gate", "affine", "function", "op", "cell")
    upper = [s for s in scene.shapes if s.style in kinds]
    lower = [s for s in scene.shapes if s.style.removeprefix("twin ") in kinds and s not in upper]
    assert lower
    assert max(s.y for s in lower) < min(s.y for s in upper)
    assert Counter(round(s.x, 3) for s in lower) <= Counter(round(s.x, 3) for s in upper)
    assert all(s.dashed for s in lower) and not any(s.dashed for s in upper)


def lanes(scene, dashed):
    return [x for x in scene.lines if x.over == "lane" and x.dashed == dashed and x.arrow]


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_gradients_run_against_the_states(level):
    scene = draw(loss_of(CELLS["gru"](), 3), level=level, backward=True).scene
    assert all(x.points[0][0] < x.points[-1][0] for x in lanes(scene, dashed=False))
    assert lanes(scene, dashed=True)
    assert all(x.points[0][0] > x.points[-1][0] for x in lanes(scene, dashed=True))


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_of_a_layer_that_runs_backward_they_run_forward(level):
    loss = bidirectional(3)
    drawing = draw(loss, level=level, backward=True)
    assert {x.points[0][0] < x.points[-1][0] for x in lanes(drawing.scene, dashed=True)} == {
        True,
        False,
    }
    ways = [box.twin.rightward for box in weights_of(drawing.diagram)]
    half = len(ways) // 2
    assert ways == [False] * half + [True] * half
    for box in weights_of(drawing.diagram)[half:]:
        assert [s.place.label for s in box.twin.sums] == [1, 2, 3]
    sums = [s for s in drawing.scene.shapes if s.style == "twin weight"]
    panels = drawing.scene.panels
    assert sum(s.x > panels[-1].right for s in sums) == half
    assert sum(s.x < panels[0].left for s in sums) == half


@pytest.mark.parametrize(("cell", "kept"), [("elman", "s"), ("lstm", "h")])
def test_terms_show_what_is_kept_for_them(cell, kept):
    scene = draw(loss_of(CELLS[cell](), 3), level="gate", backward=True).scene
    dotted = [line for line in scene.lines if line.dotted and line.arrow and line.tooltip]
    assert [scene.shapes[line.end].text[0] for line in dotted] == [
        f"{kept}{'₀₁₂'[t]}ᵀ δ" for t in range(3)
    ]


ONE, FEW, FOLDED = 1, 3, 14
PICTURES = [
    *((cell, level, FEW) for cell in ALL_CELLS for level in LEVELS),
    *((cell, level, n) for cell in CELLS for level in LEVELS for n in (ONE, FOLDED)),
    *((cell, "gate", FOLDED) for cell in MORE_CELLS),
]


@pytest.mark.parametrize(("cell", "level", "steps"), PICTURES)
def test_geometry_of_cells(cell, level, steps):
    assert not faults(draw(loss_of(ALL_CELLS[cell](), steps), level=level, backward=True).scene)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("network", NETWORKS)
def test_geometry_of_networks(network, level):
    assert not faults(draw(NETWORKS[network](), level=level, backward=True).scene)


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
@pytest.mark.parametrize("network", [stacked, bidirectional])
def test_geometry_of_folds_between_layers(network, level):
    loss = network(14)
    assert not faults(draw(loss, level=level, backward=True).scene)
    assert not faults(draw(loss, level=level, gradients=True).scene)


@pytest.mark.parametrize("cell", CELLS)
def test_geometry_with_values(cell):
    loss = loss_of(CELLS[cell](), 2)
    assert not faults(draw(loss, level="gate", backward=True, values=True).scene)


@pytest.mark.parametrize("seed", range(40))
def test_geometry_of_random_networks(seed):
    loss = random_network(seed)
    drawing = draw(loss, backward=True)
    assert not faults(drawing.scene)
    recorded = Counter(node.op for node in record(tg.Graph(loss)).nodes)
    assert drawn_operations(drawing.diagram) == recorded


def test_plain_graphs_show_gradients_through_folded_operations():
    drawing = draw(NETWORKS["attention"](), backward=True)
    rest = [k for k, box in enumerate(drawing.diagram.boxes) if box.kind == "rest"]
    into = [w for w in drawing.diagram.wires if w.source in rest]
    assert into and all(wire.term is not None for wire in into)


def test_long_sequences_stay_quick():
    loss = loss_of(CELLS["lstm"](), 200)
    start = time.perf_counter()
    draw(loss, backward=True).dot  # noqa: B018
    assert time.perf_counter() - start < 4


class CountTerms(Watch, Within):
    """Counts the terms that gradient rules give."""

    count = 0

    def term(self, node, term):
        self.count += 1

    def _place(self, before):
        return Place(watch=self)


@pytest.mark.parametrize("what", [{"backward": True}, {"gradients": True}], ids=str)
@pytest.mark.parametrize("network", ["attention", "stacked"])  # attention: with a box "… folded …"
def test_the_graph_is_walked_once(network, what):
    loss = NETWORKS[network](steps=30)
    drawing, once = CountTerms(), CountTerms()
    with drawing:
        draw(loss, **what)
    with once:
        loss.backward()
    assert drawing.count == once.count > 0


def test_the_collector_is_spared():
    loss, runs = loss_of(CELLS["lstm"](), 100), []
    gc.callbacks.append(count := lambda *_: runs.append(1))
    try:
        draw(loss, backward=True)
    finally:
        gc.callbacks.remove(count)
    assert len(runs) <= 2  # when it is switched on again: its start and its end


# -------------------------------------------------------------------- errors, files, golden


def test_a_loss_that_is_no_number():
    y = nn.Elman(3, 4)(sequence(2)).y
    with pytest.raises(ValueError, match=r"draw\(backward=True\): .* not a single number"):
        draw(y, backward=True)


def test_a_loss_that_needs_no_gradient():
    with tg.no_grad():
        loss = loss_of(CELLS["elman"](), 2)
    with pytest.raises(ValueError, match=r"draw\(backward=True\): .* requires a gradient"):
        draw(loss, backward=True)


def test_two_losses():
    loss = loss_of(CELLS["elman"](), 2)
    with pytest.raises(ValueError, match=r"draw\(backward=True\): .* has 2 outputs"):
        draw([loss, loss * 2], backward=True)


def test_stale_graphs():
    cell = nn.ElmanCell(3, 4)
    loss = loss_of(cell, 2)
    cell.W_s.data = cell.W_s.data * 2
    with pytest.raises(tg.StaleGraphError):
        draw(loss, backward=True)


@pytest.mark.parametrize(("cell", "steps"), [("elman", 3), ("lstm", 2)])
def test_golden(cell, steps):
    tg.manual_seed(0)
    drawing = draw(loss_of(CELLS[cell](), steps), level="gate", backward=True)
    check_golden(f"{cell}_backward", drawing.dot)


def test_from_the_command_line(tmp_path):
    path = tmp_path / "elman.dot"
    assert main(["draw", "elman", "--backward", "-o", str(path)]) == 0
    assert "∂L/∂Wₛ = Σ" in path.read_text("utf-8")
