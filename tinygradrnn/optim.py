"""Optimisers, and clipping of gradients (``tg.optim``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np

from tinygradrnn import ops
from tinygradrnn.backend import backend_of
from tinygradrnn.clipping import checked_parameters, clip_grad_norm, clip_grad_value
from tinygradrnn.recording import Array, Leaf, no_grad, state
from tinygradrnn.tensors import Tensor

Slots = dict[str, Array]


class Optimizer:
    """Changes parameters in place by their ``.grad``; those without one are left alone.

    Parameters
    ----------
    params : iterable of Parameter
        For example ``model.parameters()``. One given twice counts once.
    lr : float
        May be changed between steps.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, **settings: float | bool) -> None:
        self.params = list(dict.fromkeys(checked_parameters(params, type(self).__name__)))
        for name, value in (("lr", lr), *settings.items()):
            if name == "nesterov":
                continue
            number = isinstance(value, Real) and not isinstance(value, bool)
            if not (number and 0 <= value < float("inf")):
                raise ValueError(
                    f"{type(self).__name__}: {name} must be a finite number of at least 0, "
                    f"got {value!r}"
                )
        self.lr = float(lr)
        self.rate: Any = self.lr  # the learning rate of the step that is being made
        self.settings: dict[str, Any] = settings
        self.slots: list[Slots] = [{} for _ in self.params]
        self.steps = [0 for _ in self.params]

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        due = [k for k, p in enumerate(self.params) if p.grad is not None and p.requires_grad]

        if state.capture is not None:
            state.capture.depends(self, "settings")
            state.capture.counts(self.steps, due)
        else:
            for position in due:
                self.steps[position] += 1
        self.rate = number(lambda: self.lr)
        for position in due:
            self._update(position)

    def _update(self, position: int) -> None:
        parameter = self.params[position]
        leaf, grad = parameter.node, parameter.grad
        assert isinstance(leaf, Leaf) and grad is not None
        value = leaf.value
        slots = self.slots[position]
        for name, slot in slots.items():
            if type(slot) is not type(value) or slot.dtype != value.dtype:  # moved since
                numbers = backend_of(slot).to_numpy(slot)
                slots[name] = backend_of(value).asarray(numbers, value.dtype)
        if state.capture is None:
            value -= self.change(value, grad.node.value, slots, position)
            leaf.replace_value(value)
        else:
            state.capture.uses(leaf)
            with no_grad():
                new = parameter - self.change(parameter, grad, slots, position)
            state.capture.assign(leaf, "value", new)

    def change(self, w: Any, g: Any, slots: Slots, position: int) -> Any:
        """What to subtract from the parameter w, given its gradient g; ``slots`` is its memory.

        Works on arrays, and on tensors for ``tg.compile``: with operators, operations,
        :func:`number` for what is another number at each step, :func:`memory` and
        :func:`remember`.
        """
        raise NotImplementedError

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.params:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Everything needed to go on exactly: numbers, and NumPy arrays by parameter position."""
        return {
            "kind": type(self).__name__,
            "lr": self.lr,
            "settings": dict(self.settings),
            "steps": list(self.steps),
            "slots": [
                {name: np.array(backend_of(a).to_numpy(a)) for name, a in slots.items()}
                for slots in self.slots
            ],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that :meth:`state_dict` gave."""
        if state["kind"] != type(self).__name__:
            raise ValueError(
                f"load_state_dict: the state is of {state['kind']}, not of {type(self).__name__}"
            )
        if len(state["slots"]) != len(self.params):
            raise ValueError(
                f"load_state_dict: the state is of {len(state['slots'])} parameters, "
                f"this optimiser has {len(self.params)}"
            )
        loaded: list[Slots] = []
        for position, (parameter, slots) in enumerate(
            zip(self.params, state["slots"], strict=True)
        ):
            backend = backend_of(parameter.data)
            for name, array in slots.items():
                if array.shape != parameter.shape:
                    raise ValueError(
                        f"load_state_dict: {name} of parameter {position} has shape "
                        f"{array.shape}, {parameter.node.describe()} needs {parameter.shape}"
                    )
            loaded.append({name: backend.asarray(array).copy() for name, array in slots.items()})
        self.lr = state["lr"]
        self.settings = dict(state["settings"])
        self.steps[:] = state["steps"]  # the lists and dicts themselves are known to plans
        for slots, own in zip(loaded, self.slots, strict=True):
            own.clear()
            own.update(slots)


def memory(slots: Slots, name: str, like: Any) -> Any:
    """The array of that name in a parameter's memory, zeros at first."""
    if state.capture is not None:
        return state.capture.held(slots, name, like.node.value)
    if name not in slots:
        slots[name] = backend_of(like).xp.zeros_like(like)
    return slots[name]


def remember(slots: Slots, name: str, value: Any) -> None:
    """Keep a new value of the array of that name; one that was changed in place is kept already."""
    if state.capture is not None:
        state.capture.assign(slots, name, value)


def number(read: Callable[[], float]) -> Any:
    """A number that may be another one at the next step."""
    return read() if state.capture is None else state.capture.number(read)


