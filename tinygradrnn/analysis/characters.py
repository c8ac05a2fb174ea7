"""Gates over characters: the picture of a text, and what each character does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tinygradrnn.analysis.plots import (
    INK,
    MUTED,
    PALE,
    explain_hatches,
    heat_map,
    new_figure,
    tick_labels,
    visible,
    whole_numbers,
)
from tinygradrnn.analysis.results import Numbers, Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class CharacterTable(Result):
    """How far each character opens a gate, from the most open to the most closed.

    ``print(table)`` writes it out.

    Attributes
    ----------
    characters : tuple of str
    counts : ndarray of int (C,)
        How often each one was read.
    means, spreads : ndarray (C,)
        Mean and standard deviation of the gate over those times.
    gate : str
        Which gate, ``"forget gate (f)"``.
    """

    characters: tuple[str, ...]
    counts: Numbers
    means: Numbers
    spreads: Numbers
    gate: str

    @classmethod
    def of(cls, text: str, values: Numbers, gate: str) -> CharacterTable:
        """Group values (N,) by the characters of a text (N,); those that are NaN are left out.

        Equally open characters stand in the order of their code points.
        """
        codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        there = ~np.isnan(values)
        kinds, which, counts = np.unique(codes[there], return_inverse=True, return_counts=True)
        exact = values[there].astype("float64")
        means = np.bincount(which, exact, len(kinds)) / counts
        squares = np.bincount(which, (exact - means[which]) ** 2, len(kinds))
        order = np.argsort(-means, kind="stable")
        characters = tuple(chr(code) for code in kinds[order])
        return cls(characters, counts[order], means[order], np.sqrt(squares / counts)[order], gate)

    @property
    def main(self) -> Numbers:
        return self.means

    def __str__(self) -> str:
        lines = [f"{self.gate}, from the character that opens it to the one that closes it"]
        lines.append("character  count   mean  spread")
        rows = zip(self.characters, self.counts, self.means, self.spreads, strict=True)
        lines += [f"{c!r:>9} {count:>6} {m:>6.3f} {s:>7.3f}" for c, count, m, s in rows]
        return "\n".join(lines)

    def plot(self) -> Figure:
        """Mean and spread of the gate for each character, over how often it was read."""
        places = np.arange(len(self.characters))
        figure = new_figure(min(2.5 + 0.19 * max(len(places), 20), 16), 4.5)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        upper.errorbar(
            places,
            self.means,
            self.spreads,
            fmt="o",
            color=INK,
            ecolor="#8a93a8",
            elinewidth=2.5,
            markersize=4,
        )
        upper.set_title(f"{self.gate}: which character opens it, which one closes it", fontsize=10)
        upper.set_ylabel("mean ± spread")
        upper.grid(axis="y", color=PALE)
        upper.set_axisbelow(True)
        lower.bar(places, self.counts, color=MUTED)
        lower.set_yscale("log")
        lower.set(ylabel="times read", xlabel="character", xlim=(-0.8, len(places) - 0.2))
        tick_labels(lower.xaxis, _ticks(self.characters), most=200, family="monospace", fontsize=9)
        return figure


def plot_gate(values: Numbers, steps: Sequence[int], text: str | None, title: str) -> Figure:
    """The values (T, H) of a gate as a heat map, with their mean over the units below.

    Parameters
    ----------
    values : ndarray (T, H)
    steps : sequence of T int
    text : str or None
        The T characters that were read.
    title : str
    """
    from matplotlib.colors import Normalize

    count, units = values.shape
    figure = new_figure(min(3 + 0.13 * max(count, 40), 18), 3.2 + min(0.05 * units, 4))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(2.4, 1))
    largest = float(np.nanmax(np.abs(values), initial=0)) or 1.0
    gate = np.nanmin(values, initial=0) >= 0 and largest <= 1
    low, high = (0.0, 1.0) if gate else (-largest, largest)
    image = heat_map(upper, values.T, Normalize(low, high), origin="lower")
    figure.colorbar(image, ax=upper, label="0 closed … 1 open" if gate else "value", pad=0.01)
    upper.set_title(title, fontsize=10, loc="left")
    upper.set_ylabel("unit")
    whole_numbers(upper, y=True)

    seen = ~np.isnan(values).all(axis=1)
    mean, spread = np.full((2, count), np.nan)
    mean[seen], spread[seen] = np.nanmean(values[seen], 1), np.nanstd(values[seen], 1)
    lower.fill_between(range(count), mean - spread, mean + spread, color=PALE, label="± spread")
    lower.plot(mean, ".-", color=INK, linewidth=1, markersize=4, label="mean")
    lower.set_ylim(low - 0.03 * (high - low), high + 0.03 * (high - low))
    lower.grid(axis="x", color=PALE)
    lower.set_ylabel("over the units")
    lower.legend(fontsize=8, ncols=2, loc="best")
    if text is None:
        lower.set_xlabel("time step $t$")
        tick_labels(lower.xaxis, [str(step) for step in steps])
    else:
        lower.set_xlabel(f"character read at step $t$ = {steps[0]} … {steps[-1]}")
        look = {"family": "monospace", "fontsize": 9 if count <= 120 else 6}
        tick_labels(lower.xaxis, _ticks(text), most=250, **look)
    explain_hatches(figure, [values[np.isnan(values)]], "not computed at that step")
    return figure


def _ticks(characters: Sequence[str]) -> list[str]:
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family="monospace")
    return [visible(character, font) for character in characters]
