"""Reductions, all in the canonical order of the native library (chunks of 4096, 8 lanes, fixed
trees).

Attributes are (dims, keepdim): dims sorted, non-negative; dims () of a 0-d tensor means its one
element.
Source of semantics: https://pytorch.org/docs/stable/torch.html#reduction-ops"""

from __future__ import annotations

from typing import Any

from ..base import dtypes
from ..base.dtypes import DType
from ..core.tensor import Tensor
from ..ir.op import Make, Sample, get
from ..ir.types import TensorType, dim_index, dims_tuple, numel
from .define import composite, reduction
from .kernels import native_reduce, reduced_shape


def _same(d: DType) -> DType:
    return d


def _wide(d: DType) -> DType:
    return dtypes.int64 if d.category <= dtypes.INT else d


def _infer(out: Any, name: str = "", needs_element: bool = False) -> Any:
    def infer(input: TensorType, dims: tuple, keepdim: bool = False) -> TensorType:
        if needs_element:
            check_nonempty(name, input.shape, dims)
        shape = reduced_shape(input.shape, dims, keepdim)
        return input.with_shape(shape, out(input.dtype))

    return infer


def check_nonempty(name: str, shape: tuple, dims: tuple) -> None:
    """IndexError as PyTorch when a reduction without identity meets an empty axis."""
    for d in dims:
        if shape[d] == 0:
            if len(dims) == len(shape) and len(dims) > 0 and numel(shape) == 0 and len(shape) == 1:
                raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")
            raise IndexError(f"{name}(): Expected reduction dim {d} to have non-zero size.")


def expand_reduced(g: Tensor, shape: tuple, dims: tuple, keepdim: bool) -> Tensor:
    """A reduction's cotangent broadcast back over the reduced axes."""
    if not keepdim:
        it = iter(g.shape)
        g = g.reshape(tuple(1 if i in dims else next(it) for i in range(len(shape))))
    return g.expand(tuple(shape))


def _samples(
    grad: bool = True,
    kinds: tuple = ("float32", "float64", "int64"),
    lo: float = -2.0,
    hi: float = 2.0,
    empty: bool = True,
) -> Any:
    def samples() -> list[Sample]:
        out = []
        for d in kinds:
            g = grad and d.startswith("float")
            for shape, dims in (
                ((3, 5), (1,)),
                ((3, 5), (0,)),
                ((3, 5), (0, 1)),
                ((2, 3, 4), (0, 2)),
                ((2, 70, 3), (1,)),
                ((), ()),
            ):
                for keep in (False, True):
                    out.append(
                        Sample((Make(shape, d, lo, hi),), {"dims": dims, "keepdim": keep}, grad=g)
                    )
        out += [
            Sample(
                (Make((6, 4), lo=lo, hi=hi, layout=k),), {"dims": (1,), "keepdim": False}, grad=grad
            )
            for k in ("T", "strided", "expanded")
        ]
        out.append(
            Sample((Make((4100, 3), lo=lo, hi=hi),), {"dims": (0,), "keepdim": False}, grad=False)
        )
        out.append(
            Sample((Make((3, 9000), lo=lo, hi=hi),), {"dims": (0, 1), "keepdim": False}, grad=False)
        )
        out.append(
            Sample((Make((3, 5), "float16", lo, hi),), {"dims": (1,), "keepdim": False}, grad=False)
        )
        out.append(
            Sample((Make((3, 5), "bfloat16", lo, hi),), {"dims": (0,), "keepdim": True}, grad=False)
        )
        if empty:
            out.append(Sample((Make((0, 3)),), {"dims": (0,), "keepdim": False}, grad=False))
        out.append(
            Sample((Make((4, 10), values="special"),), {"dims": (1,), "keepdim": False}, grad=False)
        )
        return out

    return samples


