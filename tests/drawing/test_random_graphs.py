"""Whatever the graph: no edge is lost on the way into the picture, and time runs to the right."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from drawing.random_graphs import GRAPHS, Drawn, edges_of, irregular, read_dot, recurrent, timeless
from hypothesis import given, settings

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.drawing import Drawing, draw
from tinygradrnn.drawing.dot import to_dot

pytestmark = pytest.mark.numpy_only("about places, not about values")

FEW = settings(max_examples=15, deadline=None, derandomize=True, database=None)
MANY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def drawn_edges(drawing: Drawing) -> Counter[tuple[str, str]]:
    """The same from the records."""
    boxes = drawing.diagram.boxes
    names = [box.tooltip.split(":")[0].split(" ")[0] for box in boxes]
    return Counter(
        (names[wire.source], names[target])
        for wire in drawing.diagram.wires
        for target in wire.targets
        if names[target] != names[wire.source] and boxes[target].kind != "output"
    )


@given(GRAPHS)
@MANY
def test_no_edge_is_lost(loss):
    """A value that is read twice by an operation has two lines to it."""
    expected = edges_of(tg.Graph(loss))
    drawing = draw(loss)
    assert drawn_edges(drawing) == expected
    assert expected <= read_dot(drawing.dot).edges


@given(timeless())
@MANY
def test_without_time_steps_no_edge_is_added(loss):
    """With them the wires of several steps may share a line to what follows."""
    drawn = read_dot(draw(loss).dot)
    assert drawn.edges == edges_of(tg.Graph(loss))
    assert drawn.names.keys() and len(set(drawn.names.values())) == len(drawn.names)


def check_columns(drawn: Drawn) -> None:
    """Equal columns, in time order, and every box in that of its step."""
    assert [t for *_, t in drawn.panels] == sorted(t for *_, t in drawn.panels)
    assert all(left < right for left, right, _ in drawn.panels)
    assert all(a[1] < b[0] for a, b in pairwise(drawn.panels))
    widths = [right - left for left, right, _ in drawn.panels]
    assert not widths or max(widths) - min(widths) < 0.3  # of a point; rounded
    if drawn.panels:
        at = {t: (left, right) for left, right, t in drawn.panels}
        for node, t in drawn.steps.items():
            assert at[t][0] <= drawn.x[node] <= at[t][1]


@given(recurrent())
@MANY
def test_time_runs_to_the_right(loss):
    drawn = read_dot(draw(loss).dot)
    check_columns(drawn)
    graph = tg.Graph(loss)
    assert not drawn.panels or [t for *_, t in drawn.panels] == graph.timesteps


@given(irregular())
@MANY
def test_time_never_runs_to_the_left(loss):
    check_columns(read_dot(draw(loss).dot))


@given(GRAPHS)
@FEW
def test_graphviz_draws_all_of_it(loss):
    drawing = draw(loss, gradients=True)
    root = ElementTree.fromstring(drawing.svg())
    ids = Counter(
        element.get("id", "")[0]
        for element in root.iter()
        if re.fullmatch(r"[net]\d+", element.get("id", ""))
    )
    assert ids["n"] == len(drawing.scene.shapes)
    assert ids["e"] == len(drawing.scene.lines)
    assert ids["t"] == len(drawing.scene.texts)


@pytest.mark.parametrize("level", ["gate", "cell", "layer"])
def test_every_level_draws_every_graph(level):
    @given(GRAPHS)
    @FEW
    def check(loss):
        drawing = draw(loss, level=level, gradients=True)
        check_columns(read_dot(drawing.dot))

    check()


def test_the_reader_of_dot_misses_an_edge_that_is_missing():
    x = tg.tensor(np.eye(2), requires_grad=True, name="x")
    W = nn.Parameter(np.eye(2), name="W")
    y = x * x
    y.name = "y"
    z = y @ W
    z.name = "z"
    drawing = draw(z)
    expected = Counter({("x", "y"): 2, ("y", "z"): 1, ("W", "z"): 1})
    assert read_dot(drawing.dot).edges == edges_of(tg.Graph(z)) == expected
    for k in range(len(drawing.scene.lines)):
        scene = draw(z).scene
        del scene.lines[k]
        assert read_dot(to_dot(scene)).edges != expected or k == len(scene.lines)


def test_a_sum_reads_a_value_as_often_as_it_is_added():
    x = tg.tensor([1.0], requires_grad=True, name="x")
    (wire,) = [w for w in draw(x + x + x).diagram.wires if len(w.targets) > 1]
    assert len(wire.targets) == 3


def test_a_state_that_only_later_steps_compute():
    """Steps of which none reads the one before are no time axis; this ran into an error."""
    x = tg.tensor([1.0], requires_grad=True, name="x")
    with tg.timestep(1):
        a = F.softmax(x)
    between = x * a
    with tg.timestep(2):
        b, c = a * between, F.softmax(a)
    total = b + c
    assert draw((total + total).sum()).dot
