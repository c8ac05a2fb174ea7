"""The checks themselves: wrong gradient rules, NaN and infinity are found and named."""

from __future__ import annotations

import inspect
import re
import warnings
from typing import Any

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import gradients, nn, ops


def leaf(shape: tuple[int, ...], name: str, dtype: str = "float64") -> tg.Tensor:
    values = np.random.default_rng(len(name)).standard_normal(shape).astype(dtype)
    return tg.tensor(values, requires_grad=True, name=name)


def cut(x: Any) -> Any:
    return x.detach() if isinstance(x, tg.Tensor) else x


square = ops.Op("square", lambda xp, x: x * x, lambda g, y, x: g * x * 2)
nearly = ops.Op("nearly", lambda xp, x: x * x, lambda g, y, x: g * x * 2.001)
once = ops.Op("once", lambda xp, x: x * x, lambda g, y, x: g * cut(x) * 2)
double = ops.Op("double", lambda xp, x: x * 2, lambda g, y, x: g * 3)
by_double = ops.Op("by_double", lambda xp, x: x * x, lambda g, y, x: g * double(x))
lost = ops.Op("lost", lambda xp, x: x * x, lambda g, y, x: g * x * np.nan)
skewed = ops.Op(
    "skewed", lambda xp, x, y: x - y, lambda g, out, x, y: g, lambda g, out, x, y: g, label="−"
)


def refusal(f: Any, *inputs: tg.Tensor, order: int = 1) -> str:
    with pytest.raises(tg.GradientCheckError) as caught:
        tg.check_gradients(f, *inputs, order=order)
    return str(caught.value)


# ------------------------------------------------------------------------- check_gradients


def test_a_right_rule_passes() -> None:
    tg.check_gradients(square, leaf((2, 3), "x"), order=3)


def test_a_wrong_rule_is_caught_and_named() -> None:
    said = refusal(lambda x, w: (nearly(w) * x).sum(), leaf((3,), "x"), leaf((3,), "weight"))
    assert "the gradient with respect to input 1, 'weight' (3,)" in said
    assert "The rule of 'nearly' for its argument 0, 'weight' (3,), is wrong" in said
    numbers = re.search(r"is (\S+) along a random direction.*difference is (\S+?)\.? ", said)
    assert numbers is not None
    analytic, numeric = float(numbers[1]), float(numbers[2])
    assert analytic == pytest.approx(numeric * 2.001 / 2, rel=1e-6)


def test_one_wrong_element_of_many_is_caught() -> None:
    one_off = np.ones(1000)
    one_off[400] = 1.01
    factor = tg.tensor(one_off).data
    op = ops.Op("one off", lambda xp, x: x * 1, lambda g, y, x: g * factor)
    assert "'one off'" in refusal(op, leaf((1000,), "x"))


def test_a_rule_that_is_wrong_in_second_order_only() -> None:
    x = leaf((3,), "x")
    tg.check_gradients(once, x)
    assert "the gradient of order 2 with respect to input 0, 'x' (3,)" in refusal(once, x, order=2)


def test_the_operation_that_a_rule_uses_is_named() -> None:
    x = leaf((3,), "x")
    tg.check_gradients(by_double, x)
    said = refusal(by_double, x, order=2)
    assert "of order 2" in said
    assert "The rule of 'double' for its argument 0" in said


def test_the_wrong_argument_is_named_with_its_place() -> None:
    a, b = leaf((3,), "a"), leaf((3,), "b")

    def f(a: tg.Tensor, b: tg.Tensor) -> tg.Tensor:
        with tg.scope("gate"), tg.timestep(2):
            return F.tanh(skewed(a, b * 2))

    said = refusal(f, a, b)
    assert "with respect to input 1, 'b' (3,)" in said
    assert "'skewed' for its argument 1, the result of multiply (3,)" in said
    assert "scope gate, time step 2" in said


def test_large_numbers_are_allowed_their_rounding() -> None:
    """(x + ε)² − (x − ε)² of x = 10⁵ has seven digits less than x²."""
    x = tg.tensor([3e4, 5e4, 7e4], dtype="float64", requires_grad=True)
    tg.check_gradients(square, x, order=2)
    assert "'nearly'" in refusal(lambda x: nearly(square(x) * 1e-4), x)


def test_a_result_that_is_not_finite_does_not_pass() -> None:
    x = tg.tensor([0.0], dtype="float64", requires_grad=True)
    with np.errstate(all="ignore"):
        assert "difference is" in refusal(lambda x: 1 / x, x)
        assert "difference is" in refusal(lambda x: F.log(x), x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "longdouble"])
