"""Convolution over N spatial axes, and the gradients of its input and weight.

All three are parts of one trilinear form <conv(x, w), g>, so each is the gradient of the others and
derivatives of any order stay within this file. Element order: runtime/src/conv_float.inc; float32
and float64 run natively, half types through float32, integers (which wrap) in numpy.
Source of semantics: https://docs.pytorch.org/docs/stable/generated/torch.nn.Conv2d.html; Dumoulin
& Visin 2016 for the arithmetic of transposed convolutions.
"""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from ..base.dtypes import from_numpy_dtype
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType
from ..native import library
from . import reduce
from .define import composite, native
from .kernels import call
from .movement import permute, reshape


def output_size(n: Any, k: int, stride: int, padding: int, dilation: int) -> Any:
    """Places of a window of k taps along an axis of size n."""
    room = n + (2 * padding - dilation * (k - 1) - 1)
    return room + 1 if stride == 1 else room // stride + 1


def _outputs(
    spatial: tuple, kernel: tuple, stride: tuple, padding: tuple, dilation: tuple
) -> tuple:
    return tuple(
        output_size(*axis) for axis in zip(spatial, kernel, stride, padding, dilation, strict=True)
    )


# ---------------------------------------------------------------- kernels


def _numbers(
    x: tuple, o: Any, kernel: tuple, out: tuple, groups: int, stride: tuple, pad: tuple, dil: tuple,
    biased: bool = False,
) -> list:  # fmt: skip
    """What the native kernels read: sizes, then six triples; missing axes have size 1."""
    lead = 3 - len(kernel)
    ones, zeros = (1,) * lead, (0,) * lead
    triples = (ones + x[2:], ones + kernel, ones + out, ones + stride, zeros + pad, ones + dil)
    return [x[0], x[1], o, groups, *[n for t in triples for n in t], int(biased)]


def _run(name: str, numbers: list, arrays: list, shape: tuple) -> np.ndarray:
    out = library.empty(shape, arrays[0].dtype)
    code = from_numpy_dtype(out.dtype).code
    call(f"gc_{name}_{code}", numbers, [a for a in arrays if a is not None], [out])
    return out


def _called(name: str, shapes: list, dtypes: list, numbers: list) -> tuple | None:
    served = dtypes[0].code in ("f32", "f64") and all(d is dtypes[0] for d in dtypes)
    return (f"gc_{name}_{dtypes[0].code}", numbers) if served and len(shapes[0]) <= 5 else None


def _is_native(*arrays: Any) -> bool:
    return (
        arrays[0].ndim <= 5
        and arrays[0].dtype.char in "fd"
        and all(a is None or a.dtype == arrays[0].dtype for a in arrays)
        and library.available()
    )


def _bias_shape(bias: np.ndarray, axes: int) -> np.ndarray:
    return bias.reshape((1, -1) + (1,) * axes)


def _kernel(
    x: np.ndarray,
    w: np.ndarray,
    bias: Any,
    stride: tuple,
    padding: tuple,
    dilation: tuple,
    groups: int,
    shape: tuple | None = None,
) -> np.ndarray:
    kernel = w.shape[2:]
    if shape is None:
        shape = (x.shape[0], w.shape[0], *_outputs(x.shape[2:], kernel, stride, padding, dilation))
    shape = tuple(int(n) for n in shape)
    out = shape[2:]
    if _is_native(x, w, bias):
        window = (groups, stride, padding, dilation, bias is not None)
        numbers = _numbers(x.shape, w.shape[0], kernel, out, *window)
        return _run("conv", numbers, [x, w, bias], shape)
    result = np.zeros(shape, x.dtype)
    padded = _padded(x, padding)
    for tap in _taps(kernel, result, x):
        seen = padded[(Ellipsis, *_window(tap, out, stride, dilation))]
        for g, (o, c) in enumerate(_channels(w, groups)):
            at: Any = (slice(g * o, (g + 1) * o), slice(None), *tap)
            part = w[at]
            image = seen[:, g * c : (g + 1) * c].reshape(x.shape[0], c, -1)
            result[:, g * o : (g + 1) * o] += np.matmul(part, image).reshape(-1, o, *out)
    return result if bias is None else result + _bias_shape(bias, len(kernel))


