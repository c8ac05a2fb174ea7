"""``tinygradrnn info``: say what runs here, what does not, and why."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

import tinygradrnn as tg
from tinygradrnn.backend import active_origin

SUMMARY = "say what tinygradrnn runs on here"
EXAMPLES = None
PACKAGES = ("numpy", "safetensors", "matplotlib", "rich", "graphviz", "pygraphviz")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing can be asked for."""


def run(arguments: argparse.Namespace) -> int:
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
