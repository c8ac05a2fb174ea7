"""The folder of a run, its curves, and what is said on the way."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

import tinygradrnn as tg
from tinygradrnn.text import TextError
from tinygradrnn.training import (
    CharacterJob,
    Record,
    RunError,
    Settings,
    load_run,
    new_folder,
    progress,
)
from tinygradrnn.training.curves import save_curves, smoothed
from tinygradrnn.training.interruption import stop_on_interrupt

pytestmark = pytest.mark.numpy_only("about files and processes")

TEXT = "It is a tale told by an idiot, full of sound and fury,\nSignifying nothing.\n" * 12
TINY = Settings(hidden=6, embedding=4, batch=2, length=5, steps=6)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---------------------------------------------------------------- which folder


def a_run(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_runs_are_numbered(here):
    assert new_folder(None, "notes-gru") == Path("runs/notes-gru-1")
    assert new_folder(None, "notes-gru") == Path("runs/notes-gru-1")  # nothing was written there
    a_run(here / "runs/notes-gru-2")
    (here / "runs/notes-gru-1/x").touch()
    assert new_folder(None, "notes-gru") == Path("runs/notes-gru-3")
    assert Path("runs/notes-gru-3").is_dir()


def test_a_folder_asked_for(here):
    assert new_folder(Path("a/b"), "x") == Path("a/b")
    (here / "empty").mkdir()
    assert new_folder(Path("empty"), "x") == Path("empty")
    a_run(here / "mine")
    assert new_folder(Path("mine"), "x") == here / "mine-2"
    (here / "mine-2/x").touch()
    assert new_folder(Path("mine"), "x") == here / "mine-3"


def test_other_things_are_left_alone(here, monkeypatch):
    (here / "thesis").mkdir()
    (here / "thesis/chapter.tex").touch()
    (here / "file").touch()
    for name in ("thesis", "file", "."):
        with pytest.raises(RunError, match="holds something that is no run"):
            new_folder(Path(name), "x")
    with pytest.raises(RunError, match="cannot be made a folder for the run: Not a directory"):
        new_folder(Path("file/below"), "x")

    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(RunError, match="cannot be made a folder for the run: Permission denied"):
        new_folder(None, "x")


# ---------------------------------------------------------------- what is written


def a_job(folder: Path, settings: Settings = TINY, steps: int | None = None) -> CharacterJob:
    job = CharacterJob(TEXT, "macbeth", settings)

    def show(record: Record) -> None:
        if record.step == steps:
            signal.raise_signal(signal.SIGINT)

    assert job.train(folder, show) == (steps is None)
    return job


def rows(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "metrics.csv").read_text("utf-8").splitlines()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, CharacterJob, str]:
    folder = tmp_path_factory.mktemp("run")
    job = a_job(folder)
    return folder, job, job.finish(folder)


def test_a_run_leaves_everything(finished):
    folder, job, text = finished
    assert sorted(path.name for path in folder.iterdir()) == [
        *("config.json", "loss.png", "loss.svg", "metrics.csv", "model.safetensors", "sample.txt")
    ]
    assert (folder / "sample.txt").read_text("utf-8") == f"{text}\n"
    assert len(text) == 500 and set(text) <= set(TEXT)

    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["text"] == "macbeth"
    assert (config["hidden"], config["steps"], config["cell"]) == (6, 6, "lstm")
    assert config["training_characters"] + config["held_out_characters"] == len(TEXT)
    assert config["five_gram_bits_per_character"] == job.baseline < 1.5

    found = rows(folder)
    assert [int(row["step"]) for row in found] == list(range(1, 7))
    assert all(float(row["training"]) > 0 < float(row["gradient_norm"]) for row in found)
    assert all(row["held_out"] and float(row["seconds"]) > 0 for row in found)
    assert [float(row["lr"]) for row in found] == pytest.approx(
        [TINY.learning_rate(step) for step in range(1, 7)], rel=1e-6
    )


def test_curves_are_readable_pictures(finished, tmp_path):
    folder, job, _ = finished
    svg = (folder / "loss.svg").read_text("utf-8")
    for words in ("bits per character", "step", "5-gram", "held-out", "gradient norm", "LSTM"):
        assert words in svg
    assert (folder / "loss.png").read_bytes().startswith(b"\x89PNG")
    save_curves(job.trainer.records, job.baseline, job.settings, [tmp_path / "again.svg"])
    assert (tmp_path / "again.svg").read_text("utf-8") == svg


def test_smoothed():
    assert smoothed([4.0, 2.0, 6.0, 1.0], 1).tolist() == [3, 4, 3, 3.5]
    assert smoothed([4.0, 2.0], 0).tolist() == [4, 2]


def test_the_same_seed_writes_the_same_files(tmp_path):
    folders = [tmp_path / name for name in ("one", "again", "other")]
    for folder, seed in zip(folders, (3, 3, 4), strict=True):
        a_job(folder, Settings(**{**vars(TINY), "seed": seed}))
    one, again, other = (
        [{k: v for k, v in row.items() if k != "seconds"} for row in rows(folder)]
        for folder in folders
    )
    assert one == again != other
    for name in ("model.safetensors", "config.json"):
        same, as_well, different = ((folder / name).read_bytes() for folder in folders)
        assert same == as_well != different


def test_a_run_is_read_again(tmp_path):
    job = a_job(tmp_path, Settings(**{**vars(TINY), "cell": "gru", "layers": 2}))
    run = load_run(tmp_path)
    assert run.settings == job.settings
    assert run.vocabulary.characters == job.vocabulary.characters
    for name, values in job.trainer.model.state_dict().items():
        np.testing.assert_array_equal(run.model.state_dict()[name], values)


def test_matrix_products_run_on_one_thread(tmp_path):
    def threads() -> list[int]:
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    before, seen = threads(), []
    job = CharacterJob(TEXT, "macbeth", TINY)
    job.train(tmp_path, lambda record: seen.append(threads()))
    assert seen == [[1] * len(before)] * TINY.steps
    assert threads() == before


def test_without_threadpoolctl_training_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("tinygradrnn.training.characters.find_spec", lambda name: None)
    assert CharacterJob(TEXT, "macbeth", TINY).train(tmp_path, lambda record: None)


# ---------------------------------------------------------------- Ctrl-C


def test_interrupted_runs_keep_what_they_learned(tmp_path):
    job = a_job(tmp_path, steps=3)
    job.finish(tmp_path)
    found = rows(tmp_path)
    assert [row["step"] for row in found] == ["1", "2", "3"]
    assert found[-1]["held_out"]
    for name, values in job.trainer.model.state_dict().items():
        np.testing.assert_array_equal(load_run(tmp_path).model.state_dict()[name], values)


def test_weights_are_on_disk_before_the_end(tmp_path):
    job = CharacterJob(TEXT, "macbeth", Settings(**{**vars(TINY), "steps": 12}))

    def crash(record: Record) -> None:
        if record.step == 5:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        job.train(tmp_path, crash)
    assert len(rows(tmp_path)) == 4
    load_run(tmp_path)


def test_ctrl_c_twice_ends_the_program():
    before = signal.getsignal(signal.SIGINT)
    with stop_on_interrupt() as stop:
        assert not stop
        signal.raise_signal(signal.SIGINT)
        assert stop
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_is_left_alone_where_it_is_not_ours():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stop_on_interrupt() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert not stop
    finally:
        signal.signal(signal.SIGINT, before)
    seen = []

    def elsewhere() -> None:
        with stop_on_interrupt() as stop:
            seen.append(bool(stop))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [False]


# ---------------------------------------------------------------- what cannot work


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "macbeth holds one kind of character only: there is nothing to predict"),
        ("\n" * 5000, "one kind of character only"),
        ("ab", "macbeth is too short: 1 characters are too few: 2 readers of 5"),
        ("abcdefgh", "macbeth is too short: 7 characters are too few: 2 readers of 5"),
    ],
)
def test_texts_without_anything_to_learn(text, message):
    with pytest.raises(TextError, match=message):
        CharacterJob(text, "macbeth", TINY)


def test_the_shortest_text_works(tmp_path):
    CharacterJob("abcdefghijkl", "x", TINY)  # 11 to learn from, 1 held out


def test_folders_that_are_no_runs(tmp_path):
    with pytest.raises(RunError, match="is not the folder of a run: there is no such folder"):
        load_run(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"is not the folder of a run: it has no model\.safetensors"):
        load_run(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(tg.CheckpointError, match="not a safetensors file, or is cut off"):
        load_run(tmp_path)
    for extra in (None, {"step": 1}, {"settings": {"colour": 1}, "characters": "ab"}):
        tg.save(path, model=tg.nn.Linear(2, 2), extra=extra)
        with pytest.raises(RunError, match="holds no model of text that this version can read"):
            load_run(tmp_path)
    extra = {"settings": vars(TINY), "characters": "ab"}
    tg.save(path, model=tg.nn.Linear(2, 2), extra=extra)
    with pytest.raises(RunError, match="holds no model of text that this version can read"):
        load_run(tmp_path)


def test_a_damaged_run(tmp_path):
    a_job(tmp_path)
    path = tmp_path / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.raises(tg.CheckpointError, match="damaged"):
        load_run(tmp_path)


# ---------------------------------------------------------------- progress


def test_lines_where_there_is_no_terminal(capsys):
    with progress(80) as show:
        show(Record(1, 5.0, None, 1.0, 0.1, 3.0))  # too soon for another line
        show(Record(2, 4.0, 3.5, 1.0, 0.1, 6.0))
        show(Record(3, 3.0, None, 1.0, 0.1, 17.0))
    assert capsys.readouterr().err.splitlines() == [
        "step 2/80  training 4.50, held-out 3.50 bits/character  234 s left",
        "step 3/80  training 3.50, held-out 3.50 bits/character  436 s left",
    ]
