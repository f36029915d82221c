"""interpolate, grid_sample, affine_grid, unfold and fold: published values, properties, gradients
of both orders, PyTorch, errors."""

import numpy as np
import pytest

import graphc as torch
from graphc.autograd import gradcheck, gradgradcheck
from graphc.native import library
from graphc.nn import functional as F
from graphc.ops import resample as ops

SQUARE = [[[[1.0, 2.0], [3.0, 4.0]]]]


def test_published_values():
    # the examples of torch.nn.Upsample's documentation
    x = torch.tensor(SQUARE)
    up = torch.nn.Upsample(scale_factor=2, mode="nearest")
    assert up(x)[0, 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]]
    up = torch.nn.Upsample(scale_factor=2, mode="bilinear")
    assert up(x)[0, 0].tolist() == [
        [1, 1.25, 1.75, 2], [1.5, 1.75, 2.25, 2.5], [2.5, 2.75, 3.25, 3.5], [3, 3.25, 3.75, 4]
    ]  # fmt: skip
    up = torch.nn.UpsamplingBilinear2d(scale_factor=2)
    rows = up(x)[0, 0]
    assert torch.allclose(rows[0], torch.tensor([1, 4 / 3, 5 / 3, 2]))
    assert torch.allclose(rows[:, 0], torch.tensor([1, 5 / 3, 7 / 3, 3]))


def test_polynomials_are_kept():
    """Linear weights keep lines, and inside so does Keys' cubic with a = -1/2 (the antialiased
    one); antialiased weights sum to 1."""
    x = torch.arange(8, dtype=torch.float64).reshape(1, 1, 8)
    y = F.interpolate(x, 15, mode="linear", align_corners=True)
    assert torch.allclose(y[0, 0], torch.linspace(0, 7, 15, dtype=torch.float64))
    picture = x.reshape(1, 1, 1, 8).expand(1, 1, 8, 8)
    y = F.interpolate(picture, (8, 16), mode="bicubic", antialias=True)
    inside = (torch.arange(16, dtype=torch.float64) + 0.5) / 2 - 0.5
    assert torch.allclose(y[0, 0, 3, 4:12], inside[4:12])
    for mode in ("bilinear", "bicubic", "lanczos"):
        y = F.interpolate(picture * 0 + 3, (3, 5), mode=mode, antialias=True)
        assert torch.allclose(y, torch.full((1, 1, 3, 5), 3.0, dtype=torch.float64))
    assert F.interpolate(picture, 4, mode="area")[0, 0, 0].tolist() == [0.5, 2.5, 4.5, 6.5]


def test_kernels_agree(monkeypatch):
    rng = np.random.default_rng(0)
    calls = [
        (dim, size, mode, align, scale, antialias)
        for dim, size in ((2, 9), (3, 4), (2, 3))
        for mode, align, scale, antialias in (
            ("linear", False, None, False), ("linear", True, None, False),
            ("cubic", False, 1.3, False), ("cubic", False, None, True), ("nearest", False, None, 0),
        )
    ]  # fmt: skip
    for dtype in (np.float32, np.float64):
        x = rng.standard_normal((2, 3, 6, 7)).astype(dtype)
        for dim, size, *rest in calls:
            g = rng.standard_normal((*x.shape[:dim], size, *x.shape[dim + 1 :])).astype(dtype)
            fast = ops._kernel(x, dim, size, *rest), ops._backward_kernel(g, dim, x.shape, *rest)
            monkeypatch.setattr(library, "available", lambda: False)
            plain = ops._kernel(x, dim, size, *rest), ops._backward_kernel(g, dim, x.shape, *rest)
            monkeypatch.undo()
            for a, b in zip(fast, plain, strict=True):
                assert np.array_equal(a, b)
            # the backward is the forward's transpose: <y, g> = <x, x'>, in a few hundred products
            both = [float((u * v).sum(dtype=np.float64)) for u, v in zip(fast, (g, x), strict=True)]
            assert abs(both[0] - both[1]) < 300 * np.finfo(dtype).eps


def test_lanczos_kernels_agree(monkeypatch):
    """The library's sine is not numpy's: weights differ by ulps, their sums of 8 too."""
    x = np.random.default_rng(1).standard_normal((2, 3, 16))
    how = (2, 5, "lanczos", False, None, True)
    fast = ops._kernel(x, *how)
    monkeypatch.setattr(library, "available", lambda: False)
    np.testing.assert_allclose(fast, ops._kernel(x, *how), rtol=0, atol=1e-14)


