"""Complex numbers, linear algebra, Fourier transforms, special functions and the functions that cut
and count, against PyTorch: values, dtypes, shapes, errors."""

import pytest

from .compare import disagreements


@pytest.mark.parametrize(
    "name, wide",
    [
        ("complex", False),
        ("complex", True),
        ("linalg", True),
        ("fft", True),
        ("special", True),
        ("pieces", True),
    ],
)
def test_expressions(name, wide):
    pytest.importorskip("torch")
    found = disagreements(name, wide)
    assert not found, "\n".join(found)
