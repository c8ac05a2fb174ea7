"""The line of Python beside a step."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.stepper.lines import python_line


def lines_of(graph: tg.Graph) -> dict[str, set[tuple[str, str]]]:
    """For each operation the files and the texts of its lines."""
    found: dict[str, set[tuple[str, str]]] = {}
    for node in graph.nodes:
        line = python_line(node)
        if line is not None:
            found.setdefault(node.name or node.op, set()).add((line.file, line.text))
    return found


@pytest.mark.parametrize("check", [True, False])
def test_lines_of_a_library_cell(check):
    layer = nn.LSTM(2, 3)
    with tg.debug(check=check):
        out = layer(np.ones((1, 2, 2), np.float32))
        loss = F.mse_loss(out.last, np.zeros((1, 3), np.float32))
    found = lines_of(tg.Graph(loss))
    cell = "tinygradrnn/nn/cells/lstm.py"
    assert found["matmul"] == {(cell, "z = x @ self.W_x + h @ self.W_h")}
    assert found["c"] == {(cell, "c = f * c + i * g")}
    ((file, text),) = found["f"]
    assert file == cell
    assert text.startswith('f = gate("forget gate", "f", F.sigmoid')
    text = "loss = F.mse_loss(out.last, np.zeros((1, 3), np.float32))"
    assert found["mean"] == {("test_lines.py", text)}


def test_lines_of_a_users_cell_are_the_users():
    class Own(nn.Cell):
        def transition(self, state, x):
            return F.tanh(
                state + x,
            )

        def initial_state(self, batch):
            return self.zeros(batch, 2)

    with tg.debug():
        loss = nn.RNN(Own())(tg.tensor(np.ones((1, 2, 2)), requires_grad=True)).last.sum()
    _, start = inspect.getsourcelines(Own.transition)
    node = next(n for n in tg.Graph(loss).nodes if n.op == "add")
    assert python_line(node) == ("test_lines.py", start + 2, "state + x,")


def test_without_debug_there_is_no_line():
    y = tg.tensor([1.0], requires_grad=True) * 2
    assert python_line(y.node) is None
    assert python_line(y.node.inputs[0]) is None


def test_a_line_does_not_say_where_it_is(tmp_path):
    path = Path(tmp_path, "secret", "program.py")
    space = {"tg": tg}
    with tg.debug():
        exec(compile("\ny = tg.tensor([1.0], requires_grad=True) * 2", path, "exec"), space)
    assert python_line(space["y"].node) == ("program.py", 2, "")


def test_lines_can_be_kept_without_looking_for_nan():
    x = tg.tensor([-1.0], requires_grad=True)
    with tg.debug(check=False), np.errstate(all="ignore"):
        y = F.log(x)
        y.backward()
    assert python_line(y.node) is not None
    with tg.debug(), pytest.raises(tg.NonFiniteError):
        F.log(x)
