"""Where the tests of the GPU backend run: on a stand-in for CuPy, and on a GPU if there is one.

``pytest -m gpu`` runs those on a GPU only.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from device import double

from tinygradrnn.backend import (
    Backend,
    available_backends,
    backend_of_type,
    backend_scope,
    load_backend,
)
from tinygradrnn.testing.arrays import GuardArray

USABLE, REASON = available_backends()["cupy"]
GPU = [pytest.param("cupy", marks=pytest.mark.gpu)] if USABLE else []  # else one test says why


@pytest.fixture(params=["double", *GPU])
def device(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The backend that is compared with NumPy."""
    if request.param == "double":
        yield double.DoubleBackend()
        return
    backend = load_backend("cupy", "the tests")
    yield backend
    backend.synchronize()  # CuPy: an error shows here, or in a later test


@pytest.fixture(autouse=True)
def beside_numpy() -> Iterator[None]:
    """NumPy is active, whatever the environment says; afterwards the guard is what it was."""
    before = backend_of_type.get(GuardArray)
    with backend_scope("numpy"):
        yield
    backend_of_type.pop(GuardArray, None)
    if before is not None:
        backend_of_type[GuardArray] = before


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
