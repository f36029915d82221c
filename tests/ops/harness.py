"""What the generic op tests share: inputs from samples, calls, comparison in bits."""

from __future__ import annotations

import contextlib
import zlib

import numpy as np

import graphc as torch
from graphc.base import dtypes
from graphc.core import dispatch
from graphc.core.tensor import Tensor, wrap
from graphc.ir.op import Make, Op, Sample, table
from graphc.native import library

SPECIAL = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    1.5,
    2.5,
    -2.5,
    3.7,
    -3.7,
    1e-40,
    -1e-40,
    1e-10,
    88.0,
    104.0,
    -104.0,
    1e5,
    -1e5,
    3e38,
    -3e38,
    float("inf"),
    float("-inf"),
    float("nan"),
]


def ops() -> list[Op]:
    """The whole table, in order of names."""
    import graphc.ops  # noqa: F401

    return [op for _, op in sorted(table().items())]


@contextlib.contextmanager
def new_ops():
    """Ops that are registered inside leave the table again at the end."""
    before = set(table())
    try:
        yield
    finally:
        for name in set(table()) - before:
            del table()[name]


def cases(condition=lambda op, s: True) -> list:
    """pytest parameters (op, sample) over the whole table."""
    import pytest

    out = []
    for op in ops():
        for i, s in enumerate(op.samples()):
            if condition(op, s):
                out.append(pytest.param(op, s, id=f"{op.name}-{i}{'-' + s.name if s.name else ''}"))
    return out


def array(make: Make, seed: int) -> np.ndarray:
    """The numpy array of a recipe, with its layout; same numbers for the same seed."""
    rng = np.random.default_rng(seed)
    d = dtypes.dtype_named(make.dtype)
    shape = make.shape
    wide = {
        "C": shape,
        "offset": shape,
        "T": shape[:-2] + shape[:-3:-1] if len(shape) > 1 else shape,
        "strided": shape[:-1] + (2 * shape[-1],) if shape else shape,
        "expanded": (1, *shape[1:]) if shape else shape,
    }[make.layout]
    if make.values == "special":
        flat = np.resize(np.array(SPECIAL), int(np.prod(wide))).astype(np.float64)
    elif make.values == "normal":
        flat = rng.standard_normal(int(np.prod(wide)))
    elif make.values is not None:
        flat = np.resize(np.array(make.values), int(np.prod(wide)))
    elif d.category <= dtypes.INT:
        flat = rng.integers(int(make.lo), max(int(make.hi), int(make.lo) + 1), int(np.prod(wide)))
    else:
        flat = rng.uniform(make.lo, make.hi, int(np.prod(wide)))
    if d.is_complex:
        flat = flat + 1j * rng.uniform(make.lo, make.hi, flat.shape)
    from_ = dtypes.from_numpy_dtype(flat.dtype)
    a = dispatch.cast_array(np.ascontiguousarray(flat), from_, d)
    if make.layout == "offset":
        a = np.concatenate([a[:1].repeat(3), a])[3:]
    a = a.reshape(wide)
    if make.layout == "T" and len(shape) > 1:
        a = a.swapaxes(-1, -2)
    elif make.layout == "strided" and shape:
        a = a[..., ::2]
    elif make.layout == "expanded" and shape:
        a = np.lib.stride_tricks.as_strided(a, shape, (0, *a.strides[1:]))
    return a


def make_inputs(op: Op, s: Sample, dtype: str | None = None, requires_grad: bool = False) -> list:
    """The sample's inputs as tensors (numbers and None stay). dtype replaces floating dtypes."""
    out: list = []
    for i, m in enumerate(s.inputs):
        if not isinstance(m, Make):
            out.append(m)
            continue
        t = wrap(array(m, zlib.crc32(op.name.encode()) + i))
        if t.dtype.is_floating_point:
            if dtype is not None:
                a = t._array.astype(dtypes.dtype_named(dtype).np)
                t = wrap(np.ascontiguousarray(a).reshape(a.shape))
            if requires_grad:
                t.requires_grad_()
        out.append(t)
    return out


