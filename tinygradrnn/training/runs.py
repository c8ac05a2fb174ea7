"""The folder of a run: making it, writing into it, reading it again."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from itertools import chain, count
from pathlib import Path
from typing import Any, NamedTuple

from tinygradrnn.checkpoint import load, read, save, write_atomically
from tinygradrnn.models import CharacterModel
from tinygradrnn.text import Vocabulary
from tinygradrnn.training.settings import Settings
from tinygradrnn.training.trainer import Record, Trainer

WEIGHTS, CONFIG, METRICS = "model.safetensors", "config.json", "metrics.csv"


class RunError(ValueError):
    """A folder that is no run, or that no run can be written into."""


class Run(NamedTuple):
    """What a run learned."""

    model: CharacterModel
    vocabulary: Vocabulary
    settings: Settings


def new_folder(out: Path | None, name: str) -> Path:
    """Make a folder for a run. One that holds a run already is left alone: the next number it is.

    Parameters
    ----------
    out : Path or None
        Where the user wants it; ``runs/<name>-1``, ``-2`` … when None.
    name : str

    Raises
    ------
    RunError
        If there is something else in ``out``, or it cannot be made.
    """
    base = Path("runs", name) if out is None else out.absolute()
    numbered = (base.with_name(f"{base.name}-{n}") for n in count(1 if out is None else 2))
    try:
        if out is not None and not _free(out) and not (out / CONFIG).exists():
            raise RunError(f"{out} holds something that is no run; give a new or an empty folder")
        wanted = numbered if out is None else chain([out], numbered)
        folder = next(filter(_free, wanted))
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{base} cannot be made a folder for the run: {error.strerror}") from error
    return folder


def _free(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def write_config(folder: Path, config: dict[str, Any]) -> None:
    """Write what the run was made of, for people and programs to read."""
    text = json.dumps(config, indent=2, ensure_ascii=False)
    write_atomically(folder / CONFIG, f"{text}\n".encode())


def write_weights(folder: Path, trainer: Trainer, vocabulary: Vocabulary) -> None:
    """Write the weights, with all that is needed to make the model again and to train it on."""
    save(
        folder / WEIGHTS,
        model=trainer.model,
        optimizer=trainer.optimizer,
        extra={
            "settings": asdict(trainer.settings),
            "characters": vocabulary.characters,
            "step": len(trainer.records),
        },
    )


def write_metrics(folder: Path, records: Sequence[Record]) -> None:
    """Write one line for each step; a number that was not measured is left out."""
    table = StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(Record._fields)
    for record in records:
        writer.writerow(["" if value is None else f"{value:.7g}" for value in record])
    write_atomically(folder / METRICS, table.getvalue().encode())


def load_run(folder: Path) -> Run:
    """Make the model of a run again.

    Raises
    ------
    RunError
        If the folder is none, or holds no model of text.
    CheckpointError
        If the file of the weights is damaged.
    """
    path = folder / WEIGHTS
    if not path.is_file():
        what = "there is no such folder" if not folder.exists() else f"it has no {WEIGHTS}"
        raise RunError(f"{folder} is not the folder of a run: {what}")
    extra = read(path)[1]["extra"]
    try:
        settings = Settings(**extra["settings"])
        vocabulary = Vocabulary(extra["characters"])
        model = build_model(len(vocabulary), settings)
        load(path, model=model)
    except (TypeError, KeyError, ValueError) as error:
        raise RunError(f"{path} holds no model of text that this version can read") from error
    return Run(model, vocabulary, settings)


def build_model(kinds: int, settings: Settings) -> CharacterModel:
    """The model that the settings describe, with new weights."""
    return CharacterModel(
        kinds,
        cell=settings.cell,
        embedding=settings.embedding,
        hidden=settings.hidden,
        layers=settings.layers,
        dropout=settings.dropout,
    )
