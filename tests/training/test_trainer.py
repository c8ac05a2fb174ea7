"""Truncated BPTT, evaluation in bits per character, the learning rate, sampling."""

from __future__ import annotations

import gc
from collections import Counter
from dataclasses import replace
from math import log, log2

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn.models import CharacterModel, generate
from tinygradrnn.text import Vocabulary, split
from tinygradrnn.training import Settings, Trainer, bits_per_character

TEXT = "the cat sat on the mat; the rat ate the cat. " * 30
SMALL = Settings(hidden=8, embedding=5, batch=3, length=6, steps=8, lr=0.02)


def a_trainer(settings: Settings = SMALL, text: str = TEXT) -> tuple[Trainer, Vocabulary]:
    vocabulary = Vocabulary(text)
    tg.manual_seed(settings.seed)
    model = CharacterModel(
        len(vocabulary),
        cell=settings.cell,
        hidden=settings.hidden,
        embedding=settings.embedding,
        layers=settings.layers,
        dropout=settings.dropout,
    )
    return Trainer(model, *split(vocabulary.encode(text)), settings), vocabulary


# ---------------------------------------------------------------- the steps


@pytest.mark.parametrize("compiled", [False, True])
def test_steps_are_those_written_out_by_hand(compiled):
    """The state goes on from batch to batch, the gradient does not."""
    trainer, vocabulary = a_trainer(replace(SMALL, compile=compiled))
    model = a_trainer()[0].model
    optimizer = tg.optim.Adam(model.parameters(), 1.0, betas=(0.9, 0.99))
    ids = vocabulary.encode(TEXT)[: len(trainer.streams.ids)]
    state = None
    for step in range(8):
        starts = [reader * (len(ids) // 3) + 6 * step for reader in range(3)]
        batch = np.stack([ids[start : start + 7] for start in starts])
        y, state = model.rnn(model.embedding(batch[:, :-1]), state)
        loss = F.cross_entropy(model.readout(y), batch[:, 1:])
        state = tg.nn.detach(state)
        optimizer.zero_grad()
        loss.backward()
        norm = tg.optim.clip_grad_norm(model.parameters(), SMALL.clip)
        optimizer.lr = SMALL.learning_rate(step + 1)
        optimizer.step()
        record = trainer.step()
        assert record.step == step + 1
        assert record.training == pytest.approx(loss.item() / log(2), rel=1e-6)
        assert record.gradient_norm == pytest.approx(norm.item(), rel=1e-6)
        assert record.lr == optimizer.lr
    rounding = 1e-5 if compiled else 0
    for name, values in trainer.model.state_dict().items():
        np.testing.assert_allclose(values, model.state_dict()[name], rounding, rounding)


def test_held_out_text_is_measured_now_and_then_and_at_the_end():
    trainer, _ = a_trainer(Settings(**{**vars(SMALL), "steps": 12}))
    measured = [record.step for record in trainer if record.held_out is not None]
    assert measured == [2, 4, 6, 8, 10, 12]
    trainer, _ = a_trainer()
    for record in trainer:
        if record.step == 3:
            break
    trainer.measure()
    last = trainer.records[-1]
    assert last.step == 3
    assert last.held_out == bits_per_character(trainer.model, trainer.held_out)
    assert len(trainer.held_out) == len(split(np.arange(len(TEXT)))[1]) + 1


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_a_text_that_repeats_is_learned(cell):
    settings = Settings(
        cell=cell, hidden=16, embedding=8, batch=4, length=12, steps=120, lr=0.03, seed=1
    )
    trainer, vocabulary = a_trainer(settings, "a fool thinks himself wise, " * 40)
    first, *_, last = trainer
    assert first.training == pytest.approx(log2(len(vocabulary)), abs=0.7)
    assert last.held_out is not None and last.held_out < 0.4
    (text,) = generate(trainer.model, vocabulary, 28, prime="a fool", temperature=0)
    assert text == " thinks himself wise, a fool"


def test_the_same_seed_gives_the_same_run():
    settings = Settings(**{**vars(SMALL), "layers": 2, "dropout": 0.3})
    one, again, other = (
        [(r.training, r.held_out, r.gradient_norm) for r in a_trainer(s)[0]]
        for s in (settings, settings, Settings(**{**vars(settings), "seed": 1}))
    )
    assert one == again != other


def test_the_garbage_collector_is_given_back():
    trainer, _ = a_trainer()
    assert gc.isenabled()
    trainer.step()
    assert gc.isenabled()
    gc.disable()
    try:
        trainer.step()
        assert not gc.isenabled()
    finally:
        gc.enable()


# ---------------------------------------------------------------- settings


def test_learning_rate_rises_and_falls():
    settings = Settings(steps=100, lr=0.5)
    rates = [settings.learning_rate(step) for step in range(1, 101)]
    assert rates[:10] == pytest.approx([0.05 * k for k in range(1, 11)])
    assert rates[9:] == sorted(rates[9:], reverse=True)
    assert rates[-1] == pytest.approx(0.01)
    assert Settings(steps=1, lr=0.5).learning_rate(1) == 0.5


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("hidden", 0, "hidden must be at least 1, got 0"),
        ("embedding", -1, "embedding must be at least 1, got -1"),
        ("layers", 0, "layers must be"),
        ("batch", 0, "batch must be"),
        ("length", -5, "length must be"),
        ("steps", 0, "steps must be at least 1, got 0"),
        ("threads", 0, "threads must be at least 1, got 0"),
        ("lr", 0.0, "lr must be a finite number above 0, got 0.0"),
        ("lr", float("nan"), "lr must be"),
        ("clip", float("inf"), "clip must be"),
        ("dropout", 1.0, "dropout must be at least 0 and below 1, got 1.0"),
        ("seed", -1, "seed must be at least 0, got -1"),
        ("cell", "tree", "cell must be one of elman, lstm, gru, got 'tree'"),
    ],
)
def test_settings_that_make_no_sense(name, value, message):
    with pytest.raises(ValueError, match=message):
        Settings(**{name: value})


