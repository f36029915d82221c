"""autocast: which functions take which dtype, as PyTorch's, regions and their settings, eager and
compiled with the same bits; gradients; autograd functions."""

import threading
import warnings

import numpy as np
import pytest

import graphc
import graphc.nn.functional as F
from graphc.native import library

BF, HALF, F32, F64 = graphc.bfloat16, graphc.float16, graphc.float32, graphc.float64


def _x(dtype=F32):
    rng = np.random.default_rng(0)
    return graphc.from_numpy(rng.uniform(0.1, 0.9, (4, 4)).astype("float32")).to(dtype)


TARGET = graphc.tensor([1, 2, 3, 0])
LOWER = {
    "linear": lambda t, F, x: F.linear(x, x, x[0]),
    "matmul": lambda t, F, x: t.matmul(x, x),
    "operator": lambda t, F, x: x @ x,
    "method": lambda t, F, x: x.mm(x),
    "bmm": lambda t, F, x: t.bmm(x[None], x[None]),
    "addmm": lambda t, F, x: t.addmm(x, x, x, beta=2),
    "baddbmm": lambda t, F, x: t.baddbmm(x[None], x[None], x[None]),
    "einsum": lambda t, F, x: t.einsum("ij,jk->ik", x, x),
    "tensordot": lambda t, F, x: t.tensordot(x, x, 1),
    "sdpa": lambda t, F, x: F.scaled_dot_product_attention(x[None], x[None], x[None]),
}
FLOAT32 = {
    "prod": lambda t, F, x: t.prod(x),
    "prod-dim": lambda t, F, x: x.prod(1),
    "mse": lambda t, F, x: F.mse_loss(x, x + 1),
    "l1": lambda t, F, x: F.l1_loss(x, x + 1),
    "smooth": lambda t, F, x: F.smooth_l1_loss(x, x + 1),
    "huber": lambda t, F, x: F.huber_loss(x, x + 1),
    "kl": lambda t, F, x: F.kl_div(x.log(), x, reduction="sum"),
    "bce": lambda t, F, x: F.binary_cross_entropy(x, x),
    "bce-logits": lambda t, F, x: F.binary_cross_entropy_with_logits(x, x),
    "ce": lambda t, F, x: F.cross_entropy(x, t.tensor([1, 2, 3, 0])),
    "nll": lambda t, F, x: F.nll_loss(x, t.tensor([1, 2, 3, 0])),
    "cosine": lambda t, F, x: F.cosine_embedding_loss(x, x + 1, t.ones(4)),
    "reflect": lambda t, F, x: F.pad(x[None], (1, 1), mode="reflect"),
    "replicate": lambda t, F, x: F.pad(x[None], (1, 1), "replicate"),
}
SAME = {
    "mv": lambda t, F, x: t.mv(x, x[0]),
    "outer": lambda t, F, x: t.outer(x[0], x[0]),
    "softmax": lambda t, F, x: F.softmax(x, -1),
    "layer_norm": lambda t, F, x: F.layer_norm(x, (4,)),
    "gelu": lambda t, F, x: F.gelu(x),
    "exp": lambda t, F, x: x.exp(),
    "sum": lambda t, F, x: x.sum(),
    "pad": lambda t, F, x: F.pad(x, (1, 1)),
    "circular": lambda t, F, x: F.pad(x[None], (1, 1), mode="circular"),
    "cat": lambda t, F, x: t.cat([x, x]),
}


@pytest.mark.parametrize("to", [BF, HALF])
def test_policies(to):
    for table, want in ((LOWER, lambda d: to), (FLOAT32, lambda d: F32), (SAME, lambda d: d)):
        for name, f in table.items():
            for d in (F32, BF, HALF):
                with graphc.autocast("cpu", dtype=to):
                    out = f(graphc, F, _x(d))
                assert out.dtype is want(d), (name, d)
            with graphc.autocast("cpu", dtype=to):
                assert f(graphc, F, _x().double()).dtype is F64, name
            assert f(graphc, F, _x()).dtype is F32, name  # outside nothing is cast


