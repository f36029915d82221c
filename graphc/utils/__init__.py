"""Utilities around training: `graphc.utils.data`, `graphc.utils.checkpoint`."""

from . import checkpoint, data, dlpack

__all__ = ["checkpoint", "data", "dlpack"]
