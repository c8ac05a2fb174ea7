# %% [markdown]
# # 06 · Gates
#
# A gate is a switch that a network can learn. You will open and close gates by hand, make them soft
# so that a gradient can pass, build an LSTM whose weights you set yourself, and see why its memory
# does not fade.
#
# You need tutorial 05: vanishing gradients. It takes about 20 minutes.

# %%
import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.course import show

analysis = tg.analysis

# %% [markdown]
# ## A memory that is written everywhere at once
#
# Think of the state of a recurrent network as the memory of a small computer. A simple RNN reads
# all of it and writes all of it, at every step. A program that overwrites each variable on each
# line would not get far. What is missing is control: *which* cells of the memory are written now?
#
# The simplest control is a vector of zeros and ones, a **gate**:
#
# ```math
# s′ = g ⊙ x + (1 − g) ⊙ s          (⊙: element by element)
# ```
#
# Where `g` is 1, `x` is written. Where `g` is 0, the old value stays. What will this print?

# %%
s = tg.tensor([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], name="s")
x = tg.tensor([10.0, 20.0, 30.0, 40.0, 50.0, 60.0], requires_grad=True, name="x")
g = tg.tensor([0.0, 1.0, 0.0, 0.0, 0.0, 1.0], requires_grad=True, name="g")
new = F.hard_gate(g, x, s)
print(new.numpy())
assert new.numpy().tolist() == [1, 20, 3, 4, 5, 60]

# %% [markdown]
# A switch like this must be *learned*, or somebody would have to operate it. Learning needs a
# gradient. Is there one?

# %%
new.sum().backward()
print("∂L/∂x:", x.grad.numpy())
print("∂L/∂g:", g.grad)
assert g.grad is None and np.array_equal(x.grad.numpy(), g.numpy())

# %% [markdown]
# The gradient passes through the open gates to `x`, and nothing comes to `g`. A gate of 0 and 1
# jumps; it has no slope to follow. The way out: let `g′` be any number, and squeeze it between 0
# and 1 with a sigmoid.
#
# ```math
# s′ = σ(g′) ⊙ x + (1 − σ(g′)) ⊙ s          σ(g′) = 1 / (1 + e^−g′)
# ```

# %%
a = np.linspace(-10, 10, 201)
soft = F.sigmoid(tg.tensor(a)).numpy()
figure = Figure(figsize=(7, 3), layout="constrained")
axes = figure.subplots()
axes.plot(a, a > 0, "--", color="#8a93a8", label="hard: 0 or 1, no slope")
axes.plot(a, soft, color="#0072B2", label="soft: σ(g′)")
axes.plot(a, soft * (1 - soft), ":", color="#D55E00", label="its slope")
axes.set(xlabel="g′", ylabel="how open")
axes.legend()
show(
    figure,
    "hard-and-soft",
    "Far from 0 the soft gate is as good as a hard one; near 0 it can learn.",
)

# %% [markdown]
# Now learn one. The wish: keep the first three cells, write the last three. Nobody says what the
# gate should be, only what should come out. It starts half open everywhere.

# %%
g = nn.Parameter(np.zeros(6), name="g′")
x = tg.tensor(x.numpy(), name="x")  # a given number again: only g is to learn
wish = tg.tensor([1.0, 2.0, 3.0, 40.0, 50.0, 60.0], name="wish")


def how_wrong() -> tg.Tensor:
    return F.half_squared_error(F.soft_gate(g, x, s), wish)


show(
    tg.draw(F.soft_gate(g, x, s)),
    "soft-gate",
    "One σ, used twice: as it opens for x, 1 − σ shuts for s.",
)

# %%
optimiser = tg.optim.Adam([g], lr=0.1)
for step in range(101):
    loss = how_wrong()
    if step % 25 == 0:
        opened = F.sigmoid(g).numpy().round(2)
        print(f"step {step:3}  loss {loss.item():6.1f}  gate {opened}")
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
assert F.sigmoid(g).numpy().round().tolist() == [0, 0, 0, 1, 1, 1]

