"""Gradients of states, of zero and of nothing, by layer; and the path of gradient descent."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.helpers import N_IN, B, H, T, check_png, randomised

import tinygradrnn as tg
from tinygradrnn import analysis, nn
from tinygradrnn import functional as F


@pytest.fixture
def x(rng):
    return rng.normal(size=(B, T, N_IN))


# ---------------------------------------------------------------- states


def test_state_gradients_equal_central_differences(x):
    """∂L/∂s_t of a GRU: push s_t, run the rest again."""
    cell = randomised(nn.GRUCell(N_IN, H))
    loss = (nn.RNN(cell)(x).last ** 2).sum()
    flow = analysis.gradient_flow(loss)
    assert (flow.states, flow.state_layers) == (("s",), ("cell",))

    def rest(state, t):
        for step in range(t, T):
            state = cell.transition(state, tg.tensor(x[:, step]))
        return (state.numpy() ** 2).sum()

    state = cell.initial_state(B)
    for t in range(1, T + 1):
        state = cell.transition(state, tg.tensor(x[:, t - 1]))
        slope = np.zeros((B, H))
        for place in np.ndindex(B, H):
            e = np.zeros((B, H))
            e[place] = 1e-6
            ahead, behind = tg.tensor(state.numpy() + e), tg.tensor(state.numpy() - e)
            slope[place] = (rest(ahead, t) - rest(behind, t)) / 2e-6
        assert flow.state_norms[0, t - 1] == pytest.approx(np.linalg.norm(slope), rel=1e-6)


def test_states_of_every_layer_and_direction(x):
    """Also of a loop by hand, whose states have no name."""
    lstm = nn.LSTM(N_IN, H, num_layers=2, bidirectional=True)
    flow = analysis.gradient_flow((lstm(x).y ** 2).sum())
    assert flow.states == ("h", "c") * 4
    layers = [f"layers.{n}.{way}_rnn.cell" for n in (0, 1) for way in ("forward", "backward")]
    assert tuple(dict.fromkeys(flow.state_layers)) == tuple(layers)
    assert flow.state_norms.shape == (8, T)
    assert np.isfinite(flow.state_norms).all()
    ragged = analysis.gradient_flow((lstm(x, lengths=[T, T - 2]).y ** 2).sum())
    assert ragged.states == flow.states
    assert np.isfinite(ragged.state_norms[:, 1:-1]).all()

    cell, s, loss = nn.ElmanCell(N_IN, H), tg.tensor(np.zeros((B, H), "float32")), 0.0
    for t in range(T):
        with tg.timestep(t + 1):
            s = cell.transition(s, tg.tensor(x[:, t].astype("float32")))
            loss = loss + (s**2).sum()
    flow = analysis.gradient_flow(loss)
    assert (flow.states, flow.state_layers) == (("s",), ("",))
    (last,) = tg.grad(loss, s)
    assert flow.state_norms[0, -1] == pytest.approx(np.linalg.norm(last.numpy()))
    assert (flow.state_norms > 0).all()


def test_zero_is_not_nothing(x, tmp_path):
    """A ReLU that is off sends exactly 0; a state that is cut off gets nothing."""
    w = nn.Parameter(np.array([2.0, 3.0]), name="w")
    s = w * 0.5
    for t in (1, 2, 3):
        with tg.timestep(t):
            s = F.relu(w * s - 100.0) if t == 2 else w * s
            if t == 1:
                s.name = "s"
    flow = analysis.gradient_flow((s + w).sum())
    np.testing.assert_array_equal(flow.norms[0], [0, 0, 0])
    np.testing.assert_array_equal(flow.reached[0], [True, True, True])
    with tg.timestep(1):
        first = w * 0.5
    with tg.timestep(2):
        second = F.where(w > 2.5, first.detach() * w, first * w)
        asked = first > 0  # reads w, and sends nothing back
    with tg.timestep(3):
        third = F.where(asked, second * 2.0, 0.0) + (w > 0)
    flow = analysis.gradient_flow(third.sum())
    assert flow.parameters == ("w",)
    np.testing.assert_array_equal(flow.reached[0], [True, True, False])
    figure = flow.plot()
    check_png(figure, tmp_path / "none.png")
    assert [patch.get_hatch() for patch in figure.axes[1].patches] == ["///"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["—: no gradient arrives"]


# ---------------------------------------------------------------- layers


def test_mean_absolute_gradients_of_seven_layers(rng):
    """The numbers are those of .grad; the sigmoid's shrink from the last layer to the first."""
    model = nn.MLP([6] + [8] * 6 + [3], "sigmoid")
    x, targets = rng.normal(size=(20, 6)).astype("float32"), rng.integers(0, 3, 20)
    history = analysis.GradientHistory()
    optimizer = tg.optim.SGD(model.parameters(), 0.1)
    expected = []
    for _ in range(3):
        loss = F.cross_entropy(model(x), targets)
        history.record(loss)
        optimizer.zero_grad()
        loss.backward()
        rows = [np.concatenate([p.grad.numpy().ravel() for p in m.parameters()])
                for m in model.layers if m.parameters()]  # fmt: skip
        expected.append([np.abs(row).mean() for row in rows])
        optimizer.step()
    found = history.mean_absolute()
    assert len(found) == 7
    np.testing.assert_allclose(np.array(list(found.values())).T, expected, rtol=1e-5)
    assert (np.diff([row[0] for row in found.values()]) > 0).all()
    lines = history.plot().axes[0].lines
    assert len(lines) == 7
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == 7


