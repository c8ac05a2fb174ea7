"""DOT: the same text for the same graph, and nothing in a name means anything but itself.

After a change that is meant to change pictures, look at them, then run
``TINYGRADRNN_WRITE_GOLDEN=1 python -m pytest tests/drawing/test_dot.py``.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drawing.examples import CELLS, bidirectional, loss_of

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.drawing import draw
from tinygradrnn.drawing.dot import figures, find_crossings, label, quoted, rounded
from tinygradrnn.drawing.render import find_renderer
from tinygradrnn.drawing.scene import Line
from tinygradrnn.models import EXAMPLES, example_loss

# The two left out look much like their kin, and the files would only be more.
GOLDEN_CELLS = [name for name in EXAMPLES if name not in ("lstm-coupled", "gru-update-state")]
GOLDEN = Path(__file__).with_name("golden")


def linear_rnn() -> tg.Tensor:
    """All weights 1, as in note set 004: every gradient is a whole number."""
    cell = nn.ElmanCell(2, 2, activation="linear", bias=False).astype("float64")
    cell.W_x, cell.W_s = np.ones((2, 2)), np.ones((2, 2))
    x = tg.tensor(np.array([[[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]]]), name="x")
    return nn.RNN(cell)(x).y.sum()


def check_golden(name: str, text: str) -> None:
    path = GOLDEN / f"{name}.dot"
    if os.environ.get("TINYGRADRNN_WRITE_GOLDEN"):
        path.write_text(text, "utf-8")
    assert text == path.read_text("utf-8"), f"{path.name} differs; see the top of test_dot.py"


@pytest.mark.parametrize("level", ["op", "gate", "cell", "layer"])
@pytest.mark.parametrize("cell", GOLDEN_CELLS)
def test_golden_cells(cell, level):
    check_golden(f"{cell}_{level}", draw(example_loss(cell, 2), level=level).dot)


def test_golden_files_are_small():
    assert sum(path.stat().st_size for path in GOLDEN.iterdir()) < 1_000_000


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_golden_gradients(theme):
    check_golden(f"linear_{theme}", draw(linear_rnn(), gradients=True, theme=theme).dot)


def test_golden_fold():
    check_golden("elman_fold", draw(loss_of(CELLS["elman"](), 40), level="cell").dot)


@pytest.mark.parametrize(
    ("name", "make", "options"),
    [
        ("lstm_gate", lambda: loss_of(CELLS["lstm"](), 3), {"level": "gate"}),
        ("bidirectional_cell", lambda: bidirectional(3), {"level": "cell", "theme": "dark"}),
        ("linear", linear_rnn, {"gradients": True}),
    ],
)
def test_golden_rolled(name, make, options):
    check_golden(f"rolled_{name}", draw(make(), rolled=True, **options).dot)


def test_another_process_writes_the_same():
    """No memory address, no set order, whatever the hash seed."""
    code = (
        "from drawing.examples import CELLS, loss_of; from tinygradrnn.drawing import draw; "
        "import tinygradrnn as tg; tg.manual_seed(0); "
        "print(draw(loss_of(CELLS['gru'](), 3)).dot)"
    )
    tests = str(Path(__file__).parent.parent)
    texts = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": tests}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        texts.add(done.stdout)
    assert len(texts) == 1


def test_colours_have_six_digits_and_labels_no_html():
    dot = draw(loss_of(CELLS["lstm"](), 2), gradients=True, theme="dark").dot
    assert not re.search(r'"#[0-9a-fA-F]{1,5}"', dot)
    assert "label=<" not in dot


def test_every_name_is_defined_before_it_is_used():
    dot = draw(loss_of(CELLS["lstm"](), 3), gradients=True).dot
    defined = set(re.findall(r"^ *(\w+) \[", dot, re.M))
    for a, b in re.findall(r"^  (\w+) -> (\w+) ", dot, re.M):
        assert {a, b} <= defined


# ---------------------------------------------------------------- quoting


def test_quoting():
    assert quoted("a\\Nb") == '"a\\\\Nb"'
    assert quoted('"') == '"\\""'
    assert quoted("&lt;") == '"&amp;lt;"'
    assert label(("a", "b")) == '"a\\nb"'
    assert label(("a",), "l") == '"a\\l"'
    assert figures(1.04) == "1"
    assert figures(-0.01) == "0"
    assert figures(12.25) == "12.2"


# ---------------------------------------------------------------- lines


def test_corners_are_round():
    curve = rounded(((0, 0), (100, 0), (100, 50)))
    assert len(curve) % 3 == 1
    assert curve[0] == (0, 0)
    assert curve[-1] == (100, 50)
    assert (100, 0) not in curve
    assert len(rounded(((0, 0), (5, 0)))) == 4


def test_the_thicker_line_stays_whole_at_a_crossing():
    rail = Line(((0, 0), (100, 0)), 0, 0, "#000000", 2.0, "rail")
    tap = Line(((50, -20), (50, 40)), 0, 0, "#000000", 1.0, "tap")
    lane = Line(((0, 30), (100, 30)), 0, 0, "#000000", 6.0, "lane")
    assert find_crossings([rail, tap, lane]) == {
        1: [((50, 0), True, 2.0)],
        2: [((50, 30), False, 1.0)],
    }
    touching = Line(((50, 0), (50, 40)), 0, 0, "#000000", 1.0, "tap")
    assert find_crossings([rail, touching]) == {}


def test_there_is_something_to_draw_with():
    assert find_renderer().command
