"""Checkpoints: one safetensors file with weights, optimiser state, random state and your notes."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tinygradrnn import seeds
from tinygradrnn.nn.modules import Module
from tinygradrnn.optim import Optimizer

KEY = "tinygradrnn"  # one metadata key, for a file that is the same in every run
FORMAT = 1
Arrays = dict[str, np.ndarray[Any, Any]]


class CheckpointError(ValueError):
    """A file that is no checkpoint, is damaged, or is of another model."""


def save(
    path: str | os.PathLike[str],
    *,
    model: Module,
    optimizer: Optimizer | None = None,
    extra: Any = None,
) -> Path:
    """Write a checkpoint. The file is replaced as a whole or not at all, also if power fails.

    Parameters
    ----------
    path : path
        Usually ``….safetensors``; weights can be read by any safetensors reader as ``model/…``.
    model : Module
    optimizer : Optimizer, optional
        With it, training continues exactly: learning rate, moments, step counts.
    extra : optional
        Anything that JSON can hold: the step, the configuration, the vocabulary. Tuples come back
        as lists.

    Returns
    -------
    Path
        Where it was written.
    """
    from safetensors.numpy import save as to_bytes

    path = Path(path)
    arrays = {f"model/{name}": value for name, value in model.state_dict().items()}
    header: dict[str, Any] = {"format": FORMAT, "random": seeds.generator_state(), "extra": extra}
    if optimizer is not None:
        state = optimizer.state_dict()
        for position, slots in enumerate(state.pop("slots")):
            arrays.update({f"optimizer/{position}/{name}": a for name, a in slots.items()})
        header["optimizer"] = state
    # safetensors 0.8 writes arrays that are not C-contiguous wrongly, without an error
    arrays = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        header["sha256"] = digest(header, arrays)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"save: extra must be what JSON can hold: {error}") from error
    refuse_other_keys(extra)
    text = json.dumps(header, default=plain_number)
    write_atomically(path, to_bytes(arrays, {KEY: text}))
    return path


def load(path: str | os.PathLike[str], *, model: Module, optimizer: Optimizer | None = None) -> Any:
    """Read a checkpoint into a model, and into an optimiser to continue training exactly.

    Parameters
    ----------
    path : path
    model : Module
        Of the same structure.
    optimizer : Optimizer, optional
        If given, the random generator continues as well.

    Returns
    -------
    The ``extra`` that was saved.

    Raises
    ------
    FileNotFoundError
    CheckpointError
        If the file is no checkpoint or damaged, or was saved without an optimiser.
    ValueError
        Listing what does not fit the model; then nothing was changed.
    """
    arrays, header = read(path)
    weights = {name[6:]: array for name, array in arrays.items() if name.startswith("model/")}
    if optimizer is not None and "optimizer" not in header:
        raise CheckpointError(f"{path} was saved without an optimizer")
    before = model.state_dict()
    model.load_state_dict(weights)
    if optimizer is not None:
        state = dict(header["optimizer"])
        state["slots"] = [{} for _ in state["steps"]]
        for name, array in arrays.items():
            if name.startswith("optimizer/"):
                _, position, slot = name.split("/", 2)
                state["slots"][int(position)][slot] = array
        try:
            optimizer.load_state_dict(state)
        except ValueError:
            model.load_state_dict(before)
            raise
        seeds.set_generator_state(header["random"])
    return header["extra"]


def read(path: str | os.PathLike[str]) -> tuple[Arrays, dict[str, Any]]:
    """The arrays and the header of a checkpoint, verified."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as from_bytes

    data = Path(path).read_bytes()
    try:
        arrays = dict(sorted(from_bytes(data).items()))  # they come in random order
        size = int.from_bytes(data[:8], "little")
        metadata = json.loads(data[8 : 8 + size]).get("__metadata__", {})
    except (SafetensorError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a safetensors file, or is cut off: {error}"
        ) from error
    if KEY not in metadata:
        raise CheckpointError(f"{path} is a safetensors file, but no checkpoint of tinygradrnn")
    try:
        header: dict[str, Any] = json.loads(metadata[KEY])
        version, checksum = int(header["format"]), header.pop("sha256")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} is damaged: its header cannot be read") from error
    if version > FORMAT:
        raise CheckpointError(
            f"{path} has format {version}, this version reads up to {FORMAT}; update tinygradrnn"
        )
    if digest(header, arrays) != checksum:
        raise CheckpointError(f"{path} is damaged: its checksum does not match")
    return arrays, header


def digest(header: Mapping[str, Any], arrays: Arrays) -> str:
    """SHA-256 over the header, and the names, types, shapes and values of the arrays."""
    sha = hashlib.sha256(json.dumps(header, default=plain_number).encode())
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(f"{name} {array.dtype} {array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()


def refuse_other_keys(extra: Any) -> None:
    """Raise TypeError for keys that are no text: JSON would turn them into text silently."""
    waiting = [extra]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            for key in value:
                if not isinstance(key, str):
                    raise TypeError(
                        f"save: extra has the key {key!r}, which would come back as text; write "
                        "str keys, or a list of pairs"
                    )
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)


def plain_number(value: Any) -> Any:
    """NumPy's numbers as Python's, for JSON."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside the file, flush to disk, then rename over it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)  # mkstemp makes files that only their owner can read
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
