"""graphc.func: derivatives against closed forms and float64 differences, PyTorch's results and
errors where it is installed, nesting in every order, and vmap against loops in bits."""

import warnings

import numpy as np
import pytest

import graphc
from graphc import func, nn, vmap
from graphc.func import grad, hessian, jacfwd, jacrev, jvp, linearize, vjp

RNG = np.random.default_rng(3)
A, B, C = RNG.standard_normal((3, 4)), RNG.standard_normal((4, 5)), RNG.standard_normal(4)


def t(a):
    return graphc.tensor(a)


def close(a, b, tol=1e-12):
    # float64 throughout: a few rounding errors of numbers around 1 to 10
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=tol, atol=tol)


# ---------------------------------------------------------------- closed forms


def test_derivatives_of_known_functions():
    x = t(C)
    close(grad(lambda a: (a**3).sum())(x), 3 * C**2)
    close(hessian(lambda a: (a**3).sum())(x), np.diag(6 * C))
    for jacobian in (jacrev, jacfwd):
        close(jacobian(lambda a: t(A) @ a)(x), A)
        close(jacobian(lambda a: a.sin())(x), np.diag(np.cos(C)))
    out, tangent = jvp(lambda a: a.exp(), (x,), (t(C[::-1].copy()),))
    close(out, np.exp(C))
    close(tangent, np.exp(C) * C[::-1])
    out, push = linearize(lambda a: a**2, x)
    close(push(x), 2 * C * C)
    close(push(x * 2), 4 * C * C)
    out, back = vjp(lambda a, b: (a @ b, a.sum()), t(A), t(B))
    ga, gb = back((graphc.ones(3, 5, dtype=graphc.float64), t(2.0)))
    close(ga, np.ones((3, 5)) @ B.T + 2)
    close(gb, A.T @ np.ones((3, 5)))
    close(back((graphc.zeros(3, 5, dtype=graphc.float64), t(1.0)))[0], np.ones((3, 4)))


def test_derivatives_nest_to_any_order():
    f = lambda a: a**5  # noqa: E731
    x, want = t(2.0), (5 * 16.0, 20 * 8.0, 60 * 4.0, 120 * 2.0)
    d = f
    for value in want:
        d = grad(d)
        close(d(x), value)
    d = f
    for value in want[:3]:
        d = (lambda g: lambda a: jvp(g, (a,), (graphc.ones_like(a),))[1])(d)
        close(d(x), value)
    # derivatives by different variables of one value must not be confused
    close(grad(lambda a: a * grad(lambda b: a + b)(t(1.0)))(t(3.0)), 1.0)
    close(grad(lambda a: a * jvp(lambda b: a * b, (t(1.0),), (t(1.0),))[1])(t(3.0)), 6.0)
    close(grad(lambda a: grad(lambda b: (a * b) ** 2)(a))(t(2.0)), 24.0)


@pytest.mark.parametrize("outer", [jacrev, jacfwd])
@pytest.mark.parametrize("inner", [jacrev, jacfwd])
def test_hessian_is_any_jacobian_of_any_jacobian(outer, inner):
    def f(a):
        return (t(A) @ a).tanh().sum() * a[0]

    close(outer(inner(f))(t(C)), hessian(f)(t(C)))
    stacked = vmap(outer(inner(f)))(t(np.stack([C, 2 * C])))
    close(stacked[1], outer(inner(f))(t(2 * C)))


def loss(w, x):
    h = (x @ w).tanh()
    return (h * h).sum() + h.amax() * w[0, 0].exp()


