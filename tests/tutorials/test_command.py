"""``tinygradrnn tutorial``: the list, the pages and the site, and a line for each thing wrong."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tutorials.lessons_and_course import LESSONS, check_page

from tinygradrnn.cli import main

pytestmark = pytest.mark.numpy_only("about files and processes")

FAILING = "# %% [markdown]\n# # 03 · Bad\n#\n# 5 minutes.\n\n# %%\n1 / 0\n\n# %%\nprint(1)\n"


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Run the command on the lessons; its exit status and both outputs."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, folder: Path = LESSONS) -> tuple[int, str, str]:
        status = main(["tutorial", *arguments, "--folder", str(folder)])
        return status, *capsys.readouterr()

    return run


def test_the_list(command):
    status, out, err = command()
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "01     10 min  A sum, and `x < y`",
        "02   5–10 min  Steps",
        f"Their files are in {LESSONS}",
    ]


def test_a_page(command):
    status, out, err = command("02", "--html")
    assert (status, out, err) == (0, "02_steps.html\n", "02 · Steps\n")
    assert "<h1>Steps</h1>" in Path("02_steps.html").read_text("utf-8")
    assert command("02", "--html", "-o", "pages/two.htm")[1] == f"{Path('pages/two.htm')}\n"
    assert Path("pages/two.htm").read_bytes() == Path("02_steps.html").read_bytes()


def test_progress_at_a_terminal_is_not_on_the_page(command, tmp_path, monkeypatch):
    """It is drawn ten times a second, also while a cell runs whose output is kept."""
    text = "# %% [markdown]\n# # 03 · Long\n#\n# 5 minutes.\n\n# %%\nimport time\n"
    (tmp_path / "03_long.py").write_text(f"{text}time.sleep(0.5)\nprint('done')\n", "utf-8")
    screen = io.StringIO()
    monkeypatch.setattr(screen, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    assert command("03", "--html", folder=tmp_path)[0] == 0
    page = check_page(Path("03_long.html").read_text("utf-8"))
    assert page.texts["samp"] == ["done"]
    assert screen.getvalue().count("03 · Long") > 3


def test_a_site(command):
    status, out, err = command("--html", "all", "-o", "there")
    assert status == 0
    index = Path("there/index.html")
    assert out == f"Wrote the pages of 2 of 2 tutorials; begin at {index}\n"
    assert err.splitlines() == ["01 · A sum, and `x < y`", "02 · Steps"]
    files = {path.relative_to("there").as_posix() for path in Path("there").rglob("*.html")}
    assert files == {"index.html", "01_sums.html", "02_steps.html", "01_sums/page.html"}


def test_a_cell_that_fails(command, tmp_path):
    (tmp_path / "03_bad.py").write_text(FAILING, "utf-8")
    status, out, err = command("03", "--html", folder=tmp_path)
    assert (status, out) == (2, "03_bad.html\n")
    why = "failed: 03_bad.py, cell at line 7: ZeroDivisionError: division by zero"
    assert err.splitlines() == ["03 · Bad", why]
    page = Path("03_bad.html").read_text("utf-8")
    assert "ZeroDivisionError: division by zero</samp>" in page
    assert page.count("This cell did not run.") == 1
    status, out, err = command("all", "--html", folder=tmp_path)
    assert (status, err.splitlines()[-1]) == (2, why)
    assert out.startswith("Wrote the pages of 1 of 1 tutorials")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["7"], r"no tutorial '7'; there are 01 \(sums\), 02 \(steps\)"),
        (["all"], "all: only --html takes all of them; name one by its number"),
        (["all", "--notebook"], "all: only --html takes all of them; name one by its number"),
        (["--html"], "say which tutorial, as in 'tutorial 03 --html', or 'tutorial all --html'"),
        (["01", "-o", "x.html"], "--output: only --html and --notebook write to it"),
        (["01", "--html", "-o", "x.pdf"], r"--output: 'x\.pdf' should end in \.html"),
        (["01", "--notebook", "-o", "x.html"], r"--output: 'x\.html' should end in \.ipynb"),
        (["all", "--html", "-o", "file"], "--output: file is a file; give a folder for the pages"),
        (["01", "--html", "--notebook"], "argument --notebook: not allowed with argument --html"),
    ],
)
def test_what_is_refused(command, arguments, said, tmp_path):
    (tmp_path / "file").write_text("")
    status, out, err = command(*arguments)
    assert (status, out) == (2, "")
    assert re.fullmatch(rf"tinygradrnn tutorial: error: {said}.*\n", err)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_malformed_tutorial_is_named(command, tmp_path):
    (tmp_path / "03_bad.py").write_text(FAILING.replace("# %%\n1", "#%%\n1"), "utf-8")
    for arguments in ([], ["03"], ["03", "--html"], ["all", "--html"]):
        status, out, err = command(*arguments, folder=tmp_path)
        assert (status, out) == (2, "")
        assert f"{tmp_path / '03_bad.py'}, line 6: '#%%' does not begin a cell" in err
    status, _, err = command(folder=tmp_path / "gone")
    assert status == 2 and "no tutorials (files such as 03_recurrence.py) in" in err


WAITING = "# %% [markdown]\n# # 02 · Wait\n#\n# 5 minutes.\n\n# %%\nprint(1)\n"
WAITING += "import sys, time\nprint('waiting', file=sys.__stderr__, flush=True)\ntime.sleep(60)\n"


def test_ctrl_c_leaves_what_is_there(tmp_path):
    """Pages that are written stay, and the page that lists them; an older list is kept."""
    (tmp_path / "01_fine.py").write_text(WAITING.partition("import")[0].replace("02", "01"))
    (tmp_path / "02_wait.py").write_text(WAITING)
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from tinygradrnn.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["tutorial", "all", "--html", "--folder", str(tmp_path), "-o", "site"]
    index = tmp_path / "site" / "index.html"
    for older in (None, "older"):
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        assert process.stderr is not None
        for line in process.stderr:
            if line == "waiting\n":
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 130
        assert out == f"Wrote the pages of 1 of 2 tutorials; begin at {Path('site/index.html')}\n"
        assert err == "Stopped by Ctrl-C.\n"
        assert "<h1>" in (tmp_path / "site" / "01_fine.html").read_text("utf-8")
        if older is None:
            assert 'href="01_fine.html"' in index.read_text("utf-8")
            index.write_text("older")
        else:
            assert index.read_text("utf-8") == older
