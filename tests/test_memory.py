"""Deep and wide graphs, and what is left of them: freed by reference counting alone."""

from __future__ import annotations

import gc
import tracemalloc
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from processes import run_python

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn, ops
from tinygradrnn.recording import Node


@pytest.fixture
def no_collector() -> Iterator[None]:
    """The cyclic collector switched off, after a last run."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def live_nodes() -> int:
    return sum(isinstance(thing, Node) for thing in gc.get_objects())


# ------------------------------------------------------------------------- depth

IN_A_SMALL_STACK = """
import gc, sys, threading
import numpy as np
import tinygradrnn as tg

def work():
    {work}
    print("done")

gc.disable()
sys.setrecursionlimit(60)
threading.stack_size(256 * 1024)
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
CHAIN = """
    x = tg.tensor([1.0, 2.0], dtype="float64", requires_grad=True, name="x")
    y = x
    for _ in range({length}):
        y = y * 1.0
    loss = y.sum()
"""


def in_a_small_stack(work: str, length: int = 100_000) -> None:
    """Run in a thread with a stack of 256 KiB and 60 Python frames."""
    code = (CHAIN.replace("{length}", str(length)) + work).strip()
    assert run_python(IN_A_SMALL_STACK.replace("{work}", code)) == "done"


def test_chain_of_100_000_forward_backward_and_freed() -> None:
    in_a_small_stack("""
    loss.backward()
    assert x.grad.numpy().tolist() == [1, 1]
    assert tg.grad(loss, x)[0].numpy().tolist() == [1, 1]
    del loss, y
    """)


def test_chain_of_100_000_looked_at() -> None:
    in_a_small_stack("""
    g = tg.Graph(loss)
    assert len(g.nodes) == 200_002
    assert len(g.families) == len(g.readers) == 200_002
    assert len(list(g.forward_events())) == 100_001
    assert len(list(g.backward_events())) == 100_002
    assert g.contributions(x)[None].tolist() == [1, 1]
    assert len(g.uses(x)) == 1
    repr(g)
    del g, loss, y
    """)


def test_chain_differentiated_twice() -> None:
    in_a_small_stack(
        """
    (g,) = tg.grad(loss, x, create_graph=True)
    assert tg.grad((g * g).sum() + (g * x).sum(), x)[0].numpy().tolist() == [1, 1]
    del loss, y, g
    """,
        length=20_000,
    )


def test_forty_doublings_are_forty_visits() -> None:
    """2⁴⁰ paths lead from y to x."""
    x = tg.tensor(1.0, requires_grad=True)
    y = x * 1.0
    for _ in range(40):
        y = y + y
    assert len(list(tg.Graph(y).backward_events())) == 42
    y.backward()
    assert x.grad.item() == 2**40
    (g,) = tg.grad(y, x, create_graph=True)
    assert g.item() == 2**40
    assert len(tg.Graph(g).nodes) < 300


# ------------------------------------------------------------------------- freed at once


def lstm_loss(model: nn.Module) -> tg.Tensor:
    x = np.ones((2, 5, 3), np.float32)
    y = model(x).y
    return (y * y).mean()


@pytest.mark.usefixtures("no_collector")
def test_a_graph_is_freed_when_its_loss_is_dropped() -> None:
    model = nn.LSTM(3, 4)
    before = live_nodes()
    loss = lstm_loss(model)
    array = weakref.ref(loss.node.inputs[0].value)
    loss.backward()
    assert live_nodes() > before + 50
    assert array() is not None
    del loss
    assert array() is None
    gradients = len(model.parameters())
    assert live_nodes() == before + gradients
    for parameter in model.parameters():
        parameter.grad = None
    assert live_nodes() == before


@pytest.mark.usefixtures("no_collector")
def test_a_recorded_backward_pass_is_freed_with_its_gradients() -> None:
    model = nn.GRU(3, 4)
    before = live_nodes()
    loss = lstm_loss(model)
    gradients = tg.grad(loss, model.parameters(), create_graph=True)
    penalty = sum((g * g).sum() for g in gradients)
    again = tg.grad(penalty, model.parameters())
    del loss, gradients, penalty
    assert live_nodes() == before + len(again)
    del again
    assert live_nodes() == before


