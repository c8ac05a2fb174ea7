"""``step_through`` and the StepThrough that it returns: one page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from tinygradrnn.checkpoint import write_atomically
from tinygradrnn.drawing import draw
from tinygradrnn.graph import Graph
from tinygradrnn.stepper.picture import Picture, style_variables
from tinygradrnn.stepper.replay import replay
from tinygradrnn.stepper.trace import Array, Backward, Step, Visits, forward_steps
from tinygradrnn.tensors import Tensor

SCRIPTS = ("format.js", "picture.js", "panels.js", "stepper.js")  # each after what it imports
SUFFIXES = (".html", ".htm")
FRAME_HEIGHT = 860  # in a notebook


def step_through(
    loss: Tensor | Graph, *, level: str = "op", steps: int | Iterable[int] | None = None
) -> StepThrough:
    """Step through a graph: values appear forward, then gradients flow back from the loss.

    Runs the very walk of ``backward()`` on its own and touches no ``.grad``.

    Parameters
    ----------
    loss : Tensor or Graph
        A single number.
    level : "op", "gate", "cell" or "layer"
        What a step is: every operation; every named gate; a cell at a time step; a whole layer.
    steps : int or iterable of int, optional
        How many time steps are drawn in full, or which, as in :func:`tinygradrnn.draw`. Of the
        others each is one step forward and one back, so that sums over time are complete.

    Returns
    -------
    StepThrough
        Jupyter shows it; ``.save("gru.html")`` writes a page; iterating gives the steps.

    Raises
    ------
    StaleGraphError
        If a parameter was changed after the graph was recorded.

    Examples
    --------
    ``tg.step_through(loss).save("gru.html")``
    """
    if not isinstance(loss, Tensor | Graph):
        raise TypeError(f"step_through needs a loss, a Tensor or a Graph, got a {_kind(loss)}")
    graph = loss if isinstance(loss, Graph) else Graph(loss)
    return StepThrough(graph, level, steps)


def _kind(target: object) -> str:
    return type(target).__name__


class StepThrough:
    """The steps of a graph, and a page that shows them; see :func:`step_through`.

    Iterating runs both passes once more and gives every step with whole arrays, a
    :class:`~tinygradrnn.stepper.trace.Step`; ``len`` says how many there are.

    Attributes
    ----------
    totals : dict of str to ndarray
        ∂L/∂parameter by the names of ``Graph.parameters``, as ``backward()`` computes it.
    trace : dict
        What the page holds: ``steps``, ``totals``, and what they refer to; large arrays shortened.
    """

    def __init__(self, graph: Graph, level: str, steps: int | Iterable[int] | None = None) -> None:
        diagram = draw(graph, level=level, gradients=True, steps=steps).diagram
        self._visits = Visits(graph, diagram)
        self._picture = Picture(diagram, self._visits.tags())
        backward = Backward(self._visits)
        self.trace = replay(self._visits, self._picture, backward, level)
        self.totals: dict[str, Array] = backward.totals

    def __len__(self) -> int:
        return len(self.trace["steps"])

    def __iter__(self) -> Iterator[Step]:
        yield from forward_steps(self._visits)
        yield from Backward(self._visits).steps()

    def __repr__(self) -> str:
        return f"<StepThrough {self._picture.title}: {len(self)} steps>"

    def html(self) -> str:
        """The page: one file that loads nothing and asks nobody."""
        script, style = _script(), _file("stepper.css")
        return Template(_file("page.html")).substitute(
            policy="; ".join(
                (
                    "default-src 'none'",
                    f"script-src '{_hash(script)}'",
                    "style-src 'unsafe-inline'",
                    "base-uri 'none'",
                    "form-action 'none'",
                )
            ),
            title=escape(self._picture.title),
            style=style_variables() + style,
            picture=self._picture.svg(),
            trace=_json(self.trace),
            script=script,
        )

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page.

        Parameters
        ----------
        path : path
            Ending in .html.

        Returns
        -------
        Path
            Where it is.
        """
        path = Path(path)
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"save: {path.name!r} should end in .html")
        # a name may hold half a character, which no file can
        write_atomically(path, self.html().encode("utf-8", "replace"))
        return path

    def _repr_html_(self) -> str:
        """The page in a frame of its own, so that several in one notebook do not mix."""
        return (
            f'<iframe srcdoc="{escape(self.html())}" sandbox="allow-scripts" '
            f'title="{escape(self._picture.title)}" '
            f'style="width:100%;height:{FRAME_HEIGHT}px;border:0"></iframe>'
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}


def _file(name: str) -> str:
    return files("tinygradrnn.stepper").joinpath(name).read_text("utf-8")


def _script() -> str:
    """The modules in one: a page on disk cannot import from other files."""
    parts = [re.sub(r"^import .*?;\n", "", _file(name), flags=re.M | re.S) for name in SCRIPTS]
    return re.sub(r"^export ", "", "\n".join(parts), flags=re.M)


def _hash(script: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _json(data: Any) -> str:
    """JSON that cannot end the element that it stands in."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
