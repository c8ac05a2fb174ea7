"""What was shown, as HTML: pictures inside the page, pages in frames of their own."""

from __future__ import annotations

import base64
import re
from html import escape

from tinygradrnn.course.showing import DPI, Shown
from tinygradrnn.drawing import Drawing
from tinygradrnn.drawing.theme import DARK

COLOUR = re.compile(r"#[0-9a-f]{6}")
SCREEN = 100  # pixels to the inch, for a plot


def figure(shown: Shown, page: str | None = None) -> str:
    """A figure with its caption.

    Parameters
    ----------
    shown : Shown
    page : str, optional
        Where a stepping page also lies in a file of its own.
    """
    caption = f"<figcaption>{escape(shown.caption)}</figcaption>\n" if shown.caption else ""
    if shown.suffix == ".html":
        return _frame(shown, caption, page)
    if shown.suffix == ".dot":
        text = escape(shown.content.decode())
        return f'<figure>\n<pre class="plain">{text}</pre>\n{caption}</figure>\n'
    image = picture(shown)
    label = escape(f"Enlarge: {shown.caption or shown.title}")
    return (
        f'<figure>\n<div class="wide"><button type="button" class="enlarge" '
        f'aria-label="{label}">{image}</button></div>\n{caption}</figure>\n'
    )


def picture(shown: Shown) -> str:
    """A picture as an image that holds its file, for light and dark pages."""
    content, kind = shown.content, "svg+xml" if shown.suffix == ".svg" else "png"
    width, height = size(shown)
    if shown.drawing:
        content = both_themes(shown.drawing).encode()
    elif shown.dark:
        content, kind = both_plots(content, shown.dark, width, height).encode(), "svg+xml"
    data = base64.b64encode(content).decode()
    alternative = shown.title if shown.caption is None else f"{shown.title}. {shown.caption}"
    return (
        f'<img src="data:image/{kind};base64,{data}" alt="{escape(alternative)}" '
        f'width="{width}" height="{height}" style="--width: {width}px">'
    )


def size(shown: Shown) -> tuple[int, int]:
    """Width and height of a picture on the screen, in pixels."""
    if shown.suffix == ".svg":
        box = re.search(rb'viewBox="[\d.-]+ [\d.-]+ ([\d.]+) ([\d.]+)"', shown.content)
        assert box is not None  # Graphviz always writes it
        return round(float(box[1])), round(float(box[2]))
    # a PNG begins with 16 bytes of another kind
    pixels = (int.from_bytes(shown.content[at : at + 4]) for at in (16, 20))
    width, height = (round(each * SCREEN / DPI) for each in pixels)
    return width, height


def both_themes(drawing: Drawing) -> str:
    """SVG whose colours are light or dark as where it is looked at."""
    light = drawing.svg()
    dark = Drawing(drawing.diagram, DARK).svg()
    pairs = list(zip(COLOUR.findall(light), COLOUR.findall(dark), strict=True))
    names = {pair: f"--c{n}" for n, pair in enumerate(dict.fromkeys(pairs))}
    left = iter(pairs)
    svg = COLOUR.sub(lambda _: f"var({names[next(left)]})", light)
    first, second = (
        " ".join(f"{name}: {pair[theme]};" for pair, name in names.items()) for theme in (0, 1)
    )
    style = (
        f"<style>:root {{ {first} }} @media (prefers-color-scheme: dark) "
        f"{{ :root {{ {second} }} }}</style>"
    )
    return svg.replace("</title>", f"</title>\n{style}", 1)


def both_plots(light: bytes, dark: bytes, width: int, height: int) -> str:
    """SVG of two PNG files, that shows the one for where it is looked at."""
    images = "".join(
        f'<image id="{name}" width="{width}" height="{height}" '
        f'href="data:image/png;base64,{base64.b64encode(content).decode()}"/>'
        for name, content in (("light", light), ("dark", dark))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">'
        "<style>#dark { display: none; } @media (prefers-color-scheme: dark) "
        f"{{ #light {{ display: none; }} #dark {{ display: inline; }} }}</style>{images}</svg>"
    )


def _frame(shown: Shown, caption: str, page: str | None) -> str:
    """A stepping page inside the page, which is built when the reader comes near."""
    own = (
        f'<a href="{escape(page)}" target="_blank">Open on a page of its own</a>\n' if page else ""
    )
    return (
        f'<figure class="stepper">\n<iframe srcdoc="{escape(shown.content.decode())}" '
        f'sandbox="allow-scripts" allow="fullscreen" loading="lazy" '
        f'title="{escape(f"Step through: {shown.title}")}"></iframe>\n{caption}'
        f'<p class="tools"><button type="button" class="fill" hidden>Full screen</button>\n'
        f"{own}</p>\n</figure>\n"
    )
