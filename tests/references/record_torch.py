"""Record reference values from PyTorch; the test suite reads the files and never needs PyTorch.

    pip install torch==2.13.0 numpy==2.4.6
    python tests/references/record_torch.py              # every file
    python tests/references/record_torch.py cells layers # some of them

Inputs, weights and the random factors of the losses come from NumPy generators seeded by each
case's name and are recorded with the results, so nothing depends on PyTorch's random numbers.
Everything is float64, on one CPU thread. `README.md` describes the keys of each file.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recording import FOLDER, Array, Recording, generator, uniform
from torch import Tensor, nn
from torch.nn import functional

Recurrent = nn.RNN | nn.LSTM | nn.GRU

KINDS: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {
    "rnn": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


def new_recording() -> Recording:
    return Recording({"torch": torch.__version__, "numpy": np.__version__})


def leaf(array: object) -> Tensor:
    """A float64 leaf tensor that asks for a gradient."""
    return torch.tensor(np.asarray(array, dtype=np.float64), requires_grad=True)


def to_numpy(tensor: Tensor) -> Array:
    array: Array = tensor.detach().numpy()
    return array


def gradient(tensor: Tensor) -> Array:
    """The leaf's gradient; a leaf that the loss does not reach is a mistake in this script."""
    if tensor.grad is None:
        raise RuntimeError("a leaf has no gradient")
    return to_numpy(tensor.grad)


# ---------------------------------------------------------------------------------------------
# Recurrent layers: cells.npz and layers.npz
# ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sizes:
    batch: int
    steps: int
    input_size: int
    hidden_size: int


def record_recurrent(
    recording: Recording,
    case: str,
    kind: str,
    sizes: Sizes,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
    bias: bool = True,
    nonlinearity: str = "tanh",
    lengths: Sequence[int] | None = None,
    initial_state: bool = False,
) -> None:
    """Run one `nn.RNN`, `nn.LSTM` or `nn.GRU` and record inputs, results and gradients.

    The loss is sum(y * R) + 0.5 * sum(h_n ** 2), with 0.5 * sum(c_n ** 2) added for the LSTM.
    """
    rng = generator(case)
    options: dict[str, Any] = {
        "num_layers": num_layers,
        "bidirectional": bidirectional,
        "bias": bias,
    }
    if kind == "rnn":
        options["nonlinearity"] = nonlinearity
    module: Recurrent = KINDS[kind](
        sizes.input_size, sizes.hidden_size, batch_first=True, dtype=torch.float64, **options
    )
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.from_numpy(uniform(rng, parameter.shape, scale=0.7)))

    directions = 2 if bidirectional else 1
    state_shape = (num_layers * directions, sizes.batch, sizes.hidden_size)
    x = leaf(uniform(rng, (sizes.batch, sizes.steps, sizes.input_size), scale=1.5))
    factor = uniform(rng, (sizes.batch, sizes.steps, directions * sizes.hidden_size))
    initial: dict[str, Tensor] = {}
    if initial_state:
        for name in ("h0", "c0") if kind == "lstm" else ("h0",):
            initial[name] = leaf(uniform(rng, state_shape, scale=0.9))

    sequence: Any = x
    if lengths is not None:
        sequence = nn.utils.rnn.pack_padded_sequence(
            x, torch.tensor(lengths), batch_first=True, enforce_sorted=False
        )
    if not initial:
        y, final = module(sequence)
    elif kind == "lstm":
        y, final = module(sequence, (initial["h0"], initial["c0"]))
    else:
        y, final = module(sequence, initial["h0"])
    if lengths is not None:
        y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=sizes.steps)

    states = dict(zip(("h_n", "c_n"), final if kind == "lstm" else (final,), strict=False))
    loss = (y * torch.from_numpy(factor)).sum()
    for state in states.values():
        loss = loss + 0.5 * (state**2).sum()
    torch.autograd.backward(loss)

    recording.add_config(
        case,
        kind=kind,
        lengths=None if lengths is None else list(lengths),
        initial_state=initial_state,
        **asdict(sizes),
        **options,
    )
    recording.add(f"{case}/x", to_numpy(x))
    recording.add(f"{case}/R", factor)
    if lengths is not None:
        recording.add(f"{case}/lengths", np.asarray(lengths, dtype=np.int64))
    for name, tensor in initial.items():
        recording.add(f"{case}/{name}", to_numpy(tensor))
        recording.add(f"{case}/grad/{name}", gradient(tensor))
    for name, parameter in module.named_parameters():
        recording.add(f"{case}/weight/{name}", to_numpy(parameter))
        recording.add(f"{case}/grad/{name}", gradient(parameter))
    recording.add(f"{case}/y", to_numpy(y))
    for name, state in states.items():
        recording.add(f"{case}/{name}", to_numpy(state))
    recording.add(f"{case}/loss", to_numpy(loss))
    recording.add(f"{case}/grad/x", gradient(x))


