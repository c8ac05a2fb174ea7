"""From the records of a diagram to a scene."""

from __future__ import annotations

from tinygradrnn.drawing.bothways import compose_both_ways, plain
from tinygradrnn.drawing.ending import draw_ending
from tinygradrnn.drawing.inside import draw_steps
from tinygradrnn.drawing.lanes import draw_lanes
from tinygradrnn.drawing.legend import add_legend
from tinygradrnn.drawing.look import Look
from tinygradrnn.drawing.rails import draw_rails
from tinygradrnn.drawing.records import Diagram
from tinygradrnn.drawing.scene import Scene
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.theme import Theme


def compose(diagram: Diagram, theme: Theme) -> Scene:
    """Place a diagram: along the time axis, if it has steps.

    Parameters
    ----------
    diagram : Diagram
    theme : Theme

    Returns
    -------
    Scene
    """
    look = Look(diagram, theme)
    if diagram.backward:
        scene = compose_both_ways(diagram, theme)
    else:
        scene = _timeline(diagram, look) if diagram.steps else plain(diagram, look)
    add_legend(scene, diagram, look)
    return scene


def _timeline(diagram: Diagram, look: Look) -> Scene:
    stage = Stage(diagram, look)
    draw_steps(stage)
    draw_rails(stage)
    draw_lanes(stage)
    draw_ending(stage)
    return stage.scene
