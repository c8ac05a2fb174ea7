# %% [markdown]
# # 04 · Backpropagation through time
#
# One weight, used at every step: what is its gradient? You will work it out by hand for two steps,
# take the three terms of `∂L₃/∂Wˢ` apart, see the whole gradient as a table of terms, and walk
# through it forward and back. There is no new rule in it: an unrolled network is a graph, and who
# is used often, collects often.
#
# You need tutorials 01 to 03. It takes about 20 minutes.

# %%
import math

import numpy as np

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn import nn
from tinygradrnn.course import show

rng = np.random.default_rng(0)
tg.manual_seed(0)

# %% [markdown]
# ## Two steps, by hand
#
# "Take `∂E₂/∂W` for an example RNN with 2 time steps! Insightful!", says the lecture of Manning and
# Socher. So we do. Their network, with single numbers in place of vectors, `f = tanh`, and `V` for
# their output weights:
#
# ```math
# hₜ = W f(hₜ₋₁) + Wʰˣ xₜ        ŷₜ = V f(hₜ)        E₂ = ½ (ŷ₂ − y₂)²
# ```

# %%
W, W_hx, V = 0.7, 0.5, 1.2
x1, x2, h0, y2 = 1.0, -0.4, 0.6, 0.9


def two_steps(W):
    h1 = W * math.tanh(h0) + W_hx * x1
    h2 = W * math.tanh(h1) + W_hx * x2
    return h1, h2, V * math.tanh(h2)


h1, h2, y_hat = two_steps(W)
print(f"h₁ = {h1:.4f}, h₂ = {h2:.4f}, ŷ₂ = {y_hat:.4f}, E₂ = {0.5 * (y_hat - y2) ** 2:.4f}")

# %% [markdown]
# From `E₂` back to `h₂` it is the chain rule as ever. Then, at `h₂ = W f(h₁) + …`, one is tempted
# to say `∂h₂/∂W = f(h₁)`. What does an experiment say?

# %%
from_error = (y_hat - y2) * V * (1 - math.tanh(h2) ** 2)  # ∂E₂/∂ŷ₂ · ∂ŷ₂/∂h₂
tempting = from_error * math.tanh(h1)


def E_2(W):
    return 0.5 * (two_steps(W)[2] - y2) ** 2


experiment = (E_2(W + 1e-6) - E_2(W - 1e-6)) / 2e-6
print(f"tempting {tempting:.6f}    experiment {experiment:.6f}")
assert abs(tempting - experiment) > 0.01

# %% [markdown]
# Something is missing. `W` moves `h₂` in two ways: directly, and because `h₁` **has moved as
# well**, for `W` was used there, too. (De Silva's lecture calls the first way the *explicit*
# gradient, and the other an *implicit* dependency.) Hence two terms, one for each use `k`:
#
# ```math
# ∂E₂/∂W = Σₖ ∂E₂/∂ŷ₂ · ∂ŷ₂/∂h₂ · ∂h₂/∂hₖ · ∂hₖ/∂W         k = 1, 2
#
# k = 2:   from_error · 1 · f(h₁)                  used at step 2
# k = 1:   from_error · W f′(h₁) · f(h₀)           used at step 1, and carried on by ∂h₂/∂h₁
# ```
#
# In `∂hₖ/∂W` all earlier states stand still: it is the slope at **that** use alone.

# %%
carried = W * (1 - math.tanh(h1) ** 2)  # ∂h₂/∂h₁
by_hand = {1: from_error * carried * math.tanh(h0), 2: from_error * math.tanh(h1)}
print(f"k = 1: {by_hand[1]:.6f}    k = 2: {by_hand[2]:.6f}    sum {sum(by_hand.values()):.6f}")
assert abs(sum(by_hand.values()) - experiment) < 1e-8

# %% [markdown]
# ## Two steps, by graph
#
# Now we only write the network down, and say which time step a line belongs to. `contributions`
# runs the walk back, and keeps apart what each step adds to the gradient.

