"""Pictures of how training went."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, inf, log10
from pathlib import Path

import numpy as np

from tinygradrnn.analysis.plots import new_figure
from tinygradrnn.training.progress import RECENT
from tinygradrnn.training.settings import Settings
from tinygradrnn.training.trainer import Record

TRAINING, HELD_OUT, BASELINE = "#0072B2", "#D55E00", "#555555"


def save_curves(
    records: Sequence[Record], baseline: float, settings: Settings, paths: Sequence[Path]
) -> None:
    """Draw bits per character and the norm of the gradient over the steps.

    Parameters
    ----------
    records : sequence of Record
    baseline : float
        Bits per character of the character 5-gram on the held-out text.
    settings : Settings
    paths : sequence of Path
        Where to write it; the suffix, ``.svg`` or ``.png``, says how.
    """
    from matplotlib.ticker import NullFormatter

    steps = [record.step for record in records]
    figure = new_figure(8, 6)
    loss, norm = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))

    training = [record.training for record in records]
    measured = [record for record in records if record.held_out is not None]
    loss.plot(steps, training, color=TRAINING, alpha=0.25, linewidth=0.8)
    smooth = smoothed(training, settings.steps // (2 * RECENT))
    loss.plot(steps, smooth, color=TRAINING, label="training, smoothed")
    loss.plot(
        [record.step for record in measured],
        [record.held_out for record in measured],
        color=HELD_OUT,
        marker="o",
        label="held-out text",
    )
    loss.axhline(baseline, color=BASELINE, linestyle="--", label=f"5-gram, {baseline:.2f}")
    loss.set_ylabel("bits per character")
    loss.set_title(f"{settings.cell.upper()}, {settings.hidden} units, seed {settings.seed}")
    loss.legend()

    norm.plot(steps, [record.gradient_norm for record in records], color=TRAINING, linewidth=0.8)
    norm.axhline(settings.clip, color=BASELINE, linestyle="--", label=f"clipped to {settings.clip}")
    norm.set_yscale("log")
    shown = [settings.clip, *(r.gradient_norm for r in records if 0 < r.gradient_norm < inf)]
    norm.set_ylim(10 ** floor(log10(min(shown))), 10 ** ceil(log10(max(shown)) + 0.01))
    norm.yaxis.set_major_formatter("{x:g}")
    norm.yaxis.set_minor_formatter(NullFormatter())
    norm.set_ylabel("gradient norm")
    norm.set_xlabel("step")
    norm.legend()
    for path in paths:
        figure.savefig(path, dpi=120)


def smoothed(values: Sequence[float], reach: int) -> np.ndarray:
    """At each place the mean of the values up to ``reach`` before and after it."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    places = np.arange(len(values))
    starts = np.maximum(places - reach, 0)
    ends = np.minimum(places + reach + 1, len(values))
    means: np.ndarray = (sums[ends] - sums[starts]) / (ends - starts)
    return means
