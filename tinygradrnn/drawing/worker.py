"""Draw with the Graphviz inside pygraphviz: DOT on standard input, ``python worker.py svg``.

A process of its own, because a drawing there can neither be interrupted nor, once it fails, be
survived.
"""

from __future__ import annotations

import sys
from importlib import import_module


def main() -> None:
    """Read DOT, write the picture."""
    graph = import_module("pygraphviz").AGraph(string=sys.stdin.buffer.read().decode())
    sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="nop2"))


if __name__ == "__main__":
    main()
