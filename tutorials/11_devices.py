# %% [markdown]
# # 11 · Same code, other device
#
# The networks of this course run on NumPy, and unchanged on a GPU. Here you see how: what a backend
# is (you write one, in thirty lines), what may not be mixed, and what makes a GPU wait. You need no
# GPU: the *guard*, a double of CuPy that lives on the CPU, shows what one would complain about.
#
# You need tutorials 03 (recurrence) and 06 (gates). 20 minutes.

# %%
from collections import Counter

import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn, optim
from tinygradrnn.course import show

backend = tg.get_backend()
print(f"active: {backend.name}, on {backend.device}")
for name, (usable, why) in tg.available_backends().items():
    print(f"{'yes' if usable else 'no':>4}  {name:8} {why[:70]}")

# %% [markdown]
# ## One variable
#
# Nothing in a program says where it runs. The environment does:
#
# ```
# TINYGRADRNN_BACKEND=cupy python tutorials/03_recurrence.py
# ```
#
# or, inside a program, `tg.use_backend("cupy")`, or for a block `with tg.backend_scope("cupy"):`.
# The **active** backend decides one thing only: where *new* arrays are made. An operation runs
# where its arrays are. So a tensor made on one backend stays there, whatever is active later.

# %%
with tg.backend_scope("guard"):
    there = tg.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True, name="there")
with tg.backend_scope("numpy"):
    here = tg.tensor([[1.0, 0.0], [0.0, 1.0]], requires_grad=True, name="here")

product = there @ there.T  # outside of the scope, and yet it runs on the guard
print(type(there.data).__name__, type(product.data).__name__, type(here.data).__name__)

# %% [markdown]
# What do you expect of `here @ there`? Copying from one memory to the other is slow, and a program
# that copies in secret is slow in secret. So it is refused; the message says what to write instead.

# %%
try:
    here @ there
except tg.MixedBackendError as error:
    print(error)

# %% [markdown]
# Moving is an operation like any other: it is written into the graph, and gradients travel back
# through it.

# %%
loss = (there.to("numpy") * here).sum()
loss.backward()
print("∂L/∂there =", there.grad.numpy().tolist(), "as", type(there.grad.data).__name__)
assert np.array_equal(there.grad.numpy(), here.numpy())
show(tg.draw(loss, gradients=True), "transfer", "Find the box that moves: its gradient moves back.")

# %% [markdown]
# ## What a backend is
#
# A backend is an array type and a module `xp` with NumPy's functions for it. Let us write one that
# computes with NumPy and *counts*. First the array type: every addition, product and `tanh` of a
# NumPy array passes through `__array_ufunc__`, and there we count.

# %%
calls = Counter()


class Counted(np.ndarray):
    def __array_ufunc__(self, function, method, *inputs, out=None, **options):
        calls[function.__name__] += 1
        inputs = [np.asarray(x) if isinstance(x, Counted) else x for x in inputs]
        if out is not None:
            options["out"] = tuple(np.asarray(x) for x in out)
        result = getattr(function, method)(*inputs, **options)
        return out[0] if out is not None else np.asarray(result).view(Counted)

    def dot(self, other):
        return np.matmul(self, other)


# %% [markdown]
# Then `xp`: NumPy's functions, whose results become arrays of our type. Operations of this library
# are written once, as `xp.tanh(x)`; what `xp` is, they do not care.


# %%
class CountingFunctions:
    def __getattr__(self, name):
        function = getattr(np, name)
        if isinstance(function, np.ufunc) or not callable(function):
            return function  # counts by itself, or is a number

        def counted(*arguments, **options):
            calls[name] += 1
            result = function(*arguments, **options)
            return np.asarray(result).view(Counted)

        return counted


# %% [markdown]
# Last the backend: how arrays get there and back, and how gradients of rows that repeat are added.
# A package of your own would register this class under a name (CONTRIBUTING says how); for a try,
# the object is enough.


# %%
class CountingBackend:
    protocol, name, device = 1, "counting", "this machine, counted"
    xp, array_type = CountingFunctions(), Counted
    available = staticmethod(lambda: (True, "always"))
    asarray = staticmethod(lambda data, dtype=None: np.asarray(data, dtype).view(Counted))
    to_numpy = staticmethod(np.asarray)
    synchronize = staticmethod(lambda: None)
    memory_info = staticmethod(lambda: {})

    def scatter_add(self, target, index, values):
        calls["scatter_add"] += 1
        np.add.at(np.asarray(target), index, np.asarray(values))


counting = CountingBackend()