# %%
weight = tg.tensor(W, requires_grad=True, name="W", dtype="float64")
h = tg.tensor(h0, name="h_0", dtype="float64")
for t, x in enumerate((x1, x2), 1):
    with tg.timestep(t):
        h = weight * F.tanh(h) + W_hx * x
        h.name = "h"  # what pictures and pages call it
miss = V * F.tanh(h) - y2
E2 = 0.5 * (miss * miss)

terms = tg.Graph(E2).contributions(weight)
print({k: round(float(term), 6) for k, term in terms.items()})
assert all(abs(terms[k] - by_hand[k]) < 1e-12 for k in (1, 2))

# %%
show(
    tg.draw(E2, values=True, gradients=True),
    "two_steps",
    "The numbers at the two taps of W are the two terms. On the state edge: what is carried back.",
)

# %% [markdown]
# Press **b** on this page, and then the right arrow key, slowly: each step back shows its rule with
# the numbers filled in. At each tap `∂L/∂W` grows by a term (the page calls every loss `L`).

# %%
show(tg.step_through(E2), "two_steps_walk", "b, then the right arrow key, slowly.")

# %% [markdown]
# ## Three steps, and vectors
#
# The same with states of three numbers, inputs of two, and **a loss at every step**, as in De
# Silva's lecture:
#
# ```math
# sₜ = tanh(xₜ Wˣ + sₜ₋₁ Wˢ + b)      ŷₜ = sₜ Wᵒᵘᵗ + bᵒᵘᵗ
# Lₜ = ½ (ŷₜ − yₜ)²                     L = Σₜ Lₜ
# ```

# %%
T = 3
cell, readout = nn.ElmanCell(2, 3).astype("float64"), nn.Linear(3, 1).astype("float64")
readout.W.name, readout.b.name = "W_out", "b_out"  # as the lecture calls them
x, y = rng.standard_normal((T, 1, 2)), rng.standard_normal((T, 1, 1))

s = tg.tensor(np.full((1, 3), 0.5), name="s_0")  # not 0: then W_s counts at step 1, too
states, losses = [s], []
for t in range(T):
    with tg.timestep(t + 1):
        _, s = cell(tg.tensor(x[t], name="x"), s)
        s.name = "s"
        y_hat = readout(s)
        with tg.scope("loss"):
            losses.append(F.half_squared_error(y_hat, tg.tensor(y[t], name="y")))
    states.append(s)

# %%
L = losses[0] + losses[1] + losses[2]
print([round(loss.item(), 4) for loss in losses], "together", round(L.item(), 4))

# %% [markdown]
# Take the last loss alone. Its gradient has three terms, one for each use of `Wˢ`:
#
# ```math
# ∂L₃/∂Wˢ =  ∂L₃/∂ŷ₃ ∂ŷ₃/∂s₃ ∂s₃/∂Wˢ                          used at step 3
#          + ∂L₃/∂ŷ₃ ∂ŷ₃/∂s₃ ∂s₃/∂s₂ ∂s₂/∂Wˢ                  used at step 2
#          + ∂L₃/∂ŷ₃ ∂ŷ₃/∂s₃ ∂s₃/∂s₂ ∂s₂/∂s₁ ∂s₁/∂Wˢ          used at step 1
# ```
#
# Write it out in NumPy. With `aₜ` for what goes into `tanh`, the slope is `f′(aₜ) = 1 − sₜ²`. What
# arrives at a state, times that slope, goes on by `Wˢᵀ` to the state before, and by the old state
# to the weight: the two rules of a product, from tutorial 02.

# %%
s = [state.numpy() for state in states]
W_s, W_out, b_out = cell.W_s.numpy(), readout.W.numpy(), readout.b.numpy()
slope = [1 - state**2 for state in s]

