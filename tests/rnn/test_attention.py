"""Attention and transformers against PyTorch from the same weights, against the formula in numpy,
and compiled against eager in bits.

Tolerance: float64 on both sides; 1e-10 separates rounding from errors."""

import copy
import inspect
import math

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc import nn
from graphc.nn.attention import SDPBackend, sdpa_kernel

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")
pytestmark = pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:Support for mis")

RNG = np.random.RandomState(5)
TOL = {"rtol": 1e-10, "atol": 1e-12}
Q, K, V = RNG.randn(2, 4, 5, 6), RNG.randn(2, 4, 7, 6), RNG.randn(2, 4, 7, 3)
BOOL = RNG.rand(5, 7) < 0.6
BOOL[:, 0] = True
BOOL[2] = False  # a row that sees nothing


def both(fn, *arrays):
    """fn(library, *tensors) under both libraries: equal results and gradients."""
    found = []
    for lib in (torch, graphc):
        xs = [lib.from_numpy(a.copy()).requires_grad_() for a in arrays]
        out = fn(lib, *xs)
        outs = [t for t in (out if isinstance(out, tuple) else (out,)) if t is not None]
        loss = sum(
            (t * lib.arange(1, t.numel() + 1).reshape(t.shape).to(t.dtype).cos()).sum()
            for t in outs
        )
        loss.backward()
        found.append(outs + [x.grad for x in xs])
    for a, b in zip(*found, strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), **TOL)


def mask_of(lib, kind):
    if kind == "bool":
        return lib.from_numpy(BOOL.copy())
    if kind == "per head":
        return lib.from_numpy(np.random.RandomState(1).rand(2, 4, 5, 7) < 0.7)
    if kind == "float":
        added = np.random.RandomState(2).randn(5, 7)
        return lib.from_numpy(np.where(BOOL, added, -math.inf))
    return None


@needs_torch
@pytest.mark.parametrize("kind", ["none", "bool", "per head", "float"])
def test_scaled_dot_product(kind):
    both(
        lambda lib, q, k, v: lib.nn.functional.scaled_dot_product_attention(
            q, k, v, mask_of(lib, kind)
        ),
        Q,
        K,
        V,
    )


@needs_torch
@pytest.mark.parametrize("kwargs", [{"is_causal": True}, {"scale": 0.3}, {"dropout_p": 1.0}])
def test_scaled_dot_product_options(kwargs):
    both(
        lambda lib, q, k, v: lib.nn.functional.scaled_dot_product_attention(q, k, v, **kwargs),
        Q,
        K,
        V,
    )
    both(
        lambda lib, q, k, v: lib.nn.functional.scaled_dot_product_attention(
            q, k, v, enable_gqa=True, **kwargs
        ),
        Q,
        K[:, :2],
        V[:, :1],
    )
    both(
        lambda lib, q, k, v: lib.nn.functional.scaled_dot_product_attention(q, k, v, **kwargs),
        K[0, 0],
        Q[0, 0],
        V[0, 0, :5],
    )


def test_the_formula():
    scores = Q @ K.swapaxes(-1, -2) / math.sqrt(6)
    e = np.exp(scores - scores.max(-1, keepdims=True))
    e[..., ~BOOL] = 0
    with np.errstate(invalid="ignore"):
        want = np.nan_to_num(e / e.sum(-1, keepdims=True)) @ V
    q, k, v = map(graphc.from_numpy, (Q, K, V))
    found = F.scaled_dot_product_attention(q, k, v, graphc.from_numpy(BOOL))
    np.testing.assert_allclose(found.numpy(), want, **TOL)
    assert (found[:, :, 2] == 0).all()
    nan = F.scaled_dot_product_attention(q, k, v, graphc.full((5, 7), math.nan).double())
    assert nan.isnan().all()


def test_dropout_keeps_the_mean():
    graphc.manual_seed(0)
    q = graphc.zeros(1, 2000, 4)
    v = graphc.ones(1, 10, 1)
    out = F.scaled_dot_product_attention(q, graphc.zeros(1, 10, 4), v, dropout_p=0.3)
    assert abs(float(out.mean()) - 1) < 0.02  # 20000 draws: one standard deviation is 0.005
    assert len(out.unique()) > 5


