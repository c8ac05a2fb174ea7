"""Properties that hold for all shapes, indices and expressions; Hypothesis draws the examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygradrnn as tg
from tinygradrnn import functional as F

quick = settings(deadline=None, max_examples=80, derandomize=True, database=None)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4)
numbers = st.integers(0, 2**32 - 1)

BINARY: list[Callable[..., Any]] = [
    lambda x, y: x + y,
    lambda x, y: x - y,
    lambda x, y: x * y,
    lambda x, y: x / (y * y + 1.0),
    lambda x, y: (x * x + 1.0) ** y,
]


def values(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.asarray(np.random.default_rng(seed).standard_normal(shape))


def assert_gradients_agree(
    f: Callable[..., Any], reference: Callable[..., Any], *arrays: np.ndarray, seed: int = 0
) -> None:
    """Forward as NumPy; gradients as central differences of the NumPy function, not of ours."""
    rng = np.random.default_rng(seed)
    xs = [tg.tensor(a, requires_grad=True) for a in arrays]
    y = f(*xs)
    expected = np.asarray(reference(*arrays))
    assert y.shape == expected.shape
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-12, atol=1e-12)
    u = rng.standard_normal(expected.shape)
    loss = (y * tg.tensor(u)).sum() + 0.0 * sum(
        x.sum() for x in xs
    )  # depends on all of them in any case
    gradients = tg.grad(loss, xs)
    recorded = tg.grad(loss, xs, create_graph=True)
    loss.backward()
    for position, (x, gradient) in enumerate(zip(xs, gradients, strict=True)):
        assert gradient.shape == x.shape
        v = rng.standard_normal(x.shape)
        ends = []
        for step in (1e-5, -1e-5):
            moved = [a + step * v if i == position else a for i, a in enumerate(arrays)]
            ends.append(float((reference(*moved) * u).sum()))
        numeric = (ends[0] - ends[1]) / 2e-5
        analytic = float((gradient.numpy() * v).sum())
        size = float(np.abs(gradient.numpy() * v).sum())
        assert abs(analytic - numeric) <= 1e-5 * (1 + abs(numeric) + size)
        close = {"rtol": 1e-10, "atol": 1e-12 * (1 + size)}
        np.testing.assert_allclose(recorded[position].numpy(), gradient.numpy(), **close)
        np.testing.assert_allclose(x.grad.numpy(), gradient.numpy(), **close)


# ------------------------------------------------------------------------- broadcasting, axes


@quick
@given(
    hnp.mutually_broadcastable_shapes(num_shapes=2, max_side=3), st.sampled_from(BINARY), numbers
)
def test_binary_operations_broadcast(two: Any, f: Callable[..., Any], seed: int) -> None:
    a, b = two.input_shapes
    assert_gradients_agree(f, f, values(seed, a), values(seed + 1, b))


@quick
@given(hnp.mutually_broadcastable_shapes(signature="(m,n),(n,p)->(m,p)", max_side=3), numbers)
def test_matrix_products_broadcast(two: Any, seed: int) -> None:
    a, b = two.input_shapes
    assert_gradients_agree(
        lambda x, y: x @ y, np.matmul, values(seed, a), values(seed + 1, b), seed=seed
    )


@st.composite
def shapes_with_axes(draw: Any) -> tuple[tuple[int, ...], Any]:
    shape = draw(shapes)
    ndim = len(shape)
    if not ndim:
        return shape, None
    axes = draw(st.lists(st.integers(0, ndim - 1), unique=True))
    signed = tuple(axis - ndim if draw(st.booleans()) else axis for axis in axes)
    return shape, draw(st.sampled_from([None, signed, *signed]))


@quick
@given(
    shapes_with_axes(),
    st.booleans(),
    st.sampled_from(["sum", "mean", "max", "min", "logsumexp"]),
    numbers,
)
def test_reductions(shape_and_axis: Any, keepdims: bool, name: str, seed: int) -> None:
    shape, axis = shape_and_axis
    reduction = {"axis": axis, "keepdims": keepdims}

    def ours(x: tg.Tensor) -> tg.Tensor:
        if name == "logsumexp":
            return F.logsumexp(x, **reduction)
        return getattr(x, name)(**reduction)

    def reference(x: np.ndarray) -> Any:
        if name == "logsumexp":
            return np.log(np.exp(x).sum(**reduction))
        return getattr(x, name)(**reduction)

    assert_gradients_agree(ours, reference, values(seed, shape))


@quick
@given(shapes, st.data(), numbers)
def test_order_of_axes(shape: tuple[int, ...], data: Any, seed: int) -> None:
    order = tuple(data.draw(st.permutations(range(len(shape)))))

    def f(x: Any) -> Any:
        return x.transpose(order).reshape(-1).reshape(x.transpose(order).shape) * x.transpose(order)

    assert_gradients_agree(f, f, values(seed, shape))


@quick
@given(shapes, st.data(), numbers)
def test_stack_and_unstack(shape: tuple[int, ...], data: Any, seed: int) -> None:
    axis = data.draw(st.integers(-len(shape) - 1, len(shape)))
    arrays = [values(seed + i, shape) for i in range(3)]
    assert_gradients_agree(
        lambda *xs: F.stack(F.unstack(F.stack(xs, axis) * 2.0, axis)[::-1], axis),
        lambda *xs: np.flip(np.stack(xs, axis), axis) * 2.0,
        *arrays,
    )


# ------------------------------------------------------------------------- indexing


def assert_indexing_agrees(a: np.ndarray, index: Any) -> None:
    """The result is NumPy's; the gradient counts how often each element was read."""
    x = tg.tensor(a, requires_grad=True)
    y = x[index]
    np.testing.assert_array_equal(y.numpy(), a[index])
    u = values(1, y.shape)
    scattered = np.zeros_like(a)
    np.add.at(scattered, index, u)
    u = tg.tensor(u)
    recorded = tg.grad((y * u).sum(), x, create_graph=True)[0]
    (y * u).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), scattered, rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(recorded.numpy(), scattered, rtol=1e-14, atol=1e-14)


