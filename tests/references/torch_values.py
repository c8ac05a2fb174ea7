"""What the recorders of PyTorch values share: leaves, gradients, a recording with versions."""

from __future__ import annotations

import numpy as np
import torch
from recording import Array, Recording
from torch import Tensor


def new_recording() -> Recording:
    return Recording({"torch": torch.__version__, "numpy": np.__version__})


def leaf(array: object) -> Tensor:
    """A float64 leaf tensor that asks for a gradient."""
    return torch.tensor(np.asarray(array, dtype=np.float64), requires_grad=True)


def to_numpy(tensor: Tensor) -> Array:
    array: Array = tensor.detach().numpy()
    return array


def gradient(tensor: Tensor) -> Array:
    """The leaf's gradient; a leaf that the loss does not reach is a mistake in this script."""
    if tensor.grad is None:
        raise RuntimeError("a leaf has no gradient")
    return to_numpy(tensor.grad)
