"""Cells that are called in a loop of one's own, and recurrences without any cell."""

from __future__ import annotations

from drawing.examples import NETWORKS, sequence
from drawing.test_records import diagram_of

import tinygradrnn as tg
from tinygradrnn import nn


class Decoder(nn.Module):
    def __init__(self):
        self.decoder, self.readout = nn.ElmanCell(3, 4), nn.Linear(4, 3)

    def forward(self, x, feed_back=False):
        y, state = x[:, 0], self.decoder.initial_state(2)
        for t in range(1, 4):
            with tg.timestep(t):
                y, state = self.decoder(y if feed_back else x[:, t - 1], state)
                y = self.readout(y)
        return (y**2).sum()


def test_the_title_is_the_cell():
    cell, state = nn.LSTMCell(3, 4), None
    for t in (1, 2):
        with tg.timestep(t):
            y, state = cell(sequence(2)[:, t - 1], state)
    diagram = diagram_of(y.sum())
    assert diagram.title == "LSTM · op level · T = 2"
    assert {state.name for state in diagram.states} == {"h", "c"}


def test_a_cell_that_a_model_names():
    model = Decoder()
    assert diagram_of(model(sequence(3)), level="cell").title == "Decoder · cell level · T = 3"
    fed_back = diagram_of(model(sequence(3), feed_back=True))
    assert fed_back.title == "Decoder · op level · T = 3"  # what the states' nodes share


def test_without_any_cell():
    assert diagram_of(NETWORKS["own_loop"]()).title == "Recurrence · op level · T = 3"
    assert diagram_of(NETWORKS["perceptron"]()).title == "Computation graph · op level"
