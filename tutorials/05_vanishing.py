# %% [markdown]
# # 05 · Vanishing and exploding
#
# A recurrent network multiplies by the same matrix at every step, forwards and backwards. You will
# see what that does to a gradient, measure it, bound it, watch training fall off a cliff, and try
# the classic remedies.
#
# You need tutorials 03 and 04: unrolling, and the double sum of BPTT. It takes about 20 minutes.

# %%
import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.course import show
from tinygradrnn.data import digits

analysis = tg.analysis

# %% [markdown]
# ## One number, a thousand times
#
# Start with the smallest recurrence there is: one weight, no input, no activation.
#
# ```math
# yₜ = w · yₜ₋₁          y₀ = 1
# y₁₀₀₀ = w¹⁰⁰⁰          ∂y₁₀₀₀/∂w = 1000 · w⁹⁹⁹
# ```
#
# Four weights: 1, one percent more, one percent less, and 0.01. What do you expect after a thousand
# steps? Run it.

# %%
runs = [analysis.scalar_recurrence(w, steps=1000) for w in (1, 1.01, 0.99, 0.01)]
print("   w          y_1000      ∂y_1000/∂w")
for run in runs:
    print(f"{run.w.item():5} {run[-1]:15.6g} {run.gradient:15.6g}")
assert runs[0][-1] == 1 and round(runs[1][-1], -4) == 20_000
assert runs[2][-1] < 1e-4 and runs[3][-1] == 0

# %% [markdown]
# One percent more, and `y` is twenty thousand. One percent less, and nothing is left. (`0.01¹⁰⁰⁰`
# is not 0, but the computer has no smaller number: it says 0.)
#
# The gradient is worse. At `w = 1.01` it calls for a tiny learning rate, at `w = 0.99` for a huge
# one, and the two weights are almost the same number. No learning rate suits both.

# %%
show(
    runs[0].plot(*runs[1:]),
    "powers",
    "Straight lines on a logarithmic axis. Only w = 1 stays where it is.",
)

# %% [markdown]
# Where does the factor 1000 in the gradient come from? Look at four steps. The one weight `w` is
# read four times, so the gradient has four terms, one for each tap on its rail, and here all are
# equal.

# %%
four = analysis.scalar_recurrence(1.01, steps=4)
print("terms of ∂y_4/∂w:", four.terms, " their sum:", four.gradient)
assert np.allclose(four.terms, 1.01**3)
assert np.isclose(four.gradient, 4 * 1.01**3)
show(
    tg.draw(four.output, gradients=True),
    "four-steps",
    "One weight, four uses, four terms that are added up.",
)

# %% [markdown]
# ## The same with a matrix
#
# A real state is a vector, and what is multiplied is a matrix. For the simple RNN
#
# ```math
# aₜ = sₜ₋₁ Wˢ + xₜ Wˣ + b          sₜ = tanh(aₜ)
#
# ∂sₜ/∂sₜ₋₁ = diag(tanh′(aₜ)) Wˢᵀ
# ```
#
# Entry `[i, j]` of this Jacobian says how much unit `i` now moves when unit `j` moved one step
# before. The library reads it off the graph; we check it with three lines of NumPy.


# %%
def simple_rnn(scale: float, activation: str = "tanh") -> nn.ElmanCell:
    """Eight units; W_s stretches every vector by the factor `scale`."""
    tg.manual_seed(0)
    cell = nn.ElmanCell(2, 8, activation=activation).astype("float64")
    cell.W_s = scale * cell.W_s.numpy()  # it starts as a rotation
    return cell


# %%
cell = simple_rnn(0.9)
x = np.random.default_rng(0).normal(0, 0.1, (15, 2))  # 15 steps of 2 numbers
J = analysis.state_jacobians(cell, None, x)
s_1 = np.tanh(x[0] @ cell.W_x.numpy())  # s_0 = 0 and b = 0
a_2 = s_1 @ cell.W_s.numpy() + x[1] @ cell.W_x.numpy()
by_hand = np.diag(1 - np.tanh(a_2) ** 2) @ cell.W_s.numpy().T
print("the Jacobians of all steps:", J.shape)
print("largest difference at t = 2:", np.abs(J[1] - by_hand).max())
assert np.allclose(J[1], by_hand, rtol=1e-12)