# %% [markdown]
# A training step of an LSTM, written as always. It returns the loss and does not look at it.


# %%
class Reader(nn.Module):
    def __init__(self, hidden=8, letters=12):
        self.embedding = nn.Embedding(letters, 5)
        self.rnn = nn.LSTM(5, hidden)
        self.readout = nn.Linear(hidden, letters)

    def forward(self, ids):
        return self.readout(self.rnn(self.embedding(ids)).y)


def train_step(model, optimizer, ids):
    loss = F.cross_entropy(model(ids[:, :-1]), ids[:, 1:])
    optimizer.zero_grad()
    loss.backward()
    optim.clip_grad_norm(model.parameters(), 1.0)
    optimizer.step()
    return loss


# %% [markdown]
# On a GPU each of the calls that we count starts a **kernel**, a small program for thousands of
# threads. How many are there in one training step over ten letters? Guess, then run.

# %%
ids = np.random.default_rng(0).integers(0, 12, (4, 11))


def run(where, steps=1):
    with tg.backend_scope(where):
        tg.manual_seed(0)
        model = Reader()
        optimizer = optim.Adam(model.parameters(), 0.01)
        calls.clear()
        return [train_step(model, optimizer, ids) for _ in range(steps)]


run(counting)
print(f"{calls.total()} calls; most often", calls.most_common(4))
assert calls.total() > 300

# %%
figure = Figure(figsize=(7, 3), layout="constrained")
axes = figure.subplots()
names, counts = zip(*calls.most_common(12), strict=True)
axes.bar(names, counts, color="0.4")
axes.tick_params(axis="x", rotation=50)
axes.set_ylabel("calls in one step")
show(figure, "calls", "Most calls are small: sums and products of gates, not the matrix products.")

# %% [markdown]
# ## What to expect of a GPU
#
# Starting a kernel takes a few microseconds, however small the work; the work itself is done at
# tens of teraflops. A rough model of a step, for n calls and a hidden size H:
#
# ```math
# time ≈ n · 5 µs + work(H) / 20·10¹² per second
# ```
#
# The two numbers are typical of data-centre GPUs, not measured here. When does the work begin to
# matter? The products of an LSTM over T steps and a batch B cost about 3 · 2 · B · T · 4H · 2H.

# %%
B, T, n = 64, 10, calls.total()
for H in (32, 128, 512, 1024, 2048):
    waiting, working = n * 5e-6, 3 * 2 * B * T * 4 * H * 2 * H / 20e12
    print(f"H = {H:5}: starting {waiting * 1e3:5.2f} ms, working {working * 1e3:6.2f} ms")

# %%
sizes = np.geomspace(16, 4096, 40)
figure = Figure(figsize=(6.5, 3.5), layout="constrained")
axes = figure.subplots()
axes.loglog(sizes, np.full(40, n * 5e-3), "--", label="starting the calls")
axes.loglog(sizes, 3 * 2 * B * T * 4 * sizes * 2 * sizes / 20e9, label="doing the work")
axes.set(xlabel="hidden size H", ylabel="ms in one step, by the model")
axes.legend()
show(
    figure,
    "starting-or-working",
    "Left of the crossing a faster GPU changes nothing.",
)

# %% [markdown]
# So a small network is no faster on a GPU: it is busy starting kernels. Two things help: larger
# batches and layers, and fewer calls. `tg.compile` makes one kernel of many calls (tutorial 12).
#
# ## What makes a GPU wait
#
# The CPU only *orders* kernels; it runs ahead while the GPU works. But whoever asks for a number,
# by `float(loss)`, `if loss > 3` or `print(loss)`, must wait until all that was ordered is done.
# The guard counts these places. It obeys all of CuPy's rules, but computes with NumPy.

# %%
with tg.testing.guard() as g:
    losses = run("guard", steps=10)
    print("ten steps:", g.synchronisations, "times the CPU waited")
    assert g.synchronisations == 0
    for loss in losses:
        if float(loss) < 2.4:
            break
    print(g)

# %% [markdown]
# The training step itself never waits; the loop that looks at each loss does, once per look, and
# the guard says in which line. And the numbers? The random numbers of this library are drawn on
# the CPU, so that the same seed gives the same network and the same dropout everywhere.

# %%
on_numpy = [loss.item() for loss in run("numpy", steps=10)]
on_guard = [loss.item() for loss in losses]
print(f"{on_numpy[0]:.6f} → {on_numpy[-1]:.6f}")
assert on_numpy == on_guard

# %% [markdown]
# On a real GPU expect the same to six or seven digits, not to the last: it adds in another order,
# and `(a + b) + c` is not `a + (b + c)` in floating point.

