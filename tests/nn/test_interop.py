"""Weights of PyTorch and Keras: the same numbers out of them, and back again."""

from __future__ import annotations

import numpy as np
import pytest
from nn.conversion import recorded, state_parts
from safetensors.numpy import save_file

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.nn import interop

TORCH = [(family, case) for family in ("cells", "layers") for case in recorded(family)]
SHORT_FORMS = {"rnn": nn.Elman, "SimpleRNN": nn.Elman, "lstm": nn.LSTM, "LSTM": nn.LSTM}


class Weight:
    """As a torch tensor: NumPy may not look at it directly."""

    def __init__(self, array):
        self._array = array

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self._array

    def __array__(self, *_):
        raise TypeError("requires grad")


class TorchModule:
    """As torch.nn.RNN: a state dict, and the kind in `mode`."""

    def __init__(self, weights, mode):
        self.weights, self.mode = weights, mode

    def state_dict(self):
        return {name: Weight(array) for name, array in self.weights.items()}


def torch_weights(values):
    return {k.removeprefix("weight/"): v for k, v in values.items() if k.startswith("weight/")}


def keras_weights(values):
    return [values[f"weight/{i}"] for i in range(len(values["weight_names"]))]


def torch_case(case="lstm_l2_bi_bias_full"):
    return torch_weights(recorded("layers")[case])


def close(ours, theirs, what):
    assert ours.dtype == np.float64
    np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-10, atol=1e-13, err_msg=what)


def start_of(kind, parts):
    """A state of a cell from its parts (h, and c for an LSTM)."""
    return nn.LSTMState(*parts) if kind.lower() == "lstm" else parts[0]


# ---------------------------------------------------------------- PyTorch


@pytest.mark.parametrize(("family", "case"), TORCH, ids=["-".join(pair) for pair in TORCH])
def test_torch_weights_give_the_same_numbers(family, case):
    values = recorded(family)[case]
    config = values["config"]
    kind, both = config["kind"], config["bidirectional"]
    rnn = interop.from_torch(
        torch_weights(values), activation=config.get("nonlinearity") if kind == "rnn" else None
    )
    assert type(rnn) is SHORT_FORMS.get(kind, nn.GRU)
    assert len(rnn.layers) == config["num_layers"]

    state = None
    if config["initial_state"]:
        given = [values[name] for name in ("h0", "c0") if name in values]
        cells = [start_of(kind, parts) for parts in zip(*given, strict=True)]
        state = tuple(zip(cells[::2], cells[1::2], strict=True)) if both else tuple(cells)
    x = tg.tensor(values["x"], requires_grad=True)
    out = rnn(x, state, values.get("lengths"))

    finals = [cell for layer in out.state for cell in (layer if both else (layer,))]
    close(out.y, values["y"], "y")
    for position, final in enumerate(finals):
        for name, part in zip(("h_n", "c_n"), state_parts(final), strict=False):
            close(part, values[name][position], name)
    parts = [part for final in finals for part in state_parts(final)]
    loss = (out.y * tg.tensor(values["R"])).sum() + sum((part**2).sum() * 0.5 for part in parts)
    close(tg.grad(loss, x)[0], values["grad/x"], "∂L/∂x")


@pytest.mark.parametrize(("family", "case"), TORCH, ids=["-".join(pair) for pair in TORCH])
def test_torch_round_trip_is_exact(family, case):
    theirs = torch_weights(recorded(family)[case])
    rnn = interop.from_torch(theirs)
    written = interop.to_torch_state_dict(rnn)
    assert {k: v.shape for k, v in written.items()} == {k: v.shape for k, v in theirs.items()}
    assert all(array.flags.c_contiguous for array in written.values())
    for name, array in written.items():
        if name.startswith("weight"):
            np.testing.assert_array_equal(array, theirs[name], name)
    again = interop.from_torch(written).state_dict()
    for name, array in rnn.state_dict().items():
        np.testing.assert_array_equal(again[name], array, name)


@pytest.mark.parametrize(("mode", "activation"), [("RNN_TANH", "tanh"), ("RNN_RELU", "relu")])
def test_a_module_knows_its_activation(mode, activation):
    weights = torch_case("rnn_l1_uni_bias_full")
    from_module = interop.from_torch(TorchModule(weights, mode))
    from_weights = interop.from_torch(weights, activation=activation)
    x = np.random.default_rng(0).normal(size=(2, 4, 3))
    np.testing.assert_array_equal(from_module(x).y.numpy(), from_weights(x).y.numpy())


