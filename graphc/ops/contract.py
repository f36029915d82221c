"""Matrix products in the canonical order (K in blocks of 256, one fma chain per block).

`mm` and `bmm` are the primitives; matmul, linear and the rest are compositions of them with
movement ops.
Source of semantics: https://pytorch.org/docs/stable/generated/torch.matmul.html"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import dtypes
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, broadcast_shapes, numel
from .define import composite, contract
from .kernels import gemm
from .movement import permute, reshape, swap


def _refuse_bools(t: TensorType, name: str) -> None:
    if t.dtype is dtypes.bool_:
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")


def _check_dtypes(a: TensorType, b: TensorType) -> None:
    if a.dtype is not b.dtype:
        raise RuntimeError(
            "expected m1 and m2 to have the same dtype, but got: "
            f"{dtypes.c_name(a.dtype)} != {dtypes.c_name(b.dtype)}"
        )


def _mm_infer(input: TensorType, mat2: TensorType) -> TensorType:
    if len(input.shape) != 2:
        raise RuntimeError("self must be a matrix")
    if len(mat2.shape) != 2:
        raise RuntimeError("mat2 must be a matrix")
    if input.shape[1] != mat2.shape[0]:
        raise RuntimeError(
            f"mat1 and mat2 shapes cannot be multiplied ({input.shape[0]}x{input.shape[1]} and "
            f"{mat2.shape[0]}x{mat2.shape[1]})"
        )
    _check_dtypes(input, mat2)
    _refuse_bools(input, "addmm_impl_cpu_")
    return input.with_shape((input.shape[0], mat2.shape[1]))


def _type(a: np.ndarray) -> TensorType:
    from ..base.dtypes import from_numpy_dtype

    return TensorType(a.shape, from_numpy_dtype(a.dtype), ())


def _mm_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if (
        a.ndim != 2
        or b.ndim != 2
        or a.shape[1] != b.shape[0]
        or a.dtype != b.dtype
        or a.dtype == np.bool_
    ):
        _mm_infer(_type(a), _type(b))
    return gemm(a[None], b[None])[0]


def _mm_samples() -> list[Sample]:
    out = [
        Sample((Make((m, k), d), Make((k, n), d)))
        for d in ("float32", "float64")
        for m, k, n in ((3, 4, 5), (1, 7, 4), (6, 3, 1), (5, 300, 17), (20, 33, 18))
    ]
    out += [
        Sample((Make((6, 4), layout=a), Make((4, 8), layout=b)))
        for a in ("C", "T", "strided")
        for b in ("T", "C")
    ]
    out += [
        Sample((Make((3, 4), d, -5, 5), Make((4, 2), d, -5, 5)), grad=False)
        for d in ("int64", "int32")
    ]
    out += [
        Sample((Make((3, 40), d), Make((40, 2), d)), grad=False) for d in ("float16", "bfloat16")
    ]
    out += [
        Sample((Make((3, 0)), Make((0, 2))), grad=False),
        Sample(
            (Make((2, 3)), Make((2, 3))),
            grad=False,
            name="shape error",
            error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"),
        ),
        Sample(
            (Make((2, 3)), Make((3, 2), "float64")),
            grad=False,
            name="dtype error",
            error=(
                RuntimeError,
                "expected m1 and m2 to have the same dtype, but got: float != double",
            ),
        ),
    ]
    return out


def _mm_grad_mat2(g: Tensor, input: Tensor, mat2_type: TensorType) -> Tensor:
    # of a transposed matrix (a Linear layer's weight) so that the transpose of the result is
    # row-major
    n, m = mat2_type.strides
    if n == 1 and m != 1:
        return swap(mm(swap(g, 0, 1), input), 0, 1)
    return mm(swap(input, 0, 1), g)


def _mm_batch(values: list, flags: list, n: Any) -> Tensor:
    """Products of a batch of matrices: rows of all of them against one matrix, else bmm."""
    a, b = [_first(v) if f else v for v, f in zip(values, flags, strict=True)]
    if not flags[1]:
        _, m, k = a.type_.shape
        rows = mm(reshape(a, (n * m, k)), b)
        return _last(reshape(rows, (n, m, b.type_.shape[1])))
    if not flags[0]:
        a = a.expand((n, *a.type_.shape))
    return _last(bmm(a, b))


def _bmm_batch(values: list, flags: list, n: Any) -> Tensor:
    """The two batches become one."""
    a, b = [
        _first(v) if f else v.expand((n, *v.type_.shape))
        for v, f in zip(values, flags, strict=True)
    ]
    m = a.type_.shape[1]
    a, b = [reshape(x, (n * m, *x.type_.shape[2:])) for x in (a, b)]
    out = bmm(a, b)
    return _last(reshape(out, (n, m, *out.type_.shape[1:])))


def _first(x: Tensor) -> Tensor:
    return permute(x, (x.ndim - 1, *range(x.ndim - 1)))


def _last(x: Tensor) -> Tensor:
    return permute(x, (*range(1, x.ndim), 0))


mm = contract(
    "mm",
    _mm_kernel,
    _mm_infer,
    inputs=("input", "mat2"),
    samples=_mm_samples,
    batch=_mm_batch,
    vjp=[lambda g, mat2: mm(g, swap(mat2, 0, 1)), _mm_grad_mat2],
)


def _bmm_infer(input: TensorType, mat2: TensorType) -> TensorType:
    for t, name in ((input, "batch1"), (mat2, "batch2")):
        if len(t.shape) != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    a, b = input.shape, mat2.shape
    if a[0] != b[0] or a[2] != b[1]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: "
            f"[{a[0]}, {a[2]}] but got: [{b[0]}, {b[1]}]."
        )
    if input.dtype is not mat2.dtype:
        raise RuntimeError(
            f"expected scalar type {input.dtype.title} but found {mat2.dtype.title}"
        )
    _refuse_bools(input, "bmm")
    return input.with_shape((a[0], a[1], b[2]))


def _bmm_kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if (
        a.ndim != 3
        or b.ndim != 3
        or a.shape[0] != b.shape[0]
        or a.shape[2] != b.shape[1]
        or a.dtype != b.dtype
        or a.dtype == np.bool_
    ):
        _bmm_infer(_type(a), _type(b))
    return gemm(a, b)


def _bmm_samples() -> list[Sample]:
    return [
        Sample((Make((2, 3, 4)), Make((2, 4, 5)))),
        Sample((Make((3, 1, 6)), Make((3, 6, 2)))),
        Sample((Make((2, 3, 4), "float64"), Make((2, 4, 5), "float64"))),
        Sample((Make((2, 6, 4), layout="T"), Make((2, 4, 6), layout="strided"))),
        Sample(
            (Make((3, 4, 5)), Make((2, 5, 4))),
            grad=False,
            name="shape error",
            error=(
                RuntimeError,
                "Expected size for first two dimensions of batch2 tensor to be: "
                "[3, 5] but got: [2, 5].",
            ),
        ),
    ]


bmm = contract(
    "bmm",
    _bmm_kernel,
    _bmm_infer,
    inputs=("input", "mat2"),
    samples=_bmm_samples,
    batch=_bmm_batch,
    vjp=[lambda g, mat2: bmm(g, swap(mat2, 1, 2)), lambda g, input: bmm(swap(input, 1, 2), g)],
)


def _matmul_body(input: Tensor, other: Tensor) -> Tensor:
    n, m = input.ndim, other.ndim
    if n == 0 or m == 0:
        raise RuntimeError(
            f"both arguments to matmul need to be at least 1D, but they are {n}D and {m}D"
        )
    if n == 2 and m == 2:
        return mm(input, other)
    if n == 1 and m == 1:
        return _dot(input, other)
    if m == 1:
        _check_vector(input, other)
        return reshape(
            mm(reshape(input, (-1, input.shape[-1])), other.unsqueeze(1)), tuple(input.shape[:-1])
        )
    if n == 1:
        if m == 2:
            return mm(input.unsqueeze(0), other).squeeze(0)
        return _matmul_body(
            input.unsqueeze(0).expand((*other.shape[:-2], 1, input.shape[0])), other
        ).squeeze(-2)
    if m == 2:
        a, b = input.shape, other.shape
        if a[-1] != b[0]:
            raise RuntimeError(
                f"mat1 and mat2 shapes cannot be multiplied ({numel(a[:-1])}x{a[-1]} and "
                f"{b[0]}x{b[1]})"
            )
        return reshape(mm(reshape(input, (numel(a[:-1]), a[-1])), other), (*a[:-1], b[1]))
    return _batched(input, other)


def _check_vector(input: Tensor, other: Tensor) -> None:
    if input.shape[-1] != other.shape[0]:
        raise RuntimeError(
            f"size mismatch, got input ({input.shape[-2]}), mat "
            f"({input.shape[-2]}x{input.shape[-1]}), vec ({other.shape[0]})"
        )
    if input.ndim == 2:
        if input.dtype is not other.dtype:
            raise RuntimeError(
                "addmv input tensors must have the same dtype, but got "
                f"{other.dtype.title}, {input.dtype.title}, and {other.dtype.title}"
            )
        _refuse_bools(input.type_, "addmv_impl_cpu")


def _dot(input: Tensor, other: Tensor) -> Tensor:
    if input.shape != other.shape:
        raise RuntimeError(
            f"inconsistent tensor size, expected tensor [{input.shape[0]}] and src "
            f"[{other.shape[0]}] to have the same number of elements, but got "
            f"{input.shape[0]} and {other.shape[0]} elements respectively"
        )
    if input.dtype is not other.dtype:
        raise RuntimeError(
            "dot : expected both vectors to have same dtype, but found "
            f"{input.dtype.title} and {other.dtype.title}"
        )
    _refuse_bools(input.type_, "dot")
    return reshape(mm(input.unsqueeze(0), other.unsqueeze(1)), ())


def _batched(input: Tensor, other: Tensor) -> Tensor:
    a, b = tuple(input.shape), tuple(other.shape)
    lead = broadcast_shapes(a[:-2], b[:-2])
    if a[-1] != b[-2]:
        raise RuntimeError(
            f"Expected size for first two dimensions of batch2 tensor to be: "
            f"[{numel(lead)}, {a[-1]}] but got: [{numel(lead)}, {b[-2]}]."
        )
    x = reshape(input.expand((*lead, *a[-2:])), (numel(lead), *a[-2:]))
    y = reshape(other.expand((*lead, *b[-2:])), (numel(lead), *b[-2:]))
    return reshape(bmm(x, y), (*lead, a[-2], b[-1]))


def _matmul_samples() -> list[Sample]:
    shapes = (
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((2, 3), (3, 4)),
        ((2, 5, 3), (3, 4)),
        ((2, 5, 3), (2, 3, 4)),
        ((4, 1, 5, 3), (2, 3, 4)),
        ((2, 5, 3), (3,)),
        ((3,), (2, 3, 4)),
    )
    return [Sample((Make(a), Make(b))) for a, b in shapes] + [
        Sample(
            (Make((2, 3)), Make((2, 3))),
            grad=False,
            name="shape error",
            error=(RuntimeError, "mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"),
        )
    ]


matmul = composite("matmul", _matmul_body, inputs=("input", "other"), samples=_matmul_samples)


def linear(input: Tensor, weight: Tensor, bias: Any = None) -> Tensor:
    """input [..., K] x weight [N, K] transposed + bias [N]. Raises RuntimeError on mismatched
    sizes."""
    out = matmul(input, weight.t() if weight.ndim == 2 else weight)
    return out if bias is None else out + bias
