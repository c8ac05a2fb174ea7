# %% [markdown]
# # 02 · Arrays, and how to catch a wrong gradient
#
# A network has thousands of numbers, so its graph has a node for a whole **array** of them. You
# will see what the gradients of a matrix product and of broadcasting are, what a Jacobian looks
# like and why nobody computes it, and how to check any gradient by experiment. At the end a wrong
# gradient rule hides in a network. It learns all the same; you will catch it.
#
# You need tutorial 01 and a little NumPy. It takes about 20 minutes.

# %%
import textwrap

import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn.course import show
from tinygradrnn.ops import Op

rng = np.random.default_rng(0)


def leaf(*shape, name=None):
    """A tensor of random numbers that asks for a gradient."""
    return tg.tensor(rng.standard_normal(shape), requires_grad=True, name=name)


# %% [markdown]
# ## One node for a whole array
#
# A layer reads a batch of 4 examples with 3 features each, and gives 2 numbers for each of them. An
# example is a **row**, so that weights stand on the right, as everywhere in this course:
#
# ```math
# y = tanh(x W + b)      x (4, 3)   W (3, 2)   b (2,)   y (4, 2)
# L = ½ Σᵢⱼ (yᵢⱼ − targetᵢⱼ)²
# ```

# %%
x, W, b = tg.tensor(rng.standard_normal((4, 3)), name="x"), leaf(3, 2, name="W"), leaf(2, name="b")
target = tg.tensor(rng.standard_normal((4, 2)), name="target")


def layer(x, W, b):
    return F.tanh(x @ W + b)


L = F.half_squared_error(layer(x, W, b), target)
for node in tg.Graph(L).nodes:
    print(f"{node.op:10} {node.label:8} {node.shape}")

# %% [markdown]
# In numbers, as in tutorial 01, this would be a graph of more than a hundred nodes. In arrays it is
# a handful, and every gradient has **the shape of its value**.

# %%
L.backward()
for tensor in (W, b):
    print(f"{tensor.name} {tensor.shape}, ∂L/∂{tensor.name} {tensor.grad.shape}")
    assert tensor.grad.shape == tensor.shape
show(
    tg.draw(L, values=True, gradients=True),
    "layer",
    "Shapes, and mean ± deviation. The thicker a weight's arrow, the larger its gradient.",
)

# %% [markdown]
# ## The gradient of a product
#
# Take one entry of `y = x W`, and see who moves it:
#
# ```math
# yᵢⱼ = Σₖ xᵢₖ Wₖⱼ           so   ∂yᵢⱼ/∂Wₖⱼ = xᵢₖ
# ```
#
# The weight `Wₖⱼ` is used once for **each example** `i`. Who is used often, collects often: with `G
# = ∂L/∂y`, what has arrived at `y`, it collects `Σᵢ xᵢₖ Gᵢⱼ`. That sum is a matrix product again:
#
# ```math
# ∂L/∂W = xᵀ G        (3, 4) (4, 2) = (3, 2)
# ∂L/∂x = G Wᵀ        (4, 2) (2, 3) = (4, 3)
# ```
#
# You need not learn this by heart: the shapes allow nothing else.

# %%
inputs = leaf(4, 3, name="x")
G = tg.tensor(rng.standard_normal((4, 2)))
dx, dW = tg.grad(inputs @ W, [inputs, W], G)
print(dW.numpy())
assert np.allclose(dW.numpy(), inputs.numpy().T @ G.numpy())
assert np.allclose(dx.numpy(), G.numpy() @ W.numpy().T)

# %% [markdown]
# The page shows these rules at work, one operation at a time, with the numbers of our layer. Press
# **b** to jump to the walk back, and six times the right arrow key: there stands `∂L/∂W += xᵀ
# ∂L/∂v₁`, where `v₁` is our `y = x W`.

# %%
show(tg.step_through(L), "rules", "The rule of each operation, as the gradient passes it.")

# %% [markdown]
# ## Broadcasting: a copy on the way there, a sum on the way back
#
# `x W` is (4, 2), and `b` is (2,). NumPy lends `b` to every row: each of its numbers is used four
# times, so each collects four times.


# %%
def grid(axes, numbers, title):
    axes.imshow(numbers, cmap="PuOr", vmin=-6, vmax=6)
    for (i, j), number in np.ndenumerate(numbers):
        axes.text(j, i, f"{number:.2f}", ha="center", va="center")
    axes.set(title=title, ylim=(3.5, -0.5))
    axes.axis("off")


