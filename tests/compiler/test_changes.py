"""What may change between the calls of a compiled function."""

from __future__ import annotations

import copy
import gc
import threading
import weakref

import numpy as np
import pytest
from compiler.steps import TARGET, Net, X, eager, memory, numbers, same, stepping

import tinygradrnn as tg


def changing(change, captures, optimiser=lambda p: tg.optim.Adam(p, 0.05), dropout=0.0):
    """Train with something changed after two of five steps."""

    def run(wrap):
        net = Net(dropout)
        optimizer = optimiser(net.parameters())
        step = wrap(stepping(net, optimizer))
        seen = []
        for k in range(5):
            if k == 2:
                change(net, optimizer)
            seen += [step(X[k], TARGET[k]), [tg.tensor(p.numpy()) for p in net.parameters()]]
        return seen, memory(optimizer), tg.tensor(optimizer.steps)

    assert same(run).captures == captures


def test_learning_rate():
    def change(net, optimizer):
        optimizer.lr = 0.5

    changing(change, 1)
    changing(change, 1, lambda p: tg.optim.AdamW(p, 0.05, weight_decay=0.2))
    changing(change, 1, lambda p: tg.optim.SGD(p, 0.05, momentum=0.9))


def test_settings_of_the_optimiser():
    def change(net, optimizer):
        optimizer.settings["momentum"] = 0.1

    changing(change, 2, lambda p: tg.optim.SGD(p, 0.05, momentum=0.9))


def test_loaded_states():
    other = tg.optim.Adam(Net().parameters(), 0.5)
    for p in other.params:
        p.grad = p * 0.1
    other.step()
    saved = other.state_dict()

    def change(net, optimizer):
        net.load_state_dict({name: a * 0.5 for name, a in net.state_dict().items()})
        optimizer.load_state_dict(saved)

    changing(change, 1)

    def reset(net, optimizer):
        optimizer.load_state_dict(tg.optim.Adam(net.parameters(), 0.02).state_dict())

    changing(reset, 2)


def test_assigned_weights():
    def change(net, optimizer):
        net.readout.W.data = np.ones((3, 2))
        net.readout.b = np.zeros(2)
        for p in net.rnn.parameters():
            p.data[...] *= 0.5  # seen too: the plan works on the array itself

    changing(change, 1)


def test_train_and_eval():
    changing(lambda net, optimizer: net.eval(), 2, dropout=0.5)


def test_freezing():
    changing(lambda net, optimizer: net.rnn.freeze(), 2)


def test_dtype():
    def change(net, optimizer):
        net.astype("float32")

    def run(wrap):
        net = Net()
        optimizer = tg.optim.Adam(net.parameters(), 0.05)
        step = wrap(stepping(net, optimizer))
        seen = [step(x, t) for x, t in zip(X, TARGET, strict=True)]
        net.astype("float32")
        seen += [step(x.astype("f"), t.astype("f")) for x, t in zip(X, TARGET, strict=True)]
        return seen

    assert same(run, 1e-5).captures == 2


def test_eager_steps_in_between():
    def run(wrap):
        net = Net()
        optimizer = tg.optim.Adam(net.parameters(), 0.05)
        plain = eager(stepping(net, optimizer))
        step = wrap(stepping(net, optimizer))
        seen = [(step if k % 3 else plain)(X[k], TARGET[k]) for k in range(6)]
        return seen, net.parameters(), memory(optimizer)

    assert same(run).captures == 1


def test_other_shapes():
    def run(wrap):
        net = Net()
        optimizer = tg.optim.Adam(net.parameters(), 0.05)
        step = wrap(stepping(net, optimizer))
        sizes = [(3, 5), (2, 5), (3, 4), (1, 1), (3, 5), (2, 5), (3, 4), (1, 1), (2, 2)]
        seen = [step(X[0, :b, :t], TARGET[0, :b, :t]) for b, t in sizes]
        return seen, net.parameters()

    assert same(run).captures == 5


def test_plans_are_bounded_and_let_go():
    compiled = tg.compile(lambda x: x * 2)
    for n in range(1, 40):
        compiled(np.ones(n))
    assert len(compiled.plans) <= 16
    compiled(np.ones(39))
    assert compiled.captures == 39
    compiled(np.ones(1))  # the least recently used was dropped
    assert compiled.captures == 40
    net = Net()
    alive = weakref.ref(net.readout.W.node.value)
    compiled = tg.compile(stepping(net, tg.optim.Adam(net.parameters(), 0.01)))
    compiled(X[0], TARGET[0])
    compiled(X[1], TARGET[1])
    del net, compiled
    gc.collect()
    assert alive() is None


def test_two_functions_that_share_parameters():
    def run(wrap):
        net = Net()
        first = wrap(stepping(net, tg.optim.Adam(net.parameters(), 0.05)))
        second = wrap(stepping(net, tg.optim.SGD(net.readout.parameters(), 0.1, momentum=0.9)))
        predict = wrap(lambda x: net(x)[0])
        seen = []
        for k in range(6):
            seen += [(first, second)[k % 2](X[k], TARGET[k]), predict(X[0])]
            if k == 3:
                net.readout.W.data = net.readout.W.numpy() * 0.5
        return seen, net.parameters()

    assert [f.captures for f in same(run)] == [1, 1, 1]


def test_copies():
    class Trained(Net):
        def __init__(self):
            super().__init__()
            self.optimizer = tg.optim.Adam(self.parameters(), 0.05)

        def update(self, x, target):
            return stepping(self, self.optimizer)(x, target)

        compiled = tg.compile(update)

    first = Trained()
    first.step = tg.compile(first.update)
    first.step(X[0], TARGET[0])
    first.step(X[1], TARGET[1])
    second = copy.deepcopy(first)
    third = copy.deepcopy(first)
    kept = [p.numpy() for p in first.parameters()]
    losses = [second.step(X[2], TARGET[2]), second.step(X[3], TARGET[3])]
    for p, values in zip(first.parameters(), kept, strict=True):
        np.testing.assert_array_equal(p.numpy(), values)
    wanted = [third.update(tg.tensor(X[k]), tg.tensor(TARGET[k])) for k in (2, 3)]
    np.testing.assert_allclose(numbers(losses), numbers(wanted), rtol=1e-12)
    assert float(first.compiled(X[2], TARGET[2])) == pytest.approx(float(losses[0]), rel=1e-12)
    assert float(first.compiled(X[3], TARGET[3])) == pytest.approx(float(losses[1]), rel=1e-12)


def test_threads():
    """Calls of one function wait for each other; different ones run side by side."""
    net = Net()
    shared = tg.compile(lambda x: net(x)[0])
    wanted = [net(x)[0].numpy() for x in X]
    shared(X[0])
    wrong = []

    def work(k):
        other = Net()
        own = tg.compile(stepping(other, tg.optim.SGD(other.parameters(), 0.01)))
        for _ in range(30):
            own(X[k], TARGET[k])
            if not np.allclose(shared(X[k]).numpy(), wanted[k], atol=1e-12):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
