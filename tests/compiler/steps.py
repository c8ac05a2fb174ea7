"""Steps of training to be run twice: as they are, and compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.compiler.arguments import Given, opened, signature
from tinygradrnn.ranges import leaf_on
from tinygradrnn.trees import tensors_of

BATCH, STEPS, FEATURES, HIDDEN = 3, 5, 4, 6


class Own(nn.Cell):
    """A minimal gated unit (Zhou and others, 2016), of one matrix for [x_t s] and each gate."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        rng = np.random.default_rng(3)
        shape = (input_size + hidden_size, hidden_size)
        self.W_f, self.W_g = (nn.Parameter(rng.standard_normal(shape) * 0.4) for _ in range(2))

    def transition(self, state: Any, x: tg.Tensor) -> tg.Tensor:
        f = F.sigmoid(F.concatenate([x, state], axis=-1) @ self.W_f)
        return (1 - f) * state + f * F.tanh(F.concatenate([x, f * state], axis=1) @ self.W_g)

    def initial_state(self, batch: int) -> tg.Tensor:
        return self.zeros(batch, self.hidden_size)


CELLS: dict[str, Callable[[], nn.Cell]] = {
    "elman": lambda: nn.ElmanCell(FEATURES, HIDDEN),
    "elman relu": lambda: nn.ElmanCell(FEATURES, HIDDEN, activation="relu"),
    "irnn": lambda: nn.IRNNCell(FEATURES, HIDDEN),
    "jordan": lambda: nn.JordanCell(FEATURES, HIDDEN, HIDDEN),
    "lstm": lambda: nn.LSTMCell(FEATURES, HIDDEN),
    "lstm no bias": lambda: nn.LSTMCell(FEATURES, HIDDEN, bias=False),
    "lstm peephole": lambda: nn.LSTMCell(FEATURES, HIDDEN, peephole=True),
    "lstm coupled": lambda: nn.LSTMCell(FEATURES, HIDDEN, coupled=True),
    "gru": lambda: nn.GRUCell(FEATURES, HIDDEN),
    "own": lambda: Own(FEATURES, HIDDEN),
    "gru reset after": lambda: nn.GRUCell(FEATURES, HIDDEN, reset="after", update="state"),
    "deep": lambda: nn.DeepElmanCell(
        FEATURES, HIDDEN, input_layers=2, transition_layers=2, output_layers=2
    ),
    "clockwork": lambda: nn.ClockworkCell(FEATURES, HIDDEN, periods=[1, 2]),
    "scrn": lambda: nn.SCRNCell(FEATURES, HIDDEN, 2, alpha=0.9),
    "scrn learned": lambda: nn.SCRNCell(FEATURES, HIDDEN, 2, alpha="learned"),
}
WIDTH = dict.fromkeys(CELLS, HIDDEN) | dict.fromkeys(("scrn", "scrn learned"), HIDDEN + 2)
OPTIMISERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: tg.optim.SGD(p, 0.1),
    "momentum": lambda p: tg.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01),
    "nesterov": lambda p: tg.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    "adagrad": lambda p: tg.optim.Adagrad(p, 0.1),
    "rmsprop": lambda p: tg.optim.RMSprop(p, 0.01, momentum=0.5),
    "adam": lambda p: tg.optim.Adam(p, 0.01),
    "adamw": lambda p: tg.optim.AdamW(p, 0.01),
}
Make = Callable[
    [], tuple[nn.Module, Any, Callable[..., Any], Callable[[np.random.Generator], tuple]]
]


class Model(nn.Module):
    """A recurrent layer with a readout."""

    def __init__(self, rnn: nn.Module, width: int) -> None:
        self.rnn, self.readout = rnn, nn.Linear(width, 3)

    def forward(self, x: Any, **options: Any) -> Any:
        return self.readout(self.rnn(x, **options).y)


