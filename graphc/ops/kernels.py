"""Eager kernels: numpy arrays in, numpy arrays out, by the native library or, without a C
compiler, numpy.

Invariant: a result is dense, with the strides that `ir.types.pointwise_strides` gives; native
kernels see contiguous memory only, so layouts are settled here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType, from_numpy_dtype
from ..core import dispatch
from ..ir.types import numel, pointwise_strides
from ..native import cpu, library
from . import fallback

_FLAT = {
    1: "void(int64_t, void *, void *)",
    2: "void(int64_t, void *, int64_t, void *, int64_t, void *)",
    3: "void(int64_t, void *, int64_t, void *, int64_t, void *, int64_t, void *)",
}
_BOOL = np.dtype(bool)


def empty_strided(shape: tuple, strides: tuple, dt: np.dtype) -> np.ndarray:
    """A dense array with exactly these strides (in elements)."""
    size = dt.itemsize
    memory = library.empty((math.prod(shape) * size,), np.dtype(np.uint8))
    return np.ndarray(shape, dt, memory, 0, tuple([s * size for s in strides]))


def dense(a: np.ndarray) -> np.ndarray:
    """a in row-major memory. numpy leaves any stride on axes of size 1, PyTorch does not."""
    if a.ndim == 0:  # numpy would make it 1-d
        return a
    a = np.ascontiguousarray(a)
    return a.reshape(-1).reshape(a.shape) if 1 in a.shape and a.ndim > 1 else a


def native(family: str, name: str, dt: Any, signature: str) -> Any:
    """gc_<family>_<name>_<code>. Raises PyTorch's NotImplementedError when there is none for the
    dtype."""
    d = from_numpy_dtype(dt)
    try:
        return library.fn(f"gc_{family}_{name}_{d.code}", signature)
    except AttributeError:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{d.title}'") from None


def call(name: str, numbers: Sequence[int], inputs: Sequence, outputs: Sequence) -> None:
    """Runs int gc_<...>(const int64_t *numbers, void *const *in, void *const *out) over arrays in
    row-major memory; an input may be None. Raises MemoryError when the function finds none."""
    kept = [  # must outlive the call
        a if a is None or a.flags.c_contiguous else np.ascontiguousarray(a) for a in inputs
    ]
    pointers = [library.null() if a is None else library.pointer(a) for a in kept]
    try:
        run = library.fn(name, library.CALL)
    except AttributeError:
        stem, title = name.split("_", 1)[1].rsplit("_", 1)[0], from_numpy_dtype(outputs[0].dtype)
        raise NotImplementedError(f"\"{stem}\" not implemented for '{title.title}'") from None
    if run(
        cpu.sizes(list(numbers)),
        cpu.pointers(pointers),
        cpu.pointers([library.pointer(a) for a in outputs]),
    ):
        raise MemoryError(f"{name} could not get memory for {[list(a.shape) for a in outputs]}")


def lines(shape: tuple, dim: int) -> list:
    """[outer, n, inner] around axis dim; sizes may be symbolic."""
    if not shape:
        return [1, 1, 1]
    return [numel(shape[:dim]), shape[dim], numel(shape[dim + 1 :])]


def native_pointwise(name: str, n: int, out_bool: bool = False) -> Callable:
    """The eager function of gc_v_<name>_<code> over n inputs of one dtype."""
    spare = fallback.pointwise(name)
    functions: dict[np.dtype, Any] = {}

    def find(dt: np.dtype) -> Any:
        f = native("v", name, dt, _FLAT[n])
        functions[dt] = f
        return f

    def unary(a: Any) -> np.ndarray:
        if not library.available():
            return spare(a)
        a = np.asarray(a)
        dt = a.dtype
        f = functions.get(dt) or find(dt)
        if a.flags.c_contiguous:
            out = library.empty(a.shape, _BOOL if out_bool else dt)
            f(a.size, library.pointer(a), library.pointer(out))
            return out
        if not a.flags.f_contiguous:
            dense = empty_strided(a.shape, pointwise_strides(a.shape, [_layout(a)]), dt)
            np.copyto(dense, a)
            a = dense
        flat = a.ravel(order="K")
        out = library.empty(flat.shape, _BOOL if out_bool else dt)
        f(flat.size, library.pointer(flat), library.pointer(out))
        return _unflat(out, a)

    def several(*arrays: Any) -> np.ndarray:
        if not library.available():
            return spare(*arrays)
        arrays = tuple([np.asarray(a) for a in arrays])
        dt = arrays[-1].dtype
        f = functions.get(dt) or find(dt)
        big = max(arrays, key=lambda a: (a.size, a.ndim))
        shape, args = big.shape, []
        if big.flags.c_contiguous and all(
            (a.shape == shape and a.flags.c_contiguous) or (a.size == 1 and a.ndim <= big.ndim)
            for a in arrays
        ):
            out = library.empty(shape, _BOOL if out_bool else dt)
            for a in arrays:
                args += [library.pointer(a), 1 if a.shape == shape else 0]
            f(out.size, *args, library.pointer(out))
            return out
        shape = np.broadcast_shapes(*[a.shape for a in arrays])
        strides = pointwise_strides(shape, [_layout(a) for a in arrays])
        kept = []
        for a in arrays:
            if a.size == 1:
                args += [library.pointer(a if a.flags.c_contiguous else a.copy()), 0]
                kept.append(a)
                continue
            dense = empty_strided(shape, strides, dt)
            np.copyto(dense, a)
            flat = dense.ravel(order="K")
            kept.append(flat)
            args += [library.pointer(flat), 1]
        model = empty_strided(shape, strides, _BOOL if out_bool else dt)
        out = model.ravel(order="K")
        f(out.size, *args, library.pointer(out))
        return model if np.may_share_memory(model, out) else _unflat(out, model)

    return unary if n == 1 else several


def _layout(a: np.ndarray) -> tuple[tuple, tuple]:
    size = a.itemsize
    return a.shape, tuple(s // size for s in a.strides)


def select(c: np.ndarray, a: np.ndarray, b: np.ndarray, shape: tuple) -> np.ndarray:
    """c ? a : b for arrays that broadcast to shape; a and b of one dtype of up to 8 bytes."""
    operands = (c, a, b)
    strides = pointwise_strides(shape, [_layout(x) for x in operands])
    out = empty_strided(shape, strides, b.dtype)
    args: list[Any] = []
    kept = []  # must outlive the call
    for x in operands:
        if x.size == 1 or (x.shape == shape and x.flags.c_contiguous and out.flags.c_contiguous):
            flat = x if x.flags.c_contiguous else x.copy()
        else:
            laid_out = empty_strided(shape, strides, x.dtype)
            np.copyto(laid_out, x)
            flat = laid_out.ravel(order="K")
        kept.append(flat)
        args += [library.pointer(flat), 0 if x.size == 1 else 1]
    f = library.fn(f"gc_v_select_{b.itemsize}", _FLAT[3])
    f(out.size, *args, library.address(out))
    return out


def _unflat(flat: np.ndarray, like: np.ndarray) -> np.ndarray:
    """flat (the memory order of dense `like`) with like's shape and axis order."""
    order = sorted(range(like.ndim), key=lambda i: (-like.strides[i], i))
    inverse = [0] * like.ndim
    for at, ax in enumerate(order):
        inverse[ax] = at
    return flat.reshape([like.shape[i] for i in order]).transpose(inverse)


