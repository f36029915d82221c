"""Pooling: the largest element or the mean of windows over N spatial axes, and their gradients.

Windows are either given by size, stride, padding and dilation or, with `stride=None`, adaptive:
`size` is then the output's, and place o along an axis of n covers [floor(o n / size),
ceil((o + 1) n / size)). Inputs are (N, C, *spatial). Element order:
runtime/src/window/window_float.inc.
Source of semantics: https://docs.pytorch.org/docs/stable/nn.html#pooling-layers
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType, from_numpy_dtype
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, numel
from ..native import library
from .define import native
from .gather import gather
from .kernels import call
from .movement import permute, reshape

# ---------------------------------------------------------------- windows


def pooled_size(n: Any, k: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> Any:
    """Places of a window along an axis of size n. With ceil_mode a last window may reach beyond the
    end, but has to begin inside of the input or its left padding."""
    room = n + (2 * padding - dilation * (k - 1) - 1)
    if not ceil_mode:
        return room // stride + 1 if stride != 1 else room + 1
    size = (room + stride - 1) // stride + 1
    return size - 1 if (size - 1) * stride >= n + padding else size


def pooled_shape(
    spatial: tuple, size: tuple, stride: Any, padding: tuple, dilation: tuple, ceil_mode: bool
) -> tuple:
    """The spatial sizes of a pooled tensor."""
    if stride is None:
        return tuple(size)
    return tuple(
        pooled_size(*axis, ceil_mode)
        for axis in zip(spatial, size, stride, padding, dilation, strict=True)
    )


@lru_cache(maxsize=256)
def _axis(n: int, out: int, k: int, stride: Any, padding: int, dilation: int) -> tuple:
    """(first place, end, places counted with the padding) per output place along one axis."""
    o = np.arange(out, dtype=np.int64)
    if stride is None:
        lo, hi = o * n // max(out, 1), -((o + 1) * -n // max(out, 1))
        return lo, hi, hi - lo
    start = o * stride - padding
    lo = np.where(start < 0, start + -(start // dilation) * dilation, start)
    hi = np.minimum(start + dilation * (k - 1) + 1, n)
    return lo, hi, np.minimum(start + k, n + padding) - start


def _windows(spatial: tuple, out: tuple, size: tuple, stride: Any, padding: Any, dilation: Any):
    axes = len(spatial)
    stride, padding = stride or (None,) * axes, padding or (0,) * axes
    return [
        _axis(*a)
        for a in zip(spatial, out, size, stride, padding, dilation or (1,) * axes, strict=True)
    ]


def _numbers(
    shape: tuple, out: tuple, size: tuple, stride: Any, padding: Any, dilation: Any,
    counted: bool = False, divisor: int = 0,
) -> list:  # fmt: skip
    """What the native kernels read: planes, then six triples (stride 0: adaptive windows), whether
    padding counts, the divisor. Missing axes have one place."""
    axes = len(size)
    ones, none = (1,) * (3 - axes), (0,) * (3 - axes)
    triples = (
        ones + tuple(shape[2:]),
        ones + tuple(out),
        ones + tuple(size),
        ones + (stride or (0,) * axes),
        none + (padding or (0,) * axes),
        ones + (dilation or (1,) * axes),
    )
    return [shape[0] * shape[1], *[n for t in triples for n in t], int(counted), divisor]


def _check_dtype(name: str, axes: int, dt: Any, integers: bool = True) -> None:
    """PyTorch's error for dtypes that a pool does not take; dt of numpy or graphc."""
    d = from_numpy_dtype(dt) if isinstance(dt, np.dtype) else dt
    if d.is_complex or not (d.is_floating_point or (integers and d is not dtypes.bool_)):
        raise NotImplementedError(f"\"{name}{axes}d\" not implemented for '{d.title}'")


def _is_native(a: np.ndarray) -> bool:
    return a.dtype.char in "fd" and a.ndim <= 5 and library.available()


def _run(name: str, numbers: list, arrays: list, *results: np.ndarray) -> Any:
    call(_function(name, from_numpy_dtype(arrays[0].dtype)), numbers, arrays, results)
    return results if len(results) > 1 else results[0]


def _called(name: str, shapes: list, dtypes: list, numbers: list) -> tuple | None:
    served = dtypes[0].code in ("f32", "f64") and len(shapes[0]) <= 5
    return (_function(name, dtypes[0]), numbers) if served else None


def _function(name: str, d: DType) -> str:
    return f"gc_window_{name}_{d.code}"


