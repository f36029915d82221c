"""Jacobians, Hessians and their products at one point: take a function and its inputs (a tensor or
a tuple of them), give numbers. Invariant: nothing is left in anybody's .grad, and results require a
gradient only with create_graph.
Source: https://pytorch.org/docs/stable/autograd.html#functional-higher-level-api"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.modes import enable_grad
from ..core.tensor import Tensor
from ..creation import ones_like, zeros, zeros_like
from ..functional import stack
from .api import grad
from .vmap import vmap

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


# ---------------------------------------------------------------- checks


def _tensors(x: Any, what: str, where: str) -> tuple[bool, tuple]:
    """(given as a tuple, the tensors). TypeError for anything else."""
    several = isinstance(x, tuple)
    name = f"The {what} given to {where} must be either a Tensor or a tuple of Tensors but the "
    for i, t in enumerate(x if several else (x,)):
        if not isinstance(t, Tensor):
            if several:
                raise TypeError(f"{name}value at index {i} has type {type(t)}.")
            raise TypeError(f"{name}given {what} has type {type(t)}.")
    return several, x if several else (x,)


def _prepared(inputs: tuple, create_graph: bool) -> tuple:
    """The inputs as tensors of this derivative's own."""
    return tuple(
        [
            x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_()  # type: ignore
            for x in inputs
        ]
    )


def _outputs(out: Any, where: str, strict: bool) -> tuple[bool, tuple]:
    several, outs = _tensors(out, "outputs of the user-provided function", where)
    if strict:
        for i, t in enumerate(outs):
            if not t.requires_grad:
                raise RuntimeError(
                    f"Output {i} of the user-provided function does not require gradients. The "
                    "outputs must be computed in a differentiable manner from the input when "
                    "running in strict mode."
                )
    return several, outs


def _check_depends(gs: tuple, strict: bool, what: str) -> None:
    """In strict mode: RuntimeError where a derivative has none itself."""
    for i, g in enumerate(gs):
        if not strict or g is not None and g.requires_grad:
            continue
        if what == "hessian":
            raise RuntimeError(
                "While computing the hessian, found that the jacobian of the user-provided "
                f"function with respect to input {i} is independent of the input. This is not "
                "allowed in strict mode. You should ensure that your function is twice "
                "differentiable and that the jacobian depends on the inputs (this would be "
                "violated by a linear function for example)."
            )
        raise RuntimeError(
            f"The {what} of the user-provided function is independent of input {i}. This is not "
            "allowed in strict mode when create_graph=True."
        )


def _check_used(gs: tuple, strict: bool, output: str) -> None:
    for i, g in enumerate(gs):
        if g is None and strict:
            raise RuntimeError(
                f"{output} of the user-provided function is independent of input {i}. This is "
                "not allowed in strict mode."
            )


def _vector(v: Any, like: tuple, several: bool, where: str, text: str) -> tuple:
    """v as a tuple of tensors like `like`; ones when it may be left out."""
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise RuntimeError(text)
        return (ones_like(like[0]),)
    vs = _tensors(v, "v", where)[1]
    if len(vs) != len(like):
        raise RuntimeError(
            f"v is a tuple of invalid length: should be {len(like)} but got {len(vs)}."
        )
    for i, (a, b) in enumerate(zip(vs, like, strict=True)):
        if tuple(a.shape) != tuple(b.shape):
            entry = f"Entry {i} in " if several else ""
            raise RuntimeError(f"{entry}v has invalid size: should be {b.shape} but got {a.shape}.")
    return vs


def _gradients(outs: tuple, inputs: tuple, cotangents: tuple, create_graph: bool) -> tuple:
    """Gradients, None where there is none; outputs without a history give nothing."""
    pairs = [(o, c) for o, c in zip(outs, cotangents, strict=True) if o.requires_grad]
    if not pairs:
        return (None,) * len(inputs)
    return grad(
        [o for o, _ in pairs],
        inputs,
        [c for _, c in pairs],
        retain_graph=True,
        create_graph=create_graph,
        allow_unused=True,
    )


def _filled(gs: tuple, like: tuple) -> tuple:
    return tuple([zeros_like(x) if g is None else g for g, x in zip(gs, like, strict=True)])


def _left(ts: Any, create_graph: bool) -> Any:
    """Results without a history unless it is wanted."""
    if isinstance(ts, Tensor):
        return ts if create_graph else ts.detach()  # type: ignore[attr-defined]
    return tuple([_left(t, create_graph) for t in ts])


def _packed(ts: tuple, several: bool) -> Any:
    return ts if several else ts[0]


# ---------------------------------------------------------------- products