def call(op: Op, inputs: list, s: Sample):
    """The op's result for a sample, as a tuple of tensors."""
    out = op(tuple(inputs), **s.attrs) if op.variadic else op(*inputs, **s.attrs)
    return out if isinstance(out, tuple) else (out,)


def attr_values(op: Op, s: Sample) -> tuple:
    return op._bind((), dict(s.attrs))


def bits(t) -> bytes:
    """The value's bits in logical order, every nan mapped to one."""
    a = np.ascontiguousarray(t._array if isinstance(t, Tensor) else t)
    if a.dtype.kind == "c":
        a = a.reshape(-1).view(a.real.dtype)
    if a.dtype.kind == "f" or a.dtype.name == "bfloat16":
        a = a.copy()
        nan = np.isnan(a.astype(np.float32)) if a.dtype.itemsize == 2 else np.isnan(a)
        a[nan] = np.nan
        raw = (
            a.view({2: np.uint16, 4: np.uint32, 8: np.uint64}[a.dtype.itemsize]).copy()
            if a.ndim
            else a.reshape(1)
            .view({2: np.uint16, 4: np.uint32, 8: np.uint64}[a.dtype.itemsize])
            .copy()
        )
        raw[nan if a.ndim else nan.reshape(1)] = 1
        return raw.tobytes()
    return a.tobytes()


def assert_same_bits(a, b, what: str = "") -> None:
    """Same shape, dtype and bits; the message shows the first element that differs."""
    x = a._array if isinstance(a, Tensor) else np.asarray(a)
    y = b._array if isinstance(b, Tensor) else np.asarray(b)
    assert x.shape == y.shape, f"{what}: shapes {x.shape} and {y.shape}"
    assert x.dtype == y.dtype, f"{what}: dtypes {x.dtype} and {y.dtype}"
    if bits(x) != bits(y):
        same = (x == y) | ((x != x) & (y != y))
        at = np.argwhere(~same)
        first = tuple(at[0]) if len(at) else ()
        raise AssertionError(
            f"{what}: {len(at) or 'sign of zero in some'} of {x.size} elements differ; first at "
            f"{first}: {x[first]!r} and {y[first]!r}"
        )


def strides_of(t: Tensor) -> tuple:
    """Strides with those of axes of size 1, and of empty tensors, left out: they mean nothing."""
    if 0 in t.shape:
        return ()
    return tuple(s for s, n in zip(t.stride(), t.shape, strict=True) if n != 1)


def is_tensor(x) -> bool:
    return isinstance(x, torch.Tensor)


# ---------------------------------------------------------------- eager mode against the record


def check_infer(op: Op, s: Sample) -> None:
    """The type rule gives the shapes, dtypes and strides of eager results."""
    inputs = make_inputs(op, s)
    types = tuple(t.type_ if is_tensor(t) else t for t in inputs)
    attrs = attr_values(op, s)
    inferred = op.infer(types, *attrs) if op.variadic else op.infer(*types, *attrs)
    inferred = inferred if type(inferred) is tuple else (inferred,)
    with np.errstate(all="ignore"):
        results = call(op, inputs, s)
    if op.kind == "composite" and any(t.dtype.is_half for t in inputs if is_tensor(t)):
        inferred = ()  # runs in float32 and rounds: the body's own ops are what is inferred
    for got, want in zip(results, inferred, strict=False):
        if got is None or want is None:
            assert got is want
            continue
        assert tuple(got.shape) == tuple(want.shape)
        assert got.dtype is want.dtype
        expected = tuple(st for st, n in zip(want.strides, want.shape, strict=True) if n != 1)
        assert strides_of(got) == (() if 0 in want.shape else expected)


def check_refusal(op: Op, s: Sample) -> None:
    """An error sample raises what it says, in eager mode."""
    kind, text = s.error
    try:
        call(op, make_inputs(op, s), s)
    except kind as e:
        assert text in str(e)
    else:
        raise AssertionError(f"{describe(op, 0, s)} raises no {kind.__name__}")


