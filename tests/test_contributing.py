"""What CONTRIBUTING.md says is so: its programs run, its files exist."""

from __future__ import annotations

import re
import tomllib

import pytest
from processes import ROOT

pytestmark = pytest.mark.numpy_only("about files and processes")

TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))


def blocks(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTIONS[section], re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("section", ["Add an operation", "Write your own cell"])
def test_the_programs_run(section):
    assert len(blocks(section, "python")) >= 2
    namespace: dict[str, object] = {}
    for program in blocks(section, "python"):
        exec(compile(program, f"CONTRIBUTING.md, {section}", "exec"), namespace)


def test_the_cell_has_ten_lines():
    (cell,) = re.findall(
        r"^class .*?(?=^\S|\Z)", blocks("Write your own cell", "python")[0], re.M | re.S
    )
    assert len([line for line in cell.splitlines() if line.strip()]) == 10


def test_the_layout_is_there():
    (tree,) = blocks("What stands where", "")
    paths = [line.split()[0] for line in tree.splitlines()]
    assert len(paths) > 15
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_other_files_that_are_named_are_there():
    named = re.findall(r"`((?:tests|backends|tinygradrnn)/[\w/.]+)`", TEXT)
    assert {"tests/operation_cases.py", "tests/plugin_backend"} <= set(named)
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_entry_point_is_that_of_the_example():
    (declared,) = blocks("Add a backend", "toml")
    example = (ROOT / "tests" / "plugin_backend" / "pyproject.toml").read_text("utf-8")
    assert tomllib.loads(declared)["project"] == {
        "entry-points": tomllib.loads(example)["project"]["entry-points"]
    }