copies = np.broadcast_to(b.numpy(), (4, 2))
(collected,) = tg.grad(x @ W + b, [b], G)
figure = Figure(figsize=(7, 3.2), layout="constrained")
three = figure.subplots(1, 3)
grid(three[0], copies, "forward: b, copied\ninto every row")
grid(three[1], G.numpy(), "backward: G arrives\nat every copy")
grid(three[2], collected.numpy()[None], "∂L/∂b: the sum\nof the column")
assert np.allclose(collected.numpy(), G.numpy().sum(axis=0))
show(figure, "broadcasting", "Each column of G adds up to one number of ∂L/∂b.")

# %% [markdown]
# There is a neat way to see it. The gradient of a plain sum counts: `L = Σ (y + c)` grows by one
# for every place where a number of `c` is used. What do you expect for each shape of `c`? Run it.

# %%
y = tg.tensor(np.zeros((4, 2)))
for shape in [(), (2,), (1, 2), (4, 1), (4, 2)]:
    c = leaf(*shape)
    (uses,) = tg.grad((y + c).sum(), [c])
    print(f"c {shape!s:7} each number is used {uses.numpy().tolist()} times")
    assert np.all(uses.numpy() == 8 / c.size)

# %% [markdown]
# ## The matrix that nobody computes
#
# All the slopes from `x` to `y` together are the **Jacobian** `∂y/∂x`: a row for each number of
# `y`, a column for each of `x`. Here 8 × 12. It has to be computed row by row, a walk back for
# each.

# %%
y = layer(inputs, W, b)
J = tg.jacobian(y, inputs).numpy().reshape(y.size, inputs.size)
figure = Figure(figsize=(5.5, 3.4), layout="constrained")
axes = figure.subplots()
image = axes.imshow(J, cmap="PuOr", vmin=-abs(J).max(), vmax=abs(J).max())
axes.set(xlabel="numbers of x, example by example", ylabel="numbers of y", title="∂y/∂x")
figure.colorbar(image)
show(figure, "jacobian", "Four blocks: an example of the batch moves its own output only.")

# %% [markdown]
# Most of it is zero, and nobody wants the rest: the walk back needs only `G J`, a row of 12
# numbers, and the rule `G Wᵀ` gives that row **without** building `J`. For a batch of 32 and layers
# of 64 units this is the difference between four million numbers and two thousand.

# %%
(gradient,) = tg.grad(y, [inputs], G)
assert np.allclose(gradient.numpy().ravel(), G.numpy().ravel() @ J)
print(f"J: {(32 * 64) ** 2:,} numbers, G J: {32 * 64:,} numbers")

# %% [markdown]
# ## Is it true? Ask by experiment
#
# A gradient is a claim about the world: *move this number a little, and L moves that much.* So move
# it. The central difference is the best simple experiment:
#
# ```math
# ∂L/∂W₀₀ ≈ ( L(W₀₀ + h) − L(W₀₀ − h) ) / 2h
# ```
#
# How small should `h` be? "As small as possible" is what most people say. What do you think?


# %%
def moved(h):
    """The loss with W₀₀ moved by h."""
    there = W.numpy()
    there[0, 0] += h
    return F.half_squared_error(layer(x, tg.tensor(there), b), target).item()


claim = W.grad.numpy()[0, 0]
steps = 10.0 ** np.arange(-1, -13.5, -0.5)
central = [abs((moved(h) - moved(-h)) / (2 * h) - claim) for h in steps]
forward = [abs((moved(h) - moved(0)) / h - claim) for h in steps]
best = steps[np.argmin(central)]
print(f"best h: {best:.0e}, error {min(central):.0e}; at h = 1e-12 the error is {central[-3]:.0e}")

# %%
figure = Figure(figsize=(6, 3.6), layout="constrained")
axes = figure.subplots()
axes.loglog(steps, forward, "s--", label="(L(W + h) − L(W)) / h")
axes.loglog(steps, central, "o-", label="(L(W + h) − L(W − h)) / 2h")
axes.set(xlabel="h", ylabel="error of ∂L/∂W₀₀", title="Not too large, not too small")
axes.legend()
assert 1e-7 < best < 1e-3
show(figure, "error", "From right to left the error falls as h², then rounding takes over.")

