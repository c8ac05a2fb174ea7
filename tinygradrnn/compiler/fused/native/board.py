"""How threads share the parts of a kernel; needs Numba, and is loaded by ``cache`` only.

A board has words of 8 bytes, in three rows of a cache, so that who waits disturbs nobody:

- the ticket: the number of a job, and which of its parts is next; whoever raises it has that part;
- the job: how many parts it has, the function, its table, and the phase;
- how many parts are done.

No lock is held: a thread that comes late, or never, leaves its part to the others.
"""

from __future__ import annotations

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

WORD = ir.IntType(64)
TICKET, PARTS, FUNCTION, TABLE, PHASE, DONE = 0, 64, 72, 80, 88, 128  # bytes
COUNT = 1 << 20  # more than a job has parts


def at(builder, address):
    """An address as a pointer to a word."""
    return builder.inttoptr(address, WORD.as_pointer())


@intrinsic
def read(context, address):
    """A word; what was written before it is seen after it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(at(builder, arguments[0]), "acquire", 8)

    return types.int64(types.int64), generate


@intrinsic
def write(context, address, value):
    """Write a word; what was written before it is seen by whoever reads it."""

    def generate(context, builder, signature, arguments):
        builder.store_atomic(arguments[1], at(builder, arguments[0]), "release", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def add_one(context, address):
    """Raise a word by one."""

    def generate(context, builder, signature, arguments):
        one = ir.Constant(WORD, 1)
        builder.atomic_rmw("add", at(builder, arguments[0]), one, "acq_rel")
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def replaced(context, address, old, new):
    """Replace a word if it is still the old one; whether it was."""

    def generate(context, builder, signature, arguments):
        address, old, new = arguments
        found = builder.cmpxchg(at(builder, address), old, new, "acq_rel", "acquire")
        return builder.extract_value(found, 1)

    return types.boolean(types.int64, types.int64, types.int64), generate


@intrinsic
def call(context, function, table, phase, part, parts):
    """Call a kernel by its address."""

    def generate(context, builder, signature, arguments):
        form = ir.FunctionType(ir.VoidType(), [WORD] * 4)
        builder.call(builder.inttoptr(arguments[0], form.as_pointer()), arguments[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), generate


@njit("boolean(int64)")
def take_part(board):
    """Do the next part of the job, if there is one."""
    ticket = read(board + TICKET)
    part, parts = ticket % COUNT, read(board + PARTS)
    if part >= parts:
        return False
    function, table, phase = read(board + FUNCTION), read(board + TABLE), read(board + PHASE)
    if replaced(board + TICKET, ticket, ticket + 1):  # else all that was read may be of another job
        call(function, table, phase, part, parts)
        add_one(board + DONE)
    return True


@njit("void(int64, int64)", nogil=True, cache=True)
def serve(board, patience):
    """Take parts as long as there are some, and look for more for a while."""
    idle = 0
    while idle < patience:
        idle = 0 if take_part(board) else idle + 1


@njit("void(int64, int64, int64, int64, int64)", nogil=True, cache=True)
def share(board, function, table, phases, parts):
    """All phases of a kernel, one after the other, each in parts that any thread may take."""
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


@njit("void(int64, int64, int64)", nogil=True, cache=True)
def alone(function, table, phases):
    """All phases of a kernel in this thread."""
    for phase in range(phases):
        call(function, table, phase, 0, 1)