def vjp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(*inputs), v times its Jacobian). v is like the outputs and may be left out for one
    output of one element. strict: RuntimeError where something does not depend on the inputs."""
    with enable_grad():
        several, given = _tensors(inputs, "inputs", "vjp")
        xs = _prepared(given, create_graph)
        many, outs = _outputs(func(*xs), "vjp", strict)
        text = (
            "The vector v can only be None if the user-provided function returns a single Tensor "
            "with a single element."
        )
        vs = _vector(v, outs, many, "vjp", text)
        gs = _gradients(outs, xs, vs, create_graph)
        _check_used(gs, strict, "The output")
        if create_graph:
            _check_depends(gs, strict, "jacobian")
        found = _filled(gs, xs)
    return (
        _packed(_left(outs, create_graph), many),
        _packed(_left(found, create_graph), several),
    )


def _pushed(outs: tuple, xs: tuple) -> tuple[tuple, tuple]:
    """(u, gradients of <outs, u>): linear in u, so that their derivatives push vectors forward."""
    us = tuple([zeros_like(t).requires_grad_() for t in outs])
    return us, _gradients(outs, xs, us, True)


def jvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(*inputs), its Jacobian times v). v is like the inputs and may be left out for one input
    of one element."""
    with enable_grad():
        several, given = _tensors(inputs, "inputs", "jvp")
        xs = _prepared(given, create_graph)
        text = (
            "The vector v can only be None if the input to the user-provided function is a single "
            "Tensor with a single element."
        )
        vs = _vector(v, xs, several, "jvp", text)
        many, outs = _outputs(func(*xs), "jvp", strict)
        us, gs = _pushed(outs, xs)
        _check_used(gs, strict, "The output")
        if create_graph:
            _check_depends(gs, strict, "jacobian") if strict and not _twice(gs, xs) else None
        live = [(g, w) for g, w in zip(gs, vs, strict=True) if g is not None and g.requires_grad]
        ts = _gradients(tuple([g for g, _ in live]), us, tuple([w for _, w in live]), create_graph)
        if create_graph and strict:
            _check_depends(ts, True, "jacobian")
        found = _filled(ts, outs)
    return _packed(_left(outs, create_graph), many), _packed(_left(found, create_graph), many)


def _twice(gs: tuple, xs: tuple) -> bool:
    return all(g is not None and g.requires_grad for g in gs)


def vhp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(*inputs), v times its Hessian) of a function that gives one element."""
    with enable_grad():
        several, given = _tensors(inputs, "inputs", "vhp")
        xs = _prepared(given, create_graph)
        outs, gs = _first_order(func, xs, "vhp", strict)
        text = (
            "The vector v can only be None if the input to the user-provided function is a single "
            "Tensor with a single element."
        )
        vs = _vector(v, xs, several, "vhp", text)
        _check_depends(gs, strict, "hessian")
        hs = _gradients(_filled(gs, xs), xs, vs, create_graph)
        _check_used(hs, strict, "The output")
        found = _filled(hs, xs)
    return _left(outs[0], create_graph), _packed(_left(found, create_graph), several)


def hvp(
    func: Callable, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple:
    """(func(*inputs), its Hessian times v) of a function that gives one element."""
    with enable_grad():
        several, given = _tensors(inputs, "inputs", "hvp")
        xs = _prepared(given, create_graph)
        text = (
            "The vector v can only be None if the input to the user-provided function is a single "
            "Tensor with a single element."
        )
        vs = _vector(v, xs, several, "hvp", text)
        outs, gs = _first_order(func, xs, "hvp", strict)
        _check_depends(gs, strict, "hessian")
        us, hs = _pushed(_filled(gs, xs), xs)
        live = [(h, w) for h, w in zip(hs, vs, strict=True) if h is not None and h.requires_grad]
        ts = _gradients(tuple([h for h, _ in live]), us, tuple([w for _, w in live]), create_graph)
        _check_used(ts, strict, "The output")
        found = _filled(ts, xs)
    return _left(outs[0], create_graph), _packed(_left(found, create_graph), several)


def _first_order(func: Callable, xs: tuple, where: str, strict: bool) -> tuple[tuple, tuple]:
    """(outputs, gradients with a history) of a function that gives one element."""
    many, outs = _outputs(func(*xs), where, strict)
    if many:
        raise RuntimeError(f"The function given to {where} should return a single Tensor")
    if outs[0].numel() != 1:
        raise RuntimeError(
            f"The Tensor returned by the function given to {where} should contain a single element"
        )
    gs = _gradients(outs, xs, (ones_like(outs[0]),), True)
    _check_used(gs, strict, "The output")
    return outs, gs


# ---------------------------------------------------------------- Jacobians


def jacobian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The Jacobian of func: [*output shape, *input shape], in a tuple per input and per output
    where these are tuples. vectorize: all rows in one backward, by vmap."""
    if strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your '
            'function has more outputs than inputs, "forward-mode" tends to be more performant. '
            'Otherwise, prefer to use "reverse-mode".'
        )
    if strategy == "forward-mode" and create_graph:
        raise NotImplementedError(
            "torch.autograd.functional.jacobian: `create_graph=True` and "
            '`strategy="forward-mode"` are not supported together (yet). Please either set '
            '`create_graph=False` or `strategy="reverse-mode"`.'
        )
    if vectorize and strict:
        raise RuntimeError(
            "torch.autograd.functional.jacobian: `strict=True` and `vectorized=True` are not "
            "supported together. Please either set `strict=False` or `vectorize=False`."
        )
    if strategy == "forward-mode" and not vectorize:
        raise NotImplementedError(
            "Computing Jacobian using forward-AD or forward-over-reverse Hessian is"
            "only implemented for `vectorize=True`."
        )
    with enable_grad():
        several, given = _tensors(inputs, "inputs", "jacobian")
        xs = _prepared(given, create_graph)
        many, outs = _outputs(func(*xs), "jacobian", strict)
        if strategy == "forward-mode":
            found = _columns(outs, xs)
        else:
            found = tuple(
                [
                    _rows_at_once(o, xs, create_graph)
                    if vectorize
                    else _rows(i, o, xs, create_graph, strict)
                    for i, o in enumerate(outs)
                ]
            )
        found = _left(found, create_graph)
    return _packed(tuple([_packed(row, several) for row in found]), many)


