"""What the generic op tests share: inputs from samples, calls, comparison in bits."""

from __future__ import annotations

import zlib

import numpy as np

import graphc as torch
from graphc.base import dtypes
from graphc.core import dispatch
from graphc.core.tensor import Tensor, wrap
from graphc.ir.op import Make, Op, Sample, table

SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.7, -3.7, 1e-40, -1e-40, 1e-10, 88.0, 104.0,
           -104.0, 1e5, -1e5, 3e38, -3e38, float("inf"), float("-inf"), float("nan")]

_TOY: set = set()


def ops() -> list[Op]:
    """The whole table, in order of names."""
    import graphc.ops  # noqa: F401
    return [op for _, op in sorted(table().items())]


def cases(condition=lambda op, s: True) -> list:
    """pytest parameters (op, sample) over the whole table."""
    import pytest
    out = []
    for op in ops():
        for i, s in enumerate(op.samples()):
            if condition(op, s):
                out.append(pytest.param(op, s, id=f"{op.name}-{i}{'-' + s.name if s.name else ''}"))
    return out


def array(make: Make, seed: int) -> np.ndarray:
    """The numpy array of a recipe, with its layout; same numbers for the same seed."""
    rng = np.random.default_rng(seed)
    d = dtypes.dtype_named(make.dtype)
    shape = make.shape
    wide = {"C": shape, "offset": shape, "T": shape[:-2] + shape[:-3:-1] if len(shape) > 1 else shape,
            "strided": shape[:-1] + (2 * shape[-1],) if shape else shape,
            "expanded": (1, *shape[1:]) if shape else shape}[make.layout]
    if make.values == "special":
        flat = np.resize(np.array(SPECIAL), int(np.prod(wide))).astype(np.float64)
    elif make.values == "normal":
        flat = rng.standard_normal(int(np.prod(wide)))
    elif make.values is not None:
        flat = np.resize(np.array(make.values), int(np.prod(wide)))
    elif d.category <= dtypes.INT:
        flat = rng.integers(int(make.lo), max(int(make.hi), int(make.lo) + 1), int(np.prod(wide)))
    else:
        flat = rng.uniform(make.lo, make.hi, int(np.prod(wide)))
    from_ = dtypes.from_numpy_dtype(flat.dtype)
    a = dispatch.cast_array(np.ascontiguousarray(flat), from_, d)
    if make.layout == "offset":
        a = np.concatenate([a[:1].repeat(3), a])[3:]
    a = a.reshape(wide)
    if make.layout == "T" and len(shape) > 1:
        a = a.swapaxes(-1, -2)
    elif make.layout == "strided" and shape:
        a = a[..., ::2]
    elif make.layout == "expanded" and shape:
        a = np.lib.stride_tricks.as_strided(a, shape, (0, *a.strides[1:]))
    return a


def make_inputs(op: Op, s: Sample, dtype: str | None = None, requires_grad: bool = False) -> list:
    """The sample's inputs as tensors (numbers and None stay). dtype replaces floating dtypes."""
    out: list = []
    for i, m in enumerate(s.inputs):
        if not isinstance(m, Make):
            out.append(m)
            continue
        t = wrap(array(m, zlib.crc32(op.name.encode()) + i))
        if t.dtype.is_floating_point:
            if dtype is not None:
                a = t._array.astype(dtypes.dtype_named(dtype).np)
                t = wrap(np.ascontiguousarray(a).reshape(a.shape))
            if requires_grad:
                t.requires_grad_()
        out.append(t)
    return out


def call(op: Op, inputs: list, s: Sample):
    """The op's result for a sample, as a tuple of tensors."""
    out = op(tuple(inputs), **s.attrs) if op.variadic else op(*inputs, **s.attrs)
    return out if isinstance(out, tuple) else (out,)


def attr_values(op: Op, s: Sample) -> tuple:
    return op._bind((), dict(s.attrs))


def bits(t) -> bytes:
    """The value's bits in logical order, every nan mapped to one."""
    a = np.ascontiguousarray(t._array if isinstance(t, Tensor) else t)
    if a.dtype.kind == "f" or a.dtype.name == "bfloat16":
        a = a.copy()
        nan = np.isnan(a.astype(np.float32)) if a.dtype.itemsize == 2 else np.isnan(a)
        a[nan] = np.nan
        raw = a.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[a.dtype.itemsize]).copy() if a.ndim else \
            a.reshape(1).view({2: np.uint16, 4: np.uint32, 8: np.uint64}[a.dtype.itemsize]).copy()
        raw[nan if a.ndim else nan.reshape(1)] = 1
        return raw.tobytes()
    return a.tobytes()


def assert_same_bits(a, b, what: str = "") -> None:
    """Same shape, dtype and bits; the message shows the first element that differs."""
    x = a._array if isinstance(a, Tensor) else np.asarray(a)
    y = b._array if isinstance(b, Tensor) else np.asarray(b)
    assert x.shape == y.shape, f"{what}: shapes {x.shape} and {y.shape}"
    assert x.dtype == y.dtype, f"{what}: dtypes {x.dtype} and {y.dtype}"
    if bits(x) != bits(y):
        same = (x == y) | ((x != x) & (y != y))
        at = np.argwhere(~same)
        first = tuple(at[0]) if len(at) else ()
        raise AssertionError(f"{what}: {len(at) or 'sign of zero in some'} of {x.size} elements differ; first at "
                             f"{first}: {x[first]!r} and {y[first]!r}")


def strides_of(t: Tensor) -> tuple:
    """Strides with those of axes of size 1, and of empty tensors, left out: they mean nothing."""
    if 0 in t.shape:
        return ()
    return tuple(s for s, n in zip(t.stride(), t.shape, strict=True) if n != 1)


def is_tensor(x) -> bool:
    return isinstance(x, torch.Tensor)
