"""The Elman network with more layers inside one step."""

from __future__ import annotations

from collections.abc import Sequence

from tinygradrnn import functional as F
from tinygradrnn.nn import initialisers
from tinygradrnn.nn.cells.base import Cell
from tinygradrnn.nn.layers import Linear, positive
from tinygradrnn.nn.modules import Parameter
from tinygradrnn.recording import scope
from tinygradrnn.tensors import Tensor


class DeepElmanCell(Cell):
    """s_t = T(tanh(I(x_t) W_x + s_{t−1} W_s + b)),  y_t = O(s_t).

    I, T and O are chains of layers u ← tanh(u W + b), as many as the sizes below say beyond the
    first. The first layers are those of :class:`ElmanCell`: W_x for the input, W_s for the state,
    and for the output the readout that follows the cell. So with 1, 1, 1 nothing is added, and the
    cell is an Elman cell with the same parameters under the same names.

    Note set 003 ("more layers in each input, state and output"); Pascanu et al. 2014, where x_t
    enters below the layers of the transition, as here. Others give s_{t−1} a chain of its own and
    add x_t after it. :class:`~tinygradrnn.nn.Stacked` is the other way to be deep: there every
    layer has a state.

    Parameters
    ----------
    input_size, hidden_size : int
        F and H; every added layer is of size H.
    input_layers, transition_layers, output_layers : int
        At least 1.

    Attributes
    ----------
    W_x : Parameter (input_size, hidden_size), or (hidden_size, hidden_size) above an input map
    W_s : Parameter (hidden_size, hidden_size)
    b : Parameter (hidden_size,)
    input_map, transition_map, output_map : list of Linear
        The layers of I, T and O, lowest first.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        input_layers: int = 1,
        transition_layers: int = 1,
        output_layers: int = 1,
    ) -> None:
        positive(input_size=input_size, hidden_size=hidden_size, input_layers=input_layers)
        positive(transition_layers=transition_layers, output_layers=output_layers)
        self.input_size, self.hidden_size = input_size, hidden_size
        H = hidden_size
        added = {"input": input_layers, "transition": transition_layers, "output": output_layers}
        self.variant = ", ".join(f"{n} {name} layers" for name, n in added.items() if n > 1)
        self.input_map = [Linear(H if k else input_size, H) for k in range(input_layers - 1)]
        below = H if self.input_map else input_size
        self.W_x = Parameter(initialisers.glorot((below, H)))
        self.W_s = Parameter(initialisers.orthogonal((H, H)))
        self.b = Parameter(initialisers.zeros((H,)))
        self.transition_map = [Linear(H, H) for _ in range(transition_layers - 1)]
        self.output_map = [Linear(H, H) for _ in range(output_layers - 1)]
        self.equations = self._equations()

    def _equations(self) -> dict[str, str]:
        lines = {}

        def chain(layers: Sequence[Linear], what: str, u: str, names: str, last: str) -> str:
            for k, _ in enumerate(layers):
                linear = f"{u} @ {what}_map[{k}].W + {what}_map[{k}].b"
                u = f"{last if last and k == len(layers) - 1 else f'{names}{k + 1}'}_t"
                lines[f"{what} layer {k + 1}"] = f"{u} = tanh({linear})"
            return u

        read = chain(self.input_map, "input", "x_t", "u", "")
        first = "v" if self.transition_map else "s"
        lines[first] = f"{first}_t = tanh({read} @ W_x + s_{{t−1}} @ W_s + b)"
        chain(self.transition_map, "transition", "v_t", "v", "s")
        if not self.output_map:
            lines["y"] = "y_t = s_t"
        chain(self.output_map, "output", "s_t", "o", "y")
        return lines

    def transition(self, state: Tensor, x: Tensor) -> Tensor:
        """R: (B, H) from (B, H) and (B, F)."""
        x = self._through(self.input_map, "input layer", x)
        s = F.tanh(x @ self.W_x + state @ self.W_s + self.b)
        if self.transition_map:
            s.name = "v"
        return self._through(self.transition_map, "transition layer", s)

    def output(self, state: Tensor) -> Tensor:
        """O: (B, H) from (B, H)."""
        return self._through(self.output_map, "output layer", state)

    @staticmethod
    def _through(layers: Sequence[Linear], what: str, u: Tensor) -> Tensor:
        for number, layer in enumerate(layers, 1):
            with scope(f"{what} {number}"):
                u = F.tanh(layer(u))
        return u

    def initial_state(self, batch: int) -> Tensor:
        """Zeros (B, H)."""
        return self.zeros(batch, self.hidden_size)