def test_vmap_and_grad_in_every_order_are_loops_in_bits():
    xs, w = t(RNG.standard_normal((6, 4))), t(B)
    rows = [grad(loss)(w, x) for x in xs]
    per_sample = vmap(grad(loss), in_dims=(None, 0))(w, xs)
    assert (per_sample == graphc.stack(rows)).all()
    both = vmap(grad(loss, argnums=(0, 1)), in_dims=(None, 0), out_dims=(1, 0))(w, xs)
    assert (both[0].movedim(1, 0) == per_sample).all()
    assert (both[1][2] == grad(loss, argnums=1)(w, xs[2])).all()
    total = grad(lambda w: vmap(loss, in_dims=(None, 0))(w, xs).sum())(w)
    close(total, sum(np.asarray(r) for r in rows))
    mixed = grad(lambda w: vmap(grad(loss, 1), (None, 0))(w, xs).square().sum())(w)
    looped = grad(lambda w: sum(grad(loss, 1)(w, x).square().sum() for x in xs))(w)
    close(mixed, looped)
    grid = vmap(vmap(loss, in_dims=(0, None)), in_dims=(None, 0))
    ws = graphc.stack([w, w * 2])
    want = [[loss(v, x) for v in ws] for x in xs]
    assert grid(ws, xs).tolist() == [[v.item() for v in r] for r in want]
    close(
        vmap(lambda x, v: jvp(lambda a: loss(w, a), (x,), (v,))[1])(xs, xs.flip(0)),
        [jvp(lambda a: loss(w, a), (x,), (v,))[1].item() for x, v in zip(xs, xs.flip(0))],
    )


def test_outer_tensors_stay_differentiable():
    w = t(C).requires_grad_()
    g = grad(lambda a: (a * w).square().sum())(t(C))
    assert g.requires_grad
    g.sum().backward()
    close(w.grad, 4 * C * C)
    assert not grad(lambda a: (a**2).sum())(t(C)).requires_grad
    y = t(C).requires_grad_()
    assert grad(lambda a: (a**2).sum())(y).requires_grad
    with graphc.no_grad():
        assert not grad(lambda a: (a * w).square().sum())(t(C)).requires_grad
    out, back = vjp(lambda a: a * w, t(C))
    assert out.requires_grad and back(t(C))[0].requires_grad
    batched = vmap(lambda a: (a * w).sum())(t(A))
    (gw,) = graphc.autograd.grad(batched.sum(), w)
    close(gw, A.sum(0))


def test_rows_of_a_graph_by_vmap():
    x = t(C).requires_grad_()
    y = x.sin() * x.sum()
    rows = vmap(lambda v: graphc.autograd.grad(y, x, v, retain_graph=True)[0])(
        graphc.eye(4, dtype=graphc.float64)
    )
    close(rows, jacrev(lambda a: a.sin() * a.sum())(t(C)))


# ---------------------------------------------------------------- networks


def network():
    graphc.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.LayerNorm(8), nn.Linear(8, 3))


def test_per_sample_gradients_of_a_network():
    model = network()
    x, y = graphc.randn(10, 6), graphc.randint(0, 3, (10,))
    params = {k: v.detach() for k, v in model.named_parameters()}

    def one(p, x, y):
        out = func.functional_call(model, p, (x.unsqueeze(0),))
        return nn.functional.cross_entropy(out, y.unsqueeze(0))

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing runs element by element
        grads = vmap(grad(one), in_dims=(None, 0, 0))(params, x, y)
    for i in range(10):
        model.zero_grad()
        nn.functional.cross_entropy(model(x[i : i + 1]), y[i : i + 1]).backward()
        for k, p in model.named_parameters():
            assert (grads[k][i] == p.grad).all(), k


def test_ensembles_and_functional_call():
    models = [network() for _ in range(3)]
    for i, m in enumerate(models):
        m[0].bias.data += i
    params, buffers = func.stack_module_state(models)
    x = graphc.randn(5, 6)
    out = vmap(lambda p, b: func.functional_call(models[0], (p, b), (x,)))(params, buffers)
    assert (out == graphc.stack([m(x) for m in models])).all()
    m, before = models[0], models[0][0].weight
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        func.functional_call(m, {"0.weight": graphc.zeros(2, 2)}, x)
    assert m[0].weight is before

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x, *, scale=1):
            return self.a(x) * scale, self.b(x)

    tied, one = Tied(), graphc.ones(1, 2)
    a, b = func.functional_call(tied, {"a.weight": graphc.zeros(2, 2)}, one, {"scale": 3})
    assert not a.any() and not b.any()
    a, b = func.functional_call(tied, {"a.weight": graphc.zeros(2, 2)}, one, tie_weights=False)
    assert not a.any() and b.any()
    with pytest.raises(ValueError, match="which are tied"):
        func.functional_call(
            tied, {"a.weight": graphc.zeros(2, 2), "b.weight": graphc.ones(2, 2)}, one
        )


