"""Fused row kernels and optimizer updates against the compositions that define them, bit for bit.

The compositions run here on numpy's correctly rounded operations, the canonical sum and maximum of
the plain-Python specification, and the library's exponential and logarithm.
"""

import numpy as np
import pytest

from graphc.native import cpu, library
from tests.native import spec_reduce as spec

pytestmark = pytest.mark.skipif(not library.available(), reason="no native kernels")

CODES = {"f32": np.float32, "f64": np.float64}
ROWS = "void(int64_t, int64_t, {})"
SHAPES = [(1, 1), (5, 3), (70, 10), (3, 64), (2, 100), (3, 513), (2, 1025), (2, 5000), (1, 9000)]


def run(name, code, rows, n, *arrays, eps=None):
    """The kernel on [rows, n]; None is a null pointer."""
    pointers = [cpu.ffi().NULL if a is None else library.pointer(a) for a in arrays]
    extra = [] if eps is None else [eps]
    signature = ROWS.format(", ".join(["double"] * len(extra) + ["void *"] * len(arrays)))
    library.fn(f"{name}_{code}", signature)(rows, n, *extra, *pointers)


def elementwise(name, x):
    code = "f32" if x.dtype == np.float32 else "f64"
    x = np.ascontiguousarray(x)
    out = np.empty_like(x)
    kernel = library.fn(f"gc_v_{name}_{code}", "void(int64_t, void *, void *)")
    kernel(x.size, library.pointer(x), library.pointer(out))
    return out


def total(x):
    """Canonical sum of every row, kept as a column."""
    return np.array([[spec.sum_(row)] for row in x], x.dtype)


def most(x):
    return np.array([[spec.maximum(row)] for row in x], x.dtype)


def assert_bits(got, want):
    assert got.dtype == want.dtype and got.shape == want.shape
    got, want = (np.where(np.isnan(a), np.nan, a).astype(a.dtype) for a in (got, want))
    assert got.tobytes() == want.tobytes()


def draw(shape, code, seed=0):
    return (3 * np.random.default_rng(seed).standard_normal(shape)).astype(CODES[code])


def softmax(x):
    e = elementwise("exp", x - most(x))
    return e / total(e)


def log_softmax(x):
    d = x - most(x)
    return d - elementwise("log", total(elementwise("exp", d)))


def softmax_backward(g, y):
    return y * (g - total(g * y))


def log_softmax_backward(g, y):
    return g - elementwise("exp", y) * total(g)


def layer_norm(x, w, b, eps):
    t = x.dtype.type
    n = t(x.shape[1])
    mean = total(x) / n
    d = x - mean
    rstd = t(1) / np.sqrt(total(d * d) / n + t(eps))
    y = d * rstd
    y = y if w is None else y * w
    return (y if b is None else y + b), mean[:, 0], rstd[:, 0]


def layer_norm_backward(g, x, w, mean, rstd):
    n, rstd = x.dtype.type(x.shape[1]), rstd[:, None]
    gw = g if w is None else g * w
    xh = (x - mean[:, None]) * rstd
    a, c = total(gw) / n, total(gw * xh) / n
    return ((gw - a) - xh * c) * rstd


@pytest.fixture(params=[1, 2])
def threads(request):
    before = library.get_num_threads()
    library.set_num_threads(request.param)
    yield request.param
    library.set_num_threads(before)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_softmax(function, shape, code):
    x = draw(shape, code)
    got = np.empty_like(x)
    run(f"gc_row_{function.__name__}", code, *shape, x, got)
    assert_bits(got, function(x))
    run(f"gc_row_{function.__name__}", code, *shape, x, x)  # in place
    assert_bits(x, got)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("n", [4, 600])
