"""The steps and what the page holds of them: the very numbers of backward()."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from drawing.examples import CELLS, MORE_CELLS, NETWORKS, loss_of, sequence
from drawing.random_graphs import irregular, recurrent, timeless
from hypothesis import given, settings
from hypothesis import strategies as st
from stepper.replaying import Page, array, last_totals

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.models import example_loss

LEVELS = ("op", "gate", "cell", "layer")
EVERY_CELL = CELLS | MORE_CELLS


def check_totals(loss: tg.Tensor, **options: Any) -> dict[str, Any]:
    """Compare the page's last running totals, and its totals, with the engine's gradients."""
    steps = tg.step_through(loss, **options)
    trace = Page(steps.html()).trace
    parameters = tg.Graph(loss).parameters
    assert all(p.grad is None for p in parameters.values())
    loss.backward()
    gradients = {n: p.grad.numpy() for n, p in parameters.items() if p.grad is not None}
    running = last_totals(trace)
    assert gradients.keys() == trace["totals"].keys() == running.keys() == steps.totals.keys()
    for name, gradient in gradients.items():
        near = {"rtol": 1e-5, "atol": 1e-6}
        np.testing.assert_allclose(trace["totals"][name], gradient, **near)
        np.testing.assert_array_equal(steps.totals[name], gradient)
        assert steps.totals[name].dtype == gradient.dtype
        if "values" in running[name]:
            np.testing.assert_allclose(array(running[name]), gradient, **near)
        else:
            first = gradient.reshape(-1)[: len(running[name]["first"])]
            np.testing.assert_allclose(running[name]["first"], first, **near)
            np.testing.assert_allclose(running[name]["norm"], np.linalg.norm(gradient), **near)
    return trace


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cell", EVERY_CELL)
def test_totals_of_every_cell_at_every_level(cell, level):
    check_totals(loss_of(EVERY_CELL[cell](), 3), level=level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("network", NETWORKS)
def test_networks(network, level):
    """Forward, every line carries something; backward, some lines only data, which gets none."""
    trace = check_totals(NETWORKS[network](), level=level)
    forward = [s for s in trace["steps"] if s["phase"] == "forward"]
    assert {k for s in forward for k in s["lines"]} == set(range(len(trace["lines"])))
    boxes = {n for s in forward for n in s["boxes"]}
    boxes |= {n for n, box in enumerate(trace["boxes"]) if "given" in box}
    assert boxes == set(range(len(trace["boxes"])))
    assert all(sources and targets for sources, targets in trace["lines"])


@settings(max_examples=25, deadline=None)
@given(st.one_of(timeless(), recurrent(), irregular()), st.sampled_from(LEVELS))
def test_totals_of_random_graphs(loss, level):
    check_totals(loss, level=level)


@pytest.mark.parametrize("level", ["op", "cell"])
def test_folded_steps_are_one_step_each_way(level):
    trace = check_totals(example_loss("gru", 200), level=level)
    for phase in ("forward", "backward"):
        times = [s["timestep"] for s in trace["steps"] if s["phase"] == phase]
        assert sorted({t for t in times if t is not None}) == list(range(1, 201))
        assert times.count(100) == 1
    (folded,) = [s for s in trace["steps"] if s["timestep"] == 57 and s["phase"] == "backward"]
    assert {t["weight"] for t in folded["terms"] if "weight" in t} == {"W_x", "W_s", "W_sg", "b"}
    for weight in trace["weights"]:
        assert weight["timesteps"] == list(range(1, 201))


def test_a_term_is_what_its_time_step_contributes():
    loss = example_loss("lstm", 30)
    graph = tg.Graph(loss)
    found: dict[str, dict[int | None, Any]] = {}
    for step in tg.step_through(graph):
        for term in step.terms:
            if term.weight:
                sums = found.setdefault(term.weight, {})
                sums[term.timestep] = sums.get(term.timestep, 0) + term.value
    for name, parameter in graph.parameters.items():
        expected = graph.contributions(parameter)
        assert found[name].keys() == expected.keys()
        for t, value in expected.items():
            np.testing.assert_allclose(found[name][t], value, atol=1e-7)


# ------------------------------------------------------------------------------------ the steps


def test_forward_in_the_order_of_the_program_backward_in_that_of_the_walk():
    graph = tg.Graph(example_loss("elman", 3))
    steps = tg.step_through(graph)
    listed = list(steps)
    assert len(listed) == len(steps) == len(Page(steps.html()).trace["steps"])
    forward = [s for s in listed if s.phase == "forward"]
    computed = [event.node for event in graph.forward_events() if event.node.op != "getitem"]
    assert listed[: len(forward)] == forward
    assert [s.result for s in forward if s.result.op != "getitem"] == computed
    for step, event in zip(forward, graph.forward_events(), strict=True):
        np.testing.assert_array_equal(step.value, event.value)
        assert step.timestep == event.node.timestep or event.node.op == "getitem"
    walked = list(graph.backward_events())
    backward = listed[len(forward) :]
    assert [s.result for s in backward] == [event.node for event in walked]
    for step, event in zip(backward, walked, strict=True):
        np.testing.assert_array_equal(step.gradient, event.gradient)
        assert [t.source for t in step.terms] == list(
            dict.fromkeys(
                n for n, s in zip(event.node.inputs, event.sent, strict=False) if s is not None
            )
        )


@pytest.mark.parametrize("level", LEVELS)
def test_no_step_reads_what_has_not_been_visited(level):
    for make in (
        NETWORKS["bidirectional_stack"],
        NETWORKS["encoder_decoder"],
        NETWORKS["attention"],
    ):
        graph = tg.Graph(make())
        seen = {node for node in graph.nodes if node.is_leaf}
        came = set(graph.outputs)
        for step in tg.step_through(graph, level=level):
            inside = {n for n in graph.nodes if n.order in step.shown.orders}
            if step.phase == "forward":
                read = {s for n in inside for s in n.inputs}
                assert read <= seen | inside
                seen |= inside
            else:
                assert step.result in came
                came |= {term.source for term in step.terms}


def test_values_of_the_page_are_those_of_the_nodes():
    graph = tg.Graph(example_loss("lstm", 2))
    trace = Page(tg.step_through(graph).html()).trace
    forward = [s for s in trace["steps"] if s["phase"] == "forward"]
    for step, event in zip(forward, graph.forward_events(), strict=True):
        (value,) = step["values"]
        np.testing.assert_allclose(array(value), event.value, rtol=1e-7)
        assert step["node"] == value["name"]


def test_a_step_says_what_it_does():
    steps = list(tg.step_through(example_loss("elman", 2)))
    texts = [step.text for step in steps]
    assert "t = 1: s₁ = tanh(v₄), shape 1×4" in texts
    tap = next(s for s in steps if s.phase == "backward" and "∂L/∂Wₛ" in s.text)
    assert tap.timestep == 2
    assert set(tap.totals) == {"W_s"}
    np.testing.assert_allclose(tap.totals["W_s"], next(t.value for t in tap.terms if t.weight))
    assert any(text.startswith("∂L/∂Wₛ (norm ") and text.endswith("is complete") for text in texts)


def test_names_differ():
    loss = (nn.LSTM(3, 4, num_layers=2, bidirectional=True)(sequence(3)).y ** 2).sum()
    steps = [s for s in tg.step_through(loss) if s.phase == "forward"]
    names = [step.node for step in steps]
    assert len(set(names)) == len(names)
    assert {"h₂", "h₂⁽²⁾", "h₂⁽³⁾", "h₂⁽⁴⁾", "L"} <= set(names)


def test_weights_that_are_drawn_as_one_keep_their_names():
    steps = list(tg.step_through(example_loss("elman", 2), level="cell"))
    assert {term.to for step in steps for term in step.terms if term.weight} == {"Wₓ", "Wₛ", "b"}


def test_large_arrays_are_shortened_and_totals_are_not():
    weight = nn.Parameter(np.arange(600.0).reshape(20, 30), name="W")
    loss = (tg.tensor(np.ones((2, 20))) @ weight).sum()
    trace = check_totals(loss)
    product = trace["steps"][0]["values"][0]
    assert "values" not in product or len(np.ravel(product["values"])) <= 64
    big = next(t for s in trace["steps"] for t in s.get("terms", ()) if "weight" in t)
    assert big["total"]["shape"] == [20, 30]
    assert len(big["total"]["first"]) == 6
    assert np.shape(trace["totals"]["W"]) == (20, 30)


def test_what_is_no_number_in_json_is_a_text():
    weight = nn.Parameter(np.array([0.0, 1.0, 4.0]), name="w")
    with np.errstate(all="ignore"):
        trace = Page(tg.step_through(tg.functional.log(weight).sum()).html()).trace
    assert trace["totals"]["w"] == ["∞", 1, 0.25]
    assert trace["steps"][0]["values"][0]["values"] == ["−∞", 0, 1.38629436]


# ---------------------------------------------------------------------------------- refusals


def test_a_changed_parameter_is_noticed():
    cell = nn.ElmanCell(3, 4)
    loss = loss_of(cell, 3)
    steps = tg.step_through(loss)
    loss.backward()
    tg.optim.SGD(cell.parameters(), lr=0.1).step()
    with pytest.raises(tg.StaleGraphError, match="was changed after"):
        tg.step_through(loss)
    with pytest.raises(tg.StaleGraphError, match="was changed after"):
        list(steps)
    assert "<svg" in steps.html()  # it was made before


def test_gradients_that_are_there_stay_as_they_are():
    loss = example_loss("gru", 3)
    parameters = tg.Graph(loss).parameters.values()
    loss.backward()
    before = [p.grad.numpy().copy() for p in parameters]
    tg.step_through(loss)
    for parameter, gradient in zip(parameters, before, strict=True):
        np.testing.assert_array_equal(parameter.grad.numpy(), gradient)


def test_frozen_weights_have_no_total():
    cell = nn.ElmanCell(3, 4)
    cell.W_x.requires_grad = False
    trace = check_totals(loss_of(cell, 3))
    assert "W_x" not in trace["totals"]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda loss: tg.step_through(3),
            TypeError,
            "needs a loss, a Tensor or a Graph, got a int",
        ),
        (lambda loss: tg.step_through(loss, level="ops"), ValueError, "level: 'ops' is not one of"),
        (lambda loss: tg.step_through(loss * [1.0, 1.0]), ValueError, "is not a single number"),
        (
            lambda loss: tg.step_through(loss).save("x.svg"),
            ValueError,
            "'x.svg' should end in .html",
        ),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(example_loss("elman", 2))
