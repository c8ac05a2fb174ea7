"""Products of matrices; needs Numba, and is loaded by ``cache`` only.

A tile of the result, a few rows of a few vectors, stays in registers while the inner index runs
(K. Goto, R. van de Geijn, "Anatomy of high-performance matrix multiplication", ACM TOMS 34, 2008).
Before that the second factor is packed: its columns in panels as wide as a tile, so that tiles
read it from one end to the other. All addresses and steps are in bytes. This file is about float32;
for float64 ``cache`` writes it anew, with the other names of types.
"""

from __future__ import annotations

import platform

from llvmlite import binding, ir
from numba.core import cgutils

from tinygradrnn.compiler.fused.native.runtime import float32_at as numbers_at
from tinygradrnn.compiler.fused.native.runtime import int64_at
from tinygradrnn.compiler.fused.native.translation import DOUBLE, WORD, Entry, Written
from tinygradrnn.compiler.fused.sizes import CHUNK, INNER, TILE

FEATURES = binding.get_host_cpu_features()
REGISTER = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx") else 16
MANY = REGISTER == 64 or platform.machine() in ("arm64", "aarch64")  # 32 registers, else 16
ROWS, VECTORS = (8, 3) if MANY else (4, 3)  # of a tile

NUMBER = numbers_at.kind
SIZE = 8 if NUMBER == DOUBLE else 4
LANES = REGISTER // SIZE
WIDE = VECTORS * LANES


# ------------------------------------------------------------------------------------------ a tile


def word(number):
    """An integer of the generated code."""
    return ir.Constant(WORD, number)


def tile(vectors):
    """A function that computes a tile.

    Its arguments: the first factor, from one of its rows to the next, and from one of its
    elements to the next; how many rows there are, at most ``ROWS``; the panel and its length; the
    result, from one of its rows to the next; whether to add to what is there.
    """
    vector = ir.VectorType(NUMBER, LANES)

    def at(builder, base, offset, width):
        return builder.inttoptr(builder.add(base, offset), width.as_pointer())

    def spread(builder, one):
        empty = ir.Constant(vector, ir.Undefined)
        first = builder.insert_element(empty, one, ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, empty, zeros)

    def write(body):
        builder = ir.IRBuilder(body.append_basic_block())
        x, row, step, rows, panel, inner, out, out_row, more = body.args
        last = builder.sub(rows, word(1))  # stands for the rows that are not there, too
        numbers = [word(r) for r in range(ROWS)]
        numbers = [builder.select(builder.icmp_signed("<", n, rows), n, last) for n in numbers]
        sources = [builder.add(x, builder.mul(row, n)) for n in numbers]
        targets = [builder.add(out, builder.mul(out_row, n)) for n in numbers]
        zero = ir.Constant(vector, [0.0] * LANES)
        places = [(r, v) for r in range(ROWS) for v in range(vectors)]
        sums = {place: cgutils.alloca_once_value(builder, zero) for place in places}
        with builder.if_then(cgutils.is_not_null(builder, more)):
            for (r, v), total in sums.items():
                there = at(builder, targets[r], word(v * REGISTER), vector)
                builder.store(builder.load(there, align=SIZE), total)
        with cgutils.for_range(builder, inner) as loop:
            begin = builder.add(panel, builder.mul(loop.index, word(vectors * REGISTER)))
            columns = [
                builder.load(at(builder, begin, word(v * REGISTER), vector), align=SIZE)
                for v in range(vectors)
            ]
            moved = builder.mul(loop.index, step)
            for r in range(ROWS):
                factor = builder.load(at(builder, sources[r], moved, NUMBER), align=SIZE)
                factor = spread(builder, factor)
                for v in range(vectors):
                    product = builder.fmul(factor, columns[v], flags=("contract",))
                    total = builder.load(sums[r, v])
                    total = builder.fadd(total, product, flags=("contract",))
                    builder.store(total, sums[r, v])
        for (r, v), total in sums.items():
            there = at(builder, targets[r], word(v * REGISTER), vector)
            builder.store(builder.load(total), there, align=SIZE)
        builder.ret_void()

    def compute(builder, *arguments):
        """A call; a module has the function once, however often it is called."""
        form = ir.FunctionType(ir.VoidType(), [WORD] * len(arguments))
        body = cgutils.get_or_insert_function(builder.module, form, f"tile_{vectors}")
        if not body.blocks:
            body.linkage = "internal"
            body.attributes.add("noinline")
            body.attributes.add("nounwind")
            write(body)
        builder.call(body, arguments)

    return Written(compute)


narrow, middle, full = tile(1), tile(2), tile(3)


# ----------------------------------------------------------------------------------------- packing


@Written
def move(builder, source, target):
    """Copy as many elements as a tile has rows, as one vector."""
    kind = ir.VectorType(NUMBER, ROWS).as_pointer()
    found = builder.load(builder.inttoptr(source, kind), align=SIZE)
    builder.store(found, builder.inttoptr(target, kind), align=SIZE)


