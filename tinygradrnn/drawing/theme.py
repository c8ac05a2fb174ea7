"""Colours: two themes, each with sets that stay apart for colour-blind readers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Lane:
    """The colours of a state lane: its line, and the numbers beside it."""

    line: str
    text: str


@dataclass(frozen=True, slots=True)
class Theme:
    """What everything is drawn in. Colours have six digits: Graphviz does not know shorter ones."""

    name: str
    page: str
    panel: str
    panel_edge: str
    ink: str
    muted: str
    wire: str
    box: str
    gate: str
    weights: tuple[str, ...]
    lanes: tuple[Lane, ...]
    gradient: Lane
    gradient_box: str


LIGHT = Theme(
    name="light",
    page="#ffffff",
    panel="#f6f8fc",
    panel_edge="#ccd1df",
    ink="#1b2133",
    muted="#636b80",
    wire="#56607a",
    box="#ffffff",
    gate="#e9f0fb",
    # after Okabe and Ito; their pink and yellow are too pale for text on white
    weights=(
        "#0072b2",
        "#d55e00",
        "#00805d",
        "#b0528a",
        "#6b56b8",
        "#7d6608",
        "#00798c",
        "#a23b3b",
    ),
    lanes=(
        Lane("#56b4e9", "#0b5d8e"),
        Lane("#e69f00", "#855500"),
        Lane("#a58bd6", "#5b3fa0"),
        Lane("#5dbb9d", "#0a6a4c"),
    ),
    gradient=Lane("#c2276b", "#9c1350"),
    gradient_box="#fdf0f5",
)

DARK = Theme(
    name="dark",
    page="#14171f",
    panel="#1e232e",
    panel_edge="#3a4254",
    ink="#eaedf6",
    muted="#a1a9bc",
    wire="#a7b0c4",
    box="#272e3c",
    gate="#31405a",
    # a lightened first blue would be that of the state lane
    weights=(
        "#6f97ff",
        "#ff8b3d",
        "#2fcb9f",
        "#ee8fc6",
        "#b39cff",
        "#d9bf52",
        "#4fd0e0",
        "#ff8f8f",
    ),
    lanes=(
        Lane("#56b4e9", "#9ad4f7"),
        Lane("#e69f00", "#ffc14d"),
        Lane("#a58bd6", "#cdbcf2"),
        Lane("#5dbb9d", "#93dcc4"),
    ),
    gradient=Lane("#f46fa6", "#ffa9cb"),
    gradient_box="#38222e",
)

THEMES = {"light": LIGHT, "dark": DARK}
