"""What counting achieves: n-grams, the baseline that a recurrent network has to beat."""

from __future__ import annotations

import numpy as np

from tinygradrnn.text.vocabulary import Ids


def ngram_bits_per_character(train: Ids, text: Ids, kinds: int, n: int = 5) -> float:
    """−(1/N) Σ log₂ p_n(w | the n − 1 characters before w), over the characters w of a text.

    With c(h w) the number of times that w followed h in the training text, c(h) their sum over w,
    and d(h) the number of different w among them (Witten & Bell 1991):

    p_k(w | h) = (c(h w) + d(h) p_{k−1}(w | h′)) / (c(h) + d(h)),

    where h is the last k − 1 characters, h′ lacks the oldest of them, and p_0 = 1 / V.

    Parameters
    ----------
    train, text : integers
        The text that is counted, and the one to predict, which goes on after it.
    kinds : int
        How many kinds of characters there are, V.
    n : int
    """
    ids = np.concatenate([train, text])
    counted, asked = slice(None, len(train)), slice(len(train), None)
    history = np.zeros(len(ids), np.int64)  # before each character, as a number: at first none
    p = np.full(len(text), 1 / kinds)
    for _ in range(n):
        grams, gram = np.unique(history * kinds + ids, return_inverse=True)
        histories = int(history.max()) + 1
        c = np.bincount(gram[counted], minlength=len(grams))
        total = np.bincount(history[counted], minlength=histories)[history[asked]]
        d = np.bincount((grams // kinds)[c > 0], minlength=histories)[history[asked]]
        known = total > 0
        p[known] = ((c[gram[asked]] + d * p) / np.maximum(total + d, 1))[known]
        history = np.append(len(grams), gram[:-1])  # nothing comes before the first
    return float(-np.log2(p).mean())
