"""Composes the picture of a graph together with its backward graph."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from tinygradrnn.drawing.ending import draw_ending
from tinygradrnn.drawing.headings import name_layers, name_phases, name_steps
from tinygradrnn.drawing.inside import draw_steps
from tinygradrnn.drawing.lanes import draw_lanes
from tinygradrnn.drawing.layout import lay_out
from tinygradrnn.drawing.look import BODY, Look
from tinygradrnn.drawing.mirror import (
    AXIS,
    TURN,
    ForwardLook,
    Term,
    TwinLook,
    put_together,
    turn_round,
    upside_down,
)
from tinygradrnn.drawing.outside import make_side, place_side
from tinygradrnn.drawing.rails import draw_rails
from tinygradrnn.drawing.records import Diagram, Step
from tinygradrnn.drawing.scene import Line, Scene, Text
from tinygradrnn.drawing.stage import Stage
from tinygradrnn.drawing.sums import draw_sums
from tinygradrnn.drawing.theme import Theme


def compose_both_ways(diagram: Diagram, theme: Theme) -> Scene:
    """The forward graph above, its mirror image with the gradients below.

    Parameters
    ----------
    diagram : Diagram
        With twins.
    theme : Theme

    Returns
    -------
    Scene
    """
    forward, backward = ForwardLook(diagram, theme), TwinLook(diagram, theme)
    if diagram.steps:
        above, below = Stage(diagram, forward), Stage(diagram, backward)
        for stage in (above, below):
            draw_steps(stage)
            if stage is above:
                draw_rails(stage)
            else:
                draw_sums(stage, backward)
            draw_lanes(stage)
            draw_ending(stage)
            name_layers(stage)
        upper, lower = above.scene, below.scene
    else:
        upper, lower = plain(diagram, forward), plain(diagram, backward)
    axis = lower.bounds()[3] + AXIS / 2
    up = axis + AXIS / 2 + upper.bounds()[3]
    upside_down(upper, up)
    numbers = turn_round(lower)
    put_together(upper, lower)
    scene = replace(lower, theme=theme)
    if diagram.steps:
        terms = [term._replace(shape=numbers[term.shape]) for term in backward.terms]
        _draw_kept(scene, above, forward, up, terms)
        name_steps(scene)
        name_phases(scene, above)
    _turn_at_the_loss(scene)
    left, *_ = scene.bounds()
    for text, colour, side in (
        ("forward →", theme.ink, 1),
        ("← backward", theme.gradient.text, -1),
    ):
        scene.texts.append(Text(left, axis + side * 9, text, BODY, colour, bold=True, align="left"))
    return scene


def plain(diagram: Diagram, look: Look) -> Scene:
    """Without a time axis: from left to right."""
    scene = Scene(look.theme)
    side = make_side(diagram, look, set(range(len(diagram.boxes))))
    place_side(scene, diagram, look, side, lay_out(side.frame), 0.0, 0.0)
    return scene


def _draw_kept(scene: Scene, above: Stage, look: ForwardLook, up: float, terms: list[Term]) -> None:
    """From the state of the step before down to every term that is computed from it."""
    found: dict[tuple[Step, int], dict[int, int]] = defaultdict(dict)
    for term in terms:
        for n, state in enumerate(term.kept):
            found[term.step, state][term.shape] = n
    for (step, state), beside in found.items():
        n, left, y = above.place[step]
        template, placed = above.templates[n], above.placed[n]
        away = look.kept_x(state)
        side = 1 if above.diagram.states[state].backward else -1
        x = left + placed.width + away if side > 0 else left - away
        top = up - y - placed.entries[template.states.index(state)]
        lane = look.lanes[state]
        at, where = scene.dot(x, top, 2.6, lane.line), (x, top)
        order = sorted(beside, key=lambda s: (-scene.shapes[s].y, -side * scene.shapes[s].x))
        for shape in order:
            box = scene.shapes[shape]
            height = box.y + box.height / 2 + away
            into = box.x + side * box.width * (0.3 - 0.1 * beside[shape])
            bend = ((x, height),) if where[0] == x else ()
            corner = (into, height)
            fork = scene.dot(*corner, 0.0, lane.line)
            for points, start, end in (
                ((where, *bend, corner), at, fork),
                ((corner, (into, box.y + box.height / 2)), fork, shape),
            ):
                scene.lines.append(
                    Line(
                        points,
                        start,
                        end,
                        lane.line,
                        1.3,
                        "kept",
                        f"{above.diagram.states[state].name} kept for the backward walk",
                        arrow=end >= 0,
                        dotted=True,
                    )
                )
            at, where = fork, corner


def _turn_at_the_loss(scene: Scene) -> None:
    """From the loss, around the right end, to ∂L/∂L: there the backward walk begins."""
    outputs = [n for n, shape in enumerate(scene.shapes) if shape.style == "output"]
    twins = [n for n, shape in enumerate(scene.shapes) if shape.style == "twin output"]
    right = scene.bounds()[2]
    for n, twin in zip(outputs, twins, strict=True):
        ends = [scene.shapes[k] for k in (n, twin)]
        (x1, y1), (x2, y2) = ((s.x + s.width / 2, s.y) for s in ends)
        points = ((x1, y1), (right + TURN, y1), (right + TURN, y2), (x2, y2))
        colour = scene.theme.gradient.line
        scene.lines.append(
            Line(points, n, twin, colour, 1.4, "flow", "∂L/∂L = 1", arrow=True, dashed=True)
        )
