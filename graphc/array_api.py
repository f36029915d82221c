"""The namespace of the Python array API standard, version 2023.12: what `x.__array_namespace__()`
gives. Functions take and give graphc tensors under the standard's names and argument rules.

Known difference: `x.size` is PyTorch's method, not the number of elements; use
`math.prod(x.shape)`.
Source: https://data-apis.org/array-api/2023.12"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

from . import algebra, creation, functional, interop, ordering, special
from .base import dtypes
from .base.dtypes import (  # noqa: F401  (names of the namespace)
    DType,
    can_cast,
    complex64,
    complex128,
    finfo,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    uint8,
)
from .base.dtypes import bool_ as bool
from .core.tensor import Tensor
from .device import CPU, check_device
from .device import device as _device
from .ops import pointwise as _pointwise
from .ops.gather import nonzero as _nonzero

__array_api_version__ = "2023.12"
e, pi, inf, nan, newaxis = math.e, math.pi, math.inf, math.nan, None


def namespace(api_version: str | None = None) -> ModuleType:
    """This module, for the standard's versions that it serves. ValueError for others."""
    if api_version not in (None, "2021.12", "2022.12", "2023.12"):
        raise ValueError(f"graphc serves the array API standard up to 2023.12, not {api_version!r}")
    return importlib.import_module(__name__)


# Names of the standard that are functions of the library under this or another name.
_SAME = {
    **{
        n: n
        for n in (
            "abs acos acosh add asin asinh atan atan2 atanh bitwise_and bitwise_left_shift "
            "bitwise_or bitwise_right_shift bitwise_xor ceil copysign cos cosh exp expm1 floor "
            "floor_divide hypot isfinite isinf isnan log log1p log2 log10 logaddexp logical_and "
            "logical_not logical_or logical_xor matmul maximum minimum positive remainder round "
            "sign signbit sin sinh sqrt square tan tanh trunc where moveaxis"
        ).split()
    },
    "bitwise_invert": "bitwise_not",
    "divide": "div",
    "equal": "eq",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "multiply": "mul",
    "negative": "neg",
    "not_equal": "ne",
    "pow": "pow",
    "subtract": "sub",
}
_EXTENSIONS = ("linalg", "fft")
_WHOLE = {"ceil", "floor", "trunc", "round"}  # integers stay what they are


def __getattr__(name: str) -> Any:
    if name in _SAME:
        for room in (functional, algebra, ordering, special):
            found = getattr(room, _SAME[name], None)
            if found is not None:
                globals()[name] = found = _named(name, found)
                return found
    if name in _EXTENSIONS:
        try:
            return importlib.import_module("." + name, __package__)
        except ModuleNotFoundError:
            pass
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    there = {n for n in (*_SAME, *_EXTENSIONS) if _there(n)}
    return sorted({*[n for n in globals() if not n.startswith("_")], *there})


def _there(name: str) -> Any:
    try:
        return __getattr__(name)
    except AttributeError:
        return None


def _named(name: str, fn: Callable) -> Callable:
    def of_standard(*args: Any) -> Any:
        if name in _WHOLE and args[0].dtype.category <= dtypes.INT:
            return args[0].clone()
        return fn(*args)

    of_standard.__name__ = of_standard.__qualname__ = name
    of_standard.__doc__ = fn.__doc__
    return of_standard


# ---------------------------------------------------------------- creation


def arange(
    start: Any,
    /,
    stop: Any = None,
    step: Any = 1,
    *,
    dtype: DType | None = None,
    device: Any = None,
) -> Tensor:
    """Evenly spaced numbers in [start, stop), or in [0, start) without stop."""
    first, last = (0, start) if stop is None else (start, stop)
    if (last - first) * step <= 0:
        kinds = (type(x) is float for x in (first, last, step))
        floating = next((True for k in kinds if k), False)
        return creation.empty(0, dtype=dtype or (float32 if floating else int64), device=device)
    return creation.arange(first, last, step, dtype=dtype, device=device)


def asarray(
    obj: Any, /, *, dtype: DType | None = None, device: Any = None, copy: Any = None
) -> Tensor:
    """obj as a tensor. ValueError when copy=False and a copy is needed."""
    t = creation.asarray(obj, dtype=dtype, device=device, copy=copy)
    if copy is False:
        kept = obj if isinstance(obj, Tensor) else None
        shares = kept is not None and t._storage is kept._storage
        if not shares and not (hasattr(obj, "__array__") and t.dtype is _dtype_of(obj)):
            raise ValueError("Unable to avoid copy while creating an array as requested.")
    return t


