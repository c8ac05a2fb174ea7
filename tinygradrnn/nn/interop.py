"""Weights from and to PyTorch, and from Keras; neither has to be installed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn import functional as F
from tinygradrnn.nn.cells import ElmanCell, GRUCell, LSTMCell
from tinygradrnn.nn.modules import Module
from tinygradrnn.nn.rnn import RNN
from tinygradrnn.nn.stacks import GRU, LSTM, MERGES, Bidirectional, Elman, Stacked

Numbers = np.ndarray[Any, np.dtype[Any]]
Arrays = dict[str, Numbers]
Shapes = dict[str, tuple[int, ...]]

TORCH_NAME = re.compile(r"(weight|bias)_(?:ih|hh)_l(\d+)(_reverse)?")
TORCH_PARTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
KERAS_PARTS = ("kernel", "recurrent_kernel", "bias")


class Kind(NamedTuple):
    """A kind of recurrent layer that all frameworks have."""

    gates: int
    short_form: type[Elman] | type[LSTM] | type[GRU]


KINDS = {"RNN": Kind(1, Elman), "GRU": Kind(3, GRU), "LSTM": Kind(4, LSTM)}


# ---------------------------------------------------------------- PyTorch


def from_torch(
    module_or_state_dict: Any, *, prefix: str = "", activation: str | None = None
) -> Elman | LSTM | GRU:
    """The layer that computes what PyTorch's ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU`` computes.

    Kind, layers, directions, sizes, bias and dtype are read off the weights. Row vectors multiply
    from the left here, so each matrix is PyTorch's transposed; two biases that PyTorch adds become
    their sum. PyTorch's GRU is ``reset="after", update="state"`` here, its gates r z n are our
    z r g. Our layers are always ``batch_first``. Dropout is not taken over: PyTorch drops between
    layers, :class:`Stacked` before each.

    Parameters
    ----------
    module_or_state_dict : torch module, mapping of names to arrays or torch tensors, or path
        A path leads to a safetensors file. PyTorch is not imported.
    prefix : str
        Of the names, in the weights of a larger model: ``"encoder.rnn."``. Others are passed over.
    activation : "tanh" or "relu", optional
        Of ``nn.RNN``: a module knows it, weights do not; then "tanh".

    Returns
    -------
    Elman, LSTM or GRU

    Raises
    ------
    ValueError
        Listing every missing, unexpected and wrongly shaped entry.
    """
    arrays = _entries(module_or_state_dict, prefix)
    found = [match for match in map(TORCH_NAME.fullmatch, arrays) if match]
    num_layers = len({match[2] for match in found})
    bidirectional = any(match[3] for match in found)
    bias = any(match[1] == "bias" for match in found)
    outer = arrays.get("weight_hh_l0", np.empty(0))
    inner = arrays.get("weight_ih_l0", outer)
    advice = "; of a larger model, give the prefix of the layer's names: prefix='encoder.rnn.'"
    kind, features, hidden = _sizes("from_torch", inner.T, outer.T, arrays, advice)
    rows = KINDS[kind].gates * hidden
    expected: Shapes = {}
    for layer in range(num_layers):
        width = hidden * (1 + bidirectional) if layer else features
        shapes = [(rows, width), (rows, hidden), (rows,), (rows,)]
        for suffix in _suffixes(layer, bidirectional):
            named = zip(TORCH_PARTS[: 4 if bias else 2], shapes, strict=False)
            expected.update({f"{part}{suffix}": shape for part, shape in named})
    _check(f"from_torch: no nn.{kind} of {num_layers} layers", arrays, expected)

    options: dict[str, Any] = {"bias": bias}
    if kind == "RNN":
        mode = getattr(module_or_state_dict, "mode", "RNN_TANH")
        options["activation"] = activation or ("relu" if mode == "RNN_RELU" else "tanh")
    if kind == "GRU":
        options |= {"reset": "after", "update": "state"}
    made = (
        KINDS[kind]
        .short_form(features, hidden, num_layers=num_layers, bidirectional=bidirectional, **options)
        .astype(np.result_type(*arrays.values()))
    )
    for position, part in enumerate(made.layers):
        for suffix, rnn in _directions(part, position):
            weights = [arrays[f"{n}{suffix}"].T for n in TORCH_PARTS if f"{n}{suffix}" in arrays]
            if kind == "GRU":
                weights = [_z_and_r_swapped(weight) for weight in weights]
            rnn.cell.load_state_dict(_cell_weights(kind, *weights))
    return made


def to_torch_state_dict(rnn: Module) -> Arrays:
    """The weights as a state dict of PyTorch's ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``.

    Our one bias becomes ``bias_ih``, and ``bias_hh`` is zero except for b_sg of a GRU. What
    :func:`from_torch` makes of the result has the same weights, bit for bit; but a GRU with
    ``update="candidate"`` is written as the same function with the weights of z negated, which
    PyTorch's form needs.

    Parameters
    ----------
    rnn : Elman, LSTM, GRU, Stacked, Bidirectional or RNN

    Returns
    -------
    dict of str to ndarray
        For ``module.load_state_dict({name: torch.from_numpy(a) for name, a in result.items()})``,
        or for ``safetensors.numpy.save_file``.

    Raises
    ------
    ValueError, TypeError
        If PyTorch has no such layer: a GRU that resets before the product, peepholes, outputs of
        two directions summed, a trained initial state …
    """
    layers = rnn.layers if isinstance(rnn, Stacked) else [rnn]
    found: Arrays = {}
    forms = set()
    for position, layer in enumerate(layers):
        for suffix, one in _directions(layer, position):
            weights = _torch_weights(one)
            forms.add((type(one.cell), len(weights), vars(one.cell).get("activation")))
            for part, weight in zip(TORCH_PARTS, weights, strict=False):
                found[f"{part}{suffix}"] = np.ascontiguousarray(weight)
    if len(forms) > 1 or len({type(layer) for layer in layers}) > 1 or getattr(rnn, "skip", False):
        raise ValueError(
            "to_torch_state_dict: PyTorch's layers are all of one kind, all of one or all of two "
            "directions, all with or all without bias, and have no skip connections"
        )
    return found


def _entries(source: Any, prefix: str) -> Arrays:
    """The weights under a prefix by name, as NumPy arrays."""
    if isinstance(source, str | os.PathLike):
        from safetensors.numpy import load_file

        source = load_file(Path(source))
    if callable(getattr(source, "state_dict", None)):
        source = source.state_dict()
    if not isinstance(source, Mapping):
        raise TypeError(
            f"from_torch: give a module, its state_dict() or a path, not a {type(source).__name__}"
        )
    return {
        name.removeprefix(prefix): _host(value)
        for name, value in source.items()
        if name.startswith(prefix)
    }


def _suffixes(layer: int, bidirectional: bool) -> tuple[str, ...]:
    """What PyTorch appends to the names of a layer's weights, for each direction."""
    return (f"_l{layer}", f"_l{layer}_reverse")[: 1 + bidirectional]


