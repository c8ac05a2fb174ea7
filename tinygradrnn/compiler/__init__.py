"""From a function to a plan: capture, roll, simplify, schedule, lower, run."""