@quick
@given(hnp.array_shapes(min_dims=1, max_side=5), st.data())
def test_basic_indexing(shape: tuple[int, ...], data: Any) -> None:
    index = data.draw(hnp.basic_indices(shape, allow_newaxis=True))
    assert_indexing_agrees(values(0, shape), index)


@quick
@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), st.data())
def test_integer_array_indexing(shape: tuple[int, ...], data: Any) -> None:
    index = data.draw(hnp.integer_array_indices(shape))
    assert_indexing_agrees(values(0, shape), index)


@quick
@given(hnp.array_shapes(min_dims=2, max_dims=4, max_side=4), st.data())
def test_mixed_indexing(shape: tuple[int, ...], data: Any) -> None:
    """Arrays, integers, slices and None in any order."""
    length = data.draw(st.integers(0, 4))
    index: list[Any] = []
    for size in shape[: data.draw(st.integers(1, len(shape)))]:
        single = st.integers(-size, size - 1)
        several = st.lists(single, min_size=length, max_size=length)
        index.append(data.draw(st.one_of(single, several, st.slices(size))))
        if data.draw(st.booleans()):
            index.append(None)
    assert_indexing_agrees(values(0, shape), tuple(index))


@quick
@given(hnp.array_shapes(min_dims=1, max_dims=3, max_side=3), st.data())
def test_indexing_a_stack(shape: tuple[int, ...], data: Any) -> None:
    """Where one of the stacked tensors is picked, it is taken itself; the numbers are the same."""
    axis = data.draw(st.integers(0, len(shape)))
    a, b = values(0, shape), values(1, shape)
    whole = np.stack([a, b], axis)
    index = data.draw(hnp.basic_indices(whole.shape, allow_newaxis=True))
    assert_gradients_agree(
        lambda x, y: F.stack([x * 2.0, y], axis)[index],
        lambda x, y: np.stack([x * 2.0, y], axis)[index],
        a,
        b,
    )


