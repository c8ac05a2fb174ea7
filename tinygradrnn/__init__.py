"""Recurrent networks as explicit computation graphs: see, step through, measure, train."""

from tinygradrnn import analysis as analysis
from tinygradrnn import functional as functional
from tinygradrnn import nn as nn
from tinygradrnn import optim as optim
from tinygradrnn import testing as testing
from tinygradrnn.backend import (
    Backend,
    BackendUnavailableError,
    MixedBackendError,
    UnknownBackendError,
    available_backends,
    backend_scope,
    get_backend,
    use_backend,
)
from tinygradrnn.checkpoint import (
    CheckpointError,
    load,
    save,
)
from tinygradrnn.checks import (
    GradientCheckError,
    check_gradients,
    debug,
)
from tinygradrnn.compiler.capture import (
    CaptureError,
)
from tinygradrnn.compiler.checking import (
    CompileMismatchError,
)
from tinygradrnn.compiler.compiled import (
    compile,
)
from tinygradrnn.drawing import (
    Drawing,
    draw,
)
from tinygradrnn.gradients import (
    grad,
    hessian_vector_product,
    jacobian,
)
from tinygradrnn.graph import (
    Graph,
)
from tinygradrnn.ledgers import (
    StaleGraphError,
)
from tinygradrnn.ops import (
    NonFiniteError,
)
from tinygradrnn.recomputing import (
    recompute,
)
from tinygradrnn.recording import (
    Node,
    no_grad,
    scope,
    timestep,
)
from tinygradrnn.seeds import (
    manual_seed,
)
from tinygradrnn.stepper import (
    StepThrough,
    step_through,
)
from tinygradrnn.tensors import (
    Tensor,
    tensor,
)

__version__ = "0.1.0"

__all__ = [
    "Backend",
    "BackendUnavailableError",
    "CaptureError",
    "CheckpointError",
    "CompileMismatchError",
    "Drawing",
    "GradientCheckError",
    "Graph",
    "MixedBackendError",
    "Node",
    "NonFiniteError",
    "StaleGraphError",
    "StepThrough",
    "Tensor",
    "UnknownBackendError",
    "analysis",
    "available_backends",
    "backend_scope",
    "check_gradients",
    "compile",
    "debug",
    "draw",
    "functional",
    "get_backend",
    "grad",
    "hessian_vector_product",
    "jacobian",
    "load",
    "manual_seed",
    "nn",
    "no_grad",
    "optim",
    "recompute",
    "save",
    "scope",
    "step_through",
    "tensor",
    "testing",
    "timestep",
    "use_backend",
]
