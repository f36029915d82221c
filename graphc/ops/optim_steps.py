"""Optimizer steps: one record per update rule. The body is the rule in tensor ops (what capture records);
the native kernel does the same sequence of separately rounded operations in place, in one pass.
Sources: Robbins & Monro 1951 (SGD), Duchi et al. 2011 (Adagrad), Kingma & Ba 2015 (Adam), Loshchilov &
Hutter 2019 (AdamW), Reddi et al. 2018 (AMSGrad); defaults and options as in torch.optim."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType, from_numpy_dtype
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType
from ..native import library
from .define import composite
from .pointwise import cast, maximum, pow, sqrt

_MAXIMIZE, _WEIGHT_DECAY, _NESTEROV, _FIRST, _DECOUPLED = 1, 2, 4, 8, 16


def _native(*arrays: Any) -> bool:
    """Whether the in-place kernels can take these arrays."""
    kept = [a for a in arrays if a is not None]
    return (library.available() and kept[0].dtype.char in "fd"
            and all(a.dtype == kept[0].dtype and a.flags.c_contiguous for a in kept))


def _pointer(a: Any) -> Any:
    return library.null() if a is None else library.pointer(a)


def _call(name: str, a: np.ndarray, signature: str, *args: Any) -> None:
    d = from_numpy_dtype(a.dtype)
    library.fn(f"gc_optim_{name}_{d.code}", signature.replace("T", d.ctype))(a.size, *args)


def _gradient(param: Tensor, grad: Tensor, weight_decay: Any, flags: int) -> Tensor:
    g = -grad if flags & _MAXIMIZE else grad
    return g + weight_decay * param if flags & _WEIGHT_DECAY else g


def _pure(inplace: Any, body: Any, written: tuple[int, ...]) -> Any:
    """The out-of-place eager kernel made from an in-place one."""
    def eager(*args: Any) -> tuple:
        copies = list(args)
        for i in written:
            copies[i] = None if args[i] is None else np.array(args[i], order="C")
        if not inplace(*copies):
            from ..core.tensor import wrap
            out = body(*[wrap(a) if isinstance(a, np.ndarray) else a for a in args])
            return tuple(None if t is None else t._array for t in out)
        return tuple(copies[i] for i in written)
    return eager


def _types(*written: int) -> Any:
    def infer(*args: Any) -> tuple:
        return tuple(a.with_shape(a.shape) if isinstance(a, TensorType) else None
                     for a in (args[i] for i in written))
    return infer


# ---------------------------------------------------------------- SGD

def _sgd_body(param: Tensor, grad: Tensor, buf: Any, lr: Any, weight_decay: Any, momentum: Any, rest: Any,
              flags: int) -> tuple:
    d = _gradient(param, grad, weight_decay, flags)
    if buf is not None:
        buf = d if flags & _FIRST else momentum * buf + rest * d
        d = d + momentum * buf if flags & _NESTEROV else buf
    return param - lr * d, buf


def _sgd_inplace(p: Any, g: Any, buf: Any, lr: Any, weight_decay: Any, momentum: Any, rest: Any,
                 flags: int) -> bool:
    if not _native(p, g, buf):
        return False
    _call("sgd", p, "void(int64_t, void *, void *, void *, T, T, T, T, int)", _pointer(p), _pointer(g),
          _pointer(buf), lr, weight_decay, momentum, rest, flags)
    return True


def _step_samples(*more: Any) -> Any:
    def samples() -> list[Sample]:
        return [Sample((Make((3, 4), d, layout=k), Make((3, 4), d), *m), {"flags": f}, grad=False)
                for d in ("float32", "float64") for k in ("C", "T") for m, f in more_of(d, more)]
    return samples


def more_of(d: str, rows: tuple) -> list:
    """The rest of a sample's inputs per dtype: "b" stands for a state tensor, "s" for a 0-d one."""
    make = {"b": Make((3, 4), d, 0.1, 2), "s": Make((), d, 0.5, 1)}
    return [(tuple(make.get(x, x) if isinstance(x, str) else x for x in row[:-1]), row[-1]) for row in rows]


sgd_step = composite(
    "sgd_step", _sgd_body, inputs=("param", "grad", "buf", "lr", "weight_decay", "momentum", "rest"),
    outputs=("param_out", "buf_out"), infer=_types(0, 2), eager=_pure(_sgd_inplace, _sgd_body, (0, 2)),
    inplace=_sgd_inplace, writes=(0, 2),
    samples=_step_samples((None, 0.1, 0.0, 0.0, 1.0, 0), (None, 0.1, 0.01, 0.0, 1.0, 2),
                          ("b", 0.1, 0.01, 0.9, 0.9, 2), ("b", 0.1, 0.0, 0.9, 1.0, 4), ("b", 0.1, 0.0, 0.9, 1.0, 9)))


# ---------------------------------------------------------------- Adagrad