def gradcheckable(op: Op, s: Sample) -> bool:
    """Samples whose gradients are compared with finite differences: float32 ones, that run in
    float64."""
    small = sum(int(np.prod(m.shape)) for m in s.inputs if isinstance(m, Make)) <= 400
    plain = all(
        not isinstance(m, Make) or m.dtype in ("float32", "int64", "bool", "int32")
        for m in s.inputs
    )
    return (
        s.error is None
        and s.grad
        and (op.vjp is not None or op.body is not None)
        and small
        and plain
        and any(isinstance(m, Make) and m.dtype == "float32" for m in s.inputs)
    )


def check_gradients(op: Op, s: Sample) -> None:
    """Gradients of first and (for small samples) second order against finite differences in
    float64."""
    inputs = make_inputs(op, s, dtype="float64", requires_grad=True)

    def fn(*args):
        return tuple(
            t
            for j, t in enumerate(call(op, list(args), s))
            if t.dtype.is_floating_point and j not in op.extra.get("auxiliary", ())
        )

    assert torch.autograd.gradcheck(fn, tuple(inputs))
    if sum(t.numel() for t in inputs if is_tensor(t)) <= 40:
        assert torch.autograd.gradgradcheck(fn, tuple(inputs), atol=1e-4)


def check_op(op: Op) -> None:
    """Everything that the tests of the table ask of an op, for one op: eager mode against its
    record, gradients of both orders, capture, interpreter and C in bits, symbolic sizes, and what
    a compiled call shows of it."""
    from . import symbolic

    samples = list(enumerate(op.samples()))
    good = [(op, i, s) for i, s in samples if s.error is None]
    for _, _, s in good:
        check_infer(op, s)
        if gradcheckable(op, s):
            check_gradients(op, s)
    backends = ["interpret", "c"] if library.available() else ["interpret"]
    for backend in backends:
        check_batch(good, backend)
        if back := [c for c in good if has_gradient(*c)]:
            check_batch(back, backend, backward=True)
    for _, s in samples:
        if s.error is not None:
            check_refusal(op, s)
            for backend in backends:
                check_error(op, s, backend)
    symbolic.check_graphs([symbolic.Case(op, i, s, False) for _, i, s in good])
    check_shown(op, good[0][2])


def check_shown(op: Op, s: Sample) -> None:
    """A compiled call shows the op in its graph, and (unless it is opaque) in a kernel with the
    user's line."""
    compiled = torch.compile(lambda *xs: call(op, list(xs), s), fullgraph=True)
    compiled(*make_inputs(op, s))
    assert op.name in str(compiled.graph) or op.body is not None
    assert "1 program" in compiled.explain()
    if library.available() and op.kind != "opaque":
        (kernel, *_) = compiled.kernels
        assert kernel.source.strip() and kernel.source.split()[0] in compiled.source
        assert any("harness.py" in file for file, _, _ in kernel.lines)


# ---------------------------------------------------------------- compiled against eager


def capturable(op: Op) -> bool:
    """Ops whose result's shape depends on data are the only ones that no program can hold."""
    return not op.extra.get("data_shape")


def forward_cases() -> list:
    """(op, number of the sample, sample) of everything that can be compiled."""
    return [
        (op, i, s)
        for op in ops()
        if capturable(op)
        for i, s in enumerate(op.samples())
        if s.error is None
    ]


def has_gradient(op: Op, i: int, s: Sample) -> bool:
    """Whether a case can be differentiated."""
    return (
        s.grad
        and (op.vjp is not None or op.body is not None)
        and any(
            isinstance(m, Make) and dtypes.dtype_named(m.dtype).is_floating_point for m in s.inputs
        )
    )


def backward_cases() -> list:
    """The cases that have a gradient."""
    return [c for c in forward_cases() if has_gradient(*c)]


