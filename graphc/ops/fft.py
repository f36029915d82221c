"""Discrete Fourier transforms: opaque ops over numpy's pocketfft in the precision of the input.
Attributes: the axes in the order of transformation (the halved one last), a scale, the direction.
Invariant: each VJP is one of the other transforms, so every order exists.
Source of semantics: https://pytorch.org/docs/stable/fft.html"""

from __future__ import annotations

import numpy as np

from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType
from .define import opaque
from .kernels import dense


def _scaled(a: np.ndarray, scale: float) -> np.ndarray:
    a = dense(a)
    return a if scale == 1 else dense(a * a.real.dtype.type(scale))


def _whole_kernel(z: np.ndarray, dims: tuple, scale: float, forward: bool) -> np.ndarray:
    if forward:
        return _scaled(np.fft.fftn(z, axes=dims), scale)
    return _scaled(np.fft.ifftn(z, axes=dims, norm="forward"), scale)


whole = opaque(
    "fft_c2c",
    _whole_kernel,
    lambda input, dims, scale, forward: input.with_shape(input.shape),
    inputs=("input",),
    vjp=[lambda g, dims, scale, forward: whole(g, dims, scale, not forward)],
    holomorphic=False,
    samples=lambda: [
        Sample((Make((3, 4), d),), {"dims": dims, "scale": s, "forward": f}, grad=False)
        for d, dims, s, f in (
            ("complex64", (1,), 1.0, True),
            ("complex64", (0, 1), 0.5, False),
            ("complex128", (0,), 1.0, False),
        )
    ],
    backward_name="FftC2CBackward0",
    doc="Complex to complex, over all frequencies.",
)


def _half_infer(input: TensorType, dims: tuple, scale: float) -> TensorType:
    d = dims[-1]
    n = input.shape[d] // 2 + 1
    return input.with_shape((*input.shape[:d], n, *input.shape[d + 1 :]), input.dtype.to_complex())


def _half_vjp(g: Tensor, input_type: TensorType, dims: tuple, scale: float) -> Tensor:
    d = dims[-1]
    missing = input_type.shape[d] - g.shape[d]
    if missing:
        from .gather import cat

        shape = [missing if i == d else n for i, n in enumerate(g.shape)]
        g = cat([g, g.new_zeros(tuple(shape))], d)
    return whole(g, dims, scale, False).real


half = opaque(
    "fft_r2c",
    lambda a, dims, scale: _scaled(np.fft.rfftn(a, axes=dims), scale),
    _half_infer,
    inputs=("input",),
    vjp=[_half_vjp],
    holomorphic=False,
    samples=lambda: [
        Sample((Make(shape, d),), {"dims": dims, "scale": s}, grad=False)
        for shape, d, dims, s in (
            ((3, 4), "float32", (1,), 1.0),
            ((3, 5), "float64", (0, 1), 0.5),
            ((4, 3), "float64", (1, 0), 1.0),
        )
    ],
    backward_name="FftR2CBackward0",
    doc="Real to complex, over the frequencies from 0 to half of the last of dims.",
)


def _real_kernel(z: np.ndarray, dims: tuple, scale: float, n: int) -> np.ndarray:
    sizes = [z.shape[d] for d in dims[:-1]] + [n]
    return _scaled(np.fft.irfftn(z, sizes, axes=dims, norm="forward"), scale)


def _real_infer(input: TensorType, dims: tuple, scale: float, n: int) -> TensorType:
    d = dims[-1]
    return input.with_shape((*input.shape[:d], n, *input.shape[d + 1 :]), input.dtype.to_real())


def _real_vjp(g: Tensor, dims: tuple, scale: float, n: int) -> Tensor:
    d = dims[-1]
    back = half(g, dims, scale)
    # all frequencies but 0 and (for even n) the middle one stand for two
    inner = (n + 1) // 2 - 1
    if inner <= 0:
        return back
    from .gather import cat

    parts = [back.narrow(d, 0, 1), back.narrow(d, 1, inner) * 2]
    if back.shape[d] > inner + 1:
        parts.append(back.narrow(d, inner + 1, 1))
    return cat(parts, d)


real = opaque(
    "fft_c2r",
    _real_kernel,
    _real_infer,
    inputs=("input",),
    vjp=[_real_vjp],
    holomorphic=False,
    samples=lambda: [
        Sample((Make(shape, d),), {"dims": dims, "scale": s, "n": n}, grad=False)
        for shape, d, dims, s, n in (
            ((3, 3), "complex64", (1,), 1.0, 4),
            ((3, 3), "complex128", (0, 1), 0.5, 5),
        )
    ],
    backward_name="FftC2RBackward0",
    doc="Complex to real, from the frequencies from 0 to half of the last of dims.",
)
