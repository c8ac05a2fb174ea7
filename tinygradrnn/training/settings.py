"""Everything that decides how a model of text is trained."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, isfinite, pi

from tinygradrnn.models import CELLS


@dataclass(frozen=True)
class Settings:
    """The defaults train an LSTM on the Shakespeare text in about a minute on two cores.

    Attributes
    ----------
    cell : "lstm", "gru" or "elman"
    hidden, embedding, layers : int
        Sizes of the model, see :class:`~tinygradrnn.models.CharacterModel`.
    dropout : float
    batch, length : int
        How many places of the text are read side by side, and how many characters each reads
        before the weights change: gradients flow back through so many steps.
    steps : int
        How many times the weights change.
    lr : float
        The highest learning rate (Adam's), see :meth:`learning_rate`.
    clip : float
        Gradients whose joint 2-norm is above are scaled down to it.
    seed : int
        Of all that is random.
    threads : int
        For matrix products, and for kernels where Numba is installed. Products of a small model
        gain little from a second thread, and threads wait for each other where other programs
        run: up to ten times as long. One thread also rounds alike whatever the number of cores.
        For products outside of kernels it acts where ``threadpoolctl`` is installed.

    compile : bool
        Whether steps run from a plan (:func:`tinygradrnn.compile`): the same numbers, sooner.

    Raises
    ------
    ValueError
        For a value that makes no sense, with its name.
    """

    cell: str = "lstm"
    hidden: int = 128
    embedding: int = 64
    layers: int = 1
    dropout: float = 0.0
    batch: int = 64
    length: int = 24
    steps: int = 2000
    lr: float = 0.02
    clip: float = 1.0
    seed: int = 0
    threads: int = 1
    compile: bool = True

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise ValueError(f"cell must be one of {', '.join(CELLS)}, got {self.cell!r}")
        for name in ("hidden", "embedding", "layers", "batch", "length", "steps", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("lr", "clip"):
            value = getattr(self, name)
            if not (isfinite(value) and value > 0):
                raise ValueError(f"{name} must be a finite number above 0, got {value}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, got {self.dropout}")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0, got {self.seed}")

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, 1 the first.

        It rises in a straight line over the first tenth of the steps, while Adam's averages fill,
        and then falls along half a cosine to a fiftieth (Loshchilov & Hutter 2017).
        """
        rising = max(1, self.steps // 10)
        if step <= rising:
            return self.lr * step / rising
        done = (step - rising) / (self.steps - rising)
        return self.lr * (0.02 + 0.98 * (1 + cos(pi * done)) / 2)