at_s3 = (s[3] @ W_out + b_out - y[2]) @ W_out.T  # ∂L₃/∂ŷ₃ ∂ŷ₃/∂s₃
at_s2 = (at_s3 * slope[3]) @ W_s.T  #              … ∂s₃/∂s₂
at_s1 = (at_s2 * slope[2]) @ W_s.T  #              … ∂s₃/∂s₂ ∂s₂/∂s₁
three_terms = {
    3: s[2].T @ (at_s3 * slope[3]),
    2: s[1].T @ (at_s2 * slope[2]),
    1: s[0].T @ (at_s1 * slope[1]),
}

# %%
found = tg.Graph(losses[2]).contributions(cell.W_s)
(gradient,) = tg.grad(losses[2], [cell.W_s])
for k in (3, 2, 1):
    print(f"used at step {k}, the same by hand and by graph:\n{np.round(found[k], 4)}")
    assert np.allclose(three_terms[k], found[k], rtol=1e-12)
assert np.allclose(sum(three_terms.values()), gradient.numpy(), rtol=1e-12)

# %% [markdown]
# Three matrices of the shape of `Wˢ`, and their sum is the gradient. Here they are in the picture,
# as the three taps of `Wˢ`. Which of the three steps has the most to say?

# %%
show(
    tg.draw(losses[2], level="cell", gradients=True),
    "three_terms",
    "The last loss alone: follow it back along the states, and down the taps of W_s.",
)

# %% [markdown]
# ## The chain inside
#
# In the last of the three terms stands `∂s₃/∂s₂ ∂s₂/∂s₁`: each is a matrix, and their product is
# `∂s₃/∂s₁`. For column vectors, as the notes write them, one step is
#
# ```math
# ∂sₜ/∂sₜ₋₁ = diag(f′(aₜ)) Wˢ           (their Wˢ is the transpose of ours)
# ```
#
# Three ways to the same numbers: the formula, the analysis tool, and the Jacobian from end to end.

# %%
steps = tg.analysis.state_jacobians(cell, states[0], [tg.tensor(x_t) for x_t in x])[0]
for t in (1, 2, 3):
    assert np.allclose(steps[t - 1], np.diag(slope[t][0]) @ W_s.T)
product = steps[2] @ steps[1]
direct = tg.jacobian(states[3], states[1]).numpy().reshape(3, 3)
print("∂s₃/∂s₂ ∂s₂/∂s₁ =\n", product)
assert np.allclose(product, direct)

# %% [markdown]
# With a hundred steps there would be ninety-nine such factors in a row. What becomes of a product
# of ninety-nine matrices? Tutorial 05.
#
# ## The double sum
#
# Now all the losses. Each sends something to each use before it:
#
# ```math
# ∂L/∂Wˢ = Σₜ ∂Lₜ/∂Wˢ = Σₜ Σₖ ∂Lₜ/∂ŷₜ ∂ŷₜ/∂sₜ ∂sₜ/∂sₖ ∂sₖ/∂Wˢ        k ≤ t
# ```
#
# That is a table: a row for each loss `t`, a column for each use `k`. Its last row holds our three
# terms.

# %%
table = tg.analysis.contribution_table(losses, cell.W_s)
print(np.round(table.norms, 4))
for k in (1, 2, 3):
    assert np.allclose(table.terms[2, k - 1], three_terms[k], rtol=1e-12)
assert np.array_equal(table.norms, np.tril(table.norms))  # no loss reaches a later use
show(table.plot(), "table", "A row for each loss, a column for each use of the weight.")

# %% [markdown]
# Sum it as you like. A row gives the gradient of one loss; a column what one step adds to the
# whole; everything together is `∂L/∂Wˢ`. (The terms add up; their sizes, which the table shows, do
# not.)

# %%
(whole,) = tg.grad(L, [cell.W_s])
columns = tg.Graph(L).contributions(cell.W_s)
for t, loss in enumerate(losses):
    assert np.allclose(table.per_loss[t], tg.grad(loss, [cell.W_s])[0].numpy(), atol=1e-14)
