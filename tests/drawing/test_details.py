"""What a picture says besides the graph: lengths, masks, frozen weights, ticks, owners, folds."""

from __future__ import annotations

import numpy as np
import pytest
from drawing.examples import CELLS, MORE_CELLS, NETWORKS, loss_of, sequence
from drawing.geometry import faults

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.drawing import draw
from tinygradrnn.drawing.building import build
from tinygradrnn.drawing.records import Box, Diagram, Step
from tinygradrnn.drawing.text import number, width


def diagram_of(loss: tg.Tensor, **options) -> Diagram:
    return build(tg.Graph(loss), **options)


def texts(diagram: Diagram, kind: str) -> list[str]:
    return [" ".join(box.text) for box in diagram.boxes if box.kind == kind]


def written(drawing) -> list[str]:
    """All that is written in a picture outside of boxes."""
    return [text.text for text in drawing.scene.texts]


def box_named(diagram: Diagram, text: str) -> int:
    (found,) = [k for k, box in enumerate(diagram.boxes) if box.text[0] == text]
    return found


# ---------------------------------------------------------------- lengths


@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_every_step_says_how_many_sequences_run(level):
    drawing = draw(NETWORKS["lengths"](), level=level)
    assert [panel.name for panel in drawing.scene.panels] == [
        *("t = 1 · 3 of 3 run", "t = 2 · 2 of 3 run"),
        *("t = 3 · 1 of 3 run", "t = 4 · none runs"),
    ]
    assert [found.sequences for found in drawing.diagram.running] == [(1, 2, 3), (1, 2), (1,), ()]


def test_without_lengths_nothing_is_said_of_them():
    drawing = draw(loss_of(CELLS["lstm"](), 3), level="cell")
    assert not drawing.diagram.running
    assert not any("run" in text.split() for text in written(drawing))


def test_a_step_at_which_no_sequence_runs_is_grey():
    drawing = draw(NETWORKS["lengths"](), level="cell")
    cells = [
        shape for shape in drawing.scene.shapes if shape.style == "cell" and "LSTM" in shape.text
    ]
    assert [shape.ink == drawing.theme.muted for shape in cells] == [False, False, False, True]


def test_the_choice_between_new_and_old_states_is_on_the_lane():
    """Where all run there is no choice, and the lane passes through its place."""
    drawing = draw(NETWORKS["lengths"](), level="gate")
    diagram = drawing.diagram
    of_step = {t: [b for b in diagram.boxes if b.step == Step(0, t)] for t in (1, 2)}
    assert [b.kind for b in of_step[1]].count("pass") == 2
    assert [b.text[0] for b in of_step[2]].count("where running") == 3  # h, c and the output
    choice = box_named_at(diagram, 2, "where running", "state")
    assert any(choice in wire.targets and wire.state is not None for wire in diagram.wires)
    straight = [x for x in drawing.scene.lines if x.over == "lane" and len(x.points) == 2]
    assert len(straight) > 10


def box_named_at(diagram: Diagram, t: int, text: str, feeds: str) -> int:
    """The first box of a step with this text that leads to a box of this kind."""
    return next(
        wire.source
        for wire in diagram.wires
        if diagram.boxes[wire.source].text[0] == text
        and diagram.boxes[wire.source].step == Step(0, t)
        and diagram.boxes[wire.targets[0]].kind == feeds
    )


def test_outputs_of_steps_with_and_without_ended_sequences_share_a_line():
    scene = draw(NETWORKS["lengths"](), level="gate").scene
    top = max(panel.top for panel in scene.panels)
    heights = {dot.y for dot in scene.dots if dot.radius and dot.y > top}
    assert len([y for y in heights if y < top + 60]) == 1


def test_both_directions_read_the_same_padded_input():
    assert texts(diagram_of(NETWORKS["lengths_both_ways"](), level="cell"), "input")[:4] == [
        *("x₁", "x₂", "x₃", "x₄")
    ]


# ---------------------------------------------------------------- dropout and frozen weights