# ---------------------------------------------------------------- vmap's own rules


def test_randomness_modes():
    x = graphc.zeros(4, 3)
    with pytest.raises(RuntimeError, match="randomness error mode"):
        vmap(lambda a: a + graphc.rand(3))(x)
    same = vmap(lambda a: a + graphc.rand(3), randomness="same")(x)
    assert (same == same[0]).all()
    other = vmap(lambda a: a + graphc.randn(3), randomness="different")(x)
    assert len({tuple(r.tolist()) for r in other}) == 4
    graphc.manual_seed(5)
    drawn = vmap(lambda a: nn.functional.dropout(a + 1, 0.5), randomness="different")(x)
    graphc.manual_seed(5)
    again = vmap(lambda a: nn.functional.dropout(a + 1, 0.5), randomness="different")(x)
    assert (drawn == again).all() and set(drawn.unique().tolist()) <= {0.0, 2.0}
    chunks = vmap(lambda a: a + graphc.rand(3), randomness="same", chunk_size=3)(x)
    assert (chunks == chunks[0]).all()


def test_in_place_writes_inside_vmap():
    def f(a):
        y = a * 1
        y[0] = 3 * a[1]
        y.add_(a)
        y[1:3].mul_(a[:2])
        z = graphc.zeros_like(y)
        z.copy_(y)
        return z.sum() * y[-1]

    x = t(A)
    assert (vmap(f)(x) == graphc.stack([f(a) for a in x])).all()
    assert (vmap(grad(f))(x) == graphc.stack([grad(f)(a) for a in x])).all()
    kept = x.clone()
    vmap(lambda a: a.mul_(2))(kept)
    assert (kept == x * 2).all()
    with pytest.raises(RuntimeError, match="vmap: inplace arithmetic"):
        vmap(lambda a: graphc.zeros(4).double().add_(a))(x)


def test_elements_promote_as_elements():
    x = graphc.arange(3)
    half = graphc.ones(2, dtype=graphc.float16)
    assert vmap(lambda a: a * half)(x.float()).dtype is graphc.float16
    assert vmap(lambda a: a + graphc.ones(2, dtype=graphc.int8))(x).dtype is graphc.int8
    assert vmap(lambda a, b: a + b)(x, x.double()).dtype is graphc.float64
    assert vmap(lambda a: a + 1.5)(x).dtype is graphc.float32


def test_ops_without_a_rule_warn_and_are_right():
    from graphc.core import layer

    layer._looped.discard("searchsorted")
    edges, x = graphc.tensor([0.0, 1.0, 2.0]), graphc.rand(4, 5) * 3
    with pytest.warns(UserWarning, match="performance drop"):
        found = vmap(lambda a: graphc.searchsorted(edges, a))(x)
    assert (found == graphc.stack([graphc.searchsorted(edges, a) for a in x])).all()


def test_tensors_of_a_vmap_have_no_value_outside():
    kept = []
    vmap(lambda a: (kept.append(a), a)[1])(t(A))
    for f in (
        lambda: kept[0] + 1,
        lambda: t(A) @ kept[0],
        lambda: vmap(lambda b: b + kept[0])(t(A)),
        lambda: kept[0].exp_(),
        lambda: kept[0].item(),
    ):
        with pytest.raises(RuntimeError, match="vmap"):
            f()


def test_vmap_and_grad_are_captured():
    xs, w = graphc.randn(6, 4), graphc.randn(4, 5)

    def step(w, xs):
        return vmap(grad(loss), in_dims=(None, 0))(w, xs)

    compiled = graphc.compile(step, fullgraph=True)
    for n in (6, 3, 5):
        assert (compiled(w, xs[:n]) == step(w, xs[:n])).all()


