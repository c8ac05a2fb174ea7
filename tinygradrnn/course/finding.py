"""Where the tutorials are, and which of them is meant."""

from __future__ import annotations

from pathlib import Path

from tinygradrnn.course.parsing import FILE_NAME, Tutorial, TutorialError, read_tutorial

PACKAGE = Path(__file__).resolve().parent
FOLDERS = (PACKAGE / "tutorials", PACKAGE.parent.parent / "tutorials")
"""Inside an installed package; beside it, where one works on it."""


def tutorial_files(folder: Path | None = None) -> dict[str, Path]:
    """The files of the tutorials in a folder, or of the course, by their numbers, in order.

    Raises
    ------
    TutorialError
        If there are none, or two with one number.
    """
    folders = FOLDERS if folder is None else (folder,)
    for each in folders:
        paths = sorted(path for path in each.glob("*.py") if FILE_NAME.fullmatch(path.name))
        found: dict[str, Path] = {}
        for path in paths:
            first = found.setdefault(path.name[:2], path)
            if first != path:
                raise TutorialError(f"{first} and {path} have the same number")
        if found:
            return found
    raise TutorialError(
        f"no tutorials (files such as 03_recurrence.py) in {' or '.join(map(str, folders))}"
    )


def find_tutorial(which: str, folder: Path | None = None) -> Tutorial:
    """A tutorial by its number, with or without the zero, or by its name.

    Raises
    ------
    TutorialError
        If there is none, or it is not of the form that tutorials have.
    """
    files = tutorial_files(folder)
    known = {
        name: path
        for number, path in files.items()
        for name in (number, path.stem, path.stem[3:], path.name)
    }
    path = known.get(which.zfill(2))
    if path is None:
        there = ", ".join(f"{number} ({path.stem[3:]})" for number, path in files.items())
        raise TutorialError(f"no tutorial {which!r}; there are {there}")
    return read_tutorial(path)
