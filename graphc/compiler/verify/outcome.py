"""Outcomes: takes a call and the state around it, gives all that a user can see of it afterwards,
and the first difference between two of them.

Seen are results (bits, shapes, strides, dtypes, requires_grad, what they share memory with), every
tensor, array, generator and plain value that the function reaches, .grad after a backward, and what
was raised. Invariant: an outcome owns copies only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...base import dtypes, pytree
from ...core import tape
from ...core.tensor import Tensor, wrap
from ...ir.types import is_dense
from ..capture.joint import usual_pattern
from ..interpret.shadow import describe, differing
from .state import World

Value = Any  # a Seen, or a plain value


@dataclass(slots=True)
class Seen:
    """A tensor as it was at one time."""

    array: np.ndarray
    dtype: Any
    strides: tuple
    needs: bool

    @classmethod
    def of(cls, t: Tensor) -> Seen:
        strides = tuple(0 if n == 1 else s for n, s in zip(t.shape, t.stride(), strict=True))
        return cls(t._array.copy(), t.dtype, strides, t._needs)

    def difference(self, other: Value) -> str:
        """What `other`, which should be the same, has otherwise; "" for nothing."""
        if not isinstance(other, Seen):
            return f"is {other!r}, where eager mode has a tensor {list(self.array.shape)}"
        for what in ("dtype", "strides", "needs"):
            a, b = getattr(self, what), getattr(other, what)
            if what == "strides" and self.array.shape != other.array.shape:
                return (
                    f"has shape {list(other.array.shape)}, where eager mode has "
                    f"{list(self.array.shape)}"
                )
            if a != b:
                name = "requires_grad" if what == "needs" else what
                return f"has {name} {b}, where eager mode has {a}"
        if differing(self.array, other.array).any():
            return describe(other.array, self.array)
        return ""


@dataclass(slots=True)
class Outcome:
    """What one call left. `backward`: "" without one, else "run" or the error that it raised."""

    error: BaseException | None = None
    spec: Any = None
    results: list[Value] = field(default_factory=list)
    shared: list[tuple] = field(default_factory=list)  # per result: what it shares memory with
    state: dict[str, Value] = field(default_factory=dict)
    backward: str = ""


def observe(world: World, call: Callable[[], Any]) -> Outcome:
    """The outcome of a call, with a backward through its results when they allow it. The state is
    put back."""
    out = Outcome()
    try:
        try:
            result = call()
        except Exception as e:  # noqa: BLE001  (whatever the user's code raises is its outcome)
            out.error = e
        else:
            leaves, out.spec = pytree.flatten(result)
            out.results = [Seen.of(x) if isinstance(x, Tensor) else _plain(x) for x in leaves]
            out.shared = _shared(leaves, world)
            out.backward = _backward([x for x in leaves if isinstance(x, Tensor)])
        reached = world.look()
        out.state = {path: Seen.of(t) for path, t in reached.tensors.items()}
        for path, a in reached.arrays.items():
            if a.dtype.kind in "fiub":
                out.state[path] = Seen.of(wrap(a))
        out.state |= {path: g.state_words() for path, g in reached.generators.items()}
        out.state |= reached.plain
    finally:
        world.restore()
    return out


def _plain(x: Any) -> Any:
    return x if isinstance(x, (int, float, complex, str, bytes, type(None))) else type(x).__name__


def _shared(leaves: list, world: World) -> list[tuple]:
    """Per result, the names of the other results and reachable tensors over the same memory; an
    "=" marks the very same object."""
    named = [(f"result {i}", x) for i, x in enumerate(leaves) if isinstance(x, Tensor)]
    named += [(p, t) for p, t in world.look().tensors.items() if t._array is not None]
    out = []
    for x in leaves:
        if isinstance(x, Tensor):
            out.append(
                tuple(
                    ("=" if t is x else "") + name
                    for name, t in named
                    if t is x or np.may_share_memory(t._array, x._array)
                )
            )
    return out


def _backward(tensors: list[Tensor]) -> str:
    """Runs the tape from the results with fixed random cotangents, for the results that a compiled
    backward expects them for."""
    roots = [t for t in {id(t): t for t in tensors}.values() if t.requires_grad and not t.is_leaf]
    if not roots:
        return ""
    pattern = usual_pattern([t.type_.numel for t in roots])
    made = np.random.default_rng(2026)
    grads = []
    for t in roots:
        a = made.standard_normal(t.shape) if t.ndim else np.ones(())
        grads.append(_like(t, wrap(_cast(np.asarray(a), t.dtype), t.dtype)))
    chosen = [(t, g) for t, g, use in zip(roots, grads, pattern, strict=True) if use]
    try:
        tape.run_backward(
            [t for t, _ in chosen],
            [g for _, g in chosen],
            retain_graph=False,
            create_graph=False,
        )
    except Exception as e:  # noqa: BLE001  (compared like everything else)
        return f"{type(e).__name__}: {e}"
    return "run"


def _like(t: Tensor, g: Tensor) -> Tensor:
    """g in the layout of t, where that is dense."""
    from ...ops.movement import _restride_kernel

    if not is_dense(t.shape, t.stride()):
        return g
    return wrap(_restride_kernel(g._array, t.stride() if t.type_.numel else None), t.dtype)


def _cast(a: np.ndarray, dtype: Any) -> np.ndarray:
    from ...core.dispatch import cast_array

    return cast_array(a, dtypes.float64, dtype)


@dataclass(slots=True)
class Mismatch:
    """The first difference. `key`: ("result", number), ("state", path) or another word."""

    key: tuple
    text: str


def compare(eager: Outcome, other: Outcome) -> Mismatch | None:
    """The first difference of an outcome from eager mode's."""
    if type(eager.error) is not type(other.error) or str(eager.error) != str(other.error):
        return Mismatch(
            ("error",), f"raises {_brief(other.error)}, where eager mode raises "
            f"{_brief(eager.error)}"
        )  # fmt: skip
    if eager.spec != other.spec:
        return Mismatch(("spec",), f"returns {other.spec}, where eager mode returns {eager.spec}")
    for i, (a, b) in enumerate(zip(eager.results, other.results, strict=True)):
        text = _difference(a, b)
        if text:
            return Mismatch(("result", i), f"result {i}: {text}")
    for path in [*eager.state, *(p for p in other.state if p not in eager.state)]:
        if path not in other.state:
            return Mismatch(("state", path), f"{path}: is missing")
        if path not in eager.state:
            return Mismatch(("state", path), f"{path}: is there, but not in eager mode")
        text = _difference(eager.state[path], other.state[path])
        if text:
            return Mismatch(("state", path), f"{path}: {text}")
    for i, (x, y) in enumerate(zip(eager.shared, other.shared, strict=True)):
        if x != y:
            return Mismatch(("result", i), f"result {i}: shares memory with {_list(y)}, where "
                            f"eager mode shares with {_list(x)}")  # fmt: skip
    if eager.backward != other.backward:
        return Mismatch(("backward",), f"the backward: {other.backward}, where eager mode: "
                        f"{eager.backward}")  # fmt: skip
    return None


def _difference(a: Value, b: Value) -> str:
    if isinstance(a, Seen):
        return a.difference(b)
    if type(a) is type(b) and (a == b or a != a and b != b):
        return ""
    return f"is {b!r:.60}, where eager mode has {a!r:.60}"


def _brief(e: BaseException | None) -> str:
    if e is None:
        return "nothing"
    text = getattr(e, "what", str(e))  # a CaptureBreak's own text starts with the user's line
    return f"{type(e).__name__}: {text.splitlines()[0]:.200}"


def _list(names: tuple) -> str:
    return ", ".join(n.lstrip("=") for n in names) or "nothing"


def changed(before: Outcome, after: Outcome) -> tuple[int, int]:
    """How many tensors outside of the results a call changed: (updates, gradients)."""
    found = [0, 0]
    for path, value in after.state.items():
        if isinstance(value, Seen):
            old = before.state.get(path)
            if not isinstance(old, Seen) or value.difference(old):
                found[path.endswith(".grad")] += 1
    return found[0], found[1]
