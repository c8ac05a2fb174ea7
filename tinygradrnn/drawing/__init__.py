"""Pictures of graphs: graph → records → positions → DOT → Graphviz, each a layer of its own.

1. Records (:mod:`.records`) say what is shown: ``reading`` finds steps, layers and states in a
   graph, ``contract`` takes nodes together at a level of detail, ``naming`` and ``labels`` write
   the texts, ``sizes`` measures gradients, ``building`` puts all together, ``bundle`` makes one θ
   of a layer's weights.
2. Layout of one frame (:mod:`.frames`), boxes and nets that know nothing of time: ``rows``,
   ``columns``, ``routing``, ``spacing``; all four in ``layout``.
3. Scene (:mod:`.scene`), shapes and lines at points: ``template`` finds the frame that all steps
   share, ``stage`` places it along the time axis, ``inside``, ``rails``, ``lanes``, ``outside`` and
   ``ending`` draw, ``stamping`` repeats, ``legend`` explains; ``look`` and ``theme`` say how.
4. ``dot`` writes the scene down as DOT, ``render`` has Graphviz draw it, ``picture`` is for users.
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
