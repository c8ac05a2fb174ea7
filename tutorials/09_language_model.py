# %% [markdown]
# # 09 · A character language model
#
# A recurrent network reads Shakespeare, one character after the other, and learns to say which
# character comes next. Then it writes. You will see data, batches, truncated backpropagation
# through time, what perplexity means, what temperature does, and what single units have found out.
#
# You need tutorials 04 (BPTT) and 07 (GRU). 20 minutes, of which the training takes a few seconds.
# On a GPU: `TINYGRADRNN_BACKEND=cupy python tutorials/09_language_model.py`.

# %%
from itertools import accumulate
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.course import show
from tinygradrnn.data import shakespeare
from tinygradrnn.text import Streams, Vocabulary, ngram_bits_per_character, split

tg.manual_seed(0)
plays = shakespeare()
print(f"{len(plays):,} characters. They begin:\n\n{plays[:138]}")

# %% [markdown]
# ## Text as numbers
#
# Each kind of character gets a number. The last 2 % of the text are put away: the model must not
# train on what it is judged by.

# %%
vocabulary = Vocabulary(plays)
V = len(vocabulary)
train, held_out = split(vocabulary.encode(plays), held_out=0.02)
held_out = held_out[:8000]
print(f"{V} kinds: {vocabulary.characters!r}")
print("'Romeo' is", vocabulary.encode("Romeo"))
assert vocabulary.decode(vocabulary.encode("Romeo")) == "Romeo"

# %% [markdown]
# ## What is to be beaten
#
# A language model gives a probability to a whole text, character by character:
#
# ```math
# p(x₁ … xₙ) = p(x₁) · p(x₂ | x₁) · p(x₃ | x₁ x₂) · … · p(xₙ | x₁ … xₙ₋₁)
# ```
#
# The price of a character is −log₂ p(xₜ | x₁ … xₜ₋₁), in **bits**: 0 if it was certain, 1 if it was
# a toss of a coin. The mean price is the *bits per character*, and two to this power is the
# **perplexity**: the number of sides of a fair die that would be as hard to predict.
#
# Who knows nothing has a perplexity of V. Counting gets further: an n-gram model looks up how often
# each character followed the n − 1 before it.

# %%
print(f"knowing nothing  {np.log2(V):.2f} bits per character, perplexity {V}")
counted = {n: ngram_bits_per_character(train, held_out, V, n) for n in (1, 2, 3, 4)}
for n, bits in counted.items():
    print(f"{n}-gram           {bits:.2f} bits per character, perplexity {2**bits:4.1f}")
assert np.log2(V) > counted[1] > counted[2] > counted[3] > counted[4]

# %% [markdown]
# An n-gram forgets everything older than n − 1 characters, and its table grows as Vⁿ. A recurrent
# network keeps what it wants, in a state of fixed size.
#
# ## The model
#
# ```math
# sₜ = GRU(sₜ₋₁, E[xₜ])     p(xₜ₊₁ | x₁ … xₜ) = softmax(sₜ W + b)
# ```


# %%
class Model(nn.Module):
    def __init__(self, kinds: int, hidden: int) -> None:
        self.E = nn.Parameter(nn.initialisers.uniform((kinds, 32), 1.0))
        self.rnn = nn.RNN(nn.GRUCell(32, hidden))
        self.readout = nn.PerStep(nn.Linear(hidden, kinds))

    def forward(self, ids, state=None):
        y, state = self.rnn(F.embedding(ids, self.E), state)
        return self.readout(y), state


model = Model(V, hidden=80)
print(model.summary(np.zeros((1, 5), int)))

# %% [markdown]
# At every step it is asked for the next character: the targets are the text itself, moved one to
# the left. The loss is the mean of −ln p over all steps, in *nats*; divided by ln 2 it is in bits.

# %%
hello = vocabulary.encode("hello")[None]
scores, _ = model(hello[:, :-1])
loss = F.cross_entropy(scores, hello[:, 1:])
show(
    tg.draw(loss, level="cell"),
    "model",
    "Reads h e l l, and must say e l l o: a question at every step, one set of weights.",
)
print(f"untrained: perplexity {np.exp(loss.item()):.0f} of {V}")
assert 0.5 * V < np.exp(loss.item()) < 2 * V

# %% [markdown]
# The loss is the chain rule of above, taken apart and put together again:

# %%
p = F.softmax(scores).numpy()[0, np.arange(4), hello[0, 1:]]
print("p(e|h), p(l|he), p(l|hel), p(o|hell) =", p.round(4), " product:", p.prod())
assert np.isclose(p.prod(), np.exp(-4 * loss.item()), rtol=1e-4)

