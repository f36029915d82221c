"""autograd.functional, the graph's nodes and hooks, Function under vmap and twice differentiated:
closed forms, PyTorch's results and errors where it is installed."""

import importlib
import warnings

import numpy as np
import pytest

import graphc


def functional_cases(T):
    F = importlib.import_module(T.__name__ + ".autograd.functional")
    x, y = T.tensor([1.0, 2.0]), T.tensor([3.0, 4.0])

    def square(a):
        return a**2

    def two(a, b):
        return a * b, a.sum()

    def scalar(a, b):
        return (a * b * b).sum()

    def cube(a):
        return (a**3).sum()

    def linear(a):
        return a * 2

    def cut(a):
        return a.detach()

    cases = {}
    for strict in (False, True):
        for create in (False, True):
            k = {"strict": strict, "create_graph": create}
            for name, f in {
                "jacobian": lambda k=k: F.jacobian(square, x, **k),
                "jacobian unused": lambda k=k: F.jacobian(lambda a, b: a**2, (x, y), **k),
                "jacobian cut": lambda k=k: F.jacobian(cut, x, **k),
                "jacobian linear": lambda k=k: F.jacobian(linear, x, **k),
                "hessian": lambda k=k: F.hessian(cube, x, **k),
                "hessian two": lambda k=k: F.hessian(scalar, (x, y), **k),
                "hessian linear": lambda k=k: F.hessian(lambda a: a.sum(), x, **k),
                "vjp": lambda k=k: F.vjp(square, x, y, **k),
                "vjp two": lambda k=k: F.vjp(two, (x, y), (x, T.tensor(1.0)), **k),
                "vjp cut": lambda k=k: F.vjp(cut, x, y, **k),
                "vjp linear": lambda k=k: F.vjp(linear, x, y, **k),
                "jvp": lambda k=k: F.jvp(square, x, y, **k),
                "jvp cut": lambda k=k: F.jvp(cut, x, y, **k),
                "jvp linear": lambda k=k: F.jvp(linear, x, y, **k),
                "vhp": lambda k=k: F.vhp(cube, x, y, **k),
                "vhp two": lambda k=k: F.vhp(scalar, (x, y), (x, y), **k),
                "hvp": lambda k=k: F.hvp(cube, x, y, **k),
                "hvp linear": lambda k=k: F.hvp(lambda a: a.sum(), x, y, **k),
                "hvp cut": lambda k=k: F.hvp(lambda a: a.sum().detach(), x, y, **k),
            }.items():
                cases[f"{name} strict={strict} create={create}"] = f
    cases |= {
        "rows at once": lambda: F.jacobian(two, (x, y), vectorize=True),
        "hessian at once": lambda: F.hessian(scalar, (x, y), vectorize=True),
        "columns": lambda: F.jacobian(square, x, vectorize=True, strategy="forward-mode"),
        "no columns": lambda: F.jacobian(square, x, strategy="forward-mode"),
        "both": lambda: F.jacobian(two, (x, y), vectorize=True, strict=True),
        "strategy": lambda: F.jacobian(two, (x, y), strategy="foo"),
        "number out": lambda: F.jacobian(lambda a: 3, x),
        "number in": lambda: F.jacobian(square, 3),
        "number among": lambda: F.jacobian(lambda a: (a, 3), x),
        "not one element": lambda: F.hessian(square, x),
        "several": lambda: F.hessian(lambda a: (a.sum(), a.sum()), x),
        "no v": lambda: F.vjp(square, x),
        "bad v": lambda: F.jvp(square, x, T.ones(3)),
        "short v": lambda: F.vjp(two, (x, y), (x,)),
        "v left out": lambda: F.vjp(lambda a: a.sum(), x),
        "jvp v left out": lambda: F.jvp(square, T.tensor(2.0)),
    }
    return cases


