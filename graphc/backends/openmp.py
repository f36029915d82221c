"""OpenMP: graphc has a thread pool of its own, see graphc.set_num_threads."""


def is_available() -> bool:
    """False."""
    return False