# %% [markdown]
# On the right the curve of `L` disturbs: the error falls with `h²` (with `h` for the one-sided
# difference). On the left two nearly equal numbers are subtracted, and what is left is rounding,
# about `10⁻¹⁶ / h`. The valley is where we want to be. This is why gradients are checked in
# float64.
#
# Now every entry of `W`, one by one: 6 entries, 12 runs.

# %%
h, found = 1e-5, np.zeros(W.shape)
for entry in np.ndindex(*W.shape):
    ends = []
    for change in (h, -h):
        there = W.numpy()
        there[entry] += change
        ends.append(F.half_squared_error(layer(x, tg.tensor(there), b), target).item())
    found[entry] = (ends[0] - ends[1]) / (2 * h)
print(f"largest difference: {abs(found - W.grad.numpy()).max():.0e}")
assert np.allclose(found, W.grad.numpy(), atol=1e-8)

# %% [markdown]
# ## All at once
#
# A million weights would need two million runs. But one can move **all** numbers at once, along a
# random direction `v`: the loss must then move by `⟨∂L/∂W, v⟩`. If a single entry of the gradient
# is wrong, this number is wrong too, for almost every `v`. Two runs are enough.
# `tg.check_gradients` does that for every input you give; it is silent when all is well.

# %%
tg.check_gradients(layer, leaf(4, 3), W, b)
tg.check_gradients(layer, leaf(4, 3), W, b, order=2)  # the gradient of the gradient as well
print("the layer keeps its promises")

# %% [markdown]
# ## A rule of your own
#
# An operation is its computation on arrays and a rule for each input, `g = ∂L/∂y` in, `∂L/∂x` out:
#
# ```math
# softsign(x) = x / (1 + |x|)        ∂y/∂x = 1 / (1 + |x|)²
# ```

# %%
softsign = Op(
    "softsign",
    lambda xp, x: x / (1 + abs(x)),  # xp is NumPy, or CuPy on a GPU
    lambda g, y, x: g / (1 + abs(x)) ** 2,
)
tg.check_gradients(softsign, leaf(5, name="a"))
print("softsign is right")

# %% [markdown]
# Somebody forgets the square. It happens; it would still look right in a review. What does the
# check say?

# %%
careless = Op(
    "careless",
    lambda xp, x: x / (1 + abs(x)),
    lambda g, y, x: g / (1 + abs(x)),  # the square is missing
)
try:
    tg.check_gradients(careless, leaf(5, name="a"))
except tg.GradientCheckError as error:
    print(textwrap.fill(str(error), 80))
else:
    raise AssertionError("the wrong rule was not caught")

# %% [markdown]
# Both numbers, the input, and the operation at fault. It finds the culprit among many, too: here it
# hides in a loop over time, among products, sums and `tanh`.


# %%
def suspicious(s, W, activation):
    for t in (1, 2, 3):
        with tg.timestep(t), tg.scope("memory"):
            s = activation(F.tanh(s @ W) + s)
    return s


try:
    tg.check_gradients(lambda s, W: suspicious(s, W, careless), leaf(2, 3, name="s_0"), leaf(3, 3))
except tg.GradientCheckError as error:
    caught = str(error)
    print(textwrap.fill(caught, 80))
assert "'careless'" in caught and "scope memory, time step 1" in caught

# %% [markdown]
# ## Why this matters: it learns all the same
#
# Perhaps a wrong gradient would show by itself, because the loss does not fall? Train the same
# layer twice, from the same start, once with each rule.


# %%
def gradient_of(activation, W):
    loss = F.half_squared_error(activation(x @ W), target)
    return loss.item(), tg.grad(loss, [W])[0].numpy()


def train(activation):
    W, losses = np.full((3, 2), 0.1), []
    for _ in range(60):
        loss, gradient = gradient_of(activation, tg.tensor(W, requires_grad=True))
        W = W - 0.1 * gradient
        losses.append(loss)
    return losses, W


# %%
right, _ = train(softsign)
wrong, W_wrong = train(careless)
print(
    f"right rule: {right[0]:.3f} → {right[-1]:.3f}    wrong rule: {wrong[0]:.3f} → {wrong[-1]:.3f}"
)
assert right[-1] < 0.3 * right[0] and wrong[-1] < right[-1]