def graph_cases(T):
    G = importlib.import_module(T.__name__ + ".autograd.graph")

    def leaf():
        return T.tensor([0.0, 1.0]).requires_grad_()

    def saved():
        shapes, x = [], leaf()
        with G.saved_tensors_hooks(lambda t: (shapes.append(tuple(t.shape)), t)[1], lambda t: t):
            y = x**2 * leaf()
        y.sum().backward()
        return shapes, x.grad

    def on_cpu():
        x = leaf()
        with G.save_on_cpu():
            y = x * 1
            z = y * y
        y.data.mul_(5)
        z.sum().backward()
        return x.grad

    def disabled():
        with G.disable_saved_tensors_hooks("no hooks"):
            with G.saved_tensors_hooks(lambda t: t, lambda t: t):
                pass

    def edge():
        x = leaf()
        y = x * 2
        e, of_leaf = G.get_gradient_edge(y), G.get_gradient_edge(x)
        return T.autograd.grad((y**2).sum(), (e, of_leaf))

    def increment():
        y = leaf().exp()
        G.increment_version(y)
        y.sum().backward()

    def multi(mode):
        seen, a, b, c = [], leaf(), leaf(), leaf()
        h = G.register_multi_grad_hook((a, b, c), lambda g: seen.append(g), mode=mode)
        (a * 2 + b * 3).sum().backward()
        h.remove()
        (a * 2 + b * 3).sum().backward()
        return seen

    def nodes():
        x = leaf()
        y = (x * 2).exp()
        n, log = y.grad_fn, []
        n.metadata["a"] = 1
        n.register_hook(lambda gi, go: log.append((gi, go)))
        n.register_prehook(lambda go: (go[0] * 3,))
        y.sum().backward()
        first = n.next_functions[0][0]
        last = first.next_functions[0][0]
        return log, x.grad, n.metadata, n.name(), first.name(), last.name(), last.variable is x

    def saved_of_node():
        y = leaf().exp()
        return y.grad_fn._saved_result, (leaf() * leaf()).grad_fn._saved_self

    def freed():
        y = leaf() ** 2
        y.sum().backward()
        return y.grad_fn._saved_self

    def hook_size():
        x = leaf()
        (x * 2).register_hook(lambda g: g)
        y = x * 2
        y.register_hook(lambda g: T.ones(5))
        y.sum().backward()

    def rows():
        x = T.tensor([1.0, 2.0, 3.0]).requires_grad_()
        return T.autograd.grad(x**2, x, T.eye(3), is_grads_batched=True)

    def nan(check):
        x = leaf()
        with T.autograd.detect_anomaly(check_nan=check):
            (x.sqrt() * 0).sum().backward()
        return x.grad

    def view_of_leaf():
        x = T.arange(4.0).reshape(2, 2).requires_grad_()
        x[0].add_(1)

    def setter():
        x = T.arange(3)
        x.requires_grad = True

    def unused():
        kw = {"materialize_grads": True, "allow_unused": False}
        return T.autograd.grad(leaf().sum(), leaf(), **kw)

    def once():
        class Square(T.autograd.Function):
            @staticmethod
            def forward(ctx, a):
                ctx.save_for_backward(a)
                return a**2

            @staticmethod
            @T.autograd.function.once_differentiable
            def backward(ctx, g):
                return g * 2 * ctx.saved_tensors[0]

        x = leaf()
        (g,) = T.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
        (y,) = T.autograd.grad(Square.apply(x).sum(), x)
        assert y.tolist() == g.tolist()
        g.sum().backward()

    return {
        "saved": saved,
        "on_cpu": on_cpu,
        "disabled": disabled,
        "edge": edge,
        "increment": increment,
        "multi all": lambda: multi("all"),
        "multi any": lambda: multi("any"),
        "nodes": nodes,
        "saved of a node": saved_of_node,
        "freed": freed,
        "hook size": hook_size,
        "rows": rows,
        "nan": lambda: nan(True),
        "nan unchecked": lambda: nan(False),
        "write to a view of a leaf": view_of_leaf,
        "integers": setter,
        "unused": unused,
        "once": once,
        "Variable": lambda: (
            isinstance(leaf(), T.autograd.Variable),
            T.autograd.Variable(leaf() * 2, requires_grad=True).is_leaf,
        ),
    }


