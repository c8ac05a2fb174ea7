"""Rolled pictures: one step for all, every state led back to where the next step starts."""

from __future__ import annotations

import time

import numpy as np
import pytest
from drawing.examples import (
    CELLS,
    MORE_CELLS,
    NETWORKS,
    bidirectional,
    encoder_decoder,
    loss_of,
    random_network,
    sequence,
)
from drawing.geometry import faults
from drawing.test_dot import linear_rnn

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.drawing import draw
from tinygradrnn.drawing.histories import FIRST, LAST
from tinygradrnn.drawing.records import Diagram, Wire
from tinygradrnn.drawing.rolling import build_rolled

LEVELS = ("op", "gate", "cell")
ALL_CELLS = CELLS | MORE_CELLS
TIMELESS = ("attention", "normalised", "perceptron")


def rolled(loss: tg.Tensor, **options) -> Diagram:
    return build_rolled(tg.Graph(loss), **options)


def texts(diagram: Diagram, kind: str) -> list[str]:
    return [" ".join(box.text) for box in diagram.boxes if box.kind == kind]


def loops(diagram: Diagram) -> dict[int, Wire]:
    """By state, the wire from the step back to what the step starts with."""
    (roll,) = diagram.rolls
    return {
        w.state: w
        for w in diagram.wires
        if w.state == w.value and w.state is not None and w.targets == (roll.entries[w.state],)
    }


def starts(diagram: Diagram) -> dict[str, tuple[str, str]]:
    """By initial state: what it comes in as, and when."""
    entries = {box for roll in diagram.rolls for box in roll.entries.values()}
    return {
        diagram.boxes[w.source].text[0]: (diagram.boxes[w.targets[0]].text[0], w.when)
        for w in diagram.wires
        if w.targets[0] in entries and w.partial
    }


# ---------------------------------------------------------------- records


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("steps", [1, 2, 5, 40])
@pytest.mark.parametrize("cell", CELLS)
def test_every_state_is_led_back_once(cell, steps, level):
    diagram = rolled(loss_of(CELLS[cell](), steps), level=level)
    (roll,) = diagram.rolls
    assert diagram.steps == (roll.step,)
    assert roll.labels == tuple(range(1, steps + 1))
    found = loops(diagram)
    assert sorted(found) == list(range(len(diagram.states)))
    for wire in found.values():
        assert diagram.boxes[wire.source].step == roll.step
        assert not wire.partial
    for state, entry in roll.entries.items():
        readers = [w for w in diagram.wires if w.source == entry]
        assert diagram.boxes[entry].text == (f"{diagram.states[state].name}ₜ₋₁".replace("_", ""),)
        assert all(diagram.boxes[t].step == roll.step for w in readers for t in w.targets)
        assert readers


def test_an_lstm_has_t_in_place_of_numbers():
    diagram = rolled(loss_of(CELLS["lstm"](), 7), level="gate")
    assert diagram.title == "LSTM · gate level · rolled · T = 7"
    assert texts(diagram, "state") == ["h₀ = 0", "c₀ = 0", "cₜ₋₁", "hₜ₋₁", "cₜ", "hₜ"]
    assert texts(diagram, "gate") == ["σ  iₜ", "σ  fₜ", "tanh  gₜ", "σ  oₜ"]
    assert texts(diagram, "affine") == ["xₜ Wₓ + hₜ₋₁ Wₕ + b"]
    assert starts(diagram) == {"c₀ = 0": ("cₜ₋₁", "t = 1"), "h₀ = 0": ("hₜ₋₁", "t = 1")}


def test_a_backward_direction_starts_at_the_last_step():
    diagram = rolled(bidirectional(3), level="gate")
    assert texts(diagram, "affine") == ["xₜ Wₓ + h→ₜ₋₁ Wₕ + b", "xₜ Wₓ + h←ₜ₊₁ Wₕ + b"]
    entries = {diagram.boxes[box].text[0] for box in diagram.rolls[0].entries.values()}
    assert entries == {"cₜ₋₁", "hₜ₋₁", "cₜ₊₁", "hₜ₊₁"}
    whens = {
        diagram.boxes[w.targets[0]].text[0]: w.when
        for w in diagram.wires
        if w.state is not None and w.partial
    }
    assert whens == {"cₜ₋₁": "t = 1", "hₜ₋₁": "t = 1", "cₜ₊₁": "t = T", "hₜ₊₁": "t = T"}
    out = {w.when for w in diagram.wires if w.partial and w.state is None}
    assert out == {"t = 1", "t = T"}


