# %% [markdown]
# # 03 · Recurrence: one network, used again and again
#
# A network that reads a sequence needs a memory. You will build one from two small functions, run
# the worked example of the lecture notes by hand, see the same network rolled up and unrolled, and
# find out what an output can know about the past. Then you meet the Elman network, the simplest
# recurrent network that is really used.
#
# You need tutorial 02. It takes about 15 minutes. On a GPU the same file runs unchanged, if CuPy is
# installed: `TINYGRADRNN_BACKEND=cupy python tutorials/03_recurrence.py`.

# %%
from itertools import permutations

import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.course import show

rng = np.random.default_rng(0)
tg.manual_seed(0)

# %% [markdown]
# ## Why a memory
#
# "Arrive in Hangzhou" and "leave Hangzhou": a ticket machine must know that the one Hangzhou is a
# destination and the other a place of departure. But a network that sees one word at a time gives
# the same word the same answer. It must remember what came before.
#
# So let it keep a **state** `s`, a few numbers. Two functions are all there is (Goldberg 2016):
#
# ```math
# sᵢ = R(sᵢ₋₁, xᵢ)        the new state, from the old one and the input
# yᵢ = O(sᵢ)              the output, from the state
# ```
#
# The example of the notes: everything is linear, without a bias, **all weights are 1**.

# %%
ones = np.ones((2, 2))


def R(s, x):
    return x @ ones + s @ ones


def O(s):
    return s @ ones


# %% [markdown]
# Give it the inputs (1, 1), (1, 1), (2, 2), one after the other, starting with `s₀ = (0, 0)`. The
# first two inputs are the same. Will the outputs be? Take a pencil: six additions give you the
# first two.


# %%
def read(inputs, s):
    outputs = []
    for x in inputs:
        s = R(s, x)
        outputs.append(O(s))
        print(f"x = {x}   s = {s}   y = {outputs[-1]}")
    return outputs


inputs = np.array([[1.0, 1.0], [1.0, 1.0], [2.0, 2.0]])
y = read(inputs, np.zeros(2))
assert np.array_equal(y, [[4, 4], [12, 12], [32, 32]])

# %% [markdown]
# (4, 4), (12, 12), (32, 32), as in the notes. The second (1, 1) is answered by 12, not by 4: the
# network remembers the first. Written out, the loop is one function inside the other:

# %%
x1, x2, x3 = inputs
assert np.array_equal(y[2], O(R(R(R(np.zeros(2), x1), x2), x3)))
print("y₃ = O(R(R(R(s₀, x₁), x₂), x₃)) =", O(R(R(R(np.zeros(2), x1), x2), x3)))

# %% [markdown]
# ## The order matters
#
# A bag of words would not care who comes first. What do you expect for (2, 2), (1, 1), (1, 1)?

# %%
for order in sorted(set(permutations([1.0, 1.0, 2.0]))):
    s = np.zeros(2)
    for x in order:
        s = R(s, np.full(2, x))
    print(f"inputs {order}, each twice: last output {O(s)}")
assert O(s)[0] == 44  # the last of them: 2 came first

# %% [markdown]
# What comes early counts more here, because the state is doubled at every step: each of its two
# numbers gets the sum of both. Remember this doubling; tutorial 05 is about what it does after a
# hundred steps.
#
# ## The same, recorded
#
# Now with the real thing. A **cell** is one step: `cell.transition` is `R`, `cell.output` is `O`.
# `nn.RNN` is the loop around it. A readout, used at every step, makes `y` of the state.

# %%
cell = nn.ElmanCell(2, 2, activation="linear", bias=False)
readout = nn.Linear(2, 2, bias=False)
cell.W_x, cell.W_s, readout.W = ones, ones, ones
network = nn.Sequential(nn.RNN(cell), nn.PerStep(readout))

x = tg.tensor(inputs[None], name="x")  # batch, time, features: (1, 3, 2)
y = network(x)
print(y.numpy())
assert y.numpy().tolist() == [[[4, 4], [12, 12], [32, 32]]]

# %% [markdown]
# Two pictures of one network. **Rolled up**, as it stands in the program: one step, and a loop that
# carries the state back to where the next step starts.

# %%
show(tg.draw(y, level="gate", rolled=True), "rolled", "The loop carries the state.")

# %% [markdown]
# **Unrolled**, as it ran: a copy for every time step, from left to right. The loop has become a
# chain. Find your pencil's numbers in the boxes.

