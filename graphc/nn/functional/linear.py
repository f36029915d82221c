"""Linear and bilinear functions.

Invariant: products run in the canonical order of graphc's matrix products, so that a row's result
does not depend on the batch it is in.
https://docs.pytorch.org/docs/stable/nn.functional.html#linear-functions """

from __future__ import annotations

from ...core.tensor import Tensor
from ...ops import contract
from ...out import SAME, into


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, *,
           out: Tensor | None = None) -> Tensor:
    """input @ weight.T + bias; input (*, in), weight (out, in) or (in), bias (out)."""
    return into(out, contract.linear(input, weight, bias), SAME)


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
