"""Checkpoints: exact resume, all or nothing, and clear words about files that do not fit."""

from __future__ import annotations

import json
import os
import stat

import numpy as np
import pytest
from processes import run_python
from safetensors.numpy import load_file, save_file

import tinygradrnn as tg
from tinygradrnn import checkpoint, nn, optim, seeds
from tinygradrnn import functional as F

IDS = np.random.default_rng(0).integers(0, 6, (4, 8, 3))


def model_of(size=5):
    """Dropout of both kinds, so that the random generator matters."""
    return nn.Sequential(
        nn.Embedding(6, 4),
        nn.LSTM(4, size, num_layers=2, dropout=0.3, recurrent_dropout=0.3),
        nn.PerStep(nn.Linear(size, 6)),
    )


OPTIMISERS = {
    "sgd": lambda params: optim.SGD(params, 0.1),
    "momentum": lambda params: optim.SGD(params, 0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda params: optim.Adagrad(params),
    "rmsprop": lambda params: optim.RMSprop(params, momentum=0.5),
    "adam": lambda params: optim.Adam(params, 0.01),
    "adamw": lambda params: optim.AdamW(params, 0.01),
}


def train(model, optimizer, steps):
    for step in steps:
        ids = IDS[:, :, step % 3]
        optimizer.zero_grad()
        F.cross_entropy(model(ids[:, :-1]), ids[:, 1:]).backward()
        optim.clip_grad_norm(model.parameters(), 1.0)
        optimizer.step()
        optimizer.lr *= 0.99


def same(model, other):
    for (path, ours), (name, theirs) in zip(
        model.state_dict().items(), other.state_dict().items(), strict=True
    ):
        assert path == name
        np.testing.assert_array_equal(ours, theirs, err_msg=path)
        assert ours.dtype == theirs.dtype


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run" / "step.safetensors"


@pytest.mark.parametrize("make", OPTIMISERS.values(), ids=OPTIMISERS)
def test_training_goes_on_exactly(make, path):
    tg.manual_seed(11)
    through = model_of()
    optimizer = make(through.parameters())
    train(through, optimizer, range(10))
    assert tg.save(path, model=through, optimizer=optimizer, extra={"step": 10}) == path
    train(through, optimizer, range(10, 20))
    random = seeds.generator_state()

    tg.manual_seed(99)  # another process, with other weights and another seed
    resumed = model_of()
    again = make(resumed.parameters())
    train(resumed, again, range(3))
    extra = tg.load(path, model=resumed, optimizer=again)
    train(resumed, again, range(extra["step"], 20))
    same(resumed, through)
    assert again.lr == optimizer.lr
    assert again.steps == optimizer.steps
    assert seeds.generator_state() == random


def test_training_goes_on_exactly_in_another_process(path):
    tg.manual_seed(11)
    model = model_of()
    adam = optim.Adam(model.parameters())
    train(model, adam, range(2))
    tg.save(path, model=model, optimizer=adam, extra={"step": 2})
    train(model, adam, range(2, 4))
    program = (
        "from test_checkpoint import *\n"
        f"path = {os.fspath(path)!r}\n"
        "model = model_of(); adam = optim.Adam(model.parameters())\n"
        "step = tg.load(path, model=model, optimizer=adam)['step']\n"
        "train(model, adam, range(step, 4)); tg.save(path, model=model, optimizer=adam)\n"
    )
    run_python(program, path=(os.path.dirname(__file__),))
    other = model_of()
    tg.load(path, model=other)
    same(other, model)


def test_loading_for_inference_leaves_the_random_numbers_alone(path):
    tg.manual_seed(1)
    model = model_of()
    tg.save(path, model=model, optimizer=optim.Adam(model.parameters()))
    other = model_of()
    before = seeds.generator_state()
    assert tg.load(path, model=other) is None
    assert seeds.generator_state() == before
    same(other, model)


def test_identical_states_are_identical_files(tmp_path):
    files = []
    for name in "ab":
        tg.manual_seed(5)
        model = model_of()
        adam = optim.Adam(model.parameters())
        train(model, adam, range(2))
        file = tg.save(tmp_path / name, model=model, optimizer=adam, extra={"b": 1, "a": [2.5]})
        files.append(file.read_bytes())
    assert files[0] == files[1]


def test_any_safetensors_reader_reads_the_weights(path):
    model = model_of()
    tg.save(path, model=model)
    arrays = load_file(path)
    assert list(arrays) == sorted(f"model/{name}" for name in model.state_dict())
    np.testing.assert_array_equal(
        arrays["model/layers.2.module.W"], model.layers[2].module.W.numpy()
    )


# ---------------------------------------------------------------- arrays of every kind


def test_arrays_survive_whatever_their_memory_looks_like(path):
    class Odd(nn.Module):
        def __init__(self):
            rng = np.random.default_rng(3)
            self.fortran = nn.Parameter(np.asfortranarray(rng.normal(size=(3, 4))))
            self.transposed = nn.Parameter(rng.normal(size=(3, 4)))
            self.strided = nn.Parameter(rng.normal(size=(3, 4)))
            self.number = nn.Parameter(np.float32(2.5))
            self.half = nn.Parameter(np.ones(3, "float16"))
            self.nothing = nn.Parameter(np.zeros((0, 3)))
            self.special = nn.Parameter([np.nan, np.inf, -0.0])
            # as a cell on another backend, or somebody's own module, may hold them
            self.transposed.node.replace_value(rng.normal(size=(4, 3)).T)
            self.strided.node.replace_value(rng.normal(size=(6, 8))[::2, ::-2])

    model, other = Odd(), Odd()
    for parameter in other.parameters():
        parameter.data = np.zeros(parameter.shape)
    tg.save(path, model=model)
    tg.load(path, model=other)
    same(other, model)
    assert other.number.shape == ()


# ---------------------------------------------------------------- extra


@pytest.mark.parametrize(
    "extra",
    [
        None,
        0,
        'text: ü, 中, \n, "quotes"',
        [1, 2.5, True, None, "a"],
        {"vocabulary": ["<", "a"], "config": {"lr": 1e-3, "nested": {"deep": [[]]}}},
        {"large": 2**100, "small": 5e-324, "third": 1 / 3},
    ],
)
def test_extra_comes_back(extra, path):
    model = nn.Linear(2, 2)
    tg.save(path, model=model, extra=extra)
    assert tg.load(path, model=model) == extra


def test_numbers_of_numpy_come_back_as_pythons(path):
    model = nn.Linear(2, 2)
    tg.save(path, model=model, extra={"loss": np.float32(0.5), "step": np.int64(3), "t": (1, 2)})
    assert tg.load(path, model=model) == {"loss": 0.5, "step": 3, "t": [1, 2]}


def around(value):
    value.append(value)
    return value


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"a": {1, 2}}, "extra must be what JSON can hold: a set cannot be written as JSON"),
        ({"a": np.ones(3)}, "a ndarray cannot be written as JSON"),
        (tg.tensor([1.0]), "a Tensor cannot be written as JSON"),
        ({1: "a"}, "extra has the key 1, which would come back as text; write str keys"),
        ([{"a": {None: 2}}], "extra has the key None"),
        (around([]), "extra must be what JSON can hold: Circular reference"),
    ],
)
def test_extra_that_would_not_come_back_is_refused(extra, message, path):
    tg.save(path, model=nn.Linear(2, 2), extra="before")
    with pytest.raises(TypeError, match=message):
        tg.save(path, model=nn.Linear(2, 2), extra=extra)
    assert tg.load(path, model=nn.Linear(2, 2)) == "before"


