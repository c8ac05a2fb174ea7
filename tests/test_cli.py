"""The command line: what it prints, writes and returns, and one line for each thing wrong."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from processes import run_python

import tinygradrnn
from tinygradrnn.cli import main

pytestmark = pytest.mark.numpy_only("about files and processes")

TEXT = "Tomorrow, and tomorrow, and tomorrow,\nCreeps in this petty pace from day to day,\n" * 20
SMALL = ("--hidden", "6", "--embedding", "4", "--batch", "2", "--length", "5", "--steps", "6")
ALL = [
    *("config.json", "graph.svg", "loss.png", "loss.svg", "metrics.csv", "model.safetensors"),
    *("operations.svg", "sample.txt", "step.html"),
]


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """An empty current folder, with a text."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TINYGRADRNN_BACKEND", raising=False)
    Path("macbeth.txt").write_text(TEXT, "utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("trained")
    (folder / "macbeth.txt").write_text(TEXT, "utf-8")
    run = str(folder / "run")
    assert main(["train", "--text", str(folder / "macbeth.txt"), *SMALL, "--out", run]) == 0
    return run


@pytest.fixture
def command(capsys):
    """Run a command in this process; its exit status, and the lines on both outputs."""

    def run(*arguments: str) -> tuple[int, list[str], list[str]]:
        capsys.readouterr()
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out.splitlines(), err.splitlines()

    return run


# ---------------------------------------------------------------- train


def test_train_leaves_a_folder(here, command):
    status, out, err = command("train", "--text", "macbeth.txt", *SMALL)
    assert status == 0
    folder = here / "runs/macbeth-lstm-1"
    assert sorted(os.listdir(folder)) == ALL
    assert out[0].startswith("LSTM of ") and "on macbeth.txt" in out[0]
    assert "Backend numpy." in out[0]
    assert out[1].startswith("Held-out text: ") and "5-gram" in out[1]
    assert (folder / "sample.txt").read_text("utf-8").strip() in "\n".join(out)
    assert f"Written to {Path('runs/macbeth-lstm-1')}: {', '.join(ALL)}" in out
    assert err[-1].startswith("step 6/6  training ") and err[-1].endswith("0 s left")
    for name, words in {"graph.svg": "cross-entropy", "operations.svg": "softmax"}.items():
        root = ElementTree.parse(folder / name).getroot()
        assert root.tag.endswith("svg")
        drawn = "".join(root.itertext())
        assert words in drawn and "LSTM" in drawn and "‖Σ‖" in drawn


def test_train_never_writes_over_a_run(here, command):
    assert command("train", "--text", "macbeth.txt", "--cell", "gru", *SMALL)[0] == 0
    before = Path("runs/macbeth-gru-1/model.safetensors").stat().st_mtime_ns
    status, out, _ = command(
        *("train", "--text", "macbeth.txt", "--out", "runs/macbeth-gru-1", "--seed", "5", *SMALL)
    )
    assert status == 0
    folder = here / "runs/macbeth-gru-1-2"
    said = f"{Path('runs/macbeth-gru-1')} holds a run already; this one goes to {folder}"
    assert out[0] == said and str(folder) in out[-1]
    assert Path("runs/macbeth-gru-1/model.safetensors").stat().st_mtime_ns == before


def test_train_without_a_renderer_keeps_the_dot(here, command, monkeypatch):
    monkeypatch.setenv("TINYGRADRNN_DOT", "no-such-program")
    status, _, err = command("train", "--text", "macbeth.txt", *SMALL, "--out", "run")
    assert status == 0
    assert err[-1].startswith("The graph was not drawn: ") and "graph.dot" in err[-1]
    kept = {"graph.dot", "operations.dot", *ALL} - {"graph.svg", "operations.svg"}
    assert set(os.listdir("run")) >= kept
    assert Path("run/graph.dot").read_text("utf-8").startswith(("digraph", "strict digraph"))


WRONG_TEXTS = {
    "missing": (None, "wrong.txt: there is no such file"),
    "empty": (b"", "wrong.txt is empty"),
    "not UTF-8": (b"caf\xe9", "wrong.txt is not UTF-8 text: byte 0xe9 in line 1"),
    "one character": (b"x", "wrong.txt holds one kind of character only"),
    "one kind": (b"aaaa" * 999, "wrong.txt holds one kind of character only"),
    "too short": (b"to be", "wrong.txt is too short: 4 characters are too few: 2 readers of 5"),
}


@pytest.mark.parametrize("data, message", WRONG_TEXTS.values(), ids=WRONG_TEXTS)
def test_texts_that_cannot_be_learned(here, command, data, message):
    if data is not None:
        Path("wrong.txt").write_bytes(data)
    status, out, (line,) = command("train", "--text", "wrong.txt", *SMALL)
    assert (status, out) == (2, [])
    assert line.startswith(f"tinygradrnn train: error: {message}")
    assert not Path("runs").exists()


WRONG_FLAGS = [
    (["--hidden", "-3"], "--hidden must be at least 1, got -3"),
    (["--hidden", "big"], "argument --hidden: invalid int value: 'big'"),
    (["--steps", "0"], "--steps must be at least 1, got 0"),
    (["--batch", "0"], "--batch must be at least 1"),
    (["--lr", "nan"], "--lr must be a finite number above 0"),
    (["--dropout", "1"], "--dropout must be at least 0 and below 1"),
    (["--seed", "-1"], "--seed must be at least 0"),
    (["--cell", "tree"], "argument --cell: invalid choice: 'tree'"),
    (["--colour", "red"], "unrecognized arguments: --colour red"),
    (["--backend", "numbers"], "'numbers' is not a backend (from --backend)"),
    (["--text", "."], ". is a folder; give a text file"),
    (["--out", "."], ". holds something that is no run"),
    (["--out", "macbeth.txt/run"], "cannot be made a folder for the run"),
]


@pytest.mark.parametrize("flags, message", WRONG_FLAGS, ids=[" ".join(f) for f, _ in WRONG_FLAGS])
def test_flags_that_make_no_sense(here, command, flags, message):
    status, out, (line,) = command("train", "--text", "macbeth.txt", *SMALL, *flags)
    assert (status, out) == (2, [])
    assert line.startswith("tinygradrnn") and "error: " in line and message in line


def test_backends_that_are_not_there(here, command, monkeypatch):
    available, _ = tinygradrnn.available_backends()["cupy"]
    if available:
        pytest.skip("CuPy runs here")
    status, _, (line,) = command("train", "--text", "macbeth.txt", "--backend", "cupy", *SMALL)
    assert status == 2
    assert "The cupy backend was asked for (--backend) but " in line
    code = "from tinygradrnn.cli import main; raise SystemExit(main(['train', '--steps', '1']))"
    line = run_python(code, backend="cuda", cwd=here, fails=True)
    assert "'cuda' is not a backend (from TINYGRADRNN_BACKEND in the environment)" in line
    assert not Path("runs").exists()


def test_the_backend_of_a_command_is_its_own(trained, command):
    assert command("sample", trained, "--length", "3", "--backend", "auto")[0] == 0
    assert "auto" not in tinygradrnn.backend.active_origin()


# ---------------------------------------------------------------- sample


def test_sample_prints_as_much_as_asked_for(trained, command):
    status, out, err = command("sample", trained, "--length", "70", "--prime", "Tomorrow")
    text = "\n".join(out)
    assert (status, err) == (0, [])
    assert text.startswith("Tomorrow")
    assert len(text) in (78, 77)  # a line end at the very end is not seen here
    assert len(Path(trained, "sample.txt").read_text("utf-8")) == 501


def test_sample_again(trained, command):
    def drawn(*flags: str) -> list[str]:
        return command("sample", trained, "--length", "200", *flags)[1]

    assert drawn("--seed", "1") == drawn("--seed", "1") != drawn("--seed", "2")
    assert drawn() != drawn()
    assert drawn("--temperature", "0") == drawn("--temperature", "0")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--length", "0"], "argument --length: must be at least 1, got 0"),
        (["--temperature", "-1"], "argument --temperature: must be at least 0.0, got -1"),
        (["--temperature", "nan"], "argument --temperature: must be at least 0.0, got nan"),
        (["--temperature", "hot"], "argument --temperature: invalid float value: 'hot'"),
        (["--seed", "-1"], "argument --seed: must be at least 0, got -1"),
        (["--prime", "Ä"], "--prime: the character 'Ä' is not in the vocabulary of"),
    ],
)
def test_sample_with_flags_that_make_no_sense(trained, command, flags, message):
    status, out, (line,) = command("sample", trained, *flags)
    assert (status, out) == (2, [])
    assert line.startswith(f"tinygradrnn sample: error: {message}")


