"""Pruning: masks that set entries of a parameter to 0.

Takes a module and a parameter's name, gives the module with `<name>_orig` (trained) and
`<name>_mask`; `<name>` is their product, computed before each call. Invariant: entries that are
pruned stay pruned; further methods look at the others only.
https://docs.pytorch.org/docs/stable/nn.html#utilities
"""

from __future__ import annotations

import math
import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

from ...core.modes import no_grad
from ...core.tensor import Tensor
from ...creation import ones_like, rand, rand_like, zeros_like
from ...ops.gather import cat
from ..modules.module import Module


class BasePruningMethod(ABC):
    """A way to choose what is pruned, and the hook that applies it.

    Subclasses define compute_mask and PRUNING_TYPE: "unstructured" (single entries), "structured"
    (channels along `dim`) or "global" (the whole tensor)."""

    _tensor_name: str = ""
    PRUNING_TYPE = "global"

    def __call__(self, module: Module, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for scores t, with what default_mask prunes already."""

    def apply_mask(self, module: Module) -> Tensor:
        """mask * original."""
        if not self._tensor_name:
            raise AssertionError(f"Module {module} has to be pruned")
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(original.dtype) * original

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any
    ) -> BasePruningMethod:
        """Prunes module.<name>, after what is pruned there already; args are the method's."""
        method = cls(*args, **kwargs)
        method._tensor_name = name
        found = _hook_of(module, name)
        if found is not None:
            key, old = found
            if not isinstance(old, PruningContainer):
                old = PruningContainer(old)
            old.add_pruning_method(method)
            method = old  # type: ignore[assignment]
            del module._forward_pre_hooks[key]
        original = getattr(module, name)
        if importance_scores is None:
            importance_scores = original
        elif importance_scores.shape != original.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, "
                f"got {importance_scores.shape} vs {original.shape}"
            )
        if found is None:
            module.register_parameter(name + "_orig", module._parameters[name])
            del module._parameters[name]
            before = ones_like(original).detach()
        else:
            before = getattr(module, name + "_mask").detach().clone()
        try:
            with no_grad():
                mask = method.compute_mask(importance_scores.detach(), default_mask=before)
        except Exception:
            if found is None:
                kept = module._parameters.pop(name + "_orig")
                module.register_parameter(name, kept)  # type: ignore[arg-type]
            else:
                module.register_forward_pre_hook(found[1])
            raise
        module.register_buffer(name + "_mask", mask)
        setattr(module, name, method.apply_mask(module))
        module.register_forward_pre_hook(method)
        return method

    def prune(self, t: Tensor, default_mask: Any = None, importance_scores: Any = None) -> Tensor:
        """t with what the method chooses set to 0; nothing is registered."""
        if importance_scores is None:
            importance_scores = t
        elif importance_scores.shape != t.shape:
            raise AssertionError(
                "importance_scores should have the same shape as tensor t, got "
                f"{importance_scores.shape} vs {t.shape}"
            )
        default_mask = ones_like(t).detach() if default_mask is None else default_mask
        return t * self.compute_mask(importance_scores.detach(), default_mask=default_mask)

    def remove(self, module: Module) -> None:
        """Makes the pruned values the parameter's; what is pruned may change again."""
        name = self._tensor_name
        if not name:
            raise AssertionError(f"Module {module} has to be pruned before pruning can be removed")
        weight = self.apply_mask(module)
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(name + "_orig")
        original.data = weight.detach()  # type: ignore[union-attr]
        del module._buffers[name + "_mask"]
        setattr(module, name, original)


def _hook_of(module: Module, name: str) -> Any:
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return key, hook
    return None


