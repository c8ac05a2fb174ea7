"""Functions in Python as code of LLVM.

Numba's own translation is for all of Python, and takes longer than LLVM does for the result. Here
a function is about integers of 64 bits, elements, and pointers to them, so that types are known as
it is read from top to bottom. It may consist of ``=``, ``+=``, ``if``, ``while``, ``for`` with
``range``, calls, and a ``return`` at its end. A call of a `Function` is replaced by its body; a
number that is written as such has the type of what it is used with; other names are those of the
module in which a function is.
"""

from __future__ import annotations

import ast
import linecache
import operator
from collections.abc import Callable, Sequence
from functools import cached_property
from inspect import getblock
from typing import Any

from llvmlite import ir

WORD, BYTE, BIT, INT = (ir.IntType(bits) for bits in (64, 8, 1, 32))
SINGLE, DOUBLE = ir.FloatType(), ir.DoubleType()
FLOATS, UNSIGNED = (SINGLE, DOUBLE), (BYTE, BIT)
SIGNS: dict[type, str] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
PLAIN: dict[type, Callable[[Any, Any], Any]] = {  # of numbers that are known
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
}
OF_FLOATS: dict[type, str] = {ast.Add: "fadd", ast.Sub: "fsub", ast.Mult: "fmul", ast.Div: "fdiv"}
OF_INTEGERS: dict[type, str] = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.LShift: "shl",
    ast.BitOr: "or_",
}
NEVER_OVERFLOW = (ast.Add, ast.Sub, ast.Mult)  # addresses and sizes are far smaller


class Function:
    """A function whose calls are replaced by its body.

    Parameters
    ----------
    function : callable
    flags : sequence of str
        What is allowed with floating-point numbers, as LLVM calls it.
    """

    def __init__(self, function: Callable[..., Any], flags: Sequence[str] = ()) -> None:
        self.code = function.__code__
        self.name = function.__name__
        self.names = function.__globals__
        self.flags = flags

    @cached_property
    def node(self) -> ast.FunctionDef:
        """Its syntax."""
        lines = linecache.getlines(self.code.co_filename)[self.code.co_firstlineno - 1 :]
        (found,) = ast.parse("".join(getblock(lines))).body
        assert isinstance(found, ast.FunctionDef)
        return found

    @property
    def parameters(self) -> tuple[str, ...]:
        return self.code.co_varnames[: self.code.co_argcount]


class Entry(Function):
    """A function of integers that can be called from outside; it returns nothing.

    ``wide``: whether to use whole vector registers of 64 bytes where a processor has them.
    """

    def __init__(
        self, function: Callable[..., Any], flags: Sequence[str] = (), wide: bool = False
    ) -> None:
        super().__init__(function, flags)
        self.wide = wide


class Written:
    """A function that writes the code of its calls: it gets a builder, and values of LLVM."""

    def __init__(self, write: Callable[..., Any]) -> None:
        self.write = write


