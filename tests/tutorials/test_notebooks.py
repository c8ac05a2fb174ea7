"""Notebooks are valid, hold the same cells, and keep what a reader has written into one."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from tutorials.lessons_and_course import COURSE, FIRST, LESSONS

from tinygradrnn.cli import main
from tinygradrnn.course.notebook import as_notebook, find_jupyter
from tinygradrnn.course.parsing import read_tutorial

pytestmark = pytest.mark.numpy_only("about files and processes")

nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tinygradrnn.course.notebook.find_jupyter", lambda: None)
    return tmp_path


def test_all_are_valid_and_hold_the_same_cells():
    for path in (FIRST, *COURSE):
        tutorial = read_tutorial(path)
        notebook = as_notebook(tutorial)
        nbformat.validate(notebook)
        kinds = {"prose": "markdown", "code": "code"}
        assert [(cell.cell_type, cell.source) for cell in notebook.cells] == [
            (kinds[cell.kind], cell.source) for cell in tutorial.cells
        ]
        assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


def test_solutions_are_folded_away():
    cells = as_notebook(read_tutorial(FIRST)).cells
    tagged = [cell.metadata for cell in cells if cell.metadata]
    assert tagged == [
        {"tags": ["exercise"]},
        {"tags": ["solution"], "jupyter": {"source_hidden": True}},
    ]


def test_the_command_writes_one(here, capsys):
    assert main(["tutorial", "1", "--folder", str(LESSONS), "--notebook"]) == 0
    assert capsys.readouterr().out == (
        "01_sums.ipynb\n"
        "To open it: pip install jupyterlab, then jupyter lab 01_sums.ipynb; or in an editor\n"
    )
    read = nbformat.read("01_sums.ipynb", as_version=4)
    nbformat.validate(read)
    assert read.cells[1].source == read_tutorial(FIRST).cells[1].source
    assert read.metadata.kernelspec.language == "python"


def test_what_a_reader_has_written_stays(here, capsys):
    command = ["tutorial", "01", "--folder", str(LESSONS), "--notebook", "-o", "mine/mine.ipynb"]
    assert main(command) == 0
    path = here / "mine" / "mine.ipynb"
    notebook = json.loads(path.read_text("utf-8"))
    notebook["cells"][1]["source"] = "mine"
    path.write_text(json.dumps(notebook), "utf-8")
    capsys.readouterr()
    assert main(command) == 0
    assert "mine.ipynb is there already and stays as it is" in capsys.readouterr().out
    assert json.loads(path.read_text("utf-8")) == notebook


def test_jupyter_opens_it_at_a_terminal_only(here, monkeypatch, capsys):
    opened: list[list[str]] = []
    monkeypatch.setattr("tinygradrnn.course.notebook.find_jupyter", lambda: "/bin/jupyter-lab")
    monkeypatch.setattr("subprocess.run", lambda command, check: opened.append(command))
    assert main(["tutorial", "01", "--folder", str(LESSONS), "--notebook"]) == 0
    assert opened == []
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["tutorial", "01", "--folder", str(LESSONS), "--notebook"]) == 0
    assert opened == [["/bin/jupyter-lab", "01_sums.ipynb"]]
    assert "Again: jupyter-lab 01_sums.ipynb" in capsys.readouterr().out


def test_jupyter_of_this_environment_goes_first(tmp_path, monkeypatch):
    for folder in ("own", "other"):
        for name in ("python", "jupyter-lab", "jupyter-notebook"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / name).write_text("")
            (tmp_path / folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "own" / "python"))
    monkeypatch.setenv("PATH", str(tmp_path / "other"))
    assert find_jupyter() == str(tmp_path / "own" / "jupyter-lab")
    (tmp_path / "own" / "jupyter-lab").unlink()
    (tmp_path / "own" / "jupyter-notebook").unlink()
    assert find_jupyter() == str(tmp_path / "other" / "jupyter-lab")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_jupyter() is None


def test_without_nbformat(here, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nbformat", None)
    assert main(["tutorial", "01", "--folder", str(LESSONS), "--notebook"]) == 2
    assert capsys.readouterr().err == (
        "tinygradrnn tutorial: error: notebooks are written by nbformat, which is not installed; "
        "pip install 'tinygradrnn[notebook]'\n"
    )
    assert list(here.iterdir()) == []
