"""A long text cut into what one training step reads."""

from __future__ import annotations

import numpy as np

from tinygradrnn.text.vocabulary import Ids


def split(ids: Ids, held_out: float = 0.1) -> tuple[Ids, Ids]:
    """The first part, to train on, and the last, held out: its share is ``held_out``."""
    start = len(ids) - max(1, round(len(ids) * held_out))
    return ids[:start], ids[start:]


class Streams:
    """Batches for truncated BPTT: several readers, each of which goes on where it stopped.

    Reader b starts at b/B of the text. Every step each reads the next T characters, and has to
    predict the one after each, so the state that a batch ends with is the state that the next one
    starts with. A reader that comes to the end goes on at the beginning.

    Parameters
    ----------
    ids : integers (N,)
        The text.
    batch, length : int
        B and T; one batch must not read a character twice: N > B T.
    """

    def __init__(self, ids: Ids, batch: int, length: int) -> None:
        if len(ids) <= batch * length:
            raise ValueError(
                f"{len(ids):,} characters are too few: {batch} readers of {length} characters "
                f"need at least {batch * length + 1:,}"
            )
        self.ids = ids
        starts = np.arange(batch) * (len(ids) // batch)
        self._window = starts[:, None] + np.arange(length + 1)
        self.length = length

    def __getitem__(self, step: int) -> tuple[Ids, Ids]:
        """The inputs and the targets (B, T) of a step, 0 the first."""
        read = self.ids[(self._window + step * self.length) % len(self.ids)]
        return read[:, :-1], read[:, 1:]
