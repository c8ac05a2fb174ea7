"""Tensors of two backends in one process: each operation runs where its arrays live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from plugin_backend.mirror_backend import MirrorArray, MirrorBackend

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn.backend import backend_of_type


@pytest.fixture(autouse=True)
def here() -> Iterator[None]:
    """NumPy is the other of the two, whatever the suite runs on."""
    with tg.backend_scope("numpy"):
        yield


@pytest.fixture
def there() -> Iterator[tg.Tensor]:
    """A tensor on a second backend, while NumPy is the active one."""
    with tg.backend_scope(MirrorBackend()):
        made = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="W")
    yield made
    backend_of_type.pop(MirrorArray, None)


STAY: list[Callable[[Any], Any]] = [
    lambda x: 2.0 * x + 1,
    lambda x: x * [1.0, 2.0],
    lambda x: F.maximum(0.0, x),
    lambda x: F.where(x > 1, x, 0.0),
    lambda x: x[[0, 0]].sum() + x[1].sum() * x.max(),
    lambda x: F.tanh(x @ x.T).mean(axis=0),
    lambda x: F.softmax(x) * F.logsumexp(x, axis=1),
    lambda x: F.cross_entropy(x, [0, 1]),
    lambda x: F.stack([x, x])[:, 0],
    lambda x: F.embedding([0, 1, 1], x),
    lambda x: F.dropout(x, 0.5),
]


@pytest.mark.parametrize("f", STAY)
def test_results_and_gradients_stay_there(f: Callable[[Any], Any], there: tg.Tensor) -> None:
    tg.manual_seed(1)
    y = f(there)
    assert type(y.data) is MirrorArray
    y.sum().backward()
    assert type(there.grad.data) is MirrorArray
    (recorded,) = tg.grad(y.sum(), there, create_graph=True)
    assert type(recorded.data) is MirrorArray
    here = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    tg.manual_seed(1)
    z = f(here)
    np.testing.assert_allclose(y.numpy(), z.numpy(), rtol=1e-6)
    np.testing.assert_allclose(there.grad.numpy(), tg.grad(z.sum(), here)[0].numpy(), rtol=1e-6)


def test_arrays_of_two_backends_do_not_mix(there: tg.Tensor) -> None:
    here = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    for mix in (
        lambda: here + there,
        lambda: there @ here,
        lambda: F.concatenate([here, here, there]),
        lambda: there * np.ones((2, 2)),
    ):
        with pytest.raises(tg.MixedBackendError, match=r"numpy.*mirror|mirror.*numpy"):
            mix()
    with pytest.raises(tg.MixedBackendError, match=r"concatenate got a numpy array.*on the third"):
        F.concatenate([here, here, there])


def test_moving_is_recorded(there: tg.Tensor) -> None:
    here = there.to("numpy")
    assert type(here.data) is np.ndarray
    assert here.to("numpy") is here
    (here * here).sum().backward()
    assert type(there.grad.data) is MirrorArray
    assert there.grad.numpy().tolist() == [[2, 4], [6, 8]]


def test_what_is_asked_of_a_tensor_comes_from_its_backend(there: tg.Tensor) -> None:
    with tg.timestep(1):
        loss = (there * there).sum()
    assert tg.jacobian(loss, there).numpy().tolist() == [[2, 4], [6, 8]]
    (Hv,) = tg.hessian_vector_product(loss, there, np.ones((2, 2), np.float32).view(MirrorArray))
    assert Hv.numpy().tolist() == [[2, 2], [2, 2]]
    g = tg.Graph(loss)
    assert type(g.contributions(there)[1]) is np.ndarray
    assert {type(event.gradient) for event in g.backward_events()} == {np.ndarray}
    assert repr(there).startswith("tensor([[1., 2.],")
    with tg.no_grad():
        there -= [[1.0, 1.0], [1.0, 1.0]]
    assert there.numpy().tolist() == [[0, 1], [2, 3]]
    tg.check_gradients(F.tanh, there, order=2)