@pytest.mark.usefixtures("no_collector")
def test_a_graph_is_freed_after_an_error() -> None:
    def refuse(g: Any, out: Any, x: Any) -> Any:
        raise ZeroDivisionError

    broken = ops.Op("broken", lambda xp, x: x * 1, refuse)
    x = tg.tensor(np.ones(3), requires_grad=True)
    before = live_nodes()
    for create_graph in (False, True):
        loss = F.tanh(broken(F.tanh(x)) * 2).sum()
        with pytest.raises(ZeroDivisionError):
            tg.grad(loss, x, create_graph=create_graph)
        del loss
        assert live_nodes() == before
    with pytest.raises(ValueError, match="axis -1"):
        F.tanh(x * 2) + tg.tensor(np.ones(4))
    assert live_nodes() == before


@pytest.mark.usefixtures("no_collector")
def test_what_looks_at_a_graph_does_not_keep_it() -> None:
    model = nn.Elman(3, 4)
    before = live_nodes()
    loss = lstm_loss(model)
    graph = tg.Graph(loss)
    for parameter in model.parameters():
        graph.contributions(parameter)
    half_way = graph.backward_events()
    for _ in range(5):
        next(half_way)
    assert graph.families
    assert graph.parameters
    del loss, graph, half_way
    assert live_nodes() == before


@pytest.mark.usefixtures("no_collector")
def test_training_needs_the_same_memory_at_every_step() -> None:
    model = nn.LSTM(3, 4)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    counts = []
    state = None
    for _ in range(6):
        optimizer.zero_grad()
        y, state = model(np.ones((2, 5, 3), np.float32), nn.detach(state))
        (y * y).mean().backward()
        optimizer.step()
        counts.append(live_nodes())
    assert len(set(counts[1:])) == 1


# ------------------------------------------------------------------------- during the walk


def test_backward_keeps_only_the_gradients_it_still_needs() -> None:
    """A hundred results of 80 kB each; of their gradients two or three live at a time."""
    x = tg.tensor(np.ones(10_000), requires_grad=True)
    y = x
    for _ in range(100):
        y = F.tanh(y)
    loss = y.sum()
    tracemalloc.start()
    loss.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10 * x.data.nbytes


@pytest.mark.parametrize("create_graph", [False, True])
def test_slices_fill_one_array(create_graph: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """T slices of a (T, F) input cost one array, not T of them: not T² elements."""
    steps = 200
    x = tg.tensor(np.ones((steps, 3)), requires_grad=True)
    loss = sum((x[t] * float(t) for t in range(steps)), tg.tensor(0.0)).sum()
    filled: list[int] = []
    xp = tg.get_backend().xp

    def counted(make: Any) -> Any:
        def counting(shape: Any, *more: Any, **options: Any) -> Any:
            filled.append(int(np.prod(shape)))
            return make(shape, *more, **options)

        return counting

    for name in ("zeros", "empty"):
        monkeypatch.setattr(xp, name, counted(getattr(xp, name)))
    for name in ("zeros_like", "empty_like"):
        monkeypatch.setattr(xp, name, None)
    (g,) = tg.grad(loss, x, create_graph=create_graph)
    assert [size for size in filled if size > 3] == [x.size]
    assert g.numpy().tolist() == [[float(t)] * 3 for t in range(steps)]


def test_rows_of_an_embedding_fill_one_array_of_zeros(monkeypatch: pytest.MonkeyPatch) -> None:
    W = tg.tensor(np.ones((50, 3)), requires_grad=True)
    loss = sum((F.embedding([t % 50, 7], W) for t in range(100)), tg.tensor(0.0)).sum()
    filled: list[int] = []
    xp = tg.get_backend().xp
    zeros = xp.zeros
    monkeypatch.setattr(
        xp, "zeros", lambda shape, *a: filled.append(int(np.prod(shape))) or zeros(shape, *a)
    )
    loss.backward()
    assert filled == [W.size]
    assert W.grad.numpy()[:, 0].tolist() == [102.0 if i == 7 else 2.0 for i in range(50)]