def regression(
    rnn: Callable[[], nn.Module],
    width: int = HIDDEN,
    optimiser: str = "sgd",
    clip: float | None = None,
    with_lengths: bool = False,
    dtype: str = "float64",
) -> Make:
    """½ (y − target)² at every step."""

    def make() -> Any:
        tg.manual_seed(0)
        model = Model(rnn(), width).astype(dtype)
        optimizer = OPTIMISERS[optimiser](model.parameters())

        def step(x: Any, target: Any, *lengths: Any) -> Any:
            y = model(x, lengths=lengths[0]) if lengths else model(x)
            loss = F.half_squared_error(y, target, reduction="mean")
            optimizer.zero_grad()
            loss.backward()
            norm = tg.optim.clip_grad_norm(model.parameters(), clip) if clip else loss
            optimizer.step()
            return loss, norm

        def batch(rng: np.random.Generator) -> tuple[Any, ...]:
            x = rng.standard_normal((BATCH, STEPS, FEATURES)).astype(dtype)
            target = rng.standard_normal((BATCH, STEPS, 3)).astype(dtype)
            if not with_lengths:
                return x, target
            return x, target, rng.integers(1, STEPS + 1, BATCH)

        return model, optimizer, step, batch

    return make


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, given what a compiled one is given inside: tensors for arrays."""

    def called(*arguments: Any) -> Any:
        given = Given()
        signature(arguments, given)
        leaves = (leaf_on(array, tg.get_backend()) for array in given.arrays)
        return function(*opened(arguments, leaves))

    return called


def both(make: Make, steps: int = 4, **options: Any) -> tuple[float, Any]:
    """The largest relative difference of results and weights after some steps; the compiled."""
    runs = []
    compiled: Any = None
    for use in (False, True):
        model, _, step, batch = make()
        step = tg.compile(step, **{"fast": False, **options}) if use else eager(step)
        compiled = step
        rng = np.random.default_rng(1)
        results = [tuple(step(*batch(rng))) for _ in range(steps)]
        runs.append((numbers(results), [p.numpy() for p in model.parameters()]))
    return largest_difference(runs[0], runs[1]), compiled


def numbers(tree: Any) -> list[np.ndarray]:
    """The values of all tensors in a structure."""
    return [tensor.numpy() for tensor in tensors_of(tree)]


def same(run: Callable[[Callable[..., Any]], Any], tolerance: float = 1e-10, **options: Any) -> Any:
    """Run a program with its steps as they are, then with compiled ones; compare what it returns.

    Returns the compiled functions.
    """
    made: list[Any] = []

    def compiled(function: Callable[..., Any]) -> Any:
        made.append(tg.compile(function, **options))
        return made[-1]

    outcomes = []
    for wrap in (eager, compiled):
        tg.manual_seed(0)
        outcomes.append(numbers(run(wrap)))
    assert len(outcomes[0]) == len(outcomes[1]) > 0
    assert [a.dtype for a in outcomes[0]] == [a.dtype for a in outcomes[1]]
    assert [a.shape for a in outcomes[0]] == [a.shape for a in outcomes[1]]
    assert largest_difference((outcomes[0],), (outcomes[1],)) <= tolerance
    return made if len(made) > 1 else made[0]


def largest_difference(one: Sequence[Any], two: Sequence[Any]) -> float:
    """Over all arrays, relative to the largest element of each."""
    worst = 0.0
    for parts in zip(one, two, strict=True):
        for a, b in zip(*parts, strict=True):
            if a.dtype.kind != "f":
                assert (a == b).all()
            elif a.size:
                finite = np.isfinite(a)
                np.testing.assert_array_equal(a[~finite], b[~finite])
                scale = max(float(np.abs(a[finite]).max(initial=0)), 1e-3)
                worst = max(worst, float(np.abs(a - b)[finite].max(initial=0)) / scale)
    return worst


# ------------------------------------------------------------------------- a small network

X = np.random.default_rng(5).standard_normal((6, 3, 5, 4))
TARGET = np.random.default_rng(6).standard_normal((6, 3, 5, 2))


class Net(nn.Module):
    """An LSTM with a readout, float64."""

    def __init__(self, dropout=0.0):
        self.rnn, self.drop, self.readout = nn.LSTM(4, 3), nn.Dropout(dropout), nn.Linear(3, 2)
        self.astype("float64")

    def forward(self, x, state=None):
        output = self.rnn(x, state)
        return self.readout(self.drop(output.y)), output.state


def loss_of(net, x, target):
    return F.half_squared_error(net(x)[0], target, reduction="mean")


def stepping(net, optimizer):
    def step(x, target):
        loss = loss_of(net, x, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return step


def memory(optimizer):
    return [tg.tensor(a) for slots in optimizer.slots for a in slots.values()]
