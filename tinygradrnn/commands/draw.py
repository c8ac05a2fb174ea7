"""``tinygradrnn draw``: draw the graph of a cell, of a trained model, of a function's loss."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from tinygradrnn.commands.flags import UserError
from tinygradrnn.commands.targets import add_target, find_target

SUMMARY = "draw the graph of a cell, of a trained model, or of your own"
EXAMPLES = """
examples:
  tinygradrnn draw lstm                            three steps of an LSTM, every operation
  tinygradrnn draw gru --level gate --gradients    by gates, with the sizes of the gradients
  tinygradrnn draw elman --layers 2 --bidirectional --level cell --text "hello"
  tinygradrnn draw lstm --steps 200 --show 2-3,100,199 --theme dark -o long.svg
  tinygradrnn draw runs/shakespeare-lstm-1 --steps 5 --gradients -o trained.png
  tinygradrnn draw model.py:loss                   what the function loss in model.py returns
"""
SWITCHES = {
    "values": "show shapes, and small values",
    "gradients": "show how large the gradients are",
    "backward": "show the gradient of every box below it, and the terms of every weight",
    "rolled": "one time step for all, with the loops of its states",
}
"""What a picture shows besides: argument of ``tg.draw`` and flag in one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    from tinygradrnn.drawing.contract import LEVELS
    from tinygradrnn.drawing.theme import THEMES

    add_target(parser)
    parser.add_argument(
        "--level",
        choices=LEVELS,
        help="what is a box (default: op; cell for a run)",
    )
    parser.add_argument(
        "--show",
        type=_shown,
        metavar="N|LIST",
        help="how many time steps to show, or which besides the first and the last: 2-3,40; the "
        "others are folded (default: all of up to a dozen)",
    )
    for name, what in SWITCHES.items():
        parser.add_argument(f"--{name}", action="store_true", help=what)
    parser.add_argument("--theme", choices=tuple(THEMES), default="light", help="(default: light)")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="ends in .svg, .png, .pdf, .dot or .html (default: NAME.svg)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Draw, and print where the picture is."""
    from tinygradrnn.drawing import DrawingError, draw
    from tinygradrnn.drawing.picture import FORMATS
    from tinygradrnn.ledgers import StaleGraphError

    path = arguments.output
    if path is not None and path.suffix.lower() not in FORMATS:
        raise UserError(f"--output: {str(path)!r} should end in one of {', '.join(FORMATS)}")
    target = find_target(arguments)
    try:
        picture = draw(
            target.loss,
            level=arguments.level or target.level,
            steps=arguments.show,
            theme=arguments.theme,
            **{name: getattr(arguments, name) for name in SWITCHES},
        )
        print(picture.save(path or Path(f"{target.name}.svg")))
    except (DrawingError, StaleGraphError, ValueError) as error:
        # what draw calls by an argument's name is here a flag
        raise UserError(re.sub("^steps:", "--show:", str(error))) from None
    return 0


def _shown(text: str) -> int | list[int]:
    """``4``: how many; ``1-3,40``: which."""
    if text.isdecimal() and int(text):
        return int(text)
    shown: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip(), re.ASCII)
        first, last = map(int, (found[1], found[2] or found[1])) if found else (1, 0)
        if first > last or not first:
            raise argparse.ArgumentTypeError(
                f"must be how many steps, such as 4, or which, such as 1-3,40; got {text}"
            )
        shown.extend(range(first, last + 1))
    return shown
