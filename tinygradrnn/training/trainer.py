"""Truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterator
from math import log
from time import perf_counter
from typing import NamedTuple

import numpy as np

from tinygradrnn.collector import without_collector
from tinygradrnn.compiler.compiled import compile
from tinygradrnn.models import CharacterModel
from tinygradrnn.nn import detach
from tinygradrnn.nn.states import State
from tinygradrnn.optim import Adam, clip_grad_norm
from tinygradrnn.tensors import Tensor
from tinygradrnn.text import Streams
from tinygradrnn.text.vocabulary import Ids
from tinygradrnn.training.evaluation import bits_per_character
from tinygradrnn.training.settings import Settings

EVALUATIONS = 6  # of the held-out text, in a whole run


class Record(NamedTuple):
    """One step of training.

    Attributes
    ----------
    step : int
        1 the first.
    training : float
        Bits per character of its batch, before the weights changed.
    held_out : float or None
        Of the held-out text, after they changed; measured at some steps only.
    gradient_norm : float
        Before it was clipped.
    lr : float
    seconds : float
        Since training began.
    """

    step: int
    training: float
    held_out: float | None
    gradient_norm: float
    lr: float
    seconds: float


class Trainer:
    """Trains on batch after batch of streams; the state is carried on, the gradient is not.

    Each step unrolls the model over the T characters of a batch from the state that the last one
    ended with, cut from its graph: gradients flow back at most T steps (Williams & Peng 1990).

    Parameters
    ----------
    model : CharacterModel
    train, held_out : integers
        The texts; the second goes on where the first ends.
    settings : Settings

    Attributes
    ----------
    records : list of Record
        Of every step so far.
    """

    def __init__(
        self, model: CharacterModel, train: Ids, held_out: Ids, settings: Settings
    ) -> None:
        self.model, self.settings = model, settings
        self.streams = Streams(train, settings.batch, settings.length)
        # the last character of the one text is the first to be read, not predicted, of the other
        self.held_out = np.concatenate([train[-1:], held_out])
        self.optimizer = Adam(model.parameters(), settings.lr, betas=(0.9, 0.99))
        self.state: State = None
        step = self._update
        self._step = compile(step, threads=settings.threads) if settings.compile else step
        self.records: list[Record] = []
        self._due = {round(settings.steps * k / EVALUATIONS) for k in range(1, EVALUATIONS + 1)}
        self._started = perf_counter()

    def __iter__(self) -> Iterator[Record]:
        """Train to the end, giving the record of every step; stop asking and it stops."""
        while len(self.records) < self.settings.steps:
            yield self.step()

    def step(self) -> Record:
        """Train on one batch."""
        number = len(self.records) + 1
        self.optimizer.lr = self.settings.learning_rate(number)
        with without_collector():
            loss, norm, self.state = self._step(*self.streams[number - 1], self.state)
        seconds = perf_counter() - self._started
        bits = float(loss) / log(2)
        self.records.append(Record(number, bits, None, float(norm), self.optimizer.lr, seconds))
        if number in self._due:
            self.measure()
        return self.records[-1]

    def measure(self) -> None:
        """Note how well the held-out text is predicted, unless the last record has it."""
        last = self.records[-1]
        if last.held_out is None:
            found = bits_per_character(self.model, self.held_out)
            self.records[-1] = last._replace(held_out=found)

    def _update(self, inputs: Ids, targets: Ids, state: State) -> tuple[Tensor, Tensor, State]:
        """The loss before the weights change, the norm of its gradient, the state to go on from."""
        loss, state = self.model.loss(inputs, targets, state)
        self.optimizer.zero_grad()
        loss.backward()
        norm = clip_grad_norm(self.optimizer.params, self.settings.clip)
        self.optimizer.step()
        return loss, norm, detach(state)
