"""Utilities around training: `graphc.utils.data`."""

from . import data

__all__ = ["data"]
