"""The funnel. Every operator call goes through `apply(op, inputs, attrs)`: the tape sits above the
executor, the capture switch below the tape, so whatever runs can be differentiated and captured.

Takes tensors (pointwise ops also Python numbers), gives tensors. Invariant: executors never see
Tensor methods, tape code never sees arrays.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..base import dtypes
from ..base.dtypes import DType
from ..base.errors import with_user_line
from ..ir import op as op_module
from ..ir.op import Op
from ..ir.types import broadcast_shapes, overlaps, pointwise_strides
from ..native import library
from . import tape
from .modes import STATE
from .storage import INFERENCE, TRACKED
from .tensor import Tensor, view_of, wrap

_NUMBERS = (int, float, bool, complex)


def apply(op: Op, inputs: tuple, attrs: tuple = ()) -> Any:
    """Runs one op and records it on the tape when an input requires a gradient.

    Returns a Tensor, or a tuple of them for ops with several outputs. Raises the op's own errors,
    with the user's line added as a note."""
    tracer = STATE.tracer
    if tracer is None:
        if STATE.watch is not None:
            return _watched(op, inputs, attrs)
    elif tracer.transforms:
        return tracer.run(op, inputs, attrs)
    needs = False
    if STATE.grad:
        for t in inputs:
            if isinstance(t, Tensor) and (
                t._needs or t._storage.flags & TRACKED and t.requires_grad
            ):
                needs = True
                break
    try:
        if op.body is not None:
            if op.extra.get("half") == "wide" and (half := _half_of(inputs)) is not None:
                return _widen(op, inputs, attrs, half)
            if op.eager is None or (needs and op.vjp is None):
                return op.body(*(inputs if not op.variadic else (inputs,)), *attrs)
        if tracer is not None:
            out = tracer.apply(op, inputs, attrs)
        elif op.kind == "pointwise":
            try:
                out = run_pointwise(op, inputs, attrs)
            except (
                RuntimeWarning
            ):  # numpy's inf and nan warnings, where the user turned them to errors
                with np.errstate(all="ignore"):
                    out = run_pointwise(op, inputs, attrs)
        else:
            out = run(op, inputs, attrs)
    except (RuntimeError, IndexError, TypeError, ValueError, NotImplementedError) as e:
        raise with_user_line(e) from None
    except AttributeError:
        if (gone := escaped(inputs)) is not None:
            raise with_user_line(gone) from None
        raise
    if needs and op.vjp is not None:
        tape.record(op, inputs, attrs, out)
    elif not STATE.grad:
        _made_without_grad(op, out)
    return out


def _watched(op: Op, inputs: tuple, attrs: tuple) -> Any:
    """One op under a watch, which sees the outermost one only: a composite counts as one op."""
    watch, STATE.watch = STATE.watch, None
    watch.since = time.perf_counter_ns()
    try:
        out = apply(op, inputs, attrs)
    finally:
        STATE.watch = watch
    watch.ran(op, inputs, attrs, out)
    return out


def _made_without_grad(op: Op, out: Any) -> None:
    """Marks views and inference tensors: later in-place writes to them are refused."""
    if op.view:
        for t in out if type(out) is tuple else (out,):
            if t._base is not None:
                t._no_grad_view = True
    elif STATE.inference:
        for t in out if type(out) is tuple else (out,):
            if t is not None:
                t._storage.flags |= INFERENCE


op_module.APPLY[:] = [apply]


def escaped(inputs: tuple) -> RuntimeError | None:
    """The error for a tensor of a vmap that is used where that does not run: it has no value."""
    for t in inputs:
        if isinstance(t, Tensor) and t._array is None and hasattr(t._trace, "layer"):
            return RuntimeError(
                "a tensor made inside vmap is used outside of it; return it from the function "
                "that vmap maps"
            )
    return None


def _half_of(inputs: tuple) -> DType | None:
    for t in inputs:
        if isinstance(t, Tensor) and t.dtype.is_half:
            return t.dtype
    return None


def _widen(op: Op, inputs: tuple, attrs: tuple, half: DType) -> Any:
    """A composite on half tensors: cast up, run in float32, round its floating results back
    once."""
    wide = tuple(
        [
            t.to(dtypes.float32) if isinstance(t, Tensor) and t.dtype.is_half else t  # type: ignore
            for t in inputs
        ]
    )
    out = apply(op, wide, attrs)
    if type(out) is tuple:
        return tuple([t.to(half) if t.dtype is dtypes.float32 else t for t in out])
    return out.to(half) if out.dtype is dtypes.float32 else out


