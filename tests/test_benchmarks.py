"""The benchmarks measure the same work, count it right, and keep what is written by hand."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest
from processes import ROOT

pytestmark = pytest.mark.numpy_only("measures NumPy")

FOLDER = ROOT / "benchmarks"
MODULES = (
    *("workloads", "peers", "pairing", "results", "settings", "training", "worker", "operations"),
)
SMALL = {"B": 2, "T": 5, "H": 8, "V": 6}


@pytest.fixture
def bench(monkeypatch):
    """The modules of the benchmarks, which are programs and not a package, by name."""
    monkeypatch.syspath_prepend(FOLDER)
    before = set(sys.modules)
    yield SimpleNamespace(**{name: import_module(name) for name in MODULES})
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run(*options, **more):
    command = [sys.executable, str(FOLDER / "run.py"), *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)


# ------------------------------------------------------------------------------------ statistics


def test_a_ratio_is_the_median_of_those_within_a_round(bench):
    found = bench.pairing.Comparison(workload=None)
    found.times = {"a": [1.0, 20.0, 3.0], "b": [2.0, 10.0, 4.0], "slow": [100.0], "none": []}
    assert found.ratio("a", "b") == 0.75  # of 0.5, 2, 0.75; that of the medians would be
    assert found.median("a") == 3.0
    assert found.ratio("slow", "b") == 50.0  # measured in the first round only
    assert found.ratio("a", "none") is found.ratio("a", "missing") is None


def test_differences_are_relative_to_the_largest_element_of_each_tensor(bench):
    difference = bench.pairing.difference
    wanted = {"W": np.array([100.0, 1.0]), "b": np.array([0.1, 0.0])}
    assert difference(2.0, wanted, 2.0, wanted) == 0
    off = {"W": np.array([100.0, 1.5]), "b": np.array([0.1, 0.002])}
    assert difference(2.0, off, 2.0, wanted) == pytest.approx(0.02)
    assert difference(3.0, off, 2.0, wanted) == pytest.approx(0.5)
    assert difference(2.0, {"W": wanted["W"]}, 2.0, wanted) == np.inf
    assert difference(2.0, off | {"b": np.zeros(3)}, 2.0, wanted) == np.inf
    assert difference(2.0, off | {"b": np.array([np.nan, 0])}, 2.0, wanted) == np.inf


def test_a_goal_is_bold_where_it_is_not_reached(bench):
    against = bench.training.against
    assert against(0.0512, 0.06) == "0.051 (≤ 0.06)"
    assert against(1.34, 1.3) == "**1.34** (≤ 1.3)"
    assert against(None, 1.3) == "– (≤ 1.3)"


# ------------------------------------------------------------------------------------- the peers


@pytest.mark.parametrize("cell", ["elman", "lstm", "gru", "peephole", "clockwork", "scrn", "own"])
def test_a_compiled_step_has_the_gradients_of_an_explicit_one(bench, cell, tmp_path):
    work = bench.workloads.Workload("small", cell, **SMALL)
    names = ["explicit", "compiled", *(["hand"] if cell == "elman" else [])]
    answers = []
    for name in names:
        peer = bench.peers.ROWS[name].load()(work)
        loss = bench.worker.checked(peer, str(tmp_path / f"{name}.npz"))
        with np.load(tmp_path / f"{name}.npz") as file:
            answers.append((loss, dict(file)))
    assert answers[0][1].keys() == work.weights().keys()
    for answer in answers[1:]:
        assert bench.pairing.difference(*answer, *answers[0]) < 1e-5


def test_operations_of_the_tape_have_the_gradients_of_ours(bench):
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.5, 1.0, shape).astype(np.float32) for shape in ((1, 16),) * 2]
    matrix = rng.standard_normal((16, 16)).astype(np.float32) / 4
    for name, link in bench.operations.LINKS.items():
        found = []
        for library in ("ours", "tape"):
            maths = bench.operations.maths_of(library)
            first, c, W = map(maths.value, (*arrays, matrix))
            x = first
            for _ in range(3):
                x = link(maths, x, c, W)
            maths.backward(x)
            grads = [leaf.grad for leaf in (first, c, W)]
            found.append([g.numpy() if hasattr(g, "numpy") else g for g in grads])
        for ours, tape in zip(*found, strict=True):
            assert (ours is None) == (tape is None), name
            if ours is not None:
                np.testing.assert_allclose(ours, tape, rtol=1e-5, atol=1e-6)


def test_costs_of_operations_are_of_one_link_of_the_chain(bench, monkeypatch):
    monkeypatch.setattr(bench.operations, "LENGTH", 20)
    monkeypatch.setattr(bench.operations, "ROUNDS", 2)
    job = bench.operations.Operations()
    job.found = {library: bench.operations.costs(library) for library in ("ours", "tape")}
    assert all(0 < cost < 10_000 for cost in job.found["tape"].values())
    job.found["tape"] = {name: cost / 2 for name, cost in job.found["ours"].items()}
    rows = [line for line in job.text().splitlines() if line.startswith("| ")][2:]
    assert len(rows) == len(bench.operations.LINKS)
    assert all(row.endswith("| 2.00 |") for row in rows)


def test_a_step_that_does_not_update_is_noticed(bench, tmp_path, monkeypatch):
    peer = bench.peers.ROWS["explicit"].load()(bench.workloads.Workload("s", "elman", **SMALL))
    monkeypatch.setattr(type(peer.optimizer), "step", lambda self: None)
    with pytest.raises(ArithmeticError, match="after a step embedding is not what SGD makes"):
        bench.worker.checked(peer, str(tmp_path / "g.npz"))


def test_a_peer_that_computes_something_else_is_not_timed(bench, monkeypatch):
    work = bench.workloads.Workload("small", "elman", **SMALL)
    answers = {"layer": np.ones(3), "loop": np.ones(3) * 1.01, "explicit": np.ones(3)}
    workers = {name: FakeWorker(gradient) for name, gradient in answers.items()}
    workers["compiled"] = FakeWorker(None)
    monkeypatch.setattr(bench.pairing, "PAUSE", 0)
    workers["compiled"].error = bench.pairing.PeerError("no plan")
    job = bench.training.Training(work)
    settings = bench.settings.Settings(rounds=3)
    bench.pairing.compare(work, list(workers), workers, 3, lambda line: None, job.found)
    assert job.found.times.keys() == {"layer", "explicit"}
    assert job.found.ratio("explicit", "layer") == 1.0
    assert [len(times) for times in job.found.times.values()] == [settings.rounds] * 2
    assert job.wrong
    assert "its gradients are 1e-02 apart, more than 0.0001." in job.text()
    assert "tinygradrnn compiled: no plan." in job.text()


class FakeWorker:
    """Answers as the process of a peer does."""

    error: Exception | None = None

    def __init__(self, gradient):
        self.gradient = gradient

    def ready(self):
        pass

    def ask(self, **request):
        if "path" in request and self.gradient is not None:
            np.savez(request["path"], W=self.gradient)

    def answer(self):
        if self.error:
            raise self.error
        return {"loss": 1.0, "first": 0.5, "seconds": 0.2, "peak": 1.0}


# ------------------------------------------------------------------------------------ the results


def test_sections_are_replaced_in_order_and_the_others_kept(bench, tmp_path):
    path = tmp_path / "RESULTS.md"
    order = ["One", "Two"]
    path.write_text("# Measured\n\n## By hand\n\nKept.\n\n### Below\n\n## Two\n\nold\n", "utf-8")
    bench.results.put_sections({"One": "first", "Two": "new"}, order, path)
    expected = (
        "# Measured\n\n## One\n\nfirst\n\n## Two\n\nnew\n\n## By hand\n\nKept.\n\n### Below\n"
    )
    assert path.read_text("utf-8") == expected
    bench.results.put_sections({}, order, path)
    assert path.read_text("utf-8") == expected


def test_it_runs(tmp_path):
    path = tmp_path / "RESULTS.md"
    options = ("--only", "W1", "--peers", "compiled,explicit,hand", "--rounds", "2")
    done = run(*options, "--output", path)
    assert done.returncode == 0, done.stderr
    assert "W1: round 2 of 2" in done.stderr
    assert f"Written to {path}: W1: Elman B=1 T=10 H=16 V=20" in done.stderr
    rows = [line.split(" | ") for line in path.read_text("utf-8").splitlines() if "| " in line]
    labels = [row[0].removeprefix("| ") for row in rows[2:]]
    assert labels == ["tinygradrnn explicit", "tinygradrnn compiled", "NumPy by hand"]
    assert all(float(row[1]) > 0 and float(row[5]) < 1e-4 for row in rows[2:])


def test_an_unknown_name_is_refused():
    done = run("--only", "W1,W9")
    assert done.returncode == 2
    assert "'W9' is not one of W1, W2" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C to send")
def test_what_was_measured_before_ctrl_c_is_written(tmp_path):
    path = tmp_path / "RESULTS.md"
    command = [sys.executable, "-u", str(FOLDER / "run.py"), "--only", "W1", "--rounds", "10000"]
    command += ["--peers", "explicit", "--output", str(path)]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while "round 1 of" not in process.stderr.readline():
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped by Ctrl-C." in errors
    assert "| tinygradrnn explicit |" in path.read_text("utf-8")
