"""The page as a file: it holds all it needs, and nothing in it can become markup or a program."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from stepper.replaying import Page

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.models import example_loss

pytestmark = pytest.mark.numpy_only("about a page in a browser")

HOSTILE = (
    "</script><script>window.bad = 1</script>",
    "<!--<script>",
    '"><img src=x onerror="window.bad=1">',
    "'onload='window.bad=1",
    "&lt;b&gt; &amp; \\u003c ${1} $title %s \\N",
    "]]></svg><b>",
    "重み 🙂 \u2028 \x00 \ud800",
)


def hostile_loss() -> tg.Tensor:
    """A loss whose every name tries to be something else."""
    loss: tg.Tensor | None = None
    for name in HOSTILE:
        W = nn.Parameter(np.ones((2, 2)), name=name)
        x = tg.tensor(np.ones((1, 2)), name=name)
        with tg.scope(name), tg.timestep(1):
            y = x @ W
            y.name = name
        loss = y.sum() if loss is None else loss + y.sum()
    assert loss is not None
    loss.name = HOSTILE[0]
    return loss


@pytest.fixture(scope="module")
def html() -> str:
    return tg.step_through(example_loss("lstm", 3)).html()


def test_the_page_loads_nothing(html):
    page = Page(html)
    asking = ("src", "href", "action", "srcset", "data", "poster", "xlink:href")
    assert not [tag for tag, attributes in page.tags if set(attributes) & set(asking)]
    assert not {tag for tag, _ in page.tags} & {"link", "iframe", "object", "embed", "base", "img"}
    assert "url(" not in html
    assert "@import" not in html
    assert set(re.findall(r"\w+://[^\"']*", html)) == {"http://www.w3.org/2000/svg"}  # a name


def test_the_policy_allows_this_one_script(html):
    page = Page(html)
    (policy,) = [a["content"] for _, a in page.tags if "http-equiv" in a]
    (script,) = [text for name, text in page.scripts.items() if name is None]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy is not None
    assert policy.split("; ")[:2] == ["default-src 'none'", f"script-src 'sha256-{digest}'"]
    assert not re.search(r"^(import|export) ", script, re.M)
    events = [a for _, a in page.tags if any(name.startswith("on") for name in a)]
    assert not events


def test_what_is_promised_of_the_page(html):
    page = Page(html)
    trace = page.trace
    assert {"steps", "totals"} <= trace.keys()
    for step in trace["steps"]:
        assert {"phase", "timestep", "node", "text"} <= step.keys()
    assert [a["id"] for _, a in page.tags if a.get("role") == "status"] == ["status"]
    ids = [a["id"] for _, a in page.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_everything_lit_is_in_the_picture(html):
    page = Page(html)
    ids = {a.get("id") for _, a in page.tags}
    shapes, lines = set(), set()
    for step in page.trace["steps"]:
        shapes |= {f"n{n}" for n in step["boxes"]}
        lines |= {f"e{n}" for n in step["lines"]}
        assert {f"t{n}" for n in step.get("numbers", ())} <= ids
    given = {f"n{n}" for n, box in enumerate(page.trace["boxes"]) if "given" in box}
    assert shapes | given == {name for name in ids if name and re.fullmatch(r"n\d+", name)}
    assert lines == {name for name in ids if name and re.fullmatch(r"e\d+", name)}


def test_hostile_names_stay_names(tmp_path):
    steps = tg.step_through(hostile_loss())
    page = Page(steps.save(tmp_path / "page.html").read_text("utf-8"))
    plain = Page(tg.step_through(example_loss("elman", 2)).html())
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in plain.tags}
    assert [tag for tag, _ in page.tags if tag == "script"] == ["script"] * 2
    assert "<" not in page.scripts["trace"]
    assert set(page.trace["totals"]) == {name.replace("\ud800", "?") for name in HOSTILE}
    assert "bad" not in page.scripts[None]


def test_the_picture_is_well_formed():
    svg = tg.step_through(hostile_loss())._picture.svg()
    cleaned = svg.encode("utf-8", "replace").decode()
    root = ElementTree.fromstring(cleaned)
    assert root.get("role") == "group"
    names = [g.get("aria-label") for g in root.iter("g") if "box" in (g.get("class") or "")]
    assert names and all(names)


def test_both_themes_and_the_choice(html):
    assert html.count("--weight-0: #0072b2") == 1
    assert html.count("--weight-0: #6f97ff") == 2  # preferred, and chosen
    drawn = html[html.index("<svg id=") : html.index("</svg>", html.index("<svg id="))]
    assert "#" not in drawn  # colours of the picture are variables


def test_save_is_atomic_and_says_where(tmp_path, monkeypatch):
    steps = tg.step_through(example_loss("elman", 2))
    path = tmp_path / "new" / "page.HTML"
    assert steps.save(str(path)) == path
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk")))
    with pytest.raises(OSError, match="disk"):
        steps.save(path)
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_the_page_is_the_same_every_time():
    assert (
        tg.step_through(example_loss("gru", 3), level="gate").html()
        == tg.step_through(example_loss("gru", 3), level="gate").html()
    )


def test_jupyter_shows_a_frame_of_its_own():
    steps = tg.step_through(example_loss("elman", 2))
    bundle = steps._repr_mimebundle_()
    frame = Page(bundle["text/html"])
    ((tag, attributes),) = frame.tags
    assert tag == "iframe"
    assert attributes["sandbox"] == "allow-scripts"
    assert attributes["srcdoc"] == steps.html()
    assert bundle["text/plain"] == f"<StepThrough Elman · op level · T = 2: {len(steps)} steps>"


def test_a_page_of_a_thousand_steps_is_small(tmp_path):
    path = tg.step_through(example_loss("elman", 1000)).save(tmp_path / "long.html")
    assert path.stat().st_size < 6e6
    assert len(json.loads(Page(path.read_text("utf-8")).scripts["trace"])["steps"]) > 2000


def test_the_script_reads_every_file_once():
    folder = Path(tg.stepper.__file__).parent
    from tinygradrnn.stepper.page import SCRIPTS

    assert sorted(SCRIPTS) == sorted(path.name for path in folder.glob("*.js"))
    seen: list[str] = []
    for name in SCRIPTS:
        source = (folder / name).read_text("utf-8")
        assert set(re.findall(r'from "\./(.+)";', source)) <= set(seen)
        seen.append(name)
