"""How well a model predicts text that it has not seen."""

from __future__ import annotations

from math import log

import numpy as np

from tinygradrnn import functional as F
from tinygradrnn.models import CharacterModel
from tinygradrnn.recording import no_grad
from tinygradrnn.text.vocabulary import Ids

READERS = 32  # places of the text that are read side by side
LENGTH = 128  # steps at a time


@no_grad()
def bits_per_character(model: CharacterModel, text: Ids) -> float:
    """−(1/N) Σ log₂ p(x_{n+1} | all before it): cross-entropy / ln 2, for x_2 … x_{N+1}.

    The text is read in a few long parts, side by side. The state is carried through each from its
    first character to its last, and starts at the initial one. Dropout is off.

    Parameters
    ----------
    model : CharacterModel
    text : integers (N + 1,)
        The first character is only read, every other one is predicted too.

    Returns
    -------
    float
        log₂ V for a model that knows nothing.
    """
    count = len(text) - 1
    if count < 1:
        raise ValueError("bits_per_character needs a text of at least two characters")
    readers = min(READERS, -(-count // LENGTH))
    share = -(-count // readers)
    filled = np.pad(text, (0, readers * share - count))
    inputs = filled[:-1].reshape(readers, share)
    targets = filled[1:].reshape(readers, share)
    counts = (np.arange(readers * share) < count).reshape(readers, share)
    training = model.training
    model.eval()
    try:
        state, nats = None, 0.0
        for t in range(0, share, LENGTH):
            part = slice(t, t + LENGTH)
            scores, state = model(inputs[:, part], state)
            losses = F.cross_entropy(scores, targets[:, part], reduction="none")
            nats += float(losses.numpy()[counts[:, part]].sum(dtype=np.float64))
    finally:
        model.train(training)
    return nats / count / log(2)