def test_policies_are_pytorchs():
    torch = pytest.importorskip("torch")
    x = torch.from_numpy(_x().numpy())
    for table in (LOWER, FLOAT32, SAME):
        for name, f in table.items():
            for d in ("float32", "bfloat16"):
                with torch.autocast("cpu"):
                    theirs = f(torch, torch.nn.functional, x.to(getattr(torch, d)))
                with graphc.autocast("cpu"):
                    mine = f(graphc, F, _x(getattr(graphc, d)))
                assert str(mine.dtype) == str(theirs.dtype), name
                # two bfloat16 roundings of numbers below 8
                bound = 2**-6 if d == "bfloat16" or table is LOWER else 1e-5
                np.testing.assert_allclose(
                    mine.float().numpy(), theirs.float().numpy(), rtol=2**-6, atol=bound
                )


def test_values_are_those_of_casts_by_hand():
    x = _x()
    with graphc.autocast("cpu", dtype=BF):
        y = F.linear(x, x, x[0])
        z = F.mse_loss(y, x)
    want = F.linear(x.to(BF), x.to(BF), x[0].to(BF))
    assert (y == want).all()
    assert z == F.mse_loss(want.float(), x)


def test_regions():
    assert not graphc.is_autocast_enabled("cpu") and graphc.get_autocast_dtype("cpu") is BF
    x = _x()
    with graphc.autocast(device_type="cpu", dtype=HALF):
        assert graphc.is_autocast_enabled("cpu") and graphc.get_autocast_dtype("cpu") is HALF
        assert (x @ x).dtype is HALF
        with graphc.autocast("cpu", enabled=False):
            assert (x @ x).dtype is F32 and not graphc.is_autocast_enabled("cpu")
            with graphc.autocast("cpu", dtype=BF):
                assert (x @ x).dtype is BF
        assert (x @ x).dtype is HALF
        seen = []
        t = threading.Thread(target=lambda: seen.append((x @ x).dtype))
        t.start()
        t.join()
        assert seen == [F32]  # a thread of its own starts without
    with pytest.raises(ZeroDivisionError), graphc.amp.autocast("cpu"):
        1 / 0
    assert not graphc.is_autocast_enabled("cpu") and graphc.get_autocast_dtype("cpu") is BF
    region = graphc.autocast("cpu")

    @region
    def f(x):
        """Doc."""
        return x @ x

    assert f(x).dtype is BF and f.__name__ == "f" and (x @ x).dtype is F32
    with region, region:
        assert (x @ x).dtype is BF
    graphc.set_autocast_enabled("cpu", True)
    assert graphc.is_autocast_cpu_enabled() and (x @ x).dtype is BF
    graphc.set_autocast_dtype("cpu", HALF)
    assert (x @ x).dtype is HALF
    graphc.set_autocast_enabled("cpu", False)
    graphc.set_autocast_dtype("cpu", BF)
    out = graphc.empty(4, 4)
    with graphc.autocast("cpu"):
        assert graphc.mm(x, x, out=out) is out
    assert (out == x @ x).all()  # PyTorch casts no form with out=


def test_errors_and_warnings():
    with pytest.warns(UserWarning, match="CUDA is not available"):
        off = graphc.autocast("cuda")
    with off:
        assert (_x() @ _x()).dtype is F32
    with pytest.warns(UserWarning, match="In CPU autocast, but the target dtype is not supported"):
        off = graphc.autocast("cpu", dtype=F32)
    with off:
        assert (_x() @ _x()).dtype is F32
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'toaster'"):
        graphc.autocast("toaster")
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        graphc.autocast(3)
    with pytest.raises(TypeError, match="requires a callable, but got Tensor"):
        graphc.autocast("cpu")(_x())
    with pytest.warns(FutureWarning, match=r"torch.cuda.amp.autocast\(args...\)` is deprecated"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            graphc.cuda.amp.autocast(enabled=False)
    with pytest.warns(FutureWarning, match="cpu.amp.autocast"), graphc.cpu.amp.autocast():
        assert (_x() @ _x()).dtype is BF


def _net():
    graphc.manual_seed(0)
    nn = graphc.nn
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))


