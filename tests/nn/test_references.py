"""The same numbers as PyTorch and Keras, in float64 (see references/README.md)."""

from __future__ import annotations

import numpy as np
import pytest
from nn.conversion import (
    from_keras,
    from_torch,
    keras_cell,
    recorded,
    state_parts,
    torch_layers,
    torch_model,
)

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn, optim

LAYERS = [(family, case) for family in ("cells", "layers") for case in recorded(family)]


def close(ours, theirs, what="", rtol=1e-10):
    array = ours.numpy() if isinstance(ours, tg.Tensor) else ours
    assert array.dtype == np.float64
    np.testing.assert_allclose(array, theirs, rtol=rtol, atol=1e-14, err_msg=what)


def leaf(array):
    return tg.tensor(array, requires_grad=True)


def weighted_loss(y, parts, factor):
    """Σ y R, plus ½ s² for each part of the final state: the loss that was recorded."""
    return (y * tg.tensor(factor)).sum() + sum((part**2).sum() * 0.5 for part in parts)


# ---------------------------------------------------------------- PyTorch's recurrent layers


@pytest.mark.parametrize(("family", "case"), LAYERS, ids=["-".join(pair) for pair in LAYERS])
def test_recurrent_layers_of_pytorch(family, case):
    values = recorded(family)[case]
    config = values["config"]
    kind = config["kind"]
    model = torch_model(config)
    layers = list(torch_layers(model))
    weights = {k.removeprefix("weight/"): v for k, v in values.items() if k.startswith("weight/")}
    for suffix, layer in layers:
        layer.cell.load_state_dict(from_torch(kind, weights, suffix))

    x = leaf(values["x"])
    names = [name for name in ("h0", "c0") if name in values]
    starts = {name: [leaf(part) for part in values[name]] for name in names}
    per_layer = [
        nn.LSTMState(*parts) if kind == "lstm" else parts[0]
        for parts in zip(*starts.values(), strict=True)
    ]
    state = None
    if per_layer:
        pairs = zip(per_layer[::2], per_layer[1::2], strict=True)
        state = tuple(pairs) if config["bidirectional"] else tuple(per_layer)
    out = model(x, state, lengths=values.get("lengths"))

    finals = [part for s in out.state for part in (s if config["bidirectional"] else (s,))]
    parts = [part for final in finals for part in state_parts(final)]
    loss = weighted_loss(out.y, parts, values["R"])
    loss.backward()

    close(out.y, values["y"], "y")
    close(loss, values["loss"], "loss")
    close(x.grad, values["grad/x"], "grad x")
    for position, final in enumerate(finals):
        for name, part in zip(("h_n", "c_n"), state_parts(final), strict=False):
            close(part, values[name][position], name)
    for name, leaves in starts.items():
        for position, start in enumerate(leaves):
            close(start.grad, values[f"grad/{name}"][position], f"grad {name}")
    gradients = {k.removeprefix("grad/"): v for k, v in values.items() if k.startswith("grad/")}
    for suffix, layer in layers:
        expected = from_torch(kind, gradients, suffix, gradients=True)
        own = dict(layer.cell.named_parameters())
        assert own.keys() == expected.keys()
        for name, parameter in own.items():
            close(parameter.grad, expected[name], f"grad {name}{suffix}")


def test_the_recorded_sizes_tell_axes_apart():
    for family, case in LAYERS:
        config = recorded(family)[case]["config"]
        sizes = {config[name] for name in ("batch", "input_size", "hidden_size")}
        assert len(sizes) == 3, case
        assert config["steps"] >= 5


# ---------------------------------------------------------------- Keras


@pytest.mark.parametrize("case", recorded("keras"))
def test_recurrent_layers_of_keras(case):
    values = recorded("keras")[case]
    config = values["config"]
    count = sum(name.startswith("weight/") for name in values)
    weights = [values[f"weight/{i}"] for i in range(count)]
    gradients = [values[f"grad/weight/{i}"] for i in range(count)]
    both = config["merge"] is not None
    rnns = [
        nn.RNN(keras_cell(config, values["x"].shape[2]).astype("float64"))
        for _ in range(2 if both else 1)
    ]
    share = count // len(rnns)
    for k, rnn in enumerate(rnns):
        rnn.cell.load_state_dict(from_keras(config["kind"], weights[k * share : (k + 1) * share]))
    rnns[0].reverse = config.get("go_backwards", False)
    model = rnns[0]
    if both:
        model = nn.Bidirectional(*rnns, merge={"ave": "mean"}.get(config["merge"], config["merge"]))

    x = leaf(values["x"])
    names = [name.removeprefix("final/") for name in values if name.startswith("final/")]
    starts = {n: leaf(values[f"initial/{n}"]) for n in names if config["initial_state"]}
    state = None
    if starts:
        size = len(names) // len(rnns)
        parts = list(starts.values())
        groups = [tuple(parts[k * size : (k + 1) * size]) for k in range(len(rnns))]
        groups = [group if size > 1 else group[0] for group in groups]
        state = tuple(groups) if both else groups[0]
    out = model(x, state, lengths=values.get("lengths"))

    finals = [part for s in (out.state if both else (out.state,)) for part in state_parts(s)]
    y = out.y[:, ::-1] if rnns[0].reverse else out.y  # Keras leaves them in the order of reading
    loss = weighted_loss(y, finals, values["R"])
    loss.backward()

    close(y, values["y"], "y")
    close(loss, values["loss"], "loss")
    close(x.grad, values["grad/x"], "grad x")
    for name, final in zip(names, finals, strict=True):
        close(final, values[f"final/{name}"], name)
    for name, start in starts.items():
        close(start.grad, values[f"grad/initial/{name}"], f"grad {name}")
    for k, rnn in enumerate(rnns):
        own = gradients[k * share : (k + 1) * share]
        expected = from_keras(config["kind"], own, gradients=True)
        assert dict(rnn.cell.named_parameters()).keys() == expected.keys()
        for name, parameter in rnn.cell.named_parameters():
            close(parameter.grad, expected[name], f"grad {name} of direction {k}")


