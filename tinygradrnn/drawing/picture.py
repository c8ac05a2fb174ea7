"""``draw`` and the Drawing that it returns."""

from __future__ import annotations

import html
import os
import re
import tempfile
from collections.abc import Iterable
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from tinygradrnn.collector import without_collector
from tinygradrnn.drawing.building import build
from tinygradrnn.drawing.contract import LEVELS
from tinygradrnn.drawing.dot import to_dot
from tinygradrnn.drawing.patterns import INSTEAD
from tinygradrnn.drawing.records import Diagram
from tinygradrnn.drawing.render import DrawingError, RendererNotFoundError, render
from tinygradrnn.drawing.rolling import build_rolled
from tinygradrnn.drawing.scene import Scene
from tinygradrnn.drawing.template import fits_time_axis
from tinygradrnn.drawing.theme import THEMES, Theme
from tinygradrnn.drawing.timeline import compose
from tinygradrnn.graph import Graph
from tinygradrnn.tensors import Tensor

FORMATS = (".svg", ".png", ".pdf", ".dot", ".html")
DPI = 144
LARGEST_PNG = 30_000  # pixels; what draws it stops soon above
Target = Tensor | Graph | Iterable[Tensor]


@without_collector()
def draw(
    target: Target,
    *,
    level: str = "op",
    rolled: bool = False,
    values: bool = False,
    gradients: bool = False,
    backward: bool = False,
    steps: int | Iterable[int] | None = None,
    theme: str = "light",
) -> Drawing:
    """Draw a graph: time from left to right, every weight once, as a rail with a tap per step.

    Parameters
    ----------
    target : Tensor, Graph, or several tensors
        For example the loss.
    level : "op", "gate", "cell" or "layer"
        What is a box: every operation; every named gate; a cell at a time step; a whole layer.
    rolled : bool
        Draw one time step for all, with a loop for each state back to where the next step starts,
        "× T" on it. What happens at some steps only is dashed. With ``gradients`` the numbers at
        weights are ‖Σ‖ over all uses, and a table has ‖∂L/∂state‖ of every step. Not for
        ``level="layer"``, which has no time steps, nor together with ``steps``.
    values : bool
        Also write shapes, and small values, into the boxes.
    gradients : bool
        On every state edge and every tap the size (Euclidean norm) of the gradient that comes back
        there, as a number and as thickness on a logarithmic scale; "—" where none does. Runs the
        backward walk of its own, the target must be a single number.
    backward : bool
        Also the backward graph, as its walk is recorded: below the forward graph its mirror image,
        below every box its gradient with its size, and for every weight the terms of the time
        steps, which a rail sums. Each box stands for all operations of the backward graph that come
        from its operations; its tooltip lists them. The target must be a single number.
    steps : int or iterable of int, optional
        How many time steps to show, or which besides the first and the last. The others are folded
        into a box that says how many. Without: all of up to a dozen, else the first and last few.
    theme : "light" or "dark"

    Returns
    -------
    Drawing
        Jupyter shows it; ``.save("lstm.svg")`` writes it.

    Raises
    ------
    StaleGraphError
        With ``gradients`` or ``backward``: if a parameter changed after the graph was recorded.
    ValueError
        With ``rolled``: if no one time step can stand for all of them. With ``steps``: if the
        picture has no time axis.

    Examples
    --------
    ``tg.draw(loss, level="cell", gradients=True).save("lstm.svg")``
    """
    for name, value, accepted in (("level", level, LEVELS), ("theme", theme, tuple(THEMES))):
        if value not in accepted:
            raise ValueError(f"{name}: {value!r} is not one of {', '.join(map(repr, accepted))}")
    graph = _graph(target)
    if rolled:
        if backward:
            raise ValueError(
                "backward: the backward graph is drawn step by step, a rolled picture has one step "
                "for all; leave backward or rolled out"
            )
        return _rolled(graph, level, values, gradients, steps, THEMES[theme])
    diagram = build(
        graph,
        level=level,
        values=values,
        gradients=gradients,
        backward=backward,
        steps=steps,
        fits=partial(fits_time_axis, theme=THEMES[theme]),
    )
    if steps is not None and not diagram.steps:
        raise ValueError(
            "steps: this picture has no time axis of which steps could be shown (there are none at "
            'level="layer", without tg.timestep(t), or if something reads all steps before another '
            "one goes on); leave steps out"
        )
    return Drawing(diagram, THEMES[theme])


