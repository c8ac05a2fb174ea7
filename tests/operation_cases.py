"""The table of operations that `test_operations` checks: each as a function of tensors, the same
in NumPy, and the shapes of its inputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import ops

Shape = tuple[int, ...]


class Case(NamedTuple):
    name: str
    f: Callable[..., Any]
    reference: Callable[..., Any]
    inputs: tuple[np.ndarray, ...]


CASES: list[Case] = []


def case(
    name: str,
    f: Callable[..., Any],
    reference: Callable[..., Any],
    *shapes: Shape,
    positive: tuple[int, ...] = (),
) -> None:
    """Add a case with random inputs of these shapes; those at ``positive`` are above ½."""
    rng = np.random.default_rng(crc32(name.encode()))
    inputs = [rng.standard_normal(shape) for shape in shapes]
    for position in positive:
        inputs[position] = np.abs(inputs[position]) + 0.5
    CASES.append(Case(name, f, reference, tuple(map(np.asarray, inputs))))


# ------------------------------------------------------------------------- element by element

PAIRS = [
    ((3, 4), (3, 4)),
    ((3, 4), (4,)),
    ((3, 1), (1, 4)),
    ((2, 3, 4), (3, 1)),
    ((), (2, 3)),
    ((2, 3), ()),
    ((), ()),
    ((1,), (1, 1)),
    ((0, 3), (3,)),
]
for a, b in PAIRS:
    case(f"add {a} {b}", lambda x, y: x + y, np.add, a, b)
    case(f"subtract {a} {b}", lambda x, y: x - y, np.subtract, a, b)
    case(f"multiply {a} {b}", lambda x, y: x * y, np.multiply, a, b)
    case(f"divide {a} {b}", lambda x, y: x / y, np.divide, a, b, positive=(1,))
    case(f"power {a} {b}", lambda x, y: x**y, np.power, a, b, positive=(0,))
    case(f"maximum {a} {b}", F.maximum, np.maximum, a, b)
    case(f"minimum {a} {b}", F.minimum, np.minimum, a, b)
    case(
        f"where {a} {b}",
        lambda x, y: F.where(x.detach() > y.detach(), x, y * 2.0),
        lambda x, y: np.where(x > y, x, y * 2.0),
        a,
        b,
    )
for number in (2, 2.0, 1.5, -1, 0, 1):
    case(f"add number {number}", lambda x, n=number: n + x + n, lambda x, n=number: n + x + n, (3,))
    case(f"subtract number {number}", lambda x, n=number: n - x, lambda x, n=number: n - x, (3,))
    case(f"multiply number {number}", lambda x, n=number: n * x, lambda x, n=number: n * x, (3,))
    case(
        f"divide number {number}",
        lambda x, n=number: n / x,
        lambda x, n=number: n / x,
        (3,),
        positive=(0,),
    )
    case(
        f"power number {number}",
        lambda x, n=number: x**n,
        lambda x, n=number: x**n,
        (3,),
        positive=(0,),
    )
for base in (0.5, 1, 2.0):
    case(f"power of {base}", lambda x, b=base: b**x, lambda x, b=base: b**x, (2, 3))
case("power of negative numbers", lambda x: (-x) ** 3, lambda x: (-x) ** 3, (4,), positive=(0,))
case("maximum number", lambda x: F.maximum(0.1, x), lambda x: np.maximum(0.1, x), (3, 4))
case("minimum number", lambda x: F.minimum(x, 0.1), lambda x: np.minimum(x, 0.1), (3, 4))
case("where number", lambda x: F.where(x > 0, x, 0.5), lambda x: np.where(x > 0, x, 0.5), (3, 4))
case("where first", lambda x: F.where(x > 0, 1, x), lambda x: np.where(x > 0, 1, x), (3, 4))

UNARY: dict[str, tuple[Callable[..., Any], Callable[..., Any], bool]] = {
    "tanh": (F.tanh, np.tanh, False),
    "sigmoid": (F.sigmoid, lambda x: 1 / (1 + np.exp(-x)), False),
    "relu": (F.relu, lambda x: x * (x > 0), False),
    "leaky_relu": (F.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), False),
    "linear": (F.linear, lambda x: x, False),
    "exp": (F.exp, np.exp, False),
    "log": (F.log, np.log, True),
    "sqrt": (F.sqrt, np.sqrt, True),
    "abs": (F.abs, np.abs, False),
    "negative": (lambda x: -x, np.negative, False),
    "softplus": (ops.softplus, lambda x: np.log(1 + np.exp(x)), False),
    "cast": (lambda x: x.astype(x.dtype), lambda x: x, False),
    "transfer": (lambda x: ops.transfer(x, backend="numpy"), lambda x: x, False),
}
for name, (f, reference, is_positive) in UNARY.items():
    for shape in ((2, 3), (), (1,), (0, 2)):
        case(f"{name} {shape}", f, reference, shape, positive=(0,) if is_positive else ())
case(
    "leaky_relu slope",
    lambda x: F.leaky_relu(x, negative_slope=0.3),
    lambda x: np.where(x > 0, x, 0.3 * x),
    (3, 4),
)
for low, high in ((-0.5, 0.5), (None, 0.5), (-0.5, None)):
    case(
        f"clip {low} {high}",
        lambda x, low=low, high=high: F.clip(x, low, high),
        lambda x, low=low, high=high: np.clip(x, low, high),
        (4, 5),
    )

# ------------------------------------------------------------------------- matrix product

for a, b in [
    ((3, 4), (4, 5)),
    ((4,), (4,)),
    ((3, 4), (4,)),
    ((4,), (4, 5)),
    ((2, 3, 4), (4, 5)),
    ((2, 3, 4), (2, 4, 5)),
    ((2, 3, 4), (4,)),
    ((4,), (2, 4, 5)),
    ((5, 1, 3, 4), (2, 4, 6)),
    ((3, 4), (2, 4, 5)),
    ((1, 3, 4), (2, 4, 5)),
    ((1, 1), (1, 1)),
    ((3, 0), (0, 4)),
    ((2, 3, 0), (0, 4)),
    ((0, 4), (4, 2)),
]:
    case(f"matmul {a} {b}", lambda x, y: x @ y, np.matmul, a, b)
for a, b in (((3, 4), (3, 5)), ((2, 3, 4), (2, 3, 5)), ((2, 0, 4), (2, 0, 1)), ((1, 1), (1, 1))):
    case(
        f"contract {a} {b}",
        ops.contract,
        lambda x, g: np.tensordot(x, g, (range(x.ndim - 1),) * 2),
        a,
        b,
    )

# ------------------------------------------------------------------------- reductions


def logsumexp(x: np.ndarray, **settings: Any) -> Any:
    return np.log(np.exp(x).sum(**settings))


for shape, axis in [
    ((2, 3, 4), None),
    ((2, 3, 4), 0),
    ((2, 3, 4), -1),
    ((2, 3, 4), (0, 2)),
    ((2, 3, 4), (-1, 1)),
    ((2, 3, 4), ()),
    ((2, 1, 3), 1),
    ((1, 1), None),
    ((), None),
]:
    for keepdims in (False, True):
        settings: dict[str, Any] = {"axis": axis, "keepdims": keepdims}
        for name in ("sum", "mean", "max", "min"):
            case(
                f"{name} {shape} {axis} {keepdims}",
                lambda x, name=name, s=settings: getattr(x, name)(**s),
                lambda x, name=name, s=settings: getattr(x, name)(**s),
                shape,
            )
        case(
            f"logsumexp {shape} {axis} {keepdims}",
            lambda x, s=settings: F.logsumexp(x, **s),
            lambda x, s=settings: logsumexp(x, **s),
            shape,
        )
case("sum of nothing", lambda x: x.sum(axis=0), lambda x: x.sum(axis=0), (0, 3))
for shape, axis in (((3, 4), -1), ((3, 4), 0), ((2, 3, 4), 1), ((5,), 0), ((2, 1), 1)):
    case(
        f"softmax {shape} {axis}",
        lambda x, axis=axis: F.softmax(x, axis),
        lambda x, axis=axis: np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True),
        shape,
    )
    case(
        f"log_softmax {shape} {axis}",
        lambda x, axis=axis: F.log_softmax(x, axis),
        lambda x, axis=axis: x - logsumexp(x, axis=axis, keepdims=True),
        shape,
    )

# ------------------------------------------------------------------------- shape

case("reshape", lambda x: x.reshape(3, -1), lambda x: x.reshape(3, -1), (2, 3, 4))
case("reshape to a number", lambda x: x.reshape(()), lambda x: x.reshape(()), (1, 1))
case("reshape by a tuple", lambda x: x.reshape((4, 6)), lambda x: x.reshape(4, 6), (2, 3, 4))
case("transpose all", lambda x: x.T, lambda x: x.T, (2, 3, 4))
case("transpose last two", lambda x: x.mT, lambda x: x.swapaxes(-1, -2), (2, 3, 4))
case("transpose number", lambda x: x.T, lambda x: x.T, ())
for axes in ((2, 0, 1), (-1, 0, -2), (0, 1, 2)):
    case(
        f"transpose {axes}",
        lambda x, axes=axes: x.transpose(axes),
        lambda x, axes=axes: x.transpose(axes),
        (2, 3, 4),
    )
case("transpose *axes", lambda x: x.transpose(1, 2, 0), lambda x: x.transpose(1, 2, 0), (2, 3, 4))
case("swapaxes", lambda x: x.swapaxes(0, -1), lambda x: x.swapaxes(0, -1), (2, 3, 4))
for old, new in (((3,), (2, 3)), ((2, 1), (4, 2, 3)), ((), (2,)), ((1,), (0,))):
    case(
        f"broadcast_to {old} {new}",
        lambda x, new=new: ops.broadcast_to(x, shape=new),
        lambda x, new=new: np.broadcast_to(x, new),
        old,
    )
case("sum_to (3,)", lambda x: ops.sum_to(x, shape=(3,)), lambda x: x.sum(0), (2, 3))
case(
    "sum_to (2, 1)",
    lambda x: ops.sum_to(x, shape=(2, 1)),
    lambda x: x.sum((0, 2))[:, None],
    (4, 2, 3),
)
case("sum_to number", lambda x: ops.sum_to(x, shape=()), lambda x: x.sum(), (2, 3))
for axis in (0, 1, -1):
    case(
        f"stack {axis}",
        lambda *xs, axis=axis: F.stack(xs, axis),
        lambda *xs, axis=axis: np.stack(xs, axis),
        (2, 3),
        (2, 3),
        (2, 3),
    )
case("stack numbers", lambda x, y: F.stack([x, y]), lambda x, y: np.stack([x, y]), (), ())
case(
    "concatenate",
    lambda *xs: F.concatenate(xs),
    lambda *xs: np.concatenate(xs),
    (2, 3),
    (0, 3),
    (1, 3),
)
case(
    "concatenate last",
    lambda x, y: F.concatenate([x, y], -1),
    lambda x, y: np.concatenate([x, y], -1),
    (2, 3),
    (2, 1),
)
case(
    "concatenate itself",
    lambda x: F.concatenate([x, x * 2.0, x]),
    lambda x: np.concatenate([x, x * 2.0, x]),
    (2,),
)
case("unstack", lambda x: tuple(F.unstack(x, 1)), lambda x: tuple(x.swapaxes(0, 1)), (2, 3))
case(
    "unstack a stack",
    lambda x, y: F.unstack(F.stack([x, y], 1), -2)[1],
    lambda x, y: y,
    (2, 3),
    (2, 3),
)
case(
    "pad",
    lambda x: F.pad(x, [(1, 0), (0, 2)], 3.0),
    lambda x: np.pad(x, [(1, 0), (0, 2)], constant_values=3),
    (2, 3),
)
case(
    "accumulate",
    lambda x, y, z: ops.accumulate(
        x, y, tg.tensor([1, 1]), z, places=((None, 0), ((ops.Hole(0),), 1), ((0,), 0)), shape=(3, 2)
    ),
    lambda x, y, z: x + np.stack([z, y.sum(0), z * 0]),
    (3, 2),
    (2, 2),
    (2,),
)

# ------------------------------------------------------------------------- indexing

INDICES = [
    2,
    -1,
    np.int64(2),
    np.array(2),
    slice(1, 3),
    slice(None, None, -1),
    slice(3, None, -2),
    slice(2, 2),
    ...,
    (..., 1),
    (1, ...),
    (None, 0),
    (..., None),
    (slice(None), None, 2),
    (1, slice(None), slice(None, None, 2)),
    [0, 2, 2],
    [-1, 3, -1],
    [],
    np.array([[0, 1], [1, 1]]),
    np.array([2, 2], np.uint8),
    (slice(None), [0, 0, 3]),
    ([0, 1, 0], [2, 2, 2]),
    ([0, 0], slice(None), [1, 1]),
    (..., [0, 0]),
    (1, slice(None), [2, 2]),
    (None, [1, 1]),
    ([[0], [1]], [0, 1]),
    (slice(None, None, -1), [0, 0]),
    ([1, 1], 3),
    ([1, 1], ..., None, -1),
]
for index in INDICES:
    case(f"getitem {index!r}", lambda x, i=index: x[i], lambda x, i=index: x[i], (4, 5, 3))
case("getitem by a tensor", lambda x: x[tg.tensor([1, 1])], lambda x: x[[1, 1]], (2, 3))
case("getitem of a number", lambda x: x[None], lambda x: x[None], ())
case("getitem and others", lambda x: x[None].sum() + x * 3, lambda x: 4 * x, ())
case(
    "getitem twice", lambda x: x[1] * x[1:] + x[[1, 1]], lambda x: x[1] * x[1:] + x[[1, 1]], (3, 2)
)

for shape in ((4,), (2, 4), (2, 3, 4), (0, 4)):
    ids = np.random.default_rng(0).integers(0, 4, shape[:-1])
    case(
        f"pick {shape}",
        lambda x, ids=ids: ops.pick(x, tg.tensor(ids)),
        lambda x, ids=ids: (x * np.eye(4)[ids]).sum(-1),
        shape,
    )
    case(
        f"scatter {shape}",
        lambda x, ids=ids: ops.scatter(x, tg.tensor(ids), size=4),
        lambda x, ids=ids: x[..., None] * np.eye(4)[ids],
        shape[:-1],
    )
    ids = np.random.default_rng(0).integers(0, 4, (*shape[:-1], 6))
    case(
        f"gather {shape}",
        lambda x, ids=ids: ops.gather(x, tg.tensor(ids)),
        lambda x, ids=ids: (x[..., None, :] * np.eye(4)[ids]).sum(-1),
        shape,
    )
    case(
        f"collect {shape}",
        lambda x, ids=ids: ops.collect(x, tg.tensor(ids), size=4),
        lambda x, ids=ids: (x[..., None] * np.eye(4)[ids]).sum(-2),
        ids.shape,
    )

# ------------------------------------------------------------------------- losses, look-up

TARGETS = np.array([[0, 3, 3], [1, 2, 0]])
MASK = np.array([[1, 0, 1], [1, 1, 0]])


def picked(x: np.ndarray) -> np.ndarray:
    """The scores of the targets."""
    return np.take_along_axis(x, TARGETS[..., None], -1)[..., 0]


def reduced(losses: np.ndarray, mask: np.ndarray | None, reduction: str) -> Any:
    weights = np.ones_like(losses) if mask is None else mask
    if reduction == "none":
        return losses * weights
    return (losses * weights).sum() / (weights.sum() if reduction == "mean" else 1)


def binary(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    p = 1 / (1 + np.exp(-x))
    return -(t * np.log(p) + (1 - t) * np.log(1 - p))


LOSSES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Shape, ...]]] = {
    "cross_entropy": (
        lambda x, **s: F.cross_entropy(x, TARGETS, **s),
        lambda x: logsumexp(x, axis=-1) - picked(x),
        ((2, 3, 4),),
    ),
    "nll_loss": (lambda x, **s: F.nll_loss(x, TARGETS, **s), lambda x: -picked(x), ((2, 3, 4),)),
    "binary_cross_entropy_with_logits": (
        F.binary_cross_entropy_with_logits,
        binary,
        ((2, 3), (2, 3)),
    ),
    "mse_loss": (F.mse_loss, lambda y, t: (y - t) ** 2, ((2, 3), (2, 3))),
    "half_squared_error": (F.half_squared_error, lambda y, t: (y - t) ** 2 / 2, ((2, 3), (2, 3))),
}
for name, (f, reference, shapes) in LOSSES.items():
    for reduction in ("mean", "sum", "none"):
        for mask in (None, MASK):
            case(
                f"{name} {reduction} {'masked' if mask is not None else ''}",
                lambda *xs, f=f, mask=mask, how=reduction: f(*xs, mask=mask, reduction=how),
                lambda *xs, f=reference, mask=mask, how=reduction: reduced(f(*xs), mask, how),
                *shapes,
            )
case("embedding", lambda W: F.embedding(TARGETS, W), lambda W: W[TARGETS], (4, 5))
case("embedding of one", lambda W: F.embedding(3, W), lambda W: W[3], (4, 5))
case("embedding of none", lambda W: F.embedding(TARGETS[:0], W), lambda W: W[TARGETS[:0]], (4, 5))
case("one_hot", lambda W: F.one_hot(TARGETS, 4, W.dtype) @ W, lambda W: W[TARGETS], (4, 5))
case("dropout switched off", lambda x: F.dropout(x, 0.5, False) * 1, lambda x: x, (3,))
case("dropout of nothing", lambda x: F.dropout(x, 0.0) * 1, lambda x: x, (3,))
