"""What README.md says is so: its programs run, its commands and files exist."""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from processes import ROOT

from tinygradrnn.cli import main

pytestmark = pytest.mark.numpy_only("about files and processes")

TEXT = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_programs_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    programs = blocks("python")
    assert len(programs) == 3
    for program in programs:
        exec(compile(program, "README.md", "exec"), namespace)
    for name in ("lstm.svg", "gru.svg"):
        assert (tmp_path / name).read_text("utf-8").startswith("<svg")
    assert (tmp_path / "long.html").exists()


def test_the_commands_that_draw(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text("import tinygradrnn as tg\ndef loss(): return tg.tensor(1.0) * 2\n")
    commands = re.findall(r"^tinygradrnn (draw .*)$", TEXT, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        if "runs/" not in command:  # a run of `train`: tests/test_cli.py draws one
            assert main(shlex.split(command)) == 0, capsys.readouterr().err
    assert {"lstm.svg", "gru.png", "elman.svg", "loss.svg"} <= set(os.listdir())
    del sys.modules["model.py"]


def test_the_two_commands_are_those_of_ci():
    set_up, test = blocks("")[:2]
    ci = (ROOT / ".ci" / "run").read_text("utf-8")
    assert set_up.strip().endswith("-m tinygradrnn train")
    assert "pip install --quiet -e '.[dev]'" in ci
    assert "pip install -e '.[dev]'" in set_up
    assert ci.rstrip().endswith(test.strip())


def test_the_files_that_it_links_are_there():
    linked = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert {"CONTRIBUTING.md", "LICENSE", "benchmarks/RESULTS.md"} <= set(linked)
    assert [path for path in linked if not (ROOT / path).exists()] == []
