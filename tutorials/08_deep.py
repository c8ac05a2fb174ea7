# %% [markdown]
# # 08 · Deep, bidirectional, dropout
#
# One recurrent layer reads a sequence once, from left to right. Here layers are stacked into a
# grid, and a second reader starts at the other end. Then two matters of practice: sentences of
# unequal length in one batch, and dropout. On the way you count weights, as Keras counts them.
#
# You need tutorials 03 (recurrence) and 07 (the family of cells). 15 minutes.
# On a GPU: `TINYGRADRNN_BACKEND=cupy python tutorials/08_deep.py`.

# %%
import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.course import show

tg.manual_seed(0)
words = ["the", "brown", "fox", "jumped", "over", "a", "dog"]
vectors = np.random.default_rng(0).standard_normal((1, len(words), 3))
x = tg.tensor(vectors, dtype="float32", name="x")
print(f"{len(words)} words, {x.shape[-1]} numbers for each: x is (B, T, F) = {x.shape}")

# %% [markdown]
# ## The grid
#
# Layer j reads what the layer below it writes:
#
# ```math
# sₜʲ = Rʲ(sₜ₋₁ʲ, yₜʲ⁻¹)     yₜʲ = Oʲ(sₜʲ)     yₜ⁰ = xₜ
# ```
#
# Time runs to the right, layers stack upwards. Each layer has weights of its own and uses them at
# every step.

# %%
deep = nn.GRU(3, 4, num_layers=3)
loss = deep(x[:, :4]).y.sum()
show(
    tg.draw(loss, level="cell", gradients=True),
    "grid",
    "Three layers, four steps. Follow any path from the first x to the last output.",
)

# %% [markdown]
# **What do you expect?** Through how many cells does the first word go on its way to the last
# output of the top layer? There are many ways through the grid. Let the graph count: a node is
# reached from its inputs, and every new state `s` is one cell more.

# %%
graph = tg.Graph(deep(x[:, :4]).last.sum())
start = next(node for node in graph.nodes if node.name == "x" and node.timestep == 1)
cells = {start: {0}}  # for each node: how many cells may lie between the first word and it
for node in graph.nodes:
    counts = {n + (node.name == "s") for source in node.inputs for n in cells.get(source, ())}
    cells.setdefault(node, counts)
print("cells passed:", cells[graph.nodes[-1]])
assert cells[graph.nodes[-1]] == {4 + 3 - 1}

# %% [markdown]
# Every way leads three times to the right and twice upwards: T + k − 1 cells in T steps and k
# layers, whichever way you take. Depth adds little to the way that a gradient has to go; it is time
# that makes it long. Is the stack more than layers, each fed with the outputs of the one below? No:

# %%
y = x
for layer in deep.layers:
    y = layer(y).y
assert np.array_equal(y.numpy(), deep(x).y.numpy())
print("layer by layer: the same numbers. The state is a tuple, one for each layer:")
print([state.shape for state in deep(x).state])

# %% [markdown]
# ## Counting weights
#
# An Elman layer from E inputs to H units holds Wˣ (E, H), Wˢ (H, H) and b (H):
#
# ```math
# E·H + H·H + H
# ```
#
# The lecture notes show what Keras prints for an embedding of 10,000 words and one `SimpleRNN(32)`:
# 320,000 + 2,080 = 322,080. The same model here:

# %%
one = nn.Sequential(nn.Embedding(10_000, 32), nn.RNN(nn.ElmanCell(32, 32)), nn.Last())
table = one.summary(np.zeros((1, 7), int))
print(table)
assert [row.parameters for row in table.rows] == [320_000, 2_080, 0]
assert table.total == 10_000 * 32 + (32 * 32 + 32 * 32 + 32) == 322_080

# %% [markdown]
# And four of them on top of each other, 328,320. (Keras needs `return_sequences=True` for this:
# a layer above must be given every step, not the last one only. Here a layer always hands on all.)

# %%
four = nn.Sequential(nn.Embedding(10_000, 32), nn.Elman(32, 32, num_layers=4))
table = four.summary(np.zeros((1, 7), int))
print(table)
assert [row.parameters for row in table.rows] == [320_000, *[2_080] * 4]
assert table.total == 328_320

# %% [markdown]
# Gates multiply the count: each has a Wˣ, a Wˢ and a b of its own. The length of the sequence does
# not enter.

