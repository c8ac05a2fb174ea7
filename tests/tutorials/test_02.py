"""Tutorial 02: what a layer costs in numbers, and in arrays."""

from __future__ import annotations

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F


def test_a_layer_of_single_numbers_is_a_graph_of_more_than_a_hundred_nodes() -> None:
    x, W, b, target = (np.ones(shape) for shape in ((4, 3), (3, 2), (2,), (4, 2)))
    arrays = [tg.tensor(array, requires_grad=True) for array in (x, W, b, target)]
    whole = F.half_squared_error(F.tanh(arrays[0] @ arrays[1] + arrays[2]), arrays[3])
    assert len(tg.Graph(whole).nodes) == 12

    def numbers(array: np.ndarray) -> dict[tuple[int, ...], tg.Tensor]:
        return {at: tg.tensor(n, requires_grad=True) for at, n in np.ndenumerate(array)}

    xs, Ws, bs, targets = map(numbers, (x, W, b, target))
    total = tg.tensor(0.0)
    for (i, j), goal in targets.items():
        miss = F.tanh(sum(xs[i, k] * Ws[k, j] for k in range(3)) + bs[j,]) - goal
        total = total + 0.5 * (miss * miss)
    assert len(tg.Graph(total).nodes) > 100
    assert total.item() == pytest.approx(whole.item())