# %% [markdown]
# From step `k` to step `t` the chain rule multiplies these matrices. Call `β_W` the largest factor
# by which `Wˢ` can stretch a vector (its spectral norm) and `β_f` the steepest slope of the
# activation. No Jacobian can then stretch by more than `β_W β_f`, and `t − k` of them by no more
# than its power:
#
# ```math
# ∂sₜ/∂sₖ = ∏ⱼ₌ₖ₊₁…ₜ ∂sⱼ/∂sⱼ₋₁          ‖∂sₜ/∂sₖ‖ ≤ (β_W β_f)^(t−k)
# ```

# %%
bound = analysis.gradient_bound(cell)
products = analysis.jacobian_products(cell, None, x)  # for all k ≤ t
print(f"β_W = {bound.beta_W:.3f}, β_f = {bound.beta_f:.3f}")
for k in (14, 10, 5, 0):
    norm = products[15, k]
    print(f"‖∂s_15/∂s_{k}‖ = {norm:.4f}   bound {bound ** (15 - k):.4f}")
t, k = np.tril_indices(16)
assert np.isclose(bound, 0.9)
assert (products[t, k] <= bound ** (t - k) + 1e-12).all()

# %% [markdown]
# Here is the whole triangle, row `t`, column `k`: what step `k` can still do to the state at step
# `t`.

# %%
show(
    products.plot(),
    "vanishing",
    "The further left, the older the step. Right: all pairs against the bound.",
)

# %% [markdown]
# ## May explode, and need not
#
# The bound is an upper one. With `β_W β_f` below 1, gradients must vanish. Above 1 they *may*
# explode. What decides is the slope `tanh′(aₜ)`: it is 1 at `aₜ = 0` and almost 0 when `aₜ` is
# large. Small inputs and large inputs, three sizes of `Wˢ`: which of the six will explode?

# %%
print("β_W β_f   inputs   ‖∂s_15/∂s_0‖        bound")
for scale in (0.7, 1.0, 1.5):
    for inputs, factor in (("small", 0.1), ("large", 30)):
        cell = simple_rnn(scale)
        norm = analysis.jacobian_products(cell, None, factor * x)[15, 0]
        print(f"{scale:7} {inputs:>8} {norm:14.3g} {scale**15:12.3g}")
        assert norm <= scale**15 * (1 + 1e-6)
        assert (norm > 100) == (scale == 1.5 and inputs == "small")

# %% [markdown]
# Only one. With large inputs the units are pushed to ±1, where tanh is flat, and the gradient
# vanishes even under a matrix that stretches. That is why vanishing is the more common illness, and
# the harder one to notice: exploding ends in NaN, vanishing looks like a loss that will not fall.
#
# ## What arrives at the first step
#
# Now a loss at the end of twenty steps. How much of it comes back to the states before?

# %%
words = np.random.default_rng(1).normal(0, 1, (1, 20, 2))
loss = F.half_squared_error(nn.RNN(simple_rnn(0.9))(words).last, np.ones((1, 8)))
flow = analysis.gradient_flow(loss)
first, last = flow.state_norms[0, [0, -1]]
print(f"‖∂L/∂s_1‖ = {first:.2g}, ‖∂L/∂s_20‖ = {last:.2g}")
print(f"what arrives is one part in {last / first:,.0f}")
assert first < 1e-3 * last
show(flow.plot(), "flow", "Top: ∂L/∂sₜ. Below: the terms of ∂L/∂W.")

# %% [markdown]
# "Jane walked into the room. John walked in too. It was late in the day. Jane said hi to ___." To
# fill the gap, the error must tell the step that read *John*, long ago, to change. But that step
# gets next to nothing, and the sum `∂L/∂W` is made by the last few steps alone.
#
# Step through it yourself: press `b` for the backward pass and watch the numbers shrink from right
# to left.

# %%
last = nn.RNN(simple_rnn(0.5))(words[:, :6]).last
short = F.half_squared_error(last, np.ones((1, 8)))
picture = tg.draw(short, level="cell", gradients=True)
show(picture, "fading", "Thick lines carry much gradient, thin ones little.")
page = tg.step_through(short, level="gate")
show(page, "backward", "Press b, then the arrow keys.")

