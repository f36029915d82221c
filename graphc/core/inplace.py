"""In-place ops: takes an op and a target, gives the same target with new contents and rebased
history.

An in-place op is its out-of-place op followed by a write into the target's storage. Writing into a
view rewrites the history of the base it belongs to. Invariant: gradients are those of the program
without aliasing, or an error that PyTorch raises too.
"""

from __future__ import annotations

from typing import Any

from ..base.dtypes import can_cast
from ..base.errors import with_user_line
from ..ir import op as op_module
from ..ir.op import Op
from . import dispatch, tape
from .modes import STATE
from .storage import TRACKED
from .tensor import Tensor, alias, wrap

_MULTIPLE = (
    "This view is the output of a function that returns multiple views. Such functions do not "
    "allow the "
    "output views to be modified inplace. You should replace the inplace operation by an "
    "out-of-place "
    "one."
)
_AMBIGUOUS = (
    "Given that this use case is ambiguous and error-prone, it is forbidden. You can clarify your "
    "code "
    "by moving both the view and the inplace either both inside the no_grad block (if you don't "
    "want "
    "the inplace to be tracked) or both outside (if you want the inplace to be tracked)."
)


def check_inplace(t: Tensor) -> None:
    """Raises PyTorch's errors for targets that may not be written."""
    base = t._base
    if STATE.grad and (t.requires_grad or base is not None and base._needs):
        if t._no_grad_view:
            raise RuntimeError(
                "A view was created in no_grad mode and is being modified inplace with grad mode "
                "enabled. " + (_MULTIPLE if t._multi_view else _AMBIGUOUS)
            )
        if base is not None and base.grad_fn is None and (base._needs or t._needs):
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place "
                "operation."
            )
        if t.grad_fn is None:
            raise RuntimeError(
                "a leaf Variable that requires grad is being used in an in-place operation."
            )
        if t._multi_view:
            what, nr = t._multi_view
            raise RuntimeError(
                f"Output {nr} of {what} is a view and is being modified inplace. " + _MULTIPLE
            )
    if t._inference and not STATE.inference:
        raise RuntimeError(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can "
            "make a clone to get a normal tensor before doing inplace update.See "
            "https://github.com/pytorch/rfcs/pull/17 for more details."
        )
    if t._array is not None and 0 not in t._array.strides:
        return
    meta = t.type_
    for n, s in zip(meta.shape, meta.strides, strict=True):
        if s == 0 and n > 1 and 0 not in meta.shape:
            raise RuntimeError(
                "unsupported operation: more than one element of the written-to tensor "
                "refers to a single memory location. Please clone() the tensor before "
                "performing the operation."
            )


def apply_inplace(op: Op, inputs: tuple, attrs: tuple = ()) -> Tensor:
    """inputs[0] becomes op(*inputs, *attrs), in place. Returns inputs[0].

    Raises RuntimeError for leaves that require a gradient, results that do not fit by dtype or
    shape, and overlapping memory."""
    target = inputs[0]
    try:
        check_inplace(target)
        refused = op.extra.get("complex_inplace")
        if refused is not None and target.dtype.is_complex:
            raise refused[0](refused[1])
        needs = STATE.grad and any(isinstance(t, Tensor) and t._needs for t in inputs)
        plain = not needs and STATE.tracer is None and STATE.watch is None
        if plain and op.kind == "pointwise":
            _direct(op, inputs, attrs)
            return target
        if (needs or _layered()) and 0 in op.saved_inputs:
            inputs = (_snapshot(target), *inputs[1:])
        value = dispatch.apply(op, inputs, attrs)
        store(target, value)
    except (RuntimeError, IndexError, TypeError, ValueError) as e:
        raise with_user_line(e) from None
    except AttributeError:
        if (gone := dispatch.escaped(inputs)) is not None:
            raise with_user_line(gone) from None
        raise
    return target


def _layered() -> bool:
    """Whether a layer runs, below which gradients may be recorded that its tensors do not show."""
    return STATE.tracer is not None and STATE.tracer.transforms and STATE.grad


def store(target: Tensor, value: Tensor) -> None:
    """Writes an op's result into target and gives target its history."""
    _check_result(target, value)
    tracer = STATE.tracer
    if tracer is not None and tracer.transforms and not tracer.owns(target):
        tracer.store_outside(target, value)
        return
    dispatch.write(target, value)
    if value._needs or target._needs and STATE.grad:
        rebase(target, value)


