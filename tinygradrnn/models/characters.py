"""A model of text, character by character."""

from __future__ import annotations

from typing import Any

from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.arrays import TensorLike
from tinygradrnn.nn import initialisers
from tinygradrnn.nn.layers import positive
from tinygradrnn.nn.states import State
from tinygradrnn.tensors import Tensor

CELLS: dict[str, type[nn.Elman | nn.LSTM | nn.GRU]] = {
    "elman": nn.Elman,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


class CharacterModel(nn.Module):
    """p(x_{t+1} | x_1 … x_t): what the next character is, given all before it.

    e_t = E[x_t],  s_t = R(s_{t−1}, e_t),  p(x_{t+1} | x_1 … x_t) = softmax(O(s_t) W_y + b_y).

    Mikolov et al. 2010, with characters for words, and with any of the cells.

    Parameters
    ----------
    kinds : int
        How many kinds of characters there are, V.
    cell : "lstm", "gru" or "elman"
    embedding, hidden, layers : int
        Sizes of e_t and of the output of a layer; how many recurrent layers.
    dropout : float
        Probability of dropping elements of each layer's input, and of the last one's output.
    """

    def __init__(
        self,
        kinds: int,
        *,
        cell: str = "lstm",
        embedding: int = 64,
        hidden: int = 128,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        if cell not in CELLS:
            raise ValueError(f"cell: {cell!r} is not one of {', '.join(CELLS)}")
        positive(kinds=kinds, embedding=embedding, hidden=hidden, layers=layers)
        self.embedding = nn.Embedding(kinds, embedding)
        # As large as a state: with the small values of an embedding for words (±0.05) the cell
        # hears little of its input at first.
        self.embedding.W.data = initialisers.uniform((kinds, embedding), 1.0)
        # A forget gate that starts half closed learns text faster than one that starts open.
        options: dict[str, Any] = {"forget_bias": 0.0} if cell == "lstm" else {}
        self.rnn: nn.Module = CELLS[cell](
            embedding, hidden, num_layers=layers, dropout=dropout, **options
        )
        self.dropout = nn.Dropout(dropout)
        self.readout = nn.Linear(hidden, kinds)
        around = [*self.embedding.parameters(), *self.readout.parameters()]
        for parameter, name in zip(around, ("E", "W_y", "b_y"), strict=True):
            parameter.name = name  # as in the formula, for drawings

    def forward(self, ids: TensorLike, state: State = None) -> tuple[Tensor, State]:
        """Read characters (B, T): the scores (B, T, V) of those that follow, and the state."""
        y, state = self.rnn(self.embedding(ids), state)
        scores: Tensor = self.readout(self.dropout(y))
        return scores, state

    def loss(
        self, ids: TensorLike, targets: TensorLike, state: State = None
    ) -> tuple[Tensor, State]:
        """The mean cross-entropy −log p(target), in nats, and the state."""
        scores, state = self(ids, state)
        return F.cross_entropy(scores, targets), state
