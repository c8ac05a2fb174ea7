"""``tinygradrnn draw``: each kind of target and flag, and one line for each thing wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import tinygradrnn as tg
from tinygradrnn.cli import main
from tinygradrnn.models import EXAMPLES, CharacterModel, example_loss, unrolled_loss
from tinygradrnn.text import Vocabulary

pytestmark = pytest.mark.numpy_only("about files and processes")

LEVELS = ("op", "gate", "cell", "layer")
PROGRAM = """
from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from helper_of_{name} import SIZE

import tinygradrnn as tg
from tinygradrnn import nn


@dataclass
class Setting:
    steps: int = 3


def outputs():
    return nn.GRU(3, SIZE)(np.ones((1, Setting().steps, 3))).y


def loss(scale=1.0, *more, **other):
    return (scale * outputs()).sum()


def graph():
    return tg.Graph(loss())


def several():
    return [loss(), loss()]


def needs(a, b, c=3, *, d):
    return a


def frozen():
    return tg.tensor(3.0)


def number():
    return 3


def nothing():
    return None


def texts():
    return ["a", "b"]


def fails():
    return inner()


def inner():
    raise ValueError("by\\nmistake")


def leaves():
    raise SystemExit(0)


constant = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch) -> Iterator[Path]:
    """A current folder with programs of the user's; nothing of them stays imported."""
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    for path in (Path("nets.py"), Path("sub/numpy.py")):
        path.write_text(PROGRAM.format(name=path.stem), "utf-8")
        path.with_name(f"helper_of_{path.stem}.py").write_text("SIZE = 4\n", "utf-8")
    Path("nets_that_break.py").write_text("def loss(:\n", "utf-8")
    Path("nets_that_lack.py").write_text("import no_such_module\n", "utf-8")
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


@pytest.fixture
def command(capsys):
    """Run ``draw``; its exit status, and the lines on both outputs."""

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        capsys.readouterr()
        status = main(["draw", *arguments])
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


def title(path: str) -> str:
    (found,) = ElementTree.parse(path).getroot().findall("{http://www.w3.org/2000/svg}title")
    return found.text or ""


# ---------------------------------------------------------------- cells by name


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("cell", EXAMPLES)
def test_every_cell_at_every_level(here, command, cell, level):
    assert command(cell, "--level", level, "--steps", "2", "-o", "x.dot") == (0, ["x.dot"], [])
    assert f"{level} level · T = 2" in Path("x.dot").read_text("utf-8")


def test_layers_directions_and_flags(here, command):
    flags = ("--layers", "2", "--bidirectional", "--level", "cell", "--theme", "dark")
    assert command("gru", *flags, "--values", "--gradients", "-o", "x.dot")[0] == 0
    dot = Path("x.dot").read_text("utf-8")
    assert "2-layer bidirectional GRU" in dot and "←" in dot and "‖Σ‖" in dot and "1×" in dot
    loss = example_loss("gru", 3, layers=2, bidirectional=True)
    options = {"level": "cell", "values": True, "gradients": True}
    assert dot == tg.draw(loss, theme="dark", **options).dot != tg.draw(loss, **options).dot


def test_a_text_is_read_character_by_character(here, command):
    assert command("lstm-peephole", "--text", 'é"\\', "--level", "cell") == (
        *(0, ["lstm-peephole.svg"], []),
    )
    drawn = "".join(ElementTree.parse("lstm-peephole.svg").getroot().itertext())
    assert "T = 2" in drawn and "'é'" in drawn and "cross-entropy" in drawn


@pytest.mark.parametrize(
    ("shown", "steps", "labels"),
    [
        ("4", 4, [1, 2, 39, 40]),
        ("1-3,39", [1, 2, 3, 39], [1, 2, 3, 39, 40]),
        ("5-5", [5], [1, 5, 40]),
        ("7, 38-40", [7, 38, 39, 40], [1, 7, 38, 39, 40]),
    ],
)
def test_which_steps_are_shown(here, command, shown, steps, labels):
    flags = ("--level", "cell", "--steps", "40", "--show", shown, "-o", "x.dot")
    assert command("elman", *flags)[0] == 0
    drawing = tg.draw(example_loss("elman", 40), level="cell", steps=steps)
    assert Path("x.dot").read_text("utf-8") == drawing.dot
    assert [step.label for step in drawing.diagram.steps] == labels


# ---------------------------------------------------------------- functions of the user's


@pytest.mark.parametrize("function", ["loss", "outputs", "graph", "several"])
@pytest.mark.parametrize("place", ["nets", "nets.py", "sub/numpy.py", "{here}/sub/numpy.py"])
def test_functions(here, command, place, function):
    """By module and by file, wherever it lies, beside what it imports, whatever it is called."""
    before = sys.path.copy()
    target = f"{place.format(here=here)}:{function}"
    assert command(target, "--level", "cell") == (0, [f"{function}.svg"], [])
    assert "GRU · cell level · T = 3" in title(f"{function}.svg")
    assert sys.path == before and sys.modules["numpy"] is np


def test_a_folder_may_be_called_as_a_cell_is(here, command):
    Path("lstm").mkdir()
    assert command("lstm", "--steps", "1")[0] == 0
    assert "is not the folder of a run" in command("./lstm")[2][0]


