"""Handles of hooks under the name that PyTorch programs import."""

from ..core.tape import HookHandle as RemovableHandle

__all__ = ["RemovableHandle"]
