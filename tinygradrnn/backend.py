"""Which backend an array is of, and which one is active and why.

An operation runs where its arrays live: `backend_of` reads the backend off the type of an array.
The *active* backend decides only where new arrays are made. Highest precedence first:

1. the innermost ``with backend_scope(name):``
2. ``use_backend(name)``, for the whole process, new threads included
3. the environment variable ``TINYGRADRNN_BACKEND``, read once, at first use
4. ``numpy``

Whatever the choice, its origin is kept: what was asked, where, and for the variable when it was
read. One who sets the variable later is told that it has no effect any more.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import numpy as np

from tinygradrnn.plugins import (
    AUTO,
    Array,
    Backend,
    BackendUnavailableError,
    MixedBackendError,
    Origin,
    UnknownBackendError,
    check,
    load,
    plug_in,
    registered,
)

__all__ = [
    "Array",
    "Backend",
    "BackendUnavailableError",
    "MixedBackendError",
    "UnknownBackendError",
    "active_origin",
    "available_backends",
    "backend_of",
    "backend_of_type",
    "backend_scope",
    "common_backend",
    "get_backend",
    "load_backend",
    "scope_from",
    "use_backend",
]

ENVIRONMENT_VARIABLE = "TINYGRADRNN_BACKEND"
PACKAGE = f"{Path(__file__).parent}{os.sep}"
COMMAND_LINE = f"{PACKAGE}cli.py"
ELSEWHERE = 'write "numpy" there (tinygradrnn.use_backend("numpy") is for the whole process)'
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


class _Active(NamedTuple):
    backend: Backend
    origin: str


_log = logging.getLogger("tinygradrnn")
_scope: ContextVar[_Active | None] = ContextVar("tinygradrnn_backend_scope", default=None)
_process: _Active | None = None
_fallback: _Active | None = None
_variable = ""  # what the environment variable held when it was last looked at

backend_of_type: dict[type, Backend] = {}


# ------------------------------------------------------------------ which backend an array is of


def backend_of(array: Array) -> Backend:
    """Return the backend whose array this is.

    Parameters
    ----------
    array : array
        An array of any backend, or a NumPy scalar.

    Raises
    ------
    TypeError
        If it is of no known backend.
    """
    try:
        return backend_of_type[type(array)]
    except KeyError:
        return _find_owner(array)


def common_backend(operation: str, arrays: Iterable[Array]) -> Backend:
    """Return the one backend of all the arrays of an operation.

    Parameters
    ----------
    operation : str
        Its name, for the message.
    arrays : iterable of arrays
        At least one.

    Raises
    ------
    MixedBackendError
        If they are of different backends.
    """
    backends = [backend_of(array) for array in arrays]
    first = backends[0]
    for position, other in enumerate(backends):
        if other is not first:
            which = ORDINALS[position] if position < len(ORDINALS) else f"argument {position + 1}"
            raise MixedBackendError(
                f"{operation} got a {first.name} array and a {other.name} array; call "
                f'.to("{first.name}") on the {which} (no implicit copies between devices).'
                f"{_where_arrays_go()}"
            )
    return first


def _where_arrays_go() -> str:
    """Say on which backend new arrays are made, if that has been decided."""
    active = _scope.get() or _process or _fallback
    if active is None:
        return ""
    return (
        f" New arrays are made on {active.backend.name} (from {active.origin}); "
        "tinygradrnn.use_backend() changes that."
    )


def _find_owner(array: Array) -> Backend:
    """Meet a type for the first time: load the backend that it belongs to and remember it."""
    kind = type(array)
    libraries = [base.__module__.partition(".")[0] for base in kind.__mro__]
    plug_ins = registered() if set(libraries) != {"builtins"} else {}
    names = [
        name
        for library in libraries
        for name, entries in plug_ins.items()
        if library in (name, *(entry.module.partition(".")[0] for entry in entries))
    ]
    for name in names:
        backend = load_backend(name, f"an array of type {kind.__module__}.{kind.__qualname__}")
        if issubclass(kind, backend.array_type | np.generic):
            backend_of_type[kind] = backend
            return backend
    known = ", ".join(sorted({backend.name for backend in backend_of_type.values()} | {"numpy"}))
    raise TypeError(
        f"{kind.__module__}.{kind.__qualname__} is not an array of a known backend ({known}). "
        "Make a tensor from it with tinygradrnn.tensor(), or load the backend that it is of "
        "with use_backend()."
    )


# ------------------------------------------------------------------------ which backend is active


def get_backend() -> Backend:
    """Return the active backend: the one on which new arrays are made."""
    active = _active()
    if active is _fallback and os.environ.get(ENVIRONMENT_VARIABLE, "") != _variable:
        _warn_too_late(active)
    return active.backend


def active_origin() -> str:
    """Return why the active backend is active, such as ``use_backend() at train.py:3``."""
    return _active().origin


def use_backend(backend: str | Backend) -> Backend:
    """Make a backend the active one for the whole process, new threads included.

    Tensors that exist stay where they are. This is no context manager: see `backend_scope`.

    Parameters
    ----------
    backend : str or Backend
        A name, ``"auto"``, or a backend that is no plug-in, such as a test double.

    Returns
    -------
    Backend
        The backend.

    Raises
    ------
    UnknownBackendError, BackendUnavailableError
        If no backend has that name; if it cannot run here. The active backend stays.
    """
    global _process
    _process = _choose(backend, _called("use_backend", backend))
    return _process.backend


def backend_scope(backend: str | Backend) -> AbstractContextManager[Backend]:
    """Make a backend the active one inside a ``with`` block, for this thread or task alone.

    Parameters
    ----------
    backend : str or Backend
        As in `use_backend`.

    Returns
    -------
    context manager
        Its value is the backend.
    """
    return _entered(_choose(backend, _called("backend_scope", backend)))


def scope_from(backend: str | Backend, origin: str) -> AbstractContextManager[Backend]:
    """`backend_scope` for a name that was given elsewhere, such as ``"--backend"``."""
    return _entered(_choose(backend, _given(origin)))


def load_backend(backend: str | Backend, origin: str) -> Backend:
    """Return a backend, without making it the active one.

    Parameters
    ----------
    backend : str or Backend
        As in `use_backend`.
    origin : str
        Where the name was given, for the messages, such as ``"Tensor.to()"``.
    """
    return _choose(backend, _given(origin)).backend


def available_backends() -> dict[str, tuple[bool, str]]:
    """Say of each backend, plug-ins included, whether it can run here, and why or why not.

    Returns
    -------
    dict of str to (bool, str)
        Nothing is raised: what is wrong with a plug-in is its reason.
    """
    return {name: _usable(name) for name in registered()}


def _usable(name: str) -> tuple[bool, str]:
    try:
        ok, reason = plug_in(name).load().available()
    except BackendUnavailableError as error:
        return False, str(error)
    except Exception as error:
        return False, f"{type(error).__name__}: {error}"
    return bool(ok), str(reason)


def _active() -> _Active:
    return _scope.get() or _process or _fallback or _read_environment()


def _read_environment() -> _Active:
    global _fallback, _variable
    variable = os.environ.get(ENVIRONMENT_VARIABLE, "")
    name = variable.strip()
    frame, _ = _user_frame()
    at = f" at first use, {_line(frame)}" if frame else ""
    read = f", read{at}" if at else ""
    if name:
        origin = Origin(
            f"{ENVIRONMENT_VARIABLE} in the environment{read}",
            f"{ENVIRONMENT_VARIABLE}={name} in the environment{read}",
            f'unset {ENVIRONMENT_VARIABLE} or call tinygradrnn.use_backend("numpy")',
        )
    else:
        unset = f"the default: {ENVIRONMENT_VARIABLE} {'was' if at else 'is'} not set{at}"
        origin = Origin(unset, unset, "reinstall tinygradrnn")
    chosen = _choose(name or "numpy", origin)
    _fallback, _variable = chosen, variable
    return chosen


def _warn_too_late(active: _Active) -> None:
    """Tell, once, that the variable has changed after it was read."""
    global _variable
    _variable = os.environ.get(ENVIRONMENT_VARIABLE, "")
    name = _variable.strip().lower()
    if name not in ("", active.backend.name):
        warnings.warn(
            f"{ENVIRONMENT_VARIABLE} is {name!r} now, but it is read only once: the active backend "
            f"is {active.backend.name} (from {active.origin}). To switch, call "
            f"tinygradrnn.use_backend({name!r}); what was made before stays where it is.",
            RuntimeWarning,
            stacklevel=_user_frame()[1],
        )


def _user_frame() -> tuple[FrameType | None, int]:
    """The innermost frame outside this package, and how far up it is; None in a command of ours."""
    frame: FrameType | None = sys._getframe(1)
    depth = 1
    while frame is not None and frame.f_code.co_filename.startswith(PACKAGE):
        if frame.f_code.co_filename == COMMAND_LINE:
            return None, depth
        frame = frame.f_back
        depth += 1
    return frame, depth


def _line(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _called(function: str, backend: str | Backend) -> Origin:
    """Describe a call of a function of this module, with the line of the user's program."""
    at = _at_user_line()
    way_back = 'write use_backend("numpy") there' if function == "use_backend" else ELSEWHERE
    return Origin(f"{function}(){at}", f"{function}({backend!r}){at}", way_back)


