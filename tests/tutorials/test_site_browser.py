"""A site in Chromium, opened from disk without a network."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from browser import stepper, until, visits
from matplotlib.image import imread
from tutorials.lessons_and_course import LESSONS

from tinygradrnn.cli import main

pytestmark = pytest.mark.numpy_only("about a page in a browser")

COLOUR = "getComputedStyle(document.documentElement).backgroundColor"
WHITE, BLACK = "rgb(255, 255, 255)", "rgb(20, 23, 31)"
DARK_PIXELS = """(image) => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0);
    return context.getImageData(3, 3, 1, 1).data[0] < 100;
}"""


@pytest.fixture
def visit(chromium) -> Iterator[Any]:
    with visits(chromium, "document.readyState === 'complete'") as visit:
        yield visit


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    assert main(["tutorial", "all", "--html", "--folder", str(LESSONS), "-o", str(folder)]) == 0
    return folder


def test_from_page_to_page(visit, site):
    page = visit(site / "index.html")
    assert page.title() == "Recurrent networks from the inside"
    page.get_by_role("link", name="A sum, and").click()
    page.get_by_role("link", name="Next 02 · Steps").click()
    assert page.locator("h1").inner_text() == "Steps"
    page.get_by_role("link", name="Before 01 · A sum").click()
    page.get_by_role("link", name="the next one").click()
    page.get_by_role("link", name="Recurrent networks from the inside").click()
    assert page.url == (site / "index.html").as_uri()


def test_every_picture_is_there(visit, site):
    for name in ("index.html", "01_sums.html"):
        page = visit(site / name)
        widths = page.evaluate("[...document.images].map(image => image.naturalWidth)")
        assert widths and all(widths)


def test_a_picture_is_enlarged_and_put_back(visit, site):
    page = visit(site / "01_sums.html")
    small = page.locator("figure img").first.bounding_box()["width"]
    page.get_by_role("button", name='Enlarge: The "tap" of each step').click()
    large = page.locator("#large img")
    assert large.bounding_box()["width"] > 1.2 * small
    assert large.get_attribute("alt").startswith("Elman · cell level")
    page.keyboard.press("Escape")
    assert not large.is_visible()
    page.locator(".enlarge").last.focus()
    page.keyboard.press("Enter")
    assert large.get_attribute("alt") == "Plot: Squares"
    page.get_by_role("button", name="Close").click()
    assert not large.is_visible()


def coloured(page: Any, colour: str) -> None:
    until(page, f"{COLOUR} === '{colour}'")


def test_the_stepping_page_steps(visit, site):
    page = visit(site / "01_sums.html")
    frame = stepper(page.locator("iframe"))
    frame.locator("#next").click()
    assert frame.locator("#position").inner_text() == "1 / 5"
    page.keyboard.press("ArrowRight")  # the frame has the focus
    assert frame.locator("#position").inner_text() == "2 / 5"
    own = visit(site / "01_sums" / "page.html")
    assert own.locator("#position").inner_text() == "0 / 5"


def test_solutions_are_hidden_until_they_are_asked_for(visit, site):
    page = visit(site / "01_sums.html")
    solved = page.get_by_text("solved: [ 3. 12.]")
    assert not solved.is_visible()
    page.get_by_text("Solution", exact=True).click()
    assert solved.is_visible()


def test_light_and_dark(visit, site):
    page = visit(site / "01_sums.html", color_scheme="light")
    assert page.evaluate(COLOUR) == WHITE
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(COLOUR) == BLACK
    coloured(stepper(page.locator("iframe")), BLACK)
    page.get_by_role("link", name="Next 02").click()
    assert page.evaluate(COLOUR) == BLACK  # remembered
    page.get_by_role("button", name="Theme").click()
    assert page.evaluate(COLOUR) == WHITE
    dark = visit(site / "01_sums.html", color_scheme="dark")
    assert dark.evaluate(COLOUR) == BLACK


def test_the_stepping_page_stays_where_it_is_when_the_theme_changes(visit, site):
    page = visit(site / "01_sums.html", color_scheme="light")
    frame = stepper(page.locator("iframe"))
    frame.locator("#next").click()
    frame.locator("#next").click()
    for expected in (BLACK, WHITE):
        page.get_by_role("button", name="Theme").click()
        coloured(page, expected)
        coloured(frame, expected)
        assert frame.locator("#position").inner_text() == "2 / 5"


def test_a_plot_is_dark_on_a_dark_page(visit, site):
    for scheme, dark in (("light", False), ("dark", True)):
        page = visit(site / "01_sums.html", color_scheme=scheme)
        for turned in (dark, not dark):
            pixels = imread(BytesIO(page.locator("figure img[alt='Plot: Squares']").screenshot()))
            corner, ink = pixels[3, 3, :3], pixels[..., :3].mean(axis=-1)
            assert corner.max() < 0.15 if turned else corner.min() > 0.99
            assert ink.max() > 0.85 if turned else ink.min() < 0.15  # titles, axes
            page.get_by_role("button", name="Theme").click()


def test_a_graph_is_dark_on_a_dark_page(visit, site):
    for scheme, dark in (("light", False), ("dark", True)):
        page = visit(site / "01_sums.html", color_scheme=scheme)
        image = page.locator("figure img").first
        assert image.evaluate(DARK_PIXELS) == dark


@pytest.mark.parametrize("width", [360, 800, 1400])
def test_screens_of_any_width(visit, site, width):
    for name in ("01_sums.html", "index.html"):
        page = visit(site / name, viewport={"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page = visit(site / "01_sums.html", viewport={"width": width, "height": 740})
    line = page.locator("article p").first.bounding_box()
    letter = page.evaluate(
        """() => {
            const line = document.createElement("span");
            line.textContent = "the reader of this line ".repeat(4);
            document.querySelector("article p").append(line);
            line.style.whiteSpace = "nowrap";
            return line.getBoundingClientRect().width / 96;
        }"""
    )
    assert line["width"] / letter < 76


def test_where_the_reader_is(visit, site):
    page = visit(site / "01_sums.html", "#exercises", viewport={"width": 1400, "height": 500})
    until(page, "document.querySelector('[aria-current]') !== null")
    assert page.locator("[aria-current]").inner_text() == "Exercises"


def test_what_a_screen_reader_gets(visit, site):
    snapshot = visit(site / "01_sums.html").locator("body").aria_snapshot()
    for part in (
        'navigation "On this page"',
        'heading "A sum, and x < y" [level=1]',
        'heading "Pictures" [level=2]',
        'button "Enlarge: The \\"tap\\" of each step & more."',
        'navigation "Tutorials"',
    ):
        assert part in snapshot, snapshot


def test_on_paper(visit, site):
    page = visit(site / "01_sums.html", color_scheme="dark")
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()  # dark is now the reader's choice
    page.emulate_media(media="print")
    assert page.evaluate(COLOUR) == WHITE
    for hidden in ("#theme", "#contents", ".around", "details", "iframe"):
        assert not page.locator(hidden).first.is_visible()
    image = page.locator("figure img").first
    assert image.is_visible() and not image.evaluate(DARK_PIXELS)
