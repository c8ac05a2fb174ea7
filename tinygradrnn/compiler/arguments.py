"""What a compiled function is given and what it returns: structures of arrays and plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from inspect import signature as parameters_of
from typing import Any

import numpy as np

from tinygradrnn.arrays import to_array
from tinygradrnn.compiler.capture import CaptureError
from tinygradrnn.nn.modules import Parameter
from tinygradrnn.recording import Array, Leaf
from tinygradrnn.tensors import Tensor
from tinygradrnn.trees import like, template_of, tensors_of

Signature = tuple[Any, ...]
RETURNED = (Tensor, type(None), bool, int, float, str, np.generic)


@dataclass
class Given:
    """The arrays among the arguments of a call, in order.

    ``leaves``: those that are tensors which require a gradient, by position. ``host``: the
    positions of NumPy's arrays that were given as such, which go to the active backend.
    """

    arrays: list[Array] = field(default_factory=list)
    leaves: dict[int, Leaf] = field(default_factory=dict)
    host: set[int] = field(default_factory=set)


def signature(value: Any, given: Given) -> Signature:
    """What kind of argument this is; its arrays are added to the given ones."""
    if isinstance(value, Parameter):
        return ("parameter", value.node)
    if isinstance(value, Tensor):
        node = value.node
        if node.requires_grad:
            if not isinstance(node, Leaf):
                raise CaptureError(
                    f"a compiled function was given {node.describe()}, which has a graph: no "
                    "gradient would flow back into it. Give x.detach(), or compile the function "
                    "that computes it together with this one"
                )
            given.leaves[len(given.arrays)] = node
        given.arrays.append(node.value)
        return ("array", value.shape, value.dtype, type(node.value), node.requires_grad)
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        array = to_array(value)
        if isinstance(array, np.ndarray):
            given.host.add(len(given.arrays))
        given.arrays.append(array)
        return ("array", array.shape, array.dtype, type(array), False)
    if isinstance(value, tuple | list):
        return (type(value), *[signature(part, given) for part in value])
    if isinstance(value, dict):
        return (dict, *[(key, signature(part, given)) for key, part in value.items()])
    if isinstance(value, float):
        return (float, value.hex())  # NaN is NaN, and -0.0 is not 0.0
    try:
        hash(value)
    except TypeError:
        raise CaptureError(
            f"a compiled function was given a {type(value).__name__}, which cannot be compared "
            "from call to call (it has no hash). Give arrays, numbers, strings, and tuples, lists "
            "and dicts of them"
        ) from None
    return (type(value), value)


def opened(value: Any, leaves: Iterator[Leaf]) -> Any:
    """The same structure with a leaf for each of its arrays, in order."""
    if isinstance(value, Parameter):
        return value
    if isinstance(value, Tensor) or (hasattr(value, "dtype") and hasattr(value, "shape")):
        return Tensor(next(leaves))
    if isinstance(value, dict):
        return {key: opened(part, leaves) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return like(value, [opened(part, leaves) for part in value])
    return value


def name_arguments(
    function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    """Call the leaves among the arguments as the function does, for pictures."""
    with suppress(TypeError, ValueError):  # no signature, or one that they do not fit
        for name, value in parameters_of(function).bind(*arguments, **options).arguments.items():
            for tensor in tensors_of(value):
                if not isinstance(tensor, Parameter):
                    tensor.node.name = name


def result_template(result: Any, tensors: list[Tensor]) -> Any:
    """What is returned, with holes for its tensors, which are added to a list in order."""
    _check_result(result)
    return template_of(result, tensors)


def _check_result(result: Any) -> None:
    if isinstance(result, dict):
        result = tuple(result.values())
    if isinstance(result, tuple | list):
        for part in result:
            _check_result(part)
    elif not isinstance(result, RETURNED):
        raise CaptureError(
            f"a compiled function returned a {type(result).__name__}, which would be the same "
            "object at every call; return tensors, in tuples, lists and dicts where there are "
            "several (of a recurrent layer for example `output.y, output.state`)"
        )
