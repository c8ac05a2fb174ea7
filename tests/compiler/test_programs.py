"""What a compiled function may compute."""

from __future__ import annotations

import numpy as np
import pytest
from compiler.steps import TARGET, Net, X, both, loss_of, regression, same, stepping

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn


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


@pytest.mark.parametrize("without", [(), ("invariants",)])
def test_what_is_the_same_at_all_steps(without):
    of = {
        "mean": lambda w: w.mean(axis=1, keepdims=True),
        "sum": lambda w: w.sum(axis=0),
        "max": lambda w: w.max(axis=-1)[:, None],
        "softmax": F.softmax,
        "product": lambda w: w @ w.T @ w,
        "logsumexp": lambda w: F.logsumexp(w, axis=0),
        "columns": lambda w: F.concatenate([w[:, 1:], w[:, :1]], axis=-1),
        "reshape": lambda w: w.reshape(-1)[:4] * 2.0,
        "rows": lambda w: w[np.array([1, 0, 1])],
    }

    def run(wrap):
        w = nn.Parameter(X[0, 0, :3, :4])

        def step(x):
            losses = {}
            for name, f in of.items():
                losses[name] = tg.tensor(0.0)
                for t in range(3):
                    with tg.timestep(t + 1):
                        losses[name] = losses[name] + (x[:, t] * f(w)).sum()
            return list(losses.values()), tg.grad(sum(losses.values()), w)

        step = wrap(step)
        return [step(X[k, :3, :3, :4]) for k in range(3)]

    same(run, without=without)
