# %% [markdown]
# # 12 · How fast
#
# An explicit graph can be drawn, stepped through and differentiated, and it costs microseconds for
# every operation of every time step, at every update again. `tg.compile` writes the graph of an
# update down *once* and turns it into a plan. Here you see what is in that plan, what each pass of
# the compiler did to it, and how it compares with PyTorch.
#
# You need tutorials 03, 04 and 09. 15 minutes. The times are those of your machine: none is
# promised. On a GPU: `TINYGRADRNN_BACKEND=cupy python tutorials/12_speed.py`.

# %%
from importlib.util import find_spec
from time import perf_counter

import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.course import show

tg.manual_seed(0)

# %% [markdown]
# Times are taken so: several runs, and the least of them, for what else the machine does can only
# add. `.item()` waits until the number is there, on a GPU too.


# %%
def milliseconds(function, *arguments, times: int = 15) -> float:
    taken = []
    for _ in range(times):
        began = perf_counter()
        function(*arguments).item()
        taken.append(1000 * (perf_counter() - began))
    return min(taken)


# %% [markdown]
# ## What an explicit graph costs
#
# A character model, one update of it on 8 sequences of 32 characters:

# %%
V, E, H, B, T = 60, 16, 32, 8, 32
embedding, rnn, readout = nn.Embedding(V, E), nn.RNN(nn.LSTMCell(E, H)), nn.Linear(H, V)
model = nn.Sequential(embedding, rnn, readout)
optimizer = tg.optim.SGD(model.parameters(), lr=0.1)
ids = np.random.default_rng(0).integers(0, V, (B, T + 1))
batch = ids[:, :-1], ids[:, 1:]
print(model.summary(batch[0]))

# %% [markdown]
# An update as in tutorial 09. How much of its time is arithmetic?


