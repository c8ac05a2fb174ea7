"""The equations that cells give: true of what was computed, and each node finds its own."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.stepper.equations import equations

CELLS = [
    *(nn.ElmanCell(2, 3), nn.ElmanCell(2, 3, bias=False, activation="sigmoid")),
    *(nn.ElmanCell(2, 3, activation="linear"), nn.IRNNCell(2, 3)),
    *(nn.JordanCell(2, 3, 2), nn.JordanCell(2, 3, 2, activation="relu", bias=False)),
    nn.JordanCell(2, 3, 2, output_activation="softmax"),
    *(nn.LSTMCell(2, 3, peephole=p, coupled=c) for p in (False, True) for c in (False, True)),
    *(nn.LSTMCell(2, 3, bias=False, activation=a) for a in ("sigmoid", "linear")),
    *(nn.GRUCell(2, 3, reset=r, bias=b) for r in ("before", "after") for b in (True, False)),
    nn.GRUCell(2, 3, update="state"),
    nn.DeepElmanCell(2, 3),
    nn.DeepElmanCell(2, 3, input_layers=3, transition_layers=3, output_layers=3),
    nn.DeepElmanCell(2, 3, transition_layers=2),
    nn.ClockworkCell(2, 6, periods=(1, 2, 4)),
    *(nn.SCRNCell(2, 3, 2), nn.SCRNCell(2, 3, 2, alpha=0.5), nn.SCRNCell(2, 3, 2, alpha="learned")),
]
every_cell = pytest.mark.parametrize("cell", CELLS, ids=[f"{k} {c!r}" for k, c in enumerate(CELLS)])
T = 3


def unrolled(cell: Any, **options: Any) -> tg.Graph:
    """Three steps of a cell with random weights, and a loss."""
    rng = np.random.default_rng(0)
    for parameter in cell.parameters():
        parameter.data = rng.standard_normal(parameter.shape).astype("float32") * 0.5
    x = tg.tensor(rng.standard_normal((2, T, 2)).astype("float32"), requires_grad=True)
    return tg.Graph((nn.RNN(cell, **options)(x).y ** 2).sum())


@every_cell
def test_every_operation_of_a_step_belongs_to_a_line(cell):
    graph = unrolled(cell)
    found = equations(graph)
    for node in graph.nodes:
        in_a_step = node.timestep is not None and not node.is_leaf
        assert (node in found) == in_a_step
        if in_a_step:
            assert found[node].current, node
    lines = set(range(len(set(cell.equations.values()))))
    used = {line for each in found.values() for line in each.current}
    words = {"y_t = s_t", "y_t = h_t", "n = how many steps were read before"}
    idle = [line for line in dict.fromkeys(cell.equations.values()) if line in words]
    assert len(lines - used) == len(idle)


# ------------------------------------------------------------------------------- are they true?


class Blocks:
    """An array of a clockwork cell, indexed by its blocks from 1: the last axis, or both."""

    def __init__(self, array: np.ndarray, size: int) -> None:
        self.array, self.size = array, size

    def __getitem__(self, index: Any) -> np.ndarray:
        *rows, columns = index if isinstance(index, tuple) else (index,)
        return self.array[(..., *map(self._part, rows), self._part(columns))]

    def _part(self, index: Any) -> slice:
        if isinstance(index, slice):
            return slice((index.start - 1) * self.size, None)
        return slice((index - 1) * self.size, index * self.size)


WORDS: dict[str, Any] = {
    "tanh": np.tanh,
    "σ": lambda x: 1 / (1 + np.exp(-x)),
    "ReLU": lambda x: np.maximum(x, 0),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}


class Names(dict):
    """What the words of a line stand for; what is not of the step is an attribute of the cell."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell

    def __missing__(self, name: str) -> Any:
        if name in WORDS:
            return WORDS[name]
        value = getattr(self.cell, {"β": "beta"}.get(name, name))
        if isinstance(value, list):
            return [SimpleNamespace(W=layer.W.numpy(), b=layer.b.numpy()) for layer in value]
        return self.blocks(value.numpy())

    def blocks(self, array: np.ndarray) -> Any:
        if isinstance(self.cell, nn.ClockworkCell):
            return Blocks(array, self.cell.hidden_size // len(self.cell.periods))
        return array


def evaluated(line: str, names: Names) -> Any:
    """The right side of a line."""
    _, text = line.split(" = ", 1)
    text = re.sub(r"_\{t[−+]1\}", "_before", text).replace("−", "-")
    text = re.sub(r"^(.*) if (\d+) divides n, else (.*)$", r"\1 if n % \2 == 0 else \3", text)
    text = re.sub(r"^\[(.* ; .*)\]$", r"join(\1)", text).replace(" ; ", ", ")
    return eval(text.replace("⊙", "*").replace("·", "*"), {}, names)


@every_cell
def test_every_line_is_true(cell):
    graph = unrolled(cell)
    found = equations(graph)
    lines = list(dict.fromkeys(cell.equations.values()))
    keys = list(cell.equations)
    state = nn.RNN(cell).cell.initial_state(2)
    parts = state._asdict() if hasattr(state, "_asdict") else {state.node.name or "s": state}
    before = {name: tensor.numpy() for name, tensor in parts.items()}
    checked = set()
    for t in range(1, T + 1):
        names = Names(cell)
        names |= {f"{name}_before": names.blocks(value) for name, value in before.items()}
        names |= {"n": t - 1, "join": lambda *parts: np.concatenate(parts, -1)}
        step = [node for node in graph.nodes if node.timestep == t]
        names["x_t"] = next(tg.Tensor(n).numpy() for n in step if n.name == "x")
        for k, line in enumerate(lines):
            done = [node for node in step if node in found and found[node].current == (k,)]
            left = line.split(" = ")[0]
            if left in ("y_t", "n") and not done:
                continue
            key = next(key for key in keys if cell.equations[key] == line)
            value = tg.Tensor(next((n for n in done if n.name == key), done[-1])).numpy()
            np.testing.assert_allclose(evaluated(line, names), value, 1e-5, 1e-6, err_msg=line)
            if "[" in left:  # a block of a clockwork cell
                names.setdefault("s_t", {})[int(left[4:-1])] = value
            else:
                names[left] = value
            checked.add(line)
        before = {n.name: tg.Tensor(n).numpy() for n in step if n.name in before and not n.is_leaf}
    assert len(checked) >= len(lines) - 1


@pytest.mark.parametrize(
    ("cell", "key", "line"),
    [
        (nn.LSTMCell(2, 3), "c", "c_t = f_t ⊙ c_{t−1} + i_t ⊙ f_t"),
        (nn.GRUCell(2, 3), "s", "s_t = z_t ⊙ s_{t−1} + (1 − z_t) ⊙ g_t"),
        (nn.ClockworkCell(2, 4, periods=(1, 2)), "s", "s_t = [s_t[2] ; s_t[1]]"),
    ],
)
def test_a_wrong_line_is_caught(cell, key, line):
    cell.equations = {**cell.equations, key: line}
    with pytest.raises(AssertionError):
        test_every_line_is_true(cell)


# ------------------------------------------------------------------------------- which is current


def of(graph: tg.Graph, name: str | None, op: str | None = None) -> list[str]:
    """The current lines of the first node with that name, or of that operation."""
    found = equations(graph)
    node = next(n for n in found if (n.name == name if name else n.op == op))
    return [found[node].lines[k] for k in found[node].current]


def test_gates_share_a_product():
    graph = unrolled(nn.LSTMCell(2, 3))
    assert of(graph, None, "matmul") == [
        "iₜ = σ(xₜ @ W_xi + hₜ₋₁ @ W_hi + b_i)",
        "fₜ = σ(xₜ @ W_xf + hₜ₋₁ @ W_hf + b_f)",
        "gₜ = tanh(xₜ @ W_xg + hₜ₋₁ @ W_hg + b_g)",
        "oₜ = σ(xₜ @ W_xo + hₜ₋₁ @ W_ho + b_o)",
    ]
    assert of(graph, "f") == ["fₜ = σ(xₜ @ W_xf + hₜ₋₁ @ W_hf + b_f)"]
    assert of(graph, None, "multiply") == ["cₜ = fₜ ⊙ cₜ₋₁ + iₜ ⊙ gₜ"]
    assert of(graph, "h") == ["hₜ = oₜ ⊙ tanh(cₜ)"]


def test_a_layer_that_runs_backwards_reads_the_step_after():
    assert of(unrolled(nn.ElmanCell(2, 3), reverse=True), "s") == [
        "sₜ = tanh(xₜ @ Wₓ + sₜ₊₁ @ Wₛ + b)"
    ]


def test_lengths_and_dropout_do_not_lose_the_lines():
    layer = nn.RNN(nn.GRUCell(2, 3), recurrent_dropout=0.5)
    graph = tg.Graph(layer(np.ones((2, 3, 2), np.float32), lengths=[3, 1]).last.sum())
    without = [node.op for node, each in equations(graph).items() if not each.current]
    assert set(without) <= {"where"}  # the zeros past a length, which no cell knows of


def test_layers_keep_their_own_lines():
    layers = nn.Stacked([nn.RNN(nn.ElmanCell(2, 3)), nn.RNN(nn.LSTMCell(3, 2))])
    graph = tg.Graph(layers(np.ones((1, 2, 2), np.float32)).last.sum())
    found = equations(graph)
    assert {(n.cell[-1], found[n].lines[-1]) for n in found} == {
        ("ElmanCell", "yₜ = sₜ"),
        ("LSTMCell", "yₜ = hₜ"),
    }


def test_the_lines_outlive_the_cell():
    def loss() -> tg.Tensor:
        return nn.LSTM(2, 3)(np.ones((1, 2, 2), np.float32)).last.sum()

    assert equations(tg.Graph(loss()))


def test_backward_nodes_belong_to_the_line_of_the_forward_node():
    cell = nn.ElmanCell(2, 3)
    loss = (nn.RNN(cell)(np.ones((1, 2, 2), np.float32)).last ** 2).sum()
    (gradient,) = tg.grad(loss, cell.W_s, create_graph=True)
    found = equations(tg.Graph(gradient))
    backward = [node for node in found if node.place.origin is not None]
    assert len(backward) > 5
    assert all(found[node].current == (0,) for node in backward)


# ------------------------------------------------------------------------------- a user's own cell


class Leaky(nn.Cell):
    """Its lines are tied to a scope and to a part of the state."""

    equations = {  # noqa: RUF012
        "leak": "k_t = σ(x_t @ W)",
        "s": "s_t = k_t ⊙ s_{t−1} + x_t",
    }

    def __init__(self) -> None:
        self.W = nn.Parameter(np.ones((2, 2), np.float32))

    def transition(self, state, x):
        with tg.scope("leak"):
            k = F.sigmoid(x @ self.W)
        return k * state + x

    def initial_state(self, batch):
        return self.zeros(batch, 2)


def test_a_cell_of_the_users_own():
    graph = unrolled(Leaky())
    assert of(graph, None, "matmul") == of(graph, None, "sigmoid") == ["kₜ = σ(xₜ @ W)"]
    assert of(graph, "s") == of(graph, None, "multiply") == ["sₜ = kₜ ⊙ sₜ₋₁ + xₜ"]


def test_a_cell_need_not_have_equations():
    cell = Leaky()
    cell.equations = {}
    assert equations(unrolled(cell)) == {}


def test_equations_of_another_kind_are_refused():
    cell = Leaky()
    cell.equations = ["s_t = x_t"]  # type: ignore[assignment]
    message = r"Leaky\.equations must be a dict .* got list"
    with pytest.raises(TypeError, match=message):
        unrolled(cell)
