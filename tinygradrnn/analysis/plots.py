"""What plots share: figures that come out the same every time, and can be read in grey.

Colours are those of cividis, whose lightness rises steadily and which looks nearly the same to
colour-blind readers. What is told apart is so by lightness, and by hatch, marker or style as well.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import groupby
from os import fspath
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygradrnn.analysis.results import Numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.image import AxesImage

COLOURS = "cividis"
INK, MUTED, PALE = "#1b2133", "#636b80", "#e6e8ee"
ZERO, NONE = "xxx", "///"
"""The hatches of cells that are exactly 0, and of those that there is no number for."""
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (1, 1)))
MARKERS = "os^Dv<P"
SMALL = 7.0  # points: the letters in cells

UNDATED = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "ps": {"CreationDate": None}}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that belongs to no window and no pyplot; the same plot, the same file."""
    figure: Figure = _figure_type()(figsize=(width, height), layout="constrained")
    return figure


@cache
def _figure_type() -> Any:
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    class Reproducible(Figure):
        def savefig(self, fname: Any, **options: Any) -> None:
            named = fspath(fname).rpartition(".")[2] if hasattr(fname, "__fspath__") else fname
            kind = options.get("format") or str(named).rpartition(".")[2]
            undated = UNDATED.get(kind.lower(), {})
            options["metadata"] = {**undated, **options.get("metadata", {})}
            with rc_context({"svg.hashsalt": "tinygradrnn"}):
                super().savefig(fname, **options)

    return Reproducible


# -------------------------------------------------------------------- numbers as colours


def log_scale(*values: Numbers) -> Any:
    """One logarithmic scale of colours for all that is positive in some arrays."""
    from matplotlib.colors import LogNorm

    shown = np.concatenate([each[np.isfinite(each) & (each > 0)] for each in values])
    low, high = (shown.min(), shown.max()) if shown.size else (1.0, 1.0)
    if high < low * 10:  # nearly equal numbers get nearly equal colours
        low, high = low / 3, high * 3
    return LogNorm(max(low, 1e-307), max(min(high, 1e307), 1e-306))


def heat_map(
    axes: Axes,
    values: Numbers,
    scale: Any = None,
    *,
    blank: Numbers | None = None,
    origin: str = "upper",
) -> AxesImage:
    """A matrix as colours, a cell for each number.

    Cells that are exactly 0, and those that hold no number (NaN), are hatched, each in its own way:
    on a scale of logarithms 0 has no colour, and "nothing" is not 0.

    Parameters
    ----------
    axes : Axes
    values : ndarray (rows, columns)
    scale : matplotlib Normalize, optional
        From numbers to colours; by default logarithmic over the array.
    blank : ndarray of bool, optional
        Where nothing is to be drawn at all.
    origin : "upper" or "lower"
        Where the first row stands.
    """
    from matplotlib.colors import LogNorm

    scale = log_scale(values) if scale is None else scale
    outside = np.zeros(values.shape, bool) if blank is None else blank
    zero = (values == 0) & ~outside & isinstance(scale, LogNorm)
    none = np.isnan(values) & ~outside
    image = axes.imshow(
        np.ma.masked_array(values, outside | zero | none),
        cmap=COLOURS,
        norm=scale,
        aspect="auto",
        interpolation="none",
        origin=origin,  # type: ignore[arg-type]
    )
    for mask, hatch in ((zero, ZERO), (none, NONE)):
        _hatch(axes, mask, hatch)
    return image


def _hatch(axes: Axes, mask: Numbers, hatch: str) -> None:
    """Hatch the cells of a mask, each run of a row in one piece."""
    from matplotlib.patches import Rectangle

    for row, cells in enumerate(mask):
        for start, stop in _runs(cells):
            corner = (start - 0.5, row - 0.5)
            look = {"facecolor": PALE, "edgecolor": MUTED, "hatch": hatch, "linewidth": 0}
            axes.add_patch(Rectangle(corner, stop - start, 1, **look))  # type: ignore[arg-type]


def _runs(cells: Numbers) -> Iterator[tuple[int, int]]:
    for value, run in groupby(range(len(cells)), key=cells.__getitem__):
        if value:
            first = next(run)
            yield first, first + 1 + sum(1 for _ in run)


def explain_hatches(figure: Figure, values: Sequence[Numbers], nothing: str) -> None:
    """A legend of the hatches that occur in the (unblanked) numbers of heat maps."""
    from matplotlib.patches import Patch

    found = {
        "exactly 0": (ZERO, any((each == 0).any() for each in values)),
        f"—: {nothing}": (NONE, any(np.isnan(each).any() for each in values)),
    }
    handles = [
        Patch(facecolor=PALE, edgecolor=MUTED, hatch=hatch, label=label)
        for label, (hatch, occurs) in found.items()
        if occurs
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False)


