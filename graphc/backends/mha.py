"""The attention fast path of PyTorch: graphc has one path; the setting is kept."""

_enabled = [True]


def get_fastpath_enabled() -> bool:
    """The setting."""
    return _enabled[0]


def set_fastpath_enabled(value: bool) -> None:
    """Keeps the setting."""
    _enabled[0] = bool(value)