# %%
big, small = np.float32(1e8), np.float32(1)
print((big + small) - big, "but", (big - big) + small)

# %% [markdown]
# ## Rules that bite
#
# Some things that NumPy forgives, CuPy does not, or does silently. The guard lets you meet them
# here. An index out of range *wraps around* on a GPU, without a word:

# %%
with tg.testing.guard() as g:
    xp = g.backend.xp
    rows = xp.asarray(np.arange(3.0))
    print("row 4 of 3 is", rows[xp.asarray([4])].get())
    try:
        F.embedding([0, 4], tg.tensor(np.eye(3)))
    except IndexError as error:
        print("this library:", error)

# %% [markdown]
# Integers that come from the CPU are checked there, before they travel; so the check costs no wait.
# Next: a value of a GPU does not turn into a NumPy array by itself. A cell that uses `np.` in its
# formula works on NumPy and breaks on a GPU. The guard finds it on any machine:


# %%
class Careless(nn.RNN):
    def forward(self, x):
        y = super().forward(x).y
        return tg.tensor(np.tanh(np.asarray(y.data)))  # leaves the graph, and the device


with tg.testing.guard():
    try:
        Careless(nn.ElmanCell(2, 3))(np.ones((1, 4, 2), np.float32))
    except TypeError as error:
        print(error)

# %% [markdown] tags=["exercise"]
# **Exercise 1.** This step waits at each time step. Find out where with the guard, and write it
# without waiting. Hint: `F.where`, or `F.clip`.
#
# ```
# for t in range(x.shape[1]):
#     s = F.tanh(x[:, t] + s)
#     if s.max() > 0.9:
#         s = s * 0.5
# ```


# %% tags=["solution"]
def halved(x, look):
    s = tg.tensor(np.zeros(3))
    for t in range(x.shape[1]):
        s = F.tanh(x[:, t].sum(axis=0) + s)
        large = s.max() > 0.9
        s = s * (0.5 if large else 1.0) if look else s * F.where(large, 0.5, 1.0)
    return s


with tg.testing.guard() as g:
    x = tg.tensor(np.random.default_rng(0).standard_normal((2, 6, 3)))
    looked = halved(x, look=True)
    print(g)
    assert g.synchronisations == 6
    unseen = halved(x, look=False)
    assert g.synchronisations == 6
    assert np.array_equal(looked.numpy(), unseen.numpy())

# %% [markdown] tags=["exercise"]
# **Exercise 2.** You want the mean loss of each ten steps in your log. Train twenty steps so that
# the CPU waits only twice. Hint: keep the losses as tensors; `F.stack`.

# %% tags=["solution"]
with tg.testing.guard() as g:
    tg.manual_seed(0)
    model = Reader()
    optimizer = optim.Adam(model.parameters(), 0.01)
    log, kept = [], []
    for _ in range(20):
        kept.append(train_step(model, optimizer, ids).detach())
        if len(kept) == 10:
            log.append(F.stack(kept).mean().item())
            kept.clear()
    print("mean losses", log, "waits", g.synchronisations)
    assert g.synchronisations == 2 and log[1] < log[0]

# %% [markdown] tags=["exercise"]
# **Exercise 3.** Which calls grow with the number of time steps, and which do not? Count for 5 and
# for 10 letters, with the backend that you wrote. How many calls does one more letter cost?


# %% tags=["solution"]
def counted(letters):
    with tg.backend_scope(counting):
        tg.manual_seed(0)
        model = Reader()
        optimizer = optim.Adam(model.parameters(), 0.01)
        calls.clear()
        train_step(model, optimizer, ids[:, : letters + 1])
        return Counter(calls)


five, ten = counted(5), counted(10)
per_letter = {name: (ten[name] - five[name]) / 5 for name in ten if ten[name] > five[name]}
print("one letter more:", sum(per_letter.values()), "calls:", per_letter)
assert per_letter["tanh"] == 2  # of the candidate and of the new memory
assert counted(7).total() == five.total() + 2 * (ten.total() - five.total()) // 5

# %% [markdown]
# ## What to read next
#
# - Tutorial 12 makes few calls of many, and measures.
# - CONTRIBUTING, "Add a backend": how a class like yours gets a name and an installer.
# - Okuta, Unno, Nishino, Hido, Loomis: *CuPy: A NumPy-Compatible Library for NVIDIA GPU
#   Calculations* (2017).
# - To play with: let `Counted` add up the bytes that each call reads and writes, or round every
#   result to `float16`. Does the network still learn?
