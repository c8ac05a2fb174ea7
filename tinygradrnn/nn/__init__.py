"""Modules: what networks are made of, and the recurrent layers."""

from tinygradrnn.nn import initialisers as initialisers
from tinygradrnn.nn import interop as interop
from tinygradrnn.nn.cells import (
    Cell,
    ClockworkCell,
    ClockworkState,
    DeepElmanCell,
    ElmanCell,
    GatedCell,
    GRUCell,
    IRNNCell,
    JordanCell,
    LSTMCell,
    LSTMState,
    SCRNCell,
    SCRNState,
    gate,
)
from tinygradrnn.nn.layers import (
    MLP,
    Dropout,
    Embedding,
    Last,
    Linear,
    PerStep,
)
from tinygradrnn.nn.modules import (
    Module,
    Parameter,
    Sequential,
)
from tinygradrnn.nn.rnn import (
    RNN,
    RNNOutput,
)
from tinygradrnn.nn.stacks import (
    GRU,
    LSTM,
    Bidirectional,
    Elman,
    Stacked,
)
from tinygradrnn.nn.states import (
    detach,
    map_state,
)

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "RNN",
    "Bidirectional",
    "Cell",
    "ClockworkCell",
    "ClockworkState",
    "DeepElmanCell",
    "Dropout",
    "Elman",
    "ElmanCell",
    "Embedding",
    "GRUCell",
    "GatedCell",
    "IRNNCell",
    "JordanCell",
    "LSTMCell",
    "LSTMState",
    "Last",
    "Linear",
    "Module",
    "Parameter",
    "PerStep",
    "RNNOutput",
    "SCRNCell",
    "SCRNState",
    "Sequential",
    "Stacked",
    "detach",
    "gate",
    "initialisers",
    "interop",
    "map_state",
]