def _prod_vjp(g: Tensor, input: Tensor, dims: tuple, keepdim: bool) -> Tensor:
    # product of the others = exclusive product from both sides; right at zeros, also to second
    # order
    kept = [i for i in range(input.ndim) if i not in dims]
    order = kept + list(dims)
    x = input.permute(tuple(order)) if input.ndim else input
    lead = tuple(input.shape[i] for i in kept)
    flat = x.reshape((*lead, numel(tuple(input.shape[i] for i in dims))))
    n, at = flat.shape[-1], len(lead)
    ones = flat.new_ones((*lead, 1))

    def before(x: Tensor) -> Tensor:
        return get("cumprod")(get("cat")([ones, x.narrow(-1, 0, n - 1)], at), at)

    others = before(flat) * before(flat.flip(at)).flip(at) if n != 0 else flat
    back = (
        others.reshape(tuple(x.shape)).permute(_inverse(order))
        if input.ndim
        else others.reshape(())
    )
    return expand_reduced(g, tuple(input.shape), dims, keepdim) * back


def _inverse(order: list) -> tuple:
    out = [0] * len(order)
    for i, d in enumerate(order):
        out[d] = i
    return tuple(out)


def _ties_vjp(g: Tensor, input: Tensor, out: Tensor, dims: tuple, keepdim: bool) -> Tensor:
    shape = tuple(input.shape)
    won = input == expand_reduced(out, shape, dims, keepdim)
    share = won.to(input.dtype)
    count = sum(share, dims, True).expand(shape)
    return expand_reduced(g, shape, dims, keepdim) * share / count


def _sum_vjp(g: Tensor, input_type: TensorType, dims: tuple, keepdim: bool) -> Tensor:
    return expand_reduced(g, input_type.shape, dims, keepdim)


sum = reduction(
    "sum",
    native_reduce("sum", _wide),
    _infer(_wide),
    lower="sum",
    vjp=[_sum_vjp],
    samples=_samples(),
)
prod = reduction(
    "prod",
    native_reduce("prod", _wide),
    _infer(_wide),
    lower="prod",
    vjp=[_prod_vjp],
    samples=_samples(),
)
amax = reduction(
    "amax",
    native_reduce("max", _same),
    _infer(_same, "amax", True),
    lower="max",
    vjp=[_ties_vjp],
    samples=_samples(empty=False),
)
amin = reduction(
    "amin",
    native_reduce("min", _same),
    _infer(_same, "amin", True),
    lower="min",
    vjp=[_ties_vjp],
    samples=_samples(empty=False),
)
any = reduction(
    "any",
    native_reduce("any", lambda d: dtypes.bool_),
    _infer(lambda d: dtypes.bool_),
    lower="any",
    vjp=None,
    samples=_samples(False, ("float32", "int64", "bool"), -0.4, 0.6),
)
all = reduction(
    "all",
    native_reduce("all", lambda d: dtypes.bool_),
    _infer(lambda d: dtypes.bool_),
    lower="all",
    vjp=None,
    samples=_samples(False, ("float32", "int64", "bool"), -0.4, 0.6),
)
argmax = reduction(
    "argmax",
    native_reduce("argmax", lambda d: dtypes.int64),
    _infer(lambda d: dtypes.int64, "argmax", True),
    lower="argmax",
    vjp=None,
    samples=_samples(False, empty=False),
)
argmin = reduction(
    "argmin",
    native_reduce("argmin", lambda d: dtypes.int64),
    _infer(lambda d: dtypes.int64, "argmin", True),
    lower="argmin",
    vjp=None,
    samples=_samples(False, empty=False),
)


# ---------------------------------------------------------------- composites


def count_of(shape: tuple, dims: tuple) -> Any:
    return numel(tuple(shape[d] for d in dims))


def _mean_body(input: Tensor, dims: tuple, keepdim: bool = False) -> Tensor:
    return sum(input, dims, keepdim) / count_of(tuple(input.shape), dims)


def _mean_vjp(g: Tensor, input_type: TensorType, dims: tuple, keepdim: bool) -> Tensor:
    return expand_reduced(g, input_type.shape, dims, keepdim) / count_of(input_type.shape, dims)


def _mean_infer(input: TensorType, dims: tuple, keepdim: bool = False) -> TensorType:
    if not (input.dtype.is_floating_point or input.dtype.is_complex):
        raise RuntimeError(
            "mean(): could not infer output dtype. Input dtype must be either a floating "
            f"point or complex dtype. Got: {input.dtype.title}"
        )
    return input.with_shape(reduced_shape(input.shape, dims, keepdim))