# ------------------------------------------------------------------------- whole expressions

STEPS: list[tuple[Callable[..., Any], Callable[..., Any]]] = [
    (lambda x, y: x + y, lambda x, y: x + y),
    (lambda x, y: x - y.T, lambda x, y: x - y.T),
    (lambda x, y: x * y, lambda x, y: x * y),
    (lambda x, y: x @ y * 0.3, lambda x, y: x @ y * 0.3),
    (lambda x, y: x / (y * y + 1), lambda x, y: x / (y * y + 1)),
    (lambda x, y: F.tanh(x) + x, lambda x, y: np.tanh(x) + x),
    (lambda x, y: F.sigmoid(x * 2.0) * y, lambda x, y: y / (1 + np.exp(-2.0 * x))),
    (lambda x, y: x + y.sum(axis=0), lambda x, y: x + y.sum(axis=0)),
    (
        lambda x, y: x * y.mean(axis=1, keepdims=True),
        lambda x, y: x * y.mean(axis=1, keepdims=True),
    ),
    (lambda x, y: x[[1, 1, 0]] + y[::-1], lambda x, y: x[[1, 1, 0]] + y[::-1]),
    (
        lambda x, y: F.concatenate([x[1:], y[:1]], 0),
        lambda x, y: np.concatenate([x[1:], y[:1]], 0),
    ),
    (lambda x, y: F.exp(x * 0.1) - y[0], lambda x, y: np.exp(x * 0.1) - y[0]),
]
programs = st.lists(
    st.tuples(st.integers(0, len(STEPS) - 1), st.integers(0, 99), st.integers(0, 99)),
    min_size=1,
    max_size=8,
)


def run(program: list[tuple[int, int, int]], which: int, *inputs: Any) -> Any:
    """Each step reads any two of the results so far, so that they fan out and meet again."""
    results = list(inputs)
    for step, first, second in program:
        operands = results[first % len(results)], results[second % len(results)]
        results.append(STEPS[step][which](*operands))
    return sum(results[1:], results[0])


@quick
@given(programs, numbers)
def test_expressions(program: list[tuple[int, int, int]], seed: int) -> None:
    assert_gradients_agree(
        lambda *xs: run(program, 0, *xs),
        lambda *xs: run(program, 1, *xs),
        values(seed, (3, 3)) * 0.5,
        values(seed + 1, (3, 3)) * 0.5,
    )


@quick
@given(programs, numbers)
def test_second_derivatives_are_symmetric(program: list[tuple[int, int, int]], seed: int) -> None:
    """⟨u, H v⟩ = ⟨v, H u⟩."""
    x = tg.tensor(values(seed, (3, 3)) * 0.5, requires_grad=True)
    u, v = values(seed + 1, (3, 3)), values(seed + 2, (3, 3))
    loss = run(program, 0, x, x * x).sum()
    (Hv,) = tg.hessian_vector_product(loss, x, v)
    (Hu,) = tg.hessian_vector_product(loss, x, u)
    one, two = (Hv.numpy() * u).sum(), (Hu.numpy() * v).sum()
    assert abs(one - two) <= 1e-9 * (1 + np.abs(Hv.numpy() * u).sum())


@quick
@given(programs, numbers)
def test_gradients_are_linear_in_what_arrives(
    program: list[tuple[int, int, int]], seed: int
) -> None:
    """With a and b sent back together arrives what arrives with each of them, summed."""
    x = tg.tensor(values(seed, (3, 3)) * 0.5, requires_grad=True)
    y = run(program, 0, x, F.tanh(x))
    a, b = values(seed + 1, y.shape), values(seed + 2, y.shape)
    both, first, second = (tg.grad(y, x, g)[0].numpy() for g in (a + b, a, b))
    np.testing.assert_allclose(both, first + second, rtol=1e-9, atol=1e-9)
