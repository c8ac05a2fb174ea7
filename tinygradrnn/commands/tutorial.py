"""``tinygradrnn tutorial``: list the tutorials, step through one, write notebooks and pages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tinygradrnn.commands.flags import INTERRUPTED, WRONG, UserError

if TYPE_CHECKING:
    from tinygradrnn.course.parsing import Tutorial

SUMMARY = "list the tutorials, step through one, or write them as notebooks or web pages"
EXAMPLES = """
examples:
  tinygradrnn tutorial                             list them
  tinygradrnn tutorial 03                          step through one here in the terminal
  tinygradrnn tutorial 03 --notebook               a Jupyter notebook; opened if Jupyter is there
  tinygradrnn tutorial 03 --html                   run it, and write one page with its pictures
  tinygradrnn tutorial --html all -o site/         the course as a web site, from site/index.html
  tinygradrnn tutorial 01 --folder lessons/        tutorials of your own
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What can be asked for."""
    parser.add_argument(
        "which", nargs="?", metavar="TUTORIAL", help="its number or name; all, with --html"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--notebook", action="store_true", help="write a Jupyter notebook")
    form.add_argument("--html", action="store_true", help="run it and write a page")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PATH",
        help="the file to write (default: NAME.ipynb, NAME.html); with all: the folder "
        "(default: site)",
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="of the tutorials (default: those of the course)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked for, and say what was written where."""
    from tinygradrnn.course.parsing import TutorialError

    if arguments.output is not None and not (arguments.html or arguments.notebook):
        raise UserError("--output: only --html and --notebook write to it")
    if arguments.which is None and (arguments.html or arguments.notebook):
        raise UserError("say which tutorial, as in 'tutorial 03 --html', or 'tutorial all --html'")
    if arguments.which == "all" and not arguments.html:
        raise UserError("all: only --html takes all of them; name one by its number")
    try:
        return _run(arguments)
    except TutorialError as error:
        raise UserError(str(error)) from None


def _run(arguments: argparse.Namespace) -> int:
    from tinygradrnn.course.finding import find_tutorial, tutorial_files
    from tinygradrnn.course.parsing import read_tutorial
    from tinygradrnn.course.terminal import walk

    which, output, folder = arguments.which, arguments.output, arguments.folder
    if which is None or which == "all":
        tutorials = [read_tutorial(path) for path in tutorial_files(folder).values()]
        return _list(tutorials) if which is None else _site(tutorials, output or Path("site"))
    tutorial = find_tutorial(which, folder)
    if arguments.notebook:
        return _notebook(tutorial, output or Path(f"{tutorial.name}.ipynb"))
    if arguments.html:
        return _page(tutorial, output or Path(f"{tutorial.name}.html"))
    return walk(tutorial)


def _list(tutorials: Sequence[Tutorial]) -> int:
    for each in tutorials:
        print(f"{each.number}  {each.minutes:>5} min  {each.title}")
    print(f"Their files are in {tutorials[0].path.parent}")
    return 0


def _notebook(tutorial: Tutorial, path: Path) -> int:
    from tinygradrnn.course.notebook import NotebookError, open_notebook, write_notebook

    if path.suffix != ".ipynb":
        raise UserError(f"--output: {str(path)!r} should end in .ipynb")
    if path.exists():
        print(f"{path} is there already and stays as it is; --output writes another one")
    else:
        try:
            print(write_notebook(tutorial, path))
        except NotebookError as error:
            raise UserError(str(error)) from None
    open_notebook(path)
    return 0


def _page(tutorial: Tutorial, path: Path) -> int:
    from tinygradrnn.course.progress import progress
    from tinygradrnn.course.running import execute
    from tinygradrnn.course.site import write_page

    if path.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"--output: {str(path)!r} should end in .html")
    with progress([tutorial]) as show:
        done = execute(tutorial, partial(show, tutorial))
    print(write_page(done, path))
    return _status([done.failure] if done.failure else [])


def _site(tutorials: Sequence[Tutorial], folder: Path) -> int:
    from tinygradrnn.course.pages import HOME
    from tinygradrnn.course.progress import progress
    from tinygradrnn.course.site import Site

    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output: {folder} is a file; give a folder for the pages")
    site = Site(folder, tutorials)
    stopped = False
    try:
        with progress(tutorials) as show:
            site.build(show)
    except KeyboardInterrupt:
        stopped = True
        print("Stopped by Ctrl-C.", file=sys.stderr)
    where = f"; begin at {folder / HOME}" if site.written else ""
    print(f"Wrote the pages of {len(site.written)} of {len(tutorials)} tutorials{where}")
    status = _status(site.failures)
    return INTERRUPTED if stopped else status


def _status(failures: Sequence[str]) -> int:
    """Say which cells failed; their pages show the tracebacks."""
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return WRONG if failures else 0
