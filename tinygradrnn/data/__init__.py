"""Data that ships with the package."""

from __future__ import annotations

from importlib.resources import files

from tinygradrnn.data.pen import digits

__all__ = ["digits", "shakespeare"]


def shakespeare() -> str:
    """Nine plays of Shakespeare, ``Name:`` before each speech: 1.19 million characters, 70 kinds.

    In the public domain.
    """
    return files(__name__).joinpath("shakespeare.txt").read_text("utf-8")