def test_dropout_masks_are_boxes_and_shared_ones_are_rails():
    drawing = draw(NETWORKS["dropped"](), level="cell", gradients=True)
    diagram = drawing.diagram
    masks = [box for box in diagram.boxes if box.kind == "mask"]
    assert [box.text[0] for box in masks if box.step is None] == [
        "recurrent dropout mask layer 1",
        "recurrent dropout mask layer 2",
    ]
    assert [box.step.label for box in masks if box.step] == [1, 2, 3]
    shared = [k for k, box in enumerate(diagram.boxes) if box in masks and box.step is None]
    taps = [diagram.boxes[w.targets[0]].step.label for w in diagram.wires if w.source == shared[0]]
    assert taps == [2, 3]  # at step 1 it masks zeros, and nothing is recorded
    assert any(text.startswith("dropout mask, one for all steps") for text in written(drawing))
    assert texts(diagram, "input")[:3] == [f"x{t} × mask" for t in "₁₂₃"]  # data: not recorded
    dashed = [line for line in drawing.scene.lines if line.dashed and line.over == "rail"]
    assert {line.tooltip for line in dashed} >= {box.text[0] for box in masks if not box.step}


def test_evaluation_has_no_masks():
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.3, recurrent_dropout=0.3).eval()
    assert not texts(diagram_of(layer(sequence(3)).last.sum(), level="cell"), "mask")


def test_frozen_weights_say_so_and_get_no_term():
    drawing = draw(NETWORKS["frozen"](), level="gate", gradients=True)
    diagram = drawing.diagram
    assert texts(diagram, "weight") == ["Wₕ (frozen)", "b"]
    rail = box_named(diagram, "Wₕ (frozen)")
    assert diagram.boxes[rail].frozen
    assert diagram.boxes[rail].total is None
    assert all(wire.term is None for wire in diagram.wires_from[rail])
    lines = [line for line in drawing.scene.lines if line.tooltip == "Wₕ (frozen)"]
    assert lines
    assert all(line.dashed for line in lines)
    assert "frozen: not trained" in written(drawing)
    assert "x @ W_x (frozen)" in texts(diagram, "input")
    assert any("x @ W_x (frozen)" in text for text in texts(diagram, "affine"))


def test_weights_of_a_layer_that_are_frozen_are_bundled_apart():
    layer = nn.LSTM(3, 4)
    cell = layer.layers[0].cell
    cell.W_x.requires_grad = cell.b.requires_grad = False
    x = nn.Embedding(5, 3)(np.zeros((2, 3), np.int64))
    shown = diagram_of(layer(x).last.sum(), level="cell")
    assert texts(shown, "weight") == ["θ (frozen)", "Wₕ", "W"]


# ---------------------------------------------------------------- clockwork, initial states


def test_a_clockwork_cell_says_which_blocks_tick():
    cell = nn.ClockworkCell(3, 6, periods=[1, 2, 4])
    cells = [b.text for b in diagram_of(loss_of(cell, 4), level="cell").boxes if b.kind == "cell"]
    assert cells[:4] == [
        ("Clockwork", "blocks 1, 2, 3 tick"),
        ("Clockwork", "block 1 ticks", "blocks 2, 3 hold"),
        ("Clockwork", "blocks 1, 2 tick", "block 3 holds"),
        ("Clockwork", "block 1 ticks", "blocks 2, 3 hold"),
    ]


def test_a_clockwork_layer_says_how_often_its_blocks_tick():
    cell = nn.ClockworkCell(3, 6, periods=[1, 2, 4])
    diagram = diagram_of(loss_of(cell, 4), level="layer")
    assert next(box.text for box in diagram.boxes if box.kind == "cell") == (
        "Clockwork",
        "block 1 ticks at 4 of 4 steps",
        "block 2 ticks at 2 of 4 steps",
        "block 3 ticks at 1 of 4 steps",
    )


