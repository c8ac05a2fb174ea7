"""What is refused, and in which words: messages name the tensor, its shape and the way out."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import ops


def named(name: str, *shape: int) -> tg.Tensor:
    return tg.tensor(np.ones(shape), requires_grad=True, name=name)


x, y, v = named("x", 3, 4), named("y", 3, 5), named("v", 2)
h = x * 2


def says(kind: type[Exception], *words: str) -> Any:
    """The error must be of this kind and its message hold all the words."""
    pattern = "".join(f"(?=.*{re.escape(word)})" for word in words)
    return pytest.raises(kind, match=f"(?s){pattern}")


Refusal = tuple[Callable[[], Any], type[Exception], tuple[str, ...]]

REFUSED: dict[str, Refusal] = {
    # shapes
    "broadcasting": (
        lambda: x + y,
        ValueError,
        ("add of 'x' (3, 4), 'y' (3, 5)", "axis -1 has sizes 4 and 5", "equal or 1"),
    ),
    "broadcasting the other way round": (
        lambda: y * x,
        ValueError,
        ("multiply of 'y' (3, 5), 'x' (3, 4)", "axis -1"),
    ),
    "broadcasting an earlier axis": (
        lambda: h - named("z", 2, 4),
        ValueError,
        ("subtract of the result of multiply (3, 4), 'z' (2, 4)", "axis -2 has sizes 2 and 3"),
    ),
    "broadcasting an array": (
        lambda: tg.tensor(np.ones((2, 2))) / x,
        ValueError,
        ("divide of input (2, 2), 'x' (3, 4)",),
    ),
    "comparison": (lambda: x > y, ValueError, ("greater of 'x' (3, 4), 'y' (3, 5)",)),
    "equality": (lambda: x == y, ValueError, ("equal of 'x' (3, 4), 'y' (3, 5)",)),
    "maximum": (lambda: F.maximum(x, y), ValueError, ("maximum of 'x' (3, 4)", "axis -1")),
    "where": (
        lambda: F.where(np.array([True, False]), x, 0.0),
        ValueError,
        ("where of input (2,), 'x' (3, 4)", "axis -1"),
    ),
    "matmul": (
        lambda: x @ y,
        ValueError,
        ("matmul of 'x' (3, 4), 'y' (3, 5)", "last axis of the first (4)", "second (3)"),
    ),
    "matmul of vectors": (
        lambda: x @ v,
        ValueError,
        ("matmul of 'x' (3, 4), 'v' (2,)", "(4)", "first axis of the second (2)"),
    ),
    "matmul of batches": (
        lambda: named("A", 2, 3, 4) @ named("B", 5, 4, 3),
        ValueError,
        ("'A' (2, 3, 4), 'B' (5, 4, 3)", "leading axes (2,) and (5,) do not broadcast"),
    ),
    "matmul with a number": (
        lambda: x @ 2.0,
        ValueError,
        ("matmul of 'x' (3, 4)", "at least one axis", "write *"),
    ),
    "reshape": (
        lambda: x.reshape(5, 2),
        ValueError,
        ("reshape of 'x' (3, 4)", "12 elements", "(5, 2)"),
    ),
    "transpose": (
        lambda: x.transpose(0, 0),
        ValueError,
        ("transpose of 'x' (3, 4)", "(0, 0) is not an order of its 2 axes"),
    ),
    "swapaxes": (lambda: x.swapaxes(0, 2), ValueError, ("'x' (3, 4) has no axes 0 and 2",)),
    "mT": (lambda: v.mT, ValueError, ("'v' (2,) has no axes -1 and -2",)),
    "axis": (lambda: x.sum(axis=2), ValueError, ("sum of 'x' (3, 4)", "no axis 2", "0 to 1")),
    "axis in a tuple": (lambda: x.max(axis=(0, -3)), ValueError, ("max of 'x'", "no axis -3")),
    "axis of a number": (
        lambda: x.sum().mean(axis=0),
        ValueError,
        ("mean of the result of sum ()", "no axis 0", "number has none"),
    ),
    "axis as a list": (
        lambda: x.sum(axis=[0, 1]),
        TypeError,
        ("sum of 'x' (3, 4)", "a tuple of integers or None", "[0, 1]"),
    ),
    "softmax": (lambda: F.softmax(x, 2), ValueError, ("softmax of 'x' (3, 4)", "no axis 2")),
    "nothing to reduce": (
        lambda: named("e", 0, 3).max(),
        ValueError,
        ("max of 'e' (0, 3)", "no elements to reduce"),
    ),
    "concatenate": (
        lambda: F.concatenate([x, y], 0),
        ValueError,
        ("concatenate of 'x' (3, 4), 'y' (3, 5)", "equal except on axis 0"),
    ),
    "concatenate axis": (lambda: F.concatenate([x, x], 2), ValueError, ("no axis 2", "0 to 1")),
    "concatenate many": (
        lambda: F.concatenate([x] * 9 + [v]),
        ValueError,
        ("'x' (3, 4) and 4 more",),
    ),
    "concatenate nothing": (
        lambda: F.concatenate([]),
        TypeError,
        ("concatenate", "a list of at least one tensor"),
    ),
    "stack a tensor": (lambda: F.stack(x), TypeError, ("stack", "a list of at least one tensor")),
    "stack": (lambda: F.stack([x, y]), ValueError, ("'x' (3, 4), 'y' (3, 5)", "all be equal")),
    "stack axis": (lambda: F.stack([x, x], 3), ValueError, ("no axis 3", "0 to 2")),
    "unstack": (lambda: F.unstack(x, 2), ValueError, ("unstack of 'x' (3, 4)", "no axis 2")),
    "unstack a number": (lambda: F.unstack(x.sum()), ValueError, ("no axis 0", "has none")),
    "pad": (lambda: F.pad(x, [(1, 1)]), ValueError, ("2 axes of 'x' (3, 4)", "((1, 1),)")),
    # indexing
    "index": (lambda: x[3], IndexError, ("'x' (3, 4)", "index 3", "axis 0", "size 3")),
    "too many indices": (lambda: x[0, 0, 0], IndexError, ("'x' (3, 4)", "too many indices")),
    "index array": (
        lambda: x[:, [0, 4]],
        IndexError,
        ("index 1 into 'x' (3, 4)", "from 0 to 4", "-4 to 3"),
    ),
    "index array after an ellipsis": (
        lambda: x[..., [0, 4]],
        IndexError,
        ("index 1 into 'x' (3, 4)", "from 0 to 4", "-4 to 3"),
    ),
    "too many with an array": (lambda: x[0, 0, [0]], IndexError, ("'x' (3, 4)", "too many")),
    "index of a stack": (
        lambda: F.stack([x, x])[2],
        IndexError,
        ("the result of stack (2, 3, 4)", "index 2", "size 2"),
    ),
    "index floats": (lambda: x[[0.5]], IndexError, ("'x' (3, 4)", "integers", "float32")),
    "index float": (lambda: x[1.0], IndexError, ("'x' (3, 4)", "1.0", "slices")),
    "index bool": (lambda: x[True], IndexError, ("'x' (3, 4)", "True")),
    "mask": (lambda: x[x > 0], IndexError, ("'x' (3, 4)", "mask", "F.where(mask, x, 0.0)")),
    "two ellipses": (lambda: x[..., ...], IndexError, ("'x' (3, 4)", "single ellipsis")),
    "assignment": (
        lambda: h.__setitem__(0, 1.0),
        TypeError,
        ("the result of multiply (3, 4)", "F.where(mask, new, x)", "F.stack", "w.data = array"),
    ),
    # to Python
    "bool": (lambda: bool(x), ValueError, ("'x' (3, 4)", "12 elements", ".any()", "F.where")),
    "item": (lambda: x.item(), ValueError, ("'x' (3, 4)", "12 elements", ".numpy()")),
    "float": (lambda: float(v), ValueError, ("'v' (2,)", "2 elements")),
    "len": (lambda: len(x.sum()), TypeError, ("0-d",)),
    "iteration": (lambda: iter(x.sum()), TypeError, ("0-d", ".item()")),
    # making tensors
    "ragged": (lambda: tg.tensor([[1, 2], [3]]), ValueError, ("not a rectangular array",)),
    "list of tensors": (lambda: tg.tensor([x, x]), TypeError, ("list of tensors", "F.stack")),
    "list with a tensor": (
        lambda: tg.tensor([1.0, x.sum()]),
        TypeError,
        ("cut it from the graph",),
    ),
    "operand list": (lambda: x * [v, v], TypeError, ("list of tensors", "F.stack")),
    "complex": (lambda: tg.tensor([1j]), TypeError, ("real numbers", "complex128")),
    "complex operand": (lambda: x * 1j, TypeError, ("real numbers", "complex128")),
    "complex cast": (lambda: x.astype(complex), TypeError, ("real numbers", "complex128")),
    "complex dtype": (lambda: tg.tensor([1], dtype=complex), TypeError, ("real numbers",)),
    "text": (lambda: tg.tensor("abc"), TypeError, ("real numbers", "<U3")),
    "None": (lambda: x + None, TypeError, ("real numbers", "object")),
    "integers": (
        lambda: tg.tensor([1, 2], requires_grad=True),
        TypeError,
        ("only floats can require a gradient", "int64", "dtype='float32'"),
    ),
    "huge integer": (lambda: tg.tensor([1]) + 2**80, OverflowError, ("add of input (1,)",)),
    # changing tensors
    "data of a computed one": (
        lambda: setattr(h, "data", np.zeros((3, 4))),
        TypeError,
        ("the result of multiply (3, 4)", "was computed", "x.detach()"),
    ),
    "data of another shape": (
        lambda: setattr(x, "data", np.zeros((4, 3))),
        ValueError,
        ("'x' (3, 4)", "(4, 3)", "expected (3, 4)"),
    ),
    "grad of a computed one": (
        lambda: setattr(h, "grad", np.zeros((3, 4))),
        TypeError,
        ("the result of multiply (3, 4)", "only leaves keep a gradient"),
    ),
    "grad of another shape": (
        lambda: setattr(x, "grad", np.zeros(3)),
        ValueError,
        ("'x' (3, 4)", "(3,)"),
    ),
    "requires_grad of a computed one": (
        lambda: setattr(h, "requires_grad", False),
        TypeError,
        ("the result of multiply (3, 4)", "x.detach()"),
    ),
    "unknown attribute": (lambda: setattr(x, "grads", 1), AttributeError, ("grads",)),
    # gradients
    "backward of many": (
        lambda: h.backward(),
        ValueError,
        ("backward()", "multiply (3, 4)", "not a single number", "loss.sum()", "same shape"),
    ),
    "backward of a constant": (
        lambda: tg.tensor(1.0).backward(),
        ValueError,
        ("backward()", "requires a gradient", "no_grad()", "detached or frozen"),
    ),
    "backward with another shape": (
        lambda: h.backward(np.ones(4)),
        ValueError,
        ("gradient given has shape (4,)", "needs (3, 4)"),
    ),
    "grad of many": (lambda: tg.grad(h, x), ValueError, ("grad", "not a single number")),
    "grad by a constant": (
        lambda: tg.grad(h.sum(), [x, h.detach()]),
        ValueError,
        ("input 1", "(3, 4)", "requires_grad=True"),
    ),
    "grad by an array": (
        lambda: tg.grad(h.sum(), [np.ones(2)]),
        TypeError,
        ("input 0 is a ndarray",),
    ),
    "vectors": (
        lambda: tg.hessian_vector_product(h.sum(), [x], []),
        ValueError,
        ("1 inputs but 0 vectors",),
    ),
    "vector of another shape": (
        lambda: tg.hessian_vector_product(h.sum(), x, np.ones(4)),
        ValueError,
        ("vector 0 has shape (4,)", "'x' (3, 4)"),
    ),
    # functions
    "unknown reduction": (
        lambda: F.mse_loss(x, x, reduction="avg"),
        ValueError,
        ("'mean', 'sum' or 'none'", "'avg'"),
    ),
    "losses do not broadcast": (
        lambda: F.mse_loss(x, x[0]),
        ValueError,
        ("predictions", "(3, 4)", "targets", "(4,)"),
    ),
    "logits do not broadcast": (
        lambda: F.binary_cross_entropy_with_logits(x, x[:1]),
        ValueError,
        ("logits", "(3, 4)", "(1, 4)"),
    ),
    "targets": (
        lambda: F.cross_entropy(x, [0, 1]),
        ValueError,
        ("targets of shape (2,)", "(3, 4)", "expected (3,)"),
    ),
    "target classes": (
        lambda: F.cross_entropy(x, [0, 1, 4]),
        IndexError,
        ("from 0 to 4", "classes 0 to 3"),
    ),
    "float targets": (lambda: F.nll_loss(x, [0.0, 1, 2]), TypeError, ("integers", "float32")),
    "mask of a loss": (
        lambda: F.cross_entropy(x, [0, 1, 2], mask=[1, 1]),
        ValueError,
        ("mask of shape (2,)", "(3,)"),
    ),
    "embedding ids": (
        lambda: F.embedding([0, 3], x),
        IndexError,
        ("from 0 to 3", "'x' (3, 4) has rows 0 to 2"),
    ),
    "negative ids": (lambda: F.embedding([-1], x), IndexError, ("from -1 to -1", "rows 0 to 2")),
    "float ids": (lambda: F.embedding([0.0], x), TypeError, ("ids", "integers", "float32")),
    "embedding weight": (lambda: F.embedding([0], v), ValueError, ("(V, E)", "'v' (2,)")),
    "one_hot": (lambda: F.one_hot([5], 5), IndexError, ("from 5 to 5", "classes are 0 to 4")),
    "dropout": (lambda: F.dropout(x, 1.0), ValueError, ("dropout", "1.0")),
    "dropout of integers": (lambda: F.dropout([1, 2]), TypeError, ("floats", "int64")),
    "clip": (lambda: F.clip(x, 2, 1), ValueError, ("low 2", "high 1")),
    "clip without bounds": (lambda: F.clip(x), ValueError, ("low, high or both",)),
    # the graph
    "scope": (lambda: tg.scope(3), TypeError, ("scope", "str", "int")),
    "time step": (lambda: tg.timestep("3"), TypeError, ("timestep", "int", "str")),
    "graph of nothing": (lambda: tg.Graph(), TypeError, ("at least one tensor",)),
    "graph of an array": (lambda: tg.Graph(np.ones(2)), TypeError, ("tensors", "ndarray")),
    "seed": (lambda: tg.manual_seed(-1), ValueError, ("manual_seed", "-1")),
}


@pytest.mark.parametrize(("do", "kind", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(do: Callable[[], Any], kind: type[Exception], words: tuple[str, ...]) -> None:
    with says(kind, *words):
        do()


NUMPY_FUNCTIONS: list[Callable[..., Any]] = [
    np.asarray,
    np.array,
    np.tanh,
    np.exp,
    np.sum,
    np.mean,
    np.max,
    np.transpose,
    np.sort,
    np.linalg.norm,
    np.isfinite,
    lambda t: np.concatenate([t, t]),
    lambda t: np.stack([t, t]),
    lambda t: np.where(True, t, 0),
    lambda t: np.dot(t, t),
    lambda t: np.array([t.sum(), t.sum()]),
    lambda t: np.add(np.ones(2), t),
    lambda t: np.allclose(t, 1),
]


@pytest.mark.parametrize("f", NUMPY_FUNCTIONS)
def test_numpy_does_not_cut_the_graph_silently(f: Callable[..., Any]) -> None:
    with pytest.raises(TypeError):
        f(v)


def test_numpy_is_told_what_to_do_instead() -> None:
    for f in (np.asarray, lambda t: np.concatenate([t, t])):
        with says(TypeError, "NumPy", "'v' (2,)", "silently", "tg.functional", "x.numpy()"):
            f(v)
    constant = v.detach()
    assert np.asarray(constant).tolist() == np.asarray(constant, int).tolist() == [1, 1]


def test_rules_are_named_when_they_fail() -> None:
    broken = ops.Op("broken", lambda xp, x: x * 1, lambda g, out, x: g.reshape(7, 7))
    with tg.scope("gate"), tg.timestep(3), pytest.raises(ValueError) as caught:
        tg.grad(broken(x * 2).sum(), x)
    assert caught.value.__notes__ == [
        "in the gradient of the result of broken (3, 4) (scope gate, time step 3)"
    ]
