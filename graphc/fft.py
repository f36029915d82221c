"""`graphc.fft`: discrete Fourier transforms over one, two or many axes. float32 gives complex64,
float64 complex128, integers count as the default floating dtype. Source:
https://pytorch.org/docs/stable/fft.html"""

from __future__ import annotations

import math
from typing import Any

from . import functional
from .base import dtypes, entry
from .base.dtypes import DType
from .core import autocast
from .core.tensor import Tensor
from .creation import _finish, arange
from .device import check_device
from .ir.types import dim_index
from .ops import fft as ops
from .ops.pointwise import cast
from .out import into

# ---------------------------------------------------------------- arguments


def _promoted(x: Tensor, whole: bool) -> Tensor:
    """x as a floating tensor, or (whole) a complex one."""
    if x.dtype.is_half:
        raise RuntimeError(f"Unsupported dtype {x.dtype.title}")
    if x.dtype.category < dtypes.FLOAT:
        x = cast(x, dtypes.get_default_dtype())
    return cast(x, x.dtype.to_complex()) if whole else x


def _real_only(name: str, x: Tensor) -> Tensor:
    if x.dtype.is_complex:
        raise RuntimeError(f"{name} expects a real input tensor, but got {x.dtype.title}")
    return _promoted(x, False)


def _scale(norm: str | None, sizes: Any, forward: bool) -> float:
    n = math.prod(int(s) for s in sizes)
    if norm is None or norm == "backward":
        return 1.0 if forward else 1.0 / n
    if norm == "forward":
        return 1.0 / n if forward else 1.0
    if norm == "ortho":
        return 1.0 / math.sqrt(n)
    raise RuntimeError(f'Invalid normalization mode: "{norm}"')


def _check_points(n: Any) -> None:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")


def _fitted(x: Tensor, dims: tuple, sizes: Any) -> Tensor:
    """x cut or filled with zeros at the end of each of dims."""
    for d, n in zip(dims, sizes, strict=True):
        have = x.shape[d]
        if n < have:
            x = functional.narrow(x, d, 0, n)
        elif n > have:
            shape = tuple(n - have if i == d else s for i, s in enumerate(x.shape))
            x = functional.cat([x, x.new_zeros(shape)], d)  # type: ignore[attr-defined]
    return x


def _one(x: Tensor, n: Any, dim: int) -> tuple[int, Any]:
    if x.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    d = dim_index(dim, x.ndim)
    n = x.shape[d] if n is None else n
    _check_points(n)
    return d, n


def _many(name: str, x: Tensor, s: Any, dim: Any) -> tuple[tuple, list]:
    """(dims, sizes) of a transform over several axes."""
    s = None if s is None else [s] if isinstance(s, int) else list(s)
    if dim is not None:
        if x.ndim == 0:
            d = dim if isinstance(dim, int) else next(iter(dim))
            raise IndexError(f"Dimension specified as {d} but tensor has no dimensions")
        dims = tuple(dim_index(d, x.ndim) for d in ((dim,) if isinstance(dim, int) else dim))
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    elif s is not None:
        if len(s) > x.ndim:
            raise RuntimeError(
                f"Got shape with {len(s)} values but input tensor only has {x.ndim} dimensions."
            )
        dims = tuple(range(x.ndim - len(s), x.ndim))
    else:
        dims = tuple(range(x.ndim))
    sizes = [x.shape[d] if s is None or s[i] == -1 else s[i] for i, d in enumerate(dims)]
    for n in sizes:
        _check_points(n)
    return dims, sizes


def _halved(name: str, x: Tensor, s: Any, dim: Any) -> tuple[tuple, list, int]:
    """_many for inputs that hold half of the last axis' frequencies, and that axis' full size."""
    dims, sizes = _many(name, x, s, dim)
    if not dims:
        raise RuntimeError(f"{name} must transform at least one axis")
    given = s is not None and (s if isinstance(s, int) else list(s)[-1]) != -1
    n = sizes[-1] if given else 2 * (x.shape[dims[-1]] - 1)
    _check_points(n)
    sizes[-1] = n // 2 + 1
    return dims, sizes, n


# ---------------------------------------------------------------- one axis


