"""Gates over a sequence: from a graph, from a model that reads a text, and by character."""

from __future__ import annotations

import numpy as np
import pytest
from analysis.helpers import N_IN, B, H, T, check_png, randomised

import tinygradrnn as tg
from tinygradrnn import analysis, nn
from tinygradrnn import functional as F
from tinygradrnn.models import CharacterModel
from tinygradrnn.text import Vocabulary

TEXT = "to be, or not to be: that is the question.\n" * 4


@pytest.fixture
def x(rng):
    return rng.normal(size=(B, T, N_IN))


def sigmoid(a):
    return 1 / (1 + np.exp(-a))


def lstm_gates(cell, x):
    """i, f, g, o, c, h of each step, in plain NumPy."""
    W_x, W_h, b = cell.W_x.numpy(), cell.W_h.numpy(), cell.b.numpy()
    h = c = np.zeros((len(x), H))
    rows = []
    for t in range(x.shape[1]):
        i, f, g, o = np.split(x[:, t] @ W_x + h @ W_h + b, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        rows.append((i, f, g, o, c, h))
    return dict(zip("ifgoch", map(np.stack, zip(*rows, strict=True)), strict=True))


# ---------------------------------------------------------------- from a graph


def test_the_gates_of_an_lstm_are_those_of_numpy(x):
    rnn = nn.RNN(randomised(nn.LSTMCell(N_IN, H)))
    activity = analysis.gate_activity((rnn(x).y ** 2).sum())
    for letter, values in lstm_gates(rnn.cell, x).items():
        np.testing.assert_allclose(activity[letter], values, rtol=1e-12)
    assert activity["forget gate"].shape == (T, B, H)
    np.testing.assert_array_equal(activity["forget gate (f)"], activity["f"])
    assert activity.steps == (1, 2, 3, 4, 5)
    gates = {"input gate (i)", "forget gate (f)", "candidate (g)", "output gate (o)"}
    assert gates | {"c", "h"} == set(activity.names)


@pytest.mark.parametrize(
    ("make", "gates"),
    [
        (lambda: nn.LSTMCell(N_IN, H, coupled=True, peephole=True), "ifgoch"),
        (lambda: nn.GRUCell(N_IN, H), "zrgs"),
        (lambda: nn.ElmanCell(N_IN, H), "s"),
    ],
)
def test_other_cells(make, gates, x):
    activity = analysis.gate_activity(nn.RNN(randomised(make()))(x).y)
    assert {gate.name for gate in activity.gates} == set(gates)
    for letter in gates:
        assert activity[letter].shape == (T, B, H)
        assert np.isfinite(activity[letter]).all()


def test_a_block_that_ticks_now_and_then(x, tmp_path):
    cell = randomised(nn.ClockworkCell(N_IN, H, periods=(1, 2)))
    activity = analysis.gate_activity(nn.RNN(cell)(x).y)
    values = activity["block 2 (period 2)"]
    assert np.isnan(values[1::2]).all()
    assert np.isfinite(values[::2]).all()
    figure = activity.plot("block 2 (period 2)")
    check_png(figure, tmp_path / "ticks.png")
    assert len(figure.axes[0].patches) == 2 * H // 2  # the hatched cells


class OwnCell(nn.Cell):
    """One gate under a scope without a name, one with a name and no scope."""

    def __init__(self):
        self.input_size = N_IN
        self.W = nn.Parameter(np.ones((N_IN, N_IN)))

    def transition(self, state, x):
        with tg.scope("leak"):
            leak = F.sigmoid(x @ self.W)
        push = F.tanh(x)
        push.name = "push"
        new = leak * state + push * (x @ self.W)
        return new

    def initial_state(self, batch):
        return tg.tensor(np.zeros((batch, N_IN)))


def test_a_cell_of_ones_own(x):
    activity = analysis.gate_activity(nn.RNN(OwnCell())(tg.tensor(x, requires_grad=True)).y)
    assert activity.names == ("leak", "push", "s")
    expected = sigmoid(x @ np.ones((N_IN, N_IN))).swapaxes(0, 1)
    np.testing.assert_allclose(activity["leak"], expected, rtol=1e-12)
    np.testing.assert_allclose(activity["push"], np.tanh(x).swapaxes(0, 1), rtol=1e-12)


def test_a_loop_by_hand_over_two_cells_of_a_kind(x):
    cells = [randomised(nn.GRUCell(N_IN, N_IN)) for _ in range(2)]
    states = [cell.initial_state(B) for cell in cells]
    for t in range(T):
        with tg.timestep(t + 1):
            states[0] = cells[0].transition(states[0], tg.tensor(x[:, t]))
            states[1] = cells[1].transition(states[1], states[0])
    activity = analysis.gate_activity(states[1])
    alone = analysis.gate_activity(nn.RNN(cells[0])(x).y)
    np.testing.assert_allclose(activity["z"], alone["z"])
    assert activity["z (2)"].shape == activity["z"].shape


def test_which_gate_is_meant(x):
    lstm = nn.LSTM(N_IN, H, num_layers=2)
    activity = analysis.gate_activity(lstm(x.astype("float32")).y)
    assert activity.layers == ("layers.0.cell", "layers.1.cell")
    upper = activity.gate("f", "layers.1.cell")
    assert activity.gate("forget gate", 1) is upper
    assert activity.gate(layer=1) is upper
    for wrong, message in [
        (
            lambda: activity["f"],
            r"'f' with layer=None is not one gate; there are 'layers.0.cell': for",
        ),
        (lambda: activity["reset gate"], r"no 'reset gate'; there are: input gate \(i\), forget g"),
        (lambda: activity.gate("f", 2), "there are 2 layers, got 2"),
        (lambda: activity.gate("f", "rnn"), "'rnn' is not one of layers.0.cell, layers.1.cell"),
        (lambda: activity.by_character("f", 0), "which characters were read"),
        (lambda: activity.plot("f", 0, start=9), "no step from 9 to None; there are 5"),
    ]:
        with pytest.raises(ValueError, match=message):
            wrong()


# ---------------------------------------------------------------- a model reads


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_pieces_give_the_numbers_of_the_whole(cell):
    vocabulary = Vocabulary(TEXT)
    model = CharacterModel(len(vocabulary), cell=cell, embedding=5, hidden=6, layers=2, dropout=0.5)
    ids = vocabulary.encode(TEXT)
    activity = analysis.gate_activity(model, ids, text=TEXT, piece=17)
    assert model.training
    model.eval()
    scores, _ = model(ids[None])
    whole = analysis.gate_activity(scores)
    assert [g[:3] for g in activity.gates] == [g[:3] for g in whole.gates]
    for one, other in zip(activity.gates, whole.gates, strict=True):
        np.testing.assert_allclose(one.values, other.values[:, 0], rtol=2e-5, atol=2e-6)
    assert activity.steps == tuple(range(1, len(TEXT) + 1))


def test_frozen_weights_and_no_grad(x):
    rnn = nn.RNN(randomised(nn.LSTMCell(N_IN, H)))
    rnn.freeze()
    with tg.no_grad():
        activity = analysis.gate_activity(rnn, x, piece=2)
    np.testing.assert_allclose(activity["f"], lstm_gates(rnn.cell, x)["f"], rtol=1e-12)
    assert not any(p.requires_grad for p in rnn.parameters())
    start = rnn(x[:, :2]).state
    later = analysis.gate_activity(rnn, x[:, 2:], state=start)
    np.testing.assert_allclose(later["f"], activity["f"][2:], rtol=1e-12)
    alone = analysis.gate_activity(rnn, x[1])
    np.testing.assert_allclose(alone["f"], activity["f"][:, 1], rtol=1e-12)


def test_only_a_piece_is_held(x):
    """However long the sequence: the graphs of two pieces never live at once."""
    import weakref

    graphs: list[weakref.ref] = []
    cell = nn.ElmanCell(N_IN, H)
    rnn = nn.RNN(cell)

    class Watched(nn.Module):
        def __init__(self):
            self.rnn = rnn

        def forward(self, x, state):
            assert all(old() is None for old in graphs[:-1])
            y, state = self.rnn(x, state)
            graphs.append(weakref.ref(y))
            return y, state

    analysis.gate_activity(Watched(), np.ones((1, 40, N_IN), "float32"), piece=10)
    assert len(graphs) == 4


def test_what_cannot_be_read(x):
    rnn = nn.RNN(nn.LSTMCell(N_IN, H))
    both = nn.LSTM(N_IN, H, bidirectional=True)
    x = x.astype("float32")
    assert analysis.gate_activity(both, x).layers == tuple(
        f"layers.0.{way}_rnn.cell" for way in ("forward", "backward")
    )
    for error, run, message in [
        (ValueError, lambda: analysis.gate_activity(both, x, piece=2), "reads backwards.*piece=5"),
        (ValueError, lambda: analysis.gate_activity(rnn, x, piece=0), "piece must be at least 1"),
        (TypeError, lambda: analysis.gate_activity(rnn), "a model and inputs; got a RNN alone"),
        (TypeError, lambda: analysis.gate_activity(3, x), "a int cannot read the inputs"),
        (
            TypeError,
            lambda: analysis.gate_activity(lambda x, s: rnn(x).y, x),
            r"function gave \(2, 5, 4\), expected \(outputs, state\).*gate_activity\(model\(x\)\)",
        ),
        (ValueError, lambda: analysis.gate_activity(rnn, x[0, 0]), r"got float32 \(3,\)"),
        (
            ValueError,
            lambda: analysis.gate_activity(rnn, x, text="abcde"),
            "text must have 5 characters for each of 2 sequences, got 5",
        ),
        (
            ValueError,
            lambda: analysis.gate_activity((rnn.cell.W_x**2).sum()),
            r"no time step holds a gate.*tg.scope\('forget gate'\)",
        ),
    ]:
        with pytest.raises(error, match=message):
            run()


# ---------------------------------------------------------------- characters


def test_what_each_character_does():
    values = np.array([0.9, 0.1, 0.7, 0.4, 0.1, np.nan])
    table = analysis.CharacterTable.of("abab€a", values, "f")
    assert table.characters == ("a", "b", "€")
    np.testing.assert_array_equal(table.counts, [2, 2, 1])
    np.testing.assert_allclose(table, [0.8, 0.25, 0.1])
    np.testing.assert_allclose(table.spreads, [0.1, 0.15, 0], atol=1e-15)
    assert str(table).splitlines()[2].split() == ["'a'", "2", "0.800", "0.100"]


def test_the_table_of_a_text():
    """A gate that only 'b' opens is found; of all units and of one."""
    vocabulary = Vocabulary("abc")
    embedding, rnn = nn.Embedding(3, 3), nn.RNN(nn.LSTMCell(3, 2))
    embedding.W.data = np.eye(3, dtype="float32")
    weights = np.zeros((3, 8), "float32")
    weights[1, 2:4] = 4.0, 2.0  # what b adds to f
    rnn.cell.W_x, rnn.cell.W_h, rnn.cell.b = weights, np.zeros((2, 8)), np.zeros(8)

    def model(ids, state):
        return rnn(embedding(ids), state)

    texts = ("abcab", "ccccb")
    ids = np.stack([vocabulary.encode(text) for text in texts])
    activity = analysis.gate_activity(model, ids, text=texts, piece=2)
    table = activity.by_character("forget gate")
    assert table.characters == ("b", "a", "c")
    np.testing.assert_array_equal(table.counts, [3, 2, 5])
    opened = (sigmoid(4.0) + sigmoid(2.0)) / 2
    np.testing.assert_allclose(table, [opened, 0.5, 0.5], rtol=1e-6)
    one = activity.by_character("f", unit=1)
    assert one.gate == "forget gate (f), unit 1"
    np.testing.assert_allclose(one[0], sigmoid(2.0), rtol=1e-6)
    with pytest.raises(ValueError, match=r"the forget gate \(f\) has 2 units, got 2"):
        activity.by_character("f", unit=2)


def test_plots_of_gates(tmp_path):
    text = "a $b$\n中"
    vocabulary = Vocabulary(text)
    model = CharacterModel(len(vocabulary), embedding=3, hidden=4)
    activity = analysis.gate_activity(model, vocabulary.encode(text), text=text)
    figure = activity.plot()
    check_png(figure, tmp_path / "gate.png")
    upper, lower = figure.axes[:2]
    f = activity["f"]
    np.testing.assert_array_equal(upper.images[0].get_array(), f.T)
    assert upper.images[0].get_clim() == (0, 1)
    np.testing.assert_allclose(lower.lines[0].get_ydata(), f.mean(axis=1))
    ticks = [label.get_text() for label in lower.get_xticklabels()]
    assert ticks == ["a", "␣", "$", "b", "$", "↵", "U+4E2D"]
    assert activity.plot("g").axes[0].images[0].get_clim()[0] < 0
    check_png(activity.plot("c", start=2, stop=5), tmp_path / "part.png")
    figure = activity.by_character("f").plot()
    check_png(figure, tmp_path / "table.png")
    assert len(figure.axes[1].patches) == len(vocabulary)
