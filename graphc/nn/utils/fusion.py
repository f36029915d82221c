"""Fusion of a BatchNorm into the layer before it, for evaluation.

Takes modules or their tensors, gives a module or tensors. Invariant: outside training the fused
layer computes what both did, up to rounding.
https://docs.pytorch.org/docs/stable/nn.html#utilities
"""

from __future__ import annotations

import copy
from typing import Any

from ...core.tensor import Tensor
from ...creation import ones_like, zeros_like
from ..parameter import Parameter


def _fused(
    weight: Tensor, bias: Any, mean: Tensor, var: Tensor, eps: float, bn_w: Any, bn_b: Any,
    shape: list,
) -> tuple[Parameter, Parameter]:  # fmt: skip
    kinds = (weight.dtype, mean.dtype if bias is None else bias.dtype)
    bias = zeros_like(mean) if bias is None else bias
    bn_w = ones_like(mean) if bn_w is None else bn_w
    bn_b = zeros_like(mean) if bn_b is None else bn_b
    scale = bn_w * (var + eps).rsqrt()
    new_weight = (weight * scale.reshape(shape)).to(kinds[0])
    new_bias = ((bias - mean) * scale + bn_b).to(kinds[1])
    return (
        Parameter(new_weight.detach(), weight.requires_grad),
        Parameter(new_bias.detach(), bias.requires_grad),
    )


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of a convolution with the normalisation in it; transpose: of a transposed
    one, whose outputs are axis 1."""
    lead = [1, -1] if transpose else [-1, 1]
    shape = lead + [1] * (conv_w.ndim - 2)
    return _fused(conv_w, conv_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, shape)


def fuse_linear_bn_weights(
    linear_w: Tensor,
    linear_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor,
    bn_b: Tensor,
) -> tuple[Parameter, Parameter]:
    """(weight, bias) of a linear layer with the normalisation in it."""
    return _fused(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b, [-1, 1])


def _check(first: Any, bn: Any) -> None:
    if first.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("bn.running_mean and bn.running_var must not be None")


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A copy of the convolution that does the BatchNorm's work, too; both in evaluation."""
    _check(conv, bn)
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias,
        transpose,
    )  # fmt: skip
    return fused


def fuse_linear_bn_eval(linear: Any, bn: Any) -> Any:
    """A copy of the linear layer that does the BatchNorm's work, too; both in evaluation."""
    if linear.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if linear.out_features != bn.num_features and bn.num_features != 1:
        raise AssertionError(
            "To fuse, linear.out_features == bn.num_features or bn.num_features == 1, got "
            f"linear.out_features={linear.out_features} and bn.num_features={bn.num_features}"
        )
    _check(linear, bn)
    fused = copy.deepcopy(linear)
    fused.weight, fused.bias = fuse_linear_bn_weights(
        fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias
    )
    return fused