# ---------------------------------------------------------------- bits per character


def test_a_model_that_knows_nothing_needs_log2_of_the_kinds():
    model = CharacterModel(11, hidden=4, embedding=3)
    for parameter in model.parameters():
        parameter.data = np.zeros(parameter.shape)
    for count in (2, 129, 5000):
        text = np.random.default_rng(0).integers(0, 11, count)
        assert bits_per_character(model, text) == pytest.approx(log2(11), rel=1e-6)


@pytest.mark.parametrize("count", [1, 100, 128, 129, 1000, 5001])
def test_bits_are_those_of_every_character_but_the_first(count):
    """Up to a few thousand characters the text is read in parts of up to 128, all side by side."""
    tg.manual_seed(2)
    model = CharacterModel(6, hidden=5, embedding=4, dropout=0.5).astype("float64")
    text = np.random.default_rng(1).integers(0, 6, count + 1)
    readers = min(32, -(-count // 128))
    share = -(-count // readers)
    bits = 0.0
    with tg.no_grad():
        model.eval()
        for start in range(0, count, share):
            part = text[None, start : min(start + share, count) + 1]
            loss, _ = model.loss(part[:, :-1], part[:, 1:])
            bits += loss.item() / log(2) * (part.size - 1)
    model.train()
    assert bits_per_character(model, text) == pytest.approx(bits / count, rel=1e-12)
    assert model.training and model.dropout.training


def test_bits_need_two_characters():
    with pytest.raises(ValueError, match="at least two characters"):
        bits_per_character(CharacterModel(3), np.array([1]))


# ---------------------------------------------------------------- model and sampling


def test_model_wants_a_cell_it_knows():
    with pytest.raises(ValueError, match="cell: 'x' is not one of elman, lstm, gru"):
        CharacterModel(5, cell="x")
    with pytest.raises(ValueError, match="kinds must be an integer of at least 1"):
        CharacterModel(0)


def model_of(probabilities: dict[str, float]) -> tuple[CharacterModel, Vocabulary]:
    """A model that draws characters with these probabilities whatever came before."""
    vocabulary = Vocabulary(probabilities)
    model = CharacterModel(len(vocabulary), hidden=2, embedding=2, dropout=0.5)
    for parameter in model.parameters():
        parameter.data = np.zeros(parameter.shape)
    model.readout.b.data = np.log([probabilities[c] for c in vocabulary.characters])
    return model, vocabulary


def test_drawn_characters_have_the_probabilities_of_the_model():
    model, vocabulary = model_of({"a": 0.5, "b": 0.3, "c": 0.2})
    tg.manual_seed(0)
    texts = generate(model, vocabulary, 100, count=300)
    assert [len(text) for text in texts] == [100] * 300
    counts = Counter("".join(texts))
    for character, p in (("a", 0.5), ("b", 0.3), ("c", 0.2)):
        assert counts[character] / 30_000 == pytest.approx(p, abs=0.015)
    assert model.training
    tg.manual_seed(0)
    assert generate(model, vocabulary, 100, count=300) == texts


@pytest.mark.parametrize(
    ("temperature", "share"), [(0, 1.0), (1e-300, 1.0), (0.5, 25 / 38), (1.0, 0.5), (1e9, 1 / 3)]
)
def test_temperature(temperature, share):
    """Probabilities are raised to the power 1 / temperature."""
    model, vocabulary = model_of({"a": 0.5, "b": 0.3, "c": 0.2})
    tg.manual_seed(3)
    text = "".join(generate(model, vocabulary, 20, count=200, temperature=temperature))
    assert text.count("a") / 4000 == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("temperature", [-1, float("nan"), float("inf")])
def test_temperature_must_make_sense(temperature):
    with pytest.raises(ValueError, match="temperature must be a number of at least 0"):
        generate(*model_of({"a": 1.0}), 5, temperature=temperature)


def test_sampling_reads_the_prime_and_carries_the_state():
    trainer, vocabulary = a_trainer()
    model = trainer.model
    prime, drawn = "the cat", ""
    for _ in range(5):
        with tg.no_grad():
            scores, _ = model(vocabulary.encode(prime + drawn)[None])
        drawn += vocabulary.characters[int(scores.numpy()[0, -1].argmax())]
    assert generate(model, vocabulary, 5, prime=prime, temperature=0) == [drawn]
    assert generate(model, vocabulary, 0, prime=prime) == [""]
    with pytest.raises(ValueError, match="the character 'X' is not in the vocabulary"):
        generate(model, vocabulary, 5, prime="X")