def _dtype_of(obj: Any) -> DType:
    return creation.as_tensor(obj).dtype


def _of_shape(name: str) -> tuple[Callable, Callable]:
    make = getattr(creation, name)

    def fn(shape: Any, *, dtype: DType | None = None, device: Any = None) -> Tensor:
        shape = (shape,) if isinstance(shape, int) else tuple(shape)
        return make(shape, dtype=dtype, device=device)

    def like(x: Tensor, /, *, dtype: DType | None = None, device: Any = None) -> Tensor:
        return getattr(creation, name + "_like")(x, dtype=dtype, device=device)

    fn.__name__, like.__name__ = name, name + "_like"
    fn.__doc__ = f"A tensor of the given shape; see graphc.{name}."
    like.__doc__ = f"A tensor like x; see graphc.{name}_like."
    return fn, like


(empty, empty_like), (ones, ones_like), (zeros, zeros_like) = [
    _of_shape(n) for n in ("empty", "ones", "zeros")
]


def full(shape: Any, fill_value: Any, *, dtype: DType | None = None, device: Any = None) -> Tensor:
    """A tensor of one value."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return creation.full(shape, fill_value, dtype=dtype, device=device)


def full_like(
    x: Tensor, /, fill_value: Any, *, dtype: DType | None = None, device: Any = None
) -> Tensor:
    """A tensor like x of one value."""
    return creation.full_like(x, fill_value, dtype=dtype, device=device)


def eye(
    n_rows: int,
    n_cols: int | None = None,
    /,
    *,
    k: int = 0,
    dtype: DType | None = None,
    device: Any = None,
) -> Tensor:
    """Ones on the k-th diagonal, zeros elsewhere."""
    m = n_rows if n_cols is None else n_cols
    out = creation.zeros((n_rows, m), dtype=dtype or dtypes.get_default_dtype(), device=device)
    if -n_rows < k < m:
        out.diagonal(k).fill_(1)  # type: ignore[attr-defined]
    return out


def linspace(
    start: Any,
    stop: Any,
    /,
    num: int,
    *,
    dtype: DType | None = None,
    device: Any = None,
    endpoint: Any = True,
) -> Tensor:
    """num evenly spaced numbers from start to stop, which is left out with endpoint=False."""
    if endpoint:
        return creation.linspace(start, stop, num, dtype=dtype, device=device)
    return creation.linspace(start, stop, num + 1, dtype=dtype, device=device)[:num]


def meshgrid(*arrays: Tensor, indexing: str = "xy") -> list[Tensor]:
    """Coordinate grids of vectors."""
    return list(functional.grids(list(arrays), indexing == "xy"))


def tril(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The lower triangle of matrices."""
    return functional.tril(x, k)


def triu(x: Tensor, /, *, k: int = 0) -> Tensor:
    """The upper triangle of matrices."""
    return functional.triu(x, k)


def from_dlpack(x: Any, /, *, device: Any = None, copy: Any = None) -> Tensor:
    """A tensor over the memory of another library's array."""
    return interop.from_dlpack(x, device=device, copy=copy)


# ---------------------------------------------------------------- dtypes

_KINDS = {
    "bool": (bool,),
    "signed integer": (int8, int16, int32, int64),
    "unsigned integer": tuple(
        [d for d in dtypes.ALL if d.category == dtypes.INT and not d.is_signed]
    ),
    "real floating": (float32, float64),
    "complex floating": (complex64, complex128),
}
_KINDS["integral"] = _KINDS["signed integer"] + _KINDS["unsigned integer"]
_KINDS["numeric"] = _KINDS["integral"] + _KINDS["real floating"] + _KINDS["complex floating"]


def isdtype(dtype: DType, kind: Any) -> Any:
    """Whether dtype is of a kind: a dtype, a name such as "integral", or a tuple of them."""
    if isinstance(kind, tuple):
        return next((True for k in kind if isdtype(dtype, k)), False)
    if isinstance(kind, str):
        if kind not in _KINDS:
            raise ValueError(f"Unrecognized data type kind: {kind!r}")
        return dtype in _KINDS[kind] or kind == "real floating" and dtype.is_floating_point
    return dtype is kind