def _input_kernel(
    g: np.ndarray,
    w: np.ndarray,
    bias: Any,
    shape: tuple,
    stride: tuple,
    padding: tuple,
    dilation: tuple,
    groups: int,
) -> np.ndarray:
    kernel, out = w.shape[2:], g.shape[2:]
    shape = tuple(int(n) for n in shape)
    if _is_native(g, w, bias):
        window = (groups, stride, padding, dilation, bias is not None)
        numbers = _numbers(shape, w.shape[0], kernel, out, *window)
        return _run("conv_input", numbers, [g, w, bias], shape)
    reach = [
        max(n + 2 * p, (m - 1) * s + d * (k - 1) + 1)
        for n, p, m, s, d, k in zip(shape[2:], padding, out, stride, dilation, kernel, strict=True)
    ]
    result = np.zeros((*shape[:2], *reach), g.dtype)
    for tap in _taps(kernel, result, g):
        window = _window(tap, out, stride, dilation)
        for i, (o, c) in enumerate(_channels(w, groups)):
            at: Any = (slice(i * o, (i + 1) * o), slice(None), *tap)
            part = w[at].T
            image = g[:, i * o : (i + 1) * o].reshape(shape[0], o, -1)
            result[(slice(None), slice(i * c, (i + 1) * c), *window)] += np.matmul(
                part, image
            ).reshape(-1, c, *out)
    crop: Any = tuple(slice(p, p + n) for p, n in zip(padding, shape[2:], strict=True))
    result = np.ascontiguousarray(result[(Ellipsis, *crop)])
    return result if bias is None else result + _bias_shape(bias, len(kernel))


def _weight_kernel(
    g: np.ndarray,
    x: np.ndarray,
    shape: tuple,
    stride: tuple,
    padding: tuple,
    dilation: tuple,
    groups: int,
) -> np.ndarray:
    shape = tuple(int(n) for n in shape)
    kernel, out = shape[2:], g.shape[2:]
    if _is_native(g, x):
        numbers = _numbers(x.shape, shape[0], kernel, out, groups, stride, padding, dilation)
        return _run("conv_weight", numbers, [g, x], shape)
    result = np.zeros(shape, g.dtype)
    padded = _padded(x, padding)
    for tap in _taps(kernel, result, x):
        seen = padded[(Ellipsis, *_window(tap, out, stride, dilation))]
        for i, (o, c) in enumerate(_channels(result, groups)):
            a = g[:, i * o : (i + 1) * o].swapaxes(0, 1).reshape(o, -1)
            b = seen[:, i * c : (i + 1) * c].swapaxes(0, 1).reshape(c, -1)
            at: Any = (slice(i * o, (i + 1) * o), slice(None), *tap)
            result[at] = np.matmul(a, b.T)
    return result


def _taps(kernel: tuple, *arrays: np.ndarray) -> Any:
    """The places of a window; none where one of the arrays is empty."""
    return product(*[range(k) for k in kernel]) if all(a.size for a in arrays) else ()


def _padded(x: np.ndarray, padding: tuple) -> np.ndarray:
    return np.pad(x, ((0, 0), (0, 0), *[(p, p) for p in padding]))


def _window(tap: tuple, out: tuple, stride: tuple, dilation: tuple) -> Any:
    return tuple(
        slice(t * d, t * d + (n - 1) * s + 1, s)
        for t, d, n, s in zip(tap, dilation, out, stride, strict=True)
    )


