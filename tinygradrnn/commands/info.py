"""``tinygradrnn info``: say what runs here, what does not, and why."""

from __future__ import annotations

import argparse
import platform
from importlib.metadata import PackageNotFoundError, version

import tinygradrnn as tg
from tinygradrnn.backend import ENVIRONMENT_VARIABLE, active_origin
from tinygradrnn.plugins import plug_in

SUMMARY = "say what tinygradrnn runs on here"
EXAMPLES = None
PACKAGES = ("numpy", "safetensors", "matplotlib", "rich", "graphviz")
OPTIONAL = ("pygraphviz", "numba", "cupy", "cupy-cuda12x", "cupy-cuda13x")
SWITCHING = f"""\
to switch: set {ENVIRONMENT_VARIABLE} before the first array is made, or call
    tinygradrnn.use_backend(name); tensor.to(name) and model.to(name) move what is there already
on the host with any backend: random numbers (initial weights, dropout masks), so that a seed gives
    the same ones everywhere; recording, pictures, checkpoints, decoding"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing can be asked for."""


def run(arguments: argparse.Namespace) -> int:
    """Say what runs here, what does not, and why."""
    from tinygradrnn.drawing import RendererNotFoundError, find_renderer

    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    print(f"tinygradrnn {tg.__version__}, {python}")
    for package in (*PACKAGES, *OPTIONAL):
        try:
            print(f"  {package} {version(package)}")
        except PackageNotFoundError:
            if package in PACKAGES:
                print(f"  {package} is not installed")
    print("backends:")
    for name, (usable, reason) in tg.available_backends().items():
        print("\n    ".join(_tried(name, usable, reason)))
    print(SWITCHING)
    try:
        print(f"pictures are drawn by {find_renderer().name}")
    except RendererNotFoundError as error:
        print(f"pictures are not drawn: {error}")
    backend = tg.get_backend()
    print(f"active backend: {backend.name} on {backend.device}, from {active_origin()}")
    return 0


def _tried(name: str, usable: bool, reason: str) -> list[str]:
    """What a backend runs on; or what is missing, and on a line of its own what to do."""
    if usable:
        try:
            device = plug_in(name).load()().device
            return [f"  {name} runs: {reason}{'' if device == 'cpu' else f', {device}'}"]
        except Exception as error:
            reason = str(error)
    missing, _, remedy = reason.partition(". ")
    return [f"  {name} does not run: {missing}{'.' * bool(remedy)}", *([remedy] if remedy else [])]
