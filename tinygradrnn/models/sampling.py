"""Text from a model, one character drawn after the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygradrnn import seeds
from tinygradrnn.models.characters import CharacterModel
from tinygradrnn.recording import no_grad
from tinygradrnn.text import Vocabulary


@no_grad()
def generate(
    model: CharacterModel,
    vocabulary: Vocabulary,
    length: int,
    *,
    prime: str = "",
    temperature: float = 1.0,
    count: int = 1,
) -> list[str]:
    """Draw x_{t+1} from softmax(scores / temperature), feed it back, and so on.

    Parameters
    ----------
    model : CharacterModel
        Dropout is off while it speaks.
    vocabulary : Vocabulary
        The one that it was trained with.
    length : int
        Characters to draw.
    prime : str
        What it reads first; if empty, a line end (where the vocabulary has one).
    temperature : float
        1 draws from the model's own distribution; towards 0 the likeliest character wins more and
        more often, and at 0 always; above 1 the draws get wilder.
    count : int
        How many texts to draw, side by side.

    Returns
    -------
    list of str
        The texts, of ``length`` characters each, without the prime.
    """
    if not 0 <= temperature < float("inf"):
        raise ValueError(f"temperature must be a number of at least 0, got {temperature}")
    known = vocabulary.characters
    ids = np.tile(vocabulary.encode(prime or ("\n" if "\n" in known else known[0])), (count, 1))
    training = model.training
    model.eval()
    try:
        state, drawn = None, []
        for _ in range(length):
            scores, state = model(ids, state)
            ids = draw(scores[:, -1].numpy(), temperature)[:, None]
            drawn.append(ids[:, 0])
    finally:
        model.train(training)
    return [vocabulary.decode(text) for text in np.reshape(drawn, (length, count)).T]


def draw(scores: np.ndarray[Any, Any], temperature: float) -> np.ndarray[Any, Any]:
    """One class from each row of scores (B, V)."""
    if temperature == 0:
        best: np.ndarray[Any, Any] = scores.argmax(axis=1)
        return best
    heat = scores.astype(np.float64)
    with np.errstate(over="ignore"):  # a tiny temperature leaves only the likeliest
        heat = np.exp((heat - heat.max(axis=1, keepdims=True)) / temperature)
    reached = heat.cumsum(axis=1)
    wanted = seeds.generator().random((len(scores), 1)) * reached[:, -1:]
    drawn: np.ndarray[Any, Any] = (reached <= wanted).sum(axis=1)
    return drawn