# %%
figure = Figure(figsize=(6, 3.2), layout="constrained")
axes = figure.subplots()
axes.plot(right, label="right rule")
axes.plot(wrong, "--", label="wrong rule")
axes.set(xlabel="step", ylabel="L", title="Which of the two is broken?")
axes.legend()
show(figure, "training", "Both fall: a loss curve does not tell whether gradients are right.")

# %% [markdown]
# Both fall; the broken one even faster, for its gradients are too long. Nothing in the curve tells
# that they also point in a wrong direction, more and more so as learning goes on:

# %%
W_there = tg.tensor(W_wrong, requires_grad=True)
(_, true), (_, false) = gradient_of(softsign, W_there), gradient_of(careless, W_there)
cosine = (true * false).sum() / (np.linalg.norm(true) * np.linalg.norm(false))
print(f"at the end the angle between the two gradients is {np.degrees(np.arccos(cosine)):.0f}°")
assert cosine < 0.95

# %% [markdown]
# A wrong rule often still points downhill. The network learns *around* the fault, and nobody knows
# what was lost. So check rules, and do not trust curves. In this project every operation is
# compared with central differences, of first and second order, in float32 and float64, whenever its
# tests run.

# %% [markdown] tags=["exercise"]
# **Exercise 1.** `a` is (4, 1) and `c` is (1, 3); their sum is (4, 3). Write down, before you
# compute it, what `∂L/∂a` and `∂L/∂c` are for `L = Σᵢⱼ Gᵢⱼ (aᵢ + cⱼ)`. Then check it.
#
# *Hint:* who is used how often, and where?

# %% tags=["solution"]
a, c, G43 = leaf(4, 1), leaf(1, 3), rng.standard_normal((4, 3))
da, dc = tg.grad(a + c, [a, c], tg.tensor(G43))
print(da.shape, dc.shape)
assert np.allclose(da.numpy(), G43.sum(axis=1, keepdims=True))  # aᵢ is used along its row
assert np.allclose(dc.numpy(), G43.sum(axis=0, keepdims=True))  # cⱼ along its column

# %% [markdown] tags=["exercise"]
# **Exercise 2.** A student writes the rule of `y = tanh(x)` as `g · (1 − y)`. Find an input where
# `check_gradients` does **not** notice. What does that say about how to choose inputs for a check?
#
# *Hint:* where do `1 − y` and the right `1 − y²` agree?

# %% tags=["solution"]
student = Op("student", lambda xp, x: xp.tanh(x), lambda g, y, x: g * (1 - y))
zeros = tg.tensor(np.zeros(5), requires_grad=True)
tg.check_gradients(student, zeros)  # y = 0: both slopes are 1
try:
    tg.check_gradients(student, leaf(5))  # random numbers hide nothing
except tg.GradientCheckError:
    print("not noticed at 0, noticed at random numbers: zeros and ones are bad inputs for a check")
else:
    raise AssertionError("should have been caught")

# %% [markdown] tags=["exercise"]
# **Exercise 3.** Write `y = √(1 + x²)` as an `Op`, with a rule that uses `y`, and check it to
# second order. Then use it in a layer in place of `tanh`, and check that.
#
# *Hint:* `y² = 1 + x²`; differentiate both sides.

# %% tags=["solution"]
bowl = Op("bowl", lambda xp, x: xp.sqrt(1 + x * x), lambda g, y, x: g * x / y)
tg.check_gradients(bowl, leaf(5), order=2)
tg.check_gradients(lambda x, W, b: bowl(x @ W + b), leaf(4, 3), W, b, order=2)
print("y = √(1 + x²) is right, to second order")

# %% [markdown]
# ## What to read next
#
# - **03 · Recurrence**: a network that reads one thing after another.
# - Baydin and others, *Automatic differentiation in machine learning: a survey*, 2018: why the walk
#   back needs `G J` and never `J`.
# - CS231n, Stanford, *Vector, Matrix, and Tensor Derivatives* by Erik Learned-Miller: for those who
#   want to see every index.
# - On a GPU the same file runs unchanged, if CuPy is installed: `TINYGRADRNN_BACKEND=cupy python
#   tutorials/02_arrays.py`.
# - To play: break another rule, as little as you can, and see whether the check notices. How small
#   a fault is too small?
