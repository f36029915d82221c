"""Optimizer updates: parameter, gradient and state in, their new values out.

Each update is one composite record, whose body in ops is what capture sees and whose kernel gives
the same bits, and one function over many parameters that eager mode calls: a single native call
that writes in place. What depends on the step count is computed in float64 from the step tensor and
rounded to the parameter's dtype once, on both sides. Sources: Sutskever et al. 2013 (SGD with
momentum), Duchi et al. 2011 (Adagrad), Kingma & Ba 2015 (Adam), Loshchilov & Hutter 2019 (AdamW),
Reddi et al. 2018 (AMSGrad).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType, from_numpy_dtype
from ..core import inplace
from ..core.modes import STATE
from ..core.tensor import Tensor
from ..ir.op import Make, Op, Sample
from ..native import cpu, library
from .define import composite
from .pointwise import cast, maximum

# Flags of an update; the native kernels read the same bits.
MAXIMIZE, WEIGHT_DECAY, NESTEROV, DECOUPLED = 1, 2, 4, 16

NATIVE = (dtypes.float32, dtypes.float64)


# ---------------------------------------------------------------- the formulas, in ops

def _gradient(param: Any, grad: Any, decay: Any, flags: int) -> Any:
    d = -grad if flags & MAXIMIZE else grad
    return d + param * decay if flags & WEIGHT_DECAY else d


def _sgd_body(
    param: Any,
    grad: Any,
    momentum_buffer: Any,
    lr: Any,
    weight_decay: Any,
    momentum: Any,
    rest: Any,
    flags: int,
) -> tuple:
    d = _gradient(param, grad, weight_decay, flags)
    if momentum_buffer is None:
        return (param - d * lr,)
    buf = momentum_buffer * momentum + d * rest
    d = d + buf * momentum if flags & NESTEROV else buf
    return param - d * lr, buf


def _adagrad_body(param: Any, grad: Any, sum: Any, clr: Any, weight_decay: Any, eps: Any,
                  flags: int) -> tuple:
    d = _gradient(param, grad, weight_decay, flags)
    s = sum + d * d
    return param - clr * (d / (s.sqrt() + eps)), s


def _adam_body(
    param: Any,
    grad: Any,
    exp_avg: Any,
    exp_avg_sq: Any,
    max_exp_avg_sq: Any,
    step_size: Any,
    bc2_sqrt: Any,
    beta1: Any,
    beta2: Any,
    eps: Any,
    decay: Any,
    flags: int,
) -> tuple:
    d = _gradient(param, grad, decay, flags)
    p = param * decay if flags & DECOUPLED else param
    m = exp_avg * beta1 + d * (1 - beta1)
    v = exp_avg_sq * beta2 + (d * d) * (1 - beta2)
    if max_exp_avg_sq is None:
        return p - step_size * (m / (v.sqrt() / bc2_sqrt + eps)), m, v
    top = maximum(max_exp_avg_sq, v)
    return p - step_size * (m / (top.sqrt() / bc2_sqrt + eps)), m, v, top


# ---------------------------------------------------------------- kernels that give new arrays

def _scalars(code: str, k: int) -> str:
    return ", ".join(["float" if code == "f32" else "double"] * k)


def _pointer(a: Any) -> Any:
    return library.null() if a is None else library.pointer(a)


def _fresh(*arrays: Any) -> list:
    """Contiguous copies, for a kernel that writes in place; None stays."""
    return [None if a is None else np.array(a, order="C") for a in arrays]


def _check_floating(dt: Any) -> None:
    if dt.kind != "f":
        raise RuntimeError(f"optimizers update floating point parameters, not {dt}")


def _gradient_of(p: Any, g: Any, *state: Any) -> Any:
    """The gradient made contiguous, after a check that everything has the parameter's shape and a
    dtype that there is a kernel for."""
    _check_floating(p.dtype)
    for a in (g, *state):
        if a is not None and a.shape != p.shape:
            raise RuntimeError(
                f"a gradient or an optimizer state of shape {list(a.shape)} does not fit its "
                f"parameter of shape {list(p.shape)}"
            )
    return np.asarray(g, order="C")


def _sgd_kernel(
    p: Any, g: Any, buf: Any, lr: Any, decay: Any, momentum: Any, rest: Any, flags: int
) -> tuple:
    g = _gradient_of(p, g, buf)
    if not library.available():
        k = p.dtype.type
        d = _spare_gradient(p, g, decay, flags)
        if buf is None:
            return (p - k(lr) * d,)
        buf = k(momentum) * buf + k(rest) * d
        return p - k(lr) * (d + k(momentum) * buf if flags & NESTEROV else buf), buf
    p, buf = _fresh(p, buf)
    code = from_numpy_dtype(p.dtype).code
    library.fn(
        f"gc_optim_sgd_{code}", f"void(int64_t, void *, void *, void *, {_scalars(code, 4)}, int)"
    )(p.size, _pointer(p), _pointer(g), _pointer(buf), lr, decay, momentum, rest, flags)
    return (p,) if buf is None else (p, buf)


def _adagrad_kernel(p: Any, g: Any, s: Any, clr: Any, decay: Any, eps: Any, flags: int) -> tuple:
    g = _gradient_of(p, g, s)
    if not library.available():
        d = _spare_gradient(p, g, decay, flags)
        s = s + d * d
        with np.errstate(all="ignore"):
            return p - clr * (d / (np.sqrt(s) + p.dtype.type(eps))), s
    p, s = _fresh(p, s)
    code = from_numpy_dtype(p.dtype).code
    library.fn(f"gc_optim_adagrad_{code}",
               f"void(int64_t, void *, void *, void *, void *, {_scalars(code, 2)}, int)")(
        p.size, _pointer(p), _pointer(g), _pointer(s), _pointer(clr), decay, eps, flags)
    return p, s


def _adam_kernel(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    top: Any,
    size: Any,
    root: Any,
    beta1: Any,
    beta2: Any,
    eps: Any,
    decay: Any,
    flags: int,
) -> tuple:
    g = _gradient_of(p, g, m, v, top)
    if not library.available():
        return _adam_spare(p, g, m, v, top, size, root, beta1, beta2, eps, decay, flags)
    p, m, v, top = _fresh(p, m, v, top)
    code = from_numpy_dtype(p.dtype).code
    library.fn(f"gc_optim_adam_{code}",
               "void(int64_t, void *, void *, void *, void *, void *, void *, void *, "
               f"{_scalars(code, 6)}, int)")(
        p.size, _pointer(p), _pointer(g), _pointer(m), _pointer(v), _pointer(top), _pointer(size),
        _pointer(root), beta1, 1 - beta1, beta2, 1 - beta2, eps, decay, flags)
    return (p, m, v) if top is None else (p, m, v, top)


def _spare_gradient(p: Any, g: Any, decay: Any, flags: int) -> Any:
    d = -g if flags & MAXIMIZE else g
    return d + p.dtype.type(decay) * p if flags & WEIGHT_DECAY else d


def _adam_spare(
    p: Any,
    g: Any,
    m: Any,
    v: Any,
    top: Any,
    size: Any,
    root: Any,
    beta1: Any,
    beta2: Any,
    eps: Any,
    decay: Any,
    flags: int,
) -> tuple:
    """Numpy's version; the same bits, as every operation is one that IEEE 754 fixes."""
    k = p.dtype.type
    d = _spare_gradient(p, g, decay, flags)
    p = p * k(decay) if flags & DECOUPLED else p
    m = k(beta1) * m + k(1 - beta1) * d
    v = k(beta2) * v + k(1 - beta2) * (d * d)
    w = v if top is None else np.maximum(top, v)
    with np.errstate(all="ignore"):
        p = p - size * (m / (np.sqrt(w) / root + k(eps)))
    return (p, m, v) if top is None else (p, m, v, w)


# ---------------------------------------------------------------- the records

def _infer(states: int) -> Any:
    """Type rule: the parameter and its `states` tensors come back row-major; those left out do
    not."""
    def infer(param: Any, grad: Any, *rest: Any) -> tuple:
        _check_floating(param.dtype.np)
        return tuple([t.with_shape(t.shape) for t in (param, *rest[:states]) if t is not None])
    return infer


def _tensors(n: int, scalars: int, spare: bool = False) -> list[tuple]:
    """Inputs of n like tensors (the last of them left out when `spare`) and some 0-d ones."""
    out = []
    for d in ("float32", "float64"):
        for shape, layout in (((3, 4), "C"), ((), "C"), ((300,), "C"), ((4, 6), "T")):
            xs: list = [Make(shape, d, layout=layout), Make(shape, d)]
            xs += [Make(shape, d, 0.5, 2.0) for _ in range(n - 2)]
            if spare:
                xs[-1] = None
            out.append((*xs, *[Make((), d, 0.3, 0.9) for _ in range(scalars)]))
    return out


def _sgd_samples() -> list[Sample]:
    plain = {"lr": 0.1, "weight_decay": 0.01, "momentum": 0.9, "rest": 0.7}
    return [
        Sample(xs, {**plain, "flags": f})
        for f in (0, WEIGHT_DECAY | NESTEROV, MAXIMIZE)
        for xs in _tensors(3, 0)
    ] + [Sample(xs, {**plain, "flags": 0}) for xs in _tensors(3, 0, True)]


