"""From graphs to records: boxes, wires, states, steps, and how large gradients are."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from drawing.examples import (
    CELLS,
    NETWORKS,
    bidirectional,
    bidirectional_stack,
    encoder_decoder,
    loss_of,
    own_loop,
    random_network,
    sequence,
)

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.drawing import draw
from tinygradrnn.drawing.building import build
from tinygradrnn.drawing.choosing import choose_steps
from tinygradrnn.drawing.records import Diagram, Step, joint


def diagram_of(loss: tg.Tensor, **options) -> Diagram:
    return build(tg.Graph(loss), **options)


def texts(diagram: Diagram, kind: str) -> list[str]:
    return [" ".join(box.text) for box in diagram.boxes if box.kind == kind]


# ---------------------------------------------------------------- boxes and wires


@pytest.mark.parametrize("seed", range(40))
def test_no_edge_is_lost(seed):
    """At level op every reading of a value is one end of a wire, twice where it is read twice."""
    graph = tg.Graph(random_network(seed))
    diagram = build(graph)
    sums = [n for n in graph.nodes if n.op == "add" and n.timestep is None]
    assert len(sums) < 2  # a chain of sums would be drawn as one
    operation = {}  # a state has a box of its own, behind the operation that computes it
    for wire in diagram.wires:
        for target in wire.targets:
            box = diagram.boxes[target]
            if box.kind == "pass" or box.slot[0] in ("state", "output"):
                operation[target] = operation.get(wire.source, wire.source)
    drawn = Counter(
        (operation.get(wire.source, wire.source), target)
        for wire in diagram.wires
        for target in wire.targets
        if target not in operation
    )
    read = Counter(
        (source.order, node.order)
        for node in graph.nodes
        for source in node.inputs
        if source.op != "constant"
    )
    assert Counter(drawn.values()) == Counter(read.values())
    assert len(diagram.boxes) - len(operation) == len({n for pair in read for n in pair})


def test_a_product_with_itself_reads_twice():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    diagram = diagram_of((x * x).sum())
    (wire,) = [w for w in diagram.wires if diagram.boxes[w.source].text == ("x",)]
    assert len(wire.targets) == 2
    assert len(set(wire.targets)) == 1


def test_numbers_are_written_into_the_operation():
    x = tg.tensor([1.0], requires_grad=True, name="x")
    shown = diagram_of((((1 - x) * 2.5) ** 2 / 3).sum())
    assert texts(shown, "function") == ["1 −", "× 2.5", "x²", "÷ 3"]


def test_gates_states_and_slices_of_an_lstm():
    diagram = diagram_of(loss_of(CELLS["lstm"](), 2))
    assert texts(diagram, "gate") == [
        *("σ  i₁", "σ  f₁", "tanh  g₁", "σ  o₁"),
        *("σ  i₂", "σ  f₂", "tanh  g₂", "σ  o₂"),
    ]
    assert texts(diagram, "state") == ["h₀ = 0", "c₀ = 0", "c₁", "h₁", "c₂", "h₂"]
    assert texts(diagram, "weight") == ["Wₓ", "Wₕ", "b"]
    assert [t for t in texts(diagram, "function") if t.startswith("[")][:4] == [
        *("[0:H]", "[H:2H]", "[2H:3H]", "[3H:4H]"),
    ]
    assert texts(diagram, "output") == ["L"]
    assert diagram.title == "LSTM · op level · T = 2"


def test_states_are_found_without_names():
    """The state of a loop is what the next step reads, whatever it is called."""
    W = nn.Parameter(np.eye(2), name="W")
    s = tg.tensor(np.zeros((1, 2)))
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = F.tanh(s @ W + 1.0)
    diagram = diagram_of(s.sum())
    assert [state.name for state in diagram.states] == ["s"]
    assert texts(diagram, "state") == ["s₀ = 0", "s₁", "s₂", "s₃"]


def test_the_initial_state_says_when_it_is_not_zero():
    layer = nn.RNN(nn.ElmanCell(3, 4))
    start = tg.tensor(np.ones((2, 4)))
    assert "s₀" in texts(diagram_of(layer(sequence(2), start).last.sum()), "state")


def test_layers_that_slice_the_same_input_share_it():
    diagram = diagram_of(bidirectional(3))
    assert texts(diagram, "input") == ["x₁", "x₂", "x₃"]


def test_losses_of_the_steps_meet_in_one_sum():
    diagram = diagram_of(NETWORKS["loss_per_step"]())
    sums = [k for k, b in enumerate(diagram.boxes) if b.text == ("Σ",) and b.step is None]
    assert len(sums) == 1
    assert sum(sums[0] in wire.targets for wire in diagram.wires) == 4


# ---------------------------------------------------------------- levels


def test_cell_level_has_one_box_per_step_and_one_weight():
    diagram = diagram_of(loss_of(CELLS["gru"](), 3), level="cell")
    assert texts(diagram, "cell")[:3] == ["GRU", "GRU", "GRU"]
    assert texts(diagram, "weight") == ["θ"]
    assert diagram.notes == ("θ = Wₓ, Wₛ, W_sg, b",)


def test_two_directions_and_layers_are_told_apart():
    diagram = diagram_of(bidirectional_stack(2), level="cell")
    assert texts(diagram, "weight") == ["θ→₁", "θ←₁", "θ→₂", "θ←₂"]
    assert {"GRU →", "GRU ←"} <= set(texts(diagram, "cell"))
    assert diagram.title == "2-layer bidirectional GRU · cell level · T = 2"


def test_gate_level_writes_the_formula():
    diagram = diagram_of(loss_of(CELLS["lstm"](), 1), level="gate")
    assert texts(diagram, "affine") == ["x₁ Wₓ + h₀ Wₕ + b"]


def test_gate_level_keeps_the_steps_of_a_linear_network_apart():
    """Its states are sums of products, too."""
    layer = nn.RNN(nn.ElmanCell(2, 3, activation="linear", bias=False))
    diagram = diagram_of(layer(tg.tensor(np.ones((1, 2, 2)), name="x")).y.sum(), level="gate")
    assert texts(diagram, "affine") == ["x₁ Wₓ + s₀ Wₛ", "x₂ Wₓ + s₁ Wₛ"]
    assert diagram.title == "Elman (linear) · gate level · T = 2"


def test_layer_level_has_no_time():
    diagram = diagram_of(NETWORKS["language_model"](), level="layer")
    assert not diagram.steps
    assert texts(diagram, "cell").count("LSTM") == 1
    assert "x₁ … x₃" in texts(diagram, "input")
    pairs = [(w.source, t) for w in diagram.wires for t in w.targets]
    assert len(pairs) == len(set(pairs))


def test_a_decoder_comes_after_its_encoder():
    diagram = diagram_of(encoder_decoder(2))
    assert diagram.steps == (Step(0, 1), Step(0, 2), Step(1, 1), Step(1, 2), Step(1, 3))
    assert diagram.title == "LSTM → LSTM · op level · T = 2 + 3"


def test_steps_that_skip_others_are_drawn_without_a_time_axis():
    W = nn.Parameter(np.eye(2), name="W")
    states = [tg.tensor(np.ones((1, 2)), name="s")] * 2
    for t in range(1, 5):
        with tg.timestep(t):
            states.append(F.tanh(states[-1] @ W + states[-2]))
    diagram = diagram_of(states[-1].sum())
    assert diagram.steps == ()


def test_steps_that_need_all_others_are_drawn_without_a_time_axis():
    for network in ("attention", "normalised"):
        drawing = draw(NETWORKS[network](), level="cell")
        assert drawing.diagram.steps == ()
        assert not drawing.scene.panels


def test_a_cell_called_by_hand_is_one_box():
    cell, s = nn.GRUCell(3, 4), tg.tensor(np.zeros((2, 4), np.float32), name="s")
    x = sequence(2).astype("float32")
    for t in (1, 2):
        with tg.timestep(t):
            _, s = cell(x[:, t - 1], s)
            s.name = "s"
    assert texts(diagram_of(s.sum(), level="cell"), "cell") == ["GRUCell", "GRUCell"]


# ---------------------------------------------------------------- folding


def test_more_than_a_dozen_steps_are_folded():
    steps = [Step(0, t) for t in range(1, 41)]
    assert choose_steps(steps[:12], "op", None) == steps[:12]
    assert choose_steps(steps, "op", None) == [*steps[:2], *steps[-2:]]
    assert choose_steps(steps, "cell", None) == [*steps[:4], *steps[-4:]]


def test_steps_can_be_chosen():
    steps = [Step(0, t) for t in range(1, 11)]
    assert choose_steps(steps, "op", 3) == [*steps[:2], steps[-1]]
    assert choose_steps(steps, "op", 99) == steps
    assert choose_steps(steps, "op", 1) == [steps[0], steps[-1]]
    assert choose_steps(steps, "op", range(3, 6)) == [steps[0], *steps[2:5], steps[-1]]
    assert choose_steps(steps[:1], "op", [1]) == choose_steps(steps[:1], "op", 1) == steps[:1]
    two = [Step(0, 1), Step(0, 2), Step(0, 3), Step(1, 1), Step(1, 2), Step(1, 3)]
    assert choose_steps(two, "op", [1]) == [two[0], two[2], two[3], two[5]]
    assert choose_steps(steps, "op", [10, 1]) == [steps[0], steps[9]]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (0, "steps must be at least 1"),
        (True, "steps must be at least 1"),
        ([], "an empty list"),
        ([12, 1, 0], r"\[12, 0\] is not among the time steps of this graph, 1…10"),
    ],
)
def test_steps_that_do_not_exist(wanted, message):
    with pytest.raises(ValueError, match=message):
        choose_steps([Step(0, t) for t in range(1, 11)], "op", wanted)


def test_folds_say_how_many_and_keep_the_lane():
    diagram = diagram_of(loss_of(CELLS["lstm"](), 10), steps=[3, 4, 8])
    assert texts(diagram, "fold") == [
        "… 1 step folded …",
        "… 3 steps folded …",
        "… 1 step folded …",
    ]
    assert [(fold.after and fold.after.label) for fold in diagram.folds] == [1, 4, 8]
    fold = diagram.folds[1].box
    into = [w for w in diagram.wires if fold in w.targets]
    out = [w for w in diagram.wires if w.source == fold]
    assert {w.state for w in into if not w.folded} == {w.state for w in out} == {0, 1}
    taps = [(diagram.boxes[w.source].text, w.folded) for w in into if w.folded]
    assert taps == [(("Wₓ",), 3), (("Wₕ",), 3), (("b",), 3)]


def test_a_long_sequence_is_not_larger_than_a_shorter_one():
    short, long = (diagram_of(loss_of(CELLS["elman"](), t), gradients=True) for t in (30, 600))
    assert len(short.boxes) == len(long.boxes)
    assert len(short.wires) == len(long.wires)


def test_large_graphs_without_time_are_folded():
    y = tg.tensor(np.ones(3), requires_grad=True, name="y")
    for _ in range(1000):
        y = F.tanh(y)
    diagram = diagram_of(y.sum())
    assert len(diagram.boxes) < 80
    (rest,) = texts(diagram, "rest")
    assert rest.endswith("operations folded …")


# ---------------------------------------------------------------- gradients


def size(array) -> float:
    return float(np.linalg.norm(array))


@pytest.mark.parametrize("level", ["op", "gate"])
@pytest.mark.parametrize("cell", CELLS)
def test_taps_and_totals_are_the_terms_of_the_gradient(cell, level):
    loss = loss_of(CELLS[cell](), 4)
    graph = tg.Graph(loss)
    diagram = build(graph, level=level, gradients=True)
    weights = [k for k, box in enumerate(diagram.boxes) if box.kind == "weight"]
    names = {diagram.boxes[k].tooltip.partition(":")[0]: k for k in weights}
    assert names.keys() == graph.parameters.keys()
    for name, parameter in graph.parameters.items():
        terms = graph.contributions(parameter)
        k = names[name]
        assert diagram.boxes[k].total == pytest.approx(size(sum(terms.values())))
        shown = {
            diagram.boxes[w.targets[0]].step.label: w.term for w in diagram.wires if w.source == k
        }
        assert shown == pytest.approx({t: size(term) for t, term in terms.items()})


def test_a_state_edge_shows_its_own_term_not_the_total_of_the_node():
    """L reads every state: what comes back from the next step is only a part of ∂L/∂s_t."""
    rnn = nn.RNN(nn.ElmanCell(3, 4))
    loss = (rnn(sequence(3)).y ** 2).sum()
    graph = tg.Graph(loss)
    diagram = build(graph, gradients=True)
    events = {event.node: event for event in graph.backward_events()}
    states = [n for n in graph.nodes if n.name == "s" and n.op == "tanh"]
    edges = [w for w in diagram.wires if w.state is not None and w.term is not None]
    for state, wire in zip(states[:2], edges, strict=True):
        reader = next(n for n in graph.nodes if state in n.inputs and n.op == "matmul")
        sent = events[reader].sent[reader.inputs.index(state)]
        assert wire.term == pytest.approx(size(sent))
        assert wire.term != pytest.approx(size(events[state].gradient))


def test_numbers_on_the_lanes_of_whole_cells():
    graph = tg.Graph(loss_of(CELLS["lstm"](), 3))
    sent = {}
    for event in graph.backward_events():
        for source, term in zip(event.node.inputs, event.sent, strict=False):
            steps = {source.timestep, event.node.timestep}
            if len(steps) == 2 and None not in steps:
                sent[source.name, source.timestep] = size(term)
    diagram = build(graph, level="cell", gradients=True)
    shown = {
        (diagram.states[w.state].name, diagram.boxes[w.source].step.label): w.term
        for w in diagram.wires
        if w.state is not None and diagram.boxes[w.source].step is not None
    }
    assert shown.keys() == {("h", 1), ("c", 1), ("h", 2), ("c", 2)}
    assert shown == pytest.approx(sent)


def test_steps_that_a_gradient_does_not_reach():
    """What follows the last step that the loss reads receives nothing: not zero, nothing."""
    y = nn.RNN(nn.ElmanCell(3, 4))(sequence(3)).y
    loss = (y[:, 0] ** 2).sum() + (y[:, 2].detach() ** 2).sum()
    diagram = diagram_of(loss, gradients=True)
    terms = [w.term for w in diagram.wires if w.state is not None]
    assert None in terms


def test_no_gradient_is_not_zero():
    diagram = diagram_of(loss_of(CELLS["elman"](), 2), gradients=True)
    boxes = diagram.boxes
    into_first = next(w for w in diagram.wires if w.state is not None)
    assert boxes[into_first.source].text == ("s₀ = 0",)
    assert into_first.term is None  # a constant receives none
    w_s = next(k for k, box in enumerate(boxes) if box.text == ("Wₛ",))
    taps = [w.term for w in diagram.wires if w.source == w_s]
    assert taps[0] == 0.0  # s₀ = 0, so that this term is exactly zero
    assert taps[1] > 0


def test_readers_of_a_state_are_added_before_the_norm():
    loss = loss_of(CELLS["gru"](), 2)
    graph = tg.Graph(loss)
    diagram = build(graph, gradients=True)
    (wire,) = [w for w in diagram.wires if w.state is not None and w.term is not None]
    assert len(wire.targets) == 3
    events = {event.node: event for event in graph.backward_events()}
    state = next(n for n in graph.nodes if n.name == "s" and n.timestep == 1)
    sent = [
        events[n].sent[position]
        for n in graph.nodes
        for position, source in enumerate(n.inputs)
        if source is state
    ]
    assert wire.term == pytest.approx(size(sum(sent)))
    assert wire.terms == pytest.approx([size(term) for term in sent])


def test_theta_is_all_weights_as_one_vector():
    loss = loss_of(CELLS["lstm"](), 3)
    graph = tg.Graph(loss)
    diagram = build(graph, level="cell", gradients=True)
    (theta,) = [box for box in diagram.boxes if box.kind == "weight"]
    totals = [size(sum(graph.contributions(p).values())) for p in graph.parameters.values()]
    assert theta.total == pytest.approx(size(totals))
    assert joint([None, 3.0, 4.0]) == 5.0
    assert joint([None]) is None


def test_gradients_leave_grad_alone():
    rnn = nn.RNN(CELLS["elman"]())
    loss = rnn(sequence(2)).last.sum()
    diagram_of(loss, gradients=True)
    assert all(p.grad is None for p in rnn.parameters())


def test_gradients_of_a_changed_model():
    rnn = nn.RNN(CELLS["elman"]())
    loss = rnn(sequence(2)).last.sum()
    rnn.cell.W_x = np.ones((3, 4), np.float32)
    diagram_of(loss)
    with pytest.raises(tg.StaleGraphError):
        diagram_of(loss, gradients=True)


def test_gradients_need_one_number():
    y = nn.RNN(CELLS["elman"]())(sequence(2)).y
    with pytest.raises(ValueError):
        diagram_of(y, gradients=True)


def test_own_loop_at_every_level():
    for level in ("op", "gate", "cell"):
        assert [s.label for s in diagram_of(own_loop(3), level=level).steps] == [1, 2, 3]
