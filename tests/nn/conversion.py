"""Recorded values, and the weights of PyTorch and Keras in this project's layout."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np

from tinygradrnn import nn

FOLDER = Path(__file__).resolve().parents[1] / "references"


@cache
def recorded(family):
    """The cases of one file: {case: {key: array}}, the configuration as a dict under "config"."""
    cases = {}
    with np.load(FOLDER / f"{family}.npz") as file:
        for key in file.files:
            case, name = key.split("/", 1)
            value = json.loads(str(file[key])) if name == "config" else file[key]
            cases.setdefault(case, {})[name] = value
    cases.pop("meta")
    return cases


def from_torch(kind, entries, suffix, *, gradients=False):
    """The weights of one layer and direction, `weight_ih_l0` … with the suffix `_l0`.

    Where PyTorch has two biases that are added, ours is their sum, and its gradient that of each.
    """

    def entry(name):
        return entries.get(f"{name}{suffix}")

    inner, outer = entry("weight_ih").T, entry("weight_hh").T
    b_in, b_state = entry("bias_ih"), entry("bias_hh")
    if kind != "gru":
        found = {"W_x": inner, "W_s" if kind == "rnn" else "W_h": outer}
        if b_in is not None:
            found["b"] = b_in if gradients else b_in + b_state
        return found
    h = outer.shape[0]
    r, z, n = (slice(k * h, (k + 1) * h) for k in range(3))
    found = {
        "W_x": np.concatenate([inner[:, z], inner[:, r], inner[:, n]], axis=1),
        "W_s": np.concatenate([outer[:, z], outer[:, r]], axis=1),
        "W_sg": outer[:, n],
    }
    if b_in is not None:
        gates = b_in if gradients else b_in + b_state
        found["b"] = np.concatenate([gates[z], gates[r], b_in[n]])
        found["b_sg"] = b_state[n]
    return found


def torch_model(config):
    """The layer that PyTorch's nn.RNN, nn.LSTM or nn.GRU of this configuration is."""
    make, options = {
        "rnn": (nn.Elman, {"activation": config.get("nonlinearity")}),
        "lstm": (nn.LSTM, {}),
        "gru": (nn.GRU, {"reset": "after", "update": "state"}),
    }[config["kind"]]
    model = make(
        config["input_size"],
        config["hidden_size"],
        num_layers=config["num_layers"],
        bidirectional=config["bidirectional"],
        bias=config["bias"],
        **options,
    )
    return model.astype("float64")


def torch_layers(model):
    """The recurrent layers with PyTorch's suffixes, in PyTorch's order."""
    for number, layer in enumerate(model.layers):
        if isinstance(layer, nn.Bidirectional):
            yield f"_l{number}", layer.forward_rnn
            yield f"_l{number}_reverse", layer.backward_rnn
        else:
            yield f"_l{number}", layer


def from_keras(kind, entries, *, gradients=False):
    """The weights of one Keras layer, in the order of `get_weights()`.

    Keras's gate order is ours: z r h for the GRU, i f c o for the LSTM.
    """
    kernel, recurrent, *bias = entries
    if kind != "GRU":
        found = {"W_x": kernel, "W_s" if kind == "SimpleRNN" else "W_h": recurrent}
        return {**found, "b": bias[0]} if bias else found
    h = recurrent.shape[0]
    found = {"W_x": kernel, "W_s": recurrent[:, : 2 * h], "W_sg": recurrent[:, 2 * h :]}
    if bias and bias[0].ndim == 1:
        found["b"] = bias[0]
    elif bias:  # reset_after: one bias for the input, one for the state
        inner, outer = bias[0]
        found["b"] = inner.copy()
        if not gradients:
            found["b"][: 2 * h] += outer[: 2 * h]
        found["b_sg"] = outer[2 * h :]
    return found


def keras_cell(config, input_size):
    """The cell of a Keras layer of this configuration."""
    bias = config.get("use_bias", True)
    if config["kind"] == "SimpleRNN":
        activation = config.get("activation", "tanh")
        return nn.ElmanCell(input_size, config["units"], activation=activation, bias=bias)
    if config["kind"] == "LSTM":
        return nn.LSTMCell(input_size, config["units"], bias=bias)
    reset = "after" if config.get("reset_after", True) else "before"
    return nn.GRUCell(input_size, config["units"], reset=reset, update="state", bias=bias)


def state_parts(state):
    """The tensors of a cell's state as a list."""
    return list(state) if isinstance(state, tuple) else [state]
