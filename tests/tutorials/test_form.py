"""The tutorials of the course have one form, and use what is public."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tutorials.lessons_and_course import COURSE

import tinygradrnn as tg
from tinygradrnn.course.parsing import Tutorial, read_tutorial

pytestmark = pytest.mark.numpy_only("about files and processes")

LONGEST_CELL, LONGEST_SOLUTION = 15, 20
OTHERS = {"numpy", "matplotlib", "torch"}  # the last only to be measured beside
each_tutorial = pytest.mark.parametrize("path", COURSE, ids=lambda path: path.stem)


def nodes(tutorial: Tutorial) -> Iterator[ast.AST]:
    for cell in tutorial.cells:
        if cell.kind == "code":
            yield from ast.walk(ast.parse(cell.source))


@each_tutorial
def test_cells_are_short(path):
    for cell in read_tutorial(path).cells:
        longest = LONGEST_SOLUTION if cell.tag == "solution" else LONGEST_CELL
        lines = [line for line in cell.source.splitlines() if line.strip()]
        assert cell.kind == "prose" or len(lines) <= longest, f"{path.name}, line {cell.line}"


@each_tutorial
def test_three_exercises_then_what_to_read_next(path):
    cells = read_tutorial(path).cells
    exercises = [cell.source for cell in cells if cell.tag == "exercise"]
    assert [re.match(r"\*\*Exercise (\d)\.\*\*", each)[1] for each in exercises] == ["1", "2", "3"]
    assert cells[-2].tag == "solution"
    assert cells[-1].source.startswith("## What to read next\n")


@each_tutorial
def test_solutions_check_what_was_asked(path):
    for cell in read_tutorial(path).cells:
        checked = re.search("assert|AssertionError|check_gradients", cell.source)
        assert cell.tag != "solution" or checked, f"{path.name}, line {cell.line}"


@each_tutorial
def test_the_cells_in_order_are_the_script(path):
    """What runs cell by cell, here and on a page, is what `python` runs."""
    tutorial = read_tutorial(path)
    source = [cell.source for cell in tutorial.cells if cell.kind == "code"]
    script = ast.parse(path.read_text("utf-8"))
    assert ast.dump(ast.parse("\n".join(source))) == ast.dump(script)


def public_names(module: str) -> set[str]:
    """What a package of the project offers; a module inside one offers nothing to others."""
    package = importlib.import_module(module)
    if not hasattr(package, "__path__"):
        return set()
    return set(getattr(package, "__all__", (name for name in dir(package) if name[0] != "_")))


def private_names(tutorial: Tutorial) -> Iterator[str]:
    """What is imported or read and is not public."""
    for node in nodes(tutorial):
        if isinstance(node, ast.Import):
            yield from (
                alias.name
                for alias in node.names
                if alias.name != "tinygradrnn" and not _foreign(alias.name)
            )
        elif isinstance(node, ast.ImportFrom):
            module = node.module or "."
            names = {alias.name for alias in node.names}
            if not _foreign(module):
                yield from (f"{module}.{name}" for name in names - public_names(module))
        elif isinstance(node, ast.Attribute):
            of = node.value.id if isinstance(node.value, ast.Name) else ""
            if of == "tg" and node.attr not in tg.__all__:
                yield f"tg.{node.attr}"
            if re.match("_(?!_)", node.attr) and of != "self":
                yield f"{of}.{node.attr}"


def _foreign(module: str) -> bool:
    top = module.partition(".")[0]
    return top in OTHERS or top in sys.stdlib_module_names


@each_tutorial
def test_only_public_names(path):
    assert sorted(set(private_names(read_tutorial(path)))) == []


@each_tutorial
def test_every_picture_has_a_name_of_its_own_and_a_caption(path):
    calls = [
        node
        for node in nodes(read_tutorial(path))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "show"
    ]
    assert calls
    names = [ast.unparse(call.args[1]) for call in calls]
    assert len(set(names)) == len(names)
    for call in calls:
        assert len(call.args) == 3, f"{path.name}: {ast.unparse(call)} has no caption"


@each_tutorial
def test_links_lead_somewhere(path):
    for cell in read_tutorial(path).cells:
        for target in re.findall(r"\]\(([^)#]+)\)", cell.source if cell.kind == "prose" else ""):
            assert (path.parent / target).exists(), f"{path.name}, line {cell.line}: {target}"


def test_the_check_of_names(tmp_path):
    path = Path(tmp_path / "01_x.py")
    path.write_text(
        "# %% [markdown]\n# # 01 · X\n#\n# 5 minutes.\n\n# %%\n"
        "import math, jax\nimport tinygradrnn as tg\nimport tinygradrnn.graph\n"
        "from tinygradrnn import nn, seeds\nfrom tinygradrnn.nn import LSTM\n"
        "from tinygradrnn.tensors import Tensor\n"
        "tg.draw, tg.tensors, nn._x, self._x, x.__len__, math.pi\n"
    )
    assert sorted(private_names(read_tutorial(path))) == [
        *("jax", "nn._x", "tg.tensors", "tinygradrnn.graph", "tinygradrnn.seeds"),
        "tinygradrnn.tensors.Tensor",
    ]
