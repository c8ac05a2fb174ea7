"""Gradients that are too large: their norm, or each of their elements, is limited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from tinygradrnn import ops
from tinygradrnn.recording import Array, Leaf
from tinygradrnn.tensors import Tensor


def clip_grad_norm(
    params: Iterable[Tensor], max_norm: float, p: float = 2, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients together so that their joint p-norm is at most ``max_norm``.

    g ← g · max_norm / ‖g‖_p, only if ‖g‖_p > max_norm (Pascanu et al. 2013; note set 003, whose
    formula lacks the condition; Mikolov's trick in note set 001 clips to a range, see
    :func:`clip_grad_value`). The norm is summed in float64, where the squares of float32 cannot
    overflow; PyTorch adds 1e-6 to it. If it is NaN or infinite the gradients stay as they are.

    Parameters
    ----------
    params : iterable of Parameter
        Those without a gradient are left out.
    max_norm : float
        Above 0; infinity to measure only.
    p : float
        1, 2, any number above 0, or ``float("inf")`` for the largest element.
    error_if_nonfinite : bool
        Raise if the norm is NaN or infinite; costs a look at the value on a GPU.

    Returns
    -------
    Tensor
        The norm before, 0-d.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be above 0, got {max_norm}")
    if not p > 0:
        raise ValueError(f"clip_grad_norm: p must be above 0, got {p}")
    listed = dict.fromkeys(checked_parameters(params, "clip_grad_norm"))
    leaves = [q for q in listed if q.grad is not None]
    if not leaves:
        return Tensor(Leaf(np.zeros((), np.float32)))
    gradients = [q.grad for q in leaves if q.grad is not None]
    norm = joint_norm(gradients, p)
    if error_if_nonfinite and not np.isfinite(norm.item()):
        raise FloatingPointError(
            f"clip_grad_norm: the norm of the gradients is {norm.item()}; run the step under "
            "tg.debug() to find the operation that made it"
        )
    if max_norm < float("inf"):
        above = (norm > max_norm) * (norm < float("inf"))
        scale = max_norm / ops.where(above, norm, max_norm)
        for q, g in zip(leaves, gradients, strict=True):
            q.grad = g * scale.astype(g.dtype)
    return norm.astype(gradients[0].dtype)


def joint_norm(gradients: Sequence[Tensor], p: float) -> Tensor:
    """The p-norm of several tensors as one long vector, 0-d float64."""
    if p == float("inf"):
        return ops.stack(*[abs(g).max() for g in gradients], axis=0).max().astype("float64")
    powers = ops.stack(*[power_sum(g, p=p) for g in gradients], axis=0).sum()
    return ops.sqrt(powers) if p == 2 else powers ** (1 / p)


def _power_sum(xp: Any, g: Array, p: float) -> Array:
    square = xp.multiply(g, g, dtype="float64") if p == 2 else xp.power(abs(g), p, dtype="float64")
    return square.sum()


power_sum = ops.Op("power_sum", _power_sum)


def clip_grad_value(params: Iterable[Tensor], min: float, max: float) -> None:
    """Limit every element of every gradient to [min, max] (note sets 001 and 003)."""
    if not min < max:
        raise ValueError(f"clip_grad_value: min {min} must be below max {max}")
    for q in checked_parameters(params, "clip_grad_value"):
        if q.grad is not None:
            q.grad = ops.clip(q.grad, low=min, high=max)


def checked_parameters(params: Iterable[Tensor], what: str) -> list[Tensor]:
    """The parameters as a list, or an error that names the first that is none."""
    if not isinstance(params, Iterable):
        raise TypeError(f"{what}: params is a {type(params).__name__}; write model.parameters()")
    listed = [params] if isinstance(params, Tensor) else list(params)
    if not listed:
        raise ValueError(f"{what}: no parameters were given (was an iterator used up?)")
    for position, parameter in enumerate(listed):
        if not isinstance(parameter, Tensor) or not parameter.node.is_leaf:
            kind = type(parameter).__name__
            raise TypeError(
                f"{what}: item {position} of params is a {kind}, not a parameter; "
                "write model.parameters()"
            )
    return listed