def test_an_error_of_the_users_is_shown_from_their_line_on(here, command):
    status, out, err = command("nets:fails")
    assert (status, out) == (2, [])
    assert err[0] == "Traceback (most recent call last):"
    assert f'"{here / "nets.py"}"' in err[1] and err[1].endswith(" in fails")
    assert err[-3:-1] == ["ValueError: by", "mistake"]
    assert err[-1] == "tinygradrnn draw: error: nets:fails raised ValueError, see above"
    for target, kind in [
        ("nets_that_break:loss", "nets_that_break raised SyntaxError"),
        ("nets_that_break.py:loss", "nets_that_break.py raised SyntaxError"),
        ("nets_that_lack:loss", "nets_that_lack raised ModuleNotFoundError"),
        ("nets_that_lack.py:loss", "nets_that_lack.py raised ModuleNotFoundError"),
        ("nets:leaves", "nets:leaves raised SystemExit"),
    ]:
        status, out, err = command(target)
        assert (status, out) == (2, [])
        assert err[-1] == f"tinygradrnn draw: error: {kind}, see above"
        assert not any("importlib" in line or "targets.py" in line for line in err)


THERE = "its functions are: outputs, loss, graph, several, needs, frozen, number"
WRONG = [
    (["nets:losses"], f"nets has no function 'losses'; {THERE}"),
    (["sub/numpy.py:"], f"sub/numpy.py has no function ''; {THERE}"),
    (["nets:constant"], f"nets:constant is an object of type int, no function; {THERE}"),
    (["helper_of_nets:f"], "helper_of_nets has no function 'f'; its functions are: none"),
    (["nets:needs"], "nets:needs needs arguments (a, b, d); give one that needs none"),
    (["nets:number"], "nets:number returned an object of type int; it should return a loss"),
    (["nets:nothing"], "nets:nothing returned None; it should return a loss"),
    (["nets:texts"], "nets:texts returned an object of type list; it should return a loss"),
    (["nowhere:loss"], "there is no module 'nowhere' in {here}"),
    (["nets.inner:loss"], "there is no module 'nets.inner' in {here}"),
    ([":loss"], "there is no module '' in {here}"),
    (["..nets:loss"], "there is no module '..nets' in {here}"),
    (["nowhere.py:loss"], "nowhere.py: there is no such file"),
    (["nets.py"], "nets.py: say which function of it returns the loss: nets.py:FUNCTION"),
    (["lsmt"], "there is no cell and no folder 'lsmt'; the cells are elman, jordan"),
    (["sub"], "sub is not the folder of a run: it has no model.safetensors"),
    (["nets:loss", "--steps", "3"], "--steps: nets:loss decides that itself"),
    (["nets:loss", "--text", "ab"], "--text: nets:loss decides that itself"),
    (["nets:loss", "--layers", "2"], "--layers: only for a cell by name; nets:loss is what it is"),
    (["sub", "--bidirectional"], "--bidirectional: only for a cell by name; sub is"),
    (["lstm", "--text", "a"], "--text: 'a' is too short; give two characters or more"),
    (["lstm", "--text", "ab", "--steps", "2"], "--steps: a text has as many steps"),
    (["lstm", "--show", "9,12"], "--show: [9, 12] is not among the time steps of this graph, 1…3"),
    (["lstm", "--show", "0"], "argument --show: must be how many steps, such as 4, or which, su"),
    (["lstm", "--show", "3-1"], "argument --show: must be how many steps"),
    (["lstm", "--show", "first"], "argument --show: must be how many steps"),
    (["lstm", "--layers", "0"], "argument --layers: must be at least 1, got 0"),
    (["lstm", "--theme", "blue"], "argument --theme: invalid choice: 'blue'"),
    (["nets:outputs", "--gradients"], "the backward walk: "),
    (["nets:frozen", "--gradients"], "the backward walk: input () does not depend on anything"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(w) for w, _ in WRONG])
def test_what_cannot_be_drawn(here, command, arguments, message):
    status, out, (line,) = command(*arguments)
    assert (status, out) == (2, [])
    assert line.startswith(f"tinygradrnn draw: error: {message.format(here=here)}")
    assert not [name for name in os.listdir() if name.endswith((".svg", ".dot"))]


# ---------------------------------------------------------------- the examples


def test_examples_are_the_same_every_time_and_leave_a_gradient_to_everything():
    for name in EXAMPLES:
        first, second = example_loss(name, 4), example_loss(name, 4)
        assert first.item() == second.item()
        first.backward()
        for label, parameter in tg.Graph(first).parameters.items():
            assert parameter.grad is not None and np.any(parameter.grad.numpy()), (name, label)


def test_a_text_is_predicted_with_the_loss_of_the_model():
    """All that belongs to a step is inside it, and the number is the same."""
    tg.manual_seed(0)
    text, vocabulary = "hello world", Vocabulary("hello world")
    model = CharacterModel(len(vocabulary), hidden=5)
    ids = vocabulary.encode(text)
    expected, _ = model.loss(ids[None, :-1], ids[None, 1:])
    loss = unrolled_loss(model, vocabulary, text)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    inside = [node for node in tg.Graph(loss).nodes if node.timestep is None]
    assert tg.Graph(loss).timesteps == list(range(1, 11)) and len(inside) < 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "tree"}, "name: 'tree' is not one of elman, jordan, irnn, lstm"),
        ({"name": "gru", "text": "x"}, "text: 'x' is too short"),
    ],
)
def test_examples_that_there_are_not(arguments, message):
    with pytest.raises(ValueError, match=message):
        example_loss(**arguments)
