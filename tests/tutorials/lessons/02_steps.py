# %% [markdown]
# # 02 · Steps
#
# A second lesson. It takes 5–10 minutes.

# %%
import random

import numpy as np

import tinygradrnn as tg
from tinygradrnn import nn

print(random.random(), np.random.random(), nn.Linear(1, 1).W.numpy().item(), tg.get_backend().name)

# %% [markdown]
# ## What to read next
#
# Nothing.
