"""Elman, LSTM and GRU against their formulas, in every option: values, gradients, gates by name."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from nn.formulas import BPTT, STEPS, complex_step, loop

import tinygradrnn as tg
from backends import beside
from tinygradrnn import nn

B, T, F, H = 2, 4, 3, 5

MAKE = {"elman": nn.ElmanCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
OPTIONS = [
    *[
        ("elman", {"activation": f, "bias": bias})
        for f, bias in product(("tanh", "relu", "sigmoid", "linear"), (True, False))
    ],
    *[
        ("lstm", {"peephole": peephole, "coupled": coupled, "bias": bias})
        for peephole, coupled, bias in product((False, True), (False, True), (True, False))
    ],
    *[("lstm", {"activation": f}) for f in ("linear", "relu", "sigmoid")],
    ("lstm", {"forget_bias": 0.0}),
    ("lstm", {"activation": "linear", "peephole": True, "coupled": True}),
    *[
        ("gru", {"reset": reset, "update": update, "bias": bias})
        for reset, update, bias in product(
            ("before", "after"), ("candidate", "state"), (True, False)
        )
    ],
]
STATE = {"elman": ("s",), "lstm": ("h", "c"), "gru": ("s",)}


def described(case):
    kind, options = case
    return "-".join([kind, *(f"{name}={value}" for name, value in options.items())])


every_option = pytest.mark.parametrize("case", OPTIONS, ids=map(described, OPTIONS))


class Case:
    """A cell in float64 with random weights (biases and peepholes too), inputs and a loss."""

    def __init__(self, kind, options, seed=3):
        self.kind, self.options = kind, options
        rng = np.random.default_rng(seed)
        self.cell = MAKE[kind](F, H, **options).astype("float64")
        for parameter in self.cell.parameters():
            parameter.data = rng.normal(0, 0.6, parameter.shape)
        self.x = tg.tensor(rng.normal(0, 1, (B, T, F)), requires_grad=True)
        self.start = tuple(
            tg.tensor(rng.normal(0, 0.7, (B, H)), requires_grad=True, name=name)
            for name in STATE[kind]
        )
        self.to_y = rng.normal(0, 1, (B, T, H))
        self.to_state = [rng.normal(0, 1, (B, H)) for _ in self.start]
        self.weights = self.cell.state_dict()
        self.leaves = {"x": self.x, **dict(zip(STATE[kind], self.start, strict=True))}

    def run(self):
        """Outputs and the parts of the final state."""
        start = nn.LSTMState(*self.start) if self.kind == "lstm" else self.start[0]
        out = nn.RNN(self.cell)(self.x, start)
        return out.y, *(out.state if self.kind == "lstm" else (out.state,))

    def loss(self, y, *state):
        terms = [(s * beside(s, q)).sum() for s, q in zip(state, self.to_state, strict=True)]
        return sum(terms, (y * beside(y, self.to_y)).sum())

    def formula(self, arrays):
        """The same by the plain loop."""
        start = tuple(arrays[name] for name in STATE[self.kind])
        y, state = loop(STEPS[self.kind], arrays, start, arrays["x"], **self.options)
        return y, *state

    def arrays(self):
        return {**{n: leaf.numpy() for n, leaf in self.leaves.items()}, **self.weights}

    def gradients(self):
        self.loss(*self.run()).backward()
        named = {**self.leaves, **dict(self.cell.named_parameters())}
        return {name: tensor.grad.numpy() for name, tensor in named.items()}


@every_option
def test_values_are_those_of_the_formula(case):
    case = Case(*case)
    for ours, theirs in zip(case.run(), case.formula(case.arrays()), strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-13, atol=1e-14)


@every_option
def test_gradients_of_every_weight_are_those_of_the_formula(case):
    case = Case(*case)
    expected = complex_step(lambda arrays: case.loss(*case.formula(arrays)), case.arrays())
    gradients = case.gradients()
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        assert np.abs(expected[name]).max() > 1e-3, f"{name}: the loss does not reach it"
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-11, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("kind", BPTT)
def test_gradients_are_those_of_bptt_written_by_hand(kind):
    case = Case(kind, {})
    arrays = case.arrays()
    start = tuple(arrays[name] for name in STATE[kind])
    expected = BPTT[kind](
        case.weights,
        start if kind == "lstm" else start[0],
        arrays["x"],
        case.to_y,
        case.to_state,
    )
    for name, gradient in case.gradients().items():
        np.testing.assert_allclose(gradient, expected[name], rtol=1e-12, atol=1e-13, err_msg=name)


@every_option
def test_gradients_agree_with_central_differences(case):
    case = Case(*case)
    tg.check_gradients(lambda *_: case.run(), *case.leaves.values(), *case.cell.parameters())


@pytest.mark.parametrize(
    "case",
    [
        ("elman", {}),
        ("lstm", {}),
        ("lstm", {"peephole": True, "coupled": True}),
        ("gru", {}),
        ("gru", {"reset": "after", "update": "state"}),
    ],
    ids=described,
)
def test_second_order_gradients_agree_with_central_differences(case):
    case = Case(*case)
    inputs = (*case.leaves.values(), *case.cell.parameters())
    tg.check_gradients(lambda *_: case.run(), *inputs, order=2)


@pytest.mark.parametrize("kind", MAKE)
def test_a_cell_is_called_step_by_step(kind):
    case = Case(kind, {})
    y, *state = case.run()
    current = nn.LSTMState(*case.start) if kind == "lstm" else case.start[0]
    for t in range(T):
        y_t, current = case.cell(case.x[:, t], current)
        np.testing.assert_array_equal(y_t.numpy(), y.numpy()[:, t])
    parts = current if kind == "lstm" else (current,)
    for ours, theirs in zip(parts, state, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("kind", MAKE)
def test_a_cell_starts_from_zeros_and_keeps_no_state(kind):
    case = Case(kind, {})
    x = case.x[:, 0]
    zeros = case.cell.initial_state(B)
    assert not any(part.numpy().any() for part in (zeros if kind == "lstm" else (zeros,)))
    first, _ = case.cell(x)
    np.testing.assert_array_equal(first.numpy(), case.cell(x, zeros)[0].numpy())
    np.testing.assert_array_equal(first.numpy(), case.cell(x)[0].numpy())


def test_an_lstm_state_is_named():
    _, state = nn.LSTMCell(F, H)(np.ones((B, F), "float32"))
    assert isinstance(state, nn.LSTMState)
    assert state._fields == ("h", "c")
    assert state.h is state[0]


def test_parameters_have_the_names_and_shapes_of_the_documentation():
    shapes = {
        nn.ElmanCell(F, H): {"W_x": (F, H), "W_s": (H, H), "b": (H,)},
        nn.ElmanCell(F, H, bias=False): {"W_x": (F, H), "W_s": (H, H)},
        nn.LSTMCell(F, H): {"W_x": (F, 4 * H), "W_h": (H, 4 * H), "b": (4 * H,)},
        nn.LSTMCell(F, H, bias=False, peephole=True): {
            "W_x": (F, 4 * H),
            "W_h": (H, 4 * H),
            **dict.fromkeys(("p_i", "p_f", "p_o"), (H,)),
        },
        nn.LSTMCell(F, H, coupled=True, peephole=True): {
            "W_x": (F, 3 * H),
            "W_h": (H, 3 * H),
            "b": (3 * H,),
            **dict.fromkeys(("p_f", "p_o"), (H,)),
        },
        nn.GRUCell(F, H): {
            "W_x": (F, 3 * H),
            "W_s": (H, 2 * H),
            "W_sg": (H, H),
            "b": (3 * H,),
        },
        nn.GRUCell(F, H, reset="after"): {
            "W_x": (F, 3 * H),
            "W_s": (H, 2 * H),
            "W_sg": (H, H),
            "b": (3 * H,),
            "b_sg": (H,),
        },
        nn.GRUCell(F, H, reset="after", bias=False): {
            "W_x": (F, 3 * H),
            "W_s": (H, 2 * H),
            "W_sg": (H, H),
        },
    }
    for cell, expected in shapes.items():
        assert {name: p.shape for name, p in cell.named_parameters()} == expected


def test_the_forget_bias_is_where_f_is():
    for options, value in (({}, 1.0), ({"forget_bias": -2.5}, -2.5)):
        for coupled in (False, True):
            cell = nn.LSTMCell(F, H, coupled=coupled, **options)
            for letter in "fgo" if coupled else "ifgo":
                expected = value if letter == "f" else 0.0
                assert (getattr(cell, f"b_{letter}").numpy() == expected).all()


# ---------------------------------------------------------------- gates by name

GATES = [
    (nn.LSTMCell, {}, {"W_x": "ifgo", "W_h": "ifgo", "b": "ifgo"}),
    (nn.LSTMCell, {"coupled": True}, {"W_x": "fgo", "W_h": "fgo", "b": "fgo"}),
    (nn.GRUCell, {}, {"W_x": "zrg", "W_s": "zr", "b": "zrg"}),
]
gated = pytest.mark.parametrize(("make", "options", "storages"), GATES)


def gate_names(storages):
    for storage, letters in storages.items():
        for position, letter in enumerate(letters):
            name = f"{storage}{letter}" if "_" in storage else f"{storage}_{letter}"
            yield storage, name, slice(position * H, (position + 1) * H)


@gated
def test_gates_are_read_by_name(make, options, storages):
    cell = make(F, H, **options)
    for storage, name, columns in gate_names(storages):
        whole = getattr(cell, storage).numpy()
        np.testing.assert_array_equal(getattr(cell, name).numpy(), whole[..., columns])


@gated
def test_gates_are_assigned_by_name(make, options, storages):
    cell = make(F, H, **options)
    for number, (storage, name, columns) in enumerate(gate_names(storages), 2):
        before = getattr(cell, storage)
        held, expected = before.data, before.numpy()
        values = np.full(getattr(cell, name).shape, number, "float32")
        setattr(cell, name, values)
        expected[..., columns] = number
        values[...] = -1  # the cell has a copy
        assert not (held[..., columns] == number).any()  # and leaves the old array alone
        assert getattr(cell, storage) is before
        np.testing.assert_array_equal(before.numpy(), expected)


@gated
def test_gates_are_differentiated_by_name(make, options, storages):
    cell = make(F, H, **options)
    for storage, name, columns in gate_names(storages):
        (getattr(cell, name) ** 2).sum().backward()
        parameter = getattr(cell, storage)
        expected = np.zeros(parameter.shape, "float32")
        expected[..., columns] = 2 * parameter.numpy()[..., columns]
        np.testing.assert_allclose(parameter.grad.numpy(), expected)
        parameter.grad = None


def test_a_gate_is_changed_in_place_under_no_grad():
    cell = nn.LSTMCell(F, H)
    before = cell.W_xf.numpy()
    with tg.no_grad():
        cell.W_xf *= 2
    np.testing.assert_array_equal(cell.W_xf.numpy(), 2 * before)


def test_assigning_a_gate_makes_older_graphs_stale():
    cell = nn.GRUCell(F, H)
    loss = nn.RNN(cell)(np.ones((B, T, F), "float32")).y.sum()
    cell.W_sz = np.zeros((H, H))
    with pytest.raises(tg.StaleGraphError, match="W_s"):
        loss.backward()


def test_names_of_gates_that_do_not_exist():
    for cell, name in (
        (nn.LSTMCell(F, H), "W_xz"),
        (nn.LSTMCell(F, H), "p_i"),
        (nn.LSTMCell(F, H, coupled=True), "W_xi"),
        (nn.LSTMCell(F, H, bias=False), "b_f"),
        (nn.GRUCell(F, H), "W_xo"),
        (nn.ElmanCell(F, H), "W_xi"),
    ):
        with pytest.raises(AttributeError, match=f"{type(cell).__name__}.*no attribute '{name}'"):
            getattr(cell, name)
        assert not hasattr(cell, name)


def test_a_gate_refuses_values_of_another_shape():
    cell = nn.LSTMCell(F, H)
    with pytest.raises(ValueError, match=r"W_xi: got values of shape \(5, 3\), expected \(3, 5\)"):
        cell.W_xi = np.zeros((H, F))
    with pytest.raises(ValueError, match=r"W_x.*shape \(3, 5\).*expected \(3, 20\)"):
        cell.W_x = np.zeros((F, H))
    with pytest.raises(AttributeError, match="LSTMCell was made without b"):
        nn.LSTMCell(F, H, bias=False).b_f = np.zeros(H)


# ---------------------------------------------------------------- what is refused

ONES = np.ones((B, F), "float32")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: nn.ElmanCell(0, 3), "input_size must be an integer of at least 1, got 0"),
        (lambda: nn.LSTMCell(3, -1), "hidden_size must be an integer of at least 1, got -1"),
        (lambda: nn.GRUCell(3, 2.0), "hidden_size must be an integer of at least 1, got 2.0"),
        (
            lambda: nn.ElmanCell(3, 4, activation="gelu"),
            "activation: 'gelu' is not one of tanh, relu, sigmoid, linear",
        ),
        (lambda: nn.ElmanCell(3, 4, init="he"), "init: 'he' is not one of glorot, orthogonal"),
        (
            lambda: nn.ElmanCell(3, 4, init=lambda shape: np.zeros((1, 4))),
            r"init\(4, 4\) gave values of shape \(1, 4\)",
        ),
        (lambda: nn.GRUCell(3, 4, reset="between"), "reset must be 'before' or 'after'"),
        (lambda: nn.GRUCell(3, 4, update="both"), "update must be 'candidate' or 'state'"),
        (
            lambda: nn.LSTMCell(4, 5)(ONES),
            r"LSTMCell: x of shape \(2, 3\) = \(B, F\) has 3 features.*input_size = 4",
        ),
        (lambda: nn.GRUCell(3, 5)(ONES[0]), r"GRUCell: x must be \(B, F\).*got \(3,\)"),
        (
            lambda: nn.LSTMCell(3, 5)(ONES, np.zeros((2, 5))),
            r"the state given is ndarray \(2, 5\), expected LSTMState\(\(2, 5\), \(2, 5\)\)",
        ),
        (
            lambda: nn.ElmanCell(3, 5)(ONES, tg.tensor(np.zeros((3, 5)))),
            r"the state given is \(3, 5\), expected \(2, 5\) for a batch of 2",
        ),
    ],
)
def test_what_does_not_fit_is_said(run, message):
    with pytest.raises(ValueError, match=message):
        run()


def test_initial_weights():
    cell = nn.ElmanCell(F, H, init="identity")
    np.testing.assert_array_equal(cell.W_s.numpy(), np.eye(H))
    cell = nn.ElmanCell(F, H, init=lambda shape: np.full(shape, 0.5))
    assert (cell.W_s.numpy() == 0.5).all()
    assert cell.W_s.dtype == "float32"
    cell = nn.LSTMCell(F, H)
    for letter in "ifgo":
        w = getattr(cell, f"W_h{letter}").numpy()
        np.testing.assert_allclose(w.T @ w, np.eye(H), atol=1e-5)
