"""``tinygradrnn step``: a page that steps through a network, forward and backward."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinygradrnn.commands.flags import UserError
from tinygradrnn.commands.targets import add_target, find_target

SUMMARY = "write a page that steps through a network, forward and backward"
EXAMPLES = """
examples:
  tinygradrnn step                                 an LSTM, three time steps, every operation
  tinygradrnn step gru --text "hello" -o step.html
  tinygradrnn step elman --steps 200 --level gate  long sequences are folded in the middle
  tinygradrnn step runs/shakespeare-lstm-1         a trained model reading its own text
  tinygradrnn step model.py:loss                   what the function loss in model.py returns
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    from tinygradrnn.drawing.contract import LEVELS

    add_target(parser)
    parser.add_argument(
        "--level", choices=LEVELS, help="what a step is (default: op; cell for a run)"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="ends in .html (default: NAME-step.html)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the page, and print where it is."""
    from tinygradrnn.checks import debug
    from tinygradrnn.ledgers import StaleGraphError
    from tinygradrnn.stepper import step_through
    from tinygradrnn.stepper.page import SUFFIXES

    path = arguments.output
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise UserError(f"--output: {str(path)!r} should end in {SUFFIXES[0]}")
    with debug(check=False):  # so that the page can show the lines of the program
        target = find_target(arguments)
    if isinstance(target.loss, list):
        raise UserError(f"{target.name} gives {len(target.loss)} tensors; stepping needs one loss")
    try:
        steps = step_through(target.loss, level=arguments.level or target.level)
    except (StaleGraphError, ValueError) as error:
        raise UserError(str(error)) from None
    print(steps.save(path or Path(f"{target.name}-step.html")))
    return 0