# %% [markdown]
# The gate found out by itself what to write and what to keep.
#
# ## From the simple RNN to the LSTM
#
# Let a network operate its gates: compute each `g′` from the input and from what was said last, and
# train it with the rest. That is the LSTM (Hochreiter and Schmidhuber 1997). Compare two pictures
# of three steps each. First the simple RNN: one lane, and everything on it goes through the matrix.


# %%
def last_step(cell: nn.Cell, steps: int = 3) -> tg.Tensor:
    """A loss on the last output, of random inputs."""
    random = np.random.default_rng(0)
    x = random.standard_normal((1, steps, 3)).astype("float32")
    y = nn.RNN(cell)(tg.tensor(x, name="x")).last
    target = tg.tensor(np.ones((1, 4), "float32"), name="target")
    return F.half_squared_error(y, target)


tg.manual_seed(0)
simple = tg.draw(last_step(nn.ElmanCell(3, 4)), level="gate")
show(simple, "simple", "s: one lane, rewritten at each step.")

# %% [markdown]
# Now add a second lane that goes straight through: the memory `c`, also called the carry track or
# the cell state. Gates stand beside it, and only they may touch it.
#
# ```math
# i = σ(xₜ Wˣⁱ + hₜ₋₁ Wʰⁱ + bⁱ)          g = tanh(xₜ Wˣᵍ + hₜ₋₁ Wʰᵍ + bᵍ)
# f = σ(xₜ Wˣᶠ + hₜ₋₁ Wʰᶠ + bᶠ)          cₜ = f ⊙ cₜ₋₁ + i ⊙ g
# o = σ(xₜ Wˣᵒ + hₜ₋₁ Wʰᵒ + bᵒ)          hₜ = o ⊙ tanh(cₜ),  yₜ = hₜ
# ```
#
# `i` is the input gate (write), `f` the forget gate (keep), `o` the output gate (read). The
# candidate `g` is what would be written; some authors call it `z` or `c̃`.

# %%
lstm = last_step(nn.LSTMCell(3, 4))
show(tg.draw(lstm, level="gate"), "lstm", "Find c: × f, + i ⊙ g, and no matrix.")
page = tg.step_through(lstm, level="gate")
show(page, "lstm-steps", "Each gate is computed, then used.")

# %% [markdown]
# ## An LSTM whose weights you set
#
# What can such a cell do? Nothing is trained now: we write the weights down. There is one unit, and
# each step brings three numbers.
#
# - `x₁` is a value.
# - `x₂ = 1` adds it to the memory, `x₂ = −1` resets the memory, `x₂ = 0` leaves it alone.
# - `x₃ = 1` lets the memory out; otherwise the output is 0.
#
# A gate is `σ(a)`. At `a = ±10` it is open or closed but for 0.00005, so weights of 100 and biases
# of ±10 make switches:
#
# | gate | weights | `x₂ = −1` | `x₂ = 0` | `x₂ = 1` |
# |---|---|---|---|---|
# | input | `i = σ(100 x₂ − 10)` | closed | closed | open |
# | forget | `f = σ(100 x₂ + 10)` | closed | open | open |
#
# The output gate does the same with `x₃`: `o = σ(100 x₃ − 10)`. The candidate is the value itself,
# `g = x₁`. With `activation="linear"`, `g` and `c` go through unchanged.


# %%
def switches() -> nn.LSTMCell:
    """x₂ writes or resets, x₃ reads; nothing depends on h."""
    cell = nn.LSTMCell(input_size=3, hidden_size=1, activation="linear")
    cell.W_h = np.zeros((1, 4))  # for i, f, g and o
    cell.W_xi, cell.b_i = [[0.0], [100.0], [0.0]], [-10.0]
    cell.W_xf, cell.b_f = [[0.0], [100.0], [0.0]], [10.0]
    cell.W_xg, cell.b_g = [[1.0], [0.0], [0.0]], [0.0]
    cell.W_xo, cell.b_o = [[0.0], [0.0], [100.0]], [-10.0]
    return cell


machine = nn.RNN(switches())

# %% [markdown]
# Nine inputs. Take a pencil: what is in the memory after each, and what comes out?