# %%
for cell, blocks in ((nn.ElmanCell, 1), (nn.GRUCell, 3), (nn.LSTMCell, 4)):
    count = nn.RNN(cell(32, 32)).summary().total
    print(f"{cell.__name__:10} {count:5,} = {blocks} × 2,080")
    assert count == blocks * 2_080

# %% [markdown]
# ## Both directions
#
# To tag a word it helps to have seen the words after it. A biRNN has two readers, each with weights
# of its own; what they say about a word is put side by side:
#
# ```math
# yₜ = [yₜᶠ ; yₜᵇ]     yₜᶠ = RNNᶠ(x₁ … xₜ)     yₜᵇ = RNNᵇ(xₙ … xₜ)
# ```

# %%
both = nn.Bidirectional(nn.RNN(nn.ElmanCell(3, 4)), nn.RNN(nn.ElmanCell(3, 4)))
out = both(x[:, :4])
show(
    tg.draw(out.y.sum(), level="cell"),
    "both",
    "What reads backwards points backwards: its state comes from step t + 1.",
)

# %% [markdown]
# The two readers know nothing of each other. But an error at one word flows back through both: to
# the words before it through the one, to the words after it through the other. Step through it, for
# a loss at step 2 only.

# %%
show(
    tg.step_through(F.half_squared_error(out.y[:, 1], np.ones((1, 8), "float32")), level="cell"),
    "error",
    "Press b, then the right arrow. What the output does not depend on is not in its graph.",
)

# %% [markdown]
# **What do you expect?** How far does each output see? Ask the derivatives: ‖∂yₜ/∂xₖ‖ is zero
# exactly where word k has no say in output t.

# %%
rows = [nn.RNN(nn.ElmanCell(3, 4)), nn.RNN(nn.ElmanCell(3, 4), reverse=True), both]
inputs = tg.tensor(x.numpy(), requires_grad=True)
reach = []
for layer in rows:
    slopes = tg.jacobian(layer(inputs).y, inputs).numpy()[0, :, :, 0]  # (t, H, k, F)
    reach.append(np.sqrt((slopes**2).sum(axis=(1, 3))))
print("output at 'jumped'", *(f"{word:>7}" for word in words))
for name, row in zip(("forward", "backward", "both"), reach, strict=True):
    print(f"{name:>18}", *(f"{size:7.3f}" for size in row[3]))

# %%
figure = Figure(figsize=(11, 3.8), layout="constrained")
titles = ("reads forward", "reads backward", "both")
for axes, values, title in zip(figure.subplots(1, 3), reach, titles, strict=True):
    axes.imshow(np.ma.masked_equal(values, 0), cmap="cividis", vmin=0, vmax=np.max(reach))
    axes.set(title=title, xlabel="word k that is read", ylabel="output t")
    axes.set_xticks(range(len(words)), words, rotation=90)
    axes.set_yticks(range(len(words)), words)
show(figure, "reach", "‖∂yₜ/∂xₖ‖, the lighter the more; white is exactly 0: no path leads there.")
forward, backward, full = reach
assert not np.triu(forward, 1).any() and not np.tril(backward, -1).any() and full.all()

# %% [markdown]
# Each output of a biRNN sees the whole sentence, most of it dimly. `last` is what is known when a
# reader is done, and the backward reader is done at the *first* word:

# %%
out = both(x)
assert np.array_equal(out.last[:, :4].numpy(), out.y[:, -1, :4].numpy())
assert np.array_equal(out.last[:, 4:].numpy(), out.y[:, 0, 4:].numpy())
print("last = [forward at step 7 ; backward at step 1]:", out.last.numpy().round(2))

# %% [markdown]
# ## A task for two readers
#
# Random bits. The answer at step t is whether the two *neighbours* differ: xₜ₋₁ xor xₜ₊₁. (The
# first and the last step have no answer.)


# %%
def task(rng: np.random.Generator, batch: int) -> tuple[np.ndarray, np.ndarray]:
    bits = rng.integers(0, 2, (batch, 10))
    return bits[..., None].astype("float32"), bits[:, :-2] ^ bits[:, 2:]


bits, answer = task(np.random.default_rng(0), 1)
print("bits   ", *bits[0, :, 0].astype(int))
print("answers  ", *answer[0])