def test_all_floats_can_be_checked(dtype: str) -> None:
    x = tg.tensor([0.5, -0.3], dtype=dtype, requires_grad=True)
    tg.check_gradients(F.tanh, x, order=2)
    wide = tg.tensor([0.5, -0.3], dtype="float64", requires_grad=True)
    tg.check_gradients(lambda x: F.tanh(x.astype(dtype)), wide)


def test_a_gradient_of_nan_is_caught_and_named() -> None:
    said = refusal(lost, leaf((3,), "x"))
    assert "is nan along" in said
    assert "'lost'" in said


def test_float32_is_checked_as_sharply_as_it_allows() -> None:
    x, w = leaf((4, 3), "x", "float32"), leaf((3, 2), "w", "float32")
    tg.check_gradients(lambda x, w: F.softmax(F.tanh(x @ w)), x, w, order=2)
    rough = ops.Op("rough", lambda xp, x: x * x, lambda g, y, x: g * x * 2.2)
    assert "'rough'" in refusal(rough, leaf((4, 3), "x", "float32"))


def test_all_weights_of_a_module_through_a_closure(rng: np.random.Generator) -> None:
    model = nn.GRU(3, 2).astype("float64")
    x = rng.standard_normal((2, 3, 3))
    tg.check_gradients(lambda *weights: model(x).y, *model.parameters(), order=2)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_results_may_be_several_constant_or_not_read_an_input() -> None:
    x, y = leaf((2,), "x"), leaf((3,), "y")
    tg.check_gradients(lambda x, y: (x * x, F.exp(y), x.sum()), x, y, order=2)
    tg.check_gradients(lambda x, y: x * x, x, y, order=2)
    tg.check_gradients(lambda x, y: tg.tensor([1.0, 2.0]), x, y, order=2)
    tg.check_gradients(lambda x: x * 3, x, order=3)


def test_a_recorded_gradient_that_differs_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right as arrays, wrong as tensors: backward() alone would not show it."""

    def only_the_first_term(self: Any, node: Any, term: Any) -> None:
        self.terms.setdefault(node, [term])

    monkeypatch.setattr(gradients.RecordingLedger, "add", only_the_first_term)
    x = leaf((3,), "x")
    tg.check_gradients(lambda x: x * x, x)
    assert "the gradient with respect to input 0" in refusal(lambda x: x * x, x, order=2)


def test_values_are_put_back() -> None:
    x = leaf((3,), "x")
    array, before = x.data, x.numpy()
    loss = (x * x).sum()
    calls: list[int] = []

    def fails_when_moved(x: tg.Tensor) -> tg.Tensor:
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError
        return x * x

    with pytest.raises(ZeroDivisionError):
        tg.check_gradients(fails_when_moved, x)
    refusal(nearly, x)
    tg.check_gradients(square, x, order=2)
    assert x.data is array
    assert x.numpy().tolist() == before.tolist()
    loss.backward()  # nor is the graph from before stale
    assert x.grad.numpy().tolist() == (2 * before).tolist()


def test_the_seed_chooses_the_directions() -> None:
    x = leaf((3,), "x")
    assert refusal(nearly, x) == refusal(nearly, x)
    for seed in range(20):
        tg.check_gradients(square, x, seed=seed)
        with pytest.raises(tg.GradientCheckError):
            tg.check_gradients(nearly, x, seed=seed)


@pytest.mark.parametrize(
    ("inputs", "order", "message"),
    [
        ([], 1, "at least one input"),
        ([tg.tensor([1.0])], 1, "input 0 must be a tensor made with requires_grad=True"),
        ([np.ones(2)], 1, "input 0 must be a tensor"),
        ([tg.tensor([1.0], requires_grad=True) * 2], 1, "input 0 must be a tensor"),
        ([tg.tensor([1.0], requires_grad=True)], 0, "order must be at least 1"),
    ],
)
def test_what_cannot_be_checked_is_refused(inputs: Any, order: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tg.check_gradients(lambda *xs: xs[0] * 2, *inputs, order=order)


# ------------------------------------------------------------------------- debug()


def here(offset: int = 0) -> str:
    """The file and line of the caller, some lines further down."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return f"{__file__}:{frame.f_back.f_lineno + offset}"


def test_nan_in_forward() -> None:
    x = tg.tensor([-1.0, 1.0], requires_grad=True)
    with tg.debug(), tg.scope("readout"), tg.timestep(3):
        line = here(2)
        with pytest.raises(tg.NonFiniteError) as caught:
            F.log(x)
    assert str(caught.value) == f"NaN in the result of log (scope readout, time step 3), at {line}"