@pytest.mark.parametrize(
    ("network", "when"),
    [("classifier", "t = T"), ("loss_per_step", "every t"), ("language_model", "every t")],
)
def test_when_a_step_is_read_from_outside(network, when):
    diagram = rolled(NETWORKS[network](), level="op")
    steps = {k for k, box in enumerate(diagram.boxes) if box.step is not None}
    entries = set(diagram.rolls[0].entries.values())
    (wire,) = [
        w
        for w in diagram.wires
        if w.source in steps and steps.isdisjoint(w.targets) and entries.isdisjoint(w.targets)
    ]
    assert wire.when == when
    assert wire.partial == (when != "every t")
    assert len(wire.targets) == 1


def test_some_steps_are_read_from_outside():
    y = nn.RNN(nn.ElmanCell(3, 4))(sequence(5)).y
    first = rolled((y[:, 1] * y[:, 3]).sum() + y[:, 4].sum())
    assert "t = 2, 4, 5" in {w.when for w in first.wires}
    y = nn.RNN(nn.ElmanCell(3, 4))(sequence(6)).y
    loss = sum((y[:, t].sum() for t in (0, 2, 3, 5)), start=tg.tensor(np.zeros(())))
    assert "4 of 6 steps" in {w.when for w in rolled(loss).wires}


def test_a_decoder_is_a_loop_of_its_own():
    diagram = rolled(encoder_decoder(2), level="cell")
    assert [roll.labels for roll in diagram.rolls] == [(1, 2), (1, 2, 3)]
    first, second = diagram.rolls
    assert first.step.phase < second.step.phase
    handed = [
        w for w in diagram.wires if w.value is not None and w.targets[0] in second.entries.values()
    ]
    into = {w.value: w.when for w in handed if diagram.boxes[w.source].step == first.step}
    assert set(into.values()) == {"t = 1"}
    assert len(into) == 2
    panels = [p.name for p in draw(encoder_decoder(2), rolled=True, level="cell").scene.panels]
    assert panels == ["loop 1, step t", "loop 2, step t"]


def test_what_some_steps_do_without_is_dashed():
    """Block 2 ticks at steps 1, 3, 5 and holds at 2 and 4."""
    diagram = rolled(loss_of(MORE_CELLS["clockwork"](), 5), level="gate")
    dashed = {box.text[0]: box.tooltip for box in diagram.boxes if box.dashed}
    assert {name.split("  ")[1] for name in dashed} == {"block 2 holds", "block 2 ticks"}
    assert any(tooltip.endswith("at 3 of 5 steps") for tooltip in dashed.values())
    assert any(tooltip.endswith("at 2 of 5 steps") for tooltip in dashed.values())


@pytest.mark.parametrize("cell", [*CELLS, "peephole", "gru after", "scrn", "jordan"])
def test_a_first_step_that_records_less_dashes_nothing(cell):
    """0.9 s₀ of an SCRN needs no gradient and is one leaf: not what a later step computes."""
    diagram = rolled(loss_of(ALL_CELLS[cell](), 3))
    names = [box.text[0] for box in diagram.boxes if box.dashed]
    assert names == (["[ ; ]  yₜ"] if cell == "scrn" else [])  # its output joins h and s, read once


def test_a_user_written_loop():
    W = nn.Parameter(np.eye(2), name="W")
    s = tg.tensor(np.zeros((1, 2)))
    for t in range(1, 5):
        with tg.timestep(t):
            s = F.tanh(s @ W + 1.0)
    diagram = rolled(s.sum(), gradients=True)
    assert texts(diagram, "state") == ["s₀ = 0", "sₜ₋₁", "sₜ"]
    assert [w.uses for w in diagram.wires if diagram.boxes[w.source].text == ("W",)] == [4]
    assert len(loops(diagram)) == 1


