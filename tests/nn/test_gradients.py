"""First and second derivatives of the functions against finite differences, in float64."""

import pytest

import graphc
import graphc.nn.functional as F
from graphc.autograd import gradcheck, gradgradcheck

graphc.manual_seed(0)
X, T = (graphc.randn(3, 4, dtype=graphc.float64).requires_grad_() for _ in range(2))
X3 = graphc.randn(2, 4, 3, dtype=graphc.float64).requires_grad_()
W, B = (graphc.randn(4, dtype=graphc.float64).requires_grad_() for _ in range(2))
P = (graphc.rand(3, 4, dtype=graphc.float64) * 0.8 + 0.1).requires_grad_()
A = graphc.randn(2, 4, 4, dtype=graphc.float64).requires_grad_()
LABELS, ROWS = graphc.tensor([0, 3, 1]), graphc.tensor([1, 2, 1])

UNARY = (
    "silu", "mish", "gelu", "selu", "celu", "elu", "logsigmoid", "softsign", "tanhshrink",
    "softplus", "sigmoid", "tanh",
)  # fmt: skip
CASES = {
    **{name: (getattr(F, name), (X,)) for name in UNARY},
    "prelu": (F.prelu, (X, W)),
    "glu": (F.glu, (X,)),
    "cross_entropy": (
        lambda x, w: F.cross_entropy(x, LABELS, weight=w.abs(), label_smoothing=0.1),
        (X, W),
    ),
    "probabilities": (F.cross_entropy, (X, P)),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, (4,), w, b), (X, W, B)),
    "rms_norm": (lambda x, w: F.rms_norm(x, (4,), w), (X, W)),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), (X3, W, B)),
    "batch_norm": (lambda x: F.batch_norm(x, None, None, training=True), (X,)),
    "normalize": (F.normalize, (X,)),
    "cosine": (F.cosine_similarity, (X, P)),
    "bce": (F.binary_cross_entropy, (P, P)),
    "logits": (F.binary_cross_entropy_with_logits, (X, P)),
    "kl_div": (lambda x, p: F.kl_div(x, p, reduction="sum"), (X, P)),
    "mse": (F.mse_loss, (X, T)),
    "gaussian": (F.gaussian_nll_loss, (X, T, P)),
    "attention": (lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True), (X3,)),
    "embedding": (lambda w: F.embedding(ROWS, w, padding_idx=0), (X,)),
    "bilinear": (F.bilinear, (X, T, A)),
}


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name):
    fn, inputs = CASES[name]
    assert gradcheck(fn, inputs)
    assert gradgradcheck(fn, inputs)