for k in (1, 2, 3):
    assert np.allclose(table.per_step[k - 1], columns[k], atol=1e-14)
assert np.allclose(table.total, whole.numpy(), atol=1e-14)
print("rows, columns and total agree with the gradients:\n", table.total)

# %% [markdown]
# ## You need to go back only once
#
# The table has T (T + 1) / 2 terms: for a thousand steps half a million. Must we compute them all?
# No: on the way back the errors **meet**. At `sₜ` arrives what its own loss sends, and what comes
# back from `sₜ₊₁`; from there on they travel together, as one vector:
#
# ```math
# δₜ = ∂L/∂sₜ = ∂Lₜ/∂sₜ + (δₜ₊₁ ⊙ f′(aₜ₊₁)) Wˢᵀ
# ```
#
# Backpropagation through time, complete, in NumPy:

# %%
delta = np.zeros((1, 3))
by_loop = {"W_x": 0, "W_s": 0, "b": 0}
for t in (3, 2, 1):
    delta = delta + (s[t] @ W_out + b_out - y[t - 1]) @ W_out.T  # the loss of this step joins in
    at_a = delta * slope[t]
    by_loop["W_x"] += x[t - 1].T @ at_a
    by_loop["W_s"] += s[t - 1].T @ at_a
    by_loop["b"] += at_a[0]
    delta = at_a @ W_s.T  # on to the step before

L.backward()
for name, gradient in by_loop.items():
    assert np.allclose(gradient, getattr(cell, name).grad.numpy(), rtol=1e-12)
print("the loop and backward() agree on", *by_loop)

# %% [markdown]
# `backward()` knows none of this. It only walks the graph from the last node to the first, once,
# and where two arrows leave a state, it adds what comes back. The loop above is what that amounts
# to.

# %%
separate = [len(list(tg.Graph(loss).backward_events())) for loss in losses]
once = len(list(tg.Graph(L).backward_events()))
print(f"one walk for each loss: {separate}, {sum(separate)} visits; one for all: {once} visits")
assert once < sum(separate)

# %% [markdown]
# ## See it
#
# The whole, with the size of every gradient: along the states it flows back, and at every step the
# loss joins in.

# %%
show(
    tg.draw(L, level="cell", gradients=True),
    "all_losses",
    "Follow the state edges from right to left: what flows back, with each loss joining in.",
)

# %% [markdown]
# The backward pass is a graph as well. Drawn below its forward graph, it is a mirror image: each
# box has its gradient, and each weight a rail on which the terms add up, from right to left.

# %%
show(
    tg.draw(L, level="cell", backward=True),
    "mirror",
    "Above, forward; below, dashed, the way back. ‖Σ‖ on a rail is the sum so far.",
)

# %% [markdown]
# And rolled up, the way books draw it, with the sums at the weights:

# %%
show(
    tg.draw(L, level="cell", rolled=True, gradients=True),
    "rolled",
    "One step for all three. The table says how large ∂L/∂s is at each of them.",
)

# %% [markdown]
# ## Walk through it
#
# Open the page. Press **b**: the walk back begins, from the last step to the first. Whenever it
# comes to a cell, the bars of `Wˢ` grow by the term of that step.

# %%
show(
    tg.step_through(L, level="cell"),
    "walk",
    "b jumps to the walk back; watch the bars of W_s grow.",
)

# %% [markdown]
# The same walk in the terminal: the steps at which something is added to `∂L/∂Wˢ`.

# %%
for step in tg.step_through(L):
    for term in step.terms:
        if term.weight == "W_s":
            print(f"t = {step.timestep}: += {np.linalg.norm(term.value):.4f}", end=" → ")
            print(f"{np.linalg.norm(term.total):.4f} so far")
assert np.allclose(tg.step_through(L).totals["W_s"], whole.numpy())

