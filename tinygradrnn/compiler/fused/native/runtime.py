"""What kernels are made of; needs Numba, so it is imported by kernels only.

Functions of one element are polynomials without branches: these run on whole vector registers.
In float32 they are right to a few units in the last place, in float64 to about 1e-15.
"""

from __future__ import annotations

from math import inf

from llvmlite import ir

from tinygradrnn.compiler.fused.native.translation import (
    BYTE,
    DOUBLE,
    INT,
    SINGLE,
    WORD,
    Entry,
    Function,
    Number,
    Pointer,
    Written,
)
from tinygradrnn.compiler.fused.sizes import TILE

__all__ = [
    "TILE",
    "absolute",
    "bool_at",
    "exp32",
    "exp64",
    "float32",
    "float32_at",
    "float64",
    "float64_at",
    "int64_at",
    "kernel",
    "log",
    "maximum",
    "minimum",
    "multiply",
    "row_max",
    "row_sum",
    "select",
    "sqrt",
    "tanh32",
    "tanh64",
    "times",
    "times_transposed",
]

CONTRACT = ("contract",)  # a product and a sum may be one instruction, rounded once

float32, float64, int32, int64 = map(Number, (SINGLE, DOUBLE, INT, WORD))
float32_at, float64_at, int64_at, bool_at = map(Pointer, (SINGLE, DOUBLE, WORD, BYTE))


def kernel(function):
    """What is called with a table, a phase, and which part of how many."""
    return Entry(function, CONTRACT, wide=True)


def element(function):
    """What is computed of one element."""
    return Function(function, CONTRACT)


def reduction(function):
    """What is computed of many elements, in any order."""
    return Function(function, (*CONTRACT, "reassoc", "nsz"))


def bits(kind):
    """The bits of a number as another type."""
    return Written(lambda builder, x: builder.bitcast(x, kind))


def instruction(name):
    """A function of LLVM's."""

    def write(builder, x):
        return builder.call(builder.module.declare_intrinsic(f"llvm.{name}", [x.type]), [x])

    return Written(write)


bits_of_float32, float32_of_bits, float64_of_bits = map(bits, (INT, SINGLE, DOUBLE))
absolute, sqrt = instruction("fabs"), instruction("sqrt")
log = instruction("log")  # by the C library: one element after the other


@Written
def multiply(builder, function, *given):
    """Call the function of that name of ``tiles``, by its address."""
    form = ir.FunctionType(ir.VoidType(), [WORD] * len(given))
    builder.call(builder.inttoptr(function, form.as_pointer()), given)


@element
def select(condition, x, y):
    """``x`` where a condition holds, ``y`` elsewhere."""
    return x if condition else y


@element
def maximum(x, y):
    """The larger one; NaN if one is."""
    return x if (x > y) | (x != x) else y


@element
def minimum(x, y):
    """The smaller one; NaN if one is."""
    return x if (x < y) | (x != x) else y


@element
def exp32(x):
    """2ⁿ eʳ with |r| ≤ ½ ln 2, eʳ as a polynomial of degree 7; 0 below 2⁻¹²⁵.

    n stands in the last bits of a sum with a large number, from where it goes into an exponent;
    comparisons are written so that NaN comes through.
    """
    bounded = float32(-87.4) if x < float32(-87.4) else x
    bounded = float32(88.8) if bounded > float32(88.8) else bounded
    shifted = bounded * float32(1.4426950408889634) + float32(12582912)
    n = shifted - float32(12582912)
    r = bounded - n * float32(0.693359375)
    r = r - n * float32(-2.12194440e-4)
    y = float32(1.9875691500e-4)
    y = y * r + float32(1.3981999507e-3)
    y = y * r + float32(8.3334519073e-3)
    y = y * r + float32(4.1665795894e-2)
    y = y * r + float32(1.6666665459e-1)
    y = y * r + float32(5.0000001201e-1)
    y = y * r * r + (r + float32(1))
    return (y + y) * float32_of_bits((bits_of_float32(shifted) + int32(126)) << int32(23))


