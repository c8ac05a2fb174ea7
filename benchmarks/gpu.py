"""Measure this project on a GPU, beside PyTorch on the same GPU if it is installed.

    python benchmarks/gpu.py              # all, in under eight minutes; writes RESULTS.md, gpu.json
    python benchmarks/gpu.py --only LSTM-64x128x512,operations
    python benchmarks/gpu.py --tf32       # products in TensorFloat-32, PyTorch's too
    python benchmarks/gpu.py --dry-run    # small, with NumPy in place of a GPU: does this work?

It needs NumPy and CuPy. Without a GPU it says why it cannot measure, and leaves what is written as
it is. Ctrl-C writes what was measured so far.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from on_device import Operations, ScatterAdd, Steps, summary
from pairing import Workers
from peers import GPU_ROWS
from results import RESULTS, environment, put_sections
from settings import Settings
from workloads import Workload

import tinygradrnn as tg
from tinygradrnn.backend import BackendUnavailableError, available_backends

HEADING = "GPU"
JSON = Path(__file__).with_name("gpu.json")
PACKAGES = ("numpy", "cupy-cuda12x", "cupy-cuda13x", "torch")
SIZES = ((32, 64, 128), (64, 128, 512), (256, 128, 1024))  # B, T, H
LIMIT = 400  # seconds after which no further workload begins
SMALL = ((2, 5, 8), (3, 6, 16))  # of a dry run
INTERRUPTED, WRONG, NO_GPU = 130, 1, 1
NOT_MEASURED = (
    "Not yet measured: no machine with a GPU was at hand. `python benchmarks/gpu.py` on one writes "
    "this section; nothing in it is an estimate."
)


def all_jobs(sizes: tuple[tuple[int, int, int], ...]) -> list[Any]:
    """In the order of the results."""
    steps = [
        Steps(Workload(f"{cell.upper()}-{B}x{T}x{H}", cell, B, T, H))
        for cell in ("lstm", "gru")
        for B, T, H in sizes
    ]
    return [Operations(sizes[-1]), ScatterAdd(sizes[-1]), *steps]


def method(settings: Settings) -> str:
    """How the numbers come about."""
    dry = "**A dry run with NumPy: nothing here is about a GPU.** " if settings.quick else ""
    return dry + (
        "As on the CPU (see “How it is measured”): an embedding, one recurrent layer, a linear "
        "layer and the softmax cross-entropy, in float32, a step being forward, backward, SGD and "
        "reading the loss, for which the host waits. Ids come from the host at each step. "
        "Gradients are compared before anything is timed. Goals stand behind ≤ (at H ≥ 512), bold "
        f"where they are not reached. {settings.rounds} rounds, in turns. MB is what arrays take "
        "on the device: of tinygradrnn what CuPy's pool holds, of PyTorch the most that was "
        "allocated."
    )


def main() -> int:
    """Measure what is asked for and write it down."""
    arguments = parsed()
    settings = Settings(
        rounds=arguments.rounds or (2 if arguments.dry_run else Settings.rounds),
        quick=arguments.dry_run,
        peers=tuple(peer for peer, row in GPU_ROWS.items() if row.installed),
    )
    jobs = all_jobs(SMALL if arguments.dry_run else SIZES)
    unknown = sorted(set(arguments.only) - {job.name for job in jobs})
    if unknown:
        settings.say(f"{unknown[0]!r} is not one of {', '.join(job.name for job in jobs)}")
        return 2
    if "gpu-layer" not in settings.peers:
        settings.say("torch is not installed: its rows are left out")
    backend, why = started(arguments.dry_run, arguments.tf32)
    if backend is None:
        settings.say(f"Nothing can be measured: {why}")
        if arguments.output and not written(arguments.output):
            put_sections({HEADING: text_of(jobs, settings, "")}, (), arguments.output)
        return NO_GPU
    chosen = [job for job in jobs if not arguments.only or job.name in arguments.only]
    stopped = measured(chosen, settings)
    tf32 = ", products in TF32" if arguments.tf32 else ""
    where = f"{environment(PACKAGES)}; {device_of(backend)}{tf32}."
    if any(job.found for job in chosen):
        save(jobs, settings, where, arguments)
    wrong = [job.name for job in chosen if job.wrong]
    if wrong:
        settings.say(f"Peers computed different numbers in: {', '.join(wrong)}")
    return INTERRUPTED if stopped else WRONG if wrong else 0


def started(dry_run: bool, tf32: bool) -> tuple[Any, str]:
    """The backend for this process and the ones that it starts; or None, and why."""
    name = "numpy" if dry_run else "cupy"
    os.environ["TINYGRADRNN_BACKEND"] = name
    os.environ["BENCHMARK_DEVICE"] = "cpu" if dry_run else "cuda"
    if tf32:
        os.environ["CUPY_TF32"] = "1"
    usable, reason = available_backends()[name]
    if not usable:
        return None, reason
    try:
        return tg.use_backend(name), ""
    except BackendUnavailableError as error:
        return None, str(error)


def device_of(backend: Any) -> str:
    """Which GPU, and the CUDA of its driver and of CuPy."""
    if not hasattr(backend.xp, "cuda"):
        return str(backend.device)
    runtime = backend.xp.cuda.runtime
    driver, built = (
        f"{version // 1000}.{version % 1000 // 10}"
        for version in (runtime.driverGetVersion(), runtime.runtimeGetVersion())
    )
    return f"{backend.device}, its driver for CUDA {driver}, CuPy for {built}"


def measured(jobs: list[Any], settings: Settings) -> bool:
    """Run the jobs; whether Ctrl-C ended them."""
    begin = time.perf_counter()
    with Workers(settings.threads) as workers:
        try:
            for job in jobs:
                start = time.perf_counter()
                if start - begin > LIMIT:
                    settings.say(f"{job.name} is left out: {LIMIT} s are over")
                    continue
                job.run(settings, workers)
                settings.say(f"{job.name} took {time.perf_counter() - start:.0f} s")
                shown = summary([job]) if isinstance(job, Steps) else job.text()
                print(f"\n{job.heading}\n\n{shown}", flush=True)
        except KeyboardInterrupt:
            settings.say("Stopped by Ctrl-C.")
            return True
        finally:
            settings.say(f"{time.perf_counter() - begin:.0f} s.")
    return False


def text_of(jobs: list[Any], settings: Settings, where: str) -> str:
    """The section: what was measured, and what was not yet."""
    steps = [job for job in jobs if isinstance(job, Steps)]
    others = [job for job in jobs if job not in steps and job.found]
    parts = [method(settings) if where else NOT_MEASURED, summary(steps)]
    parts += [f"### {job.heading}\n\n{job.text()}" for job in others]
    return "\n\n".join([*parts, where]).strip()


def written(path: Path) -> bool:
    """Whether the file has the section."""
    return path.exists() and f"## {HEADING}\n" in path.read_text("utf-8")


def save(jobs: list[Any], settings: Settings, where: str, arguments: argparse.Namespace) -> None:
    """RESULTS.md and the JSON file; what is not asked for is not written."""
    if arguments.output is None:
        settings.say("Nothing is written by --dry-run without --output.")
        return
    put_sections({HEADING: text_of(jobs, settings, where)}, (), arguments.output)
    found = {job.name: job.data() for job in jobs if job.found}
    content = json.dumps({"environment": where, "rounds": settings.rounds, **found}, indent=1)
    arguments.json.write_text(content + "\n", "utf-8")
    settings.say(f"Written to {arguments.output} and {arguments.json}")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], metavar="NAMES")
    parser.add_argument("--rounds", type=int, help=f"(default: {Settings.rounds})")
    parser.add_argument("--tf32", action="store_true", help="products in TensorFloat-32")
    parser.add_argument("--dry-run", action="store_true", help="small, on NumPy")
    parser.add_argument("--output", type=Path, help="file to write (default: RESULTS.md)")
    parser.add_argument("--json", type=Path, help="(default: gpu.json beside it)")
    arguments = parser.parse_args()
    if not arguments.dry_run:
        arguments.output = arguments.output or RESULTS
    if arguments.output:
        arguments.json = arguments.json or arguments.output.with_name(JSON.name)
    return arguments


if __name__ == "__main__":
    raise SystemExit(main())
