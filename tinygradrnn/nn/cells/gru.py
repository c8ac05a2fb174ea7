"""The gated recurrent unit."""

from __future__ import annotations

from typing import Literal

from tinygradrnn import functional as F
from tinygradrnn.nn import initialisers
from tinygradrnn.nn.cells.base import GatedCell, affine, gate
from tinygradrnn.nn.layers import positive
from tinygradrnn.nn.modules import Parameter
from tinygradrnn.tensors import Tensor


class GRUCell(GatedCell):
    """Update gate z and reset gate r over one state s.

    With (z, r, g) the blocks of x_t W_x + b, and (u, v) those of s_{t−1} W_s:

    z = σ(z + u),  r = σ(r + v);
    candidate, ``reset="before"``: g = tanh(g + (r ⊙ s_{t−1}) W_sg)  (Cho et al. 2014; note sets 000
    and 002), ``reset="after"``: g = tanh(g + r ⊙ (s_{t−1} W_sg + b_sg))  (note set 001; PyTorch,
    cuDNN; Keras by default);
    ``update="candidate"``: s_t = (1 − z) ⊙ s_{t−1} + z ⊙ g  (note sets 000 and 002),
    ``update="state"``: s_t = z ⊙ s_{t−1} + (1 − z) ⊙ g  (note set 001; PyTorch, Keras).

    The two updates are the same model with the weights of z negated; the two resets are not.

    Parameters
    ----------
    input_size, hidden_size : int
        F and H.
    reset : "before" or "after"
        Whether r acts before or after the product with W_sg.
    update : "candidate" or "state"
        What z multiplies.
    bias : bool

    Attributes
    ----------
    W_x : Parameter (input_size, 3 hidden_size)
        In the order z r g (PyTorch: r z n).
    W_s : Parameter (hidden_size, 2 hidden_size)
        For z and r.
    W_sg : Parameter (hidden_size, hidden_size)
    b : Parameter (3 hidden_size,) or None
    b_sg : Parameter (hidden_size,) or None
        With ``reset="after"`` and ``bias``.
    W_xz, W_xr, W_xg, W_sz, W_sr, b_z, b_r, b_g
        The blocks, readable and assignable.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset: Literal["before", "after"] = "before",
        update: Literal["candidate", "state"] = "candidate",
        bias: bool = True,
    ) -> None:
        positive(input_size=input_size, hidden_size=hidden_size)
        if reset not in ("before", "after"):
            raise ValueError(f"reset must be 'before' or 'after', got {reset!r}")
        if update not in ("candidate", "state"):
            raise ValueError(f"update must be 'candidate' or 'state', got {update!r}")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.reset, self.update = reset, update
        F_, H = input_size, hidden_size
        self.W_x = Parameter(initialisers.blocks(initialisers.glorot, F_, H, 3))
        self.W_s = Parameter(initialisers.blocks(initialisers.orthogonal, H, H, 2))
        self.W_sg = Parameter(initialisers.orthogonal((H, H)))
        self.b = Parameter(initialisers.zeros((3 * H,))) if bias else None
        self.b_sg = Parameter(initialisers.zeros((H,))) if bias and reset == "after" else None
        chosen = {"reset after": reset == "after", "z keeps the state": update == "state"}
        self.variant = ", ".join(name for name, on in chosen.items() if on)
        self.views = self.name_views(W_x="zrg", W_s="zr", b="zrg")
        self.equations = self._equations(bias)

    def _equations(self, bias: bool) -> dict[str, str]:
        def line(letter: str, seen: str) -> str:
            a = affine(f"x_t @ W_x{letter}", seen, bias=f"b_{letter}" if bias else None)
            return f"{letter}_t = {'tanh' if letter == 'g' else 'σ'}({a})"

        seen = "(r_t ⊙ s_{t−1}) @ W_sg"
        if self.reset == "after":
            product = affine("s_{t−1} @ W_sg", bias="b_sg" if bias else None)
            seen = f"r_t ⊙ ({product})"
        old, new = ("(1 − z_t)", "z_t") if self.update == "candidate" else ("z_t", "(1 − z_t)")
        return {
            "update gate": line("z", "s_{t−1} @ W_sz"),
            "reset gate": line("r", "s_{t−1} @ W_sr"),
            "candidate": line("g", seen),
            "s": f"s_t = {old} ⊙ s_{{t−1}} + {new} ⊙ g_t",
            "y": "y_t = s_t",
        }

    def transition(self, state: Tensor, x: Tensor) -> Tensor:
        """R: (B, H) from (B, H) and (B, F)."""
        s = state
        a = x @ self.W_x
        if self.b is not None:
            a = a + self.b
        u = s @ self.W_s
        block = self.block
        z = gate("update gate", "z", F.sigmoid, lambda: block(a, 0) + block(u, 0))
        r = gate("reset gate", "r", F.sigmoid, lambda: block(a, 1) + block(u, 1))
        g = gate("candidate", "g", F.tanh, lambda: block(a, 2) + self._remembered(r, s))
        return (1 - z) * s + z * g if self.update == "candidate" else z * s + (1 - z) * g

    def _remembered(self, r: Tensor, s: Tensor) -> Tensor:
        """What the candidate sees of the state."""
        if self.reset == "before":
            return (r * s) @ self.W_sg
        product = s @ self.W_sg
        return r * (product if self.b_sg is None else product + self.b_sg)

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, H)."""
        return self.zeros(batch, self.hidden_size)
