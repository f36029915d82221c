"""Where NaN and Inf come from: takes the operands and results of an operation, gives whether it is
the one that made the first NaN or Inf, and the error that says so.

The rule, in eager and in compiled code: an operation makes a NaN when its result has one and no
operand has; it makes an Inf when its result has one and no operand is NaN or Inf. Operands are
tensors and the numbers among arguments and attributes, so what is written on purpose
(`full(inf)`, `masked_fill(mask, -inf)`) makes nothing, and neither do movements, which compute
nothing. Invariant: looking changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..base.errors import Origin, user_origin
from ..ir.op import Op
from .tensor import Tensor


class NonFiniteError(FloatingPointError):
    """`check_nan` met the first NaN or Inf. `op`: what made it; `origin`: the user's line."""

    def __init__(self, message: str, op: str, origin: Origin | None):
        super().__init__(message)
        self.op, self.origin = op, origin


def finite(a: Any) -> bool:
    """Whether an array has neither NaN nor Inf; integers never have."""
    return a.dtype.kind not in "fcV" or bool(np.isfinite(a).all())


def has_nan(a: Any) -> bool:
    return a.dtype.kind in "fcV" and bool(np.isnan(a).any())


def has_inf(a: Any) -> bool:
    return a.dtype.kind in "fcV" and bool(np.isinf(a).any())


def made(operands: Sequence, results: Sequence, nan: bool = True, inf: bool = True) -> str:
    """ "NaN", "Inf" or "": what the results have first. Operands are arrays, numbers and tuples of
    them; results arrays."""
    if all([finite(r) for r in results]):
        return ""
    arrays = [x for x in operands if isinstance(x, np.ndarray)]
    numbers = list(_numbers(x for x in operands if not isinstance(x, np.ndarray)))
    if any(map(has_nan, arrays)) or any(x != x for x in numbers):
        return ""
    if nan and any(map(has_nan, results)):
        return "NaN"
    if inf and any(map(has_inf, results)):
        if all(map(finite, arrays)) and not any(math.isinf(abs(x)) for x in numbers):
            return "Inf"
    return ""


def _numbers(xs: Iterable) -> Iterable:
    for x in xs:
        if isinstance(x, (tuple, list)):
            yield from _numbers(x)
        elif isinstance(x, (float, complex)):
            yield x


def error(
    what: str,
    name: str,
    origin: Origin | None,
    operands: Sequence[tuple[str, Any]],
    results: Sequence[tuple[str, Any]],
) -> NonFiniteError:
    """The error for an operation `name` that made the first `what`, with named operands."""
    line = origin.describe() if origin is not None else "(no user's line)"
    total = sum(r.size for _, r in results)
    bad = sum(int(_count(r, what)) for _, r in results)
    lines = [line, f"{name} gives the first {what}: {bad} of {total} values"]
    shown = [(n, x) for n, x in operands if x is not None]
    lines += [f"  {n}: {describe(x)}" for n, x in (*shown[:6], *results[:2])]
    return NonFiniteError("\n".join(lines), name, origin)


def _count(a: Any, what: str) -> int:
    return (np.isnan(a) if what == "NaN" else np.isinf(a)).sum() if a.dtype.kind in "fcV" else 0


def describe(x: Any) -> str:
    """Dtype, shape and range of an array, with how many NaN and Inf it has; numbers as they are."""
    if not isinstance(x, np.ndarray):
        return repr(x)
    head = f"{x.dtype.name} {list(x.shape)}"
    if not x.size or x.dtype.kind == "c":
        return head
    text = head
    usable = x[np.isfinite(x)] if x.dtype.kind in "fV" else x
    if usable.size:
        text += f" from {_plain(usable.min())} to {_plain(usable.max())}"
    for what in ("NaN", "Inf"):
        n = _count(x, what)
        text += f", {n} {what}" if n else ""
    return text


def _plain(x: Any) -> str:
    return f"{float(x):.6g}" if x.dtype.kind in "fV" else str(x)


class Watch:
    """Sees every eager operation, and every VJP as one. `core.modes.STATE.watch` holds the active
    one; compiled programs ask it through `program`."""

    since: int = 0  # when the operation that is seen next began, in nanoseconds
    whole = True  # a VJP of the op table counts as one; False: its operations are seen

    def __init__(self, nan: bool = True, inf: bool = True):
        self.nan, self.inf = nan, inf

    def ran(self, op: Op, inputs: tuple, attrs: tuple, out: Any) -> None:
        """An op ran: inputs are tensors and numbers."""
        if op.kind == "movement":
            return
        results = [t._array for t in (out if type(out) is tuple else (out,)) if _concrete(t)]
        if all([finite(r) for r in results]):
            return
        operands = [t._array if _concrete(t) else t for t in inputs]
        what = made([*operands, *attrs], results, self.nan, self.inf)
        if what:
            names = [*operand_names(op, len(inputs)), *op.attrs]
            named = [*zip(names, (*operands, *attrs), strict=False)]
            raise error(what, op.name, user_origin(2), named, [("result", r) for r in results])

    def differentiated(self, entry: Any, grads: Sequence, results: Sequence) -> None:
        """A VJP ran: what it read of the forward counts among its operands."""
        arrays = [t._array for t in results if _concrete(t)]
        if all([finite(r) for r in arrays]):
            return
        named = [(f"gradient of output {i}", t._array) for i, t in enumerate(grads) if _concrete(t)]
        for (kind, i), (t, _, _) in (entry.saved or {}).items():
            if t is not None:
                name = operand_names(entry.op, i + 1)[i] if kind == "in" else "result"
                named.append((name, t._array if _concrete(t) else t))
        what = made([*[x for _, x in named], *entry.attrs], arrays, self.nan, self.inf)
        if what:
            found = [
                (f"gradient of {n}", t._array)
                for n, t in zip(operand_names(entry.op, len(results)), results, strict=True)
                if _concrete(t)
            ]
            name = f"{entry.name()} (the backward of this line)"
            raise error(what, name, entry.origin or user_origin(2), named, found)

    def program(self, graph: Any, program: Any) -> Any:
        """The program itself; `compiler.interpret.nonfinite` gives one that is looked into."""
        return program


def _concrete(t: Any) -> bool:
    return isinstance(t, Tensor) and t._array is not None


def operand_names(op: Op, n: int) -> list[str]:
    """Names of the first n inputs; those of a variadic op are numbered."""
    fixed = [x for x in op.inputs if not x.startswith("*")]
    rest = op.inputs[-1].lstrip("*") if len(fixed) < len(op.inputs) else "input"
    return [*fixed[:n], *(f"{rest}[{i}]" for i in range(n - len(fixed)))]