# ---------------------------------------------------------------- writing: all or nothing


@pytest.mark.parametrize("fails", ["fsync", "replace", "chmod"])
def test_the_old_file_stays_when_writing_fails(fails, path, monkeypatch):
    model = nn.Linear(2, 2)
    tg.save(path, model=model, extra="old")
    old = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.os, fails, full)
    with pytest.raises(OSError, match="No space left"):
        tg.save(path, model=model, extra="new")
    assert path.read_bytes() == old
    assert os.listdir(path.parent) == [path.name]


def test_the_old_file_stays_when_interrupted(path, monkeypatch):
    tg.save(path, model=nn.Linear(2, 2), extra="old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tg.save(path, model=nn.Linear(2, 2), extra="new")
    assert tg.load(path, model=nn.Linear(2, 2)) == "old"
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_files_mode_follows_the_umask(umask, mode, path):
    before = os.umask(umask)
    try:
        tg.save(path, model=nn.Linear(2, 2))
        assert os.umask(umask) == umask
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


# ---------------------------------------------------------------- files that do not fit


def refused(path, message, model=None, optimizer=None):
    model = model or nn.Linear(2, 2)
    before = model.state_dict()
    with pytest.raises(tg.CheckpointError, match=message):
        tg.load(path, model=model, optimizer=optimizer)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_truncated_file(path):
    tg.save(path, model=nn.Linear(2, 2))
    whole = path.read_bytes()
    for length in (0, 4, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        refused(path, "is not a safetensors file, or is cut off")


@pytest.mark.parametrize("bit", [1, 0x80])
def test_a_flipped_bit_is_found_in_every_byte(bit, path):
    model = nn.Linear(2, 1)
    adam = optim.Adam(model.parameters())
    model(np.ones((1, 2), "float32")).sum().backward()
    adam.step()
    tg.save(path, model=model, optimizer=adam, extra={"step": 10, "note": "lr 0.1"})
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= bit
        path.write_bytes(damaged)
        with pytest.raises(tg.CheckpointError):
            tg.load(path, model=model, optimizer=adam)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"hello, this is no checkpoint at all", "is not a safetensors file, or is cut off"),
        (b"\x80\x04\x95pickle" * 9, "is not a safetensors file"),
    ],
)
def test_a_file_of_another_kind(content, message, tmp_path):
    (tmp_path / "other").write_bytes(content)
    refused(tmp_path / "other", message)


