"""Optimisers against their formulas, and clipping. PyTorch's values: nn/test_references.py."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import nn, optim

STEPS = 6
W0 = np.array([[0.5, -1.0, 2.0], [0.0, 3.0, -0.25]])
GRADIENTS = np.random.default_rng(0).normal(size=(STEPS, 2, 3))
GRADIENTS[2] = 0


def sgd(w, g, memory, t, *, lr, momentum=0.0, nesterov=False, weight_decay=0.0):
    g = g + weight_decay * w
    v = memory["v"] = momentum * memory.get("v", 0) + g
    return w - lr * (g + momentum * v if nesterov else v)


def adagrad(w, g, memory, t, *, lr, eps=1e-10, weight_decay=0.0):
    g = g + weight_decay * w
    s = memory["s"] = memory.get("s", 0) + g**2
    return w - lr * g / (np.sqrt(s) + eps)


def rmsprop(w, g, memory, t, *, lr, alpha=0.99, eps=1e-8, momentum=0.0, weight_decay=0.0):
    g = g + weight_decay * w
    s = memory["s"] = alpha * memory.get("s", 0) + (1 - alpha) * g**2
    v = memory["v"] = momentum * memory.get("v", 0) + g / (np.sqrt(s) + eps)
    return w - lr * v


def adam(w, g, memory, t, *, lr, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.0, decoupled=False):
    if decoupled:
        w = w - lr * weight_decay * w
    else:
        g = g + weight_decay * w
    m = memory["m"] = betas[0] * memory.get("m", 0) + (1 - betas[0]) * g
    v = memory["v"] = betas[1] * memory.get("v", 0) + (1 - betas[1]) * g**2
    m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps)


def adamw(w, g, memory, t, *, weight_decay=1e-2, **options):
    return adam(w, g, memory, t, weight_decay=weight_decay, decoupled=True, **options)


CASES = [
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.8}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    (optim.Adagrad, adagrad, {"lr": 0.1}),
    (optim.Adagrad, adagrad, {"lr": 0.1, "eps": 0.1, "weight_decay": 0.1}),
    (optim.RMSprop, rmsprop, {"lr": 0.1}),
    (optim.RMSprop, rmsprop, {"lr": 0.1, "alpha": 0.8, "momentum": 0.7, "weight_decay": 0.1}),
    (optim.Adam, adam, {"lr": 0.1}),
    (optim.Adam, adam, {"lr": 0.1, "betas": (0.5, 0.7), "eps": 0.1, "weight_decay": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.1}),
    (optim.AdamW, adamw, {"lr": 0.1, "weight_decay": 0.3}),
]
every_case = pytest.mark.parametrize(
    ("make", "formula", "options"), CASES, ids=[f"{m.__name__}-{o}" for m, _, o in CASES]
)


@every_case
def test_a_step_is_the_formula(make, formula, options):
    parameter = nn.Parameter(W0)
    optimizer = make([parameter], **options)
    w, memory = W0, {}
    for t, g in enumerate(GRADIENTS, 1):
        parameter.grad = tg.tensor(g)
        optimizer.step()
        w = formula(w, g, memory, t, **options)
        np.testing.assert_allclose(parameter.numpy(), w, rtol=1e-12, atol=1e-15)


@every_case
def test_float32_stays_float32(make, formula, options):
    parameter = nn.Parameter(W0.astype("float32"))
    optimizer = make([parameter], **options)
    optimizer.lr = np.float64(0.05)  # from a schedule
    for g in GRADIENTS:
        parameter.grad = tg.tensor(g.astype("float32"))
        optimizer.step()
        assert parameter.dtype == "float32"
        assert {a.dtype.name for a in optimizer.slots[0].values()} <= {"float32"}


@every_case
def test_a_state_dict_goes_on_exactly(make, formula, options):
    def run(steps, parameters, optimizer):
        for g in steps:
            for parameter in parameters:
                parameter.grad = tg.tensor(g)
            optimizer.step()

    through = [nn.Parameter(W0), nn.Parameter(2 * W0)]
    run(GRADIENTS, through, make(through, **options))
    first = [nn.Parameter(W0), nn.Parameter(2 * W0)]
    optimizer = make(first, **options)
    run(GRADIENTS[:3], first, optimizer)
    state = optimizer.state_dict()
    slots = copy.deepcopy(state["slots"])
    second = [nn.Parameter(p.numpy()) for p in first]
    resumed = make(second, lr=7)
    resumed.load_state_dict(state)
    run(GRADIENTS[3:], first, optimizer)  # must not reach into what was saved or loaded
    run(GRADIENTS[3:], second, resumed)
    for ours, theirs in zip(second, through, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    for saved, kept in zip(state["slots"], slots, strict=True):
        for name, array in kept.items():
            np.testing.assert_array_equal(saved[name], array)
    assert resumed.lr == 0.1
    rest = {name: value for name, value in state.items() if name != "slots"}
    assert json.loads(json.dumps(rest)) == rest


def test_a_parameter_given_twice_counts_once():
    parameter = nn.Parameter([1.0])
    optimizer = optim.SGD([parameter, parameter], 0.5)
    parameter.grad = tg.tensor([1.0])
    optimizer.step()
    assert parameter.item() == 0.5
    assert len(optimizer.params) == 1


def test_a_parameter_without_a_gradient_is_left_alone():
    one, other = nn.Parameter([1.0]), nn.Parameter([1.0])
    adam = optim.AdamW([one, other], 0.1, weight_decay=0.5)
    one.grad = tg.tensor([1.0])
    adam.step()
    assert other.item() == 1
    assert adam.steps == [1, 0]
    other.grad = tg.tensor([1.0])
    adam.step()  # its first step, with the first step's correction of the moments
    assert other.item() == pytest.approx(1 - 0.1 * 0.5 - 0.1)


def test_zero_grad_forgets_gradients():
    layer = nn.Linear(2, 3)
    sgd = optim.SGD(layer.parameters(), 0.1)
    for _ in range(2):
        layer(np.ones((1, 2), "float32")).sum().backward()
    assert (layer.b.grad.numpy() == 2).all()
    sgd.zero_grad()
    assert layer.W.grad is layer.b.grad is None


def test_a_step_makes_older_graphs_stale():
    layer = nn.Linear(2, 3)
    loss = layer(np.ones((1, 2), "float32")).sum()
    loss.backward()
    optim.SGD(layer.parameters(), 0.1).step()
    with pytest.raises(tg.StaleGraphError, match=r"optimizer\.step"):
        loss.backward()


def test_a_step_changes_nothing_that_the_user_holds():
    given = np.ones((2, 3), "float32")
    layer = nn.Linear(2, 3)
    layer.W.data = given
    seen = layer.W.numpy()
    layer(np.ones((1, 2), "float32")).sum().backward()
    gradient = layer.W.grad.numpy()
    optim.SGD(layer.parameters(), 0.1, momentum=0.9).step()
    assert (given == 1).all()
    assert (seen == 1).all()
    np.testing.assert_array_equal(layer.W.grad.numpy(), gradient)


P = [nn.Parameter([1.0])]


@pytest.mark.parametrize(
    ("run", "error", "message"),
    [
        (lambda: optim.SGD(P, -0.1), ValueError, r"SGD: lr must be a finite number.*got -0\.1"),
        (lambda: optim.Adam(P, float("nan")), ValueError, "Adam: lr must be .* got nan"),
        (lambda: optim.Adam(P, float("inf")), ValueError, "Adam: lr must be .* got inf"),
        (lambda: optim.SGD(P, "0.1"), ValueError, r"SGD: lr must be .* got '0\.1'"),
        (lambda: optim.SGD(P, True), ValueError, "SGD: lr must be .* got True"),
        (lambda: optim.SGD(P, 0.1, momentum=-1), ValueError, "momentum must be .* got -1"),
        (lambda: optim.SGD(P, 0.1, nesterov=True), ValueError, "nesterov=True needs a momentum"),
        (lambda: optim.Adam(P, betas=(0.9, 1.0)), ValueError, "betas must be .* below 1, got"),
        (lambda: optim.RMSprop(P, eps=-1e-8), ValueError, "RMSprop: eps must be"),
        (lambda: optim.SGD([], 0.1), ValueError, "SGD: no parameters were given .*iterator used"),
        (lambda: optim.SGD([P[0] * 2], 0.1), TypeError, "item 0 of params is a Tensor, not a par"),
        (
            lambda: optim.SGD([P[0], np.ones(2)], 0.1),
            TypeError,
            r"item 1 of params is a ndarray, not a parameter; write model\.parameters\(\)",
        ),
        (lambda: optim.SGD(nn.Linear(1, 1), 0.1), TypeError, r"write model\.parameters\(\)"),
        (
            lambda: optim.SGD(P, 0.1).load_state_dict(optim.Adam(P).state_dict()),
            ValueError,
            "the state is of Adam, not of SGD",
        ),
        (
            lambda: optim.Adam(P).load_state_dict(
                optim.Adam([*P, nn.Parameter([2.0])]).state_dict()
            ),
            ValueError,
            "the state is of 2 parameters, this optimiser has 1",
        ),
    ],
)
def test_what_does_not_fit_is_said(run, error, message):
    with pytest.raises(error, match=message):
        run()


def test_numpy_numbers_are_numbers():
    assert optim.SGD(P, np.float32(0.5)).lr == 0.5
    assert optim.SGD(P, np.int64(1)).lr == 1


# ---------------------------------------------------------------- clipping


def with_gradients(*gradients):
    parameters = [nn.Parameter(np.zeros_like(g)) for g in gradients]
    for parameter, g in zip(parameters, gradients, strict=True):
        parameter.grad = tg.tensor(g)
    return parameters


G = (np.array([[3.0, -4.0]]), np.array([12.0, 0.0, -1.0]))
NORMS = {1: 20.0, 2: np.sqrt(170.0), 3: 1820 ** (1 / 3), 0.5: None, float("inf"): 12.0}


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("threshold", [0.5, 2.0], ids=["above", "below"])
def test_the_joint_norm_is_clipped_only_above_the_threshold(p, threshold):
    flat = abs(np.concatenate([g.ravel() for g in G]))
    expected = NORMS[p] or (flat**p).sum() ** (1 / p)
    parameters = with_gradients(*G)
    norm = optim.clip_grad_norm(parameters, threshold * expected, p=p)
    assert isinstance(norm, tg.Tensor)
    assert (norm.shape, norm.dtype) == ((), "float64")
    assert norm.item() == pytest.approx(expected, rel=1e-14)
    for parameter, g in zip(parameters, G, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy(), g * min(threshold, 1), rtol=1e-14)
    if threshold == 2.0:
        np.testing.assert_array_equal(parameters[0].grad.numpy(), G[0])
    after = optim.clip_grad_norm(parameters, 1e9, p=p).item()
    assert after == pytest.approx(min(threshold, 1) * expected, rel=1e-12)


def test_clipping_takes_what_optimisers_take():
    parameter = with_gradients(np.array([3.0, 4.0]))[0]
    without = nn.Parameter([1.0])
    for given in (parameter, [parameter], [parameter, parameter], iter([parameter, without])):
        assert optim.clip_grad_norm(given, 100.0).item() == 5
    assert without.grad is None
    assert optim.clip_grad_norm(without, 1.0).item() == 0
    with pytest.raises(ValueError, match="clip_grad_norm: no parameters were given"):
        optim.clip_grad_norm([], 1.0)
    with pytest.raises(ValueError, match="clip_grad_value: no parameters were given"):
        optim.clip_grad_value([], -1, 1)


def test_float32_neither_overflows_nor_changes():
    for size in (1e25, 1e-30):  # their squares are infinite and zero in float32
        parameter = with_gradients(np.full(4, size, "float32"))[0]
        norm = optim.clip_grad_norm(parameter, size)
        assert (norm.dtype, parameter.grad.dtype) == ("float32", "float32")
        assert norm.item() == pytest.approx(2 * size)
        np.testing.assert_allclose(parameter.grad.numpy(), np.full(4, size / 2), rtol=1e-6)


def test_an_infinite_threshold_only_measures():
    parameters = with_gradients(*G)
    assert optim.clip_grad_norm(parameters, float("inf")).item() == np.sqrt(170.0)
    np.testing.assert_array_equal(parameters[1].grad.numpy(), G[1])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("p", [1, 2, float("inf")])
def test_a_norm_that_is_not_finite(bad, p):
    gradient = np.array([1.0, bad])
    parameter = with_gradients(gradient)[0]
    assert str(optim.clip_grad_norm(parameter, 0.1, p=p).item()) == str(bad)
    np.testing.assert_array_equal(parameter.grad.numpy(), gradient)
    with pytest.raises(FloatingPointError, match=rf"norm of the gradients is {bad}.*tg\.debug"):
        optim.clip_grad_norm(parameter, 0.1, p=p, error_if_nonfinite=True)


def test_values_are_clipped_to_a_range():
    parameters = with_gradients(*G)
    optim.clip_grad_value(parameters, -2, 5)
    np.testing.assert_array_equal(parameters[0].grad.numpy(), [[3, -2]])
    np.testing.assert_array_equal(parameters[1].grad.numpy(), [5, 0, -1])


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: optim.clip_grad_norm(P, 0.0), "max_norm must be above 0, got 0"),
        (lambda: optim.clip_grad_norm(P, -1.0), "max_norm must be above 0, got -1"),
        (lambda: optim.clip_grad_norm(P, float("nan")), "max_norm must be above 0, got nan"),
        (lambda: optim.clip_grad_norm(P, 1.0, p=0), "p must be above 0, got 0"),
        (lambda: optim.clip_grad_value(P, 1, -1), "min 1 must be below max -1"),
    ],
)
def test_limits_that_make_no_sense_are_said(run, message):
    with pytest.raises(ValueError, match=message):
        run()


CLIPS = {
    "nothing": lambda parameters: None,
    "by norm": lambda parameters: optim.clip_grad_norm(parameters, 1.0),
    "by value": lambda parameters: optim.clip_grad_value(parameters, -0.5, 0.5),
}


def test_clipping_tames_an_exploding_network():
    """A linear RNN with |W_s| > 1 over 40 steps: the gradient explodes, and one plain step throws
    the weight out for good. Clipped either way, training comes down to the target.
    """
    ends = {}
    for name, clip in CLIPS.items():
        rnn = nn.RNN(nn.ElmanCell(1, 1, activation="linear", bias=False).astype("float64"))
        rnn.cell.W_x, rnn.cell.W_s = [[1.0]], [[1.2]]
        sgd = optim.SGD([rnn.cell.W_s], 0.01)
        x = np.zeros((1, 40, 1))
        x[0, 0] = 1.0  # what is left of it at the end is W_s³⁹
        for _ in range(100):
            y = rnn(x).last
            if not 0.1 < abs(y.item()) < 1e12:
                break
            sgd.zero_grad()
            (y * y).sum().backward()
            clip([rnn.cell.W_s])
            sgd.step()
        ends[name] = abs(y.item())
    assert ends["nothing"] > 1e12
    assert ends["by norm"] < 0.1
    assert ends["by value"] < 0.1
