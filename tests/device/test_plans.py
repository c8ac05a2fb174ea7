"""Compiled steps on a GPU: the numbers of NumPy's explicit path, by few launches, waiting never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from compiler.steps import (
    BATCH,
    CELLS,
    FEATURES,
    OPTIMISERS,
    WIDTH,
    eager,
    largest_difference,
    numbers,
    regression,
)
from device import double, kernels

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.backend import Backend
from tinygradrnn.testing.synchronisations import Guard, listening

STEPS, TIMES = 4, 5  # of training; of a sequence in `compiler.steps`
EXACT = 1e-10


def both(make: Callable[[], Any], device: Backend, **options: Any) -> tuple[float, Any]:
    """How far a compiled step on a device is from NumPy's explicit path; the plan."""
    found = []
    for backend in ("numpy", device):
        with tg.backend_scope(backend):
            model, _, step, batch = make()
            step = eager(step) if backend == "numpy" else tg.compile(step, **options)
            rng = np.random.default_rng(1)
            results = [step(*batch(rng)) for _ in range(STEPS)]
            found.append((numbers(results), [p.numpy() for p in model.parameters()]))
    return largest_difference(*found), plan_of(step)


def plan_of(compiled: Any) -> Any:
    return next(reversed(compiled.plans.values()))[0].plan


def of_loops(plan: Any, device: Backend) -> np.ndarray:
    """Of each loop over time: products, kernels, and calls that are neither."""
    ends = [*(start for _, start in plan.sections[1:]), len(plan.calls)]
    found = []
    for (region, start), end in zip(plan.sections, ends, strict=True):
        if region.steps is not None:
            functions = [function for function, _ in plan.calls[start:end]]
            products = sum(f == device.xp.dot for f in functions)
            launches = sum(isinstance(f, device.xp.RawKernel) for f in functions)
            found.append((products, launches, len(functions) - products - launches))
    return np.array(found)


# --------------------------------------------------------------------------------- the same numbers


@pytest.mark.parametrize("cell", sorted(CELLS))
def test_every_cell(cell: str, device: Backend) -> None:
    difference, plan = both(regression(lambda: nn.RNN(CELLS[cell]()), WIDTH[cell]), device)
    assert difference < EXACT
    assert len(plan.calls) < len(plan.low.calls)


@pytest.mark.parametrize("optimiser", sorted(OPTIMISERS))
def test_every_optimiser(optimiser: str, device: Backend) -> None:
    make = regression(lambda: nn.RNN(CELLS["elman"]()), optimiser=optimiser, clip=0.1)
    assert both(make, device)[0] < EXACT


def test_lengths(device: Backend) -> None:
    make = regression(lambda: nn.RNN(CELLS["gru"]()), with_lengths=True)
    assert both(make, device)[0] < EXACT