# %%
nine = np.array([
    [1, 3, 2, 4, 2, 1, 3, 6, 1],  # x₁
    [0, 1, 0, 1, 0, 0, -1, 1, 0],  # x₂
    [0, 0, 0, 0, 0, 1, 0, 0, 1],  # x₃
]).T.astype("float32")  # fmt: skip
activity = analysis.gate_activity(machine, nine)
print(" x₁  x₂  x₃ |    i     f     o | memory    y")
for t, (x1, x2, x3) in enumerate(nine.astype(int)):
    i, f, o, c, h = (activity[letter][t, 0] for letter in "ifoch")
    print(f"{x1:3} {x2:3} {x3:3} | {i:5.2f} {f:5.2f} {o:5.2f} |", end="")
    print(f" {c:6.2f} {h:5.2f}")
assert np.allclose(activity["c"][:, 0], [0, 3, 3, 7, 7, 7, 0, 6, 6], atol=0.01)
assert np.allclose(activity["h"][:, 0], [0, 0, 0, 0, 0, 7, 0, 0, 6], atol=0.01)

# %% [markdown]
# 3 and 4 are added to make 7. It is read at the sixth step and is still there afterwards. The
# seventh step resets the memory; 6 is written and read. The same as a picture:

# %%
figure = Figure(figsize=(7, 3.6), layout="constrained")
upper, lower = figure.subplots(2, 1, sharex=True)
for row, letter in enumerate("ofi"):
    for t, (value,) in enumerate(activity[letter], 1):
        colour = "#F0C808" if value > 0.5 else "#33415c"
        upper.barh(row, 0.94, left=t - 0.47, height=0.9, color=colour)
upper.set_yticks(range(3), ["o  read", "f  keep", "i  write"])
lower.step(range(1, 10), activity["c"][:, 0], where="mid", label="memory c")
lower.bar(range(1, 10), activity["h"][:, 0], color="#D55E00", label="output y")
lower.set(xlabel="time step t", ylabel="value", xticks=range(1, 10))
lower.legend()
show(figure, "switches", "Light is open, dark is shut.")

# %% [markdown]
# A second sequence, five steps, to step through: watch 3 go into the memory, 4 join it, 7 come out.

# %%
five = [[3, 1, 0], [4, 1, 0], [2, 0, 0], [1, 0, 1], [3, -1, 0]]
y = machine(tg.tensor(np.array([five], "float32"), name="x")).y
print("y =", y.numpy()[0, :, 0].round(2))
assert np.allclose(y.numpy()[0, :, 0], [0, 0, 0, 7, 0], atol=0.01)
picture = tg.draw(y, level="gate", values=True)
show(picture, "five", "Read along the lane of c: 3, 7, 7, 7, 0.")
page = tg.step_through(y.sum(), level="gate")
show(page, "five-steps", "Forward: values. Press b: gradients.")

# %% [markdown]
# ## The carry lane
#
# Look at the backward pass of that page once more: from the step that reads `c` back to the first,
# the gradient on its lane is 1.0. Here is why. Where `c` is passed on, it is multiplied by the
# forget gate and by nothing else:
#
# ```math
# ∂cₜ/∂cₖ = fₖ₊₁ ⊙ fₖ₊₂ ⊙ … ⊙ fₜ
# ```
#
# (That is along the lane. There are other ways, through `h`.)
#
# No matrix, no `tanh′`. In the machine with the switches there are no ways through `h`, for
# `Wʰ = 0`, so this is the whole Jacobian. Measure it:

# %%
waiting = np.zeros((100, 3), "float32")
waiting[0] = 3, 1, 0  # write 3 at the first step
waiting[-1] = 0, 0, 1  # read it at the last one
jacobians = analysis.state_jacobians(machine.cell, None, waiting)  # of [h, c]
along_lane = jacobians.product(100, 1)[1, 1]
f = analysis.gate_activity(machine, waiting)["f"][:, 0]
print(f"∂c_100/∂c_1 = {along_lane:.6f}, product of the gates {f[1:].prod():.6f}")
assert np.isclose(along_lane, f[1:].prod(), rtol=1e-4) and along_lane > 0.99