# ---------------------------------------------------------------- functions and losses

LOSSES = [case for case in recorded("losses") if not case.startswith(("ctc_", "embedding"))]
SUFFIXES = ("_mean", "_sum", "_none", "_mask", "_soft", "_extreme", "_minus_inf", "_kink")
SUFFIXES += ("_axis1", "_keepdims", "_02")


def function_of(case):
    name, before = case, None
    while name != before:
        before = name
        for suffix in SUFFIXES:
            name = name.removesuffix(suffix)
    return getattr(F, name)


@pytest.mark.parametrize("case", LOSSES)
def test_functions_and_losses_of_pytorch(case):
    values = recorded("losses")[case]
    options = {{"min": "low", "max": "high"}.get(k, k): v for k, v in values["config"].items()}
    if "mask" in values:
        options["mask"] = values["mask"]
    leaves = {"input": leaf(values["input"])}
    arguments = list(leaves.values())
    if "targets" in values:
        if "grad/targets" in values:
            leaves["targets"] = leaf(values["targets"])
        arguments.append(leaves.get("targets", values["targets"]))
    value = function_of(case)(*arguments, **options)
    (value * tg.tensor(values["R"])).sum().backward()
    close(value, values["value"], "value")
    for name, tensor in leaves.items():
        close(tensor.grad, values[f"grad/{name}"], f"grad {name}")


@pytest.mark.parametrize("case", ["embedding", "embedding_padding"])
def test_embedding_of_pytorch(case):
    """PyTorch looks the padding row up, without a gradient; here the padding is always zero."""
    values = recorded("losses")[case]
    padding = values["config"]["padding_idx"]
    layer = nn.Embedding(*values["weight"].shape, padding_idx=padding).astype("float64")
    layer.W = values["weight"]
    y = layer(values["indices"])
    (y * tg.tensor(values["R"])).sum().backward()
    looked_up = values["value"] * (values["indices"] != padding)[..., None]
    close(y, looked_up)
    close(layer.W.grad, values["grad/weight"])


# ---------------------------------------------------------------- optimisers and clipping

OPTIMISERS = [case for case in recorded("optimisers") if case != "problem"]


@pytest.mark.parametrize("case", OPTIMISERS)
def test_optimisers_of_pytorch_over_20_steps(case):
    problem, values = recorded("optimisers")["problem"], recorded("optimisers")[case]
    arguments = values["config"]["arguments"]
    parameters = {name: nn.Parameter(problem[f"start/{name}"]) for name in ("w", "b")}
    optimizer = getattr(optim, values["config"]["kind"])(parameters.values(), **arguments)
    for step in range(20):
        for name, parameter in parameters.items():
            paused = case.endswith("_paused") and problem[f"paused/{name}"][step]
            parameter.grad = None if paused else tg.tensor(problem[f"grad/{name}"][step])
        optimizer.step()
        for name, parameter in parameters.items():
            close(parameter, values[name][step], f"{name} after step {step + 1}")


@pytest.mark.parametrize("case", [case for case in recorded("clipping") if case != "problem"])
def test_clipping_of_pytorch(case):
    """PyTorch divides by ‖g‖ + 1e-6, so its clipped gradients are a little too short: by the
    factor ‖g‖ / (‖g‖ + 1e-6). Ours have the norm that was asked for.
    """
    problem, values = recorded("clipping")["problem"], recorded("clipping")[case]
    config = values["config"]
    gradients = [problem[f"grad/{i}"] for i in range(3)]
    parameters = [nn.Parameter(np.zeros_like(g)) for g in gradients]
    for parameter, g in zip(parameters, gradients, strict=True):
        parameter.grad = tg.tensor(g)
    short = 1.0
    if case.startswith("value"):
        optim.clip_grad_value(parameters, config["min"], config["max"])
    else:
        norm = optim.clip_grad_norm(parameters, config["max_norm"], p=float(config["p"]))
        close(norm, values["norm"], "norm")
        if norm.item() > config["max_norm"]:
            short = norm.item() / (norm.item() + 1e-6)
    for i, parameter in enumerate(parameters):
        close(parameter.grad.numpy() * short, values[f"clipped/{i}"], f"gradient {i}")
