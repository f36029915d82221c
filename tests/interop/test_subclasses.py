"""Subclasses of Tensor keep their class; `__torch_function__` sees calls; PyTorch answers the same
where it is installed."""

import subprocess
import sys

import pytest

import graphc
from graphc import nn


class Tagged(graphc.Tensor):
    def __init__(self, x, tag=None):
        self.tag = tag

    @staticmethod
    def __new__(cls, x, *args, **kwargs):
        return super().__new__(cls, x)


def outcomes(T):
    """What happens with subclasses of T.Tensor: name -> class names, logs, errors."""
    F = T.nn.functional

    class A(T.Tensor):
        pass

    class Logged(T.Tensor):
        log: list = []

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            cls.log.append(func.__name__)
            return super().__torch_function__(func, types, args, kwargs or {})

    class Added(T.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func in (T.add, T.Tensor.add):
                return "added"
            return super().__torch_function__(func, types, args, kwargs or {})

    class Duck:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func.__name__, len(args), [t.__name__ for t in types]

    a, b = T.ones(2, 2).as_subclass(A), T.ones(2, 2).as_subclass(Logged)
    w, plain, duck = T.ones(2).as_subclass(Added), T.ones(2, 2), Duck()

    def kind(f):
        def run():
            x = f()
            many = isinstance(x, (tuple, list))
            return [type(v).__name__ for v in x] if many else type(x).__name__

        return run

    def logged(f):
        def run():
            Logged.log.clear()
            return type(f()).__name__, list(Logged.log)

        return run

    x = T.ones(2).as_subclass(A).requires_grad_()
    fs = {
        "add": kind(lambda: a + 1),
        "radd": kind(lambda: 1 + a),
        "beside plain": kind(lambda: plain + a),
        "function": kind(lambda: T.sum(a)),
        "method": kind(lambda: a.sum()),
        "index": kind(lambda: a[0]),
        "product": kind(lambda: a @ plain),
        "views": kind(lambda: [a.view(4), a.T, a.detach(), a.data, a.clone(), a.double()]),
        "cat": kind(lambda: T.cat([a, plain])),
        "max": kind(lambda: tuple(a.max(0))),
        "relu": kind(lambda: F.relu(a)),
        "iter": kind(lambda: list(a)),
        "split": kind(lambda: a.split(1)),
        "in place": kind(lambda: a.add_(1)),
        "equal": kind(lambda: a == a),
        "numpy": kind(lambda: a.numpy()),
        "repr": lambda: repr(T.ones(2).as_subclass(A)),
        "made": kind(lambda: A([1.0, 2.0])),
        "back": kind(lambda: a.as_subclass(T.Tensor)),
        "parameter": kind(lambda: nn_parameter(T) + 1),
        "gradient": lambda: ((x * x).sum().backward(), x.grad.tolist()),
        "log add": logged(lambda: b + 1),
        "log function": logged(lambda: T.add(b, 1)),
        "log swapped": logged(lambda: plain * b),
        "log rsub": logged(lambda: 2 - b),
        "log index": logged(lambda: b[0]),
        "log softmax": logged(lambda: F.softmax(b, 0)),
        "log linear": logged(lambda: F.linear(b, b)),
        "log mean": logged(lambda: b.mean(dim=0)),
        "log cat": logged(lambda: T.cat([b, b])),
        "log in place": logged(lambda: b.add_(1)),
        "own": lambda: (T.add(w, 1), w.add(1), w + 1, type(w * 2).__name__),
        "duck": lambda: (T.add(duck, 1), T.mean(duck), T.matmul(plain, duck), F.relu(duck)),
        "like": lambda: (
            T.overrides.is_tensor_like(duck),
            T.overrides.has_torch_function((duck,)),
            T.overrides.has_torch_function((plain,)),
        ),
    }
    return {name: f() for name, f in fs.items()}


def nn_parameter(T):
    return T.nn.Parameter(T.ones(2))


def test_subclasses_behave_as_in_pytorch():
    torch = pytest.importorskip("torch")
    got, want = outcomes(graphc), outcomes(torch)
    assert got == want


def test_subclasses_keep_their_class_and_work():
    x = Tagged([1.0, 2.0], tag="t")
    assert (type(x), x.tag, x.tolist()) == (Tagged, "t", [1, 2])
    y = (x * 2).requires_grad_()
    assert type(y) is Tagged and not hasattr(y, "tag")
    (y * y).sum().backward()
    assert y.grad.tolist() == [4, 8]
    layer = nn.Linear(2, 3)
    assert type(layer(x)) is Tagged and type(graphc.stack([x, x]).mean(0)) is Tagged
    assert type(graphc.ones(2) + graphc.ones(2)) is graphc.Tensor
    assert type(graphc.relu(graphc.ones(2))) is graphc.Tensor
    with graphc.overrides.DisableTorchFunctionSubclass():
        assert type(x + 1) is graphc.Tensor
    compiled = graphc.compile(lambda t: graphc.relu(nn.functional.gelu(t) * 2), fullgraph=True)
    plain = graphc.randn(4)
    assert (compiled(plain) == graphc.relu(nn.functional.gelu(plain) * 2)).all()


def test_programs_without_subclasses_are_left_alone():
    code = (
        "import graphc, sys; from graphc import nn; nn.Linear(2, 2)(graphc.ones(1, 2))\n"
        "assert 'graphc.overrides' not in sys.modules\n"
        "before = graphc.add, nn.functional.relu\n"
        "class A(graphc.Tensor): pass\n"
        "assert graphc.add is not before[0] and nn.functional.relu is not before[1]\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
