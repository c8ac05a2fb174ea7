"""Draw every cell at every level, and networks of many kinds, with the gradients of a real walk.

python tutorials/gallery.py gallery            # all pictures into a folder, with a page of them
python tutorials/gallery.py --only lstm gru    # some of them
python tutorials/gallery.py --readme           # those of the README, as PNG, into pictures/
"""

from __future__ import annotations

import argparse
import html
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.models import EXAMPLES, example_loss

BATCH, FEATURES, HIDDEN = 2, 3, 4
LEVELS = ("op", "gate", "cell", "layer")
THEMES = ("light", "dark")


class Mode(NamedTuple):
    """What ``tg.draw`` is told besides level and theme, and which levels and networks it suits."""

    options: dict[str, Any]
    levels: tuple[str, ...] = LEVELS
    without: tuple[str, ...] = ()


MODES = {
    "gradients": Mode({"gradients": True}),
    "values": Mode({"values": True}),
    "rolled": Mode({"rolled": True, "gradients": True}, LEVELS[:3], ("attention", "no-time")),
    "backward": Mode({"backward": True}),
}

# %% Networks. Each takes a number of time steps and returns a loss.


def inputs(steps: int, batch: int = BATCH) -> tg.Tensor:
    """A random sequence."""
    x = np.random.default_rng(0).standard_normal((batch, steps, FEATURES))
    return tg.tensor(x, name="x", dtype="float32")


def towards(y: tg.Tensor) -> tg.Tensor:
    """½ Σ (y − target)² for a random target."""
    target = np.random.default_rng(1).standard_normal(y.shape)
    return F.half_squared_error(y, tg.tensor(target, name="target", dtype="float32"))


def stacked(steps: int) -> tg.Tensor:
    """Two layers of an LSTM."""
    return towards(nn.LSTM(FEATURES, HIDDEN, num_layers=2)(inputs(steps)).last)


def bidirectional(steps: int) -> tg.Tensor:
    """An LSTM that reads from both ends; the last outputs of both directions count."""
    return towards(nn.LSTM(FEATURES, HIDDEN, bidirectional=True)(inputs(steps)).last)


def bidirectional_stack(steps: int) -> tg.Tensor:
    """Two bidirectional layers of a GRU; all outputs count."""
    return towards(nn.GRU(FEATURES, HIDDEN, num_layers=2, bidirectional=True)(inputs(steps)).y)


def encoder_decoder(steps: int) -> tg.Tensor:
    """The last state of one LSTM is the first one of another, which has an output layer."""
    encoder, decoder = (nn.RNN(nn.LSTMCell(FEATURES, HIDDEN)) for _ in range(2))
    readout = nn.PerStep(nn.Linear(HIDDEN, 2))
    with tg.scope("encoder"):
        state = encoder(inputs(steps)).state
    with tg.scope("decoder"):
        y = readout(decoder(inputs(steps + 1), state).y)
    return towards(y)


def loss_at_every_step(steps: int) -> tg.Tensor:
    """A GRU whose every output has a loss of its own."""
    losses = []
    for t, y in enumerate(F.unstack(nn.GRU(FEATURES, HIDDEN)(inputs(steps)).y, axis=1), 1):
        with tg.timestep(t):
            losses.append(towards(y))
    return F.stack(losses).sum()


def language_model(steps: int) -> tg.Tensor:
    """An LSTM that predicts each character from those before."""
    return example_loss("lstm", text="hello"[: steps + 1])


def lengths(steps: int) -> tg.Tensor:
    """Sequences of unequal length: past its end a state stands still."""
    return towards(nn.Elman(FEATURES, HIDDEN)(inputs(steps), lengths=[steps, 1]).last)


def dropout(steps: int) -> tg.Tensor:
    """Masks on the input of each step, and one for all steps on the state."""
    layer = nn.Elman(FEATURES, HIDDEN, dropout=0.5, recurrent_dropout=0.5)
    return towards(layer(inputs(steps)).last)


