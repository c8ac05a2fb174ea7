"""Recorders of functions and losses: element by element, cross-entropy and its like, CTC."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import torch
from recording import Array, Recording, generator, uniform
from torch import Tensor
from torch.nn import functional
from torch_values import gradient, leaf, new_recording, to_numpy

# ---------------------------------------------------------------------------------------------
# Losses and functions: losses.npz
# ---------------------------------------------------------------------------------------------

EXTREME = np.array(
    [
        [50.0, -50.0, 0.0, 1.0],
        [1e3, -1e3, 50.0, 0.0],
        [-1e3, -1e3, -1e3, -1e3],
        [1e3, 1e3, 1e3, -50.0],
        [-50.0, -50.0, 50.0, 50.0],
        [0.0, 0.0, 0.0, 0.0],
    ]
)


def record_function(
    recording: Recording,
    case: str,
    function: Callable[..., Tensor],
    inputs: Mapping[str, object],
    config: Mapping[str, object],
    constants: Mapping[str, object] | None = None,
) -> None:
    """Record `function(*inputs)` and the gradient of L = sum(value * R) for each input.

    R is 1 for a scalar value and random otherwise. `constants` are recorded, not passed.
    """
    leaves = {name: leaf(value) for name, value in inputs.items()}
    value = function(*leaves.values())
    factor = np.array(1.0) if value.ndim == 0 else uniform(generator(case), value.shape)
    torch.autograd.backward((value * torch.from_numpy(factor)).sum())
    recording.add_config(case, **config)
    for name, tensor in leaves.items():
        recording.add(f"{case}/{name}", to_numpy(tensor))
        recording.add(f"{case}/grad/{name}", gradient(tensor))
    for name, constant in (constants or {}).items():
        recording.add(f"{case}/{name}", constant)
    recording.add(f"{case}/R", factor)
    recording.add(f"{case}/value", to_numpy(value))


def record_elementwise(recording: Recording) -> None:
    rng = generator("elementwise")
    signed = uniform(rng, (3, 4, 5), scale=3.0)
    positive = rng.uniform(0.05, 4.0, (3, 4))
    plain: dict[str, Callable[[Tensor], Tensor]] = {
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "relu": torch.relu,
        "leaky_relu": lambda x: functional.leaky_relu(x, 0.01),
        "leaky_relu_02": lambda x: functional.leaky_relu(x, 0.2),
        "exp": torch.exp,
        "abs": torch.abs,
        "clip": lambda x: torch.clamp(x, -1.0, 2.0),
        "softmax": lambda x: torch.softmax(x, -1),
        "softmax_axis1": lambda x: torch.softmax(x, 1),
        "log_softmax": lambda x: torch.log_softmax(x, -1),
        "log_softmax_axis1": lambda x: torch.log_softmax(x, 1),
        "logsumexp": lambda x: torch.logsumexp(x, -1),
        "logsumexp_axis1": lambda x: torch.logsumexp(x, 1),
        "logsumexp_keepdims": lambda x: torch.logsumexp(x, -1, keepdim=True),
    }
    config: dict[str, dict[str, object]] = {
        "leaky_relu": {"negative_slope": 0.01},
        "leaky_relu_02": {"negative_slope": 0.2},
        "clip": {"min": -1.0, "max": 2.0},
        "softmax": {"axis": -1},
        "softmax_axis1": {"axis": 1},
        "log_softmax": {"axis": -1},
        "log_softmax_axis1": {"axis": 1},
        "logsumexp": {"axis": -1, "keepdims": False},
        "logsumexp_axis1": {"axis": 1, "keepdims": False},
        "logsumexp_keepdims": {"axis": -1, "keepdims": True},
    }
    for name, function in plain.items():
        record_function(recording, name, function, {"input": signed}, config.get(name, {}))
    for name, function in {"log": torch.log, "sqrt": torch.sqrt}.items():
        record_function(recording, name, function, {"input": positive}, {})
    for name in ("tanh", "sigmoid", "softmax", "log_softmax", "logsumexp"):
        case = f"{name}_extreme"
        record_function(recording, case, plain[name], {"input": EXTREME}, config.get(name, {}))
    # Points without a derivative, where every library has a convention of its own.
    kinks = {"relu": [0.0], "leaky_relu": [0.0], "abs": [0.0], "clip": [-1.0, 2.0]}
    for name, points in kinks.items():
        case = f"{name}_kink"
        record_function(recording, case, plain[name], {"input": points}, config.get(name, {}))


def record_losses_proper(recording: Recording) -> None:
    rng = generator("losses")
    batch, steps, classes = 3, 5, 6
    logits = uniform(rng, (batch, steps, classes), scale=4.0)
    targets = rng.integers(0, classes, (batch, steps))
    mask = np.arange(steps) < np.array([5, 2, 3])[:, None]
    extreme_targets = np.array([1, 1, 2, 3, 0, 0])
    minus_inf = logits[0].copy()
    minus_inf[np.arange(steps), (targets[0] + 1) % classes] = -np.inf

    def reduced(values: Tensor, reduction: str, kept: Array | None = None) -> Tensor:
        """Reduce per-position losses; under a mask the mean is over the kept positions only."""
        weight = torch.ones_like(values) if kept is None else torch.tensor(kept).to(values.dtype)
        if reduction == "none":
            return values * weight
        total = (values * weight).sum()
        return total if reduction == "sum" else total / weight.sum()

    def classify(
        loss: Callable[..., Tensor], goal: Array, reduction: str, kept: Array | None = None
    ) -> Callable[[Tensor], Tensor]:
        def run(scores: Tensor) -> Tensor:
            flat = loss(
                scores.reshape(-1, scores.shape[-1]),
                torch.tensor(goal.reshape(-1)),
                reduction="none",
            )
            return reduced(flat.reshape(goal.shape), reduction, kept)

        return run

    log_probs = to_numpy(torch.log_softmax(torch.tensor(logits), -1))
    for reduction in ("mean", "sum", "none"):
        for name, loss, scores in (
            ("cross_entropy", functional.cross_entropy, logits),
            ("nll_loss", functional.nll_loss, log_probs),
        ):
            record_function(
                recording,
                f"{name}_{reduction}",
                classify(loss, targets, reduction),
                {"input": scores},
                {"reduction": reduction},
                {"targets": targets},
            )
            record_function(
                recording,
                f"{name}_mask_{reduction}",
                classify(loss, targets, reduction, mask),
                {"input": scores},
                {"reduction": reduction},
                {"targets": targets, "mask": mask},
            )
        for suffix, scores, goal in (
            ("extreme", EXTREME, extreme_targets),
            ("minus_inf", minus_inf, targets[0]),
        ):
            record_function(
                recording,
                f"cross_entropy_{suffix}_{reduction}",
                classify(functional.cross_entropy, goal, reduction),
                {"input": scores},
                {"reduction": reduction},
                {"targets": goal},
            )

        binary = rng.integers(0, 2, logits.shape).astype(np.float64)
        soft = rng.uniform(0.0, 1.0, logits.shape)
        extreme_binary = (np.arange(EXTREME.size).reshape(EXTREME.shape) % 2).astype(np.float64)
        for suffix, scores, goal in (
            ("", logits, binary),
            ("_soft", logits, soft),
            ("_extreme", EXTREME, extreme_binary),
        ):
            record_function(
                recording,
                f"binary_cross_entropy_with_logits{suffix}_{reduction}",
                lambda s, goal=goal, reduction=reduction: (
                    functional.binary_cross_entropy_with_logits(
                        s, torch.tensor(goal), reduction=reduction
                    )
                ),
                {"input": scores},
                {"reduction": reduction},
                {"targets": goal},
            )
        record_function(
            recording,
            f"mse_loss_{reduction}",
            lambda a, b, reduction=reduction: functional.mse_loss(a, b, reduction=reduction),
            {"input": logits, "targets": uniform(rng, logits.shape)},
            {"reduction": reduction},
        )


def record_embedding(recording: Recording) -> None:
    rng = generator("embedding")
    weight = uniform(rng, (7, 3))
    indices = np.array([[1, 4, 4, 0], [2, 1, 6, 4]])
    for case, padding in (("embedding", None), ("embedding_padding", 4)):
        record_function(
            recording,
            case,
            lambda w, padding=padding: functional.embedding(
                torch.tensor(indices), w, padding_idx=padding
            ),
            {"weight": weight},
            {"padding_idx": padding},
            {"indices": indices},
        )


def ctc_by_recursion(
    log_probs: Tensor, targets: Array, input_lengths: Array, target_lengths: Array, blank: int
) -> Tensor:
    """CTC written out in tensor operations, so that autograd treats `log_probs` as free.

    PyTorch's own `ctc_loss` answers the gradient for the logits *under* a log-softmax when asked
    for the gradient of `log_probs`; this gives the derivative proper.
    """
    impossible = torch.tensor(-1e30, dtype=log_probs.dtype)  # not -inf: its gradient is NaN
    losses = []
    for row, frames, labels in zip(range(len(targets)), input_lengths, target_lengths, strict=True):
        extended = [blank]
        for label in targets[row, :labels]:
            extended += [int(label), blank]
        alpha = [
            log_probs[row, 0, symbol] if i < 2 else impossible for i, symbol in enumerate(extended)
        ]
        for t in range(1, int(frames)):
            previous = alpha
            alpha = []
            for i, symbol in enumerate(extended):
                paths = previous[max(i - 1, 0) : i + 1]
                if i >= 2 and symbol not in (blank, extended[i - 2]):
                    paths = [previous[i - 2], *paths]
                alpha.append(torch.logsumexp(torch.stack(paths), 0) + log_probs[row, t, symbol])
        losses.append(-torch.logsumexp(torch.stack(alpha[-2:]), 0))
    return torch.stack(losses)


def record_ctc_case(
    recording: Recording,
    case: str,
    logits: Array,
    targets: Sequence[Sequence[int]],
    input_lengths: Sequence[int],
    *,
    blank: int = 0,
) -> None:
    """One batch under the three reductions, as the cases `{case}_none`, `_mean` and `_sum`."""
    lengths = np.array([len(t) for t in targets])
    frames = np.array(input_lengths)
    padded = np.zeros((len(targets), max(1, int(lengths.max()))), dtype=np.int64)
    for row, target in enumerate(targets):
        padded[row, : len(target)] = target
    for reduction in ("none", "mean", "sum"):
        name = f"{case}_{reduction}"

        def native(log_probs: Tensor, reduction: str = reduction) -> Tensor:
            return functional.ctc_loss(
                log_probs.transpose(0, 1),
                torch.tensor(padded),
                torch.tensor(frames),
                torch.tensor(lengths),
                blank=blank,
                reduction=reduction,
            )

        scores = leaf(logits)
        value = native(torch.log_softmax(scores, -1))
        factor = np.array(1.0) if value.ndim == 0 else uniform(generator(name), value.shape)
        weight = torch.from_numpy(factor)
        free = leaf(to_numpy(torch.log_softmax(torch.tensor(logits), -1)))

        recording.add_config(name, reduction=reduction, blank=blank)
        recording.add(f"{name}/logits", logits)
        recording.add(f"{name}/log_probs", to_numpy(free))
        recording.add(f"{name}/targets", padded)
        recording.add(f"{name}/input_lengths", frames)
        recording.add(f"{name}/target_lengths", lengths)
        recording.add(f"{name}/R", factor)
        recording.add(f"{name}/value", to_numpy(value))
        if not bool(torch.isfinite(value).all()):
            continue  # no alignment fits: the loss is infinite and has no gradient

        torch.autograd.backward((value * weight).sum())
        recording.add(f"{name}/grad/logits", gradient(scores))
        torch.autograd.backward((native(free) * weight).sum())
        recording.add(f"{name}/grad/log_probs_torch", gradient(free))
        free.grad = None
        mine = ctc_by_recursion(free, padded, frames, lengths, blank)
        if reduction == "mean":
            mine = (mine / torch.tensor(np.maximum(lengths, 1))).mean()
        elif reduction == "sum":
            mine = mine.sum()
        torch.testing.assert_close(mine, value, rtol=1e-12, atol=1e-12)
        torch.autograd.backward((mine * weight).sum())
        recording.add(f"{name}/grad/log_probs", gradient(free))


def record_ctc(recording: Recording) -> None:
    rng = generator("ctc")

    def logits(batch: int, frames: int, symbols: int, scale: float = 2.0) -> Array:
        return uniform(rng, (batch, frames, symbols), scale=scale)

    cases: Iterable[tuple[str, Array, list[list[int]], list[int], int]] = (
        ("ctc_equal", logits(2, 6, 4), [[1, 2, 3], [3, 1, 2]], [6, 6], 0),
        ("ctc_repeats", logits(3, 8, 4), [[1, 1, 2], [2, 2, 2], [3, 1, 1]], [8, 8, 8], 0),
        ("ctc_lengths", logits(4, 8, 5), [[1, 2, 3, 4], [2], [4, 4], [1, 3, 1]], [8, 3, 5, 7], 0),
        ("ctc_empty_target", logits(3, 5, 3), [[], [1, 2], []], [5, 4, 2], 0),
        ("ctc_blank_last", logits(2, 7, 4), [[0, 0, 1], [2, 1]], [7, 6], 3),
        ("ctc_tight", logits(3, 5, 4), [[1, 2, 3, 1, 2], [1, 1, 2], [3, 3]], [5, 4, 3], 0),
        ("ctc_one_frame", logits(2, 1, 3), [[2], []], [1, 1], 0),
        ("ctc_extreme", logits(2, 6, 4, 50.0), [[1, 2, 2], [3, 1]], [6, 5], 0),
        ("ctc_impossible", logits(3, 4, 4), [[1, 1, 1], [1, 2], [1, 2, 3]], [4, 4, 2], 0),
    )
    for case, scores, targets, frames, blank in cases:
        record_ctc_case(recording, case, scores, targets, frames, blank=blank)


def record_losses() -> Recording:
    recording = new_recording()
    record_elementwise(recording)
    record_losses_proper(recording)
    record_embedding(recording)
    record_ctc(recording)
    return recording
