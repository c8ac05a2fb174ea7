"""The formulas of a stepping page, evaluated in NumPy and compared with what is computed."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tinygradrnn import ops
from tinygradrnn.ops.indexing import filled as index_of
from tinygradrnn.recording import Node
from tinygradrnn.stepper.formulas import formula

SIGNS = {
    **{"⊙": "*", "·": "*", "÷": "/", "−": "-", "^": "**", "²": "**2", "³": "**3", "ᵀ": ".T"},
    **{"≥": ">=", "≤": "<=", "≠": "!=", " = ": " == ", "…": "...", "∞": "inf", "Σ(": "total("},
    **{"log softmax(": "log_softmax(", "ReLU(": "relu("},
}


def largest(*xs: Any, **settings: Any) -> Any:
    return np.max(*xs, **settings) if len(xs) == 1 else np.maximum(*xs)


def smallest(*xs: Any, **settings: Any) -> Any:
    return np.min(*xs, **settings) if len(xs) == 1 else np.minimum(*xs)


def total(x: Any, shape: Any = None, **settings: Any) -> Any:
    """Σ over axes, or to a shape that the array was broadcast from."""
    if shape is None:
        return np.sum(x, **settings)
    x = np.asarray(x)
    x = x.sum(tuple(range(x.ndim - len(shape))))
    axes = tuple(k for k, n in enumerate(shape) if n == 1)
    return x.sum(axes, keepdims=True)


def pick(x: Any, ids: Any) -> Any:
    found = [row[i] for row, i in zip(x.reshape(-1, x.shape[-1]), ids.reshape(-1), strict=True)]
    return np.reshape(found, ids.shape)


def scatter(g: Any, ids: Any, size: int) -> Any:
    return np.eye(size)[ids] * g[..., None]


def gather(x: Any, ids: Any) -> Any:
    rows = zip(x.reshape(-1, x.shape[-1]), ids.reshape(-1, ids.shape[-1]), strict=True)
    return np.reshape([[row[i] for i in several] for row, several in rows], ids.shape)


def collect(g: Any, ids: Any, size: int) -> Any:
    return (np.eye(size)[ids] * g[..., None]).sum(-2)


def softmax(x: Any, axis: int) -> Any:
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


WORDS: dict[str, Any] = {
    **{name: getattr(np, name) for name in ("tanh", "exp", "log", "sqrt", "sign", "where", "mean")},
    **{name: getattr(np, name) for name in ("inf", "reshape", "transpose", "float32", "float64")},
    **{"max": largest, "min": smallest, "clip": np.clip, "total": total, "softmax": softmax},
    **{
        "pick": pick,
        "scatter": scatter,
        "gather": gather,
        "collect": collect,
        "detach": lambda x: x,
    },
    "relu": lambda x: np.maximum(x, 0),
    "σ": lambda x: 1 / (1 + np.exp(-x)),
    "log_softmax": lambda x, axis: np.log(softmax(x, axis)),
    "broadcast": np.broadcast_to,
    "concatenate": lambda *xs, axis: np.concatenate(xs, axis),
    "stack": lambda *xs, axis: np.stack(xs, axis),
    "pad": lambda x, widths, value: np.pad(x, widths, constant_values=value),
    **{"to": lambda x, backend: x, "numpy": "numpy", "zeros": np.zeros},
}


def evaluated(text: str, values: dict[str, Any]) -> Any:
    """The number that a formula stands for; ∂L/∂y is the value called g."""
    text = re.sub(r"∂L/∂\w+", "g", text)
    text = re.sub(r"√([\w.]+)", r"sqrt(\1)", text).replace("√(", "sqrt(")
    text = re.sub(r"\|([^|]+)\|", r"abs(\1)", text)
    text = re.sub(r"([\w.)\]]+)²", r"\1**2", text)
    for sign, python in SIGNS.items():
        text = text.replace(sign, python)
    with np.errstate(all="ignore"):
        return eval(text, {**WORDS, **values})


def put(into: Any, index: str, what: Any, values: dict[str, Any]) -> None:
    """``into[index] += what``, where equal indices accumulate."""
    where = eval(f"np.s_[{index}]".replace("−", "-").replace("…", "..."), {"np": np, **values})
    np.add.at(into, where, what)


def right_side(text: str, values: dict[str, Any]) -> Any:
    """The result of ``y = a;  y[0] += b``."""
    first, *parts = text.split(" = ", 1)[1].split(";  ")
    result = evaluated(first, values)
    for part in parts:
        result = np.array(result)
        index, what = re.fullmatch(r"y\[(.*)\] \+= (.*)", part).groups()  # type: ignore[union-attr]
        put(result, index, evaluated(what, values), values)
    return result


def sent(text: str, like: Any, values: dict[str, Any]) -> Any:
    """The term of ``∂L/∂a += …``."""
    target, term = text.split(" — ")[0].split(" += ", 1)
    value = evaluated(term, values)
    if not target.endswith("]"):
        return value
    whole = np.zeros_like(like)
    put(whole, re.fullmatch(r"\(∂L/∂\w+\)\[(.*)\]", target)[1], value, values)  # type: ignore[index]
    return whole


def expected(node: Node, position: int, g: Any) -> Any:
    """The term that the gradient rule gives, of its input's shape."""
    values = [source.value for source in node.inputs]
    term = node.operation.term(position, g, node.value, values, node.settings)
    like = values[position]
    if isinstance(term, ops.Part):
        whole = np.zeros_like(like)
        np.add.at(whole, index_of(term.where, term.arrays), term.values)
        return whole
    if isinstance(term, ops.Carried | ops.Product):
        term = term.computed()
    extra = term.ndim - like.ndim
    ones = tuple(k + extra for k, n in enumerate(like.shape) if n == 1 != term.shape[k + extra])
    return term.sum((*range(extra), *ones), keepdims=True).reshape(like.shape)


def check(node: Node) -> None:
    """The formula of a node against its value and its gradient rules."""
    names = {source: f"x{k}" for k, source in enumerate(node.inputs)} | {node: "y"}
    texts = formula(node, names.get)  # type: ignore[arg-type]
    assert texts is not None
    values = {name: one.value for one, name in names.items()}
    np.testing.assert_allclose(
        right_side(texts.forward, values), node.value, 1e-5, 1e-7, err_msg=texts.forward
    )
    g = np.random.default_rng(0).standard_normal(node.shape)
    for position, (source, text) in enumerate(zip(node.inputs, texts.gradients, strict=True)):
        if not source.requires_grad:
            assert text is None
            continue
        assert text is not None
        assert re.match(rf"\(?∂L/∂{names[source]}\b", text)
        got = sent(text, source.value, {**values, "g": g})
        want = expected(node, position, g)
        assert np.shape(got) == want.shape, text
        np.testing.assert_allclose(got, want, 1e-5, 1e-7, err_msg=text)
