"""What CuPy offers under NumPy's names, as recorded from CuPy itself, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np


class Rule(NamedTuple):
    """One name of CuPy: a function, ufunc, method …, and its parameters."""

    kind: str
    name: str
    parameters: tuple[str, ...]
    ufunc_methods: frozenset[str]

    def check(self, count: int, keywords: Iterable[str]) -> None:
        """Raise TypeError for what CuPy's function of this name does not take."""
        starred = any(name.startswith("*") for name in self.parameters)
        named = [name for name in self.parameters if not name.startswith("*")]
        for keyword in keywords:
            if keyword not in named and not any(p.startswith("**") for p in self.parameters):
                listed = ", ".join(named) or "none"
                raise TypeError(f"CuPy's {self.name} has no keyword {keyword!r}; it has: {listed}")
        most = 2 if "axes" in named else count if self.kind == "ufunc" else len(named)
        if not starred and count > most:
            raise TypeError(f"CuPy's {self.name} takes at most {most} arguments, got {count}")


@cache
def recorded() -> dict[str, dict[str, Rule]]:
    """The rules by kind and name."""
    found: dict[str, dict[str, Rule]] = {}
    text = Path(__file__).with_name("cupy.txt").read_text(encoding="utf-8")
    for line in text.splitlines()[1:]:
        kind, name, *words = line.split()
        methods = frozenset(word[:-2] for word in words if word.endswith("()"))
        parameters = tuple(word for word in words if not word.endswith("()"))
        found.setdefault(kind, {})[name] = Rule(kind, name, parameters, methods)
    return found


# Functions and methods in which CuPy waits for the device: the size of the result depends on
# values, the result lives on the host, or values are checked.
WAITS = frozenset(
    [
        "get",
        "item",
        "tolist",
        "tobytes",
        "tofile",
        "dump",
        "dumps",
        "nonzero",
        "flatnonzero",
        "argwhere",
        "compress",
        "extract",
        "choose",
        "unique",
        "unique_all",
        "unique_counts",
        "unique_inverse",
        "unique_values",
        "union1d",
        "intersect1d",
        "setdiff1d",
        "setxor1d",
        "bincount",
        "histogram",
        "histogram2d",
        "histogramdd",
        "trim_zeros",
        "average",
        "place",
        "array2string",
        "array_repr",
        "array_str",
        "save",
        "savez",
        "savez_compressed",
        "savetxt",
        "polyfit",
        "roots",
        "linalg.cholesky",
        "linalg.cond",
        "linalg.det",
        "linalg.eig",
        "linalg.eigh",
        "linalg.eigvals",
        "linalg.eigvalsh",
        "linalg.inv",
        "linalg.lstsq",
        "linalg.matrix_rank",
        "linalg.pinv",
        "linalg.qr",
        "linalg.slogdet",
        "linalg.solve",
        "linalg.svd",
        "linalg.tensorinv",
        "linalg.tensorsolve",
    ]
)
# Parameters for which CuPy takes an array, never a list that it would have to convert.
OPERANDS = frozenset(
    ["a", "a1", "a2", "arr", "ary", "array", "b", "condition", "m", "x", "x1", "x2", "y"]
)
# They take lists in place of arrays, or need none.
FREE = frozenset(["iterable", "isscalar", "ndim", "result_type", "shape", "size"])
FROM_HOST = frozenset(
    ["array", "asanyarray", "asarray", "asarray_chkfinite", "ascontiguousarray", "asfortranarray"]
)


def refuse(value: Any, what: str) -> TypeError:
    """The error for an operand that is neither an array of the device nor a number."""
    given = (
        f"a NumPy array of shape {value.shape}"
        if isinstance(value, np.ndarray)
        else f"a {type(value).__name__}"
    )
    return TypeError(
        f"{what} got {given}; as CuPy, the guard takes its own arrays and numbers, and copies "
        "nothing to the device by itself: write xp.asarray(…), or make a tensor of it"
    )


def check_operands(rule: Rule, arguments: Sequence[Any], keywords: dict[str, Any]) -> None:
    """Raise TypeError for a list where CuPy takes an array."""
    if rule.name in FREE:
        return
    named = [*zip(rule.parameters, arguments, strict=False), *keywords.items()]
    for name, value in named:
        if name in OPERANDS and isinstance(value, list | tuple):
            raise refuse(value, rule.name)