@pytest.mark.parametrize("name", ["sample", "draw"])
def test_folders_that_are_no_runs(here, command, name):
    Path("run").mkdir()
    for data, message in [
        (None, "run is not the folder of a run: it has no model.safetensors"),
        (b"?" * 100, "is not a safetensors file, or is cut off"),
    ]:
        if data:
            Path("run/model.safetensors").write_bytes(data)
        status, out, (line,) = command(name, "run")
        assert (status, out) == (2, [])
        assert line.startswith(f"tinygradrnn {name}: error: ") and message in line
    (line,) = command(name, "nowhere")[2]
    there_is_none = {
        "sample": "nowhere is not the folder of a run: there is no such folder",
        "draw": "there is no cell and no folder 'nowhere'; the cells are elman, jordan, ",
    }
    assert there_is_none[name] in line


# ---------------------------------------------------------------- draw, info, help


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru"])
def test_draw_a_cell(here, command, cell):
    status, out, err = command("draw", cell, "--steps", "2", "--gradients")
    assert (status, out, err) == (0, [f"{cell}.svg"], [])
    drawn = "".join(ElementTree.parse(f"{cell}.svg").getroot().itertext())
    assert "T = 2" in drawn and "op level" in drawn and "‖Σ‖" in drawn


def test_draw_a_run(here, trained, command):
    assert command("draw", trained, "-o", "a/b.dot", "--steps", "4", "--level", "gate")[0] == 0
    assert "gate level · T = 4" in Path("a/b.dot").read_text("utf-8")
    assert command("draw", trained) == (0, ["run.svg"], [])
    assert "cell level" in Path("run.svg").read_text("utf-8")


