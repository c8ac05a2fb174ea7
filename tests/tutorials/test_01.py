"""Tutorial 01: the scalar machine is small, and right for any program."""

from __future__ import annotations

import ast
import math
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import ROOT

import tinygradrnn as tg
from tinygradrnn import functional as F

SCRIPT = ROOT / "tutorials" / "01_derivatives.py"
MACHINE = ("Value", "add", "subtract", "multiply", "tanh", "tape", "backward")
PICTURE = ("picture", "box", "arrow")


def definitions() -> dict[str, ast.stmt]:
    """The functions and the class of the tutorial, as it defines them."""
    body = ast.parse(SCRIPT.read_text("utf-8")).body
    return {s.name: s for s in body if isinstance(s, ast.FunctionDef | ast.ClassDef)}


@pytest.fixture(scope="module")
def machine() -> dict[str, Any]:
    found = definitions()
    names: dict[str, Any] = {"math": math, "ticket": count()}
    module = ast.Module([found[name] for name in MACHINE], [])
    exec(compile(module, str(SCRIPT), "exec"), names)
    return names


def test_it_has_fewer_than_sixty_lines() -> None:
    found = definitions()
    lines = [
        line
        for name in (*MACHINE, *PICTURE)
        for line in ast.unparse(found[name]).splitlines()
        if line.strip() and '"""' not in line
    ]
    assert 40 < len(lines) + len(("ticket = count()", "Value.__add__ = …")) < 60


program = st.lists(
    st.tuples(
        st.sampled_from(["add", "subtract", "multiply", "tanh"]), st.integers(0), st.integers(0)
    ),
    min_size=1,
    max_size=12,
)


@given(program, st.lists(st.floats(-1, 1), min_size=3, max_size=3))
def test_any_program_gets_the_gradients_of_the_real_one(
    machine: dict[str, Any], steps: list[tuple[str, int, int]], numbers: list[float]
) -> None:
    real: dict[str, Callable[..., Any]] = {
        "add": lambda a, b: a + b,
        "subtract": lambda a, b: a - b,
        "multiply": lambda a, b: a * b,
        "tanh": F.tanh,
    }
    ours = [machine["Value"](number) for number in numbers]
    theirs = [tg.tensor(n, requires_grad=True, dtype="float64") for n in numbers]
    for values, operations in ((ours, machine), (theirs, real)):
        for name, first, second in steps:
            chosen = values[first % len(values)], values[second % len(values)]
            values.append(operations[name](*(chosen[:1] if name == "tanh" else chosen)))
    machine["backward"](ours[-1])
    gradients = tg.grad(theirs[-1], theirs[:3])
    assert ours[-1].data == pytest.approx(theirs[-1].item(), rel=1e-9, abs=1e-12)
    for value, gradient in zip(ours, gradients, strict=False):
        assert value.grad == pytest.approx(gradient.item(), rel=1e-9, abs=1e-12)
