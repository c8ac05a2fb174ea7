"""Structures of tensors: (named) tuples, lists and dicts, taken apart and put together again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinygradrnn.tensors import Tensor

HOLE = object()
"""Stands in a template for a tensor."""


def tensors_of(tree: Any) -> Iterator[Tensor]:
    """The tensors in a structure, in order."""
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, tuple | list):
        for part in tree:
            yield from tensors_of(part)
    elif isinstance(tree, dict):
        for part in tree.values():
            yield from tensors_of(part)


def template_of(tree: Any, tensors: list[Tensor]) -> Any:
    """The structure with holes for its tensors, which are added to a list in order."""
    if isinstance(tree, Tensor):
        tensors.append(tree)
        return HOLE
    if isinstance(tree, dict):
        return {key: template_of(part, tensors) for key, part in tree.items()}
    if isinstance(tree, tuple | list):
        return like(tree, [template_of(part, tensors) for part in tree])
    return tree


def filled(template: Any, tensors: Iterator[Any]) -> Any:
    """The structure with tensors in its holes, in order."""
    if template is HOLE:
        return next(tensors)
    if isinstance(template, dict):
        return {key: filled(part, tensors) for key, part in template.items()}
    if isinstance(template, tuple | list):
        return like(template, [filled(part, tensors) for part in template])
    return template


def like(tree: tuple[Any, ...] | list[Any], parts: list[Any]) -> Any:
    """A tuple, named tuple or list of the same kind with other parts."""
    return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
