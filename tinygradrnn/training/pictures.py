"""The graph of a model at work, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinygradrnn import functional as F
from tinygradrnn.models import CharacterModel
from tinygradrnn.recording import timestep
from tinygradrnn.tensors import Tensor
from tinygradrnn.text.vocabulary import Ids


def unrolled_loss(model: CharacterModel, text: Ids) -> Tensor:
    """The loss of predicting a short text, with all that belongs to a time step inside it.

    L = (1/T) Σ_t L_t, L_t = −log p(x_{t+1} | x_1 … x_t): the same number as ``model.loss``, which
    looks up all characters in one operation and scores all states in another.

    Parameters
    ----------
    model : CharacterModel
    text : integers (T + 1,)
    """
    count = len(text) - 1
    vectors, losses = [], []
    for t in range(count):
        with timestep(t + 1):
            vectors.append(model.embedding(text[None, t]))
    y, _ = model.rnn(F.stack(vectors, axis=1))
    for t, state in enumerate(F.unstack(y, axis=1)):
        with timestep(t + 1):
            losses.append(F.cross_entropy(model.readout(state), text[None, t + 1]))
    return F.stack(losses).mean()
