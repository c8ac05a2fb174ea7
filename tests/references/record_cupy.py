"""Write down what CuPy offers of NumPy: `tinygradrnn/testing/cupy.txt`, the guard's rules.

Run where CuPy 14 is installed; no GPU is needed:  python tests/references/record_cupy.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).resolve().parents[2] / "tinygradrnn" / "testing" / "cupy.txt"
MODULES = ("", "linalg.", "random.", "fft.")


def lines(cupy: Any) -> Iterator[str]:
    """One line for each name: its kind, the name, and the keywords or methods that it has."""
    yield f"# What CuPy {cupy.__version__} has of NumPy, written by tests/references/record_cupy.py"
    for module in MODULES:
        theirs, ours = (
            getattr(library, module[:-1]) if module else library for library in (cupy, np)
        )
        for name in sorted(set(public(theirs)) & set(public(ours))):
            if kind := described(getattr(theirs, name)):
                yield f"{kind[0]} {module}{name} {' '.join(kind[1])}".rstrip()
    for name in sorted(set(public(cupy.ndarray)) & set(public(np.ndarray)) | {"get"}):
        member = getattr(cupy.ndarray, name)
        if callable(member):
            yield f"method {name} {' '.join(keywords(member))}".rstrip()
        else:
            yield f"attribute {name}"
    for name in sorted(public(cupy.random.Generator)):
        yield f"draw {name} {' '.join(keywords(getattr(cupy.random.Generator, name)))}"


def public(owner: Any) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]


def described(member: Any) -> tuple[str, list[str]] | None:
    """What kind of thing it is, and what it can do; None for modules and the like."""
    if isinstance(member, type):
        return ("type", []) if issubclass(member, np.generic | np.dtype) else None
    if hasattr(member, "nin") or type(member).__name__ == "_GUFunc":
        return "ufunc", [*ufunc_keywords(member), *ufunc_methods(member)]
    if inspect.ismodule(member):
        return None
    return ("function", keywords(member)) if callable(member) else ("value", [])


def keywords(function: Any) -> list[str]:
    """Its parameters; of one that is written in C from the first line of its docstring."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        first = (function.__doc__ or "").partition("\n")[0]
        inside = first.partition("(")[2].partition(")")[0].split(",")
        names = [each.partition("=")[0].split() for each in inside]
        return [name[-1] for name in names if name and name[-1] not in ("self", "*", "/")]
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return [stars.get(p.kind, "") + p.name for p in parameters if p.name != "self"]


def ufunc_keywords(ufunc: Any) -> list[str]:
    """Which of NumPy's keywords it does not refuse."""
    if type(ufunc).__name__ == "_GUFunc":
        return [name for name in keywords(type(ufunc).__call__) if name[0] != "*"]
    return [name for name in ("out", "dtype", "casting", "where") if takes(ufunc, name)]


def takes(ufunc: Any, keyword: str) -> bool:
    try:
        ufunc(**{keyword: None})
    except TypeError as error:
        return not str(error).startswith("Wrong arguments")
    return True


def ufunc_methods(ufunc: Any) -> list[str]:
    """Which of ``add.at`` and the like it implements: asked with nothing to work on."""
    found = ["at()"] if getattr(ufunc, "_scatter_op", None) else []
    for name, rest in (("reduce", ()), ("accumulate", ()), ("reduceat", (None,))):
        with suppress(NotImplementedError):
            with suppress(AttributeError, TypeError):
                getattr(ufunc, name, refused)(None, *rest)
            found.append(f"{name}()")
    return found


def refused(*arguments: object) -> None:
    raise NotImplementedError


if __name__ == "__main__":
    import cupy

    FILE.write_text("\n".join(lines(cupy)) + "\n")
