"""Pictures of graphs: graph → records → positions → DOT → Graphviz, each step of its own.

=============  ====================================================================================
reading        a graph's nodes in time: steps, layers, states
contract       nodes to boxes, at a level of detail
building       both together: the records of a picture (:mod:`.records`)
frames, rows,  the layout of one time step on its own: boxes and nets in, positions out
columns, …
timeline       records to a scene: frames stamped side by side, rails, lanes
dot            a scene as DOT text
render         DOT text to SVG, PNG, PDF
=============  ====================================================================================
"""

from tinygradrnn.drawing.picture import (
    Drawing,
    draw,
)
from tinygradrnn.drawing.render import (
    DrawingError,
    RendererNotFoundError,
    find_renderer,
)

__all__ = ["Drawing", "DrawingError", "RendererNotFoundError", "draw", "find_renderer"]
