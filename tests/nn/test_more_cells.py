"""IRNN, Jordan, deep Elman, clockwork, SCRN against their formulas."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from nn.formulas import complex_step, loop
from nn.more_formulas import clockwork_step, deep_step, irnn_step, jordan_step, scrn_step

import tinygradrnn as tg
from backends import beside
from tinygradrnn import nn

B, T, N, H, Y, C = 2, 5, 3, 6, 4, 5  # batch, steps, features, hidden, output, context
PERIODS = (1, 2, 4)

CASES = {
    "irnn": (nn.IRNNCell, irnn_step, (N, H), {}),
    **{
        f"jordan {' '.join(map(str, options.values()))}": (
            nn.JordanCell,
            jordan_step,
            (N, H, Y),
            options,
        )
        for options in (
            {},
            {"activation": "sigmoid", "output_activation": "tanh"},
            {"activation": "relu", "output_activation": "sigmoid"},
            {"activation": "linear", "output_activation": "softmax", "bias": False},
        )
    },
    **{
        f"deep {layers}": (
            nn.DeepElmanCell,
            deep_step,
            (N, H),
            dict(zip(("input_layers", "transition_layers", "output_layers"), layers, strict=True)),
        )
        for layers in ((1, 1, 1), (3, 1, 1), (1, 3, 1), (1, 1, 3), (2, 2, 2))
    },
    **{
        f"clockwork {periods}": (nn.ClockworkCell, clockwork_step, (N, H), {"periods": periods})
        for periods in ((1,), PERIODS, (2, 3))
    },
    **{
        f"scrn {alpha}": (nn.SCRNCell, scrn_step, (N, H, C), {"alpha": alpha})
        for alpha in (0.95, 0.3, "learned")
    },
}
every_case = pytest.mark.parametrize("case", CASES)


def is_float(tensor):
    return tensor.dtype.kind == "f"


def parts_of(state):
    return list(state) if isinstance(state, tuple) else [state]


class Case:
    """A cell in float64 with random weights, a random initial state, inputs and a loss."""

    def __init__(self, name, steps=T):
        make, step, sizes, options = CASES[name]
        rng = np.random.default_rng(4)
        self.cell = make(*sizes, **options).astype("float64")
        self.step = partial(step, **options)
        for parameter in self.cell.parameters():
            parameter.data = rng.normal(0, 0.6, parameter.shape)
        self.x = tg.tensor(rng.normal(size=(B, steps, N)), requires_grad=True)
        self.start = nn.map_state(
            lambda zero: (
                tg.tensor(rng.normal(size=zero.shape), requires_grad=True)
                if is_float(zero)
                else zero
            ),
            self.cell.initial_state(B),
        )
        self.leaves = {"x": self.x}
        for i, part in enumerate(parts_of(self.start)):
            if is_float(part):
                self.leaves[f"start {i}"] = part
        self.weights = self.cell.state_dict()
        y, *state = self.run()
        self.to = [rng.normal(size=part.shape) * is_float(part) for part in (y, *state)]

    def run(self):
        out = nn.RNN(self.cell)(self.x, self.start)
        return out.y, *parts_of(out.state)

    def floats(self):
        return tuple(part for part in self.run() if is_float(part))

    def loss(self, results):
        weighted = zip(results, self.to, strict=True)
        return sum((part * beside(part, to)).sum() for part, to in weighted)

    def formula(self, arrays):
        start = tuple(
            arrays.get(f"start {i}", part.numpy()) for i, part in enumerate(parts_of(self.start))
        )
        y, state = loop(self.step, arrays, start, arrays["x"])
        return y, *state

    def arrays(self):
        return {**{name: leaf.numpy() for name, leaf in self.leaves.items()}, **self.weights}


# ---------------------------------------------------------------- every cell


@every_case
def test_values_are_those_of_the_formula(case):
    case = Case(case)
    for ours, theirs in zip(case.run(), case.formula(case.arrays()), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-13, atol=1e-14)


@every_case
def test_gradients_of_every_weight_are_those_of_the_formula(case):
    case = Case(case)
    expected = complex_step(lambda arrays: case.loss(case.formula(arrays)), case.arrays())
    case.loss(case.run()).backward()
    tensors = {**case.leaves, **dict(case.cell.named_parameters())}
    assert tensors.keys() == expected.keys()
    for name, tensor in tensors.items():
        assert np.abs(expected[name]).max() > 1e-3, f"{name}: the loss does not reach it"
        np.testing.assert_allclose(
            tensor.grad.numpy(), expected[name], rtol=1e-11, atol=1e-12, err_msg=name
        )


@every_case
def test_gradients_agree_with_central_differences(case):
    case = Case(case, steps=3)
    inputs = (*case.leaves.values(), *case.cell.parameters())
    tg.check_gradients(lambda *_: case.floats(), *inputs, order=2)


@every_case
def test_a_cell_is_called_step_by_step(case):
    case = Case(case)
    y, *state = case.run()
    current = case.start
    for t in range(T):
        y_t, current = case.cell(case.x[:, t], current)
        np.testing.assert_array_equal(y_t.numpy(), y.numpy()[:, t])
    for ours, theirs in zip(parts_of(current), state, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@every_case
def test_windows_are_one_long_run(case):
    """The clock of the clockwork goes on from window to window."""
    case = Case(case)
    rnn = nn.RNN(case.cell)
    first = rnn(case.x[:, :3])
    second = rnn(case.x[:, 3:], nn.detach(first.state))
    y = rnn(case.x).y.numpy()
    np.testing.assert_allclose(first.y.numpy(), y[:, :3], rtol=1e-13)
    np.testing.assert_allclose(second.y.numpy(), y[:, 3:], rtol=1e-13)


def test_parameters_have_the_names_and_shapes_of_the_documentation():
    def shapes(cell):
        return {name: parameter.shape for name, parameter in cell.named_parameters()}

    elman = {"W_x": (N, H), "W_s": (H, H), "b": (H,)}
    assert shapes(nn.IRNNCell(N, H)) == elman
    assert shapes(nn.ClockworkCell(N, H, periods=PERIODS)) == elman
    assert shapes(nn.DeepElmanCell(N, H)) == elman
    jordan = {"W_x": (N, H), "W_y": (Y, H), "b": (H,), "V": (H, Y), "c": (Y,)}
    assert shapes(nn.JordanCell(N, H, Y)) == jordan
    del jordan["b"], jordan["c"]
    assert shapes(nn.JordanCell(N, H, Y, bias=False)) == jordan
    scrn = {"A": (N, H), "B": (N, C), "P": (C, H), "R": (H, H), "b": (H,)}
    assert shapes(nn.SCRNCell(N, H, C, alpha=0.5)) == scrn
    assert shapes(nn.SCRNCell(N, H, C, alpha="learned")) == {**scrn, "beta": (C,)}


# ---------------------------------------------------------------- IRNN


def test_an_irnn_starts_as_a_sum_that_forgets_nothing():
    """W_s = I, ReLU, b = 0: the gradient to the first input is that to the last one."""
    cell = nn.IRNNCell(N, H)
    np.testing.assert_array_equal(cell.W_s.numpy(), np.eye(H))
    assert not cell.b.numpy().any()
    cell.W_x = np.abs(cell.W_x.numpy())
    x = tg.tensor(np.random.default_rng(0).random((B, 100, N)), requires_grad=True)
    last = nn.RNN(cell)(x).last
    np.testing.assert_allclose(last.numpy(), x.numpy().sum(axis=1) @ cell.W_x.numpy(), rtol=1e-5)
    last.sum().backward()
    g = x.grad.numpy()
    np.testing.assert_array_equal(g, np.broadcast_to(g[:, -1:], g.shape))


# ---------------------------------------------------------------- Jordan


def test_a_jordan_network_starts_from_an_output_of_zero():
    case = Case("jordan ")
    w, x = case.weights, case.x.numpy()
    y = nn.RNN(case.cell)(x).y.numpy()
    h = np.tanh(x[:, 0] @ w["W_x"] + w["b"])
    np.testing.assert_allclose(y[:, 0], h @ w["V"] + w["c"], rtol=1e-13)
    assert y.shape == (B, T, Y)


def test_a_jordan_network_feeds_its_output_back_and_nothing_else():
    """Given y_{t−1}, all that came before is of no consequence (in Elman's it would be)."""
    case = Case("jordan ")
    y, _ = case.cell(case.x[:, 3], case.run()[0][:, 2])
    np.testing.assert_allclose(y.numpy(), case.run()[0].numpy()[:, 3], rtol=1e-13)
    graph = tg.Graph(y)
    assert [n.name for n in graph.nodes if n.scope[-1:] == ("hidden layer",)][-1] == "h"
    assert y.name == "y"


# ---------------------------------------------------------------- deep Elman


def test_a_deep_elman_cell_of_one_layer_each_is_an_elman_cell():
    deep, elman = nn.DeepElmanCell(N, H), nn.ElmanCell(N, H)
    deep.load_state_dict(elman.state_dict())
    x = np.random.default_rng(0).normal(size=(B, T, N))
    np.testing.assert_array_equal(nn.RNN(deep)(x).y.numpy(), nn.RNN(elman)(x).y.numpy())


def test_every_layer_inside_a_deep_elman_cell_has_a_scope_of_its_own():
    cell = nn.DeepElmanCell(N, H, input_layers=3, transition_layers=2, output_layers=3)
    graph = tg.Graph(nn.RNN(cell)(np.ones((B, 2, N))).y)
    inside = {node.scope[2] for node in graph.nodes if len(node.scope) > 2}
    assert inside == {
        "input layer 1",
        "input layer 2",
        "transition layer 1",
        "output layer 1",
        "output layer 2",
    }
    assert len(cell.parameters()) == 3 + 2 * 5


# ---------------------------------------------------------------- clockwork


def ticking(graph):
    """The scopes of blocks in each time step."""
    return {
        t: sorted({n.scope[-1] for n in graph.nodes if n.timestep == t and "block" in n.scope[-1]})
        for t in graph.timesteps
    }


BLOCKS = ["block 1 (period 1)", "block 2 (period 2)", "block 3 (period 4)"]


def test_the_graph_shows_which_block_ticked():
    case = Case("clockwork (1, 2, 4)")
    assert ticking(tg.Graph(nn.RNN(case.cell)(case.x).y)) == {
        1: BLOCKS,
        2: BLOCKS[:1],
        3: BLOCKS[:2],
        4: BLOCKS[:1],
        5: BLOCKS,
    }
    reverse = ticking(tg.Graph(nn.RNN(case.cell, reverse=True)(case.x[:, :4]).y))
    assert reverse == {4: BLOCKS, 3: BLOCKS[:1], 2: BLOCKS[:2], 1: BLOCKS[:1]}


def test_a_picture_says_which_block_ticked():
    rnn = nn.RNN(nn.ClockworkCell(N, H, periods=(1, 2)))
    loss = rnn(np.ones((B, 2, N), "float32")).last.sum()
    gates = tg.draw(loss, level="gate").diagram.boxes
    for step, said in ((1, "block 1 ticks"), (1, "block 2 ticks"), (2, "block 2 holds")):
        assert any(said in box.text[0] for box in gates if box.step and box.step.label == step)
    cells = [box.text for box in tg.draw(loss, level="cell").diagram.boxes if box.kind == "cell"]
    assert cells[0] == ("Clockwork", "blocks 1, 2 tick")
    assert cells[1] == ("Clockwork", "block 1 ticks", "block 2 holds")


def test_a_block_that_does_not_tick_keeps_its_values():
    case = Case("clockwork (1, 2, 4)")
    y = nn.RNN(case.cell)(case.x).y.numpy()
    size = H // 3
    for t in range(1, T):
        for k, period in enumerate(PERIODS):
            same = (y[:, t] == y[:, t - 1])[:, k * size : (k + 1) * size]
            assert same.all() if t % period else not same.any()


def test_a_block_reads_itself_and_slower_ones_only():
    case = Case("clockwork (1, 2, 4)")
    case.loss(case.run()).backward()
    g = case.cell.W_s.grad.numpy()
    block = np.arange(H) // 2
    slower_or_same = block[:, None] >= block  # rows are read by columns
    assert (g[slower_or_same] != 0).all()
    assert not g[~slower_or_same].any()
    fresh = nn.ClockworkCell(N, H, periods=PERIODS).W_s.numpy()
    assert (fresh[slower_or_same] != 0).all()
    assert not fresh[~slower_or_same].any()


def test_only_steps_where_a_block_ticks_contribute():
    case = Case("clockwork (2, 3)", steps=8)
    loss = nn.RNN(case.cell)(case.x).y.sum()
    terms = tg.Graph(loss).contributions(case.cell.W_x)
    assert list(terms) == [t + 1 for t in range(8) if t % 2 == 0 or t % 3 == 0]
    assert not terms[3][:, H // 2 :].any()
    assert not terms[4][:, : H // 2].any()


def test_a_clockwork_of_period_1_is_an_elman_cell():
    clockwork, elman = nn.ClockworkCell(N, H, periods=[1]), nn.ElmanCell(N, H)
    clockwork.load_state_dict(elman.state_dict())
    x = np.random.default_rng(0).normal(size=(B, T, N)).astype("float32")
    ours, theirs = nn.RNN(clockwork)(x).y.numpy(), nn.RNN(elman)(x).y.numpy()
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_clock_is_part_of_the_state_and_each_sequence_has_its_own():
    rnn = nn.RNN(nn.ClockworkCell(N, H, periods=PERIODS))
    x = np.ones((3, T, N), "float32")
    out = rnn(x, lengths=[2, 5, 1])
    assert isinstance(out.state, nn.ClockworkState)
    assert out.state.clock.numpy().tolist() == [2, 5, 1]
    assert rnn(x, out.state).state.clock.numpy().tolist() == [7, 10, 6]
    assert nn.RNN(rnn.cell, reverse=True)(x, lengths=[2, 5, 1]).state.clock.numpy()[1] == 5


@pytest.mark.numpy_only("clocks that differ are not read from a device: there each step has masks")
def test_sequences_that_tick_at_different_steps_are_told_apart_by_a_mask():
    rnn = nn.RNN(nn.ClockworkCell(N, H, periods=PERIODS), reverse=True)
    graph = tg.Graph(rnn(np.ones((3, T, N), "float32"), lengths=[4, 5, 5]).y)
    masks = {n.timestep for n in graph.nodes if n.name == "ticks"}
    assert masks == {1, 2, 3, 4}  # at step 5 the first has not begun: its clock is at 0 as well
    equal = tg.Graph(rnn(np.ones((3, T, N), "float32")).y)
    assert not any(n.op == "where" for n in equal.nodes)


# ---------------------------------------------------------------- SCRN


def test_the_context_is_a_running_mean():
    case = Case("scrn 0.3")
    out = nn.RNN(case.cell)(case.x)
    weights = 0.7 * 0.3 ** np.arange(T)[::-1]
    mean = np.einsum("t,btf->bf", weights, case.x.numpy()) @ case.weights["B"]
    np.testing.assert_allclose(out.state.s.numpy(), mean, rtol=1e-12)
    h, s = out.state
    np.testing.assert_array_equal(out.last.numpy(), np.concatenate([h.numpy(), s.numpy()], axis=1))


def test_alpha_at_its_ends():
    x = np.random.default_rng(0).normal(size=(B, N)).astype("float32")
    start = nn.SCRNState(np.zeros((B, H), "float32"), np.ones((B, C), "float32"))
    keeps = nn.SCRNCell(N, H, C, alpha=1)
    np.testing.assert_array_equal(keeps(x, start)[1].s.numpy(), start.s)
    forgets = nn.SCRNCell(N, H, C, alpha=0.0)
    expected = x @ forgets.B.numpy()
    np.testing.assert_allclose(forgets(x, start)[1].s.numpy(), expected, rtol=1e-6)


def test_alpha_is_learned_for_each_context_unit():
    cell = nn.SCRNCell(N, H, C, alpha="learned")
    np.testing.assert_allclose(cell.alpha.numpy(), np.full(C, 0.95), rtol=1e-6)
    nn.RNN(cell)(np.random.default_rng(0).normal(size=(B, T, N))).y.sum().backward()
    assert (cell.beta.grad.numpy() != 0).all()
    assert nn.SCRNCell(N, H, C, alpha=0.9).alpha == 0.9
    assert nn.SCRNCell(N, H, C).alpha == 0.95
