"""Small sabotages of the package, and for each a check of this suite that catches it.

A suite that still passes when ``+=`` has become ``=`` proves nothing. Here each check first passes,
then the sabotage is done, and then the same check must fail.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import operation_cases
import pytest
import test_autograd
import test_ctc
import test_graph
import test_operations
import test_tensors
import tinygradrnn_numpy

import tinygradrnn as tg
from tinygradrnn import ctc, gradients, graph, ledgers, nn, ops, recording, tensors
from tinygradrnn.reduction import reduced

pytestmark = pytest.mark.numpy_only("about the tests themselves")

Patch = pytest.MonkeyPatch


class Mutant(NamedTuple):
    name: str
    sabotage: Callable[[Patch], None]
    check: Callable[[], None]


# ------------------------------------------------------------------------- ways to sabotage


def replace(owner: Any, name: str, other: Any) -> Callable[[Patch], None]:
    return lambda patch: patch.setattr(owner, name, other)


def rule(op: ops.Op, position: int, wrong: Any) -> Callable[[Patch], None]:
    """Give an operation a wrong gradient rule for one argument."""
    rules = [*op.rules[:position], wrong, *op.rules[position + 1 :]]  # type: ignore[index]
    return replace(op, "rules", rules)


def rewrite(function: Any, old: str, new: str) -> Callable[[Patch], None]:
    """Replace a piece of a function's text."""

    def sabotage(patch: Patch) -> None:
        lines = inspect.getsource(function)
        assert lines.count(old) == 1, f"{old!r} is no longer in {function.__qualname__}"
        source = inspect.cleandoc("\n" + lines).replace(old, new)
        space: dict[str, Any] = {}
        exec(f"from __future__ import annotations\n{source}", function.__globals__, space)
        patch.setattr(function, "__code__", space[function.__name__].__code__)

    return sabotage


# ------------------------------------------------------------------------- checks


def operation(name: str) -> Callable[[], None]:
    """The checks of the table of operations, for one case."""
    (case,) = [case for case in operation_cases.CASES if case.name == name]

    def check() -> None:
        test_operations.test_forward(case)
        test_operations.test_gradients_of_first_and_second_order(case)

    return check


def layer(name: str) -> Callable[[], None]:
    make = test_graph.LAYERS[name]
    return lambda: test_graph.test_contributions_sum_to_the_gradient(make)


