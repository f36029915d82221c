"""MKL: graphc has kernels of its own."""

from __future__ import annotations

from typing import Any

VERBOSE_OFF, VERBOSE_ON = 0, 1


def is_available() -> bool:
    """False."""
    return False


class verbose:
    """A region in which MKL would print its calls: RuntimeError for anything but off."""

    def __init__(self, enable: int) -> None:
        self.enable = enable

    def __enter__(self) -> verbose:
        if self.enable != VERBOSE_OFF:
            raise RuntimeError("graphc was not built with MKL: there are no calls to print")
        return self

    def __exit__(self, *exc: Any) -> None:
        pass
