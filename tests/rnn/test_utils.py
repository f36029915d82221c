"""nn.utils: packed and padded sequences, weight and spectral normalization, parametrizations,
fusion, skip_init, and the data-parallel wrappers; against PyTorch, and against what they mean.

Tolerance: float64 on both sides; 1e-10 separates rounding from errors."""

import copy
import warnings

import numpy as np
import pytest

import graphc
from graphc import nn
from graphc.nn.utils import parametrizations, parametrize
from graphc.nn.utils import rnn as R

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

RNG = np.random.RandomState(13)
X = RNG.randn(5, 3, 2)
TOL = {"rtol": 1e-10, "atol": 1e-12}


def told(fn, *args):
    try:
        fn(*args)
    except Exception as e:  # noqa: BLE001
        return type(e), str(e)
    return None, ""


def agree(a, b):
    """Equal values in nested tuples, lists and tensors of both libraries."""
    if isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            agree(x, y)
    elif a is None:
        assert b is None
    else:
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), **TOL)


# ---------------------------------------------------------------- sequences


@needs_torch
@pytest.mark.parametrize("first", [False, True])
def test_packing(first):
    found = []
    for lib in (torch, graphc):
        rnn = lib.nn.utils.rnn
        x = lib.from_numpy(X.copy()).requires_grad_()
        rows = x.transpose(0, 1) if first else x
        one = rnn.pack_padded_sequence(rows, [5, 3, 3], batch_first=first)
        two = rnn.pack_padded_sequence(rows, lib.tensor([1, 5, 2]), first, enforce_sorted=False)
        padded = rnn.pad_packed_sequence(two, first, padding_value=-2.0, total_length=7)
        padded[0].square().sum().backward()
        found.append(
            [
                tuple(one),
                tuple(two),
                padded,
                x.grad,
                rnn.unpack_sequence(two),
                two.double().data,
                two.to(lib.float32).data,
            ]
        )
        assert two.to(lib.float64) is two and not two.is_cuda and len(two) == 4
    agree(*found)


@needs_torch
def test_padding():
    found = []
    for lib in (torch, graphc):
        rnn = lib.nn.utils.rnn
        xs = [lib.from_numpy(X[:n, 0].copy()).requires_grad_() for n in (2, 4, 1)]
        both = [
            rnn.pad_sequence(xs, f, 0.5, side) for f in (True, False) for side in ("left", "right")
        ]
        sum(p.square().sum() for p in both).backward()
        lengths = lib.tensor([2, 4, 1])
        packed = rnn.pack_sequence(xs, enforce_sorted=False)
        found.append(
            [
                both,
                [x.grad for x in xs],
                rnn.unpad_sequence(both[1], lengths, True),
                rnn.unpad_sequence(both[3] + 0, lengths),
                tuple(packed),
                rnn.invert_permutation(lib.tensor([2, 0, 1])),
            ]
        )
    agree(*found)
    assert R.invert_permutation(None) is None


def test_packing_by_hand():
    a, b = graphc.tensor([1.0, 2.0, 3.0]), graphc.tensor([4.0])
    packed = R.pack_sequence([b, a], enforce_sorted=False)
    assert packed.data.tolist() == [1.0, 4.0, 2.0, 3.0]
    assert packed.batch_sizes.tolist() == [2, 1, 1]
    assert packed.sorted_indices.tolist() == [1, 0]
    padded, lengths = R.pad_packed_sequence(packed, batch_first=True)
    assert padded.tolist() == [[4.0, 0.0, 0.0], [1.0, 2.0, 3.0]] and lengths.tolist() == [1, 3]
    with pytest.raises(RuntimeError, match="at most the padded length 3"):
        R.pack_padded_sequence(graphc.zeros(3, 1, 1), [4])


@needs_torch
def test_errors_of_sequences():
    calls = [
        lambda r, z, t: r.pack_padded_sequence(z(5, 3, 2), [5, 3, 4]),
        lambda r, z, t: r.pack_padded_sequence(z(5, 3, 2), [5, 3, 0]),
        lambda r, z, t: r.pack_padded_sequence(z(5, 3, 2), [5, 3]),
        lambda r, z, t: r.pack_padded_sequence(z(0, 3, 2), [0, 0, 0]),
        lambda r, z, t: r.pad_packed_sequence(r.pack_sequence([z(3, 2)]), total_length=2),
        lambda r, z, t: r.pack_sequence([z(2), z(3)]),
        lambda r, z, t: r.pad_sequence(3),
        lambda r, z, t: r.pad_sequence([]),
        lambda r, z, t: r.pad_sequence([z(2)], padding_side="x"),
        lambda r, z, t: r.pad_sequence([z(2, 3), z(2, 2)]),
        lambda r, z, t: r.PackedSequence(z(3, 2)),
    ]
    for call in calls:
        ours = told(call, R, graphc.zeros, graphc.tensor)
        assert ours[0] is not None
        assert ours == told(call, torch.nn.utils.rnn, torch.zeros, torch.tensor)


