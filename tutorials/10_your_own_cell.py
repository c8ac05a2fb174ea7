# %% [markdown]
# # 10 · Your own cell
#
# From an equation to a cell that is drawn, checked, trained and compiled: ten lines. Whatever the
# library does with its own cells it does with yours, for there is only one time loop.
#
# You need tutorials 02 (checking gradients) and 07 (the family of cells). 15 minutes.
# On a GPU: `TINYGRADRNN_BACKEND=cupy python tutorials/10_your_own_cell.py`.

# %%
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.course import show

tg.manual_seed(0)

# %% [markdown]
# ## The equation
#
# The GRU has two gates: r decides what of the old state the candidate may see, z how much of it is
# replaced. Would one gate do for both? Set r = z:
#
# ```math
# zₜ = σ(xₜ Wᶻ + sₜ₋₁ Uᶻ + bᶻ)
# gₜ = tanh(xₜ Wᵍ + (zₜ ⊙ sₜ₋₁) Uᵍ + bᵍ)
# sₜ = (1 − zₜ) ⊙ sₜ₋₁ + zₜ ⊙ gₜ
# ```
#
# This is the *minimal gated unit* (Zhou and others, 2016). It is not in the library.
#
# ## Ten lines
#
# Each of the first two lines needs a W, a U and a b:


# %%
def weights(inputs: int, hidden: int, bias: float = 0.0) -> list[nn.Parameter]:
    W = nn.initialisers.glorot((inputs, hidden))
    U = nn.initialisers.orthogonal((hidden, hidden))
    return [nn.Parameter(values) for values in (W, U, np.full(hidden, bias, "float32"))]


print("shapes of W, U, b:", *(parameter.shape for parameter in weights(3, 4)))

# %% [markdown]
# A cell is one step of the recurrence. It says what its weights are, how the next state comes from
# the last one and the input (the R of the notes), and what it starts from. The loop over time,
# batches, gradients, drawing: all that is not its business.


# %%
class OneGate(nn.Cell):
    def __init__(self, input_size, hidden_size, bias=0.0):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W_z, self.U_z, self.b_z = weights(input_size, hidden_size, bias)
        self.W_g, self.U_g, self.b_g = weights(input_size, hidden_size)

    def transition(self, s, x):
        z = F.sigmoid(x @ self.W_z + s @ self.U_z + self.b_z)
        g = F.tanh(x @ self.W_g + (z * s) @ self.U_g + self.b_g)
        return (1 - z) * s + z * g

    def initial_state(self, batch):
        return self.zeros(batch, self.hidden_size)


# %% [markdown]
# `transition` is the equation, line by line. Wrap the cell in `nn.RNN`, and it runs:

# %%
x = np.random.default_rng(0).standard_normal((2, 5, 3)).astype("float32")  # (B, T, F)
rnn = nn.RNN(OneGate(3, 4))
y, state = rnn(x)
print("y", y.shape, " state", state.shape)
print(rnn.summary())

# %% [markdown]
# ## Drawn

# %%
loss = rnn(x[:, :2]).last.sum()
show(
    tg.draw(loss, level="op"),
    "operations",
    "Two steps, every operation. Find the two places where z is used; what joins them at the end?",
)

# %% [markdown]
# A picture can show gates once it knows what they are called. `tg.scope` names the place, and the
# tensor gets a letter; `equations` are the lines that the stepping page shows beside the values.


# %%
class NamedOneGate(OneGate):
    equations = {
        "gate": "z_t = σ(x_t @ W_z + s_{t−1} @ U_z + b_z)",
        "candidate": "g_t = tanh(x_t @ W_g + (z_t ⊙ s_{t−1}) @ U_g + b_g)",
        "s": "s_t = (1 − z_t) ⊙ s_{t−1} + z_t ⊙ g_t",
    }

    def transition(self, s, x):
        with tg.scope("gate"):
            z = F.sigmoid(x @ self.W_z + s @ self.U_z + self.b_z)
            z.name = "z"
        with tg.scope("candidate"):
            g = F.tanh(x @ self.W_g + (z * s) @ self.U_g + self.b_g)
            g.name = "g"
        return (1 - z) * s + z * g


