"""What is shown beside a step must be true: the texts themselves are read back and evaluated."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from operation_cases import CASES
from stepper.evaluating import check, evaluated

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn, ops
from tinygradrnn.clipping import power_sum
from tinygradrnn.ops import Op
from tinygradrnn.ops.arithmetic import share
from tinygradrnn.ops.base import as_float_op
from tinygradrnn.ops.elementwise import leak
from tinygradrnn.stepper.formulas import filled, formula
from tinygradrnn.stepper.notation import WRITTEN, Applied, Text, write

pytestmark = pytest.mark.numpy_only("formulas are evaluated with NumPy")

# --------------------------------------------------------------------------- every operation


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_formulas_say_what_is_computed(case):
    xs = [tg.tensor(x, requires_grad=True) for x in case.inputs]
    result = case.f(*xs)
    outputs = result if isinstance(result, tuple) else (result,)
    for node in tg.Graph(*outputs).nodes:
        if not node.is_leaf:
            check(node)


def operations() -> dict[str, Op]:
    """All that the package defines, but for what plans only are made of; by module and name."""
    return {
        f"{module}.{name}": value
        for module, loaded in list(sys.modules.items())
        if module.startswith("tinygradrnn.") and not module.startswith("tinygradrnn.compiler.")
        for name, value in vars(loaded).items()
        if isinstance(value, Op)
    }


def test_no_operation_is_left_out():
    found = operations()
    assert len(set(found.values())) > 40
    left = {name for name, op in found.items() if op not in WRITTEN}
    assert not left, "stepper/notation.py does not say how these are written"


X = np.array([[-1.5, 0.0, 2.0], [0.5, 0.5, -0.0]])
Y = np.array([0.5, 0.0, 2.0])


@pytest.mark.parametrize(
    ("op", "operands", "settings"),
    [
        *((op, (X, Y), {}) for op in (ops.greater, ops.greater_equal, ops.less, ops.less_equal)),
        *((op, (X, Y), {}) for op in (ops.equal, ops.not_equal)),
        (share, (X, np.maximum(X, Y), Y), {}),
        (leak, (X,), {"slope": 0.2}),
        (ops.sign, (X,), {}),
        (ops.detached, (X,), {}),
        (as_float_op, (np.array([[1, 2, -3]] * 2),), {"dtype": np.dtype("float32")}),
        (power_sum, (X,), {"p": 2}),
        (power_sum, (X,), {"p": 1.5}),
    ],
    ids=lambda value: value.name if isinstance(value, Op) else "",
)
def test_operations_without_a_gradient(op, operands, settings):
    names = {k: Text(k, shape=x.shape) for k, x in zip("abc", operands, strict=False)}
    text = write(Applied(op, tuple(names), settings, X.shape), names).text
    value = evaluated(text, dict(zip("abc", operands, strict=False)))
    np.testing.assert_allclose(value, op.forward(np, *operands, **settings), rtol=1e-15)


@pytest.mark.parametrize(
    ("op", "wrong"),
    [
        (ops.tanh, ops.exp),
        (ops.subtract, ops.add),
        (ops.matmul, ops.multiply),
        (ops.sum, ops.mean),
        (ops.sum_to, ops.reshape),
        (leak, ops.leaky_relu),
    ],
    ids=lambda op: op.name,
)
def test_a_wrong_text_is_caught(monkeypatch, op, wrong):
    x = tg.tensor(np.arange(1.0, 5).reshape(2, 2), requires_grad=True)
    w = tg.tensor(np.array([[0.3, -0.2], [0.1, 0.7]]), requires_grad=True)
    b = tg.tensor(np.array([0.1, 0.2]), requires_grad=True)
    loss = (1 - F.tanh(F.leaky_relu(-x @ w + b))).sum()
    nodes = [node for node in tg.Graph(loss).nodes if not node.is_leaf]
    for node in nodes:
        check(node)
    monkeypatch.setitem(WRITTEN, op, WRITTEN[wrong])
    with pytest.raises((AssertionError, TypeError, ValueError)):
        for node in nodes:
            check(node)


def test_a_rule_is_read_from_what_it_does():
    """An operation of the user's own needs no text: its rule is its formula."""
    cube = Op("cube", lambda xp, x: x**3, lambda g, y, x: 3.0 * g * x * x)
    y = cube(tg.tensor([2.0, 3.0], requires_grad=True))
    assert formula(y.node) == ("y = cube(a)", ("∂L/∂a += 3 · ∂L/∂y ⊙ a ⊙ a",))