def test_backends_choose_nothing():
    q, k, v = map(graphc.from_numpy, (Q, K, V))
    plain = F.scaled_dot_product_attention(q, k, v)
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        with sdpa_kernel([SDPBackend.MATH, SDPBackend.EFFICIENT_ATTENTION], set_priority=True):
            assert graphc.equal(F.scaled_dot_product_attention(q, k, v), plain)
    with pytest.raises(AssertionError, match="Backend must be an instance of SDPBackend"):
        sdpa_kernel(3).__enter__()


# ---------------------------------------------------------------- multi-head


def pair(name, *args, **kwargs):
    torch.manual_seed(0)
    theirs = getattr(torch.nn, name)(*args, **kwargs).double()
    with torch.no_grad():
        for p in theirs.parameters():  # biases start at 0
            p.add_(torch.randn_like(p) * 0.1)
    ours = getattr(nn, name)(*args, **kwargs).double()
    ours.load_state_dict({k: graphc.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()})
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    assert repr(ours) == repr(theirs)
    return {torch: theirs, graphc: ours}


def layer(pairs, fn, *arrays):
    """Results, gradients of inputs and of parameters agree."""
    for m in pairs.values():
        m.zero_grad()
    both(lambda lib, *xs: fn(lib, pairs[lib], *xs), *arrays)
    for a, b in zip(pairs[torch].parameters(), pairs[graphc].parameters(), strict=True):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            np.testing.assert_allclose(b.grad.numpy(), a.grad.numpy(), **TOL)


X, Y = RNG.randn(5, 3, 8), RNG.randn(6, 3, 8)
PADDING = np.array([[0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1]], bool)
LATER = np.triu(np.ones((5, 6), bool), 1)

HEADS = {
    "plain": {},
    "no bias": {"bias": False},
    "bias kv": {"add_bias_kv": True},
    "zero": {"add_zero_attn": True},
    "widths": {"kdim": 8, "vdim": 4},
    "all": {"kdim": 4, "vdim": 4, "add_bias_kv": True, "add_zero_attn": True,
            "batch_first": True},
}  # fmt: skip


@needs_torch
@pytest.mark.parametrize("case", HEADS)
def test_multihead(case):
    options = HEADS[case]
    pairs = pair("MultiheadAttention", 8, 2, **options)
    key = Y[..., : options.get("kdim", 8)].copy()
    value = Y[..., : options.get("vdim", 8)].copy()
    arrays = [X, key, value]
    if options.get("batch_first"):
        arrays = [a.swapaxes(0, 1).copy() for a in arrays]

    def run(**kwargs):
        def call(lib, m, q, k, v):
            masks = {
                n: lib.from_numpy(a) if isinstance(a, np.ndarray) else a for n, a in kwargs.items()
            }
            return m(q, k, v, **masks)

        layer(pairs, call, *arrays)

    run()
    run(need_weights=False)
    run(average_attn_weights=False, key_padding_mask=PADDING)
    run(attn_mask=LATER, need_weights=False, key_padding_mask=PADDING)
    run(attn_mask=np.where(LATER, -1.5, 0.2), key_padding_mask=PADDING * 1.0)
    run(attn_mask=np.broadcast_to(LATER, (6, 5, 6)).copy())
    if not options.get("batch_first"):
        layer(pairs, lambda lib, m, q, k, v: m(q[:, 0], k[:, 0], v[:, 0]), *arrays)


@needs_torch
def test_self_attention_and_causal_hint():
    pairs = pair("MultiheadAttention", 8, 4, batch_first=True)

    def call(lib, m, x):
        mask = lib.nn.Transformer.generate_square_subsequent_mask(5).double()
        hinted = m(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)[0]
        return hinted, m(x, x, x, attn_mask=mask)[0], m(x, x[:, :2], x[:, :2])[0]

    layer(pairs, call, X.swapaxes(0, 1).copy())
    x = graphc.from_numpy(X)
    mask = nn.Transformer.generate_square_subsequent_mask(3).double()
    m = nn.MultiheadAttention(8, 2, batch_first=True).double()
    hinted = m(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)[0]
    np.testing.assert_allclose(
        hinted.detach().numpy(), m(x, x, x, attn_mask=mask)[0].detach(), **TOL
    )


