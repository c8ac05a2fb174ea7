"""Stepping through a graph, forward and backward."""