@element
def tanh32(x):
    """A quotient of polynomials; beyond ±7.9 it is ±1 in float32."""
    z = float32(-7.90531110763549805) if x < float32(-7.90531110763549805) else x
    z = float32(7.90531110763549805) if z > float32(7.90531110763549805) else z
    s = z * z
    p = float32(-2.76076847742355e-16)
    p = p * s + float32(2.00018790482477e-13)
    p = p * s + float32(-8.60467152213735e-11)
    p = p * s + float32(5.12229709037114e-08)
    p = p * s + float32(1.48572235717979e-05)
    p = p * s + float32(6.37261928875436e-04)
    p = p * s + float32(4.89352455891786e-03)
    q = float32(1.19825839466702e-06)
    q = q * s + float32(1.18534705686654e-04)
    q = q * s + float32(2.26843463243900e-03)
    q = q * s + float32(4.89352518554385e-03)
    return z * p / q


@element
def exp64(x):
    """2ⁿ eʳ with |r| ≤ ½ ln 2, eʳ as a quotient of polynomials."""
    bounded = min(max(x, -708.0), 709.5)
    n = (bounded * 1.4426950408889634 + 6755399441055744.0) - 6755399441055744.0
    r = bounded - n * 6.93145751953125e-1
    r = r - n * 1.42860682030941723212e-6
    s = r * r
    p = 1.26177193074810590878e-4 * s + 3.02994407707441961300e-2
    p = (p * s + 9.99999999999999999910e-1) * r
    q = 3.00198505138664455042e-6 * s + 2.52448340349684104192e-3
    q = (q * s + 2.27265548208155028766e-1) * s + 2.0
    y = 1.0 + 2.0 * p / (q - p)
    y = y * float64_of_bits((int64(int32(n)) + int64(1023)) << int64(52))
    y = y if x > -708.0 else 0.0
    y = y if x < 709.5 else inf
    return y if x == x else x


@element
def tanh64(x):
    """Near 0 a quotient of polynomials, elsewhere 1 − 2 / (e²ˣ + 1)."""
    size = absolute(x)
    s = x * x
    p = (-9.64399179425052238628e-1 * s - 9.92877231001918586564e1) * s - 1.61468768441708447952e3
    q = ((s + 1.12811678491632931402e2) * s + 2.23548839060100448583e3) * s
    near = x + x * s * p / (q + 4.84406305325125486048e3)
    far = 1.0 - 2.0 / (exp64(2.0 * size) + 1.0)
    far = far if x > 0.0 else -far
    y = near if size < 0.625 else far
    return y if x == x else x


@reduction
def row_sum(x, n):
    """The sum of n elements."""
    total = x[0]
    for j in range(1, n):
        total += x[j]
    return total


@element
def row_max(x, n):
    """The largest of n elements."""
    best = x[0]
    for j in range(1, n):
        best = x[j] if (x[j] > best) | (x[j] != x[j]) else best
    return best


@element
def times(x, rows, step, w, n, out):
    """The product x w into ``out``: the rows of w, one after the other, are added up by eights."""
    for j in range(n):
        out[j] = x[0] * w[j]
    k = 1
    while k + 8 <= rows:
        q = k * step
        a, b, c, d = x[q], x[q + step], x[q + 2 * step], x[q + 3 * step]
        q += 4 * step
        e, f, g, h = x[q], x[q + step], x[q + 2 * step], x[q + 3 * step]
        p = k * n
        for j in range(n):
            out[j] += (
                (a * w[p + j] + b * w[p + n + j]) + (c * w[p + 2 * n + j] + d * w[p + 3 * n + j])
            ) + (
                (e * w[p + 4 * n + j] + f * w[p + 5 * n + j])
                + (g * w[p + 6 * n + j] + h * w[p + 7 * n + j])
            )
        k += 8
    while k < rows:
        a = x[k * step]
        for j in range(n):
            out[j] += a * w[k * n + j]
        k += 1


@reduction
def times_transposed(x, rows, w, n, out):
    """The product x w into ``out``, where the columns of w lie one after the other."""
    for j in range(n):
        total = x[0] * w[j * rows]
        for k in range(1, rows):
            total += x[k] * w[j * rows + k]
        out[j] = total
