"""Recurrent layers: one op for a whole layer in one direction, its time loop in native code.

Takes the input's share of the gates for every step, gives the state after every step. Steps may
have different numbers of rows (`batch_sizes`, never growing), as packed sequences do. Invariant:
the input's product and the weights' gradients are single products over all steps; only what
depends on the step before runs in the loop. A gradient of a gradient goes through the same layer
written in ops (`unrolled`).

Sources: Elman 1990 (RNN), Hochreiter & Schmidhuber 1997 and Gers et al. 2000 (LSTM), Cho et al.
2014 (GRU; the reset gate is applied after the product, as in cuDNN and PyTorch).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..base.dtypes import from_numpy_dtype
from ..core import tape
from ..core.modes import STATE, enable_grad
from ..core.tensor import Tensor
from ..ir.op import Make, Sample
from ..ir.types import TensorType, numel
from ..native import library
from . import reduce
from .contract import mm
from .define import native
from .gather import cat
from .kernels import call, dense, gemm
from .pointwise import relu, sigmoid, tanh

MODES = ("RNN_TANH", "RNN_RELU", "LSTM", "GRU")
GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}
_SAVED = {"RNN_TANH": 0, "RNN_RELU": 0, "LSTM": 5, "GRU": 4}  # widths kept for the backward


# ---------------------------------------------------------------- the layer in ops


def cell(mode: str, gi: Tensor, gh: Tensor, h: Tensor, c: Any) -> tuple:
    """(h', c') of one step; gi and gh [B, gates * H] are the input's and the state's share of the
    gates, biases included. c and c' are None but for LSTM."""
    if mode == "LSTM":
        i, f, g, o = (gi + gh).chunk(4, -1)
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return sigmoid(o) * tanh(c), c
    if mode == "GRU":
        ir, iz, i_n = gi.chunk(3, -1)
        hr, hz, hn = gh.chunk(3, -1)
        r, z = sigmoid(ir + hr), sigmoid(iz + hz)
        n = tanh(i_n + r * hn)
        return n + z * (h - n), None
    return (tanh if mode == "RNN_TANH" else relu)(gi + gh), None


def unrolled(
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Any,
    h0: Tensor,
    c0: Any,
    sizes: list | None,
    mode: str,
    reverse: bool,
    w_hr: Any = None,
) -> tuple:
    """The layer as a loop over steps: (out, h, c). sizes: rows of each step when packed; w_hr
    (proj, H) projects each new state."""
    steps = list(gates.unbind(0)) if sizes is None else list(gates.split(sizes, 0))
    wt, pt = w_hh.t(), None if w_hr is None else w_hr.t()
    hs: list = [h0]  # the state as parts, one after another: the rows that step, then those that
    cs: list = [c0]  # have ended (or, in reverse, have not begun)
    found: list = [None] * len(steps)
    for t in reversed(range(len(steps))) if reverse else range(len(steps)):
        h, rest = _front(hs, steps[t].shape[0])
        c, c_rest = _front(cs, steps[t].shape[0]) if c0 is not None else (None, [])
        gh = mm(h, wt)
        h, c = cell(mode, steps[t], gh if b_hh is None else gh + b_hh, h, c)
        if pt is not None:
            h = mm(h, pt)
        found[t], hs, cs = h, [h, *rest], [c, *c_rest]
    out = cat([t.unsqueeze(0) for t in found] if sizes is None else found, 0)
    return out, _joined(hs), _joined(cs) if c0 is not None else None


def _front(parts: list, rows: Any) -> tuple:
    """(the first `rows` rows of the parts, the other parts)."""
    taken = []
    rest = list(parts)
    while rest:
        n = rest[0].shape[0]
        if n <= rows:
            taken.append(rest.pop(0))
            rows -= n
            if not rows:
                break
        else:
            taken.append(rest[0][:rows])
            rest[0] = rest[0][rows:]
            break
    return _joined(taken), rest


def _joined(parts: list) -> Tensor:
    return parts[0] if len(parts) == 1 else cat(parts, 0)


