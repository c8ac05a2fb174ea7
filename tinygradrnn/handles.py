"""Handle: what can be asked of a node's value, by Python and by NumPy, without computing."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from tinygradrnn.backend import backend_of
from tinygradrnn.recording import Node, state

Shape = tuple[int, ...]


class Handle:
    """Holds a node and reads its value."""

    __slots__ = ("__weakref__", "node")

    def __init__(self, node: Node) -> None:
        self.node = node

    @property
    def shape(self) -> Shape:
        shape: Shape = self.node.value.shape
        return shape

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return prod(self.node.value.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self.node.value.dtype
        return dtype

    def numpy(self) -> np.ndarray[Any, np.dtype[Any]]:
        """A copy on the host as a NumPy array, cut from the graph."""
        if state.capture is not None:
            state.capture.reads(self.node)
        value = self.node.value
        return np.array(backend_of(value).to_numpy(value))

    def item(self) -> Any:
        """The value of a tensor of one element, as a Python number."""
        if self.size != 1:
            raise ValueError(
                f"item(): {self.node.describe()} has {self.size} elements, not one; "
                "write .numpy() for all of them"
            )
        return self.numpy().item()

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"bool() of {self.node.describe()}, which has {self.size} elements, is ambiguous; "
                "write (…).numpy().all() or .any(), or F.where(condition, a, b) for a choice "
                "element by element"
            )
        return bool(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if self.node.requires_grad:
            raise TypeError(
                f"NumPy was given {self.node.describe()}, which would cut it from the graph "
                "silently; use tg.functional, or write x.numpy() where that is meant"
            )
        return self.numpy() if dtype is None else self.numpy().astype(dtype)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else str(self)

    def __repr__(self) -> str:
        values = np.array2string(self.numpy(), precision=4, separator=", ", prefix="tensor(")
        notes = [f"'{self.node.name}'"] if self.node.name else []
        notes += [f"shape {self.shape}", str(self.dtype)]
        if self.node.requires_grad:
            notes.append("requires_grad" if self.node.is_leaf else f"from {self.node.op}")
        return f"tensor({values}, {', '.join(notes)})"
