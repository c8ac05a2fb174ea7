"""Python in a process of its own, for what a test must not change or see in the current one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_python(
    code: str,
    *options: str,
    backend: str | None = None,
    path: tuple[Path | str, ...] = (),
    cwd: Path = ROOT / "tests",
    fails: bool = False,
) -> str:
    """Run a program and return what it printed.

    `backend` is the value of TINYGRADRNN_BACKEND, `path` goes before the rest of `sys.path`. With
    `fails` the program must fail, and the last line of its traceback is returned.
    """
    environment = {k: v for k, v in os.environ.items() if k != "TINYGRADRNN_BACKEND"}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
    if backend is not None:
        environment["TINYGRADRNN_BACKEND"] = backend
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stderr.strip().splitlines()[-1] if fails else done.stdout.strip()


def pip_install(source: Path, target: Path) -> None:
    """Install a folder or a wheel into `target`, without an index and without dependencies."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(target)]
    done = subprocess.run(
        [*command, *options, str(source)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
