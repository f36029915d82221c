"""Constructors of Op records: one short call per operator family, with the family's type rule,
executor conventions and lowering filled in. Invariant: what a call here leaves out has one obvious
default."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import from_numpy_dtype
from ..core import dispatch
from ..ir.op import Make, Op, Sample, register
from ..ir.types import TensorType, broadcast_shapes, pointwise_strides

SHAPES = ((3, 4), (), (2, 1, 3))


def _names(fn: Callable, skip: int) -> tuple[tuple[str, ...], tuple]:
    """(parameter names after the first `skip`, their defaults)."""
    params = list(inspect.signature(fn).parameters.values())[skip:]
    return (
        tuple(p.name for p in params),
        tuple(p.default for p in params if p.default is not p.empty),
    )


# ---------------------------------------------------------------- pointwise


def pointwise(
    name: str,
    eager: Callable | None = None,
    *,
    inputs: tuple[str, ...] = ("input",),
    attrs: tuple[str, ...] = (),
    defaults: tuple = (),
    out: Any = "promote",
    vjp: list | None = None,
    lower: Callable | None = None,
    samples: Any = None,
    backward_name: str = "",
    native: str = "",
    doc: str = "",
    **extra: Any,
) -> Op:
    """An elementwise op. `eager` defaults to the native array kernel gc_v_<native or name>_*,
    `lower` to the scalar function gc_<native or name>_*; `out` is the dtype rule (see ir.op.Op)."""
    from .kernels import native_pointwise

    native = native or name
    op = Op(
        name,
        "pointwise",
        inputs=inputs,
        attrs=attrs,
        defaults=defaults,
        dtype_rule=out,
        eager=eager or native_pointwise(native, len(inputs)),
        vjp=vjp,
        lower=lower or _apply_lower(native),
        samples=samples,
        backward_name=backward_name,
        native_name=native,
        doc=doc,
        **extra,
    )
    op.infer = _pointwise_infer(op)
    return register(op)


def _apply_lower(native: str) -> Callable:
    def lower(*args: Any) -> Any:
        from ..ir.loop import Apply

        dtype = next(a.dtype for a in args if hasattr(a, "dtype"))
        return Apply(native, args, dtype)

    return lower


def _pointwise_infer(op: Op) -> Callable:
    """Type rule over TensorTypes and Python numbers."""
    n = len(op.inputs)

    def infer(*args: Any) -> TensorType:
        operands = args[:n]
        keys = tuple(
            [
                (t.dtype if t.shape else t.dtype.zero_dim)
                if isinstance(t, TensorType)
                else dispatch.number_type(t)
                for t in operands
            ]
        )
        plan = dispatch.plan_of(op, keys)
        types = [t for t in operands if isinstance(t, TensorType)]
        shape = broadcast_shapes(*[t.shape for t in types])
        strides = pointwise_strides(shape, [(t.shape, t.strides) for t in types])
        return TensorType(shape, plan.out, strides, types[0].device)

    return infer


# ---------------------------------------------------------------- the other kinds


def _make(
    kind: str,
    name: str,
    eager: Any,
    infer: Callable,
    *,
    inputs: tuple[str, ...],
    vjp: Any,
    lower: Any,
    samples: Any,
    **extra: Any,
) -> Op:
    attrs, defaults = _names(infer, 1 if inputs and inputs[0].startswith("*") else len(inputs))
    accepts = extra.pop("accepts", None)
    if accepts is not None:
        eager, infer = _accepting(name, eager, accepts), _accepting(name, infer, accepts)
    return register(
        Op(
            name,
            kind,
            inputs=inputs,
            attrs=attrs,
            defaults=defaults,
            infer=infer,
            eager=eager,
            vjp=vjp,
            lower=lower,
            samples=samples,
            **extra,
        )
    )


FLOATS = (dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128)
REALS, COMPLEXES = FLOATS[:2], FLOATS[2:]


def _accepting(name: str, fn: Callable, accepts: tuple) -> Callable:
    """fn (a kernel or a type rule) for operands of these dtypes only: PyTorch's
    NotImplementedError for others."""

    def run(*args: Any) -> Any:
        for a in args:
            if isinstance(a, np.ndarray):
                d = from_numpy_dtype(a.dtype)
            elif isinstance(a, TensorType):
                d = a.dtype
            else:
                continue
            if d not in accepts:
                raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{d.title}'")
        return fn(*args)

    return run


def movement(
    name: str,
    eager: Callable,
    infer: Callable,
    *,
    vjp: Any,
    lower: Callable,
    samples: Any,
    view: bool = True,
    **extra: Any,
) -> Op:
    """A pure index map of one input: `infer(t, *attrs)`, `lower(out_index, input_type, *attrs)`
    gives the input's coordinates. Attribute names are those of `infer`."""
    return _make(
        "movement",
        name,
        eager,
        infer,
        inputs=("input",),
        vjp=vjp,
        lower=lower,
        samples=samples,
        view=view,
        **extra,
    )