def _places(windows: list, out: tuple, step: tuple) -> Any:
    """(output place, slices of its window) of every place, for the numpy kernels."""
    for o in product(*[range(n) for n in out]):
        yield (
            o,
            tuple(
                slice(int(w[0][i]), int(w[1][i]), s)
                for w, i, s in zip(windows, o, step, strict=True)
            ),
        )


# ---------------------------------------------------------------- maxima


def _max_kernel(
    x: np.ndarray, size: tuple, stride: Any, padding: tuple, dilation: tuple, ceil_mode: bool
) -> tuple:
    _check_dtype("max_pool", len(size), x.dtype)
    spatial = x.shape[2:]
    out = pooled_shape(spatial, size, stride, padding, dilation, ceil_mode)
    shape = (*x.shape[:2], *out)
    y, index = library.empty(shape, x.dtype), library.empty(shape, np.dtype(np.int64))
    if not y.size:
        return y, index
    if _is_native(x):
        return _run("max", _numbers(x.shape, out, size, stride, padding, dilation), [x], y, index)
    step = dilation or (1,) * len(size)
    windows = _windows(spatial, out, size, stride, padding, dilation)
    flat = np.arange(prod(spatial)).reshape(spatial)
    for o, window in _places(windows, out, step):
        at: Any = (slice(None), slice(None), *window)
        place: Any = (slice(None), slice(None), *o)
        seen = x[at].reshape(*shape[:2], -1)
        first = seen.argmax(-1)  # numpy's argmax stops at the first nan
        y[place] = np.take_along_axis(seen, first[..., None], -1)[..., 0]
        index[place] = flat[window].reshape(-1)[first]
    return y, index


def _max_infer(
    input: TensorType, size: tuple, stride: Any, padding: Any, dilation: Any, ceil_mode: bool
) -> tuple:
    _check_dtype("max_pool", len(size), input.dtype)
    out = pooled_shape(input.shape[2:], size, stride, padding, dilation, ceil_mode)
    shape = (*input.shape[:2], *out)
    return input.with_shape(shape), input.with_shape(shape, dtypes.int64)


def _max_lower(
    shapes: list, dtypes: list, size: tuple, stride: Any, padding: Any, dilation: Any,
    ceil_mode: bool,
) -> Any:  # fmt: skip
    out = pooled_shape(shapes[0][2:], size, stride, padding, dilation, ceil_mode)
    numbers = _numbers(shapes[0], out, size, stride, padding, dilation)
    return _called("max", shapes, dtypes, numbers)


def _scatter_kernel(g: np.ndarray, index: np.ndarray, shape: tuple) -> np.ndarray:
    shape = tuple(int(n) for n in shape)
    if _is_native(g):
        numbers = _scatter_numbers(g.shape, shape)
        return _run("scatter", numbers, [g, index], library.empty(shape, g.dtype))
    planes, places = shape[0] * shape[1], prod(shape[2:])
    out = np.zeros((planes, places), g.dtype)
    if g.size:
        rows, index = np.arange(planes)[:, None], index.reshape(planes, -1)
        inside = (index >= 0) & (index < places)
        g = np.where(inside, g.reshape(planes, -1), g.dtype.type(0))
        np.add.at(out, (rows, np.where(inside, index, 0)), g)
    return out.reshape(shape)


def _scatter_numbers(out: tuple, shape: tuple) -> list:
    return [shape[0] * shape[1], numel(out[2:]), numel(shape[2:])]


def picked(input: Tensor, index: Tensor) -> Tensor:
    """The elements of (N, C, *spatial) at places (N, C, *out) of each flattened plane."""
    lead = tuple(index.shape[:2])
    flat = input.reshape(*lead, numel(tuple(input.shape[2:])))
    return gather(flat, index.reshape(*lead, numel(tuple(index.shape[2:]))), 2).reshape(
        tuple(index.shape)
    )


def _as_images(op: Any, at: int | None) -> Any:
    """The batching rule of a pool: the batch joins the images; attribute `at` is a shape."""

    def batch(values: list, flags: list, n: Any, *attrs: Any) -> Any:
        images = []
        for v, mapped in zip(values, flags, strict=True):
            if not mapped:
                v = v.unsqueeze(-1).expand((*v.shape, n))
            moved = permute(v, (v.ndim - 1, *range(v.ndim - 1)))
            images.append(reshape(moved, (n * v.shape[0], *v.shape[1:-1])))
        if at is not None and attrs[at] is not None:
            shape = attrs[at]
            attrs = (*attrs[:at], (n * shape[0], *shape[1:]), *attrs[at + 1 :])
        out = op()(*images, *attrs)
        back = [_apart(t, n) for t in (out if type(out) is tuple else (out,))]
        return tuple(back) if type(out) is tuple else back[0]

    return batch


