"""The command ``tinygradrnn``: reads the arguments, and runs one of ``commands``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NoReturn

import tinygradrnn as tg
from tinygradrnn.backend import scope_from
from tinygradrnn.commands import COMMANDS
from tinygradrnn.commands.flags import INTERRUPTED, WRONG, UserError


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
    return nullcontext() if name is None else scope_from(name, "--backend")


def make_parser() -> Parser:
    """The parser of all commands."""
    parser = Parser(
        prog="tinygradrnn",
        description="Recurrent networks whose computational graph you can see.",
    )
    parser.add_argument("--version", action="version", version=tg.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        own = commands.add_parser(
            name,
            help=command.SUMMARY,
            description=f"{command.SUMMARY[0].upper()}{command.SUMMARY[1:]}.",
            epilog=command.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(own)
        own.set_defaults(run=command.run)
    return parser
