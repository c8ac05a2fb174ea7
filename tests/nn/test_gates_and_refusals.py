"""The gates of note set 000, and what the further cells refuse, with its message."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

B, N, H, Y, C = 2, 3, 6, 4, 5  # batch, features, hidden, output, context
PERIODS = (1, 2, 4)

# ---------------------------------------------------------------- gates (note set 000)


def test_a_hard_gate_reads_or_keeps():
    x, s = np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 30, 40])
    for g in ([1, 0, 0, 1], [True, False, False, True], np.array([1.0, 0, 0, 1], "float32")):
        new = F.hard_gate(g, x, s)
        assert new.numpy().tolist() == [1, 20, 30, 4]
        assert new.dtype == "float64"


def test_no_gradient_flows_through_a_hard_gate():
    g, x, s = (tg.tensor(v, requires_grad=True) for v in ([1.0, 0.0], [3.0, 4.0], [5.0, 6.0]))
    F.hard_gate(g, x, s).sum().backward()
    assert g.grad is None
    assert x.grad.numpy().tolist() == [1, 0]
    assert s.grad.numpy().tolist() == [0, 1]


def test_a_soft_gate_is_learned():
    rng = np.random.default_rng(0)
    g, x, s = (tg.tensor(rng.normal(size=(B, H)), requires_grad=True) for _ in range(3))
    sigma = 1 / (1 + np.exp(-g.numpy()))
    np.testing.assert_allclose(
        F.soft_gate(g, x, s).numpy(), sigma * x.numpy() + (1 - sigma) * s.numpy(), rtol=1e-12
    )
    tg.check_gradients(F.soft_gate, g, x, s, order=2)
    far = F.soft_gate([100.0, -100.0], [1.0, 1.0], [5.0, 5.0])
    np.testing.assert_allclose(far.numpy(), F.hard_gate([1, 0], [1.0, 1.0], [5.0, 5.0]).numpy())


# ---------------------------------------------------------------- what is refused

ONES = np.ones((B, N), "float32")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda: nn.IRNNCell(N, 0), "hidden_size must be an integer of at least 1, got 0"),
        (lambda: nn.JordanCell(N, H, 0), "output_size must be an integer of at least 1, got 0"),
        (
            lambda: nn.JordanCell(N, H, Y, output_activation="gelu"),
            "output_activation: 'gelu' is not one of linear, tanh, relu, sigmoid, softmax",
        ),
        (
            lambda: nn.JordanCell(N, H, Y)(ONES, tg.tensor(np.zeros((B, H)))),
            r"JordanCell: the state given is \(2, 6\), expected \(2, 4\) for a batch of 2",
        ),
        (
            lambda: nn.DeepElmanCell(N, H, transition_layers=0),
            "transition_layers must be an integer of at least 1, got 0",
        ),
        (
            lambda: nn.DeepElmanCell(N, H, input_layers=2)(ONES[:, :2]),
            r"DeepElmanCell: x of shape \(2, 2\) = \(B, F\) has 2 features.*input_size = 3",
        ),
        (
            lambda: nn.ClockworkCell(N, 10, periods=PERIODS),
            r"hidden_size = 10 is not divisible by the 3 periods \(1, 2, 4\)",
        ),
        *[
            (
                lambda periods=periods: nn.ClockworkCell(N, H, periods=periods),
                "periods must be integers of at least 1, ascending .*, such as",
            )
            for periods in ((), (0, 1), (2, 1), (1, 1), (1, 2.0), (True, 2))
        ],
        (
            lambda: nn.ClockworkCell(N, H, periods=PERIODS)(ONES, np.zeros((B, H))),
            r"the state given is ndarray \(2, 6\), expected ClockworkState\(\(2, 6\), \(2,\)\)",
        ),
        *[
            (
                lambda alpha=alpha: nn.SCRNCell(N, H, C, alpha=alpha),
                f"alpha must be a number from 0 to 1 or 'learned', got {alpha!r}",
            )
            for alpha in (1.5, -0.1, float("nan"), "fixed")
        ],
        (lambda: nn.SCRNCell(N, H, 0), "context_size must be an integer of at least 1, got 0"),
        (
            lambda: nn.SCRNCell(N, H, C)(ONES, nn.SCRNState(np.zeros((B, C)), np.zeros((B, H)))),
            r"given is SCRNState\(ndarray \(2, 5\), ndarray \(2, 6\)\), expected SCRNState\(\(2, 6",
        ),
        (
            lambda: F.hard_gate([0.5, 1.0], [1.0, 2.0], [3.0, 4.0]),
            r"hard_gate: g must hold 0 and 1 only.*soft_gate takes any numbers",
        ),
    ],
)
def test_what_does_not_fit_is_said(run, message):
    with pytest.raises(ValueError, match=message):
        run()