# %%
rnn = nn.RNN(NamedOneGate(3, 4))
loss = rnn(x[:, :3]).last.sum()
show(
    tg.draw(loss, level="gate", gradients=True),
    "gates",
    "The same cell with names. The numbers are the terms that each step adds to a gradient.",
)
show(tg.step_through(loss, level="gate"), "steps", "Arrow keys step; b jumps to the backward pass.")

# %% [markdown]
# ## Is it what the equation says?
#
# A picture shows *your* program, not the equation you meant. So write the equation down once more,
# in NumPy, with a loop, and compare:

# %%
cell = rnn.cell.astype("float64")
w = {name: parameter.numpy() for name, parameter in cell.named_parameters()}
s = np.zeros((2, 4))
for t in range(5):
    z = 1 / (1 + np.exp(-(x[:, t] @ w["W_z"] + s @ w["U_z"] + w["b_z"])))
    g = np.tanh(x[:, t] @ w["W_g"] + (z * s) @ w["U_g"] + w["b_g"])
    s = (1 - z) * s + z * g
difference = np.abs(rnn(x.astype("float64")).last.numpy() - s).max()
print(f"NumPy and the cell differ by {difference:.1e}")
assert difference < 1e-12

# %% [markdown]
# ## Are the gradients right?
#
# You wrote no gradient, so there is little to get wrong. Little is not nothing. `check_gradients`
# moves every weight a little and compares the change of the loss with what backward says:

# %%
inputs = tg.tensor(x.astype("float64"), requires_grad=True)
tg.check_gradients(lambda *_: rnn(inputs).y, inputs, *rnn.parameters())
tg.check_gradients(lambda *_: rnn(inputs).y, inputs, *rnn.parameters(), order=2)
print("gradients of the input and of all six weights agree, and second derivatives too")

# %% [markdown]
# **What do you expect** of this one? Somebody wanted to save time and computed the gate outside the
# graph. The values are exactly the same.


# %%
class Careless(OneGate):
    def transition(self, s, x):
        with tg.no_grad():
            z = F.sigmoid(x @ self.W_z + s @ self.U_z + self.b_z)
        g = F.tanh(x @ self.W_g + (z * s) @ self.U_g + self.b_g)
        return (1 - z) * s + z * g


careless = nn.RNN(Careless(3, 4)).astype("float64")
careless.load_state_dict(rnn.state_dict())
assert np.array_equal(careless(inputs).y.numpy(), rnn(inputs).y.numpy())
try:
    tg.check_gradients(lambda *_: careless(inputs).y, *careless.parameters())
except tg.GradientCheckError as error:
    print(error)
else:
    raise AssertionError("the check has missed it")

# %% [markdown]
# ## All the rest comes with it
#
# Two directions, layers, sentences of unequal length, a start that is learned, dropout: none of it
# is in the ten lines, and all of it works, because it is in the loop and not in the cell.

# %%
both = nn.Bidirectional(nn.RNN(NamedOneGate(3, 4)), nn.RNN(NamedOneGate(3, 4)))
tower = nn.Stacked([both, nn.RNN(NamedOneGate(8, 4))])
short, alone = tower(x, lengths=[5, 3]).last[1], tower(x[1:, :3]).last[0]
assert np.allclose(short.numpy(), alone.numpy(), atol=1e-6)
print("three words in a batch of five steps, and alone: the same", short.numpy().round(3))
show(
    tg.draw(tower(x[:, :3]).y.sum(), level="cell", gradients=True),
    "tower",
    "Your cell forwards, backwards, and on top of both.",
)

# %% [markdown]
# ## Trained
#
# A task for a memory: 50 symbols of four kinds. Which was the *first*? It is marked; the 49 after
# it only disturb.