# %% [markdown]
# ## Batches that go on
#
# The text is too long to unroll at once. 32 readers stand at 32 places of it. At each update every
# reader reads 24 characters more, starting with the state it had:

# %%
streams = Streams(train, batch=32, length=24)
for update in (0, 1, 2):
    inputs, targets = streams[update]
    print(f"reader 0 reads {vocabulary.decode(inputs[0])!r}")
print(f"     and is to say {vocabulary.decode(targets[0])!r}")

# %% [markdown]
# ## Truncated backpropagation through time
#
# If the state is simply carried on, the graph of the second window hangs on that of the first, the
# third on both: backward would walk through everything ever read. `nn.detach` keeps the numbers of
# the state and drops the graph behind them. **What do you expect** of the two rows?


# %%
def graph_sizes(between_windows) -> list[int]:
    state, sizes = None, []
    for update in range(4):
        inputs, targets = streams[update]
        scores, state = model(inputs, between_windows(state))
        sizes.append(len(tg.Graph(F.cross_entropy(scores, targets)).nodes))
    return sizes


whole, cut = graph_sizes(lambda state: state), graph_sizes(nn.detach)
print("nodes behind the loss of windows 1 to 4, carried on:", whole)
print("                                         detached:  ", cut)
assert len(set(cut)) == 1 and whole[-1] > 3 * whole[0]

# %% [markdown]
# The state still knows what came before: values go on for ever. Only gradients stop at the window,
# so no loss can teach the network to keep something for longer than 24 steps.
#
# ## Training
#
# One update is what you know: loss, backward, clip, step. `tg.compile` captures it once and replays
# it from a plan: the same numbers, without building a graph each time (tutorial 12). With
# `fast=False` it does without the kernels that Numba can make for it: they take longer to make than
# this training.

# %%
optimizer = tg.optim.Adam(model.parameters(), lr=0.03, betas=(0.9, 0.99))


def update(inputs, targets, state):
    scores, state = model(inputs, state)
    loss = F.cross_entropy(scores, targets)
    optimizer.zero_grad()
    loss.backward()
    tg.optim.clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    return loss, nn.detach(state)


step = tg.compile(update, fast=False)

# %% [markdown]
# The learning rate rises over the first tenth, while Adam's averages fill, and falls to the end.

# %%
updates, state, losses = 800, None, []
began = perf_counter()
for n in range(updates):
    optimizer.lr = 0.03 * min(1, 10 * (n + 1) / updates) * (1 - n / updates)
    loss, state = step(*streams[n], state)
    losses.append(loss)
bits = np.array([loss.item() for loss in losses]) / np.log(2)
print(f"{updates} updates in {perf_counter() - began:.1f} s, {updates * 32 * 24:,} characters read")
print(f"bits per character: {bits[0]:.2f} at first, {bits[-40:].mean():.2f} at the end")

# %% [markdown]
# And on the text that was put away? The state runs through all of it, from the first character on.


# %%
@tg.no_grad()
def bits_per_character(ids: np.ndarray) -> float:
    scores, _ = model(ids[None, :-1])
    return F.cross_entropy(scores, ids[None, 1:]).item() / np.log(2)


found = bits_per_character(held_out)
print(f"held out: {found:.2f} bits per character, perplexity {2**found:.1f}")
assert found < counted[3]

# %%
figure = Figure(figsize=(8, 4), layout="constrained")
axes = figure.subplots()
axes.plot(np.convolve(bits, np.ones(20) / 20, "valid"), color="#1b2133", label="batches")
axes.axhline(found, color="#d55e00", linestyle="--")
axes.text(0, found, "this network, held out", color="#d55e00", va="bottom")
for n, level in counted.items():
    axes.axhline(level, color="#8a93a8", linewidth=1)
    axes.text(updates, level, f"{n}-gram", color="#636b80", va="bottom", ha="right")
axes.set(xlabel="update", ylabel="bits per character", title="The mean of 20 batches")
show(figure, "curve", "Where the curve crosses a line, the network has overtaken that counter.")

# %% [markdown]
# ## It writes
#
# Feed a character, draw the next one from the probabilities, feed that, and so on. The scores are
# divided by a **temperature** τ before the softmax: below 1 the likely becomes likelier still,
# above 1 all become more alike.


# %%
@tg.no_grad()
def write(prime: str, length: int, temperatures: list[float]) -> list[str]:
    """A text for each temperature, side by side in one batch."""
    rng = np.random.default_rng(1)
    heat = np.array(temperatures)[:, None]
    ids, state, drawn = np.tile(vocabulary.encode(prime), (len(heat), 1)), None, []
    for _ in range(length):
        scores, state = model(ids, state)
        reached = F.softmax(scores[:, -1].numpy() / heat).numpy().cumsum(axis=1)
        wanted = rng.random((len(heat), 1)) * reached[:, -1:]
        ids = (reached <= wanted).sum(axis=1)[:, None]
        drawn.append(ids[:, 0])
    return [vocabulary.decode(text) for text in np.transpose(drawn)]