def _direct(op: Op, inputs: tuple, attrs: tuple) -> None:
    target = inputs[0]
    a = target._array
    out = (
        a
        if all(
            t is target or not isinstance(t, Tensor) or t._array.shape == a.shape for t in inputs
        )
        else None
    )
    if not a.flags.c_contiguous and dispatch.itself_overlaps(a):
        out = None
    value = dispatch.run_pointwise(op, inputs, attrs, out=out)
    if value._array is a:
        target._storage.version += 1
        return
    _check_result(target, value)
    dispatch.write(target, value)


def _check_result(target: Tensor, value: Tensor) -> None:
    if value.shape != target.shape:
        raise RuntimeError(
            f"output with shape {list(target.shape)} doesn't match the broadcast shape "
            f"{list(value.shape)}"
        )
    if not can_cast(value.dtype, target.dtype):
        raise RuntimeError(
            f"result type {value.dtype.title} can't be cast to the desired output type "
            f"{target.dtype.title}"
        )


def _snapshot(t: Tensor) -> Tensor:
    """t's present value under t's history, untouched by the write that follows."""
    saved = STATE.grad
    STATE.grad = _layered()  # there the copy is recorded below the layer
    try:
        if STATE.tracer is None:
            out = wrap(t._array.copy(order="K"), t.dtype)
        else:
            out = STATE.tracer.snapshot(t)
    finally:
        STATE.grad = saved
    out._needs = t._needs
    out._fn, out._output_nr = t.grad_fn, t._output_nr
    return out


def rebase(target: Tensor, value: Tensor) -> None:
    """target's history becomes value's; for a view, the base's history is rewritten around it."""
    base = target._base
    if base is None:
        target._fn, target._output_nr = value._fn, value._output_nr
        target._needs = value._needs
        target._storage.flags |= TRACKED
        target._rebased += 1
        return
    t, b = target.type_, base.type_
    if t.dtype is not b.dtype and (base._needs or value._needs):
        raise RuntimeError(
            "a view of complex numbers as real ones (or the other way round) is being modified in "
            "place while gradients are recorded, which graphc cannot differentiate; build the "
            "numbers with torch.complex() or torch.view_as_complex() instead"
        )
    geometry = (t.shape, t.strides, target._start() - base._start())
    old = alias(base, base._needs)
    old._fn, old._output_nr = base._fn, base._output_nr
    scatter = op_module.get("as_strided_scatter")
    out = alias(base)
    if old._needs or value._needs:
        tape.record(
            scatter, (old, value), geometry, out, class_name="CopySlices", types=(b, value.type_)
        )
        base._fn, base._output_nr, base._needs = out._fn, 0, True
        base._storage.flags |= TRACKED
    base._rebased += 1


def regenerate(view: Tensor) -> None:
    """Gives a view the history it has after its base was rewritten: a strided window of the
    base."""
    base: Any = view._base
    if view._multi_view and base._needs:
        what, nr = view._multi_view
        raise RuntimeError(
            f"Output {nr} of {what} is a view and its base or another view of its base has been "
            "modified inplace. " + _MULTIPLE
        )
    view._rebase_seen = base._rebased
    if not base._needs:
        view._fn = None
        view._needs = False
        return
    t = view.type_
    if t.dtype is not base.dtype:
        raise RuntimeError(
            "a view of complex numbers as real ones (or the other way round) is used after its "
            "base was modified in place; take the view again"
        )
    geometry = (t.shape, t.strides, view._start() - base._start())
    tape.record(op_module.get("as_strided"), (base,), geometry, view, types=(base.type_,))
    view._output_nr = 0


def apply_function(fn: Any, target: Tensor, args: tuple, kwargs: dict) -> Tensor:
    """target becomes fn(target, *args, **kwargs), in place: for in-place forms of composed
    functions."""
    try:
        check_inplace(target)
        needs = STATE.grad and any(isinstance(t, Tensor) and t._needs for t in (target, *args))
        value = fn(_snapshot(target) if needs or _layered() else target, *args, **kwargs)
        store(target, value)
    except (RuntimeError, IndexError, TypeError, ValueError) as e:
        raise with_user_line(e) from None
    return target


Tensor._regenerate = regenerate


def update(op: Op, inputs: tuple, attrs: tuple = ()) -> None:
    """Runs an op whose outputs replace some of its inputs (`writes` in its record): with its
    in-place kernel in eager mode, through its body under capture. Nothing is recorded on the
    tape."""
    writes = op.extra["writes"]
    if STATE.tracer is None and STATE.watch is None:
        arrays = [t._array if isinstance(t, Tensor) else t for t in inputs]
        if op.extra["inplace"](*arrays, *attrs):
            for i in writes:
                if inputs[i] is not None:
                    inputs[i]._storage.version += 1
            return
    out = dispatch.apply(op, inputs, attrs)
    for i, value in zip(writes, out, strict=True):
        if inputs[i] is not None:
            dispatch.write(inputs[i], value)