def test_one_segment_serves_all_sizes_and_threads():
    """Forward and backward between other work, places and weights found in the library."""
    fns = [
        lambda t: F.interpolate(t * 2, scale_factor=2, mode="bilinear").relu() + 1,
        lambda t: F.interpolate(t * 2, scale_factor=(1.5, 2), mode="nearest").relu() + 1,
        lambda t: F.interpolate(t * 2, (7, 5), mode="bicubic", antialias=True).relu() + 1,
    ]
    before = torch.get_num_threads()
    for fn in fns:

        def step(x, fn=fn):
            y = fn(x)
            return y, torch.autograd.grad((y * y).sum(), x)[0]

        compiled = torch.compile(step, fullgraph=True, dynamic=True)
        for shape in ((2, 3, 12, 13), (40, 8, 20, 17)):
            x = torch.randn(*shape, requires_grad=True)
            wanted = step(x)
            for threads in (1, 2):
                torch.set_num_threads(threads)
                for a, b in zip(compiled(x), wanted, strict=True):
                    assert torch.equal(a, b)
        if library.available():
            assert "segment_1" not in compiled.source
    torch.set_num_threads(before)


def test_gradients_of_both_orders():
    torch.manual_seed(0)
    x = torch.randn(1, 2, 4, 3, dtype=torch.float64, requires_grad=True)
    grid = (torch.rand(1, 2, 2, 2, dtype=torch.float64) * 1.6 - 0.8).requires_grad_()
    for mode, more in (
        ("nearest", {}), ("bilinear", {}), ("bicubic", {"align_corners": True}),
        ("bilinear", {"antialias": True}), ("area", {}),
    ):  # fmt: skip
        fn = lambda t, mode=mode, more=more: F.interpolate(t, (3, 5), mode=mode, **more)  # noqa: E731
        assert gradcheck(fn, (x,))
        assert gradgradcheck(fn, (x,))
    for mode, padding in (("bilinear", "zeros"), ("bicubic", "border"), ("bilinear", "reflection")):
        fn = lambda t, g, m=mode, p=padding: F.grid_sample(t, g, m, p, False)  # noqa: E731
        assert gradcheck(fn, (x, grid))
        assert gradgradcheck(fn, (x, grid))
    fn = lambda t: F.fold(F.unfold(t, 2, 1, 1, 2), (4, 3), 2, 1, 1, 2)  # noqa: E731
    assert gradcheck(fn, (x,))


def test_identity_grid_gives_the_picture():
    x = torch.randn(2, 3, 4, 5)
    eye = torch.tensor([[[1.0, 0, 0], [0, 1, 0]]]).expand(2, 2, 3)
    for align in (True, False):
        grid = F.affine_grid(eye, (2, 3, 4, 5), align_corners=align)
        for mode in ("bilinear", "nearest", "bicubic"):
            y = F.grid_sample(x, grid, mode, align_corners=align)
            assert torch.allclose(y, x, atol=1e-5)
    flipped = F.grid_sample(x, F.affine_grid(-eye, (2, 3, 4, 5), False), align_corners=False)
    assert torch.allclose(flipped, x.flip(2, 3), atol=1e-5)
    outside = torch.full((2, 1, 1, 2), 3.0)
    assert not F.grid_sample(x, outside, align_corners=False).any()
    edge = F.grid_sample(x, outside, padding_mode="border", align_corners=False)
    assert torch.equal(edge[..., 0, 0], x[..., -1, -1])


