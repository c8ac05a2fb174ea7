"""Cells: one step of a recurrence each."""

from tinygradrnn.nn.cells.base import Cell as Cell
from tinygradrnn.nn.cells.base import GatedCell as GatedCell
from tinygradrnn.nn.cells.base import gate as gate
from tinygradrnn.nn.cells.clockwork import ClockworkCell as ClockworkCell
from tinygradrnn.nn.cells.clockwork import ClockworkState as ClockworkState
from tinygradrnn.nn.cells.deep import DeepElmanCell as DeepElmanCell
from tinygradrnn.nn.cells.elman import ElmanCell as ElmanCell
from tinygradrnn.nn.cells.elman import IRNNCell as IRNNCell
from tinygradrnn.nn.cells.gru import GRUCell as GRUCell
from tinygradrnn.nn.cells.jordan import JordanCell as JordanCell
from tinygradrnn.nn.cells.lstm import LSTMCell as LSTMCell
from tinygradrnn.nn.cells.lstm import LSTMState as LSTMState
from tinygradrnn.nn.cells.scrn import SCRNCell as SCRNCell
from tinygradrnn.nn.cells.scrn import SCRNState as SCRNState