_KINDS = (
    "bool",
    "uint8",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "bfloat16",
    "float32",
    "float64",
)
_EXTREMES = {
    "bool": [0, 1],
    "uint8": [0, 1, 2, 7, 127, 128, 200, 255],
    "int8": [0, 1, -1, 2, -2, 7, -7, 127, -128],
    "int16": [0, 1, -1, 3, -3, 32767, -32768],
    "int32": [0, 1, -1, 3, -5, 31, 2**31 - 1, -(2**31)],
    "int64": [0, 1, -1, 3, -5, 63, 2**63 - 1, -(2**63)],
}


def variant_cases() -> list:
    """The ops' own samples in every dtype that eager mode takes, with special values and extreme
    integers."""
    out = []
    for op in ops():
        if not capturable(op):
            continue
        chosen = [s for s in op.samples() if s.error is None]
        if op.kind == "pointwise":
            chosen = (
                chosen[:1]
                + [s for s in chosen if any(not isinstance(m, Make) for m in s.inputs)][:1]
            )
        else:
            chosen = [chosen[0], chosen[len(chosen) // 2], chosen[-1]]
        n = 1000
        for base in chosen:
            for d in _KINDS:
                s = _variant(op, base, d)
                if s is not None and _runs(op, s):
                    out.append((op, n, s))
                    n += 1
    return out


def _variant(op: Op, s: Sample, d: str) -> Sample | None:
    """s with the dtype of its numeric operands replaced by d, and values at the ends of d's
    range."""
    makes = [m for m in s.inputs if isinstance(m, Make)]
    floats = [m for m in makes if dtypes.dtype_named(m.dtype).is_floating_point]
    main = {m.dtype for m in floats} or {m.dtype for m in makes[:1]}
    values = _EXTREMES.get(d, "special")
    inputs, at = [], 0
    for m in s.inputs:
        if not isinstance(m, Make) or m.dtype not in main:
            inputs.append(m)
        elif op.kind == "pointwise":
            if at and values != "special":
                values = [v for v in values if v]  # divisors
            inputs.append(Make(((24, 24), (24, 1), (5, 1, 1))[at], d, values=values))
            at += 1
        else:
            inputs.append(Make(m.shape, d, layout=m.layout, values=values))
    return Sample(tuple(inputs), s.attrs, grad=False) if makes else None


def refused_cases() -> list:
    """Every op in the dtypes that eager mode refuses."""
    return [
        (op, s)
        for op in ops()
        if capturable(op)
        for d in _KINDS
        for s in [_variant(op, next(s for s in op.samples() if s.error is None), d)]
        if s is not None and not _runs(op, s)
    ]


def _runs(op: Op, s: Sample) -> bool:
    """Whether eager mode accepts the dtypes (and, for integer division, the values) of a sample."""
    try:
        with np.errstate(all="ignore"):
            call(op, make_inputs(op, s), s)
    except Exception:  # noqa: BLE001  (which one it may be, the tests of refused dtypes say)
        return False
    return True


def check_batch(batch: list, backend: str, backward: bool = False) -> None:
    """Runs the cases eagerly and in one compiled function; asserts equal bits, dtypes, shapes and
    strides."""
    inputs = [make_inputs(op, s, requires_grad=backward) for op, _, s in batch]
    weights = (
        [_cotangents(op, xs, s) for (op, _, s), xs in zip(batch, inputs, strict=True)]
        if backward
        else []
    )

    def forward(inputs):
        return [call(op, xs, s) for (op, _, s), xs in zip(batch, inputs, strict=True)]

    def both(inputs, weights):
        return [
            _with_gradients(call(op, xs, s), xs, ws)
            for (op, _, s), xs, ws in zip(batch, inputs, weights, strict=True)
        ]

    fn, args = (both, (inputs, weights)) if backward else (forward, (inputs,))
    with np.errstate(all="ignore"):
        wanted = fn(*args)
        found = torch.compile(fn, backend=backend, fullgraph=True)(*args)
    wrong = []
    for (op, i, s), got, want in zip(batch, found, wanted, strict=True):
        for j, (a, b) in enumerate(zip(got, want, strict=True)):
            try:
                assert_same(a, b, f"{describe(op, i, s)} [{j}]")
            except AssertionError as e:
                wrong.append(str(e))
    assert not wrong, f"{len(wrong)} results differ:\n" + "\n".join(wrong[:20])


def check_error(op: Op, s: Sample, backend: str) -> None:
    """A compiled function raises what the eager one raises, and leaves its arguments, and the
    random state, as that does. Where data are at fault, the program is compiled for good data
    first."""

    def fn(total, *xs):
        total.add_(1)
        torch.rand(3)
        outs = call(op, list(xs), s)
        total.mul_(2)
        return outs

    def run(f, xs):
        total = torch.zeros(3)
        torch.manual_seed(11)
        with np.errstate(all="ignore"):
            try:
                f(total, *xs)
            except Exception as e:  # noqa: BLE001
                return type(e), str(e), total.tolist(), torch.get_rng_state().tolist()
        return None

    wanted = run(fn, make_inputs(op, s))
    assert wanted is not None, f"{describe(op, 0, s)} raises nothing in eager mode"
    assert wanted[0] in (RuntimeError, NotImplementedError, IndexError, TypeError), wanted
    compiled = torch.compile(fn, backend=backend, fullgraph=True)
    if s.error is not None and any(
        isinstance(m, Make) and isinstance(m.values, list) for m in s.inputs
    ):
        good = Sample(
            tuple(
                Make(m.shape, m.dtype, values=[1])
                if isinstance(m, Make) and isinstance(m.values, list)
                else m
                for m in s.inputs
            ),
            s.attrs,
        )
        assert run(compiled, make_inputs(op, good)) is None
        assert len(compiled.specialisations) == 1
    for _ in range(2):
        assert run(compiled, make_inputs(op, s)) == wanted


def describe(op: Op, i: int, s: Sample) -> str:
    """A sample in a few words: add-3(f32[3,4] T, 1.5)."""

    def one(m):
        if not isinstance(m, Make):
            return repr(m)
        more = ("" if m.layout == "C" else f" {m.layout}") + (
            " special" if m.values == "special" else ""
        )
        return f"{m.dtype}{list(m.shape)}{more}"

    attrs = [f"{k}={v}" for k, v in s.attrs.items()]
    return f"{op.name}-{i}({', '.join([*map(one, s.inputs), *attrs])})"


def assert_same(a, b, what: str) -> None:
    """Bits, dtype, shape and strides; None and numbers compare as they are."""
    if not is_tensor(a) or not is_tensor(b):
        assert a is b or a == b, f"{what}: {a!r} and {b!r}"
        return
    assert_same_bits(a, b, what)
    assert a.dtype is b.dtype, f"{what}: dtypes {a.dtype} and {b.dtype}"
    assert strides_of(a) == strides_of(b), f"{what}: strides {strides_of(a)} and {strides_of(b)}"
    assert a.requires_grad == b.requires_grad, (
        f"{what}: requires_grad {a.requires_grad} and {b.requires_grad}"
    )


def _differentiable(outs: tuple) -> list:
    return [t for t in outs if is_tensor(t) and t.requires_grad]


def _cotangents(op: Op, xs: list, s: Sample) -> list:
    with np.errstate(all="ignore"):
        outs = _differentiable(call(op, xs, s))
    return [wrap(array(Make(tuple(t.shape), t.dtype.name), 7 + j)) for j, t in enumerate(outs)]


def _with_gradients(outs: tuple, xs: list, weights: list) -> tuple:
    wrt = [x for x in xs if is_tensor(x) and x.requires_grad]
    got = torch.autograd.grad(_differentiable(outs), wrt, weights, allow_unused=True)
    return (*[t.detach() for t in outs if t is not None], *got)