# %% [markdown]
# ## The rough error surface
#
# What does exploding look like to an optimiser? Take one unit, one weight `w`, one bias `b`, no
# input, and fifty steps; the last state should be 0.7. (Pascanu, Mikolov and Bengio did this in
# 2013.)
#
# ```math
# sₜ = σ(w sₜ₋₁ + b)        s₀ = 0.5        L = (s₅₀ − 0.7)²
# ```

# %%
unit = nn.RNN(nn.ElmanCell(1, 1, activation="sigmoid").astype("float64"))
w, b = unit.cell.W_s, unit.cell.b
nothing, s_0 = np.zeros((1, 50, 1)), np.full((1, 1), 0.5)


def L() -> tg.Tensor:
    """The loss for w and b as they are now."""
    return ((unit(nothing, s_0).last - 0.7) ** 2).sum()


def stand_at(at_w: float, at_b: float) -> None:
    w.data, b.data = np.full((1, 1), at_w), np.full(1, at_b)


# %%
stand_at(4.5, -2.22)
ws, bs = np.linspace(3, 8, 21), np.linspace(-4, 2.5, 21)
surface = analysis.loss_surface(L, w, b, ws, bs)
show(surface.plot("surface"), "cliff", "Two plains, and between them a wall.")

# %% [markdown]
# On the plains the gradient is close to 0. On one the state settles near 0, on the other near 1,
# and at the wall between them fifty steps blow the smallest difference up. How steep is it there?

# %%
for at in ((5.0, -2.5), (5.0, -2.4)):
    stand_at(*at)
    print(f"w, b = {at}: ∂L/∂w = {tg.grad(L(), w)[0].item():.3g}")
stand_at(5.0, -2.5)
assert abs(tg.grad(L(), w)[0].item()) > 10_000

# %% [markdown]
# Now let gradient descent loose beside the wall, with a learning rate of 0.5. It walks down towards
# the valley, its foot touches the wall, and the next step is enormous. Then again, with one line
# more: where `‖g‖` is above a threshold, `g` is made shorter. That is *clipping*.

# %%
stand_at(4.5, -2.22)
free = analysis.descent_path(L, w, b, learning_rate=0.5, steps=40)
clipped = analysis.descent_path(L, w, b, learning_rate=0.5, steps=40, clip=0.1)
for name, path in (("free", free), ("clipped", clipped)):
    longest = np.linalg.norm(np.diff(path, axis=0), axis=1).max()
    print(f"{name:7}: longest step {longest:.2f}, ends at {path[-1].round(2)}")
    stand_at(*path[-1])
    print(f"{'':7}  the loss there is {L().item():.5f}")
stand_at(4.5, -2.22)

# %%
show(
    surface.plot(path=free),
    "free",
    "One touch of the wall throws the weights far out onto the plain.",
)
show(surface.plot(path=clipped), "clipped", "Clipped, they follow the valley.")

# %% [markdown]
# ## Two ways to clip
#
# By **value**: every element is cut to a range, `[−1, 1]` say. By **norm**: the whole gradient is
# made shorter, and keeps its direction.
#
# ```math
# by value:          g ← min(max(g, −θ), θ)
# by norm:           g ← g · θ / ‖g‖          if ‖g‖ > θ
# ```
#
# Take `g = (0.7, 2.4)`, whose length is 2.5, and `θ = 1`. Guess both results first.

# %%
theta = nn.Parameter(np.zeros(2))


def clipping(how: str) -> np.ndarray:
    """What is left of the gradient."""
    theta.grad = tg.tensor(np.array([0.7, 2.4]))
    if how == "norm":
        tg.optim.clip_grad_norm([theta], max_norm=1.0)
    else:
        tg.optim.clip_grad_value([theta], -1.0, 1.0)
    return theta.grad.numpy()


# %%
print("by norm ", clipping("norm"))
print("by value", clipping("value"))
assert np.allclose(clipping("norm"), [0.28, 0.96])
assert np.allclose(clipping("value"), [0.7, 1])

# %% [markdown]
# Clipped by value, the arrow turns: the optimiser no longer walks in the direction of the gradient.
# (For the norm there is a choice too: `p` = 1, 2, … or `p=float("inf")`, the largest element.)

