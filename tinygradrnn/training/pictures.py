"""Graphs to be drawn: of a model that reads a few characters, of a cell on its own."""

from __future__ import annotations

from tinygradrnn import functional as F
from tinygradrnn import seeds
from tinygradrnn.models import CELLS, CharacterModel
from tinygradrnn.recording import scope, timestep
from tinygradrnn.tensors import Tensor, tensor
from tinygradrnn.text import Vocabulary


def unrolled_loss(model: CharacterModel, vocabulary: Vocabulary, text: str) -> Tensor:
    """The loss of predicting a short text, with all that belongs to a time step inside it.

    L = (1/T) Σ_t L_t, L_t = −log p(x_{t+1} | x_1 … x_t): the same number as ``model.loss``, which
    looks up all characters in one operation and scores all states in another.

    Parameters
    ----------
    model : CharacterModel
    vocabulary : Vocabulary
    text : str
        T + 1 characters: the first is only read, the last only predicted.
    """
    ids = vocabulary.encode(text)
    vectors, losses = [], []
    for t, (character, number) in enumerate(zip(text[:-1], ids[:-1], strict=True), 1):
        with timestep(t):
            vectors.append(model.embedding(tensor([number], name=repr(character))))
    y, _ = model.rnn(F.stack(vectors, axis=1))
    for t, (output, number) in enumerate(zip(F.unstack(y, axis=1), ids[1:], strict=True), 1):
        with timestep(t):
            scores = model.readout(output)
            with scope("cross-entropy"):
                losses.append(-F.log_softmax(scores)[0, int(number)])
    loss: Tensor = F.stack(losses).mean()
    return loss


def cell_example(cell: str, steps: int) -> Tensor:
    """The sum of what a small layer puts out last, after reading random numbers.

    Parameters
    ----------
    cell : "lstm", "gru" or "elman"
    steps : int
    """
    seeds.manual_seed(0)
    layer = CELLS[cell](3, 4)
    x = tensor(seeds.generator().standard_normal((1, steps, 3)), name="x", dtype="float32")
    total: Tensor = layer(x).last.sum()
    return total
