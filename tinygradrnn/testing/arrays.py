"""The array of the guard: NumPy's numbers, behind CuPy's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np

from tinygradrnn.testing.rules import WAITS, Rule, recorded, refuse
from tinygradrnn.testing.synchronisations import synchronise

NUMBERS = (bool, int, float, complex, np.generic)


class GuardArray:
    """An array that can be computed with, but not looked into without asking for it."""

    __slots__ = ("__weakref__", "_held")
    __hash__ = None  # type: ignore[assignment]
    __array_priority__ = 100

    def __init__(self, held: np.ndarray[Any, Any]) -> None:
        self._held = held

    # ---------------------------------------------------------------- what the host may know

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self._held.shape
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        dtype: np.dtype[Any] = self._held.dtype
        return dtype

    @property
    def T(self) -> GuardArray:
        return GuardArray(self._held.T)

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[GuardArray]:
        return (self[position] for position in range(len(self)))

    # ---------------------------------------------------------------- what makes the host wait

    def get(
        self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True
    ) -> np.ndarray[Any, Any]:
        """A copy on the host."""
        synchronise(".get()")
        if out is not None:
            out[...] = self._held
            return out  # type: ignore[no-any-return]
        return np.array(self._held, order=order)  # type: ignore[call-overload, no-any-return]

    def __bool__(self) -> bool:
        synchronise("bool()")
        return bool(self._held)

    def __int__(self) -> int:
        synchronise("int()")
        return int(self._held)

    def __float__(self) -> float:
        synchronise("float()")
        return float(self._held)

    def __complex__(self) -> complex:
        synchronise("complex()")
        return complex(self._held)

    def __repr__(self) -> str:
        synchronise("repr()")
        return repr(self._held)

    def __str__(self) -> str:
        synchronise("str()")
        return str(self._held)

    def __format__(self, spec: str) -> str:
        synchronise("format()")
        return format(self._held[()], spec)

    def __reduce__(self) -> tuple[Any, ...]:
        synchronise("a pickle")
        return GuardArray, (self._held.copy(),)

    def __copy__(self) -> GuardArray:
        return GuardArray(self._held.copy())

    def __deepcopy__(self, memo: Any) -> GuardArray:
        return GuardArray(self._held.copy())

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {**self._held.__array_interface__, "version": 3}

    # ---------------------------------------------------------------- what NumPy is refused

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise TypeError(
            "an array of the guard does not become a NumPy array by itself, as CuPy's do not; "
            "write array.get(), or tensor.numpy(), which wait for the device"
        )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        from tinygradrnn.testing.functions import FUNCTIONS  # it stands on this module

        if len(out := keywords.get("out", ())) == 1:
            keywords["out"] = out[0]
        function = getattr(FUNCTIONS, ufunc.__name__)
        return (function if method == "__call__" else getattr(function, method))(
            *inputs, **keywords
        )

    def __array_function__(self, function: Any, types: Any, inputs: Any, keywords: Any) -> Any:
        from tinygradrnn.testing.functions import FUNCTIONS

        module = function.__module__.partition(".")[2]
        owner = getattr(FUNCTIONS, module) if module else FUNCTIONS
        return getattr(owner, function.__name__)(*inputs, **keywords)

    # ---------------------------------------------------------------- indexing

    def __getitem__(self, index: Any) -> GuardArray:
        entries = entries_of(self, index)
        if any(isinstance(entry, np.ndarray) for entry in entries):
            if any(isinstance(entry, np.ndarray) and entry.dtype == bool for entry in entries):
                synchronise("a boolean mask as an index")
        elif Ellipsis not in entries:
            entries = (*entries, ...)  # a view, of a single element too
        return GuardArray(np.asarray(self._held[entries]))

    def __setitem__(self, index: Any, value: Any) -> None:
        entries = entries_of(self, index)
        arrays = [entry for entry in entries if isinstance(entry, np.ndarray)]
        if any(entry.dtype == bool for entry in arrays):
            if isinstance(value, GuardArray) and value.shape:
                synchronise("an array assigned by a boolean mask")
        elif arrays:
            positions = np.arange(self._held.size).reshape(self.shape)[entries]
            if len(np.unique(positions)) < positions.size:
                raise ValueError(
                    "x[ids] = values with ids that repeat: CuPy keeps any one of the values, so "
                    "the guard refuses; to add them up use backend.scatter_add"
                )
        with np.errstate(all="ignore"):
            self._held[entries] = held(value, "x[index] = value")


def held(value: Any, what: str) -> Any:
    """The NumPy array behind an operand, or the number that it is; TypeError for all else."""
    if isinstance(value, GuardArray):
        return value._held
    if isinstance(value, NUMBERS) or value is None:
        return value
    raise refuse(value, what)


def all_held(value: Any, what: str) -> Any:
    """The same for any argument: shapes, names and types pass, lists are searched."""
    if isinstance(value, GuardArray):
        return value._held
    if isinstance(value, np.ndarray):
        raise refuse(value, what)
    if isinstance(value, list | tuple):
        return type(value)([all_held(part, what) for part in value])
    return value


def wrapped(result: Any) -> Any:
    """NumPy's results as the guard's: numbers become arrays without axes."""
    if isinstance(result, np.ndarray | np.generic):
        return GuardArray(np.asarray(result))
    if isinstance(result, list | tuple):
        parts = [wrapped(part) for part in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


def entries_of(array: GuardArray, index: Any) -> tuple[Any, ...]:
    """The entries of an index as NumPy takes them; integers out of range wrap, as on CuPy."""
    entries: list[Any] = []
    axis = 0
    given = index if isinstance(index, tuple) else (index,)
    for position, entry in enumerate(given):
        if entry is Ellipsis:
            axis = array._held.ndim - sum(axes_of(rest) for rest in given[position + 1 :])
        elif isinstance(entry, np.ndarray | list | tuple):
            raise refuse(entry, "an index")
        elif isinstance(entry, GuardArray):
            inside = entry._held
            integers = inside.dtype.kind in "iu" and axis < array._held.ndim
            entries.append(inside % max(array.shape[axis], 1) if integers else inside)
            axis += axes_of(entry)
            continue
        else:
            axis += axes_of(entry)
        entries.append(entry)
    return tuple(entries)


def axes_of(entry: Any) -> int:
    """How many axes an entry of an index stands for."""
    if isinstance(entry, GuardArray) and entry.dtype == bool:
        return entry._held.ndim
    return int(entry is not None and entry is not Ellipsis)


# -------------------------------------------------------------------- methods and operators

SYMBOLS = {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide"},
    **{"floordiv": "floor_divide", "mod": "remainder", "pow": "power", "matmul": "matmul"},
    **{"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"},
    **{"lshift": "left_shift", "rshift": "right_shift", "divmod": "divmod"},
}
COMPARISONS = {
    **{"eq": "equal", "ne": "not_equal", "lt": "less"},
    **{"le": "less_equal", "gt": "greater", "ge": "greater_equal"},
}
SIGNS = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}
NOT_DOUBLED = frozenset(("base", "data", "device", "flat"))


def operator(name: str, place: str) -> Callable[..., Any]:
    """An operator: ``x + y``, with the array on the left (``l``), on the right, or ``+=``."""

    def apply(self: GuardArray, other: Any) -> Any:
        from tinygradrnn.testing.functions import FUNCTIONS

        if getattr(other, "__array_ufunc__", 0) is None:
            return NotImplemented  # it knows better: a tensor
        ufunc = getattr(FUNCTIONS, name)
        if place == "in place":
            return ufunc(self, other, out=self)
        return ufunc(self, other) if place == "left" else ufunc(other, self)

    return apply


def sign(name: str) -> Callable[..., Any]:
    """An operator of one operand: ``-x``."""

    def apply(self: GuardArray) -> Any:
        with np.errstate(all="ignore"):
            return wrapped(getattr(np, name)(self._held))

    return apply


def method(rule: Rule) -> Callable[..., Any]:
    """A method of NumPy's arrays, of which CuPy has the keywords in the rule."""
    name = rule.name

    def call(self: GuardArray, *arguments: Any, **keywords: Any) -> Any:
        rule.check(len(arguments), keywords)
        if name in WAITS:
            synchronise(f".{name}()")
        given = [all_held(argument, name) for argument in arguments]
        named = {key: all_held(value, name) for key, value in keywords.items()}
        if name == "take":
            named.setdefault("mode", "wrap")  # as CuPy, which never raises
        with np.errstate(all="ignore"):
            result = getattr(self._held, name)(*given, **named)
        if isinstance(keywords.get("out"), GuardArray):
            return keywords["out"]
        return wrapped(result)

    call.__name__ = name
    return call


def attribute(name: str) -> Any:
    """A property, such as ``x.mT``."""
    return property(lambda self: wrapped(getattr(self._held, name)))


def complete() -> None:
    """Give the class the methods, attributes and operators that are all alike."""
    rules = recorded()
    made: dict[str, Any] = {
        **{name: method(rule) for name, rule in rules["method"].items()},
        **{name: attribute(name) for name in rules["attribute"] if name not in NOT_DOUBLED},
        **{f"__{key}__": operator(name, "left") for key, name in (SYMBOLS | COMPARISONS).items()},
        **{f"__r{key}__": operator(name, "right") for key, name in SYMBOLS.items()},
        **{f"__i{key}__": operator(name, "in place") for key, name in SYMBOLS.items()},
        **{f"__{key}__": sign(name) for key, name in SIGNS.items()},
    }
    for name in ("__imatmul__", "__idivmod__"):  # CuPy has neither
        del made[name]
    for name, member in made.items():
        if name not in vars(GuardArray) or name in ("__eq__", "__ne__"):
            setattr(GuardArray, name, member)


complete()
