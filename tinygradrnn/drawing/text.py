"""Text for pictures: subscripts, numbers, and how wide a text will be."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

SUBSCRIPTS = dict(
    zip("0123456789+-=()aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ", strict=True)
)
INDICES = tuple(SUBSCRIPTS[digit] for digit in "0123456789")

# Widths of the characters from space to ~ in DejaVu Sans, in hundredths of the font size. It is the
# widest of the usual sans-serif fonts, so that a text fits in whichever one is found.
_ASCII = (
    32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34,
    64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 34, 34, 84, 84, 84, 53,
    100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75, 79,
    60, 79, 69, 63, 61, 73, 68, 99, 69, 61, 69, 39, 34, 39, 84, 50,
    50, 61, 63, 55, 63, 62, 35, 63, 63, 28, 28, 58, 28, 97, 63, 61,
    63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84,
)  # fmt: skip
_OTHERS = {"×": 84, "−": 84, "÷": 84, "→": 84, "←": 84, "…": 100, "—": 100, "√": 64, "·": 32}
_OTHERS |= {"‖": 50, "Σ": 64, "∂": 52, "σ": 64, "θ": 62, "²": 40, "³": 40, "ᵀ": 40}
_BOLD = 1.13


def subscript(text: object) -> str:
    """The text as a subscript where Unicode has one for every character, else ``_text``."""
    raw = str(text)
    if raw and all(character in SUBSCRIPTS for character in raw):
        return "".join(SUBSCRIPTS[character] for character in raw)
    return f"_{raw}"


def pretty(name: str) -> str:
    """A name with what follows its underscore as a subscript: ``W_x`` → Wₓ, but ``W_y`` stays."""
    found = re.fullmatch(r"([^_]+)_([^_ ]{1,3})( \(\d+\))?", name)
    if found is None:
        return name
    stem, index, count = found.groups(default="")
    return stem + subscript(index) + count


def at_step(name: str, step: int | str) -> str:
    """A name with its time step: c₃; after a number with a comma, x₁,₃, for x₁₃ is another one."""
    shown = pretty(name)
    comma = "," if shown.endswith(INDICES) else ""
    return f"{shown}{comma}{subscript(step)}"


def number(value: float | None) -> str:
    """Two significant digits; ``7.1e-4`` below 0.01 and from 100; 0 only if exact; — for none."""
    if value is None:
        return "—"
    if value == 0:
        return "0"
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    size = abs(value)
    mantissa, exponent = f"{size:.1e}".split("e")
    power = int(exponent)
    sign = "−" if value < 0 else ""
    if power < -2 or power >= 2:
        return f"{sign}{mantissa}e{power}"
    return f"{sign}{float(f'{size:.1e}'):.{1 - power}f}"


def folded(steps: int, size: float | str | None = "", joint: bool = False) -> str:
    """What stands for the taps of folded steps: ``36 terms ‖Σ‖ 0.40``.

    ``joint`` where the terms are gradients of different values: there is no sum, only one long
    vector.
    """
    if isinstance(size, str):
        return counted(steps, "tap")
    sign = "‖·‖" if joint else "‖Σ‖"
    return f"{counted(steps, 'term')} {sign} {number(size)}"


def counted(count: int, what: str) -> str:
    """``1 step``, ``12 steps``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def shape_text(shape: tuple[int, ...]) -> str:
    """``2×3``; a single number is ``·``."""
    return "×".join(map(str, shape)) or "·"


def values_text(array: Any) -> str:
    """Up to four values, or their mean ± spread."""
    flat = array.reshape(-1)
    if not flat.size:
        return "empty"
    if flat.dtype.kind == "b":
        return " ".join("1" if v else "0" for v in flat) if flat.size <= 4 else "true, false"
    if flat.size <= 4:
        return "  ".join(_short(v.item()) for v in flat)
    if flat.dtype.kind in "iu":
        return f"{int(flat.min())}…{int(flat.max())}"
    wide = flat.astype("float64")  # the squares of large float32 numbers would overflow
    return f"{_short(float(wide.mean()))} ± {_short(float(wide.std()))}"


def _short(value: float) -> str:
    if isinstance(value, int) and abs(value) < 1000:
        return str(value).replace("-", "−")
    return number(float(value))


def width(text: str, size: float, bold: bool = False) -> float:
    """An estimate of the width of one line, in points, on the large side."""
    total = 0
    for character in text:
        code = ord(character)
        if 32 <= code < 127:
            total += _ASCII[code - 32]
        elif character in _OTHERS:
            total += _OTHERS[character]
        elif unicodedata.combining(character):
            continue
        elif "₀" <= character <= "ₜ" or character in "ᵢⱼᵣᵤᵥ":
            total += 42
        elif unicodedata.east_asian_width(character) in "WF":
            total += 105
        else:
            total += 70
    return total * size / 100 * (_BOLD if bold else 1.0)


def clean(text: str, limit: int = 60) -> str:
    """A name on one line, without control characters, shortened if it is very long."""
    shown = text
    if not text.isprintable():
        bad = ("Cc", "Cs", "Zl", "Zp", "Cn", "Co")
        shown = "".join(" " if unicodedata.category(c) in bad else c for c in text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"