# ---------------------------------------------------------------- kernels


def _numbers(lead: tuple, steps: Any, h0: tuple, mode: str, reverse: bool) -> list:
    """What the native kernels read; lead: the shape of the gates without their last axis."""
    return [MODES.index(mode), int(reverse), steps, numel(lead), h0[0], h0[1]]


def _sizes(lead: tuple, batch_sizes: Any) -> np.ndarray:
    """Rows of each step."""
    return np.full(lead[0], lead[1], np.int64) if batch_sizes is None else batch_sizes


def _check_dtype(name: str, dt: Any) -> None:
    """PyTorch's error for a dtype (numpy's or graphc's) that no kernel serves."""
    d = from_numpy_dtype(dt) if isinstance(dt, np.dtype) else dt
    if d.is_complex or not d.is_floating_point:
        raise NotImplementedError(f"\"{name}_cpu\" not implemented for '{d.title}'")


def _check_shapes(rows: tuple, w: Any, b: Any, h0: Any, c0: Any, mode: str) -> None:
    """RuntimeError unless the shapes fit together: the native loop trusts them."""
    h = h0.shape[-1]
    width = GATES[mode] * h
    fits = (
        len(h0.shape) == 2
        and tuple(w.shape) == (width, h)
        and (b is None or tuple(b.shape) == (width,))
        and ((c0 is not None and c0.shape == h0.shape) if mode == "LSTM" else c0 is None)
        and (len(rows) == 1 or rows[1] == h0.shape[0])
    )
    if not fits:
        raise RuntimeError(f"{mode}: {_sizes_text(rows, w, b, h0, c0)}")


def _check_sizes(rows: tuple, sizes: np.ndarray, w: Any, b: Any, h0: Any, c0: Any,
                 mode: str) -> None:  # fmt: skip
    """RuntimeError unless the sizes of packed steps make up all rows and never grow."""
    if not (
        len(rows) == 1
        and sizes.size > 0
        and int(sizes.sum()) == rows[0]
        and int(sizes[0]) == h0.shape[0]
        and bool((sizes[1:] <= sizes[:-1]).all())
        and int(sizes[-1]) > 0
    ):
        text = _sizes_text(rows, w, b, h0, c0)
        raise RuntimeError(f"{mode}: {text}, batch sizes {sizes.tolist()}")


def _sizes_text(rows: tuple, w: Any, b: Any, h0: Any, c0: Any) -> str:
    return (
        f"the sizes do not fit together: rows {list(rows)}, w_hh {list(w.shape)}, "
        f"b_hh {None if b is None else list(b.shape)}, h0 {list(h0.shape)}, "
        f"c0 {None if c0 is None else list(c0.shape)}"
    )


def _check_gradients(out: Any, saved: Any, h0: Any, gs: tuple, mode: str) -> None:
    wanted = (out.shape, h0.shape, h0.shape)
    if (
        out.shape[-1] != h0.shape[-1]
        or tuple(saved.shape) != (*out.shape[:-1], _SAVED[mode] * h0.shape[-1])
        or any(g is not None and g.shape != s for g, s in zip(gs, wanted, strict=True))
    ):
        raise RuntimeError(f"{mode}: cotangents or saved values do not fit {list(out.shape)}")


def _own(a: np.ndarray) -> np.ndarray:
    return np.array(a, order="C")


def _is_native(*arrays: Any) -> bool:
    """Whether the library serves the arrays: all of one dtype that it knows."""
    found = {a.dtype for a in arrays if a is not None}
    return len(found) == 1 and found.pop().char in "fd" and library.available()


def _empty(shapes: list, dt: np.dtype) -> list:
    return [library.empty(s, dt) for s in shapes]


