"""The main job: a model of a text, trained, measured against counting, sampled and drawn."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from importlib.util import find_spec
from math import log2
from pathlib import Path
from typing import Any

import numpy as np

from tinygradrnn import seeds
from tinygradrnn.backend import get_backend
from tinygradrnn.checkpoint import write_atomically
from tinygradrnn.checks import debug
from tinygradrnn.models import generate, unrolled_loss
from tinygradrnn.text import TextError, Vocabulary, ngram_bits_per_character, split
from tinygradrnn.training import runs
from tinygradrnn.training.curves import save_curves
from tinygradrnn.training.interruption import stop_on_interrupt
from tinygradrnn.training.progress import Show
from tinygradrnn.training.settings import Settings
from tinygradrnn.training.trainer import Trainer

SAMPLE = 500  # characters
PICTURES = (("graph.svg", "cell", 5), ("operations.svg", "op", 3))
PAGE = ("step.html", "gate", 4)


class CharacterJob:
    """A model of a text, from the text to a folder full of what there is to see.

    Parameters
    ----------
    text : str
    name : str
        What the text is called.
    settings : Settings

    Attributes
    ----------
    trainer : Trainer
    vocabulary : Vocabulary
    baseline : float
        Bits per character of the held-out text by a character 5-gram that counted the other part.

    Raises
    ------
    TextError
        If nothing can be learned from the text.
    """

    def __init__(self, text: str, name: str, settings: Settings) -> None:
        self.text, self.name, self.settings = text, name, settings
        self.vocabulary = Vocabulary(text)
        kinds = len(self.vocabulary)
        if kinds < 2:
            raise TextError(f"{name} holds one kind of character only: there is nothing to predict")
        self.train_ids, self.held_out_ids = split(self.vocabulary.encode(text))
        seeds.manual_seed(settings.seed)
        model = runs.build_model(kinds, settings)
        try:
            self.trainer = Trainer(model, self.train_ids, self.held_out_ids, settings)
        except ValueError as error:
            raise TextError(
                f"{name} is too short: {error}; a smaller batch or length may do"
            ) from error
        self.baseline = ngram_bits_per_character(self.train_ids, self.held_out_ids, kinds)

    def describe(self) -> str:
        """What will be trained on what, in a sentence or two."""
        weights = sum(parameter.size for parameter in self.trainer.model.parameters())
        return (
            f"{self.settings.cell.upper()} of {weights:,} weights on {self.name}: "
            f"{len(self.train_ids):,} characters of {len(self.vocabulary)} kinds to learn from, "
            f"{len(self.held_out_ids):,} held out. Backend {get_backend().name}."
        )

    def result(self) -> str:
        """How well the held-out text is predicted, in a sentence."""
        bits = self.trainer.records[-1].held_out
        return (
            f"Held-out text: {bits:.3f} bits per character. A 5-gram, which only counts, needs "
            f"{self.baseline:.3f}; without any knowledge it is {log2(len(self.vocabulary)):.3f}."
        )

    def config(self) -> dict[str, object]:
        """What the run is made of."""
        return {
            "text": self.name,
            "training_characters": len(self.train_ids),
            "held_out_characters": len(self.held_out_ids),
            "kinds_of_characters": len(self.vocabulary),
            "five_gram_bits_per_character": self.baseline,
            "backend": get_backend().name,
            "python": sys.version.split()[0],
            "numpy": np.__version__,
            **asdict(self.settings),
        }

    def train(self, folder: Path, show: Show) -> bool:
        """Train to the end, or until Ctrl-C; weights and metrics are saved now and then.

        Returns
        -------
        bool
            Whether it came to the end.
        """
        runs.write_config(folder, self.config())
        with blas_threads(self.settings.threads), stop_on_interrupt() as stop:
            for record in self.trainer:
                show(record)
                if record.held_out is not None:
                    self.save(folder)
                if stop:
                    break
        return len(self.trainer.records) == self.settings.steps

    def save(self, folder: Path) -> None:
        """Write the weights and the metrics so far."""
        runs.write_weights(folder, self.trainer, self.vocabulary)
        runs.write_metrics(folder, self.trainer.records)

    def finish(self, folder: Path) -> str:
        """Measure the held-out text if need be, and write all that is left to write.

        Returns
        -------
        str
            What the model says.
        """
        self.trainer.measure()
        self.save(folder)
        (text,) = generate(self.trainer.model, self.vocabulary, SAMPLE)
        write_atomically(folder / "sample.txt", f"{text}\n".encode())
        curves = [folder / "loss.svg", folder / "loss.png"]
        save_curves(self.trainer.records, self.baseline, self.settings, curves)
        return text

    def draw(self, folder: Path) -> None:
        """Draw the model reading the beginning of the text, and write a page that steps through it.

        Raises
        ------
        DrawingError
            If there is nothing to draw with; then the graph is kept as DOT. The page needs nothing.
        """
        from tinygradrnn.drawing import DrawingError, draw
        from tinygradrnn.stepper import step_through

        model = self.trainer.model.eval()
        failed = None
        name, level, steps = PAGE
        with debug(check=False):  # so that the page can show the lines of the program
            loss = unrolled_loss(model, self.vocabulary, self.text[: steps + 1])
        step_through(loss, level=level).save(folder / name)
        for name, level, steps in PICTURES:
            loss = unrolled_loss(model, self.vocabulary, self.text[: steps + 1])
            try:
                draw(loss, level=level, gradients=True).save(folder / name)
            except DrawingError as error:
                failed = failed or error
        if failed:
            raise failed


def blas_threads(count: int) -> AbstractContextManager[Any]:
    """Limit the threads of matrix products, where ``threadpoolctl`` (extra ``dev``) is installed.

    Small products are slower on several threads than on one as soon as the machine has other work.
    """
    if find_spec("threadpoolctl") is None:
        return nullcontext()
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(count, "blas")
    return limits
