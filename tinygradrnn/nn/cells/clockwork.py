"""The clockwork RNN: blocks of units that tick at different periods."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from tinygradrnn import functional as F
from tinygradrnn.backend import backend_of
from tinygradrnn.nn import initialisers
from tinygradrnn.nn.cells.base import Cell
from tinygradrnn.nn.layers import positive
from tinygradrnn.nn.modules import Parameter
from tinygradrnn.ops import Op
from tinygradrnn.ranges import known_range, ranged
from tinygradrnn.recording import Leaf, scope
from tinygradrnn.recording import state as recording
from tinygradrnn.tensors import Tensor, as_tensor


class ClockworkState(NamedTuple):
    """The state of a clockwork RNN: s (B, H), and the clock (B,): how many steps were read."""

    s: Tensor
    clock: Tensor


class ClockworkCell(Cell):
    """The units are split into blocks; block k changes only when its period divides the clock.

    With s[k] the units of block k and W_s[j, k] the weights from block j to block k:

    s_t[k] = tanh(x_t W_x[k] + Σ_{j ≥ k} s_{t−1}[j] W_s[j, k] + b[k])  if the period divides n,
    s_t[k] = s_{t−1}[k]  otherwise;  y_t = s_t.

    The clock n counts the steps read before this one: it is 0 at the first step in reading order
    (the last step of a layer that runs backwards), where all blocks tick. It is part of the state,
    each sequence has its own, so it goes on from window to window and stands still past a length.
    Blocks stand from the fastest to the slowest; a block reads itself and slower ones, so W_s is
    used block by block on and below its diagonal (row vectors; with the paper's column vectors,
    above), starts as zeros elsewhere and gets no gradient there.

    Koutník et al. 2014; note set 004. Others count from 1: then block k ticks for the first time at
    step ``periods[k]``.

    In the graph a block that ticks is computed under the scope ``block 2 (period 4)``, one that
    does not is a slice of the old state, and the state joins them. Only where some sequences of the
    batch tick and others do not (a layer that runs backwards over unequal lengths) a block is
    computed and chosen from by the mask ``ticks``. The clock decides this in Python while the graph
    is recorded. Under ``tg.compile`` a clock that may be another one at the next call (carried from
    call to call, or lengths were given) decides in the graph: all blocks are computed at all steps,
    and chosen from. So does, on a GPU, one that could be read only by waiting (unequal lengths).

    Parameters
    ----------
    input_size, hidden_size : int
        F and H; H is divided by the number of periods.
    periods : sequence of int
        One for each block, ascending, such as (1, 2, 4, 8).

    Attributes
    ----------
    W_x : Parameter (input_size, hidden_size)
    W_s : Parameter (hidden_size, hidden_size)
    b : Parameter (hidden_size,)
    """

    def __init__(self, input_size: int, hidden_size: int, *, periods: Sequence[int]) -> None:
        positive(input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.periods = checked_periods(periods)
        self.variant = f"periods {', '.join(map(str, self.periods))}"
        blocks = len(self.periods)
        if hidden_size % blocks:
            raise ValueError(
                f"ClockworkCell: hidden_size = {hidden_size} is not divisible by the {blocks} "
                f"periods {self.periods}; every block has as many units"
            )
        self.W_x = Parameter(initialisers.glorot((input_size, hidden_size)))
        block = np.arange(hidden_size) // (hidden_size // blocks)
        reads = block[:, None] >= block
        self.W_s = Parameter(initialisers.orthogonal((hidden_size, hidden_size)) * reads)
        self.b = Parameter(initialisers.zeros((hidden_size,)))
        self.equations = self._equations()

    def _equations(self) -> dict[str, str]:
        lines = {}
        for k, period in enumerate(self.periods, 1):
            a = f"x_t @ W_x[{k}] + s_{{t−1}}[{k}:] @ W_s[{k}:, {k}] + b[{k}]"
            line = f"s_t[{k}] = tanh({a}) if {period} divides n, else s_{{t−1}}[{k}]"
            lines[f"block {k} (period {period})"] = lines[f"block {k} holds"] = line
        blocks = " ; ".join(f"s_t[{k}]" for k, _ in enumerate(self.periods, 1))
        lines["s"] = f"s_t = [{blocks}]"
        lines["clock"] = "n = how many steps were read before"
        return lines

    def transition(self, state: ClockworkState, x: Tensor) -> ClockworkState:
        """R: the next s (B, H), and the clock."""
        s, clock = state
        read = _read(clock)
        size = self.hidden_size // len(self.periods)
        blocks = []
        for k, period in enumerate(self.periods):
            start = k * size
            own = slice(start, start + size)
            ticks = None if read is None else read % period == 0
            if ticks is not None and not ticks.any():
                blocks.append(_named(s[:, own], f"block {k + 1} holds"))
                continue
            with scope(f"block {k + 1} (period {period})"):
                a = x @ self.W_x[:, own] + s[:, start:] @ self.W_s[start:, own] + self.b[own]
                new = F.tanh(a)
                if ticks is None:
                    new = F.where(divides(clock, period=period)[:, None], new, s[:, own])
                elif not ticks.all():
                    new = F.where(_column(ticks, s), new, s[:, own])
            blocks.append(_named(new, f"block {k + 1} ticks"))
        after = Tensor(ranged(clock.node, (clock + 1).node, by=1))
        return ClockworkState(F.concatenate(blocks, axis=-1), after)

    def initial_state(self, batch: int) -> ClockworkState:
        """Zeros (B, H), and a clock (B,) at 0."""
        start = self.zeros(batch, self.hidden_size)
        return ClockworkState(start, as_tensor(np.zeros(batch, np.int64), beside=start))


divides = Op("divides", lambda xp, n, period: n % period == 0)


def _read(clock: Tensor) -> np.ndarray[Any, Any] | None:
    """The clock on the host; None if it may be another at the next call, or lies on a device.

    There all sequences most often stand at the same step, and then it is known.
    """
    if recording.capture is not None and recording.capture.changes(clock.node):
        return None
    if isinstance(clock.node.value, np.ndarray):
        return clock.numpy()
    low, high = known_range(clock.node) or (0, 1)
    return np.full(clock.shape, low) if low == high else None


def _column(ticks: np.ndarray[Any, Any], beside: Tensor) -> Tensor:
    return Tensor(Leaf(backend_of(beside.node.value).asarray(ticks[:, None]), name="ticks"))


def checked_periods(periods: Sequence[int]) -> tuple[int, ...]:
    """The periods as a tuple, or a ValueError that says how they must be."""
    checked = tuple(periods)
    whole = all(isinstance(p, int | np.integer) and not isinstance(p, bool) for p in checked)
    if not (checked and whole and checked[0] >= 1 and all(a < b for a, b in pairwise(checked))):
        raise ValueError(
            "ClockworkCell: periods must be integers of at least 1, ascending (the fastest block "
            f"first), such as (1, 2, 4), got {checked}"
        )
    return checked


def _named(block: Tensor, name: str) -> Tensor:
    """Say in pictures which block ticked."""
    block.name = name
    return block