def σ(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def drawn(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in shapes]


def lstm_is_its_formula() -> None:
    cell = nn.LSTMCell(2, 3).astype("float64")
    x, h, c, W_x, W_h, b = drawn((4, 2), (4, 3), (4, 3), (2, 12), (3, 12), (12,))
    cell.W_x, cell.W_h, cell.b = W_x, W_h, b
    i, f, g, o = np.split(x @ W_x + h @ W_h + b, 4, axis=1)
    c_next = σ(f) * c + σ(i) * np.tanh(g)
    new = cell.transition(nn.LSTMState(tg.tensor(h), tg.tensor(c)), tg.tensor(x))
    np.testing.assert_allclose(new.c.numpy(), c_next, rtol=1e-12)
    np.testing.assert_allclose(new.h.numpy(), σ(o) * np.tanh(c_next), rtol=1e-12)


def gru_is_its_formula() -> None:
    cell = nn.GRUCell(2, 3).astype("float64")
    x, s, W_x, W_s, W_sg, b = drawn((4, 2), (4, 3), (2, 9), (3, 6), (3, 3), (9,))
    cell.W_x, cell.W_s, cell.W_sg, cell.b = W_x, W_s, W_sg, b
    a, u = np.split(x @ W_x + b, 3, axis=1), np.split(s @ W_s, 2, axis=1)
    z, r = σ(a[0] + u[0]), σ(a[1] + u[1])
    g = np.tanh(a[2] + (r * s) @ W_sg)
    new = cell.transition(tg.tensor(s), tg.tensor(x))
    np.testing.assert_allclose(new.numpy(), (1 - z) * s + z * g, rtol=1e-12)


def every_step_counts() -> None:
    """BPTT over four steps, against central differences of all weights."""
    model, _ = test_graph.unrolled(test_graph.LAYERS["Elman"])
    (x,) = drawn((2, 4, 3))
    tg.check_gradients(lambda *weights: model(x).y[:, -1], *model.parameters())


def bias_is_summed_over_the_batch() -> None:
    b = tg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (tg.tensor(np.ones((4, 3))) * 2 + b).sum().backward()
    assert b.grad is not None
    assert b.grad.numpy().tolist() == [4, 4, 4]


# ------------------------------------------------------------------------- the sabotages


def keep_last(self: Any, node: Any, term: Any) -> None:
    self.totals[node] = ledgers.dense(term, node)


def keep_first(self: Any, node: Any, term: Any) -> None:
    self.totals.setdefault(node, ledgers.dense(term, node))


def add_in_place(self: Any, node: Any, term: Any) -> None:
    if node in self.totals:
        self.totals[node] += term
    else:
        self.totals[node] = term


def record_first(self: Any, node: Any, term: Any) -> None:
    self.terms.setdefault(node, [term])


def as_found(outputs: Any, all_nodes: bool = False) -> list[Any]:
    """Breadth first from the outputs, without waiting for all readers."""
    found = dict.fromkeys(outputs)
    waiting = list(found)
    for node in waiting:
        new = [source for source in node.inputs if source not in found]
        found.update(dict.fromkeys(new))
        waiting += new
    return [node for node in reversed(waiting) if all_nodes or node.requires_grad]


def without_step_2(walk: Any) -> Any:
    return lambda *a: (event for event in walk(*a) if event[0].timestep != 2)


def truncated(transition: Any) -> Any:
    def cut_at_step_3(self: Any, s: Any, x: Any) -> Any:
        return transition(self, s.detach() if recording.state.place.timestep == 3 else s, x)

    return cut_at_step_3


def swapped_blocks(block: Any) -> Any:
    return lambda self, x, position: block(self, x, {0: 1, 1: 0}.get(position, position))


def updating_the_state(init: Any) -> Any:
    return lambda self, *sizes: init(self, *sizes, update="state")


LEDGER = ledgers.ArrayLedger
MUTANTS = [
    # where gradients meet
    Mutant("= for +=", replace(LEDGER, "add", keep_last), test_autograd.test_paths_that_meet_again),
    Mutant(
        "one path of a fan-out dropped",
        replace(LEDGER, "add", keep_first),
        test_autograd.test_fan_out_of_many,
    ),
    Mutant(
        "x * x with one edge",
        replace(LEDGER, "add", keep_first),
        test_autograd.test_a_square_has_two_edges,
    ),
    Mutant(
        "sums written into an array of somebody else",
        replace(LEDGER, "add", add_in_place),
        test_autograd.test_a_gradient_that_is_summed_in_place_is_nobody_elses,
    ),
    Mutant(
        "one path dropped where the backward pass is recorded",
        replace(ledgers.RecordingLedger, "add", record_first),
        operation("getitem twice"),
    ),
    Mutant(
        "handed on before the last reader",
        replace(gradients, "ancestors", as_found),
        test_autograd.test_a_node_waits_for_its_last_reader,
    ),
    Mutant(
        "broadcasting not undone",
        rewrite(LEDGER.add, "term.shape != node.value.shape", "False"),
        bias_is_summed_over_the_batch,
    ),
    Mutant(
        "repeated indices not accumulated",
        replace(
            tinygradrnn_numpy.NumPyBackend,
            "scatter_add",
            lambda self, target, index, values: target.__setitem__(index, target[index] + values),
        ),
        operation("getitem [0, 2, 2]"),
    ),
    # what backward leaves behind
    Mutant(
        "gradients that share memory",
        rewrite(gradients.backward, "value.copy()", "value"),
        test_autograd.test_gradients_share_no_memory,
    ),
    Mutant(
        "a second backward replaces",
        rewrite(gradients.backward, "leaf.grad.data + value", "value"),
        test_autograd.test_backward_accumulates_until_cleared,
    ),
    Mutant(
        "gradients set before the walk is over",
        rewrite(
            gradients.backward,
            "arrived.append(",
            "leaf = node; leaf.grad = Tensor(Leaf(value)); arrived.append(",
        ),
        test_autograd.test_backward_that_fails_leaves_all_gradients_as_they_were,
    ),
    # cutting and changing
    Mutant(
        "detach does not cut",
        replace(tensors.Tensor, "detach", lambda self: self),
        test_autograd.test_detach_cuts,
    ),
    Mutant(
        "no_grad records",
        replace(recording.no_grad, "_place", lambda self, before: before),
        test_autograd.test_no_grad,
    ),
    Mutant(
        "changed parameters go unnoticed",
        replace(recording.Leaf, "replace_value", lambda self, value: setattr(self, "value", value)),
        test_tensors.test_stale_graph,
    ),
    Mutant(
        "places not restored after an exception",
        rewrite(
            recording.Within.__exit__,
            "state.place =",
            "state.place = state.place if exception[0] else",
        ),
        test_graph.test_places_are_restored_after_exceptions,
    ),
    # through time
    Mutant(
        "one time step forgotten in contributions",
        replace(graph, "walk", without_step_2(gradients.walk)),
        layer("Elman"),
    ),
    Mutant(
        "gradients cut at one time step",
        replace(nn.ElmanCell, "transition", truncated(nn.ElmanCell.transition)),
        every_step_counts,
    ),
    Mutant(
        "gates i and f of the LSTM swapped",
        replace(nn.LSTMCell, "block", swapped_blocks(nn.LSTMCell.block)),
        lstm_is_its_formula,
    ),
    Mutant(
        "gates z and r of the GRU swapped",
        replace(nn.GRUCell, "block", swapped_blocks(nn.GRUCell.block)),
        gru_is_its_formula,
    ),
    Mutant(
        "z and 1 − z of the GRU exchanged",
        replace(nn.GRUCell, "__init__", updating_the_state(nn.GRUCell.__init__)),
        gru_is_its_formula,
    ),
    # rules
    Mutant(
        "wrong sign",
        rule(ops.subtract, 1, lambda g, out, x, y: g),
        operation("subtract (3, 4) (4,)"),
    ),
    Mutant(
        "tanh without the square",
        rule(ops.tanh, 0, lambda g, y, x: g * (1 - y)),
        operation("tanh (2, 3)"),
    ),
    Mutant(
        "tanh not differentiable again",
        rule(ops.tanh, 0, lambda g, y, x: g * (1 - y * getattr(y, "detach", lambda: y)())),
        operation("tanh (2, 3)"),
    ),
    Mutant(
        "matmul not transposed",
        rule(ops.matmul, 0, lambda g, out, x, y: g @ y),
        lambda: tg.check_gradients(
            lambda x, y: x @ y, *(tg.tensor(a, requires_grad=True) for a in drawn((3, 3), (3, 3)))
        ),
    ),
    Mutant(
        "mean without the count",
        rule(ops.mean, 0, ops.sum.rules[0]),
        operation("mean (2, 3, 4) 0 False"),
    ),
    Mutant(
        "softmax of its diagonal alone",
        rule(ops.softmax, 0, lambda g, y, x, axis: g * y * (1 - y)),
        operation("softmax (3, 4) -1"),
    ),
    Mutant(
        "where with its branches exchanged",
        rule(ops.where, 1, ops.where.rules[2]),
        operation("where (3, 4) (3, 4)"),
    ),
    Mutant(
        "slope of relu on the wrong side",
        rule(ops.relu, 0, lambda g, y, x: g * (x < 0)),
        operation("relu (2, 3)"),
    ),
    Mutant(
        "every part of a concatenation gets the first",
        replace(ops.concatenate, "rules", [lambda g, y, *xs, axis: g[: len(xs[0].data)]] * 3),
        operation("concatenate itself"),
    ),
    Mutant(
        "transpose undone in the wrong order",
        rule(ops.transpose, 0, lambda g, y, x, axes: ops.transpose(g, axes=axes)),
        operation("transpose (2, 0, 1)"),
    ),
    Mutant(
        "mask of a loss ignored",
        rewrite(reduced, "mask is not None", "False"),
        operation("cross_entropy mean masked"),
    ),
    Mutant(
        "what repeated ids send is not summed",
        rule(ops.gather, 0, lambda g, y, x, ids: ops.collect(g * 0.5, ids, size=x.shape[-1])),
        operation("gather (2, 4)"),
    ),
    Mutant(
        "a label may follow its equal without a blank between",
        rewrite(ctc.loss._leaps, " * (labels != before)", ""),
        test_ctc.test_target_that_does_not_fit,
    ),
    Mutant(
        "the blank behind the last target is no end",
        rewrite(ctc.loss._ends, "(behind == 0) + ", ""),
        test_ctc.test_probabilities_of_all_targets_add_up_to_one,
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=[mutant.name for mutant in MUTANTS])
def test_sabotage_is_caught(mutant: Mutant, monkeypatch: Patch) -> None:
    mutant.check()
    monkeypatch.setattr(recording.state, "place", recording.state.place)  # to be put back
    mutant.sabotage(monkeypatch)
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        mutant.check()
