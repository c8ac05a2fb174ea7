# %% [markdown]
# # 07 · The family
#
# The LSTM has many relatives. You will meet the GRU, find out why two books write it differently
# and when that matters, and then draw, count and measure the others: coupled gates, peepholes,
# Jordan, clockwork and SCRN.
#
# You need tutorial 06: gates and the LSTM. It takes about 20 minutes.

# %%
import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.course import show

analysis = tg.analysis


# %%
def picture(cell: nn.Cell, steps: int = 2, level: str = "gate") -> tg.Drawing:
    """A cell, unrolled over random inputs."""
    x = np.random.default_rng(0).standard_normal((1, steps, 3))
    y = nn.RNN(cell)(tg.tensor(x, name="x", dtype="float32")).last
    return tg.draw(y, level=level)


# %% [markdown]
# ## The GRU: one lane, two gates
#
# The gated recurrent unit (Cho and others 2014) has no separate memory. Its state `s` is memory and
# output in one. The update gate `z` mixes the old state with a candidate, the reset gate `r`
# decides how much of the old state the candidate gets to see:
#
# ```math
# z = σ(xₜ Wˣᶻ + sₜ₋₁ Wˢᶻ + bᶻ)          g = tanh(xₜ Wˣᵍ + (r ⊙ sₜ₋₁) Wˢᵍ + bᵍ)
# r = σ(xₜ Wˣʳ + sₜ₋₁ Wˢʳ + bʳ)          sₜ = (1 − z) ⊙ sₜ₋₁ + z ⊙ g
# ```
#
# The last line is the soft gate of tutorial 06, nothing else.

# %%
tg.manual_seed(0)
gru = picture(nn.GRUCell(3, 4))
show(gru, "gru", "The lane of s is touched by z only; r works on a side road.")
loss = nn.RNN(nn.GRUCell(3, 4))(np.ones((1, 3, 3), "float32")).last.sum()
page = tg.step_through(loss, level="gate")
show(page, "gru-steps", "Each gate of each step, forward and backward.")

# %% [markdown]
# What does each gate do? Hold one of them with its bias. With `z` shut, the state is copied,
# whatever comes in. With `z` open and `r` shut, the past is ignored: `sₜ` is computed from `xₜ`
# alone.

# %%
gru = nn.GRUCell(3, 4).astype("float64")
x = np.random.default_rng(1).standard_normal((1, 30, 3))
start = np.array([[0.5, -0.5, 0.1, 0.9]])
gru.b_z = np.full(4, -30.0)
print("z shut:  ", nn.RNN(gru)(x, start).last.numpy().round(3))
assert np.allclose(nn.RNN(gru)(x, start).last.numpy(), start, atol=1e-8)
gru.b_z, gru.b_r = np.full(4, 30.0), np.full(4, -30.0)
with_past = nn.RNN(gru)(x, start).last.numpy()
without = nn.RNN(gru)(x[:, -1:]).last.numpy()
print("r shut:  ", with_past.round(3), "\nonly x_30:", without.round(3))
assert np.allclose(with_past, without, atol=1e-8)

# %% [markdown]
# The restaurant review "The service was good, but the food was awful" needs both: keep *food* while
# words pass (`z` shut), and drop what was said of the service when *but* comes (`r` shut). What a
# GRU cannot do is count: its state is always a mix of numbers between −1 and 1. An LSTM's `c` can
# grow.
#
# ## Two books, two GRUs
#
# Look the GRU up twice and you will find different equations. There are two points of difference.
#
# | who | `z` multiplies | `r` acts |
# |---|---|---|
# | Cho and others 2014 | the old state | before the product: `(r ⊙ s) W` |
# | Chung and others 2014, Goldberg 2016 | the candidate | before |
# | Stanford CS224N 2017, PyTorch, Keras | the old state | after the product: `r ⊙ (s W)` |
#
# `GRUCell(update="candidate" | "state", reset="before" | "after")` has all of them. Which of these
# differences matter? First the update. Give two cells the same weights, and compare.


