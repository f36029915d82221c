"""Resampling of pictures: interpolate and its older names, grids and sampling at grids.

https://docs.pytorch.org/docs/stable/nn.functional.html#vision-functions
"""

from __future__ import annotations

import math
import warnings
from typing import Any

from ...base import dtypes, entry
from ...base.errors import users_level
from ...core import autocast
from ...core.tensor import Tensor
from ...creation import linspace, ones
from ...ops import resample as ops
from ...ops.gather import cat, gather
from ...ops.pointwise import cast, where
from ._common import in_layout_of
from .pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d

GRID_SAMPLE_INTERPOLATION_MODES = {"bilinear": 0, "nearest": 1, "bicubic": 2}
GRID_SAMPLE_PADDING_MODES = {"zeros": 0, "border": 1, "reflection": 2}

_CORNERS = ("align_corners option can only be set with the interpolating modes: linear | bilinear "
            "| bicubic | trilinear")
_LAYOUT = ("Please provide input tensor in (N, C, d1, d2, ...,dK) format and output size in "
           "(o1, o2, ...,oK) format.")
_LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}


def interpolate(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
                align_corners: bool | None = None, recompute_scale_factor: bool | None = None,
                antialias: bool = False) -> Tensor:
    """input (N, C, *spatial) with 1 to 3 spatial axes, resampled to `size` or by `scale_factor`.

    mode: "nearest", "nearest-exact", "area", "linear" (3-D input), "bilinear", "bicubic",
    "lanczos" (4-D), "trilinear" (5-D). ValueError and NotImplementedError, with PyTorch's texts,
    for what does not fit together.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.interpolate.html
    """
    if mode in ("nearest", "area", "nearest-exact"):
        if align_corners is not None:
            raise ValueError(_CORNERS)
        align_corners = False
    align_corners = bool(align_corners)
    axes = input.ndim - 2
    spatial = tuple(input.shape[2:])
    sizes, scales = _sizes(spatial, axes, size, scale_factor)
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if sizes is None and (recompute_scale_factor or mode == "area"):
        sizes = tuple(math.floor(float(n) * s) for n, s in zip(spatial, scales, strict=True))
        scales = (None,) * axes
    if antialias and not (mode in ("bilinear", "bicubic", "lanczos") and input.ndim == 4):
        raise ValueError("Anti-alias option is restricted to bilinear, bicubic, and lanczos modes "
                         "and requires a 4-D tensor as input")
    _check_mode(input, mode)
    if mode == "lanczos" and not antialias:
        raise ValueError("Lanczos mode requires antialias=True")
    if mode == "lanczos" and align_corners:
        raise ValueError("Lanczos mode does not support align_corners=True")
    if sizes is None:
        sizes = tuple(int(n * s) for n, s in zip(spatial, scales, strict=True))
    if mode == "area":
        pool = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[axes - 1]
        return pool(input, sizes)
    if any(n <= 0 for n in (*spatial, *sizes)):
        raise RuntimeError("Input and output sizes should be greater than 0, but got input "
                           f"({_named(spatial)}){' and' if axes == 1 else ''} output "
                           f"({_named(sizes)})")
    kind = {"bicubic": "cubic", "nearest-exact": "nearest"}.get(mode, mode)
    kind = "linear" if mode in _LINEAR else kind
    if not (input.dtype.is_floating_point or input.dtype is dtypes.uint8):
        raise _not_implemented(input, kind, antialias)
    if kind == "nearest":
        return in_layout_of(ops.resampled(input, sizes, mode, False, scales, False), input)
    if input.dtype is dtypes.uint8:
        wide = ops.resampled(input.to(dtypes.float32), sizes, kind, align_corners, scales,
                             bool(antialias))
        return in_layout_of(wide.round().clamp(0, 255).to(dtypes.uint8), input)
    out = ops.resampled(input, sizes, kind, align_corners, scales, bool(antialias))
    return in_layout_of(out, input)


