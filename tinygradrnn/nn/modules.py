"""Module and Parameter: what a network is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from reprlib import recursive_repr
from typing import Any, Self

import numpy as np

from tinygradrnn.arrays import TensorLike, require_float, to_array
from tinygradrnn.backend import backend_of, get_backend, load_backend
from tinygradrnn.nn.summary import Summary, summarise
from tinygradrnn.recording import Array, Leaf, scope, state
from tinygradrnn.tensors import Tensor


class Parameter(Tensor):
    """A tensor that is trained.

    Parameters
    ----------
    data : array or nested list of numbers
        Copied. Python floats become float32.
    name : str, optional
        The attribute's name when it is assigned to a module.

    Attributes
    ----------
    path : str or None
        Its name seen from the outermost module: ``"rnn.cell.W_x"``.
    """

    __slots__ = ("path",)

    def __init__(self, data: TensorLike, *, name: str | None = None) -> None:
        array = get_backend().asarray(to_array(data)).copy()
        require_float(array.dtype, "Parameter")
        leaf = Leaf(array, requires_grad=True, name=name)
        super().__init__(leaf)
        leaf.belongs_to(self)
        self.path: str | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """For ``copy.deepcopy`` and pickle: the values and names, not the graph."""
        return _parameter, (self.data, self.name, self.path, self.requires_grad)


def _parameter(array: Array, name: str | None, path: str | None, requires_grad: bool) -> Parameter:
    """A parameter with the values of an array, on the backend where the array lives."""
    leaf = Leaf(array.copy(), requires_grad, name)
    made = Parameter.__new__(Parameter)
    Tensor.__init__(made, leaf)
    leaf.belongs_to(made)
    made.path = path
    return made


def held(name: str, value: Any) -> Iterator[tuple[str, Parameter | Module]]:
    """The parameters and modules in an attribute: itself, or in lists, tuples and dicts."""
    if isinstance(value, Parameter | Module):
        yield name, value
    elif isinstance(value, list | tuple):
        for position, part in enumerate(value):
            yield from held(f"{name}.{position}", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from held(f"{name}.{key}", part)


class Module:
    """A part of a network: parameters and other modules, found through its attributes.

    A subclass assigns them in ``__init__`` and computes in ``forward``. Parameters are listed in
    the order of assignment; one that is shared is listed once, under its first name. Those in
    lists, tuples and dicts count too. What runs inside a module is recorded under a scope with its
    name.
    """

    _training = True
    one_row = False  # whether summary() shows it as one layer, whatever it is made of
    _name = ""

    @property
    def training(self) -> bool:
        """Whether dropout drops; switched by :meth:`train` and :meth:`eval`."""
        if state.capture is not None:
            state.capture.depends(self, "_training")
        return self._training

    @training.setter
    def training(self, mode: bool) -> None:
        self._training = mode

    def forward(self, *inputs: Any, **options: Any) -> Any:
        raise TypeError(f"{type(self).__name__} has no forward(); define it to call the module")

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        with scope(self._name or type(self).__name__):
            return self.forward(*inputs, **options)

    def __setattr__(self, name: str, value: Any) -> None:
        before = vars(self).get(name)
        if isinstance(before, Parameter) and not isinstance(value, Parameter) and value is not None:
            before.data = value  # cell.W_x = array sets the values
            return
        object.__setattr__(self, name, value)
        new = list(held(name, value))
        paths = {id(p): path for path, p in self.named_parameters()} if new else {}
        for path, part in new:
            if isinstance(part, Parameter):
                part.name = part.name or path
                if part.path is None:  # one that is shared keeps its first
                    part.path = before.path if isinstance(before, Parameter) else path
                continue
            if not part._name:
                object.__setattr__(part, "_name", path)
            for parameter in part.parameters():
                parameter.path = paths[id(parameter)]

    # ---------------------------------------------------------------- what it holds

    def _parts(self) -> Iterator[tuple[str, Parameter | Module]]:
        """The parameters and modules held directly, by name."""
        for name, value in vars(self).items():
            yield from held(name, value)

    def children(self) -> Iterator[tuple[str, Module]]:
        """The modules held directly, by name."""
        for name, part in self._parts():
            if isinstance(part, Module):
                yield name, part

    def modules(self) -> Iterator[Module]:
        """The module itself and all below it, each once."""
        seen: dict[int, Module] = {}
        waiting: list[Module] = [self]
        while waiting:
            module = waiting.pop()
            if id(module) not in seen:
                seen[id(module)] = module
                yield module
                waiting.extend(reversed([child for _, child in module.children()]))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """The parameters by path (``"rnn.cell.W_x"``), each once, in the order of assignment."""
        seen = {id(self)}

        def below(prefix: str, module: Module) -> Iterator[tuple[str, Parameter]]:
            for name, part in module._parts():
                if id(part) in seen:
                    continue
                seen.add(id(part))
                if isinstance(part, Parameter):
                    yield prefix + name, part
                else:
                    yield from below(f"{prefix}{name}.", part)

        return below("", self)

    def parameters(self) -> list[Parameter]:
        """The parameters, each once."""
        return [parameter for _, parameter in self.named_parameters()]

    # ---------------------------------------------------------------- values

    def state_dict(self) -> dict[str, np.ndarray[Any, Any]]:
        """Copies of all parameters as NumPy arrays, by path."""
        return {path: parameter.numpy() for path, parameter in self.named_parameters()}

    def load_state_dict(self, values: Mapping[str, TensorLike]) -> None:
        """Set all parameters, or none.

        Raises
        ------
        ValueError
            Listing every missing, unexpected and wrongly shaped entry.
        """
        own = dict(self.named_parameters())
        arrays = {path: to_array(value) for path, value in values.items()}
        wrong = [f"missing: {path} {own[path].shape}" for path in own if path not in arrays]
        wrong += [f"unexpected: {path} {arrays[path].shape}" for path in arrays if path not in own]
        wrong += [
            f"wrong shape: {path} is {arrays[path].shape}, expected {own[path].shape}"
            for path in own
            if path in arrays and arrays[path].shape != own[path].shape
        ]
        if wrong:
            raise ValueError(
                f"load_state_dict of {type(self).__name__}: the values do not fit\n  "
                + "\n  ".join(wrong)
            )
        for path, parameter in own.items():
            parameter.data = arrays[path]

    def astype(self, dtype: Any) -> Self:
        """Change the dtype of all parameters in place; gradients are dropped."""
        dtype = np.dtype(dtype)
        require_float(dtype, "astype")
        return self._convert(lambda array: array.astype(dtype))

    def to(self, backend: str) -> Self:
        """Move all parameters to a backend in place; gradients are dropped."""
        target = load_backend(backend, "Module.to()")
        return self._convert(lambda array: target.asarray(backend_of(array).to_numpy(array)))

    def _convert(self, change: Any) -> Self:
        for parameter in self.parameters():
            leaf = parameter.node
            assert isinstance(leaf, Leaf)
            leaf.replace_value(change(leaf.value))
            leaf.grad = None
        return self

    # ---------------------------------------------------------------- modes

    def train(self, mode: bool = True) -> Self:
        """Switch dropout on (or off), in all modules below too."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Switch dropout off."""
        return self.train(False)

    def freeze(self) -> Self:
        """Take all parameters out of training: they need no gradient."""
        for parameter in self.parameters():
            parameter.requires_grad = False
            parameter.grad = None
        return self

    def unfreeze(self) -> Self:
        """Put all parameters back into training."""
        for parameter in self.parameters():
            parameter.requires_grad = True
        return self

    def summary(self, example: Any = None) -> Summary:
        """The layers with their output shapes and numbers of parameters, as Keras prints them.

        Parameters
        ----------
        example : input, or tuple of inputs, optional
            Run through the model, in ``eval()`` mode and without a graph, to learn the shapes.

        Returns
        -------
        Summary
            Shown as a table; ``.rows``, ``.total``, ``.trainable``, ``.frozen``.
        """
        return summarise(self, example)

    @recursive_repr()
    def __repr__(self) -> str:
        inside = [
            f"{name} {part.shape}" if isinstance(part, Parameter) else f"{name}: {part!r}"
            for name, part in self._parts()
        ]
        return f"{type(self).__name__}({', '.join(inside)})"


class Sequential(Module):
    """Modules one after the other; of a recurrent layer the next one gets ``.y``.

    Parameters
    ----------
    *layers : Module
        Also functions of a tensor, such as ``F.tanh``. :class:`Last` takes ``.last``.
    """

    takes_lengths = True

    def __init__(self, *layers: Any) -> None:
        for position, layer in enumerate(layers):
            if not callable(layer):
                raise TypeError(
                    f"Sequential: layer {position} is a {type(layer).__name__}; give modules or "
                    "functions, one after the other: Sequential(a, b)"
                )
        self.layers = list(layers)

    def forward(self, x: Any, lengths: Any = None) -> Any:
        """Pass x through all layers; ``lengths`` of sequences go to the recurrent ones."""
        for layer in self.layers:
            if hasattr(x, "last") and not getattr(layer, "reads_output", False):
                x = x.y
            passed_on = lengths is not None and getattr(layer, "takes_lengths", False)
            x = layer(x, lengths=lengths) if passed_on else layer(x)
        return x

    def __getitem__(self, position: int) -> Any:
        return self.layers[position]

    def __len__(self) -> int:
        return len(self.layers)