class PruningContainer(BasePruningMethod):
    """Several methods on one tensor, one after another."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple = ()
        methods = args[0] if args and isinstance(args[0], Iterable) else args
        for method in methods:
            if not self._pruning_methods and isinstance(method, BasePruningMethod):
                self._tensor_name = method._tensor_name
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Adds a method for the same tensor."""
        if not isinstance(method, BasePruningMethod) and method is not None:
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if method is not None and self._tensor_name != method._tensor_name:
            raise ValueError(
                "Can only add pruning methods acting on the parameter named "
                f"'{self._tensor_name}' to PruningContainer {self}. Found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: Any) -> Any:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The last method's mask over what is not pruned yet."""
        method, mask = self._pruning_methods[-1], default_mask.to(t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            at: Any = mask == 1
        elif method.PRUNING_TYPE == "structured":
            if not hasattr(method, "dim"):
                raise AttributeError(
                    'Pruning methods of PRUNING_TYPE "structured" need to have the attribute `dim` '
                    "defined."
                )
            dim = method.dim + t.ndim if method.dim < 0 else method.dim
            if not 0 <= dim < t.ndim:
                raise IndexError(f"Index is out of bounds for tensor with dimensions {t.ndim}")
            others = tuple([d for d in range(t.ndim) if d != dim])
            at = (*(slice(None),) * dim, mask.sum(others) != 0)
        elif method.PRUNING_TYPE == "global":
            at = slice(None)
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        new = mask.clone()
        new[at] = method.compute_mask(t[at], default_mask=mask[at]).to(mask.dtype)
        return new


class Identity(BasePruningMethod):
    """Prunes nothing, and gives the tensor its mask."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


class _Entries(BasePruningMethod):
    """Prunes the `amount` (a number, or a share) of entries with the lowest scores."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        _check_amount(amount)
        self.amount = amount

    def _scores(self, t: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not say what it prunes")

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        n = _count(self.amount, t.numel())
        mask = default_mask.clone()
        if n:
            at = self._scores(t).reshape(-1).topk(n, largest=False).indices
            flat = mask.reshape(-1)
            flat[at] = 0
            mask = flat.reshape(mask.shape)
        return mask


class RandomUnstructured(_Entries):
    """Prunes entries at random."""

    def _scores(self, t: Tensor) -> Tensor:
        return rand_like(t)


class L1Unstructured(_Entries):
    """Prunes the entries with the smallest absolute values."""

    def _scores(self, t: Tensor) -> Tensor:
        return t.abs()


class _Channels(BasePruningMethod):
    """Prunes the `amount` of channels along `dim` with the lowest scores."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount, self.dim = amount, dim

    def _scores(self, t: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not say what it prunes")

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if t.ndim <= 1:
            raise ValueError(
                "Structured pruning can only be applied to multidimensional tensors. Found tensor "
                f"of shape {t.shape} with {t.ndim} dims"
            )
        if not -t.ndim <= self.dim < t.ndim:
            raise IndexError(f"Invalid index {self.dim} for tensor of size {t.shape}")
        size = t.shape[self.dim]
        n = _count(self.amount, size)
        if not n:
            return default_mask
        kept = self._scores(t).topk(size - n, largest=True).indices
        mask = zeros_like(t)
        mask[(*(slice(None),) * (self.dim % t.ndim), kept)] = 1
        return mask * default_mask.to(mask.dtype)


class RandomStructured(_Channels):
    """Prunes channels at random."""

    def _scores(self, t: Tensor) -> Tensor:
        return rand(t.shape[self.dim])


class LnStructured(_Channels):
    """Prunes the channels with the smallest n-norms."""

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def _scores(self, t: Tensor) -> Tensor:
        others = tuple([d for d in range(t.ndim) if d != self.dim % t.ndim])
        return t.norm(p=self.n, dim=others)


class CustomFromMask(BasePruningMethod):
    """Prunes what a given mask is 0 for."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        if default_mask.shape != self.mask.shape:
            raise AssertionError(
                f"default_mask shape {default_mask.shape} must match self.mask shape "
                f"{self.mask.shape}"
            )
        return default_mask * self.mask.to(default_mask.dtype)


# ---------------------------------------------------------------- functions


def identity(module: Module, name: str) -> Module:
    """Gives the parameter a mask of ones; returns the module."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Prunes `amount` entries (an int) or that share of them (a float) at random."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: Module, name: str, amount: float, importance_scores: Tensor | None = None
) -> Module:
    """Prunes the entries with the smallest absolute values (or scores)."""
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Prunes channels along `dim` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module,
    name: str,
    amount: float,
    n: Any,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prunes the channels along `dim` with the smallest n-norms."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prunes what `mask` is 0 for."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Any, pruning_method: Any, importance_scores: dict | None = None, **kwargs: Any
) -> None:
    """Prunes several parameters, [(module, name), ...], as if they were one; kwargs are the
    method's. TypeError for methods that are not "unstructured"."""
    if not isinstance(parameters, Iterable):
        raise TypeError("global_unstructured(): parameters is not an Iterable")
    parameters = list(parameters)
    if importance_scores is not None and not isinstance(importance_scores, dict):
        raise TypeError("global_unstructured(): importance_scores must be of type dict")
    given = importance_scores or {}
    scores = [given.get(key, getattr(*key)).detach() for key in parameters]
    masks = []
    for (module, name), score in zip(parameters, scores, strict=True):
        held = getattr(module, name + "_mask", None)
        masks.append(ones_like(score) if held is None else held)
    method = pruning_method(**kwargs)
    method._tensor_name = "all"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            'Only "unstructured" PRUNING_TYPE supported for the `pruning_method`. Found method '
            f"{pruning_method} of type {method.PRUNING_TYPE}"
        )
    container = PruningContainer(method)
    flat = container.compute_mask(
        cat([s.reshape(-1) for s in scores]), default_mask=cat([m.reshape(-1) for m in masks])
    )
    at = 0
    for (module, name), s in zip(parameters, scores, strict=True):
        custom_from_mask(module, name, mask=flat[at : at + s.numel()].reshape(s.shape))
        at += s.numel()


def remove(module: Module, name: str) -> Module:
    """Makes the pruned values the parameter's and takes mask and hook off; ValueError if nothing is
    pruned there."""
    found = _hook_of(module, name)
    if found is None:
        raise ValueError(
            f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed"
        )
    found[1].remove(module)
    del module._forward_pre_hooks[found[0]]
    return module


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module, or of one inside it, is pruned."""
    return any(
        isinstance(hook, BasePruningMethod)
        for m in module.modules()
        for hook in m._forward_pre_hooks.values()
    )


def _check_amount(amount: Any) -> None:
    real: Any = numbers.Real
    if not isinstance(amount, real):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    whole = isinstance(amount, numbers.Integral)
    if amount < 0 or (not whole and amount > 1) or math.isnan(amount):
        raise ValueError(
            f"amount={amount} should either be a float in the range [0, 1] or a non-negative "
            "integer"
        )


def _count(amount: Any, size: int) -> int:
    """How many of `size` things are pruned; ValueError for more than there are."""
    whole: Any = numbers.Integral
    if not isinstance(amount, whole):
        return round(amount * size)
    if amount > size:
        raise ValueError(
            f"amount={amount} should be smaller than the number of parameters to prune={size}"
        )
    return int(amount)
