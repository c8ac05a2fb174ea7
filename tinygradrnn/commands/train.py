"""``tinygradrnn train``: train a model of a text and write a folder."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields
from pathlib import Path

from tinygradrnn.commands.flags import INTERRUPTED, UserError, add_backend

SUMMARY = "train a model of a text, character by character"
EXAMPLES = """
examples:
  tinygradrnn train                                an LSTM on the plays that come along, a minute
  tinygradrnn train --text notes.txt --cell gru    another text, another cell
  tinygradrnn train --hidden 256 --layers 2 --dropout 0.2 --steps 20000 --out runs/long
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    from tinygradrnn.models import CELLS
    from tinygradrnn.training import Settings

    default = Settings()

    def number(flag: str, what: str) -> None:
        value = getattr(default, flag)
        parser.add_argument(
            f"--{flag}",
            type=type(value),
            default=value,
            metavar="N" if isinstance(value, int) else "X",
            help=f"{what} (default: {value})",
        )

    parser.add_argument(
        "--text", type=Path, metavar="FILE", help="UTF-8 text (default: nine plays of Shakespeare)"
    )
    parser.add_argument(
        "--cell", choices=CELLS, default=default.cell, help=f"(default: {default.cell})"
    )
    number("hidden", "units of a recurrent layer")
    number("embedding", "numbers that stand for a character")
    number("layers", "recurrent layers")
    number("dropout", "share of the units that are dropped in a step of training")
    number("batch", "places of the text that are read side by side")
    number("length", "characters that each reads before the weights change")
    number("steps", "how many times the weights change")
    number("lr", "highest learning rate")
    number("clip", "norm to which larger gradients are scaled down")
    number("seed", "start of the random numbers; the same seed gives the same run")
    number("threads", "to compute with; more help large models on an idle machine")
    parser.add_argument(
        "--no-compile",
        dest="compile",
        action="store_false",
        help="compute every step operation by operation: slower, for looking at the explicit path",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write (default: runs/NAME-1, -2, ...)"
    )
    add_backend(parser)


def run(arguments: argparse.Namespace) -> int:
    """Train a model of a text and write a folder."""
    from tinygradrnn.data import shakespeare
    from tinygradrnn.drawing import DrawingError
    from tinygradrnn.text import read_text
    from tinygradrnn.training import CharacterJob, Settings, new_folder, progress

    try:
        settings = Settings(**{f.name: getattr(arguments, f.name) for f in fields(Settings)})
    except ValueError as error:
        raise UserError(f"--{error}") from None
    path = arguments.text
    text = shakespeare() if path is None else read_text(path)
    name = "shakespeare" if path is None else path.stem
    job = CharacterJob(text, "shakespeare" if path is None else str(path), settings)
    folder = new_folder(arguments.out, f"{name}-{settings.cell}")
    if arguments.out not in (None, folder):
        print(f"{arguments.out} holds a run already; this one goes to {folder}")
    print(job.describe(), flush=True)
    with progress(settings.steps) as show:
        finished = job.train(folder, show)
    if not finished:
        done = len(job.trainer.records)
        print(f"Stopped by Ctrl-C after step {done}; writing what was learned.", file=sys.stderr)
    text = job.finish(folder)
    print(job.result())
    print(f"\n{text}\n")
    try:
        job.draw(folder)
    except DrawingError as error:
        print(f"The graph was not drawn: {error}", file=sys.stderr)
    print(f"Written to {folder}: {', '.join(sorted(os.listdir(folder)))}")
    print(f"More text: tinygradrnn sample {folder}")
    return 0 if finished else INTERRUPTED