def _given(origin: str) -> Origin:
    """Describe another place where a backend was named, with the line of the user's program."""
    place = f"{origin}{_at_user_line()}"
    return Origin(place, place, ELSEWHERE)


def _at_user_line() -> str:
    frame, _ = _user_frame()
    return f" at {_line(frame)}" if frame else ""


@contextmanager
def _entered(active: _Active) -> Iterator[Backend]:
    token = _scope.set(active)
    try:
        yield active.backend
    finally:
        _scope.reset(token)


def _choose(backend: str | Backend, origin: Origin) -> _Active:
    if not isinstance(backend, str):
        check(backend, f"{type(backend).__name__} (from {origin.place})")
        return _own(_Active(backend, origin.place))
    name = backend.strip().lower()
    return _automatic(origin) if name == AUTO else _own(_Active(load(name, origin), origin.place))


def _automatic(origin: Origin) -> _Active:
    """Take CuPy where it runs, else NumPy: say why, and warn if CuPy is there but broken."""
    try:
        usable, reason = plug_in("cupy").load().available()
        backend = load("cupy" if usable else "numpy", origin)
    except Exception as error:
        warnings.warn(
            f"The {AUTO!r} backend is numpy, because cupy is broken here: {error}",
            RuntimeWarning,
            stacklevel=4,
        )
        backend, reason = load("numpy", origin), "cupy is broken here"
    why = f"{AUTO}: {reason.partition('. ')[0].rstrip('.')}"
    _log.info("tinygradrnn: backend %s (%s)", backend.name, why)
    return _own(_Active(backend, f"{origin.place} ({why})"))


def _own(active: _Active) -> _Active:
    """Note whose the arrays of a type are: the type must tell the backend."""
    backend, kind = active.backend, active.backend.array_type
    owner = "numpy" if kind is np.ndarray else backend_of_type.get(kind, backend).name
    if owner != backend.name:
        raise BackendUnavailableError(
            f"The {backend.name} backend (from {active.origin}) makes arrays of type "
            f"{kind.__qualname__}, which are those of the {owner} backend: an operation could not "
            "tell them apart. It must have an array type of its own."
        )
    backend_of_type[kind] = backend
    return active
