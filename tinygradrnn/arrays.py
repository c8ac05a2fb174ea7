"""From what the user gives (numbers, lists, arrays, tensors) to an array."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygradrnn.recording import Array, state

TensorLike = Any  # a Tensor, an array, a Python number or (nested) list of numbers


def require_float(dtype: np.dtype[Any], what: str) -> None:
    """Raise TypeError unless gradients can flow through the dtype."""
    if np.dtype(dtype).kind != "f":
        raise TypeError(
            f"{what}: only floats can require a gradient, the data is {dtype}; "
            "write tg.tensor(data, dtype='float32', requires_grad=True)"
        )


def require_real(dtype: Any) -> np.dtype[Any]:
    """The dtype, if a tensor can hold it: floats, integers, booleans; else TypeError."""
    real: np.dtype[Any] = np.dtype(dtype)
    if real.kind not in "fiub":
        raise TypeError(f"a tensor holds real numbers (floats, integers, booleans), not {real}")
    return real


def address(array: Array) -> int:
    """Where an array begins in the memory of its device."""
    if hasattr(array, "__cuda_array_interface__"):
        return int(array.__cuda_array_interface__["data"][0])
    return int(array.__array_interface__["data"][0])


def to_array(data: TensorLike, dtype: Any = None) -> Array:
    """Turn what the user gave into an array; NumPy arrays stay, Python floats become float32."""
    if hasattr(data, "node"):
        if state.capture is not None:
            state.capture.reads(data.node)
        array = data.node.value
    elif hasattr(data, "dtype") and hasattr(data, "shape"):
        array = np.asarray(data) if isinstance(data, np.generic) else data
    else:
        array = _from_python(data, rounded=dtype is None)
    require_real(array.dtype)
    if dtype is not None and array.dtype != require_real(dtype):
        array = array.astype(dtype)
    return array


def _from_python(data: Any, rounded: bool) -> np.ndarray[Any, Any]:
    first = data
    while isinstance(first, list | tuple) and first:
        first = first[0]
    if hasattr(first, "node"):
        raise TypeError("a list of tensors is not a tensor; write F.stack([...]) to keep the graph")
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ValueError(f"the data is not a rectangular array of numbers: {error}") from error
    if rounded and array.dtype == np.float64 and not hasattr(first, "dtype"):
        array = array.astype(np.float32)
    return array
