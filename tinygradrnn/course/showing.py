"""``show``: a picture or a page, wherever the tutorial happens to run."""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygradrnn.checkpoint import write_atomically
from tinygradrnn.course.plots import darkened
from tinygradrnn.drawing import Drawing, RendererNotFoundError
from tinygradrnn.stepper import StepThrough

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OUTPUT_VARIABLE = "TINYGRADRNN_TUTORIAL_OUTPUT"
OUTPUT = "tutorial-output"
DPI = 200  # sharp when it is projected


@dataclass(frozen=True)
class Shown:
    """A picture or a page that was shown, as the content of a file.

    Attributes
    ----------
    name, suffix : str
        Of the file.
    content : bytes
        The file.
    title : str
        What it is, in words of its own: for those who do not see it.
    caption : str or None
        What its author says of it.
    drawing : Drawing or None
        What the picture was drawn from, if it is the picture of a graph.
    dark : bytes or None
        Of a plot: the same for dark pages.
    """

    name: str
    suffix: str
    content: bytes
    title: str
    caption: str | None = None
    drawing: Drawing | None = None
    dark: bytes | None = None

    def save(self, folder: Path) -> Path:
        """Write the file into a folder, and return where it is."""
        path = folder / f"{self.name}{self.suffix}"
        write_atomically(path, self.content)
        return path


Receiver = Callable[[Shown], None]
_receiver: ContextVar[Receiver | None] = ContextVar("receiver", default=None)


@contextmanager
def received_by(receiver: Receiver) -> Iterator[None]:
    """Inside the block, what is shown is handed to a function, and nothing is written."""
    token = _receiver.set(receiver)
    try:
        yield
    finally:
        _receiver.reset(token)


def show(thing: Any, name: str, caption: str | None = None) -> None:
    """Show a picture or a page: in the notebook, or as a file whose path is printed.

    Run as a script, a tutorial writes ``tutorial-output/NN/name.svg`` below the current folder, or
    below the one that ``TINYGRADRNN_TUTORIAL_OUTPUT`` names.

    Parameters
    ----------
    thing : Drawing, StepThrough or matplotlib Figure
        What ``tg.draw``, ``tg.step_through`` or a plot of ``tg.analysis`` returns.
    name : str
        The name of the file, without a suffix: letters, digits, ``-`` and ``_``.
    caption : str, optional
        A sentence that says what to look at.

    Raises
    ------
    TypeError
        If the thing is none of these.
    ValueError
        If the name cannot be that of a file.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise ValueError(
            f"show: name must be a word of letters, digits, - and _, for a file; got {name!r}"
        )
    shown = as_shown(thing, name, caption)
    if shown is None:
        raise TypeError(
            "show: thing must be a Drawing (from tg.draw), a StepThrough (from tg.step_through) or "
            f"a matplotlib Figure, got a {type(thing).__name__}; print what is text"
        )
    receiver = _receiver.get()
    if receiver is not None:
        receiver(shown)
    elif _in_notebook():
        _display(thing, shown)
    else:
        path = shown.save(output_folder(sys._getframe(1).f_globals.get("__file__")))
        print(path if caption is None else f"{path}: {caption}")


def as_shown(thing: Any, name: str, caption: str | None = None) -> Shown | None:
    """A picture or a page as a file; None for what is neither."""
    if isinstance(thing, Drawing):
        return _drawing(thing, name, caption)
    if isinstance(thing, StepThrough):
        page = thing.html()
        title = unescape(page.partition("<title>")[2].partition("</title>")[0])
        return Shown(name, ".html", page.encode("utf-8", "replace"), title, caption)
    if _is_figure(thing):
        light = _png(thing)
        with darkened(thing):
            dark = _png(thing)
        return Shown(name, ".png", light, _axes_in_words(thing), caption, dark=dark)
    return None


def output_folder(program: str | None) -> Path:
    """Where a tutorial writes: a folder by its number, or by its name if it has none."""
    folder = Path(os.environ.get(OUTPUT_VARIABLE) or OUTPUT)
    if program is None or not program.endswith(".py"):  # typed at a prompt
        return folder
    stem = Path(program).stem
    number = re.match(r"\d+(?=_)", stem)
    return folder / (number[0] if number else stem)


def _drawing(drawing: Drawing, name: str, caption: str | None) -> Shown:
    title = drawing.diagram.title
    try:
        return Shown(name, ".svg", drawing.svg().encode(), title, caption, drawing)
    except RendererNotFoundError as error:  # a tutorial goes on without its pictures
        print(f"{name} is kept as DOT: {error}")
        return Shown(name, ".dot", drawing.dot.encode(), title, caption)


def _is_figure(thing: Any) -> bool:
    """Whether it is a matplotlib Figure, without loading matplotlib for it."""
    matplotlib = sys.modules.get("matplotlib.figure")
    return matplotlib is not None and isinstance(thing, matplotlib.Figure)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _axes_in_words(figure: Figure) -> str:
    """Titles and labels of the axes: a plot for those who do not see it."""
    words = [figure.get_suptitle()]
    for axes in figure.axes:
        words += [axes.get_title(), axes.get_xlabel(), axes.get_ylabel()]
    return "Plot: " + "; ".join(dict.fromkeys(word for word in words if word))


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _display(thing: Any, shown: Shown) -> None:
    from importlib import import_module

    ipython = import_module("IPython.display")
    is_plot = shown.suffix == ".png"
    ipython.display(ipython.Image(shown.content, retina=True) if is_plot else thing)
    if shown.caption is not None:
        ipython.display(ipython.Markdown(f"*{shown.caption}*"))