def test_draw_one_step_for_all(here, trained, command):
    for target in ("lstm", trained):
        assert command("draw", target, "--rolled", "--gradients", "-o", "rolled.svg")[0] == 0
        drawn = "".join(ElementTree.parse("rolled.svg").getroot().itertext())
        assert "rolled · T = 3" in drawn and "× T = 3" in drawn and "used × 3" in drawn
    status, _, (line,) = command("draw", "lstm", "--rolled", "--level", "layer")
    assert (status, 'rolled: level="layer" draws no time steps' in line) == (2, True)


def test_draw_what_cannot_be_drawn(here, command, monkeypatch):
    for flags, message in [
        (["-o", "x.gif"], "--output: 'x.gif' should end in one of .svg, .png, .pdf, .dot, .html"),
        (["--steps", "0"], "argument --steps: must be at least 1, got 0"),
        (["--level", "atom"], "argument --level: invalid choice: 'atom'"),
        (["-o", "macbeth.txt/x.svg"], "[Errno "),
    ]:
        status, out, (line,) = command("draw", "lstm", *flags)
        assert (status, out) == (2, [])
        assert line.startswith(f"tinygradrnn draw: error: {message}")
    monkeypatch.setenv("TINYGRADRNN_DOT", "no-such-program")
    status, _, (line,) = command("draw", "lstm", "-o", "x.svg")
    assert status == 2
    assert line.endswith("The graph is kept as DOT in x.dot")
    assert Path("x.dot").exists() and not Path("x.svg").exists()


