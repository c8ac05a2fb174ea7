"""Operations in the order of their calls, as loops over rows.

A nest does several operations on one row before it goes to the next: a row is in the cache when
the next operation reads it. Within a row each operation has an inner loop of its own, which
compilers turn into vector instructions; what is computed in place shares one (a line).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from tinygradrnn.compiler.fused.reading import NUMBERED, Layout, Operation, Shape

CHUNK = 2048  # elements of a row where rows have no gaps
Relation = Literal["apart", "same", "row", "mixed"]
SIZES = {name: np.dtype(name).itemsize for name in ("float32", "float64", "int64", "bool")}


class Place(NamedTuple):
    """Where the rows of an operand are: the first address, bytes to the next row, and of a row."""

    address: int
    row: int
    width: int


class Spot(NamedTuple):
    """An operand of an operation, both by number."""

    operation: int
    operand: int


@dataclass
class Line:
    """Operations that share an inner loop: each but the first works on what the one before gave."""

    shapes: list[Shape]
    spots: list[tuple[Spot, ...]]


@dataclass
class Nest:
    """Lines over the same number of rows.

    ``views``: the different operands, by where they are and how they are read, each with all of
    its spots; ``flat``: the rows have no gaps, and are cut anew.
    """

    rows: int
    lines: list[Line] = field(default_factory=list)
    places: list[tuple[Place, bool]] = field(default_factory=list)
    views: dict[tuple[Place, bool, str], list[Spot]] = field(default_factory=dict)
    flat: bool = True

    @property
    def total(self) -> int:
        """Elements of a flat nest."""
        return self.rows * self.lines[0].shapes[0].columns


def places(shape: Shape, addresses: Sequence[int]) -> list[Place]:
    """Where the operands of an operation are."""
    found = []
    for k, (layout, address) in enumerate(zip(shape.layouts, addresses, strict=True)):
        size = SIZES[layout.dtype]
        row, width = layout.row, (1 if layout.point else shape.columns) * size
        if shape.inner and k == 0:
            width = (shape.inner - 1) * layout.step + size
        elif shape.inner and k == 1:  # the whole matrix, for each row
            width = (shape.inner - 1) * row + (shape.columns - 1) * layout.step + size
            row = 0
        found.append(Place(address, row, width))
    return found


def relation(a: Place, b: Place, rows: int) -> Relation:
    """How rows of one operand meet those of another; "row": only those of the same number do."""
    if ends(a, rows) <= b.address or ends(b, rows) <= a.address:
        return "apart"
    if a == b and (rows == 1 or a.row >= a.width):
        return "same"
    if rows == 1:
        return "row"
    step = a.row
    if step != b.row or step <= 0:
        return "mixed"
    offset = (b.address - a.address) % step
    if offset >= a.width and offset + b.width <= step:
        return "apart"
    if b.address + b.width <= a.address + step and a.address + a.width <= b.address + step:
        return "row"
    return "mixed"


def ends(place: Place, rows: int) -> int:
    """The first address after an operand."""
    return place.address + (rows - 1) * place.row + place.width


def safe(shape: Shape, where: list[Place]) -> bool:
    """Whether an operation may be done element by element: it reads nothing it has written."""
    if shape.name in NUMBERED:
        return True  # never in place
    *inputs, out = where
    if any(place.row < 0 for place in where):
        return False
    for place, layout in zip(inputs, shape.layouts, strict=False):
        how = relation(place, out, shape.rows)
        in_place = how == "same" and layout.point == shape.layouts[-1].point
        if how != "apart" and not (in_place and elementwise(shape)):
            return False
    return shape.rows == 1 or out.row >= out.width


def nests_of(operations: Sequence[Operation], whole: bool = True) -> list[Nest]:
    """The operations as nests, in their order; only with ``whole`` may rows be cut anew."""
    found: list[Nest] = []
    for k, operation in enumerate(operations):
        if not (found and join(found[-1], k, operation)):
            found.append(Nest(operation.shape.rows))
            add(found[-1], k, operation.shape, operation.addresses)
    for nest in found:
        nest.flat = whole and is_flat(nest)
    return found


def in_rows(operations: Sequence[Operation], rows: int) -> list[Operation] | None:
    """The same operations, all of that many rows; None if one cannot be."""
    found = []
    for operation in operations:
        shape = operation.shape
        if shape.rows != rows:
            if not shape.flat or shape.rows * shape.columns % rows:
                return None
            shape = cut(shape, rows)
        found.append(operation._replace(shape=shape))
    return found


def join(nest: Nest, k: int, operation: Operation) -> bool:
    """Add an operation to a nest if row by row gives the same."""
    shape = operation.shape
    if "product" in (shape.name, nest.lines[0].shapes[0].name):
        return False
    if shape.rows != nest.rows:
        if not shape.flat or shape.rows * shape.columns % nest.rows:
            return False
        shape = cut(shape, nest.rows)
    where = places(shape, operation.addresses)
    for mine, (other, writes) in ((m, o) for m in enumerate(where) for o in nest.places):
        number, place = mine
        if (writes or number == len(where) - 1) and relation(place, other, nest.rows) == "mixed":
            return False
    add(nest, k, shape, operation.addresses)
    return True


def cut(shape: Shape, rows: int) -> Shape:
    """A shape without gaps, in another number of rows."""
    columns = shape.rows * shape.columns // rows
    layouts = []
    for layout in shape.layouts:
        uniform = layout.point  # without gaps: one element for all
        row = 0 if uniform else columns * SIZES[layout.dtype]
        layouts.append(Layout(row, uniform, layout.dtype))
    return shape._replace(rows=rows, columns=columns, layouts=tuple(layouts))


def add(nest: Nest, k: int, shape: Shape, addresses: Sequence[int]) -> None:
    """Put an operation into the last line, or into a new one."""
    where = places(shape, addresses)
    spots = tuple(Spot(k, number) for number in range(len(where)))
    for number, (place, layout) in enumerate(zip(where, shape.layouts, strict=True)):
        view = (place, layout.point, layout.dtype)
        nest.views.setdefault(view, []).append(spots[number])
        nest.places.append((place, number == len(where) - 1))
    if nest.lines and continues(nest.lines[-1], nest, shape, where):
        nest.lines[-1].shapes.append(shape)
        nest.lines[-1].spots.append(spots)
    else:
        nest.lines.append(Line([shape], [spots]))


def continues(line: Line, nest: Nest, shape: Shape, where: list[Place]) -> bool:
    """Whether an operation works in place on what a line gives."""
    last = line.shapes[-1]
    if shape.columns != last.columns or not (elementwise(shape) and elementwise(last)):
        return False
    if shape.layouts[-1] != last.layouts[-1]:
        return False
    out = next(p for (p, _, _), spots in nest.views.items() if line.spots[-1][-1] in spots)
    if out != where[-1]:
        return False
    reads = False
    for place, layout in zip(where[:-1], shape.layouts, strict=False):
        how = relation(place, out, nest.rows)
        if how == "same" and layout == shape.layouts[-1]:
            reads = True
        elif how != "apart":
            return False
    return reads


def elementwise(shape: Shape) -> bool:
    """Whether each element is computed from one of each operand."""
    return not shape.inner and not shape.name.startswith("row")


def is_flat(nest: Nest) -> bool:
    """Whether all rows of all operands could be one."""
    shapes = [shape for line in nest.lines for shape in line.shapes]
    if not all(s.flat and elementwise(s) and s.columns == shapes[0].columns for s in shapes):
        return False
    return all(
        relation(a, b, nest.rows) in ("apart", "same")
        for a, wrote in nest.places
        if wrote
        for b, _ in nest.places
    )
