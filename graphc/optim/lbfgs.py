"""LBFGS: takes parameters and a closure that gives the loss, gives quasi-Newton steps.

Invariant: everything is one flat vector; scalars that decide are Python floats, read from it.
Source: Nocedal & Wright, Numerical Optimization (2006), algorithms 7.4 and 3.5-3.6.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..core.modes import STATE, enable_grad, no_grad
from ..core.tensor import Tensor
from ..creation import zeros
from ..functional import cat
from .optimizer import Optimizer, check_lr


class LBFGS(Optimizer):
    """Limited-memory BFGS: up to max_iter iterations per step(closure), each along the direction
    of the inverse Hessian that the last history_size changes of the gradient suggest, by lr or to a
    point that meets the strong Wolfe conditions.

    Raises ValueError for a negative lr and for more than one parameter group. step() decides by
    values, so it runs eagerly: compile the closure instead.
    https://docs.pytorch.org/docs/stable/generated/torch.optim.LBFGS.html
    """

    def __init__(
        self,
        params: Iterable,
        lr: Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        check_lr(lr)
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")

    @property
    def _params(self) -> list:
        return self.param_groups[0]["params"]

    # ---- the flat vector

    def _flat_grad(self) -> Any:
        parts = [
            (zeros(p.numel(), dtype=p.dtype) if p.grad is None else p.grad.reshape(-1))
            for p in self._params
        ]
        return cat(parts, 0)

    def _move(self, size: float, direction: Any) -> None:
        at = 0
        for p in self._params:
            n = p.numel()
            p.add_(direction[at : at + n].reshape(p.shape), alpha=size)
            at += n

    def _at(self, closure: Callable, start: list, size: float, direction: Any) -> tuple:
        """(loss, gradient) at start + size * direction; the parameters return to start."""
        self._move(size, direction)
        loss = float(closure())
        grad = self._flat_grad()
        for p, old in zip(self._params, start, strict=True):
            p.copy_(old)
        return loss, grad

    # ---- steps

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Up to max_iter iterations; closure computes the loss and its gradients anew. Returns the
        loss at the start."""
        if STATE.tracer is not None:
            STATE.tracer.refuse(
                "LBFGS decides by the loss and the gradients how it goes on",
                "compile the closure, and call step() outside of compiled code",
                "value",
            )
        if len(self.param_groups) != 1:
            raise AssertionError(
                f"Expected exactly one param_group, but got {len(self.param_groups)}"
            )
        with no_grad():
            return self._iterate(enable_grad()(closure))

    def _iterate(self, closure: Callable) -> Any:
        group = self.param_groups[0]
        lr, most, most_evals = float(group["lr"]), group["max_iter"], group["max_eval"]
        flat, still = group["tolerance_grad"], group["tolerance_change"]
        # kept with the first parameter, so that loading casts it
        state = self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss = closure()
        loss, evals = float(first_loss), 1
        state["func_evals"] += 1
        grad = self._flat_grad()
        if _largest(grad) <= flat:
            return first_loss
        n = 0
        while n < most:
            n += 1
            state["n_iter"] += 1
            d = self._direction(state, grad, group["history_size"])
            state["prev_flat_grad"], before = grad.clone(), loss
            size = lr
            if state["n_iter"] == 1:
                size = min(1.0, 1.0 / float(grad.abs().sum())) * lr
            state.update(d=d, t=size, prev_loss=before)
            slope = float(grad.dot(d))
            if slope > -still:
                break
            used, done = 0, False
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                start = [p.clone() for p in self._params]

                def along(t: float, start: list = start, d: Any = d) -> tuple:
                    return self._at(closure, start, t, d)

                loss, grad, size, used = strong_wolfe(
                    along, size, d, loss, grad, slope, max_ls=most_evals - evals
                )
                state["t"] = size
                self._move(size, d)
                done = _largest(grad) <= flat
            else:
                self._move(size, d)
                if n != most:  # the last iteration needs no gradient of its own
                    loss = float(closure())
                    grad = self._flat_grad()
                    done = _largest(grad) <= flat
                    used = 1
            evals += used
            state["func_evals"] += used
            if n == most or evals >= most_evals or done:
                break
            if _largest(d * size) <= still or abs(loss - before) < still:
                break
        return first_loss

    def _direction(self, state: dict[str, Any], grad: Any, history: int) -> Any:
        """The next direction, by the two loops over the history."""
        if state["n_iter"] == 1:
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return -grad
        ys, ss, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y = grad - state["prev_flat_grad"]
        s = state["d"] * state["t"]
        curvature = y.dot(s)
        if curvature > 1e-10:
            if len(ys) == history:
                del ys[0], ss[0], ro[0]
            ys.append(y)
            ss.append(s)
            ro.append(1.0 / curvature)
            state["H_diag"] = curvature / y.dot(y)
        al = state.setdefault("al", [None] * history)
        q = -grad
        for i in range(len(ys) - 1, -1, -1):
            al[i] = ss[i].dot(q) * ro[i]
            q = q - ys[i] * al[i]
        d = q * state["H_diag"]
        for i in range(len(ys)):
            d = d + ss[i] * (al[i] - ys[i].dot(d) * ro[i])
        return d