def test_unfold_is_the_matrix_of_a_convolution():
    torch.manual_seed(0)
    x, w = torch.randn(2, 3, 6, 7), torch.randn(4, 3, 3, 2)
    columns = F.unfold(x, (3, 2), padding=1, stride=2)
    y = (w.reshape(4, -1) @ columns).reshape(2, 4, 3, 4)
    # 18 products of size 1 in another order
    assert torch.allclose(y, F.conv2d(x, w, padding=1, stride=2), atol=1e-5)
    ones = torch.ones(1, 1, 4, 4)
    counts = F.fold(F.unfold(ones, 3), (4, 4), 3)[0, 0]
    assert counts.tolist() == [[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]
    assert torch.nn.Fold((4, 4), 2)(torch.nn.Unfold(2)(x[0, :, :4, :4])).shape == (3, 4, 4)


ERRORS = [
    ("F.interpolate(r(1, 1, 4, 4), 2, align_corners=True)",
     "align_corners option can only be set with the interpolating modes: linear | bilinear | "
     "bicubic | trilinear"),
    ("F.interpolate(r(1, 1, 4, 4), 2, 2)", "only one of size or scale_factor should be defined"),
    ("F.interpolate(r(1, 1, 4, 4))", "either size or scale_factor should be defined"),
    ("F.interpolate(r(1, 1, 4), 2, mode='bilinear')",
     "Got 3D input, but bilinear mode needs 4D input"),
    ("F.interpolate(r(1, 1, 4, 4), 0)",
     "Input and output sizes should be greater than 0, but got input (H: 4, W: 4) output (H: 0, "
     "W: 0)"),
    ("F.grid_sample(r(1, 1, 4, 4), r(2, 3, 3, 2), align_corners=False)",
     "grid_sampler(): expected grid and input to have same batch size, but got input with sizes "
     "[1, 1, 4, 4] and grid with sizes [2, 3, 3, 2]"),
    ("F.affine_grid(r(1, 3, 3), (1, 1, 4, 4), False)",
     "Expected a batch of 2D affine matrices of shape Nx2x3 for size (1, 1, 4, 4). Got "
     "torch.Size([1, 3, 3])."),
    ("F.unfold(r(1, 2, 4, 4), (5, 2))",
     "Given input with spatial size (4, 4), kernel_size=(5, 2), dilation=(1, 1), padding=(0, 0), "
     "calculated shape of the array of sliding blocks as (0, 3), but its components must be at "
     "least one."),
    ("F.fold(r(1, 7, 9), (4, 4), 2)",
     "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
     "input.size(1)=7 and kernel_size=(2, 2)."),
]  # fmt: skip


@pytest.mark.parametrize("code,text", ERRORS)
def test_errors(code, text):
    with pytest.raises((RuntimeError, ValueError, NotImplementedError)) as e:
        eval(code, {"F": F, "T": torch, "r": torch.randn})
    assert str(e.value).split("\n")[0] == text


def test_compiled_gives_eager_bits():
    x = torch.randn(2, 3, 5, 6, requires_grad=True)
    grid = torch.rand(2, 4, 4, 2) * 2 - 1

    def fn(x, grid):
        y = F.interpolate(x, scale_factor=2, mode="bilinear")
        return F.grid_sample(y, grid, align_corners=False), F.unfold(x, 3, padding=1)

    eager, found = fn(x, grid), torch.compile(fn, fullgraph=True)(x, grid)
    for a, b in zip(eager, found, strict=True):
        assert torch.equal(a, b)


def test_against_pytorch():
    reference = pytest.importorskip("torch")
    rng = np.random.default_rng(3)
    data, line = rng.standard_normal((2, 3, 6, 5)), rng.standard_normal((2, 3, 7))
    places = rng.standard_normal((2, 4, 3, 2))
    calls = [
        *(lambda N, x, g, n, m=m, k=k: N.interpolate(x, mode=m, **k)
          for m in ("bilinear", "bicubic", "nearest", "nearest-exact", "area")
          for k in ({"size": (4, 11)}, {"scale_factor": (1.7, 0.6)})),
        *(lambda N, x, g, n, m=m: N.interpolate(x, (9, 2), mode=m, antialias=True)
          for m in ("bilinear", "bicubic", "lanczos")),
        lambda N, x, g, n: N.interpolate(x, (9, 2), mode="bicubic", align_corners=True),
        lambda N, x, g, n: N.interpolate(n, scale_factor=1.5, mode="linear"),
        lambda N, x, g, n: N.interpolate(n.unsqueeze(2).unsqueeze(3), (2, 3, 4), mode="trilinear"),
        *(lambda N, x, g, n, m=m, p=p, a=a: N.grid_sample(x, g, m, p, a)
          for m in ("bilinear", "nearest", "bicubic") for p in ("zeros", "border", "reflection")
          for a in (True, False)),
        lambda N, x, g, n: N.affine_grid(g.flatten(1)[:, :6].reshape(2, 2, 3), (2, 1, 3, 4), False),
        lambda N, x, g, n: N.unfold(x, (3, 2), (1, 2), 1, 2),
    ]  # fmt: skip
    for i, call in enumerate(calls):
        found = []
        for T in (torch, reference):
            leaves = [T.tensor(a, requires_grad=True) for a in (data, places, line)]
            y = call(T.nn.functional, *leaves)
            grads = T.autograd.grad((y * y).sum(), leaves, allow_unused=True)
            found.append([y.detach().numpy(), *[g if g is None else g.numpy() for g in grads]])
        for a, b in zip(*found, strict=True):
            if a is not None or b is not None and b.any():
                # weights to some ulps of float64, sums of a few dozen terms
                np.testing.assert_allclose(
                    a,
                    b if b is not None else 0,
                    rtol=0,
                    atol=1e-12 * max(1, abs(a).max()),
                    err_msg=str(i),
                )
