"""``tinygradrnn sample``: print text that a trained model draws."""

from __future__ import annotations

import argparse
from pathlib import Path

from tinygradrnn.commands.flags import UserError, add_backend, at_least
from tinygradrnn.seeds import manual_seed

SUMMARY = "let a trained model write"
EXAMPLES = """
examples:
  tinygradrnn sample runs/shakespeare-lstm-1
  tinygradrnn sample runs/shakespeare-lstm-1 --prime "ROMEO:" --temperature 0.7 --length 1000
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder that train wrote")
    parser.add_argument(
        "--length", type=at_least(1), default=500, metavar="N", help="(default: 500)"
    )
    parser.add_argument(
        "--temperature",
        type=at_least(0.0),
        default=1.0,
        metavar="X",
        help="below 1 safer, above 1 wilder, 0 always the likeliest (default: 1)",
    )
    parser.add_argument("--prime", default="", metavar="TEXT", help="what the text begins with")
    parser.add_argument(
        "--seed",
        type=at_least(0),
        metavar="N",
        help="for the same text again (default: another each time)",
    )
    add_backend(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print text that a trained model draws."""
    from tinygradrnn.models import generate
    from tinygradrnn.training import load_run

    run = load_run(arguments.folder)
    try:
        run.vocabulary.encode(arguments.prime)
    except ValueError as error:
        raise UserError(f"--prime: {error} of {arguments.folder}") from None
    if arguments.seed is not None:
        manual_seed(arguments.seed)
    (text,) = generate(
        run.model,
        run.vocabulary,
        arguments.length,
        prime=arguments.prime,
        temperature=arguments.temperature,
    )
    print(arguments.prime + text)
    return 0
