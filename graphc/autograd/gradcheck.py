"""gradcheck: analytic gradients against central differences in float64.
https://pytorch.org/docs/stable/generated/torch.autograd.gradcheck.gradcheck.html"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import dtypes
from ..core.modes import enable_grad, no_grad
from ..core.tensor import Tensor
from ..creation import tensor, zeros_like
from ..functional import stack
from .api import grad


class GradcheckError(RuntimeError):
    """Analytic and numerical gradients differ."""


def _outputs(y: Any) -> tuple:
    ys = (y,) if isinstance(y, Tensor) else tuple(y)
    return tuple(t for t in ys if isinstance(t, Tensor) and t.dtype.category >= dtypes.FLOAT)


def _reals(a: np.ndarray) -> np.ndarray:
    """The numbers of a contiguous array one by one, complex ones as two (a view)."""
    return a.reshape(-1).view(a.real.dtype)


def _numerical(fn: Callable, inputs: tuple, which: int, eps: float) -> list[np.ndarray]:
    """Jacobians of every output with respect to inputs[which]: [input numbers, output numbers],
    where real and imaginary parts count as two."""
    x = inputs[which]
    if not x._array.flags.c_contiguous:
        raise RuntimeError("gradcheck expects contiguous inputs")
    flat = _reals(x._array)
    columns: list = []
    with no_grad():
        for i in range(flat.size):
            old = flat[i]
            flat[i] = old + eps
            hi = [y._array.copy() for y in _outputs(fn(*inputs))]
            flat[i] = old - eps
            lo = [y._array.copy() for y in _outputs(fn(*inputs))]
            flat[i] = old
            pairs = zip(hi, lo, strict=True)
            columns.append([_reals(np.ascontiguousarray((a - b) / (2 * eps))) for a, b in pairs])
    count = len(columns[0]) if columns else 0
    return [np.stack([c[j] for c in columns]) for j in range(count)]


def gradcheck(
    func: Callable,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """True when the gradients of func at float64 inputs agree with finite differences of step eps.

    check_backward_ad: those of `grad`; check_forward_ad: Jacobian-vector products (the derivative
    of a gradient with respect to its cotangent); check_batched_grad, check_batched_forward_grad:
    both again for all directions at once, through vmap.

    Raises GradcheckError (or returns False with raise_exception=False) naming input and output,
    and AssertionError for checks that exclude each other."""
    assert check_forward_ad or check_backward_ad, (
        "Expected at least one of check_forward_ad or check_backward_ad to be True"
    )
    assert check_backward_ad or not check_batched_grad, (
        "Setting check_batched_grad=True requires check_backward_ad to be True"
    )
    assert check_forward_ad or not check_batched_forward_grad, (
        "Setting check_batched_forward_grad=True requires check_forward_ad to be True"
    )
    jacobians = [
        (name, jacobian)
        for name, jacobian, wanted in (
            ("", _analytic, check_backward_ad),
            ("batched ", lambda y, x: _analytic(y, x, batched=True), check_batched_grad),
            ("forward ", _forward, check_forward_ad),
            ("batched forward ", lambda y, x: _forward(y, x, True), check_batched_forward_grad),
        )
        if wanted
    ]
    args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    active = [i for i, t in enumerate(args) if isinstance(t, Tensor) and t.requires_grad]
    if not active:
        raise ValueError(
            "gradcheck expects at least one input tensor to require gradient, but none of them "
            "have requires_grad=True."
        )
    args = tuple(
        a.detach().contiguous().clone().requires_grad_() if i in active else a  # type: ignore
        for i, a in enumerate(args)
    )
    with enable_grad():
        outs = _outputs(func(*args))
    try:
        for i in active:
            numerical = _numerical(func, args, i, eps)
            for j, y in enumerate(outs):
                for name, jacobian in jacobians:
                    analytic = jacobian(y, args[i])
                    want = numerical[j] if numerical else np.zeros_like(analytic)
                    if not np.allclose(analytic, want, rtol=rtol, atol=atol, equal_nan=True):
                        raise GradcheckError(
                            f"Jacobian mismatch for output {j} with respect to input {i},\n"
                            f"numerical:{want}\n{name}analytical:{analytic}\n"
                        )
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _count(t: Tensor) -> int:
    return t._array.size * (2 if t.dtype.is_complex else 1)


def _units(t: Tensor) -> list[Tensor]:
    """Tensors like t with a single 1, one for each of its numbers."""
    out = []
    for k in range(_count(t)):
        unit = zeros_like(t.detach()).contiguous()  # type: ignore[attr-defined]
        _reals(unit._array)[k] = 1
        out.append(unit)
    return out


def _products(y: Tensor, x: Tensor, directions: list[Tensor], batched: bool) -> list[np.ndarray]:
    """grad(y, x, direction) for each direction, one by one or all at once; zeros for None."""
    if batched and directions:
        (g,) = grad(
            y, x, stack(directions), retain_graph=True, allow_unused=True, is_grads_batched=True
        )
        found = [None] * len(directions) if g is None else list(g)
    else:
        found = [grad(y, x, d, retain_graph=True, allow_unused=True)[0] for d in directions]
    zeros = np.zeros(_count(x))
    return [zeros if g is None else _reals(np.ascontiguousarray(g._array)) for g in found]


def _analytic(y: Tensor, x: Tensor, batched: bool = False) -> np.ndarray:
    """The Jacobian from its products with cotangents: [input numbers, output numbers]."""
    if not y.requires_grad or not _count(y):
        return np.zeros((_count(x), _count(y)))
    return np.stack(_products(y, x, _units(y), batched), 1)


def _forward(y: Tensor, x: Tensor, batched: bool = False) -> np.ndarray:
    """The same from its products with tangents."""
    if y.requires_grad and _count(x):
        cotangent = zeros_like(y.detach()).requires_grad_()
        (g,) = grad(y, x, cotangent, create_graph=True, allow_unused=True)
        if g is not None and g.requires_grad:
            return np.stack(_products(g, cotangent, _units(x), batched), 0)
    return np.zeros((_count(x), _count(y)))


def _seed(y: Tensor, i: int) -> Tensor:
    rng = np.random.default_rng(7 + i)
    a = rng.standard_normal(tuple(y.shape))
    if y.dtype.is_complex:
        a = a + 1j * rng.standard_normal(tuple(y.shape))
    return tensor(a).requires_grad_()


def gradgradcheck(
    func: Callable,
    inputs: Any,
    grad_outputs: Any = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    gen_non_contig_grad_outputs: bool = False,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_fwd_over_rev: bool = False,
    check_rev_over_rev: bool = True,
    fast_mode: bool = False,
    masked: bool = False,
) -> bool:
    """gradcheck of the gradient of func: right second derivatives, also with respect to
    grad_outputs."""
    args = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    with enable_grad():
        outs = _outputs(func(*args))
    if grad_outputs is None:
        grad_outputs = tuple(_seed(y, i) for i, y in enumerate(outs))
    else:
        grad_outputs = (grad_outputs,) if isinstance(grad_outputs, Tensor) else tuple(grad_outputs)
    n = len(args)

    def gradient(*values: Any) -> tuple:
        xs, gs = values[:n], values[n:]
        with enable_grad():
            ys = [y for y in _outputs(func(*xs))]
            pairs = [(y, g) for y, g in zip(ys, gs, strict=True) if y.requires_grad]
            active = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
            found = grad(
                [y for y, _ in pairs],
                active,
                [g for _, g in pairs],
                create_graph=True,
                allow_unused=True,
            )
        return tuple(zeros_like(x) if g is None else g for g, x in zip(found, active, strict=True))

    return gradcheck(
        gradient,
        args + tuple(grad_outputs),
        eps=eps,
        atol=atol,
        rtol=rtol,
        raise_exception=raise_exception,
        check_batched_grad=check_batched_grad,
        check_forward_ad=check_fwd_over_rev,
        check_backward_ad=check_rev_over_rev,
    )
