"""``tg.draw`` as a user meets it: what is in the picture, the numbers on it, files, errors."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from drawing.geometry import faults
from processes import run_python

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.drawing import DrawingError, RendererNotFoundError
from tinygradrnn.drawing.render import render
from tinygradrnn.drawing.text import number

CELLS = {
    "elman": nn.ElmanCell,
    "lstm": nn.LSTMCell,
    "gru": nn.GRUCell,
    "peephole": lambda f, h: nn.LSTMCell(f, h, peephole=True),
    "jordan": lambda f, h: nn.JordanCell(f, h, h),
    "deep": lambda f, h: nn.DeepElmanCell(f, h, transition_layers=2, output_layers=2),
    "clockwork": lambda f, h: nn.ClockworkCell(f, h, periods=[1, 2]),
    "scrn": lambda f, h: nn.SCRNCell(f, h, 2, alpha=0.9),
}
GOLDEN = Path(__file__).with_name("golden")


def unrolled(name: str, steps: int) -> tuple[nn.RNN, tg.Tensor]:
    rng = np.random.default_rng(0)
    rnn = nn.RNN(CELLS[name](3, 4))
    last = rnn(rng.standard_normal((2, steps, 3))).last
    return rnn, F.mse_loss(last, rng.standard_normal(last.shape))


@pytest.mark.parametrize("steps", [1, 2, 13])
@pytest.mark.parametrize("level", ["op", "gate", "cell", "layer"])
@pytest.mark.parametrize("name", CELLS)
def test_nothing_overlaps_and_no_wire_runs_through_anything(name, level, steps):
    _, loss = unrolled(name, steps)
    assert faults(tg.draw(loss, level=level, gradients=True).scene) == []


@pytest.mark.parametrize("level", ["op", "cell"])
@pytest.mark.parametrize("name", ["elman", "lstm", "gru"])
def test_dot_is_that_of_the_golden_file(name, level, request):
    _, loss = unrolled(name, 3)
    dot = tg.draw(loss, level=level).dot
    path = GOLDEN / f"{name}-{level}.dot"
    if os.environ.get("TINYGRADRNN_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(dot, encoding="utf-8")
    assert dot == path.read_text(encoding="utf-8"), (
        f"the picture changed; if that is meant: TINYGRADRNN_WRITE_GOLDEN=1 pytest {request.path}"
    )


def test_dot_is_the_same_in_every_process():
    program = (
        "import numpy as np, tinygradrnn as tg, hashlib\n"
        "from tinygradrnn import nn\n"
        "tg.manual_seed(0)\n"
        "loss = nn.RNN(nn.GRUCell(3, 4))(np.ones((2, 3, 3))).last.sum()\n"
        "print(hashlib.sha256(tg.draw(loss, gradients=True).dot.encode()).hexdigest())"
    )
    found = {run_python(f"import os\n{program}", "-W", "error") for _ in range(3)}
    assert len(found) == 1


# ---------------------------------------------------------------- the numbers


@pytest.mark.parametrize("name", ["elman", "lstm", "gru"])
def test_numbers_at_the_taps_are_the_norms_of_the_contributions(name):
    rnn, loss = unrolled(name, 4)
    graph = tg.Graph(loss)
    diagram = tg.draw(loss, level="op", gradients=True).diagram
    weights = [k for k, box in enumerate(diagram.boxes) if box.kind == "weight"]
    assert len(weights) == len(rnn.parameters())
    for k, parameter in zip(weights, rnn.parameters(), strict=True):
        terms = graph.contributions(parameter)
        drawn = [wire.term for wire in diagram.wires if wire.source == k]
        np.testing.assert_allclose(drawn, [np.linalg.norm(t) for t in terms.values()], rtol=1e-6)
        np.testing.assert_allclose(
            diagram.boxes[k].total, np.linalg.norm(sum(terms.values())), rtol=1e-6
        )
    assert all(parameter.grad is None for parameter in rnn.parameters())


def test_numbers_at_the_lanes_are_the_terms_that_the_next_step_sends_back():
    _, loss = unrolled("lstm", 3)
    sent = {"h": {}, "c": {}}
    for event in tg.Graph(loss).backward_events():
        for source, term in zip(event.node.inputs, event.sent, strict=False):
            steps = source.timestep, event.node.timestep
            if source.name in sent and None not in steps and steps[0] != steps[1]:
                sent[source.name][source.timestep] = np.linalg.norm(term)
    diagram = tg.draw(loss, level="cell", gradients=True).diagram
    for number_, state in enumerate(diagram.states):
        drawn = {
            diagram.boxes[wire.source].step.label: wire.term
            for wire in diagram.wires
            if wire.state == number_ and diagram.boxes[wire.source].step is not None
        }
        assert drawn.keys() == sent[state.name].keys() == {1, 2}
        for step, term in drawn.items():
            np.testing.assert_allclose(term, sent[state.name][step], rtol=1e-6)


def test_a_weight_that_no_gradient_reaches_shows_a_dash_and_an_exact_zero_shows_0():
    assert (number(None), number(0.0), number(7.1e-4), number(0.03), number(250)) == (
        "—", "0", "7.1e-4", "0.030", "2.5e2",
    )  # fmt: skip
    rnn = nn.RNN(nn.ElmanCell(3, 4))
    y = rnn(np.ones((2, 3, 3))).y
    loss = (y[:, 0] ** 2).sum() + (y[:, 2].detach() ** 2).sum()
    dot = tg.draw(loss, gradients=True).dot
    assert "—" in dot


def test_gradients_of_a_graph_whose_parameters_changed():
    rnn, loss = unrolled("gru", 3)
    rnn.cell.W_s = rnn.cell.W_s.numpy() * 2
    assert "GRU" in tg.draw(loss).dot
    with pytest.raises(tg.StaleGraphError, match="W_s"):
        _ = tg.draw(loss, gradients=True).dot


# ---------------------------------------------------------------- what is shown


def test_each_weight_is_drawn_once_with_a_tap_for_every_step():
    _, loss = unrolled("lstm", 5)
    diagram = tg.draw(loss).diagram
    weights = {k: box.text[0] for k, box in enumerate(diagram.boxes) if box.kind == "weight"}
    assert list(weights.values()) == ["Wₓ", "Wₕ", "b"]
    for k in weights:
        steps = [diagram.boxes[w.targets[0]].step.label for w in diagram.wires if w.source == k]
        assert steps == [1, 2, 3, 4, 5]


def test_columns_are_equal_and_in_time_order():
    _, loss = unrolled("gru", 6)
    panels = tg.draw(loss).scene.panels
    assert [panel.name for panel in panels] == [f"t = {t}" for t in range(1, 7)]
    lefts = [panel.left for panel in panels]
    assert lefts == sorted(lefts)
    assert len({round(panel.right - panel.left, 6) for panel in panels}) == 1


@pytest.mark.parametrize("steps", [13, 40])
def test_more_than_a_dozen_steps_are_folded(steps):
    _, loss = unrolled("elman", steps)
    drawing = tg.draw(loss)
    shown = [step.label for step in drawing.diagram.steps]
    assert shown[0] == 1 and shown[-1] == steps and len(shown) < 13
    (fold,) = drawing.diagram.folds
    assert fold.steps == steps - len(shown)
    assert f"{fold.steps} steps" in drawing.dot


def test_the_steps_that_are_asked_for():
    _, loss = unrolled("elman", 9)
    assert [s.label for s in tg.draw(loss, steps=[2, 3, 7]).diagram.steps] == [2, 3, 7]
    assert len(tg.draw(loss, steps=4).diagram.steps) == 4
    with pytest.raises(ValueError, match=r"steps.*12.*1…9"):
        tg.draw(loss, steps=[1, 12])
    with pytest.raises(ValueError, match="steps must be at least 1"):
        tg.draw(loss, steps=0)


def test_x_times_x_has_two_wires():
    x = tg.tensor([1.0, 2.0], requires_grad=True, name="x")
    diagram = tg.draw((x * x).sum()).diagram
    (wire,) = [w for w in diagram.wires if diagram.boxes[w.source].text == ("x",)]
    assert len(wire.targets) == 2 and wire.targets[0] == wire.targets[1]


def test_a_graph_without_time():
    mlp = nn.MLP([3, 5, 2])
    drawing = tg.draw(F.cross_entropy(mlp(np.ones((4, 3))), np.array([0, 1, 1, 0])))
    assert drawing.diagram.steps == ()
    assert faults(drawing.scene) == []


def test_several_tensors_and_graphs_are_targets():
    _, loss = unrolled("elman", 2)
    assert tg.draw(tg.Graph(loss)).dot == tg.draw(loss).dot
    assert tg.draw([loss, loss * 2]).dot
    with pytest.raises(TypeError, match="draw needs a tensor, a Graph or several tensors"):
        tg.draw(3)


@pytest.mark.parametrize("option", [{"level": "gates"}, {"theme": "pink"}])
def test_options_that_do_not_exist(option):
    _, loss = unrolled("elman", 2)
    ((name, value),) = option.items()
    with pytest.raises(ValueError, match=rf"{name}.*{value}.* is not one of"):
        tg.draw(loss, **option)


# ---------------------------------------------------------------- files and renderers


@pytest.mark.parametrize("name", [r"a\N\G", 'say "hi"', "<b>&amp;", "状态", "🦊", "{x|y}", "a\nb"])
def test_names_are_shown_as_they_are(name):
    w = tg.tensor([1.0, 2.0], requires_grad=True, name=name)
    svg = tg.draw((w * 2).sum()).svg()
    shown = name.replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    plain = svg.replace("&quot;", '"').replace("&#45;", "-").replace("&#160;", " ")
    assert shown.replace("&amp;", "&") in plain.replace("&amp;", "&")


def test_every_kind_of_file(tmp_path):
    _, loss = unrolled("elman", 2)
    drawing = tg.draw(loss, gradients=True)
    begins = {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF", "html": b"<!doctype html>"}
    for suffix, start in begins.items():
        path = drawing.save(tmp_path / f"a.{suffix}")
        assert path.read_bytes().lower().startswith(start.lower()), suffix
    assert drawing.save(tmp_path / "a.dot").read_text("utf-8") == drawing.dot
    with pytest.raises(ValueError, match=r"'a.gif' should end in one of .svg, .png"):
        drawing.save(tmp_path / "a.gif")


def test_digraph_and_jupyter():
    _, loss = unrolled("elman", 2)
    drawing = tg.draw(loss)
    assert "Wₓ" in drawing.digraph.source
    bundle = drawing._repr_mimebundle_()
    assert bundle["image/svg+xml"].startswith("<svg") and "Elman" in bundle["text/plain"]


def fake_program(folder: Path, text: str) -> Path:
    path = folder / "fake-dot"
    path.write_text(f"#!{sys.executable}\n{text}\n", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_environment_variable_names_the_renderer(tmp_path, monkeypatch):
    _, loss = unrolled("elman", 1)
    monkeypatch.setenv("TINYGRADRNN_DOT", str(tmp_path / "missing"))
    with pytest.raises(RendererNotFoundError, match=r"TINYGRADRNN_DOT is .*missing"):
        tg.draw(loss).svg()
    fake = fake_program(tmp_path, "print('<svg viewBox=\"0 0 1 1\">mine</svg>')")
    monkeypatch.setenv("TINYGRADRNN_DOT", str(fake))
    assert "mine" in tg.draw(loss).svg()


def test_a_renderer_that_hangs_or_fails(tmp_path, monkeypatch):
    monkeypatch.setenv(
        "TINYGRADRNN_DOT", str(fake_program(tmp_path, "import time\ntime.sleep(60)"))
    )
    with pytest.raises(DrawingError, match=r"took more than 0.2 seconds"):
        render("digraph {}", "svg", time_limit=0.2)
    monkeypatch.setenv(
        "TINYGRADRNN_DOT", str(fake_program(tmp_path, "import sys\nsys.exit('no such layout')"))
    )
    with pytest.raises(DrawingError, match=r"exit status 1.*no such layout"):
        render("digraph {}", "svg")


def test_without_dot_the_graphviz_of_the_viz_extra_draws(monkeypatch):
    pytest.importorskip("pygraphviz")
    monkeypatch.delenv("TINYGRADRNN_DOT", raising=False)
    monkeypatch.setenv("PATH", "")
    _, loss = unrolled("gru", 2)
    assert "t = 2" in tg.draw(loss).svg().replace("&#160;", " ")


def test_without_any_graphviz_the_dot_text_is_kept(tmp_path, monkeypatch):
    monkeypatch.delenv("TINYGRADRNN_DOT", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _, loss = unrolled("elman", 2)
    drawing = tg.draw(loss)
    with pytest.raises(RendererNotFoundError) as error:
        drawing.save(tmp_path / "a.png")
    assert "pip install 'tinygradrnn[viz]'" in str(error.value)
    assert str(tmp_path / "a.dot") in str(error.value)
    assert (tmp_path / "a.dot").read_text("utf-8") == drawing.dot
    assert list(drawing._repr_mimebundle_()) == ["text/plain"]