def _sizes(spatial: tuple, axes: int, size: Any, scale_factor: Any) -> tuple[Any, tuple]:
    """(output sizes or None, scale per axis or None): exactly one of the two was given."""
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is not None:
        if not isinstance(size, (list, tuple)):
            return (size,) * axes, (None,) * axes
        if len(size) != axes:
            raise ValueError(
                "Input and output must have the same number of spatial dimensions, but got input "
                f"with spatial dimensions of {list(spatial)} and output size of {size}. {_LAYOUT}")
        if not all(hasattr(n, "__index__") for n in size):
            raise TypeError("expected size to be one of int or Tuple[int] or Tuple[int, int] or "
                            "Tuple[int, int, int], but got size with types "
                            f"{[type(n) for n in size]}")
        return tuple(size), (None,) * axes
    if scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if not isinstance(scale_factor, (list, tuple)):
        return None, (float(scale_factor),) * axes
    if len(scale_factor) != axes:
        raise ValueError(
            "Input and scale_factor must have the same number of spatial dimensions, but got input "
            f"with spatial dimensions of {list(spatial)} and scale_factor of shape {scale_factor}. "
            "Please provide input tensor in (N, C, d1, d2, ...,dK) format and scale_factor in "
            "(s1, s2, ...,sK) format.")
    return None, tuple(float(s) for s in scale_factor)


def _check_mode(input: Tensor, mode: str) -> None:
    if 3 <= input.ndim <= 5:
        if mode in ("nearest", "area", "nearest-exact"):
            return
        needed = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5, "lanczos": 4}.get(mode)
        if needed == input.ndim:
            return
        if mode in _LINEAR:
            raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {needed}D "
                                      "input")
    raise NotImplementedError(
        f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the "
        "modes: nearest | linear | bilinear | bicubic | trilinear | lanczos | area | "
        f"nearest-exact (got {mode})")


def _not_implemented(input: Tensor, kind: str, antialias: bool) -> NotImplementedError:
    name = f"compute_indices_weights_{kind}"
    if antialias:
        name = "compute_index_ranges_weights"
    elif input.ndim == 4 and input.shape[1] <= 3 and kind != "cubic":
        name = f"upsample_{'bilinear' if kind == 'linear' else kind}2d_channels_last"
    return NotImplementedError(f"\"{name}\" not implemented for '{input.dtype.title}'")


def _named(sizes: tuple) -> str:
    names = ("D", "H", "W")[3 - len(sizes):]
    return ", ".join(f"{a}: {n}" for a, n in zip(names, sizes, strict=True))