@pytest.mark.skipif(kernels.compiler() is None, reason="there is no C compiler")
@pytest.mark.parametrize("cell", ["lstm peephole", "gru", "clockwork"])
def test_threads_take_any_order(cell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(double.Functions, "RawKernel", kernels.CompiledKernel)
    make = regression(lambda: nn.RNN(CELLS[cell]()), WIDTH[cell], "adam")
    assert both(make, double.DoubleBackend())[0] < EXACT


def test_single_precision(device: Backend) -> None:
    make = regression(lambda: nn.RNN(CELLS["lstm"]()), dtype="float32")
    assert both(make, device)[0] < 1e-5


def test_without_kernels(device: Backend) -> None:
    difference, plan = both(regression(lambda: nn.RNN(CELLS["gru"]())), device, fast=False)
    assert difference < EXACT
    assert plan.calls is plan.low.calls


# --------------------------------------------------------------------------------- a language model

IDS = np.random.default_rng(3).integers(0, 7, (2, 3, TIMES + 1))


def language_model(dropout: float = 0.3) -> Any:
    tg.manual_seed(0)
    model = nn.Sequential(
        nn.Embedding(7, 4),
        nn.LSTM(4, 6, num_layers=2, bidirectional=True, dropout=dropout),
        nn.PerStep(nn.Linear(12, 7)),
    ).astype("float64")
    optimizer = tg.optim.Adam(model.parameters(), 0.01)

    def step(ids: Any, targets: Any) -> Any:
        loss = F.cross_entropy(model(ids), targets)
        optimizer.zero_grad()
        loss.backward()
        norm = tg.optim.clip_grad_norm(model.parameters(), 0.5)
        optimizer.step()
        return loss, norm

    return model, optimizer, step, lambda rng: (IDS[0, :, :-1], IDS[1, :, 1:])


def test_a_language_model_with_dropout(device: Backend) -> None:
    assert both(language_model, device)[0] < EXACT


def test_a_step_does_not_wait(device: Backend) -> None:
    with tg.backend_scope(device):
        *_, step, batch = language_model()
        step = tg.compile(step)
        arguments = batch(None)
        step(*arguments)
        listening.append(counting := Guard(device))
        loss, norm = step(*arguments)
        listening.remove(counting)
        assert counting.synchronisations == 0, counting
        assert type(loss.data) is device.array_type
        assert np.isfinite(float(loss)) and float(norm) > 0


@pytest.mark.parametrize("where", ["host", "device"])
def test_ids_out_of_range_change_nothing(where: str, device: Backend) -> None:
    with tg.backend_scope(device):
        model, _, step, batch = language_model()
        step = tg.compile(step)
        ids, targets = batch(None)
        step(ids, targets)
        before = [p.numpy() for p in model.parameters()]
        wrong = ids.copy()
        wrong[1, 2] = 7
        given = wrong if where == "host" else tg.tensor(wrong)
        with pytest.raises(IndexError, match=r"ids hold values from 0 to 7; .* has rows 0 to 6"):
            step(given, targets)
        if where == "device":  # another kind of argument: the first call runs the function
            step(tg.tensor(ids), targets)
            before = [p.numpy() for p in model.parameters()]
            with pytest.raises(IndexError, match="0 to 7"):
                step(given, targets)
        for parameter, old in zip(model.parameters(), before, strict=True):
            np.testing.assert_array_equal(parameter.numpy(), old)


def test_kinds_of_arguments(device: Backend) -> None:
    """Arrays of NumPy go to the active backend; its own and tensors are taken as they are."""
    x = np.arange(6.0).reshape(2, 3)
    with tg.backend_scope(device):
        weight = tg.tensor(np.eye(3) * 2, requires_grad=True)
        step = tg.compile(lambda x: (x @ weight).sum())
        for given in (x, device.asarray(x), tg.tensor(x)):
            for _ in range(2):
                loss = step(given)
                assert type(loss.data) is device.array_type
                assert float(loss) == 30


def test_values_that_the_function_looks_at(device: Backend) -> None:
    """They make a plan of their own, wherever they are."""
    x = np.arange(6.0).reshape(3, 2)
    for place in (np.asarray, device.asarray):
        with tg.backend_scope(device):
            step = tg.compile(lambda x, n: (x[: int(n)] * 2.0).sum())
            for n in (1, 3, 1, 2):
                assert float(step(x, place(n))) == 2 * x[:n].sum()
        assert step.captures == 3


def test_gradients_of_arguments(device: Backend) -> None:
    with tg.backend_scope(device):
        x = tg.tensor([[1.0, -2.0]], requires_grad=True)

        @tg.compile
        def step(x: tg.Tensor) -> tg.Tensor:
            loss = (x * x).sum()
            loss.backward()
            return loss

        for _ in range(3):
            step(x)
        np.testing.assert_array_equal(x.grad.numpy(), [[6.0, -12.0]])


def test_checked_beside_the_function_itself(device: Backend) -> None:
    with tg.backend_scope(device):
        scale = 1.0
        weight = tg.tensor([2.0, 3.0], requires_grad=True)
        step = tg.compile(lambda x: (x * weight * scale).sum(), check=True)
        x = np.ones(2)
        assert float(step(x)) == float(step(x)) == 5
        scale = 2.0
        with pytest.raises(tg.CompileMismatchError, match="result 0 differs by up to 5"):
            step(x)


def test_numbers_that_differ_from_step_to_step(device: Backend) -> None:
    def make() -> Any:
        model, optimizer, _, batch = regression(lambda: nn.RNN(CELLS["elman"]()))()

        def step(x: Any, target: Any) -> Any:
            y = model(x)
            loss = sum((y[:, t] - target[:, t]).sum() * 0.5**t for t in range(TIMES))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss, loss

        return model, optimizer, step, batch

    assert both(make, device)[0] < EXACT


# --------------------------------------------------------------------------------- few launches

PRODUCTS = {"elman": 1, "lstm": 1, "lstm peephole": 1, "gru": 2, "gru reset after": 2}


@pytest.mark.parametrize("cell", PRODUCTS)
def test_a_time_step_is_a_product_and_a_kernel(cell: str, device: Backend) -> None:
    """Each way; two of both for a GRU, which has a gate between two products."""
    found = []
    for times in (12, 24):
        with tg.backend_scope(device):
            _, _, step, _ = regression(lambda: nn.RNN(CELLS[cell]()))()
            step = tg.compile(step)
            step(np.ones((BATCH, times, FEATURES)), np.ones((BATCH, times, 3)))
            found.append(of_loops(plan_of(step), device))
    few, many = found
    each = [12 * PRODUCTS[cell], 12 * PRODUCTS[cell], 0]
    assert (many - few).tolist() == [each, each]


def test_explain_counts_them(device: Backend) -> None:
    with tg.backend_scope(device):
        _, _, step, batch = regression(lambda: nn.RNN(CELLS["lstm"]()))()
        step = tg.compile(step)
        step(*batch(np.random.default_rng(0)))
        calls = len(plan_of(step).calls)
        assert f"runs as {calls:,} calls of {device.name}" in step.explain()
