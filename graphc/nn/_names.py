"""Names of objects for messages, as torch.typename gives them."""

from __future__ import annotations

from typing import Any

from ..core.tensor import Tensor


def typename(obj: Any) -> str:
    """The name of an object's type in messages: torch.FloatTensor, int, package.Class ..."""
    if isinstance(obj, Tensor):
        return f"torch.{obj.dtype.title}Tensor"
    if hasattr(obj, "__qualname__") or hasattr(obj, "__name__"):
        module = getattr(obj, "__module__", "") or ""
        name = getattr(obj, "__qualname__", None) or obj.__name__
    else:
        module, name = type(obj).__module__ or "", type(obj).__qualname__
    return name if module in ("", "builtins") else f"{module}.{name}"
