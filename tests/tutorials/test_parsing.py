"""Tutorials are read as they are written, and what is not of their form is refused by line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tutorials.lessons_and_course import FIRST, LESSONS, SECOND

from tinygradrnn.course.finding import find_tutorial, tutorial_files
from tinygradrnn.course.parsing import Cell, TutorialError, parse, read_tutorial

pytestmark = pytest.mark.numpy_only("about files and processes")

PATH = Path("03_here.py")
HEAD = "# %% [markdown]\n# # 03 · Here\n#\n# It takes\n# 10-20 minutes.\n#\n# More.\n"


def test_cells_with_their_lines():
    text = HEAD + '\n# %%\nx = 1\n\n\ny = 2\n\n# %% [markdown] tags=["exercise"]\n# Do `#`.\n#\n#\n'
    text += '# %% tags=["solution"]\nprint(x)\n'
    tutorial = parse(text, PATH)
    assert tutorial.cells[1:] == (
        Cell("code", "x = 1\n\n\ny = 2", 10),
        Cell("prose", "Do `#`.\n\n", 16, "exercise"),
        Cell("code", "print(x)", 20, "solution"),
    )
    lines = text.splitlines()
    for cell in tutorial.cells:
        assert cell.source.splitlines()[0] == lines[cell.line - 1].removeprefix(
            "# " if cell.kind == "prose" else ""
        )
    assert (tutorial.number, tutorial.name, tutorial.title) == ("03", "03_here", "Here")
    assert (tutorial.minutes, tutorial.summary) == ("10–20", "It takes 10-20 minutes.")


@pytest.mark.parametrize(
    ("said", "minutes"),
    [("10-20 minutes", "10–20"), ("5\n# minutes", "5"), ("about twenty minutes", "20")],
)
def test_minutes(said, minutes):
    assert parse(HEAD.replace("10-20 minutes", said), PATH).minutes == minutes


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "has no cells"),
        ("\nimport os\n# %%\nx = 1\n", 2, "stands before the first cell"),
        (HEAD + "#%%\nx = 1\n", 8, "'#%%' does not begin a cell; write '# %%'"),
        (HEAD + "# %% [md]\n# x\n", 8, "does not begin a cell"),
        (HEAD + "# %% A title\nx = 1\n", 8, "does not begin a cell"),
        (HEAD + '# %% tags=["hidden"]\nx = 1\n', 8, "tag 'hidden' on a code cell"),
        (HEAD + '# %% tags=["exercise"]\nx = 1\n', 8, "tag 'exercise' on a code cell"),
        (HEAD + "# %% [markdown]\n# Text\nx = 1\n", 10, "must stand behind '# ', got 'x = 1'"),
        (HEAD + "# %% [markdown]\n#Text\n", 9, "must stand behind '# ', got '#Text'"),
        (HEAD + "# %% [markdown]\n# Text\n\n# More\n", 10, "must stand behind '# ', got ''"),
        (HEAD + "# %%\n\n# %%\nx = 1\n", 8, "the cell is empty"),
        (HEAD + "# %%\nx = 1\nif x\n", 10, "expected ':', in a code cell"),
        (HEAD + "# %%\nx = 1\nreturn\n", 10, "'return' outside function, in a code cell"),
        ("# %%\nx = 1\n", 2, "the first cell must be prose that begins '# # 03 · Title'"),
        (HEAD.replace("03", "04"), 2, "begins '# # 03 · Title'"),
        (HEAD.replace("10-20", "a few"), 2, "must say how long it takes, as in '15 minutes'"),
        (HEAD + '# %% [markdown] tags=["exercise"]\n# Do.\n', 9, "after an exercise"),
        (HEAD + '# %% tags=["solution"]\nx = 1\n', 9, "right behind its exercise"),
    ],
)
def test_what_is_refused(text, line, words):
    where = f"{PATH}, line {line}: " if line else f"{PATH}: "
    with pytest.raises(TutorialError, match=f"^{re.escape(where)}.*{re.escape(words)}"):
        parse(text, PATH)


def test_the_name_of_the_file_is_that_of_a_tutorial():
    with pytest.raises(TutorialError, match=r"here\.py: a tutorial's file is called as in"):
        parse(HEAD, Path("here.py"))


def test_a_file_that_is_no_text(tmp_path):
    (tmp_path / "03_here.py").write_bytes(b"# %%\n\xff")
    with pytest.raises(TutorialError, match=r"03_here\.py: is not UTF-8 text"):
        read_tutorial(tmp_path / "03_here.py")


@pytest.mark.parametrize("which", ["02", "2", "steps", "02_steps", "02_steps.py"])
def test_a_tutorial_is_found_by_number_and_name(which):
    assert find_tutorial(which, LESSONS).path == SECOND


@pytest.mark.parametrize("which", ["3", "2x", "step", "", "all"])
def test_what_there_is_not(which):
    with pytest.raises(TutorialError, match=r"no tutorial '.*'; there are 01 \(sums\), 02 \(step"):
        find_tutorial(which, LESSONS)


def test_folders(tmp_path):
    assert tutorial_files(LESSONS) == {"01": FIRST, "02": SECOND}
    with pytest.raises(TutorialError, match=r"no tutorials \(files such as 03_recurrence\.py\) in"):
        tutorial_files(tmp_path)
    for name in ("03_here.py", "03_there.py", "gallery.py", "4_no.py"):
        (tmp_path / name).write_text(HEAD)
    with pytest.raises(TutorialError, match=r"03_here\.py and .*03_there\.py have the same number"):
        tutorial_files(tmp_path)
