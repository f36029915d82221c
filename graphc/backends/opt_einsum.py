"""opt_einsum: graphc.einsum contracts from left to right; the settings are kept."""

enabled = False
strategy = None


def is_available() -> bool:
    """False."""
    return False


def get_opt_einsum() -> None:
    """None: the package is not used."""
    return None
