"""The functions of the guard: NumPy's, as far as CuPy has them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygradrnn.testing.arrays import GuardArray, all_held, entries_of, held, wrapped
from tinygradrnn.testing.rules import FROM_HOST, WAITS, Rule, check_operands, recorded
from tinygradrnn.testing.synchronisations import synchronise

MODULES = ("fft", "linalg", "random")
NO_AXES = frozenset(("allclose", "array_equal", "array_equiv"))  # arrays, where NumPy gives bool


class GuardUfunc:
    """A universal function: takes the guard's arrays and numbers, nothing that needs converting."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.__name__ = rule.name
        self._ufunc = reached(rule.name)

    def __call__(self, *operands: Any, **keywords: Any) -> Any:
        rule, name = self.rule, self.rule.name
        rule.check(len(operands), keywords)
        given = [held(operand, name) for operand in operands]
        named = {key: all_held(value, name) for key, value in keywords.items()}
        with np.errstate(all="ignore"):  # CuPy warns of nothing
            result = self._ufunc(*given, **named)
        if len(given) > self._ufunc.nin:
            return operands[-1]
        out = keywords.get("out")
        return wrapped(result) if out is None else out

    def at(self, array: GuardArray, index: Any, values: Any = None) -> None:
        """What :meth:`numpy.ufunc.at` does."""
        self._require("at")
        entries = entries_of(array, index)
        self._ufunc.at(array._held, entries, held(values, f"{self.rule.name}.at"))

    def reduce(self, array: GuardArray, axis: Any = 0, **keywords: Any) -> Any:
        """What :meth:`numpy.ufunc.reduce` does."""
        self._require("reduce")
        Rule("function", "reduce", ("dtype", "out", "keepdims"), frozenset()).check(0, keywords)
        return wrapped(self._ufunc.reduce(held(array, self.rule.name), axis, **keywords))

    def accumulate(self, array: GuardArray, axis: Any = 0) -> Any:
        """What :meth:`numpy.ufunc.accumulate` does."""
        self._require("accumulate")
        return wrapped(self._ufunc.accumulate(held(array, self.rule.name), axis))

    def reduceat(self, array: GuardArray, indices: Any, axis: Any = 0) -> Any:
        """What :meth:`numpy.ufunc.reduceat` does."""
        self._require("reduceat")
        where = held(indices, self.rule.name)
        return wrapped(self._ufunc.reduceat(held(array, self.rule.name), where, axis))

    def outer(self, first: Any, second: Any) -> Any:
        """What :meth:`numpy.ufunc.outer` does."""
        return wrapped(self._ufunc.outer(held(first, self.rule.name), held(second, self.rule.name)))

    def _require(self, method: str) -> None:
        if method not in self.rule.ufunc_methods:
            having = [
                name for name, rule in recorded()["ufunc"].items() if method in rule.ufunc_methods
            ]
            raise NotImplementedError(
                f"CuPy has no {self.rule.name}.{method}; it has {method} of {', '.join(having)}"
            )


class GuardFunction:
    """Any other function of NumPy that CuPy has."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.__name__ = rule.name
        self._function = reached(rule.name)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        rule, name = self.rule, self.rule.name
        rule.check(len(arguments), keywords)
        keywords.pop("blocking", None)
        if name in FROM_HOST:
            return self._copied(*arguments, **keywords)
        check_operands(rule, arguments, keywords)
        if name in WAITS or (name == "where" and len(arguments) == 1):
            synchronise(f"{name}()")
        given = [all_held(argument, name) for argument in arguments]
        named = {key: all_held(value, name) for key, value in keywords.items()}
        if name == "take":
            named["mode"] = "wrap"
        elif name == "take_along_axis":
            given, named = _wrapping(*given, **named), {}
        with np.errstate(all="ignore"):
            result = self._function(*given, **named)
        if keywords.get("out") is not None:
            return keywords["out"]
        return wrapped(np.bool_(result) if name in NO_AXES else result)

    def _copied(self, data: Any, *arguments: Any, **keywords: Any) -> GuardArray:
        """An array made of numbers, lists or NumPy's arrays: of its own memory, as on a device."""
        inside = _from_host(data)
        made = self._function(inside, *arguments, **keywords)
        if isinstance(data, GuardArray):
            return data if made is inside else GuardArray(made)
        return GuardArray(made.copy() if isinstance(data, np.ndarray) else made)


def _from_host(data: Any) -> Any:
    """Numbers, lists and NumPy's arrays, which these functions copy to the device."""
    if isinstance(data, GuardArray):
        return data._held
    if isinstance(data, list | tuple):
        return [_from_host(part) for part in data]
    return data


def _wrapping(a: Any, indices: Any, axis: Any) -> list[Any]:
    size = a.size if axis is None else a.shape[axis]
    return [a, indices % size, axis]


class GuardGenerator:
    """What ``xp.random.default_rng`` gives: the draws that CuPy's generator has."""

    def __init__(self, seed: Any = None) -> None:
        self._generator = np.random.default_rng(seed)

    def __getattr__(self, name: str) -> Any:
        rule = recorded()["draw"].get(name)
        if rule is None:
            raise AttributeError(f"CuPy's random.Generator has no {name}")

        def draw(*arguments: Any, **keywords: Any) -> Any:
            rule.check(len(arguments), keywords)
            return wrapped(getattr(self._generator, name)(*arguments, **keywords))

        return draw


class GuardFunctions:
    """An array module, as NumPy and CuPy are: what CuPy lacks, it lacks."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix

    def __getattr__(self, name: str) -> Any:
        member = self._found(self._prefix + name)
        setattr(self, name, member)
        return member

    def _found(self, name: str) -> Any:
        rules = recorded()
        if name == "random.default_rng":
            return GuardGenerator
        if name in rules["ufunc"]:
            return GuardUfunc(rules["ufunc"][name])
        if name in rules["function"]:
            return GuardFunction(rules["function"][name])
        if name in rules["type"]:
            return getattr(np, name)
        if name in rules["value"] and isinstance(value := getattr(np, name), float | None):
            return value
        if name in MODULES:
            return GuardFunctions(f"{name}.")
        whose = "NumPy has it, CuPy does not" if hasattr(np, name) else "NumPy has none either"
        raise AttributeError(f"the guard has no {name}: {whose}")

    ndarray = GuardArray

    @staticmethod
    def asnumpy(array: Any) -> np.ndarray[Any, Any]:
        """A copy on the host."""
        return array.get() if isinstance(array, GuardArray) else np.asarray(array)


def reached(name: str) -> Any:
    """NumPy's function of a dotted name."""
    module, _, last = name.rpartition(".")
    return getattr(getattr(np, module) if module else np, last)


FUNCTIONS = GuardFunctions()
