"""Hooks on saved tensors and the graph's node type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core import tape
from ..core.tape import TapeEntry as Node

__all__ = ["Node", "saved_tensors_hooks"]


class saved_tensors_hooks:
    """Inside, tensors saved for backward go through pack(tensor); backward calls unpack(packed).
    https://pytorch.org/docs/stable/autograd.html#saved-tensors-hooks-doc"""

    def __init__(self, pack_hook: Callable[[Any], Any], unpack_hook: Callable[[Any], Any]):
        self.pair = (pack_hook, unpack_hook)

    def __enter__(self) -> None:
        tape.saved_hooks.append(self.pair)

    def __exit__(self, *exc: Any) -> None:
        tape.saved_hooks.pop()