def astype(x: Tensor, dtype: DType, /, *, copy: Any = True, device: Any = None) -> Tensor:
    """x in another dtype; a copy even when nothing changes, unless copy=False."""
    check_device(device)
    return x.to(dtype, copy=copy)  # type: ignore[attr-defined]


def result_type(*arrays_and_dtypes: Any) -> DType:
    """The dtype that arithmetic on all of them gives."""
    from .core.dispatch import number_type

    keys = []
    for x in arrays_and_dtypes:
        if isinstance(x, DType):
            keys.append(x)
        elif isinstance(x, Tensor):
            keys.append(x.dtype)
        else:
            keys.append(number_type(x))
    return dtypes.result_of_keys(tuple(keys))


# ---------------------------------------------------------------- elementwise


def clip(x: Tensor, /, min: Any = None, max: Any = None) -> Tensor:
    """x limited to [min, max]."""
    if min is None and max is None:
        return x.clone()  # type: ignore[attr-defined]
    out = x
    if min is not None:
        out = functional.maximum(out, _as(min, x))  # type: ignore[attr-defined]
    if max is not None:
        out = functional.minimum(out, _as(max, x))  # type: ignore[attr-defined]
    return out.to(x.dtype)  # type: ignore[attr-defined]


def _as(v: Any, x: Tensor) -> Tensor:
    return v if isinstance(v, Tensor) else creation.full((), v, dtype=x.dtype)


def conj(x: Tensor, /) -> Tensor:
    """The complex conjugate."""
    return x.conj() if x.dtype.is_complex else x  # type: ignore[attr-defined]


def real(x: Tensor, /) -> Tensor:
    """The real part."""
    return x.real if x.dtype.is_complex else x  # type: ignore[attr-defined]


def imag(x: Tensor, /) -> Tensor:
    """The imaginary part; zeros of a real tensor."""
    return x.imag if x.dtype.is_complex else creation.zeros_like(x)  # type: ignore[attr-defined]


# ---------------------------------------------------------------- shapes


def broadcast_arrays(*arrays: Tensor) -> list[Tensor]:
    """The tensors under their common shape."""
    return list(functional.broadcast_tensors(*arrays))


def broadcast_to(x: Tensor, /, shape: Any) -> Tensor:
    """x under a larger shape."""
    return functional.broadcast_to(x, tuple(shape))


def concat(arrays: Sequence[Tensor], /, *, axis: int | None = 0) -> Tensor:
    """Joined along an axis, or flattened with axis=None."""
    if axis is None:
        return functional.cat([a.reshape(-1) for a in arrays], 0)  # type: ignore[attr-defined]
    return functional.cat(list(arrays), axis)


def expand_dims(x: Tensor, /, *, axis: int = 0) -> Tensor:
    """x with a new axis. IndexError for an axis out of range."""
    if not -x.ndim - 1 <= axis <= x.ndim:
        raise IndexError(f"axis {axis} is out of bounds for a tensor of {x.ndim} dimensions")
    return functional.unsqueeze(x, axis)


def flip(x: Tensor, /, *, axis: Any = None) -> Tensor:
    """x reversed along axes, by default all."""
    return functional.flip(x, tuple(range(x.ndim)) if axis is None else axis)


def permute_dims(x: Tensor, /, axes: Any) -> Tensor:
    """x with its axes in another order."""
    return functional.permute(x, tuple(axes))


def repeat(x: Tensor, repeats: Any, /, *, axis: int | None = None) -> Tensor:
    """Each element repeated; flattened without axis."""
    return ordering.repeat_interleave(x, repeats, axis)


def reshape(x: Tensor, /, shape: Any, *, copy: Any = None) -> Tensor:
    """x under another shape. ValueError when copy=False and the memory does not allow it."""
    out = functional.reshape(x, tuple(shape))
    if copy:
        return out.clone() if out._storage is x._storage else out  # type: ignore[attr-defined]
    if copy is False and out._storage is not x._storage:
        raise ValueError("Unable to avoid copy while reshaping.")
    return out


def roll(x: Tensor, /, shift: Any, *, axis: Any = None) -> Tensor:
    """x rolled along axes; without axis, flattened for it."""
    return functional.roll(x, shift, axis)


