"""A matplotlib figure as it is drawn on a dark page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tinygradrnn.drawing.theme import DARK

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def darkened(figure: Figure) -> Iterator[None]:
    """Inside the block, a figure that was drawn before has dark paper and light lettering.

    What shows numbers as colours (a heat map, a bar of colours) keeps its own paper, and what is
    written on it: captions speak of these colours.
    """
    before: list[tuple[Any, str, Any]] = []

    def turn(artist: Any, what: str, new: str) -> None:
        before.append((artist, what, getattr(artist, f"get_{what}")()))
        getattr(artist, f"set_{what}")(new)

    try:
        for artist, what in _paper(figure):
            turn(artist, what, DARK.page)
        for artist, what in _lettering(figure):
            if _is_black(getattr(artist, f"get_{what}")()):
                turn(artist, what, DARK.ink)
        yield
    finally:
        for artist, what, old in before:
            getattr(artist, f"set_{what}")(old)


def _paper(figure: Any) -> list[tuple[Any, str]]:
    found = [figure.patch, *[legend.get_frame() for legend in _legends(figure)]]
    found += [axes.patch for axes in figure.axes if not _shows_colours(axes)]
    return [(patch, "facecolor") for patch in found]


def _lettering(figure: Any) -> list[tuple[Any, str]]:
    """Texts and lines, with the property that has their colour."""
    found = [*figure.texts]
    for legend in _legends(figure):
        found += [*legend.get_texts(), *legend.get_lines()]
    edges: list[tuple[Any, str]] = []
    for axes in figure.axes:
        found += [axes.title, axes._left_title, axes._right_title]
        found += [] if _shows_colours(axes) else [*axes.texts, *axes.lines]
        edges += [(spine, "edgecolor") for spine in axes.spines.values()]
        for axis in (axes.xaxis, axes.yaxis):
            found += [axis.label, axis.offsetText, *axis.get_ticklabels(which="both")]
            ticks = [*axis.get_ticklines(), *axis.get_ticklines(minor=True)]
            edges += [(tick, "markeredgecolor") for tick in ticks]
    return [*[(each, "color") for each in found], *edges]


def _legends(figure: Any) -> list[Any]:
    own = [axes.get_legend() for axes in figure.axes]
    return [*figure.legends, *[legend for legend in own if legend is not None]]


def _shows_colours(axes: Any) -> bool:
    return bool(axes.images) or any(each.get_array() is not None for each in axes.collections)


def _is_black(colour: Any) -> bool:
    from matplotlib.colors import to_rgb

    return to_rgb(colour) == (0.0, 0.0, 0.0)
