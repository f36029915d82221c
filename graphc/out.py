"""Results written into the caller's tensors, for `out=`: takes a result (or a tuple) and the target
(or targets), gives the target.

Invariant: a call without `out=` returns its result untouched; with it, the target holds the result
in the target's own dtype, or an error that PyTorch raises too."""

from __future__ import annotations

import re
import warnings
from typing import Any

from .base import dtypes
from .base.dtypes import DType
from .core.dispatch import cast_array
from .core.modes import STATE
from .core.tensor import Tensor

SAME = "Expected out tensor to have dtype {want}, but got {got} instead"


def into(out: Any, result: Any, exact: str = "") -> Any:
    """result, or `out` filled with it when the caller gave one; `out` takes the result's shape.

    exact: the text of the RuntimeError for another dtype than the result's (with {want}, {got} and
    their titles {Want}, {Got}); without it any dtype will do that can hold the result's."""
    if out is None:
        return result
    if isinstance(result, tuple):
        for o, r in zip(out, result, strict=True):
            into(o, r, exact)
        return type(result)(*out) if hasattr(result, "_fields") else tuple(out)
    if not isinstance(out, Tensor):
        raise TypeError(f"argument 'out' must be Tensor, not {type(out).__name__}")
    if STATE.grad and (result._needs or out._needs):
        name = type(result._fn).__name__ if result._fn is not None else ""
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", re.sub(r"Backward\d*$", "", name)).lower()
        raise RuntimeError(
            f"{name}(): functions with out=... arguments don't support automatic differentiation, "
            "but one of the arguments requires grad."
        )
    check_out_dtype(out, result.dtype, exact)
    if out.shape != result.shape:
        _resize(out, result)
        return out
    return out.copy_(result)  # type: ignore[attr-defined]


def into_each(out: Any, kind: Any, results: Any) -> Any:
    """A named tuple of the results, or of the tensors in `out` filled with them; indices only go
    into int64. TypeError for another number of tensors."""
    results = tuple(results)
    if out is None:
        return kind(*results)
    if len(out) != len(results):
        raise TypeError(f"expected {len(results)} tensors in out, got {len(out)}")
    pairs = zip(out, results, strict=True)
    return kind(*[into(o, r, SAME if r.dtype is dtypes.int64 else "") for o, r in pairs])


def apart(out: Any, *inputs: Any) -> None:
    """RuntimeError when `out` shows a place of its memory twice, or shares memory with an input."""
    if out is None:
        return
    if any(n > 1 and s == 0 for n, s in zip(out.shape, out.type_.strides)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a "
            "single memory location. Please clone() the tensor before performing the operation."
        )
    for t in inputs:
        if isinstance(t, Tensor) and t._storage is out._storage:
            raise RuntimeError(
                "unsupported operation: some elements of the input tensor and the written-to "
                "tensor refer to a single memory location. Please clone() the tensor before "
                "performing the operation."
            )


def check_out_dtype(out: Tensor, want: DType, exact: str = "") -> None:
    """RuntimeError when a result of dtype `want` may not go into `out`."""
    if exact:
        if out.dtype is not want:
            names = {"want": dtypes.c_name(want), "got": dtypes.c_name(out.dtype)}
            raise RuntimeError(exact.format(Want=want.title, Got=out.dtype.title, **names))
    elif not dtypes.can_cast(want, out.dtype):
        raise RuntimeError(
            f"result type {want.title} can't be cast to the desired output type {out.dtype.title}"
        )


def made_dtype(dtype: DType | None, out: Any, default: DType) -> DType:
    """The dtype of a new tensor, which may go into `out`: RuntimeError when the two differ."""
    if out is None:
        return dtype or default
    if dtype is not None and dtype is not out.dtype:
        raise RuntimeError(
            f"dtype {dtype.title} does not match dtype of out parameter ({out.dtype.title})"
        )
    return out.dtype


def _resize(out: Tensor, result: Tensor) -> None:
    """out takes the result's shape and layout, over memory of its own."""
    if STATE.tracer is not None:
        STATE.tracer.refuse(
            "an out= tensor takes another shape while compiling",
            "give out= a tensor of the result's shape",
            "tensor",
        )
    if out.type_.numel:
        warnings.warn(
            "An output with one or more elements was resized since it had shape "
            f"{list(out.shape)}, which does not match the required output shape "
            f"{list(result.shape)}. This behavior is deprecated, and in a future PyTorch release "
            "outputs will not be resized unless they have zero elements. You can explicitly reuse "
            "an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
            UserWarning,
            stacklevel=4,
        )
    made = cast_array(result._array, result.dtype, out.dtype)
    out._array = made.copy(order="K") if made is result._array else made
    out._storage.value = out._array
    out._storage.version += 1
