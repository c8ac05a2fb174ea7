"""The commands of the command line, a module for each.

A module holds ``SUMMARY`` and ``EXAMPLES`` for its help, ``add_arguments(parser)``, and
``run(arguments)``, which returns the exit status. What it needs it imports when it runs, so that
the others start without.
"""

from tinygradrnn.commands import draw, info, sample, step, train, tutorial

COMMANDS = {
    "train": train,
    "sample": sample,
    "draw": draw,
    "step": step,
    "tutorial": tutorial,
    "info": info,
}
