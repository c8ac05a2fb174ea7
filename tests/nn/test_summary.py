"""The table of a model."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

IDS = np.zeros((5, 7), dtype=np.int64)


def simple_rnn():
    return nn.RNN(nn.ElmanCell(32, 32))


def test_the_summaries_of_note_set_002():
    one = nn.Sequential(nn.Embedding(10000, 32), simple_rnn()).summary()
    assert [row.parameters for row in one.rows] == [320_000, 2_080]
    assert (one.total, one.trainable, one.frozen) == (322_080, 322_080, 0)

    four = nn.Sequential(nn.Embedding(10000, 32), *[simple_rnn() for _ in range(4)]).summary()
    assert [row.parameters for row in four.rows] == [320_000, 2_080, 2_080, 2_080, 2_080]
    assert four.total == 328_320

    short = nn.Sequential(nn.Embedding(10000, 32), nn.Elman(32, 32, num_layers=4)).summary()
    assert [row.parameters for row in short.rows] == [row.parameters for row in four.rows]


def test_the_table():
    model = nn.Sequential(nn.Embedding(10000, 32), simple_rnn(), nn.Last(), nn.Linear(32, 2))
    model[0].freeze()
    model[1].cell.b.requires_grad = False
    summary = model.summary(IDS)
    assert (summary.total, summary.trainable, summary.frozen) == (322_146, 2_114, 320_032)
    assert str(summary) == repr(summary)
    assert str(summary).splitlines() == [
        "Sequential",
        "─" * 63,
        "Layer (type)               Output shape  Parameters",
        "─" * 63,
        "layers.0 (Embedding)       (5, 7, 32)       320,000  all frozen",
        "layers.1 (RNN(ElmanCell))  (5, 7, 32)         2,080  32 frozen",
        "layers.2 (Last)            (5, 32)                0",
        "layers.3 (Linear)          (5, 2)                66",
        "─" * 63,
        "Total parameters: 322,146",
        "Trainable: 2,114",
        "Frozen: 320,032",
    ]


def test_without_an_example_shapes_are_unknown():
    summary = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)).summary()
    assert [row.shape for row in summary.rows] == [None, None]
    assert str(summary).count("?") == 2


def test_layers_of_layers():
    model = nn.Sequential(
        nn.Embedding(10, 4),
        nn.LSTM(4, 3, num_layers=2, bidirectional=True, dropout=0.5),
        nn.PerStep(nn.Linear(6, 2)),
        nn.MLP([2, 8, 1]),
    )
    rows = model.summary(IDS).rows
    assert [(row.name, row.kind, row.shape, row.parameters) for row in rows] == [
        ("layers.0", "Embedding", (5, 7, 4), 40),
        ("layers.1.layers.0", "Bidirectional(RNN(LSTMCell))", (5, 7, 6), 192),
        ("layers.1.layers.1", "Bidirectional(RNN(LSTMCell))", (5, 7, 6), 240),
        ("layers.2", "PerStep(Linear)", (5, 7, 2), 14),
        ("layers.3.layers.0", "Linear", (5, 7, 8), 24),
        ("layers.3.layers.1", "Linear", (5, 7, 1), 9),
    ]


class Attention(nn.Module):
    """Parameters of its own, two inputs, a shared layer, and a layer that does not run."""

    def __init__(self):
        self.query = nn.Parameter(np.zeros((4, 1), np.float32))
        self.key = nn.Linear(4, 4)
        self.value = self.key
        self.unused = nn.Linear(4, 9)

    def forward(self, x, mask):
        scores = (self.key(x) @ self.query)[..., 0]
        weights = F.softmax(F.where(mask, scores, -1e9), axis=-1)
        return (weights[..., None] * self.value(x)).sum(axis=1)


def test_a_module_of_the_user():
    summary = Attention().summary((np.ones((2, 3, 4), np.float32), np.ones((2, 3), bool)))
    assert [(row.name, row.kind, row.shape, row.parameters) for row in summary.rows] == [
        ("", "Attention", (2, 4), 4),
        ("key", "Linear", (2, 3, 4), 20),
        ("unused", "Linear", None, 45),
    ]
    assert summary.total == sum(p.size for p in Attention().parameters())


def test_a_shared_parameter_counts_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].W = model[0].W
    summary = model.summary()
    assert [row.parameters for row in summary.rows] == [20, 4]
    assert summary.total == sum(p.size for p in model.parameters())


@pytest.mark.parametrize(
    ("model", "example", "shape"),
    [
        (nn.LSTMCell(3, 4), np.ones((2, 3), np.float32), (2, 4)),
        (nn.Bidirectional(nn.RNN(nn.GRUCell(3, 4)), nn.RNN(nn.GRUCell(3, 4))), None, None),
        (nn.RNN(nn.ElmanCell(3, 4), learn_initial=True), np.ones((2, 5, 3), "f4"), (2, 5, 4)),
        (nn.Dropout(0.5), np.ones(3, np.float32), (3,)),
    ],
)
def test_one_layer(model, example, shape):
    (row,) = model.summary(example).rows
    assert (row.name, row.shape) == ("", shape)
    assert row.parameters == sum(p.size for p in model.parameters())


def test_running_the_example_leaves_no_trace():
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Elman(4, 4, recurrent_dropout=0.5))
    model[1].eval()

    def attributes():
        return [{**vars(module), "_training": module.training} for module in model.modules()]

    before = attributes()
    x = np.ones((2, 5, 3), np.float32)
    tg.manual_seed(1)
    expected = model(x).y.numpy()
    tg.manual_seed(1)
    model.summary(x)
    assert attributes() == before
    np.testing.assert_array_equal(model(x).y.numpy(), expected)
    with pytest.raises(ValueError, match="in_features = 3"):
        model.summary(np.ones((2, 5, 9), np.float32))
    assert attributes() == before
