# %% [markdown]
# # 01 · A derivative by hand, then by graph
#
# Everything in this course, up to networks that write text, rests on one idea: a program that
# remembers how it computed a number can tell how every input moved that number. You will find a
# derivative by experiment, then by hand, then build a machine of fewer than sixty lines that finds
# it for any program. At the end you meet the real one, `tinygradrnn`, and both agree.
#
# You need Python and the derivative of `x²`. It takes about 20 minutes. Go through it cell by cell,
# in an editor, in Jupyter, or in a terminal by `tinygradrnn tutorial 01`; where a question stands,
# answer it before you run the next cell. (`python tutorials/01_derivatives.py` runs all at once.)

# %%
import math
from collections import deque
from itertools import count

from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import functional as F
from tinygradrnn.course import show

# %% [markdown]
# ## Nudge it and see
#
# A number `w` is multiplied by `x = 2`, compared with a target of 5, and the miss is squared. That
# last number, the **loss** `L`, says how wrong we are. Which way should `w` move, and how much does
# `L` care? Ask by experiment: move `w` a little up and a little down, and see what `L` does.


# %%
def loss_of(w):
    a = w * 2.0
    d = a - 5.0
    return d * d


h = 1e-6
nudged = (loss_of(1.5 + h) - loss_of(1.5 - h)) / (2 * h)
print(f"L = {loss_of(1.5)}, and it changes by {nudged:.6f} for each 1 that w grows")

# %% [markdown]
# That is the derivative `∂L/∂w` at `w = 1.5`, found by two more runs. It is negative: a larger `w`
# makes a smaller loss. The price: two runs for **each** input. A network with a million weights
# would need two million runs for a single step of learning.
#
# ## By hand: multiply along the way
#
# Every line of `loss_of` does one simple thing, and each has a slope that school taught us:
#
# ```math
# a = w · x      ∂a/∂w = x
# d = a − t      ∂d/∂a = 1
# L = d · d      ∂L/∂d = d + d          (d is used twice!)
# ```
#
# If `w` grows by a hair, `a` grows by `x` hairs, `d` by as many, and `L` by `d + d` times that.
# Slopes along a way multiply. This is the chain rule, and there is nothing more to it.

# %%
w, x, t = 1.5, 2.0, 5.0
a = w * x
d = a - t
by_hand = (d + d) * 1.0 * x
print(f"∂L/∂w = (d + d) · 1 · x = ({d} + {d}) · 1 · {x} = {by_hand}")
assert abs(by_hand - nudged) < 1e-6

# %% [markdown]
# ## A number that remembers
#
# Now let the program do this. A `Value` is a number that remembers which numbers it was made from
# (`inputs`) and how much it changes with each of them (`slopes`). It also takes a ticket, `order`:
# the first number made gets 0, the next 1, and so on.

# %%
ticket = count()


class Value:
    """A number that remembers where it came from."""

    def __init__(self, data, inputs=(), slopes=(), label=""):
        self.data = data
        self.inputs = inputs  # the values that this one was computed from
        self.slopes = slopes  # ∂self/∂input, for each of them
        self.label = label
        self.order = next(ticket)
        self.grad = 0.0  # to become ∂L/∂self


# %% [markdown]
# Each operation computes its number and writes down its slopes, nothing else. Four operations are
# enough for today; look at the slopes of `×` twice, they are the heart of it.


# %%
def add(a, b):
    return Value(a.data + b.data, (a, b), (1.0, 1.0), "+")


def subtract(a, b):
    return Value(a.data - b.data, (a, b), (1.0, -1.0), "−")


def multiply(a, b):
    return Value(a.data * b.data, (a, b), (b.data, a.data), "×")


def tanh(a):
    y = math.tanh(a.data)
    return Value(y, (a,), (1.0 - y * y,), "tanh")


# %% [markdown]
# So that we can write `w * x` as usual, Python's operators get these meanings. Then we run the very
# same formula once more, with numbers that remember.

# %%
Value.__add__, Value.__sub__, Value.__mul__ = add, subtract, multiply

w, x, t = Value(1.5, label="w"), Value(2.0, label="x"), Value(5.0, label="t")
a = w * x
d = a - t
L = d * d
print(f"L = {L.data}, made by {L.label} from {[u.label for u in L.inputs]}, slopes {L.slopes}")

# %% [markdown]
# ## Draw it
#
# From `L` every number that took part can be reached, input by input: that is the **graph**. We
# collect it, and sort it by the tickets.


# %%
def tape(loss):
    """All values that the loss was computed from, in the order in which they were made."""
    found = [loss]
    for v in found:  # grows on the way
        found += [u for u in dict.fromkeys(v.inputs) if u not in found]
    return sorted(found, key=lambda v: v.order)