def _largest(x: Tensor) -> float:
    return float(x.abs().max())  # type: ignore[attr-defined]


class Point(NamedTuple):
    """A step size with the loss, the gradient and the slope there."""

    t: float
    f: float
    g: Any
    slope: float


def cubic_minimum(a: Point, b: Point, bounds: tuple | None = None) -> float:
    """Where the cubic through two points with their slopes is least, within bounds (default:
    between them); the middle of the bounds where it has no minimum."""
    low, high = bounds or (min(a.t, b.t), max(a.t, b.t))
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    left, right = (a, b) if a.t <= b.t else (b, a)
    bottom = right.slope - left.slope + 2 * d2
    if bottom == 0:  # where the formula gives nan, the comparisons below choose the low end
        return low
    at = right.t - (right.t - left.t) * ((right.slope + d2 - d1) / bottom)
    return min(max(at, low), high)


def strong_wolfe(
    along: Callable[[float], tuple],
    t: float,
    d: Any,
    f: float,
    g: Any,
    slope: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance_change: float = 1e-9,
    max_ls: int = 25,
) -> tuple:
    """A step size along d that meets the strong Wolfe conditions, or the best one found.

    along(t) gives (loss, gradient) there; f, g and slope belong to 0. Returns (loss, gradient, t,
    evaluations)."""
    reach = _largest(d)

    def look(t: float) -> Point:
        f, g = along(t)
        return Point(t, f, g, float(g.dot(d)))

    start = Point(0, f, g.clone(), slope)
    new, last, evals, tries = look(t), start, 1, 0
    ends: list[Point] = []
    while tries < max_ls:
        if new.f > f + c1 * new.t * slope or (tries > 1 and new.f >= last.f):
            ends = [last, new]
            break
        if abs(new.slope) <= -c2 * slope:
            return new.f, new.g, new.t, evals
        if new.slope >= 0:
            ends = [last, new]
            break
        bounds = (new.t + 0.01 * (new.t - last.t), new.t * 10)
        t = cubic_minimum(last, new, bounds)
        last, new = new, look(t)
        evals += 1
        tries += 1
    if tries == max_ls:
        ends = [start, new]
    low, high = (0, 1) if ends[0].f <= ends[-1].f else (1, 0)
    slow = False  # whether the last trial came close to an end
    while tries < max_ls:
        if abs(ends[1].t - ends[0].t) * reach < tolerance_change:
            break
        t, slow = _trial(ends, slow)
        new = look(t)
        evals += 1
        tries += 1
        if new.f > f + c1 * t * slope or new.f >= ends[low].f:
            ends[high] = new
            low, high = (0, 1) if ends[0].f <= ends[1].f else (1, 0)
            continue
        done = abs(new.slope) <= -c2 * slope
        if not done and new.slope * (ends[high].t - ends[low].t) >= 0:
            ends[high] = ends[low]
        ends[low] = new
        if done:
            break
    best = ends[low]
    return best.f, best.g, best.t, evals


def _trial(ends: list[Point], slow: bool) -> tuple[float, bool]:
    """The next size between the ends, pushed away from an end that the last one was close to."""
    t = cubic_minimum(ends[0], ends[1])
    left, right = sorted((ends[0].t, ends[1].t))
    margin = 0.1 * (right - left)
    if min(right - t, t - left) >= margin:
        return t, False
    if not slow and left < t < right:
        return t, True
    return (right - margin if abs(t - right) < abs(t - left) else left + margin), False


__all__ = ["LBFGS"]