def decayed(g: Array, w: Array, weight_decay: float) -> Array:
    """The gradient of the loss plus ½ λ ‖w‖²."""
    return g + weight_decay * w if weight_decay else g


class SGD(Optimizer):
    """v ← μ v + g, w ← w − lr v; Nesterov: w ← w − lr (g + μ v).

    As PyTorch: v starts as g, the learning rate multiplies outside v, and ``weight_decay`` λ adds
    λ w to g. Without momentum v = g.

    Parameters
    ----------
    params : iterable of Parameter
    lr, momentum, weight_decay : float
        lr, μ, λ.
    nesterov : bool
        Needs momentum (Sutskever et al. 2013).
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True needs a momentum above 0")
        super().__init__(
            params, lr, momentum=momentum, nesterov=nesterov, weight_decay=weight_decay
        )

    def change(self, w: Any, g: Any, slots: Slots, position: int) -> Any:
        """Lr v."""
        mu = self.settings["momentum"]
        g = decayed(g, w, self.settings["weight_decay"])
        lr = self.rate
        if not mu:
            return lr * g
        v = memory(slots, "momentum", w)
        v *= mu
        v += g
        remember(slots, "momentum", v)
        return lr * (g + mu * v if self.settings["nesterov"] else v)


class Adagrad(Optimizer):
    """s ← s + g², w ← w − lr g / (√s + ε) (Duchi et al. 2011); λ w is added to g first.

    Parameters
    ----------
    params : iterable of Parameter
    lr, eps, weight_decay : float
        lr, ε, λ.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, lr, eps=eps, weight_decay=weight_decay)

    def change(self, w: Any, g: Any, slots: Slots, position: int) -> Any:
        """Lr g / (√s + ε)."""
        g = decayed(g, w, self.settings["weight_decay"])
        s = memory(slots, "square", w)
        s += g * g
        remember(slots, "square", s)
        return self.rate * g / (ops.sqrt(s) + self.settings["eps"])


class RMSprop(Optimizer):
    """s ← α s + (1 − α) g², v ← μ v + g / (√s + ε), w ← w − lr v (Hinton's lecture 6e, 2012).

    Parameters
    ----------
    params : iterable of Parameter
    lr, alpha, eps, momentum, weight_decay : float
        lr, α, ε, μ, and λ: λ w is added to g first.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(
            params, lr, alpha=alpha, eps=eps, momentum=momentum, weight_decay=weight_decay
        )

    def change(self, w: Any, g: Any, slots: Slots, position: int) -> Any:
        """Lr v; without momentum v = g / (√s + ε)."""
        alpha, mu = self.settings["alpha"], self.settings["momentum"]
        g = decayed(g, w, self.settings["weight_decay"])
        s = memory(slots, "square", w)
        s *= alpha
        s += (1 - alpha) * g * g
        remember(slots, "square", s)
        lr = self.rate
        scaled = g / (ops.sqrt(s) + self.settings["eps"])
        if not mu:
            return lr * scaled
        v = memory(slots, "momentum", w)
        v *= mu
        v += scaled
        remember(slots, "momentum", v)
        return lr * v


class Adam(Optimizer):
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², w ← w − lr m̂ / (√v̂ + ε).

    With m̂ = m / (1 − β₁ᵗ), v̂ = v / (1 − β₂ᵗ) (Kingma & Ba 2015). ``weight_decay`` λ adds λ w to
    g; :class:`AdamW` keeps it apart.

    Parameters
    ----------
    params : iterable of Parameter
    lr : float
    betas : (float, float)
        β₁, β₂.
    eps, weight_decay : float
        ε, λ.
    """

    decoupled = False

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not (0 <= betas[0] < 1 and 0 <= betas[1] < 1):
            raise ValueError(
                f"{type(self).__name__}: betas must be at least 0 and below 1, got {betas}"
            )
        super().__init__(
            params, lr, beta1=betas[0], beta2=betas[1], eps=eps, weight_decay=weight_decay
        )

    def change(self, w: Any, g: Any, slots: Slots, position: int) -> Any:
        """Lr m̂ / (√v̂ + ε)."""
        b1, b2 = self.settings["beta1"], self.settings["beta2"]
        decay = self.settings["weight_decay"]
        if not self.decoupled:
            g = decayed(g, w, decay)
        m = memory(slots, "mean", w)
        m *= b1
        m += (1 - b1) * g
        remember(slots, "mean", m)
        v = memory(slots, "square", w)
        v *= b2
        v += (1 - b2) * g * g
        remember(slots, "square", v)
        steps = self.steps
        root = ops.sqrt(v)
        root /= number(lambda: (1 - b2 ** steps[position]) ** 0.5)
        root += self.settings["eps"]
        change = number(lambda: self.lr / (1 - b1 ** steps[position])) * m / root
        if not (decay and self.decoupled):
            return change
        return change + number(lambda: self.lr * decay) * w


class AdamW(Adam):
    """Adam whose weight decay, w ← w − lr λ w, is not scaled by √v̂ (Loshchilov & Hutter 2019)."""

    decoupled = True

    def __init__(
        self,
        params: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)


__all__ = [
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Optimizer",
    "RMSprop",
    "clip_grad_norm",
    "clip_grad_value",
]