# %%
def pair(option: str, *values: str) -> list[nn.GRUCell]:
    """Two GRUs that differ in one option, with the same random weights."""
    cells = [nn.GRUCell(3, 4, **{option: v}).astype("float64") for v in values]
    random = np.random.default_rng(2)
    for name, parameter in cells[0].named_parameters():
        parameter.data = random.normal(0, 0.8, parameter.shape)
        setattr(cells[1], name, parameter.numpy())
    return cells


def difference(one: nn.Cell, other: nn.Cell, steps: int = 30) -> float:
    """The largest difference of their outputs over some steps."""
    y_one, y_other = (nn.RNN(cell)(x[:, :steps]).y for cell in (one, other))
    return abs(y_one - y_other).max().item()


# %%
candidate, state = pair("update", "candidate", "state")
print(f"same weights:         they differ by {difference(candidate, state):.2f}")
assert difference(candidate, state) > 0.1
state.W_xz, state.W_sz, state.b_z = -state.W_xz, -state.W_sz, -state.b_z
print(f"weights of z negated: they differ by {difference(candidate, state):.1e}")
assert difference(candidate, state) < 1e-12

# %% [markdown]
# They are the same model. Because `σ(−a) = 1 − σ(a)`, negating the weights of `z` swaps `z` and
# `1 − z`. Two networks trained from scratch learn equally well; only if you *copy* weights from one
# program into another you must change the signs.
#
# Now the reset.

# %%
before, after = pair("reset", "before", "after")
print(f"first step: they differ by {difference(before, after, steps=1):.1e}")
print(f"30 steps:   they differ by {difference(before, after):.2f}")
assert difference(before, after, steps=1) < 1e-12
assert difference(before, after) > 0.1

# %% [markdown]
# In the first step `s₀ = 0` and there is nothing to reset. Afterwards they part, and no change of
# signs brings them together: `(r ⊙ s) W` shuts *rows* of the matrix, `r ⊙ (s W)` shuts *columns*.
# They agree only where the matrix is diagonal, so that no unit sees another one:

# %%
before.W_sg = after.W_sg = np.diag([0.5, -1.0, 2.0, 0.1])
after.b_sg = np.zeros(4)
print(f"W_sg diagonal: they differ by {difference(before, after):.1e}")
assert difference(before, after) < 1e-12

# %% [markdown]
# See where `r` enters. "After" is the one that GPUs like: all products with `s` can be made at
# once, before `r` is known.

# %%
before = picture(nn.GRUCell(3, 4, reset="before"), level="op")
show(before, "reset-before", "At the side of r: first × with s, then @ with W_sg.")
after = picture(nn.GRUCell(3, 4, reset="after"), level="op")
show(after, "reset-after", "First s @ W_sg + b_sg, then × with r.")

# %% [markdown]
# ## Coupled gates
#
# An LSTM may write and keep at the same time, or neither. Take the choice away: what is kept is not
# written, `i = 1 − f`. That saves a quarter of the weights.
#
# ```math
# cₜ = f ⊙ cₜ₋₁ + (1 − f) ⊙ g
# ```

# %%
coupled = nn.LSTMCell(3, 4, coupled=True).astype("float64")
show(picture(coupled), "coupled", "The box 1 − makes i from f.")

# %% [markdown]
# No new power then: every coupled LSTM is an ordinary one whose input gate has the negated weights
# of its forget gate. Check it.

# %%
plain = nn.LSTMCell(3, 4).astype("float64")
for letter in "fgo":
    for name in (f"W_x{letter}", f"W_h{letter}", f"b_{letter}"):
        setattr(plain, name, getattr(coupled, name))
plain.W_xi, plain.W_hi, plain.b_i = -plain.W_xf, -plain.W_hf, -plain.b_f
print(f"coupled and plain differ by {difference(coupled, plain):.1e}")
assert difference(coupled, plain) < 1e-12

