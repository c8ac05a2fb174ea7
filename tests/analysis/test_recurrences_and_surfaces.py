"""The recurrence y ← w · y, and error surfaces."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from analysis.helpers import N_IN, B, H, T, check_png, randomised

import tinygradrnn as tg
from tinygradrnn import analysis, nn
from tinygradrnn import functional as F

# ---------------------------------------------------------------- y ← w · y


@pytest.mark.parametrize(
    ("w", "y"), [(1, 1), (1.01, 20959.16), (0.99, 4.317e-5), (0.01, 0), (-1, 1)]
)
def test_a_thousand_steps_of_y_times_w(w, y):
    result = analysis.scalar_recurrence(w)
    assert result[-1] == pytest.approx(y, rel=1e-4)
    np.testing.assert_allclose(result, float(w) ** np.arange(1001), rtol=1e-11)
    assert result.gradient == pytest.approx(1000 * float(w) ** 999, rel=1e-11)
    np.testing.assert_allclose(result.terms, result.terms[0], rtol=1e-11)
    assert tg.grad(result.output, result.w)[0].item() == pytest.approx(result.gradient, rel=1e-11)
    assert tg.Graph(result.output).timesteps == list(range(1, 1001))


def test_other_starts_of_the_recurrence():
    result = analysis.scalar_recurrence(3, steps=2, y_0=5)
    assert (result[...].tolist(), result.gradient) == ([5, 15, 45], 30)
    with pytest.raises(ValueError, match="steps must be at least 1, got 0"):
        analysis.scalar_recurrence(1, steps=0)


# ---------------------------------------------------------------- surfaces


def test_a_surface_over_two_weights(rng):
    x = rng.normal(size=(B, T, N_IN))
    cell = randomised(nn.ElmanCell(N_IN, H))
    rnn = nn.RNN(cell)

    def f():
        return (rnn(x).last ** 2).sum()

    recorded = f()
    before = cell.state_dict()
    xs, ys = np.array([-1.0, 0.5]), [0.0, 1.0, 2.0]
    surface = analysis.loss_surface(f, (cell.W_s, (0, 1)), (cell.b, 2), xs, ys)
    assert surface.shape == (2, 3)
    assert surface.names == ("W_s[0, 1]", "b[2]")
    assert surface.here == (before["W_s"][0, 1], before["b"][2])
    for name, array in cell.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    recorded.backward()  # not stale
    W, b = before["W_s"].copy(), before["b"].copy()
    W[0, 1], b[2] = xs[1], ys[2]
    cell.W_s, cell.b = W, b
    assert surface[1, 2] == pytest.approx(f().item(), rel=1e-12)


def test_a_surface_along_two_directions():
    """Of a quadratic in closed form; both directions may move the same parameter."""
    w = nn.Parameter(np.array([1.0, -2.0]), name="w")
    v = nn.Parameter(np.array(0.5))
    surface = analysis.loss_surface(
        lambda: (w**2).sum() + v, {w: [1, 0], v: 3}, {w: np.array([1.0, 2.0])}
    )
    assert surface.names == ("α", "β")
    assert surface.here == (0, 0)
    a, b = surface.xs[:, None], surface.ys
    assert surface.xs.tolist() == np.linspace(-1, 1, 41).tolist()
    expected = (1 + a + b) ** 2 + (2 * b - 2) ** 2 + 0.5 + 3 * a
    np.testing.assert_allclose(surface, expected, atol=1e-12)
    assert surface[20, 20] == 5.5

    around = analysis.loss_surface(lambda: float(v.item()), v, (w, 1), ys=[0])
    np.testing.assert_allclose(around[:, 0], np.linspace(-0.5, 1.5, 41))


def test_a_surface_is_put_back_after_an_error():
    w = nn.Parameter(np.ones((2, 2)), name="w")
    with pytest.raises(ZeroDivisionError):
        analysis.loss_surface(lambda: 1 / 0, (w, (0, 0)), (w, (1, 1)))
    np.testing.assert_array_equal(w.numpy(), np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"'w' \(2, 2\) has 4 elements; say which weight"):
        analysis.loss_surface(lambda: 1.0, w, (w, (1, 1)))
    with pytest.raises(ValueError, match="has 4 elements"):
        analysis.loss_surface(lambda: 1.0, (w, 0), (w, (1, 1)))
    with pytest.raises(ValueError, match=r"direction for 'w' \(2, 2\) has shape \(2,\)"):
        analysis.loss_surface(lambda: 1.0, {w: [1, 2]}, (w, (1, 1)))


# ---------------------------------------------------------------- plots


def test_plots_of_surfaces_and_recurrences(tmp_path):
    w = nn.Parameter(np.array([1.0, 0.0]), name="w")
    surface = analysis.loss_surface(lambda: F.log((w**2).sum()) + 1, (w, 0), (w, 1))
    for kind in ("contour", "surface"):
        check_png(surface.plot(kind), tmp_path / f"{kind}.png")
    check_png(surface.plot(log=True), tmp_path / "log.png")
    with pytest.raises(ValueError, match="kind must be 'contour' or 'surface', got 'wire'"):
        surface.plot("wire")
    runs = [analysis.scalar_recurrence(w, 100) for w in (1, 1.01, 0.99, 0.01)]
    figure = runs[0].plot(*runs[1:])
    check_png(figure, tmp_path / "runs.png")
    assert len(figure.axes[0].lines) == 4


def test_results_read_as_arrays():
    result = analysis.scalar_recurrence(2, steps=3)
    assert (len(result), result.shape, result[1]) == (4, (4,), 2)
    assert np.array(result, dtype="float32").dtype == np.float32
    copied = np.array(result)
    copied[0] = 9
    assert result[0] == 1
    assert all(b == 2 * a for a, b in pairwise(result))
