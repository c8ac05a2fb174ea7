"""What a compiled function may be given, may compute and may return."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest
from compiler.steps import TARGET, Net, X, both, loss_of, regression, same, stepping

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

Pair = namedtuple("Pair", ["first", "second"])


# ------------------------------------------------------------------------- arguments and results


def test_structures_in_and_out():
    def step(a, parts, named, *, scale):
        x, (y, names) = parts
        assert isinstance(named, Pair) and names == {"k": 2}
        result = Pair(a + x * scale, {"z": [y, named.first @ named.second, 3, None, "text"]})
        return result, a

    compiled = tg.compile(step)
    for k in range(3):
        a, x, y, u, v = [np.arange(1, 7.0).reshape(2, 3) * (k + j) for j in range(5)]
        found, same_a = compiled(a, [x, (y, {"k": 2})], Pair(tg.tensor(u), v.T), scale=2.0)
        assert isinstance(found, Pair)
        z = found.second["z"]
        np.testing.assert_array_equal(found.first.numpy(), a + x * 2)
        np.testing.assert_array_equal(z[0].numpy(), y)
        np.testing.assert_array_equal(z[1].numpy(), u @ v.T)
        assert z[2:] == [3, None, "text"]
        np.testing.assert_array_equal(same_a.numpy(), a)
    assert compiled.captures == 1


def test_integers_booleans_and_numbers():
    def step(ids, mask, scale, x):
        return F.where(mask, x[ids] * scale, ids), (ids == 1).astype("float64") + scale, ids + 1

    compiled = tg.compile(step)
    for k in range(3):
        ids, mask = np.array([k, 1, 0]), np.array([True, k == 1, False])
        x, scale = np.arange(3.0) + k, np.float64(k + 0.5)
        got = compiled(ids, mask, scale, x)
        wanted = np.where(mask, x[ids] * scale, ids), (ids == 1) + scale, ids + 1
        for a, b in zip(got, wanted, strict=True):
            np.testing.assert_array_equal(a.numpy(), b)
        assert got[2].dtype == ids.dtype
    assert compiled.captures == 1


def test_plain_values_each_have_a_plan():
    compiled = tg.compile(lambda x, power: x**power if power else x)
    for power in (2, 0, 2.0, True, None, 2, 0.0, -0.0, float("nan"), float("nan")):
        got = compiled(np.array([1.0, 3.0]), power).numpy()
        np.testing.assert_array_equal(got, [1.0, 3.0**power if power else 3.0])
    assert compiled.captures == 8


def test_functions_that_return_no_tensors():
    w = tg.tensor([1.0, 2.0], requires_grad=True)

    def step(x):
        (w * x).sum().backward()

    def numbers_only(x):
        return 3, "a"

    compiled = tg.compile(step)
    for k in range(3):
        assert compiled(np.array([1.0, k], "float32")) is None
    np.testing.assert_array_equal(w.grad.numpy(), [3, 3])
    compiled = tg.compile(numbers_only)
    assert compiled(np.ones(2)) == compiled(np.ones(2)) == (3, "a")
    assert tg.compile(lambda: None)() is None


def test_results_are_the_callers():
    """Neither results nor gradients are arrays that a later call writes into."""
    w = tg.tensor([1.0, 2.0], requires_grad=True)

    def step(x):
        w.grad = None
        y = w * x
        y.sum().backward()
        return y, x, w

    compiled = tg.compile(step)
    x = np.array([1.0, 1.0], "float32")
    kept = []
    for k in range(4):
        kept.append([*compiled(x * k), w.grad])
    for k, (y, given, weight, gradient) in enumerate(kept):
        np.testing.assert_array_equal(y.numpy(), [k, 2 * k])
        np.testing.assert_array_equal(given.numpy(), [k, k])
        np.testing.assert_array_equal(weight.numpy(), [1, 2])
        np.testing.assert_array_equal(gradient.numpy(), [k, k])
        assert not y.requires_grad and y.node.is_leaf


def test_arguments_are_only_read():
    x = np.ones((2, 3))
    compiled = tg.compile(lambda x: (x * 2, x))
    for _ in range(3):
        doubled, given = compiled(x)
        given.data[...] = 5
        doubled.data[...] = 7
    np.testing.assert_array_equal(x, 1)


def test_gradients_of_arguments():
    def step(x, w):
        loss = (F.tanh(x) * w).sum()
        loss.backward()
        return loss, tg.grad((x * x).sum(), x)[0]

    compiled = tg.compile(step)
    for k in range(3):
        x = tg.tensor(X[k, 0], requires_grad=True)
        _, twice = compiled(x, X[k, 1])
        np.testing.assert_allclose(twice.numpy(), 2 * X[k, 0])
        np.testing.assert_allclose(x.grad.numpy(), X[k, 1] * (1 - np.tanh(X[k, 0]) ** 2))
        compiled(x, X[k, 1])
        np.testing.assert_allclose(x.grad.numpy(), 2 * X[k, 1] * (1 - np.tanh(X[k, 0]) ** 2))
    assert compiled.captures == 1


def test_parameters_as_arguments_are_themselves():
    def step(w, x):
        loss = ((w * x) ** 2).sum()
        loss.backward()
        with tg.no_grad():
            w -= 0.1 * w.grad
        w.grad = None
        return loss

    def run(wrap):
        ws = [nn.Parameter(np.array([1.0, 2.0])), nn.Parameter(np.array([3.0, 4.0]))]
        step_ = wrap(step)
        return [step_(ws[k % 2], X[k, 0, 0, :2]) for k in range(6)], ws

    assert same(run).captures == 2


# ------------------------------------------------------------------------- what may be computed


def test_state_carried_from_call_to_call():
    def run(wrap):
        net = Net()
        optimizer = tg.optim.Adam(net.parameters(), 0.05)

        def step(x, target, state):
            y, state = net(x, state)
            loss = F.half_squared_error(y, target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss, nn.detach(state)

        step = wrap(step)
        state, seen = None, []
        for k in range(5):
            loss, state = step(X[k], TARGET[k], state)
            seen += [loss, state]
        return seen

    assert same(run).captures == 2


class LeakyCell(nn.Cell):
    """A user's own: two states, one of which leaks; an attention over a memory."""

    def __init__(self):
        self.input_size, self.hidden_size, self.output_size = 4, 3, 3
        self.U = nn.Parameter(X[0, 0, :4, :3])
        self.V = nn.Parameter(X[1, 0, :3, :3] * 0.5)
        self.keys = nn.Parameter(X[2, 0, :, :3])
        self.leak = nn.Parameter(np.array(0.5))

    def initial_state(self, batch):
        return self.zeros(batch, 3), self.zeros(batch, 3)

    def transition(self, state, x):
        h, slow = state
        rate = F.sigmoid(self.leak)
        read = F.softmax(h @ self.keys.T) @ self.keys
        h = F.tanh(x @ self.U + h @ self.V + read) - 0.1 * slow
        return h, rate * slow + (1 - rate) * h * h

    def output(self, state):
        return F.concatenate([state[0][:, :1], state[1][:, 1:]], axis=-1) ** 2