# %% [markdown] tags=["exercise"]
# **Exercise 1.** `∂L₃/∂Wˣ` has three terms as well, for the same reason. Write them out in NumPy
# and compare them with the graph's.
#
# *Hint:* everything up to the last factor is computed already.

# %% tags=["solution"]
terms = {
    3: x[2].T @ (at_s3 * slope[3]),
    2: x[1].T @ (at_s2 * slope[2]),
    1: x[0].T @ (at_s1 * slope[1]),
}
found = tg.Graph(losses[2]).contributions(cell.W_x)
assert all(np.allclose(terms[k], found[k], rtol=1e-12) for k in (1, 2, 3))
print({k: round(float(np.linalg.norm(term)), 4) for k, term in terms.items()})

# %% [markdown] tags=["exercise"]
# **Exercise 2.** Long sequences are cut: *truncated* backpropagation through time. Run six steps,
# and after the third go on with `nn.detach(state)`, a state that has forgotten where it came from.
# Which terms of the table disappear? Do the losses change?
#
# *Hint:* draw the table with and without the cut.


# %% tags=["solution"]
def six_losses(cut):
    s, found = states[0], []
    for t in range(1, 7):
        with tg.timestep(t):
            s = cell.transition(s, six[t - 1])
            found.append(F.half_squared_error(readout(s), tg.tensor(np.ones((1, 1)))))
        if cut and t == 3:
            s = nn.detach(s)
    return found


six = [tg.tensor(each) for each in rng.standard_normal((6, 1, 2))]
full, short = (tg.analysis.contribution_table(six_losses(cut), cell.W_s) for cut in (False, True))
assert [a.item() for a in six_losses(True)] == [a.item() for a in six_losses(False)]
assert np.all(full.norms[3:, :3] > 0) and np.all(short.norms[3:, :3] == 0)
assert np.allclose(full.norms[:3], short.norms[:3])
assert np.allclose(full.norms[3:, 3:], short.norms[3:, 3:])
show(short.plot(), "cut", "The cut: losses 4 to 6 do not reach the uses 1 to 3 any more.")

# %% [markdown] tags=["exercise"]
# **Exercise 3.** "The gradient of a shared weight is the sum over its copies." Prove it by
# experiment: give each of three steps a weight of its own, with equal numbers, and show that the
# gradient of copy `t` is the term of step `t`.
#
# *Hint:* `tg.grad(loss, [W1, W2, W3])`.


# %% tags=["solution"]
def last_loss(weights):
    s = states[0]
    for t, W in enumerate(weights, 1):
        with tg.timestep(t):
            s = F.tanh(tg.tensor(x[t - 1]) @ cell.W_x + s @ W + cell.b)
    return F.half_squared_error(readout(s), tg.tensor(y[2]))


copies = [tg.tensor(W_s, requires_grad=True) for _ in range(3)]
shared = tg.Graph(last_loss([cell.W_s] * 3)).contributions(cell.W_s)
for t, gradient in enumerate(tg.grad(last_loss(copies), copies), 1):
    assert np.allclose(gradient.numpy(), shared[t], rtol=1e-12)
print("each copy has the gradient of its time step")

# %% [markdown]
# ## What to read next
#
# - **05 · Vanishing and exploding**: what becomes of the chain `∂sₜ/∂sₖ` when it is long.
# - Paul Werbos, *Backpropagation through time: what it does and how to do it*, 1990.
# - David Rumelhart, Geoffrey Hinton and Ronald Williams, *Learning internal representations by
#   error propagation*, 1986: networks unrolled in time, in its last part.
# - Perumadura De Silva's lecture on recurrent networks has the three terms; Christopher Manning and
#   Richard Socher's *CS224N, lecture 8: Recurrent Neural Networks*, 2017, the two steps.
# - To play: `tinygradrnn step elman --text "hello" -o walk.html`, then the same with `lstm`. What
#   else flows back there, beside the state?
