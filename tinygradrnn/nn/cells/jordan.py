"""The Jordan network: its output is fed back."""

from __future__ import annotations

from tinygradrnn.nn import initialisers
from tinygradrnn.nn.cells.base import Cell, affine, applied, gate
from tinygradrnn.nn.layers import activation_named, positive
from tinygradrnn.nn.modules import Parameter
from tinygradrnn.tensors import Tensor


class JordanCell(Cell):
    """h_t = f(x_t W_x + y_{t−1} W_y + b),  y_t = g(h_t V + c): the state is the output y.

    Jordan 1986; note set 004 draws it beside Elman's. The output layer (V, c, g) belongs to the
    cell, for what it gives is read at the next step. Nothing was put out before the first step:
    y_0 = 0, so h_1 = f(x_1 W_x + b), unless a state is given or learned. Jordan's own network lets
    the fed-back units decay, μ s_{t−1} + y_{t−1}; here μ = 0, as in the notes. Others feed back the
    target while training (teacher forcing): pass it as the state, step by step.

    Parameters
    ----------
    input_size, hidden_size, output_size : int
        F, H and O.
    activation : "tanh", "relu", "sigmoid" or "linear"
        f.
    output_activation : "linear", "tanh", "relu", "sigmoid" or "softmax"
        g. With "linear" logits are fed back, with "softmax" probabilities.
    bias : bool
        Whether there are b and c.

    Attributes
    ----------
    W_x : Parameter (input_size, hidden_size)
    W_y : Parameter (output_size, hidden_size)
    b : Parameter (hidden_size,) or None
    V : Parameter (hidden_size, output_size)
    c : Parameter (output_size,) or None
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        *,
        activation: str = "tanh",
        output_activation: str = "linear",
        bias: bool = True,
    ) -> None:
        positive(input_size=input_size, hidden_size=hidden_size, output_size=output_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.output_size = output_size
        self.activation = activation_named(activation, ("tanh", "relu", "sigmoid", "linear"))
        self.output_activation = activation_named(
            output_activation,
            ("linear", "tanh", "relu", "sigmoid", "softmax"),
            "output_activation",
        )
        self.variant = "" if activation == "tanh" else activation
        self.W_x = Parameter(initialisers.glorot((input_size, hidden_size)))
        self.W_y = Parameter(initialisers.glorot((output_size, hidden_size)))
        self.b = Parameter(initialisers.zeros((hidden_size,))) if bias else None
        self.V = Parameter(initialisers.glorot((hidden_size, output_size)))
        self.c = Parameter(initialisers.zeros((output_size,))) if bias else None
        a = affine("x_t @ W_x", "y_{t−1} @ W_y", bias="b" if bias else None)
        o = affine("h_t @ V", bias="c" if bias else None)
        self.equations = {
            "hidden layer": f"h_t = {applied(activation, a)}",
            "output layer": f"y_t = {applied(output_activation, o)}",
        }

    def transition(self, state: Tensor, x: Tensor) -> Tensor:
        """R: y_t (B, O) from y_{t−1} (B, O) and x (B, F)."""

        def plus(product: Tensor, bias: Parameter | None) -> Tensor:
            return product if bias is None else product + bias

        h = gate(
            "hidden layer",
            "h",
            self.activation,
            lambda: plus(x @ self.W_x + state @ self.W_y, self.b),
        )
        return gate("output layer", "y", self.output_activation, lambda: plus(h @ self.V, self.c))

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, O)."""
        y = self.zeros(batch, self.output_size)
        y.name = "y"
        return y
