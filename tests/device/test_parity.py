"""NumPy and a GPU in one process: the same numbers from operations, cells, losses, optimisers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compiler.steps import (
    BATCH,
    CELLS,
    FEATURES,
    OPTIMISERS,
    STEPS,
    eager,
    largest_difference,
    numbers,
    regression,
)
from device.test_plans import IDS, language_model
from operation_cases import CASES, Case

import tinygradrnn as tg
from tinygradrnn import checkpoint, nn
from tinygradrnn import functional as F
from tinygradrnn.backend import Backend

CLOSE = {"float64": 1e-11, "float32": 2e-5}
Found = list[np.ndarray]


def alike(compute: Callable[[], Found], device: Backend, most: float = CLOSE["float64"]) -> None:
    """Whether something gives the same arrays on NumPy and on the device."""
    found = []
    for backend in ("numpy", device):
        tg.manual_seed(0)
        with tg.backend_scope(backend):
            found.append(compute())
    ours, theirs = found
    assert [a.dtype for a in ours] == [a.dtype for a in theirs]
    assert [a.shape for a in ours] == [a.shape for a in theirs]
    assert len(ours) > 0
    assert largest_difference((ours,), (theirs,)) <= most


def with_gradients(f: Callable[..., Any], *inputs: Any) -> Found:
    """What a function gives, and the gradients of a weighted sum of it."""
    given = [tg.tensor(x, requires_grad=x.dtype.kind == "f") for x in inputs]
    result = f(*given)
    outputs = result if isinstance(result, tuple) else (result,)
    rng = np.random.default_rng(7)
    weights = [tg.tensor(rng.standard_normal(y.shape).astype(y.dtype)) for y in outputs]
    total = sum((y * w).sum() for y, w in zip(outputs, weights, strict=True))
    leaves = [x for x in given if x.requires_grad]
    gradients = tg.grad(total, leaves) if total.requires_grad else ()
    return numbers([*outputs, *gradients])


HERE = [case for case in CASES if not case.name.startswith("transfer")]  # which leaves the device


@pytest.mark.parametrize("case", HERE, ids=[case.name for case in HERE])
def test_operations(case: Case, device: Backend) -> None:
    for dtype, most in CLOSE.items():
        inputs = [x.astype(dtype) for x in case.inputs]
        alike(lambda inputs=inputs: with_gradients(case.f, *inputs), device, most)  # type: ignore[misc]


LOGITS = np.random.default_rng(1).standard_normal((3, 4, 5))
CLASSES = np.random.default_rng(2).integers(0, 5, (3, 4))
MASK = np.array([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]], "float64")
LOSSES: dict[str, Callable[[Any], Any]] = {
    "cross_entropy": lambda x: F.cross_entropy(x, CLASSES),
    "cross_entropy of some": lambda x: F.cross_entropy(x, CLASSES, mask=MASK, reduction="sum"),
    "nll_loss": lambda x: F.nll_loss(F.log_softmax(x), CLASSES, reduction="none"),
    "mse_loss": lambda x: F.mse_loss(x, np.ones(LOGITS.shape)),
    "half_squared_error": lambda x: F.half_squared_error(x, np.ones(LOGITS.shape)),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy_with_logits(x, LOGITS.round() % 2),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_losses(loss: str, device: Backend) -> None:
    alike(lambda: with_gradients(LOSSES[loss], LOGITS), device)


@pytest.mark.parametrize("lengths", [None, [5, 2, 3]], ids=["whole", "lengths"])
@pytest.mark.parametrize("cell", CELLS)
def test_cells(cell: str, lengths: list[int] | None, device: Backend) -> None:
    x = np.random.default_rng(3).standard_normal((BATCH, STEPS, FEATURES))

    def compute() -> Found:
        rnn = nn.RNN(CELLS[cell](), learn_initial=True).astype("float64")
        out = rnn(x, lengths=lengths)
        (out.y.sum() + (out.last**2).sum()).backward()
        gradients = [p.grad for p in rnn.parameters() if p.grad is not None]
        return numbers([out.y, out.last, *gradients])

    alike(compute, device)


@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_optimisers(optimiser: str, device: Backend) -> None:
    make = regression(lambda: nn.RNN(CELLS["lstm"]()), optimiser=optimiser, clip=0.1)

    def compute() -> Found:
        model, _, step, batch = make()
        rng = np.random.default_rng(1)
        losses = [step(*map(tg.tensor, batch(rng))) for _ in range(5)]
        return numbers([losses, list(model.parameters())])

    alike(compute, device)


@pytest.mark.parametrize("how", ["explicit", "compiled"])
def test_many_steps_of_training(how: str, device: Backend) -> None:
    def compute() -> Found:
        model, _, step, batch = language_model()
        run = tg.compile(step) if how == "compiled" else eager(step)
        given = [tg.tensor(ids) for ids in batch(None)]
        losses = [run(*given)[0] for _ in range(20)]
        found = numbers([losses, list(model.parameters())])
        assert found[19] < found[0]
        return found

    alike(compute, device, 1e-8)


# ------------------------------------------------------------------------------ from one to another


def train(model: Any, optimizer: Any, step: Any, times: int) -> Found:
    """Some steps where the model is."""
    ids = [tg.tensor(ids) for ids in (IDS[0, :, :-1], IDS[1, :, 1:])]
    for _ in range(times):
        step(*ids)
    return [p.numpy() for p in model.parameters()]


@pytest.mark.parametrize("there", [True, False], ids=["from the device", "to the device"])
def test_checkpoints(there: bool, device: Backend, tmp_path: Path) -> None:
    """Saved on one and loaded on the other, training goes on as if it had stayed."""
    first, second = (device, "numpy") if there else ("numpy", device)
    path = tmp_path / "model.safetensors"
    with tg.backend_scope(first):
        model, optimizer, step, _ = language_model()
        train(model, optimizer, step, 3)
        checkpoint.save(path, model=model, optimizer=optimizer)
        expected = train(model, optimizer, step, 3)
    tg.manual_seed(99)
    with tg.backend_scope(second):
        model, optimizer, step, _ = language_model()
        checkpoint.load(path, model=model, optimizer=optimizer)
        found = train(model, optimizer, step, 3)
    assert largest_difference((expected,), (found,)) < CLOSE["float64"]


def test_a_tensor_moves_and_its_gradient_comes_back(device: Backend) -> None:
    x = tg.tensor([[1.0, -2.0], [3.0, 4.0]], requires_grad=True)
    y = x.to(device)  # type: ignore[arg-type]
    assert type(y.data) is device.array_type
    assert y.to(device) is y  # type: ignore[arg-type]
    (y * y).sum().backward()
    assert type(x.grad.data) is np.ndarray
    np.testing.assert_array_equal(x.grad.numpy(), 2 * x.numpy())
    np.testing.assert_array_equal(y.to("numpy").data, x.data)


@pytest.mark.parametrize("compiled", [False, True], ids=["explicit", "compiled"])
def test_a_model_moves_and_its_optimiser_with_it(compiled: bool, device: Backend) -> None:
    """There and back again, in the middle of training."""
    found = []
    for moves in (False, True):
        model, optimizer, step, _ = language_model()
        run = tg.compile(step) if compiled else step
        parameters = []
        for place in ("numpy", device, "numpy"):
            where = place if moves else "numpy"
            model.to(where)
            with tg.backend_scope(where):
                parameters += train(model, optimizer, run, 2)
                arrays = [a for slots in optimizer.slots for a in slots.values()]
                kind = np.ndarray if where == "numpy" else device.array_type
                assert {type(a) for a in arrays} == {kind}
        found.append(parameters)
    assert largest_difference(*[(one,) for one in found]) < CLOSE["float64"]


@pytest.mark.gpu
def test_there_is_a_gpu() -> None:
    """What stands for all tests that need one, where there is none."""
    from tinygradrnn.backend import available_backends

    usable, reason = available_backends()["cupy"]
    if not usable:
        pytest.skip(f"CuPy cannot run: {reason}")
