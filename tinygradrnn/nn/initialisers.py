"""Initial values of weights, drawn on the host from the generator of ``tg.manual_seed``."""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt
from typing import Any

import numpy as np

from tinygradrnn.seeds import generator

Values = np.ndarray[Any, np.dtype[np.float32]]
Initialiser = Callable[[tuple[int, ...]], Values]


def zeros(shape: tuple[int, ...]) -> Values:
    """All 0."""
    return np.zeros(shape, np.float32)


def uniform(shape: tuple[int, ...], bound: float | None = None) -> Values:
    """U(−bound, bound); bound 1/√(last size) unless given."""
    if bound is None:
        bound = 1 / sqrt(max(shape[-1], 1))
    return generator().uniform(-bound, bound, shape).astype(np.float32)


def glorot(shape: tuple[int, ...]) -> Values:
    """U(−a, a), a = √(6 / (fan in + fan out)) (Glorot & Bengio 2010)."""
    rows, columns = _matrix(shape, "glorot")
    return uniform(shape, sqrt(6 / (rows + columns)))


def orthogonal(shape: tuple[int, ...]) -> Values:
    """Rows or columns orthonormal (Saxe et al. 2014): a product keeps the norm of a state."""
    rows, columns = _matrix(shape, "orthogonal")
    tall = generator().standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(tall)
    q = q * np.sign(np.diag(r))  # without this q is not uniform over the orthogonal matrices
    return (q if rows >= columns else q.T).reshape(shape).astype(np.float32)


def identity(shape: tuple[int, ...]) -> Values:
    """The identity matrix (Le, Jaitly & Hinton 2015, for ReLU networks)."""
    rows, columns = _matrix(shape, "identity")
    return np.eye(rows, columns, dtype=np.float32).reshape(shape)


def _matrix(shape: tuple[int, ...], name: str) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(f"{name} fills matrices, got the shape {shape}; use zeros or uniform")
    return prod(shape[:-1]), shape[-1]


BY_NAME: dict[str, Initialiser] = {
    "glorot": glorot,
    "orthogonal": orthogonal,
    "identity": identity,
    "uniform": uniform,
    "zeros": zeros,
}


def initialiser(init: str | Initialiser) -> Initialiser:
    """An initialiser by its name, or the one given, whose values are checked."""
    if not callable(init):
        if init not in BY_NAME:
            raise ValueError(f"init: {init!r} is not one of {', '.join(BY_NAME)}")
        return BY_NAME[init]
    given = init

    def checked(shape: tuple[int, ...]) -> Values:
        values = np.asarray(given(shape), np.float32)
        if values.shape != shape:
            raise ValueError(f"init{shape} gave values of shape {values.shape}")
        return values

    return checked


def blocks(init: Initialiser, rows: int, columns: int, count: int) -> Values:
    """Several matrices side by side, each drawn by itself: the gates of a cell."""
    return np.concatenate([init((rows, columns)) for _ in range(count)], axis=1)
