"""What backward, grad and their relatives mean: accumulating, sharing, cutting, going on."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F


def leaf(data: Any) -> tg.Tensor:
    return tg.tensor(np.asarray(data, float), requires_grad=True)


def numbers(tensor: tg.Tensor | None) -> Any:
    assert tensor is not None
    return tensor.numpy().tolist()


# ------------------------------------------------------------------------- accumulation


def test_backward_accumulates_until_cleared() -> None:
    x = leaf([1, 2])
    loss = (x * x).sum()
    assert x.grad is None
    loss.backward()
    assert numbers(x.grad) == [2, 4]
    loss.backward()
    assert numbers(x.grad) == [4, 8]
    (3 * x).sum().backward()
    assert numbers(x.grad) == [7, 11]
    x.grad = None
    loss.backward()
    assert numbers(x.grad) == [2, 4]


def test_backward_of_a_leaf_and_of_what_it_was_given() -> None:
    x = leaf(3)
    x.backward()
    assert numbers(x.grad) == 1
    y = leaf([1, 2])
    given = np.array([10.0, 20.0])
    y.backward(given)
    (y * 2).backward(tg.tensor(given))
    assert numbers(y.grad) == [30, 60]
    assert given.tolist() == [10, 20]


def test_gradients_share_no_memory() -> None:
    """`a = x + y` sends the same array to both; what one does with it the other must not see."""
    x, y, z = leaf([1, 2]), leaf([3, 4]), leaf([5, 6])
    given = np.ones(2)
    ((x + y) + z.reshape(2)).backward(given)
    x.grad.data[:] = 100
    assert [numbers(g) for g in (y.grad, z.grad)] == [[1, 1], [1, 1]]
    assert given.tolist() == [1, 1]
    before = y.grad
    (x + y).sum().backward()
    assert numbers(before) == [1, 1]  # a gradient held from before stays what it was
    first, second = tg.grad((x + y).sum(), [x, y])
    first.data[:] = 100
    assert numbers(second) == [1, 1]


def test_a_gradient_that_is_summed_in_place_is_nobody_elses() -> None:
    """h gets its first term as an array that also belongs to x, then two more."""
    x, y = leaf([1, 2]), leaf([3, 4])
    h = x * 1
    (h + h + (h + y)).sum().backward()
    assert (numbers(x.grad), numbers(y.grad)) == ([3, 3], [1, 1])


def test_backward_that_fails_leaves_all_gradients_as_they_were() -> None:
    def refuse(g: Any, out: Any, x: Any) -> Any:
        raise ZeroDivisionError("no such gradient")

    broken = tg.ops.Op("broken", lambda xp, x: x * 1, refuse)
    x, y = leaf([1, 2]), leaf([3, 4])
    (x * y).sum().backward()
    held = x.grad
    with pytest.raises(ZeroDivisionError, match="no such gradient") as caught:
        (broken(x * 2) + y * 5).sum().backward()
    assert x.grad is held
    assert (numbers(x.grad), numbers(y.grad)) == ([3, 4], [1, 2])
    assert "in the gradient of the result of broken (2,)" in caught.value.__notes__[0]


def test_gradients_can_be_set() -> None:
    x = leaf([1, 2])
    x.grad = np.array([1.0, 1.0])
    x.sum().backward()
    assert numbers(x.grad) == [2, 2]
    assert isinstance(x.grad, tg.Tensor)


# ------------------------------------------------------------------------- paths


def test_a_square_has_two_edges() -> None:
    x = leaf(3)
    y = x * x
    assert y.node.inputs == (x.node, x.node)
    y.backward()
    assert numbers(x.grad) == 6


def test_paths_that_meet_again() -> None:
    x = leaf(2)
    a = x * x
    ((a + x) * (a - x)).backward()  # x⁴ − x²
    assert numbers(x.grad) == 4 * 8 - 4


def test_fan_out_of_many() -> None:
    x = leaf([1.0, 2.0])
    parts = [x * k for k in range(100)]
    F.stack(parts).sum().backward()
    assert numbers(x.grad) == [4950, 4950]


def test_a_node_waits_for_its_last_reader() -> None:
    """h is read early and late; handed on after its first reader, half of it would be lost."""

    def f(x: tg.Tensor) -> tg.Tensor:
        h = x * 2
        late = F.tanh(F.tanh(F.tanh(h)))
        return h * late * h

    x = leaf(1.5)
    f(x).backward()
    step = 1e-6
    difference = (f(tg.tensor(x.data + step)) - f(tg.tensor(x.data - step))).item() / (2 * step)
    assert abs(x.grad.item() - difference) < 1e-8


# ------------------------------------------------------------------------- grad


def test_grad_of_inputs_and_intermediate_results() -> None:
    x, w = leaf([1, 2]), leaf([3, 4])
    h = x * w
    y = (h * h).sum()
    gx, gh, gy = tg.grad(y, [x, h, y])
    assert numbers(gh) == [6, 16]
    assert numbers(gx) == [18, 64]
    assert numbers(gy) == 1
    assert x.grad is None
    assert w.grad is None


def test_rules_that_are_not_needed_are_not_called() -> None:
    """Neither those of arguments without a gradient nor those beside the way to the inputs."""

    def refuse(g: Any, out: Any, *arguments: Any) -> Any:
        raise AssertionError("not needed")

    aside = tg.ops.Op("aside", lambda xp, x: x * 1, refuse)
    right = tg.ops.Op("right", lambda xp, x, y: x * y, lambda g, out, x, y: g * y, refuse)
    x, w = leaf([1, 2]), leaf([3, 4])
    loss = (right(x, leaf([5.0, 6.0]).detach()) + aside(w) + aside(w * 2)).sum()
    for create_graph in (False, True):
        assert numbers(tg.grad(loss, x, create_graph=create_graph)[0]) == [5, 6]


def test_grad_of_one_tensor_and_of_one_twice() -> None:
    x = leaf([1, 2])
    (gx,) = tg.grad((x * x).sum(), x)
    assert numbers(gx) == [2, 4]
    assert not gx.requires_grad
    first, second = tg.grad((x * x).sum(), (x, x))
    assert numbers(first) == numbers(second) == [2, 4]


def test_grad_of_an_unused_input_is_zero() -> None:
    x, unused = leaf([1, 2]), tg.tensor(np.ones((3, 1), np.float32), requires_grad=True)
    _, zero = tg.grad(x.sum(), [x, unused])
    assert numbers(zero) == [[0], [0], [0]]
    assert zero.dtype == np.float32


def test_grad_of_a_stack_that_is_read_at_one_place() -> None:
    x = leaf([1, 2])
    y = F.stack([x * 2, x * 3, x * 4], axis=0)
    assert numbers(tg.grad(y[[2]].sum(), y)[0]) == [[0, 0], [0, 0], [1, 1]]
    assert numbers(tg.grad((y * y).sum(), y)[0]) == numbers(y * 2)
    for loss in (y[2].sum(), F.unstack(y)[2].sum(), (y * y).sum() + y[0].sum()):
        with pytest.raises(ValueError, match=r"stack \(3, 2\) is a stack.*F.unstack\(y, axis=0\)"):
            tg.grad(loss, y)
        assert any(g.numpy().any() for g in tg.grad(loss, F.unstack(y)))


def test_grad_of_an_input_above_the_output_is_zero() -> None:
    x = leaf([1, 2])
    y = x * 2
    assert numbers(tg.grad(x.sum(), y)[0]) == [0, 0]


def test_grad_with_a_given_gradient() -> None:
    x = leaf([1, 2])
    for given in ([1, 10], np.array([1, 10]), tg.tensor([1.0, 10.0])):
        assert numbers(tg.grad(x * x, x, given)[0]) == [2, 40]


def test_grad_with_create_graph_is_differentiable_in_what_was_given() -> None:
    x, u = leaf([1, 2]), leaf([3, 4])
    (g,) = tg.grad(x * x, x, u, create_graph=True)
    assert numbers(tg.grad(g.sum(), u)[0]) == [2, 4]


def test_third_derivative() -> None:
    x = leaf([0.5, -0.3])
    y = F.tanh(x).sum()
    for _ in range(3):
        (y,) = tg.grad(y.sum(), x, create_graph=True)
    t = np.tanh(x.numpy())
    np.testing.assert_allclose(y.numpy(), (1 - t**2) * (6 * t**2 - 2), rtol=1e-12)


def test_gradient_penalty_trains_through_the_gradient() -> None:
    w, x = leaf([0.3, -0.2]), leaf([1, 2])
    (g,) = tg.grad(F.tanh(w * x).sum(), x, create_graph=True)
    assert g.requires_grad
    (g * g).sum().backward()
    t = np.tanh(w.numpy() * x.numpy())
    s = 1 - t**2
    expected = 2 * (w.numpy() * s) * (s - 2 * t * s * x.numpy() * w.numpy())
    np.testing.assert_allclose(w.grad.numpy(), expected, rtol=1e-12)


# ------------------------------------------------------------------------- jacobian, Hessian


def test_jacobian() -> None:
    A = np.random.default_rng(0).standard_normal((3, 4))
    x = leaf([[1, 2, 3, 4], [5, 6, 7, 8]])
    J = tg.jacobian(x @ tg.tensor(A.T), x)
    assert J.shape == (2, 3, 2, 4)
    np.testing.assert_allclose(J.numpy(), np.einsum("ab,ij->aibj", np.eye(2), A))
    assert tg.jacobian(x.sum(), x).shape == (2, 4)
    assert tg.jacobian(x[:0], x).shape == (0, 4, 2, 4)


def test_hessian_vector_product_is_the_hessian_times_the_vector() -> None:
    w, b = leaf([0.3, -0.5, 0.2]), leaf(0.4)
    loss = (F.tanh(w * w.sum() + b) * w).sum()
    gw, gb = tg.grad(loss, [w, b], create_graph=True)
    rows = [[tg.jacobian(g, p).numpy() for p in (w, b)] for g in (gw, gb)]
    H = np.block([[rows[0][0], rows[0][1][:, None]], [rows[1][0][None], rows[1][1][None, None]]])
    np.testing.assert_allclose(H, H.T, atol=1e-14)
    v = np.array([1.0, -2.0, 0.5, 3.0])
    Hw, Hb = tg.hessian_vector_product(loss, [w, b], [v[:3], v[3]])
    np.testing.assert_allclose([*Hw.numpy(), Hb.item()], H @ v, rtol=1e-12)


def test_hessian_vector_product_of_what_is_linear() -> None:
    x, y = leaf([1, 2]), leaf([3, 4])
    assert numbers(tg.hessian_vector_product((3 * x).sum(), x, [1.0, 1.0])[0]) == [0, 0]
    Hx, Hy = tg.hessian_vector_product((x * x + y).sum(), [x, y], [[1.0, 2.0], [5.0, 6.0]])
    assert (numbers(Hx), numbers(Hy)) == ([2, 4], [0, 0])


# ------------------------------------------------------------------------- cutting the graph


def test_no_grad() -> None:
    x = leaf([1, 2])
    with tg.no_grad():
        y = x * 2
        assert y.node.is_leaf
        assert not y.requires_grad
    assert (x * 2).requires_grad

    @tg.no_grad()
    def evaluate(n: int) -> tg.Tensor:
        """Calls itself, to see that it can."""
        return evaluate(n - 1) if n else x * 3

    assert not evaluate(3).requires_grad
    assert evaluate.__name__ == "evaluate"
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), tg.no_grad():
        raise ZeroDivisionError
    assert (leaf(1) * 2).requires_grad


def test_backward_works_within_no_grad() -> None:
    x = leaf([1, 2])
    loss = (x * x).sum()
    with tg.no_grad():
        loss.backward()
        (g,) = tg.grad(loss, x, create_graph=True)
    assert numbers(x.grad) == [2, 4]
    assert g.requires_grad


def test_no_grad_is_of_one_thread() -> None:
    x = leaf([1, 2])
    found: list[bool] = []
    with tg.no_grad():
        thread = threading.Thread(target=lambda: found.append((x * 2).requires_grad))
        thread.start()
        thread.join()
    assert found == [True]


def test_detach_cuts() -> None:
    x = leaf([1, 2])
    h = x * x
    cut = h.detach()
    assert (cut.requires_grad, cut.node.is_leaf) == (False, True)
    (h * cut).sum().backward()
    assert numbers(x.grad) == [2, 16]  # 2x · x², the second factor a constant


def test_detached_tensors_can_be_trained_by_themselves() -> None:
    x = leaf([1, 2])
    cut = (x * x).detach()
    cut.requires_grad = True
    (cut * x).sum().backward()
    assert (numbers(cut.grad), numbers(x.grad)) == ([1, 2], [1, 4])


def test_frozen_leaves_get_no_gradient() -> None:
    x, w = leaf([1, 2]), leaf([3, 4])
    w.requires_grad = False
    (x * w).sum().backward()
    assert (numbers(x.grad), w.grad) == ([3, 4], None)
    w.requires_grad = True
    (x * w).sum().backward()
    assert numbers(w.grad) == [1, 2]
