"""What is compiled, and how it is translated; Numba has to be installed."""