def test_infinity_in_forward() -> None:
    with tg.debug(), pytest.raises(tg.NonFiniteError, match="infinity in the result of exp"):
        F.exp(tg.tensor([1000.0]))
    with tg.debug(), tg.no_grad(), pytest.raises(tg.NonFiniteError, match="outside any scope"):
        1 / tg.tensor([0.0])


@pytest.mark.parametrize("create_graph", [False, True])
def test_infinity_and_nan_in_backward(create_graph: bool) -> None:
    x = tg.tensor([0.0, 1.0], requires_grad=True)
    with tg.debug():
        recorded = here(2)
        with tg.scope("norm"):
            y = F.sqrt(x)
        asked = here(2)
        with pytest.raises(tg.NonFiniteError) as caught:
            tg.grad(y.sum(), x, create_graph=create_graph)
        assert asked in str(caught.value)
        assert "infinity in the" in str(caught.value)
        assert "scope norm" in str(caught.value)
        if not create_graph:
            assert "gradient of the result of sqrt (2,) (scope norm" in str(caught.value)
            assert f"recorded at {recorded}" in str(caught.value)
        with pytest.raises(tg.NonFiniteError, match="NaN in the gradient of the result of getitem"):
            x[:1].backward(np.array([np.nan], "float32"))
    assert x.grad is None


def test_an_error_in_backward_shows_the_line_of_the_forward_operation() -> None:
    def refuse(g: Any, out: Any, x: Any) -> Any:
        raise ZeroDivisionError("no")

    broken = ops.Op("broken", lambda xp, x: x * 1, refuse)
    with tg.debug(), tg.timestep(2):
        line = here(1)
        y = broken(tg.tensor([1.0], requires_grad=True))
    with pytest.raises(ZeroDivisionError) as caught:
        y.backward()
    assert caught.value.__notes__ == [
        f"in the gradient of the result of broken (1,) (time step 2, recorded at {line})"
    ]


def test_the_line_is_that_of_the_users_program() -> None:
    model = nn.LSTM(2, 3)
    weight = model.parameters()[0]
    weight.data = np.full(weight.shape, np.nan)
    with tg.debug():
        line = here(2)
        with pytest.raises(tg.NonFiniteError) as caught:
            model(np.ones((1, 2, 2), np.float32))
    assert str(caught.value).endswith(f"at {line}")
    assert re.search(
        r"NaN in the result of matmul \(scope .*LSTMCell, time step 1\)", str(caught.value)
    )


def test_a_program_beside_the_package_is_no_part_of_it() -> None:
    """The folder `…/tinygradrnn_course` begins like the folder of the package."""
    program = tg.__file__.replace("__init__.py", "").rstrip("/\\") + "_course/train.py"
    code = compile("def f(x):\n    return F.log(x)\n", program, "exec")
    space: dict[str, Any] = {"F": F}
    exec(code, space)
    with tg.debug(), pytest.raises(tg.NonFiniteError, match=re.escape(f"{program}:2")):
        space["f"](tg.tensor([-1.0]))


def test_lines_are_kept_inside_the_block_only() -> None:
    x = tg.tensor([1.0], requires_grad=True)
    before = x * 2
    with tg.debug():
        within = x * 2
    after = x * 2
    assert [y.node.line for y in (before, within, after)] == [None, here(-2), None]
    bad = tg.tensor([np.nan, np.inf]) * 2
    assert not np.isfinite(bad.numpy()).any()


def test_integers_and_comparisons_are_not_looked_at() -> None:
    with tg.debug():
        n = tg.tensor([1, 2]) * 2
        assert (n > 2).numpy().tolist() == [False, True]


@pytest.mark.numpy_only("other backends do not warn")
def test_numpy_does_not_warn_beside_the_message() -> None:
    before = np.geterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            with pytest.raises(tg.NonFiniteError), tg.debug(), tg.debug():
                F.log(tg.tensor([-1.0]))
            assert np.geterr() == before
        with pytest.raises(RuntimeWarning):
            F.log(tg.tensor([-1.0]))


def test_debug_as_a_decorator() -> None:
    @tg.debug()
    def f(x: tg.Tensor) -> tg.Tensor:
        return F.log(x)

    assert f(tg.tensor([1.0])).item() == 0
    with pytest.raises(tg.NonFiniteError):
        f(tg.tensor([-1.0]))
