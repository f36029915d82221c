"""Pooling: values and places against loops in numpy, gradients of both orders, PyTorch, errors."""

import itertools

import numpy as np
import pytest

import graphc as torch
from graphc.autograd import gradcheck, gradgradcheck
from graphc.native import library
from graphc.nn import functional as F
from graphc.ops import pool as ops

# (spatial, kernel, stride, padding, dilation, ceil_mode)
WINDOWS = [
    ((6, 8), (2, 2), (2, 2), (0, 0), (1, 1), False),
    ((7, 6), (3, 2), (2, 3), (1, 1), (1, 2), True),
    ((9,), (3,), (2,), (1,), (2,), False),
    ((5, 4, 6), (2, 3, 2), (2, 1, 2), (1, 1, 0), (1, 1, 1), True),
]


def places(n, k, stride, padding, dilation, o):
    """The places of window o along an axis, without those in the padding."""
    start = o * stride - padding
    return [i for i in range(start, start + dilation * k, dilation) if 0 <= i < n]


def windows_of(axes, dilation):
    return lambda a, i: places(*axes[a], dilation[a], i)


def loops(x, sizes, window_of, found):
    """found(elements of the window, their flat places) for each output place of one plane."""
    out = np.empty(sizes, object)
    flat = np.arange(x.size).reshape(x.shape)
    for o in itertools.product(*[range(n) for n in sizes]):
        at = np.ix_(*[window_of(axis, i) for axis, i in enumerate(o)])
        out[o] = found(x[at].reshape(-1), flat[at].reshape(-1))
    return out


def max_of(values, at):
    first = int(np.argmax(values))  # stops at the first nan
    return values[first], at[first]


@pytest.fixture(params=["native", "numpy"])
def kernels(request, monkeypatch):
    if request.param == "numpy":
        monkeypatch.setattr(library, "available", lambda: False)
    elif not library.available():
        pytest.skip("no native kernels")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_windows_against_loops(kernels, dtype):
    rng = np.random.default_rng(0)
    for spatial, k, s, p, d, ceil_mode in WINDOWS:
        axes = list(zip(spatial, k, s, p, strict=True))
        x = rng.integers(-4, 4, (2, 3, *spatial)).astype(dtype)  # ties
        x[0, 0].flat[5] = np.nan
        x[1, 1] = -np.inf
        y, index = ops._max_kernel(x, k, s, p, d, ceil_mode)
        for n, c in ((0, 0), (1, 1), (1, 2)):
            want = loops(
                x[n, c],
                y.shape[2:],
                windows_of(axes, d),
                max_of,
            )
            assert np.array_equal(
                y[n, c], np.vectorize(lambda t: t[0])(want).astype(dtype), equal_nan=True
            )
            assert np.array_equal(index[n, c], np.vectorize(lambda t: t[1])(want))
        x = rng.standard_normal((1, 2, *spatial)).astype(dtype)
        for counted in (True, False):
            y = ops._mean_kernel(x, k, s, p, ceil_mode, counted, 0)
            want = loops(
                x[0, 1],
                y.shape[2:],
                windows_of(axes, (1,) * len(k)),
                lambda v, at: (v.astype(np.float64).sum(), v.size),
            )
            for o in itertools.product(*[range(m) for m in y.shape[2:]]):
                total, count = want[o]
                if counted:
                    count = np.prod(
                        [
                            min(i * s[a] - p[a] + k[a], spatial[a] + p[a]) - (i * s[a] - p[a])
                            for a, i in enumerate(o)
                        ]
                    )
                # at most 12 additions
                assert abs(y[(0, 1, *o)] - total / count) < 12 * 4 * np.finfo(dtype).eps
    x = rng.standard_normal((2, 2, 7, 5)).astype(dtype)
    y = ops._mean_kernel(x, (3, 4), None, None, False, True, 0)
    want = loops(x[1, 0], (3, 4), lambda a, i: range(
        i * (7, 5)[a] // (3, 4)[a], -(-(i + 1) * (7, 5)[a] // (3, 4)[a])),
        lambda v, at: v.astype(np.float64).mean())  # fmt: skip
    np.testing.assert_allclose(y[1, 0], want.astype(dtype), rtol=0, atol=12 * np.finfo(dtype).eps)


def test_kernels_agree_and_threads_change_no_bit(monkeypatch):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((3, 5, 40, 37)).astype(np.float32)
    g = rng.standard_normal((3, 5, 20, 18)).astype(np.float32)
    means = ((3, 3), (2, 2), (1, 1), False, False, 0)

    def run():
        y, index = ops._max_kernel(x, (2, 2), (2, 2), (0, 0), (1, 1), False)
        mean = ops._mean_kernel(x, *means)
        back = ops._spread_kernel(np.ones_like(mean), x.shape, *means)
        return y, index, ops._scatter_kernel(g, index, x.shape), mean, back

    one = run()
    before = library.get_num_threads()
    library.set_num_threads(2)
    two = run()
    library.set_num_threads(before)
    monkeypatch.setattr(library, "available", lambda: False)
    plain = run()
    for a, b, c in zip(one, two, plain, strict=True):
        assert np.array_equal(a, b)
        np.testing.assert_allclose(a, c, rtol=0, atol=1e-6)


def test_gradients_of_both_orders():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64, requires_grad=True)
    line = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    cases = [
        (lambda t: F.max_pool2d(t, 3, 2, 1), x),
        (lambda t: F.max_pool2d(t, 2, 1, dilation=2), x),
        (lambda t: F.avg_pool2d(t, (2, 3), 2, 1, ceil_mode=True, count_include_pad=False), x),
        (lambda t: F.avg_pool2d(t, 2, divisor_override=3), x),
        (lambda t: F.adaptive_avg_pool2d(t, (2, 3)), x),
        (lambda t: F.adaptive_avg_pool2d(t, 1), x),
        (lambda t: F.adaptive_max_pool2d(t, (2, 3)), x),
        (lambda t: F.max_pool1d(t, 2), line),
        (lambda t: F.avg_pool1d(t, 2, 1), line),
        (lambda t: F.lp_pool1d(t, 2, 3), line),
        (lambda t: F.max_unpool1d(*F.max_pool1d(t, 2, return_indices=True), 2), line),
    ]
    for fn, t in cases:
        assert gradcheck(fn, (t,))
        assert gradgradcheck(fn, (t,))


