"""The line of Python that an operation is written in."""

from __future__ import annotations

import linecache
from pathlib import Path
from typing import NamedTuple

from tinygradrnn.ops.base import PACKAGE
from tinygradrnn.recording import Node


class Line(NamedTuple):
    """A line of a program.

    Attributes
    ----------
    file : str
        Seen from the package for a file of this package, ``tinygradrnn/nn/cells/lstm.py``; else the
        name of the file alone, so that a page does not tell where it was made.
    number : int
    text : str
        The line itself; empty where the source is not at hand.
    """

    file: str
    number: int
    text: str


def python_line(node: Node) -> Line | None:
    """The line that an operation is written in: of a cell of this package, or of the user.

    None unless the node was recorded under :func:`tinygradrnn.debug`.
    """
    if node.lines is None:
        return None
    file, _, number = node.lines[0].rpartition(":")
    text = linecache.getline(file, int(number)).strip()
    path = Path(file)
    if file.startswith(PACKAGE):
        package = Path(PACKAGE)
        return Line(path.relative_to(package.parent).as_posix(), int(number), text)
    return Line(path.name, int(number), text)