def _directions(layer: Any, position: int) -> Iterator[tuple[str, RNN]]:
    """The one or two directions of a layer with PyTorch's suffixes."""
    both = isinstance(layer, Bidirectional)
    if both and layer.merge != "concat":
        raise ValueError(
            f"to_torch_state_dict: layer {position} merges its directions by {layer.merge!r}, "
            "PyTorch only by 'concat'"
        )
    rnns = (layer.forward_rnn, layer.backward_rnn) if both else (layer,)
    for suffix, rnn in zip(_suffixes(position, both), rnns, strict=True):
        if not isinstance(rnn, RNN):
            raise TypeError(
                f"to_torch_state_dict: layer {position} is a {type(rnn).__name__}; only recurrent "
                "layers have a counterpart"
            )
        yield suffix, rnn


def _torch_weights(rnn: RNN) -> list[Numbers]:
    """PyTorch's two matrices, and two biases if there are any, of one layer and direction."""
    cell = rnn.cell
    problem = _no_counterpart(cell)
    if rnn.initial or rnn.reverse:
        problem = "no trained initial state, and reads backwards only beside forwards"
    if problem:
        raise ValueError(f"to_torch_state_dict: PyTorch's layer has {problem}")
    own = cell.state_dict()
    if not isinstance(cell, GRUCell):
        outer = own["W_h" if isinstance(cell, LSTMCell) else "W_s"]
        biases = [own["b"], np.zeros_like(own["b"])] if "b" in own else []
        return [weight.T for weight in (own["W_x"], outer, *biases)]
    size = cell.hidden_size
    weights = [own["W_x"], np.concatenate([own["W_s"], own["W_sg"]], axis=1)]
    if "b" in own:
        weights += [own["b"], np.concatenate([np.zeros(2 * size, own["b"].dtype), own["b_sg"]])]
    if cell.update == "candidate":  # 1 − σ(a) = σ(−a)
        for weight in weights:
            weight[..., :size] *= -1
    return [_z_and_r_swapped(weight).T for weight in weights]