@pytest.mark.parametrize("level", ["op", "gate", "cell", "layer"])
@pytest.mark.parametrize("cell", ["scrn", "clockwork", "deep"])
@pytest.mark.parametrize("steps", [2, 3])
def test_initial_states_stand_at_the_start_of_their_lanes(cell, level, steps):
    """Also where 0.9 s₀, or a slice of s₀, needs no gradient and was not recorded."""
    diagram = diagram_of(loss_of(MORE_CELLS[cell](), steps), level=level)
    inside = [box for box in diagram.boxes if box.kind == "input"]
    assert all(box.text[0].startswith("x") for box in inside)
    wanted = {"scrn": ["h₀ = 0", "s₀ = 0"]}.get(cell, ["s₀ = 0"])
    starts = [t for t in texts(diagram, "state") if "₀" in t]
    assert sorted(starts) == wanted


def test_an_initial_state_that_is_not_zero_says_what_was_done_to_it():
    state = nn.SCRNCell(3, 4, 2, alpha=0.9).initial_state(2)._replace(s=tg.tensor(np.ones((2, 2))))
    rnn = nn.RNN(nn.SCRNCell(3, 4, 2, alpha=0.9))
    assert "0.9 × s₀" in texts(diagram_of(rnn(sequence(3), state).last.sum()), "state")


def test_a_layer_of_which_one_step_is_read_starts_at_its_initial_state():
    y = nn.LSTM(3, 4, bidirectional=True)(sequence(3)).y
    diagram = diagram_of((y[:, -1] ** 2).sum(), level="cell")
    assert texts(diagram, "cell")[:4] == ["LSTM →", "LSTM →", "LSTM →", "LSTM ←"]
    assert texts(diagram, "state").count("h₀ = 0") == 2
    assert texts(diagram, "weight") == ["θ→", "θ←"]


# ---------------------------------------------------------------- names of layers and owners


def test_layers_are_named_at_the_margin():
    drawing = draw(NETWORKS["bidirectional_stack"](), level="cell")
    named = {t.text: t for t in drawing.scene.texts if t.text.startswith("layer")}
    assert set(named) == {"layer 1 →", "layer 1 ←", "layer 2 →", "layer 2 ←"}
    first = min(panel.left for panel in drawing.scene.panels)
    assert all(text.x < first for text in named.values())
    assert named["layer 1 →"].y < named["layer 1 ←"].y < named["layer 2 →"].y
    assert texts(drawing.diagram, "weight") == ["θ→₁", "θ←₁", "θ→₂", "θ←₂"]


def test_one_layer_has_no_name():
    layers = diagram_of(loss_of(CELLS["lstm"](), 2)).layers
    assert [layer.whole for layer in layers] == [""]


def test_phases_are_named_after_scopes_of_the_user():
    drawing = draw(NETWORKS["named_phases"](), level="cell")
    assert {"encoder", "decoder"} <= set(written(drawing))
    assert texts(drawing.diagram, "weight")[:4] == [
        *("θ₁ encoder", "θ₂ encoder", "θ₁ decoder", "θ₂ decoder")
    ]
    assert drawing.diagram.title.startswith("Encoder: 2-layer LSTM → decoder: 2-layer LSTM")


def test_phases_without_scopes_are_numbered():
    assert {"phase 1", "phase 2"} <= set(written(draw(NETWORKS["encoder_decoder"](), level="cell")))


def test_equal_names_of_weights_are_told_apart_by_their_owners():
    shown = texts(diagram_of(NETWORKS["stacked"](), level="gate"), "weight")
    assert shown == [f"{name} layer {n}" for n in (1, 2) for name in ("Wₓ", "Wₕ", "b")]
    deep = texts(diagram_of(loss_of(MORE_CELLS["deep"](), 2), level="gate"), "weight")
    assert {"W input layer 1", "W transition layer 1", "W output layer 1"} <= set(deep)
    model = texts(diagram_of(NETWORKS["language_model"](), level="gate"), "weight")
    assert model == ["W Embedding", "Wₓ", "Wₕ", "b LSTM", "W Linear", "b Linear"]
    one = nn.Parameter(np.eye(2), name="W")
    two = nn.Parameter(np.eye(2), name="W")
    assert texts(diagram_of((one @ two).sum()), "weight") == ["W (1)", "W (2)"]


