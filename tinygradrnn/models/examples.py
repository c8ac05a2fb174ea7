"""Small networks to be drawn and stepped through: every cell by name, on numbers or on a text."""

from __future__ import annotations

from collections.abc import Callable

from tinygradrnn import functional as F
from tinygradrnn import nn, seeds
from tinygradrnn.models.characters import CharacterModel
from tinygradrnn.recording import scope, timestep
from tinygradrnn.tensors import Tensor, tensor
from tinygradrnn.text import Vocabulary

FEATURES, HIDDEN = 3, 4
EXAMPLES: dict[str, Callable[[int, int], nn.Cell]] = {
    "elman": nn.ElmanCell,
    "jordan": lambda size, hidden: nn.JordanCell(size, hidden, hidden),
    "irnn": nn.IRNNCell,
    "lstm": nn.LSTMCell,
    "lstm-peephole": lambda size, hidden: nn.LSTMCell(size, hidden, peephole=True),
    "lstm-coupled": lambda size, hidden: nn.LSTMCell(size, hidden, coupled=True),
    "gru": nn.GRUCell,
    "gru-reset-after": lambda size, hidden: nn.GRUCell(size, hidden, reset="after"),
    "gru-update-state": lambda size, hidden: nn.GRUCell(size, hidden, update="state"),
    "deep-elman": lambda size, hidden: nn.DeepElmanCell(
        size, hidden, input_layers=2, transition_layers=2, output_layers=2
    ),
    "clockwork": lambda size, hidden: nn.ClockworkCell(size, hidden, periods=[1, 2]),
    "scrn": lambda size, hidden: nn.SCRNCell(size, hidden, 2, alpha=0.9),
}
"""What makes a cell, given the sizes of its input and of its state."""


def example_loss(
    name: str,
    steps: int = 3,
    *,
    layers: int = 1,
    bidirectional: bool = False,
    text: str | None = None,
) -> Tensor:
    """The loss of a small network of one kind of cell; the same numbers every time.

    Without a text ½ Σ (y_T − target)² after T random inputs, with one the loss of predicting each
    of its characters from those before.

    Parameters
    ----------
    name : str
        One of ``EXAMPLES``.
    steps : int
        T; a text has its own: one step less than it has characters.
    layers : int
    bidirectional : bool
    text : str, optional
        Two characters or more.
    """
    if name not in EXAMPLES:
        raise ValueError(f"name: {name!r} is not one of {', '.join(EXAMPLES)}")
    seeds.manual_seed(0)
    rnn, size = _recurrent(EXAMPLES[name], layers, bidirectional)
    if text is not None:
        if len(text) < 2:
            raise ValueError(
                f"text: {text!r} is too short; give a character to read and one to predict"
            )
        vocabulary = Vocabulary(text)
        model = CharacterModel(len(vocabulary), embedding=FEATURES, hidden=size)
        model.rnn = rnn
        return unrolled_loss(model, vocabulary, text)
    random = seeds.generator()
    x = tensor(random.standard_normal((1, steps, FEATURES)), name="x", dtype="float32")
    last = rnn(x).last
    target = tensor(random.standard_normal(last.shape), name="target", dtype="float32")
    return F.half_squared_error(last, target)


def _recurrent(
    make: Callable[[int, int], nn.Cell], layers: int, bidirectional: bool
) -> tuple[nn.Module, int]:
    """Layers upon each other, and the size of what the topmost puts out."""
    stack: list[nn.Module] = []
    size = FEATURES
    for _ in range(layers):
        one = nn.RNN(make(size, HIDDEN))
        if bidirectional:
            stack.append(nn.Bidirectional(one, nn.RNN(make(size, HIDDEN))))
        else:
            stack.append(one)
        size = HIDDEN * (2 if bidirectional else 1)
    return nn.Stacked(stack), size


def unrolled_loss(model: CharacterModel, vocabulary: Vocabulary, text: str) -> Tensor:
    """The loss of predicting a short text, with all that belongs to a time step inside it.

    L = (1/T) Σ_t L_t, L_t = −log p(x_{t+1} | x_1 … x_t): the same number as ``model.loss``, which
    looks up all characters in one operation and scores all states in another.

    Parameters
    ----------
    model : CharacterModel
    vocabulary : Vocabulary
    text : str
        T + 1 characters: the first is only read, the last only predicted.
    """
    ids = vocabulary.encode(text)
    vectors, losses = [], []
    for t, (character, number) in enumerate(zip(text[:-1], ids[:-1], strict=True), 1):
        with timestep(t):
            vectors.append(model.embedding(tensor([number], name=repr(character))))
    y, _ = model.rnn(F.stack(vectors, axis=1))
    for t, (output, number) in enumerate(zip(F.unstack(y, axis=1), ids[1:], strict=True), 1):
        with timestep(t):
            scores = model.readout(output)
            with scope("cross-entropy"):
                losses.append(-F.log_softmax(scores)[0, int(number)])
    loss: Tensor = F.stack(losses).mean()
    return loss