@pytest.mark.parametrize("reverse", [False, True])
def test_a_cell_of_the_users_own(reverse):
    make = regression(lambda: nn.RNN(LeakyCell(), reverse=reverse), 3, "adam", with_lengths=True)
    difference, compiled = both(make, steps=6)
    assert difference < 1e-10
    assert compiled.captures == 1


def test_without_time():
    def run(wrap):
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 2)).astype("float64")
        optimizer = tg.optim.AdamW(model.parameters(), 0.01)

        def step(x, target):
            loss = F.cross_entropy(F.relu(model(x)), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        return [step(x[0], (x[0, :, 0] > 0).astype(int)) for x in X], model.parameters()

    assert same(run).captures == 1


@pytest.mark.parametrize("labelled", [False, True])
def test_loops_written_by_hand(labelled):
    """With time steps and without; a loss at each step, added by Python's +."""

    def run(wrap):
        U, V, W = (tg.tensor(X[0, 0, :4, :4] * s, requires_grad=True) for s in (0.5, 0.3, 1))

        def step(x, target):
            s, loss = tg.tensor(np.zeros((3, 4))), 0
            for t in range(5):
                with tg.timestep(t + 1) if labelled else tg.scope("step"):
                    s = F.tanh(x[:, t] @ U + s @ V)
                    loss = loss + ((s @ W)[:, :2] - target[:, t]) @ [1.0, 1.0] / 2
            loss = (loss * loss).mean()
            for p in (U, V, W):
                p.grad = None
            loss.backward()
            with tg.no_grad():
                for p in (U, V, W):
                    p -= 0.1 * p.grad
            return loss

        step = wrap(step)
        return [step(*given) for given in zip(X, TARGET, strict=True)], U, V, W

    assert same(run).captures == 1


def test_encoder_and_decoder():
    """The decoder reads its own output."""

    def run(wrap):
        encoder, cell, readout = nn.GRU(4, 3), nn.GRUCell(2, 3), nn.Linear(3, 2)
        model = nn.Sequential(encoder, readout).astype("float64")
        cell.astype("float64")
        parameters = [*model.parameters(), *cell.parameters()]
        optimizer = tg.optim.RMSprop(parameters, 0.01)

        def step(x, target):
            (s,) = encoder(x).state
            y, losses = readout(s), []
            for t in range(5):
                with tg.timestep(t + 1):
                    s = cell.transition(s, y)
                    y = readout(cell.output(s))
                    losses.append(F.half_squared_error(y, target[:, t]))
            loss = sum(losses)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return losses, loss

        step = wrap(step)
        return [step(*given) for given in zip(X, TARGET, strict=True)], parameters

    assert same(run).captures == 1


def test_padding_ties_and_freezing():
    def run(wrap):
        embedding = nn.Embedding(7, 3, padding_idx=0)
        rnn, readout = nn.GRU(3, 3), nn.Linear(3, 3)
        model = nn.Sequential(embedding, rnn, readout).astype("float64")
        readout.freeze()
        optimizer = tg.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=0.1)

        def step(inputs, targets):
            y = readout(rnn(embedding(inputs)).y) @ embedding.W.T
            loss = F.cross_entropy(y, targets, mask=targets != 0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        rng = np.random.default_rng(0)
        return [step(*rng.integers(0, 7, (2, 3, 5))) for _ in range(4)], model.parameters()

    assert same(run).captures == 1


def test_gradients_of_gradients():
    def run(wrap):
        net = Net()

        def step(x, target):
            loss = loss_of(net, x, target)
            found = tg.grad(loss, net.parameters(), create_graph=True)
            penalty = sum((g * g).sum() for g in found)
            for p in net.parameters():
                p.grad = None
            (loss + 0.1 * penalty).backward()
            return penalty, [p.grad for p in net.parameters()]

        step = wrap(step)
        return [step(*given) for given in zip(X, TARGET, strict=True)]

    assert same(run).captures == 1


@pytest.mark.parametrize("clear", ["before", "after", "never"])
def test_forward_and_backward_only(clear):
    """The optimiser stays outside; gradients are left in .grad, added up where not cleared."""

    def run(wrap):
        net = Net()
        optimizer = tg.optim.Adam(net.parameters(), 0.05)

        def forward_and_backward(x, target):
            loss = loss_of(net, x, target)
            loss.backward()
            return loss

        compute = wrap(forward_and_backward)
        seen = []
        for x, target in zip(X, TARGET, strict=True):
            if clear == "before":
                optimizer.zero_grad()
            seen.append(compute(x, target))
            seen.append([p.grad for p in net.parameters()])
            optimizer.step()
            if clear == "after":
                for p in net.parameters():
                    p.grad = None
        return seen, net.parameters()

    assert same(run).captures == (2 if clear == "never" else 1)


@pytest.mark.parametrize("zero", ["first", "last", "never"])
def test_gradients_after_a_step(zero):
    """Never cleared, they add up from call to call as they do in the function itself."""

    def run(wrap):
        net = Net()
        optimizer = tg.optim.SGD(net.parameters(), 0.05)

        def step(x, target):
            if zero == "first":
                optimizer.zero_grad()
            loss = loss_of(net, x, target)
            loss.backward()
            tg.optim.clip_grad_norm(net.parameters(), 0.3)
            optimizer.step()
            if zero == "last":
                optimizer.zero_grad()
            return loss

        step = wrap(step)
        seen = [step(*given) for given in zip(X, TARGET, strict=True)]
        if zero == "never":
            seen += [p.grad for p in net.parameters()]
        if zero == "last":
            assert all(p.grad is None for p in net.parameters())
        return seen, net.parameters()

    same(run)


def test_two_backward_passes_into_one_gradient():
    def run(wrap):
        net = Net()
        optimizer = tg.optim.SGD(net.parameters(), 0.05)

        def step(x, target):
            optimizer.zero_grad()
            losses = [loss_of(net, x[k : k + 1], target[k : k + 1]) for k in range(3)]
            for loss in losses:
                loss.backward()
            optimizer.step()
            return losses

        step = wrap(step)
        return [step(*given) for given in zip(X, TARGET, strict=True)], net.parameters()

    assert same(run).captures == 1


def test_the_optimiser_alone():
    """Gradients computed outside are read anew at each call."""

    def run(wrap):
        net = Net()
        optimizer = tg.optim.Adam(net.parameters(), 0.05)

        def update():
            norm = tg.optim.clip_grad_norm(net.parameters(), 0.01)
            optimizer.step()
            return norm

        update = wrap(update)
        seen = []
        for x, target in zip(X, TARGET, strict=True):
            optimizer.zero_grad()
            loss_of(net, tg.tensor(x), tg.tensor(target)).backward()
            seen += [update(), [p.grad for p in net.parameters()]]
        return seen, net.parameters()

    assert same(run).captures == 1


def test_inference():
    def run(wrap):
        net = Net(0.5).eval()
        predict = wrap(lambda x: F.softmax(net(x)[0]))
        with tg.no_grad():
            inside = [predict(x) for x in X[:2]]
        return [predict(x) for x in X], inside

    compiled = same(run)
    assert compiled.captures == 2


def test_averages_of_weights():
    """Assigning .data of a tensor that is no parameter."""

    def run(wrap):
        net = Net()
        optimizer = tg.optim.SGD(net.parameters(), 0.1)
        average = [tg.tensor(p.numpy()) for p in net.parameters()]
        step = stepping(net, optimizer)

        def both_of_them(x, target):
            for a, p in zip(average, net.parameters(), strict=True):
                a.data = 0.9 * a + 0.1 * p
            return step(x, target)

        wrapped = wrap(both_of_them)
        return [wrapped(*given) for given in zip(X, TARGET, strict=True)], average

    assert same(run).captures == 1


def test_a_picture_calls_the_arguments_as_the_function_does():
    step = tg.compile(lambda features, pair: (features * pair[0] + pair[1]).sum())
    step(np.ones((2, 3)), pair=(np.ones(3), np.ones((2, 3))))
    labels = step.draw().dot
    assert "features" in labels and labels.count("pair") >= 2
