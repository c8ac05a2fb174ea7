"""How an operation is written in a formula, and a tree of them as one line of text.

Element-wise products are ⊙ (· where one side is a single number), quotients ÷, matrix products @ as
in Python and on the boxes of a picture; indices, axes and shapes are written as in NumPy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, prod
from typing import Any, NamedTuple

from tinygradrnn import ops
from tinygradrnn.clipping import power_sum
from tinygradrnn.functional import draw_mask
from tinygradrnn.nn.cells.clockwork import divides
from tinygradrnn.ops import Hole, Op
from tinygradrnn.ops.arithmetic import share
from tinygradrnn.ops.base import as_float_op
from tinygradrnn.ops.elementwise import leak

Shape = tuple[int, ...]

# How tightly a text holds together, loosest first. A fraction like ∂L/∂y stands in a product as it
# is, but not before an index or an exponent.
ANY, COMPARISON, SUM, PRODUCT, MATRIX, SIGNED, POWER, FRACTION, ATOM = range(9)


class Text(NamedTuple):
    """A piece of a formula, and what it stands for: its shape, whether it is one number."""

    text: str
    binds: int = ATOM
    shape: Shape = ()
    is_number: bool = False

    def within(self, least: int, right: bool = False) -> str:
        """In parentheses unless it holds together at least so tightly (and starts without −)."""
        loose = self.binds < least or (right and self.text.startswith("−"))
        return f"({self.text})" if loose else self.text


class Applied(NamedTuple):
    """An operation in a formula: its operands are others, names of operands, or numbers."""

    op: Op
    operands: tuple[Applied | str | float, ...]
    settings: dict[str, Any]
    shape: Shape


Tree = Applied | str | float
Writer = Callable[..., tuple[str, int]]


def write(tree: Tree, names: Mapping[str, Text]) -> Text:
    """A tree as text, its operands called by their names."""
    if isinstance(tree, str):
        return names[tree]
    if not isinstance(tree, Applied):
        return Text(number(tree), SIGNED if tree < 0 else ATOM, is_number=True)
    written = WRITTEN.get(tree.op) or called(tree.op.name)
    operands = [write(operand, names) for operand in tree.operands]
    if tree.op is ops.multiply and isinstance(tree.operands[1], float | int):
        operands.reverse()  # 2 · a, not a · 2
    text, binds = written(*operands, **tree.settings)
    same = any(operand.is_number and operand.text == text for operand in operands)
    return Text(text, binds, tree.shape, same)


def number(value: Any, digits: int = 6) -> str:
    """A number as it is written in a formula: −0.5, ∞; −0.0 as 0."""
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return str(value).replace("-", "−")
    text = f"{value + 0.0:.{digits}g}".replace("inf", "∞").replace("nan", "NaN")
    return text.replace("-", "−").replace("e−0", "e−").replace("e+0", "e+")


def setting(value: Any) -> str:
    """An axis, a shape or a pair of them as Python writes it."""
    if isinstance(value, tuple):
        inside = ", ".join(map(setting, value))
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    return number(value) if isinstance(value, int | float) else str(value)


def index_text(index: tuple[Any, ...], arrays: Sequence[str]) -> str:
    """``[:, 1]``; integer arrays by their names."""
    return "[" + ", ".join(_index_part(part, arrays) for part in index) + "]"


def _index_part(part: Any, arrays: Sequence[str]) -> str:
    if isinstance(part, Hole):
        return arrays[part.position]
    if isinstance(part, slice):
        ends = ["" if end is None else number(end) for end in (part.start, part.stop)]
        return ":".join([*ends, *([] if part.step is None else [number(part.step)])])
    return "…" if part is Ellipsis else setting(part)


# ------------------------------------------------------------------------- ways of writing


def infix(sign: str, binds: int, operands: int, associative: bool = True) -> Writer:
    """``a + b``; operands that hold together less tightly stand in parentheses."""
    last = operands if associative else operands + 1

    def written(a: Text, b: Text) -> tuple[str, int]:
        return f"{a.within(operands)} {sign} {b.within(last, right=binds > COMPARISON)}", binds

    return written


def called(name: str) -> Writer:
    """``tanh(a)``, ``stack(a, b, axis=1)``; many arguments are shortened."""

    def written(*operands: Text, **settings: Any) -> tuple[str, int]:
        texts = [operand.text for operand in operands]
        if len(texts) > 6:
            texts[2:-2] = ["…"]
        for key, value in settings.items():
            if value is not None and value is not False:
                texts.append(f"{key}={setting(value)}")
        return f"{name}({', '.join(texts)})", ATOM

    return written


def _multiply(a: Text, b: Text) -> tuple[str, int]:
    if a == b and a.binds == ATOM:
        return a.text + "²", POWER
    sign = "·" if 1 in (prod(a.shape), prod(b.shape)) else "⊙"
    return f"{_factor(a)} {sign} {_factor(b, right=True)}", PRODUCT


def _matmul(a: Text, b: Text) -> tuple[str, int]:
    sign = "·" if a.is_number or b.is_number else "@"
    return f"{a.within(SIGNED)} {sign} {b.within(SIGNED, right=True)}", MATRIX


def _reshape(a: Text, shape: Shape) -> tuple[str, int]:
    return f"reshape({a.text}, {setting(tuple(shape))})", ATOM


def _contract(a: Text, b: Text) -> tuple[str, int]:
    """Of matrices xᵀ @ g; batches of matrices are one long matrix."""
    a, b = [
        Text(_reshape(one, (prod(one.shape[:-1]), one.shape[-1]))[0]) if len(one.shape) > 2 else one
        for one in (a, b)
    ]
    return _matmul(a._replace(text=_transpose(a, None)[0]), b)


def _power_sum(a: Text, p: float) -> tuple[str, int]:
    return f"Σ(|{a.text}|^{number(p)})", ATOM


def _divide(a: Text, b: Text) -> tuple[str, int]:
    return f"{_factor(a)} ÷ {b.within(SIGNED, right=True)}", PRODUCT


def _factor(a: Text, right: bool = False) -> str:
    return f"({a.text})" if a.binds == MATRIX else a.within(PRODUCT, right)


def _power(a: Text, b: Text) -> tuple[str, int]:
    base = a.within(ATOM)
    return base + {"2": "²", "3": "³"}.get(b.text, f"^{b.within(ATOM)}"), POWER


def _sqrt(a: Text) -> tuple[str, int]:
    return f"√{a.within(ATOM)}", POWER


def _clip(a: Text, low: float, high: float) -> tuple[str, int]:
    if high == inf:
        return f"max({a.text}, {number(low)})", ATOM
    if low == -inf:
        return f"min({a.text}, {number(high)})", ATOM
    return f"clip({a.text}, {number(low)}, {number(high)})", ATOM


def _cast(a: Text, dtype: Any) -> tuple[str, int]:
    name = getattr(dtype, "name", None) or getattr(dtype, "__name__", None) or str(dtype)
    return f"{name}({a.text})", ATOM


def _logsumexp(a: Text, axis: Any, keepdims: bool = False) -> tuple[str, int]:
    inside, _ = called("Σ")(Text(f"exp({a.text})"), axis=axis, keepdims=keepdims)
    return f"log({inside})", ATOM


def _share(a: Text, result: Text, other: Text) -> tuple[str, int]:
    same = f"{a.within(SUM)} = {result.within(SUM)}"
    return f"({same}) ÷ (1 + ({a.within(SUM)} = {other.within(SUM)}))", PRODUCT


def _transpose(a: Text, axes: Any) -> tuple[str, int]:
    if a.is_number:
        return a.text, a.binds
    dims = len(a.shape)
    if axes is None or (dims == 2 and tuple(axis % 2 for axis in axes) == (1, 0)):
        return f"{a.within(ATOM)}ᵀ", ATOM
    return f"transpose({a.text}, {setting(tuple(axes))})", ATOM


def _getitem(a: Text, *arrays: Text, index: tuple[Any, ...]) -> tuple[str, int]:
    return a.within(ATOM) + index_text(index, [array.text for array in arrays]), ATOM


def _broadcast_to(a: Text, shape: Shape) -> tuple[str, int]:
    return f"broadcast({a.text}, {setting(tuple(shape))})", ATOM


def _sum_to(a: Text, shape: Shape) -> tuple[str, int]:
    if a.shape[len(a.shape) - len(shape) :] == shape:
        axes = tuple(range(len(a.shape) - len(shape)))
        axis = axes[0] if len(axes) == 1 else axes
        return f"Σ({a.text}, axis={setting(axis)})" if shape else f"Σ({a.text})", ATOM
    return f"Σ({a.text}, shape={setting(tuple(shape))})", ATOM


def _transfer(a: Text, backend: Any) -> tuple[str, int]:
    return f"to({a.text}, {getattr(backend, 'name', backend)})", ATOM


def _pad(a: Text, widths: Any, value: float) -> tuple[str, int]:
    return f"pad({a.text}, {setting(widths)}, {number(value)})", ATOM


def _accumulate(*operands: Text, places: Any, shape: Shape) -> tuple[str, int]:
    """A sum; what belongs to a part only is added to it afterwards: ``a;  y[:, 0] += b``."""
    texts = [operand.text for operand in operands]
    whole: list[Text] = []
    parts: list[str] = []
    position = 0
    for index, arrays in places:
        if index is None:
            whole.append(operands[position])
        else:
            names = texts[position + 1 : position + 1 + arrays]
            parts.append(f"y{index_text(index, names)} += {texts[position]}")
        position += 1 + arrays
    total = (
        " + ".join(term.within(SUM, right=k > 0) for k, term in enumerate(whole))
        or f"zeros({setting(tuple(shape))})"
    )
    return ";  ".join([total, *parts]), ANY if parts else SUM


WRITTEN: dict[Op, Writer] = {
    ops.add: infix("+", SUM, SUM),
    ops.subtract: infix("−", SUM, SUM, associative=False),
    ops.multiply: _multiply,
    ops.divide: _divide,
    ops.power: _power,
    ops.negative: lambda a: (f"−{a.within(PRODUCT, right=True)}", SIGNED),
    ops.matmul: _matmul,
    ops.contract: _contract,
    ops.greater: infix(">", COMPARISON, SUM),
    ops.greater_equal: infix("≥", COMPARISON, SUM),
    ops.less: infix("<", COMPARISON, SUM),
    ops.less_equal: infix("≤", COMPARISON, SUM),
    ops.equal: infix("=", COMPARISON, SUM),
    ops.not_equal: infix("≠", COMPARISON, SUM),
    ops.maximum: called("max"),
    ops.minimum: called("min"),
    ops.where: called("where"),
    ops.clip: _clip,
    ops.exp: called("exp"),
    ops.log: called("log"),
    ops.sqrt: _sqrt,
    ops.sign: called("sign"),
    ops.absolute: lambda a: (f"|{a.text}|", ATOM),
    ops.tanh: called("tanh"),
    ops.sigmoid: called("σ"),
    ops.softplus: lambda a: (f"log(1 + exp({a.text}))", ATOM),
    ops.relu: called("ReLU"),
    ops.leaky_relu: lambda a, slope: (
        f"where({a.within(SUM)} > 0, {a.text}, {number(slope)} · {_factor(a, right=True)})",
        ATOM,
    ),
    leak: lambda a, slope: (f"where({a.within(SUM)} > 0, 1, {number(slope)})", ATOM),
    share: _share,
    ops.cast: _cast,
    as_float_op: _cast,
    ops.detached: called("detach"),
    ops.sum: called("Σ"),
    ops.mean: called("mean"),
    ops.max: called("max"),
    ops.min: called("min"),
    ops.softmax: called("softmax"),
    ops.log_softmax: called("log softmax"),
    ops.logsumexp: _logsumexp,
    ops.reshape: _reshape,
    ops.transpose: _transpose,
    ops.broadcast_to: _broadcast_to,
    ops.sum_to: _sum_to,
    ops.concatenate: called("concatenate"),
    ops.stack: called("stack"),
    ops.pad: _pad,
    ops.transfer: _transfer,
    ops.take: _getitem,
    ops.pick: called("pick"),
    ops.scatter: called("scatter"),
    ops.gather: called("gather"),
    ops.collect: called("collect"),
    ops.accumulate: _accumulate,
    power_sum: _power_sum,
    divides: lambda a, period: (f"{period} divides {a.text}", ANY),
    draw_mask: lambda shape, p, dtype: (f"mask({setting(shape)}, p={number(p)})", ATOM),
}