@Entry
def pack_lines(x, line, step, inner, begin, end, high, unit, packed, block):
    """Columns of a second factor as panels, or rows of a first one in blocks as high as a tile.

    That many lines side by side, an element of each, then the next of each; the last panel or
    block, of fewer lines, is filled up with 0 to a multiple of ``unit``.
    """
    for first in range(begin, end, high):
        count = min(high, end - first)
        width = -(-count // unit) * unit
        for k in range(inner):
            source = x + first * line + k * step
            target = packed + (first - begin) // high * block + k * width * SIZE
            done = 0
            if line == SIZE:
                while done + ROWS <= count:
                    move(source + done * SIZE, target + done * SIZE)
                    done += ROWS
            out = numbers_at(target)
            for j in range(done, count):
                out[j] = numbers_at(source + j * line)[0]
            for j in range(count, width):
                out[j] = 0


# ---------------------------------------------------------------------------------- what is called


@Entry
def multiply(x, block, row, step, rows, packed, inner, columns, out, out_row, more, spare):
    """Rows times a packed factor.

    ``block``: from the first row of a tile to that of the next, 0 if that is as far as always;
    ``more``: whether to add to what is there; ``spare``: room for a tile whose last vector is cut.
    """
    block = block if block else ROWS * row
    for begin in range(0, columns, WIDE):
        count = min(WIDE, columns - begin)
        width = -(-count // LANES) * LANES
        panel = packed + begin * inner * SIZE
        for i in range(0, rows, ROWS):
            source, there = x + i // ROWS * block, min(ROWS, rows - i)
            target = out + i * out_row + begin * SIZE
            result, result_row = (target, out_row) if width == count else (spare, width * SIZE)
            if width != count and more:
                for r in range(there):
                    for j in range(count):
                        numbers_at(result + r * result_row)[j] = numbers_at(target + r * out_row)[j]
            if width == WIDE:
                full(source, row, step, there, panel, inner, result, result_row, more)
            elif width == LANES:
                narrow(source, row, step, there, panel, inner, result, result_row, more)
            else:
                middle(source, row, step, there, panel, inner, result, result_row, more)
            if width != count:
                for r in range(there):
                    for j in range(count):
                        numbers_at(target + r * out_row)[j] = numbers_at(result + r * result_row)[j]


@Entry
def pack(table, phase, part, parts):
    """A second factor. The table: where it is, its steps, rows and columns, where it goes."""
    a = int64_at(table)
    panels = -(-a[4] // WIDE)
    begin, end = panels * part // parts * WIDE, min(a[4], panels * (part + 1) // parts * WIDE)
    panel = WIDE * a[3] * SIZE
    packed = a[5] + begin * a[3] * SIZE
    pack_lines(a[0], a[2], a[1], a[3], begin, end, WIDE, LANES, packed, panel)


@Entry
def gemm(table, phase, part, parts):
    """A product: some rows or some columns of it; what a part has packed, no other part reads.

    The table: where each factor is, and its steps; rows, inner index, columns; where the result
    is, and from row to row; room to pack in, and how much for a part.
    """
    a = int64_at(table)
    x, row, step, w, w_row, w_step = a[0], a[1], a[2], a[3], a[4], a[5]
    rows, inner, columns, out, out_row, room = a[6], a[7], a[8], a[9], a[10], a[11] + part * a[12]
    low, high, begin, end = 0, rows, 0, columns
    if rows > columns:
        tiles = -(-rows // ROWS)
        low, high = tiles * part // parts * ROWS, min(rows, tiles * (part + 1) // parts * ROWS)
    else:
        panels = -(-columns // WIDE)
        begin = panels * part // parts * WIDE
        end = min(columns, panels * (part + 1) // parts * WIDE)
    spare, rearranged = room, room + TILE
    packed = rearranged + (CHUNK * INNER + CHUNK * LANES) * SIZE
    for k in range(0, inner, INNER):
        depth = min(INNER, inner - k)
        panel = WIDE * depth * SIZE
        pack_lines(w + k * w_row, w_step, w_row, depth, begin, end, WIDE, LANES, packed, panel)
        block = (ROWS * depth + LANES) * SIZE  # not a power of 2: else all blocks share cache lines
        for i in range(low, high, CHUNK):
            there, target = min(CHUNK, high - i), out + i * out_row + begin * SIZE
            source = x + i * row + k * step
            if step == SIZE:
                multiply(
                    source, 0, row, step, there, packed, depth, end - begin,
                    target, out_row, k, spare,
                )  # fmt: skip
            else:
                pack_lines(source, row, step, depth, 0, there, ROWS, ROWS, rearranged, block)
                multiply(
                    rearranged, block, SIZE, ROWS * SIZE, there, packed, depth, end - begin,
                    target, out_row, k, spare,
                )  # fmt: skip