def test_a_foreign_safetensors_file(tmp_path):
    file = tmp_path / "foreign.safetensors"
    save_file({"model/W": np.ones((2, 2), "float32")}, file)
    refused(file, r"foreign\.safetensors is a safetensors file, but no checkpoint of tinygradrnn")
    save_file({"W": np.ones(2)}, file, metadata={"format": "pt"})
    refused(file, "but no checkpoint of tinygradrnn")
    for header in ("{}", "[]", "1", "no json", '{"format": null, "sha256": ""}'):
        save_file({"W": np.ones(2)}, file, metadata={"tinygradrnn": header})
        refused(file, "is damaged: its header cannot be read")
    later = json.dumps({"format": 2, "sha256": ""})
    save_file({"W": np.ones(2)}, file, metadata={"tinygradrnn": later})
    refused(file, "has format 2, this version reads up to 1; update tinygradrnn")


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        tg.load(tmp_path / "none", model=nn.Linear(2, 2))


def test_a_file_without_an_optimizer(path):
    model = nn.Linear(2, 2)
    tg.save(path, model=nn.Linear(2, 2))
    refused(path, "was saved without an optimizer", model, optim.SGD(model.parameters(), 0.1))


def test_a_model_that_does_not_fit_is_told_everything_and_not_changed(path):
    tg.save(path, model=nn.Sequential(nn.LSTM(3, 4), nn.Linear(4, 2)))
    other = nn.Sequential(nn.GRU(3, 4), nn.Linear(4, 2, bias=False))
    before = other.state_dict()
    with pytest.raises(ValueError, match="load_state_dict of Sequential") as caught:
        tg.load(path, model=other)
    assert str(caught.value).splitlines()[1:] == [
        "  missing: layers.0.layers.0.cell.W_s (4, 8)",
        "  missing: layers.0.layers.0.cell.W_sg (4, 4)",
        "  unexpected: layers.0.layers.0.cell.W_h (4, 16)",
        "  unexpected: layers.1.b (2,)",
        "  wrong shape: layers.0.layers.0.cell.W_x is (3, 16), expected (3, 12)",
        "  wrong shape: layers.0.layers.0.cell.b is (16,), expected (12,)",
    ]
    for name, array in other.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda model: optim.SGD(model.parameters(), 0.1), "the state is of Adam, not of SGD"),
        (lambda model: optim.Adam([model.W]), "of 2 parameters, this optimiser has 1"),
        (
            lambda model: optim.Adam([model.b, model.W]),
            r"mean of parameter 0 has shape \(3, 2\), 'b' \(2,\) needs \(2,\)",
        ),
    ],
)
def test_an_optimiser_that_does_not_fit_changes_nothing(other, message, path):
    def trained():
        model = nn.Linear(3, 2)
        adam = optim.Adam(model.parameters())
        model(np.ones((1, 3), "float32")).sum().backward()
        adam.step()
        return model, adam

    model, adam = trained()
    tg.save(path, model=model, optimizer=adam)
    model, _ = trained()
    optimizer = other(model)
    before, random = model.state_dict(), seeds.generator_state()
    with pytest.raises(ValueError, match=message):
        tg.load(path, model=model, optimizer=optimizer)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert seeds.generator_state() == random
    assert not any(optimizer.slots)