def test_a_safetensors_file_and_a_prefix(tmp_path):
    weights = torch_case("gru_l2_bi_bias_full")
    large = {f"encoder.rnn.{name}": array for name, array in weights.items()}
    large["encoder.out.weight"] = np.zeros((2, 8))
    save_file(large, tmp_path / "model.safetensors")
    rnn = interop.from_torch(tmp_path / "model.safetensors", prefix="encoder.rnn.")
    expected = interop.from_torch(weights).state_dict()
    assert rnn.state_dict().keys() == expected.keys()
    for name, array in rnn.state_dict().items():
        np.testing.assert_array_equal(array, expected[name])


def test_the_dtype_is_that_of_the_weights():
    weights = {name: array.astype("float32") for name, array in torch_case().items()}
    rnn = interop.from_torch(weights)
    assert {p.dtype for p in rnn.parameters()} == {np.dtype("float32")}
    assert {a.dtype for a in interop.to_torch_state_dict(rnn).values()} == {np.dtype("float32")}


def test_a_candidate_gru_is_written_as_the_same_function():
    ours = nn.GRU(3, 4, num_layers=2, bidirectional=True, reset="after").astype("float64")
    rng = np.random.default_rng(0)
    for parameter in ours.parameters():
        parameter.data = rng.normal(size=parameter.shape)
    before = ours.state_dict()
    theirs = interop.from_torch(interop.to_torch_state_dict(ours))
    assert theirs.layers[0].forward_rnn.cell.update == "state"
    x = rng.normal(size=(2, 5, 3))
    np.testing.assert_allclose(theirs(x).y.numpy(), ours(x).y.numpy(), rtol=1e-12)
    for name, array in ours.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    "rnn",
    [
        nn.RNN(nn.IRNNCell(3, 4)),
        nn.Bidirectional(nn.RNN(nn.LSTMCell(3, 4)), nn.RNN(nn.LSTMCell(3, 4))),
        nn.Stacked(
            [nn.RNN(nn.ElmanCell(3, 4, bias=False)), nn.RNN(nn.ElmanCell(4, 4, bias=False))]
        ),
    ],
)
def test_layers_made_by_hand_can_be_written(rnn):
    activation = "relu" if isinstance(rnn, nn.RNN) else None
    again = interop.from_torch(interop.to_torch_state_dict(rnn), activation=activation)
    x = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    np.testing.assert_array_equal(again(x).y.numpy(), rnn(x).y.numpy())


def test_everything_that_is_wrong_is_listed_at_once():
    weights = torch_case()
    del weights["weight_hh_l1"], weights["bias_ih_l0_reverse"]
    weights["weight_ih_l1"] = weights["weight_ih_l1"][:, :4]
    weights["weight_hr_l0"] = np.zeros((2, 4))
    with pytest.raises(ValueError, match=r"from_torch: no nn\.LSTM of 2 layers") as raised:
        interop.from_torch(weights)
    assert str(raised.value).split("\n  ")[1:] == [
        "missing: bias_ih_l0_reverse (16,)",
        "missing: weight_hh_l1 (16, 4)",
        "unexpected: weight_hr_l0 (2, 4)",
        "wrong shape: weight_ih_l1 is (16, 4), expected (16, 8)",
    ]


def test_weights_of_something_else():
    with pytest.raises(
        ValueError, match=r"not the weights.*encoder.weight_ih_l0 \(16, 3\).*prefix"
    ):
        interop.from_torch({f"encoder.{name}": a for name, a in torch_case().items()})
    with pytest.raises(ValueError, match="not the weights of an RNN, LSTM or GRU: none"):
        interop.from_torch({})
    with pytest.raises(TypeError, match=r"give a module, its state_dict\(\) or a path, not a list"):
        interop.from_torch([])


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.GRU(3, 4), ValueError, "reset='after' only"),
        (lambda: nn.LSTM(3, 4, peephole=True), ValueError, "without peepholes"),
        (lambda: nn.LSTM(3, 4, coupled=True), ValueError, "not coupled"),
        (lambda: nn.Elman(3, 4, activation="sigmoid"), ValueError, "tanh or relu"),
        (lambda: nn.RNN(nn.LSTMCell(3, 4), reverse=True), ValueError, "backwards only beside"),
        (lambda: nn.RNN(nn.LSTMCell(3, 4), learn_initial=True), ValueError, "no trained initial"),
        (
            lambda: nn.Bidirectional(
                nn.RNN(nn.LSTMCell(3, 4)), nn.RNN(nn.LSTMCell(3, 4)), merge="sum"
            ),
            ValueError,
            "layer 0 merges its directions by 'sum'",
        ),
        (
            lambda: nn.Stacked([nn.RNN(nn.ElmanCell(3, 4)), nn.RNN(nn.LSTMCell(4, 4))]),
            ValueError,
            "all of one kind",
        ),
        (lambda: nn.Stacked([nn.RNN(nn.ElmanCell(3, 4))], skip=True), ValueError, "no skip"),
        (lambda: nn.RNN(nn.JordanCell(3, 4, 2)), TypeError, "not of JordanCell"),
        (lambda: nn.Linear(3, 4), TypeError, "layer 0 is a Linear"),
    ],
)
def test_what_pytorch_does_not_have(make, error, message):
    with pytest.raises(error, match=message):
        interop.to_torch_state_dict(make())


