"""Names mean themselves, in DOT, in SVG and in HTML, whatever they hold and wherever they stand."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.drawing import Drawing, draw

SVG = "{http://www.w3.org/2000/svg}"
DRAWN = {"svg", "title", "g", "a", "polygon", "polyline", "path", "ellipse", "text", "tspan"}
HOSTILE = [
    "\\N",
    "\\G\\E",
    "\\",
    'say "hi"',
    '"',
    "back\\",
    "<b>bold</b>",
    "<script>alert(1)</script>",
    "<!--",
    "<![CDATA[",
    "]]>",
    "-->",
    "--",
    "<?xml?>",
    "</title></svg><script>alert(1)</script>",
    "a & b &amp; &lt; &#x41; &N;",
    "{x|y}",
    "]; evil [",
    '"]; evil [label="',
    "x -> y;\n}\ndigraph {",
    "#comment",
    "//comment",
    "隠れ状態",
    "🙂",
    "👩‍👩‍👧",
    "e\u0301",
    "line\nbreak\r\t\x0b\x0c\x85\u2028",
    "nothing\x00here\x07\x1b[31m\x7f",
    "\ud800 lone \udfff",
    "\ufffe\uffff",
    "%s%n{}",
    "\u202eright to left",
    "שלום عالم",
    "onload=alert(1)",
    "javascript:alert(1)",
    " ",
    "'",
    "x" * 5000,
    "<" * 300,
    "\\" * 301,
    "🙂" * 300,
]


def plain(name: str) -> str:
    """What of a name can be shown: one line, without what no text may hold."""
    bad = ("Cc", "Cs", "Zl", "Zp", "Cn", "Co")
    shown = "".join(" " if unicodedata.category(c) in bad else c for c in name)
    return " ".join(shown.split())


class Elements(HTMLParser):
    """The elements of a page, with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def check(drawing: Drawing, folder: Path) -> list[str]:
    """Nothing is in it but what is drawn; returns its texts."""
    assert drawing.save(folder / "x.dot").read_text("utf-8") == drawing.dot
    page = drawing.save(folder / "x.html").read_text("utf-8")
    found = Elements(page).found
    assert {tag for tag, _ in found} <= DRAWN | {"html", "head", "meta", "style", "body"}
    assert not [a for _, attributes in found for a in attributes if a.startswith("on")]
    root = ElementTree.fromstring(page[page.index("<svg") : page.index("</body>")])  # as in a file
    for element in root.iter():
        assert element.tag.removeprefix(SVG) in DRAWN
        assert not [a for a in element.attrib if a.startswith("on") or a.endswith("href")]
    ids = [str(element.get("id")) for element in root.iter(f"{SVG}g")]
    assert len([i for i in ids if re.fullmatch(r"n\d+", i)]) == len(drawing.scene.shapes)
    assert len(repr(drawing).splitlines()) == 1
    return [" ".join("".join(text.itertext()).split()) for text in root.iter(f"{SVG}text")]


def named_everywhere(name: str) -> tg.Tensor:
    """A loop whose weight, inputs, states, scope and result have one name."""
    W = nn.Parameter(np.eye(2), name=name)
    s = tg.tensor(np.zeros((1, 2)), name=name)
    with tg.scope(name):
        for t in (1, 2):
            with tg.timestep(t):
                s = F.tanh(s @ W + tg.tensor(np.ones((1, 2)), name=name))
                s.name = name
    loss = s.sum()
    loss.name = name
    return loss


def named_cell(name: str) -> nn.Cell:
    """A cell of a class with a name, whose parameter, attribute and gate have it too."""

    def transition(self, state, x):
        with tg.scope(name):
            return F.tanh(x @ getattr(self, name) + state)

    def initial_state(self, batch):
        return self.zeros(batch, 2)

    made = type("Named", (nn.Cell,), {"transition": transition, "initial_state": initial_state})
    if "\x00" not in name and not any(0xD800 <= ord(c) < 0xE000 for c in name):
        made.__name__ = made.__qualname__ = name  # Python itself takes no others
    cell = made()
    setattr(cell, name, nn.Parameter(np.eye(2, dtype=np.float32)))
    return cell


IDS = [plain(name)[:20].encode("unicode_escape").decode() + f" {len(name)}" for name in HOSTILE]


@pytest.mark.parametrize("name", HOSTILE, ids=IDS)
def test_names_of_tensors_and_scopes(name, tmp_path):
    texts = check(draw(named_everywhere(name)), tmp_path)
    assert [text for text in texts if text.startswith(plain(name)[:15].strip())]


@pytest.mark.parametrize("level", ["op", "cell"])
@pytest.mark.parametrize("name", HOSTILE, ids=IDS)
def test_names_of_cells_and_parameters(name, level, tmp_path):
    x = tg.tensor(np.ones((1, 2, 2), np.float32), name=name)
    loss = nn.RNN(named_cell(name))(x).last.sum()
    drawing = draw(loss, level=level, gradients=True, values=True)
    texts = check(drawing, tmp_path)
    assert any(plain(name)[:10].strip() in text for text in texts)
    assert drawing.scene.bounds()[2] < 4000  # however long it is


@given(st.text(max_size=30) | st.text("\\\"<>&[]{}|;-\n\x00'", max_size=12))
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
def test_any_name(tmp_path_factory, name):
    folder = tmp_path_factory.mktemp("names")
    check(draw(named_everywhere(name), gradients=True), folder)
