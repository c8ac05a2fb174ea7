"""The command ``tinygradrnn``: train, sample, draw, info."""

from __future__ import annotations

import argparse
import os
import platform
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NoReturn

import tinygradrnn as tg
from tinygradrnn.backend import ENVIRONMENT_VARIABLE, active_origin, load_backend

EXAMPLES = {
    "train": """
examples:
  tinygradrnn train                                an LSTM on the plays that come along, a minute
  tinygradrnn train --text notes.txt --cell gru    another text, another cell
  tinygradrnn train --hidden 256 --layers 2 --dropout 0.2 --steps 20000 --out runs/long
""",
    "sample": """
examples:
  tinygradrnn sample runs/shakespeare-lstm-1
  tinygradrnn sample runs/shakespeare-lstm-1 --prime "ROMEO:" --temperature 0.7 --length 1000
""",
    "draw": """
examples:
  tinygradrnn draw lstm                            three steps of an LSTM, every operation
  tinygradrnn draw gru --level gate --gradients    by gates, with the sizes of the gradients
  tinygradrnn draw runs/shakespeare-lstm-1 --steps 5 --gradients -o trained.png
""",
}
PACKAGES = ("numpy", "safetensors", "matplotlib", "rich", "graphviz", "pygraphviz")
INTERRUPTED, WRONG = 130, 2


class UserError(Exception):
    """What the user can put right, in one sentence."""


class Parser(argparse.ArgumentParser):
    """An argument parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: error: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process when None.

    Returns
    -------
    int
        The exit status: 0, 2 if the user has something to put right, 130 after Ctrl-C.
    """
    from tinygradrnn.checkpoint import CheckpointError
    from tinygradrnn.text import TextError
    from tinygradrnn.training import RunError

    parser = make_parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as end:
        return int(end.code or 0)
    expected = (UserError, TextError, RunError, CheckpointError, OSError, MemoryError)
    backend_errors = (tg.UnknownBackendError, tg.BackendUnavailableError)
    try:
        with _backend(getattr(arguments, "backend", None)):
            status = int(arguments.run(arguments))
            sys.stdout.flush()  # here, where a reader that has gone is not an error
            return status
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (*expected, *backend_errors) as error:
        print(f"tinygradrnn {arguments.command}: error: {error}", file=sys.stderr)
        return WRONG


def _backend(name: str | None) -> AbstractContextManager[Any]:
    if name is None:
        return nullcontext()
    return tg.backend_scope(load_backend(name, "--backend"))


# ---------------------------------------------------------------- what can be asked for


def make_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="tinygradrnn",
        description="Recurrent networks whose computational graph you can see.",
    )
    parser.add_argument("--version", action="version", version=tg.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _train_parser(_command(commands, train, "train a model of a text, character by character"))
    _sample_parser(_command(commands, sample, "let a trained model write"))
    _draw_parser(_command(commands, draw, "draw the graph of a cell or of a trained model"))
    _command(commands, info, "say what tinygradrnn runs on here")
    return parser


def _command(commands: Any, run: Any, summary: str) -> Parser:
    name = run.__name__
    parser: Parser = commands.add_parser(
        name,
        help=summary,
        description=f"{summary[0].upper()}{summary[1:]}.",
        epilog=EXAMPLES.get(name),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _train_parser(parser: Parser) -> None:
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
    number("threads", "for matrix products; more help large models on an idle machine")
    parser.add_argument(
        "--no-compile",
        dest="compile",
        action="store_false",
        help="compute every step operation by operation: slower, for looking at the explicit path",
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write (default: runs/NAME-1, -2, ...)"
    )
    _backend_flag(parser)


def _sample_parser(parser: Parser) -> None:
    parser.add_argument("folder", type=Path, metavar="RUN", help="folder that train wrote")
    parser.add_argument(
        "--length", type=_at_least(1), default=500, metavar="N", help="(default: 500)"
    )
    parser.add_argument(
        "--temperature",
        type=_at_least(0.0),
        default=1.0,
        metavar="X",
        help="below 1 safer, above 1 wilder, 0 always the likeliest (default: 1)",
    )
    parser.add_argument("--prime", default="", metavar="TEXT", help="what the text begins with")
    parser.add_argument(
        "--seed",
        type=_at_least(0),
        metavar="N",
        help="for the same text again (default: another each time)",
    )
    _backend_flag(parser)


def _draw_parser(parser: Parser) -> None:
    parser.add_argument(
        "target",
        nargs="?",
        default="lstm",
        metavar="elman|lstm|gru|RUN",
        help="a cell, or the folder that train wrote (default: lstm)",
    )
    parser.add_argument("--steps", type=_at_least(1), default=3, metavar="T", help="(default: 3)")
    parser.add_argument(
        "--level",
        choices=("op", "gate", "cell", "layer"),
        help="what is a box (default: op for a cell, cell for a run)",
    )
    parser.add_argument("--gradients", action="store_true", help="show how large the gradients are")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="ends in .svg, .png, .pdf, .dot or .html (default: NAME.svg)",
    )


def _backend_flag(parser: Parser) -> None:
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help=f"numpy, cupy, auto ... (default: ${ENVIRONMENT_VARIABLE}, or numpy)",
    )


