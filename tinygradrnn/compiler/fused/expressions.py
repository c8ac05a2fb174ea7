"""What element-wise functions compute, as expressions of one element.

The names are those of NumPy's ufuncs, which are CuPy's too. ``{0}``, ``{1}`` are the operands,
``{one}`` and ``{half}`` numbers of their dtype. Functions are called by names that each target
provides (``exp``, ``tanh``, …); the rest is the syntax that Python and C share.
"""

from __future__ import annotations

EXPRESSIONS: dict[str, str] = {
    "copy": "{0}",
    "add": "{0} + {1}",
    "subtract": "{0} - {1}",
    "multiply": "{0} * {1}",
    "divide": "{0} / {1}",
    "negative": "-{0}",
    "reciprocal": "{one} / {0}",
    "square": "{0} * {0}",
    "maximum": "maximum({0}, {1})",
    "minimum": "minimum({0}, {1})",
    "absolute": "absolute({0})",
    "sqrt": "sqrt({0})",
    "exp": "exp({0})",
    "tanh": "tanh({0})",
    "log": "log({0})",
    "greater": "{0} > {1}",
    "greater_equal": "{0} >= {1}",
    "less": "{0} < {1}",
    "less_equal": "{0} <= {1}",
    "equal": "{0} == {1}",
    "not_equal": "{0} != {1}",
    "select": "select({0}, {1}, {2})",  # a condition, what where it holds, what elsewhere
}

SLOW = frozenset({"log"})  # no vector form: as part of a row of few elements only
INTEGERS = frozenset({"copy", "add", "subtract", "multiply"})  # for which integers are enough