class Number:
    """A type of numbers, to which a call casts."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind


class Pointer:
    """Makes an address a pointer to elements of a type."""

    def __init__(self, kind: Any) -> None:
        self.kind = kind


def translate(functions: Sequence[Entry], module: Any) -> None:
    """Write functions into a module of LLVM; their names begin with its own."""
    for function in functions:
        made = entry(module, function)
        if function.wide:
            set.add(made.attributes, '"prefer-vector-width"="512"')
        builder = ir.IRBuilder(made.append_basic_block())
        Body(builder, function, made.args).write()
        builder.ret_void()


def entry(module: Any, function: Entry) -> Any:
    """A function of a module, which may not have been written yet."""
    name = f"{module.name}.{function.name}"
    if name not in module.globals:
        form = ir.FunctionType(ir.VoidType(), [WORD] * len(function.parameters))
        ir.Function(module, form, name).attributes.add("nounwind")
    return module.get_global(name)


class Body:
    """The code of a function where it is called.

    Values are those of LLVM, Python's numbers where they are known, or tuples of such.
    """

    def __init__(self, builder: Any, function: Function, given: Sequence[Any]) -> None:
        self.builder, self.function = builder, function
        self.known = dict(zip(function.parameters, given, strict=True))
        self.places: dict[str, Any] = {}  # of variables

    def write(self) -> Any:
        """Write it; what the function returns."""
        for node in ast.walk(self.function.node):
            match node:
                case ast.Name(id=name, ctx=ast.Store()) if name in self.known:
                    self.put(name, self.known.pop(name))  # a parameter that becomes a variable
        *body, last = self.function.node.body
        self.statements(body)
        if isinstance(last, ast.Return) and last.value is not None:
            return self.value(last.value)
        self.statements([last])
        return None

    # ---------------------------------------------------------------- statements

    def statements(self, nodes: Sequence[ast.stmt]) -> None:
        for node in nodes:
            match node:
                case ast.Assign(targets=[target]):
                    self.assign(target, self.value(node.value))
                case ast.AugAssign():
                    self.add_to(node)
                case ast.For():
                    self.count(node)
                case ast.While():
                    self.repeat(node)
                case ast.If():
                    self.branch(node)
                case ast.Expr():
                    self.value(node.value)
                case ast.Pass():
                    pass
                case _:
                    raise self.unknown(node)

    def unknown(self, node: ast.AST) -> TypeError:
        return TypeError(f"{self.function.name}: no code for `{ast.unparse(node)}`")

    def assign(self, target: ast.expr, value: Any) -> None:
        match target:
            case ast.Tuple():
                for one, part in zip(target.elts, value, strict=True):
                    self.assign(one, part)
            case ast.Name():
                self.put(target.id, value)
            case ast.Subscript():
                place = self.element(target)
                self.builder.store(self.cast(value, place.type.pointee), place)
            case _:
                raise self.unknown(target)

    def put(self, name: str, value: Any) -> None:
        """Give a variable a value; one of another type than before makes it another variable."""
        place = self.places.get(name)
        if not isinstance(value, ir.Value):
            value = self.cast(value, place.type.pointee) if place else constant(value)
        if place is None or place.type.pointee != value.type:
            with self.builder.goto_entry_block():
                place = self.places[name] = self.builder.alloca(value.type)
        self.builder.store(value, place)

    def add_to(self, node: ast.AugAssign) -> None:
        more = self.value(node.value)
        match node.target:
            case ast.Name(id=name):
                self.put(name, self.binary(node.op, self.value(node.target), more))
            case ast.Subscript():
                place = self.element(node.target)
                self.builder.store(self.binary(node.op, self.builder.load(place), more), place)
            case _:
                raise self.unknown(node)

    def count(self, node: ast.For) -> None:
        """A loop over ``range``."""
        assert isinstance(node.iter, ast.Call)
        low, high, step = bounds([constant(self.value(given)) for given in node.iter.args])
        builder = self.builder
        with builder.goto_entry_block():
            counter = builder.alloca(WORD)
        builder.store(low, counter)

        def body() -> None:
            now = builder.load(counter)
            self.assign(node.target, now)
            self.statements(node.body)
            builder.store(builder.add(now, step, flags=("nsw",)), counter)

        self.loop(lambda: builder.icmp_signed("<", builder.load(counter), high), body)

    def repeat(self, node: ast.While) -> None:
        self.loop(lambda: self.truth(node.test), lambda: self.statements(node.body))

    def loop(self, more: Callable[[], Any], body: Callable[[], None]) -> None:
        head, inside, after = (self.builder.append_basic_block() for _ in range(3))
        self.builder.branch(head)
        self.builder.position_at_end(head)
        self.builder.cbranch(more(), inside, after)
        self.builder.position_at_end(inside)
        body()
        self.builder.branch(head).set_metadata("llvm.loop", once(self.builder.module))
        self.builder.position_at_end(after)

    def branch(self, node: ast.If) -> None:
        with self.builder.if_else(self.truth(node.test)) as (then, otherwise):
            with then:
                self.statements(node.body)
            with otherwise:
                self.statements(node.orelse)

    # ---------------------------------------------------------------- expressions

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name(id=name) if name in self.places:
                return self.builder.load(self.places[name])
            case ast.Name(id=name) if name in self.known:
                return self.known[name]
            case ast.Name(id=name) if name in self.function.names:
                return self.function.names[name]
            case ast.Tuple():
                return tuple(self.value(one) for one in node.elts)
            case ast.Subscript():
                return self.builder.load(self.element(node))
            case ast.BinOp():
                return self.binary(node.op, self.value(node.left), self.value(node.right))
            case ast.UnaryOp(op=ast.USub()):
                return self.negative(self.value(node.operand))
            case ast.BoolOp(op=ast.And(), values=[x, y]):
                return self.builder.and_(self.truth(x), self.truth(y))
            case ast.Compare(ops=[sign], comparators=[right]):
                return self.compare(SIGNS[type(sign)], self.value(node.left), self.value(right))
            case ast.IfExp():
                test = self.truth(node.test)
                return self.either(test, self.value(node.body), self.value(node.orelse))
            case ast.Call():
                return self.call(node, [self.value(given) for given in node.args])
        raise self.unknown(node)

    def call(self, node: ast.Call, given: list[Any]) -> Any:
        if isinstance(node.func, ast.Name) and node.func.id in ("min", "max"):
            x, y = given
            return self.either(self.compare("<" if node.func.id == "min" else ">", y, x), y, x)
        function = self.value(node.func)
        match function:
            case Number():
                return self.cast(given[0], function.kind)
            case Pointer():
                return self.builder.inttoptr(constant(given[0]), function.kind.as_pointer())
            case Entry():
                made = entry(self.builder.module, function)
                return self.builder.call(made, [constant(one) for one in given])
            case Function():
                return Body(self.builder, function, given).write()
            case Written():
                return function.write(self.builder, *(constant(one) for one in given))
        raise self.unknown(node)

    def element(self, node: ast.Subscript) -> Any:
        """Where an element is."""
        pointer, index = self.value(node.value), self.value(node.slice)
        return self.builder.gep(pointer, [constant(index)], inbounds=True)

    def truth(self, node: ast.expr) -> Any:
        value = self.value(node)
        if not isinstance(value, ir.Value):
            return ir.Constant(BIT, bool(value))
        return value if value.type == BIT else self.compare("!=", value, 0)

    def either(self, test: Any, x: Any, y: Any) -> Any:
        """One of two values, both of which are computed."""
        if isinstance(x, tuple):
            return tuple(self.either(test, a, b) for a, b in zip(x, y, strict=True))
        return self.builder.select(test, *self.alike(x, y))

    def compare(self, sign: str, x: Any, y: Any) -> Any:
        x, y = self.alike(x, y)
        if x.type not in FLOATS:
            return self.builder.icmp_signed(sign, x, y)
        if sign == "!=":  # so is NaN from itself
            return self.builder.fcmp_unordered(sign, x, y)
        return self.builder.fcmp_ordered(sign, x, y)

    def negative(self, x: Any) -> Any:
        if not isinstance(x, ir.Value):
            return -x
        return self.builder.fneg(x) if x.type in FLOATS else self.binary(ast.Sub(), 0, x)

    def binary(self, sign: ast.operator, x: Any, y: Any) -> Any:
        kind = type(sign)
        if not isinstance(x, ir.Value) and not isinstance(y, ir.Value):
            return PLAIN[kind](x, y)
        x, y = self.alike(x, y)
        if x.type in FLOATS:
            return getattr(self.builder, OF_FLOATS[kind])(x, y, flags=self.function.flags)
        if kind in (ast.FloorDiv, ast.Mod):
            return self.rounded_down(x, y)[kind is ast.Mod]
        flags = ("nsw",) if x.type == WORD and kind in NEVER_OVERFLOW else ()
        return getattr(self.builder, OF_INTEGERS[kind])(x, y, flags=flags)

    def rounded_down(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Quotient and rest of integers, as Python defines them."""
        builder = self.builder
        quotient, rest = builder.sdiv(x, y), builder.srem(x, y)
        apart = builder.icmp_signed("<", builder.xor(rest, y), ir.Constant(x.type, 0))
        lower = builder.zext(builder.and_(self.compare("!=", rest, 0), apart), x.type)
        return builder.sub(quotient, lower), builder.add(rest, builder.mul(lower, y))

    # ---------------------------------------------------------------- types

    def alike(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Two values of one type."""
        if isinstance(y, ir.Value):
            x = x if isinstance(x, ir.Value) else self.cast(x, y.type)
        else:
            x = constant(x)
            y = self.cast(y, x.type)
        if x.type != y.type:
            raise TypeError(f"{self.function.name}: {x.type} is used with {y.type}")
        return x, y

    def cast(self, value: Any, to: Any) -> Any:
        if not isinstance(value, ir.Value):
            return ir.Constant(to, float(value) if to in FLOATS else int(value))
        have = value.type
        if have == to:
            return value
        if have in FLOATS:
            name = "fptosi" if to not in FLOATS else "fpext" if to == DOUBLE else "fptrunc"
        elif to in FLOATS:
            name = "uitofp" if have in UNSIGNED else "sitofp"
        elif have.width > to.width:
            name = "trunc"
        else:
            name = "zext" if have in UNSIGNED else "sext"
        return getattr(self.builder, name)(value, to)


def once(module: Any) -> Any:
    """A note at a loop: its body is written once; LLVM needs a fourth of its time for copies."""
    note = module.add_metadata([ir.MetaDataString(module, "llvm.loop.unroll.disable")])
    loop = ir.MDValue(module, [note], name=str(len(module.metadata)))
    loop.operands = (loop, note)  # its first part is itself
    return loop


def constant(value: Any) -> Any:
    """A number that is known, as an integer or of double precision."""
    if isinstance(value, ir.Value):
        return value
    return ir.Constant(WORD if isinstance(value, int) else DOUBLE, value)


def bounds(given: list[Any]) -> list[Any]:
    """Those of ``range``, and its step."""
    return ([constant(0)] if len(given) == 1 else []) + given + [constant(1)] * (len(given) < 3)