# %% [markdown]
# One reader has seen only one of the neighbours. Two have seen both, but a linear readout can only
# *add* what they say, and an xor is no sum. The lecture notes advise an MLP, which mixes the two.


# %%
def accuracy(rnn: nn.Module, readout: nn.Module) -> float:
    rng = np.random.default_rng(0)
    optimizer = tg.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=0.02)

    def update(x, answer):
        loss = F.binary_cross_entropy_with_logits(readout(rnn(x).y)[:, 1:-1, 0], answer)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    step = tg.compile(update, fast=False)  # the same numbers, sooner: tutorial 12
    for _ in range(200):
        step(*task(rng, 64))
    bits, answer = task(rng, 500)
    return float(((readout(rnn(bits).y).numpy()[:, 1:-1, 0] > 0) == answer).mean())


# %% [markdown]
# **What do you expect?** Four networks, 200 updates each. Half of the answers are right by chance.

# %%
tg.manual_seed(1)


def reader(reverse: bool = False) -> nn.RNN:
    return nn.RNN(nn.ElmanCell(1, 8), reverse=reverse)


found = {
    "forward, MLP": accuracy(reader(), nn.MLP([8, 8, 1])),
    "backward, MLP": accuracy(reader(reverse=True), nn.MLP([8, 8, 1])),
    "both, linear": accuracy(nn.Bidirectional(reader(), reader()), nn.Linear(16, 1)),
    "both, MLP": accuracy(nn.Bidirectional(reader(), reader()), nn.MLP([16, 8, 1])),
}
for name, share in found.items():
    print(f"{name:13} {share:4.0%} {'█' * round(40 * share)}")
assert found["both, MLP"] > 0.95 and max(list(found.values())[:3]) < 0.8

# %% [markdown]
# ## Sentences of unequal length
#
# A batch is a box: short sentences are filled up with something. A reader that reads the filling
# ends in a state that depends on it; a backward reader even *begins* with it. `lengths` says where
# each sentence ends. Past it the state stands still, outputs are zero, and x is not looked at.

# %%
batch = np.repeat(vectors, 2, axis=0).astype("float32")
batch[1, 4:] = np.nan  # the second sentence ends after "jumped"; NaN would spread, if it were read
out = both(batch, lengths=[7, 4])
alone = both(batch[1:, :4])
print("y of the second sentence, summed:", out.y[1].sum(axis=-1).numpy().round(2))
print("apart from reading it alone:", np.abs((out.last[1] - alone.last[0]).numpy()).max())
assert np.allclose(out.last[1].numpy(), alone.last[0].numpy(), atol=1e-6)
assert not out.y[1, 4:].numpy().any()

# %% [markdown]
# How does a graph do "stand still"? At each step one choice: the new state where the sentence still
# runs, else the old one.

# %%
one_way = nn.RNN(nn.ElmanCell(3, 4))
end = one_way(np.repeat(vectors, 2, axis=0)[:, :3], lengths=[3, 2]).state
show(
    tg.draw(end.sum(), level="op"),
    "lengths",
    "Steps 1 and 2 are as ever; at step 3 a choice keeps s₂ for the sentence that is over.",
)

# %% [markdown]
# The loss must not count the filling either: `F.cross_entropy(scores, targets, mask=…)` takes the
# mean over real words.
#
# ## Dropout
#
# Dropout zeroes each number with probability p and multiplies the others by 1/(1 − p), so that the
# mean stays. `dropout` does so to each layer's *input*, with a new mask at every step. On the way
# from state to state that would be a disaster: what has to survive T masks survives with
# probability (1 − p)ᵀ. `recurrent_dropout` therefore draws *one* mask for the whole sequence.

# %%
layer = nn.Elman(16, 16, dropout=0.25, recurrent_dropout=0.25)
out = layer(np.ones((1, 12, 16), "float32"))
nodes = tg.Graph(out.y).nodes
fresh = [node.value for node in nodes if node.name == "x × mask"]  # x is 1: these are the masks
kept = [node.value for node in nodes if node.name == "recurrent dropout mask"]
print(f"masks of the input: {len(fresh)}, one for each step; of the state: {len(kept)}")
print(f"through 12 fresh masks comes {0.75**12:.1%} of a state, through one {0.75:.0%}")
assert (len(fresh), len(kept)) == (12, 1)

