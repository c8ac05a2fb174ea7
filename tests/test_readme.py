"""What README.md says is so: its programs run, its commands and files exist."""

from __future__ import annotations

import re

from processes import ROOT

TEXT = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


def test_the_programs_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    programs = blocks("python")
    assert len(programs) == 2
    for program in programs:
        exec(compile(program, "README.md", "exec"), namespace)
    assert (tmp_path / "lstm.svg").read_text("utf-8").startswith("<svg")


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
