"""The classes of named results: torch.return_types.max and the like."""

from __future__ import annotations

from typing import Any

from .functional import RETURN_TYPES


def __getattr__(name: str) -> Any:
    try:
        return RETURN_TYPES[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return sorted(RETURN_TYPES)
