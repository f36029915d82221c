"""Linear, bilinear and embedding functions.

Invariant: products run in the canonical order of graphc's matrix products, so that a row's result
does not depend on the batch it is in.
https://docs.pytorch.org/docs/stable/nn.functional.html#linear-functions """

from __future__ import annotations

from ...base import dtypes
from ...core.modes import is_grad_enabled, no_grad
from ...core.tensor import Tensor
from ...ops import contract, gather
from ...ops import pointwise as pw
from .._names import typename


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias; input (*, in), weight (out, in) or (in), bias (out)."""
    return contract.linear(input, weight, bias)


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


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None,
              max_norm: float | None = None, norm_type: float = 2.0,
              scale_grad_by_freq: bool = False, sparse: bool = False) -> Tensor:
    """weight[input]: rows of a table by index.

    padding_idx: a row that gets no gradient; max_norm: longer rows that are looked up are shortened
    in place first; scale_grad_by_freq divides gradients by how often the index occurs. IndexError
    "index out of range in self". graphc has no sparse gradients: RuntimeError for sparse=True."""
    if not isinstance(input, Tensor):
        raise TypeError(f"embedding(): argument 'indices' (position 2) must be Tensor, not "
                        f"{type(input).__name__}")
    if input.dtype not in (dtypes.int64, dtypes.int32):
        raise RuntimeError("Expected tensor for argument #1 'indices' to have one of the following "
                           f"scalar types: Long, Int; but got {typename(input)} instead (while "
                           "checking arguments for embedding)")
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    if sparse:
        raise RuntimeError("embedding(sparse=True): graphc has no sparse gradients; use "
                           "sparse=False")
    if padding_idx is not None:
        rows = weight.shape[0]
        if not -rows <= padding_idx < rows:
            raise AssertionError("Padding_idx must be within num_embeddings")
        padding_idx %= rows
    index = pw.cast(input, dtypes.int64)
    if max_norm is not None:
        _renorm(weight, index, max_norm, norm_type)
    out = gather.embedding(weight, index)
    if weight.requires_grad and is_grad_enabled():
        if padding_idx is not None:
            out = pw.where((index == padding_idx).unsqueeze(-1), out.detach(), out)
        if scale_grad_by_freq:
            same = index.reshape(-1, 1) == index.reshape(1, -1)
            counts = same.sum(1).reshape(input.shape).unsqueeze(-1).to(weight.dtype)
            out.register_hook(lambda g: g / counts)
    return out


def _renorm(weight: Tensor, index: Tensor, max_norm: float, norm_type: float) -> None:
    """Shortens the rows that `index` names to a norm of at most max_norm, in place."""
    from .distance import _vector_norm
    with no_grad():
        if 0 in index.shape:
            return
        flat = index.reshape(-1)
        rows = gather.embedding(weight, flat)
        norm = _vector_norm(rows, norm_type, -1, True)
        weight[flat] = pw.where(norm > max_norm, rows * (max_norm / (norm + 1e-7)), rows)
