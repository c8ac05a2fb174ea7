"""Rows of a matrix at integers; needs Numba, and is loaded by ``cache`` only.

This file is about float32; for float64 ``cache`` writes it anew, with the other names of types.
"""

from __future__ import annotations

from tinygradrnn.compiler.fused.native.runtime import float32_at as numbers_at
from tinygradrnn.compiler.fused.native.runtime import int64_at
from tinygradrnn.compiler.fused.native.translation import Entry


@Entry
def rows(table, phase, part, parts):
    """Copy rows at ids, or add rows to those at ids.

    The table: the ids, how many they are, how many elements a row has; the matrix, and from row to
    row; the rows, one for each id, and from row to row; whether to add.
    """
    a = int64_at(table)
    ids, count, columns = int64_at(a[0]), a[1], a[2]
    if a[7]:
        low, high = columns * part // parts, columns * (part + 1) // parts  # ids may repeat
        for k in range(count):
            total, more = numbers_at(a[3] + ids[k] * a[4]), numbers_at(a[5] + k * a[6])
            for j in range(low, high):
                total[j] += more[j]
    else:
        for k in range(count * part // parts, count * (part + 1) // parts):
            source, out = numbers_at(a[3] + ids[k] * a[4]), numbers_at(a[5] + k * a[6])
            for j in range(columns):
                out[j] = source[j]
