"""The walk through a tutorial, by pipe and at a terminal, from the first cell to the last."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tutorials.lessons_and_course import FIRST, LESSONS

from tinygradrnn.cli import main
from tinygradrnn.course.parsing import read_tutorial

pytestmark = pytest.mark.numpy_only("about files and processes")

STOPS = 8  # of the first lesson
ENTER = "\n" * STOPS


@pytest.fixture
def walk(tmp_path, monkeypatch, capsys):
    """Walk through a lesson with what is typed; the exit status and what is printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TINYGRADRNN_TUTORIAL_OUTPUT", raising=False)

    def run(typed: str, which: str = "01", folder: Path = LESSONS) -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        status = main(["tutorial", which, "--folder", str(folder)])
        out, err = capsys.readouterr()
        assert err == ""
        return status, out

    return run


def test_from_start_to_end(walk):
    status, out = walk(ENTER)
    assert status == 0
    cells = [cell for cell in read_tutorial(FIRST).cells if cell.tag != "solution"]
    at = 0
    for cell in cells:  # all of them, in order, prose as it is written and programs set in
        indent = "    " if cell.kind == "code" else ""
        text = "\n".join(f"{indent}{line}".rstrip() for line in cell.source.splitlines())
        at = out.index(text, at)
    for text in ("gradient <of x>: [2. 4.]", "np.float32(6.0)"):
        assert text in out
    assert "solved" not in out
    assert "tutorial-output/01/displayed-1.png\n" in out
    assert out.endswith(
        "The end of 01 · A sum, and `x < y`.\n"
        f"Written to {Path('tutorial-output/01')}: unrolled.svg, displayed-1.png, page.html\n"
    )
    assert sorted(path.name for path in Path("tutorial-output/01").iterdir()) == [
        *("displayed-1.png", "page.html", "unrolled.svg")
    ]


def test_output_follows_its_cell(walk):
    _, out = walk(ENTER)
    asked = out.index(f"2/{STOPS} Enter runs it")
    assert asked < out.index("gradient <of x>: [2. 4.]") < out.index("## Pictures")
    assert out.index("## Pictures") < out.index(f"3/{STOPS} Enter runs it")


def test_the_solution_of_an_exercise_is_shown_when_it_is_asked_for(walk):
    _, out = walk("\n" * 6 + "s\n\n")
    asked = out.index(f"7/{STOPS} Enter goes on, s shows the solution")
    assert asked < out.index("    (x * x * x).sum().backward()") < out.index("solved: [ 3. 12.]")


def test_python_at_the_prompt(walk):
    status, out = walk("\n\nloss.item() + 1\nimport math\n1 +\n1 / 0\nexit()\n")
    assert status == 0
    lines = out.splitlines()
    assert "6.0" in lines
    assert "ZeroDivisionError: division by zero" in lines
    assert "SyntaxError: invalid syntax" in lines
    assert '  File "<typed>", line 1, in <module>' in lines
    assert "running.py" not in out


def test_back_and_keys(walk):
    _, out = walk("b\n\n\nb\n?\nq\n")
    places = [line[0] for line in out.splitlines() if " Enter runs it" in line]
    assert places == list("112322")
    assert out.count("run the cell and go on") == 2
    assert out.count("gradient <of x>: [2. 4.]") == 1


@pytest.mark.parametrize(("typed", "written"), [("\n\nq\n", False), ("\n\n\n", True), ("", False)])
def test_leaving_says_what_was_written(walk, typed, written):
    status, out = walk(typed)
    assert status == 0
    where = f"Written to {Path('tutorial-output/01')}: unrolled.svg" if written else "Nothing was"
    left, said = out.splitlines()[-2:]
    assert left == "Left before the end of 01 · A sum, and `x < y`."
    assert said.startswith(where)


def test_a_cell_that_fails_lets_one_go_on(walk, tmp_path):
    text = "# %% [markdown]\n# # 01 · Bad\n#\n# 5 minutes.\n\n# %%\nx = 0\n1 / x\n\n"
    (tmp_path / "01_bad.py").write_text(f"{text}# %%\nprint('after', x)\n")
    status, out = walk("\n\n\n", "01", tmp_path)
    assert status == 0
    assert 'File "01_bad.py", line 8, in <module>\n    1 / x\n' in out
    assert "ZeroDivisionError: division by zero\n" in out
    assert "after 0" in out and "The end of 01 · Bad." in out


def start(folder: Path, stdin: int) -> subprocess.Popen[bytes]:
    """The command in a process of its own, with Ctrl-C working even if it does not here."""
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from tinygradrnn.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = [sys.executable, "-c", code, "tutorial", "01", "--folder", str(LESSONS)]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "90", "LINES": "40"}
    options: dict[str, Any] = {"cwd": folder, "env": environment, "stdin": stdin}
    if stdin == subprocess.PIPE:
        return subprocess.Popen(arguments, **options, stdout=subprocess.PIPE)
    # the terminal becomes the one that sends Ctrl-C to the process
    return subprocess.Popen(arguments, **options, preexec_fn=partial(os.login_tty, 0))


def test_ctrl_c_while_it_waits(tmp_path):
    process = start(tmp_path, subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(b"\n\n\n")
    process.stdin.flush()
    for line in process.stdout:
        if line.startswith(b"4/8"):
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out.decode().splitlines()[-2:] == [
        "Left before the end of 01 · A sum, and `x < y`.",
        f"Written to {Path('tutorial-output/01')}: unrolled.svg",
    ]


class Terminal:
    """The command at a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self.keyboard, screen = os.openpty()
        self.process = start(folder, screen)
        os.close(screen)
        self.seen = ""

    def read_until(self, text: str) -> str:
        """What appears until this does."""
        import select

        before, began = len(self.seen), time.monotonic()
        while text not in self.seen[before:]:
            assert time.monotonic() - began < 60, self.seen[before:]
            if select.select([self.keyboard], [], [], 1.0)[0]:
                try:
                    self.seen += os.read(self.keyboard, 65536).decode("utf-8", "replace")
                except OSError:  # the other end is closed
                    break
        return self.seen[before:]

    def type(self, keys: str) -> None:
        os.write(self.keyboard, keys.encode())


@pytest.fixture
def terminal(tmp_path):
    pytest.importorskip("pty", reason="there are no pseudo-terminals")
    opened = Terminal(tmp_path)
    yield opened
    opened.process.kill()
    opened.process.wait()
    os.close(opened.keyboard)


def test_at_a_terminal_from_start_to_end(terminal, tmp_path):
    page = ""
    for stop in range(1, STOPS + 1):
        page += terminal.read_until("› ")
        assert f"{stop}/{STOPS} " in page
        terminal.type("s\n" if stop == 7 else "\n")
    page += terminal.read_until("page.html\x1b[0m\r\n")
    assert terminal.process.wait(timeout=60) == 0
    assert "\x1b[" in page and "# A sum" not in page  # it is set, not printed as it is written
    assert "gradient <of x>: [2. 4.]" in page and "solved: [ 3. 12.]" in page
    assert "The end of 01" in page
    link = (tmp_path / "tutorial-output" / "01" / "unrolled.svg").as_uri()
    assert f"{link}\x1b\\" in page


@pytest.mark.parametrize(("key", "status"), [("\x03", 130), ("\x04", 0)])
def test_ctrl_c_and_ctrl_d_at_a_terminal(terminal, key, status):
    terminal.read_until("› ")
    terminal.type(key)
    said = terminal.read_until("Nothing was written.")
    assert "Left before the end of 01" in said
    assert terminal.process.wait(timeout=60) == status
