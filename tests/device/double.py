"""A stand-in for CuPy on the memory of this machine: for the GPU backend where there is no GPU.

Its arrays are not NumPy's: NumPy's functions refuse them, and its functions refuse NumPy's arrays.
What CuPy does otherwise than NumPy, and plans depend on, is done as CuPy does it.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import tinygradrnn_cupy
from device.kernels import RawKernel

MISSING = frozenset({"errstate", "seterr", "frompyfunc", "nditer", "vecdot", "unstack", "matvec"})
LEFT = ("add", "sub", "mul", "truediv", "pow", "matmul", "floordiv", "mod")
COMPARISONS = ("eq", "ne", "lt", "le", "gt", "ge")
METHODS = (
    *("reshape", "transpose", "astype", "view", "copy", "squeeze", "swapaxes", "ravel", "fill"),
    *("sum", "mean", "max", "min", "any", "all", "prod", "var", "std", "cumsum"),
    *("dot", "clip", "take", "repeat", "nonzero", "argmax", "argmin"),
)
syncs = 0  # how often the host has waited


class DeviceArray:
    """An array that only the functions below can read."""

    __slots__ = ("_host",)
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, host: Any) -> None:
        self._host = np.asarray(host)

    def __array__(self, *_: Any, **__: Any) -> None:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`")

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    strides = property(lambda self: self._host.strides)
    itemsize = property(lambda self: self._host.itemsize)
    nbytes = property(lambda self: self._host.nbytes)
    flags = property(lambda self: self._host.flags)
    T = property(lambda self: DeviceArray(self._host.T))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {"data": self._host.__array_interface__["data"]}

    def __len__(self) -> int:
        return len(self._host)

    def __iter__(self) -> Any:
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> DeviceArray:
        return DeviceArray(self._host[unwrapped(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self._host[unwrapped(index)] = unwrapped(value)

    def get(self) -> Any:
        return waited(self._host.copy())

    def item(self) -> Any:
        return waited(self._host.item())

    def tolist(self) -> Any:
        return waited(self._host.tolist())

    def tobytes(self) -> bytes:
        return waited(self._host.tobytes())  # type: ignore[no-any-return]

    def __float__(self) -> float:
        return float(waited(self._host))

    def __int__(self) -> int:
        return int(waited(self._host))

    def __bool__(self) -> bool:
        return bool(waited(self._host))

    def __neg__(self) -> DeviceArray:
        return DeviceArray(-self._host)

    def __abs__(self) -> DeviceArray:
        return DeviceArray(abs(self._host))

    def __invert__(self) -> DeviceArray:
        return DeviceArray(~self._host)

    def __repr__(self) -> str:
        return f"DeviceArray({self._host!r})"


def waited(value: Any) -> Any:
    """What the host gets only when the device has done its work."""
    global syncs
    syncs += 1
    return value


def unwrapped(value: Any) -> Any:
    """What NumPy is given for it; NumPy's arrays are refused, as CuPy does."""
    if isinstance(value, DeviceArray):
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, tuple | list):
        return type(value)(map(unwrapped, value))
    return value


def wrapped(value: Any) -> Any:
    """Arrays of NumPy, its scalars too, as arrays of the device."""
    if isinstance(value, np.ndarray | np.generic):
        return DeviceArray(value)
    if isinstance(value, tuple | list):
        return type(value)(map(wrapped, value))
    return value


def method(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*given: Any, **options: Any) -> Any:
        options = {key: unwrapped(value) for key, value in options.items()}
        return wrapped(function(*map(unwrapped, given), **options))

    call.__name__ = name
    return call


for _name in (*LEFT, *COMPARISONS, "iadd", "isub", "imul", "itruediv"):
    setattr(DeviceArray, f"__{_name}__", method(_name, getattr(operator, f"__{_name}__")))
for _name in LEFT:
    _forward = getattr(operator, f"__{_name}__")
    setattr(
        DeviceArray, f"__r{_name}__", method(_name, lambda x, y, _forward=_forward: _forward(y, x))
    )
for _name in METHODS:
    setattr(DeviceArray, _name, method(_name, getattr(np.ndarray, _name)))


class Function:
    """One of NumPy's functions, for arrays of the device."""

    def __init__(self, name: str) -> None:
        self.__name__ = name
        self.numpy = getattr(np, name)

    def __call__(self, *given: Any, **options: Any) -> Any:
        if isinstance(self.numpy, np.ufunc) and any(isinstance(x, list | tuple) for x in given):
            raise TypeError("Unsupported type <class 'list'>")
        with np.errstate(all="ignore"):
            return method(self.__name__, self.numpy)(*given, **options)

    def at(self, target: DeviceArray, index: Any, values: Any) -> None:
        if self.__name__ not in ("add", "subtract", "maximum", "minimum"):
            raise NotImplementedError(f"{self.__name__}.at")
        self.numpy.at(target._host, unwrapped(index), unwrapped(values))


class Functions:
    """The array module."""

    ndarray = DeviceArray
    RawKernel = RawKernel

    def __getattr__(self, name: str) -> Any:
        if name in MISSING:
            raise AttributeError(name)
        found = getattr(np, name)
        if isinstance(found, type) or not callable(found):
            return found
        setattr(self, name, made := Function(name))
        return made

    def asarray(self, data: Any, dtype: Any = None) -> DeviceArray:
        if isinstance(data, DeviceArray):
            same = dtype is None or data.dtype == dtype
            return data if same else data.astype(dtype)  # type: ignore[attr-defined]
        return DeviceArray(np.array(data, dtype))

    def asnumpy(self, array: DeviceArray) -> Any:
        return array.get()

    @staticmethod
    def take(a: DeviceArray, indices: Any, axis: Any = None, out: Any = None) -> DeviceArray:
        """Without a mode; what is out of range is wrapped."""
        into = None if out is None else out._host
        return DeviceArray(np.take(a._host, unwrapped(indices), axis, into, "wrap"))

    @staticmethod
    def matmul(a: DeviceArray, b: DeviceArray, *, out: Any = None) -> DeviceArray:
        """Its result is given by name only."""
        return DeviceArray(np.matmul(a._host, b._host, None if out is None else out._host))

    @staticmethod
    def dot(a: DeviceArray, b: DeviceArray, out: Any = None) -> DeviceArray:
        if out is not None and not out.flags.c_contiguous:
            raise ValueError("Output array must be C-contiguous")
        return DeviceArray(np.dot(a._host, b._host, None if out is None else out._host))

    @cached_property
    def argsort(self) -> Any:
        return method("argsort", lambda array: np.argsort(array, kind="stable"))


FUNCTIONS = Functions()


class DoubleBackend(tinygradrnn_cupy.CuPyBackend):
    """The GPU backend itself, on the stand-in."""

    name = "double"
    device = "a stand-in for a GPU"

    def __init__(self) -> None:
        self.xp = FUNCTIONS
        self.array_type = DeviceArray
        self._add_segments = add_segments

    @staticmethod
    def available() -> tuple[bool, str]:
        return True, "a stand-in for CuPy"

    def synchronize(self) -> None:
        waited(None)

    def memory_info(self) -> dict[str, int]:
        return {"used": 1, "held": 1, "free": 1, "total": 1}


def add_segments(
    values: DeviceArray, order: DeviceArray, starts: DeviceArray, width: int, target: DeviceArray
) -> None:
    """What the backend's kernel computes."""
    rows = values._host.reshape(-1, width)[order._host]
    for row, (start, stop) in enumerate(itertools.pairwise(starts._host)):
        target._host[row * width : (row + 1) * width] += rows[start:stop].sum(0)