def reduction(
    name: str, eager: Callable, infer: Callable, *, vjp: Any, lower: str, samples: Any, **extra: Any
) -> Op:
    """A reduction over attributes (dims, keepdim); `lower` names the combination."""
    return _make(
        "reduce",
        name,
        eager,
        infer,
        inputs=("input",),
        vjp=vjp,
        lower=lower,
        samples=samples,
        half="float32",
        **extra,
    )


def contract(
    name: str,
    eager: Callable,
    infer: Callable,
    *,
    inputs: tuple[str, ...],
    vjp: Any,
    samples: Any,
    lower: str = "gemm",
    **extra: Any,
) -> Op:
    """A product over a shared axis; `lower` names the native routine."""
    return _make(
        "contract",
        name,
        eager,
        infer,
        inputs=inputs,
        vjp=vjp,
        lower=lower,
        samples=samples,
        half="float32",
        **extra,
    )


def gather(
    name: str,
    eager: Callable,
    infer: Callable,
    *,
    inputs: tuple[str, ...],
    vjp: Any,
    lower: Callable,
    samples: Any,
    **extra: Any,
) -> Op:
    """Output element -> expression over loads: `lower(out_index, loads, types, *attrs)`."""
    return _make(
        "gather", name, eager, infer, inputs=inputs, vjp=vjp, lower=lower, samples=samples, **extra
    )


def scatter(
    name: str,
    eager: Callable,
    infer: Callable,
    *,
    inputs: tuple[str, ...],
    vjp: Any,
    lower: Callable,
    combine: str,
    space: Callable,
    samples: Any,
    **extra: Any,
) -> Op:
    """Updates written into a copy of input 0, in ascending order of the update index."""
    return _make(
        "scatter",
        name,
        eager,
        infer,
        inputs=inputs,
        vjp=vjp,
        lower=lower,
        samples=samples,
        combine=combine,
        space=space,
        **extra,
    )


def scan(
    name: str, eager: Callable, infer: Callable, *, vjp: Any, lower: str, samples: Any, **extra: Any
) -> Op:
    """A running combination along attribute `dim`."""
    return _make(
        "scan",
        name,
        eager,
        infer,
        inputs=("input",),
        vjp=vjp,
        lower=lower,
        samples=samples,
        half="float32",
        **extra,
    )


def random(
    name: str, eager: Callable, infer: Callable, *, lower: Callable, samples: Any, **extra: Any
) -> Op:
    """Fresh random values: attributes (shape, dtype, draw, ...); `lower(i, seed, offset,
    *rest)`."""
    return _make(
        "random", name, eager, infer, inputs=(), vjp=None, lower=lower, samples=samples, **extra
    )


def opaque(
    name: str,
    eager: Callable,
    infer: Callable,
    *,
    inputs: tuple[str, ...],
    vjp: Any = None,
    samples: Any,
    **extra: Any,
) -> Op:
    """An op without lowering: runs through Python between generated segments."""
    if extra.get("half") == "float32":
        eager = _widening(eager)
    return _make(
        "opaque", name, eager, infer, inputs=inputs, vjp=vjp, lower=None, samples=samples, **extra
    )


def native(
    name: str,
    eager: Callable,
    infer: Callable,
    *,
    inputs: tuple[str, ...],
    lower: Callable,
    vjp: Any = None,
    samples: Any,
    **extra: Any,
) -> Op:
    """An op that one function of the native library computes, for eager mode and programs alike.

    `lower(shapes, dtypes, *attrs)` -> (the function's name, the whole numbers that it reads), for
    inputs that are None too; or None where no function serves: programs then run the op as an
    opaque one. What the function gets: `kernels.call`. half="float32" as for opaque ops."""
    if extra.get("half") == "float32":
        eager = _widening(eager)
    return _make(
        "native", name, eager, infer, inputs=inputs, vjp=vjp, lower=lower, samples=samples, **extra
    )


def _widening(eager: Callable) -> Callable:
    """The kernel for raw half arrays, as compiled programs hand them over: through float32,
    rounded once."""

    def run(*args: Any) -> Any:
        half = next(
            (
                d
                for a in args
                if isinstance(a, np.ndarray) and (d := from_numpy_dtype(a.dtype)).is_half
            ),
            None,
        )
        if half is None:
            return eager(*args)
        wide = [
            dispatch.cast_array(a, half, dtypes.float32)
            if isinstance(a, np.ndarray) and a.dtype == half.np
            else a
            for a in args
        ]
        found = eager(*wide)

        def back(r: np.ndarray) -> np.ndarray:
            return dispatch.cast_array(r, dtypes.float32, half) if r.dtype == np.float32 else r

        return tuple(back(r) for r in found) if type(found) is tuple else back(found)

    return run


