"""The Elman network, or simple RNN, and its form with ReLU and identity."""

from __future__ import annotations

from tinygradrnn.nn import initialisers
from tinygradrnn.nn.cells.base import Cell, affine, applied
from tinygradrnn.nn.layers import activation_named, positive
from tinygradrnn.nn.modules import Parameter
from tinygradrnn.tensors import Tensor


class ElmanCell(Cell):
    """s_t = f(x_t W_x + s_{t−1} W_s + b),  y_t = s_t.

    Elman 1990; note set 000 (S-RNN), whose row vectors and names these are. Note set 003 has two
    biases, b_in and b_s: only their sum acts, and it is one here (PyTorch keeps both). Note sets
    001 and 002 write W x with column vectors: their W is the transpose.

    Parameters
    ----------
    input_size, hidden_size : int
        F and H.
    activation : "tanh", "relu", "sigmoid" or "linear"
        f.
    init : str or callable
        Initial W_s: "orthogonal", "glorot", "identity", "uniform", "zeros", or
        ``init(shape) → array``.
    bias : bool

    Attributes
    ----------
    W_x : Parameter (input_size, hidden_size)
    W_s : Parameter (hidden_size, hidden_size)
    b : Parameter (hidden_size,) or None
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str = "tanh",
        init: str | initialisers.Initialiser = "orthogonal",
        bias: bool = True,
    ) -> None:
        positive(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.activation = activation_named(activation, ("tanh", "relu", "sigmoid", "linear"))
        self.variant = "" if activation == "tanh" else activation
        self.W_x = Parameter(initialisers.glorot((input_size, hidden_size)))
        self.W_s = Parameter(initialisers.initialiser(init)((hidden_size, hidden_size)))
        self.b = Parameter(initialisers.zeros((hidden_size,))) if bias else None
        a = affine("x_t @ W_x", "s_{t−1} @ W_s", bias="b" if bias else None)
        self.equations = {"s": f"s_t = {applied(activation, a)}", "y": "y_t = s_t"}

    def transition(self, state: Tensor, x: Tensor) -> Tensor:
        """R: (B, H) from (B, H) and (B, F)."""
        a = x @ self.W_x + state @ self.W_s
        s: Tensor = self.activation(a if self.b is None else a + self.b)
        return s

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, H)."""
        return self.zeros(batch, self.hidden_size)


class IRNNCell(ElmanCell):
    """s_t = max(x_t W_x + s_{t−1} W_s + b, 0),  y_t = s_t, where W_s starts as the identity.

    Le, Jaitly & Hinton 2015; note sets 001 and 004. At first the state adds up inputs and hands
    gradients back unchanged, so nothing vanishes. b starts as zeros. W_x starts as in
    :class:`ElmanCell`; the paper draws it from N(0, 0.001²).

    Parameters
    ----------
    input_size, hidden_size : int
        F and H.

    Attributes
    ----------
    W_x, W_s, b : Parameter
        As in :class:`ElmanCell`.
    """

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size, activation="relu", init="identity")
        self.variant = ""  # the name says it
