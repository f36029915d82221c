"""Convolutions: bits against the plain-Python statement of their order, values and gradients
against direct sums and PyTorch, threads, errors, layers, and a small network's training."""

import itertools

import numpy as np
import pytest

import graphc as torch
from graphc.autograd import gradcheck, gradgradcheck
from graphc.core.tensor import wrap
from graphc.native import library
from graphc.nn import functional as F
from graphc.ops import conv as ops
from tests.native import spec_gemm

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")
native = pytest.mark.skipif(not library.available(), reason="no native kernels")

# (input, weight, stride, padding, dilation, groups): tile edges, blocks of 256 products, residues
# of the last axis apart, direct rows, depthwise, one to three axes, windows beyond the input
CASES = [
    ((2, 3, 9, 11), (5, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((1, 30, 5, 6), (7, 30, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((3, 4, 8, 9), (6, 2, 3, 2), (2, 3), (1, 0), (1, 2), 2),
    ((2, 5, 7, 20), (5, 1, 3, 3), (1, 1), (1, 1), (1, 1), 5),
    ((2, 3, 6, 9), (6, 1, 2, 3), (2, 2), (0, 1), (1, 1), 3),
    ((2, 20, 1, 13), (9, 20, 1, 1), (1, 1), (0, 0), (1, 1), 1),
    ((1, 2, 5, 5), (3, 2, 1, 1), (3, 2), (0, 0), (1, 1), 1),
    ((2, 2, 30), (3, 2, 4), (3,), (2,), (2,), 1),
    ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), (1, 2, 1), (1, 1, 0), (1, 1, 2), 1),
    ((4, 1, 12, 12), (2, 1, 3, 3), (1, 1), (0, 0), (1, 1), 1),
]


def numbers(shape, dtype, seed):
    rng = np.random.default_rng([seed, *shape])
    return (rng.standard_normal(shape) * np.exp(rng.standard_normal(shape))).astype(dtype)


def columns(x, kernel, out, stride, padding, dilation):
    """[N, C, taps, places]: what each tap sees of the padded input."""
    wide = np.pad(x, ((0, 0), (0, 0), *[(p, p) for p in padding]))
    seen = []
    for tap in itertools.product(*[range(k) for k in kernel]):
        at = tuple(
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, n, s in zip(tap, dilation, out, stride, strict=True)
        )
        seen.append(wide[(slice(None), slice(None), *at)].reshape(*x.shape[:2], -1))
    return np.stack(seen, 2)


def spec_forward(x, w, stride, padding, dilation, groups, out):
    """Per output element: input channels, then taps, in the canonical product order."""
    o, c = w.shape[0] // groups, w.shape[1]
    seen = columns(x, w.shape[2:], out, stride, padding, dilation)
    parts = []
    for g in range(groups):
        a = w[g * o : (g + 1) * o].reshape(o, -1)
        b = seen[:, g * c : (g + 1) * c].reshape(len(x), a.shape[1], -1)
        parts.append(np.stack([spec_gemm.product(a, image) for image in b]))
    return np.concatenate(parts, 1).reshape(len(x), w.shape[0], *out)


def spec_weight(g, x, shape, stride, padding, dilation, groups):
    """Per weight: images, then output places, in the canonical product order."""
    o, c = shape[0] // groups, shape[1]
    seen = columns(x, shape[2:], g.shape[2:], stride, padding, dilation)
    parts = []
    for i in range(groups):
        a = g[:, i * o : (i + 1) * o].reshape(len(g), o, -1).swapaxes(0, 1).reshape(o, -1)
        b = seen[:, i * c : (i + 1) * c].reshape(len(g), c * seen.shape[2], -1)
        parts.append(spec_gemm.product(a, b.swapaxes(0, 1).reshape(b.shape[1], -1).T))
    return np.concatenate(parts).reshape(shape)


def spec_input(g, w, shape, stride, padding, dilation, groups):
    """Per input element: output channels, then the taps that hit it, in the canonical order."""
    o, c, axes = w.shape[0] // groups, w.shape[1], len(shape) - 2
    out = np.zeros(shape, g.dtype)
    for place in itertools.product(*[range(n) for n in shape[2:]]):
        hits = []
        for tap in itertools.product(*[range(k) for k in w.shape[2:]]):
            e = [place[i] + padding[i] - dilation[i] * tap[i] for i in range(axes)]
            if all(e[i] % stride[i] == 0 for i in range(axes)):
                hits.append((tap, tuple(e[i] // stride[i] for i in range(axes))))
        for i in range(groups if hits else 0):
            part = w[i * o : (i + 1) * o]
            a = np.stack([part[(slice(None), slice(None), *t)] for t, _ in hits], 1)
            b = np.zeros((len(g), o, len(hits)), g.dtype)
            for h, (_, q) in enumerate(hits):
                if all(0 <= q[j] < g.shape[2 + j] for j in range(axes)):
                    b[:, :, h] = g[(slice(None), slice(i * o, (i + 1) * o), *q)]
            found = spec_gemm.product(b.reshape(len(g), -1), a.reshape(-1, c))
            out[(slice(None), slice(i * c, (i + 1) * c), *place)] = found
    return out


def results(case, dtype, threads=1):
    x_shape, w_shape, stride, padding, dilation, groups = case
    x, w = numbers(x_shape, dtype, 1), numbers(w_shape, dtype, 2)
    window = (stride, padding, dilation, groups)
    before = library.get_num_threads()
    library.set_num_threads(threads)
    try:
        y = ops._kernel(x, w, None, *window)
        g = numbers(y.shape, dtype, 3)
        return (x, w, g), (
            y,
            ops._input_kernel(g, w, None, x_shape, *window),
            ops._weight_kernel(g, x, w_shape, *window),
        )
    finally:
        library.set_num_threads(before)


@native
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_of_the_canonical_order(dtype):
    for i, case in enumerate(CASES):
        if dtype == "float64" and i not in (0, 2, 4):  # exact fractions are slow
            continue
        x_shape, w_shape, *window = case
        (x, w, g), (y, gx, gw) = results(case, dtype)
        assert np.array_equal(y, spec_forward(x, w, *window, y.shape[2:])), case
        assert np.array_equal(gw, spec_weight(g, x, w_shape, *window)), case
        assert np.array_equal(gx, spec_input(g, w, x_shape, *window)), case


@native
def test_threads_and_batch_change_no_bit():
    for case in (*CASES, ((5, 20, 21, 19), (24, 20, 3, 3), (1, 1), (1, 1), (1, 1), 1)):
        (x, w, _), one = results(case, "float32")
        _, two = results(case, "float32", threads=2)
        for a, b in zip(one, two, strict=True):
            assert np.array_equal(a, b), case
        alone = ops._kernel(np.ascontiguousarray(x[-1:]), w, None, *case[2:])
        assert np.array_equal(alone[0], one[0][-1]), case


def test_numpy_kernels_agree(monkeypatch):
    for case in CASES:
        _, fast = results(case, "float64")
        monkeypatch.setattr(library, "available", lambda: False)
        _, plain = results(case, "float64")
        monkeypatch.undo()
        for a, b in zip(fast, plain, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-11 * max(1, abs(a).max()))


def test_special_values():
    # a tap in the padding is a product with 0: 0 * inf is nan, as in a product of matrices
    x, w = wrap(np.ones((1, 1, 3), np.float32)), torch.tensor([[[float("inf"), 1.0]]])
    assert torch.isnan(F.conv1d(x, w, padding=1)[0, 0, 0])
    x = torch.tensor([[[1.0, float("nan"), 2.0, 3.0]]])
    assert torch.isnan(F.conv1d(x, torch.ones(1, 1, 2))).tolist() == [[[True, True, False]]]


@pytest.mark.parametrize("groups", [1, 2])
def test_gradients_of_both_orders(groups):
    def leaf(*shape):
        return torch.randn(*shape, dtype=torch.float64, requires_grad=True)

    torch.manual_seed(0)
    x, w, b = leaf(2, 4, 4, 3), leaf(2, 4 // groups, 2, 2), leaf(2)
    for more in ({}, {"stride": 2, "padding": 1}, {"padding": "same"}, {"dilation": (2, 1)}):
        fn = lambda x, w, b, more=more: F.conv2d(x, w, b, groups=groups, **more)  # noqa: E731
        assert gradcheck(fn, (x, w, b))
        assert gradgradcheck(fn, (x, w, b))
    x, w, b = leaf(1, 4, 3), leaf(4, 2, 3), leaf(2 * groups)
    for more in ({}, {"stride": 2, "padding": 1, "output_padding": 1},
                 {"dilation": 3, "output_padding": 2}):  # fmt: skip
        fn = lambda x, w, b, more=more: F.conv_transpose1d(  # noqa: E731
            x, w, b, groups=groups, **more
        )
        assert gradcheck(fn, (x, w, b))
        assert gradgradcheck(fn, (x, w, b))
    x, w = leaf(1, 2, 2, 3, 2), leaf(2, 2 // groups, 1, 2, 2)
    assert gradcheck(lambda x, w: F.conv3d(x, w, groups=groups), (x, w))


def test_output_sizes():
    x = torch.randn(2, 3, 7, 8)
    assert F.conv2d(x, torch.randn(4, 3, 3, 2), stride=(2, 3), padding=1).shape == (2, 4, 4, 3)
    assert F.conv2d(x, torch.randn(4, 3, 4, 3), padding="same", dilation=(1, 2)).shape[2:] == (7, 8)
    assert F.conv2d(x[0], torch.randn(4, 3, 3, 3), padding="valid").shape == (4, 5, 6)
    assert F.conv_transpose2d(x, torch.randn(3, 2, 3, 3), stride=2, output_padding=1).shape == (
        2, 2, 16, 18)  # fmt: skip
    assert F.conv2d(x[:0], torch.randn(4, 3, 3, 3)).shape == (0, 4, 5, 6)
    assert F.conv1d(x[0, :, 0].to(torch.int64), torch.ones(1, 3, 2, dtype=torch.int64)).shape == (
        1, 7)  # fmt: skip


ERRORS = [
    ("F.conv2d(r(1, 3, 5, 5), r(4, 2, 3, 3))",
     "Given groups=1, weight of size [4, 2, 3, 3], expected input[1, 3, 5, 5] to have 2 channels, "
     "but got 3 channels instead"),
    ("F.conv2d(r(3, 5), r(4, 2, 3, 3))",
     "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [3, 5]"),
    ("F.conv2d(r(1, 3, 2, 5), r(4, 3, 3, 3))",
     "Calculated padded input size per channel: (2 x 5). Kernel size: (3 x 3). Kernel size can't "
     "be greater than actual input size"),
    ("F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), r(3))",
     "Given weight of size [4, 3, 3, 3], expected bias to be 1-dimensional with 4 elements, but "
     "got bias of size [3] instead"),
    ("F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), stride=0)", "non-positive stride is not supported"),
    ("F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), padding=-1)", "negative padding is not supported"),
    ("F.conv2d(r(1, 4, 5, 5), r(3, 2, 3, 3), groups=2)",
     "Given groups=2, expected weight to be divisible by 2 at dimension 0, but got weight of size "
     "[[3, 2, 3, 3]] instead"),
    ("F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3).double())",
     "expected scalar type Float but found Double"),
    ("F.conv2d(r(1, 3, 5, 5), r(4, 3, 3, 3), padding='same', stride=2)",
     "padding='same' is not supported for strided convolutions"),
    ("F.conv_transpose2d(r(1, 3, 5, 5), r(4, 3, 3, 3))",
     "Given transposed=1, weight of size [4, 3, 3, 3], expected input[1, 3, 5, 5] to have 4 "
     "channels, but got 3 channels instead"),
    ("F.conv_transpose1d(r(4, 5), r(4, 3, 3), output_padding=1)",
     "output padding must be smaller than either stride or dilation, but got "
     "output_padding_height: 0 output_padding_width: 1 stride_height: 1 stride_width: 1 "
     "dilation_height: 1 dilation_width: 1"),
    ("T.nn.Conv2d(3, 4, 3, groups=2)", "in_channels must be divisible by groups"),
    ("T.nn.ConvTranspose2d(4, 4, 3, stride=2)(r(1, 4, 5, 5), output_size=(3, 3))",
     "requested an output size of (3, 3), but valid sizes range from [11, 11] to [12, 12] (for an "
     "input of torch.Size([5, 5]))"),
]  # fmt: skip


@pytest.mark.parametrize("code,text", ERRORS)
def test_errors(code, text):
    with pytest.raises((RuntimeError, ValueError)) as e:
        eval(code, {"F": F, "T": torch, "r": torch.randn})
    assert str(e.value).split("\n")[0] == text


def test_layers():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(4, 6, (3, 5), stride=2, padding=(1, 2), groups=2)
    assert repr(layer) == (
        "Conv2d(4, 6, kernel_size=(3, 5), stride=(2, 2), padding=(1, 2), groups=2)"
    )
    assert layer.weight.shape == (6, 2, 3, 5)
    bound = 1 / np.sqrt(2 * 3 * 5)
    for p in layer.parameters():
        assert abs(p).max() <= bound and abs(p).max() > bound / 2
    x = torch.randn(1, 4, 6, 7)
    for mode, np_mode in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        layer = torch.nn.Conv2d(4, 2, 3, padding=1, padding_mode=mode, bias=False)
        wide = torch.from_numpy(np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)), np_mode))
        assert torch.equal(layer(x), F.conv2d(wide, layer.weight))
    up = torch.nn.ConvTranspose2d(4, 2, 3, stride=2)
    assert up(x).shape == (1, 2, 13, 15)
    assert up(x, output_size=(14, 15)).shape == (1, 2, 14, 15)
    assert set(up.state_dict()) == {"weight", "bias"}
    assert repr(torch.nn.ConvTranspose1d(1, 2, 3, output_padding=1, stride=2, bias=False)) == (
        "ConvTranspose1d(1, 2, kernel_size=(3,), stride=(2,), output_padding=(1,), bias=False)"
    )


# ---------------------------------------------------------------- beside PyTorch


def test_against_pytorch():
    reference = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    for case in CASES:
        x_shape, w_shape, *window = case
        x, w, b = (rng.standard_normal(s) for s in (x_shape, w_shape, w_shape[:1]))
        found = []
        for T in (torch, reference):
            leaves = [T.tensor(a, requires_grad=True) for a in (x, w, b)]
            conv = (T.conv1d, T.conv2d, T.conv3d)[len(x_shape) - 3]
            y = conv(*leaves, *window)
            grads = T.autograd.grad((y * y).sum(), leaves, create_graph=True)
            second = T.autograd.grad(sum((g * g).sum() for g in grads), leaves)
            found.append([t.detach().numpy() for t in (y, *grads, *second)])
        for ours, theirs in zip(*found, strict=True):
            # sums of at most 1e4 products in float64, scaled by the largest
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-11 * abs(theirs).max())


def test_lenet_trains_as_in_pytorch():
    """A LeNet-5 (LeCun et al. 1998) from the same weights on the same images: losses after each of
    eight steps of SGD agree to float32 rounding, which training amplifies."""
    reference = pytest.importorskip("torch")

    def network(T):
        nn = T.nn
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5),
            nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 32), nn.Tanh(),
            nn.Linear(32, 10))  # fmt: skip

    rng = np.random.default_rng(0)
    images = rng.standard_normal((32, 1, 16, 16)).astype(np.float32)
    labels = rng.integers(0, 10, 32)
    theirs = network(reference)
    state = {k: v.numpy().copy() for k, v in theirs.state_dict().items()}
    curves = []
    for T in (torch, reference):
        net = network(T)
        net.load_state_dict({k: T.tensor(v) for k, v in state.items()})
        optimizer = T.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        curve = []
        for _ in range(8):
            optimizer.zero_grad()
            loss = T.nn.functional.cross_entropy(net(T.tensor(images)), T.tensor(labels))
            loss.backward()
            optimizer.step()
            curve.append(loss.item())
        curves.append(curve)
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)
    assert curves[0][-1] < curves[0][0]


def test_compiled_network_gives_eager_bits():
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False), torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten())  # fmt: skip
    x = torch.randn(3, 2, 8, 8)
    eager = net(x)
    eager.pow(2).sum().backward()
    wanted = [p.grad.clone() for p in net.parameters()]
    net.zero_grad()
    found = torch.compile(net, fullgraph=True)(x)
    found.pow(2).sum().backward()
    assert torch.equal(found, eager)
    for p, g in zip(net.parameters(), wanted, strict=True):
        assert torch.equal(p.grad, g)
