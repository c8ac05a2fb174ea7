"""CTC: the loss, against enumeration of all alignments and against PyTorch."""

from __future__ import annotations

import math
from itertools import pairwise, product

import numpy as np
import pytest
from alignments import batches, enumerated, loss_of, padded, random_scores
from hypothesis import given, settings
from hypothesis import strategies as st
from nn.conversion import recorded
from plugin_backend.mirror_backend import MirrorArray, MirrorBackend

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.backend import backend_of_type

REFERENCES = [case for case in recorded("losses") if case.startswith("ctc_")]


@settings(max_examples=60, deadline=None)
@given(batches())
def test_loss_and_gradient_are_those_of_all_alignments(batch):
    scores, targets, frames, blank = batch
    x = tg.tensor(scores, requires_grad=True)
    losses = loss_of(x, targets, frames, blank=blank, reduction="none")
    losses.backward(np.ones(len(targets)))
    for row, (target, n) in enumerate(zip(targets, frames, strict=True)):
        total, used = enumerated(scores[row, :n], blank)
        gradient = np.zeros_like(scores[row])
        if target in total:
            gradient[:n] = -used[target] / total[target]
        wanted = -math.log(total[target]) if target in total else math.inf
        np.testing.assert_allclose(losses.numpy()[row], wanted, rtol=1e-12)
        np.testing.assert_allclose(x.grad.numpy()[row], gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("case", REFERENCES)
def test_same_as_pytorch(case):
    values = recorded("losses")[case]
    config = values["config"]
    names = ("targets", "input_lengths", "target_lengths")
    rest = [values[name] for name in names]
    logits = tg.tensor(values["logits"], requires_grad=True)
    log_probs = tg.tensor(values["log_probs"], requires_grad=True)
    for leaf, scores, name in (
        (logits, F.log_softmax(logits), "grad/logits"),
        (log_probs, log_probs, "grad/log_probs"),
    ):
        loss = F.ctc_loss(scores, *rest, blank=config["blank"], reduction=config["reduction"])
        np.testing.assert_allclose(loss.numpy(), values["value"], rtol=1e-12)
        loss.backward(values["R"])
        if name in values:
            np.testing.assert_allclose(leaf.grad.numpy(), values[name], rtol=1e-9, atol=1e-12)
        else:
            assert np.isfinite(leaf.grad.numpy()).all()


def test_gradients_of_first_and_second_order():
    targets, frames = [(1, 1), (2,), ()], [5, 4, 2]
    logits = tg.tensor(np.random.default_rng(0).standard_normal((3, 5, 3)), requires_grad=True)
    for reduction in ("mean", "sum", "none"):
        tg.check_gradients(
            lambda x, r=reduction: loss_of(F.log_softmax(x), targets, frames, reduction=r),
            logits,
            order=2,
        )


def test_sequences_share_a_batch_without_a_trace():
    """Each as if it were alone; padding, of whatever kind, reaches no value and no gradient."""
    scores = random_scores(3, 6, 4)
    targets, frames = [(1, 2, 3), (3,), (2, 2)], [6, 2, 4]
    x = tg.tensor(scores, requires_grad=True)
    loss = loss_of(x, targets, frames, reduction="none")
    loss.sum().backward()
    dirty = scores.copy()
    for row, n in enumerate(frames):
        dirty[row, n:] = [np.nan, np.inf, -np.inf, 1e30]
    z = tg.tensor(dirty, requires_grad=True)
    junk = padded(targets, value=-7)
    again = F.ctc_loss(z, junk, frames, [len(row) for row in targets], reduction="none")
    again.sum().backward()
    np.testing.assert_array_equal(again.numpy(), loss.numpy())
    np.testing.assert_array_equal(z.grad.numpy(), x.grad.numpy())
    for row, (target, n) in enumerate(zip(targets, frames, strict=True)):
        alone = tg.tensor(scores[row : row + 1, :n], requires_grad=True)
        single = loss_of(alone, [target], reduction="sum")
        single.backward()
        np.testing.assert_allclose(single.item(), loss.numpy()[row], rtol=1e-14)
        np.testing.assert_allclose(alone.grad.numpy()[0], x.grad.numpy()[row, :n], rtol=1e-12)
        assert not x.grad.numpy()[row, n:].any()


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(4)), st.lists(st.sampled_from([1, 2, 3]), max_size=4))
def test_names_of_symbols_do_not_matter(order, target):
    scores = random_scores(1, 7, 4)
    renamed = scores[:, :, np.argsort(order)]
    again = loss_of(renamed, [[order[s] for s in target]], blank=order[0])
    np.testing.assert_allclose(again.item(), loss_of(scores, [target]).item(), rtol=1e-12)


