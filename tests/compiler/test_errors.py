"""What cannot be compiled is said, and nothing is left half done."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.compiler import compiled as compiled_module
from tinygradrnn.seeds import generator_state

LOOKS = {
    "float": float,
    "int": lambda t: int(t * 10),
    "if": lambda t: t > 0 and 1,
    "item": lambda t: t.item(),
    "numpy": lambda t: t.numpy(),
    "data": lambda t: t.data,
    "array": lambda t: np.asarray(t.detach()),
    "tensor": lambda t: tg.tensor(t),
    "parameter": lambda t: nn.Parameter(t),
    "format": lambda t: f"{t:.3f}",
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_looking_at_a_value(look):
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    compiled = tg.compile(lambda x: (look((w * x).sum()), w * x)[1])
    with pytest.raises(tg.CaptureError, match=r"the function looks at the values of .*\(\)") as e:
        compiled(np.ones(2, "float32"))
    assert "Return the tensor and look at it outside, or write F.where" in str(e.value)


def test_values_of_arguments_may_be_looked_at():
    """Another value is another kind of input."""

    def step(x, n):
        return x * 2 if x.numpy()[0] > 0 else x[: int(n)] * 3

    compiled = tg.compile(step)
    for first in (1.0, -1.0, -1.0, 1.0, 2.0):
        x = np.array([first, 5.0, 6.0])
        wanted = x * 2 if first > 0 else x[:2] * 3
        np.testing.assert_array_equal(compiled(x, np.array(2)).numpy(), wanted)
    assert compiled.captures == 3


def updating(w, change):
    optimizer = tg.optim.SGD([w], 0.1)

    def step(x):
        loss = (w * x).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return change(w, optimizer, loss)

    return tg.compile(step)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w, o, loss: o.step(), "'w' (2,) is changed twice in one call"),
        (lambda w, o, loss: (w * 2).sum(), "'w' (2,) is read after it was changed"),
        (lambda w, o, loss: w.sum(), "'w' (2,) is read after it was changed"),
    ],
)
def test_updates_in_the_middle(change, message):
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w")
    with pytest.raises(tg.CaptureError) as e:
        updating(w, change)(np.ones(2, "float32"))
    assert message in str(e.value)
    np.testing.assert_array_equal(w.numpy(), [1, 2])


def test_one_inside_another():
    inner = tg.compile(lambda x: x * 2)
    inner(np.ones(2))
    with pytest.raises(tg.CaptureError, match="called inside another one; compile the outer"):
        tg.compile(lambda x: inner(x) + 1)(np.ones(2))
    np.testing.assert_array_equal(inner(np.ones(2)).numpy(), 2)


def test_under_debug():
    step = tg.compile(lambda x: x * 2)
    for _ in range(2):
        with tg.debug(), pytest.raises(tg.CaptureError, match=r"under tg.debug\(\); call the func"):
            step(np.ones(2))
        step(np.ones(2))
    with tg.debug():
        np.testing.assert_array_equal(step.function(tg.tensor([1.0])).numpy(), 2)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({1, 2}, r"was given a set, which cannot be compared from call to call \(it has no hash\)"),
        (bytearray(b"a"), "was given a bytearray"),
    ],
)
def test_arguments_without_a_hash(argument, message):
    with pytest.raises(tg.CaptureError, match=message):
        tg.compile(lambda x, s: x)(np.ones(2), argument)


def test_an_argument_with_a_graph():
    w = tg.tensor([1.0, 2.0], requires_grad=True)
    step = tg.compile(lambda x: x * 2)
    with pytest.raises(
        tg.CaptureError, match=r"was given the result of tanh \(2,\), which has a g"
    ):
        step(F.tanh(w))
    assert step(F.tanh(w).detach()).shape == (2,)
    with tg.no_grad():
        assert step(F.tanh(w)).shape == (2,)


@pytest.mark.parametrize(
    ("result", "kind"),
    [
        (lambda x: nn.RNN(nn.ElmanCell(4, 3))(x), "RNNOutput"),
        (lambda x: {"y": [x, np.ones(2)]}, "ndarray"),
        (lambda x: (x, {1}), "set"),
    ],
)
def test_results_that_would_never_change(result, kind):
    with pytest.raises(tg.CaptureError, match=f"returned a {kind}, which would be the same object"):
        tg.compile(result)(np.ones((2, 3, 4), "float32"))


def test_a_pass_that_is_none():
    with pytest.raises(ValueError, match=r"compile: 'fuse' is no pass; there are .*common"):
        tg.compile(lambda x: x, without=("fuse",))
    for what in ("explain", "draw"):
        with pytest.raises(RuntimeError, match=f"{what}: there is no plan before the first call"):
            getattr(tg.compile(lambda x: x), what)()


# ------------------------------------------------------------------------- integers out of range


def message_of(call):
    with pytest.raises((IndexError, ValueError)) as e:
        call()
    return type(e.value), str(e.value)


def test_integers_out_of_range():
    """At the first call or later: the error of the function itself, and nothing has changed."""
    embedding, rnn, readout = nn.Embedding(5, 3), nn.GRU(3, 4), nn.Linear(4, 5)
    model = nn.Sequential(embedding, rnn, readout)
    optimizer = tg.optim.Adam(model.parameters(), 0.1)

    def step(inputs, targets, lengths, rows):
        y = readout(rnn(embedding(inputs), lengths=lengths).y)
        loss = F.cross_entropy(y, targets) + y[rows].sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    fine = np.array([[1, 2, 3], [4, 0, 0]]), np.ones((2, 3), int), np.array([3, 2]), np.array([-2])
    compiled = tg.compile(step)
    for first in (True, False):
        before = {name: a.copy() for name, a in model.state_dict().items()}
        memory, random = optimizer.state_dict(), generator_state()
        for k, wrong in ((0, 5), (0, -1), (1, -7), (1, 5), (2, 0), (2, 4), (3, 2), (3, -3)):
            given = [a.copy() for a in fine]
            given[k].flat[-1] = wrong
            error = message_of(lambda given=given: compiled(*given))
            assert error == message_of(lambda given=given: step(*map(tg.tensor, given)))
            assert str(wrong) in error[1]
        for name, values in model.state_dict().items():
            np.testing.assert_array_equal(values, before[name])
        assert str(optimizer.state_dict()) == str(memory)
        assert generator_state() == random
        if first:
            compiled(*fine)


def test_computed_integers_out_of_range():
    """Slices of an argument are checked like the argument."""
    w = tg.tensor(np.arange(10.0).reshape(5, 2), requires_grad=True)

    def step(window):
        scores = F.embedding(window[:, :-1], w)
        return F.cross_entropy(scores @ w.T, window[:, 1:])

    compiled = tg.compile(step)
    fine = np.array([[1, 2, 3], [4, 0, 0]])
    assert float(compiled(fine)) == pytest.approx(float(step(tg.tensor(fine))))
    assert float(compiled(fine[::-1].copy())) == pytest.approx(float(step(tg.tensor(fine))))
    for place, wrong in (((0, 0), -1), ((0, 0), 5), ((1, 2), 7), ((1, 2), -2)):
        given = fine.copy()
        given[place] = wrong
        error = message_of(lambda given=given: compiled(given))
        assert error == message_of(lambda given=given: step(tg.tensor(given)))


# ------------------------------------------------------------------------- numbers that are none


@pytest.mark.filterwarnings("ignore:.*encountered.*:RuntimeWarning")
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_none(wrong):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, 2))
    seen = []
    for compiled in (False, True):
        tg.manual_seed(1)
        net = nn.Sequential(nn.LSTM(2, 3), nn.Linear(3, 2)).astype("float64")
        optimizer = tg.optim.Adam(net.parameters(), 0.1)

        def step(x, net=net, optimizer=optimizer):
            loss = F.cross_entropy(net(x), np.zeros((3, 4), int))
            optimizer.zero_grad()
            loss.backward()
            norm = tg.optim.clip_grad_norm(net.parameters(), 1.0)
            optimizer.step()
            return loss, norm

        run = tg.compile(step) if compiled else lambda x, step=step: step(tg.tensor(x))
        run(x)
        bad = x.copy()
        bad[1, 2, 0] = wrong
        loss, norm = run(bad)
        seen.append([loss.numpy(), norm.numpy(), *[p.numpy() for p in net.parameters()]])
    for a, b in zip(*seen, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-7)


# ------------------------------------------------------------------------- captures that fail


def test_nothing_is_left_half_done(monkeypatch):
    """Parameters, the optimiser's memory and .grad are as they were before a call that failed."""
    net = nn.Sequential(nn.GRU(4, 3), nn.Linear(3, 2))
    optimizer = tg.optim.Adam(net.parameters(), 0.1)
    x = np.ones((2, 3, 4), "float32")
    fail_at = 0

    def step(x):
        loss = (net(x) ** 2).mean()
        loss.backward()
        tg.optim.clip_grad_norm(net.parameters(), 0.1)
        if fail_at == 1:
            raise KeyError("mine")
        optimizer.step()
        if fail_at == 2:
            optimizer.zero_grad()
            float(loss)
        return loss if fail_at != 3 else object()

    compiled = tg.compile(step)
    for with_grad in (False, True):
        if with_grad:
            (net(x) ** 2).sum().backward()
        grads = [p.grad for p in net.parameters()]
        values = [p.numpy() for p in net.parameters()]
        arrays = [p.node.value for p in net.parameters()]
        memory = str(optimizer.state_dict())
        for fail_at, error in (
            (1, KeyError),
            (2, tg.CaptureError),
            (3, tg.CaptureError),
            (4, OSError),
        ):
            with monkeypatch.context() as patched:
                if fail_at == 4:

                    def broken(*arguments):
                        raise OSError

                    patched.setattr(compiled_module, "Plan", broken)
                with pytest.raises(error):
                    compiled(x)
            assert all(p.grad is g for p, g in zip(net.parameters(), grads, strict=True))
            assert all(p.node.value is a for p, a in zip(net.parameters(), arrays, strict=True))
            for p, before in zip(net.parameters(), values, strict=True):
                np.testing.assert_array_equal(p.numpy(), before)
            assert str(optimizer.state_dict()) == memory
    fail_at = 0
    assert np.isfinite(float(compiled(x)))


