"""The time loop: shapes, states in and out, directions, truncation, labels.

Lengths are in test_lengths.py, layers of layers in test_stacks.py, a user's cells in
test_own_cells.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as fn
from tinygradrnn import nn

B, T, F, H = 2, 5, 3, 4


def data(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape or (B, T, F))


def cells():
    made = [nn.ElmanCell(F, H), nn.LSTMCell(F, H), nn.GRUCell(F, H)]
    for cell in made:
        cell.astype("float64")
    return made


every_cell = pytest.mark.parametrize("cell", cells(), ids=lambda cell: type(cell).__name__)


# ---------------------------------------------------------------- what comes out


@every_cell
def test_outputs_last_and_state(cell):
    out = nn.RNN(cell)(data())
    assert out.y.shape == (B, T, H)
    assert out.last.shape == (B, H)
    np.testing.assert_array_equal(out.last.numpy(), out.y.numpy()[:, -1])
    h = out.state.h if isinstance(out.state, nn.LSTMState) else out.state
    np.testing.assert_array_equal(h.numpy(), out.last.numpy())
    y, state = out
    assert y is out.y
    assert state is out.state


def test_an_output_shows_its_shapes():
    assert repr(nn.RNN(nn.LSTMCell(F, H))(data())) == (
        "RNNOutput(y (2, 5, 4), last (2, 4), state LSTMState((2, 4), (2, 4)))"
    )


def test_the_outputs_are_those_of_every_prefix():
    """RNN* and RNN of note set 000: y_i = RNN(x_1:i)."""
    rnn, x = nn.RNN(nn.GRUCell(F, H)), data()
    y = rnn(x).y.numpy()
    for i in range(T):
        np.testing.assert_allclose(rnn(x[:, : i + 1]).last.numpy(), y[:, i], rtol=1e-6)


@every_cell
def test_states_in_and_out_are_one_long_run(cell):
    rnn, x = nn.RNN(cell), data()
    whole = rnn(x)
    first = rnn(x[:, :2])
    second = rnn(x[:, 2:], first.state)
    joined = np.concatenate([first.y.numpy(), second.y.numpy()], axis=1)
    np.testing.assert_array_equal(joined, whole.y.numpy())
    np.testing.assert_array_equal(second.last.numpy(), whole.last.numpy())


@every_cell
def test_gradients_flow_through_the_state_from_window_to_window(cell):
    rnn, x = nn.RNN(cell), tg.tensor(data(), requires_grad=True)
    whole, windows = rnn(x).last, rnn(x[:, 2:], rnn(x[:, :2]).state).last
    expected, gradients = (
        tg.grad((last**2).sum(), [x, *cell.parameters()]) for last in (whole, windows)
    )
    for ours, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-15)


@every_cell
def test_reading_backwards_is_reading_the_reversed_sequence(cell):
    x = data()
    out = nn.RNN(cell, reverse=True)(x)
    turned = nn.RNN(cell)(x[:, ::-1])
    np.testing.assert_array_equal(out.y.numpy(), turned.y.numpy()[:, ::-1])
    np.testing.assert_array_equal(out.last.numpy(), turned.last.numpy())
    np.testing.assert_array_equal(out.last.numpy(), out.y.numpy()[:, 0])


@every_cell
def test_a_single_step(cell):
    x = data(B, 1, F)
    for reverse in (False, True):
        out = nn.RNN(cell, reverse=reverse)(x)
        y, _ = cell(x[:, 0])
        np.testing.assert_array_equal(out.y.numpy()[:, 0], y.numpy())
        np.testing.assert_array_equal(out.last.numpy(), y.numpy())


def test_the_dtype_is_kept():
    for dtype in ("float32", "float64"):
        for cell in cells():
            cell.astype(dtype)
            out = nn.RNN(cell, learn_initial=True, recurrent_dropout=0.5)(
                data().astype(dtype), lengths=[2, 5]
            )
            assert out.y.dtype == out.last.dtype == dtype


# ---------------------------------------------------------------- initial states


def test_the_initial_state_is_learned():
    rnn = nn.RNN(nn.LSTMCell(F, H).astype("float64"), learn_initial=True)
    names = [name for name, _ in rnn.named_parameters() if name.startswith("initial")]
    assert names == ["initial.0", "initial.1"]
    h0, c0 = rnn.initial
    assert h0.shape == c0.shape == (1, H)
    assert (h0.name, h0.path, c0.name) == ("h_0", "initial.0", "c_0")
    h0.data, c0.data = data(1, H, seed=1), data(1, H, seed=2)
    x = data()
    given = nn.LSTMState(np.repeat(h0.numpy(), B, 0), np.repeat(c0.numpy(), B, 0))
    np.testing.assert_array_equal(rnn(x).y.numpy(), nn.RNN(rnn.cell)(x, given).y.numpy())
    tg.check_gradients(lambda *_: rnn(x).y, *rnn.parameters())
    again = rnn(x, given)  # a state that is given goes before the learned one
    assert h0.node not in tg.Graph(again.y).nodes


def test_the_learned_state_starts_as_the_cells():
    class Started(nn.ElmanCell):
        def initial_state(self, batch):
            return self.zeros(batch, self.hidden_size) + 0.5

    rnn = nn.RNN(Started(F, H), learn_initial=True)
    np.testing.assert_array_equal(rnn.initial[0].numpy(), np.full((1, H), 0.5))


def test_a_state_may_be_arrays_or_a_plain_tuple():
    cell, x = nn.LSTMCell(F, H), data()
    h, c = data(B, H, seed=1), data(B, H, seed=2)
    expected = nn.RNN(cell)(x, nn.LSTMState(tg.tensor(h), tg.tensor(c)))
    for state in ((h, c), nn.LSTMState(h, c), (tg.tensor(h), c)):
        out = nn.RNN(cell)(x, state)
        np.testing.assert_array_equal(out.y.numpy(), expected.y.numpy())
        assert isinstance(out.state, nn.LSTMState)


# ---------------------------------------------------------------- truncated BPTT


@every_cell
def test_truncated_bptt_is_the_window_alone(cell):
    rnn, x = nn.RNN(cell), data()
    state = rnn(x[:, :3]).state
    window = rnn(x[:, 3:], nn.detach(state))
    gradients = tg.grad((window.y**2).sum(), cell.parameters())
    assert len(tg.Graph(window.y).timesteps) == 2

    values = nn.map_state(lambda part: part.numpy(), state)
    alone = tg.grad((rnn(x[:, 3:], values).y ** 2).sum(), cell.parameters())
    whole = tg.grad((rnn(x[:, 3:], state).y ** 2).sum(), cell.parameters())
    for ours, theirs, untruncated in zip(gradients, alone, whole, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
        assert np.abs(ours.numpy() - untruncated.numpy()).max() > 1e-6


def test_a_state_that_was_not_detached_is_said_after_a_step_of_the_optimiser():
    rnn, state = nn.RNN(nn.GRUCell(F, H)), None
    sgd = tg.optim.SGD(rnn.parameters(), 0.1)
    with pytest.raises(tg.StaleGraphError, match=r"carried over from before by nn\.detach"):
        for _ in range(2):
            out = rnn(data(), state)
            state = out.state
            out.y.sum().backward()
            sgd.step()


def test_detach_keeps_the_structure():
    state = (nn.LSTMState(tg.tensor([1.0]), tg.tensor([2.0])), (tg.tensor([3.0]),))
    cut = nn.detach(state)
    assert isinstance(cut[0], nn.LSTMState)
    assert cut[1][0].numpy() == 3
    assert nn.detach(None) is None  # before the first window


# ---------------------------------------------------------------- the graph


def test_time_steps_are_labelled_in_reading_order():
    x = tg.tensor(data(), name="x")
    for reverse in (False, True):
        rnn = nn.RNN(nn.ElmanCell(F, H), reverse=reverse)
        out = rnn(x)
        graph = tg.Graph(out.last.sum())
        assert graph.timesteps == [1, 2, 3, 4, 5]
        uses = graph.uses(rnn.cell.W_x)
        assert [node.timestep for node in uses] == [1, 2, 3, 4, 5]
        for node in uses:  # x_t is the slice at position t − 1, in either direction
            np.testing.assert_array_equal(
                tg.Tensor(node.inputs[0]).numpy(),
                x.numpy()[:, node.timestep - 1],
                f"step {node.timestep}",
            )
        orders = [node.order for node in uses]
        assert orders == sorted(orders, reverse=reverse)


def test_contributions_of_the_steps_add_up():
    for reverse in (False, True):
        rnn = nn.RNN(nn.LSTMCell(F, H).astype("float64"), reverse=reverse)
        out = rnn(data())
        loss = (fn.unstack(out.y, axis=1)[2] ** 2).sum()  # at step 3
        loss.backward()
        graph = tg.Graph(loss)
        for parameter in rnn.parameters():
            terms = graph.contributions(parameter)
            assert list(terms) == ([3, 4, 5] if reverse else [1, 2, 3])
            np.testing.assert_allclose(
                sum(terms.values()), parameter.grad.numpy(), rtol=1e-12, atol=1e-13
            )


def test_states_and_inputs_are_named_in_the_graph():
    out = nn.RNN(nn.LSTMCell(F, H))(data())
    named = {node.name for node in tg.Graph(out.y).nodes}
    assert {"x", "h", "c", "i", "f", "g", "o", "W_x", "W_h", "b"} <= named


# ---------------------------------------------------------------- recurrent dropout


def test_one_dropout_mask_per_sequence_is_kept_over_time_and_never_touches_c():
    tg.manual_seed(1)
    rnn = nn.RNN(nn.LSTMCell(F, H), recurrent_dropout=0.5)
    start = [tg.tensor(data(B, H), requires_grad=True) for _ in "hc"]
    graph = tg.Graph(rnn(data(), nn.LSTMState(*start)).y)
    masks = [node for node in graph.nodes if node.name == "recurrent dropout mask"]
    assert len(masks) == 1
    assert masks[0].shape == (B, H)
    assert set(np.unique(tg.Tensor(masks[0]).numpy())) == {0.0, 2.0}
    readers = graph.readers[masks[0]]
    assert [node.timestep for node in readers] == [1, 2, 3, 4, 5]
    assert {node.inputs[0].name for node in readers} == {"h"}


def test_recurrent_dropout_masks_what_enters_the_transition():
    tg.manual_seed(4)
    rnn = nn.RNN(nn.GRUCell(F, H).astype("float64"), recurrent_dropout=0.4)
    x = data()
    tg.manual_seed(9)
    y = rnn(x).y.numpy()
    tg.manual_seed(9)
    mask = fn.dropout_mask(tg.tensor(np.zeros((B, H))), 0.4)
    state = rnn.cell.initial_state(B)
    for t in range(T):
        y_t, state = rnn.cell(x[:, t], state * mask)
        np.testing.assert_allclose(y[:, t], y_t.numpy(), rtol=1e-12)


def test_recurrent_dropout_is_seeded_and_off_in_eval():
    rnn, x = nn.RNN(nn.LSTMCell(F, H), recurrent_dropout=0.5), data()
    runs = []
    for seed in (1, 1, 2):
        tg.manual_seed(seed)
        runs.append(rnn(x).y.numpy())
    np.testing.assert_array_equal(runs[0], runs[1])
    assert (runs[0] != runs[2]).any()
    expected = nn.RNN(rnn.cell)(x).y.numpy()
    np.testing.assert_array_equal(rnn.eval()(x).y.numpy(), expected)
    with pytest.raises(ValueError, match="recurrent_dropout must be at least 0 and below 1, got 1"):
        nn.RNN(nn.LSTMCell(F, H), recurrent_dropout=1.0)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (
            lambda: nn.RNN(nn.LSTMCell(7, H))(data()),
            ValueError,
            r"x of shape \(2, 5, 3\) = \(B, T, F\) has 3 features.*input_size = 7",
        ),
        (
            lambda: nn.RNN(nn.LSTMCell(F, H))(data(B, F)),
            ValueError,
            r"x must be \(B, T, F\) without empty axes, got \(2, 3\)",
        ),
        (
            lambda: nn.RNN(nn.LSTMCell(F, H))(data(B, 0, F)),
            ValueError,
            r"without empty axes, got \(2, 0, 3\)",
        ),
        (
            lambda: nn.RNN(nn.LSTMCell(F, H))(data(), tg.tensor(data(B, H))),
            ValueError,
            r"the state given is \(2, 4\), expected LSTMState\(\(2, 4\), \(2, 4\)\) for a batch",
        ),
        (
            lambda: nn.RNN(nn.GRUCell(F, H))(data(), (tg.tensor(data(B, H)),)),
            ValueError,
            r"the state given is \(\(2, 4\)\), expected \(2, 4\) for a batch of 2",
        ),
        (
            lambda: nn.RNN(nn.GRUCell(F, H))(data(), data(3, H)),
            ValueError,
            r"the state given is ndarray \(3, 4\), expected \(2, 4\) for a batch of 2",
        ),
        (lambda: nn.RNN(nn.Linear(F, H)), TypeError, "a cell needs transition.*lacks transition"),
        (
            lambda: nn.RNN(nn.RNN(nn.LSTMCell(F, H))),
            TypeError,
            "a cell needs transition.*RNN lacks transition",
        ),
    ],
)
def test_what_does_not_fit_is_said(run, error, message):
    with pytest.raises(error, match=message):
        run()