def composite(
    name: str,
    body: Callable,
    *,
    inputs: tuple[str, ...],
    samples: Any,
    eager: Callable | None = None,
    infer: Callable | None = None,
    vjp: Any = None,
    **extra: Any,
) -> Op:
    """A function written in Tensor ops. With `eager` (a native kernel that gives the same bits)
    and `vjp` it is one tape entry; without, gradients flow through the body."""
    attrs, defaults = _names(body, 1 if inputs[0].startswith("*") else len(inputs))
    return register(
        Op(
            name,
            "composite",
            inputs=inputs,
            attrs=attrs,
            defaults=defaults,
            infer=infer,
            eager=eager,
            body=body,
            vjp=vjp,
            samples=samples,
            **extra,
        )
    )


# ---------------------------------------------------------------- samples


def unary(
    lo: float = -2.0,
    hi: float = 2.0,
    dtypes: Iterable[str] = ("float32", "float64"),
    grad: bool = True,
    special: bool = True,
) -> Callable[[], list[Sample]]:
    """Samples of a unary elementwise op: shapes and layouts, the dtypes, special values."""

    def samples() -> list[Sample]:
        out = [Sample((Make(s, d, lo, hi),), grad=grad) for s in SHAPES for d in dtypes]
        first = next(iter(dtypes))
        out += [
            Sample((Make((4, 6), first, lo, hi, layout=k),), grad=grad)
            for k in ("T", "strided", "offset", "expanded")
        ]
        out += [Sample((Make((0, 3), first),), grad=False)]
        if special and "float32" in dtypes:
            out += [
                Sample((Make((40,), d, values="special"),), grad=False)
                for d in ("float32", "float64")
            ]
        if "float32" in dtypes:
            out += [Sample((Make((5,), d, lo, hi),), grad=False) for d in ("float16", "bfloat16")]
        return out

    return samples


def binary(
    lo: float = -2.0,
    hi: float = 2.0,
    dtypes: Iterable[str] = ("float32", "float64", "int64"),
    grad: bool = True,
    special: bool = True,
    other_lo: float | None = None,
    scalar: Any = 1.5,
) -> Callable[[], list[Sample]]:
    """Samples of a binary elementwise op: same shapes, broadcasting both ways, scalars, mixed
    dtypes."""
    lo2 = lo if other_lo is None else other_lo

    def samples() -> list[Sample]:
        out = []
        for d in dtypes:
            g = grad and d.startswith("float")
            for a, b in (
                ((3, 4), (3, 4)),
                ((2, 3, 4), (4,)),
                ((3, 1), (1, 4)),
                ((), (3,)),
                ((0, 2), (1, 2)),
            ):
                out.append(Sample((Make(a, d, lo, hi), Make(b, d, lo2, hi)), grad=g and 0 not in a))
        out.append(
            Sample((Make((4, 6), lo=lo, hi=hi, layout="T"), Make((4, 6), lo=lo2, hi=hi)), grad=grad)
        )
        out.append(
            Sample(
                (
                    Make((4, 6), lo=lo, hi=hi, layout="strided"),
                    Make((6,), lo=lo2, hi=hi, layout="offset"),
                ),
                grad=grad,
            )
        )
        if scalar is not None:
            out.append(Sample((Make((3, 4), lo=lo, hi=hi), scalar), grad=grad))
        out.append(
            Sample((Make((3,), "float32", lo, hi), Make((3,), "float64", lo2, hi)), grad=False)
        )
        out.append(
            Sample((Make((3,), "float16", lo, hi), Make((3,), "float16", lo2, hi)), grad=False)
        )
        out.append(
            Sample((Make((3,), "bfloat16", lo, hi), Make((3,), "float32", lo2, hi)), grad=False)
        )
        if special and "float32" in dtypes:
            out += [
                Sample(
                    (Make((24, 1), d, values="special"), Make((24,), d, values="special")),
                    grad=False,
                )
                for d in ("float32", "float64")
            ]
        out.append(
            Sample(
                (Make((2,)), Make((3,))),
                grad=False,
                name="shape error",
                error=(
                    RuntimeError,
                    "The size of tensor a (2) must match the size of tensor b (3) "
                    "at non-singleton dimension 0",
                ),
            )
        )
        return out

    return samples