def record_cells() -> Recording:
    """One layer, one direction, five steps, initial states that are not zero."""
    recording = new_recording()
    sizes = Sizes(batch=3, steps=5, input_size=4, hidden_size=5)
    for case, kind, nonlinearity in (
        ("elman_tanh", "rnn", "tanh"),
        ("elman_relu", "rnn", "relu"),
        ("lstm", "lstm", ""),
        ("gru", "gru", ""),
    ):
        record_recurrent(
            recording, case, kind, sizes, nonlinearity=nonlinearity, initial_state=True
        )
    return recording


def record_layers() -> Recording:
    """Layers x directions x bias x lengths for the three kinds, and some special cases."""
    recording = new_recording()
    sizes = Sizes(batch=5, steps=6, input_size=3, hidden_size=4)
    mixed = (4, 1, 6, 3, 6)  # unsorted, one of length 1, the longest twice
    short = (2, 5, 1, 3, 5)  # every sequence shorter than the padded array

    for kind, layers, both, bias, lengths in itertools.product(
        KINDS, (1, 2), (False, True), (True, False), (None, mixed)
    ):
        parts = (
            kind,
            f"l{layers}",
            "bi" if both else "uni",
            "bias" if bias else "nobias",
            "full" if lengths is None else "mixed",
        )
        record_recurrent(
            recording,
            "_".join(parts),
            kind,
            sizes,
            num_layers=layers,
            bidirectional=both,
            bias=bias,
            lengths=lengths,
        )
    for kind in KINDS:
        record_recurrent(
            recording,
            f"{kind}_l2_bi_bias_short_state",
            kind,
            sizes,
            num_layers=2,
            bidirectional=True,
            lengths=short,
            initial_state=True,
        )
    record_recurrent(
        recording,
        "rnn_relu_l2_bi_bias_mixed_state",
        "rnn",
        sizes,
        nonlinearity="relu",
        num_layers=2,
        bidirectional=True,
        lengths=mixed,
        initial_state=True,
    )
    return recording


# ---------------------------------------------------------------------------------------------
# Optimisers: optimisers.npz
# ---------------------------------------------------------------------------------------------

OPTIMISERS: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "sgd_momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "sgd_nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "sgd_weight_decay": (torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.05}),
    "sgd_momentum_weight_decay": (
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.05},
    ),
    "sgd_nesterov_weight_decay": (
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.05},
    ),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.1}),
    "adagrad_weight_decay": (torch.optim.Adagrad, {"lr": 0.1, "weight_decay": 0.05}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01}),
    "rmsprop_alpha": (torch.optim.RMSprop, {"lr": 0.01, "alpha": 0.9, "eps": 1e-6}),
    "rmsprop_weight_decay": (torch.optim.RMSprop, {"lr": 0.01, "weight_decay": 0.05}),
    "adam": (torch.optim.Adam, {"lr": 0.05}),
    "adam_betas": (torch.optim.Adam, {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-6}),
    "adam_weight_decay": (torch.optim.Adam, {"lr": 0.05, "weight_decay": 0.05}),
    "adamw": (torch.optim.AdamW, {"lr": 0.05}),
    "adamw_weight_decay": (torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.3}),
}
OPTIMISERS_WITH_PAUSE = ("sgd_momentum", "adagrad", "rmsprop", "adam", "adamw")
OPTIMISER_STEPS = 20


def record_optimiser(
    recording: Recording,
    case: str,
    optimiser: str,
    start: Mapping[str, Array],
    gradients: Mapping[str, Array],
    paused: Mapping[str, Array] | None = None,
) -> None:
    """Twenty steps over given gradients; the parameters after each step.

    `paused[name][i]` true means that the parameter has no gradient (None) at step i, as one that
    is frozen for a while: PyTorch leaves it and its moments alone.
    """
    make, arguments = OPTIMISERS[optimiser]
    parameters = {name: leaf(value.copy()) for name, value in start.items()}
    stepper = make(list(parameters.values()), foreach=False, **arguments)
    trace: dict[str, list[Array]] = {name: [] for name in parameters}
    for i in range(OPTIMISER_STEPS):
        for name, parameter in parameters.items():
            skip = paused is not None and bool(paused[name][i])
            parameter.grad = None if skip else torch.tensor(gradients[name][i])
        stepper.step()
        for name, parameter in parameters.items():
            trace[name].append(to_numpy(parameter).copy())
    defaults = {
        name: value
        for name, value in stepper.param_groups[0].items()
        if isinstance(value, bool | int | float | tuple)
    }
    recording.add_config(
        case, kind=type(stepper).__name__, arguments=arguments, all_options=defaults
    )
    for name, values in trace.items():
        recording.add(f"{case}/{name}", np.stack(values))