CALLS = [
    (dict, lambda m, q, z: m(q, q, q, is_causal=True)),
    (dict, lambda m, q, z: m(q, q, q, attn_mask=z(4, 5) == 0)),
    (dict, lambda m, q, z: m(q, q, q, attn_mask=z(3, 5, 5) == 0)),
    (dict, lambda m, q, z: m(q, q, q, attn_mask=z(2, 6, 5, 5))),
    (dict, lambda m, q, z: m(q, q, q, attn_mask=z(5, 5).long())),
    (dict, lambda m, q, z: m(q, q, q, key_padding_mask=z(5, 3) == 1)),
    (dict, lambda m, q, z: m(q, q, q, key_padding_mask=z(3))),
    (dict, lambda m, q, z: m(z(5, 3, 7), q, q)),
    (dict, lambda m, q, z: m(z(8), q, q)),
    (dict, lambda m, q, z: m(z(5, 8), q, q)),
    (dict, lambda m, q, z: m(q, z(5, 8), z(5, 8))),
    (dict, lambda m, q, z: m(q, q, z(4, 3, 8))),
    (lambda: {"num_heads": 3}, None),
    (lambda: {"embed_dim": 0}, None),
]


def told(fn):
    try:
        fn()
    except Exception as e:  # noqa: BLE001
        return type(e), str(e).splitlines()[0]
    return None, ""


@needs_torch
def test_errors():
    for options, call in CALLS:
        found = []
        for lib in (graphc, torch):

            def run(lib=lib, options=options, call=call):
                m = lib.nn.MultiheadAttention(**{"embed_dim": 8, "num_heads": 2, **options()})
                call(m, lib.zeros(5, 3, 8), lib.zeros)

            found.append(told(run))
        assert found[0][0] is not None
        assert found[0] == found[1]
    for call in (
        lambda s, z: s(z(2, 3, 4), z(2, 5, 4), z(2, 5, 4), z(3, 5) == 0, is_causal=True),
        lambda s, z: s(z(4), z(4), z(4)),
        lambda s, z: s(z(2, 3, 4), z(2, 5, 4).double(), z(2, 5, 4)),
        lambda s, z: s(z(2, 3, 4), z(2, 5, 4), z(2, 5, 4), z(3, 5).long()),
        lambda s, z: s(z(2, 3, 4), z(2, 5, 4), z(2, 5, 4), z(3, 5).double()),
        lambda s, z: s(z(2, 3, 4), z(2, 5, 3), z(2, 5, 4)),
        lambda s, z: s(z(2, 6, 3, 4), z(2, 4, 5, 4), z(2, 4, 5, 4), enable_gqa=True),
        lambda s, z: s(z(2, 3, 4), z(2, 5, 4), z(2, 5, 4), dropout_p=1.5),
    ):
        ours = told(lambda call=call: call(F.scaled_dot_product_attention, graphc.zeros))
        assert ours[0] is RuntimeError
        assert ours == told(lambda call=call: call(torch.nn.functional.scaled_dot_product_attention,
                                         torch.zeros))  # fmt: skip


# ---------------------------------------------------------------- transformers


@needs_torch
@pytest.mark.parametrize(
    "options",
    [{}, {"norm_first": True, "activation": "gelu", "batch_first": True}, {"bias": False}],
)
def test_layers(options):
    first = options.get("batch_first")
    arrays = [a.swapaxes(0, 1).copy() if first else a for a in (X, Y)]
    encoder = pair("TransformerEncoderLayer", 8, 2, 16, dropout=0.0, **options)
    decoder = pair("TransformerDecoderLayer", 8, 2, 16, dropout=0.0, **options)

    def encode(lib, m, x, y):
        pad, later = lib.from_numpy(PADDING), lib.from_numpy(np.triu(np.ones((6, 6), bool), 1))
        return m(y), m(y, src_mask=later), m(y, src_key_padding_mask=pad), m(y[:, 0])

    def decode(lib, m, x, y):
        pad, later = lib.from_numpy(PADDING), lib.from_numpy(np.triu(np.ones((5, 5), bool), 1))
        hinted = m(x, y, tgt_mask=later, tgt_is_causal=True, memory_key_padding_mask=pad)
        return m(x, y), hinted, m(x, y, memory_mask=lib.from_numpy(LATER))

    layer(encoder, encode, *arrays)
    layer(decoder, decode, *arrays)


