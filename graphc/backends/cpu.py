"""The CPU as a backend: what instructions kernels are built for."""

from ..native import library


def get_cpu_capability() -> str:
    """ "NATIVE" where kernels are built for this machine, "DEFAULT" where numpy computes."""
    return "NATIVE" if library.available() else "DEFAULT"
