"""From the records of a diagram to a scene."""

from __future__ import annotations

from dataclasses import replace

from tinygradrnn.drawing.bothways import compose_both_ways, plain
from tinygradrnn.drawing.ending import draw_ending
from tinygradrnn.drawing.headings import name_layers, name_phases, name_steps
from tinygradrnn.drawing.histories import draw_histories
from tinygradrnn.drawing.inside import draw_steps
from tinygradrnn.drawing.lanes import draw_lanes
from tinygradrnn.drawing.legend import add_legend
from tinygradrnn.drawing.look import Look
from tinygradrnn.drawing.loops import RolledStage, draw_loops
from tinygradrnn.drawing.rails import draw_rails
from tinygradrnn.drawing.records import Diagram
from tinygradrnn.drawing.scene import Scene
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.text import number
from tinygradrnn.drawing.theme import Theme


def compose(diagram: Diagram, theme: Theme, legend: bool = True) -> Scene:
    """Place a diagram: along the time axis, if it has steps.

    Parameters
    ----------
    diagram : Diagram
    theme : Theme
    legend : bool
        With a title and a legend above it.

    Returns
    -------
    Scene
    """
    if diagram.gradients and not (diagram.steps or diagram.backward):
        diagram = _sized(diagram)
    look = Look(diagram, theme)
    if diagram.backward:
        scene = compose_both_ways(diagram, theme)
    else:
        draw = _rolled if diagram.rolls else _timeline if diagram.steps else plain
        scene = draw(diagram, look)
    if legend:
        add_legend(scene, diagram, look)
    return scene


def _sized(diagram: Diagram) -> Diagram:
    """Without rails, which bear the size of a weight's gradient elsewhere: in its box."""
    boxes = [
        replace(box, text=(*box.text, f"‖∂L/∂·‖ {number(box.total)}"))
        if box.kind == "weight"
        else box
        for box in diagram.boxes
    ]
    return replace(diagram, boxes=tuple(boxes))


def _rolled(diagram: Diagram, look: Look) -> Scene:
    stage = RolledStage(diagram, look)
    draw_steps(stage)
    draw_rails(stage)
    draw_loops(stage)
    draw_ending(stage)
    _name(stage)
    draw_histories(stage.scene, diagram, look, stage.right)
    return stage.scene


def _timeline(diagram: Diagram, look: Look) -> Scene:
    stage = Stage(diagram, look)
    draw_steps(stage)
    draw_rails(stage)
    draw_lanes(stage)
    draw_ending(stage)
    _name(stage)
    return stage.scene


def _name(stage: Stage) -> None:
    name_steps(stage.scene)
    name_layers(stage)
    name_phases(stage.scene, stage)