def write_numbers(
    axes: Axes, image: AxesImage, values: Numbers, blank: Numbers | None = None
) -> None:
    """Write the numbers into the cells of a heat map, unless these are too small.

    To be called when all else stands in the figure, whose layout decides.
    """
    texts = [[short(value) for value in row] for row in values]
    longest = max((len(text) for row in texts for text in row), default=0)
    figure: Any = axes.figure
    figure.draw_without_rendering()  # lays it out
    box = axes.get_window_extent()
    rows, columns = values.shape
    points = 72 / figure.dpi
    wide = box.width * points / max(columns, 1) >= longest * SMALL * 0.62 + 5
    if not (wide and box.height * points / max(rows, 1) >= SMALL * 1.5):
        return
    for row, column in np.ndindex(rows, columns):
        if blank is not None and blank[row, column]:
            continue
        value = values[row, column]
        special = value == 0 or np.isnan(value)
        dark = not special and luminance(image.to_rgba(value)) < 0.2  # white is then the clearer
        axes.text(
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            fontsize=SMALL,
            color="white" if dark else INK,
            bbox={"facecolor": PALE, "linewidth": 0, "pad": 1.5} if special else None,
        )


def short(value: float) -> str:
    """Two significant digits: 0.45, 12, 7.1e-4; 0 only for what is exactly 0, — for NaN."""
    if np.isnan(value):
        return "—"
    if value == 0:
        return "0"
    if 0.01 <= abs(value) < 99.5:
        digits = 1 - int(np.floor(np.log10(abs(value))))
        return f"{value:.{max(digits, 0)}f}".replace("-", "−")
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def luminance(colour: Any) -> float:
    """How light a colour (r, g, b, …) is: 0.2126 R + 0.7152 G + 0.0722 B of linear light."""
    rgb = np.asarray(colour[:3], dtype="float64")
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


# -------------------------------------------------------------------- lines


def line_styles(count: int, points: int) -> list[dict[str, Any]]:
    """So many looks of lines, from dark to light, no two of one dash and marker (up to 28)."""
    from matplotlib import colormaps

    shades = colormaps[COLOURS](np.linspace(0, 0.75, max(count, 2)))
    every = max(1, points // 10)
    return [
        {
            "color": tuple(shades[n]),
            "linestyle": DASHES[n % len(DASHES)],
            "marker": MARKERS[n % len(MARKERS)],
            "markevery": (n * every // max(count, 1), every),
            "markersize": 4.5,
            "linewidth": 1.5,
        }
        for n in range(count)
    ]


def label_lines(axes: Axes) -> None:
    """A legend beside the lines, in the order in which they end, the highest first."""

    def end(line: Any) -> float:
        ys = np.asarray(line.get_ydata(), dtype="float64")
        seen = ys[np.isfinite(ys)]
        return float(seen[-1]) if seen.size else -np.inf

    lines = sorted(axes.lines, key=end, reverse=True)
    look = {"frameon": False, "handlelength": 4.5, "fontsize": 9}
    axes.legend(handles=lines, loc="center left", bbox_to_anchor=(1.01, 0.5), **look)


# -------------------------------------------------------------------- axes


def whole_numbers(axes: Axes, *, x: bool = False, y: bool = False) -> None:
    """Tick an axis at integers only: time steps."""
    from matplotlib.ticker import MaxNLocator

    if x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if y:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))


def tick_labels(axis: Axis, labels: Sequence[str], most: int = 30, **look: Any) -> None:
    """Name the cells 0, 1, 2 … of an axis; every other one, or fewer, where there are many."""
    every = -(-len(labels) // most) or 1
    axis.set_ticks(range(0, len(labels), every), list(labels)[::every], **look)
    for text in axis.get_ticklabels():
        text.set_parse_math(False)  # a dollar sign is a dollar sign


def visible(character: str, font: FontProperties | None = None) -> str:
    """A character as it can be seen on paper: ␣ for a space, ↵ for a line end, U+4E2D if need be.

    The last is for what is invisible, and for what the font has no picture of.
    """
    from matplotlib.font_manager import FontProperties, findfont, get_font

    shown = {" ": "␣", "\n": "↵", "\t": "⇥"}.get(character, character)
    drawn = get_font(findfont(font or FontProperties())).get_char_index(ord(shown))
    seen = unicodedata.category(shown)[0] not in "CZM"
    return shown if drawn and seen else f"U+{ord(character):04X}"
