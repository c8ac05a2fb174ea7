"""How threads share the parts of a kernel; needs Numba, and is loaded by ``cache`` only.

A kernel is called by a job, which is four words of 8 bytes: where the function is, where its table
is, how many phases it has, and how many parts. A board has words, too, in three rows of a cache, so
that who waits disturbs nobody:

- the ticket: the number of a phase, and which part of it is next; whoever raises it has that part;
- how many parts it has, the function, its table, and the phase;
- how many parts are done.

No lock is held: a thread that comes late, or never, leaves its part to the others.
"""

from __future__ import annotations

from llvmlite import ir

from tinygradrnn.compiler.fused.native.runtime import int64_at
from tinygradrnn.compiler.fused.native.translation import WORD, Entry, Function, Written

TICKET, PARTS, FUNCTION, TABLE, PHASE, DONE = 0, 64, 72, 80, 88, 128  # bytes
COUNT = 1 << 20  # more than a job has parts


def at(builder, address):
    """An address as a pointer to a word."""
    return builder.inttoptr(address, WORD.as_pointer())


@Written
def read(builder, address):
    """A word; what was written before it is seen after it."""
    return builder.load_atomic(at(builder, address), "acquire", 8)


@Written
def write(builder, address, value):
    """Write a word; what was written before it is seen by whoever reads it."""
    builder.store_atomic(value, at(builder, address), "release", 8)


@Written
def add_one(builder, address):
    """Raise a word by one."""
    builder.atomic_rmw("add", at(builder, address), ir.Constant(WORD, 1), "acq_rel")


@Written
def replaced(builder, address, old, new):
    """Replace a word if it is still the old one; whether it was."""
    found = builder.cmpxchg(at(builder, address), old, new, "acq_rel", "acquire")
    return builder.extract_value(found, 1)


@Written
def call(builder, function, *given):
    """Call a kernel by its address: a table, a phase, and which part of how many."""
    form = ir.FunctionType(ir.VoidType(), [WORD] * 4)
    builder.call(builder.inttoptr(function, form.as_pointer()), given)


@Function
def take_part(board):
    """Do the next part of the phase; whether there was one."""
    ticket = read(board + TICKET)
    part, parts = ticket % COUNT, read(board + PARTS)
    there = part < parts
    if there:
        function, table, phase = read(board + FUNCTION), read(board + TABLE), read(board + PHASE)
        if replaced(board + TICKET, ticket, ticket + 1):  # else all that was read may be of another
            call(function, table, phase, part, parts)
            add_one(board + DONE)
    return there


@Entry
def serve(board, patience):
    """Take parts as long as there are some, and look for more for a while."""
    idle = 0
    while idle < patience:
        idle = 0 if take_part(board) else idle + 1


@Entry
def share(board, job):
    """All phases of a kernel, one after the other, each in parts that any thread may take."""
    function, table, phases, parts = words(job)
    for phase in range(phases):
        write(board + PARTS, 0)
        write(board + FUNCTION, function)
        write(board + TABLE, table)
        write(board + PHASE, phase)
        write(board + DONE, 0)
        write(board + TICKET, (read(board + TICKET) // COUNT + 1) * COUNT)
        write(board + PARTS, parts)
        while take_part(board):
            pass
        while read(board + DONE) < parts:
            pass


@Entry
def alone(job):
    """All phases of a kernel in this thread."""
    function, table, phases, _ = words(job)
    for phase in range(phases):
        call(function, table, phase, 0, 1)


@Function
def words(job):
    """What a job consists of."""
    a = int64_at(job)
    return a[0], a[1], a[2], a[3]