def test_values_are_those_of_one_step():
    diagram = rolled(loss_of(CELLS["elman"](), 3), values=True)
    assert f"values: those of t = {diagram.steps[0].label}" in diagram.notes
    assert any(len(box.text) == 3 for box in diagram.boxes)


# ---------------------------------------------------------------- gradients


def size(array) -> float:
    return float(np.linalg.norm(array))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cell", [*CELLS, "peephole", "jordan", "clockwork"])
def test_totals_are_the_sums_over_all_steps(cell, level):
    graph = tg.Graph(loss_of(ALL_CELLS[cell](), 4))
    diagram = build_rolled(graph, level=level, gradients=True)
    terms = {name: graph.contributions(p) for name, p in graph.parameters.items()}
    totals = {name: size(sum(each.values())) for name, each in terms.items()}
    if level == "cell":
        totals = {"θ": size(list(totals.values()))}
    weights = [k for k, box in enumerate(diagram.boxes) if box.kind == "weight"]
    named = {diagram.boxes[k].tooltip.partition(" =")[0].partition(":")[0]: k for k in weights}
    assert {name: diagram.boxes[k].total for name, k in named.items()} == pytest.approx(totals)
    for name, k in named.items():
        (wire,) = [w for w in diagram.wires if w.source == k]
        assert wire.term == pytest.approx(totals[name])
        if cell != "clockwork":
            assert wire.uses == 4


def test_the_table_has_the_gradient_of_every_state():
    """By hand, all weights 1: ∂L/∂s_t is 1, 1 + 2·1, 1 + 2·3 in both units, from the last step."""
    diagram = rolled(linear_rnn(), gradients=True)
    ((history,),) = [roll.histories for roll in diagram.rolls]
    root = 2**0.5
    assert history.sizes == pytest.approx({0: None, 1: 7 * root, 2: 3 * root, 3: root})


def test_the_table_tells_nothing_from_zero():
    """What no gradient reaches is not zero, and what it reaches as zero is."""
    s = tg.tensor(np.ones((1, 2)), requires_grad=True, name="s")
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = s * (0.0 if t == 2 else 1.0)
            s.name = "s"
    drawing = draw(s.sum(), rolled=True, gradients=True)
    ((history,),) = [roll.histories for roll in drawing.diagram.rolls]
    assert history.sizes == pytest.approx({0: 0.0, 1: 0.0, 2: 2**0.5, 3: 2**0.5})
    shown = [text.text for text in draw(linear_rnn(), rolled=True, gradients=True).scene.texts]
    assert shown.count("—") == 1
    assert "0" in [text.text for text in drawing.scene.texts]


def test_a_long_table_shows_its_ends():
    drawing = draw(loss_of(CELLS["lstm"](), 300), rolled=True, gradients=True, level="cell")
    labels = [t.text[4:] for t in drawing.scene.texts if t.text.startswith("t = ")]
    shown = {int(label) for label in labels if label.isdigit()}
    assert shown == {*range(FIRST), *range(301 - LAST, 301)}
    assert [t.text for t in drawing.scene.texts].count("…") == 3
    assert len(drawing.diagram.rolls[0].histories[0].sizes) == 301


def test_columns_of_layers_and_directions_are_told_apart():
    loss = (nn.GRU(3, 4, num_layers=2, bidirectional=True)(sequence(2)).y ** 2).sum()
    shown = [t.text for t in draw(loss, rolled=True, gradients=True, level="cell").scene.texts]
    assert {"sₜ⁽¹⁾ →", "sₜ⁽¹⁾ ←", "sₜ⁽²⁾ →", "sₜ⁽²⁾ ←"} <= set(shown)


