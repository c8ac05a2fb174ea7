"""``show`` writes, displays, or hands over; what it cannot show it refuses."""

from __future__ import annotations

import runpy
import sys
from io import BytesIO
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from tutorials.lessons_and_course import FIRST

import tinygradrnn as tg
from tinygradrnn.course import show
from tinygradrnn.course.showing import Shown, as_shown, received_by
from tinygradrnn.drawing import RendererNotFoundError
from tinygradrnn.drawing.theme import DARK
from tinygradrnn.models import example_loss

pytestmark = pytest.mark.numpy_only("about files and processes")


@pytest.fixture
def drawing() -> tg.Drawing:
    return tg.draw(example_loss("elman", 2), level="cell")


def test_a_script_writes_files_and_says_where(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TINYGRADRNN_TUTORIAL_OUTPUT", raising=False)
    runpy.run_path(str(FIRST), run_name="__main__")
    folder = tmp_path / "tutorial-output" / "01"
    assert sorted(path.name for path in folder.iterdir()) == ["page.html", "unrolled.svg"]
    assert (folder / "unrolled.svg").read_text("utf-8").startswith("<svg")
    assert (folder / "page.html").read_text("utf-8").startswith("<!doctype html>")
    printed = capsys.readouterr().out.splitlines()
    assert printed[1:3] == [
        'tutorial-output/01/unrolled.svg: The "tap" of each step & more.',
        "tutorial-output/01/page.html: Step through it.",
    ]


def test_the_folder_can_be_chosen(tmp_path, monkeypatch, capsys, drawing):
    monkeypatch.setenv("TINYGRADRNN_TUTORIAL_OUTPUT", str(tmp_path / "there"))
    show(drawing, "mine")
    assert (tmp_path / "there" / "test_showing" / "mine.svg").exists()
    exec("show(drawing, 'typed')", {"show": show, "drawing": drawing})
    assert (tmp_path / "there" / "typed.svg").exists()
    show(Figure((2, 1)), "plot")
    assert (tmp_path / "there" / "test_showing" / "plot.png").read_bytes()[:4] == b"\x89PNG"
    assert capsys.readouterr().out.splitlines()[1] == str(tmp_path / "there" / "typed.svg")


def test_what_is_shown_can_be_received(drawing, capsys):
    received: list[Shown] = []
    figure = Figure((3, 2))
    axes = figure.subplots()
    axes.set(title="Squares", xlabel="k")
    with received_by(received.append):
        show(drawing, "graph", "Look.")
        show(tg.step_through(example_loss("elman", 2)), "steps")
        show(figure, "plot")
    assert [(each.name, each.suffix, each.caption) for each in received] == [
        ("graph", ".svg", "Look."),
        ("steps", ".html", None),
        ("plot", ".png", None),
    ]
    titles = ["Elman · cell level · T = 2", "Elman · op level · T = 2", "Plot: Squares; k"]
    assert [each.title for each in received] == titles
    assert capsys.readouterr().out == ""


def test_a_notebook_displays(monkeypatch, drawing, capsys):
    displayed: list[object] = []
    monkeypatch.setitem(
        sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1))
    )
    display = ModuleType("IPython.display")
    vars(display).update(
        display=displayed.append,
        Image=lambda data, retina: ("image", data[:4], retina),
        Markdown=lambda text: ("markdown", text),
    )
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    show(drawing, "graph", "Look.")
    show(Figure((2, 1)), "plot")
    assert displayed == [drawing, ("markdown", "*Look.*"), ("image", b"\x89PNG", True)]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", ["two words", "", "../up", "a.svg", "-x", 3])
def test_names_that_no_file_can_have(drawing, name):
    with pytest.raises(ValueError, match="show: name must be a word of letters, digits, - and _"):
        show(drawing, name)


@pytest.mark.parametrize("thing", ["text", 3.0, None])
def test_things_that_are_no_pictures(thing):
    with pytest.raises(TypeError, match=r"show: thing must be a Drawing .* got a \w+; print what"):
        show(thing, "name")


def test_without_graphviz_a_tutorial_goes_on(tmp_path, monkeypatch, capsys, drawing):
    def no_renderer(*_: object) -> bytes:
        raise RendererNotFoundError("no Graphviz")

    monkeypatch.setattr("tinygradrnn.drawing.picture.render", no_renderer)
    monkeypatch.setenv("TINYGRADRNN_TUTORIAL_OUTPUT", str(tmp_path))
    show(drawing, "graph")
    path = tmp_path / "test_showing" / "graph.dot"
    assert path.read_text("utf-8").startswith("digraph")
    assert capsys.readouterr().out == f"graph is kept as DOT: no Graphviz\n{path}\n"


# ---------------------------------------------------------------- plots on dark pages


def test_a_plot_is_drawn_for_dark_pages_and_left_as_it_was():
    figure = Figure((4, 2))
    left, right = figure.subplots(1, 2)
    left.plot([1, 4, 9], color="black", label="squares")
    left.plot([1, 2, 3], color="red")
    left.legend()
    image = right.imshow([[1.0, 2.0]])
    right.text(0, 0, "1")
    figure.colorbar(image)
    shown = as_shown(figure, "both")
    assert shown.dark != shown.content
    light, dark = (imread(BytesIO(each))[..., :3] for each in (shown.content, shown.dark))
    page = [int(DARK.page[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    assert light[2, 2].tolist() == [1, 1, 1]
    np.testing.assert_allclose(dark[2, 2], page, atol=0.01)
    same = (light == dark).all(axis=-1)
    yellow, red = light[..., 2] < 0.3, light[..., 0] > 0.99
    coloured = (yellow & (light[..., 0] > 0.9)) | (red & (light[..., 1] < 0.01))
    assert coloured.sum() > 1000
    assert same[coloured].mean() > 0.98  # what shows numbers stays as it is, but for fringes
    assert [line.get_color() for line in left.lines] == ["black", "red"]
    again = as_shown(figure, "both")
    assert (again.content, again.dark) == (shown.content, shown.dark)
