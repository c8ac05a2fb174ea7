"""Cells: one step of a recurrence each."""

from tinygradrnn.nn.cells.base import Cell as Cell
from tinygradrnn.nn.cells.base import GatedCell as GatedCell
from tinygradrnn.nn.cells.base import gate as gate
from tinygradrnn.nn.cells.elman import ElmanCell as ElmanCell
from tinygradrnn.nn.cells.gru import GRUCell as GRUCell
from tinygradrnn.nn.cells.lstm import LSTMCell as LSTMCell
from tinygradrnn.nn.cells.lstm import LSTMState as LSTMState
