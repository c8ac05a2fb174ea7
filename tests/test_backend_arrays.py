"""What every backend must do: bring arrays there and back, and add to repeated indices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tinygradrnn_cupy

from tinygradrnn.backend import Backend, available_backends, load_backend

USABLE = [name for name, (usable, _) in available_backends().items() if usable]


class StandIn:
    """NumPy with the one thing that CuPyBackend.scatter_add needs of CuPy besides."""

    def __getattr__(self, name):
        return getattr(np, name)

    def argsort(self, array):
        return np.argsort(array, kind="stable")

    class ElementwiseKernel:
        def __init__(self, *source):
            pass

        def __call__(self, values, order, starts, width, target):
            rows = values.reshape(-1, width)[order]
            for row, (start, stop) in enumerate(itertools.pairwise(starts)):
                target[row * width : (row + 1) * width] += rows[start:stop].sum(0)


class CuPyOnNumPy(tinygradrnn_cupy.CuPyBackend):
    """The GPU backend's own logic, for a machine without a GPU."""

    def __init__(self):
        self.xp, self.array_type = StandIn(), np.ndarray
        self._add_segments = StandIn.ElementwiseKernel()

    to_numpy = staticmethod(np.asarray)


@pytest.fixture(params=USABLE)
def backend(request) -> Backend:
    return load_backend(request.param, "the tests")


@pytest.fixture(params=[*USABLE, "cupy on numpy"])
def adder(request) -> Backend:
    if request.param == "cupy on numpy":
        return CuPyOnNumPy()
    return load_backend(request.param, "the tests")


def test_arrays_go_there_and_back(backend):
    for data in ([1.5, 2.0], np.arange(6.0).reshape(2, 3), np.float64(3.0), 7):
        array = backend.asarray(data, "float64")
        assert type(array) is backend.array_type
        assert backend.asarray(array) is array
        back = backend.to_numpy(array)
        assert type(back) is np.ndarray and back.dtype == np.float64
        np.testing.assert_array_equal(back, data)
    assert backend.asarray([1, 2]).dtype == np.int64


def test_housekeeping(backend):
    backend.synchronize()
    assert backend.device
    assert repr(backend) == f"<{type(backend).__name__} on {backend.device}>"
    assert all(isinstance(size, int) and size > 0 for size in backend.memory_info().values())


IDS = np.random.default_rng(1).integers(-7, 7, (5, 9))
MASK = np.arange(7) % 2 == 0
INDICES = {
    "ids": ((7, 3), IDS),
    "ids in a tuple": ((7, 3), (IDS,)),
    "ids, long rows": ((7, 3, 2), IDS),
    "ids, a row a number": ((7,), IDS),
    "ids, rows of one number": ((7, 1), IDS),
    "ids, empty rows": ((7, 0), IDS),
    "ids, many rows": ((4000, 3), IDS * 500),
    "no ids": ((7, 3), np.zeros(0, int)),
    "list": ((7, 3), [1, 1, 2]),
    "one per row": ((45, 7), (np.arange(45), IDS.ravel())),
    "pairs that repeat": ((7, 8), (IDS, IDS[::-1])),
    "slice, then ids": ((4, 7, 2), (slice(1, 3), IDS)),
    "ids, then slice": ((7, 4), (IDS, slice(None, None, 2))),
    "slices": ((7, 4), (slice(1, 5), slice(None, None, -1))),
    "number": ((7, 4), 3),
    "mask": ((7, 4), MASK),
    "ellipsis, then ids": ((2, 3, 7), (..., IDS)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("case", INDICES)
def test_scatter_add(adder, case, order, dtype):
    shape, index = INDICES[case]
    random = np.random.default_rng(2)
    before = random.standard_normal(shape).astype(dtype)
    values = random.standard_normal(before[index].shape).astype(dtype)
    expected = before.astype("float64")
    np.add.at(expected, index, values)
    target = adder.xp.array(before, order=order)
    adder.scatter_add(target, index, adder.asarray(values))
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(adder.to_numpy(target), expected, tolerance, tolerance)


def test_scatter_add_repeats_one_value(adder):
    target = adder.asarray(np.zeros((3, 2)))
    adder.scatter_add(target, np.array([1, 1, 2]), adder.asarray(1.0))
    np.testing.assert_array_equal(adder.to_numpy(target), [[0, 0], [2, 2], [1, 1]])


def test_scatter_add_of_many_wide_rows():
    """They are sorted first; rows that nothing is added to stay as they are."""
    rng = np.random.default_rng(0)
    ids = rng.integers(-4, 3, (16, 20))
    values = rng.standard_normal((16, 20, 8, 9))
    target = rng.standard_normal((5, 8, 9))
    expected = target.copy()
    np.add.at(expected, ids, values)
    NUMPY.scatter_add(target, ids, values)
    np.testing.assert_allclose(target, expected, rtol=1e-12)


def test_scatter_add_rounds_the_same_in_every_run(adder):
    random = np.random.default_rng(3)
    ids = random.integers(0, 5, 3000)
    values = adder.asarray(random.standard_normal((3000, 4)).astype("float32"))
    runs = set()
    for _ in range(3):
        target = adder.asarray(np.zeros((5, 4), "float32"))
        adder.scatter_add(target, ids, values)
        runs.add(adder.to_numpy(target).tobytes())
    assert len(runs) == 1


NUMPY = load_backend("numpy", "the tests")


@pytest.mark.parametrize("id", [7, -8])
def test_numpy_refuses_ids_out_of_range(id):
    with pytest.raises(IndexError, match="out of bounds"):
        NUMPY.scatter_add(np.zeros((7, 2)), np.array([0, id]), np.ones((2, 2)))


def test_nan_stays_in_its_row():
    target = np.zeros((4, 3))
    NUMPY.scatter_add(target, np.array([1, 2]), np.array([[np.nan] * 3, [1.0] * 3]))
    np.testing.assert_array_equal(target, [[0] * 3, [np.nan] * 3, [1] * 3, [0] * 3])