def _no_counterpart(cell: Any) -> str:
    """What PyTorch's layers have where the cell differs from them; empty if it does not."""
    if isinstance(cell, LSTMCell):
        plain = not cell.peephole and not cell.coupled and cell.activation is F.tanh
        return "" if plain else "an LSTM with tanh, without peepholes, i and f not coupled"
    if isinstance(cell, GRUCell):
        return "" if cell.reset == "after" else "a GRU with reset='after' only"
    if getattr(type(cell), "transition", None) is ElmanCell.transition:
        return "" if cell.activation in (F.tanh, F.relu) else "an RNN with tanh or relu"
    raise TypeError(
        f"to_torch_state_dict: PyTorch has layers of Elman, LSTM and GRU cells, not of "
        f"{type(cell).__name__}"
    )


# ---------------------------------------------------------------- Keras


def from_keras_weights(
    weights: Sequence[Any],
    *,
    activation: str = "tanh",
    reset_after: bool | None = None,
    merge: str = "concat",
) -> Elman | LSTM | GRU:
    """The layer that computes what Keras's ``SimpleRNN``, ``LSTM`` or ``GRU`` computes.

    The kind, sizes, bias and dtype are read off the weights, and from their number whether the
    layer stood in a ``Bidirectional``. Layout and gate order are the same as here (i f c o and
    z r h); a GRU is ``update="state"``. Keras past a mask repeats the last output unless it has
    ``zero_output_for_mask=True``; here outputs are zero there.

    Parameters
    ----------
    weights : list of arrays
        ``layer.get_weights()`` of one layer: kernel, recurrent kernel, bias unless
        ``use_bias=False``; of a ``Bidirectional`` those of both directions.
    activation : str
        Of ``SimpleRNN`` and ``LSTM``.
    reset_after : bool, optional
        Of ``GRU``; the bias tells. Without bias True, as in Keras.
    merge : str
        The ``merge_mode`` of ``Bidirectional``: "concat", "sum", "mul", "ave".

    Returns
    -------
    Elman, LSTM or GRU
        Of one layer.

    Raises
    ------
    ValueError
        Listing every weight of a wrong shape.
    """
    merge = "mean" if merge == "ave" else merge
    if merge not in MERGES:
        raise ValueError(f"from_keras_weights: merge {merge!r} is not one of {', '.join(MERGES)}")
    arrays = [_host(weight) for weight in weights]
    if len(arrays) not in (2, 3, 4, 6):
        raise ValueError(
            f"from_keras_weights: got {len(arrays)} arrays; give layer.get_weights() of one layer: "
            "kernel, recurrent kernel and, if it has one, bias; twice that of a Bidirectional"
        )
    bidirectional, bias = len(arrays) > 3, len(arrays) % 3 == 0
    parts = KERAS_PARTS[: 3 if bias else 2]
    prefixes = ("forward ", "backward ") if bidirectional else ("",)
    names = [prefix + part for prefix in prefixes for part in parts]
    given = dict(zip(names, arrays, strict=True))
    kind, features, hidden = _sizes("from_keras_weights", arrays[0], arrays[1], given)
    if reset_after is None:
        reset_after = not bias or arrays[2].ndim == 2
    columns = KINDS[kind].gates * hidden
    twice = kind == "GRU" and reset_after
    last = (2, columns) if twice else (columns,)
    shapes: list[tuple[int, ...]] = [(features, columns), (hidden, columns), last]
    expected = dict(zip(names, shapes[: len(parts)] * len(prefixes), strict=True))
    _check(f"from_keras_weights: no {kind}", given, expected)

    options: dict[str, Any] = {"activation": activation, "bias": bias}
    if kind == "GRU":
        if activation != "tanh":
            raise ValueError(f"from_keras_weights: a GRU here has tanh only, got {activation!r}")
        reset = "after" if reset_after else "before"
        options = {"reset": reset, "update": "state", "bias": bias}
    made = (
        KINDS[kind]
        .short_form(features, hidden, bidirectional=bidirectional, **options)
        .astype(np.result_type(*arrays))
    )
    for position, (_, rnn) in enumerate(_directions(made.layers[0], 0)):
        kernel, recurrent, *biases = arrays[position * len(parts) :][: len(parts)]
        if twice and bias:
            biases = list(biases[0])
        rnn.cell.load_state_dict(_cell_weights(kind, kernel, recurrent, *biases))
    if isinstance(made.layers[0], Bidirectional):
        made.layers[0].merge = merge
    return made


