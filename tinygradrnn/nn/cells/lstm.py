"""Long short-term memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tinygradrnn import functional as F
from tinygradrnn.nn import initialisers
from tinygradrnn.nn.cells.base import GatedCell, affine, applied, gate
from tinygradrnn.nn.layers import activation_named, positive
from tinygradrnn.nn.modules import Parameter
from tinygradrnn.tensors import Tensor


class LSTMState(NamedTuple):
    """The state of an LSTM: hidden state h (B, H), which is also the output, and memory c."""

    h: Tensor
    c: Tensor


class LSTMCell(GatedCell):
    """Memory c that gates write, keep and read.

    With (i, f, g, o) the four blocks of x_t W_x + h_{t−1} W_h + b:

    i = σ(i), f = σ(f), g = tanh(g), o = σ(o);
    c_t = f ⊙ c_{t−1} + i ⊙ g,  h_t = o ⊙ tanh(c_t),  y_t = h_t.

    Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000. Note set 000 (after
    Goldberg) writes z for g and has no bias: ``bias=False``; note sets 001 (after Graves) and 003
    have it. Note set 002 wraps c_t in one σ too many. Gate order i f g o as PyTorch; Keras calls g
    c; others (i f o g) differ. PyTorch keeps two biases: here their sum.

    Parameters
    ----------
    input_size, hidden_size : int
        F and H.
    peephole : bool
        The gates also see the memory, through diagonal weights: i and f see p_i ⊙ c_{t−1} and
        p_f ⊙ c_{t−1}, o sees p_o ⊙ c_t (Gers & Schmidhuber 2000).
    coupled : bool
        i = 1 − f (note set 003): there is no gate i, and W_x, W_h, b hold f g o only.
    forget_bias : float
        Initial b_f (Jozefowicz et al. 2015 find 1 best); nothing without ``bias``.
    bias : bool
    activation : "tanh", "sigmoid", "relu" or "linear"
        Of the candidate g and of c_t in the output.

    Attributes
    ----------
    W_x : Parameter (input_size, 4 hidden_size)
    W_h : Parameter (hidden_size, 4 hidden_size)
    b : Parameter (4 hidden_size,) or None
    p_i, p_f, p_o : Parameter (hidden_size,)
        With ``peephole``.
    W_xi, W_xf, W_xg, W_xo, W_hi, …, b_o
        The blocks, readable and assignable.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        peephole: bool = False,
        coupled: bool = False,
        forget_bias: float = 1.0,
        bias: bool = True,
        activation: str = "tanh",
    ) -> None:
        positive(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.peephole, self.coupled = peephole, coupled
        self.activation = activation_named(activation, ("tanh", "sigmoid", "relu", "linear"))
        self.letters = "fgo" if coupled else "ifgo"
        n = len(self.letters)
        F_, H = input_size, hidden_size
        self.W_x = Parameter(initialisers.blocks(initialisers.glorot, F_, H, n))
        self.W_h = Parameter(initialisers.blocks(initialisers.orthogonal, H, H, n))
        self.b: Parameter | None = None
        if bias:
            start = np.zeros((n, H), np.float32)
            start[self.letters.index("f")] = forget_bias
            self.b = Parameter(start.reshape(-1))
        if peephole:
            self.p_i = None if coupled else Parameter(initialisers.zeros((H,)))
            self.p_f = Parameter(initialisers.zeros((H,)))
            self.p_o = Parameter(initialisers.zeros((H,)))
        chosen = {"peepholes": peephole, "coupled gates": coupled}
        self.variant = ", ".join(name for name, on in chosen.items() if on)
        self.views = self.name_views(W_x=self.letters, W_h=self.letters, b=self.letters)
        self.equations = self._equations(activation, bias)

    def _equations(self, activation: str, bias: bool) -> dict[str, str]:
        def line(letter: str, activation: str, *memory: str) -> str:
            products = [f"x_t @ W_x{letter}", f"h_{{t−1}} @ W_h{letter}"]
            products += [f"p_{letter} ⊙ {c}" for c in memory if self.peephole]
            a = affine(*products, bias=f"b_{letter}" if bias else None)
            return f"{letter}_t = {applied(activation, a)}"

        own_gate = {} if self.coupled else {"input gate": line("i", "sigmoid", "c_{t−1}")}
        return {
            **own_gate,
            "forget gate": line("f", "sigmoid", "c_{t−1}"),
            **({"input gate": "i_t = 1 − f_t"} if self.coupled else {}),
            "candidate": line("g", activation),
            "c": "c_t = f_t ⊙ c_{t−1} + i_t ⊙ g_t",
            "output gate": line("o", "sigmoid", "c_t"),
            "h": f"h_t = o_t ⊙ {applied(activation, 'c_t')}",
            "y": "y_t = h_t",
        }

    def transition(self, state: LSTMState, x: Tensor) -> LSTMState:
        """R: the next (h, c), each (B, H)."""
        h, c = state
        z = x @ self.W_x + h @ self.W_h
        if self.b is not None:
            z = z + self.b
        see = self.peephole

        def block(letter: str, p: Parameter | None = None, memory: Tensor | None = None) -> Tensor:
            own = self.block(z, self.letters.index(letter))
            return own if p is None or memory is None else own + p * memory

        if not self.coupled:
            p_i = self.p_i if see else None
            i = gate("input gate", "i", F.sigmoid, lambda: block("i", p_i, c))
        f = gate("forget gate", "f", F.sigmoid, lambda: block("f", self.p_f if see else None, c))
        g = gate("candidate", "g", self.activation, lambda: block("g"))
        if self.coupled:
            i = gate("input gate", "i", lambda f: 1 - f, lambda: f)
        c = f * c + i * g
        o = gate("output gate", "o", F.sigmoid, lambda: block("o", self.p_o if see else None, c))
        return LSTMState(o * self.activation(c), c)

    def initial_state(self, batch: int) -> LSTMState:
        """Zeros, twice (B, H)."""
        return LSTMState(self.zeros(batch, self.hidden_size), self.zeros(batch, self.hidden_size))