# --------------------------------------------------------------------------- how they read

x, W, b = (
    tg.tensor(np.ones(shape), requires_grad=True, name=name)
    for name, shape in (("x", (2, 3)), ("W_x", (3, 4)), ("b", (4,)))
)
h, flag = F.tanh(x @ W), tg.tensor([True, False])


@pytest.mark.parametrize(
    ("y", "forward", "gradients"),
    [
        (x @ W, "y = x @ W_x", ["∂L/∂x += ∂L/∂y @ W_xᵀ", "∂L/∂W_x += xᵀ @ ∂L/∂y"]),
        (h, "y = tanh(a)", ["∂L/∂a += ∂L/∂y ⊙ (1 − y²)"]),
        (F.sigmoid(x), "y = σ(x)", ["∂L/∂x += ∂L/∂y ⊙ y ⊙ (1 − y)"]),
        (F.relu(x), "y = ReLU(x)", ["∂L/∂x += ∂L/∂y ⊙ (x > 0)"]),
        (
            h + b,
            "y = a + b",
            [
                "∂L/∂a += ∂L/∂y",
                "∂L/∂b += Σ(∂L/∂y, axis=0) — summed over axis 0, along which b was repeated",
            ],
        ),
        (h * F.exp(h), "y = u ⊙ v", ["∂L/∂u += ∂L/∂y ⊙ v", "∂L/∂v += ∂L/∂y ⊙ u"]),
        (x * x, "y = x²", ["∂L/∂x += ∂L/∂y ⊙ x"] * 2),
        (1 - x, "y = 1 − x", [None, "∂L/∂x += −∂L/∂y"]),
        (x**3, "y = x³", ["∂L/∂x += 3 · ∂L/∂y ⊙ x²", None]),
        (x / b.sum(), "y = x ÷ a", None),
        ((x + 1) * -x, "y = u ⊙ v", None),
        (x.mean(), "y = mean(x)", ["∂L/∂x += broadcast(∂L/∂y ÷ 6, (2, 3))"]),
        (x[:, 1], "y = x[:, 1]", ["(∂L/∂x)[:, 1] += ∂L/∂y"]),
        (W[[2, 0]], "y = W_x[ids]", ["(∂L/∂W_x)[ids] += ∂L/∂y", None]),
        (
            F.leaky_relu(x, 0.2),
            "y = where(x > 0, x, 0.2 · x)",
            ["∂L/∂x += ∂L/∂y ⊙ where(x > 0, 1, 0.2)"],
        ),
        (
            F.softmax(x),
            "y = softmax(x, axis=−1)",
            ["∂L/∂x += y ⊙ (∂L/∂y − Σ(∂L/∂y ⊙ y, axis=−1, keepdims=True))"],
        ),
        (
            F.where(flag, x[:, :2], 0.0),
            "y = where(mask, u, 0)",
            [None, "∂L/∂u += where(mask, ∂L/∂y, 0)", None],
        ),
        (F.stack([b[:1]] * 9), "y = stack(a, a, …, a, a, axis=0)", None),
    ],
    ids=str,
)
def test_as_it_is_read(y, forward, gradients):
    texts = formula(y.node)
    assert texts is not None
    assert texts.forward == forward.replace("W_x", "Wₓ")
    if gradients is not None:
        assert list(texts.gradients) == [g and g.replace("W_x", "Wₓ") for g in gradients]


def test_names_in_a_cell():
    layer = nn.RNN(nn.ElmanCell(1, 2))
    graph = tg.Graph(layer(np.ones((1, 2, 1), np.float32)).last.sum())
    texts = [formula(node) for node in graph.nodes if not node.is_leaf]
    assert [text.forward for text in texts if text is not None] == [
        *("y = x₁ @ Wₓ", "y = s₀ @ Wₛ", "y = u + v", "y = a + b", "s₁ = tanh(a)"),
        *("y = x₂ @ Wₓ", "y = s₁ @ Wₛ", "y = u + v", "y = a + b", "s₂ = tanh(a)"),
        "y = Σ(s₂)",
    ]
    assert texts[3] is not None
    assert texts[3].gradients[1] == (
        "∂L/∂b += Σ(∂L/∂y, axis=0) — summed over the batch axis, along which b was repeated"
    )
    assert texts[4] is not None
    assert texts[4].gradients == ("∂L/∂a += ∂L/∂s₁ ⊙ (1 − s₁²)",)


