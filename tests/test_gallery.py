"""The gallery draws what it is asked to, and its page shows all of it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT

pytestmark = pytest.mark.numpy_only("about files and processes")

SCRIPT = ROOT / "tutorials" / "gallery.py"


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    """The script, with Ctrl-C working even if it does not here."""
    code = (
        "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        f"sys.argv = sys.argv[1:]; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, "gallery.py", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_some_networks(tmp_path):
    process = start(tmp_path / "new", "--only", "irnn", "no-time")
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    drawn = sorted(path.name for path in (tmp_path / "new").glob("*.svg"))
    assert {"irnn-op-gradients-light.svg", "no-time-layer-values-dark.svg"} < set(drawn)
    assert sorted(line.split()[1] for line in err.splitlines()) == drawn
    page = (tmp_path / "new" / "index.html").read_text("utf-8")
    assert sorted(re.findall(r'img src="([^"]*)"', page)) == drawn
    assert set(re.findall(r'href="([^"#]*)"', page)) == set(drawn)
    assert f"Wrote {len(drawn)} of {len(drawn)} pictures in " in out
    assert f"shown by {tmp_path / 'new' / 'index.html'}" in out


def test_ctrl_c_leaves_a_page_of_what_is_there(tmp_path):
    process = start(tmp_path)
    assert process.stderr is not None
    for _ in range(3):  # the third is being drawn
        process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Stopped by Ctrl-C." in err and "Traceback" not in err
    page = (tmp_path / "index.html").read_text("utf-8")
    shown = re.findall(r'img src="([^"]*)"', page)
    assert len(shown) >= 2 and all((tmp_path / name).exists() for name in shown)
    assert f"Wrote {len(shown)} of " in out


def test_what_there_is_not(tmp_path):
    process = start(tmp_path, "--only", "irnn", "tree")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "invalid choice: 'tree' (choose from" in err and "encoder-decoder" in err