def test_overlapping_windows_add_their_gradients():
    x = torch.tensor([[[1.0, 3.0, 2.0]]], requires_grad=True)
    F.max_pool1d(x, 2, 1).sum().backward()
    assert x.grad.tolist() == [[[0.0, 2.0, 0.0]]]


def test_windows_in_the_padding_alone_take_no_gradient():
    x = torch.tensor([[[2.0]]], requires_grad=True)
    fn = lambda t: F.max_pool1d(t, 2, 1, 1, 2)  # noqa: E731
    for call in (fn, torch.compile(fn, fullgraph=True)):
        y = call(x)
        assert y.tolist() == [[[-np.inf]]]
        (g,) = torch.autograd.grad(y.sum(), x)
        assert g.tolist() == [[[0.0]]]


def test_one_segment_serves_all_sizes_and_threads():
    """Forward and backward between other work, the windows' places found in the library."""
    fns = [
        lambda t: F.max_pool2d(t * 2, 3, 2, 1, ceil_mode=True).relu() + 1,
        lambda t: F.avg_pool2d(t * 2, (3, 2), 2, 1, True, False).relu() + 1,
        lambda t: F.adaptive_avg_pool2d(t * 2, (3, 4)) * 3 + F.adaptive_max_pool2d(t, (3, 4)),
    ]
    before = torch.get_num_threads()
    for fn in fns:

        def step(x, fn=fn):
            y = fn(x)
            return y, torch.autograd.grad((y * y).sum(), x)[0]

        compiled = torch.compile(step, fullgraph=True, dynamic=True)
        for shape in ((2, 3, 12, 13), (40, 8, 20, 17), (0, 5, 15, 14)):
            x = torch.randn(*shape, requires_grad=True)
            wanted = step(x)
            for threads in (1, 2):
                torch.set_num_threads(threads)
                for a, b in zip(compiled(x), wanted, strict=True):
                    assert torch.equal(a, b)
        if library.available():
            assert "segment_1" not in compiled.source
    torch.set_num_threads(before)


def test_unpool_places():
    x = torch.arange(1.0, 17.0).reshape(1, 1, 4, 4)
    y, at = torch.nn.MaxPool2d(2, return_indices=True)(x)
    assert at.tolist() == [[[[5, 7], [13, 15]]]]
    back = torch.nn.MaxUnpool2d(2)(y, at)
    assert back[0, 0].tolist() == [[0, 0, 0, 0], [0, 6, 0, 8], [0, 0, 0, 0], [0, 14, 0, 16]]
    assert torch.nn.MaxUnpool2d(2)(y, at, output_size=(5, 5)).shape == (1, 1, 5, 5)
    with pytest.raises(ValueError, match=r"invalid output_size .* \(dim 0 must be between 2 and 6"):
        F.max_unpool2d(y, at, 2, output_size=(9, 9))
    with pytest.raises(RuntimeError, match="Found an invalid max index: 99"):
        F.max_unpool2d(y, at * 0 + 99, 2)