# ---------------------------------------------------------------- casts


def cast(a: np.ndarray, from_: DType, to: DType) -> np.ndarray:
    """Total conversion by the contract; keeps a dense layout. Complex numbers lose their imaginary
    part, except that bool asks whether either part is not zero."""
    if from_.is_complex and not to.is_complex:
        if to is dtypes.bool_:
            return _by_layout(a, np.not_equal(a, 0))
        return cast(_by_layout(a, a.real), from_.to_real(), to)
    simple = (
        (
            to.category >= from_.category
            and from_.category < dtypes.FLOAT <= to.category
            and not to.is_half
        )
        or {from_, to} == {dtypes.float32, dtypes.float64}
        or to.category == dtypes.COMPLEX
    )
    if simple or not library.available():
        with np.errstate(all="ignore"):
            if not simple:
                return fallback.cast(a, from_, to)
            if a.flags.c_contiguous or a.flags.f_contiguous:
                return a.astype(to.np)
            # numpy would put an expanded axis innermost
            out = empty_strided(a.shape, pointwise_strides(a.shape, [_layout(a)]), to.np)
            np.copyto(out, a, casting="unsafe")
            return out
    if not (a.flags.c_contiguous or a.flags.f_contiguous):
        dense = empty_strided(a.shape, pointwise_strides(a.shape, [_layout(a)]), a.dtype)
        np.copyto(dense, a)
        a = dense
    flat = a.ravel(order="K") if not a.flags.c_contiguous else a
    out = library.empty(flat.shape, to.np)
    f = library.fn(f"gc_v_cast_{from_.code}_{to.code}", _FLAT[1])
    f(flat.size, library.pointer(flat), library.pointer(out))
    return out if flat is a else _unflat(out, a)