def frozen(steps: int) -> tg.Tensor:
    """Two layers of a GRU, of which the upper one does not learn, but hands gradients down."""
    network = nn.GRU(FEATURES, HIDDEN, num_layers=2)
    network.layers[1].freeze()
    return towards(network(inputs(steps)).last)


def learned_start(steps: int) -> tg.Tensor:
    """An LSTM whose initial state is learned too."""
    return towards(nn.RNN(nn.LSTMCell(FEATURES, HIDDEN), learn_initial=True)(inputs(steps)).last)


class LeakyCell(nn.Cell):
    """s_t = a s_{t−1} + (1 − a) tanh(x_t W + s_{t−1} U)."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W = nn.Parameter(nn.initialisers.glorot((input_size, hidden_size)))
        self.U = nn.Parameter(nn.initialisers.orthogonal((hidden_size, hidden_size)))
        self.a = nn.Parameter(np.full(hidden_size, 0.5, np.float32))

    def transition(self, state: tg.Tensor, x: tg.Tensor) -> tg.Tensor:
        return self.a * state + (1 - self.a) * F.tanh(x @ self.W + state @ self.U)

    def initial_state(self, batch: int) -> tg.Tensor:
        return self.zeros(batch, self.hidden_size)


def own_cell(steps: int) -> tg.Tensor:
    """A cell that this program defines."""
    return towards(nn.RNN(LeakyCell(FEATURES, HIDDEN))(inputs(steps)).last)


def attention(steps: int) -> tg.Tensor:
    """Every step of a decoder reads all states of the encoder: no time axis can show that."""
    y = nn.RNN(nn.GRUCell(FEATURES, HIDDEN))(inputs(steps)).y
    W = nn.Parameter(nn.initialisers.orthogonal((HIDDEN, HIDDEN)), name="W_a")
    cell, s = nn.GRUCell(HIDDEN, HIDDEN), y[:, -1]
    for t in range(1, steps + 1):
        with tg.timestep(t), tg.scope("attention"):
            weights = F.softmax((s @ W).reshape(BATCH, 1, HIDDEN) @ y.mT, axis=-1)
            context = (weights @ y).reshape(BATCH, HIDDEN)
        with tg.timestep(t):
            _, s = cell(context, s)
    return towards(s)


def long_sequence(steps: int) -> tg.Tensor:
    """Many time steps, of which the first and the last are shown."""
    return towards(nn.LSTM(FEATURES, HIDDEN)(inputs(25 * steps)).last)


def no_time(steps: int) -> tg.Tensor:
    """A network without time."""
    return towards(nn.MLP([FEATURES, HIDDEN, 2])(inputs(steps)[:, 0]))


NETWORKS = {
    function.__name__.replace("_", "-"): function
    for function in (
        *(stacked, bidirectional, bidirectional_stack, encoder_decoder, loss_at_every_step),
        *(language_model, lengths, dropout, frozen, learned_start, own_cell, attention),
        *(long_sequence, no_time),
    )
}
GALLERY: dict[str, Callable[[int], tg.Tensor]] = {
    **{name: partial(example_loss, name) for name in EXAMPLES},
    **NETWORKS,
}


# %% Pictures


class Picture(NamedTuple):
    """What is drawn, and how."""

    name: str
    level: str
    mode: str
    theme: str

    @property
    def file(self) -> str:
        """Its name in the folder."""
        return f"{'-'.join(self)}.svg"

    def draw(self) -> tg.drawing.Drawing:
        """Build the network and draw it."""
        tg.manual_seed(0)
        loss = GALLERY[self.name](2 if self.level == "op" else 3)
        return tg.draw(loss, level=self.level, theme=self.theme, **MODES[self.mode].options)


def pictures(names: list[str]) -> list[Picture]:
    """All pictures of some networks."""
    return [
        Picture(name, level, mode, theme)
        for name in names
        for mode in MODES
        if name not in MODES[mode].without
        for theme in THEMES
        for level in MODES[mode].levels
    ]


def draw_all(wanted: list[Picture], folder: Path) -> Iterator[Picture]:
    """Draw each, and say which one; in a line of its own unless at a terminal."""
    at_terminal = sys.stderr.isatty()
    for n, picture in enumerate(wanted, 1):
        start, end = ("\r\x1b[K", "") if at_terminal else ("", "\n")
        print(f"{start}{n}/{len(wanted)} {picture.file}", end=end, file=sys.stderr, flush=True)
        picture.draw().save(folder / picture.file)
        yield picture
    if at_terminal:
        print(file=sys.stderr)


STYLE = """
body { font-family: sans-serif; margin: 2rem; background: #f3f4f7; color: #1c2230; }
nav a { margin-right: .8rem; white-space: nowrap; }
section { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem; }
@media (max-width: 60rem) { section { grid-template-columns: 1fr; } }
figure { margin: 0; background: #fff; border: 1px solid #c9cede; border-radius: .4rem; }
figure.dark { background: #14171f; color: #e6e9f2; }
figure img { width: 100%; height: 16rem; object-fit: contain; }
figcaption { padding: .4rem .8rem; }
"""


def write_index(drawn: list[Picture], folder: Path) -> Path:
    """A page that shows the pictures; each leads to itself in full size."""
    names = dict.fromkeys(picture.name for picture in drawn)
    body = [
        "<nav>",
        *(f'<a href="#{name}">{name}</a>' for name in names),
        "</nav>",
    ]
    for name in names:
        said = NETWORKS[name].__doc__ if name in NETWORKS else f"The cell {name!r} of the library."
        body += [f'<h2 id="{name}">{name}</h2>', f"<p>{html.escape(said or '')}</p>", "<section>"]
        for picture in drawn:
            if picture.name == name:
                what = f"{picture.level} level, {picture.mode}, {picture.theme}"
                body.append(
                    f'<figure class="{picture.theme}"><a href="{picture.file}">'
                    f'<img src="{picture.file}" alt="{name}, {what}" loading="lazy"></a>'
                    f"<figcaption>{what}</figcaption></figure>"
                )
        body.append("</section>")
    page = folder / "index.html"
    page.write_text(
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>tinygradrnn: gallery</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(["<h1>Gallery</h1>", *body])
        + "\n</body>\n</html>\n",
        "utf-8",
    )
    return page


README = {
    "lstm.png": Picture("lstm", "gate", "gradients", "light"),
    "bidirectional.png": Picture("bidirectional-stack", "cell", "gradients", "light"),
}


def main() -> int:
    """Draw what was asked for; Ctrl-C leaves the pictures so far, and their page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("gallery"))
    parser.add_argument(
        "--only", nargs="+", choices=GALLERY, metavar="NAME", help=f"of {', '.join(GALLERY)}"
    )
    parser.add_argument("--readme", action="store_true", help="draw the README's pictures only")
    arguments = parser.parse_args()
    if arguments.readme:
        for name, picture in README.items():
            print("wrote", picture.draw().save(Path(__file__).parent / "pictures" / name))
        return 0
    wanted = pictures(arguments.only or list(GALLERY))
    drawn: list[Picture] = []
    started, status = time.monotonic(), 0
    try:
        for picture in draw_all(wanted, arguments.folder):
            drawn.append(picture)
    except KeyboardInterrupt:
        print("\nStopped by Ctrl-C.", file=sys.stderr)
        status = 130
    if drawn:
        page = write_index(drawn, arguments.folder)
        print(f"Wrote {len(drawn)} of {len(wanted)} pictures in", end=" ")
        print(f"{time.monotonic() - started:.0f} s; they are shown by {page}")
    return status


if __name__ == "__main__":
    sys.exit(main())