def _adagrad_body(param: Tensor, grad: Tensor, total: Tensor, clr: Any, weight_decay: Any, eps: Any,
                  flags: int) -> tuple:
    d = _gradient(param, grad, weight_decay, flags)
    total = total + d * d
    return param - clr * (d / (sqrt(total) + eps)), total


def _adagrad_inplace(p: Any, g: Any, total: Any, clr: Any, weight_decay: Any, eps: Any, flags: int) -> bool:
    if not _native(p, g, total, clr):
        return False
    _call("adagrad", p, "void(int64_t, void *, void *, void *, void *, T, T, int)", _pointer(p), _pointer(g),
          _pointer(total), _pointer(clr), weight_decay, eps, flags)
    return True


adagrad_step = composite(
    "adagrad_step", _adagrad_body, inputs=("param", "grad", "total", "clr", "weight_decay", "eps"),
    outputs=("param_out", "total_out"), infer=_types(0, 2),
    eager=_pure(_adagrad_inplace, _adagrad_body, (0, 2)), inplace=_adagrad_inplace, writes=(0, 2),
    samples=_step_samples(("b", "s", 0.0, 1e-10, 0), ("b", "s", 0.01, 1e-10, 3)))


# ---------------------------------------------------------------- Adam

def _adam_body(param: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, max_exp_avg_sq: Any,
               step_size: Any, root: Any, beta1: Any, rest1: Any, beta2: Any, rest2: Any, eps: Any, decay: Any,
               flags: int) -> tuple:
    d = _gradient(param, grad, decay, flags)
    if flags & _DECOUPLED:
        param = param * decay
    exp_avg = beta1 * exp_avg + rest1 * d
    exp_avg_sq = beta2 * exp_avg_sq + rest2 * (d * d)
    v = exp_avg_sq
    if max_exp_avg_sq is not None:
        v = max_exp_avg_sq = maximum(max_exp_avg_sq, exp_avg_sq)
    param = param - step_size * (exp_avg / (sqrt(v) / root + eps))
    return param, exp_avg, exp_avg_sq, max_exp_avg_sq


def _adam_inplace(p: Any, g: Any, m: Any, v: Any, most: Any, step_size: Any, root: Any, beta1: Any, rest1: Any,
                  beta2: Any, rest2: Any, eps: Any, decay: Any, flags: int) -> bool:
    if not _native(p, g, m, v, most, step_size, root):
        return False
    _call("adam", p, "void(int64_t, void *, void *, void *, void *, void *, void *, void *, T, T, T, T, T, T, int)",
          _pointer(p), _pointer(g), _pointer(m), _pointer(v), _pointer(most), _pointer(step_size), _pointer(root),
          beta1, rest1, beta2, rest2, eps, decay, flags)
    return True


adam_step = composite(
    "adam_step", _adam_body,
    inputs=("param", "grad", "exp_avg", "exp_avg_sq", "max_exp_avg_sq", "step_size", "root", "beta1", "rest1",
            "beta2", "rest2", "eps", "decay"),
    outputs=("param_out", "exp_avg_out", "exp_avg_sq_out", "max_out"), infer=_types(0, 2, 3, 4),
    eager=_pure(_adam_inplace, _adam_body, (0, 2, 3, 4)), inplace=_adam_inplace, writes=(0, 2, 3, 4),
    samples=_step_samples(("b", "b", None, "s", "s", 0.9, 0.1, 0.999, 0.001, 1e-8, 0.0, 0),
                          ("b", "b", "b", "s", "s", 0.9, 0.1, 0.999, 0.001, 1e-8, 0.01, 3),
                          ("b", "b", None, "s", "s", 0.9, 0.1, 0.999, 0.001, 1e-8, 0.99, 16)))


def _scales_body(step: Tensor, lr: Any, beta1: Any, beta2: Any, dtype: DType) -> tuple:
    s = cast(step, dtypes.float64)
    size = lr / (1 - pow(beta1, s))
    return cast(size, dtype), cast(sqrt(1 - pow(beta2, s)), dtype)


def _scales_kernel(step: np.ndarray, lr: float, beta1: float, beta2: float, dtype: DType) -> tuple:
    s = np.asarray(step, np.float64)
    p1 = np.float64(1) - pow.eager(np.asarray(np.float64(beta1)), s)
    p2 = np.float64(1) - pow.eager(np.asarray(np.float64(beta2)), s)
    return np.asarray(np.float64(lr) / p1, dtype.np), np.asarray(np.sqrt(p2), dtype.np)


adam_scales = composite(
    "adam_scales", _scales_body, inputs=("step", "lr", "beta1", "beta2"), outputs=("step_size", "root"),
    infer=lambda step, lr, beta1, beta2, dtype: (step.with_shape((), dtype),) * 2, eager=_scales_kernel,
    samples=lambda: [Sample((Make((), "float32", values=[n]), 1e-3, 0.9, 0.999), {"dtype": d}, grad=False)
                     for n in (1.0, 2.0, 1000.0) for d in (dtypes.float32, dtypes.float64)],
    doc="lr / (1 - beta1**step) and sqrt(1 - beta2**step), computed in float64")