def test_probabilities_of_all_targets_add_up_to_one():
    scores = random_scores(1, 4, 3, seed=3)
    targets = [t for n in range(5) for t in product((1, 2), repeat=n)]
    losses = loss_of(np.repeat(scores, len(targets), 0), targets, reduction="none").numpy()
    np.testing.assert_allclose(np.exp(-losses).sum(), 1, rtol=1e-12)
    assert np.isinf(losses).sum() == sum(len(t) + (np.diff(t) == 0).sum() > 4 for t in targets)


@pytest.mark.parametrize("target", [range(1, 41), [1] * 40, [1, 1, 2, 2] * 10, []])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_long_sequences_of_equal_probabilities(target, dtype):
    """T log V minus the logarithm of the number of alignments, (T + S − repeats) over 2 S."""
    steps, symbols, target = 300, 50, list(target)
    repeats = sum(a == b for a, b in pairwise(target))
    count = math.comb(steps + len(target) - repeats, 2 * len(target))
    loss = loss_of(np.full((1, steps, symbols), -math.log(symbols), dtype), [target])
    wanted = (steps * math.log(symbols) - math.log(count)) / max(1, len(target))
    np.testing.assert_allclose(loss.item(), wanted, rtol=1e-12 if dtype == "float64" else 1e-5)


def test_target_that_does_not_fit():
    """Two equal labels need three frames: the loss is ∞, the others learn on, nothing is NaN."""
    x = tg.tensor(random_scores(2, 2, 3), requires_grad=True)
    targets = [(1, 1), (1, 2)]
    losses = loss_of(x, targets, reduction="none")
    assert losses.numpy()[0] == math.inf and np.isfinite(losses.numpy()[1])
    loss = loss_of(x, targets)
    assert loss.item() == math.inf
    (gradient,) = tg.grad(loss, x, create_graph=True)
    assert not gradient.numpy()[0].any()
    np.testing.assert_allclose(gradient.numpy()[1], [[0, -0.25, 0], [0, 0, -0.25]])
    (second,) = tg.grad((gradient * gradient).sum(), x)
    assert np.isfinite(second.numpy()).all()


def test_symbols_of_probability_zero():
    scores = random_scores(1, 3, 3)
    scores[0, 1, 0] = scores[0, 0, 2] = -math.inf
    for target in [(1,), (1, 2), (2, 1), (1, 1)]:
        total, used = enumerated(scores[0], 0)
        x = tg.tensor(scores, requires_grad=True)
        loss = loss_of(x, [target], reduction="sum")
        loss.backward()
        p = total[target]
        np.testing.assert_allclose(loss.item(), -math.log(p) if p else math.inf, rtol=1e-12)
        wanted = -used[target] / p if p else np.zeros((3, 3))
        np.testing.assert_allclose(x.grad.numpy()[0], wanted, atol=1e-12)


def test_nan_stays_nan():
    scores = random_scores(2, 3, 3)
    scores[0, 1, 1] = math.nan
    losses = loss_of(scores, [(1,), (2,)], reduction="none").numpy()
    assert np.isnan(losses[0]) and np.isfinite(losses[1])


@pytest.mark.parametrize(
    ("dtype", "of_loss"), [("float64", "float64"), ("float32", "float32"), ("float16", "float32")]
)
def test_dtypes(dtype, of_loss):
    scores = random_scores(2, 5, 3)
    x = tg.tensor(scores, dtype=dtype, requires_grad=True)
    loss = loss_of(x, [(1,), (2, 1)])
    loss.backward()
    assert (loss.dtype, x.grad.dtype) == (of_loss, dtype)
    np.testing.assert_allclose(loss.item(), loss_of(scores, [(1,), (2, 1)]).item(), rtol=2e-3)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64"])
