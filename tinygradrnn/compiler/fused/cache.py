"""Kernels on disk: what was compiled once is only loaded by later processes."""

from __future__ import annotations

import hashlib
import importlib.util
import linecache
import marshal
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple

FUSED = Path(__file__).parent


def installed() -> bool:
    """Whether kernels can be compiled."""
    return importlib.util.find_spec("numba") is not None


class Source(NamedTuple):
    """A function of a module that is compiled."""

    text: str
    name: str = "run"


LOCK = RLock()


def located(source: Source) -> int:
    """Where a function is in memory, compiled here or before by another process.

    One thread at a time: LLVM wants it, and what two threads compile at once would be kept for
    one of them only.
    """
    with LOCK:
        name, library = module(source.text)
        return int(library.get_pointer_to_function(f"{name}.{source.name}"))


@cache
def module(text: str) -> tuple[str, Any]:
    """The machine code of a text and its name, from the folder of kernels."""
    name = f"kernel_{hashlib.sha256((stamp() + text).encode()).hexdigest()[:20]}"
    path = folder() / name
    if path.exists():
        return name, generator().unserialize_library(marshal.loads(path.read_bytes()))
    library = compiled(name, text)
    place(path, marshal.dumps(library.serialize_using_object_code()))
    return name, library


def compiled(name: str, text: str) -> Any:
    """A text as machine code."""
    from numba.core.compiler_lock import global_compiler_lock

    from tinygradrnn.compiler.fused.native.translation import Entry, translate

    linecache.cache[name] = len(text), None, text.splitlines(keepends=True), name
    names: dict[str, Any] = {}
    exec(compile(text, name, "exec"), names)
    library = generator().create_library(name)
    library.enable_object_caching()
    code = library.create_ir_module(name)
    translate([found for found in names.values() if isinstance(found, Entry)], code)
    with global_compiler_lock:
        library.add_ir_module(code)
        library.finalize()
    return library


@cache
def generator() -> Any:
    """Numba's generator of machine code for this processor."""
    from numba.core import codegen

    make: Any = codegen.JITCPUCodegen
    return make("tinygradrnn")


@cache
def stamp() -> str:
    """What else compiled code depends on."""
    import numba

    names = ("native/runtime.py", "native/translation.py", "sizes.py")
    versions = (numba.__version__, sys.version_info[:2], *generator().magic_tuple())
    return " ".join(map(str, (*versions, *map(written, names))))


@cache
def written(name: str, dtype: str = "float32") -> str:
    """The text of a file, about another dtype."""
    text = (FUSED / name).read_text(encoding="utf-8")
    if dtype == "float64":
        text = text.replace("float32", "float64")
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


def place(path: Path, content: bytes) -> None:
    """Write a file at one go: another process sees all of it or nothing."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(temporary, path)
