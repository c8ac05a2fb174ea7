"""The explicit graph: what is recorded, in which order, and what each time step contributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from processes import run_python

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.recording import state

B, T, N, H = 2, 4, 3, 5  # all different
LAYERS: dict[str, Any] = {
    "Elman": lambda: nn.Elman(N, H),
    "LSTM": lambda: nn.LSTM(N, H),
    "LSTM with peepholes": lambda: nn.LSTM(N, H, peephole=True),
    "GRU": lambda: nn.GRU(N, H),
    "GRU, reset after": lambda: nn.GRU(N, H, reset="after"),
    "two layers in both directions": lambda: nn.Elman(N, H, num_layers=2, bidirectional=True),
}
each_layer = pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)


def unrolled(make: Any) -> tuple[nn.Module, tg.Tensor]:
    """A float64 layer and a loss that reads its outputs at every step."""
    rng = np.random.default_rng(0)
    model = make().astype("float64")
    for parameter in model.parameters():
        parameter.data = rng.standard_normal(parameter.shape) * 0.5
    y = model(rng.standard_normal((B, T, N))).y
    return model, (y * tg.tensor(rng.standard_normal(y.shape))).sum()


# ------------------------------------------------------------------------- nodes


def test_nodes_stand_in_recorded_order() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    a = F.tanh(x)
    b = x * 2.0
    y = (b - a).sum()
    unused = x + 1
    g = tg.Graph(y)
    assert [n.op for n in g.nodes] == [
        "parameter",
        "tanh",
        "constant",
        "multiply",
        "subtract",
        "sum",
    ]
    assert [n.label for n in g.nodes] == ["x", "tanh", "2.0", "×", "−", "Σ"]
    assert g.outputs == (y.node,)
    assert unused.node not in g.nodes
    assert [n.order for n in g.nodes] == sorted(n.order for n in g.nodes)


@each_layer
def test_inputs_stand_before_their_readers(make: Any) -> None:
    _, loss = unrolled(make)
    nodes = tg.Graph(loss).nodes
    place = {node: i for i, node in enumerate(nodes)}
    assert len(place) == len(nodes)
    assert all(place[source] < place[node] for node in nodes for source in node.inputs)


def test_positions_are_kept() -> None:
    x, w = tg.tensor(np.ones((2, 2)), requires_grad=True), tg.tensor(np.ones((2, 2)))
    assert (x - w).node.inputs == (x.node, w.node)
    assert (w - x).node.inputs == (w.node, x.node)
    assert (x * x).node.inputs == (x.node, x.node)
    assert F.concatenate([w, x, w]).node.inputs == (w.node, x.node, w.node)
    node = (1.0 - x).node
    assert (node.inputs[0].value, node.inputs[1]) == (1.0, x.node)


def test_graph_of_several_outputs() -> None:
    x = tg.tensor([1.0, 2.0], requires_grad=True)
    a, b = x * 2, x * 3
    g = tg.Graph(a, b)
    assert g.outputs == (a.node, b.node)
    assert {a.node, b.node, x.node} < set(g.nodes)
    with pytest.raises(ValueError, match=r"one loss.*2 outputs"):
        list(g.backward_events())
    with pytest.raises(ValueError, match="not a single number"):
        tg.Graph(a).contributions(x)


# ------------------------------------------------------------------------- places


def test_scopes_and_time_steps() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    with tg.scope("encoder"):
        with tg.timestep(2), tg.scope("forget gate"):
            a = x * 2
        b = a + 1
    c = b * 3
    assert (a.node.scope, a.node.timestep) == (("encoder", "forget gate"), 2)
    assert (b.node.scope, b.node.timestep) == (("encoder",), None)
    assert (c.node.scope, c.node.timestep) == ((), None)
    assert tg.Graph(c).timesteps == [2]
    assert a.node.place.describe() == "scope encoder/forget gate, time step 2"
    with tg.timestep(np.arange(5)[3]):
        assert type((c * 2).node.timestep) is int


def test_places_are_restored_after_exceptions() -> None:
    before = state.place
    with pytest.raises(ZeroDivisionError), tg.scope("a"), tg.timestep(1), tg.no_grad():
        raise ZeroDivisionError
    assert state.place is before

    @tg.scope("twice")
    def f(n: int) -> tg.Tensor:
        return f(n - 1) if n else tg.tensor(1.0)

    assert f(1).node.scope == ("twice", "twice")
    assert state.place is before


def test_places_in_a_recurrent_layer() -> None:
    model, loss = unrolled(LAYERS["LSTM"])
    g = tg.Graph(loss)
    assert g.timesteps == [1, 2, 3, 4]
    gates = {n.scope[-1] for n in g.nodes if n.op == "sigmoid"}
    assert gates == {"input gate", "forget gate", "output gate"}
    cells = {n.cell for n in g.nodes if n.timestep is not None and not n.is_leaf}
    assert len(cells) == 1
    assert next(iter(cells))[-1] == "LSTMCell"
    assert "4 time steps" in repr(g)
    assert model.parameters()[0].node.timestep is None


def test_a_layer_that_runs_backwards_keeps_the_labels_of_reading_order() -> None:
    rnn = nn.RNN(nn.ElmanCell(N, H), reverse=True)
    x = tg.tensor(np.ones((B, T, N), np.float32))
    loss = rnn(x).last.sum()
    g = tg.Graph(loss)
    assert [n.timestep for n in g.nodes if n.op == "tanh"] == [4, 3, 2, 1]
    assert [n.timestep for n in g.uses(rnn.cell.W_s)] == [1, 2, 3, 4]
    assert list(g.contributions(rnn.cell.W_x)) == [1, 2, 3, 4]


# ------------------------------------------------------------------------- parameters, uses


def test_parameters_are_the_very_tensors() -> None:
    x = tg.tensor(np.ones((B, N), np.float32), name="x")
    cell = nn.ElmanCell(N, H)
    g = tg.Graph(cell(x)[0].sum())
    assert list(g.parameters) == ["W_x", "W_s", "b"]
    assert all(g.parameters[name] is getattr(cell, name) for name in g.parameters)


def test_unique_names_stay_short() -> None:
    rnn = nn.RNN(nn.ElmanCell(N, H))
    g = tg.Graph(rnn(np.ones((B, T, N), np.float32)).last.sum())
    assert list(g.parameters) == ["W_x", "W_s", "b"]
    assert g.parameters["W_s"].path == "cell.W_s"


def test_names_that_are_not_unique_become_paths() -> None:
    model, loss = unrolled(LAYERS["two layers in both directions"])
    g = tg.Graph(loss)
    assert len(g.parameters) == len(model.parameters()) == 12
    named = dict(model.named_parameters())
    assert {path: p for path, p in g.parameters.items() if named[path] is not p} == {}


def test_names_without_paths_are_numbered() -> None:
    names = ("w", "w", None, "w")
    a, b, c, d = (tg.tensor([1.0], requires_grad=True, name=n) for n in names)
    g = tg.Graph(a * b * c * d)
    assert g.parameters == {"w": a, "w (2)": b, "parameter 3": c, "w (3)": d}


def test_uses_stand_in_time_order() -> None:
    w, x = tg.tensor([2.0], requires_grad=True, name="w"), tg.tensor([1.0])
    with tg.timestep(2):
        late = w * x
    with tg.timestep(1):
        early = w * w
    outside = w + 1
    assert late.node.order < early.node.order < outside.node.order
    g = tg.Graph((late + early + outside).sum())
    assert g.uses(w) == [outside.node, early.node, late.node]
    with pytest.raises(ValueError, match=r"not in this graph"):
        g.uses(tg.tensor([1.0], requires_grad=True))


# ------------------------------------------------------------------------- contributions


@each_layer
def test_contributions_sum_to_the_gradient(make: Any) -> None:
    model, loss = unrolled(make)
    g = tg.Graph(loss)
    parameters = model.parameters()
    for parameter, gradient in zip(parameters, tg.grad(loss, parameters), strict=True):
        terms = g.contributions(parameter)
        assert list(terms) == [1, 2, 3, 4]
        assert all(term.shape == parameter.shape for term in terms.values())
        assert all(np.abs(terms[t]).max() > 0 for t in (2, 3))
        np.testing.assert_allclose(sum(terms.values()), gradient.numpy(), rtol=1e-12, atol=1e-12)
        assert parameter.grad is None


def test_contributions_are_those_of_copies_of_the_weight() -> None:
    """W read at four steps, beside four leaves that are read at one step each."""
    rng = np.random.default_rng(0)
    W = tg.tensor(rng.standard_normal((H, H)), requires_grad=True)
    copies = [tg.tensor(W, requires_grad=True) for _ in range(T)]
    start = rng.standard_normal((B, H))

    def loss(weights: list[tg.Tensor]) -> tg.Tensor:
        s, total = tg.tensor(start), tg.tensor(0.0)
        for t, weight in enumerate(weights, 1):
            with tg.timestep(t):
                s = F.tanh(s @ weight + s)
                total = total + (s * s).sum()
        return total

    terms = tg.Graph(loss([W] * T)).contributions(W)
    for t, expected in enumerate(tg.grad(loss(copies), copies), 1):
        np.testing.assert_allclose(terms[t], expected.numpy(), rtol=1e-12)


def test_contributions_outside_any_step() -> None:
    W = tg.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True, name="W")
    outside = (W * W).sum()
    with tg.timestep(1):
        first = F.embedding([0, 0], W)
    with tg.timestep(2):
        second = F.embedding([[2, 1]], W) * W[0]
    loss = outside + (first * 2).sum() + second.sum()
    g = tg.Graph(loss)
    terms = g.contributions(W)
    assert list(terms) == [None, 1, 2]
    assert terms[None].tolist() == (2 * W.numpy()).tolist()
    assert terms[1].tolist() == [[4, 4], [0, 0], [0, 0]]
    assert terms[2].tolist() == [[6, 8], [0, 1], [0, 1]]
    (gradient,) = tg.grad(loss, W)
    assert sum(terms.values()).tolist() == gradient.numpy().tolist()


def test_contributions_of_what_has_none() -> None:
    x = tg.tensor([1.0], name="x")
    w, other = (tg.tensor([2.0], requires_grad=True, name=n) for n in ("w", "other"))
    g = tg.Graph((x * w).sum())
    with pytest.raises(ValueError, match=r"'other' \(1,\) is not in this graph"):
        g.contributions(other)
    with pytest.raises(ValueError, match=r"'x' \(1,\) does not require a gradient"):
        g.contributions(x)


# ------------------------------------------------------------------------- events


@each_layer
def test_backward_events_are_what_backward_does(make: Any) -> None:
    model, loss = unrolled(make)
    g = tg.Graph(loss)
    events = list(g.backward_events())
    assert all(parameter.grad is None for parameter in model.parameters())
    loss.backward()
    totals = {event.node: event.gradient for event in events if event.node.is_leaf}
    assert set(totals) == {parameter.node for parameter in model.parameters()}
    for parameter in model.parameters():
        np.testing.assert_array_equal(totals[parameter.node], parameter.grad.numpy())
    assert events[0].node is loss.node
    assert events[0].gradient.tolist() == 1
    arrived = {node: np.zeros(node.shape) for node in g.nodes}
    for node, gradient, sent in events:
        if node is not loss.node:  # complete, and not before
            np.testing.assert_allclose(arrived[node], gradient, rtol=1e-12, atol=1e-14)
        assert len(sent) == len(node.inputs)
        for source, term in zip(node.inputs, sent, strict=True):
            assert (term is not None) == source.requires_grad
            if term is not None:
                assert term.shape == source.shape
                arrived[source] += term


def test_forward_events_replay_the_values() -> None:
    _, loss = unrolled(LAYERS["GRU"])
    g = tg.Graph(loss)
    known = {n: getattr(n.value, "get", lambda n=n: n.value)() for n in g.nodes if n.is_leaf}
    for node, inputs, value in g.forward_events():
        for source, array in zip(node.inputs, inputs, strict=True):
            np.testing.assert_array_equal(array, known[source])
        assert node.operation is not None
        np.testing.assert_array_equal(node.operation(*inputs, **node.settings), value)
        known[node] = value
    assert float(known[loss.node]) == loss.item()
    known[loss.node][...] = 0  # a copy
    assert loss.item() != 0


def test_walks_refuse_a_stale_graph_and_touch_no_grad() -> None:
    model, loss = unrolled(LAYERS["Elman"])
    parameters = dict(model.named_parameters())
    g = tg.Graph(loss)
    optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
    loss.backward()
    held = [p.grad for p in model.parameters()]
    optimizer.step()
    for parameter in parameters.values():
        with pytest.raises(tg.StaleGraphError, match=r"was changed after.*Compute the loss again"):
            g.contributions(parameter)
    with pytest.raises(tg.StaleGraphError):
        list(g.backward_events())
    assert all(p.grad is h for p, h in zip(model.parameters(), held, strict=True))


# ------------------------------------------------------------------------- families


def families_by_step(g: tg.Graph) -> dict[int | None, list[Any]]:
    found: dict[int | None, list[Any]] = {}
    for node, family in g.families.items():
        if not node.is_leaf:
            found.setdefault(node.timestep, []).append(family)
    return found


def test_a_family_is_scope_operation_and_number() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    with tg.scope("a"):
        one, two = x * x, x * x
    y = (one + two).sum()
    families = tg.Graph(y).families
    assert families[one.node] == (("a",), "multiply", 0)
    assert families[two.node] == (("a",), "multiply", 1)
    (g,) = tg.grad(y, x, create_graph=True)
    families = tg.Graph(y, g).families
    products = [node for node in tg.Graph(g).nodes if node.op == "multiply" and node.place.origin]
    assert {families[node] for node in products} == {
        ((("a",), "multiply", number), argument, "multiply", 0)
        for number in (0, 1)
        for argument in (0, 1)
    }


@pytest.mark.parametrize("name", ["Elman", "LSTM", "GRU", "GRU, reset after"])
def test_every_step_has_the_same_families(name: str) -> None:
    model, loss = unrolled(LAYERS[name])
    forward = families_by_step(tg.Graph(loss))
    assert forward[1] == forward[2] == forward[3] == forward[4]
    assert len(set(forward[1])) == len(forward[1])
    gradients = tg.grad(loss, model.parameters(), create_graph=True)
    backward = families_by_step(tg.Graph(*gradients))
    assert backward[2] == backward[3]
    assert len(set(backward[2])) == len(backward[2]) > len(forward[2])


def test_families_in_other_processes_and_with_other_hash_seeds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program = """
import tinygradrnn as tg, numpy as np
tg.manual_seed(0)
model = tg.nn.LSTM(3, 4, num_layers=2, bidirectional=True)
loss = (model(np.ones((2, 3, 3), np.float32)).y ** 2).mean()
gradients = tg.grad(loss, model.parameters(), create_graph=True)
g = tg.Graph(loss, *gradients)
print(list(g.parameters), g.timesteps, sorted(map(repr, g.uses(model.parameters()[0]))))
for node, family in g.families.items():
    print(node, node.scope, family, [g.nodes.index(i) for i in node.inputs])
"""
    printed = []
    for seed in ("1", "2"):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        printed.append(run_python(program))
    assert printed[0] == printed[1]
    assert len(printed[0].splitlines()) > 500
