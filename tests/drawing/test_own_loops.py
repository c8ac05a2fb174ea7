"""Cells that are called in a loop of one's own, and recurrences without any cell."""

from __future__ import annotations

from drawing.examples import NETWORKS, loss_of, sequence
from drawing.test_records import diagram_of, texts

import tinygradrnn as tg
from tinygradrnn import nn


def test_a_loop_of_ones_own_is_drawn_as_the_layer_is():
    class Decoder(nn.Module):
        def __init__(self):
            self.cell, self.readout = nn.LSTMCell(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            state = self.cell.initial_state(2)
            for t in range(1, 4):
                with tg.timestep(t):
                    y, state = self.cell(x[:, t - 1], state)
                    y = self.readout(y)
            return (y**2).sum()

    own = diagram_of(Decoder()(sequence(3)), level="gate")
    layer = diagram_of(loss_of(nn.LSTMCell(3, 4), 3), level="gate")
    assert own.title == layer.title == "LSTM · gate level · T = 3"
    assert [state.name for state in own.states] == [state.name for state in layer.states]
    assert texts(own, "gate") == texts(layer, "gate")
    assert texts(own, "weight") == ["Wₓ", "Wₕ", "b cell", "W", "b readout"]


def test_two_cells_of_a_kind_in_one_step_are_two_layers():
    low, high, r, s = nn.ElmanCell(3, 4), nn.ElmanCell(4, 4), None, None
    for t in (1, 2):
        with tg.timestep(t):
            y, r = low(sequence(2)[:, t - 1], r)
            y, s = high(y, s)
    diagram = diagram_of(y.sum(), level="cell")
    assert texts(diagram, "cell") == ["Elman"] * 4
    assert diagram.title == "2-layer Elman · cell level · T = 2"


def test_a_loop_without_any_cell():
    assert diagram_of(NETWORKS["own_loop"]()).title == "Recurrence · op level · T = 3"
    assert diagram_of(NETWORKS["perceptron"]()).title == "Computation graph · op level"
