"""grad, vjp, jvp and the Jacobians: take a function, give functions of its derivatives.

All of them run the function under the tape that is there: each derivative has input tensors of its
own, so nested ones cannot be confused, and what is recorded stays differentiable for whoever asks
from outside. Forward mode is reverse mode of reverse mode: the gradient is linear in its cotangent
u, and the derivative of <gradient(u), v> by u is the Jacobian times v. Invariant: a result requires
a gradient only if something outside of the transform does.
Source: https://pytorch.org/docs/stable/func.api.html"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ..autograd.vmap import check_randomness, spec_text, vmap
from ..base import pytree
from ..core import tape
from ..core.layer import Element, Layer
from ..core.modes import STATE, enable_grad
from ..core.tensor import Tensor, alias
from ..creation import ones_like, zeros, zeros_like
from ..ops import movement

Argnums = Any  # int, or a tuple of ints


# ---------------------------------------------------------------- inputs and results


def _layer() -> Layer | None:
    tracer = STATE.tracer
    return tracer if tracer is not None and tracer.transforms else None


def _entered(x: Any) -> Tensor:
    """x as an input of one derivative: a tensor of its own that the tape leads back to x."""
    if not isinstance(x, Tensor):
        raise ValueError(f"Thing passed to transform API must be Tensor, got {type(x)}")
    layer = _layer()
    if layer is not None and not layer.owns(x):
        x = layer.element(x, False)
    if x.requires_grad:
        return movement.view(x, tuple(x.type_.shape))
    return alias(x).requires_grad_()


def _outside(t: Any, own: set[int]) -> bool:
    """Whether the history of t leads to a leaf other than `own`, here or below a vmap."""
    if not isinstance(t, Tensor):
        return False
    if type(t._trace) is Element and _outside(t._trace.value, set()):
        return True
    if not t.requires_grad:
        return False
    if t.grad_fn is None:
        return id(t) not in own and not t._done
    stack, seen = [t.grad_fn], {t.grad_fn}
    while stack:
        for edge in stack.pop().edges:
            if edge is None:
                continue
            to = edge[0]
            if isinstance(to, Tensor):
                if id(to) not in own and not to._done:
                    return True
            elif to not in seen:
                seen.add(to)
                stack.append(to)
    return False


class _Frame:
    """The inputs of one derivative, and whether its results may be differentiated again."""

    def __init__(self, inputs: list):
        self.again = STATE.grad
        with enable_grad():
            self.inputs = [_entered(x) for x in inputs]
        self.own = {id(t) for t in self.inputs if t.grad_fn is None}

    def done(self) -> None:
        """From here on nobody else asks for gradients by this derivative's inputs."""
        for t in self.inputs:
            if id(t) in self.own:
                t._done = True

    def left(self, t: Any) -> Any:
        """A tensor as it may be returned: without the history that ends in this derivative."""
        if not isinstance(t, Tensor) or not t.requires_grad:
            return t
        layer, here = _layer(), type(t._trace) is Element
        if here and layer is not None and not layer.owns(t):
            return t
        return t if self.again and self._here(t) else alias(t)

    def _here(self, t: Tensor) -> bool:
        if type(t._trace) is Element:
            bare = alias(t)
            bare._trace, bare._needs, bare._fn = None, t._needs, t.grad_fn
            return _outside(bare, self.own)
        return _outside(t, self.own)

    def outside(self, ts: list) -> bool:
        """Whether a gradient of ts may be asked for later."""
        return self.again and any(_outside(t, self.own) for t in ts)


def _backward(outs: list, cotangents: list, inputs: list, *, create: bool, retain: bool) -> list:
    """Gradients of outs by inputs, None where there is none."""
    pairs = [(o, c) for o, c in zip(outs, cotangents, strict=True) if o.requires_grad]
    if not pairs:
        return [None] * len(inputs)
    return tape.run_backward(
        [o for o, _ in pairs],
        [c for _, c in pairs],
        retain_graph=retain or create,
        create_graph=create,
        inputs=inputs,
        accumulate=False,
    )


def _like(t: Tensor) -> Tensor:
    with enable_grad():
        return zeros_like(t)


