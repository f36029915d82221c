"""Sorts, searches and running combinations of the native library against plain statements of their
rules: bits on special values, every dtype, both sides of the sizes at which the way changes."""

import functools

import numpy as np
import pytest

import graphc as torch
from graphc.ops import scan
from graphc.ops import sort as sort_ops

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float32", "float64"]


def _array(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith("int") or dtype == "uint8":
        info = np.iinfo(dtype)
        few = rng.integers(max(info.min, -4), 5, shape)
        any_ = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
        return np.where(rng.random(shape) < 0.5, few, any_).astype(dtype)
    a = rng.standard_normal(shape).astype(dtype)
    special = np.array([np.nan, -np.nan, 0.0, -0.0, np.inf, -np.inf, 1e-45, 3.0], dtype)
    at = rng.integers(0, 16, shape)
    return np.where(at < 8, special[at % 8], a)


def _before(x, y):
    """-1, 0 or 1 as x goes before y, nan last."""
    if x != x or y != y:
        return int(x != x) - int(y != y)
    return int(x > y) - int(x < y)


def _order(line, descending):
    sign = -1 if descending else 1
    key = functools.cmp_to_key(lambda i, j: sign * _before(line[i], line[j]))
    return sorted(range(len(line)), key=key)  # stable


def _same(found, wanted):
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape and found.dtype == wanted.dtype
    if found.dtype.kind == "f":
        nan = np.isnan(wanted)
        assert (np.isnan(found) == nan).all()
        found, wanted = [np.where(nan, 0, a).view(f"u{a.itemsize}") for a in (found, wanted)]
    assert (found == wanted).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_sort_and_topk(dtype):
    for seed, (outer, n, inner) in enumerate([(2, 0, 1), (3, 1, 2), (2, 20, 3), (1, 700, 2)]):
        a = _array((outer, n, inner), dtype, seed)
        for descending in (False, True):
            at = np.zeros(a.shape, np.int64)
            for o, i in np.ndindex(outer, inner):
                at[o, :, i] = _order(a[o, :, i].tolist(), descending)
            values = np.take_along_axis(a, at, 1)
            for found, wanted in zip(
                torch.sort(torch.tensor(a), 1, descending), (values, at), strict=True
            ):
                _same(found, wanted)
            for k in sorted({0, min(n, 1), n // 5, n}):
                for found, wanted in zip(
                    torch.topk(torch.tensor(a), k, 1, descending), (values, at), strict=True
                ):
                    _same(found, wanted[:, :k])


@pytest.mark.parametrize("dtype", DTYPES)
def test_places_and_sets(dtype):
    for seed, n in enumerate((0, 1, 40)):
        a = _array((n,), dtype, seed)
        row = a[_order(a.tolist(), False)] if n else a
        values = _array((5, 7), dtype, seed + 9)
        for right in (False, True):
            bound = 1 if right else 0
            wanted = [sum(_before(x, v) < bound for x in row) for v in values.reshape(-1)]
            found = torch.searchsorted(torch.tensor(row), torch.tensor(values), right=right)
            _same(found.numpy(), np.array(wanted, np.int64).reshape(5, 7))
        wanted = [any(x == v for x in a) for v in values.reshape(-1)]
        found = torch.isin(torch.tensor(values), torch.tensor(a))
        _same(found.numpy(), np.array(wanted, bool).reshape(5, 7))


def test_mode_counts_each_nan_for_itself():
    nan = float("nan")
    values, at = torch.mode(torch.tensor([[1, nan, nan, nan, 2, 2], [nan] * 6]), 1)
    assert values[0].item() == 2 and at.tolist() == [5, 0] and values[1].isnan()
    assert torch.mode(torch.tensor([3, 1, 3, 1, 2])).indices.item() == 3  # the smallest, its last
    with pytest.raises(IndexError, match=r"mode\(\): Expected reduction dim 0 to have non-zero"):
        torch.mode(torch.zeros(0, 3), 0)
    with pytest.raises(NotImplementedError, match='"mode_cpu" not implemented for'):
        torch.mode(torch.zeros(2, dtype=torch.complex64))


@pytest.mark.parametrize(
    "x,args,kind,text",
    [
        ([1.0, 2.0], (4, 3, 1), RuntimeError, "torch.histc: max must be larger than min"),
        (
            [1.0, float("inf")],
            (4,),
            RuntimeError,
            r"torch.histc: range of \[1, inf\] is not finite",
        ),
        ([1.0], (4, 0, float("inf")), RuntimeError, r"range of \[0, inf\] is not finite"),
        ([1.0], (0,), RuntimeError, "bins must be > 0, but got 0 for dimension 0"),
        ([1, 2], (4,), NotImplementedError, "\"histogram_cpu\" not implemented for 'Long'"),
    ],
)
def test_histc_refuses(x, args, kind, text):
    with pytest.raises(kind, match=text):
        torch.histc(torch.tensor(x), *args)


@pytest.mark.parametrize("dtype", DTYPES)
def test_running_extrema(dtype):
    for name, sign in (("cummax", 1), ("cummin", -1)):
        a = _array((3, 30, 2), dtype, 5)
        at = np.zeros(a.shape, np.int64)
        for o, i in np.ndindex(3, 2):
            best = 0
            for r in range(30):
                x, y = a[o, r, i], a[o, best, i]
                if x != x or (x >= y if sign > 0 else x <= y):
                    best = r
                at[o, r, i] = best
        values, found = getattr(torch, name)(torch.tensor(a), 1)
        _same(found.numpy(), at)
        _same(values.numpy(), np.take_along_axis(a, at, 1))


def test_logcumsumexp_of_infinities():
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([-inf, -inf, 1.0, inf, inf, -inf, nan, 1.0])
    assert str(torch.logcumsumexp(x, 0).tolist()) == str([-inf, -inf, 1.0, inf, inf, inf, nan, nan])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_logcumsumexp_has_the_same_bits_along_any_axis(dtype):
    a = 30 * np.random.default_rng(3).standard_normal((1200, 3)).astype(dtype)
    down = torch.logcumsumexp(torch.tensor(a), 0).numpy()
    _same(torch.logcumsumexp(torch.tensor(a).t().contiguous(), 1).numpy().T, down)
    wide = a.astype(np.longdouble)
    high = np.maximum.accumulate(wide, 0)
    exact = np.log(np.array([np.exp(wide[: r + 1] - high[r]).sum(0) for r in range(1200)])) + high
    # n additions of positive numbers, each rounded in float64; one rounding to the result's type
    bound = 1200 * 2.0**-52 + np.finfo(dtype).eps * np.abs(exact)
    assert (np.abs(down - exact) <= bound).all()


def test_linear_scan_is_the_recurrence():
    a, b = _array((2, 9, 3), "float32", 1), _array((2, 9, 3), "float32", 2)
    for reverse in (False, True):
        wanted = b.copy()
        with np.errstate(all="ignore"):
            for k in range(1, 9):
                if reverse:
                    wanted[:, 8 - k] = b[:, 8 - k] + a[:, 9 - k] * wanted[:, 9 - k]
                else:
                    wanted[:, k] = b[:, k] + a[:, k] * wanted[:, k - 1]
        _same(scan.linear_scan(torch.tensor(a), torch.tensor(b), 1, reverse).numpy(), wanted)


def _cumprod_gradient(x):
    y = x.detach().requires_grad_(True)
    (torch.cumprod(y, 0) * x).sum().backward()
    return y.grad


def test_cumprods_gradient_does_not_grow_with_its_axis():
    sizes = []
    for n in (4, 50):
        x = torch.tensor(np.where(np.arange(n) == 2, 0, 0.9 + np.arange(n) / n).astype("float32"))
        compiled = torch.compile(_cumprod_gradient, fullgraph=True)
        _same(compiled(x).numpy(), _cumprod_gradient(x).numpy())
        sizes.append(len(compiled.kernels))
    assert sizes[0] == sizes[1]


def test_scatters_keep_the_first_of_equal_zeros():
    nan = float("nan")
    base = torch.tensor([0.0, -0.0, nan, 1.0, 0.0])
    index, src = torch.tensor([0, 1, 2, 3, 4, 4]), torch.tensor([-0.0, 0.0, 1.0, nan, -0.0, 0.0])
    for how in ("amax", "amin"):
        for own, signs in ((True, "+-  +"), (False, "-+  -")):

            def fn(b, i, s, how=how, own=own):
                return b.scatter_reduce(0, i, s, how, include_self=own)

            found = fn(base, index, src)
            zeros = found.signbit().tolist()
            assert [z for z, s in zip(zeros, signs, strict=True) if s != " "] == [
                s == "-" for s in signs if s != " "
            ]
            _same(torch.compile(fn, fullgraph=True)(base, index, src).numpy(), found.numpy())


def test_an_opaque_step_of_symbolic_sizes_with_a_result_of_fixed_size():
    def fn(x):
        return torch.histc(x * 2, 10) + 1  # the range depends on the data

    compiled = torch.compile(fn, fullgraph=True, dynamic=True)
    for n in (4, 7):
        x = torch.arange(n * 5.0).reshape(n, 5)
        _same(compiled(x).numpy(), fn(x).numpy())


def _both(found):
    return found[0] * 3 + found[1]


ONE_SEGMENT = {
    "sort": lambda x: _both(torch.sort(x * 2, 1)),
    "sort of a transpose": lambda x: _both(torch.sort((x * 2).t(), 0, descending=True)),
    "sort of halves": lambda x: torch.sort((x * 2).to(torch.float16), 1)[0] + 1,
    "topk": lambda x: _both(torch.topk(x.exp(), 5, 0)),
    "mode": lambda x: _both(torch.mode((x * 3).round(), 1)),
    "searchsorted": lambda x: torch.searchsorted(torch.sort(x[0] * 2)[0], x * 3) + 1,
    "isin": lambda x: torch.isin((x * 3).round(), (x[0] * 2).round()).to(torch.float32) * 2,
    "histc": lambda x: torch.histc(x * 2, 10, -1, 1.5) + 1,
    "cummax": lambda x: _both(torch.cummax(x * 2, 1)),
    "logcumsumexp": lambda x: torch.logcumsumexp(x * 2, 0) + 1,
    "cumprod": lambda x: _cumprod_gradient(x * 1.1),
    "amax": lambda x: (x * 2).scatter_reduce(0, (x * 5).abs().to(torch.int64), x + 1, "amax") * 2,
    "prod": lambda x: (
        (x * 2).scatter_reduce(0, (x * 5).abs().to(torch.int64), x + 1, "prod", include_self=False)
        * 2
    ),
}


@pytest.mark.parametrize("name", ONE_SEGMENT)
def test_one_segment_with_eagers_bits(name):
    fn = ONE_SEGMENT[name]
    x = torch.tensor(np.random.default_rng(4).standard_normal((37, 53)).astype("float32"))
    for dynamic in (False, True):
        compiled = torch.compile(fn, fullgraph=True, dynamic=dynamic)
        _same(compiled(x).numpy(), fn(x).numpy())
        assert "segment_1" not in str(compiled.source)


def test_sort_ops_without_a_native_function(monkeypatch):
    """The numpy side gives the same bits."""
    for dtype in DTYPES:
        a = _array((3, 40), dtype, 8)
        calls = [
            lambda a=a: sort_ops.sort.eager(a, 1, True),
            lambda a=a: sort_ops.topk.eager(a, 5, 1, True),
            lambda a=a: sort_ops.mode.eager(a, 1),
            lambda a=a: scan.cummin.eager(a, 1),
        ]
        native = [c() for c in calls]
        with monkeypatch.context() as m:
            m.setattr("graphc.native.library.available", lambda: False)
            plain = [c() for c in calls]
        for x, y in zip(native, plain, strict=True):
            for found, wanted in zip(x, y, strict=True):
                _same(found, wanted)
