"""One peer in a process of its own: a request in JSON comes in on a line, an answer goes out.

The first answer, to nothing, says that all is imported.

{"prepare": {workload}, "path": file}   makes it and does a step; then, if there is a file,
                                        checks that updates arrive, and writes its gradients
{"time": n}                             a step to warm up, then n steps
"""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from peers import ALL, Peer
from workloads import RATE, Workload


def checked(peer: Peer, path: str) -> float:
    """The loss and gradients of a step from the initial weights, taken as all later steps are."""
    peer.reset()
    before = {name: array.copy() for name, array in peer.matrices().items()}
    loss = peer.step()
    moved = {name: array.copy() for name, array in peer.matrices().items()}
    gradients = peer.gradients()
    for name, after in moved.items():
        wanted = before[name] - RATE * gradients[name]
        if not np.allclose(after, wanted, rtol=1e-5, atol=1e-6):
            raise ArithmeticError(f"after a step {name} is not what SGD makes of its gradient")
    np.savez(path, **gradients)
    return loss


def timed(peer: Peer, steps: int) -> dict[str, Any]:
    """Seconds of each step, and the loss at the end."""
    peer.step()
    seconds = []
    for _ in range(steps):
        start = time.perf_counter()
        loss = peer.step()
        seconds.append(time.perf_counter() - start)
    return {"seconds": float(np.median(seconds)), "loss": loss}


def peak(baseline: float) -> float:
    """MB that the process has held at most, above what it held after its imports."""
    return resident("VmHWM") - baseline


def resident(line: str) -> float:
    """A line of Linux's account of the process's memory, in MB; 0 where there is none."""
    status = Path("/proc/self/status")
    found = re.search(rf"{line}:\s*(\d+)", status.read_text()) if status.exists() else None
    return int(found[1]) / 1024 if found else 0.0


def main(name: str) -> None:
    """Answer until the requests end."""
    answers = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr  # a package that prints must not answer
    make = ALL[name].load()
    baseline = resident("VmRSS")
    print("{}", file=answers, flush=True)  # ready
    peer: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "prepare" in request:
                peer = None  # the last workload's memory
                start = time.perf_counter()
                peer = make(Workload(**request["prepare"]))
                peer.step()
                answer: dict[str, Any] = {"first": time.perf_counter() - start}
                if request["path"] is not None:
                    answer["loss"] = checked(peer, request["path"])
            else:
                answer = timed(peer, request["time"])
            answer["peak"] = peak(baseline)
            answer["device"] = peer.device_memory() if hasattr(peer, "device_memory") else 0.0
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
