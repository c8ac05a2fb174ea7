"""The source of a kernel: nests as Python that Numba compiles.

A kernel has one argument, a table of integers: numbers of rows and columns, and where each operand
is. So it serves the same operations on arrays of any size, at any place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from tinygradrnn.compiler.fused.expressions import EXPRESSIONS
from tinygradrnn.compiler.fused.nests import CHUNK, SIZES, Line, Nest, Spot, elementwise
from tinygradrnn.compiler.fused.reading import Shape

HEAD = '''"""A kernel that tinygradrnn made; it is made again when it is missing."""

from tinygradrnn.compiler.fused.runtime import *


@kernel
def run(table):
    a = int64_at(table)
'''


class Kernel(NamedTuple):
    """A source and its table.

    ``spots``: where in the table the addresses of operands are, with the operands that are there;
    where there are turns, what follows each is by how much it moves on in a turn. ``threads``: of
    a GPU, one for each element.
    """

    text: str
    table: list[int]
    spots: list[tuple[int, list[Spot]]]
    threads: int = 0


def write(nests: Sequence[Nest], turns: bool = False) -> Kernel:
    """A kernel that does nests one after the other; with ``turns`` again and again."""
    made = Writer(turns)
    for nest in nests:
        made.nest(nest)
    return Kernel(HEAD + "\n".join(made.text) + "\n", made.table, made.spots)


class Writer:
    """The text of a kernel while it is written."""

    def __init__(self, turns: bool) -> None:
        self.turns = turns
        self.text = ["    for t in range(a[0]):"] if turns else []
        self.table: list[int] = [1] if turns else []
        self.spots: list[tuple[int, list[Spot]]] = []

    def number(self, value: int) -> str:
        """A number of the table."""
        self.table.append(value)
        return f"a[{len(self.table) - 1}]"

    def line(self, depth: int, text: str) -> None:
        self.text.append("    " * (depth + 1 + self.turns) + text)

    def nest(self, nest: Nest) -> None:
        rows = -(-nest.total // CHUNK) if nest.flat else nest.rows
        self.line(0, f"for i in range({self.number(rows)}):")
        names: dict[Spot, str] = {}
        for k, ((place, point, dtype), spots) in enumerate(nest.views.items()):
            row = place.row
            if nest.flat:
                row = 0 if point else CHUNK * SIZES[dtype]
            self.spots.append((len(self.table), spots))
            where = self.number(place.address)
            if self.turns:
                where += f" + t * {self.number(0)}"
            if row:
                where += f" + i * {self.number(row)}"
            self.line(1, f"x{k} = {dtype}_at({where})")
            names.update(dict.fromkeys(spots, f"x{k}"))
        counts: dict[int, str] = {}
        for line in nest.lines:
            columns = line.shapes[0].columns
            if columns not in counts:
                counts[columns] = f"n{len(counts)}"
                self.line(1, f"{counts[columns]} = {self.count(nest, columns)}")
            if elementwise(line.shapes[0]):
                self.elements(line, names, counts[columns])
            else:
                self.whole(line.shapes[0], [names[s] for s in line.spots[0]], counts[columns])

    def count(self, nest: Nest, columns: int) -> str:
        """How many elements a row has; the last of a flat nest may be shorter."""
        if not nest.flat:
            return self.number(columns)
        return f"min({CHUNK}, {self.number(nest.total)} - i * {CHUNK})"

    def elements(self, line: Line, names: dict[Spot, str], count: str) -> None:
        """An inner loop."""
        out = names[line.spots[-1][-1]]
        values: dict[str, str] = {}  # what a name stands for inside the loop
        body = []
        for k, (shape, spots) in enumerate(zip(line.shapes, line.spots, strict=True)):
            given = []
            for spot, layout in zip(spots[:-1], shape.layouts, strict=False):
                name = names[spot]
                value = values.get(name)
                if value is None and layout.point:
                    value = values[name] = f"p{name[1:]}"
                    self.line(1, f"{value} = {name}[0]")
                value = value or f"{name}[j]"
                cast = layout.dtype != shape.dtype and not (
                    shape.name == "select" and spot is spots[0]
                )
                given.append(f"{shape.dtype}({value})" if cast else value)
            values[out] = f"y{k}"
            body.append(f"y{k} = {expression(shape, given)}")
        self.line(1, f"for j in range({count}):")
        for text in body:
            self.line(2, text)
        self.line(2, f"{out}[j] = {values[out]}")

    def whole(self, shape: Shape, names: list[str], count: str) -> None:
        """An operation on a row as a whole."""
        if shape.name.startswith("row"):
            self.line(1, f"{names[1]}[0] = {shape.name}({names[0]}, {count})")
            return
        x, w, out = names
        inner = self.number(shape.inner)
        if shape.name == "times":
            inner += f", {self.number(shape.step)}"
        self.line(1, f"{shape.name}({x}, {inner}, {w}, {count}, {out})")


FUNCTION = re.compile(r"\b(exp|tanh)\(")


def expression(shape: Shape, operands: Sequence[str]) -> str:
    """An operation on one element, for Numba."""
    text = FUNCTION.sub(rf"\g<1>{shape.dtype[-2:]}(", EXPRESSIONS[shape.name])
    return text.format(*operands, one=f"{shape.dtype}(1)")
