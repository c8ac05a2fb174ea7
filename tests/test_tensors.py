"""Tensors as Python objects: made, shown, compared, changed in place, copied, shared by threads."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn.recording import Leaf, state


def leaf(data: Any, name: str | None = None) -> tg.Tensor:
    return tg.tensor(np.asarray(data, float), requires_grad=True, name=name)


def numbers(tensor: tg.Tensor | None) -> Any:
    assert tensor is not None
    return tensor.numpy().tolist()


# ------------------------------------------------------------------------- making them


def test_floats_are_float32_unless_the_data_says_otherwise() -> None:
    for data in (1.5, [1.5], [[1.0], [2]], [], ()):
        assert tg.tensor(data).dtype == np.float32
    for data in (np.ones(2), np.float64(1), [np.float64(1)], [np.ones(2), np.zeros(2)]):
        assert tg.tensor(data).dtype == np.float64
    assert tg.tensor([1, 2]).dtype == tg.tensor(range(3)).dtype == np.int64
    assert tg.tensor([True]).dtype == bool
    assert tg.tensor([1, 2], dtype="float16").dtype == np.float16


def test_tensor_copies_its_data() -> None:
    data = np.ones(2)
    x = tg.tensor(data)
    data[:] = 5
    y = tg.tensor(x)
    x.data[:] = 7
    held = x.numpy()
    held[:] = 9
    assert (numbers(x), numbers(y)) == ([7, 7], [1, 1])


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(
            np.array([3.0, 4.0]), marks=pytest.mark.numpy_only("other backends copy nothing")
        ),
        [3.0, 4.0],
        tg.tensor([3.0, 4.0]),
    ],
    ids=["array", "list", "tensor"],
)
def test_arrays_and_lists_stand_on_both_sides(other: Any) -> None:
    x = leaf([1, 2])
    assert numbers(other + x) == numbers(x + other) == [4, 6]
    assert numbers(other - x) == [2, 2]
    assert numbers(other / x) == [3, 2]
    assert numbers(other**x) == [3, 16]
    assert numbers(other @ x) == numbers(x @ other) == 11
    assert numbers(other > x) == [True, True]
    assert isinstance(other * x, tg.Tensor)
    assert numbers(np.float64(2) * x) == [2, 4]
    assert numbers(tg.tensor(np.ones((2, 2))) @ x) == [3, 3]
    with pytest.raises(TypeError, match="Tensor"):  # an array cannot hold what x remembers
        np.ones(2).__iadd__(x)
        array = np.ones(2)
        array += x


# ------------------------------------------------------------------------- as Python objects


def test_to_python() -> None:
    x = leaf([[1.5, 2.5]])
    assert (x.ndim, x.size, len(x)) == (2, 2, 1)
    assert [numbers(row) for row in x[0]] == [1.5, 2.5]
    first, second = x[0]
    assert (first.item(), float(second), int(second)) == (1.5, 2.5, 2)
    assert f"{first:.3f} {second:5.1f}" == "1.500   2.5"
    assert str(f"{first}") == repr(first)
    assert type(tg.tensor([3]).item()) is int
    assert bool(first > 1)
    assert not bool(tg.tensor([[0.0]]))
    with pytest.raises(ValueError, match="2 elements"):
        f"{x:.2f}"


def test_rows_of_iteration_are_differentiable() -> None:
    x = leaf([[1, 2], [3, 4]])
    total = sum(row * (i + 1) for i, row in enumerate(x))
    assert numbers(tg.grad(total.sum(), x)[0]) == [[1, 1], [2, 2]]


def test_equality_is_element_by_element_and_hashing_by_identity() -> None:
    x, y = leaf([1, 2]), leaf([1, 3])
    assert numbers(x == y) == [True, False]
    assert numbers(x != y) == [False, True]
    assert (x == None, x != None) == (False, True)  # noqa: E711
    held = {x: "x", y: "y"}
    assert (held[x], held[y], len({x, y, x})) == ("x", "y", 2)


def test_repr() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="W")
    assert repr(x) == "tensor([1., 2.], 'W', shape (2,), float32, requires_grad)"
    assert repr(x * 2) == "tensor([2., 4.], shape (2,), float32, from multiply)"
    assert repr(tg.tensor(3)) == "tensor(3, shape (), int64)"
    assert "..." in repr(tg.tensor(np.zeros(10_000)))
    assert repr(x.node) == "<Node parameter 'W' (2,)>"
    with tg.timestep(3):
        assert repr((x * 2).node) == "<Node multiply (2,), time step 3>"


# ------------------------------------------------------------------------- changing values


@pytest.mark.parametrize("symbol", ["+", "-", "*", "/", "**"])
def test_parameters_change_in_place_only_within_no_grad(symbol: str) -> None:
    w = leaf([1, 2], "w")
    node, space = w.node, {"w": w}
    with pytest.raises(TypeError, match=r"'w' \(2,\).*parameter.*with tg.no_grad\(\)"):
        exec(f"w {symbol}= 3", space)
    assert numbers(w) == [1, 2]
    with tg.no_grad():
        exec(f"w {symbol}= 3", space)
    assert space["w"] is w
    assert w.node is node
    assert w.requires_grad
    assert numbers(w) == [eval(f"{x} {symbol} 3") for x in (1, 2)]


def test_computed_tensors_are_rebound() -> None:
    x = leaf([1, 2])
    h = first = x * 2
    h += x
    h *= h
    h -= 1
    h /= 2
    assert numbers(first) == [2, 4]
    h.sum().backward()  # (9x² − 1) / 2
    assert numbers(x.grad) == [9, 18]
    total = tg.tensor(0.0)
    for _ in range(3):
        total += (x * x).sum()
    assert numbers(tg.grad(total, x)[0]) == [6, 12]


def test_what_is_picked_from_a_stack_is_not_the_leaf_itself() -> None:
    w, wide = tg.tensor([1.0], requires_grad=True), leaf([2])
    y = F.stack([w, wide])
    assert y[0].dtype == y.dtype
    with tg.no_grad():
        row = y[0]
        row -= 1
    assert numbers(w) == [1]


def test_assigning_data_keeps_dtype_and_copies() -> None:
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    values = np.array([3.0, 4.0])
    w.data = values
    values[:] = 0
    assert w.dtype == np.float32
    assert numbers(w) == [3, 4]
    w.data = [5, 6]
    assert numbers(w) == [5, 6]


def test_stale_graph() -> None:
    w, x = leaf([1, 2], "w"), leaf([3, 4])
    with tg.scope("layer"), tg.timestep(2):
        y = w * x
    loss = y.sum()
    with tg.no_grad():
        w -= 0.1
    message = (
        r"'w' \(2,\) was changed after the result of multiply \(2,\) \(scope layer, time step 2\)"
    )
    for walk in (loss.backward, lambda: tg.grad(loss, x), lambda: tg.grad(loss, w)):
        with pytest.raises(tg.StaleGraphError, match=message):
            walk()
    assert w.grad is None
    (w * x).sum().backward()  # a new one is good
    assert numbers(x.grad) == [0.9, 1.9]


def test_a_recorded_gradient_is_stale_too() -> None:
    w = leaf([1, 2], "w")
    (g,) = tg.grad((w**3).sum(), w, create_graph=True)
    with tg.no_grad():
        w *= 2
    with pytest.raises(tg.StaleGraphError, match="'w'"):
        g.sum().backward()


# ------------------------------------------------------------------------- copies, threads


def test_leaves_are_copied_and_pickled() -> None:
    x = leaf([1, 2], "w")
    for y in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (numbers(y), y.name, y.requires_grad, y.dtype) == ([1, 2], "w", True, np.float64)
        assert tg.Graph(y * 2).parameters["w"] is y
    (copied,) = copy.deepcopy([x])
    with tg.no_grad():
        copied += 1
    assert numbers(x) == [1, 2]
    with pytest.raises(TypeError, match=r"result of multiply \(2,\).*x.detach\(\)"):
        copy.deepcopy(x * 2)


def test_threads_share_leaves_but_not_places() -> None:
    w = leaf(np.arange(20.0))
    expected = tg.grad((F.tanh(w * 0.1) * w).sum(), w)[0].numpy()
    wrong: list[Any] = []

    def work(name: str) -> None:
        for _ in range(50):
            with tg.scope(name), tg.timestep(len(name)):
                y = (F.tanh(w * 0.1) * w).sum()
            places = {(n.scope, n.timestep) for n in tg.Graph(y).nodes if not isinstance(n, Leaf)}
            (g,) = tg.grad(y, w)
            if places != {((name,), len(name))} or not np.array_equal(g.numpy(), expected):
                wrong.append((places, g))
        if state.place.scope:
            wrong.append(state.place.scope)

    threads = [threading.Thread(target=work, args=("a" * n,)) for n in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_threads_may_call_the_same_decorated_function() -> None:
    """Two calls that overlap; each thread must come back to where it was."""
    inside = {name: threading.Event() for name in "ab"}
    go_on = {name: threading.Event() for name in "ab"}
    found: dict[str, Any] = {}

    @tg.no_grad()
    def wait(name: str) -> None:
        inside[name].set()
        go_on[name].wait(timeout=10)

    def work(name: str) -> None:
        with tg.scope(name):
            wait(name)
            found[name] = state.place.scope

    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread, name in zip(threads, "ab", strict=True):
        thread.start()
        inside[name].wait(timeout=10)
    for thread, name in zip(threads, "ab", strict=True):
        go_on[name].set()
        thread.join()
    assert found == {"a": ("a",), "b": ("b",)}


def test_blocks_that_are_left_out_of_order_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two generators, suspended inside a block and closed in the order they were begun."""
    monkeypatch.setattr(state, "place", state.place)  # to be put back

    def batches() -> Any:
        with tg.no_grad():
            yield 1
            yield 2

    first, second = batches(), batches()
    next(first)
    next(second)
    first.close()
    second.close()
    assert (leaf([1]) * 2).requires_grad