# ---------------------------------------------------------------- against PyTorch


def _call(f):
    try:
        return f()
    except Exception as e:  # noqa: BLE001
        return e


def _cases(T, F):
    """Expressions over either library: name -> function without arguments."""
    x, a = T.tensor(C.copy()), T.tensor(A.copy())
    tree = {"p": x, "q": (a, x)}

    def f(d):
        return {"u": d["p"] * 2, "v": (d["q"][0] @ d["p"]).sum()}

    return {
        "grad tree": lambda: F.grad(lambda d: f(d)["v"])(tree),
        "jacrev tree": lambda: F.jacrev(f)(tree),
        "jacfwd tree": lambda: F.jacfwd(f)(tree),
        "jacrev argnums": lambda: F.jacrev(lambda a, b: (a * b, a), argnums=(0, 1))(x, x),
        "jacrev aux": lambda: F.jacrev(lambda a: (a**2, a), has_aux=True)(x),
        "jacrev chunks": lambda: F.jacrev(lambda a: a**2, chunk_size=2)(x),
        "hessian argnums": lambda: F.hessian(lambda a, b: (a**2 * b).sum(), argnums=(0, 1))(x, x),
        "hessian matrix": lambda: F.hessian(lambda m: (m @ x).exp().sum())(a),
        "jvp two": lambda: F.jvp(lambda a, b: a @ b, (a, x), (a, x)),
        "jvp unused": lambda: F.jvp(lambda a: T.ones(2), (x,), (x,)),
        "jvp bool": lambda: F.jvp(lambda a: a > 0, (x,), (x,)),
        "jvp aux": lambda: F.jvp(lambda a: (a**2, a), (x,), (x,), has_aux=True),
        "grad unused": lambda: F.grad(lambda a: T.zeros(()))(x),
        "grad and value": lambda: F.grad_and_value(lambda a: ((a**2).sum(), a), has_aux=True)(x),
        "argnums -1": lambda: F.grad(lambda a, b: (a * b**2).sum(), argnums=-1)(x, x),
        "vmap dims": lambda: T.vmap(lambda a, b: (a * b, a), (1, 0), (1, 0))(a, x),
        "vmap dict": lambda: T.vmap(lambda d: d["a"] @ d["b"], ({"a": 0, "b": None},))(
            {"a": a, "b": x}
        ),
        "vmap keyword": lambda: T.vmap(lambda a, *, k: a * k)(x, k=x),
        "vmap unbatched": lambda: T.vmap(lambda a: (x, a), out_dims=(0, 1))(a),
        "vmap none out": lambda: T.vmap(lambda a: (a, x), out_dims=(0, None))(a),
        "vmap chunks": lambda: T.vmap(lambda a: a.sum(), chunk_size=2)(a),
        "vmap empty": lambda: T.vmap(lambda a: a * 2)(T.zeros(0, 3)),
        "vmap where": lambda: T.vmap(lambda a: T.where(a > 0, a, 0.0).cumsum(0))(a),
        "vmap index": lambda: T.vmap(lambda v, i: v[i])(a, T.tensor([0, 2, 1])),
        "vmap sort": lambda: T.vmap(lambda v: v.sort()[0], in_dims=1, out_dims=1)(a),
        "vmap stack": lambda: T.vmap(lambda v: T.stack([v[0], T.tensor(1.0).double()]))(a),
        "vmap argmax": lambda: T.vmap(lambda v: v.argmax())(a),
        "vmap einsum": lambda: T.vmap(lambda v: T.einsum("i,j->ij", v, x))(a),
        "vmap softmax": lambda: T.vmap(lambda v: v.softmax(0).log().mean())(a),
        # errors
        "e in_dims": lambda: T.vmap(lambda a: a, in_dims=(0, 0))(x),
        "e in_dim": lambda: T.vmap(lambda a: a, in_dims=2)(a),
        "e in_dims type": lambda: T.vmap(lambda a: a, in_dims="a")(a),
        "e sizes": lambda: T.vmap(lambda a, b: a)(a, x),
        "e nothing": lambda: T.vmap(lambda a: a, in_dims=(None,))(x),
        "e not a tensor": lambda: T.vmap(lambda a, b: a)(x, 3),
        "e no inputs": lambda: T.vmap(lambda: 1)(),
        "e output": lambda: T.vmap(lambda a: (a, 3))(x),
        "e out_dims": lambda: T.vmap(lambda a: (a, a), out_dims=(0, 0, 0))(x),
        "e out_dim": lambda: T.vmap(lambda a: a, out_dims=3)(a),
        "e out_dims type": lambda: T.vmap(lambda a: a, out_dims="a")(a),
        "e control": lambda: T.vmap(lambda a: a if a.sum() > 0 else -a)(a),
        "e item": lambda: T.vmap(lambda a: a.sum().item())(a),
        "e chunk": lambda: T.vmap(lambda a: a, chunk_size=0)(a),
        "e randomness": lambda: T.vmap(lambda a: a, randomness="x")(a),
        "e random": lambda: T.vmap(lambda a: a + T.rand(4))(a),
        "e dim": lambda: F.grad(lambda a: a)(x),
        "e float": lambda: F.grad(lambda a: a.sum().item())(x),
        "e aux": lambda: F.grad(lambda a: (a.sum(), 1), has_aux=True)(x),
        "e argnum": lambda: F.grad(lambda a: a.sum(), argnums=1)(x),
        "e argnums type": lambda: F.grad(lambda a: a.sum(), argnums="a")(x),
        "e number": lambda: F.grad(lambda a: a.sum())(3),
        "e ints": lambda: F.grad(lambda a: a.sum())(T.arange(3)),
        "e jvp ints": lambda: F.jvp(lambda a: a * 2, (T.arange(3),), (T.arange(3),)),
        "e jvp tuple": lambda: F.jvp(lambda a: a, x, x),
        "e jvp trees": lambda: F.jvp(lambda a: a, (x,), (x, x)),
        "e jvp shape": lambda: F.jvp(lambda a: a, (x,), (x[:2],)),
        "e jvp out": lambda: F.jvp(lambda a: 3, (x,), (x,)),
        "e jvp none": lambda: F.jvp(lambda: 3, (), ()),
        "e jvp strict": lambda: F.jvp(lambda a: T.ones(2), (x,), (x,), strict=True),
        "e vjp shape": lambda: F.vjp(lambda a: a, x)[1](x[:2]),
        "e vjp tree": lambda: F.vjp(lambda a: a, x)[1]((x,)),
        "e jacrev out": lambda: F.jacrev(lambda a: 3)(x),
        "e linearize": lambda: F.linearize(lambda a: a**2, x)[1](x, x),
    }


