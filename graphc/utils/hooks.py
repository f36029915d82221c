"""Handles of hooks under the name that PyTorch programs import."""

from ..core.tape import RemovableHandle as RemovableHandle

__all__ = ["RemovableHandle"]