def _by_layout(like: np.ndarray, a: np.ndarray) -> np.ndarray:
    """a in memory of its own, dense, with the axis order of `like`."""
    out = empty_strided(a.shape, pointwise_strides(like.shape, [_layout(like)]), a.dtype)
    np.copyto(out, a)
    return out


dispatch.CAST[:] = [cast]


# ---------------------------------------------------------------- reductions

_REDUCE = "void(int64_t, int64_t, int64_t, void *, void *)"


def split_axes(a: np.ndarray, dims: tuple[int, ...]) -> tuple[np.ndarray, int, int, int]:
    """a as contiguous [outer, n, inner] with the reduced axes (in logical order) in the middle."""
    shape = a.shape
    if dims and dims[-1] - dims[0] == len(dims) - 1 and a.flags.c_contiguous:
        lo, hi = dims[0], dims[-1] + 1
    else:
        kept = [i for i in range(a.ndim) if i not in dims]
        a = dense(a.transpose(kept + list(dims)))
        shape, lo, hi = a.shape, len(kept), a.ndim
    return a, _product(shape[:lo]), _product(shape[lo:hi]), _product(shape[hi:])


def _product(ns: Any) -> int:
    p = 1
    for n in ns:
        p *= int(n)
    return p


def reduced_shape(shape: tuple, dims: tuple[int, ...], keepdim: bool) -> tuple:
    if keepdim:
        return tuple(1 if i in dims else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in dims)


def native_reduce(name: str, out: Callable[[DType], DType]) -> Callable:
    """The eager function of gc_reduce_<name>_<code>: (array, dims, keepdim) -> array."""
    spare = fallback.reduce(name)

    def run(a: np.ndarray, dims: tuple, keepdim: bool) -> np.ndarray:
        d = from_numpy_dtype(a.dtype)
        if d.is_complex:
            return _complex_reduction(name, d)(a, dims, keepdim)
        to = out(d).np
        shape = reduced_shape(a.shape, dims, keepdim)
        if not library.available():
            return np.asarray(spare(a, dims, keepdim), dtype=to).reshape(shape)
        if not dims:  # a 0-d tensor: one element is reduced
            a = a.reshape(a.shape + (1,))
            dims = (a.ndim - 1,)
        b, outer, n, inner = split_axes(a, dims)
        result = library.empty(shape, to)
        if result.size:
            native("reduce", name, a.dtype, _REDUCE)(
                outer, n, inner, library.pointer(b), library.pointer(result)
            )
        return result

    return run


# `complex_kernels` puts its reductions here, and its matrix product under "gemm".
COMPLEX: dict[str, Callable] = {}


def _complex_reduction(name: str, d: DType) -> Callable:
    if name not in COMPLEX:
        if name in ("argmax", "argmin"):
            raise RuntimeError(f"{name}(): does not support complex input")
        raise NotImplementedError(f"\"{name}_values_cpu\" not implemented for '{d.title}'")
    return COMPLEX[name]


# ---------------------------------------------------------------- products

_GEMM = (
    "int(int64_t, int64_t, int64_t, int64_t, void *, int64_t, int64_t, int64_t, "
    "void *, int64_t, int64_t, int64_t, void *, int64_t, int64_t%s)"
)
_EPILOGUE = ", void *"  # of the float products only


def gemm(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a [B, M, K] x b [B, K, N] in the canonical product order; any strides."""
    batch, m, k = a.shape
    n = b.shape[2]
    if not library.available():
        return fallback.gemm(a, b)
    code = from_numpy_dtype(a.dtype).code
    if a.dtype.kind == "c":
        return COMPLEX["gemm"](a, b)
    if code not in ("f32", "f64", "i32", "i64"):  # narrow integers wrap: compute wide, cut down
        wide = gemm(a.astype(np.int64), b.astype(np.int64))
        return wide.astype(a.dtype) if code != "b8" else wide != 0
    out = library.empty((batch, m, n), a.dtype)
    if out.size == 0:
        return out
    pa, sa = _operand(a)
    pb, sb = _operand(b)
    args = (batch, m, n, k, pa, *sa, pb, *sb, library.pointer(out), m * n, n)
    if a.dtype.kind == "f":
        status = library.fn(f"gc_gemm_{code}", _GEMM % _EPILOGUE)(*args, library.null())
    else:
        status = library.fn(f"gc_gemm_{code}", _GEMM % "")(*args)
    if status:
        raise MemoryError(
            f"graphc could not get memory for a matrix product of {list(a.shape)} x {list(b.shape)}"
        )
    return out


def _operand(a: np.ndarray) -> tuple[Any, list[int]]:
    size = a.itemsize
    return library.address(a), [s // size for s in a.strides]
