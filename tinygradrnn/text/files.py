"""Reading text files, with one clear sentence for each thing that can be wrong."""

from __future__ import annotations

import os
from pathlib import Path


class TextError(ValueError):
    """A text that cannot be read, or that nothing can be learned from."""


def read_text(path: str | os.PathLike[str]) -> str:
    r"""Read a UTF-8 file; all kinds of line ends become ``"\n"``, a byte order mark is dropped.

    Raises
    ------
    TextError
        If the file is missing, a folder, unreadable, empty, or not UTF-8.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise TextError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise TextError(f"{path} is a folder; give a text file") from None
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror or error}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise TextError(
            f"{path} is not UTF-8 text: byte 0x{data[error.start]:02x} in line {line}; "
            "save it as UTF-8 first"
        ) from None
    if not text:
        raise TextError(f"{path} is empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")