# ---------------------------------------------------------------- Keras


@pytest.mark.parametrize("case", recorded("keras"))
def test_keras_weights_give_the_same_numbers(case):
    values = recorded("keras")[case]
    config = values["config"]
    kind, both = config["kind"], config["merge"] is not None
    rnn = interop.from_keras_weights(
        keras_weights(values),
        activation=config.get("activation", "tanh"),
        reset_after=None if config.get("use_bias", True) else config.get("reset_after"),
        merge=config["merge"] or "concat",
    )
    assert type(rnn) is SHORT_FORMS.get(kind, nn.GRU)
    backwards = config.get("go_backwards", False)
    if backwards:
        rnn.layers[0].reverse = True

    state = None
    if config["initial_state"]:
        names = [n.removeprefix("initial/") for n in values if n.startswith("initial/")]
        parts = [values[f"initial/{name}"] for name in names]
        half = len(parts) // 2
        pair = (start_of(kind, parts[:half]), start_of(kind, parts[half:])) if both else None
        state = (pair or start_of(kind, parts),)
    x = tg.tensor(values["x"], requires_grad=True)
    out = rnn(x, state, values.get("lengths"))

    y = values["y"][:, ::-1] if backwards else values["y"]
    factor = values["R"][:, ::-1] if backwards else values["R"]
    finals = [p for cell in (out.state[0] if both else out.state) for p in state_parts(cell)]
    close(out.y, y, "y")
    names = [name for name in values if name.startswith("final/")]
    for name, part in zip(names, finals, strict=True):
        close(part, values[name], name)
    loss = (out.y * tg.tensor(factor)).sum() + sum((part**2).sum() * 0.5 for part in finals)
    close(tg.grad(loss, x)[0], values["grad/x"], "∂L/∂x")


def test_the_scopes_of_a_converted_layer_are_those_of_a_made_one():
    rnn = interop.from_keras_weights(
        keras_weights(recorded("keras")["bidirectional_lstm_sum"]), merge="sum"
    )
    made = nn.LSTM(4, 6, bidirectional=True)
    x = np.zeros((1, 2, 4))
    scopes = [{node.scope for node in tg.Graph(layer(x).y).nodes} for layer in (rnn, made)]
    assert scopes[0] == scopes[1]


def test_wrong_shapes_of_keras_are_listed_at_once():
    weights = keras_weights(recorded("keras")["bidirectional_gru_reset_after"])
    weights[3] = weights[3][:, :6]
    weights[5] = weights[5][0]
    with pytest.raises(ValueError, match="from_keras_weights: no GRU") as raised:
        interop.from_keras_weights(weights)
    assert str(raised.value).split("\n  ")[1:] == [
        "wrong shape: backward kernel is (4, 6), expected (4, 18)",
        "wrong shape: backward bias is (18,), expected (2, 18)",
    ]


def test_what_keras_weights_must_be():
    gru = keras_weights(recorded("keras")["gru_reset_before"])
    with pytest.raises(ValueError, match="got 1 arrays"):
        interop.from_keras_weights(gru[:1])
    with pytest.raises(ValueError, match=r"not the weights.*kernel \(6, 18\), recurrent_kernel"):
        interop.from_keras_weights([gru[1], gru[0]])
    with pytest.raises(ValueError, match=r"bias is \(18,\), expected \(2, 18\)"):
        interop.from_keras_weights(gru, reset_after=True)
    with pytest.raises(ValueError, match="tanh only"):
        interop.from_keras_weights(gru, activation="relu")
    with pytest.raises(ValueError, match="merge 'max' is not one of"):
        interop.from_keras_weights(gru, merge="max")
