"""States: a tensor, or a (named) tuple of states."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tinygradrnn.tensors import Tensor

State = Any  # Tensor | tuple[State, ...] | a named tuple of states


def map_state(f: Callable[..., Any], state: State, *others: State) -> State:
    """Apply ``f`` to the tensors of states of the same structure; the structure is kept."""
    if not isinstance(state, tuple):
        return f(state, *others)
    parts = [map_state(f, *same) for same in zip(state, *others, strict=True)]
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def named_tensors(state: State, prefix: str = "s") -> Iterator[tuple[str, Tensor]]:
    """The tensors of a state with the names that drawings use: fields, or s, s1, s2 and so on."""
    if not isinstance(state, tuple):
        yield prefix, state
        return
    fields = getattr(state, "_fields", None)
    for position, part in enumerate(state):
        yield from named_tensors(part, fields[position] if fields else f"{prefix}{position + 1}")


def name_nodes(state: State, name: str = "s") -> None:
    """Give the tensors of a state their names, unless they have one."""
    if not isinstance(state, tuple):
        node = state.node
        if node.name is None:
            node.name = name
        return
    names = getattr(state, "_fields", None) or [f"{name}{k + 1}" for k in range(len(state))]
    for part_name, part in zip(names, state, strict=True):
        name_nodes(part, part_name)


def detach(state: State) -> State:
    """The same state cut from the graph: truncated BPTT carries values on, not gradients.

    Parameters
    ----------
    state : Tensor, (named) tuple of states, or None
        For example the ``state`` that a recurrent layer returned; None before the first window.
    """
    return None if state is None else map_state(lambda tensor: tensor.detach(), state)


def describe(state: State) -> str:
    """The structure and shapes of a state, for messages."""
    if isinstance(state, tuple):
        inner = ", ".join(describe(part) for part in state)
        name = type(state).__name__ if hasattr(state, "_fields") else ""
        return f"{name}({inner})"
    if isinstance(state, Tensor):
        return str(state.shape)
    kind = type(state).__name__
    return f"{kind} {state.shape}" if hasattr(state, "shape") else kind


def alike(state: State, expected: State) -> bool:
    """Whether two states have the same structure and shapes."""
    if isinstance(expected, tuple):
        return (
            isinstance(state, tuple)
            and len(state) == len(expected)
            and all(alike(s, e) for s, e in zip(state, expected, strict=True))
        )
    return hasattr(state, "dtype") and state.shape == expected.shape


def same_structure(state: State, expected: State) -> bool:
    """Whether two states are tensors in the same (named) tuples."""
    if isinstance(expected, tuple):
        return (
            isinstance(state, tuple)
            and len(state) == len(expected)
            and all(same_structure(s, e) for s, e in zip(state, expected, strict=True))
        )
    return isinstance(state, Tensor)
