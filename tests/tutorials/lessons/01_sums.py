# %% [markdown]
# # 01 · A sum, and `x < y`
#
# A lesson for the tests: it has one of everything. You need nothing, and it takes 10 minutes.

# %%
import numpy as np
from matplotlib.figure import Figure

import tinygradrnn as tg
from tinygradrnn import nn
from tinygradrnn.course import show

# %% [markdown]
# ## A gradient & its formula
#
# The loss is the sum of `x²`, so that ∂L/∂x is twice `x`; see *also* [the next one](02_steps.py).
#
# ```math
# L = Σₖ xₖ²
# ∂L/∂xₖ = 2 xₖ   <b>
# ```
#
# | x | x² |
# |---|---|
# | 1 | 1 |
# | 2 | 4 |

# %%
x = tg.tensor([1.0, 2.0], requires_grad=True)
loss = (x * x).sum()
loss.backward()
print("gradient <of x>:", x.grad.numpy())
assert np.allclose(x.grad.numpy(), 2 * x.numpy())

# %% [markdown]
# ## Pictures
#
# First a graph, then a plot as the last expression of its cell.

# %%
rnn = nn.RNN(nn.ElmanCell(2, 3))
unrolled = rnn(np.ones((1, 3, 2))).last.sum()
show(tg.draw(unrolled, level="cell", gradients=True), "unrolled", 'The "tap" of each step & more.')

# %%
figure = Figure((5, 3))
figure.subplots().plot([1, 4, 9], label="squares")
figure.axes[0].set_title("Squares")
figure  # noqa: B018, what a notebook would display

# %%
show(tg.step_through(loss), "page", "Step through it.")

# %%
x.grad.numpy().sum()

# %% [markdown]
# ## Exercises

# %% [markdown] tags=["exercise"]
# **Exercise 1.** What is the gradient of the sum of `x³`?

# %% tags=["solution"]
x.grad = None
(x * x * x).sum().backward()
print("solved:", x.grad.numpy())
assert np.allclose(x.grad.numpy(), 3 * x.numpy() ** 2)

# %% [markdown]
# ## What to read next
#
# Nothing.