# %% [markdown]
# After ninety-nine steps the gradient is still almost 1. The same seen from the output: `y₁₀₀`
# grows by 1 for each 1 that was written at step 1. What came in while the input gate was shut
# hardly counts.

# %%
x = tg.tensor(waiting[None], requires_grad=True, name="x")
machine(x).last.sum().backward()
written, ignored = x.grad.numpy()[0, [0, 50], 0]
print(f"∂y_100/∂x₁ at step 1: {written:.3f}, at step 51: {ignored:.6f}")
assert abs(written - 1) < 0.01 and abs(ignored) < 0.001

# %% [markdown]
# ## The forget gate's bias
#
# So the memory of an LSTM lasts as long as its forget gates stay open. How open are they before any
# training? The weights are small, so `f ≈ σ(bᶠ)`, and over `t` steps the lane keeps `σ(bᶠ)ᵗ`. A
# bias of 0 seems harmless. Guess what it leaves after fifty steps!

# %%
print("  b_f   f = σ(b_f)   kept after 50 steps")
for bias in (0.0, 1.0, 3.0, 5.0):
    cell = nn.LSTMCell(1, 4, forget_bias=bias).astype("float64")
    cell.W_h = np.zeros((4, 16))
    jacobians = analysis.state_jacobians(cell, None, np.zeros((50, 1)))
    kept = jacobians.product(50, 0)[4, 4]  # of [h, c]: the first of c
    print(f"{bias:5} {1 / (1 + np.exp(-bias)):12.4f} {kept:21.2g}")
    assert np.isclose(kept, (1 + np.exp(-bias)) ** -50.0)

# %% [markdown]
# With `bᶠ = 0` one part in 10¹⁵: such an LSTM starts as forgetful as any simple RNN. That is why
# the bias starts at 1 here and in most libraries, and higher when memories must be long
# (Jozefowicz, Zaremba and Sutskever 2015). Look at the gradients before training, with a loss at
# step 50 only:

# %%
figure = Figure(figsize=(7, 4), layout="constrained")
axes = figure.subplots()
for bias, dash in ((0.0, ":"), (1.0, "-."), (3.0, "--"), (5.0, "-")):
    tg.manual_seed(0)
    cell = nn.LSTMCell(3, 4, forget_bias=bias)
    flow = analysis.gradient_flow(last_step(cell, steps=50))
    on_lane = flow.state_norms[flow.states.index("c")]
    axes.plot(flow.steps, on_lane, dash, label=f"LSTM, bᶠ = {bias:g}")
    ratio = on_lane[0] / on_lane[-1]
    print(f"b_f = {bias:g}: ‖∂L/∂c_1‖ / ‖∂L/∂c_50‖ = {ratio:.1e}")
axes.set(yscale="log", xlabel="time step t", ylabel="‖∂L/∂cₜ‖")
axes.legend()
show(figure, "forget-bias", "Read it from right to left: what is left?")

# %% [markdown]
# Does it matter for learning? The task of tutorial 05, with fifty steps: the first input is a
# number between 0 and 1, 49 zeros follow, then say the number. Always 0.5 has a loss of 0.083.


