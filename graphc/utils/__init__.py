"""Utilities around training: `graphc.utils.data`, `graphc.utils.checkpoint`."""

from . import checkpoint, data, dlpack, hooks

__all__ = ["checkpoint", "data", "dlpack", "hooks"]
