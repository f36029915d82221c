"""NNPACK: not available; the setting is kept."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ._flags import assign, region

enabled = True


def is_available() -> bool:
    """False."""
    return False


def set_flags(_enabled: bool) -> tuple:
    """Makes the setting; gives what it was."""
    return assign(globals(), {"enabled": _enabled})


def flags(enabled: bool = False) -> AbstractContextManager:
    """A region with this setting."""
    return region(globals(), {"enabled": enabled})