# %%
figure = Figure(figsize=(4.6, 4.8), layout="constrained")
axes = figure.subplots()
norm, value = clipping("norm"), clipping("value")
for label, tip, colour, at in (
    ("the gradient", (0.7, 2.4), "#5b6478", (0.8, 2.3)),
    ("by norm", norm, "#0072B2", (-0.4, 1.1)),
    ("by value", value, "#D55E00", (0.8, 1.05)),
):
    axes.annotate("", tip, (0, 0), arrowprops={"color": colour, "width": 2})
    axes.text(*at, label, color=colour)
axes.plot([-1, 1, 1, -1, -1], [-1, -1, 1, 1, -1], ":", color="#D55E00")
angle = np.linspace(0, 2 * np.pi, 100)
axes.plot(np.cos(angle), np.sin(angle), ":", color="#0072B2")
axes.set(aspect="equal", xlim=(-1.2, 2.6), ylim=(-1.2, 2.6))
show(figure, "two-ways", "By norm: onto the circle. By value: into the square.")

# %% [markdown]
# ## Against vanishing: identity and ReLU
#
# Clipping shortens what is too long. It cannot lengthen what has vanished. For that, look at the
# product of Jacobians again: it stays at 1 if every factor is the identity. So let `Wˢ` *start* as
# the identity and use ReLU, whose slope is exactly 1 where it is on (Le, Jaitly and Hinton 2015):
#
# ```math
# sₜ = ReLU(sₜ₋₁ Wˢ + xₜ Wˣ + b)        Wˢ = I,  b = 0   at the start
# ```

# %%
pulse = np.zeros((100, 2))
pulse[0] = 1  # one input, then 99 steps of nothing
tanh = simple_rnn(0.9)
relu = nn.IRNNCell(2, 8).astype("float64")
relu.W_x.data = np.ones((2, 8))
for name, cell in (("tanh, 0.9 × a rotation", tanh), ("ReLU, identity", relu)):
    norms = analysis.jacobian_products(cell, None, pulse)
    print(f"{name:23} ‖∂s_100/∂s_1‖ = {norms[100, 1]:.3g}")
assert norms[100, 1] == 1

# %% [markdown]
# Does it help to learn? A task that needs a long and exact memory: the first number is anything
# between 0 and 1, then come 99 zeros, and only then the network has to say what the number was. Who
# always answers 0.5 has a loss of 1/12 = 0.083.