# ---------------------------------------------------------------- pointwise executor


class Plan:
    """How a pointwise op runs for one combination of operand kinds: numpy dtype per input, the
    dtype of the result, and whether it is computed in float32 and rounded (half types)."""

    __slots__ = ("inputs", "np_inputs", "np_types", "out", "half", "complex")

    def __init__(self, inputs: tuple[DType, ...], out: DType):
        self.inputs, self.out = inputs, out
        self.complex = out.is_complex or any(d.is_complex for d in inputs)
        self.half = any(d.is_half for d in inputs) or out.is_half
        run_in = tuple(d.compute for d in inputs)
        self.np_inputs = tuple(d.np for d in run_in)
        self.np_types = tuple(d.np.type for d in run_in)


def operand_keys(inputs: tuple) -> tuple:
    """What type promotion looks at, per operand."""
    keys = []
    for t in inputs:
        if isinstance(t, Tensor):
            keys.append(t.dtype if t.ndim else t.dtype.zero_dim)
        else:
            keys.append(number_type(t))
    return tuple(keys)


def number_type(x: Any) -> Any:
    """bool, int, float or complex: the kind of a Python number, numpy number or run-time scalar."""
    t = type(x)
    if t in _NUMBERS:
        return t
    kind = getattr(x, "number_type", None)  # run-time scalars say what they stand for
    if kind is not None:
        return kind
    for cls, np_cls in (
        (bool, np.bool_),
        (int, np.integer),
        (float, np.floating),
        (complex, np.complexfloating),
    ):
        if isinstance(x, (cls, np_cls)):
            return cls
    raise TypeError(f"unsupported operand type for a tensor operation: {type(x).__name__!r}")


def plan_of(op: Op, keys: tuple) -> Plan:
    """The cached Plan of a pointwise op for operand keys."""
    key = (keys, dtypes._default)
    found = op.plans.get(key)
    if found is None:
        found = _plan(op, keys)
        if found.complex:
            _check_complex(op, found)
        op.plans[key] = found
    return found


def _check_complex(op: Op, plan: Plan) -> None:
    """An op's record says under `complex` what computes it on complex arrays, or which error
    PyTorch raises: (type, text)."""
    found = op.extra.get("complex")
    if callable(found):
        return
    d = next(d for d in (*plan.inputs, plan.out) if d.is_complex)
    if found is None:
        raise NotImplementedError(f"\"{op.name}_cpu\" not implemented for '{d.title}'")
    raise found[0](found[1])


def _plan(op: Op, keys: tuple) -> Plan:
    rule: Any = op.dtype_rule
    if callable(rule):
        ins, out = rule(keys)
        return Plan(tuple(ins), out)
    common = dtypes.result_of_keys(keys)
    if rule == "float" and common.category < dtypes.FLOAT:
        common = dtypes.get_default_dtype()
    out = dtypes.bool_ if rule == "bool" else common
    return Plan((common,) * len(keys), out)


def run_pointwise(op: Op, inputs: tuple, attrs: tuple, out: np.ndarray | None = None) -> Any:
    """Eager pointwise execution on the CPU; `out` takes the result when it fits exactly."""
    keys = []
    for t in inputs:
        if isinstance(t, Tensor):
            a = t._array
            keys.append(t.dtype if a.ndim else t.dtype.zero_dim)
        else:
            keys.append(number_type(t))
    plan = plan_of(op, tuple(keys))
    arrays: list = []
    for i, t in enumerate(inputs):
        want = plan.np_inputs[i]
        if isinstance(t, Tensor):
            a = t._array
            if a.dtype is not want and a.dtype != want:
                if plan.inputs[i].is_half and t.dtype is not plan.inputs[i]:
                    a = cast_array(a, t.dtype, plan.inputs[i])  # round to the half type first
                    a = cast_array(a, plan.inputs[i], plan.inputs[i].compute)
                else:
                    a = cast_array(a, t.dtype, plan.inputs[i].compute)
        else:
            a = operand_array(t, plan.inputs[i])
        arrays.append(a)
    try:
        if plan.complex:
            return wrap(_run_complex(op, arrays, attrs, plan), plan.out)
        if plan.half and plan.out.is_half:
            result = cast_array(np.asarray(op.eager(*arrays, *attrs)), plan.out.compute, plan.out)
        elif isinstance(op.eager, np.ufunc):
            if (
                out is not None
                and out.dtype == plan.out.np
                and (out.flags.c_contiguous or "dense_out" not in op.extra)
            ):
                # no retry after a warning: out may be an input, too
                with np.errstate(all="ignore"):
                    result = op.eager(*arrays, out=out)
            else:
                out = None
                for a in arrays:
                    # numpy's axis order differs from PyTorch's when layouts mix, and it maps large
                    # results anew each time
                    if a.nbytes >= _LARGE or a.ndim > 1 and not a.flags.c_contiguous:
                        out = _result_array(arrays, plan.out)
                        break
                result = op.eager(*arrays, out=out)
        else:
            result = op.eager(*arrays, *attrs)
    except ValueError:
        broadcast_shapes(*[a.shape for a in arrays])  # PyTorch's error, when shapes are at fault
        raise
    if len(arrays) > 1 and 1 in result.shape and result.ndim > 1 and result is not out:
        result = _exact_strides(result, arrays)
    return wrap(result, plan.out)