# ---------------------------------------------------------------- pictures


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cell", ALL_CELLS)
def test_geometry_of_cells(cell, level, steps):
    loss = loss_of(ALL_CELLS[cell](), steps)
    assert not faults(draw(loss, level=level, rolled=True, gradients=True).scene)
    assert not faults(draw(loss, level=level, rolled=True, values=True).scene)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("network", [name for name in NETWORKS if name not in TIMELESS])
def test_geometry_of_networks(network, level):
    assert not faults(draw(NETWORKS[network](), level=level, rolled=True, gradients=True).scene)


@pytest.mark.parametrize("seed", range(25))
def test_geometry_of_random_networks(seed):
    try:
        drawing = draw(random_network(seed), rolled=True, gradients=True)
    except ValueError as error:
        assert "no one step can stand for all" in str(error)
    else:
        assert not faults(drawing.scene)


def test_loops_run_back_outside_of_the_step():
    """Those of the forward direction from right to left, those of the other from left to right."""
    scene = draw(bidirectional(3), rolled=True, level="cell").scene
    (panel,) = scene.panels
    found = [line for line in scene.lines if line.tooltip.endswith(", next step")]
    assert len(found) == 4
    for line in found:
        (before,) = scene.shapes[line.end].text
        (turn, level), (comes_back, _) = line.points[-3], line.points[-1]
        if before.endswith("ₜ₋₁"):
            assert turn > panel.right > panel.left > comes_back
        else:
            assert turn < panel.left < panel.right < comes_back
        assert level > panel.top or level < panel.bottom


def test_each_loop_says_how_often_and_what_becomes_what():
    shown = [t.text for t in draw(loss_of(CELLS["lstm"](), 3), rolled=True).scene.texts]
    assert "× T = 3   cₜ → cₜ₋₁" in shown
    assert "× T = 3   hₜ → hₜ₋₁" in shown
    assert shown.count("used × 3") == 3
    assert shown.count("t = 1") == 2
    assert shown.count("t = T") == 1


def test_a_long_sequence_is_drawn_once():
    loss = loss_of(CELLS["elman"](), 1500)
    begin = time.perf_counter()
    drawing = draw(loss, rolled=True, gradients=True)
    assert len(drawing.scene.shapes) == len(
        draw(loss_of(CELLS["elman"](), 3), rolled=True).scene.shapes
    )
    assert time.perf_counter() - begin < 20


# ---------------------------------------------------------------- refusals


def skipping() -> tg.Tensor:
    W = nn.Parameter(np.eye(2), name="W")
    states = [tg.tensor(np.ones((1, 2)), name="s")] * 2
    for t in range(1, 5):
        with tg.timestep(t):
            states.append(F.tanh(states[-1] @ W + states[-2]))
    return states[-1].sum()


def changing() -> tg.Tensor:
    """Another program at every second step."""
    W = nn.Parameter(np.eye(2), name="W")
    s = tg.tensor(np.ones((1, 2)), name="s")
    for t in range(1, 5):
        with tg.timestep(t):
            s = F.tanh(s @ W) if t % 2 else F.sigmoid(s * 2.0) * 3.0 - 1.0
            s.name = "s"
    return s.sum()


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (NETWORKS["perceptron"], {}, r"no time steps.*without rolled=True.*tg\.timestep"),
        (NETWORKS["perceptron"], {"level": "layer"}, r"no time steps.*without rolled=True"),
        (NETWORKS["attention"], {}, r"reads all steps.*without rolled=True"),
        (NETWORKS["normalised"], {}, r"reads all steps.*without rolled=True"),
        (skipping, {}, r"step 3 reads a value of step 1.*without rolled=True"),
        (changing, {}, r"do different things \(\d of \d operations are alike\)"),
        (NETWORKS["stacked"], {"level": "layer"}, r'level="layer" draws no time steps.*"cell"'),
        (NETWORKS["stacked"], {"steps": 2}, r"steps: a rolled picture draws one step for all"),
        (NETWORKS["stacked"], {"backward": True}, r"backward: .*leave backward or rolled out"),
    ],
)
def test_what_cannot_be_rolled_up(make, options, message):
    with pytest.raises(ValueError, match=message):
        draw(make(), rolled=True, **options)