def test_labels_of_any_integer_type(dtype):
    scores = random_scores(2, 5, 300)
    targets, lengths = np.array([[1, 2], [2, 2]]), np.array([1, 2])
    given = F.ctc_loss(scores, targets.astype(dtype), [5, 4], lengths.astype(dtype), blank=299)
    wanted = F.ctc_loss(scores, targets, [5, 4], lengths, blank=299)
    assert given.item() == wanted.item()


def test_an_empty_batch_of_targets():
    scores = random_scores(2, 3, 2)
    loss = F.ctc_loss(scores, [[], []], None, [0, 0], reduction="none")
    np.testing.assert_allclose(loss.numpy(), -scores[:, :, 0].sum(axis=1), rtol=1e-12)


SCORES = random_scores(2, 4, 3)
WRONG = {
    "shape": (
        SCORES[0],
        [[1]],
        None,
        [1],
        {},
        ValueError,
        r"log_probs must be \(B, T, V\).*\(4, 3",
    ),
    "no frames": (SCORES[:, :0], [[1], [1]], None, [1, 1], {}, ValueError, "without empty axes"),
    "integers": (SCORES.astype(int), [[1], [1]], None, [1, 1], {}, TypeError, "hold floats, got i"),
    "ragged": (SCORES, [[1], [1, 2]], None, [1, 2], {}, ValueError, "pad the shorter ones with"),
    "batch": (SCORES, [[1]], None, [1], {}, ValueError, r"\(B, S\) = \(2, S\).*got shape \(1, 1\)"),
    "floats": (SCORES, [[1.0], [1.0]], None, [1, 1], {}, TypeError, "must be integers \\(labels"),
    "too long": (
        SCORES,
        [[1], [1]],
        [4, 5],
        [1, 1],
        {},
        ValueError,
        "input_lengths must be from 1",
    ),
    "no frame": (SCORES, [[1], [1]], [4, 0], [1, 1], {}, ValueError, "T = 4, got 0"),
    "counts": (SCORES, [[1], [1]], None, [1, 2], {}, ValueError, "target_lengths.*S = 1.*got 2"),
    "negative": (SCORES, [[1], [1]], None, [1, -1], {}, ValueError, "from 0 to S = 1.*got -1"),
    "one count": (
        SCORES,
        [[1], [1]],
        None,
        [1],
        {},
        ValueError,
        "target_lengths must be one number",
    ),
    "label": (SCORES, [[1], [3]], None, [1, 1], {}, IndexError, "from 1 to 3; log_probs has symb"),
    "blank within": (
        SCORES,
        [[1], [0]],
        None,
        [1, 1],
        {},
        IndexError,
        "hold 0, which is the blank",
    ),
    "blank": (SCORES, [[1], [1]], None, [1, 1], {"blank": 3}, ValueError, "symbols 0 to 2, got 3"),
    "blank kind": (
        SCORES,
        [[1], [1]],
        None,
        [1, 1],
        {"blank": 0.0},
        TypeError,
        "an integer, got f",
    ),
    "reduction": (SCORES, [[1], [1]], None, [1, 1], {"reduction": "max"}, ValueError, "got 'max'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said(case):
    *arguments, options, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        F.ctc_loss(*arguments, **options)


# --------------------------------------------------------- as a graph, compiled, on other arrays


def test_the_recursion_is_recorded_step_by_step():
    x = tg.tensor(random_scores(2, 3, 3), requires_grad=True)
    graph = tg.Graph(loss_of(x, [(1,), (2, 1)]))
    assert graph.timesteps == [1, 2, 3]
    states = [node for node in graph.nodes if node.name == "α"]
    assert [node.timestep for node in states] == [1, 2, 3]
    assert {node.scope for node in states} == {("CTC",)}
    loss = loss_of(x.astype("float32"), [(1,), (2, 1)])
    assert "state α" in tg.draw(loss, level="cell", values=True, gradients=True).svg()
    assert any("α₂" in step.text for step in tg.step_through(loss))


def test_debug_finds_the_sequence_without_an_alignment():
    x = tg.tensor(random_scores(1, 2, 3), requires_grad=True)
    with tg.debug(), pytest.raises(tg.NonFiniteError, match=r"where.*CTC"):
        loss_of(x, [(1, 1)])


def test_compiled_step_with_new_targets_and_lengths():
    tg.manual_seed(1)
    reader = nn.LSTM(3, 5)
    readout = nn.Linear(5, 4)
    parameters = [*reader.parameters(), *readout.parameters()]

    def step(x, targets, frames, counts):
        y = readout(reader(x, lengths=frames).y)
        loss = F.ctc_loss(F.log_softmax(y), targets, frames, counts)
        loss.backward()
        return loss

    compiled = tg.compile(step, fast=False)
    rng = np.random.default_rng(0)
    for _ in range(4):
        arguments = (
            rng.standard_normal((2, 6, 3)).astype("float32"),
            rng.integers(1, 4, (2, 2)),
            rng.integers(5, 7, 2),
            rng.integers(0, 3, 2),
        )
        found = []
        for function in (step, compiled):
            for parameter in parameters:
                parameter.grad = None
            loss = function(*arguments)
            found.append([loss.numpy(), *[p.grad.numpy() for p in parameters]])
        for ours, theirs in zip(*found, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
    assert compiled.captures == 1
    assert "not rolled" not in compiled.explain()
    x, targets, frames, counts = arguments
    for wrong, error, message in (
        ((x, targets * 0, frames, counts + 1), IndexError, "which is the blank"),
        ((x, targets + 7, frames, counts * 0 + 2), IndexError, "labels from"),
        ((x, targets, frames + 7, counts), ValueError, "lengths must be from 1"),
        ((x, targets, frames, counts + 7), ValueError, "target_lengths must be from 0"),
    ):
        with pytest.raises(error, match=message):
            compiled(*wrong)


def test_values_and_gradients_stay_on_their_backend():
    scores, targets, frames, counts = random_scores(2, 5, 3), [[1, 2], [2, 0]], [5, 4], [2, 1]
    here = tg.tensor(scores, requires_grad=True)
    expected = F.ctc_loss(here, targets, frames, counts)
    expected.backward()
    try:
        with tg.backend_scope(MirrorBackend()):
            there = tg.tensor(scores, requires_grad=True)
        for labels in (
            targets,
            np.array(targets),
            there.detach()[:, 0, :2].astype("int64") * 0 + 1,
        ):
            loss = F.ctc_loss(there, labels, frames, counts)
            assert type(loss.data) is MirrorArray
        F.ctc_loss(there, targets, frames, counts).backward()
        assert type(there.grad.data) is MirrorArray
        np.testing.assert_allclose(there.grad.numpy(), here.grad.numpy(), rtol=1e-12)
        assert F.ctc_greedy_decode(there, frames) == F.ctc_greedy_decode(here, frames)
        assert F.ctc_beam_search(there, frames) == F.ctc_beam_search(here, frames)
    finally:
        backend_of_type.pop(MirrorArray, None)


def test_a_network_learns_to_spell():
    """Frames hold a label at a place that the target does not tell; the decoder finds them."""
    tg.manual_seed(0)
    rng = np.random.default_rng(0)
    targets = rng.integers(1, 4, (8, 3))
    x = np.zeros((8, 9, 4), np.float32)
    x[np.arange(8)[:, None], [1, 4, 7], targets] = 1
    rnn, readout = nn.GRU(4, 12), nn.Linear(12, 4)
    optimiser = tg.optim.Adam([*rnn.parameters(), *readout.parameters()], 0.03)

    def scores():
        return F.log_softmax(readout(rnn(x).y))

    def step():
        loss = F.ctc_loss(scores(), targets, None, [3] * 8)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss

    compiled = tg.compile(step, fast=False)
    first, *_, last = [compiled().item() for _ in range(80)]
    assert last < 0.1 < 1 < first
    assert F.ctc_greedy_decode(scores()) == targets.tolist()
    assert [beam[0].labels for beam in F.ctc_beam_search(scores())] == targets.tolist()
