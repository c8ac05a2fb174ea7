"""Vanishing and exploding gradients, measured: numbers first, ``.plot()`` second."""

from tinygradrnn.analysis.characters import CharacterTable
from tinygradrnn.analysis.contributions import (
    ContributionTable,
    contribution_table,
)
from tinygradrnn.analysis.flows import (
    GradientFlow,
    gradient_flow,
)
from tinygradrnn.analysis.gates import GateActivity, gate_activity
from tinygradrnn.analysis.histories import GradientHistory
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
    descent_path,
    loss_surface,
)

__all__ = [
    "CharacterTable",
    "ContributionTable",
    "GateActivity",
    "GradientBound",
    "GradientFlow",
    "GradientHistory",
    "JacobianProducts",
    "LossSurface",
    "ScalarRecurrence",
    "StateJacobians",
    "contribution_table",
    "descent_path",
    "gate_activity",
    "gradient_bound",
    "gradient_flow",
    "jacobian_products",
    "loss_surface",
    "scalar_recurrence",
    "state_jacobians",
]