def _chosen(argnums: Argnums, args: tuple) -> tuple[list[int], Any]:
    """(positions, the arguments there): one for an int, a tuple for a tuple."""
    if not isinstance(argnums, (int, tuple)):
        raise RuntimeError(f"argnums must be int or Tuple[int, ...], got: {type(argnums)}")
    if isinstance(argnums, tuple):
        if not argnums:
            raise RuntimeError("argnums must be non-empty")
        if len(set(argnums)) != len(argnums):
            raise RuntimeError(f"argnums elements must be unique, got: {argnums}")
    at = []
    for k in (argnums,) if isinstance(argnums, int) else argnums:
        if not isinstance(k, int):
            raise RuntimeError(f"argnum must be int, got: {type(k)}")
        if not -len(args) <= k < len(args):
            raise RuntimeError(f"Got argnum={k}, but only {len(args)} positional inputs")
        at.append(k % len(args))
    return at, args[at[0]] if isinstance(argnums, int) else tuple(args[k] for k in at)


def _replaced(args: tuple, at: list[int], argnums: Argnums, values: Any) -> tuple:
    out = list(args)
    for k, v in zip(at, (values,) if isinstance(argnums, int) else values, strict=True):
        out[k] = v
    return tuple(out)


def _split_aux(out: Any, what: str) -> tuple:
    if not (isinstance(out, tuple) and len(out) == 2):
        raise RuntimeError(
            f"{what}: output of function f should be a tuple: (output, aux) if has_aux is True"
        )
    for t in pytree.flatten(out[1])[0]:
        if not isinstance(t, Tensor):
            raise RuntimeError(f"Expected tensors, got unsupported type {type(t)}")
    return out


def _only_tensors(out: Any, what: str) -> tuple[list, Any]:
    flat, spec = pytree.flatten(out)
    if not flat:
        raise RuntimeError(f"{what} to be a non-empty tuple of tensors")
    for t in flat:
        if not isinstance(t, Tensor):
            raise RuntimeError(f"{what} to return only tensors, got unsupported type {type(t)}")
    return flat, spec


# ---------------------------------------------------------------- grad


def _grad_and_value(func: Callable, argnums: Argnums, has_aux: bool, args: tuple, kw: dict) -> Any:
    what = "grad_and_value(f)(*args)"
    at, chosen = _chosen(argnums, args)
    flat, spec = pytree.flatten(chosen)
    frame = _Frame(flat)
    with enable_grad():
        mine = pytree.unflatten(frame.inputs, spec)
        out = func(*_replaced(args, at, argnums, mine), **kw)
        aux = None
        if has_aux:
            out, aux = _split_aux(out, what)
        if not isinstance(out, Tensor):
            raise RuntimeError(f"{what}: Expected f(*args) to return a Tensor, got {type(out)}")
        if out.ndim:
            raise RuntimeError(
                f"{what}: Expected f(*args) to return a scalar Tensor, got tensor with {out.ndim} "
                "dims. Maybe you wanted to use the vjp or jacrev APIs instead?"
            )
        held = [out, *pytree.flatten(aux)[0]]
        again = frame.outside(held)
        found = _backward([out], [ones_like(out)], frame.inputs, create=again, retain=again)
        grads = [
            _like(x) if g is None else frame.left(g)
            for g, x in zip(found, frame.inputs, strict=True)
        ]
    value = frame.left(out)
    frame.done()
    return (
        pytree.unflatten(grads, spec),
        (value, pytree.tree_map(frame.left, aux)) if has_aux else value,
    )


