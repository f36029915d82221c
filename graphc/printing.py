"""repr of tensors in PyTorch's format: four digits, scientific when the range asks for it,
summarised above 1,000 elements. Source of the rules:
https://pytorch.org/docs/stable/generated/torch.set_printoptions.html"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import dtypes
from .core import dispatch
from .core.tensor import Tensor


@dataclass
class Options:
    """What set_printoptions changes."""

    precision: int = 4
    threshold: float = 1000
    edgeitems: int = 3
    linewidth: int = 80
    sci_mode: bool | None = None


OPTIONS = Options()
_PROFILES = {"default": (4, 1000, 3, 80), "short": (2, 1000, 2, 80), "full": (4, math.inf, 3, 80)}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Changes how tensors print; a profile is "default", "short" or "full"."""
    if profile is not None:
        OPTIONS.precision, OPTIONS.threshold, OPTIONS.edgeitems, OPTIONS.linewidth = _PROFILES[
            profile
        ]
    if precision is not None:
        OPTIONS.precision = precision
    if threshold is not None:
        OPTIONS.threshold = threshold
    if edgeitems is not None:
        OPTIONS.edgeitems = edgeitems
    if linewidth is not None:
        OPTIONS.linewidth = linewidth
    OPTIONS.sci_mode = sci_mode


class _Formatter:
    """Formats the elements of one tensor alike, to one width."""

    def __init__(self, a: np.ndarray):
        self.floating = a.dtype.kind == "f"
        self.int_mode, self.sci, self.width = True, False, 1
        p = OPTIONS.precision
        flat = a.reshape(-1)
        if not self.floating:
            self.width = max([len(str(v)) for v in flat.tolist()], default=1)
            return
        finite = flat[np.isfinite(flat) & (flat != 0)]
        if finite.size == 0:
            return
        v = np.abs(finite.astype(np.float64))
        high, low = float(v.max()), float(v.min())
        self.int_mode = bool(np.all(finite == np.ceil(finite)))
        if self.int_mode:
            self.sci = high / low > 1000.0 or high > 1.0e8
        else:
            self.sci = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        if OPTIONS.sci_mode is not None:
            self.sci = OPTIONS.sci_mode
        elif self.int_mode and not high > 1.0e8 and not high / low > 1000.0:
            self.sci = False
        self.precision = p
        self._fit(finite)

    def _fit(self, flat: np.ndarray) -> None:
        # the width is that of the finite values other than zero, as in PyTorch
        self.width = max([len(self.one(v)) for v in flat.tolist()], default=1)

    def one(self, v: Any) -> str:
        if not self.floating:
            return str(v)
        p = OPTIONS.precision
        if self.sci and math.isfinite(v):
            return f"{v:.{p}e}"
        if self.int_mode:
            return f"{v:.0f}" + ("." if math.isfinite(v) else "")
        return f"{v:.{p}f}"

    def __call__(self, v: Any) -> str:
        return self.one(v).rjust(self.width)


class _ComplexFormatter:
    """Formats complex elements: both parts alike in style, each to its own width."""

    def __init__(self, a: np.ndarray):
        self.re, self.im = _Formatter(a.real), _Formatter(a.imag)
        self.width = self.re.width + self.im.width + 1

    def __call__(self, v: complex) -> str:
        re, im = self.re(v.real), self.im.one(v.imag).lstrip() + "j"
        return re + im if im[0] in "+-" else re + "+" + im


def _vector(a: np.ndarray, indent: int, fmt: Any, summarize: bool) -> str:
    per_line = max(1, int(math.floor((OPTIONS.linewidth - indent) / (fmt.width + 2))))
    edge = OPTIONS.edgeitems
    if summarize and a.size > 2 * edge:
        items = (
            [fmt(v) for v in a[:edge].tolist()] + [" ..."] + [fmt(v) for v in a[-edge:].tolist()]
        )
    else:
        items = [fmt(v) for v in a.tolist()]
    lines = [", ".join(items[i : i + per_line]) for i in range(0, len(items), per_line)] or [""]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def _nested(a: np.ndarray, indent: int, fmt: Any, summarize: bool) -> str:
    if a.ndim == 0:
        return fmt(a.item())
    if a.ndim == 1:
        return _vector(a, indent, fmt, summarize)
    edge = OPTIONS.edgeitems
    if summarize and a.shape[0] > 2 * edge:
        rows = (
            [_nested(x, indent + 1, fmt, summarize) for x in a[:edge]]
            + ["..."]
            + [_nested(x, indent + 1, fmt, summarize) for x in a[-edge:]]
        )
    else:
        rows = [_nested(x, indent + 1, fmt, summarize) for x in a]
    return "[" + ("," + "\n" * (a.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def _edges(a: np.ndarray) -> np.ndarray:
    edge = OPTIONS.edgeitems
    for ax in range(a.ndim):
        if a.shape[ax] > 2 * edge:
            keep = [*range(edge), *range(a.shape[ax] - edge, a.shape[ax])]
            a = np.take(a, keep, axis=ax)
    return a


def numbers(x: Tensor, indent: int) -> str:
    """The elements of x as nested brackets."""
    a: np.ndarray = x._array
    if x.dtype.is_half:
        a = dispatch.cast_array(a, x.dtype, dtypes.float32)
    summarize = a.size > OPTIONS.threshold
    shown = _edges(a) if summarize else a
    fmt = _ComplexFormatter(shown) if a.dtype.kind == "c" else _Formatter(shown)
    return _nested(a, indent, fmt, summarize)


def tensor_repr(x: Tensor) -> str:
    """What repr(x) shows."""
    if x._array is None:
        return f"tensor(<{x._meta}, being compiled>)"
    prefix = "tensor("
    suffixes = []
    floating = dtypes.get_default_dtype()
    default = x.dtype in (floating, floating.to_complex(), dtypes.int64, dtypes.bool_)
    if x.numel() == 0:  # type: ignore[attr-defined]
        if x.ndim != 1:
            suffixes.append(f"size={tuple(x.shape)}")
        if x.dtype is not dtypes.get_default_dtype():
            suffixes.append(f"dtype={x.dtype}")
        body = "[]"
    else:
        if not default:
            suffixes.append(f"dtype={x.dtype}")
        body = numbers(x, len(prefix))
    fn = x.grad_fn
    if fn is not None:
        suffixes.append(f"grad_fn=<{type(fn).__name__}>")
    elif x._needs:
        suffixes.append("requires_grad=True")
    out = prefix + body
    column = len(out) - out.rfind("\n") - 1 if "\n" in out else len(out)
    for s in suffixes:
        if column + len(s) + 2 > OPTIONS.linewidth:
            out += ",\n" + " " * len(prefix) + s
            column = len(prefix) + len(s)
        else:
            out += ", " + s
            column += len(s) + 2
    out += ")"
    if type(x).__name__ in ("Parameter", "Buffer"):
        return f"{type(x).__name__} containing:\n{out}"
    return out