# %%
figure = Figure(figsize=(9, 3.6), layout="constrained")
for axes, masks, title in zip(
    figure.subplots(1, 2), (fresh, kept * 12), ("on the input", "on the state"), strict=True
):
    image = np.concatenate([tg.tensor(mask).numpy() for mask in masks])
    axes.imshow(image.T > 0, cmap="cividis", aspect="auto", origin="lower")
    axes.set(title=f"{title}: light is kept", xlabel="time step", ylabel="unit")
    axes.set_xticks(range(12), range(1, 13))
show(figure, "masks", "Left a new mask at every step, right one mask for all.")

# %% [markdown]
# Both are for training only. `eval()` turns them off, and the same input gives the same output:

# %%
ones = np.ones((1, 12, 16), "float32")
noisy = [layer(ones).last.sum().item() for _ in range(3)]
layer.eval()
calm = [layer(ones).last.sum().item() for _ in range(3)]
print("train():", np.round(noisy, 3), "  eval():", np.round(calm, 3))
assert len(set(noisy)) == 3 and len(set(calm)) == 1

# %% [markdown] tags=["exercise"]
# **Exercise 1.** Count first, build then: an embedding of 10,000 words in 32 numbers, two
# bidirectional LSTM layers of 64 units, a linear layer to one score. How many parameters?
#
# *Hint: the second layer reads both directions of the first.*

# %% tags=["solution"]
E, H = 32, 64


def lstm(inputs: int) -> int:
    return 4 * (inputs * H + H * H + H)


expected = 10_000 * E + 2 * lstm(E) + 2 * lstm(2 * H) + (2 * H + 1)
model = nn.Sequential(
    nn.Embedding(10_000, E),
    nn.LSTM(E, H, num_layers=2, bidirectional=True),
    nn.Last(),
    nn.Linear(2 * H, 1),
)
assert model.summary().total == expected
print(f"{expected:,}")

# %% [markdown] tags=["exercise"]
# **Exercise 2.** Make the biRNN by hand: give the backward reader the sentence in reverse, put its
# outputs back in their places, and set both side by side. Compare with `nn.Bidirectional`.
#
# *Hint: `x[:, ::-1]` works on tensors; the readers are `both.forward_rnn` and `both.backward_rnn`.*

# %% tags=["solution"]
ahead = both.forward_rnn(x).y
back = both.backward_rnn(x[:, ::-1]).y[:, ::-1]
by_hand = F.concatenate([ahead, back], axis=-1)
assert np.allclose(by_hand.numpy(), both(x).y.numpy(), atol=1e-6)
print("the same:", by_hand.shape)

# %% [markdown] tags=["exercise"]
# **Exercise 3.** A classifier often takes the *mean* of all outputs instead of the last one. Take
# it over each sentence's own words, for a batch with lengths 7 and 4, and show that the short
# sentence gets what it gets alone.
#
# *Hint: outputs past the end are zero, so a sum is right as it stands; what must it be divided by?*

# %% tags=["solution"]
lengths = np.array([7, 4])
pair = np.repeat(vectors, 2, axis=0).astype("float32")
mean = both(pair, lengths=lengths).y.sum(axis=1) / tg.tensor(lengths[:, None], dtype="float32")
alone = both(pair[1:, :4]).y.mean(axis=1)
assert np.allclose(mean[1].numpy(), alone[0].numpy(), atol=1e-6)
assert not np.allclose(mean[1].numpy(), both(pair).y.mean(axis=1)[1].numpy(), atol=1e-3)
print("mean over its own four words:", mean[1].numpy().round(3))

# %% [markdown]
# ## What to read next
#
# - Tutorial 09 puts a recurrent network to work: it learns to write like Shakespeare.
# - Yoav Goldberg, *A Primer on Neural Network Models for Natural Language Processing* (2016): the
#   notation of RNN, RNN* and biRNN.
# - Mike Schuster and Kuldip Paliwal, *Bidirectional Recurrent Neural Networks* (1997).
# - Yarin Gal and Zoubin Ghahramani, *A Theoretically Grounded Application of Dropout in Recurrent
#   Neural Networks* (2016): one mask for the whole sequence.
# - To play with: `tg.draw(…, level="layer")` of your largest model; `merge="sum"` in
#   `nn.Bidirectional`; `nn.Stacked([...], skip=True)`, whose output has all layers side by side.