def _adagrad_samples() -> list[Sample]:
    return [Sample(xs, {"weight_decay": 0.01, "eps": 1e-10, "flags": f})
            for f in (0, WEIGHT_DECAY | MAXIMIZE) for xs in _tensors(3, 1)]


def _adam_samples() -> list[Sample]:
    plain = {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "decay": 0.99}
    return (
        [
            Sample(xs, {**plain, "flags": f})
            for f in (0, DECOUPLED | MAXIMIZE)
            for xs in _tensors(5, 2, True)[:8]
        ]
        + [
            Sample((*xs[:4], None, *xs[5:]), {**plain, "flags": WEIGHT_DECAY})
            for xs in _tensors(5, 2)
        ]
        + [Sample(xs, {**plain, "flags": DECOUPLED}) for xs in _tensors(5, 2)]
    )


sgd_step = composite(
    "sgd_step",
    _sgd_body,
    inputs=("param", "grad", "momentum_buffer"),
    outputs=("new_param", "new_buffer"),
    infer=_infer(1),
    eager=_sgd_kernel,
    half="wide",
    samples=_sgd_samples,
)
adagrad_step = composite(
    "adagrad_step",
    _adagrad_body,
    inputs=("param", "grad", "sum", "clr"),
    outputs=("new_param", "new_sum"),
    infer=_infer(1),
    eager=_adagrad_kernel,
    half="wide",
    samples=_adagrad_samples,
)
adam_step = composite(
    "adam_step",
    _adam_body,
    infer=_infer(3),
    eager=_adam_kernel,
    half="wide",
    samples=_adam_samples,
    inputs=("param", "grad", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step_size", "bc2_sqrt"),
    outputs=("new_param", "new_exp_avg", "new_exp_avg_sq", "new_max_exp_avg_sq"),
)


# ---------------------------------------------------------------- one parameter, in tensor ops

def adam_scales(
    step: Tensor, lr: Any, beta1: Any, beta2: Any, dtype: DType
) -> tuple[Tensor, Tensor]:
    """lr / (1 - beta1**step) and sqrt(1 - beta2**step) as 0-d tensors of dtype."""
    s = cast(step, dtypes.float64)
    size = lr / (1 - beta1 ** s)
    root = (1 - beta2 ** s).sqrt()
    return cast(size, dtype.compute), cast(root, dtype.compute)


def adagrad_rate(step: Tensor, lr: Any, lr_decay: Any, dtype: DType) -> Tensor:
    """lr / (1 + (step - 1) * lr_decay) as a 0-d tensor of dtype."""
    s = cast(step, dtypes.float64)
    return cast(lr / (1 + (s - 1) * lr_decay), dtype.compute)


def update(op: Op, targets: tuple, grad: Tensor, more: tuple, attrs: tuple) -> None:
    """targets (the parameter and its state, None where there is none) become what the op gives for
    them."""
    inputs = (targets[0], grad, *targets[1:], *more)
    if any(
        isinstance(a, Tensor) for a in attrs
    ):  # tensors in place of numbers: the body takes either
        outs = _run_body(op, inputs, attrs)
    else:
        outs = op(*inputs, *attrs)
    news = iter(outs)
    for t in targets:
        if t is not None:
            inplace.check_inplace(t)
            inplace.store(t, next(news))


def _run_body(op: Op, inputs: tuple, attrs: tuple) -> tuple:
    half = inputs[0].dtype
    if not half.is_half:
        return op.body(*inputs, *attrs)  # type: ignore[misc]
    wide = [
        cast(t, dtypes.float32) if isinstance(t, Tensor) and t.dtype.is_half else t for t in inputs
    ]
    return tuple([cast(t, half) for t in op.body(*wide, *attrs)])       # type: ignore[misc]


# ---------------------------------------------------------------- many parameters, one native call

class Rows:
    """The table of pointers of a native list update: one row of `width` tensors per parameter, the
    parameter first and its gradient second.

    Rows are filled anew only where an array was replaced, so a step over unchanged state costs
    little; gradients are looked up each time and not kept. Invariant: every other array whose
    address stands in the table is kept alive by it."""

    __slots__ = ("arrays", "copies", "counts", "dtype", "ids", "sizes", "storages", "table",
                 "width")

    def __init__(self, width: int):
        self.width = width
        self.arrays: list = []
        self.ids: list[int] = []
        self.storages: list = []        # of what a step writes
        self.sizes: list[int] = []
        self.copies: list = []
        self.table: Any = None
        self.counts: Any = None
        self.dtype: DType | None = None

    def fill(self, flat: list, dtype: DType) -> bool:
        """Points the table at the tensors of `flat` (None: null). False when one of them cannot be
        written in place by a native kernel: not contiguous, or of another dtype or size; gradients
        that are not contiguous are copied instead."""
        n, width = len(flat), self.width
        arrays: list = [None if t is None else t._array for t in flat]
        grads = arrays[1::width]
        arrays[1::width] = [None] * len(grads)
        ids = list(map(id, arrays))
        if ids != self.ids or dtype is not self.dtype:
            if not self._point(flat, arrays, ids, dtype):
                self.ids = []
                return False
        table, want, pointer = self.table, dtype.np, cpu.ffi().from_buffer
        for i, a, size in zip(range(1, n, width), grads, self.sizes, strict=True):
            if a.size != size or a.dtype is not want and a.dtype != want:
                return False
            if not a.flags.c_contiguous:
                a = np.ascontiguousarray(a)
                self.copies.append(a)
            table[i] = pointer(a)
        return True

    def _point(self, flat: list, arrays: list, ids: list[int], dtype: DType) -> bool:
        """Enters the parameters and their states; False when one of them does not suit."""
        ffi, n, width = cpu.ffi(), len(flat), self.width
        self.arrays, self.ids, self.dtype = arrays, ids, dtype
        self.sizes = [a.size for a in arrays[::width]]
        self.table, self.counts = ffi.new("void *[]", n), ffi.new("int64_t[]", self.sizes)
        self.storages = [t._storage for i, t in enumerate(flat) if t is not None and i % width != 1]
        for i, a in enumerate(arrays):
            if a is None:
                continue
            if i % width == width - 1 and width > 3:        # the step count
                if a.dtype != np.float32 or a.ndim:
                    return False
            elif a.dtype != dtype.np or a.size != self.sizes[i // width] or \
                    not a.flags.c_contiguous:
                return False
            self.table[i] = ffi.from_buffer(a)
        return True


_SIGNATURE = "void(int64_t, int64_t *, void **, double *, int)"


def update_rows(name: str, rows: Rows, flat: list, dtype: DType, numbers: list, flags: int) -> bool:
    """One native call of gc_optim_<name>_list over the rows in `flat`; False when they do not suit
    it and nothing was done. Bumps the version of everything written."""
    if dtype not in NATIVE or not library.available() or STATE.watch is not None:
        return False
    if not rows.fill(flat, dtype):
        return False
    library.fn(f"gc_optim_{name}_list_{dtype.code}", _SIGNATURE)(
        len(rows.sizes), rows.counts, rows.table, cpu.scalars(numbers), flags)
    rows.copies.clear()
    for storage in rows.storages:
        storage.version += 1
    return True


def plain(*numbers: Any) -> bool:
    """Whether all are Python numbers: what native updates take."""
    return all([isinstance(x, (float, int)) for x in numbers])
