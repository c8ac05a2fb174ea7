"""Kernels on disk: what was compiled once is only loaded by later processes."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FUSED = Path(__file__).parent


def installed() -> bool:
    """Whether kernels can be compiled."""
    return importlib.util.find_spec("numba") is not None


class Source(NamedTuple):
    """A function of a module that is compiled."""

    text: str
    name: str = "run"


def located(source: Source) -> int:
    """Where a function is in memory, compiled here or before by another process."""
    return int(getattr(module(source.text), source.name).address)


@cache
def module(text: str) -> Any:
    """A module of this text, from the folder of kernels."""
    name = name_of(text)
    path = folder() / f"{name}.py"
    if not holds(path, text):
        place(path, text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found  # Numba looks for the module of what it loads
    spec.loader.exec_module(found)
    return found


def name_of(text: str) -> str:
    """The name of the module of a text."""
    return f"kernel_{hashlib.sha256((stamp() + text).encode()).hexdigest()[:20]}"


def on_disk(text: str) -> bool:
    """Whether a text has been compiled."""
    from numba import config

    root = Path(vars(config)["CACHE_DIR"] or folder())
    return any(root.glob(f"*/{name_of(text)}.*.nbi"))


@cache
def stamp() -> str:
    """What else a compiled kernel depends on; Numba itself tells processors apart."""
    import numba

    texts = [written("native/runtime.py"), written("sizes.py")]
    return " ".join([numba.__version__, str(sys.version_info[:2]), *texts])


@cache
def written(name: str, dtype: str = "float32") -> str:
    """The text of a file, about another dtype."""
    text = (FUSED / name).read_text(encoding="utf-8")
    if dtype == "float64":
        text = text.replace("float32", "float64").replace("FloatType", "DoubleType")
    return text


@cache
def folder() -> Path:
    """``TINYGRADRNN_CACHE``, else a folder of the user's; a temporary one if it is read-only."""
    given = os.environ.get("TINYGRADRNN_CACHE")
    wanted = [Path(given, "kernels")] if given else candidates()
    for path in wanted:
        if writable(path):
            return path.expanduser()
    return Path(tempfile.mkdtemp(prefix="tinygradrnn-"))


def candidates() -> list[Path]:
    """Folders for what can be made again, by the customs of each system."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        found = [Path(base)] if base else []
    elif sys.platform == "darwin":
        found = [Path("~/Library/Caches")]
    else:
        found = [Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache")]
    return [path / "tinygradrnn" / "kernels" for path in found]


def writable(path: Path) -> bool:
    """Whether files can be made in a folder, which is made if it is not there."""
    try:
        path.expanduser().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.expanduser()):
            return True
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return False


def holds(path: Path, text: str) -> bool:
    """Whether a file is there and has this text."""
    try:
        return path.read_text(encoding="utf-8") == text
    except (OSError, UnicodeError):
        return False


def place(path: Path, text: str) -> None:
    """Write a file at one go: another process sees all of it or nothing.

    Its time is fixed, as Numba takes a file with another time for another one.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    os.utime(temporary, (1, 1))
    os.replace(temporary, path)