# %% [markdown]
# To see it, put the values side by side on a line, and draw an arrow from each input to the value
# that was made from it: the first input above the line, the second below. On the arrow stands its
# slope. Each box holds the label, the number, and after `∂` the gradient, 0 so far.


# %%
def picture(loss):
    values = tape(loss)
    figure = Figure(layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    heights = [-0.5, 0.5]
    for end, v in enumerate(values):
        box(axes, end, f"{v.label}\n{v.data:.3g}\n∂ {v.grad:.3g}")
        for side, u, slope in zip((1, -1), v.inputs, v.slopes):
            heights.append(arrow(axes, values.index(u), end, side, f"{slope:.3g}"))
    low, high = min(heights) - 0.2, max(heights) + 0.2
    axes.set(xlim=(-0.6, len(values) - 0.4), ylim=(low, high))
    figure.set_size_inches(len(values) + 0.2, high - low)
    return figure


# %% [markdown]
# What is left is decoration: how a box and an arrow look.


# %%
def box(axes, x, text):
    look = {"boxstyle": "round,pad=0.5", "facecolor": "#eef2fb", "edgecolor": "#33415c"}
    axes.text(x, 0, text, ha="center", va="center", bbox=look)


def arrow(axes, start, end, side, text):
    bow = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={-0.5 * side}", "color": "#d55e00"}
    axes.annotate("", (end, 0.4 * side), (start, 0.4 * side), arrowprops=bow)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    peak = side * (0.4 + 0.25 * (end - start))
    axes.text((start + end) / 2, peak, text, ha="center", va="center", bbox=white)
    return peak


show(picture(L), "tape", "Every arrow points to the right. Multiply the slopes from w to L.")

# %% [markdown]
# Read it: two arrows leave `d`, because `L = d · d` uses it twice, as the first factor and as the
# second. **Who is used twice, collects twice.** Keep this sentence: backpropagation through time,
# which tutorial 04 is about, is nothing else.
#
# ## Send the gradient back
#
# Start at `L`, where `∂L/∂L = 1`. Hand to every input what arrived times the slope on its arrow,
# and let it do the same. What arrives over several arrows adds up: note the `+=`.


# %%
def send_back(v, arriving=1.0):
    v.grad += arriving
    for u, slope in zip(v.inputs, v.slopes):
        send_back(u, arriving * slope)


send_back(L)
print(f"∂L/∂w = {w.grad}, ∂L/∂x = {x.grad}, ∂L/∂t = {t.grad}")
assert w.grad == by_hand
show(picture(L), "gradients", "The same tape after the walk back: each box knows its gradient.")

# %% [markdown]
# One walk, and **all three** derivatives are there. A million weights would still need one walk.
#
# What would `=` in place of `+=` do? Take the smallest example, `y = x · x` at `x = 3`, whose
# derivative is 2x = 6. What do you expect? Run it.


# %%
def send_back_forgetful(v, arriving=1.0):
    v.grad = arriving  # the mistake: the second arrival overwrites the first
    for u, slope in zip(v.inputs, v.slopes):
        send_back_forgetful(u, arriving * slope)


right, wrong = Value(3.0), Value(3.0)
send_back(right * right)
send_back_forgetful(wrong * wrong)
print(f"with +=: {right.grad}    with =: {wrong.grad}")
assert (right.grad, wrong.grad) == (6.0, 3.0)

# %% [markdown]
# ## Why an order is needed
#
# `send_back` is right, and useless. It follows every **way** through the graph on its own, and ways
# multiply: after `y = y + y` there are two to each one before. Here are its visits, counted.


# %%
def visits(v):
    return 1 + sum(visits(u) for u in v.inputs)


y = Value(1.0)
for n in range(1, 17):
    y = y + y
    if n % 4 == 0:
        print(f"{n:2} additions: {len(tape(y)):2} values, {visits(y):6} visits")
assert visits(y) == 2**17 - 1

# %% [markdown]
# Sixteen additions, a hundred thousand visits; a hundred additions would outlast the sun. We must
# visit each value **once**. But when? A value may hand on its gradient only when it is complete:
# after all who used it have paid in. See what happens if we simply take them as they come, nearest
# to the loss first:


# %%
def first_come_first_served(loss):
    loss.grad = 1.0
    queue, seen = deque([loss]), {loss}
    while queue:
        v = queue.popleft()
        for u, slope in zip(v.inputs, v.slopes):
            u.grad += v.grad * slope
            if u not in seen:
                seen.add(u)
                queue.append(u)


# %% [markdown]
# The test is `L = a · tanh(a)` with `a = w · x`. The value `a` is used by the product and by
# `tanh`. Is the gradient of `w` going to be right?


# %%
def example():
    w, x = Value(0.5, label="w"), Value(1.5, label="x")
    a = w * x
    return a * tanh(a), w


L, w = example()
first_come_first_served(L)
early = w.grad
show(picture(L), "too_early", "The box of a is complete, but it paid w before tanh paid in.")

L, w = example()
send_back(L)
print(f"first come, first served: {early:.6f}    right: {w.grad:.6f}")
assert abs(early - w.grad) > 0.1

# %% [markdown]
# The picture shows the cure. Every arrow points to the right, for a value can only be made from
# what is there already. So walk the tape **from right to left**: who reads `a` stands to the right
# of `a`, and has paid in before `a` has its turn. The tickets are all that we need.


# %%
def backward(loss):
    """Fill in .grad of all values that the loss was computed from."""
    loss.grad = 1.0
    for v in reversed(tape(loss)):
        for u, slope in zip(v.inputs, v.slopes):
            u.grad += v.grad * slope


L, w2 = example()
backward(L)
print(f"from right to left: {w2.grad:.6f}")
assert abs(w2.grad - w.grad) < 1e-15

# %% [markdown]
# That is **backpropagation**, all of it. `Value`, four operations, `tape` and `backward`, and the
# picture too: fewer than sixty lines of code.
#
# ## Your first recurrent network
#
# A recurrent network reads one number after another, and keeps a **state** `s`. Each step mixes the
# old state with the new input, always with the same weight `w`:
#
# ```math
# sₜ = tanh(w · sₜ₋₁ + xₜ)
# ```
#
# In Python that is a loop, and our machine needs no new line for it.


# %%
def recurrent(w, s, xs, target, tanh):
    for t, x in enumerate(xs, 1):
        with tg.timestep(t):  # a label for the real one, below; our machine ignores it
            s = tanh(w * s + x)
    d = s - target
    return d * d


w, s0 = Value(0.8, label="w"), Value(0.5, label="s₀")
xs = [Value(data, label=f"x{t}") for t, data in enumerate((0.3, -0.6, 0.9), 1)]
L = recurrent(w, s0, xs, Value(1.0, label="target"), tanh)
backward(L)
show(picture(L), "recurrent", "Three long arrows leave w, one to each time step.")

# %% [markdown]
# You have just unrolled a recurrent network and differentiated it through time. Look at `w`: it is
# used three times, so it collects three terms. Here they are, one for each time step.

# %%
products = [v for v in tape(L) if w in v.inputs]
terms = [v.grad * v.slopes[0] for v in products]
for t, term in enumerate(terms, 1):
    print(f"what time step {t} adds to ∂L/∂w: {term:+.6f}")
print(f"their sum, ∂L/∂w:               {w.grad:+.6f}")
assert abs(sum(terms) - w.grad) < 1e-15

# %% [markdown]
# What is a gradient good for? Step against it, and the loss falls. Thirty times:

# %%
weight = 0.8
for step in range(31):
    w = Value(weight)
    inputs = [Value(u.data) for u in xs]
    loss = recurrent(w, Value(0.5), inputs, Value(1.0), tanh)
    backward(loss)
    if step % 10 == 0:
        print(f"step {step:2}: w = {weight:+.4f}, L = {loss.data:.6f}")
    weight -= 2.0 * w.grad
assert loss.data < 0.02 < L.data

# %% [markdown]
# ## The real one
#
# `tinygradrnn` is this machine, grown up: its numbers are arrays, its operations many, and it runs
# on a GPU too. The idea is the same to the last detail: nodes that remember their inputs, a ticket
# for each, one walk back. Our loop does not even notice the difference.


# %%
def leaf(number, name):
    return tg.tensor(number, requires_grad=True, name=name, dtype="float64")


w, s0 = leaf(0.8, "w"), leaf(0.5, "s_0")
inputs = [leaf(u.data, f"x_{t}") for t, u in enumerate(xs, 1)]
loss = recurrent(w, s0, inputs, leaf(1.0, "target"), F.tanh)
loss.backward()
print(f"ours: L = {L.data:.12f}, ∂L/∂w = {sum(terms):+.12f}")
print(f"real: L = {loss.item():.12f}, ∂L/∂w = {w.grad.item():+.12f}")
assert abs(w.grad.item() - sum(terms)) < 1e-12

# %% [markdown]
# Not only the end agrees. Both machines walked through the same values and the same gradients. Our
# tape beside the events of the real walk:

# %%
events = {event.node: event.gradient.item() for event in tg.Graph(loss).backward_events()}
print("ours            value   gradient | the real one    value   gradient")
for v, node in zip(tape(L), tg.Graph(loss).nodes):
    print(f"{v.label:8} {v.data:12.6f} {v.grad:10.6f} | ", end="")
    print(f"{node.label:8} {node.value.item():12.6f} {events[node]:10.6f}")
    assert abs(v.data - node.value.item()) < 1e-12
    assert abs(v.grad - events[node]) < 1e-12

# %% [markdown]
# It also draws. Once more, and this time only `w` is to be learned: the other numbers are given.
# Time runs from left to right. The shared weight is a rail with a tap at every step; the numbers at
# the taps are the sizes of our three terms.

# %%
given = [tg.tensor(u.data, name="x") for u in xs]
loss = recurrent(w, tg.tensor(0.5, name="s_0"), given, tg.tensor(1.0, name="target"), F.tanh)
show(
    tg.draw(loss, values=True, gradients=True),
    "real",
    "The same graph: the taps of w carry the three terms, the state edges what flows back.",
)
real = tg.Graph(loss).contributions(w)
assert all(abs(real[t] - term) < 1e-7 for t, term in enumerate(terms, 1))

# %% [markdown]
# And it lets you walk. Open the page and press the right arrow: values appear one by one; at the
# loss the walk turns round, and `∂L/∂w` grows by one term at each step. The key **b** jumps to the
# turn.

# %%
show(tg.step_through(loss), "walk", "The right arrow key steps, b jumps to the walk back.")

# %% [markdown] tags=["exercise"]
# **Exercise 1.** Give our machine `exp` and a division, and build the sigmoid `σ(a) = 1 / (1 +
# exp(−a))` of them. Its derivative should come out as `σ(a) · (1 − σ(a))`.
#
# *Hint:* a division has two slopes, `∂(a/b)/∂a = 1/b` and `∂(a/b)/∂b = −a/b²`.


# %% tags=["solution"]
def exp(a):
    y = math.exp(a.data)
    return Value(y, (a,), (y,), "exp")


def divide(a, b):
    return Value(a.data / b.data, (a, b), (1 / b.data, -a.data / b.data**2), "÷")


a = Value(0.7)
one, zero = Value(1.0), Value(0.0)
sigmoid = divide(one, one + exp(zero - a))
backward(sigmoid)
print(sigmoid.data, a.grad)
assert abs(a.grad - sigmoid.data * (1 - sigmoid.data)) < 1e-15

# %% [markdown] tags=["exercise"]
# **Exercise 2.** The gradient is a sum over all ways from the loss to the input; on each way the
# slopes multiply. Write a function that lists the ways (as products of slopes), and check it on `x
# · x · x + x` at `x = 2`. How many ways are there, and what does each contribute?
#
# *Hint:* the ways from `v` are those from each of its inputs, times the slope in between.


# %% tags=["solution"]
def ways(v, to):
    if v is to:
        return [1.0]
    return [slope * way for u, slope in zip(v.inputs, v.slopes) for way in ways(u, to)]


x = Value(2.0)
y = x * x * x + x
backward(y)
print(ways(y, x), "add up to", x.grad)
assert ways(y, x) == [4.0, 4.0, 4.0, 1.0]
assert sum(ways(y, x)) == x.grad == 3 * 2.0**2 + 1

# %% [markdown] tags=["exercise"]
# **Exercise 3.** `backward` adds to `.grad`, never clears it. Call it twice on `y = x · x · x` at
# `x = 2`. The derivative is 12; do you expect 24? Explain what you see, and write a `zero_grad(y)`
# that makes the second call right. (In the real one, too, `.grad` adds up until it is cleared.)
#
# *Hint:* look at `picture(y)` after each call, at the box in the middle.


# %% tags=["solution"]
def zero_grad(loss):
    for v in tape(loss):
        v.grad = 0.0


x = Value(2.0)
y = x * x * x
backward(y)
once = x.grad
backward(y)
print(f"once {once}, twice without clearing {x.grad}")
assert (once, x.grad) == (12.0, 32.0)  # x · x still had its 2 of the first walk, and sent 4
zero_grad(y)
backward(y)
assert x.grad == once

# %% [markdown]
# ## What to read next
#
# - **02 · Arrays** does the same with whole arrays, and finds out when a gradient rule is wrong.
# - Atilim Güneş Baydin and others, *Automatic differentiation in machine learning: a survey*, 2018.
# - Andreas Griewank and Andrea Walther, *Evaluating Derivatives*, 2008: the standard work.
# - David Rumelhart, Geoffrey Hinton and Ronald Williams, *Learning representations by
#   back-propagating errors*, 1986: four pages, very readable.
# - Andrej Karpathy, *The spelled-out intro to neural networks and backpropagation: building
#   micrograd*, 2022: a lecture on film, which builds such a machine.
# - To play: write any formula of `+`, `−`, `×` and `tanh`, and look at `picture(L)` beside
#   `tg.draw(…)` of the same formula.