ERRORS = [
    ("F.max_pool2d(r(1, 2, 4, 4), 2, padding=2)",
     "pad should be at most half of effective kernel size, but got pad=2, kernel_size=2 and "
     "dilation=1"),
    ("F.max_pool2d(r(1, 2, 1, 4), 2)",
     "Given input size: (2x1x4). Calculated output size: (2x0x2). Output size is too small"),
    ("F.max_pool2d(r(1, 2, 4, 4), (2, 2, 2))",
     "max_pool2d: kernel_size must either be a single int, or a tuple of two ints"),
    ("F.max_pool1d(r(2, 3, 4), 5)", "max_pool1d() Invalid computed output size: 0"),
    ("F.avg_pool2d(r(1, 2, 4, 4), 2, divisor_override=0)", "divisor must be not zero"),
    ("F.avg_pool1d(r(4), 2)",
     "Expected 2 to 3 dimensions, but got 1-dimensional tensor for argument #1 'self' (while "
     "checking arguments for avg_pool1d)"),
    ("F.adaptive_avg_pool2d(r(4, 4), 2)",
     "adaptive_avg_pool2d(): Expected 3D or 4D tensor, but got [4, 4]"),
    ("F.adaptive_max_pool2d(T.ones(1, 2, 4, 4, dtype=T.int64), 2)",
     "\"adaptive_max_pool2d\" not implemented for 'Long'"),
    ("F.fractional_max_pool2d(r(1, 2, 8, 8), 3)",
     "fractional_max_pool2d requires specifying either an output_size or an output_ratio"),
]  # fmt: skip


@pytest.mark.parametrize("code,text", ERRORS)
def test_errors(code, text):
    with pytest.raises((RuntimeError, ValueError, NotImplementedError)) as e:
        eval(code, {"F": F, "T": torch, "r": torch.randn})
    assert str(e.value).split("\n")[0] == text


def test_layers():
    x = torch.randn(2, 3, 8, 8)
    shapes = {
        "MaxPool2d(2)": (2, 3, 4, 4), "AvgPool2d(3, 2, 1)": (2, 3, 4, 4),
        "LPPool2d(2, 2)": (2, 3, 4, 4), "AdaptiveAvgPool2d((None, 3))": (2, 3, 8, 3),
        "AdaptiveMaxPool2d(5)": (2, 3, 5, 5),
        "FractionalMaxPool2d(3, output_ratio=0.5)": (2, 3, 4, 4),
    }  # fmt: skip
    for code, shape in shapes.items():
        assert eval(f"nn.{code}", {"nn": torch.nn})(x).shape == shape
    assert repr(torch.nn.MaxPool2d(2)) == (
        "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"
    )
    assert repr(torch.nn.AvgPool1d(2)) == "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))"
    assert repr(torch.nn.AdaptiveAvgPool2d((1, 1))) == "AdaptiveAvgPool2d(output_size=(1, 1))"


def test_against_pytorch():
    reference = pytest.importorskip("torch")
    rng = np.random.default_rng(2)

    def calls(T, x, spatial, k, s, p, d, ceil_mode):
        N, n = T.nn.functional, f"{len(spatial)}d"
        yield getattr(N, "max_pool" + n)(x, k, s, p, d, ceil_mode, True)
        yield getattr(N, "avg_pool" + n)(x, k, s, p, ceil_mode, False)
        yield getattr(N, "adaptive_max_pool" + n)(x, k, True)
        yield getattr(N, "adaptive_avg_pool" + n)(x, k)
        if len(spatial) > 1:
            yield getattr(N, "lp_pool" + n)(x, 3.0, k, s, ceil_mode)
            u = T.tensor(np.linspace(0.1, 0.9, 2 * 3 * len(spatial)).reshape(2, 3, -1))
            yield getattr(N, "fractional_max_pool" + n)(
                x, 2, (2,) * len(spatial), None, True, u.to(x.dtype)
            )

    for window in WINDOWS:
        data = rng.standard_normal((2, 3, *window[0]))
        xs = [T.tensor(data, requires_grad=True) for T in (torch, reference)]
        for a, b in zip(calls(torch, xs[0], *window), calls(reference, xs[1], *window),
                        strict=True):  # fmt: skip
            (a, *more), (b, *places_b) = (t if isinstance(t, tuple) else (t,) for t in (a, b))
            for i, j in zip(more, places_b, strict=True):
                assert np.array_equal(i.numpy(), j.numpy())
            (ga,) = torch.autograd.grad((a * a).sum(), xs[0])
            (gb,) = reference.autograd.grad((b * b).sum(), xs[1])
            # sums of a few dozen numbers of size 1 in float64
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12)
            np.testing.assert_allclose(ga.numpy(), gb.numpy(), rtol=1e-12, atol=1e-13)
