"""Functions of complex numbers in the top-level namespace: parts, conjugates, polar form. Of real
tensors they give what PyTorch does: most of them the tensor itself. Source:
https://pytorch.org/docs/stable/complex_numbers.html"""

from __future__ import annotations

import math
from typing import Any

from .base import dtypes
from .base.errors import not_tensor
from .core.tensor import Tensor
from .functional import called
from .ops import complex_parts, movement, pointwise
from .out import into


def complex(real: Tensor, imag: Tensor, *, out: Any = None) -> Tensor:
    """real + i imag: float32 gives complex64, float64 complex128. RuntimeError for other dtypes
    and for two different ones."""
    _check_pair(real, imag)
    return into(out, complex_parts.complex_(real, imag))


def _check_pair(a: Tensor, b: Tensor) -> None:
    if not (a.dtype.is_floating_point and b.dtype.is_floating_point):
        raise RuntimeError(
            "Expected both inputs to be Half, Float or Double tensors but got "
            f"{a.dtype.title} and {b.dtype.title}"
        )
    if a.dtype is not b.dtype:
        raise RuntimeError(
            f"Expected object of scalar type {a.dtype.title} but got scalar type {b.dtype.title} "
            "for second argument"
        )


def polar(abs: Tensor, angle: Tensor, *, out: Any = None) -> Tensor:
    """abs * exp(i angle)."""
    for position, (name, x) in enumerate((("abs", abs), ("angle", angle)), 1):
        if not isinstance(x, Tensor):
            raise not_tensor("polar", name, position, x)
    _check_pair(abs, angle)
    return into(
        out,
        called(
            complex_parts.complex_(abs * pointwise.cos(angle), abs * pointwise.sin(angle)),
            "PolarBackward0",
        ),
    )


def view_as_real(input: Tensor) -> Tensor:
    """A view of complex [...] as its parts [..., 2]. RuntimeError for real tensors."""
    if not input.dtype.is_complex:
        raise RuntimeError("view_as_real is only supported for complex tensors")
    return complex_parts.view_as_real(input)


def view_as_complex(input: Tensor) -> Tensor:
    """A view of parts [..., 2] as complex [...]. RuntimeError where the parts are not adjacent."""
    return complex_parts.view_as_complex(input)


def real(input: Tensor) -> Tensor:
    """The real parts (a view); a real tensor itself."""
    return complex_parts.real(input) if input.dtype.is_complex else input


def imag(input: Tensor) -> Tensor:
    """The imaginary parts (a view). RuntimeError for real tensors."""
    if not input.dtype.is_complex:
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    return complex_parts.imag(input)


def conj(input: Tensor) -> Tensor:
    """The complex conjugate; a real tensor itself."""
    return complex_parts.conj(input) if input.dtype.is_complex else input


def conj_physical(input: Tensor, *, out: Any = None) -> Tensor:
    """The complex conjugate; a real tensor itself."""
    return into(out, conj(input))


def resolve_conj(input: Tensor) -> Tensor:
    """input: conjugates are computed at once here."""
    return input


def resolve_neg(input: Tensor) -> Tensor:
    """input: negatives are computed at once here."""
    return input


def is_conj(input: Tensor) -> bool:
    """False: conjugates are computed at once here."""
    return False


def is_neg(input: Tensor) -> bool:
    """False: negatives are computed at once here."""
    return False


def angle(input: Tensor, *, out: Any = None) -> Tensor:
    """The argument of complex numbers; 0 or pi of real ones."""
    if input.dtype.is_complex:
        return into(out, complex_parts.angle(input))
    x = input if input.dtype.is_floating_point else input.to(dtypes.get_default_dtype())  # type: ignore[attr-defined]
    turned = pointwise.where(x < 0, math.pi, x.detach() * 0)  # type: ignore[attr-defined]
    return into(out, pointwise.where(pointwise.isnan(x), x, pointwise.abs(turned)) + x * 0)


def sgn(input: Tensor, *, out: Any = None) -> Tensor:
    """z / |z| of complex numbers (0 at 0), sign of real ones."""
    return into(out, (complex_parts.sgn if input.dtype.is_complex else pointwise.sign)(input))


def isreal(input: Tensor) -> Tensor:
    """Whether the imaginary part is zero."""
    if not input.dtype.is_complex:
        return pointwise.eq(input, input) | True
    return complex_parts.imag(input) == 0


def adjoint(input: Tensor) -> Tensor:
    """The conjugate transpose of matrices."""
    return _transposed(input, "adjoint")


def _transposed(x: Tensor, name: str) -> Tensor:
    if x.ndim < 2:
        raise RuntimeError(
            f"tensor.{name} is only supported on matrices or batches of matrices. Got "
            f"{x.ndim}-D tensor."
        )
    return conj(movement.swap(x, -2, -1))


class Properties:
    """What is read as an attribute; copied onto Tensor."""

    @property
    def real(self: Any) -> Tensor:
        """The real parts (a view)."""
        return real(self)

    @real.setter
    def real(self: Any, value: Any) -> None:
        real(self).copy_(value)  # type: ignore[attr-defined]

    @property
    def imag(self: Any) -> Tensor:
        """The imaginary parts (a view)."""
        return imag(self)

    @imag.setter
    def imag(self: Any, value: Any) -> None:
        imag(self).copy_(value)  # type: ignore[attr-defined]

    @property
    def H(self: Any) -> Tensor:
        """The conjugate transpose of a matrix."""
        if self.ndim not in (0, 2):
            more = " For batches of matrices, consider using tensor.mH" if self.ndim > 2 else ""
            raise RuntimeError(
                "tensor.H is only supported on matrices (2-D tensors). Got "
                f"{self.ndim}-D tensor.{more}"
            )
        return conj(movement.swap(self, 0, 1)) if self.ndim else conj(self)

    @property
    def mH(self: Any) -> Tensor:
        """The conjugate transpose of the last two axes."""
        return _transposed(self, "mH")


FUNCTIONS = (
    "complex",
    "polar",
    "view_as_real",
    "view_as_complex",
    "real",
    "imag",
    "conj",
    "conj_physical",
    "resolve_conj",
    "resolve_neg",
    "is_conj",
    "is_neg",
    "angle",
    "sgn",
    "isreal",
    "adjoint",
)
METHODS = (
    "conj",
    "conj_physical",
    "resolve_conj",
    "resolve_neg",
    "is_conj",
    "is_neg",
    "angle",
    "sgn",
    "isreal",
    "adjoint",
)
INPLACE = ("conj_physical", "sgn")