def record_optimisers() -> Recording:
    """The same start and the same gradients for every optimiser, all recorded."""
    recording = new_recording()
    rng = generator("optimisers")
    shapes = {"w": (3, 4), "b": (4,)}
    start = {name: uniform(rng, shape) for name, shape in shapes.items()}
    gradients = {name: rng.normal(size=(OPTIMISER_STEPS, *shape)) for name, shape in shapes.items()}
    gradients["w"][:, 0, 1] = 0.0  # never a gradient: only decay moves it
    gradients["w"][6] = 0.0  # a step without gradient: only momentum and decay move it
    gradients["w"][11] *= 1e3  # an exploding step
    gradients["b"][12:15] *= 1e-6  # a nearly flat stretch, where epsilon is felt
    paused = {name: np.zeros(OPTIMISER_STEPS, dtype=np.bool_) for name in shapes}
    paused["b"][[0, 5, 6, 7, 8, 9]] = True

    for name in shapes:
        recording.add(f"problem/start/{name}", start[name])
        recording.add(f"problem/grad/{name}", gradients[name])
        recording.add(f"problem/paused/{name}", paused[name])
    for optimiser in OPTIMISERS:
        record_optimiser(recording, optimiser, optimiser, start, gradients)
    for optimiser in OPTIMISERS_WITH_PAUSE:
        record_optimiser(recording, f"{optimiser}_paused", optimiser, start, gradients, paused)
    return recording


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


# ---------------------------------------------------------------------------------------------
# Clipping: clipping.npz
# ---------------------------------------------------------------------------------------------


def record_clipping() -> Recording:
    recording = new_recording()
    rng = generator("clipping")
    shapes = ((3, 4), (4,), (2, 3, 2))
    gradients = [rng.normal(size=shape) * 2.0 for shape in shapes]
    gradients[0][1, 2] = -7.0  # the largest entry is negative
    for i, array in enumerate(gradients):
        recording.add(f"problem/grad/{i}", array)

    def fresh() -> list[Tensor]:
        tensors = [leaf(np.zeros(shape)) for shape in shapes]
        for tensor, array in zip(tensors, gradients, strict=True):
            tensor.grad = torch.tensor(array)
        return tensors

    for name, p in (("1", 1.0), ("2", 2.0), ("3", 3.0), ("inf", float("inf"))):
        for side, max_norm in (("above", 0.75), ("below", 1e3)):
            case = f"norm_{name}_{side}"
            tensors = fresh()
            norm = nn.utils.clip_grad_norm_(tensors, max_norm, norm_type=p, foreach=False)
            recording.add_config(case, p=name, max_norm=max_norm)
            recording.add(f"{case}/norm", to_numpy(norm))
            for i, tensor in enumerate(tensors):
                recording.add(f"{case}/clipped/{i}", gradient(tensor))
    for case, bound in (("value_1", 1.0), ("value_05", 0.5), ("value_100", 100.0)):
        tensors = fresh()
        nn.utils.clip_grad_value_(tensors, bound, foreach=False)
        recording.add_config(case, min=-bound, max=bound)
        for i, tensor in enumerate(tensors):
            recording.add(f"{case}/clipped/{i}", gradient(tensor))
    return recording


FAMILIES: dict[str, Callable[[], Recording]] = {
    "cells": record_cells,
    "layers": record_layers,
    "optimisers": record_optimisers,
    "losses": record_losses,
    "clipping": record_clipping,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Record reference values from PyTorch.")
    parser.add_argument("families", nargs="*", metavar="family", help=", ".join(FAMILIES))
    parser.add_argument("--out", type=Path, default=FOLDER, help="default: this folder")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.families) - set(FAMILIES))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for family in arguments.families or FAMILIES:
        FAMILIES[family]().save(arguments.out / f"{family}.npz")


if __name__ == "__main__":
    main()
