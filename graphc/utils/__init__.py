"""Utilities around training: `graphc.utils.data`."""

from . import data, hooks

__all__ = ["data", "hooks"]