def squeeze(x: Tensor, /, axis: Any) -> Tensor:
    """x without the given axes of size 1. ValueError for other sizes."""
    for a in (axis,) if isinstance(axis, int) else axis:
        if x.shape[a] != 1:
            raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return functional.squeeze(x, axis)


def stack(arrays: Sequence[Tensor], /, *, axis: int = 0) -> Tensor:
    """Joined along a new axis."""
    return functional.stack(list(arrays), axis)


def tile(x: Tensor, repetitions: Any, /) -> Tensor:
    """x repeated along its axes."""
    return functional.tile(x, tuple(repetitions))


def unstack(x: Tensor, /, *, axis: int = 0) -> tuple:
    """x's slices along an axis."""
    return tuple(functional.unbind(x, axis))


def matrix_transpose(x: Tensor, /) -> Tensor:
    """The last two axes exchanged. ValueError for less than two."""
    if x.ndim < 2:
        raise ValueError("matrix_transpose needs at least two dimensions")
    return functional.transpose(x, -2, -1)


def tensordot(x1: Tensor, x2: Tensor, /, *, axes: Any = 2) -> Tensor:
    """Sums of products over axes of both."""
    return algebra.tensordot(x1, x2, axes)


def vecdot(x1: Tensor, x2: Tensor, /, *, axis: int = -1) -> Tensor:
    """Sums of products along one axis, the first factor conjugated."""
    return functional.sum(conj(x1) * x2, axis)


# ---------------------------------------------------------------- searching, sorting, sets


def _axes(axis: Any) -> Any:
    return None if axis is None else axis if isinstance(axis, int) else tuple(axis)


def argmax(x: Tensor, /, *, axis: int | None = None, keepdims: Any = False) -> Tensor:
    """Where the largest element is, the first of equal ones."""
    return functional.argmax(x, axis, keepdims)


def argmin(x: Tensor, /, *, axis: int | None = None, keepdims: Any = False) -> Tensor:
    """Where the smallest element is, the first of equal ones."""
    return functional.argmin(x, axis, keepdims)


def nonzero(x: Tensor, /) -> tuple:
    """Coordinates of what is not zero, per axis. ValueError for 0-d tensors."""
    if x.ndim == 0:
        raise ValueError("nonzero() is undefined for zero-dimensional arrays")
    return tuple(functional.unbind(_nonzero(x), 1))


def searchsorted(
    x1: Tensor, x2: Tensor, /, *, side: str = "left", sorter: Tensor | None = None
) -> Tensor:
    """Where x2's elements go into the sorted vector x1."""
    return ordering.searchsorted(x1, x2, side=side, sorter=sorter)


def take(x: Tensor, indices: Tensor, /, *, axis: int | None = None) -> Tensor:
    """x's slices that a vector of indices names; axis may be left out for vectors."""
    if axis is None:
        if x.ndim != 1:
            raise ValueError("axis must be given for tensors that are no vectors")
        axis = 0
    return functional.index_select(x, axis, indices)


