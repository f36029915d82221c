"""unfold and fold: the windows of a picture as columns, and columns added up to a picture.

Invariant: fold is the transpose of unfold; sums run over the taps in ascending order.
https://docs.pytorch.org/docs/stable/nn.functional.html
"""

from __future__ import annotations

from itertools import product
from typing import Any

from ...base import entry
from ...core.tensor import Tensor
from ...ops.gather import cat, pad_constant, slice_backward
from ...out import shown


@shown("Im2ColBackward0")
def unfold(input: Tensor, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
           stride: Any = 1) -> Tensor:
    """(N, C, H, W) -> (N, C * KH * KW, places): one column per window, or without N throughout.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.unfold.html"""
    k, d, p, s = _window(kernel_size, dilation, padding, stride)
    valid = 0 not in input.shape[-3:]
    if input.ndim not in (3, 4) or not valid:
        raise RuntimeError("Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and "
                           f"other non-zero dimensions for input, but got: {list(input.shape)}")
    x = input if input.ndim == 4 else input.unsqueeze(0)
    size = tuple(x.shape[2:])
    out = _places(size, k, d, p, s)
    if any(n < 1 for n in out):
        raise RuntimeError(
            f"Given input with spatial size ({size[0]}, {size[1]}), kernel_size={_pair(k)}, "
            f"dilation={_pair(d)}, padding={_pair(p)}, calculated shape of the array of sliding "
            f"blocks as {_pair(out)}, but its components must be at least one.")
    if any(p):
        x = pad_constant(x, ((0, 0), (0, 0), *[(n, n) for n in p]), 0.0)
    seen = []
    for i, j in product(range(k[0]), range(k[1])):
        top, left = i * d[0], j * d[1]
        seen.append(x[:, :, top : top + (out[0] - 1) * s[0] + 1 : s[0],
                      left : left + (out[1] - 1) * s[1] + 1 : s[1]].unsqueeze(2))
    n, c = x.shape[0], x.shape[1]
    columns = cat(seen, 2).reshape(n, c * k[0] * k[1], out[0] * out[1])
    return columns if input.ndim == 4 else columns.squeeze(0)


@shown("Col2ImBackward0")
def fold(input: Tensor, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
         stride: Any = 1) -> Tensor:
    """(N, C * KH * KW, places) -> (N, C, *output_size): the sum of the columns where their windows
    lie, or without N throughout.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.fold.html"""
    size = _two("output_size", output_size)
    k, d, p, s = _window(kernel_size, dilation, padding, stride)
    if input.ndim not in (2, 3) or 0 in input.shape[-2:]:
        raise RuntimeError("Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch "
                           f"size and non-zero dimensions for input, but got: {list(input.shape)}")
    x = input if input.ndim == 3 else input.unsqueeze(0)
    taps = k[0] * k[1]
    if x.shape[1] % taps:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, "
            f"but got input.size(1)={x.shape[1]} and kernel_size={_pair(k)}.")
    out = _places(size, k, d, p, s)
    given = (f"Given output_size={_pair(size)}, kernel_size={_pair(k)}, dilation={_pair(d)}, "
             f"padding={_pair(p)}, stride={_pair(s)}, ")
    if x.shape[2] != out[0] * out[1]:
        raise RuntimeError(
            f"{given}expected size of input's dimension 2 to match the calculated number of "
            f"sliding blocks {out[0]} * {out[1]} = {out[0] * out[1]}, but got "
            f"input.size(2)={x.shape[2]}.")
    if any(n < 1 for n in out):
        raise RuntimeError(f"{given}calculated shape of the array of sliding blocks as "
                           f"{_pair(out)}, which is too small (non-positive)")
    n, c = x.shape[0], x.shape[1] // taps
    columns = x.reshape(n, c, taps, out[0], out[1])
    high, wide = size[0] + 2 * p[0], size[1] + 2 * p[1]
    total = None
    for tap, (i, j) in enumerate(product(range(k[0]), range(k[1]))):
        rows = slice_backward(columns[:, :, tap], (n, c, out[0], wide), 3, j * d[1], s[1])
        placed = slice_backward(rows, (n, c, high, wide), 2, i * d[0], s[0])
        total = placed if total is None else total + placed
    assert total is not None
    if any(p):
        total = total[:, :, p[0] : p[0] + size[0], p[1] : p[1] + size[1]].contiguous()
    return total if input.ndim == 3 else total.squeeze(0)


def _two(name: str, value: Any) -> tuple[int, int]:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value,)
    if len(values) not in (1, 2):
        raise RuntimeError(f"It is expected {name} equals to 2, but got size {len(values)}")
    return (values[0], values[-1])


def _window(kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> tuple:
    k, d = _two("kernel_size", kernel_size), _two("dilation", dilation)
    p, s = _two("padding", padding), _two("stride", stride)
    for name, values in (("kernel", k), ("stride", s), ("dilation", d)):
        if any(n <= 0 for n in values):
            suffix = " size" if name == "kernel" else ""
            raise RuntimeError(f"{name}{suffix} should be greater than zero, but got "
                               f"{name}_height: {values[0]} {name}_width: {values[1]}")
    if any(n < 0 for n in p):
        raise RuntimeError("padding should be non-negative, but got pad_height: "
                           f"{p[0]} pad_width: {p[1]}")
    return k, d, p, s


def _places(size: tuple, k: tuple, d: tuple, p: tuple, s: tuple) -> tuple:
    return tuple((size[i] + 2 * p[i] - d[i] * (k[i] - 1) - 1) // s[i] + 1 for i in range(2))


def _pair(values: tuple) -> str:
    return f"({values[0]}, {values[1]})"


entry.wrap(__name__, globals())
