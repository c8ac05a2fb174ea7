"""One training step of a small explicit graph, beside PyTorch's loop over RNNCell.

An Elman network of batch 1, input and hidden size 16, ten time steps: forward, backward and an SGD
update, every operation a node. Each peer lives in its own process (two thread pools in one process
disturb each other) and they take turns, so that a noisy machine hits all alike; compare the
ratios, not the times.

    python benchmarks/explicit_step.py            # needs torch: pip install torch
    python benchmarks/explicit_step.py --write    # also puts the table into benchmarks/RESULTS.md
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from results import environment, put_section

BATCH, STEPS, SIZE = 1, 10, 16
LEARNING_RATE = 0.1
PEERS = ("tinygradrnn", "PyTorch RNNCell loop", "NumPy by hand")


def problem() -> dict[str, Any]:
    """The same numbers for every peer."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: (rng.standard_normal(shape) * 0.3).astype(np.float32)  # noqa: E731
    return {
        "x": draw(BATCH, STEPS, SIZE),
        "target": draw(BATCH, SIZE),
        "W_x": draw(SIZE, SIZE),
        "W_s": draw(SIZE, SIZE),
        "b": draw(SIZE),
    }


def tinygradrnn_step() -> Callable[[], float]:
    """The explicit path of this project."""
    import tinygradrnn as tg
    from tinygradrnn import functional as F
    from tinygradrnn import nn

    p = problem()
    rnn = nn.RNN(nn.ElmanCell(SIZE, SIZE))
    rnn.cell.W_x, rnn.cell.W_s, rnn.cell.b = p["W_x"], p["W_s"], p["b"]
    optimizer = tg.optim.SGD(rnn.parameters(), lr=LEARNING_RATE)
    x, target = tg.tensor(p["x"]), tg.tensor(p["target"])

    def step() -> float:
        loss = F.mse_loss(rnn(x).last, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def torch_step() -> Callable[[], float]:
    """PyTorch's own cell, in the explicit loop that its documentation shows."""
    import torch

    torch.set_num_threads(2)
    p = {name: torch.from_numpy(value) for name, value in problem().items()}
    cell = torch.nn.RNNCell(SIZE, SIZE)
    with torch.no_grad():
        cell.weight_ih.copy_(p["W_x"].T)
        cell.weight_hh.copy_(p["W_s"].T)
        cell.bias_ih.copy_(p["b"])
        cell.bias_hh.zero_()
    cell.bias_hh.requires_grad_(False)  # one bias, as in the other peers
    optimizer = torch.optim.SGD([q for q in cell.parameters() if q.requires_grad], lr=LEARNING_RATE)
    x, target = p["x"], p["target"]

    def step() -> float:
        s = torch.zeros(BATCH, SIZE)
        for t in range(STEPS):
            s = cell(x[:, t], s)
        loss = torch.nn.functional.mse_loss(s, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


def numpy_step() -> Callable[[], float]:
    """Forward and backward written out: what no framework can be faster than by much."""
    p = problem()
    x, target, W_x, W_s, b = (p[name] for name in ("x", "target", "W_x", "W_s", "b"))

    def step() -> float:
        states = [np.zeros((BATCH, SIZE), np.float32)]
        for t in range(STEPS):
            states.append(np.tanh(x[:, t] @ W_x + states[-1] @ W_s + b))
        difference = states[-1] - target
        g = 2 * difference / difference.size
        dW_x, dW_s, db = np.zeros_like(W_x), np.zeros_like(W_s), np.zeros_like(b)
        for t in reversed(range(STEPS)):
            g = g * (1 - states[t + 1] ** 2)
            dW_x += x[:, t].T @ g
            dW_s += states[t].T @ g
            db += g.sum(axis=0)
            g = g @ W_s.T
        for weight, gradient in ((W_x, dW_x), (W_s, dW_s), (b, db)):
            weight -= LEARNING_RATE * gradient
        return float((difference**2).mean())

    return step


def work(peer: str) -> None:
    """Run on request: a line with a count comes in, a line with µs per step and loss goes out."""
    makers = dict(zip(PEERS, (tinygradrnn_step, torch_step, numpy_step), strict=True))
    step = makers[peer]()
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            loss = step()
        spent = time.perf_counter() - start
        print(spent / int(line) * 1e6, loss, flush=True)


def compare(rounds: int, steps: int) -> dict[str, list[float]]:
    """µs per step of each peer in each round; the losses must agree."""
    workers = {
        peer: subprocess.Popen(
            [sys.executable, __file__, "--worker", peer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for peer in PEERS
    }
    times: dict[str, list[float]] = {peer: [] for peer in PEERS}
    for round_ in range(rounds + 1):
        losses = {}
        for peer, worker in workers.items():
            assert worker.stdin and worker.stdout
            print(steps, file=worker.stdin, flush=True)
            answer = worker.stdout.readline().split()
            if not answer:
                sys.exit(f"{peer} failed; is it installed?")
            spent, losses[peer] = map(float, answer)
            if round_:  # the first warms up
                times[peer].append(spent)
        if not np.allclose(list(losses.values()), losses[PEERS[-1]], rtol=1e-3, atol=1e-7):
            sys.exit(f"the peers do not compute the same: losses {losses}")
        print(f"round {round_} of {rounds}", file=sys.stderr)
    for worker in workers.values():
        assert worker.stdin
        worker.stdin.close()
        worker.wait()
    return times


def main() -> None:
    """Measure, print the table, and keep it where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--steps", type=int, default=300, help="steps of each peer in a round")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        work(arguments.worker)
        return
    times = compare(arguments.rounds, arguments.steps)
    reference = times[PEERS[1]]
    rows = [f"| peer | µs per step (median) | ratio to {PEERS[1]} |", "|---|---|---|"]
    for peer in PEERS:
        ratio = statistics.median(a / b for a, b in zip(times[peer], reference, strict=True))
        rows.append(f"| {peer} | {statistics.median(times[peer]):.0f} | {ratio:.2f} |")
    table = "\n".join(rows)
    print(table)
    if arguments.write:
        text = (
            f"Elman, batch {BATCH}, hidden {SIZE}, {STEPS} time steps, float32: forward, backward, "
            f"SGD; {arguments.rounds} rounds of {arguments.steps} steps, in turns; ratios are "
            f"medians of same-round ratios.\n\n{table}\n\n{environment('numpy', 'torch')}"
        )
        print("written to", put_section("explicit_step.py", text))


if __name__ == "__main__":
    main()