# ---------------------------------------------------------------- the commands


def train(arguments: argparse.Namespace) -> int:
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


def sample(arguments: argparse.Namespace) -> int:
    """Print text that a trained model draws."""
    from tinygradrnn.models import generate
    from tinygradrnn.training import load_run

    run = load_run(arguments.folder)
    try:
        run.vocabulary.encode(arguments.prime)
    except ValueError as error:
        raise UserError(f"--prime: {error} of {arguments.folder}") from None
    if arguments.seed is not None:
        tg.manual_seed(arguments.seed)
    (text,) = generate(
        run.model,
        run.vocabulary,
        arguments.length,
        prime=arguments.prime,
        temperature=arguments.temperature,
    )
    print(arguments.prime + text)
    return 0


def draw(arguments: argparse.Namespace) -> int:
    """Draw the graph of a cell, or of a trained model reading a few characters."""
    from tinygradrnn.drawing import DrawingError
    from tinygradrnn.drawing import draw as picture
    from tinygradrnn.drawing.picture import FORMATS
    from tinygradrnn.models import CELLS, generate
    from tinygradrnn.training import cell_example, load_run, unrolled_loss

    steps, target = arguments.steps, Path(arguments.target)
    path = arguments.output or Path(f"{target.resolve().name}.svg")
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"--output: {str(path)!r} should end in one of {', '.join(FORMATS)}")
    if arguments.target in CELLS:
        loss = cell_example(arguments.target, steps)
        level = arguments.level or "op"
    else:
        run = load_run(target)
        tg.manual_seed(0)
        (text,) = generate(run.model.eval(), run.vocabulary, steps + 1)
        loss = unrolled_loss(run.model, run.vocabulary, text)
        level = arguments.level or "cell"
    try:
        print(picture(loss, level=level, gradients=arguments.gradients).save(path))
    except DrawingError as error:
        raise UserError(str(error)) from None
    return 0


def info(arguments: argparse.Namespace) -> int:
    """Say what runs here, what does not, and why."""
    from tinygradrnn.drawing import RendererNotFoundError, find_renderer

    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    print(f"tinygradrnn {tg.__version__}, {python}")
    for package in PACKAGES:
        try:
            print(f"  {package} {version(package)}")
        except PackageNotFoundError:
            print(f"  {package} is not installed")
    print("backends:")
    for name, (usable, reason) in tg.available_backends().items():
        print(f"  {name} {'runs' if usable else 'does not run'}: {reason}")
    try:
        print(f"pictures are drawn by {find_renderer().name}")
    except RendererNotFoundError as error:
        print(f"pictures are not drawn: {error}")
    print(f"active backend: {tg.get_backend().name}, from {active_origin()}")
    return 0


def _at_least(low: float) -> Callable[[str], Any]:
    """What argparse makes of a number: of the type of the lowest that is allowed."""

    def number(text: str) -> Any:
        value = type(low)(text)
        if not low <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be at least {low}, got {text}")
        return value

    number.__name__ = type(low).__name__  # for "invalid int value: 'x'"
    return number
