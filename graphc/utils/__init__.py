"""Utilities around training: `graphc.utils.data`, `graphc.utils.checkpoint`."""

from . import checkpoint, data

__all__ = ["checkpoint", "data"]
