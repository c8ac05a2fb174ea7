"""What ``draw`` and its like are pointed at: a cell by name, a run, a function of the user's."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from tinygradrnn.commands.flags import UserError, at_least
from tinygradrnn.graph import Graph
from tinygradrnn.seeds import manual_seed
from tinygradrnn.tensors import Tensor

STEPS = 3


class Target(NamedTuple):
    """What was found: a name for files, the loss, the level to draw at unless told otherwise."""

    name: str
    loss: Tensor | Graph | list[Tensor]
    level: str


def add_target(parser: argparse.ArgumentParser) -> None:
    """The target, and the flags that say more about it."""
    from tinygradrnn.models import EXAMPLES

    parser.add_argument(
        "target",
        nargs="?",
        default="lstm",
        metavar="TARGET",
        help=f"a cell ({', '.join(EXAMPLES)}), the folder of a run, or a function of yours "
        "without arguments that returns a loss: MODULE:FUNCTION or FILE.py:FUNCTION "
        "(default: lstm)",
    )
    parser.add_argument(
        "--steps", type=at_least(1), metavar="T", help=f"time steps (default: {STEPS})"
    )
    parser.add_argument(
        "--text", help="what it reads, a character in each step, instead of --steps"
    )
    parser.add_argument(
        "--layers", type=at_least(1), default=1, metavar="N", help="of a cell (default: 1)"
    )
    parser.add_argument("--bidirectional", action="store_true", help="a cell in both directions")


def find_target(arguments: argparse.Namespace) -> Target:
    """Build the graph that the arguments describe.

    Raises
    ------
    UserError
        If there is nothing of that name, or it is no graph.
    """
    from tinygradrnn.models import EXAMPLES, example_loss

    name, text = arguments.target, arguments.text
    if text is not None and len(text) < 2:
        raise UserError(f"--text: {text!r} is too short; give two characters or more")
    if text is not None and arguments.steps is not None:
        raise UserError("--steps: a text has as many steps as characters to be predicted; give one")
    if name in EXAMPLES:
        loss = example_loss(
            name,
            arguments.steps or STEPS,
            layers=arguments.layers,
            bidirectional=arguments.bidirectional,
            text=text,
        )
        return Target(name, loss, "op")
    for flag, given in (
        ("layers", arguments.layers > 1),
        ("bidirectional", arguments.bidirectional),
    ):
        if given:
            raise UserError(f"--{flag}: only for a cell by name; {name} is what it is")
    if Path(name).is_dir():
        return Target(Path(name).resolve().name, _of_run(Path(name), arguments), "cell")
    if ":" in name:
        for flag in ("steps", "text"):
            if getattr(arguments, flag) is not None:
                raise UserError(f"--{flag}: {name} decides that itself")
        return Target(name.rpartition(":")[2], _of_function(name), "op")
    if name.endswith(".py"):
        raise UserError(f"{name}: say which function of it returns the loss: {name}:FUNCTION")
    raise UserError(
        f"there is no cell and no folder {name!r}; the cells are {', '.join(EXAMPLES)}; a function "
        "of yours is MODULE:FUNCTION or FILE.py:FUNCTION"
    )


def _of_run(folder: Path, arguments: argparse.Namespace) -> Tensor:
    """The loss of a trained model, of a text of its own if none is given."""
    from tinygradrnn.models import generate, unrolled_loss
    from tinygradrnn.training import load_run

    run = load_run(folder)
    text = arguments.text
    if text is None:
        manual_seed(0)
        (text,) = generate(run.model, run.vocabulary, (arguments.steps or STEPS) + 1)
    run.model.eval()
    try:
        return unrolled_loss(run.model, run.vocabulary, text)
    except ValueError as error:
        raise UserError(f"--text: {error} of {folder}") from None


# ---------------------------------------------------------------- a function of the user's


def _of_function(target: str) -> Tensor | Graph | list[Tensor]:
    """What ``module:function`` returns."""
    place, _, name = target.rpartition(":")
    with _search_first(Path(place).parent if place.endswith(".py") else Path()):
        function = _function(_module(place), place, name)
        needed = _needed(function)
        if needed:
            raise UserError(
                f"{target} needs arguments ({', '.join(needed)}); give one that needs none"
            )
        with _their_traceback(target):
            found = function()
    if isinstance(found, Tensor | Graph):
        return found
    several = list(found) if isinstance(found, Iterable) and not isinstance(found, str) else []
    if several and all(isinstance(each, Tensor) for each in several):
        return several
    raise UserError(
        f"{target} returned {_what(found)}; it should return a loss: a Tensor "
        "(or a Graph, or several Tensors)"
    )


@contextmanager
def _search_first(folder: Path) -> Iterator[None]:
    """Let imports look in a folder first, as they do for a program that lies there."""
    before = sys.path.copy()
    sys.path.insert(0, str(folder.resolve()))
    try:
        yield
    finally:
        sys.path[:] = before


def _module(place: str) -> ModuleType:
    if not place.endswith(".py"):
        with _their_traceback(place):
            try:
                return importlib.import_module(place)
            except ModuleNotFoundError as error:
                if error.name is None or not f"{place}.".startswith(f"{error.name}."):
                    raise  # found, and misses another one
            except (ValueError, TypeError):  # no name of a module: "", ".a", "a..b"
                pass
        searched = os.pathsep.join(dict.fromkeys(sys.path))
        raise UserError(f"there is no module {place!r} in {searched}; a file is FILE.py:FUNCTION")
    if not Path(place).is_file():
        raise UserError(f"{place}: there is no such file")
    # under a name that no module has, so that a file may be called as a package is
    spec = importlib.util.spec_from_file_location(place, Path(place).resolve())
    if spec is None or spec.loader is None:
        raise UserError(f"{place} is not a file of Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[place] = module  # where dataclasses look for what an annotation means
    with _their_traceback(place):
        spec.loader.exec_module(module)
    return module


def _function(module: ModuleType, place: str, name: str) -> Callable[[], Any]:
    found = getattr(module, name, None)
    if callable(found):
        return found  # type: ignore[no-any-return]
    there = [
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    what = (
        f"{place}:{name} is {_what(found)}, no function"
        if found is not None
        else (f"{place} has no function {name!r}")
    )
    raise UserError(f"{what}; its functions are: {', '.join(there) or 'none'}")


def _what(found: object) -> str:
    return "None" if found is None else f"an object of type {type(found).__name__}"


def _needed(function: Callable[..., Any]) -> list[str]:
    """The arguments without which it cannot be called."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # one that does not tell
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [p.name for p in parameters if p.default is p.empty and p.kind not in optional]


@contextmanager
def _their_traceback(target: str) -> Iterator[None]:
    """Show what went wrong in the user's code, from the first line of it on."""
    try:
        yield
    except (Exception, SystemExit) as error:
        frames = error.__traceback__
        ours = {__file__, importlib.__file__}
        while frames is not None and (
            frames.tb_frame.f_code.co_filename in ours
            or frames.tb_frame.f_code.co_filename.startswith("<frozen importlib")
        ):
            frames = frames.tb_next
        sys.stderr.writelines(traceback.format_exception(type(error), error, frames))
        raise UserError(f"{target} raised {type(error).__name__}, see above") from None
