"""The structurally constrained recurrent network."""

from __future__ import annotations

from math import log
from numbers import Real
from typing import Literal, NamedTuple

import numpy as np

from tinygradrnn import functional as F
from tinygradrnn.nn import initialisers
from tinygradrnn.nn.cells.base import Cell
from tinygradrnn.nn.layers import positive
from tinygradrnn.nn.modules import Parameter
from tinygradrnn.recording import scope
from tinygradrnn.tensors import Tensor


class SCRNState(NamedTuple):
    """The state of an SCRN: hidden units h (B, H) and slowly changing context units s (B, C)."""

    h: Tensor
    s: Tensor


class SCRNCell(Cell):
    """Context units s that change slowly, beside the hidden units h of a simple RNN.

    s_t = α s_{t−1} + (1 − α) x_t B,
    h_t = σ(s_t P + x_t A + h_{t−1} R + b),  y_t = [h_t ; s_t].

    Mikolov et al. 2015; note set 004. The context is a running mean of the inputs, without an
    activation: gradients through it shrink by α a step and no faster. The paper has no b, and
    applies its output layer U h_t + V s_t to both parts: a ``Linear`` on y, which joins them.

    Parameters
    ----------
    input_size, hidden_size, context_size : int
        F, H and C.
    alpha : float or "learned"
        α, from 0 (the context forgets at once) to 1 (it never changes); 0.95 in the paper.
        "learned": one for each context unit, α = σ(β), starting at 0.95.

    Attributes
    ----------
    A : Parameter (input_size, hidden_size)
    B : Parameter (input_size, context_size)
    P : Parameter (context_size, hidden_size)
    R : Parameter (hidden_size, hidden_size)
    b : Parameter (hidden_size,)
    beta : Parameter (context_size,) or None
        β, with ``alpha="learned"``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        context_size: int,
        *,
        alpha: float | Literal["learned"] = 0.95,
    ) -> None:
        positive(input_size=input_size, hidden_size=hidden_size, context_size=context_size)
        learned = isinstance(alpha, str) and alpha == "learned"
        if not learned and not (isinstance(alpha, Real) and 0 <= alpha <= 1):
            raise ValueError(
                f"SCRNCell: alpha must be a number from 0 to 1 or 'learned', got {alpha!r}"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        self.context_size = context_size
        self.fixed_alpha = None if learned else float(alpha)
        self.variant = "α learned" if learned else f"α = {alpha:g}"
        self.A = Parameter(initialisers.glorot((input_size, hidden_size)))
        self.B = Parameter(initialisers.glorot((input_size, context_size)))
        self.P = Parameter(initialisers.glorot((context_size, hidden_size)))
        self.R = Parameter(initialisers.orthogonal((hidden_size, hidden_size)))
        self.b = Parameter(initialisers.zeros((hidden_size,)))
        start = np.full(context_size, log(0.95 / 0.05), np.float32)
        self.beta = Parameter(start) if learned else None
        fixed = self.fixed_alpha
        keep, write = "α ⊙", "(1 − α) ⊙"
        if fixed is not None:
            keep, write = f"{fixed:g} ·", f"{1 - fixed:g} ·"
        self.equations = {
            **({"α": "α = σ(β)"} if learned else {}),
            "context": f"s_t = {keep} s_{{t−1}} + {write} (x_t @ B)",
            "hidden layer": "h_t = σ(s_t @ P + x_t @ A + h_{t−1} @ R + b)",
            "y": "y_t = [h_t ; s_t]",
        }

    @property
    def alpha(self) -> Tensor | float:
        """α: the number, or σ(β) (C,)."""
        if self.fixed_alpha is not None:
            return self.fixed_alpha
        alpha = F.sigmoid(self.beta)
        alpha.name = "α"
        return alpha

    def transition(self, state: SCRNState, x: Tensor) -> SCRNState:
        """R: the next h (B, H) and s (B, C)."""
        h, s = state
        with scope("context"):
            alpha = self.alpha
            s = alpha * s + (1 - alpha) * (x @ self.B)
        with scope("hidden layer"):
            h = F.sigmoid(s @ self.P + x @ self.A + h @ self.R + self.b)
        return SCRNState(h, s)

    def output(self, state: SCRNState) -> Tensor:
        """O: (B, H + C)."""
        y = F.concatenate(state, axis=-1)
        y.name = "y"
        return y

    def initial_state(self, batch: int) -> SCRNState:
        """Zeros (B, H) and (B, C)."""
        return SCRNState(self.zeros(batch, self.hidden_size), self.zeros(batch, self.context_size))