def test_equal_names_are_told_apart():
    first, second = (tg.tensor([1.0, 2.0], requires_grad=True, name="my h") for _ in range(2))
    texts = formula((first * second).node)
    assert texts == (
        "y = my h ⊙ my h′",
        ("∂L/∂(my h) += ∂L/∂y ⊙ my h′", "∂L/∂(my h′) += ∂L/∂y ⊙ my h"),
    )


def test_leaves_have_no_formula():
    assert formula(x.node) is None
    assert filled(x.node) is None


# --------------------------------------------------------------------------- with numbers


def leaf(value: object) -> tg.Tensor:
    return tg.tensor(value, requires_grad=True, dtype="float64")


@pytest.mark.parametrize(
    ("y", "gradient", "forward", "gradients"),
    [
        (F.tanh(leaf(1)), 0.5, "0.762 = tanh(1)", ["∂L/∂a += 0.5 · (1 − 0.762²) = 0.21"]),
        (
            leaf(-2) * leaf(3),
            0.5,
            "−6 = −2 · 3",
            ["∂L/∂u += 0.5 · 3 = 1.5", "∂L/∂v += 0.5 · (−2) = −1"],
        ),
        (-leaf([0, 1]), [0, 2], "[0, −1] = −[0, 1]", ["∂L/∂a += −[0, 2] = [0, −2]"]),
        (leaf(2) + leaf(-3), 4, "−1 = 2 + (−3)", ["∂L/∂u += 4", "∂L/∂v += 4"]),
        (leaf(-2) ** 2, 1, "4 = (−2)²", ["∂L/∂a += 2 · 1 · (−2) = −4", None]),
        (
            F.tanh(leaf([0, 1])),
            [1, 2],
            "[0, 0.762] = tanh([0, 1])",
            ["∂L/∂a += [1, 2] ⊙ (1 − [0, 0.762]²) = [1, 0.84]"],
        ),
        (
            leaf([[1, 2]]) + leaf([0.5, 0.5]),
            [[3, 4]],
            "[[1.5, 2.5]] = [[1, 2]] + [0.5, 0.5]",
            ["∂L/∂u += [[3, 4]]", "∂L/∂v += Σ([[3, 4]], axis=0) = [3, 4]"],
        ),
        (leaf([1, 2])[1], 3, "2 = [1, 2][1]", ["(∂L/∂a)[1] += 3"]),
        (
            leaf([[2]]) @ leaf([[3, 4]]),
            [[1, 1]],
            "[[6, 8]] = 2 · [[3, 4]]",
            ["∂L/∂u += [[1, 1]] @ [[3, 4]]ᵀ = 7", "∂L/∂v += 2 · [[1, 1]] = [[2, 2]]"],
        ),
    ],
    ids=str,
)
def test_numbers_are_filled_in(y, gradient, forward, gradients):
    assert filled(y.node, np.array(gradient, float)) == (forward, tuple(gradients))
    assert filled(y.node) == (forward, (None,) * len(gradients))


NUMBERS = [c for c in CASES if all(a.size == 1 for a in c.inputs) and "getitem" not in c.name]


@pytest.mark.parametrize("case", NUMBERS, ids=[case.name for case in NUMBERS])
def test_filled_formulas_are_right_too(case):
    """To the digits that are shown."""
    result = case.f(*[tg.tensor(x, requires_grad=True) for x in case.inputs])
    for node in tg.Graph(*(result if isinstance(result, tuple) else (result,))).nodes:
        texts = filled(node, np.full(node.shape, 0.7))
        if texts is None or node.value.size != 1:
            continue
        equations = [tuple(texts.forward.split(" = ", 1))]
        for text in filter(None, texts.gradients):
            term, computed, outcome = text.split(" += ")[1].rpartition(" = ")
            equations += [(outcome, term)] if computed else []
        for outcome, term in equations:
            value = np.squeeze(evaluated(term, {}))
            shown = float(outcome.replace("−", "-"))
            assert shown == pytest.approx(float(value), rel=3e-2, abs=1e-2), (outcome, term)


def test_what_is_large_is_not_filled_in():
    assert filled((x @ W).node) is None
    assert filled(F.stack([b[0]] * 5).node) is None
    assert filled(b.sum().node) is not None
