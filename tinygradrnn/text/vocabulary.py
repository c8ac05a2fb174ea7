"""Which symbols there are, and their numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

Ids = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


class Vocabulary:
    """The kinds of characters of a text, numbered in the order of their code points.

    Parameters
    ----------
    text : str or iterable of str
        What holds them all: the text itself, or the ``characters`` of another vocabulary.

    Attributes
    ----------
    characters : str
        Each kind once; the number of a character is its place here.
    """

    def __init__(self, text: Iterable[str]) -> None:
        self.characters = "".join(sorted(set(text)))
        self._codes = np.array([ord(character) for character in self.characters], np.int64)

    def __len__(self) -> int:
        return len(self.characters)

    def encode(self, text: str) -> Ids:
        """The numbers of the characters.

        Raises
        ------
        ValueError
            Naming the first character that the vocabulary lacks.
        """
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.int64)
        found = np.searchsorted(self._codes, codes)
        known = self._codes[np.minimum(found, len(self) - 1)] == codes
        if not known.all():
            missing = text[int(np.argmin(known))]
            raise ValueError(f"the character {missing!r} is not in the vocabulary")
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """The text of the numbers."""
        return "".join([self.characters[i] for i in ids])
