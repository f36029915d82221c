"""Complex numbers and their parts: making them, taking them apart, conjugates, signs, angles.

`real`, `imag` and `view_as_real` are views of the same memory as numbers of another dtype.
Invariant: VJPs here are written for complex numbers in full (gradient = df/d(re) + i df/d(im)).
Source of semantics: https://pytorch.org/docs/stable/complex_numbers.html"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import dtypes
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, contiguous_strides
from . import complex_kernels as cx
from .define import COMPLEXES, movement, pointwise
from .movement import contiguous, permute, swap


def _samples() -> Any:
    def samples() -> list[Sample]:
        out = [Sample((Make(s, "complex64"),), grad=False) for s in ((3, 4), (), (0, 2))]
        return out + [
            Sample((Make((3, 4), "complex128", layout=k),), grad=False) for k in ("T", "strided")
        ]

    return samples


def _complex_only(out_real: bool) -> Any:
    def rule(keys: tuple) -> Any:
        d = dtypes.result_of_keys(keys)
        d = d if d.is_complex else d.to_complex()
        return (d,), d.to_real() if out_real else d

    return rule


def _conj_kernel(z: Any) -> np.ndarray:
    return np.conjugate(z)


conj = pointwise(
    "conj",
    _conj_kernel,
    out=_complex_only(False),
    complex=_conj_kernel,
    holomorphic=False,
    vjp=[lambda g: g.conj()],
    samples=_samples(),
    doc="The complex conjugate (a copy).",
)


def _sgn_vjp(g: Tensor, input: Tensor, out: Tensor) -> Tensor:
    size = input.abs()
    zero = size == 0
    across = g / size.masked_fill(zero, 1.0)
    return (across - (across * out.conj()).real * out).masked_fill(zero, 0.0)


sgn = pointwise(
    "sgn",
    cx.sgn,
    out=_complex_only(False),
    complex=cx.sgn,
    holomorphic=False,
    vjp=[_sgn_vjp],
    samples=_samples(),
    doc="z / |z|, 0 at 0.",
)


def _angle_vjp(g: Tensor, input: Tensor) -> Tensor:
    size = input.real * input.real + input.imag * input.imag
    zero = size == 0
    g = (g / size.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)
    return complex_(-g * input.imag, g * input.real)


angle = pointwise(
    "angle",
    cx.angle,
    out=_complex_only(True),
    complex=cx.angle,
    holomorphic=False,
    vjp=[_angle_vjp],
    samples=_samples(),
    doc="The argument, in (-pi, pi].",
)


def _pair_rule(keys: tuple) -> Any:
    d = dtypes.result_of_keys(keys)
    return (d, d), d.to_complex()


complex_ = pointwise(
    "complex",
    cx.join,
    inputs=("real", "imag"),
    out=_pair_rule,
    complex=cx.join,
    holomorphic=False,
    vjp=[lambda g: g.real, lambda g: g.imag],
    samples=lambda: [
        Sample((Make((3, 4), d), Make(s, d)), grad=False)
        for d in ("float32", "float64")
        for s in ((3, 4), (4,))
    ],
    backward_name="ComplexBackward0",
    doc="real + i imag.",
)


# ---------------------------------------------------------------- views


def _real_type(input: TensorType) -> TensorType:
    return TensorType(
        input.shape, input.dtype.to_real(), tuple(s * 2 for s in input.strides), input.device
    )


def _part(name: str, kernel: Any, vjp: Any) -> Any:
    return movement(
        name,
        kernel,
        _real_type,
        vjp=[vjp],
        lower=lambda ix, input: ix,
        recast=True,
        accepts=COMPLEXES,
        batch="last",
        holomorphic=False,
        samples=_samples(),
        backward_name="SelectBackward0" if name == "imag" else "",
    )


def _zero(g: Tensor) -> Tensor:
    return g.new_zeros(tuple(g.shape))


real = _part("real", lambda z: z.real, lambda g: complex_(g, _zero(g)))
imag = _part("imag", lambda z: z.imag, lambda g: complex_(_zero(g), g))


def _as_real_infer(input: TensorType) -> TensorType:
    t = _real_type(input)
    return TensorType((*t.shape, 2), t.dtype, (*t.strides, 1), t.device)


def _as_real_kernel(z: np.ndarray) -> np.ndarray:
    d = z.real.dtype
    return np.lib.stride_tricks.as_strided(z.real, (*z.shape, 2), (*z.strides, d.itemsize))


view_as_real = movement(
    "view_as_real",
    _as_real_kernel,
    _as_real_infer,
    vjp=[lambda g: view_as_complex(g.contiguous())],
    lower=lambda ix, input: ix[:-1],
    batch=lambda values, flags, n: swap(view_as_real(values[0]), -2, -1),
    recast=True,
    accepts=COMPLEXES,
    holomorphic=False,
    samples=_samples(),
)


def _as_complex_infer(input: TensorType) -> TensorType:
    d = input.dtype
    if d not in (dtypes.float32, dtypes.float64):
        raise RuntimeError(
            "view_as_complex is only supported for half, float and double tensors, but got a "
            f"tensor of scalar type: {d.title}"
        )
    if not input.shape:
        raise RuntimeError("Input tensor must have one or more dimensions")
    if input.shape[-1] != 2:
        raise RuntimeError("Tensor must have a last dimension of size 2")
    if 0 in input.shape:
        return TensorType(
            input.shape[:-1], d.to_complex(), contiguous_strides(input.shape[:-1]), input.device
        )
    if input.strides[-1] != 1:
        raise RuntimeError("Tensor must have a last dimension with stride 1")
    if any(isinstance(s, int) and s % 2 for s in input.strides[:-1]):
        raise RuntimeError("Tensor must have a stride divisible by 2 for all but last dimension")
    strides = tuple(s // 2 for s in input.strides[:-1])
    return TensorType(input.shape[:-1], d.to_complex(), strides, input.device)


def _as_complex_kernel(a: np.ndarray) -> np.ndarray:
    size = a.itemsize
    d = dtypes.from_numpy_dtype(a.dtype)
    strides = tuple(s // size for s in a.strides)
    t = _as_complex_infer(TensorType(a.shape, d, strides))
    if not a.size:
        return np.empty(t.shape, t.dtype.np)
    first = np.lib.stride_tricks.as_strided(a, (2,), (size,)).view(t.dtype.np)
    return np.lib.stride_tricks.as_strided(first, t.shape, a.strides[:-1])


def _as_complex_batch(values: list, flags: list, n: Any) -> Tensor:
    # the pairs have to stay beside each other: the batch goes to the front for it
    (x,) = values
    front = permute(x, (x.ndim - 1, *range(x.ndim - 1)))
    out = view_as_complex(contiguous(front))
    return permute(out, (*range(1, out.ndim), 0))


view_as_complex = movement(
    "view_as_complex",
    _as_complex_kernel,
    _as_complex_infer,
    batch=_as_complex_batch,
    vjp=[lambda g: view_as_real(g.contiguous())],
    lower=lambda ix, input: [*ix, 0],
    recast=True,
    holomorphic=False,
    samples=lambda: [
        Sample((Make((3, 4, 2)),), grad=False),
        Sample((Make((2,), "float64"),), grad=False),
        Sample(
            (Make((3, 3)),),
            grad=False,
            error=(RuntimeError, "Tensor must have a last dimension of size 2"),
        ),
    ],
)
