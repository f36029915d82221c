"""When a graphc result counts as PyTorch's: nested results in, a complaint or None out.

- integers, bools and everything that is no tensor: equal;
- float64 and complex128: |difference| <= 1e-10 * max(1, |expected|);
- float32 and the like: the error against the same call in float64 is at most twice PyTorch's own
  plus 2 ULP, per element; for results that are sums (`normwise`) the largest error of the tensor
  counts, and the ULP is that of its largest element, because cancellation makes a single element's
  error a matter of luck; with `rms` a tensor that fails this passes by the root mean square of its
  errors, and no element may be off by more than 8 times PyTorch's largest error;
- nan and inf stand at the same places; dtype and shape are the same.

Strides are compared apart from values: `strides` looks at dimensions of more than one element,
where stepping is visible, and whether the result shares memory with an input."""

from __future__ import annotations

from typing import Any

import numpy as np

from .convert import array, dtype_name, is_tensor

FLOAT64_SCALED = 1e-10
ULPS = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7, "complex64": 2.0**-23}
SMALLEST = {
    "float32": 2.0**-149,
    "float16": 2.0**-24,
    "bfloat16": 2.0**-133,
    "complex64": 2.0**-149,
}


def close64(got: np.ndarray, want: np.ndarray) -> str | None:
    both = np.isfinite(got) & np.isfinite(want)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(all="ignore"):
        scaled = np.abs(got - want) <= FLOAT64_SCALED * np.maximum(1.0, np.abs(want))
    bad = ~(same | (both & scaled))
    if not bad.any():
        return None
    at = tuple(int(i[0]) for i in np.nonzero(bad)) if bad.ndim else ()
    return f"value at {list(at)}: {got[at]!r}, PyTorch {want[at]!r} ({bad.sum()} of {bad.size})"


def close32(
    got: np.ndarray,
    want: np.ndarray,
    exact: np.ndarray | None,
    dtype: str,
    normwise: bool,
    ulps: int = 2,
    rms: bool = False,
) -> str | None:
    """The low-precision rule; without an exact result PyTorch's stands for it."""
    if exact is None or exact.shape != want.shape:
        exact = want
    wide = np.complex128 if want.dtype.kind == "c" else np.float64
    g, w, e = got.astype(wide), want.astype(wide), exact.astype(wide)
    same = (g == w) | (np.isnan(g) & np.isnan(w))
    finite = np.isfinite(g) & np.isfinite(w)
    with np.errstate(all="ignore"):
        # an overflow of float32 has no error in ULP: there the two must agree
        e = np.where(np.isfinite(e), e, w)
        scale = np.abs(e)
        mine, theirs = np.abs(g - e), np.abs(w - e)
        if normwise and scale.size:
            chosen = np.where(finite, scale, 0.0)
            scale = np.full_like(scale, chosen.max(initial=0.0))
            theirs = np.full_like(theirs, np.where(finite, theirs, 0.0).max(initial=0.0))
        ulp = np.maximum(
            2.0 ** np.floor(np.log2(np.maximum(scale, 1e-300))) * ULPS[dtype], SMALLEST[dtype]
        )
        near = mine <= 2 * theirs + ulps * ulp
        if rms and normwise and not near.all() and finite.all():
            both = [float(np.sqrt(np.mean(np.square(np.abs(x - e))))) for x in (g, w)]
            if both[0] <= 2 * both[1] + ulps * ulp.max():
                near = mine <= 8 * theirs + ulps * ulp
        bad = ~(same | (finite & near))
    if not bad.any():
        return None
    at = tuple(int(i[0]) for i in np.nonzero(bad)) if bad.ndim else ()
    return (
        f"value at {list(at)}: {got[at]!r}, PyTorch {want[at]!r}, exact {exact[at]!r} "
        f"({bad.sum()} of {bad.size})"
    )


def values(
    got: Any,
    want: Any,
    exact: Any = None,
    *,
    normwise: bool = True,
    ulps: int = 2,
    rms: bool = False,
) -> str | None:
    """The first difference in kind, dtype, shape or value, or None."""
    if is_tensor(want):
        if not is_tensor(got):
            return f"a {type(got).__name__}, PyTorch a Tensor"
        if dtype_name(got.dtype) != dtype_name(want.dtype):
            return f"dtype {got.dtype}, PyTorch {want.dtype}"
        if tuple(got.shape) != tuple(want.shape):
            return f"shape {list(got.shape)}, PyTorch {list(want.shape)}"
        name, g, w = dtype_name(want.dtype), array(got), array(want)
        if name in ULPS:
            e = None if exact is None else array(exact)
            return close32(g, w, e, name, normwise, ulps, rms)
        if g.dtype.kind in "fc":
            return close64(g, w)
        bad = g != w
        if not bad.any():
            return None
        at = tuple(int(i[0]) for i in np.nonzero(bad)) if bad.ndim else ()
        return f"value at {list(at)}: {g[at]!r}, PyTorch {w[at]!r} ({bad.sum()} of {bad.size})"
    if isinstance(want, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            return f"{type(got).__name__} {got!r:.60}, PyTorch {type(want).__name__} of {len(want)}"
        pairs = exact if isinstance(exact, (list, tuple)) else [None] * len(want)
        for i, (g, w, e) in enumerate(zip(got, want, pairs)):
            said = values(g, w, e, normwise=normwise, ulps=ulps, rms=rms)
            if said:
                return f"[{i}] {said}"
        return None
    if isinstance(want, float):
        return close64(np.asarray(got), np.asarray(want))
    if isinstance(want, (bool, int, complex, str)):
        if type(got) is not type(want) or got != want:
            return f"{got!r}, PyTorch {want!r}"
    return None


def shapes(got: Any, want: Any) -> str | None:
    """As `values`, without the values: for random and uninitialised results."""
    if is_tensor(want):
        if not is_tensor(got):
            return f"a {type(got).__name__}, PyTorch a Tensor"
        if dtype_name(got.dtype) != dtype_name(want.dtype):
            return f"dtype {got.dtype}, PyTorch {want.dtype}"
        if tuple(got.shape) != tuple(want.shape):
            return f"shape {list(got.shape)}, PyTorch {list(want.shape)}"
    elif isinstance(want, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            return f"{type(got).__name__}, PyTorch {type(want).__name__} of {len(want)}"
        return next((s for g, w in zip(got, want) if (s := shapes(g, w))), None)
    return None


def _steps(t: Any) -> tuple:
    return tuple(st for n, st in zip(t.shape, t.stride()) if n > 1) if t.numel() else ()


def strides(got: list, want: list, got_in: list, want_in: list) -> str | None:
    """Differences in layout and in sharing memory with the inputs, over flat lists of tensors."""
    for g, w in zip(got, want):
        if _steps(g) != _steps(w):
            return f"strides {tuple(g.stride())}, PyTorch {tuple(w.stride())} ({list(w.shape)})"
        if not w.numel():
            continue
        theirs = [w.untyped_storage().data_ptr() == i.untyped_storage().data_ptr() for i in want_in]
        mine = [g._storage is i._storage for i in got_in]
        if theirs != mine:
            return f"shares memory with inputs {mine}, PyTorch {theirs}"
    return None
