"""What both recording scripts share: named arrays, seeds by name, one `.npz` per family."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

SEED = 20240607
FOLDER = Path(__file__).resolve().parent


def generator(name: str) -> np.random.Generator:
    """A random generator that depends on the case's name alone.

    Adding or reordering cases therefore leaves the recorded values of the others as they are.
    """
    return np.random.default_rng([SEED, zlib.crc32(name.encode())])


class Recording:
    """The arrays of one file, by keys of the form `case/name` or `case/group/name`."""

    def __init__(self, versions: Mapping[str, str]) -> None:
        self.arrays: dict[str, Array] = {}
        for package, version in versions.items():
            self.add(f"meta/{package}", version)

    def add(self, key: str, value: object) -> None:
        """Record one value; text becomes a 0-d string array, so that no pickle is needed."""
        if key in self.arrays:
            raise KeyError(f"{key} is recorded twice")
        array = np.array(value)
        if array.dtype.kind not in "biufU":
            raise TypeError(f"{key}: dtype {array.dtype} would need a pickle")
        self.arrays[key] = array

    def add_config(self, case: str, **config: Any) -> None:
        """Record how a case was made, as a JSON object in a 0-d string array."""
        self.add(f"{case}/config", json.dumps(config, sort_keys=True))

    def save(self, path: Path) -> None:
        """Write the file. The same arrays give the same bytes."""
        cases = {key.split("/")[0] for key in self.arrays} - {"meta"}
        # NumPy's signature has a keyword of its own (allow_pickle) beside the arrays.
        np.savez_compressed(path, **self.arrays)  # type: ignore[arg-type]
        size = path.stat().st_size / 1000
        print(f"{path.name}: {len(cases)} cases, {len(self.arrays)} arrays, {size:.0f} kB")


def uniform(
    rng: np.random.Generator, shape: Sequence[int], *, scale: float = 1.0
) -> NDArray[np.float64]:
    """Uniform float64 numbers in [-scale, scale)."""
    return rng.uniform(-scale, scale, tuple(shape))
