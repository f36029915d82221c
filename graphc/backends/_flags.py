"""Settings of a backend module: regions in which some of them are others."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any


def assign(settings: dict[str, Any], values: dict[str, Any]) -> tuple:
    """Sets those values that are not None; gives the former values of all, in order."""
    before = tuple([settings[name] for name in values])
    settings.update({name: value for name, value in values.items() if value is not None})
    return before


@contextlib.contextmanager
def region(settings: dict[str, Any], values: dict[str, Any]) -> Iterator[None]:
    """Inside, the settings have these values; None leaves one as it is."""
    before = dict(zip(values, assign(settings, values), strict=True))
    try:
        yield
    finally:
        settings.update(before)