def test_titles_tell_options():
    def title(cell) -> str:
        return diagram_of(loss_of(cell, 2), level="cell").title.partition(" · ")[0]

    assert title(nn.GRUCell(3, 4)) == "GRU"
    assert title(nn.GRUCell(3, 4, reset="after")) == "GRU (reset after)"
    assert (
        title(nn.LSTMCell(3, 4, peephole=True, coupled=True)) == "LSTM (peepholes, coupled gates)"
    )
    assert title(nn.IRNNCell(3, 4)) == "IRNN"
    assert title(nn.ElmanCell(3, 4, activation="relu")) == "Elman (relu)"
    assert title(nn.SCRNCell(3, 4, 2, alpha="learned")) == "SCRN (α learned)"


def test_what_a_loss_compares_with_is_the_target():
    y = nn.RNN(nn.ElmanCell(3, 4))(sequence(2)).last
    assert "target" in texts(diagram_of(F.mse_loss(y, np.ones(y.shape))), "input")
    named = tg.tensor(np.ones(y.shape), name="wanted")
    assert "wanted" in texts(diagram_of(F.mse_loss(y, named)), "input")
    unnamed = tg.tensor(np.ones(y.shape))
    assert "2×4" in texts(diagram_of((y - unnamed).sum()), "input")


# ---------------------------------------------------------------- folds and lines above


@pytest.mark.parametrize("level", ["op", "gate"])
def test_a_rail_says_what_the_folded_steps_add(level):
    loss = loss_of(CELLS["gru"](), 20)
    drawing = draw(loss, level=level, gradients=True, steps=4)
    graph = tg.Graph(loss)
    for name, shown in (("W_x", "Wₓ"), ("W_sg", "W_sg")):
        terms = graph.contributions(graph.parameters[name])
        (wire,) = [
            w for w in drawing.diagram.wires_from[box_named(drawing.diagram, shown)] if w.folded
        ]
        assert wire.folded == 16
        middle = sum(terms[t] for t in range(3, 19))
        assert wire.term == pytest.approx(np.linalg.norm(middle), rel=1e-6)
    assert sum(text.startswith("16 terms ‖Σ‖ ") for text in written(drawing)) == 4


def test_without_gradients_a_rail_counts_the_folded_taps():
    assert written(draw(loss_of(CELLS["elman"](), 20), steps=4)).count("16 taps") == 3


def test_a_line_above_the_steps_bears_the_gradient_of_every_step():
    loss = NETWORKS["loss_per_step"](20)
    drawing = draw(loss, level="cell", gradients=True, steps=4)
    diagram = drawing.diagram
    fold = next(k for k, box in enumerate(diagram.boxes) if box.kind == "fold")
    (wire,) = [w for w in diagram.wires_from[fold] if w.folded]
    assert wire.folded == 16
    assert wire.term == pytest.approx(4.0)  # √16: each loss is one summand
    above = [text for text in drawing.scene.texts if text.text == "1.0"]
    assert len([text for text in above if text.y > drawing.scene.panels[0].top]) == 4
    assert "16 terms ‖·‖ 4.0" in written(drawing)


def test_what_all_steps_read_bears_numbers_where_it_has_a_gradient():
    drawing = draw(NETWORKS["language_model"](), level="cell", gradients=True)
    ids = box_named(drawing.diagram, "W[ids]")
    terms = [wire.term for wire in drawing.diagram.wires_from[ids] if wire.terms]
    assert all(term is not None and term > 0 for term in terms)
    assert {f"{term:.1e}" for term in terms} <= {as_exponent(text) for text in written(drawing)}


def as_exponent(text: str) -> str:
    try:
        return f"{float(text):.1e}"
    except ValueError:
        return ""


# ---------------------------------------------------------------- legend and values