def _channels(w: np.ndarray, groups: int) -> list:
    """Per group, its numbers of output and input channels."""
    return [(w.shape[0] // groups, w.shape[1])] * groups


# ---------------------------------------------------------------- records


def _infer(
    input: TensorType,
    weight: TensorType,
    bias: Any,
    stride: tuple,
    padding: tuple,
    dilation: tuple,
    groups: int,
    shape: tuple | None = None,
) -> TensorType:
    if shape is not None:
        return input.with_shape(shape)
    out = _outputs(input.shape[2:], weight.shape[2:], stride, padding, dilation)
    return input.with_shape((input.shape[0], weight.shape[0], *out))


def _lower(
    shapes: list, dtypes: list, stride: tuple, padding: tuple, dilation: tuple, groups: int,
    shape: Any,
) -> Any:  # fmt: skip
    x, w = shapes
    out = _outputs(x[2:], w[2:], stride, padding, dilation) if shape is None else shape[2:]
    numbers = _numbers(x, w[0], w[2:], out, groups, stride, padding, dilation)
    return _called("conv", shapes, dtypes, numbers)


def _input_lower(
    shapes: list, dtypes: list, shape: tuple, stride: tuple, padding: tuple, dilation: tuple,
    groups: int,
) -> Any:  # fmt: skip
    g, w = shapes
    numbers = _numbers(shape, w[0], w[2:], g[2:], groups, stride, padding, dilation)
    return _called("conv_input", shapes, dtypes, numbers)


def _weight_lower(
    shapes: list, dtypes: list, shape: tuple, stride: tuple, padding: tuple, dilation: tuple,
    groups: int,
) -> Any:  # fmt: skip
    g, x = shapes
    numbers = _numbers(x, shape[0], shape[2:], g[2:], groups, stride, padding, dilation)
    return _called("conv_weight", shapes, dtypes, numbers)


def _over_places(g: Tensor) -> Tensor:
    return reduce.sum(g, (0, *range(2, g.ndim)), False)


def _attributes(axes: int, **changed: Any) -> dict:
    out = {
        name: v * axes if type(v) is tuple else v
        for name, v in {"stride": (1,), "padding": (0,), "dilation": (1,), "groups": 1}.items()
    }
    return {**out, **changed}


def _cases() -> list[tuple]:
    """(input, weight, output, attributes) shapes that the samples of the three records share."""
    return [
        ((2, 2, 4, 5), (3, 2, 3, 2), (2, 3, 2, 4), _attributes(2)),
        ((1, 4, 5, 4), (4, 2, 2, 3), (1, 4, 3, 2),
         _attributes(2, stride=(2, 2), padding=(1, 1), dilation=(1, 1), groups=2)),
        ((2, 3, 9), (6, 1, 3), (2, 6, 4), _attributes(1, stride=(2,), padding=(1,), dilation=(2,),
                                                     groups=3)),
        ((1, 1, 3, 3, 2), (1, 1, 2, 2, 2), (1, 1, 2, 2, 1), _attributes(3)),
    ]  # fmt: skip


def _samples() -> list[Sample]:
    out = [Sample((Make(x), Make(w)), a) for x, w, _, a in _cases()]
    return [
        *out,
        Sample((Make((1, 3, 6, 9), "float64"), Make((4, 3, 3, 3), "float64")),
               _attributes(2, padding=(1, 1))),
        Sample((Make((2, 2, 4, 6), layout="T"), Make((3, 2, 2, 2), layout="strided")),
               _attributes(2)),
        Sample((Make((1, 2, 4), "float16"), Make((2, 2, 2), "float16")), _attributes(1),
               grad=False),
    ]  # fmt: skip


# Under vmap: where the weight is shared the batch joins the images, else it joins the groups. Both
# keep each element's sums, and so its bits.


def _as_images(x: Tensor, n: Any) -> Tensor:
    """[N, C, *S, B] as [B * N, C, *S]."""
    moved = permute(x, (x.ndim - 1, *range(x.ndim - 1)))
    return reshape(moved, (n * x.shape[0], *x.shape[1:-1]))


def _from_images(x: Tensor, n: Any) -> Tensor:
    apart = reshape(x, (n, x.shape[0] // n, *x.shape[1:]))
    return permute(apart, (*range(1, apart.ndim), 0))


def _as_channels(x: Tensor, mapped: bool, n: Any, axis: int) -> Tensor:
    """[..., C, ..., B] with the batch before the channels at `axis`: [..., B * C, ...]."""
    if mapped:
        last = x.ndim - 1
        x = permute(x, (*range(axis), last, *range(axis, last)))
    else:
        x = x.unsqueeze(axis).expand((*x.shape[:axis], n, *x.shape[axis:]))
    return reshape(x, (*x.shape[:axis], n * x.shape[axis + 1], *x.shape[axis + 2 :]))


def _from_channels(x: Tensor, n: Any, axis: int) -> Tensor:
    apart = reshape(x, (*x.shape[:axis], n, x.shape[axis] // n, *x.shape[axis + 1 :]))
    return permute(apart, (*range(axis), *range(axis + 1, apart.ndim), axis))


def _batch(
    values: list, flags: list, n: Any, stride: tuple, padding: tuple, dilation: tuple, groups: int,
    shape: Any = None,
) -> Tensor:  # fmt: skip
    x, w = values
    if not flags[1]:
        images = shape and (n * shape[0], *shape[1:])
        y = convolution(_as_images(x, n), w, stride, padding, dilation, groups, images)
        return _from_images(y, n)
    x, w = _as_channels(x, flags[0], n, 1), _as_channels(w, True, n, 0)
    wide = shape and (shape[0], n * shape[1], *shape[2:])
    return _from_channels(convolution(x, w, stride, padding, dilation, n * groups, wide), n, 1)


def _input_batch(
    values: list, flags: list, n: Any, shape: tuple, stride: tuple, padding: tuple,
    dilation: tuple, groups: int,
) -> Tensor:  # fmt: skip
    g, w = values
    if not flags[1]:
        images = (n * shape[0], *shape[1:])
        x = convolution_input(_as_images(g, n), w, images, stride, padding, dilation, groups)
        return _from_images(x, n)
    g, w = _as_channels(g, flags[0], n, 1), _as_channels(w, True, n, 0)
    wide = (shape[0], n * shape[1], *shape[2:])
    x = convolution_input(g, w, wide, stride, padding, dilation, n * groups)
    return _from_channels(x, n, 1)


def _weight_batch(
    values: list, flags: list, n: Any, shape: tuple, stride: tuple, padding: tuple,
    dilation: tuple, groups: int,
) -> Tensor:  # fmt: skip
    g, x = [_as_channels(v, f, n, 1) for v, f in zip(values, flags, strict=True)]
    wide = (n * shape[0], *shape[1:])
    w = convolution_weight(g, x, wide, stride, padding, dilation, n * groups)
    return _from_channels(w, n, 0)


convolution = native(
    "convolution",
    lambda x, w, stride, padding, dilation, groups, shape: _kernel(
        x, w, None, stride, padding, dilation, groups, shape
    ),
    lambda input, weight, stride, padding, dilation, groups, shape=None: _infer(
        input, weight, None, stride, padding, dilation, groups, shape
    ),
    inputs=("input", "weight"),
    lower=_lower,
    batch=_batch,
    half="float32",
    backward_name="ConvolutionBackward0",
    samples=_samples,
    vjp=[
        lambda g, input_type, weight, stride, padding, dilation, groups: convolution_input(
            g, weight, tuple(input_type.shape), stride, padding, dilation, groups
        ),
        lambda g, input, weight_type, stride, padding, dilation, groups: convolution_weight(
            g, input, tuple(weight_type.shape), stride, padding, dilation, groups
        ),
    ],
)

convolution_input = native(
    "convolution_input",
    lambda g, w, shape, stride, padding, dilation, groups: _input_kernel(
        g, w, None, shape, stride, padding, dilation, groups
    ),
    lambda grad, weight, shape, stride, padding, dilation, groups: grad.with_shape(shape),
    inputs=("grad", "weight"),
    lower=_input_lower,
    batch=_input_batch,
    half="float32",
    backward_name="ConvolutionBackward0",
    samples=lambda: [Sample((Make(y), Make(w)), {"shape": x, **a}) for x, w, y, a in _cases()],
    vjp=[
        lambda g, grad_type, weight, stride, padding, dilation, groups: convolution(
            g, weight, stride, padding, dilation, groups, tuple(grad_type.shape)
        ),
        lambda g, grad, weight_type, stride, padding, dilation, groups: convolution_weight(
            grad, g, tuple(weight_type.shape), stride, padding, dilation, groups
        ),
    ],
)

convolution_weight = native(
    "convolution_weight",
    _weight_kernel,
    lambda grad, input, shape, stride, padding, dilation, groups: grad.with_shape(shape),
    inputs=("grad", "input"),
    lower=_weight_lower,
    batch=_weight_batch,
    half="float32",
    backward_name="ConvolutionBackward0",
    samples=lambda: [Sample((Make(y), Make(x)), {"shape": w, **a}) for x, w, y, a in _cases()],
    vjp=[
        lambda g, grad_type, input, stride, padding, dilation, groups: convolution(
            input, g, stride, padding, dilation, groups, tuple(grad_type.shape)
        ),
        lambda g, grad, input_type, stride, padding, dilation, groups: convolution_input(
            grad, g, tuple(input_type.shape), stride, padding, dilation, groups
        ),
    ],
)


# ---------------------------------------------------------------- with a bias


def _add_bias(out: Tensor, bias: Tensor) -> Tensor:
    return out + bias.reshape(1, -1, *[1] * (out.ndim - 2))


def _biased_vjp(
    g: Tensor,
    input: Tensor,
    weight: Tensor,
    stride: tuple,
    padding: tuple,
    dilation: tuple,
    groups: int,
    needs: tuple,
) -> tuple:
    window = (stride, padding, dilation, groups)
    return (
        convolution_input(g, weight, tuple(input.shape), *window) if needs[0] else None,
        convolution_weight(g, input, tuple(weight.shape), *window) if needs[1] else None,
        _over_places(g) if needs[2] else None,
    )


convolution_biased = composite(
    "convolution_biased",
    lambda input, weight, bias, stride, padding, dilation, groups: _add_bias(
        convolution(input, weight, stride, padding, dilation, groups), bias
    ),
    inputs=("input", "weight", "bias"),
    eager=_kernel,
    infer=_infer,
    vjp=_biased_vjp,
    half="wide",
    backward_name="ConvolutionBackward0",
    samples=lambda: [Sample((Make(x), Make(w), Make(w[:1])), a) for x, w, _, a in _cases()[:3]],
)


def _transposed_vjp(
    g: Tensor,
    grad: Tensor,
    weight: Tensor,
    stride: tuple,
    padding: tuple,
    dilation: tuple,
    groups: int,
    needs: tuple,
) -> tuple:
    window = (stride, padding, dilation, groups)
    return (
        convolution(g, weight, *window, tuple(grad.shape)) if needs[0] else None,
        convolution_weight(grad, g, tuple(weight.shape), *window) if needs[1] else None,
        _over_places(g) if needs[2] else None,
    )


transposed_biased = composite(
    "transposed_biased",
    lambda grad, weight, bias, shape, stride, padding, dilation, groups: _add_bias(
        convolution_input(grad, weight, shape, stride, padding, dilation, groups), bias
    ),
    inputs=("grad", "weight", "bias"),
    eager=_input_kernel,
    infer=lambda grad, weight, bias, shape, stride, padding, dilation, groups: grad.with_shape(
        shape
    ),
    vjp=_transposed_vjp,
    half="wide",
    backward_name="ConvolutionBackward0",
    samples=lambda: [
        Sample((Make(y), Make(w), Make(x[1:2])), {"shape": x, **a}) for x, w, y, a in _cases()[:3]
    ],
)