def fft(
    input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The transform along dim, of n points (cut, or filled with zeros)."""
    return into(out, _whole(input, n, dim, norm, True))


def ifft(
    input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse transform along dim."""
    return into(out, _whole(input, n, dim, norm, False))


def _whole(input: Tensor, n: Any, dim: int, norm: Any, forward: bool) -> Tensor:
    x = _promoted(input, True)
    d, n = _one(x, n, dim)
    scale = _scale(norm, [n], forward)
    return ops.whole(_fitted(x, (d,), [n]), (d,), scale, forward)


def rfft(
    input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The transform of real numbers: frequencies 0 to n // 2."""
    x = _real_only("rfft", input)
    d, n = _one(x, n, dim)
    return into(out, ops.half(_fitted(x, (d,), [n]), (d,), _scale(norm, [n], True)))


def irfft(
    input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of rfft: n real numbers (by default 2 * (frequencies - 1))."""
    return into(out, _to_real(_promoted(input, True), n, dim, norm, False))


def _to_real(x: Tensor, n: Any, dim: int, norm: Any, forward: bool) -> Tensor:
    if x.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    d = dim_index(dim, x.ndim)
    n = 2 * (x.shape[d] - 1) if n is None else n
    _check_points(n)
    x = _fitted(x, (d,), [n // 2 + 1])
    return ops.real(x, (d,), _scale(norm, [n], forward), int(n))


def hfft(
    input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The transform of a Hermitian signal of which half is given: n real numbers."""
    x = _promoted(input, True)
    return into(out, _to_real(x.conj(), n, dim, norm, True))  # type: ignore[attr-defined]


def ihfft(
    input: Tensor, n: Any = None, dim: int = -1, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of hfft."""
    x = _real_only("ihfft", input)
    d, n = _one(x, n, dim)
    y = ops.half(_fitted(x, (d,), [n]), (d,), _scale(norm, [n], False))
    return into(out, y.conj())


# ---------------------------------------------------------------- many axes


def fftn(
    input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The transform over the axes dim (all by default), of sizes s."""
    return into(out, _whole_many("fftn", input, s, dim, norm, True))


def ifftn(
    input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse transform over the axes dim."""
    return into(out, _whole_many("ifftn", input, s, dim, norm, False))


def _whole_many(name: str, input: Tensor, s: Any, dim: Any, norm: Any, forward: bool) -> Tensor:
    x = _promoted(input, True)
    dims, sizes = _many(name, x, s, dim)
    if not dims:
        return x.clone()  # type: ignore[attr-defined]
    return ops.whole(_fitted(x, dims, sizes), dims, _scale(norm, sizes, forward), forward)


def rfftn(
    input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The transform of real numbers over the axes dim; the last one is halved."""
    x = _real_only("rfftn", input)
    dims, sizes = _many("rfftn", x, s, dim)
    if not dims:
        raise RuntimeError("rfftn must transform at least one axis")
    return into(out, ops.half(_fitted(x, dims, sizes), dims, _scale(norm, sizes, True)))


def irfftn(
    input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of rfftn."""
    x = _promoted(input, True)
    dims, sizes, n = _halved("irfftn", x, s, dim)
    scale = _scale(norm, [*sizes[:-1], n], False)
    return into(out, ops.real(_fitted(x, dims, sizes), dims, scale, int(n)))


def hfftn(
    input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The transform of a Hermitian signal of which half of the last axis is given."""
    x = _promoted(input, True)
    dims, sizes, n = _halved("hfftn", x, s, dim)
    scale = _scale(norm, [*sizes[:-1], n], True)
    x = _fitted(x, dims, sizes)
    return into(out, ops.real(x.conj(), dims, scale, int(n)))  # type: ignore[attr-defined]


def ihfftn(
    input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None
) -> Tensor:
    """The inverse of hfftn."""
    x = _real_only("ihfftn", input)
    dims, sizes = _many("ihfftn", x, s, dim)
    if not dims:
        raise RuntimeError("ihfftn must transform at least one axis")
    y = ops.half(_fitted(x, dims, sizes), dims, _scale(norm, sizes, False))
    return into(out, y.conj())


def _pair(fn: Any, name: str) -> Any:
    def two(
        input: Tensor,
        s: Any = None,
        dim: Any = (-2, -1),
        norm: str | None = None,
        *,
        out: Any = None,
    ) -> Tensor:
        return fn(input, s, dim, norm, out=out)

    two.__name__ = two.__qualname__ = name
    two.__doc__ = f"{fn.__name__} over the last two axes (or those of dim)."
    return two


fft2, ifft2 = _pair(fftn, "fft2"), _pair(ifftn, "ifft2")
rfft2, irfft2 = _pair(rfftn, "rfft2"), _pair(irfftn, "irfft2")
hfft2, ihfft2 = _pair(hfftn, "hfft2"), _pair(ihfftn, "ihfft2")


# ---------------------------------------------------------------- frequencies and shifts


def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The frequencies of fft's results for samples d apart: 0, 1, ..., -1 over n * d."""
    check_device(device)
    k = arange(n, dtype=dtype or dtypes.get_default_dtype())
    half = (n + 1) // 2
    k = functional.where(k < half, k, k - n)
    return into(out, _finish(k * (1.0 / (n * d)), requires_grad))


def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    out: Any = None,
    dtype: DType | None = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The frequencies of rfft's results for samples d apart: 0, 1, ..., n // 2 over n * d."""
    check_device(device)
    k = arange(n // 2 + 1, dtype=dtype or dtypes.get_default_dtype())
    return into(out, _finish(k * (1.0 / (n * d)), requires_grad))


def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """Rolled so that frequency 0 is in the middle of the axes dim (all by default)."""
    return _shifted(input, dim, lambda n: n // 2)


def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of fftshift."""
    return _shifted(input, dim, lambda n: (n + 1) // 2)


def _shifted(x: Tensor, dim: Any, by: Any) -> Tensor:
    dims = range(x.ndim) if dim is None else (dim,) if isinstance(dim, int) else dim
    at = [dim_index(d, x.ndim) for d in dims]
    return functional.roll(x, tuple(by(x.shape[d]) for d in at), tuple(at)) if at else x.clone()  # type: ignore


__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

entry.wrap(__name__, globals())
autocast.wrap("fft", globals())