# ---------------------------------------------------------------- both


def _cell_weights(
    kind: str, inner: Numbers, outer: Numbers, b: Numbers | None = None, b_s: Numbers | None = None
) -> Arrays:
    """A cell's parameters, from two matrices in our layout and gate order and up to two biases."""
    split = 2 * len(outer)
    if kind == "GRU":
        found = {"W_x": inner, "W_s": outer[:, :split], "W_sg": outer[:, split:]}
    else:
        found = {"W_x": inner, "W_h" if kind == "LSTM" else "W_s": outer}
    if b is None:
        return found
    if b_s is None:
        return {**found, "b": b}
    if kind != "GRU":
        return {**found, "b": b + b_s}
    gates = b[:split] + b_s[:split]
    return {**found, "b": np.concatenate([gates, b[split:]]), "b_sg": b_s[split:]}


def _z_and_r_swapped(weight: Numbers) -> Numbers:
    """The columns of three gates with the first two gates exchanged."""
    first, second, third = np.split(weight, 3, axis=-1)
    return np.concatenate([second, first, third], axis=-1)


def _host(value: Any) -> Numbers:
    """An array, or a tensor of PyTorch or of ours, as a NumPy array."""
    for step in ("detach", "cpu", "numpy"):
        if hasattr(value, step):
            value = getattr(value, step)()
    return np.asarray(value)


def _sizes(
    what: str, inner: Numbers, outer: Numbers, arrays: Arrays, advice: str = ""
) -> tuple[str, int, int]:
    """The kind of layer, its features and its units, from matrices in our layout."""
    if inner.ndim == outer.ndim == 2 and 0 not in (*inner.shape, *outer.shape):
        hidden, columns = outer.shape
        for name, kind in KINDS.items():
            if columns == kind.gates * hidden:
                return name, inner.shape[0], hidden
    listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
    raise ValueError(
        f"{what}: these are not the weights of an RNN, LSTM or GRU: {listed or 'none'}{advice}"
    )


def _check(what: str, arrays: Arrays, expected: Shapes) -> None:
    """Raise ValueError listing every missing, unexpected and wrongly shaped array."""
    wrong = [f"missing: {name} {shape}" for name, shape in expected.items() if name not in arrays]
    wrong += [f"unexpected: {name} {a.shape}" for name, a in arrays.items() if name not in expected]
    wrong += [
        f"wrong shape: {name} is {arrays[name].shape}, expected {shape}"
        for name, shape in expected.items()
        if name in arrays and arrays[name].shape != shape
    ]
    if wrong:
        raise ValueError(f"{what} has these weights\n  " + "\n  ".join(wrong))