def _run_complex(op: Op, arrays: list, attrs: tuple, plan: Plan) -> np.ndarray:
    with np.errstate(all="ignore"):
        result = np.asarray(op.extra["complex"](*arrays, *attrs))
    out = _result_array([np.asarray(a) for a in arrays], plan.out)
    np.copyto(out, result)
    return out


def _exact_strides(result: np.ndarray, arrays: list) -> np.ndarray:
    """The result with the strides that infer gives, where operands are broadcast and have axes of
    size 1: numpy passes over the strides of those."""
    if all(
        a.ndim != result.ndim or a.shape == result.shape
        for a in arrays
        if isinstance(a, np.ndarray)
    ):
        return result
    want = pointwise_strides(
        result.shape, [(a.shape, tuple([s // a.itemsize for s in a.strides])) for a in arrays]
    )
    want = tuple([s * result.itemsize for s in want])
    if want == result.strides:
        return result
    pairs = zip(result.shape, want, result.strides, strict=True)
    if not result.size or all(a == b for n, a, b in pairs if n != 1):
        return np.lib.stride_tricks.as_strided(result, result.shape, want)
    out = np.ndarray(result.shape, result.dtype, np.empty(result.nbytes, np.uint8), 0, want)
    out[...] = result
    return out


# Bytes from which results of numpy's functions come from the caching allocator: numpy maps some of
# these anew each time, and those that it does not leave holes in the heap.
_LARGE = 1 << 20


def _result_array(arrays: list, d: DType) -> np.ndarray:
    """An empty array for the result of an elementwise op, with the strides that infer gives."""
    shape = arrays[0].shape or arrays[-1].shape
    if 1 not in shape and all(
        [x.flags.c_contiguous and x.shape == shape or x.ndim == 0 for x in arrays]
    ):
        return library.empty(shape, d.np)
    layouts = [(a.shape, tuple(s // a.itemsize for s in a.strides)) for a in arrays]
    shape = broadcast_shapes(*[s for s, _ in layouts])
    strides = pointwise_strides(shape, layouts)
    memory = library.empty((math.prod(shape) * d.np.itemsize,), np.dtype(np.uint8))
    return np.ndarray(shape, d.np, memory, 0, tuple([s * d.np.itemsize for s in strides]))


def operand_array(x: Any, d: DType) -> Any:
    """number_array for an operand of arithmetic: integers wrap around in narrow dtypes, as in
    PyTorch."""
    if d.category == dtypes.INT and d.itemsize < 8:
        bits = 8 * d.itemsize
        x = int(x) & ((1 << bits) - 1)
        if d.is_signed and x >> (bits - 1):
            x -= 1 << bits
    return number_array(x, d)


_F32_MAX = 3.4028234663852886e38  # beyond, numpy warns of what is simply inf


def number_array(x: Any, d: DType) -> Any:
    """A Python number as a numpy scalar of dtype d; half types round first, then widen to
    float32."""
    if d.category == dtypes.INT:
        info = np.iinfo(d.np)
        x = int(x)
        if not info.min <= x <= info.max:
            if d is dtypes.int64:
                raise RuntimeError("Overflow when unpacking long long")
            raise RuntimeError(f"value cannot be converted to type {d.ctype} without overflow")
        return d.np.type(x)
    if type(x) is complex and not d.is_complex:
        raise RuntimeError(f"value cannot be converted to type {d.ctype} without overflow")
    if d.is_half:
        return np.asarray(
            cast_array(
                cast_array(np.asarray(float(x), np.float32), dtypes.float32, d), d, dtypes.float32
            )
        )
    if d is dtypes.float32:
        if -_F32_MAX < x < _F32_MAX:
            return np.float32(x)
        with np.errstate(over="ignore"):
            return np.float32(x)
    return d.np.type(x)


# ---------------------------------------------------------------- general executor


def run(op: Op, inputs: tuple, attrs: tuple) -> Any:
    """Eager execution of the other kinds: arrays in, arrays out, wrapped. Views share storage."""
    arrays = [t._array if isinstance(t, Tensor) else t for t in inputs]
    if op.extra.get("half") == "float32" and any(
        isinstance(t, Tensor) and t.dtype.is_half for t in inputs
    ):
        return _run_half(op, inputs, arrays, attrs)
    result = (
        op.eager(arrays, *attrs)
        if op.variadic and len(op.inputs) == 1
        else op.eager(*arrays, *attrs)
    )
    if op.view:
        parent = inputs[0]
        if type(result) is tuple or type(result) is list:
            return tuple(view_of(parent, r) for r in result)
        if op.extra.get("recast"):  # the same memory as numbers of another dtype
            return view_of(parent, result, dtypes.from_numpy_dtype(result.dtype))
        return view_of(parent, result)
    if type(result) is tuple:
        return tuple([None if r is None else wrap(r) for r in result])
    return wrap(result)


def _run_half(op: Op, inputs: tuple, arrays: list, attrs: tuple) -> Any:
    """Runs an op on half tensors in float32 and rounds its float32 results back once."""
    half = next(t.dtype for t in inputs if isinstance(t, Tensor) and t.dtype.is_half)
    wide = [
        cast_array(a, t.dtype, dtypes.float32) if isinstance(t, Tensor) and t.dtype.is_half else a
        for t, a in zip(inputs, arrays, strict=True)
    ]
    result = (
        op.eager(wide, *attrs) if op.variadic and len(op.inputs) == 1 else op.eager(*wide, *attrs)
    )

    def back(r: np.ndarray) -> Tensor:
        r = np.asarray(r)
        return wrap(cast_array(r, dtypes.float32, half) if r.dtype == np.float32 else r)

    return tuple(back(r) for r in result) if type(result) is tuple else back(result)


# `graphc.ops.kernels` puts the total casts of the native library here; numpy's own are whitelisted
# for
# int -> float and float32 <-> float64 only.
CAST: list[Callable[[np.ndarray, DType, DType], np.ndarray]] = []


def cast_array(a: np.ndarray, from_: DType, to: DType) -> np.ndarray:
    """`a` in another dtype by the contract's total casts; `a` itself when nothing changes."""
    return a if from_ is to else CAST[0](a, from_, to)


# ---------------------------------------------------------------- writing


def write(target: Tensor, value: Tensor) -> None:
    """target's memory = value (same shape, any dtype; cast by the contract). Bumps the version."""
    tracer = STATE.tracer
    if tracer is not None:
        tracer.write(target, value)
    else:
        a = value._array
        if value.dtype is not target.dtype:
            a = cast_array(a, value.dtype, target.dtype)
        copy_into(target._array, a)
    target._storage.version += 1


def copy_into(out: np.ndarray, a: np.ndarray) -> None:
    """out = a; where out shows a place more than once, the last in logical order stays."""
    if out.flags.c_contiguous or not itself_overlaps(out):
        np.copyto(out, a)
        return
    size = out.itemsize
    positions = np.zeros(out.shape, np.int64)
    for ax, (n, s) in enumerate(zip(out.shape, out.strides, strict=True)):
        positions += (np.arange(n) * (s // size)).reshape((-1,) + (1,) * (out.ndim - ax - 1))
    memory = np.lib.stride_tricks.as_strided(out, (int(positions.max()) + 1,), (size,))
    memory[positions.reshape(-1)] = np.broadcast_to(a, out.shape).reshape(-1)


def itself_overlaps(a: np.ndarray) -> bool:
    """Whether an array shows a place of its memory more than once."""
    return a.size > 1 and overlaps(a.shape, tuple([s // a.itemsize for s in a.strides]))