@pytest.mark.parametrize("level", ["cell", "layer"])
@pytest.mark.parametrize("cell", [*CELLS, "deep", "scrn"])
def test_the_legend_stays_within_its_rows(cell, level):
    make = {**CELLS, **MORE_CELLS}[cell]
    drawing = draw(loss_of(make(), 2), level=level, gradients=True)
    left, _, right, _ = drawing.scene.bounds()
    for text in drawing.scene.texts:
        assert text.x >= left - 1
        assert text.x + width(text.text, text.size, text.bold) <= max(right, left + 660)


def test_values_of_a_layer_are_those_of_all_its_steps():
    x = next(
        box
        for box in diagram_of(loss_of(CELLS["elman"](), 3), level="layer", values=True).boxes
        if box.kind == "input"
    )
    assert isinstance(x, Box)
    every = sequence(3).numpy()
    assert x.text[:2] == ("x₁ … x₃", "3 of 2×3")
    assert x.text[2].startswith(f"{every.mean():.2g}"[:4])


@pytest.mark.parametrize("level", ["op", "gate", "cell", "layer"])
@pytest.mark.parametrize("network", ["dropped", "lengths", "frozen", "named_phases"])
def test_values_fit_into_their_boxes(network, level):
    scene = draw(NETWORKS[network](), level=level, values=True, gradients=True).scene
    assert not faults(scene)
    for shape in scene.shapes:
        assert max(width(line, shape.size, shape.bold) for line in shape.text) <= shape.width
        assert 13.0 * len(shape.text) <= shape.height + 13.0


def test_the_legend_says_what_a_bundle_of_weights_holds():
    assert diagram_of(NETWORKS["language_model"](), level="cell").notes == ("θ = Wₓ, Wₕ, b",)
    assert diagram_of(NETWORKS["bidirectional_stack"](), level="cell").notes == (
        "θ = Wₓ, Wₛ, W_sg, b",
    )


@pytest.mark.parametrize("ends", [[5, 1], [5, 3], [2, 4], [1, 1]])
@pytest.mark.parametrize("of", ["last", "y"])
def test_sequences_that_end_early_keep_the_time_axis(ends, of):
    """Where only some steps choose between new and old, that is one and the same state."""
    x = tg.tensor(np.sin(np.arange(30.0)).reshape(2, 5, 3), name="x")
    loss = (getattr(nn.LSTM(3, 4)(x, lengths=ends), of) ** 2).sum()
    for level in ("op", "gate", "cell"):
        diagram = draw(loss, level=level, gradients=True).diagram
        assert [step.label for step in diagram.steps] == tg.Graph(loss).timesteps
        assert {state.name for state in diagram.states} == {"c", "h"}
        assert not faults(draw(loss, level=level, rolled=True).scene)


def test_the_gradient_of_a_cell_is_that_of_its_state():
    """Of the outputs of a sequence that has ended no gradient comes back; the state still has."""
    x = tg.tensor(np.sin(np.arange(18.0)).reshape(2, 3, 3), name="x")
    loss = (nn.Elman(3, 4)(x, lengths=[3, 1]).last ** 2).sum()
    boxes = draw(loss, level="cell", backward=True).diagram.boxes
    (middle,) = [b for b in boxes if b.kind == "cell" and b.step and b.step.label == 2]
    assert middle.twin is not None
    assert middle.twin.text[0] == "∂s₂"
    assert middle.twin.size > 0


# ---------------------------------------------------------------- gradients without a time axis


@pytest.mark.parametrize("network", ["perceptron", "stacked"])
def test_sizes_of_gradients_stand_in_the_boxes_of_weights(network):
    loss = NETWORKS[network]()
    drawing = draw(loss, level="layer", gradients=True)
    weights = [box for box in drawing.diagram.boxes if box.kind == "weight"]
    shown = {shape.text[0]: shape.text[1:] for shape in drawing.scene.shapes}
    assert weights
    for box in weights:
        assert box.total > 0
        assert shown[box.text[0]] == (f"‖∂L/∂·‖ {number(box.total)}",)
    legend = [text.text for text in drawing.scene.texts]
    assert "arrows run forward · numbers, thickness of weights: ‖∂L/∂·‖, — none" in legend
    assert not faults(drawing.scene)