# %% [markdown]
# ## Peepholes
#
# The gates of an LSTM see `x` and `h`, not the memory itself. When the output gate is shut, `h` is
# 0, and nobody can know what is in `c`. A peephole lets each gate see its own memory cell:
#
# ```math
# i = σ(… + pⁱ ⊙ cₜ₋₁)          f = σ(… + pᶠ ⊙ cₜ₋₁)          o = σ(… + pᵒ ⊙ cₜ)
# ```

# %%
peephole = picture(nn.LSTMCell(3, 4, peephole=True))
show(peephole, "peephole", "New: the lane of c leads to the gates.")

# %% [markdown]
# What is it good for? Counting. Set by hand an LSTM that adds 1 at each step until it has 3, and
# then stops: its input gate shuts itself when `c` is above 2.5. The output gate is shut all the
# time.


# %%
def counter(peephole: bool) -> np.ndarray:
    """The memory over eight steps of input 1."""
    cell = nn.LSTMCell(1, 1, peephole=peephole, activation="linear")
    cell.W_x = [[0.0, 0.0, 1.0, 0.0]]  # i f g o: g = x
    cell.W_h = np.zeros((1, 4))
    cell.b = [100.0, 30.0, 0.0, -30.0]  # write and keep, say nothing
    if peephole:
        cell.p_i = [-40.0]
    ones = np.ones((8, 1), "float32")
    return analysis.gate_activity(nn.RNN(cell), ones)["c"][:, 0]


# %%
print("with a peephole:", counter(True).round(2))
print("without:        ", counter(False).round(2))
assert np.allclose(counter(True), [1, 2, 3, 3, 3, 3, 3, 3], atol=1e-6)
assert np.allclose(counter(False), range(1, 9), atol=1e-6)

# %% [markdown]
# ## Jordan: remember what you said
#
# Elman (1990) feeds back the hidden layer, Jordan (1986) the *output*:
#
# ```math
# hₜ = tanh(xₜ Wˣ + yₜ₋₁ Wʸ + b)          yₜ = hₜ V + c
# ```
#
# The state is what was put out, and not one number more. With one output the network remembers one
# number, however large its hidden layer is.

# %%
jordan = nn.JordanCell(3, 16, 1).astype("float64")
J = analysis.state_jacobians(jordan, None, x[0])
print("hidden units: 16, ∂state/∂state before:", J.shape[1:])
assert J.shape[1:] == (1, 1)
show(
    picture(nn.JordanCell(3, 4, 1), steps=3),
    "jordan",
    "h is inside the step; only y crosses to the next.",
)
show(
    picture(nn.ElmanCell(3, 4), steps=3),
    "elman",
    "For comparison: Elman, whose whole state crosses.",
)

# %% [markdown]
# ## Clockwork: slow units and fast units
#
# Koutník and others (2014) split the state into blocks with periods. A block is computed only at
# steps that its period divides; else it stands still. Slow blocks are memory, fast ones follow the
# input.
#
# ```math
# sₜ[k] = tanh(xₜ Wˣ[k] + Σⱼ≥ₖ sₜ₋₁[j] Wˢ[j, k] + b[k])
# sₜ[k] = sₜ₋₁[k]
# ```
#
# The first line where the period of block `k` divides `t − 1`, the second one otherwise.

# %%
tg.manual_seed(0)
clock = nn.ClockworkCell(3, 6, periods=(1, 2, 4))
two = nn.ClockworkCell(3, 4, periods=(1, 2))
show(picture(two, steps=3), "clockwork", "At t = 2 the slow block stands still.")

# %%
activity = analysis.gate_activity(nn.RNN(clock), x[0, :12].astype("float32"))
s = activity["s"]
moved = np.abs(np.diff(s, axis=0)).reshape(11, 3, 2).max(axis=2) > 0
for block, period in enumerate(clock.periods):
    steps = np.flatnonzero(moved[:, block]) + 2
    print(f"period {period}: changes at t =", *steps)
    assert steps.tolist() == [t for t in range(2, 13) if (t - 1) % period == 0]