def test_training_takes_float32_gradients():
    net, x = _net(), _x()
    with graphc.autocast("cpu", dtype=BF):
        y = net(x)
        loss = F.cross_entropy(y, TARGET % 3)
    assert y.dtype is BF and loss.dtype is F32
    loss.backward()
    assert all(p.grad.dtype is F32 for p in net.parameters())
    exact = _net()
    F.cross_entropy(exact(x), TARGET % 3).backward()
    for p, q in zip(net.parameters(), exact.parameters(), strict=True):
        # bfloat16 keeps eight bits; a dozen roundings, which LayerNorm magnifies by 1/std
        assert (p.grad - q.grad).abs().max() <= 16 * 2**-8 * max(q.grad.abs().max().item(), 0.1)


def test_backward_is_not_cast():
    """Gradients of what was computed in float32 are float32 products, wherever backward runs."""
    x, w = _x(), _x().requires_grad_()
    (x @ w).sum().backward()
    want, w.grad = w.grad, None
    y = (x @ w).sum()
    with graphc.autocast("cpu"):
        y.backward()
    assert (w.grad == want).all()


def _step(net, optimizer, x, inside):
    def step(x):
        optimizer.zero_grad()
        if inside:
            with graphc.autocast("cpu", dtype=BF):
                loss = F.cross_entropy(net(x), TARGET % 3)
        else:
            loss = F.cross_entropy(net(x), TARGET % 3)
        loss.backward()
        optimizer.step()
        return loss

    return step


@pytest.mark.parametrize("inside", [True, False])
def test_compiled_bits(inside):
    if not library.available():
        pytest.skip("needs a C compiler")
    runs = []
    for compiled in (False, True):
        net, x = _net(), _x()
        o = graphc.optim.AdamW(net.parameters(), lr=0.05)
        step = _step(net, o, x, inside)
        run = graphc.compile(step, fullgraph=True) if compiled else step
        losses = []
        for i in range(4):
            with graphc.autocast("cpu", dtype=BF, enabled=not inside and i > 1):
                losses.append(run(x).item())
        runs.append((losses, [p.detach().numpy().tobytes() for p in net.parameters()]))
        if compiled:
            assert len(run.specialisations) == (1 if inside else 2)
            if not inside:
                assert "autocast was off" in run.history[1]
    assert runs[0] == runs[1]


def test_a_compiled_function_may_not_leave_it_changed():
    def f(x):
        graphc.set_autocast_enabled("cpu", True)
        return x + 1

    g = graphc.compile(f, fullgraph=True)
    with pytest.raises(RuntimeError, match="changes the gradient mode, autocast or"):
        g(_x())
    assert not graphc.is_autocast_enabled("cpu")


def test_autograd_functions():
    amp, seen = graphc.amp, []

    class Product(graphc.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu")
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a.mm(b)

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            seen.append(graphc.is_autocast_enabled("cpu"))
            a, b = ctx.saved_tensors
            return g.mm(b.t()), a.t().mm(g)

    class Wide(graphc.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu", cast_inputs=F32)
        def forward(ctx, a):
            seen.append((a.dtype, graphc.is_autocast_enabled("cpu")))
            return a * 2

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx, g):
            return g * 2

    x = _x().requires_grad_()
    with graphc.autocast("cpu"):
        y = Product.apply(x, x)
        z = Wide.apply(y)
    assert y.dtype is BF and z.dtype is F32
    z.sum().backward()
    assert seen == [(F32, False), True] and x.grad.dtype is F32
    assert graphc.amp.is_autocast_available("cpu")
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        amp.custom_fwd(device_type=1)
