"""What an array backend must offer, and how one is found by its name.

A backend is a plug-in registered under the entry-point group ``tinygradrnn.backends``; the two
that ship with tinygradrnn (``numpy`` and ``cupy``) come through the same door as a third party's.
Nothing here imports one before it is asked for by name.
"""

from __future__ import annotations

import difflib
import threading
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, Protocol

import numpy as np

ENTRY_POINT_GROUP = "tinygradrnn.backends"
PROTOCOL_VERSION = 1

BUILT_IN = ("numpy", "cupy", "guard")
AUTO = "auto"
NICKNAMES = {"gpu": "cupy", "cuda": "cupy", "cpu": "numpy", "np": "numpy"}

Array = Any  # no type is common to the arrays of all backends


class UnknownBackendError(ValueError):
    """No backend has the name that was asked for."""


class BackendUnavailableError(RuntimeError):
    """The backend is known, but it cannot run here."""


class MixedBackendError(TypeError):
    """Arrays of different backends met in one operation."""


class Backend(Protocol):
    """What a plug-in must offer; its entry point names a class that is called without arguments.

    An operation is written once, on `xp`; a backend adds only what array libraries do differently.
    Making one must have no effect on others.

    Attributes
    ----------
    protocol : int
        The version of this protocol that the backend is written for: 1.
    name : str
        The name of its entry point.
    xp : module
        Its array functions under NumPy's names.
    array_type : type
        The type of its arrays.
    device : str
        Where its arrays live, for people to read.
    """

    protocol: int
    name: str
    xp: Any
    array_type: type

    @property
    def device(self) -> str: ...

    @staticmethod
    def available() -> tuple[bool, str]:
        """Say whether the backend can run on this machine, without making one.

        Returns
        -------
        ok : bool
            Whether it can.
        reason : str
            If it can: on what. If not: a first sentence that says what is missing, worded to
            follow "... was asked for but", then what to do about it.

        Raises
        ------
        Exception
            If the library is installed but broken, so that even ``auto`` does not hide it.
        """
        ...

    def asarray(self, data: Any, dtype: Any = None) -> Array:
        """Make an array from host data, a NumPy array, or an array of its own (not copied)."""
        ...

    def to_numpy(self, array: Array) -> np.ndarray:
        """Bring an array to the host."""
        ...

    def scatter_add(self, target: Array, index: Any, values: Array) -> None:
        """Add `values` to ``target[index]`` in place; what an index repeats accumulates.

        The order of the additions, and so each rounding, must be the same in every run.
        """
        ...

    def synchronize(self) -> None:
        """Wait until all work that was asked for has been done."""
        ...

    def memory_info(self) -> dict[str, int]:
        """Bytes of memory by kind; the kinds are the backend's own."""
        ...


REQUIRED = sorted(
    {*Backend.__annotations__, *(name for name in vars(Backend) if not name.startswith("_"))}
)


class Origin(NamedTuple):
    """Where the name of a backend was given."""

    place: str  # "use_backend() at train.py:3"
    request: str  # "use_backend('cupy') at train.py:3"
    way_back: str  # what to do to run on the CPU instead


_lock = threading.RLock()
_loaded: dict[str, Backend] = {}


def load(name: str, origin: Origin) -> Backend:
    """Make the backend of this name, once per process."""
    with _lock:
        if name not in _loaded:
            if name not in registered():
                raise UnknownBackendError(_unknown(name, origin))
            _loaded[name] = _make(name, origin)
        return _loaded[name]


def _make(name: str, origin: Origin) -> Backend:
    asked = f"The {name} backend was asked for ({origin.request})"
    entry = plug_in(name)
    try:
        kind = entry.load()
        usable, reason = kind.available()
        if not usable:
            raise BackendUnavailableError(reason)
        backend: Backend = kind()
    except BackendUnavailableError as error:
        raise BackendUnavailableError(
            f"{asked} but {error} To run on the CPU: {origin.way_back}."
        ) from error.__cause__
    except Exception as error:
        raise BackendUnavailableError(
            f"{asked} but loading it from {entry.value} ({_distribution(entry)}) failed: "
            f"{type(error).__name__}: {error}. To run on the CPU: {origin.way_back}."
        ) from error
    check(backend, f"{entry.value} ({_distribution(entry)})")
    if backend.name != name:
        raise BackendUnavailableError(
            f"{entry.value} is registered as {name!r} but names itself {backend.name!r}."
        )
    return backend


def check(backend: Backend, whose: str) -> None:
    """Refuse what does not offer the protocol, naming what it lacks."""
    missing = [name for name in REQUIRED if not hasattr(backend, name)]
    if missing:
        raise BackendUnavailableError(
            f"{whose} is not a tinygradrnn backend: it lacks {', '.join(missing)}. "
            "tinygradrnn.backend.Backend says what a backend must offer."
        )
    if backend.protocol != PROTOCOL_VERSION:
        raise BackendUnavailableError(
            f"{whose} is written for version {backend.protocol} of the backend protocol; this "
            f"tinygradrnn has version {PROTOCOL_VERSION}. Install matching versions of the two."
        )


def registered() -> dict[str, list[EntryPoint]]:
    """Every registered name with all who claim it, the built-in ones first."""
    found: dict[str, list[EntryPoint]] = {name: [] for name in BUILT_IN}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda each: each.name):
        found.setdefault(entry.name.lower(), []).append(entry)
    return found


def plug_in(name: str) -> EntryPoint:
    """Return the one entry point of a registered name; two that claim it are an error."""
    claims = registered()[name]
    if not claims:
        raise BackendUnavailableError(
            f"The {name} backend ships with tinygradrnn, but no installed package registers it: "
            "tinygradrnn runs from a folder that was never installed. In the folder of its "
            "pyproject.toml: pip install -e ."
        )
    if len(claims) == 1 and (name not in BUILT_IN or _distribution(claims[0]) == "tinygradrnn"):
        return claims[0]
    owners = ", ".join(sorted({_distribution(claim) for claim in claims}))
    rule = "is built in" if name in BUILT_IN else "can be registered only once"
    raise BackendUnavailableError(
        f"The backend name {name!r} {rule}, but it is registered by: {owners}. "
        "Uninstall the package that should not register it."
    )


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"


def _unknown(name: str, origin: Origin) -> str:
    known = registered()
    library, colon, _ = name.partition(":")
    if colon and library in known:
        hint = f" Choose the GPU with CUDA_VISIBLE_DEVICES and the backend with {library!r}."
    else:
        close = difflib.get_close_matches(name, [*known, AUTO], n=1)
        guess = NICKNAMES.get(library) or "".join(close)
        hint = f" Did you mean {guess!r}?" if guess else ""
    plug_ins = ", ".join(each for each in known if each not in BUILT_IN) or "none"
    return (
        f"{name!r} is not a backend (from {origin.place}).{hint} Available names: "
        f"{', '.join((*BUILT_IN, AUTO))}. Plug-ins found: {plug_ins} "
        f"(entry-point group {ENTRY_POINT_GROUP!r}). tinygradrnn.use_backend() takes any of them."
    )