show(
    activity.plot("s"),
    "clock-state",
    "Two rows for each block: the upper ones change every fourth step.",
)

# %% [markdown]
# A gradient that goes through a slow block crosses few steps: over 100 steps of time it passes
# through a block of period 4 only 25 times.
#
# ## SCRN: a slow context beside a simple RNN
#
# Mikolov and others (2015) asked: what is the least that an LSTM needs? They add to a simple RNN a
# few units without any activation, which change slowly:
#
# ```math
# sₜ = α sₜ₋₁ + (1 − α) xₜ B          hₜ = σ(sₜ P + xₜ A + hₜ₋₁ R + b)          α = 0.95
# ```
#
# The context `s` is a running mean of what came in. Its Jacobian needs no measurement: `α` at each
# step.

# %%
scrn = nn.SCRNCell(3, 4, 2, alpha=0.95).astype("float64")
jacobians = analysis.state_jacobians(scrn, None, x[0])  # of [h, s]
through = jacobians.product(30, 0)[4:, 4:]
print(through.round(4), "\n0.95³⁰ =", round(0.95**30, 4))
assert np.allclose(through, 0.95**30 * np.eye(2))
two_lanes = picture(nn.SCRNCell(3, 4, 2), steps=3)
show(two_lanes, "scrn", "Two lanes: s below, slow and linear; h above.")

# %% [markdown]
# ## The family, measured
#
# All of them with 16 units and 10 inputs. How many numbers does each have to learn? A gate costs as
# much as a whole simple RNN.

# %%
family = {
    "Elman": lambda: nn.ElmanCell(10, 16),
    "Jordan": lambda: nn.JordanCell(10, 16, 16),
    "ReLU, identity": lambda: nn.IRNNCell(10, 16),
    "clockwork": lambda: nn.ClockworkCell(10, 16, periods=(1, 2, 4, 8)),
    "SCRN": lambda: nn.SCRNCell(10, 12, 4),
    "GRU": lambda: nn.GRUCell(10, 16),
    "LSTM, coupled": lambda: nn.LSTMCell(10, 16, coupled=True),
    "LSTM": lambda: nn.LSTMCell(10, 16),
    "LSTM, peepholes": lambda: nn.LSTMCell(10, 16, peephole=True),
}

# %%
counts = {}
for name, make in family.items():
    counts[name] = sum(p.size for p in make().parameters())
    print(f"{name:16} {counts[name]:6}")
one = 10 * 16 + 16 * 16 + 16  # W_x, W_s and b
for name, gates in (("Elman", 1), ("GRU", 3), ("LSTM, coupled", 3), ("LSTM", 4)):
    assert counts[name] == gates * one

# %% [markdown]
# And how much of a gradient does each hand back over forty steps, before any training? Take a guess
# for the GRU.


# %%
def handed_back(cell: nn.Cell) -> np.ndarray:
    """‖∂state_40/∂state_k‖ for k = 0…40."""
    inputs = 0.5 * np.random.default_rng(3).standard_normal((40, 10))
    return analysis.jacobian_products(cell.astype("float64"), None, inputs)[40]


left = {}
for name, make in family.items():
    tg.manual_seed(0)
    left[name] = handed_back(make())
    print(f"{name:16} {left[name][0]:10.2g}")
assert np.isclose(left["ReLU, identity"][0], 1)
assert left["SCRN"][0] > 0.999 * 0.95**40
assert left["LSTM"][0] > 100 * left["Elman"][0] and left["GRU"][0] < 1e-4