def _run(name: str, lead: tuple, mode: str, reverse: bool, inputs: list, outputs: list) -> None:
    """inputs: as the record names them, `batch_sizes` last."""
    sizes, h0 = inputs[-1], inputs[3 if name == "forward" else 5]
    steps = lead[0] if sizes is None else len(sizes)
    code = from_numpy_dtype(outputs[0].dtype).code
    call(f"gc_rnn_{name}_{code}", _numbers(lead, steps, h0.shape, mode, reverse), inputs, outputs)


def _forward(
    gates: Any, w: Any, b: Any, h0: Any, c0: Any, batch_sizes: Any, mode: str, reverse: bool
) -> tuple:
    lead, h, dt = gates.shape[:-1], h0.shape[-1], gates.dtype
    _check_dtype("forward", dt)
    _check_shapes(lead, w, b, h0, c0, mode)
    if gates.shape[-1] != w.shape[0]:
        raise RuntimeError(f"{mode}: gates {list(gates.shape)} do not fit w_hh {list(w.shape)}")
    if batch_sizes is not None:
        batch_sizes = np.ascontiguousarray(batch_sizes, np.int64)
        _check_sizes(lead, batch_sizes, w, b, h0, c0, mode)
    state = h0.shape if mode == "LSTM" else (0, h)
    if _is_native(gates, w, b, h0, c0):
        found = _empty([(*lead, h), h0.shape, state, (*lead, _SAVED[mode] * h)], dt)
        _run("forward", lead, mode, reverse, [gates, w, b, h0, c0, batch_sizes], found)
        return tuple(found)
    out, saved = _empty([(*lead, h), (*lead, _SAVED[mode] * h)], dt)
    hid, c = _own(h0), np.zeros(state, dt) if c0 is None else _own(c0)
    if out.size:
        sizes = _sizes(lead, batch_sizes)
        _spare_forward(dense(gates), dense(w.T), b, hid, c, sizes, mode, reverse, out, saved)
    return out, hid, c, saved


def _backward(
    g_out: Any, g_h: Any, g_c: Any, w: Any, b: Any, h0: Any, c0: Any, out: Any, saved: Any,
    batch_sizes: Any, mode: str, reverse: bool,
) -> tuple:  # fmt: skip
    """Gradients of gates, w_hh, b_hh, h0, c0."""
    lead, h, dt = out.shape[:-1], h0.shape[-1], out.dtype
    _check_dtype("backward", dt)
    _check_shapes(lead, w, b, h0, c0, mode)
    _check_gradients(out, saved, h0, (g_out, g_h, g_c), mode)
    if batch_sizes is not None:
        batch_sizes = np.ascontiguousarray(batch_sizes, np.int64)
        _check_sizes(lead, batch_sizes, w, b, h0, c0, mode)
    lstm, width = mode == "LSTM", GATES[mode] * h
    state = h0.shape if lstm else (0, h)
    inputs = [g_out, g_h, g_c, w, b, h0, c0, out, saved]
    if _is_native(*inputs):
        shapes = [(*lead, width), w.shape, (0,) if b is None else b.shape, h0.shape, state]
        found = _empty(shapes, dt)
        _run("backward", lead, mode, reverse, [*inputs, batch_sizes], found)
        return tuple(found)
    g_h = np.zeros(h0.shape, dt) if g_h is None else _own(g_h)
    g_c = np.zeros(state, dt) if g_c is None or not lstm else _own(g_c)
    g_gates, h_prev = _empty([(*lead, width), out.shape], dt)
    g_gh = library.empty(g_gates.shape, dt) if mode == "GRU" else g_gates
    if out.size:
        g_out = None if g_out is None else dense(g_out)
        sizes = _sizes(lead, batch_sizes)
        _spare_backward(w, dense(h0), c0, dense(out), dense(saved), g_out, g_h, g_c, g_gates,
                        g_gh, h_prev, sizes, mode, reverse)  # fmt: skip
    flat = g_gh.reshape(-1, width)
    g_w = gemm(flat.T[None], h_prev.reshape(1, -1, h))[0]
    g_b = reduce.sum.eager(flat, (0,), False) if b is not None else np.zeros(0, dt)
    return g_gates, g_w, g_b, g_h, g_c


