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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from recording import FOLDER, Array, Recording, generator, uniform
from torch import Tensor, nn
from torch_losses import record_losses
from torch_values import gradient, leaf, new_recording, to_numpy

Recurrent = nn.RNN | nn.LSTM | nn.GRU

KINDS: dict[str, type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]] = {
    "rnn": nn.RNN,
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}


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
