"""∂s_t/∂s_{t−1}, their products, and their bound."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from analysis.helpers import N_IN, B, H, T, check_png, randomised, states_of

import tinygradrnn as tg
from tinygradrnn import analysis, nn
from tinygradrnn import functional as F


@pytest.fixture
def x(rng):
    return rng.normal(size=(B, T, N_IN))


def flat(state):
    parts = state if isinstance(state, tuple) else (state,)
    return np.concatenate([p.numpy() for p in parts if p.dtype.kind == "f"], axis=1)


# ---------------------------------------------------------------- Jacobians

CELLS = [
    nn.ElmanCell(N_IN, H),
    nn.ElmanCell(N_IN, H, activation="sigmoid", bias=False),
    nn.LSTMCell(N_IN, H),
    nn.LSTMCell(N_IN, H, peephole=True),
    nn.GRUCell(N_IN, H),
    nn.GRUCell(N_IN, H, reset="after", update="state"),
    nn.JordanCell(N_IN, H, 2),
    nn.SCRNCell(N_IN, H, 2, alpha="learned"),
    nn.ClockworkCell(N_IN, H, periods=(1, 2)),
    nn.DeepElmanCell(N_IN, H, transition_layers=2),
]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: type(cell).__name__)
def test_state_jacobians_equal_central_differences(cell, x):
    cell = randomised(cell)
    jacobians = analysis.state_jacobians(cell, None, x)
    states = states_of(cell, x)
    size = flat(states[0]).shape[1]
    assert jacobians.shape == (B, T, size, size)

    def step(entering, t, moved):
        parts = entering if isinstance(entering, tuple) else (entering,)
        widths = [p.shape[1] if p.dtype.kind == "f" else 0 for p in parts]
        cut = np.split(moved, np.cumsum(widths)[:-1], axis=1)
        parts = [
            tg.tensor(new) if width else old
            for old, new, width in zip(parts, cut, widths, strict=True)
        ]
        again = type(entering)(*parts) if isinstance(entering, tuple) else parts[0]
        return flat(cell.transition(again, tg.tensor(x[:, t])))

    for t, entering in enumerate(states[:-1]):
        at = flat(entering)
        for j in range(size):
            e = np.zeros(size)
            e[j] = 1e-6
            difference = (step(entering, t, at + e) - step(entering, t, at - e)) / 2e-6
            np.testing.assert_allclose(jacobians[:, t, :, j], difference, atol=1e-8)


def test_the_column_form_of_the_notes(x):
    """∂s_t/∂s_{t−1} = diag(f′(a_t)) W_s for column vectors: their W_s is ours transposed."""
    cell = randomised(nn.ElmanCell(N_IN, H))
    jacobians = np.asarray(analysis.state_jacobians(cell, None, x))
    W = cell.W_s.numpy().T
    for t, after in enumerate(states_of(cell, x)[1:]):
        for b, s in enumerate(after.numpy()):
            np.testing.assert_allclose(jacobians[b, t], np.diag(1 - s**2) @ W, rtol=1e-12)


@pytest.mark.parametrize("make", [nn.ElmanCell, nn.LSTMCell])
def test_products_are_the_jacobians_of_the_unrolled_graph(make, x):
    cell = randomised(make(N_IN, H))
    jacobians = analysis.state_jacobians(cell, None, x)
    products = analysis.jacobian_products(cell, None, x)
    size = jacobians.shape[-1]
    assert products.shape == (B, T + 1, T + 1)
    for k in range(T + 1):
        start = tg.tensor(flat(states_of(cell, x)[k]), requires_grad=True)
        state = start if size == H else nn.LSTMState(start[:, :H], start[:, H:])
        for t in range(k, T + 1):
            if t > k:
                state = cell.transition(state, tg.tensor(x[:, t - 1]))
            whole = F.concatenate(state, axis=1) if isinstance(state, tuple) else state
            full = tg.jacobian(whole, start).numpy()
            expected = np.stack([full[b, :, b] for b in range(B)])
            np.testing.assert_allclose(jacobians.product(t, k), expected, atol=1e-12)
            norms = np.linalg.norm(expected, 2, axis=(1, 2))
            np.testing.assert_allclose(products[:, t, k], norms, atol=1e-12)
            assert t == k or not products[:, k, t].any()
    with pytest.raises(ValueError, match="0 ≤ k ≤ t ≤ T = 5, got 2 and 3"):
        jacobians.product(2, 3)


def test_states_may_be_given_in_any_form(x):
    cell = randomised(nn.LSTMCell(N_IN, H))
    states = states_of(cell, x)
    expected = np.asarray(analysis.state_jacobians(cell, None, x))
    steps = [tg.tensor(x[:, t]) for t in range(T)]
    for given, inputs in [
        (states[0], x),
        (states, tg.tensor(x)),
        (states[:-1], steps),
        ([tuple(part.numpy() for part in s) for s in states], x),
    ]:
        np.testing.assert_array_equal(analysis.state_jacobians(cell, given, inputs), expected)
    later = analysis.state_jacobians(cell, states[2], x[:, 2:])
    np.testing.assert_array_equal(later, expected[:, 2:])

    single = analysis.state_jacobians(cell, None, x[1])
    assert single.shape == (T, 2 * H, 2 * H)
    np.testing.assert_allclose(single, expected[1], rtol=1e-12, atol=1e-15)
    assert analysis.jacobian_products(cell, None, list(tg.tensor(x[1]))).shape == (T + 1, T + 1)
    with tg.no_grad():
        np.testing.assert_array_equal(analysis.state_jacobians(cell, None, x), expected)


def test_states_and_inputs_that_do_not_fit(x):
    cell = nn.ElmanCell(N_IN, H).astype("float64")
    with pytest.raises(ValueError, match="3 states for 5 inputs"):
        analysis.state_jacobians(cell, states_of(cell, x)[:3], x)
    with pytest.raises(ValueError, match=r"the state given is \(1, 4\), expected \(2, 4\)"):
        analysis.state_jacobians(cell, cell.initial_state(1), x)
    with pytest.raises(ValueError, match="made with input_size = 3"):
        analysis.jacobian_products(cell, None, x[..., :2])


class Forgetful(nn.Cell):
    """The next state does not depend on the last one."""

    def transition(self, state, x):
        return x

    def initial_state(self, batch):
        return self.zeros(batch, N_IN)


def test_a_state_that_nothing_enters(x):
    assert not np.any(analysis.state_jacobians(Forgetful(), None, x.astype("float32")))


# ---------------------------------------------------------------- the bound


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "relu", "linear"])
@pytest.mark.parametrize("scale", [0.3, 1.5])
def test_the_bound_holds_for_all_pairs(activation, scale, x):
    cell = randomised(nn.ElmanCell(N_IN, H, activation=activation), scale)
    bound = analysis.gradient_bound(cell)
    singular = np.sqrt(np.linalg.eigvalsh(cell.W_s.numpy() @ cell.W_s.numpy().T).max())
    assert bound.beta_W == pytest.approx(singular, rel=1e-12)
    assert bound.beta_f == (0.25 if activation == "sigmoid" else 1.0)
    assert bound == bound.beta_W * bound.beta_f
    norms = np.asarray(analysis.jacobian_products(cell, None, x))
    t, k = np.tril_indices(T + 1)
    assert (norms[:, t, k] <= bound ** (t - k) * (1 + 1e-12)).all()
    if activation == "linear":  # one step reaches it
        np.testing.assert_allclose(norms[:, 1, 0], bound, rtol=1e-12)


def test_irnn_starts_with_a_bound_of_one(x):
    cell = nn.IRNNCell(N_IN, H)
    assert analysis.gradient_bound(cell) == 1
    products = analysis.jacobian_products(cell, None, abs(x))
    assert products.bound == 1
    assert products[...].max() <= 1 + 1e-6


@pytest.mark.parametrize(
    "cell", [nn.LSTMCell(3, 4), nn.GRUCell(3, 4), nn.JordanCell(3, 4, 2), nn.Linear(3, 3), None]
)
def test_other_cells_have_no_bound(cell):
    with pytest.raises(TypeError, match=f"not for {type(cell).__name__}; measure with jacobian_pr"):
        analysis.gradient_bound(cell)


def test_a_bound_is_a_number_that_survives_copying():
    bound = analysis.GradientBound(2.0, 0.25)
    assert repr(bound) == "GradientBound(0.5, beta_W=2, beta_f=0.25)"
    for again in (copy.deepcopy(bound), pickle.loads(pickle.dumps(bound))):
        assert (again, again.beta_W, again.beta_f) == (0.5, 2.0, 0.25)


# ---------------------------------------------------------------- plots


def test_plots_of_jacobians(x, tmp_path):
    cell = randomised(nn.ElmanCell(N_IN, H))
    jacobians = analysis.state_jacobians(cell, None, x)
    assert jacobians.singular_values().shape == (B, T, H)
    check_png(jacobians.plot(), tmp_path / "jacobians.png")
    check_png(analysis.state_jacobians(cell, None, x[0]).plot(), tmp_path / "single.png")
    products = analysis.jacobian_products(cell, None, x)
    figure = products.plot()
    check_png(figure, tmp_path / "products.png")
    measured, bound, distances = figure.axes[:3]
    above = np.triu(np.ones((T + 1, T + 1)), 1).astype(bool)
    power = float(analysis.gradient_bound(cell))
    t, k = np.indices(above.shape)
    for axes, expected in ((measured, products.norms.max(axis=0)), (bound, power ** (t - k))):
        shown = axes.images[0].get_array()
        np.testing.assert_array_equal(shown.mask, above)
        np.testing.assert_allclose(shown.compressed(), expected[~above], rtol=1e-12)
    assert measured.images[0].norm is bound.images[0].norm
    (line,) = [line for line in distances.lines if line.get_linestyle() == "--"]
    np.testing.assert_allclose(line.get_ydata(), power ** np.arange(T + 1))
    assert len(analysis.jacobian_products(nn.LSTMCell(N_IN, H), None, x).plot().axes) == 3
    compared = analysis.jacobian_products(nn.LSTMCell(N_IN, H), None, x).plot(bound=0.5)
    assert compared.axes[1].images[0].get_array()[5, 2] == 0.5**3
    check_png(analysis.jacobian_products(Forgetful(), None, x).plot(), tmp_path / "zeros.png")