# %%
def train(bias: float, steps: int = 80, length: int = 50) -> list[float]:
    """The loss of each step of training an LSTM of 8 units."""
    rnn = nn.RNN(nn.LSTMCell(1, 8, forget_bias=bias))
    model = nn.Sequential(rnn, nn.Last(), nn.Linear(8, 1))
    optimiser = tg.optim.Adam(model.parameters(), lr=0.005)
    random, losses = np.random.default_rng(1), []
    for _ in range(steps):
        x = np.zeros((16, length, 1), "float32")
        x[:, 0] = random.uniform(0, 1, (16, 1))
        loss = F.mse_loss(model(x), x[:, 0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    return losses


# %%
figure, final = Figure(figsize=(6.5, 4), layout="constrained"), {}
axes = figure.subplots()
for bias, dash in ((0.0, ":"), (1.0, "-."), (3.0, "-")):
    tg.manual_seed(0)
    losses = train(bias)
    smooth = np.convolve(losses, np.ones(10) / 10, "valid")
    axes.plot(range(10, 81), smooth, dash, label=f"bᶠ = {bias:g}")
    final[bias] = smooth[-1]
    print(f"b_f = {bias:g}: loss at the end {final[bias]:.4f}")
axes.axhline(1 / 12, color="#8a93a8", linewidth=1, label="always 0.5")
axes.set(yscale="log", xlabel="training step", ylabel="loss, mean of ten steps")
axes.legend()
show(figure, "learning", "The same LSTM; only the start of one bias differs.")
assert final[3.0] < 0.01 < 0.07 < final[0.0]

# %% [markdown]
# What a gate cannot do: it stops vanishing, not exploding. Clip an LSTM as well.
#
# ## Exercises

# %% [markdown] tags=["exercise"]
# **Exercise 1.** Rebuild the machine with the switches so that it shows its memory at *every* step,
# but for those with `x₃ = 1`. *Hint:* only the output gate changes.

# %% tags=["solution"]
shows = nn.RNN(switches())
shows.cell.W_xo, shows.cell.b_o = [[0.0], [0.0], [-100.0]], [10.0]
y = shows(nine[None]).y.numpy()[0, :, 0]
print(y.round(2))
assert np.allclose(y, [0, 3, 3, 7, 7, 0, 0, 6, 0], atol=0.01)

# %% [markdown] tags=["exercise"]
# **Exercise 2.** Choose `bᶠ` so that exactly half of the memory is left after 100 steps without
# input, and measure it. *Hint:* `σ(bᶠ)¹⁰⁰ = 1/2`, and `σ(b) = p` means `b = log(p / (1 − p))`.

# %% tags=["solution"]
p = 0.5 ** (1 / 100)
bias = np.log(p / (1 - p))
half_life = nn.LSTMCell(1, 1, forget_bias=bias, activation="linear")
half_life.astype("float64").W_h = np.zeros((1, 4))
start = nn.LSTMState(h=np.zeros((1, 1)), c=np.ones((1, 1)))
c = nn.RNN(half_life)(np.zeros((1, 100, 1)), start).state.c.item()
print(f"b_f = {bias:.3f}, and of c_0 = 1 there is left {c:.6f}")
assert abs(c - 0.5) < 1e-5

# %% [markdown] tags=["exercise"]
# **Exercise 3.** The switches leak: at `x₂ = 0` the forget gate is `σ(10)`, not 1. How many steps
# can the machine wait until one percent of a written 3 is gone? Compute it, then let it wait.
# *Hint:* solve `σ(10)ⁿ = 0.99`.

# %% tags=["solution"]
n = int(np.log(0.99) / np.log(1 / (1 + np.exp(-10))))
patient = np.zeros((n + 2, 3))
patient[0] = 3, 1, 0
leaky = nn.RNN(switches().astype("float64"))
memory = analysis.gate_activity(leaky, patient)["c"][:, 0]
print(f"after {n} steps {memory[n]:.5f}, one step later {memory[n + 1]:.5f}")
assert n == 221 and memory[n] >= 0.99 * 3 > memory[n + 1]

# %% [markdown]
# ## What to read next
#
# - Tutorial 07: the GRU and the rest of the family.
# - S. Hochreiter, J. Schmidhuber, *Long short-term memory*, 1997; and F. Gers, J. Schmidhuber, F.
#   Cummins, *Learning to forget*, 2000, which added the forget gate.
# - C. Olah, *Understanding LSTM networks*, 2015: the pictures that everybody knows.
# - R. Jozefowicz, W. Zaremba, I. Sutskever, *An empirical exploration of recurrent network
#   architectures*, 2015, on the forget gate's bias.
# - To play with: longer waits in `train` (`length=100`), more bias, `activation="tanh"` in
#   `switches` (what does 3 + 4 become?). On a GPU, unchanged:
#   `TINYGRADRNN_BACKEND=cupy python tutorials/06_gates.py`.
