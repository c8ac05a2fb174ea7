"""Subscripts, numbers, widths."""

from __future__ import annotations

import numpy as np
import pytest

from tinygradrnn.drawing.text import (
    at_step,
    clean,
    number,
    pretty,
    shape_text,
    subscript,
    values_text,
    width,
)

pytestmark = pytest.mark.numpy_only("about places, not about values")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "—"),
        (0.0, "0"),
        (1e-320, "1.0e-320"),
        (7.1e-4, "7.1e-4"),
        (0.00999, "0.010"),
        (0.0099, "9.9e-3"),
        (0.01, "0.010"),
        (0.0234, "0.023"),
        (0.996, "1.0"),
        (1.06, "1.1"),
        (9.96, "10"),
        (12.3, "12"),
        (99.4, "99"),
        (99.6, "1.0e2"),
        (1234.0, "1.2e3"),
        (-0.5, "−0.50"),
        (float("inf"), "∞"),
        (float("nan"), "NaN"),
    ],
)
def test_numbers_have_two_digits_and_zero_only_if_exact(value, shown):
    assert number(value) == shown


def test_subscripts():
    assert pretty("W_x") == "Wₓ"
    assert pretty("W_x (2)") == "Wₓ (2)"
    assert pretty("W_y") == "W_y"  # Unicode has no subscript y
    assert pretty("W_sg") == "W_sg"
    assert pretty("_x") == "_x"
    assert pretty("layer_norm_x") == "layer_norm_x"
    assert subscript(120) == "₁₂₀"
    assert at_step("c", 3) == "c₃"
    assert at_step("W_x", 3) == "Wₓ₃"
    assert at_step("x_1", 3) == "x₁,₃"  # x₁₃ is step 13


def test_shapes_and_values():
    assert shape_text((2, 3)) == "2×3"
    assert shape_text(()) == "·"
    assert values_text(np.array([[0.5, -1.0]])) == "0.50  −1.0"
    assert values_text(np.array([3, -1])) == "3  −1"
    assert values_text(np.array([True, False])) == "1 0"
    assert values_text(np.arange(9)) == "0…8"
    assert values_text(np.ones(9)) == "1.0 ± 0"
    assert values_text(np.ones((0, 3))) == "empty"


def test_widths_are_on_the_large_side():
    assert width("", 12) == 0
    assert width("WWW", 12) > width("iii", 12)
    assert width("h", 12, bold=True) > width("h", 12)
    assert width("隠れ", 10) == pytest.approx(21)
    assert width("e\u0301", 10) == width("e", 10)


def test_clean_names_stay_on_one_line():
    assert clean("a\nb\tc\x00d") == "a b c d"
    assert clean("x" * 100, 10) == "x" * 9 + "…"
    assert clean("café 隠れ 🙂") == "café 隠れ 🙂"
    assert clean("\ud800") == " "
