"""Graphs to be drawn."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

CELLS: dict[str, Callable[[], nn.Cell]] = {
    "elman": lambda: nn.ElmanCell(3, 4),
    "lstm": lambda: nn.LSTMCell(3, 4),
    "gru": lambda: nn.GRUCell(3, 4),
}
MORE_CELLS: dict[str, Callable[[], nn.Cell]] = {
    "peephole": lambda: nn.LSTMCell(3, 4, peephole=True),
    "coupled": lambda: nn.LSTMCell(3, 4, coupled=True),
    "gru after": lambda: nn.GRUCell(3, 4, reset="after", update="state"),
    "jordan": lambda: nn.JordanCell(3, 4, 2),
    "scrn": lambda: nn.SCRNCell(3, 4, 2, alpha=0.9),
    "clockwork": lambda: nn.ClockworkCell(3, 4, periods=[1, 2]),
    "deep": lambda: nn.DeepElmanCell(3, 4, input_layers=2, transition_layers=2, output_layers=2),
}


def sequence(steps: int, features: int = 3) -> tg.Tensor:
    """The same numbers for every test."""
    count = 2 * steps * features
    values = np.sin(np.arange(count, dtype=np.float64)).reshape(2, steps, features)
    return tg.tensor(values, name="x")


def loss_of(cell: nn.Cell, steps: int) -> tg.Tensor:
    """Σ y_T² of a cell unrolled over some steps."""
    return (nn.RNN(cell)(sequence(steps)).last ** 2).sum()


def classifier(steps: int = 3) -> tg.Tensor:
    """The last state decides."""
    readout = nn.Linear(4, 5)
    return F.cross_entropy(readout(nn.LSTM(3, 4)(sequence(steps)).last), np.array([1, 2]))


def language_model(steps: int = 3) -> tg.Tensor:
    """Embedding before the steps, a readout of all of them after."""
    ids = np.arange(2 * steps).reshape(2, steps) % 7
    embedding, layer, readout = nn.Embedding(7, 3), nn.LSTM(3, 4), nn.Linear(4, 7)
    return F.cross_entropy(readout(layer(embedding(ids)).y), ids)


def readout_per_step(steps: int = 3) -> tg.Tensor:
    y = nn.PerStep(nn.Linear(4, 2))(nn.Elman(3, 4)(sequence(steps)).y)
    return F.mse_loss(y, np.ones(y.shape, y.dtype))


def loss_per_step(steps: int = 4) -> tg.Tensor:
    total: tg.Tensor | None = None
    for t, s in enumerate(F.unstack(nn.GRU(3, 4)(sequence(steps)).y, axis=1), 1):
        with tg.timestep(t):
            loss = F.half_squared_error(s, np.zeros(s.shape, s.dtype))
        total = loss if total is None else total + loss
    assert total is not None
    return total


def stacked(steps: int = 3) -> tg.Tensor:
    return (nn.LSTM(3, 4, num_layers=2)(sequence(steps)).last ** 2).sum()


def bidirectional(steps: int = 3) -> tg.Tensor:
    return (nn.LSTM(3, 4, bidirectional=True)(sequence(steps)).last ** 2).sum()


def bidirectional_stack(steps: int = 3) -> tg.Tensor:
    return (nn.GRU(3, 4, num_layers=2, bidirectional=True)(sequence(steps)).y ** 2).sum()


def encoder_decoder(steps: int = 2) -> tg.Tensor:
    encoder, decoder = nn.RNN(nn.LSTMCell(3, 4)), nn.RNN(nn.LSTMCell(3, 4))
    state = encoder(sequence(steps)).state
    return (decoder(sequence(steps + 1), state).y ** 2).sum()


def learned_initial(steps: int = 2) -> tg.Tensor:
    return (nn.RNN(nn.LSTMCell(3, 4), learn_initial=True)(sequence(steps)).last ** 2).sum()


def learned_top(steps: int = 2) -> tg.Tensor:
    layers = [nn.RNN(nn.ElmanCell(3, 4)), nn.RNN(nn.ElmanCell(4, 4), learn_initial=True)]
    return (nn.Stacked(layers)(sequence(steps)).last ** 2).sum()


def masked(steps: int = 3) -> tg.Tensor:
    layer = nn.RNN(nn.ElmanCell(3, 4), recurrent_dropout=0.5)
    return (layer(sequence(steps), lengths=[steps, steps - 1]).last ** 2).sum()


def lengths(steps: int = 4) -> tg.Tensor:
    """Three sequences of different lengths; at the last step none runs."""
    out = nn.LSTM(3, 4)(batch_of_three(steps), lengths=[steps - 1, steps - 2, 1])
    return (out.last**2).sum()


def lengths_both_ways(steps: int = 4) -> tg.Tensor:
    out = nn.GRU(3, 4, bidirectional=True)(batch_of_three(steps), lengths=[steps, steps - 1, 1])
    return (out.last**2).sum()


def batch_of_three(steps: int) -> tg.Tensor:
    return tg.tensor(np.sin(np.arange(9.0 * steps)).reshape(3, steps, 3), name="x")


def dropped(steps: int = 3) -> tg.Tensor:
    """Masks between the layers at every step, and one for each layer's state."""
    tg.manual_seed(0)
    layer = nn.LSTM(3, 4, num_layers=2, dropout=0.3, recurrent_dropout=0.3)
    return (layer(sequence(steps)).last ** 2).sum()