def function_cases(T):
    func = importlib.import_module(T.__name__ + ".func")
    rng = np.random.default_rng(0)
    a, w = T.tensor(rng.standard_normal((3, 4))), T.tensor(rng.standard_normal(4))

    class Scaled(T.autograd.Function):
        generate_vmap_rule = True

        @staticmethod
        def forward(a, b):
            return a * a * b

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            a, b = ctx.saved_tensors
            return g * 2 * a * b, g * a * a

    class Own(T.autograd.Function):
        @staticmethod
        def forward(a):
            return a**3

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * 3 * ctx.saved_tensors[0] ** 2

        @staticmethod
        def vmap(info, in_dims, a):
            assert info.batch_size == 3
            return Own.apply(a), in_dims[0]

    class Without(Own):
        vmap = T.autograd.Function.vmap

    class Both(Own):
        generate_vmap_rule = True

    class Old(T.autograd.Function):
        @staticmethod
        def forward(ctx, a):
            return a**3

    def summed(*xs):
        return T.vmap(Scaled.apply, (0, None))(*xs).sum()

    def rows(a, w):
        return T.vmap(func.grad(lambda a, w: Scaled.apply(a, w).sum()), (0, None))(a, w)

    return {
        "mapped": lambda: T.vmap(Scaled.apply, (0, None))(a, w),
        "mapped twice": lambda: T.vmap(T.vmap(Scaled.apply, (None, 0)), (0, None))(a, a),
        "gradient below": lambda: func.grad(summed, 1)(a, w),
        "gradient above": lambda: rows(a, w),
        "gradient of gradients": lambda: func.grad(lambda w: rows(a, w).sum())(w),
        "rows": lambda: func.jacrev(lambda w: T.vmap(Scaled.apply, (0, None))(a, w))(w),
        "own": lambda: T.vmap(Own.apply)(a),
        "own gradient": lambda: T.vmap(func.grad(lambda a: Own.apply(a).sum()))(a),
        "own gradient below": lambda: func.grad(lambda a: T.vmap(Own.apply)(a).sum())(a),
        "without": lambda: T.vmap(Without.apply)(a),
        "both": lambda: T.vmap(Both.apply)(a),
        "old": lambda: T.vmap(Old.apply)(a),
    }


def _run(f):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f()
    except Exception as e:  # noqa: BLE001
        return e


def _alike(got, want, path):
    if isinstance(want, BaseException):
        text = (type(want).__name__, str(want))
        assert (type(got).__name__, str(got)) == text, f"{path}: {got!r}"
    elif isinstance(want, (tuple, list)):
        assert len(got) == len(want), path
        for i, (a, b) in enumerate(zip(got, want)):
            _alike(a, b, f"{path}[{i}]")
    elif hasattr(want, "detach"):
        if isinstance(got, BaseException):
            raise got
        # a few roundings of small numbers, in float32
        np.testing.assert_allclose(got.detach().numpy(), want.detach().numpy(), rtol=1e-6)
    else:
        assert got == want, f"{path}: {got!r}"


@pytest.mark.parametrize("cases", [functional_cases, graph_cases, function_cases])
def test_results_and_errors_are_pytorchs(cases):
    torch = pytest.importorskip("torch")
    mine, other = cases(graphc), cases(torch)
    failed = []
    for name, f in mine.items():
        try:
            _alike(_run(f), _run(other[name]), name)
        except Exception as e:  # noqa: BLE001
            failed.append(f"{name}: {e}")
    assert not failed, "\n".join(failed)


def test_functional_against_closed_forms():
    F = graphc.autograd.functional
    x, v = graphc.tensor([1.0, 2.0]), graphc.tensor([3.0, 4.0])
    assert F.jacobian(lambda a: a**2, x).tolist() == [[2, 0], [0, 4]]
    for options in ({}, {"vectorize": True}):
        assert F.hessian(lambda a: (a**3).sum(), x, **options).tolist() == [[6, 0], [0, 12]]
    assert F.vhp(lambda a: (a**3).sum(), x, v)[1].tolist() == [18, 48]
    assert F.hvp(lambda a: (a**3).sum(), x, v)[1].tolist() == [18, 48]
    assert F.jvp(lambda a: a.sum() * a, x, v)[1].tolist() == [16, 26]
    assert F.vjp(lambda a: a.sum() * a, x, v)[1].tolist() == [20, 23]


def test_an_anomaly_names_the_forward_line():
    x = graphc.zeros(2).requires_grad_()
    with graphc.autograd.detect_anomaly():
        y = x.sqrt()  # the line
        with pytest.raises(RuntimeError, match="returned nan values in its 0th output") as e:
            (y * 0).sum().backward()
    assert any("y = x.sqrt()  # the line" in n for n in e.value.__notes__)


def test_grad_of_a_non_leaf_warns():
    x = graphc.ones(2).requires_grad_()
    with pytest.warns(UserWarning, match="that is not a leaf Tensor is being accessed"):
        assert (x * 2).grad is None
    y = x * 2
    y.retain_grad()
    y.sum().backward()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert y.grad.tolist() == [1, 1] and x.grad.tolist() == [2, 2]


def test_regions_are_timed():
    from graphc.autograd.profiler import profile, record_function

    with profile() as p:
        for _ in range(3):
            with record_function("part"):
                graphc.ones(3).sum()
    (part,) = p.key_averages()
    assert part.name == "part" and part.count == 3 and part.cpu_time_total > 0
    assert "part" in p.table(sort_by="cpu_time_total")
