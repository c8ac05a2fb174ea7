"""From DOT text to SVG, PNG or PDF: by Graphviz, in a process of its own, with a time limit."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

VARIABLE = "TINYGRADRNN_DOT"
INSTALL = "pip install 'tinygradrnn[viz]'"
TIME_LIMIT = 60.0
WORKER = Path(__file__).with_name("worker.py")


class DrawingError(RuntimeError):
    """A picture could not be drawn."""


class RendererNotFoundError(DrawingError):
    """There is no Graphviz to draw with."""


class Renderer(NamedTuple):
    """A program that draws: what it is, and how to call it (the format is appended)."""

    name: str
    command: tuple[str, ...]


def find_renderer() -> Renderer:
    """The first of: the environment variable, ``dot`` on the path, the one inside pygraphviz.

    Returns
    -------
    Renderer

    Raises
    ------
    RendererNotFoundError
        Naming the command that installs one.
    """
    named = os.environ.get(VARIABLE)
    if named:
        program = shutil.which(named)
        if program is None:
            raise RendererNotFoundError(
                f"{VARIABLE} is {named!r}, which is not a program; set it to Graphviz' dot, or "
                "unset it"
            )
        return Renderer(f"{program} (from {VARIABLE})", (program, "-Knop2", "-T"))
    program = shutil.which("dot")
    if program is not None:
        return Renderer(program, (program, "-Knop2", "-T"))
    if find_spec("pygraphviz") is not None:
        return Renderer("pygraphviz", (sys.executable, "-P", str(WORKER), ""))
    raise RendererNotFoundError(
        f"no Graphviz found to draw the picture with; write {INSTALL}, which brings it along, or "
        f"install Graphviz so that `dot` is on the path"
    )


def render(dot: str, form: str, *, time_limit: float = TIME_LIMIT) -> bytes:
    """Draw DOT text whose positions are given.

    Parameters
    ----------
    dot : str
    form : str
        "svg", "png" or "pdf".
    time_limit : float
        In seconds.

    Raises
    ------
    RendererNotFoundError
        If there is no Graphviz.
    DrawingError
        If it fails or takes too long.
    """
    renderer = find_renderer()
    command = (*renderer.command[:-1], renderer.command[-1] + form)
    try:
        done = subprocess.run(command, input=dot.encode(), capture_output=True, timeout=time_limit)
    except subprocess.TimeoutExpired:
        raise DrawingError(
            f"{renderer.name} took more than {time_limit:g} seconds; draw fewer time steps "
            "(steps=…) or less detail (level=…)"
        ) from None
    except OSError as error:
        raise DrawingError(f"{renderer.name} could not be started: {error}") from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise DrawingError(
            f"{renderer.name} failed (exit status {done.returncode}): "
            + ("; ".join(said[:3]) or "it said nothing")
        )
    return done.stdout