def _rows(i: int, out: Tensor, xs: tuple, create_graph: bool, strict: bool) -> tuple:
    rows: list[list] = [[] for _ in xs]
    flat = out.reshape(-1)  # type: ignore[attr-defined]
    for j in range(out.numel()):
        gs = _gradients((flat[j],), xs, (ones_like(flat[j]),), create_graph)
        _check_used(gs, strict, f"Output {i}")
        if create_graph:
            _check_depends(gs, strict, "jacobian")
        for row, g in zip(rows, _filled(gs, xs), strict=True):
            row.append(g)
    return tuple(
        [
            stack(row, 0).view((*out.shape, *x.shape))  # type: ignore[attr-defined]
            if row
            else zeros((*out.shape, *x.shape), dtype=x.dtype)
            for row, x in zip(rows, xs, strict=True)
        ]
    )


def _identity(t: Tensor) -> Tensor:
    """[n, *t.shape]: each of t's n elements 1 in turn."""
    n = t.numel()
    rows = zeros(n, n, dtype=t.dtype)
    rows.diagonal().fill_(1)  # type: ignore[attr-defined]
    return rows.reshape(n, *t.shape)  # type: ignore[attr-defined]


def _rows_at_once(out: Tensor, xs: tuple, create_graph: bool) -> tuple:
    def back(v: Tensor) -> tuple:
        return _filled(_gradients((out,), xs, (v,), create_graph), xs)

    rows = vmap(back)(_identity(out))
    return tuple([r.reshape((*out.shape, *x.shape)) for r, x in zip(rows, xs, strict=True)])


def _columns(outs: tuple, xs: tuple) -> tuple:
    us, gs = _pushed(outs, xs)
    per_input = []
    for g, x in zip(gs, xs, strict=True):

        def push(v: Tensor, g: Any = g) -> tuple:
            if g is None or not g.requires_grad:
                return tuple([zeros_like(o) for o in outs])
            return _filled(_gradients((g,), us, (v,), False), outs)

        columns = vmap(push)(_identity(x))
        per_input.append(
            [
                c.movedim(0, -1).reshape((*o.shape, *x.shape))
                for c, o in zip(columns, outs, strict=True)
            ]
        )
    return tuple([tuple(row) for row in zip(*per_input, strict=True)])


def hessian(
    func: Callable,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Second derivatives of a function that gives one element: [*shape, *shape], in a tuple of
    tuples for several inputs."""
    several, given = _tensors(inputs, "inputs", "hessian")
    if outer_jacobian_strategy not in ("forward-mode", "reverse-mode"):
        raise AssertionError('Expected strategy to be either "forward-mode" or "reverse-mode".')

    def gradient(*xs: Tensor) -> tuple:
        out = func(*xs)
        many, outs = _tensors(out, "outputs of the user-provided function", "hessian")
        if many:
            raise RuntimeError("The function given to hessian should return a single Tensor")
        if outs[0].numel() != 1:
            raise RuntimeError(
                "The Tensor returned by the function given to hessian should contain a single "
                "element"
            )
        _outputs(out, "jacobian", strict)
        gs = _gradients(outs, xs, (ones_like(outs[0]),), True)
        _check_used(gs, strict, "Output 0")
        _check_depends(gs, strict, "hessian")
        return _filled(gs, xs)

    found = jacobian(gradient, given, create_graph, strict, vectorize, outer_jacobian_strategy)
    return found if several else found[0][0]