# %%
show(
    tg.draw(y, level="gate", values=True),
    "unrolled",
    "Follow s along the lane: 2, 6, 16. Above it the outputs: 4, 12, 32.",
)

# %% [markdown]
# ## One weight, many uses
#
# Look at the rails: each weight is drawn **once**, and tapped at every step. The graph gets longer
# with the sequence; what is learned does not.

# %%
graph = tg.Graph(y)
for node in graph.uses(cell.W_s):
    print("W_s is used at time step", node.timestep)
assert [node.timestep for node in graph.uses(cell.W_s)] == [1, 2, 3]

# %%
for T in (3, 30, 300):
    graph = tg.Graph(network(tg.tensor(np.ones((1, T, 2)))))
    numbers = sum(p.size for p in graph.parameters.values())
    print(f"{T:3} time steps: {len(graph.nodes):4} nodes, {numbers} numbers to learn")
    assert numbers == 12

# %% [markdown]
# This is what makes a recurrent network different from a deep one, and you know already what it
# means for the gradient: who is used often, collects often. That is tutorial 04.
#
# ## The Elman network
#
# Doubling for ever is no good memory. So the sum goes through a function that keeps it in bounds:
#
# ```math
# sₜ = tanh(sₜ₋₁ Wˢ + xₜ Wˣ + b)        yₜ = sₜ
# ```
#
# Lecture notes like to show it as a loop of NumPy. Here is theirs: 100 steps, 32 features in, 64
# out. They write columns, `W x`; we write rows, `x W`, so our weights are the transposes of theirs.

# %%
sequence = rng.random((100, 32))
W, U = rng.normal(0, 0.1, (64, 32)), rng.normal(0, 0.1, (64, 64))
b = rng.normal(0, 0.1, 64)

state_t, successive_outputs = np.zeros(64), []
for input_t in sequence:
    output_t = np.tanh(np.dot(W, input_t) + np.dot(U, state_t) + b)
    successive_outputs.append(output_t)
    state_t = output_t

# %% [markdown]
# (Theirs ends with `np.concatenate`, which gives 6400 numbers in a row; `np.stack` is meant.) The
# cell does the same in one call:

# %%
elman = nn.ElmanCell(32, 64).astype("float64")
elman.W_x, elman.W_s, elman.b = W.T, U.T, b
out = nn.RNN(elman)(tg.tensor(sequence[None]))
print(f"largest difference: {abs(out.y.numpy()[0] - np.stack(successive_outputs)).max():.0e}")
assert np.allclose(out.y.numpy()[0], np.stack(successive_outputs), atol=1e-12)

# %% [markdown]
# ## The state is all that is left
#
# Whatever the network will ever know of the past is in those 64 numbers. Read 60 steps, keep only
# the state, and read the other 40 with it: the same outputs as in one go.

# %%
rnn = nn.RNN(elman)
first, state = rnn(tg.tensor(sequence[None, :60]))
second, _ = rnn(tg.tensor(sequence[None, 60:]), state)
assert np.allclose(second.numpy(), out.y.numpy()[:, 60:], atol=1e-12)
print("state:", state.shape, "is enough to go on")

# %% [markdown]
# ## Who sees whom
#
# Which outputs depend on which inputs? Ask the gradient: `‖∂yₜ/∂xₖ‖` for all `t` and `k`. What do
# you expect above the diagonal? And what far below it?

# %%
T = 12
small = nn.RNN(nn.ElmanCell(3, 4).astype("float64"))
xs = tg.tensor(rng.standard_normal((1, T, 3)), requires_grad=True)
J = tg.jacobian(small(xs).y, xs).numpy()[0, :, :, 0]  # (t, 4, k, 3)
seen = np.sqrt((J**2).sum(axis=(1, 3)))
assert np.all(np.triu(seen, 1) == 0) and np.all(np.diag(seen) > 0)

figure = Figure(figsize=(5, 3.8), layout="constrained")
axes = figure.subplots()
image = axes.imshow(seen, cmap="Purples", extent=(0.5, T + 0.5, T + 0.5, 0.5))
axes.set(xlabel="k, the input", ylabel="t, the output", title="‖∂yₜ/∂xₖ‖")
figure.colorbar(image)
show(figure, "sight", "No output sees the future. The further back an input, the paler its trace.")