mean = composite(
    "mean",
    _mean_body,
    inputs=("input",),
    infer=_mean_infer,
    vjp=[_mean_vjp],
    eager=native_reduce("mean", _same),
    batch="dims",
    half="wide",
    samples=_samples(kinds=("float32", "float64")),
)


def _freedom(shape: tuple, dims: tuple, correction: float) -> Any:
    """max(n - correction, 0) for the n reduced elements; a size stays a size."""
    n = count_of(shape, dims)
    if correction == int(correction):
        correction = int(correction)
    return n - correction if n > correction else 0


def _var_body(input: Tensor, dims: tuple, correction: float = 1, keepdim: bool = False) -> Tensor:
    centred = input - mean(input, dims, True)
    return sum(centred * centred, dims, keepdim) / _freedom(tuple(input.shape), dims, correction)


def _var_vjp(g: Tensor, input: Tensor, dims: tuple, correction: float, keepdim: bool) -> Tensor:
    shape = tuple(input.shape)
    scale = g * 2.0 / _freedom(shape, dims, correction)  # where g is small
    return expand_reduced(scale, shape, dims, keepdim) * (input - mean(input, dims, True))


def _var_infer(
    input: TensorType, dims: tuple, correction: float = 1, keepdim: bool = False
) -> TensorType:
    return input.with_shape(reduced_shape(input.shape, dims, keepdim))


def _var_samples() -> list[Sample]:
    return [
        Sample((Make(shape, d),), {"dims": dims, "correction": c, "keepdim": k}, grad=n > 1)
        for d in ("float32", "float64")
        for shape, dims, n in (
            ((3, 5), (1,), 5),
            ((3, 5), (0, 1), 15),
            ((2, 3, 4), (0,), 2),
            ((1, 3), (0,), 1),
        )
        for c in (0, 1)
        for k in (False, True)
    ]


def _var_eager() -> Any:
    import numpy as np

    from ..native import library
    from . import kernels

    signature = "void(int64_t, int64_t, int64_t, double, void *, void *, void *)"

    def run(a: Any, dims: tuple, correction: float, keepdim: bool) -> Any:
        shape = reduced_shape(a.shape, dims, keepdim)
        if not library.available():
            with np.errstate(all="ignore"):
                return np.var(a, axis=dims, ddof=correction, keepdims=keepdim)
        b, outer, n, inner = kernels.split_axes(a, dims)
        out = library.empty(shape, a.dtype)
        if out.size:
            kernels.native("reduce", "var", a.dtype, signature)(
                outer,
                n,
                inner,
                float(correction),
                library.pointer(b),
                library.pointer(out),
                library.null(),
            )
        return out

    return run


var = composite(
    "var",
    _var_body,
    inputs=("input",),
    infer=_var_infer,
    vjp=[_var_vjp],
    eager=_var_eager(),
    batch="dims",
    half="wide",
    samples=_var_samples,
)


def _logsumexp_body(input: Tensor, dims: tuple, keepdim: bool = False) -> Tensor:
    if input.dtype.category < dtypes.FLOAT:
        input = input.to(dtypes.get_default_dtype())
    if 0 in [input.shape[d] for d in dims]:
        finite: Any = 0.0  # there is no largest element; the sum is 0
    else:
        top = amax(input.real if input.dtype.is_complex else input, dims, True).detach()
        finite = top.masked_fill(top.isinf(), 0.0)
    s = sum((input - finite).exp(), dims, True).log() + finite
    return s if keepdim else s.reshape(reduced_shape(tuple(input.shape), dims, False))


logsumexp = composite(
    "logsumexp",
    _logsumexp_body,
    inputs=("input",),
    samples=_samples(kinds=("float32", "float64"), empty=False),
)


# ---------------------------------------------------------------- public helpers


def one_dim(dim: int, ndim: int) -> tuple[int, ...]:
    """dims attribute of a reduction over one axis."""
    at = dim_index(dim, ndim)
    return (at,) if ndim else ()


def dims_of(x: Tensor, dim: Any) -> tuple[int, ...]:
    """dims attribute from a user's `dim` (None, int, or several)."""
    return dims_tuple(dim, x.ndim)