# ------------------------------------------------------------------------- check=True


def test_check_finds_what_the_plan_cannot_see():
    scale, shift = [1.0], [0.0]
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w", dtype="float64")
    other = tg.tensor([1.0, 1.0], requires_grad=True, name="other", dtype="float64")
    optimizer = tg.optim.Adam([w, other], 0.1)

    def step(x):
        loss = ((w * x) ** 2).sum() + 0.0 * other.sum()
        if scale[0] > 2:
            loss = loss + other.sum()
        optimizer.zero_grad()
        (loss * scale[0]).backward()
        optimizer.step()
        return x + shift[0], loss

    compiled = tg.compile(step, check=True)
    for k in range(4):
        compiled(np.array([1.0, k]))
    assert optimizer.steps == [4, 4]

    def state():
        return [*w.numpy(), *other.numpy(), str(optimizer.state_dict()), w.grad, other.grad]

    before = state()
    shift[0] = 1.0
    with pytest.raises(tg.CompileMismatchError, match="result 0 differs by up to 1 between the pl"):
        compiled(np.array([1.0, 2.0]))
    assert state() == before
    shift[0], scale[0] = 0.0, 3.0
    with pytest.raises(
        tg.CompileMismatchError, match=r"result 1 differs .* give it as an argument"
    ):
        compiled(np.array([1.0, 2.0]))
    assert state() == before
    scale[0] = 0.5
    with pytest.raises(
        tg.CompileMismatchError, match=r"memory|'mean' \(2,\) after the call differs"
    ):
        compiled(np.array([1.0, 2.0]))
    assert state() == before
    scale[0] = 1.0
    compiled(np.array([1.0, 2.0]))
    assert optimizer.steps == [5, 5]


def test_check_compares_gradients_and_results():
    w = tg.tensor([1.0, 2.0], requires_grad=True, name="w", dtype="float64")
    power, many = [2], [1]

    def step(x):
        w.grad = None
        ((w * x) ** power[0]).sum().backward()
        return [x] * many[0]

    compiled = tg.compile(step, check=True)
    compiled(np.ones(2))
    compiled(np.ones(2))
    many[0] = 2
    with pytest.raises(tg.CompileMismatchError, match="the plan returns 1 tensors, the function 2"):
        compiled(np.ones(2))
    many[0], power[0] = 1, 3
    with pytest.raises(tg.CompileMismatchError, match=r"the gradient of 'w' \(2,\) differs"):
        compiled(np.ones(2))


def test_check_draws_the_same_masks():
    dropout = nn.Dropout(0.5)
    found = []
    for check in (False, True):
        tg.manual_seed(0)
        compiled = tg.compile(lambda x: dropout(x), check=check)
        found.append([compiled(np.ones((3, 4))).numpy() for _ in range(4)])
    np.testing.assert_array_equal(*found)
