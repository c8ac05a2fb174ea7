"""Drawing with whichever Graphviz there is, and without one."""

from __future__ import annotations

import importlib.util
import os
import stat
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest
from drawing.examples import CELLS, loss_of

import tinygradrnn as tg
from tinygradrnn.drawing import (
    Drawing,
    DrawingError,
    RendererNotFoundError,
    draw,
    find_renderer,
)
from tinygradrnn.drawing import render as rendering
from tinygradrnn.drawing.render import VARIABLE, render

pytestmark = pytest.mark.numpy_only("about files and processes")

STARTS = {".svg": b"<svg", ".png": b"\x89PNG", ".pdf": b"%PDF", ".html": b"<!DOCTYPE html>"}
pygraphviz_is_here = importlib.util.find_spec("pygraphviz") is not None


@pytest.fixture
def drawing() -> Drawing:
    return draw(loss_of(CELLS["lstm"](), 2), gradients=True)


@pytest.fixture
def without_dot(monkeypatch):
    """A machine on which Graphviz is not installed."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", os.devnull)


@pytest.fixture
def without_graphviz(without_dot, monkeypatch):
    """Nor pygraphviz."""
    monkeypatch.setattr(rendering, "find_spec", lambda name: None)


def program(folder: Path, body: str) -> str:
    """A program that stands in for ``dot``."""
    path, script = folder / "dot", folder / "dot.py"
    script.write_text(f"{body}\n")
    # through a shell: the path of an interpreter after #! must not hold a space
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


# ---------------------------------------------------------------- each renderer


@pytest.mark.parametrize("suffix", STARTS)
def test_save(drawing, tmp_path, suffix):
    path = drawing.save(tmp_path / "new folder" / f"lstm{suffix}")
    assert path.read_bytes().startswith(STARTS[suffix])
    assert list(path.parent.iterdir()) == [path]  # nothing is left over


def test_save_dot_needs_no_graphviz(drawing, tmp_path, without_graphviz):
    assert drawing.save(str(tmp_path / "lstm.DOT")).read_text("utf-8") == drawing.dot


@pytest.mark.skipif(not pygraphviz_is_here, reason="pygraphviz is not installed")
@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_pygraphviz_draws_without_dot(drawing, tmp_path, without_dot, suffix):
    assert find_renderer().name == "pygraphviz"
    path = drawing.save(tmp_path / f"lstm{suffix}")
    assert path.read_bytes().startswith(STARTS[suffix])


def test_the_variable_comes_first(tmp_path, monkeypatch):
    script = "import sys; sys.stdin.read(); print('<svg ' + ' '.join(sys.argv[1:]))"
    monkeypatch.setenv(VARIABLE, program(tmp_path, script))
    assert render("digraph {}", "svg").strip() == b"<svg -Knop2 -Tsvg"


def test_svg_keeps_the_positions(drawing):
    """Boxes are drawn where they were placed, by whichever Graphviz."""
    root = ElementTree.fromstring(drawing.svg())
    assert float(root.attrib["viewBox"].split()[2]) > drawing.scene.panels[-1].right
    circle = next(n for n, s in enumerate(drawing.scene.shapes) if s.round)
    shape = drawing.scene.shapes[circle]
    (ellipse,) = [
        e
        for group in root.iter()
        if group.attrib.get("id") == f"n{circle}"
        for e in group.iter("{http://www.w3.org/2000/svg}ellipse")
    ]
    assert float(ellipse.attrib["cx"]) == pytest.approx(shape.x, abs=0.1)
    assert float(ellipse.attrib["cy"]) == pytest.approx(-shape.y, abs=0.1)


def test_svg_fits_any_page(drawing):
    svg = drawing.svg()
    assert svg.startswith("<svg ")
    assert 'style="max-width:100%;height:auto"' in svg
    assert "<title>LSTM · op level · T = 2</title>" in svg
    assert svg.count("<title>") == 1


def test_html_runs_no_script_and_loads_nothing(drawing, tmp_path):
    page = drawing.save(tmp_path / "lstm.html").read_text("utf-8")
    assert "default-src 'none'" in page
    assert "<script" not in page
    assert page.count("://") == page.count("http://www.w3.org/")


def test_a_very_wide_png(tmp_path):
    wide = draw(loss_of(CELLS["elman"](), 120), steps=120)
    assert wide.save(tmp_path / "wide.png").read_bytes().startswith(STARTS[".png"])


# ---------------------------------------------------------------- what goes wrong


def test_without_any_graphviz_the_dot_is_kept(drawing, tmp_path, without_graphviz):
    with pytest.raises(RendererNotFoundError) as caught:
        drawing.save(tmp_path / "lstm.png")
    kept = tmp_path / "lstm.dot"
    assert "pip install 'tinygradrnn[viz]'" in str(caught.value)
    assert str(kept) in str(caught.value)
    assert kept.read_text("utf-8") == drawing.dot
    assert list(tmp_path.iterdir()) == [kept]


def test_svg_without_any_graphviz(drawing, without_graphviz):
    with pytest.raises(RendererNotFoundError, match=r"pip install 'tinygradrnn\[viz\]'"):
        drawing.svg()


def test_the_variable_names_no_program(drawing, monkeypatch):
    monkeypatch.setenv(VARIABLE, "/nowhere/dot")
    with pytest.raises(RendererNotFoundError, match=f"{VARIABLE} is .*nowhere"):
        drawing.svg()


def test_a_program_that_hangs_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, program(tmp_path, "import time; time.sleep(60)"))
    started = time.monotonic()
    with pytest.raises(DrawingError, match=r"took more than 0\.5 seconds; draw fewer time steps"):
        render("digraph {}", "svg", time_limit=0.5)
    assert time.monotonic() - started < 10


def test_the_worker_of_pygraphviz_is_killed_when_it_hangs(tmp_path, without_dot, monkeypatch):
    """Even inside Graphviz, where no signal but one is heard."""
    (tmp_path / "pygraphviz.py").write_text(
        "import os, pathlib, signal, time\n"
        "for s in (signal.SIGINT, signal.SIGTERM): signal.signal(s, signal.SIG_IGN)\n"
        "class AGraph:\n"
        "    def __init__(self, string): pass\n"
        "    def draw(self, format, prog):\n"
        "        pathlib.Path(os.environ['PID_FILE']).write_text(str(os.getpid()))\n"
        "        time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PID_FILE", str(tmp_path / "pid"))
    monkeypatch.setattr(rendering, "find_spec", lambda name: name)
    started = time.monotonic()
    with pytest.raises(DrawingError, match=r"pygraphviz took more than 5 seconds"):
        render("digraph {}", "svg", time_limit=5)
    assert time.monotonic() - started < 20
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_program_that_fails_even_after_writing(tmp_path, monkeypatch):
    """Graphviz can write a picture and fail all the same."""
    script = "import sys; print('<svg'); sys.stderr.write('trouble in init_rank\\n'); sys.exit(1)"
    monkeypatch.setenv(VARIABLE, program(tmp_path, script))
    with pytest.raises(DrawingError, match=r"exit status 1\): trouble in init_rank"):
        render("digraph {}", "svg")


def test_an_old_picture_survives_a_failure(drawing, tmp_path, monkeypatch):
    picture = tmp_path / "lstm.svg"
    picture.write_text("old")
    monkeypatch.setenv(VARIABLE, program(tmp_path, "import sys; sys.exit(3)"))
    with pytest.raises(DrawingError, match="it said nothing"):
        drawing.save(picture)
    assert picture.read_text() == "old"


# ---------------------------------------------------------------- draw, Jupyter


def test_jupyter_shows_the_picture(drawing):
    bundle = drawing._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg")
    assert bundle["text/plain"] == repr(drawing)


def test_ipython_shows_the_picture(drawing, without_dot):
    """What a notebook does with the last value of a cell."""
    formatter = pytest.importorskip("IPython.core.formatters").DisplayFormatter()
    shown, _ = formatter.format(drawing)
    assert shown["image/svg+xml"].startswith("<svg")
    assert shown["text/plain"] == repr(drawing)
    assert ElementTree.fromstring(shown["image/svg+xml"]).tag.endswith("svg")
    only, _ = formatter.format(drawing, include={"text/plain"})
    assert set(only) == {"text/plain"}


def test_jupyter_says_why_there_is_none(drawing, without_graphviz):
    bundle = drawing._repr_mimebundle_()
    assert list(bundle) == ["text/plain"]
    assert "pip install 'tinygradrnn[viz]'" in bundle["text/plain"]
    assert drawing.dot in bundle["text/plain"]


def test_digraph(drawing):
    graphviz = pytest.importorskip("graphviz")
    assert isinstance(drawing.digraph, graphviz.Digraph)
    assert drawing.digraph.source.split() == drawing.dot.split()


def test_targets(drawing):
    loss = loss_of(CELLS["lstm"](), 2)
    assert draw(loss).dot == draw(tg.Graph(loss)).dot == draw([loss]).dot
    assert draw((loss, loss * 2)).dot
    with pytest.raises(TypeError, match="draw needs a tensor, a Graph or several tensors"):
        draw(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        draw(["x"])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "gates"}, "level: 'gates' is not one of 'op', 'gate', 'cell', 'layer'"),
        ({"theme": "blue"}, "theme: 'blue' is not one of 'light', 'dark'"),
        ({"steps": [7]}, r"steps: \[7\] is not among the time steps of this graph, 1…2"),
        ({"steps": 2, "level": "layer"}, "steps: this picture has no time axis.*leave steps out"),
    ],
)
def test_options(options, message):
    with pytest.raises(ValueError, match=message):
        draw(loss_of(CELLS["lstm"](), 2), **options)


def test_unknown_suffix(drawing, tmp_path):
    with pytest.raises(ValueError, match=r"'lstm.jpeg' should end in one of"):
        drawing.save(tmp_path / "lstm.jpeg")


def test_repr(drawing):
    assert repr(drawing) == f"<Drawing LSTM · op level · T = 2: {len(drawing.diagram.boxes)} boxes>"


def test_two_hundred_steps_in_time(tmp_path):
    loss = loss_of(CELLS["elman"](), 200)
    started = time.monotonic()
    draw(loss, steps=200).save(tmp_path / "long.svg")
    assert time.monotonic() - started < 10  # about one second where nothing else runs