def test_info(command, monkeypatch):
    status, out, err = command("info")
    assert (status, err) == (0, [])
    text = "\n".join(out)
    for words in (tinygradrnn.__version__, "Python 3.", "numpy 2.", "numpy runs", "cupy "):
        assert words in text
    assert "active backend: numpy on cpu, from " in text
    assert "to switch: set TINYGRADRNN_BACKEND before the first array is made, or call" in text
    assert "on the host with any backend: random numbers" in text
    assert "pictures are drawn by " in text
    monkeypatch.setenv("TINYGRADRNN_DOT", "no-such-program")
    assert "pictures are not drawn: TINYGRADRNN_DOT is" in "\n".join(command("info")[1])
    code = "from tinygradrnn.cli import main; raise SystemExit(main(['info']))"
    said = run_python(code)
    assert said.endswith("numpy on cpu, from the default: TINYGRADRNN_BACKEND is not set")
    said = run_python(code, backend="numpy")
    assert said.endswith("numpy on cpu, from TINYGRADRNN_BACKEND in the environment")
    line = run_python(code, backend="no-such-backend", fails=True)
    assert "'no-such-backend' is not a backend" in line


@pytest.mark.parametrize("name", ["train", "sample", "draw", "info"])
def test_help(command, name):
    status, out, err = command(name, "--help")
    assert (status, err) == (0, [])
    assert out[0].startswith(f"usage: tinygradrnn {name}")
    assert name == "info" or any(line.startswith(f"  tinygradrnn {name}") for line in out)
    assert any(line.strip().startswith(name) for line in command("--help")[1])


def test_version_and_nothing_at_all(command):
    assert command("--version")[:2] == (0, [tinygradrnn.__version__])
    status, out, (line,) = command()
    assert (status, out) == (2, [])
    assert "COMMAND" in line


# ---------------------------------------------------------------- as a process


def start(*arguments: str, **options: object) -> subprocess.Popen[str]:
    """``python -m tinygradrnn``, with Ctrl-C working even if it does not here."""
    code = (
        "import runpy, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "sys.argv[0] = 'tinygradrnn'; runpy.run_module('tinygradrnn', run_name='__main__')"
    )
    command = [sys.executable, "-c", code, *arguments]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    return subprocess.Popen(command, **options)  # type: ignore[call-overload, no-any-return]


def test_without_terminal_and_input(here):
    closed = 'exec <&-; exec "$@"'
    command = [sys.executable, "-m", "tinygradrnn", "train", "--text", "macbeth.txt", *SMALL]
    done = subprocess.run(
        ["sh", "-c", closed, "sh", *command], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in done.stderr.splitlines()][-1] == "6/6"
    assert "\x1b" not in done.stderr + done.stdout
    assert sorted(os.listdir("runs/macbeth-lstm-1")) == ALL


def test_a_bar_on_a_terminal(here):
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "120"}
    process = start("train", "--text", "macbeth.txt", *SMALL, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        shown += part
    process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 0
    assert b"6/6" in shown and b"bits/character" in shown and b"held-out" in shown
    assert b"left" in shown and b"\x1b[" in shown and b"step 6/6" not in shown


def test_ctrl_c_keeps_what_was_learned(here):
    process = start("train", "--text", "macbeth.txt", *SMALL, "--steps", "6000", "--out", "run")
    assert process.stderr is not None
    first = process.stderr.readline()  # training is under way, a sixth or some seconds are done
    assert re.match(r"step \d+/6000", first), first
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Stopped by Ctrl-C after step " in err and "writing what was learned" in err
    assert sorted(os.listdir("run")) == ALL
    assert "Held-out text: " in out and "Written to run: " in out
    steps = int(err.split("after step ")[1].split(";")[0])
    rows = Path("run/metrics.csv").read_text("utf-8").splitlines()[1:]
    assert len(rows) == steps < 6000
    assert rows[-1].split(",")[2]
    assert main(["sample", "run", "--length", "5"]) == 0


def test_a_reader_that_has_seen_enough(trained):
    process = start("sample", trained, "--length", "300")
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(timeout=120) == 0


def test_the_command_line_loads_what_it_needs():
    heavy = ("cupy", "graphviz", "matplotlib", "rich", "safetensors", "threadpoolctl")
    code = "import sys, tinygradrnn.cli, tinygradrnn.training, tinygradrnn.data\n"
    code += f"print([name for name in {heavy} if name in sys.modules])"
    assert run_python(code) == "[]"
