"""Layers without a state: Linear, Embedding, MLP, Dropout, and the readouts of a sequence."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tinygradrnn import functional as F
from tinygradrnn.arrays import TensorLike
from tinygradrnn.nn import initialisers
from tinygradrnn.nn.modules import Module, Parameter
from tinygradrnn.recording import timestep
from tinygradrnn.tensors import Tensor, as_tensor

ACTIVATIONS = {
    "tanh": F.tanh,
    "relu": F.relu,
    "sigmoid": F.sigmoid,
    "linear": F.linear,
    "leaky_relu": F.leaky_relu,
    "softmax": F.softmax,
}


def activation_named(name: str, allowed: Sequence[str], option: str = "activation") -> Any:
    """The activation function of that name, given as that option."""
    if name not in allowed:
        raise ValueError(f"{option}: {name!r} is not one of {', '.join(allowed)}")
    return ACTIVATIONS[name]


def positive(**sizes: int) -> None:
    """Raise ValueError unless every size is an integer of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int | np.integer) or isinstance(size, bool) or size < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {size!r}")


class Linear(Module):
    """y = x W + b over the last axis.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool

    Attributes
    ----------
    W : Parameter (in_features, out_features)
        Glorot. PyTorch keeps the transpose.
    b : Parameter (out_features,) or None
        Zeros.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        positive(in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.W = Parameter(initialisers.glorot((in_features, out_features)))
        self.b = Parameter(initialisers.zeros((out_features,))) if bias else None

    def forward(self, x: TensorLike) -> Tensor:
        """(…, in_features) → (…, out_features)."""
        x = as_tensor(x)
        if not x.ndim or x.shape[-1] != self.in_features:
            raise ValueError(
                f"Linear: the last axis of {x.node.describe()} must be "
                f"in_features = {self.in_features}"
            )
        y: Tensor = x @ self.W
        return y if self.b is None else y + self.b


class Embedding(Module):
    """A vector for each of a vocabulary of ids: the rows of W.

    Parameters
    ----------
    num_embeddings, embedding_dim : int
        V and E.
    padding_idx : int, optional
        This id is zero and stays zero: it gets no gradient.

    Attributes
    ----------
    W : Parameter (num_embeddings, embedding_dim)
        U(−0.05, 0.05), as Keras.
    """

    def __init__(
        self, num_embeddings: int, embedding_dim: int, padding_idx: int | None = None
    ) -> None:
        positive(num_embeddings=num_embeddings, embedding_dim=embedding_dim)
        if padding_idx is not None and not 0 <= padding_idx < num_embeddings:
            raise ValueError(f"padding_idx {padding_idx} is not in 0…{num_embeddings - 1}")
        values = initialisers.uniform((num_embeddings, embedding_dim), 0.05)
        if padding_idx is not None:
            values[padding_idx] = 0
        self.padding_idx = padding_idx
        self.W = Parameter(values)

    @classmethod
    def from_pretrained(cls, array: TensorLike, freeze: bool = False) -> Embedding:
        """An embedding with given vectors (V, E), such as GloVe; ``freeze`` to keep them."""
        weight = Parameter(array)
        if weight.ndim != 2:
            raise ValueError(f"from_pretrained: the vectors must be (V, E), got {weight.shape}")
        made = cls.__new__(cls)  # no random vectors are drawn, only to be thrown away
        made.padding_idx = None
        made.W = weight
        return made.freeze() if freeze else made

    def forward(self, ids: TensorLike) -> Tensor:
        """Integers (…) → (…, embedding_dim)."""
        ids = as_tensor(ids)
        vectors = F.embedding(ids, self.W)
        if self.padding_idx is None:
            return vectors
        return F.where((ids != self.padding_idx)[..., None], vectors, 0.0)


class Dropout(Module):
    """Zero elements with probability p while training, see :func:`tinygradrnn.functional.dropout`.

    Parameters
    ----------
    p : float
        At least 0 and below 1.
    """

    def __init__(self, p: float = 0.5) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"Dropout: p must be at least 0 and below 1, got {p}")
        self.p = p

    def forward(self, x: TensorLike) -> Tensor:
        """The same shape."""
        return F.dropout(x, self.p, self.training)


class MLP(Module):
    """Linear layers with an activation between them (not after the last).

    Parameters
    ----------
    sizes : sequence of int
        ``[in, hidden, …, out]``.
    activation : str
        One of tanh, relu, sigmoid, linear, leaky_relu.
    """

    def __init__(self, sizes: Sequence[int], activation: str = "tanh") -> None:
        if len(sizes) < 2:
            raise ValueError(f"MLP: sizes must be [in, …, out], got {list(sizes)}")
        self.activation = activation_named(
            activation, ("tanh", "relu", "sigmoid", "linear", "leaky_relu")
        )
        self.layers = [Linear(a, b) for a, b in pairwise(sizes)]

    def forward(self, x: TensorLike) -> Tensor:
        """(…, sizes[0]) → (…, sizes[-1])."""
        y = self.layers[0](x)
        for layer in self.layers[1:]:
            y = layer(self.activation(y))
        return as_tensor(y)


class Last(Module):
    """The last output of a recurrent layer: of each sequence its own, of both directions."""

    reads_output = True

    def forward(self, output: Any) -> Tensor:
        """The output of a recurrent layer → (B, H)."""
        if not hasattr(output, "last"):
            raise TypeError(
                "Last reads the output of a recurrent layer, got a "
                f"{type(output).__name__}; of a tensor take y[:, -1]"
            )
        last: Tensor = output.last
        return last


class PerStep(Module):
    """Apply a module at each time step by itself, y_t = module(s_t).

    The same numbers as the module applied to (B, T, H) at once, but unrolled with the cell: its
    weights have a term of the gradient for every step, and drawings show it in the step.

    Parameters
    ----------
    module : Module
        For example ``Linear(H, V)``, the output layer of note set 003.
    """

    one_row = True

    def __init__(self, module: Module) -> None:
        module._name = module._name or type(module).__name__  # for pictures: Linear, not module
        self.module = module

    def forward(self, x: TensorLike) -> Tensor:
        """(B, T, H) → (B, T, …)."""
        x = as_tensor(x)
        if x.ndim < 2:
            raise ValueError(f"PerStep needs (B, T, …), got {x.node.describe()}")
        outputs = []
        for t in range(x.shape[1]):
            with timestep(t + 1):
                outputs.append(self.module(F.unstacked(x, t, axis=1)))
        return F.stack(outputs, axis=1)
