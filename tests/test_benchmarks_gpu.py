"""benchmarks/gpu.py: that it works, tried with NumPy, and what it does where there is no GPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from device.double import DoubleBackend
from processes import ROOT

import tinygradrnn as tg
from tinygradrnn.backend import available_backends, backend_of_type
from tinygradrnn.testing.arrays import GuardArray

PROGRAM = [sys.executable, "-u", str(ROOT / "benchmarks" / "gpu.py")]
USABLE, REASON = available_backends()["cupy"]
SECTION = "\n## GPU\n"


@pytest.fixture
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """In which kernels of Numba are kept for the next time that the tests run."""
    cache = request.config.cache
    assert cache is not None
    return {**os.environ, "TINYGRADRNN_CACHE": str(cache.mkdir("kernels"))}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of the benchmarks by name, for the time of a test."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    before = set(sys.modules)
    yield import_module
    for name in set(sys.modules) - before:
        if str(ROOT / "benchmarks") in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def run(*options: object, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, options)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **more)


def test_a_dry_run(tmp_path: Path, environment: dict[str, str]) -> None:
    path = tmp_path / "RESULTS.md"
    path.write_text("# Measured\n\n## By hand\n\nKept.\n", "utf-8")
    only = "LSTM-2x5x8,operations,scatter-add"
    done = run("--dry-run", "--only", only, "--rounds", 1, "--output", path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "LSTM-2x5x8: round 1 of 1" in done.stderr
    text = path.read_text("utf-8")
    assert text.index("Kept.") < text.index(SECTION) < text.index("A dry run with NumPy")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| LSTM B=2")]
    assert len(rows) == 3  # time, memory, the first step
    assert all(float(cell) > 0 for cell in rows[0][3:6])  # PyTorch may be there or not
    assert "| GRU B=2 T=5 H=8 V=96 | not yet measured | " in text
    found = json.loads((tmp_path / "gpu.json").read_text("utf-8"))
    assert set(found) == {"environment", "rounds", *only.split(",")}
    assert "numpy" in found["environment"] and "cpu" in found["environment"]
    assert all(apart < 1e-4 for apart in found["LSTM-2x5x8"]["differences"].values())
    assert found["scatter-add"]["backend.scatter_add"]["different results"] == 1
    assert all(times[0] > 0 for times in found["operations"].values())


@pytest.mark.skipif(USABLE, reason="there is a GPU")
def test_without_a_gpu_it_says_why(tmp_path: Path) -> None:
    path = tmp_path / "RESULTS.md"
    for _ in range(2):
        done = run("--output", path)
        assert done.returncode == 1
        assert f"Nothing can be measured: {REASON}" in done.stderr
        text = path.read_text("utf-8")
        assert text.count(SECTION) == 1 and "Not yet measured" in text
    assert text.count("| LSTM ") == text.count("| GRU ") == 3
    path.write_text(f"# Measured\n{SECTION}\nMeasured before.\n", "utf-8")
    run("--output", path)
    assert "Measured before." in path.read_text("utf-8")
    assert not (tmp_path / "gpu.json").exists()


def test_what_is_measured_of_a_device(bench: Any) -> None:
    """On the stand-in for CuPy, which compiles kernels too."""
    jobs, quick = bench("on_device"), bench("settings").Settings(quick=True)
    sizes = (3, 4, 8)
    with tg.backend_scope(DoubleBackend()):
        operations, adding = jobs.Operations(sizes), jobs.ScatterAdd(sizes)
        for job in (operations, adding):
            job.run(quick, None)
    backend_of_type.pop(GuardArray)
    assert "| four gates, as a kernel |" in operations.text()
    assert [row["different results"] for row in adding.found.values()] == [1, 1]


def test_the_device_is_described(bench: Any) -> None:
    runtime = SimpleNamespace(driverGetVersion=lambda: 13020, runtimeGetVersion=lambda: 12090)
    xp = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    backend = SimpleNamespace(device="NVIDIA H200 (GPU 0)", xp=xp)
    described = bench("gpu").device_of(backend)
    assert described == "NVIDIA H200 (GPU 0), its driver for CUDA 13.2, CuPy for 12.9"


def test_the_results_have_the_section() -> None:
    text = (ROOT / "benchmarks" / "RESULTS.md").read_text("utf-8")
    section = text.partition(SECTION)[2].partition("\n## ")[0]
    assert section.count("| LSTM B=") >= 3
    assert "dry run" not in section


def test_an_unknown_name_is_refused() -> None:
    done = run("--dry-run", "--only", "LSTM")
    assert done.returncode == 2
    assert "'LSTM' is not one of operations, scatter-add, LSTM-2x5x8" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no Ctrl-C to send")
def test_what_was_measured_before_ctrl_c_is_written(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    path = tmp_path / "RESULTS.md"
    options = ["--dry-run", "--only", "scatter-add,LSTM-2x5x8", "--rounds", "100000"]
    process = subprocess.Popen(
        [*PROGRAM, *options, "--output", str(path)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "round 1 of" in line:
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Stopped by Ctrl-C." in errors
    text = path.read_text("utf-8")
    assert "| `backend.scatter_add` |" in text
    assert text.count("| LSTM B=2 T=5 H=8 V=96 |") == 3