# %%
def train(cell: nn.Cell, steps: int = 60, length: int = 100) -> list[float]:
    """The loss of each step: the squared error of the remembered number."""
    model = nn.Sequential(nn.RNN(cell), nn.Last(), nn.Linear(16, 1))
    optimiser = tg.optim.Adam(model.parameters(), lr=0.002)
    random, losses = np.random.default_rng(1), []
    for _ in range(steps):
        x = np.zeros((16, length, 1), "float32")
        x[:, 0] = random.uniform(0, 1, (16, 1))
        loss = F.mse_loss(model(x), x[:, 0])
        optimiser.zero_grad()
        loss.backward()
        tg.optim.clip_grad_norm(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
    return losses


# %%
cells = {
    "sigmoid": {"activation": "sigmoid"},
    "ReLU, random start": {"activation": "relu", "init": "glorot"},
    "ReLU, identity start": {"activation": "relu", "init": "identity"},
}
curves, final = {}, {}
for name, options in cells.items():
    tg.manual_seed(3)
    curves[name] = train(nn.ElmanCell(1, 16, **options))
    final[name] = np.mean(curves[name][-20:])
    print(f"{name:21} loss at the end {final[name]:.4f}")
assert final["ReLU, identity start"] < 0.03 < 0.05 < final["ReLU, random start"]

# %%
figure = Figure(figsize=(6.5, 4), layout="constrained")
axes = figure.subplots()
for (name, losses), dash in zip(curves.items(), ("-", "--", "-."), strict=True):
    smooth = np.convolve(losses, np.ones(10) / 10, "valid")
    axes.plot(np.arange(10, 61), smooth, dash, label=name)
axes.axhline(1 / 12, color="#8a93a8", linewidth=1, label="always 0.5")
axes.set(yscale="log", xlabel="training step", ylabel="loss, mean of ten steps")
axes.legend()
show(figure, "identity", "ReLU twice: only the start of Wˢ differs.")

# %% [markdown]
# ## Depth has the same illness
#
# An unrolled RNN is a deep network, so a deep network without any time must suffer as well. Seven
# layers, 64 inputs, five hidden layers and 10 outputs, with six weight matrices between them, read
# digits of 8×8 pixels. (They are drawn by a program, `tinygradrnn.data.digits`; with scikit-learn's
# handwritten `load_digits()` you see the same.)

# %%
images, labels = digits(2000)
figure = Figure(figsize=(8, 1), layout="constrained")
for axes, label in zip(figure.subplots(1, 10), range(10), strict=True):
    image = images[labels == label][0].reshape(8, 8)
    axes.imshow(image, cmap="Greys", vmin=0, vmax=1)
    axes.set_axis_off()
show(figure, "digits", "One of each.")


# %%
def deep(activation: str) -> nn.MLP:
    """64 → 32 → 32 → 32 → 32 → 32 → 10."""
    tg.manual_seed(0)
    return nn.MLP([64, 32, 32, 32, 32, 32, 10], activation=activation)


network = deep("sigmoid")
x = tg.tensor(images[:64], name="images")
loss = F.cross_entropy(network(x), labels[:64])
show(
    tg.draw(loss, level="layer", gradients=True),
    "layers",
    "The lines from W get thinner to the left.",
)

# %%
means = list(analysis.gradient_flow(loss).mean_absolute().values())
for layer, mean in enumerate(means, 1):
    print(f"layer {layer} of weights: mean |∂L/∂θ| = {mean:.2g}")
assert means == sorted(means) and means[5] > 1000 * means[0]

# %% [markdown]
# From the last layer to the first, the gradient shrinks about fivefold at each. One factor is the
# slope of the sigmoid, never above 1/4: `β_f` again. Its rivals have a slope of 1 where they are
# on; where ReLU is off its slope is 0, that of the leaky ReLU `max(αx, x)` is still `α = 0.01`.
#
# Train all three alike, and record the mean absolute gradient of every layer on the way.


# %%
def learn(activation: str) -> tuple[analysis.GradientHistory, list[float]]:
    """Its gradients, and what share of the last 500 digits it reads rightly."""
    batches = np.random.default_rng(0).integers(0, 1500, (240, 64))
    model, history, right = deep(activation), analysis.GradientHistory(), []
    optimiser = tg.optim.Adam(model.parameters(), lr=0.001)
    for step, chosen in enumerate(batches):
        loss = F.cross_entropy(model(images[chosen]), labels[chosen])
        if step % 6 == 0:
            history.record(loss)
            said = model(images[1500:]).numpy().argmax(axis=1)
            right.append(np.mean(said == labels[1500:]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return history, right


# %%
trained = {name: learn(name) for name in ("sigmoid", "relu", "leaky_relu")}
print("                     mean |∂L/∂θ| at the start")
print("              right    layer 1   layer 6   ratio")
for name, (history, right) in trained.items():
    means = list(history.mean_absolute().values())
    one, six = means[0][0], means[5][0]
    print(f"{name:12} {right[-1]:6.0%} {one:10.2g} {six:9.2g} {six / one:7.1f}")
assert trained["sigmoid"][1][-1] < 0.3 and trained["relu"][1][-1] > 0.9

# %% [markdown]
# Sigmoid is still guessing, the other two read more than nine digits of ten. All six layers of the
# sigmoid network, with the first layer at the bottom all the way:

# %%
show(
    trained["sigmoid"][0].plot(),
    "sigmoid-history",
    "Six layers, six lines: each one lower than the one after it.",
)

# %% [markdown]
# And all three, in the way the lecture notes show them: what was learned, the gradient in the last
# layer, and the gradient in the first one.

# %%
looks = {"sigmoid": "-", "relu": "--", "leaky_relu": "-."}
titles = ("read rightly", "last layer, mean |∂L/∂θ|", "first layer, mean |∂L/∂θ|")
figure = Figure(figsize=(12, 3.8), layout="constrained")
panels = figure.subplots(1, 3)
for name, (history, right) in trained.items():
    means = list(history.mean_absolute().values())
    for axes, line in zip(panels, (right, means[5], means[0]), strict=True):
        axes.plot(6 * np.arange(40), line, looks[name], label=name)
for axes, title in zip(panels, titles, strict=True):
    axes.set(title=title, xlabel="training step")
    axes.set_yscale("log" if "mean" in title else "linear")
panels[0].legend()
show(figure, "activations", "With sigmoid, the first layer hears next to nothing.")

# %% [markdown]
# ## Exercises

# %% [markdown] tags=["exercise"]
# **Exercise 1.** A linear cell with `Wˢ = 0.9 I`. After how many steps is `‖∂sₜ/∂s₀‖` below 1/1000?
# Say it first, then measure it. *Hint:* solve `0.9ⁿ = 0.001` for `n`.

# %% tags=["solution"]
n = int(np.ceil(np.log(0.001) / np.log(0.9)))
linear = nn.ElmanCell(1, 3, activation="linear").astype("float64")
linear.W_s = 0.9 * np.eye(3)
norms = analysis.jacobian_products(linear, None, np.zeros((80, 1)))[:, 0]
print(f"after {n} steps: {norms[n]:.6f}, one step before {norms[n - 1]:.6f}")
assert n == 66 and norms[n] < 0.001 < norms[n - 1]

# %% [markdown] tags=["exercise"]
# **Exercise 2.** Sigmoid units need not vanish. Give a sigmoid cell weights with which `‖∂sₜ/∂sₖ‖`
# is exactly 1 for all `t` and `k`. *Hint:* the slope of `σ` is 1/4 at 0 and nowhere else. Which
# `Wˢ` makes up for it, and which bias holds `aₜ` at 0 when the state is 1/2?

# %% tags=["solution"]
held = nn.ElmanCell(1, 3, activation="sigmoid").astype("float64")
held.W_s, held.b = 4 * np.eye(3), np.full(3, -2.0)  # a = 4 · ½ − 2 = 0
half = np.full((1, 3), 0.5)
norms = analysis.jacobian_products(held, half, np.zeros((50, 1)))
t, k = np.tril_indices(51)
print(f"smallest {norms[t, k].min():.6f}, largest {norms[t, k].max():.6f}")
assert np.allclose(norms[t, k], 1)
assert np.isclose(analysis.gradient_bound(held), 1)

# %% [markdown] tags=["exercise"]
# **Exercise 3.** `clip_grad_norm` takes all parameters together. Show that this keeps the direction
# of the whole gradient, and that clipping each parameter by itself does not. *Hint:* the cosine of
# the angle between two vectors is `u·v / (‖u‖ ‖v‖)`. Use gradients (3, 4) and (0, 12).


# %% tags=["solution"]
def after(groups: list[list[int]]) -> np.ndarray:
    """The whole gradient after clipping each group to a norm of 1."""
    parameters = [nn.Parameter(np.zeros(2)) for _ in range(2)]
    for p, values in zip(parameters, ([3.0, 4.0], [0.0, 12.0]), strict=True):
        p.grad = tg.tensor(np.array(values))
    for group in groups:
        tg.optim.clip_grad_norm([parameters[n] for n in group], max_norm=1.0)
    return np.concatenate([p.grad.numpy() for p in parameters])


whole = np.array([3, 4, 0, 12]) / 13
assert np.allclose(after([[0, 1]]), whole)
assert after([[0], [1]]) @ whole / np.sqrt(2) < 0.95
print(after([[0, 1]]).round(3), after([[0], [1]]).round(3))

# %% [markdown]
# ## What to read next
#
# - Tutorial 06: gates, the remedy that won.
# - Y. Bengio, P. Simard, P. Frasconi, *Learning long-term dependencies with gradient descent is
#   difficult*, 1994. The first to say why.
# - R. Pascanu, T. Mikolov, Y. Bengio, *On the difficulty of training recurrent neural networks*,
#   2013. The bound, the wall and clipping.
# - Q. Le, N. Jaitly, G. Hinton, *A simple way to initialize recurrent networks of rectified linear
#   units*, 2015.
# - To play with: other numbers in `simple_rnn` (0.5, 1.1, `activation="relu"`); another seed for
#   the three cells (with 4, the first loss of the random start is six million); a rotation for the
#   identity (`nn.ElmanCell(1, 16)` starts as one: does it learn the task?). The whole file on a
#   GPU, unchanged: `TINYGRADRNN_BACKEND=cupy python tutorials/05_vanishing.py`.
