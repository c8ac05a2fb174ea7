"""Stepping through a graph, forward and backward."""

from tinygradrnn.stepper.page import StepThrough as StepThrough
from tinygradrnn.stepper.page import step_through as step_through
