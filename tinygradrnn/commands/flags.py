"""What the commands' flags share, and the error for what the user can put right."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from tinygradrnn.backend import ENVIRONMENT_VARIABLE

INTERRUPTED, WRONG = 130, 2


class UserError(Exception):
    """What the user can put right, in one sentence."""


def add_backend(parser: argparse.ArgumentParser) -> None:
    """The flag that chooses the backend."""
    parser.add_argument(
        "--backend",
        metavar="NAME",
        help=f"numpy, cupy, auto ... (default: ${ENVIRONMENT_VARIABLE}, or numpy)",
    )


def at_least(low: float) -> Callable[[str], Any]:
    """What argparse makes of a number: of the type of the lowest that is allowed."""

    def number(text: str) -> Any:
        value = type(low)(text)
        if not low <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be at least {low}, got {text}")
        return value

    number.__name__ = type(low).__name__  # for "invalid int value: 'x'"
    return number
