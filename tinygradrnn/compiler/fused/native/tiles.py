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
from numba import cfunc, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinygradrnn.compiler.fused.sizes import CHUNK, INNER, TILE

FEATURES = binding.get_host_cpu_features()
REGISTER = 64 if FEATURES.get("avx512f") else 32 if FEATURES.get("avx") else 16
MANY = REGISTER == 64 or platform.machine() in ("arm64", "aarch64")  # 32 registers, else 16
ROWS, VECTORS = (8, 3) if MANY else (4, 3)  # of a tile

WORD, NUMBER = ir.IntType(64), ir.FloatType()
SIZE = types.float32.bitwidth // 8
LANES = REGISTER // SIZE
WIDE = VECTORS * LANES


def pointer(kind, width):
    """A function that takes an address for that of numbers of a kind."""

    @intrinsic
    def at(context, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], width.as_pointer())

        return types.CPointer(kind)(types.int64), generate

    return at


words_at = pointer(types.int64, WORD)
numbers_at = pointer(types.float32, NUMBER)


@intrinsic
def call(
    context, function, x, block, row, step, rows, packed, inner, columns, first, last, out, out_row,
    more, spare,
):  # fmt: skip
    """Call ``multiply`` by its address."""

    def generate(context, builder, signature, arguments):
        form = ir.FunctionType(ir.VoidType(), [WORD] * 14)
        builder.call(builder.inttoptr(arguments[0], form.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 15), generate


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

    def generate(context, builder, signature, arguments):
        """A call; a library has the function once, however often it is called."""
        form = ir.FunctionType(ir.VoidType(), [WORD] * 9)
        body = cgutils.get_or_insert_function(builder.module, form, f"tile_{vectors}_{NUMBER}")
        if not body.blocks:
            body.linkage = "linkonce_odr"
            body.attributes.add("noinline")
            write(body)
        builder.call(body, arguments)
        return context.get_dummy_value()

    @intrinsic
    def compute(context, x, row, step, rows, panel, inner, out, out_row, more):
        return types.void(*[types.int64] * 9), generate

    return compute


narrow, middle, full = tile(1), tile(2), tile(3)


# ----------------------------------------------------------------------------------------- packing


@njit(f"void({', '.join(['int64'] * 8)})", error_model="numpy")
def pack_panels(w, row, step, inner, columns, first, last, packed):
    """Some panels of a second factor; in its last vector, what is not there is 0."""
    for begin in range(first * WIDE, min(last * WIDE, columns), WIDE):
        count = min(WIDE, columns - begin)
        width = -(-count // LANES) * LANES
        for k in range(inner):
            out = numbers_at(packed + (begin * inner + k * width) * SIZE)
            source = w + k * row + begin * step
            if step == SIZE:
                x = numbers_at(source)
                for j in range(count):
                    out[j] = x[j]
            else:
                for j in range(count):
                    out[j] = numbers_at(source + j * step)[0]
            for j in range(count, width):
                out[j] = 0


@njit(f"void({', '.join(['int64'] * 6)})", error_model="numpy")
def pack_rows(x, row, step, rows, inner, packed):
    """Rows of a first factor in blocks as high as a tile, each column of a block in one piece."""
    for k in range(inner):
        for begin in range(0, rows, ROWS):
            out = numbers_at(packed + (begin * inner + k * ROWS) * SIZE)
            source = x + k * step + begin * row
            for r in range(min(ROWS, rows - begin)):
                out[r] = numbers_at(source + r * row)[0]


# ---------------------------------------------------------------------------------- what is called


@cfunc(f"void({', '.join(['int64'] * 14)})", cache=True, error_model="numpy")
def multiply(
    x, block, row, step, rows, packed, inner, columns, first, last, out, out_row, more, spare
):
    """Rows times panels first…last of a packed factor.

    ``block``: from the first row of a tile to that of the next, 0 if that is as far as always;
    ``more``: whether to add to what is there; ``spare``: room for a tile whose last vector is cut.
    """
    block = block if block else ROWS * row
    for begin in range(first * WIDE, min(last * WIDE, columns), WIDE):
        count = min(WIDE, columns - begin)
        width = -(-count // LANES) * LANES
        panel = packed + begin * inner * SIZE
        for i in range(0, rows, ROWS):
            source, target, there = x + i // ROWS * block, out + i * out_row, min(ROWS, rows - i)
            target += begin * SIZE
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


@cfunc("void(int64, int64, int64, int64)", cache=True, error_model="numpy")
def gemm(table, phase, part, parts):
    """A whole product: two phases, packing and multiplying, for each block of the inner index.

    The table: where each factor is, and its steps; rows, inner index, its blocks, columns; where
    the result is, and from row to row; room for the packed factor, and for the parts; ``multiply``.
    """
    a = words_at(table)
    x, row, step, w, w_row, w_step = a[0], a[1], a[2], a[3], a[4], a[5]
    rows, depth, columns, out, out_row, packed = a[6], a[8], a[9], a[10], a[11], a[12]
    begin = phase // 2 * depth
    inner = min(depth, a[7] - begin)
    count, blocks = -(-columns // WIDE), -(-rows // ROWS)
    low, high, first, last = 0, rows, count * part // parts, count * (part + 1) // parts
    if phase % 2 == 0:
        pack_panels(w + begin * w_row, w_row, w_step, inner, columns, first, last, packed)
        return
    if blocks >= parts:
        low, high = blocks * part // parts * ROWS, min(rows, blocks * (part + 1) // parts * ROWS)
        first, last = 0, count
    spare = a[13] + part * (TILE + CHUNK * INNER * SIZE)
    for i in range(low, high, CHUNK):
        there = min(CHUNK, high - i)
        source, block, from_row, from_step = x + i * row + begin * step, 0, row, step
        if step != SIZE:
            pack_rows(source, row, step, there, inner, spare + TILE)
            source, block = spare + TILE, ROWS * inner * SIZE
            from_row, from_step = SIZE, ROWS * SIZE
        call(
            a[14], source, block, from_row, from_step, there, packed, inner, columns, first, last,
            out + i * out_row, out_row, begin, spare,
        )  # fmt: skip
