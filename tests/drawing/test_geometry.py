"""Every picture: nothing overlaps, no wire runs through anything, all pieces upright or level."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from drawing.examples import CELLS, MORE_CELLS, NETWORKS, loss_of, random_network
from drawing.geometry import faults

from tinygradrnn.drawing import draw

pytestmark = pytest.mark.numpy_only("about places, not about values")

LEVELS = ("op", "gate", "cell", "layer")


@pytest.mark.parametrize("steps", [1, 2, 3, 13, 40])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cell", CELLS)
def test_cells(cell, level, steps):
    loss = loss_of(CELLS[cell](), steps)
    assert not faults(draw(loss, level=level, gradients=True).scene)
    assert not faults(draw(loss, level=level).scene)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cell", MORE_CELLS)
def test_more_cells(cell, level):
    assert not faults(draw(loss_of(MORE_CELLS[cell](), 3), level=level, gradients=True).scene)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("network", NETWORKS)
def test_networks(network, level):
    assert not faults(draw(NETWORKS[network](), level=level, gradients=True).scene)


@pytest.mark.parametrize("cell", CELLS)
def test_values(cell):
    assert not faults(draw(loss_of(CELLS[cell](), 2), values=True, gradients=True).scene)


@pytest.mark.parametrize("shown", [1, [2], [3, 7], [5], [8]])
@pytest.mark.parametrize("network", ["classifier", "bidirectional_stack", "encoder_decoder"])
def test_chosen_steps(network, shown):
    """Only rails between layers run through a fold: behind it."""
    found = faults(draw(NETWORKS[network](8), level="cell", steps=shown, gradients=True).scene)
    assert not [f for f in found if not (f.startswith("rail ") and f.endswith("folded …"))]


@pytest.mark.parametrize("seed", range(60))
def test_random_networks(seed):
    assert not faults(draw(random_network(seed), gradients=True).scene)


@pytest.mark.parametrize("network", ["classifier", "stacked", "bidirectional", "loss_per_step"])
@pytest.mark.parametrize("level", ["op", "cell"])
def test_time_runs_from_left_to_right_in_equal_columns(network, level):
    panels = draw(NETWORKS[network](), level=level).scene.panels
    assert [p.name for p in panels] == [f"t = {t}" for t in range(1, len(panels) + 1)]
    pitch = {round(b.left - a.left, 6) for a, b in pairwise(panels)}
    assert len(pitch) == 1
    assert len({round(p.right - p.left, 6) for p in panels}) == 1


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("level", ["op", "gate", "cell"])
def test_states_run_straight_from_step_to_step(cell, level):
    scene = draw(loss_of(CELLS[cell](), 4), level=level).scene
    lanes = [line for line in scene.lines if line.over == "lane"]
    assert lanes
    assert all(len({y for _, y in line.points}) == 1 for line in lanes)


@pytest.fixture
def sound():
    return draw(loss_of(CELLS["lstm"](), 2), gradients=True).scene


def test_the_checker_sees_overlapping_boxes(sound):
    sound.shapes[1] = replace(sound.shapes[1], x=sound.shapes[0].x + 5, y=sound.shapes[0].y)
    assert any("overlaps" in fault for fault in faults(sound))


def test_the_checker_sees_slanted_lines(sound):
    (x, y), *rest = sound.lines[0].points
    sound.lines[0] = replace(sound.lines[0], points=((x + 3, y + 3), *rest))
    assert any("slanted" in fault for fault in faults(sound))


def test_the_checker_sees_lines_through_boxes_and_texts(sound):
    for thing in (sound.shapes[8], next(t for t in sound.texts if not t.plate)):
        line = replace(sound.lines[0], points=((thing.x - 90, thing.y), (thing.x + 90, thing.y)))
        sound.lines.append(line)
        assert any("runs through" in fault for fault in faults(sound))
        sound.lines.pop()


def test_the_checker_sees_lines_on_each_other(sound):
    line = sound.lines[0]
    sound.lines.append(replace(line, points=tuple((x, y + 1) for x, y in line.points)))
    assert any("lies on" in fault for fault in faults(sound))


def test_the_checker_sees_loose_ends(sound):
    line = sound.lines[0]
    sound.lines[0] = replace(line, end=line.start)
    assert any("does not reach" in fault for fault in faults(sound))
