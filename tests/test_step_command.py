"""``tinygradrnn step``: each kind of target, and one line for each thing wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from stepper.replaying import Page, array, last_totals

import tinygradrnn as tg
from tinygradrnn.cli import main
from tinygradrnn.models import example_loss

pytestmark = pytest.mark.numpy_only("about files and processes")

PROGRAM = """
import numpy as np
from tinygradrnn import nn


def loss():
    return nn.GRU(3, 4)(np.ones((1, 3, 3))).last.sum()


def vector():
    return nn.GRU(3, 4)(np.ones((1, 3, 3))).last


def several():
    return [loss(), loss()]
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TINYGRADRNN_BACKEND", raising=False)
    Path("mine.py").write_text(PROGRAM, "utf-8")
    return tmp_path


def test_a_cell_reads_a_text(here, capsys):
    assert main(["step", "gru", "--text", "hello", "-o", "pages/step.html"]) == 0
    assert capsys.readouterr().out == f"{Path('pages/step.html')}\n"
    page = Page(Path("pages/step.html").read_text("utf-8"))
    labels = [box["label"] for box in page.trace["boxes"]]
    assert {"'h'₁", "'e'₂", "'l'₃", "'l'₄"} <= set(labels)
    loss = example_loss("gru", text="hello")
    loss.backward()
    running = last_totals(page.trace)
    for name, parameter in tg.Graph(loss).parameters.items():
        np.testing.assert_allclose(array(running[name]), parameter.grad.numpy(), atol=1e-6)


def test_the_lines_of_the_program_are_on_the_page(here):
    assert main(["step", "mine.py:loss", "--level", "gate", "-o", "mine.html"]) == 0
    trace = Page(Path("mine.html").read_text("utf-8")).trace
    assert trace["level"] == "gate"
    files = {step["code"][0] for step in trace["steps"] if "code" in step}
    assert files == {"mine.py", "tinygradrnn/nn/cells/gru.py"}


def test_defaults(here, capsys):
    assert main(["step", "elman"]) == 0
    assert capsys.readouterr().out == "elman-step.html\n"
    trace = Page(Path("elman-step.html").read_text("utf-8")).trace
    assert (trace["level"], trace["title"]) == ("op", "Elman · op level · T = 3")


def test_a_run(here, capsys):
    Path("text.txt").write_text("to be or not to be " * 40, "utf-8")
    small = ("--hidden", "6", "--embedding", "4", "--batch", "2", "--length", "5", "--steps", "4")
    assert main(["train", "--text", "text.txt", *small, "--out", "run"]) == 0
    written = Page(Path("run/step.html").read_text("utf-8")).trace
    assert written["level"] == "gate" and len(written["weights"]) == 6
    assert main(["step", "run", "--steps", "2"]) == 0
    assert Page(Path("run-step.html").read_text("utf-8")).trace["level"] == "cell"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "x.svg"], "--output: 'x.svg' should end in .html"),
        (["nonsense"], "there is no cell and no folder 'nonsense'"),
        (["mine.py:several"], "several gives 2 tensors; stepping needs one loss"),
        (["mine.py:vector"], "is not a single number"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(here, capsys, arguments, message):
    assert main(["step", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.startswith("tinygradrnn step: error: ") and err.count("\n") == 1
    assert not list(here.glob("*.html"))
