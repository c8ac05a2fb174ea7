"""Record reference values from Keras; the test suite reads the file and never needs Keras.

    pip install keras==3.15.1 torch==2.13.0 numpy==2.4.6
    python tests/references/record_keras.py

Keras runs on its PyTorch backend, which gives gradients as well, in float64 on one CPU thread.
Inputs, weights and the random factors of the losses come from NumPy generators seeded by each
case's name and are recorded with the results. `README.md` describes the keys.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "torch"

import keras  # type: ignore[import-untyped]
import numpy as np
import torch
from keras.src.backend.common import dtypes  # type: ignore[import-untyped]
from recording import FOLDER, Recording, generator, uniform

BATCH, STEPS, FEATURES, UNITS = 3, 5, 4, 6
LENGTHS = (3, 5, 1)
STATES = {"SimpleRNN": ("h",), "GRU": ("h",), "LSTM": ("h", "c")}


def record_layer(
    recording: Recording,
    case: str,
    kind: str,
    *,
    merge: str | None = None,
    lengths: Sequence[int] | None = None,
    initial_state: bool = False,
    **options: Any,
) -> None:
    """One layer, both the full sequence and the final states returned.

    The loss is sum(y * R) plus, for every final state s, 0.5 * sum(s ** 2).
    """
    rng = generator(f"keras_{case}")
    if lengths is not None:
        options["zero_output_for_mask"] = True  # else Keras repeats the last output
    layer: Any = getattr(keras.layers, kind)(
        UNITS, return_sequences=True, return_state=True, **options
    )
    if merge is not None:
        layer = keras.layers.Bidirectional(layer, merge_mode=merge)
    layer.build((None, STEPS, FEATURES))
    layer.set_weights([uniform(rng, w.shape, scale=0.7) for w in layer.weights])

    directions = ("",) if merge is None else ("forward_", "backward_")
    names = [f"{direction}{state}" for direction in directions for state in STATES[kind]]
    x = torch.tensor(uniform(rng, (BATCH, STEPS, FEATURES), scale=1.5), requires_grad=True)
    initial = []
    if initial_state:
        initial = [
            torch.tensor(uniform(rng, (BATCH, UNITS), scale=0.9), requires_grad=True) for _ in names
        ]
    mask = None
    if lengths is not None:
        mask = torch.tensor(np.arange(STEPS) < np.array(lengths)[:, None])

    y, *final = layer(x, initial_state=initial or None, mask=mask)
    if len(final) != len(names):
        raise RuntimeError(f"{case}: {len(final)} final states for the names {names}")
    factor = uniform(rng, tuple(y.shape))
    loss = (y * torch.from_numpy(factor)).sum()
    for state in final:
        loss = loss + 0.5 * (state**2).sum()
    torch.autograd.backward(loss)

    recording.add_config(
        case,
        kind=kind,
        units=UNITS,
        merge=merge,
        lengths=None if lengths is None else list(lengths),
        initial_state=initial_state,
        **options,
    )
    recording.add(f"{case}/x", x.detach().numpy())
    recording.add(f"{case}/grad/x", x.grad)
    recording.add(f"{case}/R", factor)
    if lengths is not None:
        recording.add(f"{case}/lengths", np.asarray(lengths, dtype=np.int64))
    for i, weight in enumerate(layer.weights):
        recording.add(f"{case}/weight/{i}", weight.numpy())
        recording.add(f"{case}/grad/weight/{i}", weight.value.grad)
    parts = 1 if merge is None else 2
    recording.add(
        f"{case}/weight_names", ["/".join(w.path.split("/")[-1 - parts :]) for w in layer.weights]
    )
    for name, tensor in zip(names, initial, strict=False):
        recording.add(f"{case}/initial/{name}", tensor.detach().numpy())
        recording.add(f"{case}/grad/initial/{name}", tensor.grad)
    recording.add(f"{case}/y", y.detach().numpy())
    for name, tensor in zip(names, final, strict=True):
        recording.add(f"{case}/final/{name}", tensor.detach().numpy())
    recording.add(f"{case}/loss", loss.detach().numpy())


def record(recording: Recording) -> None:
    record_layer(recording, "simple_rnn", "SimpleRNN", initial_state=True)
    record_layer(recording, "simple_rnn_relu", "SimpleRNN", activation="relu", initial_state=True)
    record_layer(recording, "lstm", "LSTM", initial_state=True)
    record_layer(recording, "gru_reset_after", "GRU", reset_after=True, initial_state=True)
    record_layer(recording, "gru_reset_before", "GRU", reset_after=False, initial_state=True)
    for kind, name in (("SimpleRNN", "simple_rnn"), ("LSTM", "lstm")):
        record_layer(recording, f"{name}_nobias", kind, use_bias=False)
    for after in (True, False):
        name = "gru_reset_after" if after else "gru_reset_before"
        record_layer(recording, f"{name}_nobias", "GRU", reset_after=after, use_bias=False)
    record_layer(recording, "lstm_backwards", "LSTM", go_backwards=True)
    record_layer(recording, "lstm_lengths", "LSTM", lengths=LENGTHS)
    record_layer(recording, "gru_lengths", "GRU", lengths=LENGTHS)
    for merge in ("concat", "sum", "ave", "mul"):
        record_layer(recording, f"bidirectional_lstm_{merge}", "LSTM", merge=merge)
    record_layer(recording, "bidirectional_lstm_state", "LSTM", merge="concat", initial_state=True)
    record_layer(recording, "bidirectional_lstm_lengths", "LSTM", merge="concat", lengths=LENGTHS)
    record_layer(recording, "bidirectional_simple_rnn", "SimpleRNN", merge="concat")
    record_layer(recording, "bidirectional_gru_reset_after", "GRU", merge="concat")
    record_layer(
        recording, "bidirectional_gru_reset_before", "GRU", merge="concat", reset_after=False
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Record reference values from Keras.")
    parser.add_argument("--out", type=Path, default=FOLDER, help="default: this folder")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    keras.config.set_floatx("float64")
    # Keras brings float64 down to float32 in most operations, as JAX does by default. Not here.
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    recording = Recording(
        {"keras": keras.__version__, "torch": torch.__version__, "numpy": np.__version__}
    )
    record(recording)
    recording.save(arguments.out / "keras.npz")


if __name__ == "__main__":
    main()