@needs_torch
def test_transformer():
    pairs = pair("Transformer", 8, 2, 2, 2, 16, dropout=0.0)

    def run(lib, m, x, y):
        mask = lib.nn.Transformer.generate_square_subsequent_mask(5)
        pad = lib.from_numpy(PADDING)
        whole = m(y, x, tgt_mask=mask, src_key_padding_mask=pad, memory_key_padding_mask=pad)
        return whole, m(y[:, 0], x[:, 0])

    layer(pairs, run, X, Y)
    for lib, m in pairs.items():
        zeros = lib.zeros
        assert told(lambda m=m, z=zeros: m(z(5, 3, 8), z(5, 2, 8)))[1] == (
            "the batch number of src and tgt must be equal"
        )
        assert told(lambda m=m, z=zeros: m(z(5, 3, 7), z(5, 3, 8)))[1] == (
            "the feature number of src and tgt must be equal to d_model"
        )


@needs_torch
@pytest.mark.parametrize("grad", [True, False])
def test_encoder_in_evaluation(grad):
    """Without gradients PyTorch packs the padding away: its places are 0 before the last norm."""
    layers = pair("TransformerEncoderLayer", 8, 2, 16, batch_first=True)
    found = []
    for lib, m in layers.items():
        both_ways = []
        for padding in (PADDING, PADDING[:, ::-1].copy()):
            encoder = lib.nn.TransformerEncoder(m, 2, lib.nn.LayerNorm(8).double()).eval()
            with lib.set_grad_enabled(grad):
                pad = lib.from_numpy(padding)
                both_ways.append(
                    encoder(lib.from_numpy(Y.swapaxes(0, 1).copy()), src_key_padding_mask=pad)
                )
        found.append(both_ways)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), **TOL)


def test_copies_are_independent():
    layer = nn.TransformerEncoderLayer(8, 2, 16)
    encoder = nn.TransformerEncoder(layer, 3)
    first, second = encoder.layers[0], encoder.layers[1]
    assert graphc.equal(first.linear1.weight, second.linear1.weight)
    assert first.linear1.weight is not second.linear1.weight
    activation = copy.deepcopy(encoder).layers[2].activation
    assert inspect.unwrap(activation) is inspect.unwrap(F.relu)
    with pytest.raises(RuntimeError, match="activation should be relu/gelu, not x"):
        nn.TransformerEncoderLayer(8, 2, activation="x")


def test_compiled():
    x, y = graphc.randn(5, 3, 8), graphc.randn(6, 3, 8)
    m = nn.Transformer(8, 2, 1, 1, 16, dropout=0.1)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    compiled = graphc.compile(m, fullgraph=True)
    results = []
    for fn in (m, compiled):
        m.zero_grad()
        graphc.manual_seed(1)
        out = fn(y, x, tgt_mask=mask)
        out.square().sum().backward()
        results.append([out, *[p.grad for p in m.parameters()]])
    assert all(graphc.equal(a, b) for a, b in zip(*results, strict=True))


AUTOCAST = {
    "LSTM": ((4, 6), 1),
    "GRU": ((4, 6), 1),
    "RNN": ((4, 6), 1),
    "LSTMCell": ((4, 6), 1),
    "MultiheadAttention": ((4, 2), 3),
    "TransformerEncoderLayer": ((4, 2), 1),
}


@needs_torch
@pytest.mark.parametrize("name", AUTOCAST)
def test_autocast(name):
    """The result has PyTorch's dtype; parameters' gradients are theirs."""
    args, inputs = AUTOCAST[name]
    found = []
    for lib in (torch, graphc):
        m = getattr(lib.nn, name)(*args)
        x = lib.ones(3, 4) if name.endswith("Cell") else lib.ones(5, 3, 4)
        with lib.autocast("cpu", dtype=lib.bfloat16):
            out = m(*(x,) * inputs)
        while isinstance(out, tuple):
            out = out[0]
        out.float().sum().backward()
        found.append([str(t.dtype) for t in (out, *[p.grad for p in m.parameters()])])
    assert found[0] == found[1]
