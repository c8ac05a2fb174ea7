"""What the package uses of an array module exists in CuPy: read from the source, no GPU needed."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from functools import cache
from typing import Any, NamedTuple

import pytest
from processes import ROOT

from tinygradrnn.compiler.kernels import UFUNCS
from tinygradrnn.testing.rules import recorded

FILES = [*(ROOT / "tinygradrnn").rglob("*.py"), ROOT / "backends/tinygradrnn_cupy/__init__.py"]
PASSED_ON = {"emit", "partial"}  # emit(xp.add, x, y, out) calls xp.add(x, y, out)
OWN = {"cuda", "ElementwiseKernel", "RawKernel", "asnumpy", "get_default_memory_pool"}


class Use(NamedTuple):
    """One place where something of ``xp`` is used; ``count`` is None where it is not called."""

    name: str
    count: int | None
    keywords: tuple[str, ...]
    where: str


def uses(text: str, file: str) -> Iterator[Use]:
    """Every ``xp.name`` of a source, with what it is called with."""
    tree = ast.parse(text)
    called: dict[ast.AST, tuple[list[ast.expr], list[ast.keyword]]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called[node.func] = node.args, node.keywords
            handed = isinstance(node.func, ast.Attribute | ast.Name) and node.args
            if handed and (getattr(node.func, "attr", "") or node.func.id) in PASSED_ON:
                called[node.args[0]] = node.args[1:], node.keywords
    inner = {node.value for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if node in inner or not isinstance(node, ast.Attribute) or not (name := path_of(node)):
            continue
        arguments, keywords = called.get(node, (None, []))
        starred = arguments is None or any(isinstance(a, ast.Starred) for a in arguments)
        count = None if starred else len(arguments)
        yield Use(name, count, tuple(k.arg or "" for k in keywords), f"{file}:{node.lineno}")


def path_of(node: ast.expr) -> str | None:
    """``add.at`` of ``xp.add.at``, ``backend.xp.add.at`` …; None for what is not of an ``xp``."""
    names: list[str] = []
    while isinstance(node, ast.Attribute) and node.attr != "xp":
        names.append(node.attr)
        node = node.value
    root = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)
    return ".".join(reversed(names)) if names and root == "xp" else None


@cache
def found() -> list[Use]:
    """All uses in the package."""
    listed = [
        use
        for file in sorted(FILES)
        if "testing" not in file.parts and "xp" in (text := file.read_text(encoding="utf-8"))
        for use in uses(text, str(file.relative_to(ROOT)))
    ]
    return [*listed, *(Use(name, None, (), "compiler.kernels.UFUNCS") for name in UFUNCS.values())]


def refused(use: Use, member: Any) -> str | None:
    """What CuPy's function says to being called so, asked without calling it."""
    if use.count is None or isinstance(member, type):
        return None
    if hasattr(member, "nin"):
        unknown = set(use.keywords) - {"out", "dtype", "casting"}
        return f"it has no {unknown}" if unknown or use.count > member.nargs else None
    try:
        signature = inspect.signature(member)
    except ValueError:
        return None  # written in C: its docstring is what is recorded
    try:
        signature.bind(*[None] * use.count, **{name: None for name in use.keywords if name})
    except TypeError as error:
        return str(error)
    return None


def test_every_use_is_found() -> None:
    text = """
low.emit(partial(self.xp.sum, axis=1), x)
backend.xp.concatenate([a], axis=0)
xp.add.at(target, *rest)
xp.cuda.Device().synchronize()
max(x.xp)
"""
    assert [tuple(use)[:3] for use in sorted(uses(text, "a file"))] == [
        ("add.at", None, ()),
        ("concatenate", 1, ("axis",)),
        ("cuda.Device", 0, ()),
        ("sum", 0, ("axis",)),
    ]
    names = {use.name for use in found()}
    assert {"exp", "maximum", "where", "zeros", "take_along_axis", "matmul", "tanh"} <= names


def test_names_and_keywords_are_those_that_were_recorded() -> None:
    kinds = ("ufunc", "function", "type", "value")
    rules = {name: rule for kind in kinds for name, rule in recorded()[kind].items()}
    for use in found():
        name, _, method = use.name.partition(".")
        if name in OWN or name == "ndarray":
            continue
        assert name in rules, f"{use.where}: CuPy has no {use.name}"
        rule = rules[name]
        assert not method or method in rule.ufunc_methods, f"{use.where}: no {use.name} in CuPy"
        if use.count is not None and not method and rule.kind != "type":
            rule.check(use.count, [k for k in use.keywords if k])


def test_names_and_keywords_exist_in_cupy() -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    for use in found():
        member: Any = cupy
        for name in use.name.split("."):
            assert hasattr(member, name), f"{use.where}: CuPy has no {use.name}"
            member = getattr(member, name)
        if problem := refused(use, member):
            pytest.fail(f"{use.where}: {use.name} of CuPy: {problem}")


@pytest.mark.parametrize(
    "line", ["xp.vecdot(x, y)", "xp.sum(x, where=y)", "xp.take(x, i, 0, out, 'clip')"]
)
def test_what_cupy_lacks_is_noticed(line: str) -> None:
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    (use,) = uses(line, "a file")
    assert not hasattr(cupy, use.name) or refused(use, getattr(cupy, use.name))


def test_the_guard_has_what_cupy_has() -> None:
    """Its rules are those of this CuPy; of a later one that has learned more, a part."""
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    sys.path.insert(0, str(ROOT / "tests" / "references"))
    from record_cupy import FILE, lines

    then = FILE.read_text(encoding="utf-8").splitlines()
    first, *rest = lines(cupy)
    now = {tuple(line.split()[:2]): set(line.split()[2:]) for line in rest}
    for line in then[1:]:
        kind, name, *words = line.split()
        there = now.get((kind, name))
        assert there is not None and there.issuperset(words), (
            f"CuPy {cupy.__version__} no longer has: {line}; record it anew and see what breaks"
        )
    if then[0] == first:
        assert len(now) == len(then) - 1