def test_names_of_layers():
    short = analysis.flows.short_layers
    assert short(["rnn.cell"]) == [""]
    assert short(["rnn.layers.0.cell", "rnn.layers.1.cell"]) == ["layers.0", "layers.1"]
    both = ["layers.0.forward_rnn.cell", "layers.0.backward_rnn.cell"]
    assert short(both) == ["→", "←"]
    assert short([*both, "layers.1.forward_rnn.cell"]) == ["layers.0 →", "layers.0 ←", "layers.1 →"]
    assert short(["encoder.cell", "decoder.cell"]) == ["encoder", "decoder"]
    assert short([]) == []


def test_layers_of_a_graph(x):
    rnn = nn.RNN(nn.ElmanCell(N_IN, N_IN))
    again = rnn(rnn(x.astype("float32")).y)  # the same cell, twice
    graph = tg.Graph(again.y)
    assert graph.layer_names == ("cell", "cell (2)")
    assert set(graph.layers.values()) == {0, 1}
    for node, layer in graph.layers.items():
        assert node.timestep is not None
        below = [graph.layers[source] for source in node.inputs if source in graph.layers]
        assert all(other <= layer for other in below)
    assert tg.Graph(nn.ElmanCell(2, 2)(np.ones((1, 2)))[0]).layer_names == ()


# ---------------------------------------------------------------- descent


def test_descent_on_a_quadratic():
    """L = a² + 10 b² + a b, against plain NumPy, with and without clipping."""
    w = nn.Parameter(np.array([2.0, -1.0, 7.0]), name="w")

    def f():
        return w[0] ** 2 + 10 * w[1] ** 2 + w[0] * w[1] + 0 * w[2]

    for clip in (None, 1.5):
        p, expected = np.array([2.0, -1.0]), [[2.0, -1.0]]
        for _ in range(20):
            g = np.array([2 * p[0] + p[1], 20 * p[1] + p[0]])
            if clip is not None and np.linalg.norm(g) > clip:
                g = g * clip / np.linalg.norm(g)
            p = p - 0.04 * g
            expected.append(p)
        path = analysis.descent_path(f, (w, 0), (w, 1), learning_rate=0.04, steps=20, clip=clip)
        np.testing.assert_allclose(path, expected, rtol=1e-12)
    np.testing.assert_array_equal(w.numpy(), [2, -1, 7])
    assert w.grad is None


def test_descent_along_directions_and_to_where_the_loss_ends(tmp_path):
    w = nn.Parameter(np.array([1.0, 1.0]), name="w")
    directions = {w: [1.0, 1.0]}, {w: [1.0, -1.0]}

    def f():
        return (w**2).sum()

    path = analysis.descent_path(f, *directions, learning_rate=0.1, steps=2)
    np.testing.assert_allclose(path, [[0, 0], [-0.4, 0], [-0.64, 0]])  # w = (1 + α + β, 1 + α − β)
    surface = analysis.loss_surface(f, *directions)
    figure = surface.plot(path=path)
    check_png(figure, tmp_path / "path.png")
    line, start, end = figure.axes[0].lines[-3:]
    np.testing.assert_allclose(line.get_xydata(), path)
    assert (start.get_marker(), end.get_marker()) == ("o", "s")
    with pytest.raises(
        ValueError, match=r"path must be points \(N, 2\) on the two axes, got \(3,\)"
    ):
        surface.plot(path=[1, 2, 3])

    ends = analysis.descent_path(
        lambda: F.log(w).sum(), (w, 0), (w, 1), learning_rate=1.0, steps=9, start=(1.0, 1.0)
    )
    assert ends.tolist() == [[1, 1], [0, 0]]  # the slope at 0 is infinite


@pytest.mark.parametrize("options", [{"num_layers": 2}, {"bidirectional": True}], ids=str)
def test_layers_of_a_model_that_is_gone_stay_apart(rng, options):
    x = rng.standard_normal((2, 3, N_IN)).astype("float32")
    width = 2 * H if "bidirectional" in options else H

    def loss(model, readout):
        return readout(model(x).last).sum()

    model, readout = nn.LSTM(N_IN, H, **options), nn.Linear(width, 1)
    held = analysis.gradient_flow(loss(model, readout))
    alone = loss(nn.LSTM(N_IN, H, **options), nn.Linear(width, 1))
    flow = analysis.gradient_flow(alone)
    assert flow.layers == tuple(f"LSTM.{layer}" if layer else "Linear" for layer in held.layers)
    assert flow.state_layers == tuple(f"LSTM.{layer}" for layer in held.state_layers)
    assert flow.parameters[0] == f"LSTM.{held.parameters[0]}"
    assert len(flow.by_layer()) == 3


def test_an_encoder_and_a_decoder_that_are_gone_stay_apart(rng):
    x = rng.standard_normal((2, 3, N_IN)).astype("float32")
    state = nn.GRU(N_IN, H)(x).state
    flow = analysis.gradient_flow(nn.GRU(N_IN, H)(x, state).last.sum())
    assert tuple(dict.fromkeys(flow.layers)) == ("GRU.layers.0.cell", "GRU.layers.0.cell (2)")
