"""What is compiled by Numba, which has to be installed."""