# %%
temperatures = [0.3, 0.8, 1.5]
for heat, text in zip(temperatures, write("ROMEO:\n", 220, temperatures), strict=True):
    print(f"──── temperature {heat} ────\n{text.strip()}\n")

# %% [markdown]
# A few seconds of training, and no rule of English was ever told: yet there are words, lines, and
# speakers with a colon behind the name. What the temperature does to one choice:

# %%
scores, _ = model(vocabulary.encode("First Citizen:\nWhat, s")[None])
last = scores[0, -1].numpy()
top = np.argsort(-last)[:14]
figure = Figure(figsize=(9, 3), layout="constrained")
for axes, heat in zip(figure.subplots(1, 3, sharey=True), temperatures, strict=True):
    p = F.softmax(last / heat).numpy()
    axes.bar([repr(c)[1:-1] for c in vocabulary.decode(top)], p[top], color="#0072b2")
    axes.set(title=f"temperature {heat}: {-(p * np.log2(p)).sum():.1f} bits", ylim=(0, 1))
show(figure, "temperature", "What may follow 'What, s': the same scores, three temperatures.")

# %% [markdown]
# ## How far back does it look?
#
# Now that it is trained: how much does the loss at the last of 60 characters depend on the state at
# each step before? Read the norms ‖∂L₆₀/∂sₜ‖ from right to left.

# %%
ids = held_out[None, 100:161]
scores, _ = model(ids[:, :-1])
flow = tg.analysis.gradient_flow(F.cross_entropy(scores[:, -1], ids[:, -1]))
norms = flow.state_norms[0]
figure = Figure(figsize=(11, 2.8), layout="constrained")
axes = figure.subplots()
axes.bar(flow.steps, norms, color="#0072b2")
axes.set(yscale="log", ylabel="‖∂L₆₀/∂sₜ‖", xlabel="character read at step t", xlim=(0, 61))
axes.set_xticks(flow.steps, vocabulary.decode(ids[0, :-1]).replace(" ", "␣").replace("\n", "↵"))
show(figure, "memory", "The scale is logarithmic. Where does the largest step down stand?")
print(f"24 steps back: {norms[-25] / norms[-1]:.4f} of the gradient at the last step")
assert norms[-25] < 0.3 * norms[-1]

# %% [markdown]
# Within a line the gradient passes almost whole. Between the end of one, ↵, and the capital that
# opens the next, much of it is lost: there the network writes over its state. Nobody told it what a
# line is. The update gate z should say the same: in sₜ = (1 − z) ⊙ sₜ₋₁ + z ⊙ s̃ₜ an open gate
# overwrites. Which characters open it?

# %%
passage = vocabulary.decode(held_out[:4000])
activity = tg.analysis.gate_activity(model, held_out[:4000], text=passage)
opened = activity.by_character("update gate")
often = [n for n, count in enumerate(opened.counts) if count >= 10]
for n in (*often[:4], *often[-4:]):
    print(f"{opened.characters[n]!r:>5} read {opened.counts[n]:3} times: z = {opened.means[n]:.2f}")
show(
    opened.plot(),
    "update-gate",
    "Far left: what makes the network write over its state. Mostly what begins something.",
)

# %% [markdown]
# ## What single units learned
#
# The state has 80 numbers. Does one of them know what a reader would know? Compare each, over the
# 4,000 characters, with facts about the text that a single character does not tell.

# %%
units = activity["s"]  # (T, H)
lines = [f"{line}\n" for line in passage.split("\n")]
letters = accumulate(passage, lambda n, c: (n + 1) * c.isalpha(), initial=0)
facts = {
    "in a speaker's name": [line.endswith(":\n") for line in lines for _ in line],
    "letters of this word": list(letters)[1:],
}
experts = {}
for fact, values in facts.items():
    similar = np.corrcoef(units.T, np.array(values, float)[:4000])[-1, :-1]
    experts[fact] = np.abs(similar).argmax()
    print(f"{fact:21} unit {experts[fact]:2}, correlation {similar[experts[fact]]:+.2f}")
    assert np.abs(similar).max() > 0.3

# %% [markdown]
# The text in the colours of such a unit, as Andrej Karpathy drew it:


# %%
def coloured(unit: int, rows: range, title: str) -> Figure:
    figure = Figure(figsize=(9, 0.24 * len(rows) + 0.4), layout="constrained")
    axes = figure.subplots()
    ends = np.cumsum([len(line) for line in lines])
    cells = np.full((len(rows), max(len(lines[row]) for row in rows)), np.nan)
    for y, row in enumerate(rows):
        values = units[ends[row] - len(lines[row]) : ends[row], unit]
        cells[y, : len(values)] = values
        for x, (character, value) in enumerate(zip(lines[row], values, strict=True)):
            look = {"color": "white" if value < 0 else "black", "family": "monospace"}
            axes.text(x, y, character.strip(), ha="center", va="center", **look)
    axes.imshow(cells, cmap="cividis", vmin=-1, vmax=1, aspect="auto")
    axes.set(title=title, xticks=[], yticks=[])
    return figure


# %%
for name, (fact, unit) in zip(("speaker", "word"), experts.items(), strict=True):
    figure = coloured(unit, range(2, 18), f"unit {unit}: {fact}?")
    show(figure, name, f"Dark is −1, light is +1. Does unit {unit} know: {fact}?")

# %% [markdown]
# The first has become a switch for who is speaking. The network needs one: letters later it must
# know whether a colon or a comma is due. The second is a rough counter. Most other units look like
# nothing in particular: what a network knows is spread over many of them.

# %% [markdown] tags=["exercise"]
# **Exercise 1.** A language model is a distribution over texts. Compute the probability of each of
# the V² ways to go on after `"Th"` by two characters, and show that they sum to 1. Which is the
# likeliest?
#
# *Hint: a batch of V texts, `"Th"` and one character more.*

# %% tags=["solution"]
read = [[*vocabulary.encode("Th"), n] for n in range(V)]
scores, _ = model(np.array(read))
p = F.softmax(scores).numpy().astype(float)
pairs = p[0, 1][:, None] * p[:, 2]  # p(a | Th) · p(b | Th a)
first, second = np.unravel_index(pairs.argmax(), pairs.shape)
print(f"the sum is {pairs.sum():.6f}; 'Th' + {vocabulary.decode([first, second])!r} is likeliest")
assert abs(pairs.sum() - 1) < 1e-5

# %% [markdown] tags=["exercise"]
# **Exercise 2.** What is the memory worth? Predict the held-out text once with the state carried on
# all through it, and once with a state that is forgotten every 8 characters. How many bits per
# character does forgetting cost?
#
# *Hint: reshape the text to (…, 8): each row starts from zero.*

# %% tags=["solution"]
inputs, targets = held_out[:7992], held_out[1:7993]
prices = []
for shape in ((1, -1), (-1, 8)):
    with tg.no_grad():
        scores, _ = model(inputs.reshape(shape))
    prices.append(F.cross_entropy(scores, targets.reshape(shape)).item() / np.log(2))
print(f"carried {prices[0]:.2f}, forgotten every 8 characters {prices[1]:.2f} bits per character")
assert prices[1] > prices[0] + 0.1

# %% [markdown] tags=["exercise"]
# **Exercise 3.** At which temperature does the model *predict* best? Divide the scores of the
# held-out text by τ = 0.5, 0.7, 0.85, 1, 1.2, 1.5, 2 and find the price of a character for each.
# What would it mean if the best τ were well above 1?
#
# *Hint: `cross_entropy(scores / τ, targets)`. Training has chosen the scale of the scores.*

# %% tags=["solution"]
with tg.no_grad():
    scores, _ = model(held_out[None, :-1])
prices = {}
for heat in (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0):
    prices[heat] = F.cross_entropy(scores / heat, held_out[None, 1:]).item() / np.log(2)
    print(f"τ = {heat:4}: {prices[heat]:.3f} bits per character")
best = min(prices, key=prices.get)
assert 0.85 <= best <= 1.2  # above: the model would be too sure of itself

# %% [markdown]
# ## What to read next
#
# - Tutorial 10: a cell of your own, in ten lines.
# - Tomáš Mikolov et al., *Recurrent neural network based language model* (2010).
# - Andrej Karpathy, *The Unreasonable Effectiveness of Recurrent Neural Networks* (2015), and with
#   Justin Johnson and Li Fei-Fei, *Visualizing and Understanding Recurrent Networks* (2015).
# - Ronald Williams and Jing Peng, *An Efficient Gradient-Based Algorithm for On-Line Training of
#   Recurrent Network Trajectories* (1990): truncated BPTT.
# - To play with: `updates = 2000` and `hidden=128` overtake the 4-gram. `tinygradrnn train` does it
#   all with a larger model and keeps a folder of it; `tinygradrnn sample` lets it write on.
