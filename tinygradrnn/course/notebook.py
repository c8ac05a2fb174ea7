"""A tutorial as a Jupyter notebook."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from tinygradrnn.checkpoint import write_atomically
from tinygradrnn.course.parsing import Cell, Tutorial

JUPYTER = ("jupyter-lab", "jupyter-notebook")
HIDDEN = {"jupyter": {"source_hidden": True}}


class NotebookError(Exception):
    """Why no notebook is written, and what to do."""


def as_notebook(tutorial: Tutorial) -> Any:
    """The notebook, not yet run; its solutions are folded away until they are asked for.

    Raises
    ------
    NotebookError
        If nbformat is not installed.
    """
    try:
        v4 = import_module("nbformat").v4
    except ImportError:
        raise NotebookError(
            "notebooks are written by nbformat, which is not installed; "
            "pip install 'tinygradrnn[notebook]'"
        ) from None
    make = {"prose": v4.new_markdown_cell, "code": v4.new_code_cell}
    cells = [
        make[cell.kind](cell.source, id=f"cell-{n}", metadata=_metadata(cell))
        for n, cell in enumerate(tutorial.cells, 1)
    ]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}, "title": tutorial.title}
    return v4.new_notebook(cells=cells, metadata=metadata)


def write_notebook(tutorial: Tutorial, path: Path) -> Path:
    """Write the notebook, and return where it is."""
    text = json.dumps(as_notebook(tutorial), ensure_ascii=False, indent=1)
    write_atomically(path, f"{text}\n".encode())
    return path


def find_jupyter() -> str | None:
    """The program that opens notebooks: of this Python's environment, or else of the system."""
    own = str(Path(sys.executable).parent)
    found = (shutil.which(name, path=path) for path in (own, None) for name in JUPYTER)
    return next(filter(None, found), None)


def open_notebook(path: Path) -> None:
    """Open a notebook in Jupyter, until the reader ends it; say how to, where there is none."""
    program = find_jupyter()
    if program is None:
        print(f"To open it: pip install jupyterlab, then jupyter lab {path}; or in an editor")
        return
    print(f"Opening it in Jupyter; Ctrl-C here ends it. Again: {Path(program).name} {path}")
    if sys.stdout.isatty():
        subprocess.run([program, str(path)], check=False)


def _metadata(cell: Cell) -> dict[str, Any]:
    if cell.tag is None:
        return {}
    return {"tags": [cell.tag]} | (HIDDEN if cell.tag == "solution" else {})