def _rolled(
    graph: Graph, level: str, values: bool, gradients: bool, steps: object, theme: Theme
) -> Drawing:
    if steps is not None:
        raise ValueError(
            "steps: a rolled picture draws one step for all; leave steps or rolled out"
        )
    diagram = build_rolled(graph, level=level, values=values, gradients=gradients)
    if not fits_time_axis(diagram, theme):
        raise ValueError(
            f"rolled: something reads all steps before another step goes on (attention, say), so "
            f"that no one step can stand for all. {INSTEAD}"
        )
    return Drawing(diagram, theme)


def _graph(target: Any) -> Graph:
    if isinstance(target, Graph):
        return target
    if isinstance(target, Tensor):
        return Graph(target)
    if isinstance(target, Iterable) and not isinstance(target, str | bytes):
        return Graph(*target)
    raise TypeError(
        f"draw needs a tensor, a Graph or several tensors, got a {type(target).__name__}"
    )


class Drawing:
    """A picture of a graph; see :func:`draw`.

    Attributes
    ----------
    dot : str
        DOT text with every position, for Graphviz' engine ``nop2`` (``neato -n2``).
    diagram : Diagram
        What it shows, as plain records.
    """

    def __init__(self, diagram: Diagram, theme: Theme) -> None:
        self.diagram = diagram
        self.theme = theme

    @cached_property
    def scene(self) -> Scene:
        """The shapes and lines, with positions."""
        return compose(self.diagram, self.theme)

    @cached_property
    def dot(self) -> str:
        """The picture as DOT text."""
        return to_dot(self.scene)

    @property
    def digraph(self) -> Any:
        """The picture as a ``graphviz.Digraph``, which keeps the positions."""
        digraph = import_module("graphviz").Digraph("G")
        digraph.body += self.dot.splitlines(keepends=True)[1:-1]
        return digraph

    def __repr__(self) -> str:
        return f"<Drawing {self.diagram.title}: {len(self.diagram.boxes)} boxes>"

    def svg(self) -> str:
        """The picture as SVG, to be put into a page or a file."""
        return _tidy(self._render("svg").decode(), self.diagram.title)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the picture; the suffix says how.

        Parameters
        ----------
        path : path
            Ending in .svg, .png, .pdf, .dot or .html.

        Returns
        -------
        Path
            Where it is.

        Raises
        ------
        RendererNotFoundError
            If there is no Graphviz; the DOT text is saved instead, next to where the picture was to
            be.
        """
        path = Path(path)
        form = path.suffix.lower()
        if form not in FORMATS:
            raise ValueError(f"save: {path.name!r} should end in one of {', '.join(FORMATS)}")
        try:
            content = self._content(form)
        except RendererNotFoundError as error:
            kept = path.with_suffix(".dot")
            _write(kept, self.dot.encode())
            raise RendererNotFoundError(f"{error}. The graph is kept as DOT in {kept}") from None
        _write(path, content)
        return path

    def _content(self, form: str) -> bytes:
        if form == ".dot":
            return self.dot.encode()
        if form == ".svg":
            return self.svg().encode()
        if form == ".html":
            return _page(self.svg(), self.diagram.title, self.theme).encode()
        return self._render(form[1:])

    def _render(self, form: str) -> bytes:
        dot = self.dot
        if form == "png":
            left, bottom, right, top = self.scene.bounds()
            longest = max(right - left, top - bottom) + 100
            dpi = int(min(DPI, LARGEST_PNG * 72 / longest))
            dot = dot.replace("  graph [", f"  graph [dpi={dpi}, ", 1)
        return render(dot, form)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """What Jupyter shows: the picture, or why there is none."""
        try:
            return {"image/svg+xml": self.svg(), "text/plain": repr(self)}
        except DrawingError as error:
            return {"text/plain": f"{self!r}\n{error}\n\n{self.dot}"}


def _write(path: Path, content: bytes) -> None:
    """Write a file at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def _tidy(svg: str, title: str) -> str:
    """Graphviz' SVG as it is put into pages: no fixed height, one title, no names of nodes."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<title>.*?</title>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<a xlink:title=" ")', "<a", svg)
    size = re.compile(r'<svg width="(\d+)pt" height="\d+pt"')
    svg = size.sub(r'<svg width="\1" style="max-width:100%;height:auto" role="img"', svg, count=1)
    return svg.replace(">", f">\n<title>{html.escape(title)}</title>", 1)


def _page(svg: str, title: str, theme: Theme) -> str:
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{html.escape(title)}</title>\n"
        f"<style>body {{ margin: 0; background: {theme.page}; }}</style>\n"
        f"</head>\n<body>\n{svg}\n</body>\n</html>\n"
    )
