"""The guard as a backend: a double of CuPy for machines without a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygradrnn.backend import Backend
from tinygradrnn.testing.arrays import GuardArray
from tinygradrnn.testing.functions import FUNCTIONS
from tinygradrnn.testing.synchronisations import synchronise


class GuardBackend:
    """NumPy's numbers behind CuPy's rules; the members are described in `Backend`."""

    protocol = 1
    name = "guard"
    xp: Any = FUNCTIONS
    array_type: type = GuardArray
    device = "the CPU, as if it were a GPU"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} on {self.device}>"

    @staticmethod
    def available() -> tuple[bool, str]:
        return True, "CuPy's rules on NumPy's arrays: to test what is to run on a GPU, not to train"

    def asarray(self, data: Any, dtype: Any = None) -> GuardArray:
        return self.xp.asarray(data, dtype)  # type: ignore[no-any-return]

    def to_numpy(self, array: GuardArray) -> np.ndarray[Any, Any]:
        return array.get()

    def scatter_add(self, target: GuardArray, index: Any, values: Any) -> None:
        entries = index if isinstance(index, tuple) else (index,)
        on_device = tuple(
            self.asarray(entry) if isinstance(entry, np.ndarray | list) else entry
            for entry in entries
        )
        self.xp.add.at(target, on_device, values)

    def synchronize(self) -> None:
        synchronise("synchronize()")

    def memory_info(self) -> dict[str, int]:
        """Return nothing: the arrays are NumPy's."""
        return {}


_conforms: type[Backend] = GuardBackend
