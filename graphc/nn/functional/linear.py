"""Linear and bilinear functions.

Invariant: products run in the canonical order of graphc's matrix products, so that a row's result
does not depend on the batch it is in.
https://docs.pytorch.org/docs/stable/nn.functional.html#linear-functions """

from __future__ import annotations

from typing import Any

from ...base import dtypes, entry
from ...core import autocast
from ...core.tape import entry_class
from ...core.tensor import Tensor
from ...ops import contract
from ...ops.gather import cat
from ...out import SAME, into


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *,
           out: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias; input (*, in), weight (out, in) or (in), bias (out)."""
    y = contract.linear(input, weight, bias)
    if y._fn is not None and (bias is not None or input.ndim > 2):
        plain = "ViewBackward0" if bias is not None else "UnsafeViewBackward0"
        y._fn.__class__ = entry_class("AddmmBackward0" if input.ndim == 2 else plain)
    return into(out, y, SAME)


def bilinear(input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """y[o] = x1 @ weight[o] @ x2 + bias[o]; weight (out, in1, in2)."""
    if tuple(input1.shape[:-1]) != tuple(input2.shape[:-1]):
        raise RuntimeError("bilinear(): input batch dimensions do not match: got "
                           f"{list(input1.shape[:-1])} and {list(input2.shape[:-1])}")
    out, in1, in2 = weight.shape
    for k, (x, n) in enumerate(((input1, in1), (input2, in2)), 1):
        if x.shape[-1] != n:
            raise RuntimeError(f"bilinear(): input{k} size does not match weight size: got "
                               f"{x.shape[-1]} but expected {n}")
    lead = tuple(input1.shape[:-1])
    rows = input1.reshape(-1, in1) @ weight.permute(1, 0, 2).reshape(in1, out * in2)
    rows = rows.view(-1, out, in2) @ input2.reshape(-1, in2, 1)
    y = rows.view(*lead, out)
    return y if bias is None else y + bias


def grouped_mm(mat_a: Tensor, mat_b: Tensor, *, offs: Tensor | None = None,
               bias: Tensor | None = None, out_dtype: Any = None) -> Tensor:
    """Products of groups: (G, M, K) x (G, K, N), or with 2-d operands whose axis is cut at `offs`
    (int32, where each group ends): (T, K) x (G, K, N) -> (T, N), (G, M, K) x (K, T) -> (M, T),
    (M, T) x (T, N) -> (G, M, N). Places after the last end are 0.

    RuntimeError for shapes, dtypes and offsets that do not fit, and for a bias."""
    _check_groups(mat_a, mat_b, offs, bias, out_dtype)
    if offs is None:
        return contract.bmm(mat_a, mat_b)
    ends = offs.tolist()
    parts = list(zip([0, *ends[:-1]], ends, strict=True))
    if mat_a.ndim == 2 and mat_b.ndim == 2:
        products = [contract.mm(mat_a[:, a:b], mat_b[a:b]).unsqueeze(0) for a, b in parts]
        return cat(products, 0)
    if mat_a.ndim == 2:
        products = [contract.mm(mat_a[a:b], mat_b[i]) for i, (a, b) in enumerate(parts)]
        rest = mat_a.new_zeros(mat_a.shape[0] - ends[-1], mat_b.shape[2])
        return cat([*products, rest], 0)
    products = [contract.mm(mat_a[i], mat_b[:, a:b]) for i, (a, b) in enumerate(parts)]
    return cat([*products, mat_a.new_zeros(mat_a.shape[1], mat_b.shape[1] - ends[-1])], 1)


def _check_groups(a: Tensor, b: Tensor, offs: Tensor | None, bias: Any, out_dtype: Any) -> None:
    for t, name in ((a, "mat_a"), (b, "mat_b")):
        if t.dtype not in (dtypes.float32, dtypes.bfloat16, dtypes.float16):
            raise RuntimeError(f"Expected {name} to be Float32, BFloat16 or Float16 matrix, got "
                               f"{t.dtype.title}")
        if t.ndim not in (2, 3):
            raise RuntimeError(f"{name} has to be 2 or 3d")
    if a.shape[-1] != b.shape[-2]:
        raise RuntimeError("contraction dimension of mat_a and mat_b must match")
    flat = a.ndim == 2 or b.ndim == 2
    if flat != (offs is not None):
        raise RuntimeError("Have to provide offsets if there is a 2d matrix, or no offset if both "
                           "matrices are 3d")
    groups = [t.shape[0] for t in (a, b) if t.ndim == 3]
    if offs is not None:
        if offs.ndim != 1:
            raise RuntimeError("offs has to be 1D")
        if offs.dtype is not dtypes.int32:
            raise RuntimeError("Offsets have to be int32")
        groups.append(offs.shape[0])
        size = a.shape[0] if b.ndim == 3 else b.shape[1] if a.ndim == 3 else a.shape[1]
        ends = offs.tolist()
        if any(x > y for x, y in zip([0, *ends], [*ends, size], strict=True)):
            raise RuntimeError(f"offs has to grow from 0 to at most {size}, got {ends}")
    if len(set(groups)) > 1:
        raise RuntimeError("matrix batch sizes have to match")
    if bias is not None:
        raise RuntimeError("Bias not supported yet")
    if out_dtype is not None and out_dtype is not a.dtype:
        raise RuntimeError("Grouped gemm output dtype must match `mat_a` dtype")


entry.wrap(__name__, globals())
autocast.wrap("functional", globals())