# %%
figure = Figure(figsize=(8, 4.5), layout="constrained")
axes = figure.subplots()
for number, (name, norms) in enumerate(left.items()):
    dash, marker = ("-", "--", ":")[number % 3], ("o", "s", "^")[number // 3]
    look = {"linestyle": dash, "marker": marker, "markevery": 8}
    axes.plot(40 - np.arange(41), norms, label=name, **look)
axes.set(yscale="log", xlabel="steps back, t − k", ylabel="‖∂state₄₀/∂stateₖ‖")
axes.legend(bbox_to_anchor=(1.01, 0.5), loc="center left", frameon=False)
show(figure, "family", "Before training: who hands a gradient back?")

# %% [markdown]
# You can read the designs off the lines. ReLU with the identity stays at 1. SCRN falls by `α` at
# each step. The clockwork comes down in stairs, one for each tick of its slowest block. The GRU
# falls as fast as Jordan's network: its `z` starts at `σ(0) = 1/2`, so it forgets half at every
# step. It needs a bias as the LSTM does (exercise 1).
#
# This is not a verdict. Training moves the gates, and which cell is best depends on the task; for
# GRU and LSTM, the jury is still out.
#
# ## Exercises

# %% [markdown] tags=["exercise"]
# **Exercise 1.** Give the GRU the counterpart of the forget gate's bias, so that after forty steps
# more than a tenth of the gradient is left. *Hint:* with `update="candidate"`, what must `z` be to
# keep the state, and which bias makes it so?

# %% tags=["solution"]
tg.manual_seed(0)
patient = nn.GRUCell(10, 16)
patient.b_z = np.full(16, -3.0)  # z = σ(−3) = 0.05: 95 % of the state is kept
kept = handed_back(patient)[0]
print(f"b_z = 0: {left['GRU'][0]:.1g}, b_z = −3: {kept:.2f}")
assert kept > 0.1

# %% [markdown] tags=["exercise"]
# **Exercise 2.** Set the biases of a GRU so that it becomes an Elman network, and compare it with
# one that has the same weights. *Hint:* two gates must stand open all the time.

# %% tags=["solution"]
gru = nn.GRUCell(3, 4).astype("float64")
gru.b_z = gru.b_r = np.full(4, 40.0)
elman = nn.ElmanCell(3, 4).astype("float64")
elman.W_x = gru.W_xg.numpy()
elman.W_s, elman.b = gru.W_sg.numpy(), gru.b_g.numpy()
print(f"they differ by {difference(gru, elman):.1e}")
assert difference(gru, elman) < 1e-10

# %% [markdown] tags=["exercise"]
# **Exercise 3.** A clockwork network with periods 1 and 4 reads eight steps, and the loss is the
# sum of the last state. At which steps does a term of `∂L/∂b` for the slow block arise? Think
# first, then ask `tg.Graph(loss).contributions(…)`.

# %% tags=["solution"]
slow = nn.RNN(nn.ClockworkCell(3, 4, periods=(1, 4)))
loss = slow(x[:, :8].astype("float32")).last.sum()
terms = tg.Graph(loss).contributions(slow.cell.b)
when = [t for t, term in terms.items() if np.abs(term[2:]).max() > 0]
print("terms for the slow block at t =", *when)
assert when == [1, 5]

# %% [markdown]
# ## What to read next
#
# - Tutorial 08: many layers, both directions.
# - K. Cho and others, *Learning phrase representations using RNN encoder–decoder*, 2014; J. Chung
#   and others, *Empirical evaluation of gated recurrent neural networks*, 2014: the GRU.
# - J. Koutník and others, *A clockwork RNN*, 2014; T. Mikolov and others, *Learning longer memory
#   in recurrent neural networks*, 2015: the SCRN.
# - K. Greff and others, *LSTM: a search space odyssey*, 2017: which parts of the LSTM matter?
# - To play with: `tinygradrnn draw gru --steps 4 --gradients -o gru.svg` for any cell of this page;
#   other periods; `α` near 1. On a GPU, unchanged:
#   `TINYGRADRNN_BACKEND=cupy python tutorials/07_family.py`.
