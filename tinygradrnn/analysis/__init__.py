"""Vanishing and exploding gradients, measured: numbers first, ``.plot()`` second."""

from tinygradrnn.analysis.contributions import (
    ContributionTable,
    contribution_table,
)
from tinygradrnn.analysis.flows import (
    GradientFlow,
    GradientHistory,
    gradient_flow,
)
from tinygradrnn.analysis.jacobians import (
    GradientBound,
    JacobianProducts,
    StateJacobians,
    gradient_bound,
    jacobian_products,
    state_jacobians,
)
from tinygradrnn.analysis.recurrences import (
    ScalarRecurrence,
    scalar_recurrence,
)
from tinygradrnn.analysis.surfaces import (
    LossSurface,
    loss_surface,
)

__all__ = [
    "ContributionTable",
    "GradientBound",
    "GradientFlow",
    "GradientHistory",
    "JacobianProducts",
    "LossSurface",
    "ScalarRecurrence",
    "StateJacobians",
    "contribution_table",
    "gradient_bound",
    "gradient_flow",
    "jacobian_products",
    "loss_surface",
    "scalar_recurrence",
    "state_jacobians",
]
