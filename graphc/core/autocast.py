"""Automatic casts: which public functions take lower precision or float32 while autocast is on.

Takes a room's functions, gives versions that cast their floating tensor arguments first. Invariant:
casts are ordinary ops, made before the function runs; inside it, and in backward, autocast is off,
so each op is cast once and gradients come in the types of the forward. The lists are PyTorch's for
the CPU: https://docs.pytorch.org/docs/stable/amp.html#cpu-op-specific-behavior
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..base import dtypes
from ..base.dtypes import DType
from .modes import STATE
from .tensor import Tensor

# room -> its functions that run in autocast's dtype
LOWER = {
    "": "matmul mm bmm addmm baddbmm addbmm",
    "functional": "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d "
    "scaled_dot_product_attention",
    "linalg": "vecdot",
}
# room -> its functions that run in float32
FLOAT32 = {
    "": "prod quantile nanquantile stft cdist trace view_as_complex polar inverse pinverse qr svd "
    "cholesky cholesky_inverse cholesky_solve lu_solve geqrf orgqr ormqr lstsq triangular_solve",
    "functional": "avg_pool3d max_pool3d adaptive_avg_pool3d adaptive_max_pool3d "
    "fractional_max_pool2d fractional_max_pool3d max_unpool2d max_unpool3d grid_sample "
    "binary_cross_entropy binary_cross_entropy_with_logits mse_loss l1_loss smooth_l1_loss "
    "huber_loss kl_div cross_entropy nll_loss hinge_embedding_loss poisson_nll_loss "
    "cosine_embedding_loss margin_ranking_loss soft_margin_loss triplet_margin_loss "
    "multi_margin_loss multilabel_margin_loss ctc_loss",
    "linalg": "cholesky cholesky_ex inv inv_ex qr svd svdvals eig eigvals eigh eigvalsh cond "
    "matrix_rank lstsq solve householder_product tensorinv tensorsolve",
    "fft": "fft ifft fft2 ifft2 fftn ifftn rfft irfft rfft2 irfft2 rfftn irfftn hfft ihfft",
}


def lower(fn: Callable) -> Callable:
    """fn with its floating tensors, but for float64, in autocast's dtype."""
    return _casting(fn, lambda args, kwargs: STATE.autocast)


def in_float32(fn: Callable) -> Callable:
    """fn with its half tensors in float32."""
    return _casting(fn, lambda args, kwargs: dtypes.float32)


def pads(fn: Callable) -> Callable:
    """nn.functional.pad: what repeats elements runs in float32, but for 3-d reflection."""
    bind = inspect.signature(fn).bind

    def wanted(args: tuple, kwargs: dict) -> Any:
        given = bind(*args, **kwargs).arguments
        mode = given.get("mode", "constant")
        repeats = mode == "replicate" or mode == "reflect" and len(given["pad"]) < 6
        return dtypes.float32 if repeats else None

    return _casting(fn, wanted)


def _casting(fn: Callable, wanted: Callable[[tuple, dict], Any]) -> Callable:
    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        before = STATE.autocast
        if before is None or kwargs.get("out") is not None:
            return fn(*args, **kwargs)
        to = wanted(args, kwargs)
        if to is None:
            return fn(*args, **kwargs)
        args = tuple([cast(a, to) for a in args])
        kwargs = {k: cast(a, to) for k, a in kwargs.items()}
        STATE.autocast = None
        try:
            return fn(*args, **kwargs)
        finally:
            STATE.autocast = before

    return call


def cast(x: Any, to: DType) -> Any:
    """x with floating tensors other than float64 in another dtype; lists and tuples element by
    element."""
    if isinstance(x, Tensor):
        d = x.dtype
        if d is to or not d.is_floating_point or d is dtypes.float64:
            return x
        return x.to(to)  # type: ignore[attr-defined]
    if type(x) in (list, tuple):
        return type(x)([cast(y, to) for y in x])
    return x


def wrap(room: str, names: dict[str, Any]) -> None:
    """Puts the casting versions in place of a room's functions; names: the module's globals."""
    for table, form in ((LOWER, lower), (FLOAT32, in_float32)):
        for name in table.get(room, "").split():
            if name in names:
                names[name] = form(names[name])
    if room == "functional" and "pad" in names:
        names["pad"] = pads(names["pad"])