def test_softmax_of_special_rows(n, code):
    x = draw((6, n), code)
    x[0] = -np.inf  # nothing to normalise: NaN, as the composition gives
    x[1, 1:] = -np.inf
    x[2, 0] = np.inf
    x[3, 2] = np.nan
    x[4] = -0.0
    x[5, ::2] = -np.inf
    for function in (softmax, log_softmax):
        got = np.empty_like(x)
        run(f"gc_row_{function.__name__}", code, 6, n, x, got)
        with np.errstate(all="ignore"):
            assert_bits(got, function(x))
        assert np.isnan(got[[0, 2, 3]]).all() and not np.isnan(got[[1, 4, 5]]).any()


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shape", SHAPES)
def test_softmax_backward(shape, code):
    g, x = draw(shape, code, 1), draw(shape, code, 2)
    for forward, function in [(softmax, softmax_backward), (log_softmax, log_softmax_backward)]:
        y = forward(x)
        want, got = function(g, y), np.empty_like(g)
        run(f"gc_row_{function.__name__}", code, *shape, g, y, got)
        assert_bits(got, want)
        for target in (0, 1):  # in place of the gradient, in place of the output
            both = [g.copy(), y.copy()]
            run(f"gc_row_{function.__name__}", code, *shape, *both, both[target])
            assert_bits(both[target], want)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", ["wb", "w", "b", ""])
def test_layer_norm(shape, code, affine):
    rows, n = shape
    x, g = draw(shape, code, 3) + CODES[code](5), draw(shape, code, 4)
    w = draw(n, code, 5) if "w" in affine else None
    b = draw(n, code, 6) if "b" in affine else None
    y, mean, rstd = np.empty_like(x), np.empty(rows, x.dtype), np.empty(rows, x.dtype)
    run("gc_row_layer_norm", code, rows, n, x, w, b, y, mean, rstd, eps=1e-5)
    for got, want in zip((y, mean, rstd), layer_norm(x, w, b, 1e-5), strict=True):
        assert_bits(got, want)
    again = x.copy()
    run("gc_row_layer_norm", code, rows, n, again, w, b, again, None, None, eps=1e-5)
    assert_bits(again, y)
    dx = np.empty_like(x)
    run("gc_row_layer_norm_backward", code, rows, n, g, x, w, mean, rstd, dx)
    assert_bits(dx, layer_norm_backward(g, x, w, mean, rstd))


def test_rows_over_threads_and_empty(threads):
    x = draw((3000, 37), "f32")
    y = np.empty_like(x)
    run("gc_row_softmax", "f32", 3000, 37, x, y)
    assert_bits(y, softmax(x))
    for shape in [(0, 5), (5, 0), (0, 0)]:
        none = np.empty(shape, np.float32)
        for name in ("gc_row_softmax", "gc_row_log_softmax"):
            run(name, "f32", *shape, none, none)
        run("gc_row_softmax_backward", "f32", *shape, none, none, none)
    mean, rstd = np.zeros((2, 5), np.float32)
    run("gc_row_layer_norm", "f32", 5, 0, none, None, None, none, mean, rstd, eps=1e-5)
    assert np.isnan(mean).all() and np.isnan(rstd).all()  # 0 / 0, as the composition gives


def test_against_pytorch():
    torch = pytest.importorskip("torch")
    x, g = (torch.from_numpy(draw((9, 300), "f64", s)).requires_grad_() for s in (1, 2))
    w, b = torch.from_numpy(draw(300, "f64", 3)), torch.from_numpy(draw(300, "f64", 4))
    close = {"rtol": 1e-12, "atol": 1e-12}  # some hundred roundings of 2^-53 on numbers near one
    for name in ("softmax", "log_softmax"):
        y, got = getattr(torch, name)(x, 1), np.empty((9, 300))
        run(f"gc_row_{name}", "f64", 9, 300, x.detach().numpy(), got)
        np.testing.assert_allclose(got, y.detach().numpy(), **close)
        (dx,) = torch.autograd.grad(y, x, g)
        gradient = g.detach().numpy()
        run(f"gc_row_{name}_backward", "f64", 9, 300, gradient, y.detach().numpy(), got)
        np.testing.assert_allclose(got, dx.detach().numpy(), **close)
    y = torch.nn.functional.layer_norm(x, (300,), w, b)
    (dx,) = torch.autograd.grad(y, x, g)
    got, mean, rstd = np.empty((9, 300)), np.empty(9), np.empty(9)
    inputs = [x.detach().numpy(), w.numpy(), b.numpy()]
    run("gc_row_layer_norm", "f64", 9, 300, *inputs, got, mean, rstd, eps=1e-5)
    np.testing.assert_allclose(got, y.detach().numpy(), **close)
    run("gc_row_layer_norm_backward", "f64", 9, 300, gradient, *inputs[:2], mean, rstd, got)
    np.testing.assert_allclose(got, dx.detach().numpy(), **close)