# ---------------------------------------------------------------- without a C compiler


def _places(sizes: np.ndarray, mode: str, reverse: bool) -> list:
    """(step, first row, rows, first row and rows of the step before) in the loop's order."""
    starts = np.concatenate([[0], np.cumsum(sizes)])
    order = range(len(sizes))
    out = []
    for t in reversed(order) if reverse else order:
        before = t + 1 if reverse else t - 1
        inside = 0 <= before < len(sizes)
        others = min(int(sizes[before]), int(sizes[t])) if inside else 0
        out.append((int(starts[t]), int(sizes[t]), int(starts[before]) if inside else 0, others))
    return out


def _s(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def _spare_forward(gates: Any, wt: Any, b: Any, hid: Any, cell: Any, sizes: Any, mode: str,
                   reverse: bool, out: Any, saved: Any) -> None:  # fmt: skip
    h = hid.shape[1]
    gates, out = gates.reshape(-1, gates.shape[-1]), out.reshape(-1, h)
    saved = saved.reshape(len(out), _SAVED[mode] * h)
    for at, rows, _, _ in _places(sizes, mode, reverse):
        gi, gh = gates[at : at + rows], hid[:rows] @ wt
        gh = gh if b is None else gh + b
        if mode == "LSTM":
            i, f, g, o = np.split(gi + gh, 4, 1)
            i, f, g, o = _s(i), _s(f), np.tanh(g), _s(o)
            cell[:rows] = f * cell[:rows] + i * g
            hid[:rows] = o * np.tanh(cell[:rows])
            saved[at : at + rows] = np.concatenate([i, f, g, o, cell[:rows]], 1)
        elif mode == "GRU":
            ir, iz, i_n = np.split(gi, 3, 1)
            hr, hz, hn = np.split(gh, 3, 1)
            r, z = _s(ir + hr), _s(iz + hz)
            n = np.tanh(i_n + r * hn)
            hid[:rows] = n + z * (hid[:rows] - n)
            saved[at : at + rows] = np.concatenate([r, z, n, hn], 1)
        else:
            x = gi + gh
            hid[:rows] = np.tanh(x) if mode == "RNN_TANH" else np.where(x < 0, 0, x)
        out[at : at + rows] = hid[:rows]


def _spare_backward(w: Any, h0: Any, c0: Any, out: Any, saved: Any, g_out: Any, g_h: Any,
                    g_c: Any, g_gates: Any, g_gh: Any, h_prev: Any, sizes: Any, mode: str,
                    reverse: bool) -> None:  # fmt: skip
    h = h0.shape[1]
    out, h_prev = out.reshape(-1, h), h_prev.reshape(-1, h)
    saved = saved.reshape(len(out), _SAVED[mode] * h)
    g_gates, g_gh = (a.reshape(-1, a.shape[-1]) for a in (g_gates, g_gh))
    for at, rows, before, others in reversed(_places(sizes, mode, reverse)):
        now = slice(at, at + rows)
        prev = np.concatenate([out[before : before + others], h0[others:rows]])
        h_prev[now] = prev
        dh = g_h[:rows] if g_out is None else g_h[:rows] + g_out.reshape(-1, h)[now]
        through = 0
        if mode == "LSTM":
            i, f, g, o, c = np.split(saved[now], 5, 1)
            cp = np.concatenate([saved[before : before + others, 4 * h :], c0[others:rows]])
            tc = np.tanh(c)
            dc = g_c[:rows] + dh * o * (1 - tc * tc)
            d = [dc * g * ((1 - i) * i), dc * cp * ((1 - f) * f), dc * i * (1 - g * g),
                 dh * tc * ((1 - o) * o)]  # fmt: skip
            g_c[:rows] = dc * f
        elif mode == "GRU":
            r, z, n, hn = np.split(saved[now], 4, 1)
            dn = dh * (1 - z) * (1 - n * n)
            dr, dz = dn * hn * ((1 - r) * r), dh * (prev - n) * ((1 - z) * z)
            g_gh[now] = np.concatenate([dr, dz, dn * r], 1)
            d, through = [dr, dz, dn], dh * z
        elif mode == "RNN_TANH":
            d = [dh * (1 - out[now] * out[now])]
        else:
            d = [np.where(out[now] > 0, dh, 0)]
        g_gates[now] = np.concatenate(d, 1)
        g_h[:rows] = g_gh[now] @ w + through


# ---------------------------------------------------------------- the records


def _infer(
    gates: TensorType,
    w_hh: TensorType,
    b_hh: Any,
    h0: TensorType,
    c0: Any,
    batch_sizes: Any,
    mode: str,
    reverse: bool = False,
) -> tuple:
    h = h0.shape[1]
    lead = gates.shape[:-1]
    _check_dtype("forward", gates.dtype)
    _check_shapes(lead, w_hh, b_hh, h0, c0, mode)
    state = gates.with_shape(h0.shape)
    return (
        gates.with_shape((*lead, h)),
        state,
        state if mode == "LSTM" else gates.with_shape((0, h)),
        gates.with_shape((*lead, _SAVED[mode] * h)),
    )


def _backward_infer(
    g_out: Any,
    g_h: Any,
    g_c: Any,
    w_hh: TensorType,
    b_hh: Any,
    h0: TensorType,
    c0: Any,
    out: TensorType,
    saved: TensorType,
    batch_sizes: Any,
    mode: str,
    reverse: bool = False,
) -> tuple:
    h = h0.shape[1]
    _check_dtype("backward", out.dtype)
    _check_shapes(out.shape[:-1], w_hh, b_hh, h0, c0, mode)
    _check_gradients(out, saved, h0, (g_out, g_h, g_c), mode)
    return (
        out.with_shape((*out.shape[:-1], w_hh.shape[0])),
        w_hh.with_shape(w_hh.shape),
        out.with_shape((0,) if b_hh is None else b_hh.shape),
        out.with_shape(h0.shape),
        out.with_shape(h0.shape if mode == "LSTM" else (0, h)),
    )


def _called(name: str, lead: tuple, h0: tuple, dtypes: list, mode: str, reverse: bool) -> Any:
    """Packed sequences are left to Python, which looks at their sizes."""
    (*floats, packed), first = dtypes, next(d for d in dtypes if d is not None)
    served = packed is None and first.code in ("f32", "f64")
    if not served or any(d not in (None, first) for d in floats):
        return None
    return f"gc_rnn_{name}_{first.code}", _numbers(lead, lead[0], h0, mode, reverse)


def _lower(shapes: list, dtypes: list, mode: str, reverse: bool) -> Any:
    return _called("forward", shapes[0][:-1], shapes[3], dtypes, mode, reverse)


def _backward_lower(shapes: list, dtypes: list, mode: str, reverse: bool) -> Any:
    return _called("backward", shapes[7][:-1], shapes[5], dtypes, mode, reverse)


def _vjp(
    gs: list,
    gates: Tensor,
    w_hh: Tensor,
    b_hh: Any,
    h0: Tensor,
    c0: Any,
    batch_sizes: Any,
    out: Tensor,
    saved: Tensor,
    mode: str,
    reverse: bool,
    needs: tuple,
) -> tuple:
    g_out, g_h, g_c = gs[:3]
    if mode != "LSTM":
        g_c = None
    if STATE.grad:
        return _vjp_in_ops((g_out, g_h, g_c), (gates, w_hh, b_hh, h0, c0), batch_sizes, mode,
                           reverse, needs)  # fmt: skip
    found = recurrence_backward(
        g_out, g_h, g_c, w_hh, b_hh, h0, c0, out, saved, batch_sizes, mode, reverse
    )
    return (*[g if need else None for g, need in zip(found, needs, strict=False)], None)


def _vjp_in_ops(gs: tuple, inputs: tuple, batch_sizes: Any, mode: str, reverse: bool,
                needs: tuple) -> tuple:  # fmt: skip
    """The same gradients through the layer written in ops, so that they have gradients."""
    sizes = None if batch_sizes is None else batch_sizes.tolist()
    with enable_grad():
        gates, w_hh, b_hh, h0, c0 = inputs
        results = unrolled(gates, w_hh, b_hh, h0, c0, sizes, mode, reverse)
        pairs = [(r, g) for r, g in zip(results, gs, strict=True) if g is not None]
        wanted = [t for t, need in zip(inputs, needs, strict=False) if need]
        found = iter(
            tape.run_backward(
                [r for r, _ in pairs],
                [g for _, g in pairs],
                retain_graph=True,
                create_graph=True,
                inputs=wanted,
                accumulate=False,
            )
        )
    return (*[next(found) if need else None for need in needs[:5]], None)


def _layer(mode: str, steps: int, batch: int, h: int, bias: bool = False, sizes: Any = None,
           dtype: str = "float32", layout: str = "C", **attrs: Any) -> Sample:  # fmt: skip
    width = GATES[mode] * h
    lead = (steps, batch) if sizes is None else (sum(sizes),)
    return Sample(
        (
            Make((*lead, width), dtype, layout=layout),
            Make((width, h), dtype, layout=layout),
            Make((width,), dtype) if bias else None,
            Make((batch, h), dtype),
            Make((batch, h), dtype) if mode == "LSTM" else None,
            None if sizes is None else Make((len(sizes),), "int64", values=list(sizes)),
        ),
        {"mode": mode, **attrs},
    )


def _samples() -> list[Sample]:
    return [
        _layer("LSTM", 2, 1, 2),
        _layer("LSTM", 3, 2, 4, bias=True, layout="T"),
        _layer("LSTM", 3, 3, 2, sizes=(3, 2, 1), reverse=True),
        _layer("GRU", 2, 1, 2, bias=True),
        _layer("GRU", 2, 2, 2, sizes=(2, 1)),
        _layer("RNN_TANH", 3, 2, 2, reverse=True),
        _layer("RNN_RELU", 3, 2, 3, bias=True),
        _layer("LSTM", 4, 3, 5, dtype="float64", reverse=True),
    ]


def _backward_samples() -> list[Sample]:
    out = []
    for mode, lead, b, sizes in (
        ("LSTM", (3, 2), 2, None),
        ("GRU", (3,), 2, [2, 1]),
        ("RNN_TANH", (2, 3), 3, None),
    ):
        width = GATES[mode] * 2
        lstm = mode == "LSTM"
        state = Make((b, 2))
        out.append(
            Sample(
                (
                    Make((*lead, 2)), state, state if lstm else None,
                    Make((width, 2)), Make((width,)), state, state if lstm else None,
                    Make((*lead, 2)), Make((*lead, 2 * _SAVED[mode])),
                    None if sizes is None else Make((2,), "int64", values=sizes),
                ),
                {"mode": mode},
                grad=False,
            )
        )  # fmt: skip
    return out


recurrence_backward = native(
    "recurrence_backward",
    _backward,
    _backward_infer,
    inputs=("g_out", "g_h", "g_c", "w_hh", "b_hh", "h0", "c0", "out", "saved", "batch_sizes"),
    outputs=("g_gates", "g_w_hh", "g_b_hh", "g_h0", "g_c0"),
    lower=_backward_lower,
    half="float32",
    samples=_backward_samples,
)
recurrence = native(
    "recurrence",
    _forward,
    _infer,
    inputs=("gates", "w_hh", "b_hh", "h0", "c0", "batch_sizes"),
    outputs=("out", "h", "c", "saved"),
    auxiliary=(3,),
    lower=_lower,
    half="float32",
    vjp=_vjp,
    samples=_samples,
    doc="A recurrent layer in one direction: gates [T, B, gates * H], or [rows, gates * H] with "
    "batch_sizes [T]; w_hh [gates * H, H]; h0 and c0 [B, H].",
)
