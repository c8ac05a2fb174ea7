# %% [markdown]
# # An LSTM whose gates are set by hand
#
# A memory cell with three switches, after the worked example of note set 004. Each step brings
# three numbers:
#
# - `x1` is a value,
# - `x2 = 1` adds it to the memory, `x2 = -1` resets the memory, `x2 = 0` leaves it alone,
# - `x3 = 1` lets the memory out; otherwise the output is 0.
#
# Nothing is trained. The weights are written down, so that one can see what a gate does.

# %%
import numpy as np

import tinygradrnn as tg
from tinygradrnn import nn

# %% [markdown]
# ## The weights
#
# A gate is σ(z). At z = ±10 it is open or closed but for 0.00005, so a weight of 100 and a bias of
# ±10 make a switch:
#
# | gate | | x2 = -1 | x2 = 0 | x2 = 1 |
# |---|---|---|---|---|
# | input | i = σ(100 x2 − 10) | closed | closed | open |
# | forget | f = σ(100 x2 + 10) | closed | open | open |
#
# The output gate does with x3 what the input gate does with x2: o = σ(100 x3 − 10). The candidate
# is the value itself, g = x1, and there are no recurrent weights. With `activation="linear"` both
# the candidate and the memory go through unchanged: c = f c + i g, h = o c.


# %%
def memory_cell() -> nn.LSTMCell:
    """One unit: x2 writes or resets, x3 reads."""
    cell = nn.LSTMCell(input_size=3, hidden_size=1, activation="linear")
    cell.W_h = np.zeros((1, 4))  # for i, f, g and o
    cell.W_xi, cell.b_i = [[0.0], [100.0], [0.0]], [-10.0]
    cell.W_xf, cell.b_f = [[0.0], [100.0], [0.0]], [10.0]
    cell.W_xg, cell.b_g = [[1.0], [0.0], [0.0]], [0.0]
    cell.W_xo, cell.b_o = [[0.0], [0.0], [100.0]], [-10.0]
    return cell


rnn = nn.RNN(memory_cell())

# %% [markdown]
# ## The table of nine inputs
#
# The memory at the end of every step is `state.c`; stepping through the cell shows it.


# %%
def run(steps: list[tuple[int, int, int]]) -> list[float]:
    """Print a line for every step, and return the outputs."""
    state = None
    outputs = []
    print("  x1  x2  x3 | memory      y")
    for x1, x2, x3 in steps:
        y, state = rnn.cell([[float(x1), float(x2), float(x3)]], state)
        outputs.append(y.item())
        print(f"{x1:4} {x2:3} {x3:3} | {state.c.item():6.2f} {y.item():6.2f}")
    return outputs


table = [(1, 0, 0), (3, 1, 0), (2, 0, 0), (4, 1, 0), (2, 0, 0), (1, 0, 1), (3, -1, 0), (6, 1, 0)]
y = run([*table, (1, 0, 1)])
assert np.allclose(y, [0, 0, 0, 0, 0, 7, 0, 0, 6], atol=1e-2)

# %% [markdown]
# 3 and 4 are written and make 7, which is read at the sixth step and still there afterwards; the
# seventh step resets the memory, and 6 is written and read. The other sequence of the notes:

# %%
y = run([(3, 1, 0), (4, 1, 0), (2, 0, 0), (1, 0, 1), (3, -1, 0)])
assert np.allclose(y, [0, 0, 0, 7, 0], atol=1e-2)

# %% [markdown]
# ## What the gradient sees
#
# Where the forget gate is open, the gradient passes it all but unchanged, step after step: that is
# what the LSTM was made for. Write 3 at the first step, wait, and read after a hundred steps. The
# output grows by 1 for each 1 that is written. What came in while the input gate was closed hardly
# counts.

# %%
x = np.zeros((1, 100, 3))
x[0, 0] = 3, 1, 0
x[0, -1, 2] = 1
inputs = tg.tensor(x, requires_grad=True)
rnn(inputs).last.sum().backward()
written, ignored = inputs.grad.numpy()[0, [0, 50], 0]
print(f"∂y_100/∂x1 at step 1: {written:.3f}, at step 51: {ignored:.6f}")
assert abs(written - 1) < 1e-2 and abs(ignored) < 1e-3