# ---- optimizer updates ----

MAXIMIZE, WEIGHT_DECAY, NESTEROV, FIRST, DECOUPLED = 1, 2, 4, 8, 16


def gradient(p, g, decay, flags):
    d = -g if flags & MAXIMIZE else g
    return d + decay * p if flags & WEIGHT_DECAY else d


def update(name, code, arrays, scalars, flags):
    """Calls gc_optim_<name> with pointers (None: null), scalars and flags."""
    real = "float" if code == "f32" else "double"
    signature = ", ".join(["int64_t", *["void *"] * len(arrays), *[real] * len(scalars), "int"])
    pointers = [cpu.ffi().NULL if a is None else library.pointer(a) for a in arrays]
    function = library.fn(f"gc_optim_{name}_{code}", f"void({signature})")
    function(arrays[0].size, *pointers, *[float(s) for s in scalars], flags)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("flags", [0, MAXIMIZE, WEIGHT_DECAY, FIRST, NESTEROV | MAXIMIZE, 6, 15])
@pytest.mark.parametrize("momentum", [True, False])
def test_sgd(code, flags, momentum, threads):
    t = CODES[code]
    lr, decay, mu, rest = t(0.1), t(0.01), t(0.9), t(0.7)
    for n in (0, 1, 300, 100_000):
        p, g, buf = draw((3, n), code, n)
        want_p, want_buf = p.copy(), buf.copy()
        d = gradient(p, g, decay, flags)
        if momentum:
            want_buf = d if flags & FIRST else mu * buf + rest * d
            d = d + mu * want_buf if flags & NESTEROV else want_buf
        want_p = p - lr * d
        update("sgd", code, [p, g, buf if momentum else None], [lr, decay, mu, rest], flags)
        assert_bits(p, want_p)
        assert_bits(buf, want_buf)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("flags", [0, MAXIMIZE, WEIGHT_DECAY, 3])
def test_adagrad(code, flags):
    t = CODES[code]
    clr, decay, eps = np.array([0.1], t), t(0.01), t(1e-10)
    for n in (1, 1000):
        p, g, s = draw((3, n), code, n)
        s = np.abs(s)
        d = gradient(p, g, decay, flags)
        want_s = s + d * d
        want_p = p - clr * (d / (np.sqrt(want_s) + eps))
        update("adagrad", code, [p, g, s, clr], [decay, eps], flags)
        assert_bits(p, want_p)
        assert_bits(s, want_s)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("flags", [0, MAXIMIZE, WEIGHT_DECAY, DECOUPLED, MAXIMIZE | DECOUPLED])
@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam(code, flags, amsgrad, threads):
    t = CODES[code]
    b1, r1, b2, r2, eps = t(0.9), t(1 - 0.9), t(0.999), t(1 - 0.999), t(1e-8)
    decay = t(1 - 0.1 * 0.01) if flags & DECOUPLED else t(0.01)
    step_size, root = np.array([0.07], t), np.array([0.3], t)
    for n in (1, 257, 100_000):
        p, g, m, v, top = draw((5, n), code, n)
        v, top = np.abs(v), np.abs(top)
        if amsgrad and n > 1:
            top[1] = np.nan
        d = gradient(p, g, decay, flags)
        want_p = p * decay if flags & DECOUPLED else p
        want_m = b1 * m + r1 * d
        want_v = b2 * v + r2 * (d * d)
        want_top = np.maximum(top, want_v) if amsgrad else top.copy()
        denominator = np.sqrt(want_top if amsgrad else want_v) / root + eps
        want_p = want_p - step_size * (want_m / denominator)
        arrays = [p, g, m, v, top if amsgrad else None, step_size, root]
        update("adam", code, arrays, [b1, r1, b2, r2, eps, decay], flags)
        for got, want in [(p, want_p), (m, want_m), (v, want_v), (top, want_top)]:
            assert_bits(got, want)