def upsample(input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest",
             align_corners: bool | None = None) -> Tensor:
    """interpolate, under its old name.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.upsample.html"""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` "
                  "instead.", stacklevel=users_level())
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate with mode "nearest", under its old name."""
    warnings.warn("`nn.functional.upsample_nearest` is deprecated. Use "
                  "`nn.functional.interpolate` instead.", stacklevel=users_level())
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """interpolate with mode "bilinear" and align_corners, under its old name."""
    warnings.warn("`nn.functional.upsample_bilinear` is deprecated. Use "
                  "`nn.functional.interpolate` instead.", stacklevel=users_level())
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# ---------------------------------------------------------------- grids


def affine_grid(theta: Tensor, size: Any, align_corners: bool | None = None) -> Tensor:
    """The grid (N, H, W, 2) or (N, D, H, W, 3) of places that theta (N, 2, 3) or (N, 3, 4) maps the
    places of `size` to; both corners of an axis are -1 and 1.
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.affine_grid.html"""
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior has changed to "
                      "align_corners=False since 1.3.0. Please specify align_corners=True if the "
                      "old behavior is desired. See the documentation of grid_sample for details.",
                      stacklevel=users_level())
        align_corners = False
    if not theta.dtype.is_floating_point:
        raise ValueError("Expected theta to have floating point type, but got "
                         f"torch.{theta.dtype.name}")
    axes = len(size) - 2
    if axes not in (2, 3):
        raise NotImplementedError("affine_grid only supports 4D and 5D sizes, for 2D and 3D affine "
                                  f"transforms, respectively. Got size {tuple(size)}.")
    if theta.ndim != 3 or theta.shape[-2] != axes or theta.shape[-1] != axes + 1:
        raise ValueError(f"Expected a batch of {axes}D affine matrices of shape Nx{axes}x{axes + 1}"
                         f" for size {tuple(size)}. Got {theta.shape}.")
    if min(size) <= 0:
        raise ValueError("Expected non-zero, positive output size. Got "
                         f"{size if isinstance(size, tuple) else tuple(size)}")
    spatial = tuple(size[2:])
    bases = []
    for i in range(axes - 1, -1, -1):  # x first
        shape = [1] * axes
        shape[i] = spatial[i]
        bases.append(_corners(spatial[i], align_corners, theta.dtype).reshape(shape)
                     .expand(spatial))
    bases.append(ones(spatial, dtype=theta.dtype))
    base = cat([b.unsqueeze(-1) for b in bases], -1)
    flat = base.reshape(1, math.prod(spatial), axes + 1).expand(size[0], -1, -1)
    return flat.bmm(theta.transpose(1, 2)).reshape(size[0], *spatial, axes)


def affine_grid_generator(theta: Tensor, size: Any, align_corners: bool) -> Tensor:
    """affine_grid under the name of its kernel."""
    return affine_grid(theta, size, align_corners)


def _corners(n: int, align_corners: bool, dtype: Any) -> Tensor:
    if n <= 1:
        return ones(1, dtype=dtype) * 0
    line = linspace(-1, 1, n, dtype=dtype)
    return line if align_corners else line * (n - 1) / n


def grid_sample(input: Tensor, grid: Tensor, mode: str = "bilinear", padding_mode: str = "zeros",
                align_corners: bool | None = None) -> Tensor:
    """input (N, C, H, W) or (N, C, D, H, W) read at the places of grid (N, *out, 2 or 3), x first,
    -1 and 1 being the ends of an axis: (N, C, *out).

    mode "bilinear", "nearest" or "bicubic" (4-D); padding_mode "zeros", "border" or "reflection".
    https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.grid_sample.html"""
    if mode not in GRID_SAMPLE_INTERPOLATION_MODES:
        raise ValueError("nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' "
                         f"or 'bicubic', but got: '{mode}'")
    if padding_mode not in GRID_SAMPLE_PADDING_MODES:
        raise ValueError("nn.functional.grid_sample(): expected padding_mode to be 'zeros', "
                         f"'border', or 'reflection', but got: '{padding_mode}'")
    if align_corners is None:
        warnings.warn("Default grid_sample and affine_grid behavior has changed to "
                      "align_corners=False since 1.3.0. Please specify align_corners=True if the "
                      "old behavior is desired. See the documentation of grid_sample for details.",
                      stacklevel=users_level())
        align_corners = False
    _check_grid(input, grid, mode)
    out = _Sampler(input, grid, padding_mode, align_corners).run(mode)
    if mode == "nearest" and grid.requires_grad:
        # the grid's gradient is zero, and not missing
        out = out + where(grid.detach() * 0 == 1, grid, 0.0).sum(-1).unsqueeze(1)
    return out


def grid_sampler(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                 align_corners: bool) -> Tensor:
    """grid_sample with modes as numbers: 0, 1, 2 for bilinear, nearest, bicubic and for zeros,
    border, reflection."""
    modes, paddings = list(GRID_SAMPLE_INTERPOLATION_MODES), list(GRID_SAMPLE_PADDING_MODES)
    return grid_sample(input, grid, modes[interpolation_mode], paddings[padding_mode],
                       align_corners)


def grid_sampler_2d(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                    align_corners: bool) -> Tensor:
    """grid_sampler of 4-D input."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def grid_sampler_3d(input: Tensor, grid: Tensor, interpolation_mode: int, padding_mode: int,
                    align_corners: bool) -> Tensor:
    """grid_sampler of 5-D input."""
    return grid_sampler(input, grid, interpolation_mode, padding_mode, align_corners)


def _check_grid(input: Tensor, grid: Tensor, mode: str) -> None:
    if grid.shape[0] != input.shape[0]:
        raise RuntimeError(
            "grid_sampler(): expected grid and input to have same batch size, but got input with "
            f"sizes {list(input.shape)} and grid with sizes {list(grid.shape)}")
    if grid.shape[-1] != input.ndim - 2:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {input.ndim - 2} in last "
                           f"dimension, but got grid with sizes {list(grid.shape)}")
    for i in range(2, input.ndim):
        if input.shape[i] <= 0:
            raise RuntimeError(
                "grid_sampler(): expected input to have non-empty spatial dimensions, but input "
                f"has sizes {list(input.shape)} with dimension {i} being empty")
    if input.ndim not in (4, 5) or grid.ndim != input.ndim:
        raise RuntimeError(
            "grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but "
            f"got input with sizes {list(input.shape)} and grid with sizes {list(grid.shape)}")
    if mode == "bicubic" and input.ndim == 5:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    if grid.dtype is not input.dtype:
        raise RuntimeError(f"expected scalar type {input.dtype.title} but found "
                           f"{grid.dtype.title}")


class _Sampler:
    """One call of grid_sample: flattened input, places along each axis in elements."""

    def __init__(self, input: Tensor, grid: Tensor, padding: str, align_corners: bool) -> None:
        self.padding, self.align = padding, align_corners
        self.axes = input.ndim - 2
        self.sizes = tuple(input.shape[2:])
        self.lead = tuple(input.shape[:2])
        self.out = tuple(grid.shape[1:-1])
        self.flat = input.reshape(*self.lead, math.prod(self.sizes))
        # the grid's last coordinate belongs to the first axis
        self.at = [self._scaled(grid[..., self.axes - 1 - i], n)
                   for i, n in enumerate(self.sizes)]

    def _scaled(self, x: Tensor, n: int) -> Tensor:
        if self.align:
            return ((x + 1) / 2) * (n - 1)
        return ((x + 1) * n - 1) / 2

    def _padded(self, x: Tensor, n: int) -> Tensor:
        """A place moved into the input, for the padding modes that do so."""
        if self.padding == "border":
            return x.clamp(0, n - 1)
        if self.padding == "reflection":
            lo, hi = (0, 2 * (n - 1)) if self.align else (-1, 2 * n - 1)
            return _reflected(x, lo, hi).clamp(0, n - 1)
        return x

    def _load(self, places: list) -> Tensor:
        """The elements at whole places (floats), zero outside of the input: (N, C, *out)."""
        flat: Any = 0
        inside: Any = None
        for p, n in zip(places, self.sizes, strict=True):
            p = p.detach()
            ok = (p >= 0) & (p <= n - 1)
            inside = ok if inside is None else inside & ok
            flat = flat * n + cast(where(ok, p, 0.0), dtypes.int64)
        shape = (self.lead[0], 1, math.prod(self.out))
        index = flat.reshape(shape).expand(*self.lead, shape[2])
        found = gather(self.flat, index, 2)
        return where(inside.reshape(shape), found, 0.0).reshape(*self.lead, *self.out)

    def run(self, mode: str) -> Tensor:
        if mode == "bicubic":
            return self._bicubic()
        at = [self._padded(x, n) for x, n in zip(self.at, self.sizes, strict=True)]
        if mode == "nearest":
            return self._load([x.round() for x in at])
        low = [x.detach().floor() for x in at]
        total = None
        for corner in range(1 << self.axes):
            up = [corner >> (self.axes - 1 - i) & 1 for i in range(self.axes)]
            places = [x + 1 if u else x for x, u in zip(low, up, strict=True)]
            weight = None
            for x, lo, u in zip(reversed(at), reversed(low), reversed(up), strict=True):
                w = x - lo if u else (lo + 1) - x
                weight = w if weight is None else weight * w
            term = self._load(places) * weight.unsqueeze(1)  # type: ignore[union-attr]
            total = term if total is None else total + term
        assert total is not None
        return total

    def _bicubic(self) -> Tensor:
        low = [x.detach().floor() for x in self.at]
        weights = [_cubic(x - lo) for x, lo in zip(self.at, low, strict=True)]
        total = None
        for i in range(4):
            y = self._padded(low[0] + (i - 1), self.sizes[0])
            row = None
            for j in range(4):
                x = self._padded(low[1] + (j - 1), self.sizes[1])
                term = self._load([y, x]) * weights[1][j].unsqueeze(1)
                row = term if row is None else row + term
            assert row is not None
            term = row * weights[0][i].unsqueeze(1)
            total = term if total is None else total + term
        assert total is not None
        return total


def _reflected(x: Tensor, twice_low: int, twice_high: int) -> Tensor:
    """x reflected at both ends until it lies between them."""
    if twice_low == twice_high:
        return x * 0
    low, span = twice_low / 2, (twice_high - twice_low) / 2
    distance = (x - low).abs()
    flips = (distance.detach() / span).floor()
    extra = distance - flips * span
    return where(flips % 2 == 0, extra + low, (span - extra) + low)


def _cubic(t: Tensor) -> list:
    """Keys' weights of the four places around a place t after the second of them."""
    a = -0.75

    def near(x: Tensor) -> Tensor:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Tensor) -> Tensor:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    u = 1 - t
    return [far(t + 1), near(t), near(u), far(u + 1)]

entry.wrap(__name__, globals())
autocast.wrap("functional", globals())
