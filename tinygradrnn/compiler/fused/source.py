"""The source of a kernel: nests as Python of the kind that is translated for LLVM.

A kernel gets a table of integers: numbers of rows and columns, and where each operand is. So it
serves the same operations on arrays of any size, at any place. It is called once for each of its
phases, and in each for one of the parts that threads share, which take rows in turns.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tinygradrnn.compiler.fused.expressions import EXPRESSIONS
from tinygradrnn.compiler.fused.nests import CHUNK, SIZES, Line, Nest, Spot, elementwise
from tinygradrnn.compiler.fused.reading import Shape
from tinygradrnn.compiler.fused.sizes import BLOCK

# which rows are those of a part: any; or whole blocks, which products take at a time
ROWS = "{0} * part // parts, {0} * (part + 1) // parts"
FIRST = f"min({{0}}, ({{0}} + {BLOCK - 1}) // {BLOCK} * PART // parts * {BLOCK})"
BLOCKS = f"{FIRST.replace('PART', 'part')}, {FIRST.replace('PART', '(part + 1)')}"
HEAD = '''"""A kernel that tinygradrnn made; it is made again when it is missing."""

from tinygradrnn.compiler.fused.native.runtime import *


@kernel
def run(table, phase, part, parts):
    a = int64_at(table)
'''


class Kernel(NamedTuple):
    """A source and its table.

    ``spots``: where in the table the addresses of operands are, with the operands that are there;
    where there are turns, what follows each is by how much it moves on in a turn. ``work``: how
    many elements it computes. ``parts``: in how many it can be done at once. ``threads``: of a
    GPU, one for each element.
    """

    text: str
    table: list[int]
    spots: list[tuple[int, list[Spot]]]
    phases: int = 1
    work: int = 0
    parts: int = 1
    threads: int = 0


class Packed(NamedTuple):
    """For a product in a loop: where its packed factor is, and room for tiles.

    ``multiply``: where it is written where the function that multiplies is.
    """

    factor: int
    spare: int
    multiply: int


def write(nests: Sequence[Nest]) -> Kernel:
    """A kernel that does nests one after the other, each a phase."""
    made = Writer()
    for k, nest in enumerate(nests):
        made.line(0, f"if phase == {k}:")
        made.nest(nest, ROWS)
    text = HEAD + "\n".join(made.text) + "\n"
    parts = max(nest.total // CHUNK + 1 if nest.flat else nest.rows for nest in nests)
    return Kernel(text, made.table, made.spots, len(nests), work(nests), parts)


def write_loop(nests: Sequence[Nest], turns: int, packed: Callable[[int], Packed]) -> Kernel:
    """A kernel that does nests again and again, each time with operands that have moved on."""
    made = Writer(turns=True)
    count = made.number(turns)
    for nest in nests:
        if nest.lines[0].shapes[0].name == "product":
            made.product(nest, packed(nest.lines[0].spots[0][0].operation))
        else:
            made.nest(nest, BLOCKS)
    text = HEAD + "\n".join(made.before) + f"\n    for t in range({count}):\n"
    text += "\n".join(made.text) + "\n"
    return Kernel(text, made.table, made.spots, 1, turns * work(nests))


def work(nests: Sequence[Nest]) -> int:
    """How many elements are computed."""
    return sum(shape.work for nest in nests for line in nest.lines for shape in line.shapes)


class Writer:
    """The text of a kernel while it is written."""

    def __init__(self, turns: bool = False) -> None:
        self.turns = turns
        self.before: list[str] = []
        self.text: list[str] = []
        self.table: list[int] = []
        self.spots: list[tuple[int, list[Spot]]] = []

    def number(self, value: int) -> str:
        """A number of the table."""
        self.table.append(value)
        return f"a[{len(self.table) - 1}]"

    def line(self, depth: int, text: str) -> None:
        self.text.append("    " * (depth + 1) + text)

    def where(self, address: int, spots: list[Spot]) -> str:
        """Where an operand is, in this turn."""
        self.spots.append((len(self.table), spots))
        text = self.number(address)
        return f"{text} + t * {self.number(0)}" if self.turns else text

    def nest(self, nest: Nest, part: str) -> None:
        """A loop over the rows of this part."""
        rows = self.number(-(-nest.total // CHUNK) if nest.flat else nest.rows)
        if self.turns:  # what to count from is known before the first turn
            bounds = f"low{len(self.before)}, high{len(self.before)}"
            self.before.append(f"    {bounds} = {part.format(rows)}")
        else:
            bounds = part.format(rows)
        self.line(1, f"for i in range({bounds}):")
        names: dict[Spot, str] = {}
        for k, ((place, point, dtype), spots) in enumerate(nest.views.items()):
            row = place.row
            if nest.flat:
                row = 0 if point else CHUNK * SIZES[dtype]
            where = self.where(place.address, spots)
            if row:
                where += f" + i * {self.number(row)}"
            self.line(2, f"x{k} = {dtype}_at({where})")
            names.update(dict.fromkeys(spots, f"x{k}"))
        counts: dict[int, str] = {}
        for line in nest.lines:
            columns = line.shapes[0].columns
            if columns not in counts:
                counts[columns] = f"n{len(counts)}"
                self.line(2, f"{counts[columns]} = {self.count(nest, columns)}")
            if elementwise(line.shapes[0]):
                self.elements(line, names, counts[columns])
            else:
                given = [names[s] for s in line.spots[0]]
                self.whole(line.shapes[0], given, counts[columns])

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
                    self.line(2, f"{value} = {name}[0]")
                value = value or f"{name}[j]"
                cast = layout.dtype != shape.dtype and not (
                    shape.name == "select" and spot is spots[0]
                )
                given.append(f"{shape.dtype}({value})" if cast else value)
            values[out] = f"y{k}"
            body.append(f"y{k} = {expression(shape, given)}")
        self.line(2, f"for j in range({count}):")
        for text in body:
            self.line(3, text)
        self.line(3, f"{out}[j] = {values[out]}")

    def whole(self, shape: Shape, names: list[str], count: str) -> None:
        """An operation on a row as a whole."""
        if shape.name.startswith("row"):
            self.line(2, f"{names[1]}[0] = {shape.name}({names[0]}, {count})")
            return
        x, w, out = names
        inner = self.number(shape.inner)
        if shape.name == "times":
            inner += f", {self.number(shape.layouts[0].step // SIZES[shape.dtype])}"
        self.line(2, f"{shape.name}({x}, {inner}, {w}, {count}, {out})")

    def product(self, nest: Nest, packed: Packed) -> None:
        """The rows of this part times a packed factor."""
        (shape,), ((x, _, out),) = nest.lines[0].shapes, nest.lines[0].spots
        low, high = f"low{len(self.before)}", f"high{len(self.before)}"
        rows = self.number(nest.rows)
        self.before.append(f"    {low}, {high} = {BLOCKS.format(rows)}")
        places = {spot: place for (place, _, _), spots in nest.views.items() for spot in spots}
        row, out_row = self.number(shape.layouts[0].row), self.number(shape.layouts[2].row)
        given = [
            f"int64_at({self.number(packed.multiply)})[0]",
            f"{self.where(places[x].address, [x])} + {low} * {row}",
            "0",
            row,
            self.number(shape.layouts[0].step),
            f"{high} - {low}",
            self.number(packed.factor),
            self.number(shape.inner),
            self.number(shape.columns),
            f"{self.where(places[out].address, [out])} + {low} * {out_row}",
            out_row,
            "0",
            f"{self.number(packed.spare)} + part * TILE",
        ]
        self.line(1, f"multiply({', '.join(given)})")


FUNCTION = re.compile(r"\b(exp|tanh)\(")


def expression(shape: Shape, operands: Sequence[str]) -> str:
    """An operation on one element, for Numba."""
    text = FUNCTION.sub(rf"\g<1>{shape.dtype[-2:]}(", EXPRESSIONS[shape.name])
    return text.format(*operands, one=f"{shape.dtype}(1)")