def grad(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """The gradient of a scalar function by its arguments `argnums`: like them in structure.

    With has_aux func returns (output, aux), and the result is (gradient, aux). RuntimeError when
    the output is no 0-d tensor."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found, value = _grad_and_value(func, argnums, has_aux, args, kwargs)
        return (found, value[1]) if has_aux else found

    return wrapped


def grad_and_value(func: Callable, argnums: Argnums = 0, has_aux: bool = False) -> Callable:
    """As grad; gives (gradient, output), with has_aux (gradient, (output, aux))."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return _grad_and_value(func, argnums, has_aux, args, kwargs)

    return wrapped


# ---------------------------------------------------------------- vjp and jvp


def vjp(func: Callable, *primals: Any, has_aux: bool = False) -> tuple:
    """(output, vjp_fn[, aux]): vjp_fn(cotangents) gives the gradients of <output, cotangents> by
    the primals, as one value for one primal, else as a tuple. It can be called again."""
    flat, spec = pytree.flatten(primals)
    frame = _Frame(flat)
    with enable_grad():
        out = func(*pytree.unflatten(frame.inputs, spec))
        aux = None
        if has_aux:
            out, aux = _split_aux(out, "vjp(f, *primals)")
        outs, out_spec = _only_tensors(out, "vjp(f, *primals): expected f(*primals)")
    reach = frame.outside(outs)
    frame.done()

    def vjp_fn(cotangents: Any, retain_graph: bool = True, create_graph: bool | None = None) -> Any:
        given, given_spec = pytree.flatten(cotangents)
        if given_spec != out_spec:
            raise RuntimeError(
                "Expected pytree structure of cotangents to be the same as pytree structure of "
                f"outputs to the function. cotangents: {_shown(given_spec)}, primal output: "
                f"{_shown(out_spec)}"
            )
        for i, (o, c) in enumerate(zip(outs, given, strict=True)):
            if tuple(c.shape) != tuple(o.shape):
                raise RuntimeError(
                    f"Mismatch in shape: grad_output[{i}] has a shape of {c.shape} and "
                    f"output[{i}] has a shape of {o.shape}."
                )
        create = create_graph
        if create is None:
            create = STATE.grad and (reach or any(_outside(c, set()) for c in given))
        found = _backward(outs, given, frame.inputs, create=create, retain=retain_graph)
        grads = [
            _like(x) if g is None else _left(frame, g, create)
            for g, x in zip(found, frame.inputs, strict=True)
        ]
        result = pytree.unflatten(grads, spec)
        return result if len(result) != 1 else result[0] if len(primals) == 1 else result

    def single(cotangents: Any, **options: Any) -> Any:
        found = vjp_fn(cotangents, **options)
        return found if len(primals) > 1 else (found,)

    value = pytree.unflatten([frame.left(t) for t in outs], out_spec)
    if has_aux:
        return value, single, pytree.tree_map(frame.left, aux)
    return value, single


def _left(frame: _Frame, g: Tensor, create: bool) -> Tensor:
    before, frame.again = frame.again, create
    try:
        return frame.left(g)
    finally:
        frame.again = before


def _shown(spec: Any) -> str:
    if isinstance(spec, pytree.Leaf):
        return "*"
    parts = [_shown(c) for c in spec.children]
    if issubclass(spec.type, dict):
        pairs = zip(spec.context, parts, strict=True)
        return "{" + ", ".join(f"{k!r}: {p}" for k, p in pairs) + "}"
    if spec.type is list:
        return "[" + ", ".join(parts) + "]"
    return "(" + ", ".join(parts) + ("," if len(parts) == 1 else "") + ")"


class _Linear:
    """A function at one point, ready to be applied to tangents: its gradient by u, kept."""

    def __init__(self, func: Callable, primals: tuple, has_aux: bool, what: str):
        flat, self.spec = pytree.flatten(primals)
        if not flat or not any(isinstance(t, Tensor) for t in flat):
            raise RuntimeError(f"{what}: Expected primals to contain at least one Tensor.")
        for t in flat:
            if isinstance(t, Tensor) and t.dtype.category < 2:
                raise ValueError(
                    f"Expected primal to be floating point or complex, but got: {t.dtype}"
                )
        self.frame = _Frame(flat)
        with enable_grad():
            out = func(*pytree.unflatten(self.frame.inputs, self.spec))
            self.aux = None
            if has_aux:
                out, self.aux = _split_aux(out, what)
            self.outs, self.out_spec = _only_tensors(out, f"{what}: expected f(*primals)")
            self.us = [_entered(zeros_like(t)) if t.requires_grad else None for t in self.outs]
            live = [(t, u) for t, u in zip(self.outs, self.us, strict=True) if u is not None]
            grads = _backward(
                [t for t, _ in live],
                [u for _, u in live],
                self.frame.inputs,
                create=True,
                retain=True,
            )
        self.reach = self.frame.outside(self.outs)
        self.frame.inputs += [u for u in self.us if u is not None]
        self.frame.own |= {id(u) for u in self.us if u is not None}
        self.frame.done()
        self.grads = [(i, g) for i, g in enumerate(grads) if g is not None and g.requires_grad]

    def value(self) -> Any:
        return pytree.unflatten([self.frame.left(t) for t in self.outs], self.out_spec)

    def tangent(self, tangents: list, strict: str = "") -> Any:
        """The outputs' tangents."""
        us = [u for u in self.us if u is not None]
        vs = [tangents[i] for i, _ in self.grads]
        create = STATE.grad and (self.reach or any(_outside(v, set()) for v in vs))
        found: list = [None] * len(us)
        if self.grads and us:
            with enable_grad():
                found = _backward([g for _, g in self.grads], vs, us, create=create, retain=True)
        it = iter(found)
        out = []
        for t, u in zip(self.outs, self.us, strict=True):
            g = None if u is None else next(it)
            if g is None and strict:
                raise RuntimeError(strict)
            out.append(_like(t.detach()) if g is None else _left(self.frame, g, create))  # type: ignore
        return pytree.unflatten(out, self.out_spec)


def jvp(
    func: Callable, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False
) -> tuple:
    """(output, tangent[, aux]): the directional derivative of func at primals along tangents, two
    tuples alike. strict: RuntimeError when an output does not depend on the inputs. Inside func
    no_grad cuts tangents, as it cuts gradients (PyTorch's forward mode passes through it)."""
    what = "jvp(f, primals, tangents)"
    if not isinstance(primals, tuple):
        raise RuntimeError(
            f"{what}: Expected primals to be a tuple. E.g. it should be valid to call f(*primals)."
        )
    flat, spec = pytree.flatten(primals)
    vs, v_spec = pytree.flatten(tangents)
    if spec != v_spec:
        raise RuntimeError(
            f"{what}: Expected primals and tangents to have the same python structure. For "
            "example, if primals is a tuple of 3 tensors, tangents also must be. Got primals with "
            f"structure {spec_text(spec)} and tangents with structure {spec_text(v_spec)}"
        )
    for x, v in zip(flat, vs, strict=True):
        for t, name in ((x, "primals"), (v, "tangents")):
            if not isinstance(t, Tensor):
                raise RuntimeError(
                    f"{what}: Expected {name} to be a tuple of Tensors, got type {type(t)}"
                )
        if tuple(x.shape) != tuple(v.shape):
            raise RuntimeError(
                "Trying to set a forward gradient that has a different size than that of the "
                f"original Tensor, this is not supported. Tensor is of size {list(x.shape)} while "
                f"the given forward gradient is of size {list(v.shape)}."
            )
    linear = _Linear(func, primals, has_aux, what)
    text = (
        "jvp(f, primals, tangents, strict=True): The output of f is independent of the inputs. "
        "This is not allowed with strict=True."
    )
    out = linear.tangent(vs, text if strict else "")
    if has_aux:
        return linear.value(), out, pytree.tree_map(linear.frame.left, linear.aux)
    return linear.value(), out


def linearize(func: Callable, *primals: Any) -> tuple:
    """(output, jvp_fn): jvp_fn(*tangents) gives the output's tangents at the primals, without
    running func again."""
    linear = _Linear(func, primals, False, "linearize(f, *primals)")
    flat = pytree.flatten(primals)[0]

    def jvp_fn(*tangents: Any) -> Any:
        vs, spec = pytree.flatten(tangents)
        if spec != linear.spec:
            raise RuntimeError(
                f"Expected the tangents {spec_text(spec)} to have the same argspec as the primals "
                f"{spec_text(linear.spec)}"
            )
        for i, (x, v) in enumerate(zip(flat, vs, strict=True)):
            for name in ("shape", "dtype"):
                a, b = getattr(v, name), getattr(x, name)
                if a != b:
                    raise RuntimeError(
                        f"tangent:{i} with {name} {a} in flattened pytree doesn't match the "
                        f"{name} {b} of the corresponding primal."
                    )
        return linear.tangent(vs)

    return linear.value(), jvp_fn


# ---------------------------------------------------------------- Jacobians


def _basis(ts: list) -> list:
    """Rows of the identity over all elements of ts together: per tensor [N, *shape]."""
    total = sum(t.numel() for t in ts)
    out, start = [], 0
    for t in ts:
        n = t.numel()
        rows = zeros(total, n, dtype=t.dtype)
        rows.narrow(0, start, n).diagonal().fill_(1)  # type: ignore[attr-defined]
        out.append(rows.reshape(total, *t.shape))  # type: ignore[attr-defined]
        start += n
    return out


def jacrev(
    func: Callable,
    argnums: Argnums = 0,
    *,
    has_aux: bool = False,
    chunk_size: int | None = None,
    _preallocate_and_copy: bool = False,
) -> Callable:
    """The Jacobian of func by reverse mode, one backward for all rows (or chunk_size at a time):
    per output and argument a tensor [*output shape, *argument shape]."""
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError("jacrev: `chunk_size` should be greater than 0.")

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        at, chosen = _chosen(argnums, args)

        def inner(x: Any) -> Any:
            return func(*_replaced(args, at, argnums, x), **kwargs)

        found = vjp(inner, chosen, has_aux=has_aux)
        flat, spec = _only_tensors(found[0], "jacrev(f)(*args): expected f(*args)")
        xs, x_spec = pytree.flatten(chosen)
        with enable_grad():
            basis = pytree.unflatten(_basis(flat), spec)
        rows = vmap(found[1], chunk_size=chunk_size)(basis)[0]
        per_input = pytree.flatten(rows)[0]
        sizes = [t.numel() for t in flat]
        out = []
        for t, *parts in zip(flat, *[r.split(sizes) for r in per_input], strict=True):
            blocks = [p.reshape((*t.shape, *x.shape)) for p, x in zip(parts, xs, strict=True)]
            out.append(pytree.unflatten(blocks, x_spec))
        result = pytree.unflatten(out, spec)
        return (result, found[2]) if has_aux else result

    return wrapped


def jacfwd(
    func: Callable, argnums: Argnums = 0, has_aux: bool = False, *, randomness: str = "error"
) -> Callable:
    """The Jacobian of func by forward mode, column by column; results as jacrev's."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        check_randomness(randomness)
        at, chosen = _chosen(argnums, args)
        xs, x_spec = pytree.flatten(chosen)

        def inner(x: Any) -> Any:
            return func(*_replaced(args, at, argnums, x), **kwargs)

        def push(v: Any) -> Any:
            found = jvp(inner, (chosen,), (v,), has_aux=has_aux)
            return found[1:] if has_aux else found[1]

        with enable_grad():
            basis = pytree.unflatten(_basis(xs), x_spec)
        found = vmap(push, randomness=randomness)(basis)
        columns, aux = found if has_aux else (found, None)
        flat, spec = pytree.flatten(columns)
        sizes = [x.numel() for x in xs]
        out = []
        for c in flat:
            parts = c.movedim(0, -1).split(sizes, -1)
            blocks = [p.reshape((*c.shape[1:], *x.shape)) for p, x in zip(parts, xs, strict=True)]
            out.append(pytree.unflatten(blocks, x_spec))
        result = pytree.unflatten(out, spec)
        if has_aux:
            return result, pytree.tree_map(lambda t: t.select(0, 0), aux)
        return result

    return wrapped


def hessian(func: Callable, argnums: Argnums = 0) -> Callable:
    """Second derivatives of a scalar function: forward mode over reverse mode."""
    return jacfwd(jacrev(func, argnums), argnums)


def functionalize(func: Callable, *, remove: str = "mutations") -> Callable:
    """func with the same results and the same changes of its inputs. graphc's capture takes
    mutation out of programs by itself, so there is nothing to rewrite.

    Raises RuntimeError for an unknown `remove`."""
    if remove not in ("mutations", "mutations_and_views"):
        raise RuntimeError(
            f"functionalize(f, remove='mutations'): received invalid argument for `remove`: "
            f"expected 'mutations' or 'mutations_and_views', got {remove!r}"
        )

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapped
