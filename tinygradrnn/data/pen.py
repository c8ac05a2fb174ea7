"""Digits of 8×8 pixels, drawn by a pen that never draws one twice alike."""

from __future__ import annotations

from typing import Any

import numpy as np

Numbers = np.ndarray[Any, np.dtype[Any]]

SIZE = 8


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Numbers:
    """Points on an ellipse around (x, y), between two angles in degrees; y grows downwards."""
    angles = np.radians(np.linspace(start, end, 13))
    return np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], axis=1)


def _line(*points: tuple[float, float]) -> Numbers:
    return np.array(points)


STROKES: tuple[tuple[Numbers, ...], ...] = (
    (_arc(0.5, 0.5, 0.26, 0.4, 0, 360),),
    (_line((0.32, 0.28), (0.54, 0.1), (0.54, 0.9)),),
    (
        _arc(0.5, 0.33, 0.25, 0.23, 180, 395),
        _line((0.7, 0.46), (0.25, 0.9), (0.78, 0.9)),
    ),
    (_arc(0.47, 0.3, 0.24, 0.2, 200, 450), _arc(0.47, 0.7, 0.27, 0.2, 270, 520)),
    (_line((0.58, 0.1), (0.22, 0.62), (0.82, 0.62)), _line((0.62, 0.4), (0.62, 0.92))),
    (_line((0.74, 0.1), (0.32, 0.1), (0.3, 0.46)), _arc(0.48, 0.65, 0.26, 0.25, 225, 500)),
    (_arc(0.62, 0.5, 0.36, 0.42, 270, 180), _arc(0.5, 0.68, 0.24, 0.22, 0, 360)),
    (_line((0.24, 0.1), (0.76, 0.1), (0.44, 0.9)),),
    (_arc(0.5, 0.3, 0.2, 0.19, 0, 360), _arc(0.5, 0.7, 0.25, 0.2, 0, 360)),
    (_arc(0.5, 0.32, 0.24, 0.22, 0, 360), _arc(0.38, 0.5, 0.36, 0.42, 0, 90)),
)
"""The strokes of 0…9 in a square of side 1."""


def digits(count: int, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Draw ``count`` random digits, as many of each kind as can be.

    Each is a few strokes, turned, slanted, stretched, moved and drawn with a pen of another width;
    then the pixels get noise. They are generated and not anybody's handwriting: no file, no
    licence, any number of them.

    Parameters
    ----------
    count : int
        N.
    seed : int
        The same seed, the same digits.

    Returns
    -------
    images : ndarray (N, 64) of float32
        The 8 rows of each image one after the other, 0 for paper to 1 for ink.
    labels : ndarray (N,) of int64
        0…9.
    """
    if count < 1:
        raise ValueError(f"digits: count must be at least 1, got {count}")
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(count) % 10)
    images = np.stack([_draw(STROKES[label], generator) for label in labels])
    images = np.clip(images + generator.normal(0, 0.05, images.shape), 0, 1)
    return images.astype("float32"), labels


def _draw(strokes: tuple[Numbers, ...], generator: np.random.Generator) -> Numbers:
    """One digit (64,): how dark each pixel is, by its distance from the nearest stroke."""
    turn, slant = generator.normal(0, (0.12, 0.15))
    stretch = np.diag(generator.uniform(0.8, 1.05, 2))
    shear = np.array([[1, slant], [0, 1]])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    centre = generator.normal(0.5, 0.04, 2)
    start, end = (
        (np.concatenate(points) - 0.5) @ (rotation @ shear @ stretch).T + centre
        for points in ([s[:-1] for s in strokes], [s[1:] for s in strokes])
    )
    middle = (np.arange(SIZE) + 0.5) / SIZE
    pixels = np.stack(np.meshgrid(middle, middle), axis=-1).reshape(-1, 1, 2)
    along = end - start
    share = ((pixels - start) * along).sum(-1) / (along**2).sum(-1)  # of the way to the end
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    distance = np.linalg.norm(pixels - nearest, axis=-1).min(axis=1)
    edge = generator.uniform(0.09, 0.14)
    ink: Numbers = np.clip((edge - distance) * SIZE, 0, 1)
    return ink
