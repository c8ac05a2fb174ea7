"""What the loss at one step sends to the weights of another."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.helpers import N_IN, B, H, T, check_png, randomised, states_of

import tinygradrnn as tg
from tinygradrnn import analysis, nn, optim
from tinygradrnn import functional as F


@pytest.fixture
def x(rng):
    return rng.normal(size=(B, T, N_IN))


# ---------------------------------------------------------------- the double sum

START = tg.tensor(np.full((B, H), 0.3))  # with s_0 = 0 the use of W_s at step 1 adds nothing


def losses_of(cell, readout, x, targets):
    """L_t = ½ (ŷ_t − y_t)², ŷ_t = s_t W_out + b_out, as in note set 003."""
    s = START
    losses = []
    for t in range(x.shape[1]):
        with tg.timestep(t + 1):
            s = cell.transition(s, tg.tensor(x[:, t]))
            losses.append(F.half_squared_error(readout(s), targets[:, t]))
    return losses


@pytest.fixture
def elman(x, rng):
    cell, readout = randomised(nn.ElmanCell(N_IN, H)), randomised(nn.Linear(H, 2))
    targets = rng.normal(size=(B, T, 2))
    return cell, readout, targets, losses_of(cell, readout, x, targets)


def test_the_three_terms_of_the_notes(elman, x):
    """∂L_3/∂W_s in its three terms, each written out in NumPy (note set 003)."""
    cell, readout, targets, losses = elman
    table = analysis.contribution_table(losses, cell.W_s)
    s = [state.numpy() for state in states_of(cell, x, START)]
    W, W_out, b_out = cell.W_s.numpy(), readout.W.numpy(), readout.b.numpy()
    a = [None] + [1 - s[t] ** 2 for t in range(1, T + 1)]  # f′(a_t)

    dL3_ds3 = (s[3] @ W_out + b_out - targets[:, 2]) @ W_out.T  # ∂L_3/∂ŷ_3 ∂ŷ_3/∂s_3
    dL3_ds2 = (dL3_ds3 * a[3]) @ W.T  # … ∂s_3/∂s_2
    dL3_ds1 = (dL3_ds2 * a[2]) @ W.T  # … ∂s_3/∂s_2 ∂s_2/∂s_1
    expected = [
        s[0].T @ (dL3_ds1 * a[1]),  # … ∂s_1/∂W_s
        s[1].T @ (dL3_ds2 * a[2]),  # … ∂s_2/∂W_s
        s[2].T @ (dL3_ds3 * a[3]),  # … ∂s_3/∂W_s
    ]
    for k, term in enumerate(expected):
        np.testing.assert_allclose(table.terms[2, k], term, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(table.per_loss[2], sum(expected), rtol=1e-12)
    assert not table.terms[2, 3:].any()


@pytest.mark.parametrize("name", ["W_x", "W_s", "b"])
def test_rows_and_columns_sum_to_the_double_sum(elman, name):
    cell, _, _, losses = elman
    parameter = getattr(cell, name)
    table = analysis.contribution_table(losses, parameter)
    assert table.steps == (1, 2, 3, 4, 5)
    assert table.terms.shape == (T, T, *parameter.shape)
    norms = np.sqrt((table.terms**2).reshape(T, T, -1).sum(axis=-1))
    np.testing.assert_allclose(table, norms, rtol=1e-12)
    np.testing.assert_array_equal(norms, np.tril(norms))
    assert norms[np.tril_indices(T)].all()

    for row, loss in zip(table.per_loss, losses, strict=True):
        np.testing.assert_allclose(row, tg.grad(loss, parameter)[0].numpy(), atol=1e-12)
    total = sum(losses[1:], losses[0])
    columns = tg.Graph(total).contributions(parameter)
    np.testing.assert_allclose(table.per_step, list(columns.values()), atol=1e-12)
    np.testing.assert_allclose(table.total, tg.grad(total, parameter)[0].numpy(), atol=1e-12)


def test_a_table_of_a_layer_and_batched_losses(x, rng):
    """One tensor of losses, a readout outside any step, and a layer that reads backwards."""
    rnn, readout = (
        randomised(nn.RNN(nn.GRUCell(N_IN, H), reverse=True)),
        randomised(nn.Linear(H, 6)),
    )
    losses = F.cross_entropy(readout(rnn(x).y), rng.integers(0, 6, (B, T)), reduction="none")
    losses = losses.sum(axis=0)
    table = analysis.contribution_table(losses, rnn.cell.W_sg)
    np.testing.assert_array_equal(table, np.triu(table))
    outside = analysis.contribution_table(losses, readout.W)
    assert (outside.steps, outside.shape) == ((None,), (T, 1))
    for tabled, parameter in ((table, rnn.cell.W_sg), (outside, readout.W)):
        expected = tg.grad(losses.sum(), parameter)[0].numpy()
        np.testing.assert_allclose(tabled.total, expected, atol=1e-12)


def test_losses_that_do_not_depend_on_the_parameter(elman):
    cell, readout, _, losses = elman
    alone = (readout.W**2).sum()
    table = analysis.contribution_table([alone, losses[1]], cell.W_s)
    assert not table[0].any()
    assert table[1, 1]
    with pytest.raises(ValueError, match=r"no loss depends on 'W_s' \(4, 4\)"):
        analysis.contribution_table([alone], cell.W_s)
    with pytest.raises(ValueError, match="at least one loss"):
        analysis.contribution_table([], cell.W_s)


# ---------------------------------------------------------------- flow


def test_gradient_flow_is_the_norms_of_the_contributions(x):
    model = randomised(nn.Sequential(nn.LSTM(N_IN, H, num_layers=2), nn.Last(), nn.Linear(H, 2)))
    loss = (model(x) ** 2).sum()
    flow = analysis.gradient_flow(loss)
    graph = tg.Graph(loss)
    assert flow.parameters == tuple(graph.parameters)
    assert flow.steps == (1, 2, 3, 4, 5)
    for name, row, outside, total in zip(
        flow.parameters, flow.norms, flow.outside, flow.totals, strict=True
    ):
        terms = graph.contributions(graph.parameters[name])
        norms = {step: np.linalg.norm(term) for step, term in terms.items()}
        assert outside == pytest.approx(norms.get(None, 0.0), rel=1e-12)
        np.testing.assert_allclose(row, [norms.get(t, 0.0) for t in flow.steps], rtol=1e-12)
        assert total == pytest.approx(np.linalg.norm(sum(terms.values())), rel=1e-12)
    assert all(p.grad is None for p in model.parameters())

    layers = flow.by_layer()
    assert tuple(layers) == ("layers.0.layers.0.cell", "layers.0.layers.1.cell", "layers.2")
    lower = [row for row, layer in zip(flow, flow.layers, strict=True) if "layers.0.cell" in layer]
    np.testing.assert_allclose(layers["layers.0.layers.0.cell"], np.linalg.norm(lower, axis=0))
    assert not layers["layers.2"].any()


def test_gradient_flow_of_repeated_words_and_frozen_layers(rng):
    """Rows of an embedding that are read twice in a step add up before the norm."""
    model = randomised(nn.Sequential(nn.PerStep(nn.Embedding(3, 2)), nn.Elman(2, H)))
    model[1].freeze()
    loss = (model(np.array([[0, 1], [0, 2], [0, 0]])).y ** 2).sum()
    flow = analysis.gradient_flow(loss)
    assert flow.parameters == ("W",)
    terms = tg.Graph(loss).contributions(model[0].module.W)
    np.testing.assert_allclose(flow[0], [np.linalg.norm(terms[t]) for t in (1, 2)])


def test_gradient_flow_of_a_weight_that_a_step_reads_more_than_once():
    """One of the reads, by the comparison, passes no gradient on."""
    w = nn.Parameter(np.array([1.0, -2.0, 3.0]), name="w")
    with tg.timestep(1):
        y = F.where(w > 0, w * w, 5 * w)
    with tg.timestep(2):
        y = (y * w).sum()
    flow = analysis.gradient_flow(y)
    np.testing.assert_allclose(flow[0], [np.linalg.norm([2, -10, 18]), np.linalg.norm([1, -10, 9])])
    assert flow.totals[0] == pytest.approx(np.linalg.norm([3, -20, 27]))


def test_a_history_of_training(x):
    model = nn.Sequential(nn.Elman(N_IN, H, num_layers=2), nn.Last(), nn.Linear(H, 1))
    optimizer = optim.SGD(model.parameters(), 0.1)
    history = analysis.GradientHistory()
    with pytest.raises(ValueError, match="nothing recorded"):
        history.plot()
    flows = []
    for steps in (T, T - 2, T):
        loss = (model(x[:, :steps].astype("float32")) ** 2).sum()
        flows.append(history.record(loss))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert history.layers == ("layers.0.layers.0.cell", "layers.0.layers.1.cell")
    assert history.steps == (1, 2, 3, 4, 5)
    assert history.shape == (3, 2, T)
    assert np.isnan(history[1, :, T - 2 :]).all()
    for flow, rows in zip(flows, history, strict=True):
        for layer, row in zip(history.layers, rows, strict=True):
            np.testing.assert_array_equal(row[: len(flow.steps)], flow.by_layer()[layer])


# ---------------------------------------------------------------- plots


def test_plots_of_gradients(elman, tmp_path):
    cell, readout, _, losses = elman
    table = analysis.contribution_table(losses, cell.W_s)
    figure = table.plot()
    check_png(figure, tmp_path / "table.png")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == list("12345")
    flow = analysis.gradient_flow(losses[-1])
    figure = flow.plot()
    check_png(figure, tmp_path / "flow.png")
    rows = [[text.get_text() for text in axes.get_yticklabels()] for axes in figure.axes[:2]]
    assert rows == [["s"], list(flow.parameters)]
    history = analysis.GradientHistory()
    for loss in losses[-2:]:
        history.record(loss)
    check_png(history.plot(), tmp_path / "history.png")
    check_png(history.plot("time"), tmp_path / "over_time.png")
    with pytest.raises(ValueError, match="over must be 'training' or 'time', got 'layers'"):
        history.plot("layers")
    timeless = analysis.GradientHistory()
    with pytest.raises(ValueError, match=r"no parameter is read in a time step.*\.totals holds"):
        timeless.record((readout.W**2).sum()).plot()
    check_png(timeless.plot(), tmp_path / "timeless.png")
    with pytest.raises(ValueError, match=r"in a time step; plot\('training'\) needs none"):
        timeless.plot("time")
