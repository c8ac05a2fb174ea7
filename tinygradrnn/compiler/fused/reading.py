"""Calls of a plan as operations on rows: what they compute, and where in memory."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn.compiler.fused.expressions import EXPRESSIONS, INTEGERS
from tinygradrnn.compiler.memory import address, order_of
from tinygradrnn.compiler.rows import add_rows
from tinygradrnn.recording import Array

Call = tuple[Callable[..., Any], tuple[Any, ...]]
DTYPES = ("float32", "float64", "int64", "bool")
FLOATS = ("float32", "float64")
NUMBERED = ("take_rows", "add_rows")
SMALL = 8192  # multiplications of a product that needs no tiles
FEW = 2  # rows for which packing a matrix takes longer than multiplying by it


class Layout(NamedTuple):
    """How the rows of an operand lie in memory.

    ``row``: bytes from one row to the next. ``point``: all elements of a row are the same one.
    ``step``: of the factors of a product, bytes from one element of a row to the next.
    """

    row: int
    point: bool
    dtype: str
    step: int = 0


class Shape(NamedTuple):
    """What an operation is, apart from where its operands are.

    Attributes
    ----------
    name : str
        A key of ``EXPRESSIONS``, "row_sum" or "row_max" of rows, or a product with a matrix of
        ``inner`` rows: "product", or one that is small or of few rows, "times" if the rows of the
        matrix lie one after the other, "times_transposed" if its columns do. "take_rows" copies
        those rows of a matrix whose numbers are given, "add_rows" adds to them.
    dtype : str
        In which it is computed.
    rows, columns : int
    layouts : tuple of Layout
        Of the operands, the result last.
    flat : bool
        Whether the operands have no gaps, so that they can be cut into rows of another length.
    """

    name: str
    dtype: str
    rows: int
    columns: int
    layouts: tuple[Layout, ...]
    flat: bool = False
    inner: int = 0

    @property
    def work(self) -> int:
        """How many elements are computed; what a product adds up counts less than others."""
        return self.rows * self.columns * (1 + self.inner // 8)


class Operation(NamedTuple):
    """A call that a kernel can do; the result is the last of its operands."""

    shape: Shape
    arrays: tuple[Any, ...]
    addresses: tuple[int, ...]


class Reader:
    """Reads calls; what it has found out about a layout it does not find out again."""

    array_type: type = np.ndarray

    def __init__(self) -> None:
        self.known: dict[Any, Shape | None] = {}

    def read(self, call: Call) -> Operation | None:
        """The operation of a call; None if no kernel can do it."""
        found = self.operands(*call)
        if found is None:
            return None
        name, arrays = found
        if not all(isinstance(a, self.array_type) for a in arrays):
            return None
        key = (name, *((a.shape, a.strides, a.dtype) for a in arrays))
        if key not in self.known:
            self.known[key] = self.shape(name, tuple(map(outline, arrays)))
        shape = self.known[key]
        if shape is None:
            return None
        return Operation(shape, arrays, tuple(map(address, arrays)))

    def operands(
        self, function: Callable[..., Any], given: tuple[Any, ...]
    ) -> tuple[str, Any] | None:
        """What a call computes, by name, and its operands, the result last."""
        return operands(function, given)

    def shape(self, name: str, arrays: tuple[Any, ...]) -> Shape | None:
        if any(a.dtype.name not in DTYPES or a.size == 0 for a in arrays):
            return None
        if name == "times":
            return product_of(arrays)
        if name in ("row_sum", "row_max"):
            return reduction_of(name, arrays)
        if name in NUMBERED:
            return numbered(name, arrays)
        return element_of(name, arrays)


def outline(array: Array) -> Array:
    """An array of NumPy that is laid out like this one; what is in it is not to be looked at."""
    if isinstance(array, np.ndarray):
        return array
    one = np.empty(1, array.dtype)
    return np.lib.stride_tricks.as_strided(one, array.shape, array.strides, writeable=False)


def operands(function: Callable[..., Any], given: tuple[Any, ...]) -> tuple[str, Any] | None:
    """What a call computes, by name, and its operands, the result last."""
    if isinstance(function, partial) and set(function.keywords) == {"out"} and not function.args:
        return operands(function.func, (*given, function.keywords["out"]))
    if isinstance(function, np.ufunc):
        if function is np.matmul:
            return "times", given
        known = function.__name__ in EXPRESSIONS and len(given) == function.nin + 1
        return (function.__name__, given) if known else None
    if function is np.copyto:
        return copied(np, *given)
    if function is np.dot:
        return "times", given
    if function is np.take and len(given) == 5 and given[2] == 0:
        return "take_rows", (given[1], given[0], given[3])
    if function is add_rows:
        return "add_rows", given[:3]
    if getattr(function, "__name__", "") == "reduce" and len(given) == 5:
        x, axes, _, out, _ = given
        return reduced(function.__self__, x, axes, out)  # type: ignore[attr-defined]
    return None


def copied(
    xp: Any, out: Array, source: Any, casting: str = "", condition: Any = None
) -> tuple[str, Any]:
    """A copy; of what is copied only where a condition holds, a choice."""
    if condition is not None:
        return "select", (condition, source, out, out)
    if isinstance(source, int | float):
        source = xp.asarray(source, out.dtype)
    return "copy", (source, out)


def reduced(ufunc: Any, x: Array, axes: tuple[int, ...], out: Array) -> tuple[str, Any] | None:
    """A reduction: of each row, or as a sum of rows, which is a product with ones."""
    if all(x.shape[axis] == 1 for axis in axes):
        return "copy", (x, out.reshape(x.shape))
    name = {np.add: "row_sum", np.maximum: "row_max"}.get(ufunc)
    if name and axes == (x.ndim - 1,) and x.ndim > 1:
        return name, (x, out)
    leading = axes == tuple(range(len(axes)))
    if ufunc is np.add and leading and x.flags.c_contiguous and out.flags.c_contiguous:
        rows = int(np.prod(x.shape[: len(axes)]))
        ones = np.ones((1, rows), x.dtype)
        return "times", (ones, x.reshape(rows, -1), out.reshape(1, -1))
    return None


def element_of(name: str, arrays: tuple[Any, ...]) -> Shape | None:
    """The shape of an operation on elements."""
    *inputs, out = arrays
    dtype = working_dtype(name, arrays)
    if dtype is None or np.broadcast_shapes(out.shape, *(a.shape for a in inputs)) != out.shape:
        return None
    return rows_of(name, dtype, [*(np.broadcast_to(a, out.shape) for a in inputs), out])


def working_dtype(name: str, arrays: tuple[Any, ...]) -> str | None:
    """In which dtype an operation computes."""
    names = [a.dtype.name for a in arrays]
    if name in ("copy", "select"):
        values = names[1:] if name == "select" else names
        same = len(set(values)) == 1 and (name == "copy" or names[0] == "bool")
        cast = name == "copy" and names[1] in FLOATS
        return names[-1] if same or cast else None
    ufunc = getattr(np, name)
    loop = ufunc.resolve_dtypes((*(a.dtype for a in arrays[:-1]), None))
    if loop[-1] != arrays[-1].dtype:
        return None
    found = loop[0].name
    fits = found in FLOATS or (found == "int64" and name in INTEGERS)
    return str(found) if fits and all(d == loop[0] for d in loop[:-1]) else None


def rows_of(name: str, dtype: str, views: list[Any]) -> Shape | None:
    """Arrays of one shape as rows, the last axis in memory being the row."""
    out = views[-1]
    axes = [axis for axis in order_of(out) if out.shape[axis] > 1]
    sizes = [out.shape[axis] for axis in axes] or [1]
    steps = [[v.strides[axis] for axis in axes] or [v.itemsize] for v in views]
    for v, s in zip(views, steps, strict=True):
        if s[-1] not in (0, v.itemsize) or (v is out and s[-1] == 0):
            return None
    outer, columns = sizes[:-1], sizes[-1]
    if any(gaps(s[:-1], outer) for s in steps):
        return None
    layouts = []
    flat = True
    for v, s in zip(views, steps, strict=True):
        row = s[-2] if outer else 0
        layouts.append(Layout(row, s[-1] == 0, v.dtype.name))
        flat &= not outer or row == s[-1] * columns
    rows = int(np.prod(outer, dtype=int))
    return Shape(name, dtype, rows, columns, tuple(layouts), flat)


def gaps(steps: list[int], sizes: list[int]) -> bool:
    """Whether axes cannot be seen as a single one."""
    return any(a != b * n for a, b, n in zip(steps, steps[1:], sizes[1:], strict=False))


def reduction_of(name: str, arrays: tuple[Any, ...]) -> Shape | None:
    """A reduction of each row to one element."""
    x, out = arrays
    dtype = x.dtype.name
    if dtype not in FLOATS or out.dtype != x.dtype:
        return None
    found = rows_of(name, dtype, [np.broadcast_to(out.reshape((*x.shape[:-1], 1)), x.shape), x])
    if found is None or found.layouts[1].point:
        return None
    result, rows = found.layouts
    if not result.point or (found.rows > 1 and result.row == 0):
        return None
    return found._replace(layouts=(rows, result), flat=False)


def product_of(arrays: tuple[Any, ...]) -> Shape | None:
    """A product of two matrices."""
    x, w, out = arrays
    if not (x.ndim == w.ndim == out.ndim == 2) or len({a.dtype for a in arrays}) > 1:
        return None
    dtype, size = x.dtype.name, x.itemsize
    if dtype not in FLOATS or (out.shape[1] > 1 and out.strides[1] != size):
        return None
    (rows, inner), columns = x.shape, out.shape[1]
    x_step = x.strides[1] if inner > 1 else size
    w_row = w.strides[0] if inner > 1 else columns * size
    w_step = w.strides[1] if columns > 1 else size
    if min(x.strides[0], x_step, w_row, w_step) < 0:
        return None
    layouts = (
        Layout(x.strides[0], False, dtype, x_step),
        Layout(w_row, False, dtype, w_step),
        Layout(out.strides[0], False, dtype),
    )
    name = "product"
    if rows <= FEW or rows * inner * columns <= SMALL:
        if (w_row, w_step) == (columns * size, size) and x_step % size == 0:
            name = "times"
        elif (w_row, w_step, x_step) == (size, inner * size, size):
            name = "times_transposed"
    return Shape(name, dtype, rows, columns, layouts, inner=inner)


def numbered(name: str, arrays: tuple[Any, ...]) -> Shape | None:
    """Rows by their numbers: the numbers, what is read, what is written."""
    ids, source, out = arrays
    if ids.ndim != 1 or not ids.flags.c_contiguous or ids.dtype != np.int64:
        return None
    if not (source.ndim == out.ndim == 2) or source.dtype != out.dtype:
        return None
    dtype, size = out.dtype.name, out.itemsize
    if dtype not in FLOATS or (out.shape[1] > 1 and {source.strides[1], out.strides[1]} != {size}):
        return None
    layouts = (
        Layout(8, True, "int64"),
        Layout(source.strides[0], False, dtype),
        Layout(out.strides[0], False, dtype),
    )
    return Shape(name, dtype, len(ids), out.shape[1], layouts)