def frozen(steps: int = 3) -> tg.Tensor:
    """W_h is not trained; nor is W_x, whose products with data are not even recorded."""
    layer = nn.LSTM(3, 4)
    layer.layers[0].cell.W_h.requires_grad = False
    layer.layers[0].cell.W_x.requires_grad = False
    return (layer(sequence(steps)).last ** 2).sum()


def named_phases(steps: int = 2) -> tg.Tensor:
    """Stacked encoder and decoder under scopes of the user, with a readout."""
    encoder, decoder = nn.LSTM(3, 4, num_layers=2), nn.LSTM(3, 4, num_layers=2)
    with tg.scope("encoder"):
        state = encoder(sequence(steps)).state
    with tg.scope("decoder"):
        y = nn.PerStep(nn.Linear(4, 2))(decoder(sequence(steps + 1), state).y)
    return (y**2).sum()


def own_loop(steps: int = 3) -> tg.Tensor:
    """A recurrence written by hand, whose state goes around the lane."""
    W = nn.Parameter(np.eye(4), name="W")
    U = nn.Parameter(np.ones((3, 4)), name="U")
    s = tg.tensor(np.zeros((1, 4)), name="s")
    for t in range(1, steps + 1):
        with tg.timestep(t):
            u = s @ W + tg.tensor(np.ones((1, 3)), name="x") @ U
            s = u + F.tanh(u) * F.sigmoid(s)
            s.name = "s"
    return (s * s).sum()


def attention(steps: int = 4) -> tg.Tensor:
    """Every step of the decoder reads all states of the encoder: no time axis can show that."""
    y = nn.RNN(nn.GRUCell(3, 4))(sequence(steps)).y
    W, cell = nn.Parameter(np.eye(4, dtype=np.float32), name="W_a"), nn.GRUCell(4, 4)
    s = y[:, -1]
    for t in range(1, steps + 1):
        with tg.timestep(t):
            weights = F.softmax((s @ W).reshape(2, 1, 4) @ y.mT, axis=-1)
            _, s = cell((weights @ y).reshape(2, 4), s)
    return s.sum()


def normalised(steps: int = 3) -> tg.Tensor:
    """Something between two layers that needs all steps of the first."""
    y = nn.RNN(nn.ElmanCell(3, 4))(sequence(steps)).y
    return nn.RNN(nn.ElmanCell(4, 4))(y - y.mean(axis=1, keepdims=True)).last.sum()


def perceptron() -> tg.Tensor:
    y = nn.MLP([3, 4, 2])(tg.tensor(np.ones((2, 3)), name="x"))
    return F.mse_loss(y, np.ones(y.shape, y.dtype))


NETWORKS: dict[str, Callable[[], tg.Tensor]] = {
    f.__name__: f
    for f in (
        *(classifier, language_model, readout_per_step, loss_per_step, stacked, bidirectional),
        *(bidirectional_stack, encoder_decoder, learned_initial, learned_top, masked, own_loop),
        attention,
        *(normalised, perceptron, lengths, lengths_both_ways, dropped, frozen, named_phases),
    )
}


def random_network(seed: int) -> tg.Tensor:
    """A loop over a random program of one to three states."""
    r = np.random.default_rng(seed)
    width = 3
    steps, states = int(r.integers(1, 5)), int(r.integers(1, 4))
    weights = [nn.Parameter(r.normal(size=(width, width)), name=f"W_{i}") for i in range(3)]
    bias = nn.Parameter(r.normal(size=(width,)), name="b")
    program = r.integers(0, 1000, size=(int(r.integers(3, 14)), 4))
    results = r.integers(0, 4, size=states)
    x = tg.tensor(r.normal(size=(1, steps, width)), requires_grad=seed % 3 == 0, name="x")
    state = [tg.tensor(r.normal(size=(1, width)), name="hcs"[k]) for k in range(states)]
    outputs = []
    for t in range(1, steps + 1):
        with tg.timestep(t):
            values = [x[:, t - 1], *state]
            for kind, first, second, which in program:
                a, b = values[first % len(values)], values[second % len(values)]
                operations: list[Callable[[], tg.Tensor]] = [
                    lambda a=a, w=which: a @ weights[w % 3],
                    lambda a=a, b=b: a + b,
                    lambda a=a, b=b: a * b,
                    lambda a=a: F.tanh(a),
                    lambda a=a: F.sigmoid(a),
                    lambda a=a: a + bias,
                    lambda a=a: 1 - a,
                ]
                values.append(operations[kind % 7]())
            values.append(values[-1] + state[0] @ weights[0])
            state = [values[-1 - result] for result in results]
            for k, s in enumerate(state):
                if s.name is None:
                    s.name = "hcs"[k]
            outputs.append(values[-1])
    total = (state[0] * state[0]).sum()
    return total + F.stack(outputs).sum()