# %%
def task(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    symbols = rng.integers(0, 4, (32, 50))
    x = np.zeros((32, 50, 5), "float32")
    x[np.arange(32)[:, None], np.arange(50), symbols] = 1
    x[:, 0, 4] = 1  # the mark
    return x, symbols[:, 0]


x, answers = task(np.random.default_rng(0))
print("a sequence:", *x[0, :12, :4].argmax(axis=1), "…  answer:", answers[0])

# %% [markdown]
# Before any training: how much of the gradient finds its way back to the first step? Two versions
# of the cell, alike but for the bias of the gate. With a bias of −2 the gate starts nearly closed,
# z ≈ σ(−2) = 0.12, and a state is mostly kept. **What do you expect?**

# %%
for bias in (0.0, -2.0):
    layer = nn.RNN(NamedOneGate(5, 16, bias=bias))
    norms = tg.analysis.gradient_flow(layer(x).last.sum()).state_norms[0]
    print(f"bias {bias:4}: ‖∂L/∂s₁‖ / ‖∂L/∂s₅₀‖ = {norms[0] / norms[-1]:.0e}")

# %% [markdown]
# An update as ever. `tg.compile` knows nothing of your cell either: it sees operations.


# %%
def training(cell: nn.Cell, updates: int = 400):
    rnn, readout = nn.RNN(cell), nn.Linear(16, 4)
    optimizer = tg.optim.Adam([*rnn.parameters(), *readout.parameters()], lr=0.01)

    def update(x, answers):
        loss = F.cross_entropy(readout(rnn(x).last), answers)
        optimizer.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(optimizer.params, 1.0)
        optimizer.step()
        return loss

    step, rng = tg.compile(update, fast=False), np.random.default_rng(0)
    losses = [step(*task(rng)) for _ in range(updates)]
    return rnn, np.array([loss.item() for loss in losses]), step


# %%
runs = {bias: training(NamedOneGate(5, 16, bias=bias)) for bias in (0.0, -2.0)}
figure = Figure(figsize=(8, 3.6), layout="constrained")
axes = figure.subplots()
for (bias, (_, losses, _)), style in zip(runs.items(), ("--", "-"), strict=True):
    smooth = np.convolve(losses, np.ones(10) / 10, "valid")
    axes.plot(smooth, style, color="#1b2133", label=f"bias {bias:g}")
    print(f"bias {bias:4}: loss at the end {losses[-20:].mean():.3f}")
axes.set(xlabel="update", ylabel="loss", title="Which symbol came first?", ylim=(0, 1.6))
axes.legend()
show(figure, "training", f"Guessing costs ln 4 = {np.log(4):.2f}. Which one gets away from it?")
assert runs[-2.0][1][-20:].mean() < 0.1 < 1 < runs[0.0][1][-20:].mean()

# %% [markdown]
# One number decides. Where no gradient arrives, nothing is learned, whatever the cell could do. And
# what has the gate learned that could?

# %%
trained = runs[-2.0][0]
gate = tg.analysis.gate_activity(trained, x[0])
show(gate.plot("gate"), "memory", "Light is open. Which units open at step 1 and never again?")
z = gate["z"]  # (T, H)
holders = [unit for unit in range(16) if z[0, unit] > 0.3 and z[1:, unit].max() < 0.1]
print("units that open at step 1 and stay shut for 49 steps:", holders)
assert holders

# %% [markdown]
# A few units have become memory cells: open for the symbol that is marked, then shut on what they
# hold. Nobody set their weights (in tutorial 06 you did that by hand).
#
# ## Compiled
#
# What did the compiler make of a cell that it had never seen?

# %%
step = runs[-2.0][2]
print(step.explain())

# %% [markdown]
# The products xₜ Wᶻ and xₜ Wᵍ need nothing of the step before, so they are computed for all 50
# steps at once; what is left in the loop is what your equation demands. Tutorial 12 looks closer.

# %% [markdown] tags=["exercise"]
# **Exercise 1.** What does a gradient check *not* find? Write the cell with z and 1 − z exchanged
# in the last line: sₜ = zₜ ⊙ sₜ₋₁ + (1 − zₜ) ⊙ gₜ. Show that it passes the check, and that its
# values are not those of the cell above with the same weights.
#
# *Hint: subclass `OneGate` and `load_state_dict`.*

# %% tags=["solution"]


class Exchanged(OneGate):
    def transition(self, s, x):
        z = F.sigmoid(x @ self.W_z + s @ self.U_z + self.b_z)
        g = F.tanh(x @ self.W_g + (z * s) @ self.U_g + self.b_g)
        return z * s + (1 - z) * g


exchanged = nn.RNN(Exchanged(3, 4)).astype("float64")
exchanged.load_state_dict(rnn.state_dict())
tg.check_gradients(lambda *_: exchanged(inputs).y, inputs, *exchanged.parameters())
apart = np.abs((exchanged(inputs).y - rnn(inputs).y).numpy()).max()
print(f"right gradients of another function, {apart:.2f} away")
assert apart > 0.01

# %% [markdown] tags=["exercise"]
# **Exercise 2.** A cell without gates that forgets slowly: Euler's method for a differential
# equation whose matrix is *antisymmetric* (Chang and others, 2019),
#
# ```math
# sₜ = sₜ₋₁ + ε tanh(xₜ W + sₜ₋₁ (U − Uᵀ) + b)
# ```
#
# Write it with ε = 0.1. Find ‖∂s₁₀₀/∂s₁‖, which is `tg.analysis.jacobian_products(cell, None, x)`
# at `[-1, 0]`, and the same of an Elman cell whose W_s is half an orthogonal matrix.
#
# *Hint: `self.U - self.U.T`. A weight that is used twice is nothing new to backward.*

# %% tags=["solution"]


class Antisymmetric(nn.Cell):
    def __init__(self, input_size, hidden_size):
        self.input_size, self.hidden_size = input_size, hidden_size
        self.W, self.U, self.b = weights(input_size, hidden_size)

    def transition(self, s, x):
        return s + 0.1 * F.tanh(x @ self.W + s @ (self.U - self.U.T) + self.b)

    def initial_state(self, batch):
        return self.zeros(batch, self.hidden_size)


slow, elman = Antisymmetric(3, 8), nn.ElmanCell(3, 8)
elman.W_s.data = elman.W_s.data * 0.5
long = np.random.default_rng(0).standard_normal((100, 3)).astype("float32")
norms = [float(tg.analysis.jacobian_products(c, None, long)[-1, 0]) for c in (slow, elman)]
print(f"antisymmetric {norms[0]:.2f}, Elman {norms[1]:.0e}")
assert 0.1 < norms[0] < 10 and norms[1] < 1e-10

# %% [markdown] tags=["exercise"]
# **Exercise 3.** A state of two parts: let the input push a velocity v, and the velocity push the
# state (Nguyen and others, 2020),
#
# ```math
# vₜ = μ vₜ₋₁ + xₜ W     sₜ = tanh(sₜ₋₁ U + vₜ + b)
# ```
#
# with a learned μ, 0.9 at first. Check the gradients, and find both parts in a picture.
#
# *Hint: the state is a named tuple `Moving(s, v)`; its first part is the output.*

# %% tags=["solution"]


class Moving(NamedTuple):
    s: tg.Tensor
    v: tg.Tensor


class Momentum(Antisymmetric):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        self.mu = nn.Parameter(np.full(hidden_size, 0.9, "float32"))

    def transition(self, state, x):
        v = self.mu * state.v + x @ self.W
        return Moving(F.tanh(state.s @ self.U + v + self.b), v)

    def initial_state(self, batch):
        return Moving(self.zeros(batch, self.hidden_size), self.zeros(batch, self.hidden_size))


moving = nn.RNN(Momentum(3, 4)).astype("float64")
tg.check_gradients(lambda *_: moving(inputs).y, inputs, *moving.parameters())
loss = moving(inputs.detach()[:, :3]).last.sum()
show(tg.draw(loss), "momentum", "Two lanes: the state and its velocity.")

# %% [markdown]
# ## What to read next
#
# - Tutorial 11: the same code on another device. Tutorial 12: what the compiler does.
# - Guo-Bing Zhou, Jianxin Wu, Chen-Lin Zhang, Zhi-Hua Zhou, *Minimal Gated Unit for Recurrent
#   Neural Networks* (2016).
# - Bo Chang, Minmin Chen, Eldad Haber, Ed Chi, *AntisymmetricRNN: A Dynamical System View on
#   Recurrent Neural Networks* (2019).
# - Tan Nguyen and others, *MomentumRNN: Integrating Momentum into Recurrent Neural Networks*
#   (2020).
# - Rafal Jozefowicz, Wojciech Zaremba, Ilya Sutskever, *An Empirical Exploration of Recurrent
#   Network Architectures* (2015): ten thousand cells, tried by a program.
# - To play with: your own equation. `CONTRIBUTING.md` says how a cell becomes part of the library.