# %% [markdown]
# An output sees the inputs up to its own, none later. (Whoever may look ahead can run a second
# network from the end: tutorial 08.) And the trace of an input fades with the distance. That is the
# trouble with simple recurrent networks, and tutorials 05 and 06 are about it.
#
# ## Many to many, many to one
#
# So far there was an output for every input: a tag for each word, the next letter. To judge a whole
# sentence, one takes the last output only: `out.last`. The picture at the level of cells:

# %%
judge = nn.Sequential(small, nn.Last(), nn.Linear(4, 1)).astype("float64")
five = tg.tensor(xs.numpy()[:, :5], name="x")
show(
    tg.draw(judge(five), level="cell"),
    "many_to_one",
    "Five inputs, one output: the state after the last step stands for the whole sequence.",
)
assert np.array_equal(small(five).last.numpy(), small(xs).y.numpy()[:, 4])

# %% [markdown]
# ## Step through it
#
# Open the page, and let the values of the linear network appear one by one. (At the end the way
# back begins. It needs one number to start from: here the sum of all outputs, 96.)

# %%
total = network(x).sum()
assert total.item() == 4 + 4 + 12 + 12 + 32 + 32
show(
    tg.step_through(total), "steps", "The right arrow key steps; hover over a box to see its value."
)

# %% [markdown] tags=["exercise"]
# **Exercise 1.** In the linear network with `Wˣ = 1` (the identity), for which `Wˢ` does the order
# **not** matter? What does the state hold then? Set it, and check all orders of three different
# inputs.
#
# *Hint:* the state must neither grow nor shrink by itself.

# %% tags=["solution"]
adder = nn.ElmanCell(2, 2, activation="linear", bias=False, init="identity")
adder.W_x = np.eye(2)
sums = set()
for order in permutations([[1.0, 5.0], [2.0, 7.0], [4.0, 9.0]]):
    out = nn.RNN(adder)(tg.tensor([order]))
    sums.add(tuple(out.last.numpy()[0].tolist()))
print("the last state in all six orders:", sums)
assert sums == {(7.0, 21.0)}  # the state is the running sum

# %% [markdown] tags=["exercise"]
# **Exercise 2.** *One to many.* A linear network with two units gets a single input (1, 0) and then
# only zeros. Choose `Wˢ` so that its first unit swings as a cosine, with a period of 16 steps.
#
# *Hint:* the state should turn round the origin; which matrix turns a row vector by an angle?

# %% tags=["solution"]
angle = 2 * np.pi / 16
swing = nn.ElmanCell(2, 2, activation="linear", bias=False).astype("float64")
swing.W_x = np.eye(2)
swing.W_s = [[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]
pulse = np.zeros((1, 48, 2))
pulse[0, 0] = 1, 0
wave = nn.RNN(swing)(tg.tensor(pulse)).y.numpy()[0]
assert np.allclose(wave[:, 0], np.cos(angle * np.arange(48)))

figure = Figure(figsize=(6, 2.6), layout="constrained")
axes = figure.subplots()
axes.plot(np.arange(1, 49), wave, "o-", label=["unit 1", "unit 2"])
axes.set(xlabel="time step", title="One pulse, and then silence")
axes.legend()
show(figure, "wave", "Two numbers of memory are enough for a wave that never ends.")

# %% [markdown] tags=["exercise"]
# **Exercise 3.** Keras prints 2080 parameters for `SimpleRNN(32)` on inputs of size 32, whatever
# the length of the sequence. Where do they come from? Count them with a formula and with a cell.
#
# *Hint:* the three parameters of `sₜ = tanh(sₜ₋₁ Wˢ + xₜ Wˣ + b)`.

# %% tags=["solution"]
keras = nn.ElmanCell(32, 32)
for name, parameter in keras.named_parameters():
    print(f"{name:4} {parameter.shape!s:9} {parameter.size}")
assert sum(p.size for p in keras.parameters()) == 32 * 32 + 32 * 32 + 32 == 2080

# %% [markdown]
# ## What to read next
#
# - **04 · BPTT**: the gradient of a weight that is used at every step, term by term.
# - Jeffrey Elman, *Finding structure in time*, 1990: the paper that the cell is named after.
# - François Chollet, *Deep Learning with Python*, 2017: the loop of NumPy.
# - Yoav Goldberg, *A primer on neural network models for natural language processing*, 2016: `R`,
#   `O` and their notation are from here; Felipe Bravo-Marquez' lecture, 2018, follows it.
# - Hankui Zhuo's lecture on recurrent networks, 2019: the ticket machine and the network of ones.
# - To play: `tinygradrnn draw elman --text "hello" --values -o hello.svg` draws a network that
#   reads letters.
