"""Draw every cell at every level, with the gradients of a real backward pass.

python tutorials/gallery.py gallery            # all pictures, as SVG, into a folder
python tutorials/gallery.py --readme           # those of the README, as PNG, into pictures/
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn

BATCH, FEATURES, HIDDEN = 2, 3, 4
LEVELS = ("op", "gate", "cell", "layer")
CELLS: dict[str, Callable[[], nn.Cell]] = {
    "elman": lambda: nn.ElmanCell(FEATURES, HIDDEN),
    "jordan": lambda: nn.JordanCell(FEATURES, HIDDEN, HIDDEN),
    "lstm": lambda: nn.LSTMCell(FEATURES, HIDDEN),
    "lstm-peephole": lambda: nn.LSTMCell(FEATURES, HIDDEN, peephole=True),
    "lstm-coupled": lambda: nn.LSTMCell(FEATURES, HIDDEN, coupled=True),
    "gru": lambda: nn.GRUCell(FEATURES, HIDDEN),
    "gru-reset-after": lambda: nn.GRUCell(FEATURES, HIDDEN, reset="after", update="state"),
    "deep-elman": lambda: nn.DeepElmanCell(FEATURES, HIDDEN, transition_layers=2, output_layers=2),
    "clockwork": lambda: nn.ClockworkCell(FEATURES, HIDDEN, periods=[1, 2]),
    "scrn": lambda: nn.SCRNCell(FEATURES, HIDDEN, 2, alpha=0.9),
    "irnn": lambda: nn.IRNNCell(FEATURES, HIDDEN),
}


def loss_of(cell: nn.Cell, steps: int) -> tg.Tensor:
    """½ Σ (y_T − target)² for a random sequence."""
    rng = np.random.default_rng(0)
    last = nn.RNN(cell)(rng.standard_normal((BATCH, steps, FEATURES))).last
    return F.half_squared_error(last, rng.standard_normal(last.shape))


def draw_all(folder: Path) -> None:
    """One picture for each cell and level."""
    for name, make in CELLS.items():
        for level in LEVELS:
            tg.manual_seed(0)
            steps = 2 if level == "op" else 3
            loss = loss_of(make(), steps)
            picture = tg.draw(loss, level=level, gradients=True)
            print("wrote", picture.save(folder / f"{name}-{level}.svg"))
            picture = tg.draw(loss, level=level, backward=True)
            print("wrote", picture.save(folder / f"{name}-{level}-backward.svg"))


def draw_readme(folder: Path) -> None:
    """The picture that the README opens with."""
    tg.manual_seed(0)
    picture = tg.draw(loss_of(CELLS["lstm"](), 3), level="gate", gradients=True)
    print("wrote", picture.save(folder / "lstm.png"))


def main() -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("gallery"))
    parser.add_argument("--readme", action="store_true", help="draw the README's pictures only")
    arguments = parser.parse_args()
    if arguments.readme:
        draw_readme(Path(__file__).parent / "pictures")
    else:
        draw_all(arguments.folder)


if __name__ == "__main__":
    main()
