"""Apple's GPU: not available."""


def is_available() -> bool:
    """False."""
    return False


def is_built() -> bool:
    """False."""
    return False


def is_macos_or_newer(major: int, minor: int) -> bool:
    """RuntimeError: graphc has no MPS backend that could tell."""
    raise RuntimeError("Cannot execute isOnMacOSorNewer() without MPS backend.")


def is_macos13_or_newer(minor: int = 0) -> bool:
    """As is_macos_or_newer(13, minor)."""
    return is_macos_or_newer(13, minor)