# %%
def update(ids, targets):
    loss = F.cross_entropy(model(ids), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


nodes = len(tg.Graph(F.cross_entropy(model(batch[0]), batch[1])).nodes)
explicit = milliseconds(update, *batch)
state, weights = np.ones((B, H), "float32"), np.ones((H, 4 * H), "float32")
product = min(milliseconds(lambda: (state @ weights)[0, 0]) for _ in range(20))
print(f"one update: {explicit:.1f} ms, for {nodes} nodes forward and about as many back")
print(f"for a node: {1000 * explicit / (2 * nodes):.1f} µs")
print(f"a product s @ W_h by NumPy alone: {1000 * product:.1f} µs")

# %% [markdown]
# That product is the largest piece of arithmetic in a step, and most nodes compute far less than
# it. The time goes into making nodes, looking up rules, allocating arrays: the same for every step,
# and the same again at the next update.
#
# ## One line
#
# The first call runs the function and listens. Every later call with the same kind of arguments
# runs the plan. The numbers are the same, up to rounding: sums may be taken in another order.

# %%
start = model.state_dict()


def losses(step, count: int = 5) -> list[float]:
    """Losses of the first updates, from the same weights each time."""
    model.load_state_dict(start)
    return [step(*batch).item() for _ in range(count)]


step = tg.compile(update, fast=False)
expected, found = losses(update), losses(step)
print("explicit", np.round(expected, 5))
print("compiled", np.round(found, 5), " the function itself ran", step.captures, "time")
assert np.allclose(found, expected, rtol=1e-5) and step.captures == 1

# %%
compiled = milliseconds(step, *batch, times=50)
print(f"explicit {explicit:.2f} ms, compiled {compiled:.2f} ms: {explicit / compiled:.0f} times")

# %% [markdown]
# (`fast=False` leaves out the kernels that Numba makes, if it is installed. They come at the end.)
#
# ## The first idea: roll it up
#
# Time steps are alike, so the compiler writes each operation down once, "× 6" for six steps. And
# then the question that matters: does an operation need the step before? If not, all steps are
# computed **at once**, with one call on one large array. If so, **one by one**. A small Elman
# layer, as it was captured:

# %%
small = nn.RNN(nn.ElmanCell(3, 4))
x = np.random.default_rng(1).standard_normal((2, 6, 3)).astype("float32")
forward = tg.compile(lambda x: small(x).last.sum(), fast=False)
forward(x)
show(
    forward.draw(before=True),
    "captured",
    "Which boxes say 'one by one'? Those on the way from s of t − 1 to s.",
)

# %% [markdown]
# Nobody told it that the product x @ Wˣ can be done for all steps together: no path leads to it
# from the state. But b is added *after* the state has come in, so it has to wait. **What do you
# expect** a pass to do about it?

# %%
show(
    forward.draw(),
    "regrouped",
    "After the passes: (x @ Wˣ + b) + s @ Wˢ. One addition has left the loop.",
)

# %% [markdown]
# Addition may be regrouped: what does not come from the loop is put together before it. The same
# small network with everything that belongs to an update: forward from the left, backward below it,
# the new weights on the right.

# %%
small_optimizer = tg.optim.SGD(small.parameters(), lr=0.1)


def small_update(x, target):
    loss = F.half_squared_error(small(x).last, target)
    small_optimizer.zero_grad()
    loss.backward()
    small_optimizer.step()
    return loss


small_step = tg.compile(small_update, fast=False)
small_step(x, np.ones((2, 4), "float32"))
show(
    small_step.draw(before=True),
    "captured-update",
    "As captured. 'detach', and Σ of one term, only hand something on: they will go.",
)

# %%
show(
    small_step.draw(),
    "plan",
    "After the passes. Two loops, one towards t = 6, one back; the rest at once.",
)

# %% [markdown]
# Follow "ᵀ@ × 6, at once" to the new weights: it is ∂L/∂W = Σₜ … of tutorial 04. The terms of all
# steps and their sum are *one* product of two large arrays. Backpropagation through time needs its
# loop for the state only.
#
# ## What each pass did
#
# `explain()` tells it in numbers, for the character model:

# %%
print(step.explain())

# %% [markdown]
# Read it from above: operations captured, and how many there are left after rolling and after each
# pass. A dozen or so in each loop are the LSTM itself: what needs the step before.
#
# Is a pass worth its name? Leave them out in turn. The numbers must not change; the calls and the
# time may. (How many calls a plan makes is in the last line of `explain()`.)

# %%
passes = [line.split()[0] for line in step.explain().splitlines()[2:] if " places " in line]
left_out = {"": (), **{name: (name,) for name in passes}, "all of them": tuple(passes)}
results = {}
for name, without in left_out.items():
    other = tg.compile(update, fast=False, without=without)
    assert np.allclose(losses(other), expected, rtol=1e-5)
    calls = int(other.explain().rsplit("runs as ", 1)[1].split()[0].replace(",", ""))
    results[f"without {name}" if name else "all passes"] = calls, milliseconds(other, *batch)
for name, (calls, time) in results.items():
    print(f"{name:27} {calls:5,} calls {time:6.2f} ms")
assert results["without all of them"][0] > results["all passes"][0]

# %%
figure = Figure(figsize=(10, 4.2), layout="constrained")
panels = ("calls for one update", " {:,.0f}"), ("milliseconds for one update", " {:.2f}")
colours = ["#1b2133", *["#0072b2"] * len(passes), "#8a93a8"]
for column, axes in enumerate(figure.subplots(1, 2, sharey=True)):
    lengths = [result[column] for result in results.values()]
    bars = axes.barh(list(results), lengths, color=colours)
    axes.bar_label(bars, fmt=panels[column][1])
    axes.set(xlabel=panels[column][0], xlim=(0, 1.2 * max(lengths)))
axes.invert_yaxis()
show(figure, "passes", "Left what is certain, right what your machine made of it.")

# %% [markdown]
# Rolling did most of it; even without any pass the plan is far ahead of the explicit graph. At this
# size `aliases` and `regroup` save calls, and the others hardly matter. On larger models
# `invariants` and `fold_embedding` pay as well (`benchmarks/RESULTS.md` has the figures).
#
# ## Longer sequences
#
# **What do you expect** of twice as many steps? Both the graph and the plan have a loop over time.

# %%
lengths, rows = [8, 16, 32, 64, 128], {"explicit": [], "compiled": []}
for length in lengths:
    ids = np.random.default_rng(0).integers(0, V, (B, length + 1))
    for name, function in (("explicit", update), ("compiled", step)):
        function(ids[:, :-1], ids[:, 1:])  # the first time with this length: captured
        rows[name].append(milliseconds(function, ids[:, :-1], ids[:, 1:], times=5))
print(f"plans so far: {step.captures}, one for each length")
assert step.captures == len(lengths)

# %%
figure = Figure(figsize=(7, 3.8), layout="constrained")
axes = figure.subplots()
for (name, times), style in zip(rows.items(), ("o--", "s-"), strict=True):
    axes.loglog(lengths, times, style, color="#1b2133", label=name)
axes.set(xlabel="time steps T", ylabel="milliseconds for one update")
axes.set_xticks(lengths, [str(length) for length in lengths])
axes.minorticks_off()
axes.legend()
show(figure, "lengths", "Both axes are logarithmic: parallel lines are a constant factor.")

# %% [markdown]
# ## Beside others
#
# With Numba (`pip install "tinygradrnn[fast]"`) a whole loop over time becomes one piece of machine
# code, of which each processor core does its share of the sequences. And PyTorch? The same network
# on its own LSTM layer, with the same weights, must give the same loss before its time means
# anything. (Only the first one: PyTorch adds two biases where one would do, so that its bias learns
# twice as fast.)


# %%
def torch_layers(torch):
    lstm, table, linear = torch.nn.LSTM(E, H), torch.nn.Embedding(V, E), torch.nn.Linear(H, V)
    weights = nn.interop.to_torch_state_dict(rnn)
    weights |= {"E": embedding.W.numpy(), "W": readout.W.numpy().T, "b": readout.b.numpy()}
    weights = {name: torch.tensor(value) for name, value in weights.items()}
    table.load_state_dict({"weight": weights.pop("E")})
    linear.load_state_dict({"weight": weights.pop("W"), "bias": weights.pop("b")})
    lstm.load_state_dict(weights)
    return torch.nn.ModuleList([table, lstm, linear])


# %% [markdown]
# The update, as it is written there:


# %%
def torch_update(torch):
    table, lstm, linear = layers = torch_layers(torch)
    sgd = torch.optim.SGD(layers.parameters(), lr=0.1)

    def update(ids, targets):
        scores = linear(lstm(table(ids.T))[0])  # its time axis comes first
        loss = torch.nn.functional.cross_entropy(scores.flatten(0, 1), targets.T.flatten())
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return loss

    return update


# %% [markdown]
# Whatever is not installed is left out, and says so.

# %%
measured = {"explicit": explicit, "compiled": compiled}
if find_spec("numba") and tg.get_backend().name == "numpy":
    kernels = tg.compile(update, fast=True)
    assert np.allclose(losses(kernels), expected, rtol=1e-4)
    measured["compiled, Numba"] = milliseconds(kernels, *batch, times=50)
else:
    print("no kernels here: they need Numba and the NumPy backend")

# %%
if find_spec("torch"):
    import torch

    model.load_state_dict(start)
    theirs, tensors = torch_update(torch), [torch.tensor(part) for part in batch]
    assert np.allclose(theirs(*tensors).item(), expected[0], rtol=1e-5)
    measured["PyTorch"] = milliseconds(theirs, *tensors, times=50)
else:
    print("PyTorch is not installed: its row is left out (pip install torch)")
for name, time in measured.items():
    print(f"{name:16} {time:7.2f} ms  {'▇' * max(1, round(40 * time / explicit))}")

# %% [markdown]
# A small model is all overhead, and a plan has little of it. At other sizes it goes otherwise:
# `benchmarks/RESULTS.md` has six of them beside PyTorch, won and lost, and says how they were
# measured. For a cell of your own PyTorch has no layer, and its own loop pays for every operation.
#
# ## What a plan cannot see
#
# A plan is a recording. Whatever *looks at* a number in the middle of an update cannot be recorded;
# it is refused, and the message says what to write instead:


# %%
@tg.compile
def looks(ids, targets):
    loss = F.cross_entropy(model(ids), targets)
    if loss.item() > 1:
        loss.backward()
    return loss


try:
    looks(*batch)
except tg.CaptureError as error:
    print(error)
else:
    raise AssertionError("it was captured")

# %% [markdown]
# Worse is what looks harmless: a Python number from outside that changes. The recording keeps the
# old one. `check=True` runs the function beside the plan, and finds it:

# %%
settings = {"scale": 1.0}
scaled = tg.compile(lambda x: (x * settings["scale"]).sum(), check=True)
scaled(x)
settings["scale"] = 2.0
try:
    scaled(x)
except tg.CompileMismatchError as error:
    print(error)
else:
    raise AssertionError("it was not found")

# %% [markdown] tags=["exercise"]
# **Exercise 1.** How often is a function captured? Batches of lengths 20, 20, 31, 20, 31 come in.
# Predict `captures`, then measure it. Then give all of them length 31, filled up with zeros, and
# `lengths` as an argument: how many now?
#
# *Hint: `rnn(x, lengths=lengths)`; an array among the arguments is read anew at each call.*

# %% tags=["solution"]
summed = tg.compile(lambda x: small(x).last.sum(), fast=False)
padded = tg.compile(lambda x, lengths: small(x, lengths=lengths).last.sum(), fast=False)
rng = np.random.default_rng(0)
for length in (20, 20, 31, 20, 31):
    x = rng.standard_normal((2, length, 3)).astype("float32")
    filled = np.pad(x, ((0, 0), (0, 31 - length), (0, 0)))
    assert np.allclose(
        summed(x).item(), padded(filled, np.array([length, length])).item(), atol=1e-5
    )
print("plans:", summed.captures, "by length,", padded.captures, "with lengths as an argument")
assert (summed.captures, padded.captures) == (2, 1)

# %% [markdown] tags=["exercise"]
# **Exercise 2.** Save the function that looks: "if the loss is above 1, train, else do not". Write
# the choice as arithmetic, so that it can be captured.
#
# *Hint: what is the gradient of a loss times 0? `F.where(loss.detach() > 1, 1.0, 0.0)`.*

# %% tags=["solution"]


@tg.compile
def chooses(ids, targets):
    loss = F.cross_entropy(model(ids), targets)
    optimizer.zero_grad()
    (loss * F.where(loss.detach() > 1, 1.0, 0.0)).backward()
    optimizer.step()
    return loss


model.load_state_dict(start)
found = [chooses(*batch).item() for _ in range(5)]
assert np.allclose(found, expected, rtol=1e-5)  # all above 1: it trains
readout.b.data = np.where(np.arange(V) == 7, 50.0, 0.0).astype("float32")
sevens = np.full((B, T), 7)
assert chooses(sevens, sevens).item() < 1
assert readout.b.numpy()[7] == 50 and chooses.captures == 1
print("above 1 it trains, below it leaves the weights alone, from one plan")

# %% [markdown] tags=["exercise"]
# **Exercise 3.** Which operations *must* stand in the loop? Count them on paper for the Elman layer
# above, forward, and compare with the last lines of `explain()`. Then do the same for a network
# that has time steps and no state, `nn.PerStep(nn.Linear(3, 4))`.
#
# *Hint: follow the way from sₜ₋₁ to sₜ.*

# %% tags=["solution"]
text = forward.explain()
print(text[text.index("left:") :])
assert "3 operations step by step, t = 1 … 6" in text
flat = nn.PerStep(nn.Linear(3, 4))
per_step = tg.compile(lambda x: flat(x).sum())
per_step(np.ones((2, 6, 3), "float32"))
text = per_step.explain()
print(text[text.index("left:") :])
assert "step by step" not in text

# %% [markdown]
# ## What to read next
#
# - `benchmarks/RESULTS.md`: ten workloads beside PyTorch, with what was not reached.
# - Andreas Griewank and Andrea Walther, *Evaluating Derivatives* (2008), on the cost of backward.
# - Roy Frostig, Matthew Johnson, Chris Leary, *Compiling machine learning programs via high-level
#   tracing* (2018): the idea of capturing a function by running it.
# - Jeremy Appleyard, Tomáš Kočiský, Phil Blunsom, *Optimizing Performance of Recurrent Neural
#   Networks on GPUs* (2016): the same regrouping by hand, for one cell.
# - To play with: `tg.compile` around the cell of tutorial 10, `step.draw()` before and after;
#   `tg.recompute`, which trades time for memory.
