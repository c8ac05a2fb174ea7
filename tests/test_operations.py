"""Every operation: forward against NumPy, gradients of first and second order against differences.

The table is in `operation_cases`; what is added to the operations or to ``tinygradrnn.functional``
must be added to it.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from operation_cases import CASES, Case

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import ops
from tinygradrnn.graph import Graph
from tinygradrnn.together import assembled

IDS = [case.name for case in CASES]
COVERED_ELSEWHERE = {
    *("ctc_loss", "ctc_greedy_decode", "ctc_beam_search", "hard_gate", "soft_gate"),
    *("unstacked", "dropout_mask"),  # what unstack and dropout are made of
}
each_case = pytest.mark.parametrize("case", CASES, ids=IDS)


def leaves(case: Case, dtype: str = "float64") -> list[tg.Tensor]:
    return [tg.tensor(x, dtype=dtype, requires_grad=True) for x in case.inputs]


def outputs(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


# ------------------------------------------------------------------------- the table


def test_names_are_unique() -> None:
    assert len(set(IDS)) == len(IDS)


@each_case
def test_forward(case: Case) -> None:
    expected = outputs(case.reference(*case.inputs))
    with tg.no_grad():
        found = outputs(case.f(*leaves(case)))
    assert len(found) == len(expected)
    for y, wanted in zip(found, expected, strict=True):
        assert y.shape == np.shape(wanted)
        assert y.dtype == np.float64
        np.testing.assert_allclose(y.numpy(), wanted, rtol=1e-12, atol=1e-12)


@each_case
def test_gradients_of_first_and_second_order(case: Case) -> None:
    tg.check_gradients(case.f, *leaves(case), order=2)


@each_case
def test_float32_stays_float32(case: Case) -> None:
    xs = leaves(case, "float32")
    for y in outputs(case.f(*xs)):
        assert y.dtype == np.float32
        loss = y.sum()
        for event in Graph(loss).backward_events():
            assert event.gradient.dtype == np.float32, event.node
        for recorded in tg.grad(loss, xs, create_graph=True):
            arrays = [n.value for n in Graph(recorded).nodes if hasattr(n.value, "dtype")]
            assert not [a for a in arrays if a.dtype.kind == "f" and a.dtype != np.float32]


def all_operations() -> list[ops.Op]:
    found = []
    for module in pkgutil.iter_modules(ops.__path__):
        held = vars(importlib.import_module(f"tinygradrnn.ops.{module.name}"))
        found += [value for value in held.values() if isinstance(value, ops.Op)]
    return list(dict.fromkeys(found))


def test_every_operation_with_a_gradient_is_in_the_table() -> None:
    covered = {y.node.operation for case in CASES for y in outputs(case.f(*leaves(case)))}
    missing = [op for op in all_operations() if op.differentiable and op not in covered]
    assert not missing


def test_every_function_is_in_the_table() -> None:
    covered = {case.name.split()[0] for case in CASES} | COVERED_ELSEWHERE
    public = [name for name, value in vars(F).items() if inspect.isfunction(value)]
    own = [name for name in public if vars(F)[name].__module__ == F.__name__]
    assert not [n for n in own if n not in covered and not n.startswith("_")]


# ------------------------------------------------------------------------- the same by hand


def gradient(f: Callable[..., Any], *values: Any, order: int = 1) -> list[float]:
    """The derivative of the sum of f with respect to the first of some float64 vectors."""
    x, *others = [tg.tensor(v, dtype="float64", requires_grad=True) for v in values]
    y = f(x, *others)
    for _ in range(order):
        (y,) = tg.grad(y.sum(), x, create_graph=True)
    return y.numpy().tolist()


@pytest.mark.parametrize(
    ("f", "x", "expected"),
    [
        (lambda x: x.max(), [1, 3, 3], [0, 0.5, 0.5]),
        (lambda x: x.min(), [1, 3, 1], [0.5, 0, 0.5]),
        (lambda x: F.maximum(x, 3.0), [1, 3, 4], [0, 0.5, 1]),
        (lambda x: F.minimum(3.0, x), [1, 3, 4], [1, 0.5, 0]),
        (lambda x: F.maximum(x, x), [1, 2], [1, 1]),
        (F.relu, [-1, 0, 1], [0, 0, 1]),
        (F.leaky_relu, [-1, 0, 1], [0.01, 0.01, 1]),
        (abs, [-2, 0, 2], [-1, 0, 1]),
        (lambda x: F.clip(x, -1, 1), [-2, -1, 0, 1, 2], [0, 1, 1, 1, 0]),
        (lambda x: x[[1, 1, 1]], [5, 6], [0, 3]),
        (lambda x: x**0, [0, 2], [0, 0]),
        (lambda x: x**1, [0, 2], [1, 1]),
        (lambda x: x**2, [0, -2], [0, -4]),
        (lambda x: x ** [0.0, 3.0], [0, 2], [0, 12]),
        (lambda x: 0.0**x, [1, 2], [0, 0]),
    ],
)
def test_gradient_at_kinks_and_edges(f: Any, x: list[float], expected: list[float]) -> None:
    assert gradient(f, x) == expected


@pytest.mark.parametrize(
    ("power", "order", "expected"), [(1, 2, 0), (2, 2, 2), (2, 3, 0), (3, 3, 6)]
)
def test_powers_of_zero_are_differentiable_again(power: int, order: int, expected: float) -> None:
    assert gradient(lambda x: x**power, [0.0], order=order) == [expected]


def test_binary_cross_entropy_at_logits_of_zero() -> None:
    """There |x| has a kink and the loss has none: its derivative is σ(0) − t."""

    def loss(x: tg.Tensor) -> tg.Tensor:
        return F.binary_cross_entropy_with_logits(x, np.array([0.0, 1.0]), reduction="sum")

    assert gradient(loss, [0.0, 0.0]) == [0.5, -0.5]
    assert gradient(loss, [0.0, 0.0], order=2) == [0.25, 0.25]


def test_nothing_overflows() -> None:
    x = tg.tensor([-1e4, -100.0, 0.0, 100.0, 1e4])
    half = x.astype("float16")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(F.sigmoid(x).numpy(), [0, 0, 0.5, 1, 1], atol=1e-38)
        np.testing.assert_allclose(F.sigmoid(half).numpy(), [0, 0, 0.5, 1, 1], atol=1e-4)
        assert F.softmax(x).numpy().tolist() == [0, 0, 0, 0, 1]
        np.testing.assert_array_equal(F.log_softmax(x).numpy()[-1], 0)
        assert F.logsumexp(x).item() == 1e4
        signs = np.array([0.0, 1, 1, 0, 1], np.float32)
        losses = F.binary_cross_entropy_with_logits(x, signs, reduction="none").numpy()
        np.testing.assert_allclose(losses, [0, 100, np.log(2), 100, 0], rtol=1e-6, atol=1e-38)


def test_logsumexp_of_nothing_likely() -> None:
    """log 0 = −∞ without a warning, and no gradient instead of NaN."""
    x = tg.tensor([[-np.inf, -np.inf], [-np.inf, 0.0]], requires_grad=True)
    y = F.logsumexp(x, axis=1)
    assert y.numpy().tolist() == [-np.inf, 0.0]
    assert tg.grad(y[1] + y[0], x)[0].numpy().tolist() == [[0, 0], [0, 1]]
    (g,) = tg.grad(y[1] + y[0], x, create_graph=True)
    assert g.numpy().tolist() == [[0, 0], [0, 1]]
    assert F.logsumexp(np.array([np.inf, 0.0])).item() == np.inf


def test_reductions_are_over_all_axes_and_drop_them_by_default() -> None:
    x = tg.tensor([[1.0, 2.0], [3.0, 4.0]])
    results = [x.sum(), x.mean(), x.max(), x.min(), F.logsumexp(x * 0)]
    assert [r.shape for r in results] == [()] * 5
    np.testing.assert_allclose([r.item() for r in results], [10, 2.5, 4, 1, np.log(4)], rtol=1e-6)
    assert F.softmax(x).numpy()[0].sum() == pytest.approx(1)
    assert F.concatenate([x, x]).shape == (4, 2)
    assert F.stack([x, x]).shape == (2, 2, 2)


def test_numbers_alone_become_float32() -> None:
    ones = F.where(np.array([True, False]), 1.0, 0.0)
    assert (ones.dtype, ones.numpy().tolist()) == (np.float32, [1, 0])
    assert (F.maximum(1.0, 2.0).dtype, F.maximum(1.0, 2.0).item()) == (np.float32, 2)
    assert F.where(np.array([True]), 1, 0).dtype == np.int64


def test_dropout_scales_what_it_keeps() -> None:
    x = tg.tensor(np.ones(10_000), requires_grad=True)
    y = F.dropout(x, 0.2)
    assert set(np.unique(y.numpy())) == {0.0, 1.25}
    assert abs(y.mean().item() - 1) < 0.02
    np.testing.assert_array_equal(tg.grad(y.sum(), x)[0].numpy(), y.numpy())
    tg.manual_seed(3)
    first = F.dropout(x, 0.5).numpy()
    tg.manual_seed(3)
    np.testing.assert_array_equal(F.dropout(x, 0.5).numpy(), first)


def test_one_hot_needs_no_memory_beyond_its_result() -> None:
    y = F.one_hot([[0, 299_999]], 300_000)  # as rows of an identity: 336 GiB
    assert y.shape == (1, 2, 300_000)
    assert y.dtype == np.float32
    assert not y.requires_grad
    assert np.argwhere(y.numpy()).tolist() == [[0, 0, 0], [0, 1, 299_999]]


def test_accumulate_sums_what_is_used_several_times() -> None:
    """The third derivative runs through `accumulate` nodes, recorded and differentiated."""

    def f(x: tg.Tensor, y: tg.Tensor) -> tg.Tensor:
        h = x * y
        return (h[0] * h[[1, 1]] + h * x)[1] * h

    rng = np.random.default_rng(0)
    x, y = (tg.tensor(rng.standard_normal((2, 2)), requires_grad=True) for _ in range(2))
    tg.check_gradients(f, x, y, order=3)


# ------------------------------------------------------------------------- dtypes

BINARY = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / y,
    lambda x, y: x**y,
    F.maximum,
    F.minimum,
    lambda x, y: F.where(True, x, y),
]


@pytest.mark.parametrize("f", BINARY)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("number", [2, 2.5, True, np.float64(2.5), np.float32(2), np.int64(2)])
def test_numbers_take_the_dtype_of_the_tensor(f: Any, dtype: str, number: Any) -> None:
    x = tg.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    for y in (f(x, number), f(number, x)):
        assert y.dtype == dtype
        assert tg.grad(y.sum(), x)[0].dtype == dtype


@pytest.mark.parametrize("f", [*BINARY, lambda x, y: x @ y, lambda x, y: F.stack([x, y])])
def test_mixed_floats_promote_and_gradients_come_back_in_their_own(f: Any) -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    y = tg.tensor(np.array([3.0, 4.0]), requires_grad=True)
    z = f(x, y)
    assert (x.dtype, y.dtype, z.dtype) == (np.float32, np.float64, np.float64)
    z.sum().backward()
    assert (x.grad.dtype, y.grad.dtype) == (np.float32, np.float64)
    again = tg.grad(z.sum(), [x, y], create_graph=True)
    assert [g.dtype for g in again] == [np.float32, np.float64]


def test_a_gradient_that_passes_through_float32_does_not_make_the_rest_float32() -> None:
    x = tg.tensor(np.array([1.0, 2.0]), requires_grad=True)
    h = x * 1.0
    narrow = (h.astype("float32").sum() + h.astype("float32").sum()).astype("float64")
    (narrow + (h * (1 + 1e-12)).sum()).backward()
    assert x.grad.numpy().tolist() == [3 + 1e-12, 3 + 1e-12]


def test_integers_need_no_gradient() -> None:
    n = tg.tensor([1, 2, 3])
    assert (n.dtype, (n * 2).dtype, n.sum().dtype) == (np.int64, np.int64, np.int64)
    assert (n / 2).dtype == n.mean().dtype == np.float32
    x = tg.tensor([1.5, 2.5], requires_grad=True)
    for rounded in (x.astype(int), x.astype(bool), x > 2, x == x):
        assert not rounded.requires_grad
    y = (x * x.astype(int)).sum()
    assert tg.grad(y, x)[0].numpy().tolist() == [1, 2]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, bool])
def test_functions_of_integers(kind: Any) -> None:
    values = np.array([0, 1, 5]).astype(kind)
    for f, reference in ((F.sigmoid, lambda x: 1 / (1 + np.exp(-x))), (F.tanh, np.tanh)):
        np.testing.assert_allclose(f(values).numpy(), reference(values.astype(float)), rtol=1e-2)
    assert F.one_hot(values.astype(int), 6).sum().item() == 3


@pytest.mark.parametrize(
    "f", [np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal]
)
def test_comparisons(f: np.ufunc) -> None:
    operators = {
        np.greater: lambda x, y: x > y,
        np.greater_equal: lambda x, y: x >= y,
        np.less: lambda x, y: x < y,
        np.less_equal: lambda x, y: x <= y,
        np.equal: lambda x, y: x == y,
        np.not_equal: lambda x, y: x != y,
    }
    a, b = np.array([[1.0, 2.0], [3.0, 2.0]]), np.array([2.0, 2.0])
    compare = operators[f]
    for x, y in ((tg.tensor(a, requires_grad=True), b.tolist()), (tg.tensor(a), tg.tensor(b))):
        z = compare(x, y)
        assert z.dtype == bool
        assert not z.requires_grad
        np.testing.assert_array_equal(z.numpy(), f(a, b))
        np.testing.assert_array_equal(compare(y, x).numpy(), f(b, a))
        np.testing.assert_array_equal(compare(x, 2).numpy(), f(a, 2))


def test_memory_layout_does_not_matter(rng: np.random.Generator) -> None:
    a = rng.standard_normal((4, 6))
    a.flags.writeable = False
    for view in (a.T, a[::-1, ::2], a[:, None], np.broadcast_to(a[0], (3, 6)), a.astype(">f8")):
        x = tg.tensor(view, requires_grad=True)
        y = F.tanh(x) * F.softmax(view) + x[[0, 0]].sum() + x.T.sum()
        y.sum().backward()
        z = tg.tensor(np.ascontiguousarray(view, "f8"), requires_grad=True)
        w = F.tanh(z) * F.softmax(z.detach()) + z[[0, 0]].sum() + z.T.sum()
        w.sum().backward()
        np.testing.assert_allclose(y.numpy(), w.numpy(), rtol=1e-14)
        np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-14)


PARTS = {
    "gates": (np.s_[..., 2:5], np.s_[..., 0:2]),
    "all steps": (np.s_[:, 1], np.s_[:, -3], np.s_[:, 2]),
    "steps and slices": (np.s_[:, 1], np.s_[:, :1], np.s_[:, 2:]),
    "a gap": (np.s_[..., 0:2], np.s_[..., 3:5]),
    "an overlap": (np.s_[..., 0:3], np.s_[..., 2:5]),
    "one step twice": (np.s_[:, 0], np.s_[:, 1], np.s_[:, 2], np.s_[:, 0]),
    "two axes": (np.s_[:, 0], np.s_[:, 1:], np.s_[..., 0:2]),
    "an axis after the dots": (np.s_[..., 1, :], np.s_[..., 0, :]),
    "every second": (np.s_[..., ::2], np.s_[..., 1::2]),
    "all and nothing": (np.s_[...,], np.s_[:, 3:]),
}


@pytest.mark.parametrize("name", PARTS)
def test_parts_meet_where_they_belong(name: str, rng: np.random.Generator) -> None:
    """Whether they fill the whole, overlap or leave gaps."""
    shape, indices = (2, 3, 5), PARTS[name]
    wanted, parts = np.zeros(shape), []
    for index in indices:
        values = rng.standard_normal(wanted[index].shape)
        wanted[index] += values
        parts.append(ops.Part(values, index, ()))
    np.testing.assert_array_equal(assembled(parts, shape), wanted)