# ---------------------------------------------------------------- normalized weights


def pair(make):
    """make(library) for both, the second with the first one's state."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        theirs, ours = make(torch).double(), make(graphc).double()
    state = theirs.state_dict()
    ours.load_state_dict({k: graphc.from_numpy(v.numpy()) for k, v in state.items()})
    assert list(ours.state_dict()) == list(state)
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    return theirs, ours


WEIGHTS = {
    "old weight norm": lambda lib: lib.nn.utils.weight_norm(lib.nn.Linear(4, 3)),
    "old weight norm, dim None": lambda lib: lib.nn.utils.weight_norm(lib.nn.Linear(4, 3),
                                                                      dim=None),
    "old weight norm, dim 1": lambda lib: lib.nn.utils.weight_norm(lib.nn.Linear(4, 3), dim=1),
    "old spectral norm": lambda lib: lib.nn.utils.spectral_norm(lib.nn.Linear(4, 3),
                                                                n_power_iterations=2),
    "weight norm": lambda lib: lib.nn.utils.parametrizations.weight_norm(lib.nn.Linear(4, 3)),
    "spectral norm": lambda lib: lib.nn.utils.parametrizations.spectral_norm(lib.nn.Linear(4, 3),
                                                                             dim=1),
    "of a vector": lambda lib: lib.nn.utils.parametrizations.spectral_norm(lib.nn.Linear(4, 3),
                                                                           "bias"),
}  # fmt: skip


@needs_torch
@pytest.mark.parametrize("name", WEIGHTS)
def test_normalized_weights(name):
    found = []
    for lib, m in zip((torch, graphc), pair(WEIGHTS[name]), strict=True):
        seen = []
        for training in (True, True, False):
            m.train(training)
            x = lib.from_numpy(X[:, :, :1].repeat(4, 2)).requires_grad_()
            m.zero_grad()
            out = m(x)
            out.square().sum().backward()
            seen += [out, x.grad, [p.grad for p in m.parameters()], list(m.buffers())]
        found.append(seen)
    agree(*found)


@needs_torch
def test_removing_them():
    cases = [("weight_norm", "remove_weight_norm"), ("spectral_norm", "remove_spectral_norm")]
    for put, take in cases:
        _, m = pair(lambda lib, put=put: getattr(lib.nn.utils, put)(lib.nn.Linear(4, 3)))
        m.eval()
        x = graphc.randn(2, 4, dtype=graphc.float64)
        before = m(x)
        getattr(nn.utils, take)(m)
        assert set(m.state_dict()) == {"weight", "bias"} and isinstance(m.weight, nn.Parameter)
        agree(before, m(x))
        ours = told(getattr(nn.utils, take), m)
        assert ours[0] is ValueError and "of 'weight' not found in Linear" in ours[1]
    with pytest.warns(FutureWarning, match="parametrizations.weight_norm"):
        m = nn.utils.weight_norm(nn.Linear(4, 3))
    with pytest.raises(RuntimeError, match="two weight_norm hooks on the same parameter"):
        nn.utils.weight_norm(m)


def test_norms_are_what_they_say():
    m = parametrizations.spectral_norm(nn.Linear(6, 4).double(), n_power_iterations=50)
    m(graphc.randn(1, 6, dtype=graphc.float64))
    assert abs(np.linalg.svd(m.weight.detach().numpy(), compute_uv=False)[0] - 1) < 1e-6
    w = parametrizations.weight_norm(nn.Linear(6, 4).double())
    w.parametrizations.weight.original0.data.fill_(2.0)
    np.testing.assert_allclose((w.weight**2).sum(1).detach().numpy(), 4.0, rtol=1e-12)
    old = {"weight_g": graphc.ones(4, 1), "weight_v": graphc.ones(4, 6), "bias": graphc.zeros(4)}
    w.load_state_dict(old)
    np.testing.assert_allclose(w.weight.detach().numpy(), 6**-0.5, rtol=1e-12)


# ---------------------------------------------------------------- parametrizations


def symmetric(lib):
    class Symmetric(lib.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, a):
            return a.triu()

    return Symmetric()


def double(lib):
    class Double(lib.nn.Module):
        def forward(self, x):
            return 2 * x

    return Double()


@needs_torch
def test_parametrize_against_torch():
    def make(lib):
        m = lib.nn.Linear(3, 3)
        p = lib.nn.utils.parametrize
        p.register_parametrization(m, "weight", symmetric(lib))
        p.register_parametrization(m, "weight", double(lib))
        return p.register_parametrization(m, "bias", double(lib))

    pairs = pair(make)
    assert repr(pairs[0]) == repr(pairs[1])
    found = []
    for lib, m in zip((torch, graphc), pairs, strict=True):
        p = lib.nn.utils.parametrize
        x = lib.from_numpy(RNG_X.copy())
        out = m(x)
        out.square().sum().backward()
        grads = [q.grad for q in m.parameters()]
        copied = copy.deepcopy(m)
        of_copy = copied(x)
        with p.cached():
            assert m.weight is m.weight
        assert m.weight is not m.weight
        assert p.is_parametrized(m, "weight") and not p.is_parametrized(m, "other")
        assert p.type_before_parametrizations(m) is lib.nn.Linear
        p.remove_parametrizations(m, "weight")
        p.remove_parametrizations(m, "bias", leave_parametrized=False)
        assert type(m) is lib.nn.Linear and list(m.state_dict()) == ["weight", "bias"]
        found.append([out, grads, m(x), list(m.parameters()), of_copy])
        if lib is graphc:  # PyTorch's copy shares the class, which has lost the weight by now
            agree(of_copy, copied(x))
    agree(*found)


RNG_X = np.random.RandomState(3).randn(4, 3)


def test_assigning_goes_through_the_right_inverse():
    m = nn.Linear(3, 3)
    parametrize.register_parametrization(m, "weight", symmetric(graphc))
    a = graphc.randn(3, 3)
    m.weight = a + a.T
    assert graphc.equal(m.weight, a + a.T)
    assert graphc.equal(m.parametrizations.weight.original, (a + a.T).triu())
    parametrize.register_parametrization(m, "bias", double(graphc))
    with pytest.raises(RuntimeError, match="Double does not implement right_inverse"):
        m.bias = graphc.zeros(3)
    with pytest.raises(RuntimeError, match="only supported through state_dict"):
        m.__getstate__()
    other = parametrize.transfer_parametrizations_and_params(m, nn.Linear(3, 3))
    assert graphc.equal(other.weight, m.weight) and graphc.equal(other.bias, m.bias)
    assert other.parametrizations.weight.original is not m.parametrizations.weight.original


@needs_torch
def test_errors_of_parametrizations():
    def bad(lib, value):
        class Bad(lib.nn.Module):
            def forward(self, x):
                return value(x)

        return Bad()

    def linear(lib, name="weight", value=lambda x: x.double(), times=1):
        m, p = lib.nn.Linear(2, 2), lib.nn.utils.parametrize
        for _ in range(times - 1):
            p.register_parametrization(m, name, double(lib))
        p.register_parametrization(m, name, bad(lib, value))

    calls = [
        lambda lib: linear(lib, "nothing"),
        lambda lib: linear(lib),
        lambda lib: linear(lib, value=lambda x: x[0]),
        lambda lib: linear(lib, value=lambda x: 3),
        lambda lib: linear(lib, times=2),
        lambda lib: linear(lib, value=lambda x: x[0], times=2),
        lambda lib: linear(lib, value=lambda x: 3, times=2),
        lambda lib: lib.nn.utils.parametrize.remove_parametrizations(lib.nn.Linear(2, 2), "bias"),
        lambda lib: lib.nn.utils.parametrize.ParametrizationList([], lib.zeros(2)),
        lambda lib: lib.nn.utils.parametrizations.spectral_norm(lib.nn.Linear(2, 2), "x"),
        lambda lib: lib.nn.utils.parametrizations.spectral_norm(lib.nn.Linear(2, 2), dim=2),
        lambda lib: lib.nn.utils.spectral_norm(lib.nn.Linear(2, 2), n_power_iterations=0),
        lambda lib: lib.nn.utils.skip_init(lib.nn.ReLU),
        lambda lib: lib.nn.utils.skip_init(int),
    ]
    for call in calls:
        ours = told(call, graphc)
        assert ours[0] is not None
        theirs = told(call, torch)
        assert (ours[0], ours[1].replace("graphc.nn", "torch.nn")) == theirs


@pytest.mark.parametrize("name", ["weight norm", "spectral norm", "old weight norm",
                                  "old spectral norm"])  # fmt: skip
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_compiled(name):
    """A training step, in bits; falls back to eager where a hook sets an attribute."""
    graphc.manual_seed(0)
    m = WEIGHTS[name](graphc)
    m.train(False)
    compiled = graphc.compile(m)
    x = graphc.randn(5, 4)
    grads = []
    for fn in (m, compiled):
        m.zero_grad()
        out = fn(x)
        out.square().sum().backward()
        grads.append([out, *[p.grad for p in m.parameters()]])
    assert all(graphc.equal(a, b) for a, b in zip(*grads, strict=True))


# ---------------------------------------------------------------- the rest


def test_skip_init_uses_no_random_numbers():
    graphc.manual_seed(1)
    a = graphc.randn(2)
    graphc.manual_seed(1)
    m = nn.utils.skip_init(nn.Linear, 3, 4, bias=False)
    assert tuple(m.weight.shape) == (4, 3)
    assert graphc.equal(graphc.randn(2), a)


@needs_torch
def test_fusion():
    def make(lib):
        return lib.nn.Sequential(lib.nn.Linear(4, 3), lib.nn.BatchNorm1d(3))

    theirs, ours = pair(make)
    for lib, m in ((torch, theirs), (graphc, ours)):
        m(lib.from_numpy(RNG_X4.copy()))
    found = []
    for lib, m in ((torch, theirs), (graphc, ours)):
        assert told(lib.nn.utils.fuse_linear_bn_eval, *m) == (
            AssertionError,
            "Fusion only for eval!",
        )
        m.eval()
        fused = lib.nn.utils.fuse_linear_bn_eval(*m)
        x = lib.from_numpy(RNG_X4.copy())
        conv = lib.nn.utils.fuse_conv_bn_weights(
            x.reshape(3, 2, 2, 2)[..., :1], None, x[0, :3], x[1, :3].square(), 0.1, None, None
        )
        agree(m(x), fused(x))
        found.append([*fused.parameters(), *conv])
    agree(*found)


RNG_X4 = np.random.RandomState(4).randn(6, 4)


def test_data_parallel():
    m = nn.Linear(3, 2)
    x = graphc.randn(4, 3)
    for wrapped in (nn.DataParallel(m), nn.parallel.DistributedDataParallel(m)):
        assert wrapped.module is m and graphc.equal(wrapped(x), m(x))
        assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
    with wrapped.no_sync():
        wrapped(x).sum().backward()
    assert m.weight.grad is not None and wrapped.require_backward_grad_sync
    assert graphc.equal(nn.parallel.data_parallel(m, x), m(x))
    with pytest.raises(RuntimeError, match="doesn't have any parameters"):
        nn.parallel.DistributedDataParallel(nn.ReLU())


def test_old_clip_name():
    p = nn.Parameter(graphc.ones(4))
    p.grad = graphc.ones(4)
    with pytest.warns(FutureWarning, match="clip_grad_norm_"):
        assert float(nn.utils.clip_grad_norm([p], 1.0)) == 2.0
    assert abs(float(p.grad.norm()) - 1) < 1e-6


def test_module_paths():
    """Where PyTorch programs import layers and types from."""
    from graphc.nn.common_types import _size_2_t  # noqa: F401
    from graphc.nn.modules.activation import MultiheadAttention
    from graphc.nn.modules.batchnorm import _BatchNorm, _NormBase
    from graphc.nn.modules.channelshuffle import ChannelShuffle
    from graphc.nn.modules.instancenorm import _InstanceNorm
    from graphc.nn.modules.loss import _Loss, _WeightedLoss
    from graphc.nn.modules.rnn import RNNBase
    from graphc.nn.modules.transformer import TransformerEncoderLayer
    from graphc.nn.modules.utils import _pair, _triple

    assert MultiheadAttention is nn.MultiheadAttention and ChannelShuffle is nn.ChannelShuffle
    assert issubclass(nn.BatchNorm2d, _BatchNorm) and issubclass(_BatchNorm, _NormBase)
    assert issubclass(nn.InstanceNorm1d, _InstanceNorm) and issubclass(nn.NLLLoss, _WeightedLoss)
    assert issubclass(_WeightedLoss, _Loss) and issubclass(nn.GRU, RNNBase)
    assert TransformerEncoderLayer is nn.TransformerEncoderLayer
    assert _pair(3) == (3, 3) and _triple((1, 2, 3)) == (1, 2, 3)