def _apart(x: Tensor, n: Any) -> Tensor:
    """[B * N, ...] as [N, ..., B]."""
    x = reshape(x, (n, x.shape[0] // n, *x.shape[1:]))
    return permute(x, (*range(1, x.ndim), 0))


def _window(**changed: Any) -> dict:
    return {
        "size": (2, 2),
        "stride": (2, 2),
        "padding": (0, 0),
        "dilation": (1, 1),
        "ceil_mode": False,
        **changed,
    }


_ADAPTIVE = {"stride": None, "padding": None, "dilation": None}
_LINE = {"size": (3,), "stride": (2,), "padding": (1,), "dilation": (1,)}

max_pool_backward = native(
    "max_pool_backward",
    _scatter_kernel,
    lambda grad, indices, shape: grad.with_shape(shape),
    inputs=("grad", "indices"),
    lower=lambda shapes, dtypes, shape: _called(
        "scatter", shapes, dtypes, _scatter_numbers(shapes[0], shape)
    ),
    batch=_as_images(lambda: max_pool_backward, 0),
    half="float32",
    backward_name="MaxPoolBackwardBackward0",
    vjp=[lambda g, indices: picked(g, indices), None],
    samples=lambda: [
        Sample((Make((2, 2, 2, 3), d), Make((2, 2, 2, 3), "int64", 0, 12)), {"shape": (2, 2, 3, 4)})
        for d in ("float32", "float64")
    ],
)

max_pool = native(
    "max_pool",
    _max_kernel,
    _max_infer,
    inputs=("input",),
    outputs=("out", "indices"),
    auxiliary=(1,),
    lower=_max_lower,
    batch=_as_images(lambda: max_pool, None),
    half="float32",
    backward_name="MaxPoolBackward0",
    vjp=lambda gs, input_type, indices: (
        None if gs[0] is None else max_pool_backward(gs[0], indices, tuple(input_type.shape)),
    ),
    samples=lambda: [
        Sample((Make((2, 2, 4, 6)),), _window()),
        Sample((Make((1, 2, 5, 6), layout="T"),), _window(size=(3, 2), padding=(1, 1))),
        Sample((Make((1, 2, 7, 8)),), _window(dilation=(2, 2), stride=(1, 2))),
        Sample((Make((2, 1, 9)),), _window(**_LINE)),
        Sample((Make((1, 2, 5, 7)),), _window(size=(2, 3), **_ADAPTIVE)),
    ],
)


# ---------------------------------------------------------------- means


def _mean_windows(
    spatial: tuple, out: tuple, size: tuple, stride: Any, padding: Any, counted: bool
) -> list:
    found = []
    for lo, hi, count in _windows(spatial, out, size, stride, padding, None):
        hi = np.maximum(hi, lo)
        found.append((lo, hi, count if counted else hi - lo))
    return found


def _divisors(windows: list, divisor: int, dt: np.dtype) -> np.ndarray:
    if divisor:
        return np.asarray(divisor, dt)
    total: Any = np.ones((), np.int64)
    for w in windows:
        total = np.multiply.outer(total, w[2])
    return np.maximum(total, 1).astype(dt)


def _mean_kernel(
    x: np.ndarray, size: tuple, stride: Any, padding: Any, ceil_mode: bool, counted: bool,
    divisor: int, shape: Any = None,
) -> np.ndarray:  # fmt: skip
    _check_dtype("avg_pool", len(size), x.dtype)
    spatial = x.shape[2:]
    out = pooled_shape(spatial, size, stride, padding, (1,) * len(size), ceil_mode)
    y = library.empty((*x.shape[:2], *out), x.dtype)
    if not y.size:
        return y
    if _is_native(x):
        numbers = _numbers(x.shape, out, size, stride, padding, None, counted, divisor)
        return _run("mean", numbers, [x], y)
    step = (1,) * len(size)
    windows = _mean_windows(spatial, out, size, stride, padding, counted)
    for o, window in _places(windows, out, step):
        place: Any = (slice(None), slice(None), *o)
        seen = x[(slice(None), slice(None), *window)].reshape(*x.shape[:2], -1)
        y[place] = seen.sum(-1, dtype=x.dtype)
    divided = _divisors(windows, divisor, x.dtype)
    if x.dtype.kind in "iu":  # towards zero
        return np.sign(y) * np.sign(divided) * (np.abs(y) // np.abs(divided))
    return y / divided


def _spread_kernel(
    g: np.ndarray, shape: tuple, size: tuple, stride: Any, padding: Any, ceil_mode: bool,
    counted: bool, divisor: int,
) -> np.ndarray:  # fmt: skip
    _check_dtype("avg_pool", len(size), g.dtype, False)
    shape = tuple(int(n) for n in shape)
    spatial, out = shape[2:], g.shape[2:]
    if _is_native(g):
        numbers = _numbers(shape, out, size, stride, padding, None, counted, divisor)
        return _run("spread", numbers, [g], library.empty(shape, g.dtype))
    step = (1,) * len(size)
    windows = _mean_windows(spatial, out, size, stride, padding, counted)
    y = np.zeros(shape, g.dtype)
    share = g / _divisors(windows, divisor, g.dtype)
    for o, window in _places(windows, out, step):
        part = share[(slice(None), slice(None), *o)]
        y[(slice(None), slice(None), *window)] += part.reshape(*part.shape, *[1] * len(size))
    return y


def _mean_infer(
    input: TensorType, size: tuple, stride: Any, padding: Any, ceil_mode: bool, counted: bool,
    divisor: int, shape: Any = None,
) -> TensorType:  # fmt: skip
    _check_dtype("avg_pool", len(size), input.dtype)
    if shape is not None:
        return input.with_shape(shape)
    out = pooled_shape(input.shape[2:], size, stride, padding, (1,) * len(size), ceil_mode)
    return input.with_shape((*input.shape[:2], *out))


def _spread_infer(
    grad: TensorType, shape: tuple, size: tuple, stride: Any, padding: Any, ceil_mode: bool,
    counted: bool, divisor: int,
) -> TensorType:  # fmt: skip
    _check_dtype("avg_pool", len(size), grad.dtype, False)
    return grad.with_shape(shape)


def _mean_lower(
    shapes: list, dtypes: list, size: tuple, stride: Any, padding: Any, ceil_mode: bool,
    counted: bool, divisor: int, shape: Any,
) -> Any:  # fmt: skip
    x = shapes[0]
    out = (
        pooled_shape(x[2:], size, stride, padding, (1,) * len(size), ceil_mode)
        if shape is None
        else shape[2:]
    )
    numbers = _numbers(x, out, size, stride, padding, None, counted, divisor)
    return _called("mean", shapes, dtypes, numbers)


def _spread_lower(
    shapes: list, dtypes: list, shape: tuple, size: tuple, stride: Any, padding: Any,
    ceil_mode: bool, counted: bool, divisor: int,
) -> Any:  # fmt: skip
    numbers = _numbers(shape, shapes[0][2:], size, stride, padding, None, counted, divisor)
    return _called("spread", shapes, dtypes, numbers)


def _means() -> list[tuple]:
    """(input, output, attributes) that the samples of both records share."""
    plain = {"ceil_mode": False, "counted": True, "divisor": 0}
    return [
        ((2, 2, 4, 6), (2, 2, 2, 3),
         {"size": (2, 2), "stride": (2, 2), "padding": (0, 0), **plain}),
        ((1, 2, 5, 4), (1, 2, 3, 3),
         {"size": (3, 2), "stride": (2, 2), "padding": (1, 1), **plain, "counted": False}),
        ((2, 1, 9), (2, 1, 5),
         {"size": (3,), "stride": (2,), "padding": (1,), **plain, "divisor": 2}),
        ((1, 2, 5, 7), (1, 2, 2, 3),
         {"size": (2, 3), "stride": None, "padding": None, **plain}),
    ]  # fmt: skip


avg_pool = native(
    "avg_pool",
    _mean_kernel,
    _mean_infer,
    inputs=("input",),
    lower=_mean_lower,
    batch=_as_images(lambda: avg_pool, 6),
    half="float32",
    backward_name="AvgPoolBackward0",
    vjp=[
        lambda g, input_type, size, stride, padding, ceil_mode, counted, divisor: avg_pool_backward(
            g, tuple(input_type.shape), size, stride, padding, ceil_mode, counted, divisor
        )
    ],
    samples=lambda: [Sample((Make(x),), a) for x, _, a in _means()],
)

avg_pool_backward = native(
    "avg_pool_backward",
    _spread_kernel,
    _spread_infer,
    inputs=("grad",),
    lower=_spread_lower,
    batch=_as_images(lambda: avg_pool_backward, 0),
    half="float32",
    backward_name="AvgPoolBackwardBackward0",
    vjp=[
        lambda g, grad_type, size, stride, padding, ceil_mode, counted, divisor: avg_pool(
            g, size, stride, padding, ceil_mode, counted, divisor, tuple(grad_type.shape)
        )
    ],
    samples=lambda: [Sample((Make(y),), {"shape": x, **a}) for x, y, a in _means()],
)