def _assert_alike(got, want, path=""):
    if isinstance(want, BaseException):
        assert isinstance(got, BaseException), f"{path}: no error, PyTorch: {want!r}"
        assert type(got).__name__ == type(want).__name__ and str(got) == str(want), path
    elif isinstance(want, dict):
        assert list(got) == list(want)
        for k in want:
            _assert_alike(got[k], want[k], f"{path}.{k}")
    elif isinstance(want, (tuple, list)):
        assert len(got) == len(want), path
        for i, (a, b) in enumerate(zip(got, want)):
            _assert_alike(a, b, f"{path}[{i}]")
    else:
        if isinstance(got, BaseException):
            raise got
        assert str(got.dtype) == str(want.dtype), path
        close(got.detach(), want.detach().numpy())


def test_results_and_errors_are_pytorchs():
    torch = pytest.importorskip("torch")
    mine, other = _cases(graphc, func), _cases(torch, torch.func)
    failed = []
    for name in mine:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got, want = _call(mine[name]), _call(other[name])
        assert name.startswith("e ") == isinstance(want, BaseException), (name, want)
        try:
            _assert_alike(got, want, name)
        except Exception as e:  # noqa: BLE001
            failed.append(f"{name}: {e!r}")
    assert not failed, "\n".join(failed)
