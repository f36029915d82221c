"""Changing a whole module tree: dtype and device conversion, modes, gradients; a mixin of Module.

Invariant: converting keeps the identity of Parameters and of their gradients; buffers are replaced.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from ...base import dtypes
from ...base.dtypes import DType
from ...core import observe
from ...core.modes import no_grad
from ...core.tensor import Tensor
from ..parameter import is_lazy


class ApplyMethods:
    """The part of Module that walks the tree and changes what it finds."""

    training: bool
    _parameters: dict
    _buffers: dict

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        """fn over every parameter, gradient and buffer; parameters take the result as their
        data."""
        if recurse:
            for module in self.children():      # type: ignore[attr-defined]
                module._apply(fn)
        for key, param in self._parameters.items():
            if param is None:
                continue
            if is_lazy(param):
                param.converted(fn)
                continue
            grad = param.grad
            with no_grad():
                param.data = fn(param)
                if grad is not None:
                    grad.data = fn(grad)
                    param.grad = grad
            observe.changed(self, key)
        for key, buf in self._buffers.items():
            if is_lazy(buf):
                buf.converted(fn)
            elif buf is not None:
                self._buffers[key] = fn(buf)
        return self

    def apply(self, fn: Callable[[Any], None]) -> Any:
        """fn(module) for every submodule, children first, then this module. Returns self."""
        for module in self.children():      # type: ignore[attr-defined]
            module.apply(fn)
        fn(self)
        return self

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """to(device=None, dtype=None, non_blocking=False), to(dtype), to(tensor): moves or casts in
        place.

        Only floating tensors are cast. TypeError for integer dtypes."""
        device, dtype = _parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError("nn.Module.to only accepts floating point or complex dtypes, but got "
                            f"desired dtype={dtype}")

        def convert(t: Tensor) -> Tensor:
            if device is not None:
                t = t.to(device)
            if dtype is not None and (t.dtype.is_floating_point or t.dtype.is_complex):
                t = t.to(dtype)
            return t
        return self._apply(convert)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """Gives every parameter and buffer fresh, uninitialised memory on `device`."""
        from ...creation import empty_like
        return self._apply(lambda t: empty_like(t, device=device), recurse=recurse)

    def cpu(self) -> Any:
        """Moves parameters and buffers to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Any:
        """Moves parameters and buffers to a CUDA device; raises as Tensor.cuda does where there is
        none."""
        return self._apply(lambda t: t.cuda(device))

    def type(self, dst_type: Any) -> Any:
        """Casts all parameters and buffers, integer ones too, to a dtype or its legacy name."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self) -> Any:
        """Casts floating tensors to float32."""
        return self._cast_floating(dtypes.float32)

    def double(self) -> Any:
        """Casts floating tensors to float64."""
        return self._cast_floating(dtypes.float64)

    def half(self) -> Any:
        """Casts floating tensors to float16."""
        return self._cast_floating(dtypes.float16)

    def bfloat16(self) -> Any:
        """Casts floating tensors to bfloat16."""
        return self._cast_floating(dtypes.bfloat16)

    def _cast_floating(self, dtype: DType) -> Any:
        return self._apply(lambda t: t.to(dtype) if t.dtype.is_floating_point else t)

    def share_memory(self) -> Any:
        """Moves parameters and buffers into memory shared between processes."""
        return self._apply(lambda t: t.share_memory_())

    def train(self, mode: bool = True) -> Any:
        """Sets training mode (Dropout, BatchNorm ...) for the whole tree. Returns self."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():      # type: ignore[attr-defined]
            module.train(mode)
        return self

    def eval(self) -> Any:
        """train(False)."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Sets requires_grad of all parameters. Returns self."""
        for p in self.parameters():     # type: ignore[attr-defined]
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clears the gradients of all parameters: to None, or in place to zeros."""
        for p in self.parameters():     # type: ignore[attr-defined]
            grad = p.grad
            if grad is None:
                continue
            if set_to_none:
                p.grad = None
                continue
            if grad.grad_fn is not None:
                grad.detach_()
            else:
                grad.requires_grad_(False)
            grad.zero_()


def _parse_to(*args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False,
              copy: bool = False, memory_format: Any = None, tensor: Any = None) -> tuple[Any, Any]:
    """(device or None, dtype or None) of the arguments of `Module.to`."""
    places = [a for a in args if not isinstance(a, builtins.bool)]
    for a in places:
        if isinstance(a, DType):
            dtype = a
        elif isinstance(a, Tensor):
            tensor = a
        elif a is not None:
            device = a
    if tensor is not None:
        return tensor.device, tensor.dtype
    return device, dtype
