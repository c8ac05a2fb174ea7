"""Optimisers, and clipping of gradients (``tg.optim``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np

from tinygradrnn import ops
from tinygradrnn.backend import backend_of
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
        self.settings: dict[str, Any] = settings
        self.slots: list[Slots] = [{} for _ in self.params]
        self.steps = [0 for _ in self.params]

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        due = [k for k, p in enumerate(self.params) if p.grad is not None and p.requires_grad]

        def count() -> None:
            for position in due:
                self.steps[position] += 1

        if state.capture is None:
            count()
        else:
            state.capture.host(count)
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
        self.steps = list(state["steps"])
        self.slots = loaded


def memory(slots: Slots, name: str, like: Any) -> Any:
    """The array of that name in a parameter's memory, zeros at first."""
    if name not in slots:
        value = like.node.value if isinstance(like, Tensor) else like
        slots[name] = backend_of(value).xp.zeros_like(value)
    return slots[name] if state.capture is None else state.capture.held(slots, name)


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
        lr = number(lambda: self.lr)
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
        return number(lambda: self.lr) * g / (ops.sqrt(s) + self.settings["eps"])


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
        lr = number(lambda: self.lr)
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


# ---------------------------------------------------------------- clipping


def clip_grad_norm(
    params: Iterable[Tensor], max_norm: float, p: float = 2, error_if_nonfinite: bool = False
) -> Tensor:
    """Scale all gradients together so that their joint p-norm is at most ``max_norm``.

    g ← g · max_norm / ‖g‖_p, only if ‖g‖_p > max_norm (Pascanu et al. 2013; note set 003, whose
    formula lacks the condition; Mikolov's trick in note set 001 clips to a range, see
    :func:`clip_grad_value`). The norm is summed in float64, where the squares of float32 cannot
    overflow; PyTorch adds 1e-6 to it. If it is NaN or infinite the gradients stay as they are.

    Parameters
    ----------
    params : iterable of Parameter
        Those without a gradient are left out.
    max_norm : float
        Above 0; infinity to measure only.
    p : float
        1, 2, any number above 0, or ``float("inf")`` for the largest element.
    error_if_nonfinite : bool
        Raise if the norm is NaN or infinite; costs a look at the value on a GPU.

    Returns
    -------
    Tensor
        The norm before, 0-d.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be above 0, got {max_norm}")
    if not p > 0:
        raise ValueError(f"clip_grad_norm: p must be above 0, got {p}")
    listed = dict.fromkeys(checked_parameters(params, "clip_grad_norm"))
    leaves = [q for q in listed if q.grad is not None]
    if not leaves:
        return Tensor(Leaf(np.zeros((), np.float32)))
    gradients = [q.grad for q in leaves if q.grad is not None]
    norm = joint_norm(gradients, p)
    if error_if_nonfinite and not np.isfinite(norm.item()):
        raise FloatingPointError(
            f"clip_grad_norm: the norm of the gradients is {norm.item()}; run the step under "
            "tg.debug() to find the operation that made it"
        )
    if max_norm < float("inf"):
        above = (norm > max_norm) * (norm < float("inf"))
        scale = max_norm / ops.where(above, norm, max_norm)
        for q, g in zip(leaves, gradients, strict=True):
            q.grad = g * scale.astype(g.dtype)
    return norm.astype(gradients[0].dtype)


def joint_norm(gradients: Sequence[Tensor], p: float) -> Tensor:
    """The p-norm of several tensors as one long vector, 0-d float64."""
    if p == float("inf"):
        return ops.stack(*[abs(g).max() for g in gradients], axis=0).max().astype("float64")
    powers = ops.stack(*[power_sum(g, p=p) for g in gradients], axis=0).sum()
    return ops.sqrt(powers) if p == 2 else powers ** (1 / p)


def _power_sum(xp: Any, g: Array, p: float) -> Array:
    square = xp.multiply(g, g, dtype="float64") if p == 2 else xp.power(abs(g), p, dtype="float64")
    return square.sum()


power_sum = ops.Op("power_sum", _power_sum)


def clip_grad_value(params: Iterable[Tensor], min: float, max: float) -> None:
    """Limit every element of every gradient to [min, max] (note sets 001 and 003)."""
    if not min < max:
        raise ValueError(f"clip_grad_value: min {min} must be below max {max}")
    for q in checked_parameters(params, "clip_grad_value"):
        if q.grad is not None:
            q.grad = ops.clip(q.grad, low=min, high=max)


def checked_parameters(params: Iterable[Tensor], what: str) -> list[Tensor]:
    """The parameters as a list, or an error that names the first that is none."""
    if not isinstance(params, Iterable):
        raise TypeError(f"{what}: params is a {type(params).__name__}; write model.parameters()")
    listed = [params] if isinstance(params, Tensor) else list(params)
    if not listed:
        raise ValueError(f"{what}: no parameters were given (was an iterator used up?)")
    for position, parameter in enumerate(listed):
        if not isinstance(parameter, Tensor) or not parameter.node.is_leaf:
            kind = type(parameter).__name__
            raise TypeError(
                f"{what}: item {position} of params is a {kind}, not a parameter; "
                "write model.parameters()"
            )
    return listed