def argsort(x: Tensor, /, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Tensor:
    """The indices that sort x."""
    return ordering.argsort(x, axis, descending, stable)


def sort(x: Tensor, /, *, axis: int = -1, descending: Any = False, stable: Any = True) -> Tensor:
    """x sorted."""
    return ordering.sort(x, axis, descending, stable).values


class UniqueAll(NamedTuple):
    """The distinct values, where each is first, which one each element is, how often."""

    values: Tensor
    indices: Tensor
    inverse_indices: Tensor
    counts: Tensor


class UniqueCounts(NamedTuple):
    """The distinct values and how often each occurs."""

    values: Tensor
    counts: Tensor


class UniqueInverse(NamedTuple):
    """The distinct values and which one each element is."""

    values: Tensor
    inverse_indices: Tensor


def unique_all(x: Tensor, /) -> UniqueAll:
    """The distinct values with their first places, the inverse and counts."""
    values, inverse, counts = ordering.unique(x, True, True, True)
    order = ordering.argsort(inverse.reshape(-1))
    starts = ordering.cumsum(counts, 0) - counts  # type: ignore[attr-defined]
    return UniqueAll(values, order[starts], inverse, counts)


def unique_counts(x: Tensor, /) -> UniqueCounts:
    """The distinct values and their counts."""
    return UniqueCounts(*ordering.unique(x, return_counts=True))


def unique_inverse(x: Tensor, /) -> UniqueInverse:
    """The distinct values and the inverse."""
    return UniqueInverse(*ordering.unique(x, return_inverse=True))


def unique_values(x: Tensor, /) -> Tensor:
    """The distinct values."""
    return ordering.unique(x)


# ---------------------------------------------------------------- reductions


def max(x: Tensor, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """The largest element."""
    return functional.amax(x, () if axis is None else _axes(axis), keepdims)


def min(x: Tensor, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """The smallest element."""
    return functional.amin(x, () if axis is None else _axes(axis), keepdims)


def mean(x: Tensor, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
    """The mean."""
    return functional.mean(x, _axes(axis), keepdims)


def sum(
    x: Tensor, /, *, axis: Any = None, dtype: DType | None = None, keepdims: Any = False
) -> Tensor:
    """The sum; small integers are summed as int64."""
    return functional.sum(x, _axes(axis), keepdims, dtype=dtype)


def prod(
    x: Tensor, /, *, axis: Any = None, dtype: DType | None = None, keepdims: Any = False
) -> Tensor:
    """The product; small integers are multiplied as int64."""
    x = x if dtype is None else x.to(dtype)  # type: ignore[attr-defined]
    axes = tuple(range(x.ndim)) if axis is None else (axis,) if isinstance(axis, int) else axis
    if not x.ndim:
        return functional.prod(x)
    for a in sorted([a % x.ndim for a in axes], reverse=True):
        x = functional.prod(x, a, keepdims)
    return x.to(dtype) if dtype is not None else x  # type: ignore[attr-defined]


def std(
    x: Tensor, /, *, axis: Any = None, correction: float = 0.0, keepdims: Any = False
) -> Tensor:
    """The standard deviation, divided by n - correction."""
    return functional.std(x, _axes(axis), correction=correction, keepdim=keepdims)


def var(
    x: Tensor, /, *, axis: Any = None, correction: float = 0.0, keepdims: Any = False
) -> Tensor:
    """The variance, divided by n - correction."""
    return functional.var(x, _axes(axis), correction=correction, keepdim=keepdims)


def cumulative_sum(
    x: Tensor,
    /,
    *,
    axis: int | None = None,
    dtype: DType | None = None,
    include_initial: Any = False,
) -> Tensor:
    """Running sums along an axis, which vectors may leave out; with a zero in front if
    include_initial."""
    if axis is None:
        if x.ndim != 1:
            raise ValueError("axis must be given for tensors that are no vectors")
        axis = 0
    out = ordering.cumsum(x if dtype is None else x.to(dtype), axis)  # type: ignore[attr-defined]
    out = out if dtype is None else out.to(dtype)
    if include_initial:
        shape = list(out.shape)
        shape[axis] = 1
        out = functional.cat([creation.zeros(tuple(shape), dtype=out.dtype), out], axis)
    return out


def _truth(name: str) -> Callable:
    def fn(x: Tensor, /, *, axis: Any = None, keepdims: Any = False) -> Tensor:
        x = _pointwise.cast(x, bool) if x.dtype is not bool else x
        return getattr(functional, name)(x, _axes(axis), keepdims)

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"Whether {name} elements are true."
    return fn


all, any = _truth("all"), _truth("any")


# ---------------------------------------------------------------- what there is


class _Info:
    """Devices and dtypes of this namespace."""

    def capabilities(self) -> dict:
        return {"boolean indexing": True, "data-dependent shapes": True}

    def default_device(self) -> _device:
        return CPU

    def devices(self) -> list[_device]:
        return [CPU]

    def default_dtypes(self, *, device: Any = None) -> dict[str, DType]:
        check_device(device)
        d = dtypes.get_default_dtype()
        wide = complex128 if d is float64 else complex64
        return {
            "real floating": d,
            "complex floating": wide,
            "integral": int64,
            "indexing": int64,
        }

    def dtypes(self, *, device: Any = None, kind: Any = None) -> dict[str, DType]:
        check_device(device)
        known = (*_KINDS["bool"], *_KINDS["numeric"])
        return {d.name: d for d in known if kind is None or isdtype(d, kind)}


def __array_namespace_info__() -> _Info:
    """What devices and dtypes there are."""
    return _Info()
