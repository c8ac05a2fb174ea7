"""Cells run as in a script, and what they print and show is kept where they stand."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from tutorials.lessons_and_course import FIRST, SECOND

import tinygradrnn as tg
from tinygradrnn.course.parsing import Tutorial, parse, read_tutorial
from tinygradrnn.course.running import Executed, Failed, Printed, execute
from tinygradrnn.course.showing import Shown

pytestmark = pytest.mark.numpy_only("about files and processes")

HEAD = "# %% [markdown]\n# # 03 · Here\n#\n# 5 minutes.\n"


@pytest.fixture
def tutorial(tmp_path):
    """A tutorial of these code cells, in a file."""

    def make(*cells: str) -> Tutorial:
        path = tmp_path / "03_here.py"
        path.write_text(HEAD + "".join(f"\n# %%\n{cell}\n" for cell in cells), "utf-8")
        return read_tutorial(path)

    return make


def printed(done: Executed, place: int) -> str:
    return "".join(each.text for each in done.outputs[place] if isinstance(each, Printed))


def test_outputs_stand_at_their_cells():
    done = execute(read_tutorial(FIRST))
    assert done.failure is None and done.seconds > 0
    assert [type(each) for each in done.outputs[3]] == [Printed]
    assert printed(done, 3) == "gradient <of x>: [2. 4.]\n"
    names = [(each.name, each.suffix) for each in done.shown()]
    assert names == [("unrolled", ".svg"), ("displayed-1", ".png"), ("page", ".html")]
    assert printed(done, 8) == "np.float32(6.0)\n"
    assert printed(done, 11) == "solved: [ 3. 12.]\n"


def test_the_last_expression_is_displayed(tutorial):
    done = execute(tutorial("x = 'a'\nx", "None", "x;", "print(1)\nx.upper()", "y = 1"))
    assert [printed(done, n) for n in (1, 2, 3, 4, 5)] == ["'a'\n", "", "'a'\n", "1\n'A'\n", ""]


def test_both_streams_in_order(tutorial):
    done = execute(tutorial("import sys\nprint(1)\nprint(2)\nprint(3, file=sys.stderr)\nprint(4)"))
    assert done.outputs[1] == [Printed("1\n2\n"), Printed("3\n", "err"), Printed("4\n")]


def test_a_cell_sees_what_a_script_sees(tutorial, monkeypatch):
    """Its name, its file, its classes, its lines; nothing of what runs it."""
    done = execute(
        tutorial(
            "import inspect, sys, pathlib\nfrom dataclasses import dataclass, fields",
            "@dataclass\nclass Point:\n    x: int\n\n\ndef double(n):\n    return 2 * n",
            "print(__name__, pathlib.Path(__file__).name, sys.modules['__main__'].double(2))",
            "print(inspect.getsource(double))\nprint(fields(Point)[0].type)",
        )
    )
    assert done.failure is None
    assert printed(done, 3) == "__main__ 03_here.py 4\n"
    assert printed(done, 4) == "def double(n):\n    return 2 * n\n\n<class 'int'>\n"


def test_a_cell_that_fails_ends_the_run(tutorial):
    done = execute(tutorial("def f():\n    return 1 / 0", "print(1)\nf()", "print(2)"))
    assert done.failure == "03_here.py, cell at line 11: ZeroDivisionError: division by zero"
    assert 3 not in done.outputs
    first, failed = done.outputs[2]
    assert first == Printed("1\n")
    assert isinstance(failed, Failed)
    lines = failed.text.splitlines()
    assert lines[:3] == [
        "Traceback (most recent call last):",
        '  File "03_here.py", line 12, in <module>',
        "    f()",
    ]
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert '  File "03_here.py", line 8, in f' in lines and "    return 1 / 0" in lines
    assert "running.py" not in failed.text


def test_leaving_is_failing(tutorial):
    assert execute(tutorial("raise SystemExit(3)")).failure == (
        "03_here.py, cell at line 7: SystemExit: 3"
    )


def test_a_name_is_shown_once(tutorial):
    draw = "import tinygradrnn as tg\nfrom tinygradrnn.course import show\n"
    draw += "picture = tg.draw((tg.tensor([1.0], requires_grad=True) * 2).sum())\n"
    done = execute(tutorial(f"{draw}show(picture, 'a')", "show(picture, 'b')\nshow(picture, 'a')"))
    assert done.failure == (
        "03_here.py, cell at line 13: ValueError: show: name 'a' is used twice in this tutorial"
    )
    assert [shown.name for shown in done.shown()] == ["a", "b"]


def test_one_run_does_not_change_the_next():
    before = execute(read_tutorial(SECOND)).outputs
    random.seed(5)
    np.random.seed(5)
    tg.manual_seed(5)
    assert execute(read_tutorial(SECOND)).outputs == before


def test_the_backend_is_put_back(tutorial):
    backend = tg.get_backend()
    cell = "import tinygradrnn as tg\ntg.use_backend(type(tg.get_backend())())"
    done = execute(tutorial(cell, "assert tg.get_backend() is not None"))
    assert done.failure is None and tg.get_backend() is backend


def test_progress(tutorial):
    told: list[int] = []
    execute(tutorial("1", "2"), told.append)
    assert told == [0, 1, 2]


def test_the_text_of_a_tutorial_need_not_lie_in_a_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        execute(parse(f"{HEAD}\n# %%\n1\n", Path(tmp_path / "03_gone.py")))


def test_shown_things_are_files(tmp_path):
    path = Shown("a", ".svg", b"<svg/>", "A").save(tmp_path / "new")
    assert path == tmp_path / "new" / "a.svg" and path.read_bytes() == b"<svg/>"
