"""The page of a tutorial: markdown, formulas, programs, outputs, pictures, exercises."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from tutorials.lessons_and_course import FIRST, SECOND, check_page

import tinygradrnn as tg
from tinygradrnn.course.figures import both_themes
from tinygradrnn.course.formulas import display, inline, is_formula
from tinygradrnn.course.pages import Place, entry, index_page, tutorial_page
from tinygradrnn.course.parsing import Tutorial, parse, read_tutorial
from tinygradrnn.course.prose import Prose
from tinygradrnn.course.running import Executed, Printed, execute
from tinygradrnn.course.showing import Shown
from tinygradrnn.drawing.theme import DARK, LIGHT
from tinygradrnn.models import example_loss

pytestmark = pytest.mark.numpy_only("about a page in a browser")


@pytest.fixture(scope="module")
def done() -> Executed:
    return execute(read_tutorial(FIRST))


@pytest.fixture(scope="module")
def tutorials() -> list[Tutorial]:
    return [read_tutorial(FIRST), read_tutorial(SECOND)]


def test_a_page_that_stands_alone(done):
    page = check_page(tutorial_page(done))
    assert page.texts["title"] == ["01 · A sum, and `x < y`"]
    assert page.texts["h1"] == ["A sum, and x < y"]
    assert page.texts["h2"] == [
        *("A gradient & its formula", "Pictures", "Exercises", "What to read next")
    ]
    assert {"#pictures", "#a-gradient-its-formula"} <= set(page.values("href"))
    assert page.texts["iframe"] == [""] and len(page.all("img")) == 2
    assert not any(href.endswith(".html") for href in page.values("href"))


def test_a_page_in_a_site(done, tutorials):
    page = check_page(tutorial_page(done, Place(tutorials)))
    links = [href for href in page.values("href") if not href.startswith("#")]
    assert links == ["index.html", "02_steps.html", "01_sums/page.html", "02_steps.html"]
    second = check_page(tutorial_page(execute(tutorials[1]), Place(tutorials)))
    assert [each.get("rel") for each in second.all("a") if "rel" in each] == ["prev"]
    assert Place(tutorials).neighbours(tutorials[0]) == (None, tutorials[1])


def test_outputs_stand_beneath_their_cells(done):
    text = tutorial_page(done)
    parts = ["requires_grad", "<samp>gradient &lt;of x&gt;: [2. 4.]</samp>", 'id="pictures"']
    parts += ["data:image/svg", "The &quot;tap&quot; of each step &amp; more.</figcaption>"]
    parts += ["Plot: Squares", "<iframe", "np.float32(6.0)", '<section class="exercise">']
    parts += ["<summary>Solution</summary>", "solved: [ 3. 12.]", "</section>"]
    at = [text.index(part) for part in parts]
    assert at == sorted(at)
    page = check_page(text)
    assert "solved: [ 3. 12.]" in page.texts["details"][0]
    assert "solved" not in page.texts["section"][0].partition("Solution")[0]


def test_exercises_have_a_heading():
    """One of their own, or else one that the page gives them."""
    exercise = '# %% [markdown] tags=["exercise"]\n# Do.\n\n# %% tags=["solution"]\n1\n\n'
    for heading in ("", "# %% [markdown]\n# ## Exercises\n\n"):
        text = f"# %% [markdown]\n# # 03 · Here\n#\n# 5 minutes.\n\n{heading}{exercise * 3}"
        page = check_page(tutorial_page(Executed(parse(text, Path("03_here.py")))))
        assert page.texts["h2"] == ["Exercises"]
        assert page.values("href") == ["#main", "#exercises"]
        assert len(page.all("section")) == 3


def test_pictures_are_described(done):
    pictures = check_page(tutorial_page(done)).all("img")
    assert [picture["alt"] for picture in pictures] == [
        'Elman · cell level · T = 3. The "tap" of each step & more.',
        "Plot: Squares",
    ]
    assert (pictures[1]["width"], pictures[1]["height"]) == ("500", "300")


def test_the_stepping_page_is_whole(done):
    page = check_page(tutorial_page(done))
    (shown,) = [each for each in done.shown() if each.suffix == ".html"]
    assert page.all("iframe")[0]["srcdoc"] == shown.content.decode()
    policy = str(page.all("meta")[1]["content"])
    (own,) = re.findall(r"script-src '([^']+)'", shown.content.decode())
    assert policy.count("sha256-") == 2 and own in policy


def test_a_graph_is_drawn_for_both_themes():
    drawing = tg.draw(example_loss("lstm", 2), level="gate", gradients=True)
    svg = both_themes(drawing)
    light, dark = re.findall(r":root \{ ([^}]*) \}", svg)
    body = svg.partition("</style>\n")[2]
    assert not re.search("#[0-9a-f]{6}", body)
    for names, theme in ((light, LIGHT), (dark, DARK)):
        colours = dict(re.findall(r"(--c\d+): (#\w+);", names))
        drawn = re.sub(r"var\((--c\d+)\)", lambda found, of=colours: of[found[1]], body)
        assert drawn == tg.Drawing(drawing.diagram, theme).svg().partition("</title>\n")[2]


def test_the_list_of_tutorials(done, tutorials):
    page = check_page(index_page([entry(done), entry(execute(tutorials[1]))]))
    assert page.values("href") == ["#main", "01_sums.html", "02_steps.html"]
    assert page.texts["li"][0].split()[:4] == ["01", "A", "sum,", "and"]
    assert len(page.all("img")) == 1  # the second shows no picture
    assert "tinygradrnn tutorial 01" in page.texts["pre"][0]


def test_printed_text_is_as_a_terminal_shows_it(tutorials):
    outputs = {1: [Printed("1 %\r50 %\r100 %\nend\r\n\n"), Printed("<aside>\n", "err")]}
    page = check_page(tutorial_page(Executed(tutorials[1], outputs)))
    assert page.texts["samp"] == ["100 %\nend", "<aside>"]
    assert "printed aside" in page.values("class")


def test_a_picture_that_could_not_be_drawn_is_kept_as_text(tutorials):
    outputs = {1: [Shown("a", ".dot", b"digraph { a -> b }", "A", "See.")]}
    page = check_page(tutorial_page(Executed(tutorials[1], outputs)))
    assert "digraph { a -> b }" in page.texts["pre"] and page.all("img") == []


def test_nothing_in_a_tutorial_becomes_an_element():
    bad = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    text = f"# %% [markdown]\n# # 01 · {bad}\n#\n# 5 minutes. {bad}\n#\n# ## {bad}\n#\n# `{bad}`\n"
    text += (
        f"#\n# ```math\n# {bad}\n# ```\n#\n# ```\n# {bad}\n# ```\n#\n# [a](javascript:alert(1))\n"
    )
    text += f"\n# %%\nprint({bad!r})\n"
    tutorial = parse(text, Path("01_bad.py"))
    shown = Shown("a", ".html", f"<title>{bad}</title>".encode(), bad, bad)
    plot = Shown("b", ".dot", bad.encode(), bad, bad)
    done = Executed(tutorial, {1: [Printed(bad), shown, plot]})
    for place in (None, Place([tutorial])):
        page = check_page(tutorial_page(done, place))
        assert page.all("img") == [] and len(page.all("script")) == 1
        assert not any("javascript:" in href for href in page.values("href"))
    page = check_page(index_page([entry(done)]))
    assert page.all("img") == [] and len(page.all("script")) == 1


# -------------------------------------------------------------------- prose and formulas


def test_links_to_tutorials_lead_to_their_pages():
    prose = Prose({"02_steps.py": "02_steps.html"})
    html = prose.html("[a](02_steps.py) [b](03_gone.py)")
    assert re.findall('href="([^"]*)"', html) == ["02_steps.html", "03_gone.py"]


def test_headings_have_anchors_of_their_own():
    prose = Prose({})
    html = prose.html("## A `b` & c!\n\n## A b c\n\n### Deeper")
    assert [heading.anchor for heading in prose.headings] == ["a-b-c", "a-b-c-again"]
    assert re.findall(r'<h2 id="([^"]*)">', html) == ["a-b-c", "a-b-c-again"]
    assert "<h3>Deeper</h3>" in html


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, True) for text in ("L", "x = 2", "∂L/∂W", "f(x)", "x_T", "2h", "β_W", "10 / h")),
        *(
            (text, False)
            for text in ("loss.sum()", "x.grad", "+=", "==", "-o", "0.5", "tg.draw(…)")
        ),
        *((text, False) for text in ("(4, 12)", "x @ W", "W_h.grad", "softmax(scores_of / τ)")),
    ],
)
def test_what_is_a_formula_and_what_a_program(text, expected):
    assert is_formula(text) == expected


def test_variables_are_slanted_and_names_are_not():
    assert inline("sₜ = tanh(Wˢ sₜ₋₁) < β_W") == (
        "<i>s</i>ₜ = tanh(<i>W</i>ˢ <i>s</i>ₜ₋₁) &lt; <i>β</i>_<i>W</i>"
    )


def test_what_is_aligned_stays_aligned():
    html = display("a = b      x\nc = d      y      z\n\nL = p\n  + q\n  = r\n")
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    assert [row.count("<td>") for row in rows] == [2, 3]
    lines = re.findall(r"<div>(.*?)</div>", html)
    assert lines[1:] == [
        "<i>L</i> = <i>p</i>",
        '<span class="indent"><i>L</i> </span>+ <i>q</i>',
        '<span class="indent"><i>L</i> </span>= <i>r</i>',
    ]
    assert 'aria-label="a = b      x\nc = d' in html


def test_pictures_hold_their_files(done):
    image = check_page(tutorial_page(done)).all("img")[1]
    (shown,) = [each for each in done.shown() if each.suffix == ".png"]
    head, _, data = str(image["src"]).partition(",")
    assert head == "data:image/svg+xml;base64"
    both = re.findall(r'"data:image/png;base64,([^"]+)"', base64.b64decode(data).decode())
    assert [base64.b64decode(each) for each in both] == [shown.content, shown.dark]
